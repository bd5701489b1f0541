// SPDX-License-Identifier: Apache-2.0
// Families whose templates write one message after the other, without tools.

/// Templates that only put marks around messages.
enum PlainFamilies {
    static let alpaca = #"""
        {{- bos_token -}}
        {%- for message in messages -%}
            {%- if message.role == 'system' and loop.first -%}
                {{- message['content'] -}}
            {%- elif message.role == 'user' -%}
                {{- '### Instruction:\n' + message['content'] -}}
            {%- elif message.role == 'assistant' -%}
                {{- '### Response:\n' + message['content'] + eos_token -}}
            {%- endif -%}
            {{- '' if loop.last else '\n\n' -}}
        {%- endfor -%}
        {{- '\n\n### Response:\n' if add_generation_prompt else '' -}}
        """#

    static let chatML = #"""
        {%- for message in messages -%}
            {{- '<|im_start|>' + message['role'] + '\n' + message['content'] + '<|im_end|>\n' -}}
        {%- endfor -%}
        {{- '<|im_start|>assistant\n' if add_generation_prompt else '' -}}
        """#

    static let cohere = #"""
        {{- bos_token -}}
        {%- set names = {'user': '<|USER_TOKEN|>', 'assistant': '<|CHATBOT_TOKEN|>'} -%}
        {%- set rest = messages -%}
        {%- if messages[0]['role'] == 'system' -%}
            {%- set rest = messages[1:] -%}
            {{- '<|START_OF_TURN_TOKEN|><|SYSTEM_TOKEN|>' + messages[0]['content'] + '<|END_OF_TURN_TOKEN|>' -}}
        {%- endif -%}
        {%- for message in rest -%}
            {%- if (message['role'] == 'user') != (loop.index0 % 2 == 0) -%}
                {{- raise_exception('user and assistant must take turns, beginning with the user') -}}
            {%- endif -%}
            {%- if message['role'] in names -%}
                {{- '<|START_OF_TURN_TOKEN|>' + names[message['role']] -}}
                {{- message['content'].strip() + '<|END_OF_TURN_TOKEN|>' -}}
            {%- endif -%}
        {%- endfor -%}
        {{- '<|START_OF_TURN_TOKEN|><|CHATBOT_TOKEN|>' if add_generation_prompt else '' -}}
        """#

    static let llava = #"""
        {%- for message in messages -%}
            {%- if message['role'] != 'system' -%}
                {{- message['role'].upper() + ': ' -}}
            {%- endif -%}
            {{- message['content'] + ' ' if message['content'] is string else '' -}}
        {%- endfor -%}
        {{- 'ASSISTANT:' if add_generation_prompt else '' -}}
        """#

    static let metharme = #"""
        {{- bos_token + '<|system|>' -}}
        {%- if messages[0]['role'] == 'system' -%}
            {%- set rest = messages[1:] -%}
            {{- messages[0]['content'] -}}
        {%- else -%}
            {%- set rest = messages -%}
            {{- 'Enter RP mode. You shall reply to the user while staying in character. ' -}}
            {{- 'Your responses must be detailed, creative, immersive, and drive the scenario forward.' -}}
        {%- endif -%}
        {%- for message in rest -%}
            {%- if message['role'] == 'user' -%}
                {{- '<|user|>' + message['content'].strip() -}}
            {%- elif message['role'] == 'assistant' -%}
                {{- '<|model|>' + message['content'].strip() -}}
            {%- endif -%}
        {%- endfor -%}
        {{- '<|model|>' if add_generation_prompt else eos_token -}}
        """#

    static let nemotronH = #"""
        {%- for message in messages -%}
            {%- if message.role in ['user', 'assistant'] or (message.role == 'system' and loop.first) -%}
                {{- '<|im_start|>' + message.role + '\n' + message.content + '<|im_end|>\n' -}}
            {%- else -%}
                {{- raise_exception('a message of the role ' + message.role + ' may not stand here') -}}
            {%- endif -%}
        {%- endfor -%}
        {{- '<|im_start|>assistant\n' if add_generation_prompt else '' -}}
        """#

    static let phi3 = #"""
        {{- bos_token -}}
        {%- for message in messages -%}
            {%- if message['role'] == 'system' -%}
                {{- '<|system|>\n' + message['content'] + '<|end|>\n' -}}
            {%- elif message['role'] == 'user' -%}
                {{- '<|user|>\n' + message['content'] + '<|end|>\n<|assistant|>\n' -}}
            {%- elif message['role'] == 'assistant' -%}
                {{- message['content'] + '<|end|>\n' -}}
            {%- endif -%}
        {%- endfor -%}
        """#

    static let phi35 = #"""
        {%- for message in messages -%}
            {%- if message['role'] in ['user', 'assistant'] or (message['role'] == 'system' and message['content']) -%}
                {{- '<|' + message['role'] + '|>\n' + message['content'] + '<|end|>\n' -}}
            {%- endif -%}
        {%- endfor -%}
        {{- '<|assistant|>\n' if add_generation_prompt else '' -}}
        """#

    static let phi4 = #"""
        {%- if messages[0]['role'] == 'system' -%}
            {%- set rest = messages[1:] -%}
            {%- set system = messages[0]['content'] -%}
        {%- else -%}
            {%- set rest = messages -%}
            {%- set system = 'You are Phi, a language model trained by Microsoft to help users. Your role as an assistant involves thoroughly exploring questions through a systematic thinking process before providing the final precise and accurate solutions. This requires engaging in a comprehensive cycle of analysis, summarizing, exploration, reassessment, reflection, backtracing, and iteration to develop well-considered thinking process. Please structure your response into two main sections: Thought and Solution using the specified format: <think> {Thought section} </think> {Solution section}. In the Thought section, detail your reasoning process in steps. Each step should include detailed considerations such as analysing questions, summarizing relevant findings, brainstorming new ideas, verifying the accuracy of the current steps, refining any errors, and revisiting previous steps. In the Solution section, based on various attempts, explorations, and reflections from the Thought section, systematically present the final solution that you deem correct. The Solution section should be logical, accurate, and concise and detail necessary steps needed to reach the conclusion. Now, try to solve the following question through the above guidelines:' -%}
        {%- endif -%}
        {{- '<|im_start|>system<|im_sep|>' + system + '<|im_end|>' -}}
        {%- for message in rest if message['role'] in ['user', 'assistant'] -%}
            {{- '<|im_start|>' + message['role'] + '<|im_sep|>' + message['content'] + '<|im_end|>' -}}
        {%- endfor -%}
        {{- '<|im_start|>assistant<|im_sep|>' if add_generation_prompt else '' -}}
        """#
}

// SPDX-License-Identifier: Apache-2.0
// Qwen's templates, and others in their manner.

/// Templates of Qwen models and of Falcon H1.
enum QwenFamilies {
    /// How tools are described, and calls and results written.
    private static let tools = #"""
        {%- macro describe(tools) -%}
            {{- '# Tools\n\nYou may call one or more functions to assist with the user query.\n\nYou are provided with function signatures within <tools></tools> XML tags:\n<tools>' -}}
            {%- for tool in tools -%}
                {{- '\n' + (tool | tojson) -}}
            {%- endfor -%}
            {{- '\n</tools>\n\nFor each function call, return a json object with function name and arguments within <tool_call></tool_call> XML tags:\n<tool_call>\n{"name": <function-name>, "arguments": <args-json-object>}\n</tool_call><|im_end|>\n' -}}
        {%- endmacro -%}
        {%- macro write(given) -%}
            {%- set call = given.function if given.function else given -%}
            {%- set values = call.arguments -%}
            {{- '<tool_call>\n{"name": "' + call.name + '", "arguments": ' -}}
            {{- (values if values is string else values | tojson) + '}\n</tool_call>' -}}
        {%- endmacro -%}
        {%- macro answer(message, is_first, is_last) -%}
            {{- '<|im_start|>user' if is_first else '' -}}
            {{- '\n<tool_response>\n' + message.content + '\n</tool_response>' -}}
            {{- '<|im_end|>\n' if is_last else '' -}}
        {%- endmacro -%}
        """#

    static let qwen25 =
        tools + #"""
            {%- set system = messages[0]['content'] if messages[0]['role'] == 'system' else 'You are Qwen, created by Alibaba Cloud. You are a helpful assistant.' -%}
            {{- '<|im_start|>system\n' + system + ('\n\n' + describe(tools) if tools else '<|im_end|>\n') -}}
            {%- for message in messages -%}
                {%- if message.role == 'assistant' and message.tool_calls -%}
                    {{- '<|im_start|>assistant' + ('\n' + message.content if message.content else '') -}}
                    {%- for call in message.tool_calls -%}
                        {{- '\n' + write(call) -}}
                    {%- endfor -%}
                    {{- '<|im_end|>\n' -}}
                {%- elif message.role in ['user', 'assistant'] or (message.role == 'system' and not loop.first) -%}
                    {{- '<|im_start|>' + message.role + '\n' + message.content + '<|im_end|>\n' -}}
                {%- elif message.role == 'tool' -%}
                    {{- answer(message, loop.first or messages[loop.index0 - 1].role != 'tool', loop.last or messages[loop.index0 + 1].role != 'tool') -}}
                {%- endif -%}
            {%- endfor -%}
            {{- '<|im_start|>assistant\n' if add_generation_prompt else '' -}}
            """#

    static let qwen2VL = #"""
        {%- for message in messages -%}
            {%- if loop.first and message['role'] != 'system' -%}
                {{- '<|im_start|>system\nYou are a helpful assistant.<|im_end|>\n' -}}
            {%- endif -%}
            {{- '<|im_start|>' + message['role'] + '\n' + (message['content'] or '') + '<|im_end|>\n' -}}
        {%- endfor -%}
        {{- '<|im_start|>assistant\n' if add_generation_prompt else '' -}}
        """#

    static let qwen3 =
        tools + #"""
            {%- set system = messages[0].content if messages[0].role == 'system' else none -%}
            {%- if tools -%}
                {{- '<|im_start|>system\n' + ('' if system is none else system + '\n\n') + describe(tools) -}}
            {%- elif system is not none -%}
                {{- '<|im_start|>system\n' + system + '<|im_end|>\n' -}}
            {%- endif -%}
            {%- set state = namespace(last_query=messages | length - 1) -%}
            {%- for place in range(messages | length) if messages[place].role == 'user' -%}
                {%- set content = messages[place].content -%}
                {%- if not (content.startswith('<tool_response>') and content.endswith('</tool_response>')) -%}
                    {%- set state.last_query = place -%}
                {%- endif -%}
            {%- endfor -%}
            {%- for message in messages -%}
                {%- if message.role == 'user' or (message.role == 'system' and not loop.first) -%}
                    {{- '<|im_start|>' + message.role + '\n' + message.content + '<|im_end|>\n' -}}
                {%- elif message.role == 'assistant' -%}
                    {%- set content = message.content or '' -%}
                    {%- set thoughts = '' -%}
                    {%- if message.reasoning_content is string -%}
                        {%- set thoughts = message.reasoning_content -%}
                    {%- elif '</think>' in content -%}
                        {%- set thoughts = content.split('</think>')[0].rstrip('\n').split('<think>')[-1].lstrip('\n') -%}
                        {%- set content = content.split('</think>')[-1].lstrip('\n') -%}
                    {%- endif -%}
                    {{- '<|im_start|>assistant\n' -}}
                    {%- if loop.index0 > state.last_query and (loop.last or thoughts) -%}
                        {{- '<think>\n' + thoughts.strip('\n') + '\n</think>\n\n' + content.lstrip('\n') -}}
                    {%- else -%}
                        {{- content -}}
                    {%- endif -%}
                    {%- for call in message.tool_calls or [] -%}
                        {{- ('\n' if content or not loop.first else '') + write(call) -}}
                    {%- endfor -%}
                    {{- '<|im_end|>\n' -}}
                {%- elif message.role == 'tool' -%}
                    {{- answer(message, loop.first or messages[loop.index0 - 1].role != 'tool', loop.last or messages[loop.index0 + 1].role != 'tool') -}}
                {%- endif -%}
            {%- endfor -%}
            {%- if add_generation_prompt -%}
                {{- '<|im_start|>assistant\n<think>\n\n' + ('</think>\n\n' if enable_thinking is defined and enable_thinking is false else '') -}}
            {%- endif -%}
            """#

    static let falconH1 = #"""
        {{- bos_token -}}
        {%- set system = messages[0].content if messages[0].role == 'system' else none -%}
        {%- if tools -%}
            {{- '<|im_start|>system\n' + ('' if system is none else system + '\n\n') -}}
            {{- "You are a function calling AI model. You are provided with function signature within <tools> </tools> XML tags. You may call one or more functions to assist with the user query. Don't make assumptions about what values to plug into functions.\n<tools>\n" -}}
            {%- for tool in tools -%}
                {{- '[' + (tool | tojson) + ']' -}}
            {%- endfor -%}
            {{- "\n</tools>\nFor each function call, return a json object with function name and arguments within <tool_call> </tool_call> tags with the following schema:\n<tool_call>\n{'arguments': <args-dict>, 'name': <function-name>}\n</tool_call>\n" -}}
        {%- elif system is not none -%}
            {{- '<|im_start|>system\n' + system + '<|im_end|>\n' -}}
        {%- endif -%}
        {%- for message in messages if message.role != 'system' -%}
            {{- '<|im_start|>' + message['role'] + '\n' + message['content'] + '<|im_end|>\n' -}}
        {%- endfor -%}
        {{- '<|im_start|>assistant\n' if add_generation_prompt else '' -}}
        """#
}

// SPDX-License-Identifier: Apache-2.0
// DeepSeek's templates.

/// Templates of DeepSeek's models.
enum DeepSeekFamilies {
    static let v2 = #"""
        {{- bos_token -}}
        {%- for message in messages -%}
            {%- if message['role'] == 'user' -%}
                {{- '<｜User｜>' + message['content'] -}}
            {%- elif message['role'] == 'assistant' -%}
                {{- '<｜Assistant｜>' + message['content'] + eos_token -}}
            {%- elif message['role'] == 'system' -%}
                {{- message['content'] + '\n\n' -}}
            {%- endif -%}
        {%- endfor -%}
        {{- '<｜Assistant｜>' if add_generation_prompt else '' -}}
        """#

    static let v3 = #"""
        {%- set state = namespace(results=false) -%}
        {{- bos_token + (messages | selectattr('role', 'equalto', 'system') | map(attribute='content') | join('\n\n')) -}}
        {%- for message in messages -%}
            {%- if message['role'] == 'user' -%}
                {%- set state.results = false -%}
                {{- '<｜User｜>' + message['content'] -}}
            {%- elif message['role'] == 'assistant' and 'tool_calls' in message -%}
                {{- '<｜tool▁outputs▁end｜>' if state.results else '' -}}
                {%- set state.results = false -%}
                {%- for call in message['tool_calls'] -%}
                    {%- set given = call['function']['arguments'] -%}
                    {%- if loop.first -%}
                        {{- '<｜Assistant｜>' + (message['content'] or '') + '<｜tool▁calls▁begin｜>' -}}
                    {%- else -%}
                        {{- '\n' -}}
                    {%- endif -%}
                    {{- '<｜tool▁call▁begin｜>' + call['type'] + '<｜tool▁sep｜>' + call['function']['name'] + '\n```json\n' -}}
                    {{- (given if given is string else given | tojson) + '\n```<｜tool▁call▁end｜>' -}}
                {%- endfor -%}
                {{- '<｜tool▁calls▁end｜><｜end▁of▁sentence｜>' -}}
            {%- elif message['role'] == 'assistant' -%}
                {%- set content = message['content'] or '' -%}
                {%- if state.results -%}
                    {{- '<｜tool▁outputs▁end｜>' + content -}}
                {%- else -%}
                    {{- '<｜Assistant｜>' + content.split('</think>')[-1] -}}
                {%- endif -%}
                {{- '<｜end▁of▁sentence｜>' -}}
                {%- set state.results = false -%}
            {%- elif message['role'] == 'tool' -%}
                {{- '' if state.results else '<｜tool▁outputs▁begin｜>' -}}
                {%- set state.results = true -%}
                {{- '<｜tool▁output▁begin｜>' + message['content'] + '<｜tool▁output▁end｜>' -}}
            {%- endif -%}
        {%- endfor -%}
        {%- if state.results -%}
            {{- '<｜tool▁outputs▁end｜>' -}}
        {%- elif add_generation_prompt -%}
            {{- '<｜Assistant｜>' -}}
        {%- endif -%}
        """#
}

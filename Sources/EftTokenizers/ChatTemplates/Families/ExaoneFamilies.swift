// SPDX-License-Identifier: Apache-2.0
// EXAONE's templates.

/// Templates of EXAONE models.
enum ExaoneFamilies {
    static let exaone = #"""
        {%- for message in messages -%}
            {{- '[|system|][|endofturn|]\n' if loop.first and message['role'] != 'system' else '' -}}
            {{- '[|' + message['role'] + '|]' + message['content'] -}}
            {{- '\n' if message['role'] == 'user' else '[|endofturn|]\n' -}}
        {%- endfor -%}
        {{- '[|assistant|]' if add_generation_prompt else '' -}}
        """#

    static let exaone4 = #"""
        {%- set hides_thoughts = true if skip_think is not defined else skip_think -%}
        {%- set no_thoughts = '<think>\n\n</think>\n\n' -%}
        {%- macro describe(tools) -%}
            {{- '# Available Tools\nYou can use none, one, or multiple of the following tools by calling them as functions to help with the user’s query.\nHere are the tools available to you in JSON format within <tool> and </tool> tags:\n' -}}
            {%- for tool in tools -%}
                {{- '<tool>' + (tool | tojson) + '</tool>\n' -}}
            {%- endfor -%}
            {{- '\nFor each function call you want to make, return a JSON object with function name and arguments within <tool_call> and </tool_call> tags, like:\n<tool_call>{"name": function_1_name, "arguments": {argument_1_name: argument_1_value, argument_2_name: argument_2_value}}</tool_call>\n<tool_call>{"name": function_2_name, "arguments": {...}}</tool_call>\n...\nNote that if no argument name is specified for a tool, you can just print the argument value directly, without the argument name or JSON formatting.' -}}
        {%- endmacro -%}
        {%- macro think(message, is_last) -%}
            {%- set thoughts = '' -%}
            {%- if '</think>' in message.content -%}
                {%- set thoughts = message.content.split('</think>')[0].strip() -%}
                {%- if thoughts.startswith('<think>') -%}
                    {%- set thoughts = thoughts[7:].strip() -%}
                {%- endif -%}
            {%- endif -%}
            {%- set thoughts = message.reasoning_content or thoughts -%}
            {%- if not hides_thoughts and is_last and (message.reasoning_content or '</think>' in message.content) -%}
                {{- '<think>\n' + thoughts + '\n</think>\n\n' -}}
            {%- else -%}
                {{- no_thoughts -}}
            {%- endif -%}
        {%- endmacro -%}
        {%- for message in messages -%}
            {%- if message.role not in ['user', 'assistant', 'system', 'tool'] -%}
                {{- raise_exception('unknown role: ' ~ message.role) -}}
            {%- endif -%}
            {%- if loop.first and tools and message.role != 'system' -%}
                {{- '[|system|]\n' + describe(tools) + '[|endofturn|]\n' -}}
            {%- endif -%}
            {%- if message.role == 'assistant' -%}
                {{- '[|assistant|]\n' -}}
                {%- if message.content -%}
                    {{- think(message, loop.last) -}}
                    {{- message.content.split('</think>')[-1].strip() if '</think>' in message.content else message.content -}}
                {%- endif -%}
                {%- if message.tool_calls -%}
                    {{- '\n' if message.content else no_thoughts -}}
                    {%- for given in message.tool_calls -%}
                        {%- set call = given.function if given.function is defined else given -%}
                        {%- set values = call.arguments if call.arguments is defined else call.parameters -%}
                        {%- if values is not defined -%}
                            {{- raise_exception('a call without arguments: ' ~ call) -}}
                        {%- endif -%}
                        {{- '<tool_call>{"name": "' ~ call.name ~ '", "arguments": ' ~ (values | tojson) ~ '}</tool_call>' -}}
                        {{- '' if loop.last else '\n' -}}
                    {%- endfor -%}
                {%- endif -%}
                {{- '[|endofturn|]\n' -}}
            {%- elif message.role == 'tool' -%}
                {{- '[|tool|]\n' if loop.first or messages[loop.index0 - 1].role != 'tool' else '' -}}
                {%- if message.content is defined -%}
                    {{- '<tool_result>{"result": ' + (message.content | tojson) + '}</tool_result>' -}}
                {%- endif -%}
                {{- '[|endofturn|]\n' if loop.last or messages[loop.index0 + 1].role != 'tool' else '\n' -}}
            {%- else -%}
                {{- '[|' + message.role + '|]\n' -}}
                {{- message.content -}}
                {{- '\n\n' + describe(tools) if loop.first and tools and message.role == 'system' else '' -}}
                {{- '[|endofturn|]\n' -}}
            {%- endif -%}
        {%- endfor -%}
        {%- if add_generation_prompt -%}
            {{- '[|assistant|]\n' + ('<think>\n' if enable_thinking is defined and enable_thinking is true else no_thoughts) -}}
        {%- endif -%}
        """#
}

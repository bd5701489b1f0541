// SPDX-License-Identifier: Apache-2.0
// Llama's templates from version 3 on.

/// Templates of Llama 3 and 4.
enum LlamaFamilies {
    static let llama3 = #"""
        {%- for message in messages -%}
            {{- bos_token if loop.first else '' -}}
            {{- '<|start_header_id|>' + message['role'] + '<|end_header_id|>\n\n' -}}
            {{- message['content'] | trim -}}
            {{- '<|eot_id|>' -}}
        {%- endfor -%}
        {{- '<|start_header_id|>assistant<|end_header_id|>\n\n' if add_generation_prompt else '' -}}
        """#

    static let llama3Vision =
        head("<|start_header_id|>", "<|end_header_id|>", "<|eot_id|>") + #"""
            {{- open + 'system' + close -}}
            {{- '' if tools is none else 'Environment: ipython\n' -}}
            {%- if date_string is defined -%}
                {%- set today = date_string -%}
            {%- else -%}
                {%- set today = strftime_now('%d %b %Y') -%}
            {%- endif -%}
            {{- 'Cutting Knowledge Date: December 2023\nToday Date: ' + today + '\n\n' -}}
            {{- describe(tools, 'You have access to the following functions. To call a function, please respond with JSON for a function call.') if tools is not none and not with_user else '' -}}
            {{- system + end -}}
            """# + toolsWithUser + #"""
            {%- for message in rest -%}
                {%- if 'tool_calls' in message -%}
                    {%- if message.tool_calls | length != 1 -%}
                        {{- raise_exception('this model makes one tool call at a time') -}}
                    {%- endif -%}
                    {%- set call = message.tool_calls[0].function -%}
                    {{- open + 'assistant' + close + '{"name": "' + call.name + '", "parameters": ' + (call.arguments | tojson) + '}' -}}
                {%- elif message.role in ['tool', 'ipython'] -%}
                    {{- open + 'ipython' + close -}}
                    {{- message.content | tojson -}}
                {%- else -%}
                    {{- open + message.role + close -}}
                    {{- message.content -}}
                {%- endif -%}
                {{- end -}}
            {%- endfor -%}
            {{- open + 'assistant' + close if add_generation_prompt else '' -}}
            """#

    static let llama4 =
        head("<|header_start|>", "<|header_end|>", "<|eot|>") + #"""
            {%- if messages[0]['role'] == 'system' -%}
                {{- open + 'system' + close -}}
                {{- '' if tools is none else 'Environment: ipython\n' -}}
                {{- describe(tools, 'You have access to the following functions. To call a function, please respond with JSON for a function call.') if tools is not none and not with_user else '' -}}
                {{- system + end -}}
            {%- endif -%}
            """# + toolsWithUser + #"""
            {%- for message in rest -%}
                {%- if message.tool_calls -%}
                    {{- open + 'assistant' + close + '<|python_start|>' -}}
                    {{- message.content if message.content is string else '' -}}
                    {{- '<|python_end|>' -}}
                    {%- for call in message.tool_calls -%}
                        {{- '{"name": "' + call.function.name + '", "parameters": ' + (call.function.arguments | tojson) + '}' -}}
                    {%- endfor -%}
                {%- elif message.role in ['tool', 'ipython'] -%}
                    {{- open + 'ipython' + close -}}
                    {{- message.content | tojson -}}
                {%- else -%}
                    {{- open + message.role + close -}}
                    {{- message.content -}}
                {%- endif -%}
                {{- end -}}
            {%- endfor -%}
            {{- open + 'assistant' + close if add_generation_prompt else '' -}}
            """#

    /// The marks, the system message, and how tools are described.
    private static func head(_ open: String, _ close: String, _ end: String) -> String {
        """
        {{- bos_token -}}
        {%- set open = '\(open)' -%}
        {%- set close = '\(close)\\n\\n' -%}
        {%- set end = '\(end)' -%}
        """ + #"""
            {%- set tools = custom_tools if custom_tools is defined else tools -%}
            {%- set tools = none if tools is not defined else tools -%}
            {%- set with_user = true if tools_in_user_message is not defined else tools_in_user_message -%}
            {%- set has_system = messages[0]['role'] == 'system' -%}
            {%- set system = messages[0]['content'] | trim if has_system else '' -%}
            {%- set rest = messages[1:] if has_system else messages -%}
            {%- macro describe(tools, sentence) -%}
                {{- sentence + 'Respond in the format {"name": function name, "parameters": dictionary of argument name and its value}.Do not use variables.\n\n' -}}
                {%- for tool in tools -%}
                    {{- (tool | tojson(indent=4)) + '\n\n' -}}
                {%- endfor -%}
            {%- endmacro -%}
            """#
    }

    /// Tools are described at the head of the first message.
    private static let toolsWithUser = #"""
        {%- if tools is not none and with_user -%}
            {%- if not rest -%}
                {{- raise_exception('tools are described in the first message, but there is none') -}}
            {%- endif -%}
            {{- open + 'user' + close -}}
            {{- describe(tools, 'Given the following functions, please respond with a JSON for a function call with its proper arguments that best answers the given prompt.\n\n') -}}
            {{- rest[0]['content'] | trim -}}
            {{- end -}}
            {%- set rest = rest[1:] -%}
        {%- endif -%}
        """#
}

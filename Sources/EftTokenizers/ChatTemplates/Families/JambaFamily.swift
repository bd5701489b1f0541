// SPDX-License-Identifier: Apache-2.0
// Jamba's template.

/// The template of Jamba models.
enum JambaFamily {
    static let jamba = #"""
        {%- set open = bom_str or '<|bom|>' -%}
        {%- set end = eom_str or '<|eom|>' -%}
        {%- set has_system = messages | length > 0 and messages[0].role == 'system' -%}
        {%- set rest = messages[1:] if has_system else messages -%}
        {%- set system = messages[0].content if has_system else '' -%}
        {{- '<|startoftext|>' + open + '<|system|> ' + (system or '') -}}
        {%- if tools -%}
            {{- ('\n\n' if system else '') + '<tool_definitions>\n# Tools\n\n## Functions' -}}
            {%- for tool in tools -%}
                {%- if tool.type is defined and tool.type is not none and tool.type != 'function' -%}
                    {{- raise_exception('a tool must be a function') -}}
                {%- endif -%}
                {{- '\n\n' + ((tool.function if tool.type else tool) | tojson(indent=2)) -}}
            {%- endfor -%}
            {{- '\n</tool_definitions>' -}}
        {%- endif -%}
        {%- for message in rest -%}
            {%- set content = message.content or '' -%}
            {{- end + open + '<|' + message.role + '|> ' -}}
            {{- '(' + message.name + ')' if message.name is defined and message.name is not none else '' -}}
            {{- content if content is string else content | tojson -}}
            {%- if message.role == 'assistant' and message.tool_calls -%}
                {{- '<tool_calls>[\n' -}}
                {%- for given in message.tool_calls -%}
                    {%- set call = given.function if given.function is defined else given -%}
                    {%- set values = call.arguments if call.arguments is string else call.arguments | tojson -%}
                    {{- '    {"name": "' + call.name + '", "arguments": ' + values + '}' + ('' if loop.last else ',\n') -}}
                {%- endfor -%}
                {{- '\n]</tool_calls>' -}}
            {%- endif -%}
            {%- if message.role == 'assistant' and message.citations -%}
                {{- '<citations>' + message.citations | map(attribute='document_id') | list | string + '</citations>' -}}
            {%- endif -%}
        {%- endfor -%}
        {{- end -}}
        {%- if add_generation_prompt -%}
            {{- open + '<|' + (role_to_predict or 'assistant') + '|>' -}}
            {{- ' ' + generation_preamble if generation_preamble and generation_preamble.strip() else '' -}}
        {%- endif -%}
        """#
}

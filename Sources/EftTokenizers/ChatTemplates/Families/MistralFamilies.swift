// SPDX-License-Identifier: Apache-2.0
// Mistral's templates by the version of their tokenizers.

/// Templates of Mistral models.
enum MistralFamilies {
    /// Parts a system message in front from the others.
    private static let head = #"""
        {%- set has_system = messages[0]['role'] == 'system' -%}
        {%- set rest = messages[1:] if has_system else messages -%}
        {%- set instruction = messages[0]['content'] + '\n\n' if has_system else '' -%}
        {{- bos_token -}}
        """#

    /// A round of user and assistant after the other, and nothing else.
    private static let alternate = #"""
        {%- for message in rest -%}
            {%- if (message['role'] == 'user') != (loop.index0 % 2 == 0) or message['role'] not in ['user', 'assistant'] -%}
                {{- raise_exception('after a system message, user and assistant must take turns, beginning with the user') -}}
            {%- endif -%}
        {%- endfor -%}
        """#

    static let v1 =
        head + alternate + #"""
            {%- for message in rest -%}
                {%- if message['role'] == 'user' -%}
                    {{- ' [INST] ' + (instruction if loop.first else '') + message['content'] + ' [/INST]' -}}
                {%- else -%}
                    {{- ' ' + (message['content'] or '') + eos_token -}}
                {%- endif -%}
            {%- endfor -%}
            """#

    static let pixtral =
        head + alternate + #"""
            {%- for message in rest -%}
                {%- if message['role'] == 'user' -%}
                    {{- '[INST]' + (instruction if loop.last else '') + message['content'] + '[/INST]' -}}
                {%- else -%}
                    {{- (message['content'] or '') + eos_token -}}
                {%- endif -%}
            {%- endfor -%}
            """#

    static let v2v3 = withTools(space: " ", answer: "' ' + message['content'] | trim")
    static let v3Tekken = withTools(space: "", answer: "message['content']")

    static let v7Tekken = #"""
        {{- bos_token -}}
        {%- if messages[0]['role'] != 'system' -%}
            {{- '[SYSTEM_PROMPT]You are Mistral Small 3, a Large Language Model (LLM) created by Mistral AI, a French startup headquartered in Paris.\nYour knowledge base was last updated on 2023-10-01. The current date is ' + strftime_now('%Y-%m-%d') + '.\n\nWhen you\'re not sure about some information, you say that you don\'t have the information and don\'t make up anything.\nIf the user\'s question is not clear, ambiguous, or does not provide enough context for you to accurately answer the question, you do not try to answer it right away and you rather ask the user to clarify their request (e.g. "What are some good restaurants around me?" => "Where are you?" or "When is the next flight to Tokyo" => "Where do you travel from?")[/SYSTEM_PROMPT]' -}}
        {%- endif -%}
        {%- for message in messages -%}
            {%- if message['role'] == 'user' -%}
                {{- '[INST]' + message['content'] + '[/INST]' -}}
            {%- elif message['role'] == 'system' -%}
                {{- '[SYSTEM_PROMPT]' + message['content'] + '[/SYSTEM_PROMPT]' -}}
            {%- elif message['role'] == 'assistant' -%}
                {{- (message['content'] or '') + eos_token -}}
            {%- else -%}
                {{- raise_exception('a message of the role ' + message['role'] + ' may not stand here') -}}
            {%- endif -%}
        {%- endfor -%}
        """#

    /// Tools stand before the last message of the user, the system message within a user's message at the end.
    private static func withTools(space: String, answer: String) -> String {
        head + "{%- set space = '\(space)' -%}" + #"""
            {%- set state = namespace(round=0, last_user=-1) -%}
            {%- for message in rest -%}
                {%- if message.role == 'user' -%}
                    {%- set state.last_user = loop.index0 -%}
                {%- endif -%}
                {%- if message.role not in ['tool', 'tool_results'] and message.tool_calls is not defined -%}
                    {%- if (message.role == 'user') != (state.round % 2 == 0) -%}
                        {{- raise_exception('after a system message, user and assistant must take turns, beginning with the user') -}}
                    {%- endif -%}
                    {%- set state.round = state.round + 1 -%}
                {%- endif -%}
            {%- endfor -%}
            {%- macro identify(id) -%}
                {%- if id is not defined or id | length != 9 -%}
                    {{- raise_exception('the id of a tool call must have 9 letters and digits') -}}
                {%- endif -%}
                {{- id -}}
            {%- endmacro -%}
            {%- for message in rest -%}
                {%- if message.role == 'user' -%}
                    {%- if tools and loop.index0 == state.last_user -%}
                        {{- '[AVAILABLE_TOOLS]' + space + '[' -}}
                        {%- for tool in tools -%}
                            {{- '{"type": "function", "function": {' -}}
                            {%- for key, value in tool.function.items() if key != 'return' -%}
                                {{- '"' + key + '": ' + ('"' + value + '"' if value is string else value | tojson) -}}
                                {{- '' if loop.last else ', ' -}}
                            {%- endfor -%}
                            {{- '}}' + (']' if loop.last else ', ') -}}
                        {%- endfor -%}
                        {{- '[/AVAILABLE_TOOLS]' -}}
                    {%- endif -%}
                    {{- '[INST]' + space + (instruction if loop.last else '') + message['content'] + '[/INST]' -}}
                {%- elif message.tool_calls is defined -%}
                    {{- '[TOOL_CALLS]' + space + '[' -}}
                    {%- for call in message.tool_calls -%}
                        {{- (call.function | tojson)[:-1] + ', "id": "' + identify(call.id) + '"}' -}}
                        {{- ']' + eos_token if loop.last else ', ' -}}
                    {%- endfor -%}
                {%- elif message.role == 'assistant' -%}
            """# + "{{- (\(answer)) + eos_token -}}" + #"""
                    {%- elif message.role in ['tool', 'tool_results'] -%}
                        {%- set content = message.content.content if message.content is mapping else message.content -%}
                        {{- '[TOOL_RESULTS]' + space + '{"content": ' + content | string + ', "call_id": "' -}}
                        {{- identify(message.tool_call_id) + '"}[/TOOL_RESULTS]' -}}
                    {%- else -%}
                        {{- raise_exception('a message of the role ' + message.role + ' may not stand here') -}}
                    {%- endif -%}
                {%- endfor -%}
                """#
    }
}

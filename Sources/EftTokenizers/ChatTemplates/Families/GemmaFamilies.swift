// SPDX-License-Identifier: Apache-2.0
// Gemma's templates.

/// Templates of Gemma models.
enum GemmaFamilies {
    /// Rounds of user and model, the first of which may begin with an instruction.
    private static let rounds = #"""
        {%- for message in rest -%}
            {%- if (message['role'] == 'user') != (loop.index0 % 2 == 0) -%}
                {{- raise_exception('user and assistant must take turns, beginning with the user') -}}
            {%- endif -%}
            {{- '<start_of_turn>' + ('model' if message['role'] == 'assistant' else message['role']) + '\n' -}}
            {{- (instruction if loop.first else '') + (message['content'] or '') | trim -}}
            {{- '<end_of_turn>\n' -}}
        {%- endfor -%}
        {{- '<start_of_turn>model\n' if add_generation_prompt else '' -}}
        """#

    static let gemma =
        #"""
        {{- bos_token -}}
        {%- if messages[0]['role'] == 'system' -%}
            {{- raise_exception('this model takes no system message') -}}
        {%- endif -%}
        {%- set rest = messages -%}
        {%- set instruction = '' -%}
        """# + rounds

    static let gemma3 =
        #"""
        {{- bos_token -}}
        {%- set has_system = messages[0]['role'] == 'system' -%}
        {%- set rest = messages[1:] if has_system else messages -%}
        {%- set instruction = messages[0]['content'] + '\n\n' if has_system else '' -%}
        """# + rounds

    static let gemma4 = gemma4Tools + gemma4Messages

    /// Values, schemas and results in Gemma 4's own notation.
    private static let gemma4Tools = #"""
        {%- macro quote(text) -%}{{- '<|"|>' ~ text ~ '<|"|>' -}}{%- endmacro -%}
        {%- macro value(given, quotes_keys=true) -%}
            {%- if given is string -%}
                {{- quote(given) -}}
            {%- elif given is boolean -%}
                {{- 'true' if given else 'false' -}}
            {%- elif given is mapping -%}
                {{- '{' -}}
                {%- for key, item in given | dictsort -%}
                    {{- (quote(key) if quotes_keys else key) + ':' + value(item, quotes_keys) + ('' if loop.last else ',') -}}
                {%- endfor -%}
                {{- '}' -}}
            {%- elif given is sequence -%}
                {{- '[' -}}
                {%- for item in given -%}
                    {{- value(item, quotes_keys) + ('' if loop.last else ',') -}}
                {%- endfor -%}
                {{- ']' -}}
            {%- else -%}
                {{- given -}}
            {%- endif -%}
        {%- endmacro -%}
        {%- macro names(list) -%}
            {{- '[' -}}
            {%- for name in list -%}{{- quote(name) + ('' if loop.last else ',') -}}{%- endfor -%}
            {{- ']' -}}
        {%- endmacro -%}
        {%- macro items(schema) -%}
            {%- set state = namespace(comma='') -%}
            {%- for key, given in schema | dictsort if given is not none -%}
                {{- state.comma -}}
                {%- set state.comma = ',' -%}
                {%- if key == 'properties' -%}
                    {{- 'properties:{' + (properties(given) if given is mapping else '') + '}' -}}
                {%- elif key == 'required' -%}
                    {{- 'required:' + names(given) -}}
                {%- elif key == 'type' -%}
                    {{- 'type:' + value(given | upper if given is string else given | map('upper') | list) -}}
                {%- else -%}
                    {{- key + ':' + value(given) -}}
                {%- endif -%}
            {%- endfor -%}
        {%- endmacro -%}
        {%- macro properties(schemas, skips=false) -%}
            {%- set state = namespace(comma='') -%}
            {%- for key, schema in schemas | dictsort if not skips or key not in ['description', 'type', 'properties', 'required', 'nullable'] -%}
                {%- set type = schema['type'] | upper -%}
                {{- state.comma + key + ':{' -}}
                {%- set state.comma = ',' -%}
                {{- 'description:' + quote(schema['description']) + ',' if schema['description'] else '' -}}
                {%- if type == 'STRING' and schema['enum'] -%}
                    {{- 'enum:' + value(schema['enum']) + ',' -}}
                {%- elif type == 'ARRAY' and schema['items'] is mapping and schema['items'] -%}
                    {{- 'items:{' + items(schema['items']) + '},' -}}
                {%- endif -%}
                {{- 'nullable:true,' if schema['nullable'] else '' -}}
                {%- if type == 'OBJECT' -%}
                    {%- if schema['properties'] is mapping -%}
                        {{- 'properties:{' + properties(schema['properties']) + '},' -}}
                    {%- else -%}
                        {{- 'properties:{' + properties(schema, true) + '},' -}}
                    {%- endif -%}
                    {{- 'required:' + names(schema['required']) + ',' if schema['required'] else '' -}}
                {%- endif -%}
                {{- 'type:' + quote(type) + '}' -}}
            {%- endfor -%}
        {%- endmacro -%}
        {%- macro declare(function) -%}
            {%- set schema = function['parameters'] -%}
            {{- 'declaration:' + function['name'] + '{description:' + quote(function['description']) -}}
            {%- if schema -%}
                {{- ',parameters:{' -}}
                {{- 'properties:{' + properties(schema['properties']) + '},' if schema['properties'] else '' -}}
                {{- 'required:' + names(schema['required']) + ',' if schema['required'] else '' -}}
                {{- 'type:' + quote(schema['type'] | upper) + '}' if schema['type'] else '' -}}
            {%- endif -%}
            {%- if 'response' in function -%}
                {%- set answer = function['response'] -%}
                {{- ',response:{' -}}
                {{- 'description:' + quote(answer['description']) + ',' if answer['description'] else '' -}}
                {{- 'type:' + quote(answer['type'] | upper) + '}' if answer['type'] | upper == 'OBJECT' else '' -}}
            {%- endif -%}
            {{- '}' -}}
        {%- endmacro -%}
        {%- macro result(name, given) -%}
            {{- '<|tool_response>response:' + name + '{' -}}
            {%- if given is mapping -%}
                {%- for key, item in given | dictsort -%}
                    {{- key + ':' + value(item, false) + ('' if loop.last else ',') -}}
                {%- endfor -%}
            {%- else -%}
                {{- 'value:' + value(given, false) -}}
            {%- endif -%}
            {{- '}<tool_response|>' -}}
        {%- endmacro -%}
        """#

    /// Messages; results of tools stand within the turn that called them.
    private static let gemma4Messages = #"""
        {%- macro spoken(text) -%}
            {%- set state = namespace(text='') -%}
            {%- for part in text.split('<channel|>') -%}
                {%- set state.text = state.text + part.split('<|channel>')[0] -%}
            {%- endfor -%}
            {{- state.text | trim -}}
        {%- endmacro -%}
        {%- set thinks = enable_thinking is defined and enable_thinking -%}
        {%- set has_system = messages[0]['role'] in ['system', 'developer'] -%}
        {%- set rest = messages[1:] if has_system else messages -%}
        {{- bos_token -}}
        {%- if thinks or tools or has_system -%}
            {{- '<|turn>system\n' + ('<|think|>\n' if thinks else '') + (messages[0]['content'] | trim if has_system else '') -}}
            {%- for tool in tools or [] -%}
                {{- '<|tool>' + declare(tool['function']) | trim + '<tool|>' -}}
            {%- endfor -%}
            {{- '<turn|>\n' -}}
        {%- endif -%}
        {%- set state = namespace(last_user=-1, speaker='', ending='') -%}
        {%- for place in range(rest | length) if rest[place]['role'] == 'user' -%}
            {%- set state.last_user = place -%}
        {%- endfor -%}
        {%- for place in range(rest | length) if rest[place]['role'] != 'tool' -%}
            {%- set message = rest[place] -%}
            {%- set is_model = message['role'] in ['assistant', 'model'] -%}
            {{- '' if is_model and state.speaker == 'assistant' else '<|turn>' + ('model' if message['role'] == 'assistant' else message['role']) + '\n' -}}
            {%- set state.speaker = message['role'] -%}
            {%- set state.ending = '' -%}
            {%- set thoughts = message.get('reasoning') or message.get('reasoning_content') -%}
            {%- if thoughts and place > state.last_user and message.get('tool_calls') -%}
                {{- '<|channel>thought\n' + thoughts + '\n<channel|>' -}}
            {%- endif -%}
            {%- for call in message['tool_calls'] or [] -%}
                {%- set given = call['function']['arguments'] -%}
                {{- '<|tool_call>call:' + call['function']['name'] + '{' -}}
                {%- if given is mapping -%}
                    {%- for key, item in given | dictsort -%}
                        {{- key + ':' + value(item, false) + ('' if loop.last else ',') -}}
                    {%- endfor -%}
                {%- elif given is string -%}
                    {{- given -}}
                {%- endif -%}
                {{- '}<tool_call|>' -}}
                {%- set state.ending = 'call' -%}
            {%- endfor -%}
            {%- if message.get('tool_responses') -%}
                {%- for answer in message['tool_responses'] -%}
                    {{- result(answer['name'] | default('unknown'), answer['response']) -}}
                    {%- set state.ending = 'result' -%}
                {%- endfor -%}
            {%- elif message.get('tool_calls') -%}
                {%- set scan = namespace(stopped=false) -%}
                {%- for answer in rest[place + 1:] -%}
                    {%- set scan.stopped = scan.stopped or answer['role'] != 'tool' -%}
                    {%- if not scan.stopped -%}
                        {%- set scan.name = answer.get('name') | default('unknown') -%}
                        {%- for call in message['tool_calls'] if call.get('id') == answer.get('tool_call_id') -%}
                            {%- set scan.name = call['function']['name'] -%}
                        {%- endfor -%}
                        {{- result(scan.name, answer.get('content')) -}}
                        {%- set state.ending = 'result' -%}
                    {%- endif -%}
                {%- endfor -%}
            {%- endif -%}
            {%- set said = '' -%}
            {%- if message['content'] is string -%}
                {%- set said = spoken(message['content']) if is_model else message['content'] | trim -%}
            {%- endif -%}
            {{- said -}}
            {%- if state.ending == 'call' -%}
                {{- '<|tool_response>' -}}
            {%- elif state.ending != 'result' or said | trim -%}
                {{- '<turn|>\n' -}}
            {%- endif -%}
        {%- endfor -%}
        {%- if add_generation_prompt and not state.ending -%}
            {{- '<|turn>model\n' + ('' if thinks else '<|channel>thought\n<channel|>') -}}
        {%- endif -%}
        """#
}

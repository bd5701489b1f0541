// SPDX-License-Identifier: Apache-2.0
// What the text of an answer is to a chat: content, reasoning, calls of tools.
import EftConfig

/// A call of a tool, or a part of one.
struct ToolCallPart: Sendable, Hashable {
    /// The number of the call in its message.
    let index: Int
    /// With the first part only.
    var id: String?
    var name: String?
    /// A part of the arguments' JSON text.
    var arguments: String
}

/// What a piece of text adds to a message.
struct ChatDelta: Sendable, Hashable {
    var content = ""
    var reasoning = ""
    var calls: [ToolCallPart] = []

    var isEmpty: Bool { content.isEmpty && reasoning.isEmpty && calls.isEmpty }

    /// The fields that a stream sends.
    var node: ConfigObject {
        var object = ConfigObject()
        if !reasoning.isEmpty { object["reasoning"] = ConfigNode(reasoning) }
        if !content.isEmpty { object["content"] = ConfigNode(content) }
        if !calls.isEmpty { object["tool_calls"] = ConfigNode(calls.map(\.streamed)) }
        return object
    }
}

extension ToolCallPart {
    fileprivate var streamed: ConfigNode {
        var function = ConfigObject()
        if let name { function["name"] = ConfigNode(name) }
        function["arguments"] = ConfigNode(arguments)
        var object: ConfigObject = ["index": ConfigNode(index)]
        if let id {
            object["id"] = ConfigNode(id)
            object["type"] = "function"
        }
        object["function"] = ConfigNode(function)
        return ConfigNode(object)
    }
}

/// A message as it has grown so far.
struct ChatMessage: Sendable {
    var content = ""
    var reasoning = ""
    var calls: [ToolCallPart] = []

    mutating func add(_ delta: ChatDelta) {
        content += delta.content
        reasoning += delta.reasoning
        for part in delta.calls {
            if part.index < calls.count {
                calls[part.index].arguments += part.arguments
            } else {
                calls.append(part)
            }
        }
    }

    /// The message of an answer that is not streamed.
    var node: ConfigNode {
        var object: ConfigObject = [
            "role": "assistant",
            "content": content.isEmpty && !calls.isEmpty ? .null : ConfigNode(content),
            "refusal": .null, "annotations": .null, "audio": .null, "function_call": .null,
        ]
        if !calls.isEmpty {
            object["tool_calls"] = ConfigNode(
                calls.map { call in
                    [
                        "id": ConfigNode(call.id ?? ""), "type": "function",
                        "function": [
                            "name": ConfigNode(call.name ?? ""),
                            "arguments": ConfigNode(call.arguments),
                        ],
                    ]
                })
        }
        object["reasoning"] = reasoning.isEmpty ? .null : ConfigNode(reasoning)
        return ConfigNode(object)
    }
}

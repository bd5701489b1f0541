// SPDX-License-Identifier: Apache-2.0
// Messages of a request in the form that templates expect.

import EftConfig

/// What is done to messages before a template sees them.
enum ChatMessages {
    /// Messages with contents in one form, arguments of calls as mappings, and thoughts under both of their names.
    /// - Throws: `ChatTemplateError` (`request`).
    static func prepared(
        _ messages: [ConfigNode], format: ChatContentFormat
    ) throws(ChatTemplateError) -> [ConfigNode] {
        guard !messages.isEmpty else {
            throw ChatTemplateError(.request, "there are no messages; give at least one")
        }
        var result: [ConfigNode] = []
        result.reserveCapacity(messages.count)
        for (place, message) in messages.enumerated() {
            let name = "messages[\(place)]"
            guard case .object(var object) = message.value else {
                throw ChatTemplateError(.request, "\(name) is not a mapping")
            }
            guard case .string(let role)? = object["role"]?.value else {
                throw ChatTemplateError(.request, "\(name) has no role")
            }
            if let content = object["content"] {
                object["content"] = try Self.content(content, format, name)
            }
            if role == "assistant" {
                try prepareCalls(&object, name)
                prepareThoughts(&object)
            }
            result.append(ConfigNode(object))
        }
        return result
    }

    // MARK: Contents

    private static func content(
        _ content: ConfigNode, _ format: ChatContentFormat, _ name: String
    ) throws(ChatTemplateError) -> ConfigNode {
        switch (content.value, format) {
        case (_, .given), (_, .automatic), (.null, _), (.string, .string): return content
        case (.string(let text), .parts): return [["type": "text", "text": ConfigNode(text)]]
        case (.array(let parts), .string):
            var texts: [String] = []
            for (place, part) in parts.enumerated() {
                texts.append(try text(of: part, "\(name).content[\(place)]"))
            }
            return ConfigNode(texts.joined(separator: "\n"))
        case (.array(let parts), .parts):
            var result: [ConfigNode] = []
            for (place, part) in parts.enumerated() {
                let text = try text(of: part, "\(name).content[\(place)]")
                result.append(["type": "text", "text": ConfigNode(text)])
            }
            return ConfigNode(result)
        default:
            throw ChatTemplateError(
                .request, "\(name).content is neither a text nor a list of parts")
        }
    }

    /// The text of a part; images and sounds are refused, for no model here takes them.
    private static func text(
        of part: ConfigNode, _ name: String
    ) throws(ChatTemplateError) -> String {
        if case .string(let text) = part.value { return text }
        guard case .object(let object) = part.value else {
            throw ChatTemplateError(.request, "\(name) is neither a text nor a mapping")
        }
        var type = "text"
        if case .string(let given)? = object["type"]?.value { type = given }
        guard ["text", "input_text", "output_text", "refusal"].contains(type) else {
            throw ChatTemplateError(
                .request, "\(name) is of type '\(excerpt(type))'; this model takes text alone")
        }
        guard case .string(let text)? = (object["text"] ?? object[type])?.value else {
            throw ChatTemplateError(.request, "\(name) has no text")
        }
        return text
    }

    // MARK: Assistant messages

    /// Arguments come as JSON text; templates expect what it says.
    private static func prepareCalls(
        _ message: inout ConfigObject, _ name: String
    ) throws(ChatTemplateError) {
        guard let node = message["tool_calls"] else { return }
        let calls: [ConfigNode]
        switch node.value {
        case .null: calls = []
        case .array(let items): calls = items
        default: throw ChatTemplateError(.request, "\(name).tool_calls is not a list")
        }
        // Templates ask whether there are calls, not how many.
        if calls.isEmpty {
            message["tool_calls"] = nil
            return
        }
        var prepared: [ConfigNode] = []
        for (place, call) in calls.enumerated() {
            prepared.append(try Self.call(call, "\(name).tool_calls[\(place)]"))
        }
        message["tool_calls"] = ConfigNode(prepared)
    }

    private static func call(
        _ call: ConfigNode, _ name: String
    ) throws(ChatTemplateError) -> ConfigNode {
        guard case .object(var object) = call.value,
            case .object(var function)? = object["function"]?.value
        else { throw ChatTemplateError(.request, "\(name) has no function") }
        switch function["arguments"]?.value {
        case .object?, .array?: return call
        case nil, .null?: function["arguments"] = ConfigNode(ConfigObject())
        case .string(let text)?:
            function["arguments"] = try arguments(text, "\(name).function.arguments")
        default:
            throw ChatTemplateError(.request, "\(name).function.arguments is no JSON text")
        }
        object["function"] = ConfigNode(function)
        return ConfigNode(object)
    }

    private static func arguments(
        _ text: String, _ name: String
    ) throws(ChatTemplateError) -> ConfigNode {
        if text.isEmpty { return ConfigNode(ConfigObject()) }
        do {
            return try JSONParser.parse(text, maximumDepth: 64)
        } catch {
            throw ChatTemplateError(.request, "\(name) is not valid JSON: \(error.message)")
        }
    }

    /// Thoughts are called `reasoning` here and `reasoning_content` there; templates find both.
    private static func prepareThoughts(_ message: inout ConfigObject) {
        let pair = ["reasoning", "reasoning_content"]
        for (name, other) in [(pair[0], pair[1]), (pair[1], pair[0])] {
            guard let text = message[name], text != .null else { continue }
            if message[other] == nil || message[other] == .null { message[other] = text }
        }
    }
}

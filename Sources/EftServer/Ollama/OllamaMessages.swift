// SPDX-License-Identifier: Apache-2.0
// From Ollama's messages to those that chat templates render.
import EftConfig

/// Messages of a chat.
enum OllamaMessages {
    /// The messages of a request in the form that templates know.
    /// - Throws: `HTTPFailure` (400).
    static func read(_ items: [ConfigNode]) throws(HTTPFailure) -> [ConfigNode] {
        var messages: [ConfigNode] = []
        for (place, item) in items.enumerated() {
            let message = try RequestFields(item, path: "messages[\(place)]")
            messages.append(ConfigNode(try read(message)))
        }
        return messages
    }

    private static func read(_ message: RequestFields) throws(HTTPFailure) -> ConfigObject {
        guard let role = try message.string("role") else {
            throw message.failure("role", "is missing")
        }
        try message.refuseImages()
        var object: ConfigObject = [
            "role": ConfigNode(role),
            "content": ConfigNode(try message.string("content") ?? ""),
        ]
        if let thinking = try message.string("thinking"), !thinking.isEmpty {
            object["reasoning_content"] = ConfigNode(thinking)
        }
        let (newer, older) = (try message.string("tool_name"), try message.string("name"))
        if let name = newer ?? older { object["name"] = ConfigNode(name) }
        if let id = try message.string("tool_call_id") { object["tool_call_id"] = ConfigNode(id) }
        if let calls = try message.array("tool_calls"), !calls.isEmpty {
            object["tool_calls"] = ConfigNode(try read(calls: calls, message))
        }
        return object
    }

    private static func read(
        calls: [ConfigNode], _ message: RequestFields
    ) throws(HTTPFailure) -> [ConfigNode] {
        var result: [ConfigNode] = []
        for (place, item) in calls.enumerated() {
            let call = try RequestFields(item, path: message.name("tool_calls[\(place)]"))
            guard let function = try call.fields("function"),
                let name = try function.string("name")
            else { throw call.failure("function", "must have a name") }
            var object: ConfigObject = ["type": "function"]
            if let id = try call.string("id") { object["id"] = ConfigNode(id) }
            let arguments = try function.fields("arguments")?.object ?? ConfigObject()
            object["function"] = [
                "name": ConfigNode(name), "arguments": ConfigNode(arguments),
            ]
            result.append(ConfigNode(object))
        }
        return result
    }

    /// Whether the model goes on with the last message, as Ollama's templates let it: one of the assistant's that says
    /// something and calls nothing.
    static func continuesLast(_ messages: [ConfigNode]) -> Bool {
        guard case .object(let last)? = messages.last?.value, last["role"] == "assistant",
            last["tool_calls"] == nil, case .string(let text)? = last["content"]?.value
        else { return false }
        return !text.isEmpty
    }

    /// The body from which a prompt is made.
    static func body(
        _ messages: [ConfigNode], tools: ConfigNode? = nil, template: String? = nil,
        arguments: ConfigObject
    ) -> ConfigNode {
        var body: ConfigObject = ["messages": ConfigNode(messages)]
        // An empty list is as good as none here.
        if let tools, tools.value != .array([]) { body["tools"] = tools }
        if continuesLast(messages) { body["continue_final_message"] = true }
        if let template { body["chat_template"] = ConfigNode(template) }
        body["chat_template_kwargs"] = ConfigNode(arguments)
        return ConfigNode(body)
    }

    // MARK: Chats that are too long

    /// The prompt of a chat; where it has too many tokens, without the oldest messages, as few as may be.
    ///
    /// System messages and the last one stay, as with Ollama.
    /// - Parameter most: tokens of the prompt; nil to drop nothing.
    /// - Throws: `HTTPFailure` for messages that cannot be rendered. A prompt that is too long with one message is returned.
    static func prompt(
        _ messages: [ConfigNode], tools: ConfigNode?, arguments: ConfigObject, most: Int?,
        _ model: ServedModel
    ) throws(HTTPFailure) -> ChatPrompt {
        func rendered(from first: Int) throws(HTTPFailure) -> ChatPrompt {
            let kept = messages.enumerated().filter { $0.offset >= first || isSystem($0.element) }
            return try ChatPrompt(
                RequestFields(body(kept.map(\.element), tools: tools, arguments: arguments)), model)
        }
        guard let most else { return try rendered(from: 0) }
        do {
            let whole = try rendered(from: 0)
            if whole.tokens.count <= most { return whole }
        } catch {
            // A text that is too long to be read at all; other failures do not depend on what is dropped.
            guard messages.count > 1 else { throw error }
        }
        var (low, high) = (1, max(1, messages.count - 1))
        while low < high {
            let middle = (low + high) / 2
            let fits = (try? rendered(from: middle)).map { $0.tokens.count <= most } ?? false
            if fits { high = middle } else { low = middle + 1 }
        }
        // A template may refuse a chat that begins with an answer.
        for first in low..<max(low, messages.count - 1) {
            if let found = try? rendered(from: first), found.tokens.count <= most { return found }
        }
        return try rendered(from: max(0, messages.count - 1))
    }

    private static func isSystem(_ message: ConfigNode) -> Bool {
        guard case .object(let object) = message.value else { return false }
        return object["role"] == "system"
    }
}

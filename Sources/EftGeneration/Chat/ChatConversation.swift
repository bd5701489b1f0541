// SPDX-License-Identifier: Apache-2.0
// What was said in a chat.
import EftConfig

/// A conversation: a system prompt, and questions with their answers.
package struct ChatConversation: Sendable, Hashable {
    /// A question and what was answered.
    package struct Turn: Sendable, Hashable {
        /// What the user said.
        package var question: String
        /// What the model said; nil while it has not.
        package var answer: String?
        /// What it thought before; empty without thoughts.
        package var thoughts: String

        /// Makes a turn.
        package init(question: String, answer: String? = nil, thoughts: String = "") {
            self.question = question
            self.answer = answer
            self.thoughts = thoughts
        }
    }

    /// What the model is told first; nil for nothing of ours, which leaves the word to the model's template.
    package var system: String?
    /// The turns, the oldest first.
    package var turns: [Turn]

    /// Makes a conversation.
    package init(system: String? = nil, turns: [Turn] = []) {
        self.system = system
        self.turns = turns
    }

    /// The messages as templates take them, without the oldest turns.
    package func messages(droppingTurns count: Int = 0) -> [ConfigNode] {
        var messages: [ConfigNode] = []
        if let system { messages.append(Self.message("system", system)) }
        for turn in turns.dropFirst(count) {
            messages.append(Self.message("user", turn.question))
            guard let answer = turn.answer else { continue }
            var message: ConfigObject = ["role": "assistant", "content": ConfigNode(answer)]
            if !turn.thoughts.isEmpty { message["reasoning_content"] = ConfigNode(turn.thoughts) }
            messages.append(ConfigNode(message))
        }
        return messages
    }

    private static func message(_ role: String, _ text: String) -> ConfigNode {
        ["role": ConfigNode(role), "content": ConfigNode(text)]
    }

    // MARK: Files

    /// The conversation as a JSON document with the messages in OpenAI's form.
    package var document: ConfigNode { ["messages": ConfigNode(messages())] }

    /// Reads such a document, or the list of messages alone.
    ///
    /// The system prompt comes first, when there is one, and then questions and answers in turn; the last question may be
    /// without an answer.
    /// - Throws: `ConfigError` naming the message at fault.
    package init(document: ConfigCursor) throws(ConfigError) {
        var list = document
        if case .object = document.node.value { list = try document.required("messages") }
        self.init()
        for (place, message) in try list.elements().enumerated() {
            let role = try message.required("role")
            let content = try message.required("content").string()
            switch try role.string() {
            case "system" where place == 0: system = content
            case "user" where turns.last.map({ $0.answer != nil }) ?? true:
                turns.append(Turn(question: content))
            case "assistant" where turns.last.map({ $0.answer == nil }) ?? false:
                turns[turns.count - 1].answer = content
                for key in ["reasoning_content", "reasoning"] {
                    guard let thoughts = try message.optional(key) else { continue }
                    turns[turns.count - 1].thoughts = try thoughts.string()
                }
            case let other:
                throw role.error(
                    .badValue,
                    "a message of '\(excerpt(other))' cannot stand here; a chat is a system prompt, then user and "
                        + "assistant in turn")
            }
        }
    }
}

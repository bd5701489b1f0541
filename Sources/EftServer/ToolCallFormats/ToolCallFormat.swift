// SPDX-License-Identifier: Apache-2.0
// What a family's way of writing tool calls must offer.

import EftConfig
import EftGeneration

/// A way in which models write calls of tools into their text.
package protocol ToolCallFormat: Sendable {
    /// The name by which users choose it.
    static var name: String { get }
    /// Marks of which a chat template of this format has at least one.
    static var templateMarks: [String] { get }

    /// Makes the format.
    init()

    /// A reader of one answer.
    /// - Parameters:
    ///   - tools: the tools that the model was told of.
    ///   - makeID: an id for each call.
    func parser(
        tools: [ToolDefinition], makeID: @escaping @Sendable () -> String
    ) -> any ToolCallParser

    /// What the whole text must be so that it calls at least one of the tools.
    /// - Parameters:
    ///   - tools: the tools that may be called; one for a named choice.
    ///   - allowsSeveral: whether there may be more than one call.
    func constraint(tools: [ToolDefinition], allowsSeveral: Bool) -> ConstraintSpecification
}

/// Reads the text of one answer as it comes. In whatever pieces it comes, the parts of what is found are the same.
package protocol ToolCallParser: Sendable {
    /// Takes the next piece of text.
    mutating func add(_ text: String) -> [ToolCallEvent]

    /// Ends the text.
    /// - Parameter isCut: whether the model was stopped before it was done; then an open call stays open.
    mutating func finish(isCut: Bool) -> [ToolCallEvent]
}

/// A part of what was found in an answer.
package enum ToolCallEvent: Sendable, Hashable {
    /// Text for the user.
    case content(String)
    /// A call begins; calls are counted from 0.
    case call(index: Int, id: String, name: String)
    /// More of a call's arguments, which together are JSON text.
    case arguments(index: Int, String)
}

/// A tool that a model may call.
package struct ToolDefinition: Sendable, Equatable {
    /// The function's name.
    package let name: String
    /// The JSON schema of its arguments; nil when it takes none.
    package let parameters: ConfigNode?

    /// Makes a definition.
    package init(name: String, parameters: ConfigNode? = nil) {
        self.name = name
        self.parameters = parameters
    }
}

/// What an answer holds altogether.
package struct ToolCallAnswer: Sendable, Hashable {
    /// A whole call.
    package struct Call: Sendable, Hashable {
        package let id: String
        package let name: String
        /// JSON text.
        package fileprivate(set) var arguments: String
    }

    /// The text for the user.
    package private(set) var content = ""
    /// The calls in their order.
    package private(set) var calls: [Call] = []

    /// Makes an empty answer.
    package init() {}

    /// Adds what was found.
    package mutating func add(_ events: [ToolCallEvent]) {
        for event in events {
            switch event {
            case .content(let text): content += text
            case .call(_, let id, let name): calls.append(Call(id: id, name: name, arguments: ""))
            case .arguments(let index, let text):
                if calls.indices.contains(index) { calls[index].arguments += text }
            }
        }
    }
}

extension ToolCallFormat {
    /// What a whole text holds.
    package func answer(
        in text: String, tools: [ToolDefinition], isCut: Bool = false,
        makeID: @escaping @Sendable () -> String
    ) -> ToolCallAnswer {
        var parser = parser(tools: tools, makeID: makeID)
        var answer = ToolCallAnswer()
        answer.add(parser.add(text))
        answer.add(parser.finish(isCut: isCut))
        return answer
    }
}

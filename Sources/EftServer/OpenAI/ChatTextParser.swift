// SPDX-License-Identifier: Apache-2.0
// Divides an answer's text into thoughts, calls and what is said.
import EftConfig
import EftGeneration

/// Divides the text of one answer as it grows.
struct ChatTextParser: Sendable {
    private var reasoning: ReasoningSplitter?
    private var calls: (any ToolCallParser)?
    private let keepsReasoning: Bool
    private let keepsAllCalls: Bool

    init(_ request: ChatRequest, _ model: ServedModel) {
        self.init(
            after: request.prompt.text, request.tools, keepsReasoning: request.includesReasoning,
            model)
    }

    /// - Parameter prompt: the text before the answer, which may end inside thoughts; nil to leave thoughts in the text.
    init(
        after prompt: String?, _ tools: ToolChoice, keepsReasoning: Bool, _ model: ServedModel
    ) {
        reasoning = prompt.flatMap { model.options.reasoning?.splitter(after: $0) }
        self.keepsReasoning = keepsReasoning
        keepsAllCalls = tools.allowsSeveral
        calls = tools.format?.parser(tools: tools.definitions) { AnswerHead.randomID("call_") }
    }

    /// Whether the text so far ends inside thoughts.
    var isReasoning: Bool { reasoning?.isInside ?? false }

    /// What a further piece adds.
    mutating func append(_ text: String) -> ChatDelta {
        var delta = ChatDelta()
        guard var splitter = reasoning else {
            say(text, &delta)
            return delta
        }
        let parts = splitter.add(text)
        reasoning = splitter
        add(parts, &delta)
        return delta
    }

    /// What was held back.
    /// - Parameter isCut: whether the model was stopped before it was done.
    mutating func finish(isCut: Bool) -> ChatDelta {
        var delta = ChatDelta()
        if var splitter = reasoning {
            add(splitter.finish(), &delta)
            reasoning = splitter
        }
        if var parser = calls {
            add(parser.finish(isCut: isCut), &delta)
            calls = parser
        }
        return delta
    }

    private mutating func add(_ parts: [ReasoningPart], _ delta: inout ChatDelta) {
        for part in parts {
            switch part {
            case .reasoning(let text): if keepsReasoning { delta.reasoning += text }
            case .content(let text): say(text, &delta)
            }
        }
    }

    private mutating func say(_ text: String, _ delta: inout ChatDelta) {
        guard var parser = calls else {
            delta.content += text
            return
        }
        add(parser.add(text), &delta)
        calls = parser
    }

    private func add(_ events: [ToolCallEvent], _ delta: inout ChatDelta) {
        for event in events {
            switch event {
            case .content(let text): delta.content += text
            case .call(let index, let id, let name):
                guard keepsAllCalls || index == 0 else { continue }
                delta.calls.append(ToolCallPart(index: index, id: id, name: name, arguments: ""))
            case .arguments(let index, let text):
                guard keepsAllCalls || index == 0 else { continue }
                if delta.calls.last?.index == index {
                    delta.calls[delta.calls.count - 1].arguments += text
                } else {
                    delta.calls.append(
                        ToolCallPart(index: index, id: nil, name: nil, arguments: text))
                }
            }
        }
    }
}

// SPDX-License-Identifier: Apache-2.0
// Tool calls of Hermes 2 Pro and Qwen 2.5: a JSON object between <tool_call> and </tool_call>.

import EftGeneration

/// Calls as Hermes and Qwen 2.5 write them.
package struct HermesToolCalls: ToolCallFormat {
    package static let name = "hermes"
    package static let templateMarks = ["<tool_call>"]
    private static let start = "<tool_call>"
    private static let end = "</tool_call>"

    package init() {}

    package func parser(
        tools: [ToolDefinition], makeID: @escaping @Sendable () -> String
    ) -> any ToolCallParser {
        MarkedCallParser(
            mark: Self.start, ending: .mark(Self.end), rules: CallObjectScanner.Rules(),
            makeID: makeID)
    }

    package func constraint(
        tools: [ToolDefinition], allowsSeveral: Bool
    ) -> ConstraintSpecification {
        let objects = tools.map { CallConstraint.object($0, argumentsKey: "arguments") }
        let call = ConstraintSpecification.sequence([
            .literal(Self.start + "\n"), CallConstraint.any(objects), .literal("\n" + Self.end),
        ])
        return CallConstraint.calls(call, separator: "\n", allowsSeveral: allowsSeveral)
    }
}

/// Reads calls that are JSON objects behind a mark.
struct MarkedCallParser: ToolCallParser {
    private let mark: String
    private let ending: CallListScanner.Ending
    private let rules: CallObjectScanner.Rules
    private var text: MarkScanner
    private var calls: CallListScanner?
    private var output: ToolCallOutput

    init(
        mark: String, ending: CallListScanner.Ending, rules: CallObjectScanner.Rules,
        makeID: @escaping @Sendable () -> String
    ) {
        self.mark = mark
        self.ending = ending
        self.rules = rules
        text = MarkScanner([mark])
        output = ToolCallOutput(makeID: makeID)
    }

    mutating func add(_ text: String) -> [ToolCallEvent] {
        for byte in text.utf8 { feed(byte) }
        return output.take()
    }

    private mutating func feed(_ byte: UInt8) {
        guard var scanner = calls else {
            switch text.feed(byte) {
            case .text(let bytes): output.add(content: bytes)
            case .mark(_, let bytes):
                output.add(content: bytes)
                calls = CallListScanner(after: Array(mark.utf8), ending: ending, rules: rules)
            }
            return
        }
        switch scanner.feed(byte, &output) {
        case .inside: calls = scanner
        case .ended: calls = nil
        case .failed:
            calls = nil
            output.add(content: scanner.raw)
        }
    }

    mutating func finish(isCut: Bool) -> [ToolCallEvent] {
        // A call without its beginning is text, however the answer ended.
        output.add(content: calls?.raw ?? text.finish())
        calls = nil
        return output.finish()
    }
}

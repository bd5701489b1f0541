// SPDX-License-Identifier: Apache-2.0
// Tool calls of Llama 3.1 and later: the answer is a JSON object, or several with semicolons between them.

import EftGeneration

/// Calls as Llama 3 writes them.
package struct Llama3ToolCalls: ToolCallFormat {
    package static let name = "llama3_json"
    package static let templateMarks = ["<|python_tag|>", "\"parameters\": "]
    fileprivate static let mark = "<|python_tag|>"

    package init() {}

    package func parser(
        tools: [ToolDefinition], makeID: @escaping @Sendable () -> String
    ) -> any ToolCallParser {
        Parser(tools: tools, makeID: makeID)
    }

    package func constraint(
        tools: [ToolDefinition], allowsSeveral: Bool
    ) -> ConstraintSpecification {
        let objects = tools.map { CallConstraint.object($0, argumentsKey: "parameters") }
        return CallConstraint.calls(
            CallConstraint.any(objects), separator: "; ", allowsSeveral: allowsSeveral)
    }

    /// Reads an answer that is all calls or none: they have no mark of their own, so an object is a call only when it
    /// begins the answer and names a tool.
    private struct Parser: ToolCallParser {
        private let rules: CallObjectScanner.Rules
        private var start = MarkScanner([Llama3ToolCalls.mark, "{"])
        private var calls: CallListScanner?
        private var hasText = false
        private var output: ToolCallOutput

        init(tools: [ToolDefinition], makeID: @escaping @Sendable () -> String) {
            rules = CallObjectScanner.Rules(
                names: Set(tools.map(\.name)), refusesOtherKeys: true)
            output = ToolCallOutput(makeID: makeID)
        }

        mutating func add(_ text: String) -> [ToolCallEvent] {
            for byte in text.utf8 { feed(byte) }
            return output.take()
        }

        private mutating func feed(_ byte: UInt8) {
            if hasText {
                output.add(content: [byte])
            } else if var scanner = calls {
                let progress = scanner.feed(byte, &output)
                calls = scanner
                if case .failed = progress { becomeText(scanner.raw) }
            } else {
                begin(byte)
            }
        }

        private mutating func begin(_ byte: UInt8) {
            switch start.feed(byte) {
            case .text(let bytes):
                if bytes.allSatisfy(isJSONSpace) {
                    output.add(content: bytes)
                } else {
                    becomeText(bytes + start.finish())
                }
            case .mark(let number, let bytes):
                guard bytes.allSatisfy(isJSONSpace) else {
                    return becomeText(bytes + (number == 0 ? Llama3ToolCalls.mark : "{").utf8)
                }
                output.add(content: bytes)
                let mark = number == 0 ? Array(Llama3ToolCalls.mark.utf8) : []
                calls = CallListScanner(after: mark, ending: .never, rules: rules)
                if number == 1 { feed(byte) }
            }
        }

        private mutating func becomeText(_ bytes: [UInt8]) {
            calls = nil
            hasText = true
            output.add(content: bytes)
        }

        mutating func finish(isCut: Bool) -> [ToolCallEvent] {
            output.add(content: calls?.raw ?? start.finish())
            calls = nil
            return output.finish()
        }
    }
}

// SPDX-License-Identifier: Apache-2.0
// Tool calls of Mistral's models: a list of JSON objects behind [TOOL_CALLS], or in newer ones a name and its arguments.

import EftGeneration

/// Calls as Mistral's models write them since version 3: `[TOOL_CALLS][{"name": ..., "arguments": ...}]`.
package struct MistralToolCalls: ToolCallFormat {
    package static let name = "mistral"
    package static let templateMarks = ["[TOOL_CALLS]"]
    fileprivate static let mark = "[TOOL_CALLS]"

    package init() {}

    package func parser(
        tools: [ToolDefinition], makeID: @escaping @Sendable () -> String
    ) -> any ToolCallParser { MistralCallParser(makeID: makeID) }

    package func constraint(
        tools: [ToolDefinition], allowsSeveral: Bool
    ) -> ConstraintSpecification {
        let objects = tools.map { CallConstraint.object($0, argumentsKey: "arguments") }
        let calls = CallConstraint.calls(
            CallConstraint.any(objects), separator: ", ", allowsSeveral: allowsSeveral)
        return .sequence([.literal(Self.mark + "["), calls, .literal("]")])
    }
}

/// Calls as Mistral's models write them since version 11: `[TOOL_CALLS]name[ARGS]{...}` for each.
package struct MistralArgsToolCalls: ToolCallFormat {
    package static let name = "mistral_args"
    package static let templateMarks = ["[ARGS]"]

    package init() {}

    package func parser(
        tools: [ToolDefinition], makeID: @escaping @Sendable () -> String
    ) -> any ToolCallParser { MistralCallParser(makeID: makeID) }

    package func constraint(
        tools: [ToolDefinition], allowsSeveral: Bool
    ) -> ConstraintSpecification {
        let calls = tools.map { tool in
            ConstraintSpecification.sequence([
                .literal(MistralToolCalls.mark + tool.name + "[ARGS]"),
                CallConstraint.arguments(tool),
            ])
        }
        return CallConstraint.calls(
            CallConstraint.any(calls), separator: "", allowsSeveral: allowsSeveral)
    }
}

/// Reads both ways of writing, which the byte behind the mark tells apart.
private struct MistralCallParser: ToolCallParser {
    private enum State: Sendable {
        /// Outside of calls; `skips` when what is read belongs to a call that is no JSON.
        case text(skips: Bool)
        case afterMark
        case list(CallListScanner)
        case name
        /// The id behind the name, of which nothing is kept.
        case id
        /// Between the name and the arguments.
        case beforeArguments
        case arguments(JSONValueScanner)
    }

    private static let longestName = 256

    private var state = State.text(skips: false)
    private var text = MarkScanner([MistralToolCalls.mark])
    private var nameEnd = MarkScanner([])
    private var name: [UInt8] = []
    /// What was read since the mark, the mark included, as long as no call has begun.
    private var raw: [UInt8] = []
    private var output: ToolCallOutput

    init(makeID: @escaping @Sendable () -> String) { output = ToolCallOutput(makeID: makeID) }

    mutating func add(_ text: String) -> [ToolCallEvent] {
        for byte in text.utf8 { feed(byte) }
        return output.take()
    }

    private mutating func feed(_ byte: UInt8) {
        switch state {
        case .text(let skips):
            switch text.feed(byte) {
            case .text(let bytes): if !skips { output.add(content: bytes) }
            case .mark(_, let bytes):
                if !skips { output.add(content: bytes) }
                raw = Array(MistralToolCalls.mark.utf8)
                state = .afterMark
            }
        case .afterMark: afterMark(byte)
        case .list(var scanner):
            switch scanner.feed(byte, &output) {
            case .inside: state = .list(scanner)
            case .ended: state = .text(skips: false)
            case .failed: giveUp(scanner.raw)
            }
        case .name: name(byte)
        case .id: id(byte)
        case .beforeArguments:
            raw.append(byte)
            if isJSONSpace(byte) && raw.count < Self.longestName * 3 { return }
            guard byte == UInt8(ascii: "{") else { return giveUp(raw) }
            beginArguments()
        case .arguments(var scanner): arguments(byte, &scanner)
        }
    }

    private mutating func giveUp(_ bytes: [UInt8]) {
        output.add(content: bytes)
        raw = []
        state = .text(skips: false)
    }

    private mutating func afterMark(_ byte: UInt8) {
        switch byte {
        case _ where isJSONSpace(byte) && raw.count < Self.longestName: raw.append(byte)
        case UInt8(ascii: "["), UInt8(ascii: "{"):
            state = .list(CallListScanner(after: raw, ending: .bracket, rules: .init()))
            raw = []
            feed(byte)
        default:
            name = []
            nameEnd = MarkScanner(["[ARGS]", "[CALL_ID]", "{"])
            state = .name
            feed(byte)
        }
    }

    private mutating func name(_ byte: UInt8) {
        raw.append(byte)
        let found = nameEnd.feed(byte)
        switch found {
        case .text(let bytes), .mark(_, let bytes): name += bytes
        }
        guard name.count <= Self.longestName, !name.contains(UInt8(ascii: "\n")) else {
            return giveUp(raw)
        }
        guard case .mark(let number, _) = found else { return }
        switch number {
        case 0: state = .beforeArguments
        case 1:
            nameEnd = MarkScanner(["[ARGS]"])
            state = .id
        default: beginArguments()
        }
    }

    private mutating func id(_ byte: UInt8) {
        raw.append(byte)
        if case .mark = nameEnd.feed(byte) {
            state = .beforeArguments
        } else if raw.count > Self.longestName * 2 {
            giveUp(raw)
        }
    }

    private mutating func beginArguments() {
        var name = self.name[...].drop(while: isJSONSpace)
        while let last = name.last, isJSONSpace(last) { name.removeLast() }
        guard !name.isEmpty else { return giveUp(raw) }
        output.begin(call: String(decoding: name, as: UTF8.self))
        raw = []
        var scanner = JSONValueScanner()
        arguments(UInt8(ascii: "{"), &scanner)
    }

    private mutating func arguments(_ byte: UInt8, _ scanner: inout JSONValueScanner) {
        switch scanner.feed(byte) {
        case .inside:
            output.add(argument: byte)
            state = .arguments(scanner)
        case .last:
            output.add(argument: byte)
            state = .text(skips: false)
        case .behind, .failed:
            state = .text(skips: true)
            feed(byte)
        }
    }

    mutating func finish(isCut: Bool) -> [ToolCallEvent] {
        switch state {
        case .text(let skips): if !skips { output.add(content: text.finish()) }
        case .list(let scanner): output.add(content: scanner.raw)
        case .afterMark, .name, .id, .beforeArguments: output.add(content: raw)
        case .arguments: break
        }
        state = .text(skips: false)
        raw = []
        return output.finish()
    }
}

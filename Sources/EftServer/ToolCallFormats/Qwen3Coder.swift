// SPDX-License-Identifier: Apache-2.0
// Tool calls of Qwen3-Coder: a function and its parameters as tags, with values as plain text.

import EftConfig
import EftGeneration

/// Calls as Qwen3-Coder writes them.
package struct Qwen3CoderToolCalls: ToolCallFormat {
    package static let name = "qwen3_coder"
    package static let templateMarks = ["<function="]

    package init() {}

    package func parser(
        tools: [ToolDefinition], makeID: @escaping @Sendable () -> String
    ) -> any ToolCallParser { Qwen3CoderParser(tools: tools, makeID: makeID) }

    package func constraint(
        tools: [ToolDefinition], allowsSeveral: Bool
    ) -> ConstraintSpecification {
        CallConstraint.calls(
            CallConstraint.any(tools.map(Self.call)), separator: "\n",
            allowsSeveral: allowsSeveral)
    }

    private static func call(_ tool: ToolDefinition) -> ConstraintSpecification {
        let schema = ParameterSchema(tool.parameters)
        var parts: [ConstraintSpecification] = [
            .literal("<tool_call>\n<function=\(tool.name)>\n")
        ]
        for name in schema.names {
            let parameter = ConstraintSpecification.sequence([
                .literal("<parameter=\(name)>\n"), value(schema, name),
                .literal("\n</parameter>\n"),
            ])
            parts.append(
                schema.required.contains(name)
                    ? parameter : .anyOf([parameter, .literal("")]))
        }
        parts.append(.literal("</function>\n</tool_call>"))
        return .sequence(parts)
    }

    private static func value(
        _ schema: ParameterSchema, _ name: String
    ) -> ConstraintSpecification {
        guard schema.kinds(of: name).isText else {
            return .jsonSchema(schema.standalone(name))
        }
        if let choices = schema.choices(of: name) { return .choice(choices) }
        return .textWithout(Qwen3CoderParser.valueMarks)
    }
}

/// Reads calls written as tags.
private struct Qwen3CoderParser: ToolCallParser {
    private enum State: Sendable {
        case text
        /// Behind the outer tag, before the function's.
        case inside
        case functionName
        case betweenParameters
        case parameterName
        case value(ParameterValue)
    }

    static let valueMarks = ["</parameter>", "<parameter=", "</function>"]
    private static let textMarks = ["<tool_call>", "<function=", "</tool_call>"]
    private static let partMarks = ["<parameter=", "</function>", "</tool_call>"]
    private static let longestName = 256

    private let schemas: [String: ParameterSchema]
    private var state = State.text
    private var marks = MarkScanner(textMarks)
    /// What was read since the outer tag, as long as no call has begun.
    private var raw: [UInt8] = []
    private var name: [UInt8] = []
    private var schema = ParameterSchema(nil)
    private var seen: Set<String> = []
    /// Whether the outer tag is still to be closed.
    private var isWrapped = false
    private var output: ToolCallOutput

    init(tools: [ToolDefinition], makeID: @escaping @Sendable () -> String) {
        var schemas: [String: ParameterSchema] = [:]
        for tool in tools { schemas[tool.name] = ParameterSchema(tool.parameters) }
        self.schemas = schemas
        output = ToolCallOutput(makeID: makeID)
    }

    mutating func add(_ text: String) -> [ToolCallEvent] {
        for byte in text.utf8 { feed(byte) }
        return output.take()
    }

    private mutating func feed(_ byte: UInt8) {
        switch state {
        case .text: text(byte)
        case .inside: inside(byte)
        case .functionName: functionName(byte)
        case .betweenParameters:
            if case .mark(let number, _) = marks.feed(byte) { partMark(number) }
        case .parameterName: parameterName(byte)
        case .value(var value):
            // The state lets go of the value, which would else be copied.
            state = .betweenParameters
            switch marks.feed(byte) {
            case .text(let bytes):
                value.add(bytes, &output)
                state = .value(value)
            case .mark(let number, let bytes):
                value.add(bytes, &output)
                value.end(&output)
                marks = MarkScanner(Self.partMarks)
                if number > 0 { partMark(number - 1) }
            }
        }
    }

    private mutating func text(_ byte: UInt8) {
        switch marks.feed(byte) {
        case .text(let bytes): output.add(content: bytes)
        case .mark(let number, let bytes):
            output.add(content: bytes)
            switch number {
            case 0:
                raw = Array(Self.textMarks[0].utf8)
                marks = MarkScanner([Self.textMarks[1]])
                state = .inside
            case 1:
                raw = Array(Self.textMarks[1].utf8)
                beginFunction()
            default:
                if !isWrapped { output.add(content: Self.textMarks[2].utf8) }
                isWrapped = false
            }
        }
    }

    private mutating func inside(_ byte: UInt8) {
        raw.append(byte)
        switch marks.feed(byte) {
        case .text(let bytes):
            if !bytes.allSatisfy(isJSONSpace) || raw.count > Self.longestName { giveUp() }
        case .mark(_, let bytes):
            guard bytes.allSatisfy(isJSONSpace) else { return giveUp() }
            isWrapped = true
            beginFunction()
        }
    }

    private mutating func giveUp() {
        output.add(content: raw)
        raw = []
        marks = MarkScanner(Self.textMarks)
        state = .text
    }

    // MARK: Functions

    private mutating func beginFunction() {
        name = []
        state = .functionName
    }

    private mutating func functionName(_ byte: UInt8) {
        raw.append(byte)
        guard byte == UInt8(ascii: ">") else {
            name.append(byte)
            if name.count > Self.longestName || byte == UInt8(ascii: "\n") {
                isWrapped = false
                giveUp()
            }
            return
        }
        let name = String(decoding: self.name, as: UTF8.self)
        raw = []
        schema = schemas[name] ?? ParameterSchema(nil)
        seen = []
        output.begin(call: name)
        output.add(argument: UInt8(ascii: "{"))
        marks = MarkScanner(Self.partMarks)
        state = .betweenParameters
    }

    /// A tag between parameters, by its number in `partMarks`.
    private mutating func partMark(_ number: Int) {
        if number == 0 {
            name = []
            state = .parameterName
            return
        }
        output.add(argument: UInt8(ascii: "}"))
        if number == 2 { isWrapped = false }
        marks = MarkScanner(Self.textMarks)
        state = .text
    }

    private mutating func parameterName(_ byte: UInt8) {
        guard byte == UInt8(ascii: ">") else {
            name.append(byte)
            // No name: what follows is passed over up to the next tag.
            if name.count > Self.longestName || byte == UInt8(ascii: "\n") {
                marks = MarkScanner(Self.partMarks)
                state = .betweenParameters
            }
            return
        }
        let name = String(decoding: self.name, as: UTF8.self)
        // Of a parameter given twice the first value counts; the other is read and left out.
        let isNew = seen.insert(name).inserted
        if isNew {
            let key = JSONWriter.text(ConfigNode(name)) + ": "
            output.add(arguments: ((seen.count > 1 ? ", " : "") + key).utf8)
        }
        marks = MarkScanner(Self.valueMarks)
        state = .value(ParameterValue(isNew ? schema.kinds(of: name) : nil))
    }

    mutating func finish(isCut: Bool) -> [ToolCallEvent] {
        switch state {
        case .text: output.add(content: marks.finish())
        case .inside, .functionName: output.add(content: raw)
        case .betweenParameters, .parameterName:
            if !isCut { output.add(argument: UInt8(ascii: "}")) }
        case .value(var value):
            value.add(marks.finish(), &output)
            if !isCut {
                value.end(&output)
                output.add(argument: UInt8(ascii: "}"))
            }
        }
        state = .text
        return output.finish()
    }
}

// SPDX-License-Identifier: Apache-2.0
// A parameter written as plain text, as the JSON that its schema asks for.

import EftConfig
import EftGeneration

/// Turns a value's text into JSON while it comes. Nothing in it is ever run: what is not plainly of the kind that the
/// schema names stays a text.
struct ParameterValue: Sendable {
    /// Values of other kinds than text are kept up to this size; longer ones are texts.
    private static let mostKept = 1 << 20

    /// The kinds that it may have; nil when it is left out.
    private let kinds: ParameterKinds?
    private var isFirst = true
    /// A line end that is kept back: one at the very end belongs to the tags.
    private var hasLineEnd = false
    private var kept: [UInt8] = []
    private var isOpen = false

    /// - Parameter kinds: nil to leave the value out.
    init(_ kinds: ParameterKinds?) { self.kinds = kinds }

    /// Takes more of the text.
    mutating func add(_ bytes: [UInt8], _ output: inout ToolCallOutput) {
        guard let kinds else { return }
        for byte in bytes {
            let isLineEnd = byte == UInt8(ascii: "\n")
            if isFirst {
                isFirst = false
                if isLineEnd { continue }
            }
            if hasLineEnd { take(UInt8(ascii: "\n"), kinds, &output) }
            hasLineEnd = isLineEnd
            if !isLineEnd { take(byte, kinds, &output) }
        }
    }

    private mutating func take(
        _ byte: UInt8, _ kinds: ParameterKinds, _ output: inout ToolCallOutput
    ) {
        if isOpen { return output.add(arguments: Self.escaped(byte)) }
        kept.append(byte)
        if kinds.isText || kept.count > Self.mostKept { open(&output) }
    }

    /// Begins a text.
    private mutating func open(_ output: inout ToolCallOutput) {
        output.add(argument: UInt8(ascii: "\""))
        for byte in kept { output.add(arguments: Self.escaped(byte)) }
        kept = []
        isOpen = true
    }

    /// Ends the value.
    mutating func end(_ output: inout ToolCallOutput) {
        guard let kinds else { return }
        if !isOpen {
            if !kinds.isText, let json = Self.json(kept, kinds) {
                return output.add(arguments: json)
            }
            open(&output)
        }
        output.add(argument: UInt8(ascii: "\""))
    }

    // MARK: Kinds

    /// The text as JSON of one of the kinds, or nil when it is of none.
    private static func json(_ text: [UInt8], _ kinds: ParameterKinds) -> [UInt8]? {
        var trimmed = text[...].drop(while: isJSONSpace)
        while let last = trimmed.last, isJSONSpace(last) { trimmed.removeLast() }
        let word = String(decoding: trimmed, as: UTF8.self).lowercased()
        if word == "null" || word == "none", kinds.contains(.null) || !kinds.contains(.string) {
            return Array("null".utf8)
        }
        if kinds.contains(.boolean), word == "true" || word == "false" { return Array(word.utf8) }
        guard let node = try? JSONParser.parse(Array(trimmed), maximumDepth: 64) else {
            return nil
        }
        switch node.value {
        case .integer where kinds.contains(.integer) || kinds.contains(.number):
            return Array(trimmed)
        case .real(let value) where kinds.contains(.integer) || kinds.contains(.number):
            if !kinds.contains(.number), let whole = Int(exactly: value) {
                return Array(String(whole).utf8)
            }
            return Array(trimmed)
        case .object where kinds.contains(.object), .array where kinds.contains(.array):
            return Array(trimmed)
        default: return nil
        }
    }

    private static let digits = Array("0123456789abcdef".utf8)

    /// A byte as it stands in a JSON string.
    private static func escaped(_ byte: UInt8) -> [UInt8] {
        switch byte {
        case UInt8(ascii: "\""), UInt8(ascii: "\\"): [UInt8(ascii: "\\"), byte]
        case UInt8(ascii: "\n"): Array("\\n".utf8)
        case UInt8(ascii: "\r"): Array("\\r".utf8)
        case UInt8(ascii: "\t"): Array("\\t".utf8)
        case 8: Array("\\b".utf8)
        case 12: Array("\\f".utf8)
        case ..<0x20: Array("\\u00".utf8) + [digits[Int(byte >> 4)], digits[Int(byte & 15)]]
        default: [byte]
        }
    }
}

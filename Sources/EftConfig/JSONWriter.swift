// SPDX-License-Identifier: Apache-2.0
// JSON text from a document, written as Python's json.dumps(ensure_ascii=False) writes it.

/// Writes `ConfigNode`s as JSON text.
///
/// Numbers that JSON has no word for (infinities, not-a-number) are written as null.
package struct JSONWriter {
    /// How the text is laid out.
    package enum Layout: Sendable, Hashable {
        /// One line, with a space after each comma and colon, as `json.dumps(x)`.
        case compact
        /// One line without spaces, as most other writers do.
        case minimal
        /// A line for each entry, as `json.dumps(x, indent=n)`.
        case indented(Int)
    }

    private var bytes: [UInt8] = []
    private let layout: Layout

    private init(layout: Layout) { self.layout = layout }

    /// The document as text, without a line end behind it.
    package static func text(_ node: ConfigNode, layout: Layout = .compact) -> String {
        String(decoding: Self.bytes(node, layout: layout), as: UTF8.self)
    }

    /// The document as UTF-8 bytes, without a line end behind it.
    package static func bytes(_ node: ConfigNode, layout: Layout = .compact) -> [UInt8] {
        var writer = JSONWriter(layout: layout)
        writer.write(node, depth: 0)
        return writer.bytes
    }

    // MARK: Values

    private mutating func write(_ node: ConfigNode, depth: Int) {
        switch node.value {
        case .null: append("null")
        case .bool(let value): append(value ? "true" : "false")
        case .integer(let value): append(String(value))
        case .real(let value): append(value.isFinite ? pythonText(of: value) : "null")
        case .string(let value): write(value)
        case .array(let items):
            bytes.append(UInt8(ascii: "["))
            for (place, item) in items.enumerated() {
                separate(place, depth: depth + 1)
                write(item, depth: depth + 1)
            }
            close(UInt8(ascii: "]"), count: items.count, depth: depth)
        case .object(let object):
            bytes.append(UInt8(ascii: "{"))
            for (place, entry) in object.entries.enumerated() {
                separate(place, depth: depth + 1)
                write(entry.key)
                append(layout == .minimal ? ":" : ": ")
                write(entry.node, depth: depth + 1)
            }
            close(UInt8(ascii: "}"), count: object.count, depth: depth)
        }
    }

    private mutating func separate(_ place: Int, depth: Int) {
        if place > 0 { bytes.append(UInt8(ascii: ",")) }
        switch layout {
        case .compact: if place > 0 { bytes.append(UInt8(ascii: " ")) }
        case .minimal: break
        case .indented(let width): newLine(width * depth)
        }
    }

    private mutating func close(_ bracket: UInt8, count: Int, depth: Int) {
        if case .indented(let width) = layout, count > 0 { newLine(width * depth) }
        bytes.append(bracket)
    }

    private mutating func newLine(_ indentation: Int) {
        bytes.append(UInt8(ascii: "\n"))
        bytes.append(contentsOf: repeatElement(UInt8(ascii: " "), count: indentation))
    }

    private mutating func write(_ text: String) {
        bytes.append(UInt8(ascii: "\""))
        for byte in text.utf8 {
            switch byte {
            case UInt8(ascii: "\""): append("\\\"")
            case UInt8(ascii: "\\"): append("\\\\")
            case UInt8(ascii: "\n"): append("\\n")
            case UInt8(ascii: "\r"): append("\\r")
            case UInt8(ascii: "\t"): append("\\t")
            case 8: append("\\b")
            case 12: append("\\f")
            case ..<0x20: append(byte < 0x10 ? "\\u000" : "\\u00", String(byte, radix: 16))
            default: bytes.append(byte)
            }
        }
        bytes.append(UInt8(ascii: "\""))
    }

    private mutating func append(_ parts: String...) {
        for part in parts { bytes.append(contentsOf: part.utf8) }
    }
}

/// A finite number in the shortest form that reads back as the same bits, laid out as Python's
/// `repr`.
///
/// Digits are Swift's (both languages print the shortest); Python writes an exponent of two digits
/// or more from 1e16 up and below 1e-4, and ".0" after whole numbers.
package func pythonText(of value: Double) -> String {
    guard value.isFinite else { return value.isNaN ? "nan" : value < 0 ? "-inf" : "inf" }
    let parts = value.magnitude.description.split(separator: "e")
    let mantissa = parts[0].split(separator: ".", omittingEmptySubsequences: false)
    let fraction = mantissa.count > 1 && mantissa[1] != "0" ? mantissa[1] : ""
    var digits = Array((mantissa[0] + fraction).utf8)
    // The value is 0.d1d2d3... times ten to the power of `point`.
    var point = mantissa[0].count + (parts.count > 1 ? Int(parts[1]) ?? 0 : 0)
    let leadingZeros = digits.prefix { $0 == UInt8(ascii: "0") }.count
    if leadingZeros == digits.count { return value.sign == .minus ? "-0.0" : "0.0" }
    digits.removeFirst(leadingZeros)
    point -= leadingZeros
    while digits.last == UInt8(ascii: "0") { digits.removeLast() }
    let text = String(decoding: digits, as: UTF8.self)
    return (value.sign == .minus ? "-" : "") + layOut(text, point: point)
}

/// Digits and a decimal point, or an exponent where Python writes one.
private func layOut(_ digits: String, point: Int) -> String {
    if point > 16 || point < -3 {
        let exponent = point - 1
        let tail = digits.count > 1 ? "." + digits.dropFirst() : ""
        let size = exponent.magnitude < 10 ? "0\(exponent.magnitude)" : "\(exponent.magnitude)"
        return
            "\(digits.prefix(1))\(tail)e\(exponent < 0 ? "-" : "+")\(size)"
    }
    if point <= 0 { return "0." + String(repeating: "0", count: -point) + digits }
    if digits.count <= point {
        return digits + String(repeating: "0", count: point - digits.count) + ".0"
    }
    return "\(digits.prefix(point)).\(digits.dropFirst(point))"
}

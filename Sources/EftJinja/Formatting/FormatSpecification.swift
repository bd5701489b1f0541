// SPDX-License-Identifier: Apache-2.0
// What stands behind the colon in Python's "{:...}".

/// A format: fill, side, sign, width, grouping, precision and kind.
struct FormatSpecification {
    private var fill: Character = " "
    private var side: Character?
    private var sign: Character = "-"
    private var isAlternate = false
    private var padsWithZeros = false
    private var width = 0
    private var grouping: Character?
    private var precision: Int?
    private var kind: Character?

    /// Reads a format.
    /// - Throws: `TemplateError` (`value`, `limit`).
    init(_ text: String) throws(TemplateError) {
        // By code points: a combining mark is a character of its own.
        let marks = text.unicodeScalars.map { Character($0) }
        var rest = marks[...]
        let sides: Set<Character> = ["<", ">", "^", "="]
        if rest.count > 1, let second = rest.dropFirst().first, sides.contains(second) {
            fill = rest.removeFirst()
            side = rest.removeFirst()
        } else if let first = rest.first, sides.contains(first) {
            side = rest.removeFirst()
        }
        if let first = rest.first, ["+", "-", " "].contains(first) { sign = rest.removeFirst() }
        if rest.first == "#" {
            isAlternate = true
            rest.removeFirst()
        }
        if rest.first == "0" {
            padsWithZeros = true
            rest.removeFirst()
        }
        width = try Self.number(&rest) ?? 0
        if let first = rest.first, [",", "_"].contains(first) { grouping = rest.removeFirst() }
        if rest.first == "." {
            rest.removeFirst()
            guard let number = try Self.number(&rest) else {
                throw TemplateError(.value, "a format has no precision behind its point")
            }
            precision = number
        }
        kind = rest.popFirst()
        guard rest.isEmpty else { throw TemplateError(.value, "a format cannot be read") }
    }

    private static func number(
        _ rest: inout ArraySlice<Character>
    ) throws(TemplateError) -> Int? {
        var result: Int?
        while let digit = rest.first?.wholeNumberValue, rest.first?.isASCII == true {
            result = (result ?? 0) * 10 + digit
            rest.removeFirst()
            guard result ?? 0 <= TemplateLimits.formatWidth else {
                throw TemplateError(
                    .limit, "a format is wider than \(TemplateLimits.formatWidth) characters")
            }
        }
        return result
    }

    /// The text of a value.
    /// - Parameter text: what printing the value gives.
    /// - Throws: `TemplateError` (`value`, `type`).
    func apply(to value: TemplateValue, printed text: String) throws(TemplateError) -> String {
        switch value {
        case .string: return try apply(toText: text)
        case .bool where kind == nil || kind == "s": return try apply(toText: text)
        case .bool(let value): return try apply(toInteger: value ? 1 : 0)
        case .integer(let value): return try apply(toInteger: value)
        case .real(let value): return try apply(toReal: value)
        default:
            throw TemplateError(
                .type, "values of type '\(value.typeName)' take no format")
        }
    }

    private func apply(toText text: String) throws(TemplateError) -> String {
        guard kind == nil || kind == "s", sign == "-", side != "=", grouping == nil, !isAlternate
        else { throw TemplateError(.value, "this format is not for texts") }
        let cut = precision.map { String(text.unicodeScalars.prefix($0)) } ?? text
        return padded(cut, fill: padsWithZeros && side == nil ? "0" : fill, side: side ?? "<")
    }

    private func apply(toInteger value: Int) throws(TemplateError) -> String {
        let radix: Int
        var prefix = ""
        switch kind {
        case nil, "d", "n": radix = 10
        case "x", "X": (radix, prefix) = (16, kind == "X" ? "0X" : "0x")
        case "o": (radix, prefix) = (8, "0o")
        case "b": (radix, prefix) = (2, "0b")
        case "c":
            guard let code = UInt32(exactly: value), let scalar = Unicode.Scalar(code) else {
                throw TemplateError(.value, "a number is no character")
            }
            return padded(String(scalar), fill: fill, side: side ?? "<")
        default: return try apply(toReal: Double(value))
        }
        guard precision == nil else {
            throw TemplateError(.value, "whole numbers take no precision")
        }
        let digits = String(value.magnitude, radix: radix, uppercase: kind == "X")
        return number(
            digits, "", isNegative: value < 0, prefix: isAlternate ? prefix : "",
            groupSize: radix == 10 ? 3 : 4)
    }

    private func apply(toReal value: Double) throws(TemplateError) -> String {
        let magnitude = value.magnitude
        let isNegative = value.sign == .minus && !value.isNaN
        var text: String
        switch kind {
        case "e", "E", "f", "F", "g", "G":
            text = formattedNumber(
                magnitude: magnitude, precision: precision ?? 6, letter: kind ?? "f",
                keepsZeros: isAlternate)
        case "n":
            text = formattedNumber(magnitude: magnitude, precision: precision ?? 6, letter: "g")
        case "%":
            text =
                formattedNumber(magnitude: magnitude * 100, precision: precision ?? 6, letter: "f")
                + "%"
        case nil:
            text = TemplateValue.real(magnitude).printed
            if let precision, magnitude.isFinite {
                text = Self.general(magnitude, precision)
            }
        default: throw TemplateError(.value, "this format is not for real numbers")
        }
        let end = text.firstIndex { !$0.isNumber } ?? text.endIndex
        return number(
            String(text[..<end]), String(text[end...]), isNegative: isNegative, prefix: "",
            groupSize: 3)
    }

    /// As the letter g, but with at least one digit behind the point and an exponent one step sooner.
    private static func general(_ magnitude: Double, _ precision: Int) -> String {
        let digits = max(precision, 1)
        let text = formattedNumber(magnitude: magnitude, precision: digits, letter: "g")
        if text.contains("e") || text.contains(".") { return text }
        if text.count >= digits && magnitude >= 1 {
            let scientific = formattedNumber(
                magnitude: magnitude, precision: digits - 1, letter: "e")
            let parts = scientific.split(separator: "e", maxSplits: 1)
            var mantissa = String(parts.first ?? "")
            if mantissa.contains(".") {
                while mantissa.hasSuffix("0") { mantissa.removeLast() }
                if mantissa.hasSuffix(".") { mantissa.removeLast() }
            }
            return mantissa + "e" + (parts.last ?? "")
        }
        return text + ".0"
    }

    private func number(
        _ whole: String, _ rest: String, isNegative: Bool, prefix: String, groupSize: Int
    ) -> String {
        let shownSign = isNegative ? "-" : sign == "-" ? "" : String(sign)
        let fillsInside = side == "=" || side == nil && padsWithZeros
        let inner = padsWithZeros && side == nil ? "0" : fill
        var digits = whole
        if let grouping, !whole.isEmpty {
            if fillsInside && inner == "0" {
                // Zeros are grouped with the digits.
                let room = width - shownSign.count - prefix.count - rest.count
                var count = digits.count
                while count + (count - 1) / groupSize < room { count += 1 }
                digits = String(repeating: "0", count: count - digits.count) + digits
            }
            digits = grouped(digits, by: String(grouping), groupSize: groupSize)
        }
        let body = digits + rest
        if fillsInside {
            let missing = max(0, width - shownSign.count - prefix.count - body.count)
            return shownSign + prefix + String(repeating: inner, count: missing) + body
        }
        return padded(
            shownSign + prefix + body, fill: padsWithZeros && side == nil ? "0" : fill,
            side: side ?? ">")
    }

    private func padded(_ text: String, fill: Character, side: Character) -> String {
        let missing = width - text.unicodeScalars.count
        guard missing > 0 else { return text }
        let front =
            switch side {
            case ">": missing
            case "^": missing / 2
            default: 0
            }
        return String(repeating: fill, count: front) + text
            + String(repeating: fill, count: missing - front)
    }
}

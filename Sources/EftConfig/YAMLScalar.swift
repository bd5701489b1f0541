// SPDX-License-Identifier: Apache-2.0
// What an unquoted YAML word means: null, truth value, number or string.

/// The meaning of plain YAML scalars, as PyYAML's `safe_load` reads them and its users expect.
///
/// The rules are YAML 1.1's (yes and no are truth values, 017 is octal, 1:30 is 90), with these
/// differences, all towards what the user of a training configuration means: a number with an
/// exponent is a number without the dot (`1e-4`) and without the exponent's sign too, `0o17` is
/// octal, `-.5` is a number, and dates stay strings.
package enum YAMLScalar {
    /// The value of a plain scalar; anything that is no null, truth value or number is a string.
    package static func resolve(_ text: String) -> ConfigNode.Content {
        switch text {
        case "", "~", "null", "Null", "NULL": return .null
        case "true", "True", "TRUE", "yes", "Yes", "YES", "on", "On", "ON": return .bool(true)
        case "false", "False", "FALSE", "no", "No", "NO", "off", "Off", "OFF": return .bool(false)
        case ".inf", ".Inf", ".INF", "+.inf", "+.Inf", "+.INF": return .real(.infinity)
        case "-.inf", "-.Inf", "-.INF": return .real(-.infinity)
        case ".nan", ".NaN", ".NAN": return .real(.nan)
        default: return number(text) ?? .string(text)
        }
    }

    /// The number that the whole text is, if it is one.
    package static func number(_ text: String) -> ConfigNode.Content? {
        let bytes = Array(text.utf8)
        // A number begins with a digit, a sign or a dot; most words are turned away here.
        guard let first = bytes.first, first <= UInt8(ascii: "9"), first >= UInt8(ascii: "+") else {
            return nil
        }
        let isNegative = first == UInt8(ascii: "-")
        let body = bytes.dropFirst(isNegative || first == UInt8(ascii: "+") ? 1 : 0)
        if body.contains(UInt8(ascii: ":")) { return sexagesimal(body, isNegative: isNegative) }
        return integer(body, isNegative: isNegative) ?? decimal(body, isNegative: isNegative)
    }

    // MARK: Integers

    private static func integer(
        _ body: ArraySlice<UInt8>, isNegative: Bool
    ) -> ConfigNode.Content? {
        guard let first = body.first else { return nil }
        if first == UInt8(ascii: "0"), body.count > 1 {
            let rest = body.dropFirst(2)
            switch body[body.startIndex + 1] {
            case UInt8(ascii: "x"): return digits(rest, radix: 16, isNegative: isNegative)
            case UInt8(ascii: "o"): return digits(rest, radix: 8, isNegative: isNegative)
            case UInt8(ascii: "b"): return digits(rest, radix: 2, isNegative: isNegative)
            default: return digits(body, radix: 8, isNegative: isNegative)
            }
        }
        guard first != UInt8(ascii: "_") else { return nil }
        return digits(body, radix: 10, isNegative: isNegative)
    }

    /// Digits with underscores among them; beyond 64 bits a real number.
    private static func digits(
        _ text: ArraySlice<UInt8>, radix: Int, isNegative: Bool
    ) -> ConfigNode.Content? {
        var exact: Int? = 0
        var rounded = 0.0
        var count = 0
        for byte in text where byte != UInt8(ascii: "_") {
            guard let digit = digitValue(byte), digit < radix else { return nil }
            exact = exact.flatMap { append(digit, to: $0, radix: radix, isNegative: isNegative) }
            rounded = rounded * Double(radix) + Double(digit)
            count += 1
        }
        guard count > 0 else { return nil }
        if let exact { return .integer(exact) }
        if radix == 10 { return real(text, isNegative: isNegative) }
        return rounded.isFinite ? .real(isNegative ? -rounded : rounded) : nil
    }

    private static func append(_ digit: Int, to value: Int, radix: Int, isNegative: Bool) -> Int? {
        let (product, overflow) = value.multipliedReportingOverflow(by: radix)
        guard !overflow else { return nil }
        let (sum, carry) =
            isNegative
            ? product.subtractingReportingOverflow(digit) : product.addingReportingOverflow(digit)
        return carry ? nil : sum
    }

    private static func digitValue(_ byte: UInt8) -> Int? {
        switch byte {
        case UInt8(ascii: "0")...UInt8(ascii: "9"): Int(byte - UInt8(ascii: "0"))
        case UInt8(ascii: "a")...UInt8(ascii: "f"): Int(byte - UInt8(ascii: "a")) + 10
        case UInt8(ascii: "A")...UInt8(ascii: "F"): Int(byte - UInt8(ascii: "A")) + 10
        default: nil
        }
    }

    // MARK: Real numbers

    /// Digits, a dot or an exponent or both: `1.5`, `.5`, `1e-4`, `1_000.0`.
    private static func decimal(
        _ body: ArraySlice<UInt8>, isNegative: Bool
    ) -> ConfigNode.Content? {
        var hasDigit = false
        var hasDot = false
        var position = body.startIndex
        scan: while position < body.endIndex {
            switch body[position] {
            case UInt8(ascii: "0")...UInt8(ascii: "9"): hasDigit = true
            case UInt8(ascii: "_"): guard hasDigit else { return nil }
            case UInt8(ascii: "."):
                guard !hasDot else { return nil }
                hasDot = true
            default: break scan
            }
            position += 1
        }
        guard hasDigit else { return nil }
        if position == body.endIndex { return hasDot ? real(body, isNegative: isNegative) : nil }
        guard body[position] | 0x20 == UInt8(ascii: "e") else { return nil }
        var exponent = body[(position + 1)...]
        if exponent.first == UInt8(ascii: "+") || exponent.first == UInt8(ascii: "-") {
            exponent = exponent.dropFirst()
        }
        guard !exponent.isEmpty, exponent.allSatisfy({ digitValue($0) ?? 10 < 10 }) else {
            return nil
        }
        return real(body, isNegative: isNegative)
    }

    private static func real(_ text: ArraySlice<UInt8>, isNegative: Bool) -> ConfigNode.Content? {
        var digits = String(decoding: text.filter { $0 != UInt8(ascii: "_") }, as: UTF8.self)
        if digits.hasPrefix(".") { digits = "0" + digits }
        digits = digits.replacing(".e", with: ".0e").replacing(".E", with: ".0e")
        if digits.hasSuffix(".") { digits += "0" }
        // What is too large stays a string; where a number is needed it is refused with its place.
        guard let value = Double(digits), value.isFinite else { return nil }
        return .real(isNegative ? -value : value)
    }

    // MARK: Base 60

    /// `1:30` and `1:30.5`, as YAML 1.1 writes hours, minutes and degrees.
    private static func sexagesimal(
        _ body: ArraySlice<UInt8>, isNegative: Bool
    ) -> ConfigNode.Content? {
        let parts = body.split(separator: UInt8(ascii: ":"), omittingEmptySubsequences: false)
        guard let first = parts.first, let last = parts.last, isDigits(first) else { return nil }
        let isReal = last.contains(UInt8(ascii: "."))
        if !isReal, first.first == UInt8(ascii: "0") { return nil }
        var total = 0.0
        for (place, part) in parts.enumerated() {
            let whole = place == parts.count - 1 ? part.prefix { $0 != UInt8(ascii: ".") } : part
            guard place == 0 || isSixtieth(whole) else { return nil }
            guard case .real(let value) = real(part, isNegative: false) else { return nil }
            total = total * 60 + value
        }
        // A real tail may hold digits only.
        if isReal {
            let tail = last.drop { $0 != UInt8(ascii: ".") }.dropFirst()
            guard tail.allSatisfy({ $0 == UInt8(ascii: "_") || digitValue($0) ?? 10 < 10 }) else {
                return nil
            }
            return .real(isNegative ? -total : total)
        }
        return Int(exactly: total).map { .integer(isNegative ? -$0 : $0) }
    }

    private static func isDigits(_ text: ArraySlice<UInt8>) -> Bool {
        guard let first = text.first, first != UInt8(ascii: "_") else { return false }
        return text.allSatisfy { $0 == UInt8(ascii: "_") || digitValue($0) ?? 10 < 10 }
    }

    /// One or two digits below 60.
    private static func isSixtieth(_ text: ArraySlice<UInt8>) -> Bool {
        guard (1...2).contains(text.count), text.allSatisfy({ digitValue($0) ?? 10 < 10 }) else {
            return false
        }
        return text.count == 1 || text[text.startIndex] <= UInt8(ascii: "5")
    }
}

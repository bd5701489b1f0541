// SPDX-License-Identifier: Apache-2.0
// Python's "%" formatting of texts.

/// One formatting of a text with `%`.
struct PercentFormat {
    private let interpreter: Interpreter
    private var format: String.UnicodeScalarView.Iterator
    private var current: Unicode.Scalar?
    private let values: [TemplateValue]
    private let mapping: TemplateDictionary?
    private let isTuple: Bool
    private var used = 0

    init(_ interpreter: Interpreter, _ format: String, _ value: TemplateValue) {
        self.interpreter = interpreter
        self.format = format.unicodeScalars.makeIterator()
        current = self.format.next()
        switch value {
        case .tuple(let list): (values, mapping, isTuple) = (list.items, nil, true)
        case .dictionary(let dictionary):
            (values, mapping, isTuple) = ([value], dictionary, false)
        default: (values, mapping, isTuple) = ([value], nil, false)
        }
    }

    /// A conversion: what stands between `%` and its letter.
    private struct Conversion {
        var flags: Set<Unicode.Scalar> = []
        var width = 0
        var precision: Int?
        var value: TemplateValue?
    }

    /// The text with its values.
    func formatted() throws(TemplateError) -> String {
        var copy = self
        return try copy.run()
    }

    private mutating func next() { current = format.next() }

    private mutating func run() throws(TemplateError) -> String {
        var result = String.UnicodeScalarView()
        while let scalar = current {
            next()
            guard scalar == "%" else {
                result.append(scalar)
                continue
            }
            let text = try conversion()
            try interpreter.reserve(text.utf8.count)
            try interpreter.charge(text.utf8.count / 4)
            result.append(contentsOf: text.unicodeScalars)
        }
        if used < values.count && mapping == nil && (isTuple || used == 0) {
            if case .list = values.first, !isTuple { return String(result) }
            throw TemplateError(.type, "not all values were used by the text's '%'")
        }
        return String(result)
    }

    private mutating func conversion() throws(TemplateError) -> String {
        var conversion = Conversion()
        if current == "(" {
            var key = String.UnicodeScalarView()
            next()
            while let scalar = current, scalar != ")" {
                key.append(scalar)
                next()
            }
            next()
            guard let mapping, let value = mapping[String(key)] else {
                throw TemplateError(
                    .value, "the values for '%' have no '\(String(key).prefix(40))'")
            }
            conversion.value = value
            used = values.count
        }
        while let scalar = current, ["-", "+", " ", "0", "#"].contains(scalar) {
            conversion.flags.insert(scalar)
            next()
        }
        conversion.width = try number(&conversion)
        if conversion.width < 0 {
            conversion.flags.insert("-")
            conversion.width = -conversion.width
        }
        if current == "." {
            next()
            conversion.precision = max(0, try number(&conversion))
        }
        while let scalar = current, ["h", "l", "L"].contains(scalar) { next() }
        guard let letter = current else { throw TemplateError(.value, "a '%' has no letter") }
        next()
        if letter == "%" { return "%" }
        return try converted(letter, conversion)
    }

    /// A width or precision, or the next value for a star.
    private mutating func number(_ conversion: inout Conversion) throws(TemplateError) -> Int {
        var result = 0
        if current == "*" {
            next()
            guard case .integer(let value)? = try nextValue().number else {
                throw TemplateError(.type, "'*' needs a whole number")
            }
            result = value
        } else {
            while let scalar = current, ("0"..."9").contains(scalar), result <= 1_000_000 {
                result = result * 10 + Int(scalar.value - 48)
                next()
            }
        }
        guard (-TemplateLimits.formatWidth...TemplateLimits.formatWidth).contains(result) else {
            throw TemplateError(
                .limit, "a format is wider than \(TemplateLimits.formatWidth) characters")
        }
        return result
    }

    private mutating func nextValue() throws(TemplateError) -> TemplateValue {
        guard used < values.count, isTuple || used == 0 else {
            throw TemplateError(.type, "there are not enough values for the text's '%'")
        }
        used += 1
        return values[used - 1]
    }

    private mutating func converted(
        _ letter: Unicode.Scalar, _ conversion: Conversion
    ) throws(TemplateError) -> String {
        let value: TemplateValue
        if let given = conversion.value { value = given } else { value = try nextValue() }
        switch letter {
        case "s": return padded(text: cut(try interpreter.printed(value), conversion), conversion)
        case "r", "a":
            return padded(text: cut(try interpreter.formatted(value), conversion), conversion)
        case "c":
            if let text = value.text, text.unicodeScalars.count == 1 {
                return padded(text: text, conversion)
            }
            guard case .integer(let code)? = value.number, let code = UInt32(exactly: code),
                let scalar = Unicode.Scalar(code)
            else { throw TemplateError(.type, "'%c' needs a character") }
            return padded(text: String(scalar), conversion)
        case "d", "i", "u": return try integer(value, radix: 10, letter, conversion)
        case "x", "X": return try integer(value, radix: 16, letter, conversion)
        case "o": return try integer(value, radix: 8, letter, conversion)
        case "e", "E", "f", "F", "g", "G":
            guard let number = value.number?.real else { throw unfit(letter, value) }
            let text = formattedNumber(
                magnitude: number.magnitude, precision: conversion.precision ?? 6,
                letter: Character(letter), keepsZeros: conversion.flags.contains("#"))
            return padded(
                number: text, isNegative: number.sign == .minus && !number.isNaN, conversion)
        default:
            throw TemplateError(.value, "'%\(excerptOf(letter))' is no conversion")
        }
    }

    private func excerptOf(_ letter: Unicode.Scalar) -> String {
        isPrintable(letter) ? String(letter) : "?"
    }

    private func unfit(_ letter: Unicode.Scalar, _ value: TemplateValue) -> TemplateError {
        if case .undefined(let origin) = value { return TemplateError(.undefined, origin.message) }
        return TemplateError(
            .type, "'%\(letter)' needs a number, not a value of type '\(value.typeName)'")
    }

    private func cut(_ text: String, _ conversion: Conversion) -> String {
        guard let precision = conversion.precision else { return text }
        return String(text.unicodeScalars.prefix(precision))
    }

    private func integer(
        _ value: TemplateValue, radix: Int, _ letter: Unicode.Scalar, _ conversion: Conversion
    ) throws(TemplateError) -> String {
        let number: Int
        switch value.number {
        case .integer(let value)?: number = value
        case .real(let real)? where radix == 10:
            guard let whole = Int(exactly: real.rounded(.towardZero)) else {
                throw TemplateError(.value, "a number is too large for '%\(letter)'")
            }
            number = whole
        default: throw unfit(letter, value)
        }
        var digits = String(number.magnitude, radix: radix, uppercase: letter == "X")
        if let precision = conversion.precision, precision > digits.count {
            digits = String(repeating: "0", count: precision - digits.count) + digits
        }
        let prefix =
            conversion.flags.contains("#") && radix != 10 ? (radix == 8 ? "0o" : "0\(letter)") : ""
        return padded(number: digits, isNegative: number < 0, conversion, prefix: prefix)
    }

    private func padded(text: String, _ conversion: Conversion) -> String {
        let missing = conversion.width - text.unicodeScalars.count
        guard missing > 0 else { return text }
        let space = String(repeating: " ", count: missing)
        return conversion.flags.contains("-") ? text + space : space + text
    }

    private func padded(
        number digits: String, isNegative: Bool, _ conversion: Conversion, prefix: String = ""
    ) -> String {
        let flags = conversion.flags
        let sign = isNegative ? "-" : flags.contains("+") ? "+" : flags.contains(" ") ? " " : ""
        let missing = conversion.width - digits.count - sign.count - prefix.count
        if missing > 0 && flags.contains("0") && !flags.contains("-") {
            return sign + prefix + String(repeating: "0", count: missing) + digits
        }
        return padded(text: sign + prefix + digits, conversion)
    }
}

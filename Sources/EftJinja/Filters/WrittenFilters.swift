// SPDX-License-Identifier: Apache-2.0
// Filters for formats, addresses and counting words.

/// Filters that write values in a given form.
enum WrittenFilters {
    static let all: [String: ValueFilter] = [
        "format": format, "urlencode": urlencode, "wordcount": wordcount,
    ]

    @Sendable private static func format(
        _ interpreter: Interpreter, _ value: TemplateValue, _ given: CallArguments
    ) throws(TemplateError) -> TemplateValue {
        guard given.positional.isEmpty || given.keywords.isEmpty else {
            throw TemplateError(.type, "'format' takes values with names or without, not both")
        }
        var values = try TemplateValue.tuple(given.positional)
        if !given.keywords.isEmpty {
            var named = TemplateDictionary()
            for (name, value) in given.keywords { try named.set(name, value) }
            values = .dictionary(named)
        }
        let text = try interpreter.printed(value)
        return try interpreter.made(PercentFormat(interpreter, text, values).formatted())
    }

    @Sendable private static func urlencode(
        _ interpreter: Interpreter, _ value: TemplateValue, _ given: CallArguments
    ) throws(TemplateError) -> TemplateValue {
        _ = try given.bound(to: [], of: "urlencode")
        let pairs: TemplateValue
        switch value {
        case .dictionary: pairs = try DictionaryMethods.pairs(value, interpreter)
        case .list, .tuple: pairs = value
        default:
            return try interpreter.made(
                quoted(try interpreter.printed(value), keepsSlash: true))
        }
        var parts: [String] = []
        for pair in try interpreter.items(of: pairs) {
            let both = try interpreter.items(of: pair)
            guard both.count == 2 else {
                throw TemplateError(.value, "'urlencode' needs pairs of key and value")
            }
            let key = quoted(try interpreter.printed(both[0]), keepsSlash: false)
            parts.append(key + "=" + quoted(try interpreter.printed(both[1]), keepsSlash: false))
        }
        return try StringMethods.joined(parts, "&", interpreter)
    }

    private static func quoted(_ text: String, keepsSlash: Bool) -> String {
        let digits = Array("0123456789ABCDEF".utf8)
        var result: [UInt8] = []
        for byte in text.utf8 {
            switch byte {
            case UInt8(ascii: "a")...UInt8(ascii: "z"), UInt8(ascii: "A")...UInt8(ascii: "Z"),
                UInt8(ascii: "0")...UInt8(ascii: "9"), UInt8(ascii: "_"), UInt8(ascii: "."),
                UInt8(ascii: "-"), UInt8(ascii: "~"):
                result.append(byte)
            case UInt8(ascii: "/") where keepsSlash: result.append(byte)
            case UInt8(ascii: " ") where !keepsSlash: result.append(UInt8(ascii: "+"))
            default: result += [UInt8(ascii: "%"), digits[Int(byte >> 4)], digits[Int(byte & 15)]]
            }
        }
        return String(decoding: result, as: UTF8.self)
    }

    @Sendable private static func wordcount(
        _ interpreter: Interpreter, _ value: TemplateValue, _ given: CallArguments
    ) throws(TemplateError) -> TemplateValue {
        _ = try given.bound(to: [], of: "wordcount")
        var (count, isInside) = (0, false)
        for scalar in try interpreter.printed(value).unicodeScalars {
            let belongs = isWordPart(scalar)
            if belongs && !isInside { count += 1 }
            isInside = belongs
        }
        return .integer(count)
    }

    /// Whether a regular expression's `\w` matches.
    private static func isWordPart(_ scalar: Unicode.Scalar) -> Bool {
        if scalar.isASCII {
            return scalar == "_" || ("0"..."9").contains(scalar) || ("a"..."z").contains(scalar)
                || ("A"..."Z").contains(scalar)
        }
        return PythonText.isLetter(scalar) || scalar.properties.numericType != nil
    }
}

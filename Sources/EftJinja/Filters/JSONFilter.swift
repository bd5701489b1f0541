// SPDX-License-Identifier: Apache-2.0
// Values as JSON, as Hugging Face's `tojson` writes it: Python's json.dumps without escapes for HTML.

/// The filter `tojson`.
enum JSONFilter {
    @Sendable static func tojson(
        _ interpreter: Interpreter, _ value: TemplateValue, _ given: CallArguments
    ) throws(TemplateError) -> TemplateValue {
        let arguments = try given.bound(
            to: ["ensure_ascii", "indent", "separators", "sort_keys"], of: "tojson")
        var writer = JSONText()
        writer.escapesAll = arguments.flag(0, default: false)
        writer.sortsKeys = arguments.flag(3, default: false)
        if let text = arguments[1]?.text {
            writer.indent = text
        } else if let width = try arguments.integer(1) {
            guard width <= TemplateLimits.formatWidth else {
                throw TemplateError(
                    .limit, "an indentation is wider than \(TemplateLimits.formatWidth)")
            }
            writer.indent = String(repeating: " ", count: max(0, width))
        }
        if writer.indent != nil { writer.separator = "," }
        if let pair = arguments[2], !pair.isNone {
            let parts = try interpreter.items(of: pair)
            guard parts.count == 2, let item = parts[0].text, let key = parts[1].text else {
                throw TemplateError(.type, "'tojson' needs a pair of texts as separators")
            }
            (writer.separator, writer.keySeparator) = (item, key)
        }
        // Each part of the value costs its separators and, on a line of its own, its margin.
        let margin = (writer.indent?.utf8.count ?? 0) * (value.height + 1)
        let perPart = 32 + margin + writer.separator.utf8.count + writer.keySeparator.utf8.count
        try interpreter.reserve(perPart, times: value.weight)
        try writer.write(value, depth: 0)
        return try interpreter.made(writer.text)
    }
}

/// JSON that is being written.
private struct JSONText {
    var text = ""
    var escapesAll = false
    var sortsKeys = false
    var indent: String?
    var separator = ", "
    var keySeparator = ": "

    mutating func write(_ value: TemplateValue, depth: Int) throws(TemplateError) {
        switch value {
        case .null: text += "null"
        case .bool(let value): text += value ? "true" : "false"
        case .integer(let value): text += String(value)
        case .real(let value): text += Self.formatted(value)
        case .string(let value): quote(value)
        case .list(let list), .tuple(let list):
            text += "["
            for (place, item) in list.items.enumerated() {
                separate(place, depth: depth + 1)
                try write(item, depth: depth + 1)
            }
            close("]", count: list.items.count, depth: depth)
        case .dictionary(let dictionary):
            try write(dictionary, depth: depth)
        case .undefined, .function, .method, .object:
            throw TemplateError(
                .type, "a value of type '\(value.typeName)' cannot be written as JSON")
        }
    }

    private mutating func write(
        _ dictionary: TemplateDictionary, depth: Int
    ) throws(TemplateError) {
        var entries: [(key: String, value: TemplateValue)] = []
        for (key, value) in dictionary.entries { entries.append((try Self.key(key), value)) }
        if sortsKeys { entries.sort { $0.key.utf8.lexicographicallyPrecedes($1.key.utf8) } }
        text += "{"
        for (place, entry) in entries.enumerated() {
            separate(place, depth: depth + 1)
            quote(entry.key)
            text += keySeparator
            try write(entry.value, depth: depth + 1)
        }
        close("}", count: entries.count, depth: depth)
    }

    private static func formatted(_ value: Double) -> String {
        if value.isNaN { return "NaN" }
        if value.isInfinite { return value < 0 ? "-Infinity" : "Infinity" }
        return TemplateValue.real(value).printed
    }

    private static func key(_ key: TemplateValue) throws(TemplateError) -> String {
        switch key {
        case .string(let text): return text
        case .bool(let value): return value ? "true" : "false"
        case .null: return "null"
        case .integer(let value): return String(value)
        case .real(let value): return formatted(value)
        default:
            throw TemplateError(.type, "a value of type '\(key.typeName)' is no key in JSON")
        }
    }

    private mutating func separate(_ place: Int, depth: Int) {
        if place > 0 { text += separator }
        newLine(depth)
    }

    private mutating func close(_ bracket: String, count: Int, depth: Int) {
        if count > 0 { newLine(depth) }
        text += bracket
    }

    private mutating func newLine(_ depth: Int) {
        guard let indent else { return }
        text += "\n"
        for _ in 0..<depth { text += indent }
    }

    private mutating func quote(_ value: String) {
        text += "\""
        for scalar in value.unicodeScalars {
            switch scalar {
            case "\"": text += "\\\""
            case "\\": text += "\\\\"
            case "\n": text += "\\n"
            case "\r": text += "\\r"
            case "\t": text += "\\t"
            case "\u{8}": text += "\\b"
            case "\u{C}": text += "\\f"
            default:
                if scalar.value < 0x20 || escapesAll && scalar.value > 0x7E {
                    for unit in String(scalar).utf16 {
                        let digits = String(unit, radix: 16)
                        text += "\\u" + String(repeating: "0", count: 4 - digits.count) + digits
                    }
                } else {
                    text.unicodeScalars.append(scalar)
                }
            }
        }
        text += "\""
    }
}

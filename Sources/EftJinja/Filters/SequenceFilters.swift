// SPDX-License-Identifier: Apache-2.0
// Filters on lists and mappings.

/// Filters of sequences that keep their order.
enum SequenceFilters {
    static let all: [String: ValueFilter] = [
        "default": standard, "d": standard, "attr": attr, "first": first, "last": last,
        "list": list, "items": items, "reverse": reverse, "batch": batch, "slice": slice,
    ]

    @Sendable private static func standard(
        _ interpreter: Interpreter, _ value: TemplateValue, _ given: CallArguments
    ) throws(TemplateError) -> TemplateValue {
        let arguments = try given.bound(to: ["default_value", "boolean"], of: "default")
        let isMissing = value.isUndefined || arguments.flag(1, default: false) && !value.isTrue
        return isMissing ? arguments[0] ?? .string("") : value
    }

    /// An attribute alone, never an entry.
    @Sendable private static func attr(
        _ interpreter: Interpreter, _ value: TemplateValue, _ given: CallArguments
    ) throws(TemplateError) -> TemplateValue {
        let name = try given.bound(to: ["name"], of: "attr").requiredText(0)
        if case .dictionary = value, !Methods.has(name, value) {
            return .undefined(.attribute(name, of: value.typeName))
        }
        return try interpreter.attribute(name, of: value)
    }

    @Sendable private static func first(
        _ interpreter: Interpreter, _ value: TemplateValue, _ given: CallArguments
    ) throws(TemplateError) -> TemplateValue {
        _ = try given.bound(to: [], of: "first")
        if let first = value.text?.unicodeScalars.first { return .string(String(first)) }
        return try interpreter.items(of: value).first
            ?? .undefined(.other("no first item, the sequence was empty"))
    }

    @Sendable private static func last(
        _ interpreter: Interpreter, _ value: TemplateValue, _ given: CallArguments
    ) throws(TemplateError) -> TemplateValue {
        _ = try given.bound(to: [], of: "last")
        if let last = value.text?.unicodeScalars.last { return .string(String(last)) }
        return try interpreter.items(of: value).last
            ?? .undefined(.other("no last item, the sequence was empty"))
    }

    @Sendable private static func list(
        _ interpreter: Interpreter, _ value: TemplateValue, _ given: CallArguments
    ) throws(TemplateError) -> TemplateValue {
        _ = try given.bound(to: [], of: "list")
        return try interpreter.made(try interpreter.items(of: value))
    }

    @Sendable private static func items(
        _ interpreter: Interpreter, _ value: TemplateValue, _ given: CallArguments
    ) throws(TemplateError) -> TemplateValue {
        _ = try given.bound(to: [], of: "items")
        switch value {
        case .undefined: return try .list([])
        case .dictionary: return try DictionaryMethods.pairs(value, interpreter)
        default: throw TemplateError(.type, "'items' needs a mapping")
        }
    }

    @Sendable private static func reverse(
        _ interpreter: Interpreter, _ value: TemplateValue, _ given: CallArguments
    ) throws(TemplateError) -> TemplateValue {
        _ = try given.bound(to: [], of: "reverse")
        if let text = value.text {
            return try interpreter.made(
                String(String.UnicodeScalarView(text.unicodeScalars.reversed())))
        }
        return try interpreter.made(try interpreter.items(of: value).reversed())
    }

    @Sendable private static func batch(
        _ interpreter: Interpreter, _ value: TemplateValue, _ given: CallArguments
    ) throws(TemplateError) -> TemplateValue {
        let arguments = try given.bound(to: ["linecount", "fill_with"], of: "batch")
        _ = try arguments.required(0)
        let size = try arguments.integer(0, default: 1)
        var rows: [[TemplateValue]] = []
        for item in try interpreter.items(of: value) {
            try interpreter.charge(1)
            if let row = rows.last, row.count < max(1, size) {
                rows[rows.count - 1].append(item)
            } else {
                rows.append([item])
            }
        }
        if let fill = arguments[1], !fill.isNone, let row = rows.last, row.count < size {
            try interpreter.reserve(TemplateLimits.itemBytes, times: size)
            rows[rows.count - 1] += Array(repeating: fill, count: size - row.count)
        }
        return try lists(rows, interpreter)
    }

    private static func lists(
        _ rows: [[TemplateValue]], _ interpreter: Interpreter
    ) throws(TemplateError) -> TemplateValue {
        var result: [TemplateValue] = []
        for row in rows { result.append(try interpreter.made(row)) }
        return try interpreter.made(result)
    }

    @Sendable private static func slice(
        _ interpreter: Interpreter, _ value: TemplateValue, _ given: CallArguments
    ) throws(TemplateError) -> TemplateValue {
        let arguments = try given.bound(to: ["slices", "fill_with"], of: "slice")
        _ = try arguments.required(0)
        let count = try arguments.integer(0, default: 1)
        guard count > 0 else { throw TemplateError(.value, "'slice' needs at least one slice") }
        try interpreter.reserve(TemplateLimits.itemBytes, times: count)
        let items = try interpreter.items(of: value)
        let (size, longer) = items.count.quotientAndRemainder(dividingBy: count)
        var rows: [[TemplateValue]] = []
        var start = 0
        for number in 0..<count {
            let end = start + size + (number < longer ? 1 : 0)
            var row = Array(items[start..<end])
            if let fill = arguments[1], !fill.isNone, number >= longer { row.append(fill) }
            rows.append(row)
            start = end
        }
        return try lists(rows, interpreter)
    }
}

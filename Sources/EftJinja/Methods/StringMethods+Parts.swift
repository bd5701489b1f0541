// SPDX-License-Identifier: Apache-2.0
// Methods of texts: cutting, joining, replacing.

extension StringMethods {
    @Sendable static func removeprefix(
        _ value: TemplateValue, _ given: CallArguments, _ interpreter: Interpreter
    ) throws(TemplateError) -> TemplateValue {
        let part = try given.bound(to: ["prefix"], of: "removeprefix").requiredText(0)
        let text = text(of: value)
        guard text.utf8.starts(with: part.utf8) else { return value }
        return try interpreter.made(
            String(decoding: text.utf8.dropFirst(part.utf8.count), as: UTF8.self))
    }

    @Sendable static func removesuffix(
        _ value: TemplateValue, _ given: CallArguments, _ interpreter: Interpreter
    ) throws(TemplateError) -> TemplateValue {
        let part = try given.bound(to: ["suffix"], of: "removesuffix").requiredText(0)
        let text = text(of: value)
        guard text.utf8.reversed().starts(with: part.utf8.reversed()) else { return value }
        return try interpreter.made(
            String(decoding: text.utf8.dropLast(part.utf8.count), as: UTF8.self))
    }

    @Sendable static func zfill(
        _ value: TemplateValue, _ given: CallArguments, _ interpreter: Interpreter
    ) throws(TemplateError) -> TemplateValue {
        let arguments = try given.bound(to: ["width"], of: "zfill")
        _ = try arguments.required(0)
        let width = try arguments.integer(0, default: 0)
        let text = text(of: value)
        let length = text.unicodeScalars.count
        guard width > length else { return value }
        try interpreter.reserve(width)
        let missing = width - length
        let zeros = PythonText.repeated("0", missing)
        guard text.utf8.first == UInt8(ascii: "-") || text.utf8.first == UInt8(ascii: "+") else {
            return .string(zeros + text)
        }
        return .string(text.prefix(1) + zeros + text.dropFirst())
    }

    @Sendable static func expandtabs(
        _ value: TemplateValue, _ given: CallArguments, _ interpreter: Interpreter
    ) throws(TemplateError) -> TemplateValue {
        let size = try given.bound(to: ["tabsize"], of: "expandtabs").integer(0, default: 8)
        guard size <= TemplateLimits.formatWidth else {
            throw TemplateError(.limit, "tabs are wider than \(TemplateLimits.formatWidth)")
        }
        let text = text(of: value)
        let tabs = text.utf8.lazy.filter { $0 == 9 }.count
        try interpreter.reserve(max(1, size), times: tabs)
        var result = String.UnicodeScalarView()
        var column = 0
        for scalar in text.unicodeScalars {
            if scalar == "\t" {
                guard size > 0 else { continue }
                let count = size - column % size
                result.append(contentsOf: repeatElement(" ", count: count))
                column += count
            } else {
                result.append(scalar)
                column = scalar == "\n" || scalar == "\r" ? 0 : column + 1
            }
        }
        return try interpreter.made(String(result))
    }

    @Sendable static func format(
        _ value: TemplateValue, _ given: CallArguments, _ interpreter: Interpreter
    ) throws(TemplateError) -> TemplateValue {
        try interpreter.made(BraceFormat(interpreter, given).formatted(text(of: value)))
    }

    // MARK: Splitting

    @Sendable static func split(
        _ value: TemplateValue, _ given: CallArguments, _ interpreter: Interpreter
    ) throws(TemplateError) -> TemplateValue {
        try split(value, given, interpreter, name: "split", fromEnd: false)
    }

    @Sendable static func rsplit(
        _ value: TemplateValue, _ given: CallArguments, _ interpreter: Interpreter
    ) throws(TemplateError) -> TemplateValue {
        try split(value, given, interpreter, name: "rsplit", fromEnd: true)
    }

    private static func split(
        _ value: TemplateValue, _ given: CallArguments, _ interpreter: Interpreter, name: String,
        fromEnd: Bool
    ) throws(TemplateError) -> TemplateValue {
        let arguments = try given.bound(to: ["sep", "maxsplit"], of: name)
        let limit = try arguments.integer(1, default: -1)
        let cuts = limit < 0 ? Int.max : limit
        let text = text(of: value)
        guard let separator = try arguments.text(0) else {
            return try strings(
                PythonText.splitAtSpace(text, cuts: cuts, fromEnd: fromEnd), interpreter)
        }
        guard !separator.isEmpty else {
            throw TemplateError(.value, "'\(name)' cannot cut at an empty text")
        }
        let (bytes, part) = (Array(text.utf8), Array(separator.utf8))
        try chargeSearch(part, interpreter)
        let places =
            fromEnd
            ? placesFromEnd(of: part, in: bytes, limit: cuts)
            : ByteSearch.all(of: part, in: bytes, limit: cuts)
        var pieces: [String] = []
        var start = 0
        for place in places {
            pieces.append(String(decoding: bytes[start..<place], as: UTF8.self))
            start = place + part.count
        }
        pieces.append(String(decoding: bytes[start...], as: UTF8.self))
        return try strings(pieces, interpreter)
    }

    private static func placesFromEnd(of part: [UInt8], in text: [UInt8], limit: Int) -> [Int] {
        var places: [Int] = []
        var end = text.count
        while places.count < limit,
            let place = ByteSearch.last(of: part, in: text, before: end)
        {
            places.append(place)
            end = place
        }
        return places.reversed()
    }

    /// A list of texts.
    static func strings(
        _ texts: [String], _ interpreter: Interpreter
    ) throws(TemplateError) -> TemplateValue {
        var bytes = 0
        for text in texts { bytes += text.utf8.count }
        try interpreter.reserve(bytes)
        return try interpreter.made(texts.map { .string($0) })
    }

    @Sendable static func splitlines(
        _ value: TemplateValue, _ given: CallArguments, _ interpreter: Interpreter
    ) throws(TemplateError) -> TemplateValue {
        let arguments = try given.bound(to: ["keepends"], of: "splitlines")
        return try strings(
            PythonText.lines(
                text(of: value), keepingEnds: arguments.flag(0, default: false)), interpreter)
    }

    @Sendable static func partition(
        _ value: TemplateValue, _ given: CallArguments, _ interpreter: Interpreter
    ) throws(TemplateError) -> TemplateValue {
        try partition(value, given, interpreter, name: "partition", last: false)
    }

    @Sendable static func rpartition(
        _ value: TemplateValue, _ given: CallArguments, _ interpreter: Interpreter
    ) throws(TemplateError) -> TemplateValue {
        try partition(value, given, interpreter, name: "rpartition", last: true)
    }

    private static func partition(
        _ value: TemplateValue, _ given: CallArguments, _ interpreter: Interpreter, name: String,
        last: Bool
    ) throws(TemplateError) -> TemplateValue {
        let separator = try given.bound(to: ["sep"], of: name).requiredText(0)
        let (bytes, part) = (Array(text(of: value).utf8), Array(separator.utf8))
        guard !part.isEmpty else {
            throw TemplateError(.value, "'\(name)' cannot cut at an empty text")
        }
        try chargeSearch(part, interpreter)
        try interpreter.reserve(bytes.count)
        let place =
            last
            ? ByteSearch.last(of: part, in: bytes, before: bytes.count)
            : ByteSearch.first(of: part, in: bytes, from: 0)
        guard let place else {
            return try .tuple(
                last
                    ? [.string(""), .string(""), value] : [value, .string(""), .string("")])
        }
        return try .tuple([
            .string(String(decoding: bytes[..<place], as: UTF8.self)), .string(separator),
            .string(String(decoding: bytes[(place + part.count)...], as: UTF8.self)),
        ])
    }

    // MARK: Joining and replacing

    @Sendable static func join(
        _ value: TemplateValue, _ given: CallArguments, _ interpreter: Interpreter
    ) throws(TemplateError) -> TemplateValue {
        let iterable = try given.bound(to: ["iterable"], of: "join").required(0)
        if case .undefined(let origin) = iterable {
            throw TemplateError(.undefined, origin.message)
        }
        var texts: [String] = []
        for item in try interpreter.items(of: iterable) {
            guard let text = item.text else {
                throw TemplateError(
                    .type, "'join' needs texts, not a value of type '\(item.typeName)'")
            }
            texts.append(text)
        }
        return try joined(texts, text(of: value), interpreter)
    }

    /// Texts with another between them.
    static func joined(
        _ texts: [String], _ separator: String, _ interpreter: Interpreter
    ) throws(TemplateError) -> TemplateValue {
        var bytes = 0
        for text in texts { bytes = saturatingSum(bytes, text.utf8.count + separator.utf8.count) }
        try interpreter.reserve(bytes)
        return .string(texts.joined(separator: separator))
    }

    @Sendable static func replace(
        _ value: TemplateValue, _ given: CallArguments, _ interpreter: Interpreter
    ) throws(TemplateError) -> TemplateValue {
        let arguments = try given.bound(to: ["old", "new", "count"], of: "replace")
        return try replaced(
            text(of: value), try arguments.requiredText(0), try arguments.requiredText(1),
            limit: try arguments.integer(2, default: -1), interpreter)
    }

    /// A text with parts of it replaced; a negative limit is none.
    static func replaced(
        _ text: String, _ old: String, _ new: String, limit: Int, _ interpreter: Interpreter
    ) throws(TemplateError) -> TemplateValue {
        let limit = limit < 0 ? Int.max : limit
        let (bytes, part, replacement) = (Array(text.utf8), Array(old.utf8), Array(new.utf8))
        try chargeSearch(part, interpreter)
        var places: [Int]
        if part.isEmpty {
            // An empty part lies before each code point and at the end.
            places = bytes.indices.filter { bytes[$0] & 0xC0 != 0x80 } + [bytes.count]
            if places.count > limit { places.removeLast(places.count - limit) }
        } else {
            places = ByteSearch.all(of: part, in: bytes, limit: limit)
        }
        try interpreter.reserve(replacement.count, times: places.count)
        var result: [UInt8] = []
        result.reserveCapacity(
            bytes.count + places.count * max(0, replacement.count - part.count))
        var start = 0
        for place in places {
            result += bytes[start..<place]
            result += replacement
            start = place + part.count
        }
        result += bytes[start...]
        return try interpreter.made(String(decoding: result, as: UTF8.self))
    }
}

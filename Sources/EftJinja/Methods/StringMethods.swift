// SPDX-License-Identifier: Apache-2.0
// Methods of texts: changing case, trimming, padding, asking.

/// Methods of texts.
enum StringMethods {
    static let all: [String: Method] = [
        "upper": plain("upper") { PythonText.upper($0) },
        "lower": plain("lower") { PythonText.lower($0) },
        "casefold": plain("casefold") { PythonText.lower($0) },
        "capitalize": plain("capitalize") { PythonText.capitalized($0) },
        "title": plain("title") { PythonText.titled($0) },
        "swapcase": plain("swapcase") { PythonText.caseSwapped($0) },
        "strip": stripping("strip", front: true, back: true),
        "lstrip": stripping("lstrip", front: true, back: false),
        "rstrip": stripping("rstrip", front: false, back: true),
        "removeprefix": removeprefix, "removesuffix": removesuffix,
        "startswith": affix("startswith") { text, part in text.starts(with: part) },
        "endswith": affix("endswith") { text, part in text.reversed().starts(with: part.reversed())
        },
        "center": padding("center"), "ljust": padding("ljust"), "rjust": padding("rjust"),
        "zfill": zfill, "expandtabs": expandtabs, "format": format,
        "split": split, "rsplit": rsplit, "splitlines": splitlines, "join": join,
        "partition": partition, "rpartition": rpartition, "replace": replace,
        "find": searching("find", last: false, throwing: false),
        "rfind": searching("rfind", last: true, throwing: false),
        "index": searching("index", last: false, throwing: true),
        "rindex": searching("rindex", last: true, throwing: true), "count": count,
        "isspace": asking("isspace", isPythonSpace),
        "isalpha": asking("isalpha") { PythonText.isLetter($0) },
        "isdigit": asking("isdigit") { PythonText.isDigit($0) },
        "isdecimal": asking("isdecimal") { $0.properties.generalCategory == .decimalNumber },
        "isnumeric": asking("isnumeric") { $0.properties.numericType != nil },
        "isalnum": asking("isalnum") {
            PythonText.isLetter($0) || $0.properties.numericType != nil
        },
        "isascii": plainTest("isascii") { $0.utf8.allSatisfy { $0 < 0x80 } },
        "isprintable": plainTest("isprintable") { $0.unicodeScalars.allSatisfy(isPrintable) },
        "isidentifier": plainTest("isidentifier") { PythonText.isIdentifier($0) },
        "isupper": plainTest("isupper") { PythonText.isCased($0, upper: true) },
        "islower": plainTest("islower") { PythonText.isCased($0, upper: false) },
        "istitle": plainTest("istitle") { PythonText.isTitle($0) },
    ]

    static func text(of value: TemplateValue) -> String { value.text ?? "" }

    // MARK: Whole families

    private static func plain(
        _ name: String, _ change: @escaping @Sendable (String) -> String
    ) -> Method {
        { value, given, interpreter throws(TemplateError) in
            _ = try given.bound(to: [], of: name)
            return try interpreter.made(change(text(of: value)))
        }
    }

    private static func plainTest(
        _ name: String, _ test: @escaping @Sendable (String) -> Bool
    ) -> Method {
        { value, given, interpreter throws(TemplateError) in
            _ = try given.bound(to: [], of: name)
            return .bool(test(text(of: value)))
        }
    }

    /// Asks the same of each code point; an empty text fails.
    private static func asking(
        _ name: String, _ test: @escaping @Sendable (Unicode.Scalar) -> Bool
    ) -> Method {
        plainTest(name) { !$0.isEmpty && $0.unicodeScalars.allSatisfy(test) }
    }

    private static func stripping(_ name: String, front: Bool, back: Bool) -> Method {
        { value, given, interpreter throws(TemplateError) in
            let characters = try given.bound(to: ["chars"], of: name).text(0)
            return try interpreter.made(
                PythonText.stripped(
                    text(of: value), of: characters, front: front, back: back))
        }
    }

    /// `startswith` and `endswith`, which take a text or a tuple of them.
    private static func affix(
        _ name: String,
        _ matches: @escaping @Sendable (ArraySlice<UInt8>, [UInt8]) -> Bool
    ) -> Method {
        { value, given, interpreter throws(TemplateError) in
            let arguments = try given.bound(to: ["prefix", "start", "end"], of: name)
            let (body, _, isInside) = try window(of: value, arguments, 1)
            let wanted = try arguments.required(0)
            var parts = [wanted]
            if case .tuple(let list) = wanted { parts = list.items }
            for part in parts {
                guard let part = part.text else {
                    throw TemplateError(.type, "'\(name)' needs a text or a tuple of texts")
                }
                try interpreter.charge(1 + part.utf8.count / 32)
                if isInside, matches(body, Array(part.utf8)) { return .bool(true) }
            }
            return .bool(false)
        }
    }

    /// The bytes between two optional bounds in code points, where they begin in code points, and whether the start
    /// lies in the text.
    private static func window(
        of value: TemplateValue, _ arguments: BoundArguments, _ place: Int
    ) throws(TemplateError) -> (bytes: ArraySlice<UInt8>, start: Int, isInside: Bool) {
        let bytes = Array(text(of: value).utf8)
        let start = try arguments.integer(place)
        let stop = try arguments.integer(place + 1)
        guard start != nil || stop != nil else { return (bytes[...], 0, true) }
        let count = PythonText.length(bytes[...])
        func clamped(_ bound: Int) -> Int {
            bound < 0 ? max(0, max(bound, -count) + count) : min(bound, count)
        }
        let first = start.map(clamped) ?? 0
        let last = max(first, stop.map(clamped) ?? count)
        let lower = PythonText.offset(of: first, in: bytes)
        let upper = PythonText.offset(of: last, in: bytes)
        let isInside = (start ?? 0) <= count && (stop.map(clamped) ?? count) >= first
        return (bytes[lower..<upper], first, isInside)
    }

    private static func padding(_ name: String) -> Method {
        { value, given, interpreter throws(TemplateError) in
            let arguments = try given.bound(to: ["width", "fillchar"], of: name)
            _ = try arguments.required(0)
            let fill = try arguments.text(1) ?? " "
            guard fill.unicodeScalars.count == 1 else {
                throw TemplateError(.type, "'\(name)' fills with one character")
            }
            return try padded(
                text(of: value), to: try arguments.integer(0, default: 0), fill, name, interpreter)
        }
    }

    /// A text with characters on one or both sides.
    static func padded(
        _ text: String, to width: Int, _ fill: String, _ side: String, _ interpreter: Interpreter
    ) throws(TemplateError) -> TemplateValue {
        let length = text.unicodeScalars.count
        guard width > length else { return .string(text) }
        let missing = width - length
        try interpreter.reserve(4, times: width)
        // Python puts the odd one in front when the width is odd.
        let front =
            switch side {
            case "center": missing / 2 + (missing & width & 1)
            case "rjust": missing
            default: 0
            }
        return .string(
            PythonText.repeated(fill, front) + text
                + PythonText.repeated(fill, missing - front))
    }

    private static func searching(_ name: String, last: Bool, throwing: Bool) -> Method {
        { value, given, interpreter throws(TemplateError) in
            let arguments = try given.bound(to: ["sub", "start", "end"], of: name)
            let part = Array(try arguments.requiredText(0).utf8)
            let (body, start, isInside) = try window(of: value, arguments, 1)
            try chargeSearch(part, interpreter)
            let bytes = Array(body)
            let place =
                last
                ? ByteSearch.last(of: part, in: bytes, before: bytes.count)
                : ByteSearch.first(of: part, in: bytes, from: 0)
            guard let place, isInside else {
                if throwing { throw TemplateError(.value, "the text does not hold the part") }
                return .integer(-1)
            }
            return .integer(start + PythonText.length(bytes[..<place]))
        }
    }

    /// Pays for a search; the text was paid for when the method was called.
    static func chargeSearch(
        _ part: [UInt8], _ interpreter: Interpreter
    ) throws(TemplateError) { try interpreter.charge(1 + part.count / 4) }

    @Sendable private static func count(
        _ value: TemplateValue, _ given: CallArguments, _ interpreter: Interpreter
    ) throws(TemplateError) -> TemplateValue {
        let arguments = try given.bound(to: ["sub", "start", "end"], of: "count")
        let part = Array(try arguments.requiredText(0).utf8)
        let (body, _, isInside) = try window(of: value, arguments, 1)
        try chargeSearch(part, interpreter)
        guard isInside else { return .integer(0) }
        if part.isEmpty { return .integer(PythonText.length(body) + 1) }
        return .integer(ByteSearch.all(of: part, in: Array(body), limit: .max).count)
    }
}

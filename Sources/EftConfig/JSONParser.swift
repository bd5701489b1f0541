// SPDX-License-Identifier: Apache-2.0
// A strict JSON reader (RFC 8259) that keeps order and lines and bounds depth and size.

/// Reads JSON text into `ConfigNode`s.
///
/// Strict where files are checked: duplicate keys, trailing text, lone surrogates, invalid UTF-8
/// and nesting deeper than the limit are errors. Integers beyond 64 bits become real numbers. A
/// byte-order mark in front is passed over. Values take up to 50 times the memory of their text, so their number is
/// bounded.
package struct JSONParser {
    /// Most values and keys of a document; a header of 100,000 tensors has 1.1 million.
    package static let maximumValues = 1 << 22

    private let bytes: UnsafeBufferPointer<UInt8>
    private var position = 0
    private var line: Int
    private var depth = 0
    private let maximumDepth: Int
    private var remainingValues: Int
    private let acceptsNonFinite: Bool
    private let file: String?

    /// Parses a whole document.
    /// - Parameters:
    ///   - maximumDepth: deepest nesting of lists and mappings.
    ///   - maximumValues: most values and keys.
    ///   - acceptsNonFinite: whether `NaN`, `Infinity` and `-Infinity` are numbers, as in Python.
    ///   - firstLine: the line at which the text stands in its file, counted from 1.
    /// - Throws: `ConfigError` (`syntax`, `duplicateKey`, `tooLarge`) with the line.
    package static func parse(
        _ bytes: UnsafeBufferPointer<UInt8>, file: String? = nil, maximumDepth: Int = 256,
        maximumValues: Int = Self.maximumValues, acceptsNonFinite: Bool = false,
        firstLine: Int = 1
    ) throws(ConfigError) -> ConfigNode {
        var parser = JSONParser(
            bytes: bytes, file: file, maximumDepth: maximumDepth, maximumValues: maximumValues,
            acceptsNonFinite: acceptsNonFinite, firstLine: firstLine)
        if bytes.count >= 3, bytes[0] == 0xEF, bytes[1] == 0xBB, bytes[2] == 0xBF {
            parser.position = 3
        }
        let node = try parser.value()
        parser.skipSpace()
        guard parser.position == bytes.count else {
            throw parser.syntax("unexpected text after the end of the document")
        }
        return node
    }

    /// Parses a whole document given as bytes.
    package static func parse(
        _ bytes: [UInt8], file: String? = nil, maximumDepth: Int = 256,
        acceptsNonFinite: Bool = false
    ) throws(ConfigError) -> ConfigNode {
        try bytes.withUnsafeBufferPointer { (buffer) throws(ConfigError) in
            try parse(
                buffer, file: file, maximumDepth: maximumDepth, acceptsNonFinite: acceptsNonFinite)
        }
    }

    /// Parses a whole document given as text.
    package static func parse(
        _ text: String, file: String? = nil, maximumDepth: Int = 256,
        acceptsNonFinite: Bool = false
    ) throws(ConfigError) -> ConfigNode {
        try parse(
            Array(text.utf8), file: file, maximumDepth: maximumDepth,
            acceptsNonFinite: acceptsNonFinite)
    }

    private init(
        bytes: UnsafeBufferPointer<UInt8>, file: String?, maximumDepth: Int, maximumValues: Int,
        acceptsNonFinite: Bool, firstLine: Int
    ) {
        self.bytes = bytes
        self.file = file
        self.maximumDepth = maximumDepth
        remainingValues = maximumValues
        self.acceptsNonFinite = acceptsNonFinite
        self.line = firstLine
    }

    // MARK: Values

    private mutating func value() throws(ConfigError) -> ConfigNode {
        skipSpace()
        let start = line
        guard let byte = peek else { throw syntax("the document ends where a value is expected") }
        try count()
        switch byte {
        case UInt8(ascii: "{"): return ConfigNode(.object(try object()), line: start)
        case UInt8(ascii: "["): return ConfigNode(.array(try array()), line: start)
        case UInt8(ascii: "\""): return ConfigNode(.string(try string()), line: start)
        case UInt8(ascii: "t"):
            try literal("true")
            return ConfigNode(.bool(true), line: start)
        case UInt8(ascii: "f"):
            try literal("false")
            return ConfigNode(.bool(false), line: start)
        case UInt8(ascii: "n"):
            try literal("null")
            return ConfigNode(.null, line: start)
        case UInt8(ascii: "N") where acceptsNonFinite:
            try literal("NaN")
            return ConfigNode(.real(.nan), line: start)
        case UInt8(ascii: "I") where acceptsNonFinite:
            try literal("Infinity")
            return ConfigNode(.real(.infinity), line: start)
        case UInt8(ascii: "-"), UInt8(ascii: "0")...UInt8(ascii: "9"):
            return ConfigNode(try number(), line: start)
        case UInt8(ascii: "'"): throw syntax("strings stand in double quotes, not in single ones")
        default: throw syntax("unexpected \(describe(byte)) where a value is expected")
        }
    }

    private mutating func object() throws(ConfigError) -> ConfigObject {
        try enter()
        var object = ConfigObject()
        skipSpace()
        if take(UInt8(ascii: "}")) { return leave(object) }
        while true {
            skipSpace()
            guard peek == UInt8(ascii: "\"") else { throw syntax("expected a key in quotes") }
            let keyLine = line
            let key = try string()
            try count()
            skipSpace()
            guard take(UInt8(ascii: ":")) else { throw syntax("expected ':' after a key") }
            guard object.insert(key, try value(), line: keyLine) else {
                throw ConfigError(
                    .duplicateKey, "the key '\(excerpt(key))' appears twice", file: file,
                    line: keyLine)
            }
            skipSpace()
            if take(UInt8(ascii: ",")) { continue }
            guard take(UInt8(ascii: "}")) else { throw syntax("expected ',' or '}'") }
            return leave(object)
        }
    }

    private mutating func array() throws(ConfigError) -> [ConfigNode] {
        try enter()
        var items: [ConfigNode] = []
        skipSpace()
        if take(UInt8(ascii: "]")) { return leave(items) }
        while true {
            items.append(try value())
            skipSpace()
            if take(UInt8(ascii: ",")) { continue }
            guard take(UInt8(ascii: "]")) else { throw syntax("expected ',' or ']'") }
            return leave(items)
        }
    }

    private mutating func enter() throws(ConfigError) {
        position += 1
        depth += 1
        guard depth <= maximumDepth else {
            throw ConfigError(
                .tooLarge, "values are nested deeper than \(maximumDepth)", file: file,
                line: line)
        }
    }

    private mutating func count() throws(ConfigError) {
        remainingValues -= 1
        guard remainingValues >= 0 else {
            throw ConfigError(
                .tooLarge, "the document has more values than are read", file: file, line: line)
        }
    }

    private mutating func leave<T>(_ result: T) -> T {
        depth -= 1
        return result
    }

    private mutating func literal(_ text: StaticString) throws(ConfigError) {
        let matches = text.withUTF8Buffer { expected in
            guard bytes.count - position >= expected.count else { return false }
            return expected.indices.allSatisfy { bytes[position + $0] == expected[$0] }
        }
        guard matches else {
            throw syntax("unknown word; expected true, false, null or a string in quotes")
        }
        position += text.utf8CodeUnitCount
    }

    // MARK: Numbers

    private mutating func number() throws(ConfigError) -> ConfigNode.Content {
        let start = position
        if take(UInt8(ascii: "-")), acceptsNonFinite, peek == UInt8(ascii: "I") {
            try literal("Infinity")
            return .real(-.infinity)
        }
        if take(UInt8(ascii: "0")) {
            if let next = peek, isDigit(next) { throw syntax("a number may not begin with 0") }
        } else {
            try digits()
        }
        var isInteger = true
        if take(UInt8(ascii: ".")) {
            isInteger = false
            try digits()
        }
        if peek == UInt8(ascii: "e") || peek == UInt8(ascii: "E") {
            isInteger = false
            position += 1
            if peek == UInt8(ascii: "+") || peek == UInt8(ascii: "-") { position += 1 }
            try digits()
        }
        let text = String(decoding: bytes[start..<position], as: UTF8.self)
        if isInteger, let integer = Int(text) { return .integer(integer) }
        guard let real = Double(text), real.isFinite else {
            throw syntax("the number \(excerpt(text, limit: 40)) is out of range")
        }
        return .real(real)
    }

    private mutating func digits() throws(ConfigError) {
        guard let first = peek, isDigit(first) else { throw syntax("expected a digit") }
        while let byte = peek, isDigit(byte) { position += 1 }
    }

    // MARK: Strings

    private mutating func string() throws(ConfigError) -> String {
        position += 1
        let start = position
        // The common string has no escape and is copied at once.
        while let byte = peek, byte != UInt8(ascii: "\""), byte != UInt8(ascii: "\\"), byte >= 0x20
        {
            position += 1
        }
        if peek == UInt8(ascii: "\"") {
            let text = try utf8(bytes[start..<position])
            position += 1
            return text
        }
        var unescaped = Array(bytes[start..<position])
        while let byte = peek {
            position += 1
            switch byte {
            case UInt8(ascii: "\""): return try utf8(unescaped[...])
            case UInt8(ascii: "\\"): try escape(into: &unescaped)
            case ..<0x20:
                throw syntax("control character \(byte) inside a string; write it as an escape")
            default: unescaped.append(byte)
            }
        }
        throw syntax("the document ends inside a string")
    }

    private mutating func escape(into text: inout [UInt8]) throws(ConfigError) {
        guard let byte = peek else { throw syntax("the document ends inside a string") }
        position += 1
        switch byte {
        case UInt8(ascii: "\""), UInt8(ascii: "\\"), UInt8(ascii: "/"): text.append(byte)
        case UInt8(ascii: "b"): text.append(8)
        case UInt8(ascii: "f"): text.append(12)
        case UInt8(ascii: "n"): text.append(10)
        case UInt8(ascii: "r"): text.append(13)
        case UInt8(ascii: "t"): text.append(9)
        case UInt8(ascii: "u"): text.append(contentsOf: Array(try unicodeEscape().utf8))
        default: throw syntax("unknown escape \\\(describe(byte))")
        }
    }

    private mutating func unicodeEscape() throws(ConfigError) -> String {
        let first = try hex4()
        var code = first
        if first & 0xFC00 == 0xD800, take(UInt8(ascii: "\\")), take(UInt8(ascii: "u")) {
            let second = try hex4()
            guard second & 0xFC00 == 0xDC00 else { throw syntax("a lone surrogate in a string") }
            code = 0x10000 + ((first & 0x3FF) << 10) + (second & 0x3FF)
        }
        guard let scalar = Unicode.Scalar(code) else {
            throw syntax("a lone surrogate in a string")
        }
        return String(scalar)
    }

    private mutating func hex4() throws(ConfigError) -> UInt32 {
        var code: UInt32 = 0
        for _ in 0..<4 {
            guard let byte = peek, let digit = hexadecimalDigit(byte) else {
                throw syntax("expected four hexadecimal digits after \\u")
            }
            code = code << 4 | digit
            position += 1
        }
        return code
    }

    private func hexadecimalDigit(_ byte: UInt8) -> UInt32? {
        switch byte {
        case UInt8(ascii: "0")...UInt8(ascii: "9"): UInt32(byte - UInt8(ascii: "0"))
        case UInt8(ascii: "a")...UInt8(ascii: "f"): UInt32(byte - UInt8(ascii: "a") + 10)
        case UInt8(ascii: "A")...UInt8(ascii: "F"): UInt32(byte - UInt8(ascii: "A") + 10)
        default: nil
        }
    }

    private func utf8(_ slice: some Collection<UInt8>) throws(ConfigError) -> String {
        guard let text = String(validating: slice, as: UTF8.self) else {
            throw syntax("a string is not valid UTF-8")
        }
        return text
    }

    // MARK: Bytes

    private var peek: UInt8? { position < bytes.count ? bytes[position] : nil }

    private mutating func take(_ byte: UInt8) -> Bool {
        guard peek == byte else { return false }
        position += 1
        return true
    }

    private mutating func skipSpace() {
        while let byte = peek {
            switch byte {
            case UInt8(ascii: "\n"): line += 1
            case UInt8(ascii: " "), UInt8(ascii: "\t"), UInt8(ascii: "\r"): break
            default: return
            }
            position += 1
        }
    }

    private func isDigit(_ byte: UInt8) -> Bool { byte &- UInt8(ascii: "0") < 10 }

    private func describe(_ byte: UInt8) -> String {
        byte >= 0x20 && byte < 0x7F ? "'\(Unicode.Scalar(byte))'" : "byte \(byte)"
    }

    private func syntax(_ message: String) -> ConfigError {
        ConfigError(.syntax, message, file: file, line: line)
    }
}

// SPDX-License-Identifier: Apache-2.0
// Cuts a template into words, with blocks trimmed as Hugging Face's tools trim them.

/// Reads the text of a template, with `trim_blocks` and `lstrip_blocks` on: the line end behind a block or comment
/// goes, and so do the blanks before one that stands first in its line.
struct Lexer {
    private let bytes: [UInt8]
    private var position = 0
    private var line = 1
    private var tokens: [Token] = []
    /// Whether what was last read ended a line.
    private var isAtLineStart = true

    /// The words of a template.
    /// - Throws: `TemplateError` (`syntax`, `limit`).
    static func tokens(of source: String) throws(TemplateError) -> [Token] {
        guard source.utf8.count <= TemplateLimits.sourceBytes else {
            throw TemplateError(
                .limit, "the template is larger than \(TemplateLimits.sourceBytes) bytes")
        }
        var lexer = Lexer(source)
        try lexer.run()
        return lexer.tokens
    }

    /// Line ends become "\n", and one at the very end goes.
    private init(_ source: String) {
        var bytes: [UInt8] = []
        bytes.reserveCapacity(source.utf8.count)
        var previous: UInt8 = 0
        for byte in source.utf8 {
            if byte == UInt8(ascii: "\r") {
                bytes.append(UInt8(ascii: "\n"))
            } else if byte != UInt8(ascii: "\n") || previous != UInt8(ascii: "\r") {
                bytes.append(byte)
            }
            previous = byte
        }
        if bytes.last == UInt8(ascii: "\n") { bytes.removeLast() }
        self.bytes = bytes
    }

    // MARK: Text between tags

    private mutating func run() throws(TemplateError) {
        while let start = nextTag(from: position) {
            let kind = bytes[start + 1]
            if kind == UInt8(ascii: "%"), let body = rawBody(at: start) {
                data(until: start, sign: sign(at: start + 2), isVariable: false)
                try raw(body, from: start)
            } else {
                data(
                    until: start, sign: sign(at: start + 2),
                    isVariable: kind == UInt8(ascii: "{"))
                switch kind {
                case UInt8(ascii: "#"): try comment()
                case UInt8(ascii: "{"): try expression(.variableBegin)
                default: try expression(.blockBegin)
                }
            }
        }
        emit(.data, position, bytes.count)
        position = bytes.count
        tokens.append(Token(kind: .end, text: "", line: line))
    }

    /// The place of the next `{{`, `{%` or `{#`.
    private func nextTag(from start: Int) -> Int? {
        var place = start
        while place + 1 < bytes.count {
            if bytes[place] == UInt8(ascii: "{") {
                switch bytes[place + 1] {
                case UInt8(ascii: "{"), UInt8(ascii: "%"), UInt8(ascii: "#"): return place
                default: break
                }
            }
            place += 1
        }
        return nil
    }

    private func sign(at place: Int) -> UInt8? {
        guard let byte = byte(at: place) else { return nil }
        return byte == UInt8(ascii: "-") || byte == UInt8(ascii: "+") ? byte : nil
    }

    /// Emits the text before a tag, less what the tag takes away, and moves to the tag.
    private mutating func data(until tag: Int, sign: UInt8?, isVariable: Bool) {
        var end = tag
        if sign == UInt8(ascii: "-") {
            end = trimmedEnd(position, tag)
        } else if sign == nil && !isVariable {
            var lineStart = tag
            while lineStart > position, bytes[lineStart - 1] != UInt8(ascii: "\n") {
                lineStart -= 1
            }
            if lineStart > position || isAtLineStart,
                trimmedEnd(lineStart, tag) == lineStart
            {
                end = lineStart
            }
        }
        emit(.data, position, end)
        countLines(end, tag)
        position = tag
    }

    private mutating func emit(_ kind: Token.Kind, _ start: Int, _ end: Int) {
        guard kind != .data || end > start else { return }
        let text = String(decoding: bytes[start..<end], as: UTF8.self)
        tokens.append(Token(kind: kind, text: text, line: line))
        countLines(start, end)
    }

    private mutating func countLines(_ start: Int, _ end: Int) {
        for place in start..<max(start, end) where bytes[place] == UInt8(ascii: "\n") { line += 1 }
    }

    /// Where text ends when the white space behind it is taken away.
    private func trimmedEnd(_ start: Int, _ end: Int) -> Int {
        var result = end
        while result > start {
            var first = result - 1
            while first > start, bytes[first] & 0xC0 == 0x80 { first -= 1 }
            guard let scalar = scalar(first, result), isPythonSpace(scalar) else { break }
            result = first
        }
        return result
    }

    private func scalar(_ start: Int, _ end: Int) -> Unicode.Scalar? {
        if end - start == 1 { return Unicode.Scalar(bytes[start]) }
        return String(decoding: bytes[start..<end], as: UTF8.self).unicodeScalars.first
    }

    private mutating func skipSpace() {
        while let byte = byte(at: position) {
            var end = position + 1
            while let next = self.byte(at: end), byte >= 0xC0, next & 0xC0 == 0x80 { end += 1 }
            guard let scalar = scalar(position, end), isPythonSpace(scalar) else { return }
            if byte == UInt8(ascii: "\n") { line += 1 }
            position = end
        }
    }

    private func byte(at place: Int) -> UInt8? {
        place >= 0 && place < bytes.count ? bytes[place] : nil
    }

    private func has(_ text: StaticString, at place: Int) -> Bool {
        text.withUTF8Buffer { wanted in
            place + wanted.count <= bytes.count
                && wanted.indices.allSatisfy { bytes[place + $0] == wanted[$0] }
        }
    }

    // MARK: Comments and raw text

    private mutating func comment() throws(TemplateError) {
        let first = line
        var place = position + 2
        while place < bytes.count, !has("#}", at: place) { place += 1 }
        guard place < bytes.count else {
            throw TemplateError(.syntax, "a comment is not closed with '#}'", line: first)
        }
        countLines(position, place)
        // A sign directly after the opening brace belongs to it, also in "{#-#}".
        let sign = place > position + 2 ? self.sign(at: place - 1) : nil
        position = place + 2
        tagEnded(sign: sign, trims: true)
    }

    /// Where the text behind `{% raw %}` begins, when this tag is one.
    private func rawBody(at start: Int) -> Int? {
        word("raw", at: start).map { place in
            var copy = self
            copy.position = place.end
            if place.sign == UInt8(ascii: "-") { copy.skipSpace() }
            return copy.position
        }
    }

    /// Whether a block at `start` consists of one word alone: its end and the sign before it.
    private func word(
        _ word: StaticString, at start: Int
    ) -> (end: Int, sign: UInt8?)? {
        guard has("{%", at: start) else { return nil }
        var copy = self
        copy.position = start + 2
        if copy.sign(at: copy.position) != nil { copy.position += 1 }
        copy.skipSpace()
        guard copy.has(word, at: copy.position) else { return nil }
        copy.position += word.utf8CodeUnitCount
        copy.skipSpace()
        var sign: UInt8?
        if let found = copy.sign(at: copy.position) {
            sign = found
            copy.position += 1
        }
        guard copy.has("%}", at: copy.position) else { return nil }
        return (copy.position + 2, sign)
    }

    private mutating func raw(_ body: Int, from start: Int) throws(TemplateError) {
        let first = line
        countLines(start, body)
        position = body
        isAtLineStart = byte(at: body - 1) == UInt8(ascii: "\n")
        var place = body
        while place < bytes.count {
            if let end = word("endraw", at: place) {
                data(until: place, sign: sign(at: place + 2), isVariable: false)
                countLines(place, end.end)
                position = end.end
                tagEnded(sign: end.sign, trims: true)
                return
            }
            place += 1
        }
        throw TemplateError(.syntax, "raw text is not closed with 'endraw'", line: first)
    }

    /// Takes away what the end of a tag takes away behind it.
    private mutating func tagEnded(sign: UInt8?, trims: Bool) {
        if sign == UInt8(ascii: "-") {
            skipSpace()
        } else if trims && sign == nil && byte(at: position) == UInt8(ascii: "\n") {
            position += 1
            line += 1
        }
        isAtLineStart = byte(at: position - 1) == UInt8(ascii: "\n")
    }
}

// MARK: - Inside tags

extension Lexer {
    private mutating func expression(_ kind: Token.Kind) throws(TemplateError) {
        let isBlock = kind == .blockBegin
        let first = line
        emit(kind, position, position + 2)
        position += 2
        if sign(at: position) != nil { position += 1 }
        var brackets: [Symbol] = []
        while true {
            skipSpace()
            if let sign = tagEnd(isBlock: isBlock, isOpen: brackets.isEmpty) {
                tokens.append(
                    Token(kind: isBlock ? .blockEnd : .variableEnd, text: "", line: line))
                position += sign == nil ? 2 : 3
                return tagEnded(sign: sign, trims: isBlock)
            }
            guard let byte = byte(at: position) else {
                throw TemplateError(
                    .syntax, "a tag is not closed with '\(isBlock ? "%}" : "}}")'", line: first)
            }
            switch byte {
            case UInt8(ascii: "0")...UInt8(ascii: "9"): try number()
            case UInt8(ascii: "'"), UInt8(ascii: "\""): try string(quote: byte)
            case _ where isNameByte(byte): name()
            default: try symbol(byte, &brackets)
            }
        }
    }

    /// The sign of a tag's end here; nil inside for none.
    private func tagEnd(isBlock: Bool, isOpen: Bool) -> UInt8?? {
        guard isOpen else { return .none }
        let end: StaticString = isBlock ? "%}" : "}}"
        if has(end, at: position) { return .some(nil) }
        guard let sign = sign(at: position), has(end, at: position + 1),
            isBlock || sign == UInt8(ascii: "-")
        else { return .none }
        return .some(sign)
    }

    private func isNameByte(_ byte: UInt8) -> Bool {
        switch byte {
        case UInt8(ascii: "a")...UInt8(ascii: "z"), UInt8(ascii: "A")...UInt8(ascii: "Z"),
            UInt8(ascii: "0")...UInt8(ascii: "9"), UInt8(ascii: "_"), 0x80...:
            true
        default: false
        }
    }

    private mutating func name() {
        let start = position
        while let byte = byte(at: position), isNameByte(byte) { position += 1 }
        emit(.name, start, position)
    }

    private mutating func symbol(
        _ byte: UInt8, _ brackets: inout [Symbol]
    ) throws(TemplateError) {
        guard let symbol = Symbol.beginning(byte, self.byte(at: position + 1)) else {
            throw TemplateError(
                .syntax, "the sign \(formatted(byte)) has no meaning here", line: line)
        }
        switch symbol {
        case .leftBrace: brackets.append(.rightBrace)
        case .leftBracket: brackets.append(.rightBracket)
        case .leftParenthesis: brackets.append(.rightParenthesis)
        case .rightBrace, .rightBracket, .rightParenthesis:
            guard brackets.popLast() == symbol else {
                throw TemplateError(
                    .syntax, "'\(symbol.rawValue)' closes nothing that is open", line: line)
            }
        default: break
        }
        emit(.symbol(symbol), position, position + symbol.rawValue.utf8.count)
        position += symbol.rawValue.utf8.count
    }

    private func formatted(_ byte: UInt8) -> String {
        byte >= 0x20 && byte < 0x7F ? "'\(Unicode.Scalar(byte))'" : "with code \(byte)"
    }

    // MARK: Numbers

    private mutating func number() throws(TemplateError) {
        let start = position
        if bytes[start] == UInt8(ascii: "0"), let letter = byte(at: start + 1),
            let radix = [UInt8(ascii: "x"): 16, UInt8(ascii: "o"): 8, UInt8(ascii: "b"): 2][
                letter | 0x20]
        {
            position += 2
            let text = digits { $0.hexDigitValue.map { $0 < radix } ?? false }
            return try integer(text, radix: radix)
        }
        let whole = digits { $0.isNumber }
        var text = whole
        let mark = position
        // In "a.0.1" two items are asked for, not one with the number 0.1.
        if byte(at: position) == UInt8(ascii: "."), isDigit(byte(at: position + 1)),
            byte(at: start - 1) != UInt8(ascii: ".")
        {
            position += 1
            text += "." + digits { $0.isNumber }
        }
        if let letter = byte(at: position), letter | 0x20 == UInt8(ascii: "e") {
            var next = position + 1
            if sign(at: next) != nil { next += 1 }
            if isDigit(byte(at: next)) {
                text += "e" + String(decoding: bytes[(position + 1)..<next], as: UTF8.self)
                position = next
                text += digits { $0.isNumber }
            }
        }
        guard position > mark else { return try integer(whole, radix: 10) }
        tokens.append(Token(kind: .real, text: text, line: line))
    }

    private func isDigit(_ byte: UInt8?) -> Bool {
        guard let byte else { return false }
        return byte &- UInt8(ascii: "0") < 10
    }

    /// The digits here, without the underscores between them.
    private mutating func digits(_ belongs: (Character) -> Bool) -> String {
        var text = ""
        while let byte = byte(at: position) {
            if byte == UInt8(ascii: "_"), let next = self.byte(at: position + 1), next < 0x80,
                belongs(Character(Unicode.Scalar(next)))
            {
                position += 1
                continue
            }
            guard byte < 0x80, belongs(Character(Unicode.Scalar(byte))) else { break }
            text.unicodeScalars.append(Unicode.Scalar(byte))
            position += 1
        }
        return text
    }

    private mutating func integer(_ text: String, radix: Int) throws(TemplateError) {
        guard let value = Int(text, radix: radix) else {
            throw TemplateError(.syntax, "a whole number is malformed or too large", line: line)
        }
        tokens.append(Token(kind: .integer, text: String(value), line: line))
    }

    // MARK: Strings

    private mutating func string(quote: UInt8) throws(TemplateError) {
        let first = line
        let start = position + 1
        var end = start
        while let byte = byte(at: end), byte != quote {
            end += byte == UInt8(ascii: "\\") ? 2 : 1
        }
        guard end < bytes.count else {
            throw TemplateError(.syntax, "a string is not closed", line: first)
        }
        let text = try unescaped(bytes[start..<end])
        tokens.append(Token(kind: .string, text: text, line: first))
        countLines(start, end)
        position = end + 1
    }

    private func unescaped(_ bytes: ArraySlice<UInt8>) throws(TemplateError) -> String {
        do {
            return try StringEscapes.resolved(bytes)
        } catch {
            throw TemplateError(error.code, error.message, line: line)
        }
    }
}

// SPDX-License-Identifier: Apache-2.0
// Rewrites a pattern of tokenizer.json (Oniguruma, Ruby syntax) for PCRE2.

/// Translates Oniguruma's dialect to PCRE2's, with the same meaning on every code point.
///
/// What differs is rewritten: `\s`, `\w`, `\d`, `\h`, `\b` and `\p{..}` (other Unicode version, other definitions), nested
/// classes, `(?m:` for "dot matches newline", options in the middle of a group, `{n,m}+` (not possessive), `{,n}`.
/// What has no counterpart is an error. Groups never capture.
struct PatternTranslator {
    private let pattern: [Unicode.Scalar]
    private var position = 0
    private var output: [UInt8] = []
    /// Where in the output the last atom begins, for quantifiers; nil when there is nothing to repeat.
    private var atom: Int?
    private var atomIsQuantified = false
    /// Open groups: where each begins in the output, and how many brackets close it.
    private var groups: [(start: Int, closings: Int)] = []
    private var openOptions = 0

    /// The pattern in PCRE2's syntax, as UTF-8.
    /// - Throws: `TokenizerError` (`pattern`) naming what is not supported.
    static func translate(_ pattern: String) throws(TokenizerError) -> [UInt8] {
        var translator = PatternTranslator(pattern: Array(pattern.unicodeScalars))
        while translator.position < translator.pattern.count { try translator.term() }
        guard translator.groups.isEmpty else { throw translator.error("a '(' is not closed") }
        for _ in 0..<translator.openOptions { translator.emit(")") }
        return translator.output
    }

    /// A pattern that matches `text` literally.
    static func escape(_ text: String) -> [UInt8] {
        text.unicodeScalars.flatMap { Array(literal($0).utf8) }
    }

    private init(pattern: [Unicode.Scalar]) { self.pattern = pattern }

    // MARK: Terms

    private mutating func term() throws(TokenizerError) {
        let scalar = pattern[position]
        switch scalar {
        case "\\": try escapeOutsideClass()
        case "[":
            let (set, negated) = try characterClass(depth: 0)
            emitAtom(set.formatted(negated: negated))
        case "(": try openGroup()
        case ")":
            guard let group = groups.popLast() else { throw error("a ')' closes nothing") }
            position += 1
            for _ in 0..<group.closings { emit(")") }
            atom = group.start
            atomIsQuantified = false
        case "*", "+", "?": try quantifier(String(scalar), suffixes: true, length: 1)
        case "{": try interval()
        case "|":
            position += 1
            emit("|")
            atom = nil
        case ".":
            position += 1
            emitAtom(".")
        case "^", "$":
            position += 1
            emit(String(scalar))
            atom = nil
        default:
            position += 1
            emitAtom(Self.literal(scalar))
        }
    }

    private mutating func openGroup() throws(TokenizerError) {
        let start = output.count
        atom = nil
        position += 1
        guard peek() == "?" else {
            if peek() == "*" { throw error("'(*' is not supported") }
            groups.append((start, 1))
            return emit("(?:")
        }
        position += 1
        for opening in [":", "=", "!", ">", "<=", "<!"] where starts(with: opening) {
            position += opening.unicodeScalars.count
            groups.append((start, 1))
            return emit("(?" + opening)
        }
        if peek() == "<" {
            // A named group; nothing refers to it, as references are refused.
            while let next = peek(), next != ">" { position += 1 }
            guard peek() == ">" else { throw error("the name of a group is not closed") }
            position += 1
            groups.append((start, 1))
            return emit("(?:")
        }
        if peek() == "#" {
            while let next = peek(), next != ")" { position += next == "\\" ? 2 : 1 }
            guard peek() == ")" else { throw error("a comment is not closed") }
            position += 1
            return
        }
        try options(start)
    }

    private mutating func options(_ start: Int) throws(TokenizerError) {
        var text = "(?"
        while let next = peek() {
            position += 1
            switch next {
            case "i", "-": text += String(next)
            case "m": text += "s"
            case ":":
                groups.append((start, 1))
                return emit(text + ":")
            case ")":
                // Holds to the end of the enclosing group, across its alternatives.
                emit(text + ":")
                if groups.isEmpty {
                    openOptions += 1
                } else {
                    groups[groups.count - 1].closings += 1
                }
                return
            default: throw error("the group option '\(next)' is not supported")
            }
        }
        throw error("a '(' is not closed")
    }

    // MARK: Quantifiers

    private mutating func quantifier(
        _ text: String, suffixes: Bool, length: Int
    ) throws(TokenizerError) {
        guard let start = atom else { throw error("a quantifier has nothing to repeat") }
        position += length
        if atomIsQuantified {
            output.insert(contentsOf: Array("(?:".utf8), at: start)
            emit(")")
        }
        emit(text)
        if suffixes, let next = peek(), next == "?" || next == "+" {
            position += 1
            emit(String(next))
        }
        atomIsQuantified = true
    }

    private mutating func interval() throws(TokenizerError) {
        var digits: [String] = [""]
        var end = position + 1
        scan: while end < pattern.count {
            switch pattern[end] {
            case "0"..."9": digits[digits.count - 1] += String(pattern[end])
            case "," where digits.count == 1: digits.append("")
            case "}": break scan
            default:
                digits = [""]
                break scan
            }
            end += 1
        }
        guard end < pattern.count, digits.contains(where: { !$0.isEmpty }) else {
            position += 1
            return emitAtom("\\{")
        }
        let length = end - position + 1
        if digits.count == 1 {
            try quantifier("{\(digits[0])}", suffixes: false, length: length)
        } else {
            let low = digits[0].isEmpty ? "0" : digits[0]
            try quantifier("{\(low),\(digits[1])}", suffixes: false, length: length)
            if peek() == "?" {
                position += 1
                emit("?")
            }
        }
    }

    // MARK: Escapes

    private mutating func escapeOutsideClass() throws(TokenizerError) {
        position += 1
        guard let next = peek() else { throw error("the pattern ends with a backslash") }
        switch next {
        case "A", "z", "Z":
            position += 1
            emit("\\" + String(next))
            atom = nil
        case "b", "B":
            position += 1
            let word = CharacterSetText.word
            let (inside, outside) = (
                word.formatted(negated: false), word.formatted(negated: false)
            )
            emit(
                next == "b"
                    ? "(?:(?<=\(inside))(?!\(outside))|(?<!\(inside))(?=\(outside)))"
                    : "(?:(?<=\(inside))(?=\(outside))|(?<!\(inside))(?!\(outside)))")
            atom = nil
        case "R":
            position += 1
            emitAtom("(?>\\r\\n|[\\n-\\r\\x{85}\\x{2028}\\x{2029}])")
        default:
            switch try escapedItem() {
            case .set(let set): emitAtom(set.formatted(negated: false))
            case .scalar(let scalar): emitAtom(Self.literal(scalar))
            }
        }
    }

    private enum Item {
        case scalar(Unicode.Scalar)
        case set(CharacterSetText)
    }

    /// Reads what follows a backslash where a character or a set may stand.
    private mutating func escapedItem() throws(TokenizerError) -> Item {
        guard let next = peek() else { throw error("the pattern ends with a backslash") }
        position += 1
        switch next {
        case "s": return .set(.whiteSpace)
        case "S": return .set(try complement(.whiteSpace))
        case "d": return .set(.category("Nd"))
        case "D": return .set(try complement(.category("Nd")))
        case "w": return .set(.word)
        case "W": return .set(try complement(.word))
        case "h": return .set(.hexDigit)
        case "H": return .set(try complement(.hexDigit))
        case "p", "P": return .set(try property(negated: next == "P"))
        case "n": return .scalar("\n")
        case "r": return .scalar("\r")
        case "t": return .scalar("\t")
        case "f": return .scalar("\u{0C}")
        case "v": return .scalar("\u{0B}")
        case "a": return .scalar("\u{07}")
        case "e": return .scalar("\u{1B}")
        case "x": return .scalar(try hexadecimal())
        case "u":
            let digits = take(4)
            guard digits.count == 4 else { throw error("expected four digits after '\\u'") }
            return .scalar(try scalar(hex: digits, limit: 0x10FFFF))
        case "0" where !(peek().map { "0"..."7" ~= $0 } ?? false): return .scalar("\0")
        case "0"..."9", "a"..."z", "A"..."Z":
            throw error("the escape '\\\(next)' is not supported")
        default: return .scalar(next)
        }
    }

    private mutating func hexadecimal() throws(TokenizerError) -> Unicode.Scalar {
        guard peek() == "{" else {
            // Two digits are a byte, which stands for a character only in ASCII.
            return try scalar(hex: take(2), limit: 0x7F)
        }
        position += 1
        var digits = ""
        while let next = peek(), next != "}" {
            digits += String(next)
            position += 1
        }
        guard peek() == "}" else { throw error("'\\x{' is not closed") }
        position += 1
        return try scalar(hex: digits, limit: 0x10FFFF)
    }

    private mutating func take(_ count: Int) -> String {
        var text = String.UnicodeScalarView()
        while text.count < count, let next = peek() {
            text.append(next)
            position += 1
        }
        return String(text)
    }

    private func scalar(hex: String, limit: UInt32) throws(TokenizerError) -> Unicode.Scalar {
        guard hex.utf8.allSatisfy({ $0 != UInt8(ascii: "+") && $0 != UInt8(ascii: "-") }),
            let code = UInt32(hex, radix: 16), code <= limit, let scalar = Unicode.Scalar(code)
        else { throw error("'\(hex)' is not the code of a character") }
        return scalar
    }

    private mutating func property(negated: Bool) throws(TokenizerError) -> CharacterSetText {
        guard peek() == "{" else { throw error("expected '{' after '\\p'") }
        position += 1
        var name = ""
        while let next = peek(), next != "}" {
            name += String(next)
            position += 1
        }
        guard peek() == "}" else { throw error("'\\p{' is not closed") }
        position += 1
        var negated = negated
        if name.hasPrefix("^") {
            negated.toggle()
            name.removeFirst()
        }
        guard let set = CharacterSetText.property(name) else {
            throw error("the character property '\(name)' is not supported")
        }
        return negated ? try complement(set) : set
    }

    private func complement(
        _ set: CharacterSetText
    ) throws(TokenizerError) -> CharacterSetText {
        guard let complement = set.complement else {
            throw error("this negated character class is not supported")
        }
        return complement
    }

    // MARK: Classes

    private mutating func characterClass(
        depth: Int
    ) throws(TokenizerError) -> (set: CharacterSetText, negated: Bool) {
        guard depth < 16 else { throw error("character classes are nested too deep") }
        position += 1
        var set = CharacterSetText()
        let negated = peek() == "^"
        if negated { position += 1 }
        var isFirst = true
        while let next = peek() {
            if next == "]" && !isFirst {
                position += 1
                return (set, negated)
            }
            isFirst = false
            if starts(with: "&&") { throw error("'&&' in a character class is not supported") }
            if starts(with: "[:") { throw error("'[:' in a character class is not supported") }
            if next == "[" {
                let inner = try characterClass(depth: depth + 1)
                set.formUnion(inner.negated ? try complement(inner.set) : inner.set)
                continue
            }
            switch try classItem() {
            case .set(let items): set.formUnion(items)
            case .scalar(let first): set.positive += try range(from: first)
            }
        }
        throw error("a '[' is not closed")
    }

    private mutating func classItem() throws(TokenizerError) -> Item {
        let next = pattern[position]
        position += 1
        guard next == "\\" else { return .scalar(next) }
        if peek() == "b" {
            position += 1
            return .scalar("\u{08}")
        }
        return try escapedItem()
    }

    /// Spells a character, or the range that it begins.
    private mutating func range(from first: Unicode.Scalar) throws(TokenizerError) -> String {
        guard peek() == "-", position + 1 < pattern.count, pattern[position + 1] != "]",
            pattern[position + 1] != "["
        else { return Self.literal(first) }
        position += 1
        switch try classItem() {
        case .scalar(let last):
            guard first.value <= last.value else { throw error("a range in a class is empty") }
            return Self.literal(first) + "-" + Self.literal(last)
        case .set: throw error("a range in a class ends with a set")
        }
    }

    // MARK: Text

    private func peek() -> Unicode.Scalar? {
        position < pattern.count ? pattern[position] : nil
    }

    private func starts(with text: String) -> Bool {
        pattern[min(position, pattern.count)...].starts(with: text.unicodeScalars)
    }

    private mutating func emit(_ text: String) { output.append(contentsOf: text.utf8) }

    private mutating func emitAtom(_ text: String) {
        atom = output.count
        atomIsQuantified = false
        emit(text)
    }

    /// Spells one character so that it has no other meaning, in a class or outside.
    static func literal(_ scalar: Unicode.Scalar) -> String {
        switch scalar {
        case "0"..."9", "a"..."z", "A"..."Z": String(scalar)
        case "!"..."~": "\\" + String(scalar)
        default: "\\x{" + String(scalar.value, radix: 16) + "}"
        }
    }

    private func error(_ message: String) -> TokenizerError {
        TokenizerError(
            .pattern,
            "\(message) (at character \(position) of the pattern '\(String(pattern))')")
    }
}

extension String {
    fileprivate init(_ scalars: [Unicode.Scalar]) {
        var view = String.UnicodeScalarView()
        view.append(contentsOf: scalars)
        self.init(view)
    }
}

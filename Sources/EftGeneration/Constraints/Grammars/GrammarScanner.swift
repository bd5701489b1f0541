// SPDX-License-Identifier: Apache-2.0
// The words of which grammars are made.

/// Reads names, strings and marks of a grammar's text.
struct GrammarScanner {
    private let source: [Unicode.Scalar]
    private let notation: GrammarNotation
    /// Where the next character is.
    var position = 0
    /// How many groups are open; in them, line ends are white space also in Lark's notation.
    var groupDepth = 0

    init(_ text: String, notation: GrammarNotation) {
        source = Array(text.unicodeScalars)
        self.notation = notation
    }

    /// The next character, or nil at the end.
    var peek: Unicode.Scalar? { position < source.count ? source[position] : nil }

    /// The line of the next character, counted from 1.
    var line: Int { 1 + source[..<min(position, source.count)].count { $0 == "\n" } }

    /// An error at the next character.
    func fault(_ what: String, _ code: ConstraintError.Code = .malformed) -> ConstraintError {
        ConstraintError(code, "line \(line) of the grammar: \(what)")
    }

    // MARK: Marks

    mutating func advance() { position = min(position + 1, source.count) }

    /// Passes over a mark if it is next.
    mutating func take(_ mark: String) -> Bool {
        guard source[position...].starts(with: mark.unicodeScalars) else { return false }
        position += mark.unicodeScalars.count
        return true
    }

    /// Passes over what stands between a rule's name and its expression.
    mutating func takeDefinitionMark() -> Bool { take(notation == .ebnf ? "::=" : ":") }

    /// Whether a rule's expression ends here.
    var isAtRuleEnd: Bool { isAtEnd(ofGroup: false) && peek != "|" && peek != ")" && peek != "]" }

    /// Whether a sequence ends here.
    func isAtEnd(ofGroup: Bool) -> Bool {
        guard let scalar = peek else { return true }
        if scalar == "|" || scalar == ")" { return true }
        if scalar == "]" && notation == .lark { return true }
        if ofGroup { return false }
        if notation == .lark { return scalar == "\n" }
        // The next rule's name ends this one.
        var next = self
        guard next.name() != nil else { return false }
        next.skipSpace()
        return next.takeDefinitionMark()
    }

    // MARK: White space

    /// Passes over white space and comments, and over line ends where they do not end a rule.
    mutating func skipSpace() {
        while let scalar = peek {
            if scalar == " " || scalar == "\t" || scalar == "\r" {
                position += 1
            } else if isComment {
                skipLine()
            } else if scalar == "\n" {
                if notation == .lark && groupDepth == 0 && !continuesBehindLineEnd { return }
                position += 1
            } else {
                return
            }
        }
    }

    /// Passes over white space, comments and line ends.
    mutating func skipBlank() {
        while let scalar = peek {
            if isComment {
                skipLine()
            } else if scalar == " " || scalar == "\t" || scalar == "\r" || scalar == "\n" {
                position += 1
            } else {
                return
            }
        }
    }

    private var isComment: Bool {
        if notation == .ebnf { return peek == "#" }
        if peek == "/" { return position + 1 < source.count && source[position + 1] == "/" }
        guard peek == "#" else { return false }
        // At the beginning of a line only.
        return source[..<position].last { $0 != " " && $0 != "\t" }.map { $0 == "\n" } ?? true
    }

    private mutating func skipLine() {
        while let scalar = peek, scalar != "\n" { position += 1 }
    }

    /// Whether the next line that is not empty begins with another alternative.
    private var continuesBehindLineEnd: Bool {
        var next = self
        next.skipBlank()
        return next.peek == "|"
    }

    // MARK: Words

    /// A name of letters, digits, `_` and, in EBNF, `-`; nil when none is next.
    mutating func name() -> String? {
        var text = String.UnicodeScalarView()
        while let scalar = peek {
            let isInside = !text.isEmpty && (scalar.isDigit || scalar == "-" && notation == .ebnf)
            guard PatternClasses.word.contains(scalar.value) && !scalar.isDigit || isInside else {
                break
            }
            text.append(scalar)
            position += 1
        }
        return text.isEmpty ? nil : String(text)
    }

    /// A count; nil when none is next.
    mutating func number() -> Int? {
        var value: Int?
        while let digit = peek, digit.isDigit {
            value = min((value ?? 0) * 10 + Int(digit.value - 0x30), 1 << 40)
            position += 1
        }
        return value
    }

    /// A string in quotes.
    /// - Throws: `ConstraintError` with the line.
    mutating func string() throws(ConstraintError) -> [UInt32] {
        guard let quote = peek, quote == "\"" || quote == "'" else {
            throw fault("expected a string in quotes")
        }
        position += 1
        var text: [UInt32] = []
        while let scalar = peek, scalar != "\n" {
            if scalar == quote {
                position += 1
                return text
            }
            if scalar == "\\" {
                text.append(try escape())
            } else {
                text.append(scalar.value)
                position += 1
            }
        }
        throw fault("a string has no end")
    }

    private mutating func escape() throws(ConstraintError) -> UInt32 {
        let marks = source[position...].prefix(2)
        if marks.count == 2, let digits = ["u": 4, "U": 8, "x": 2][marks[position + 1]] {
            let end = min(position + 2 + digits, source.count)
            let text = source[(position + 2)..<end].map { String($0) }.joined()
            guard text.utf8.count == digits, text.allSatisfy(\.isHexDigit),
                let value = UInt32(text, radix: 16),
                Unicode.Scalar(value) != nil
            else { throw fault("expected \(digits) hexadecimal digits of a character") }
            position = end
            return value
        }
        let letters: [Unicode.Scalar: UInt32] = [
            "n": 10, "r": 13, "t": 9, "f": 12, "v": 11, "b": 8, "a": 7, "\\": 0x5C, "\"": 0x22,
            "'": 0x27, "/": 0x2F, "-": 0x2D, "]": 0x5D, "[": 0x5B,
        ]
        guard let letter = marks.last, marks.count == 2, let value = letters[letter] else {
            throw fault("unknown escape in a string")
        }
        position += 2
        return value
    }

    /// A class in brackets.
    /// - Throws: `ConstraintError`.
    mutating func characterClass() throws(ConstraintError) -> ScalarSet {
        var parser = PatternClassParser(source, position)
        do {
            let set = try parser.set()
            position = parser.position
            return set
        } catch { throw fault(error.message, error.code) }
    }

    /// A regular expression between slashes.
    /// - Throws: `ConstraintError` with the line.
    mutating func pattern() throws(ConstraintError) -> String {
        position += 1
        var text = String.UnicodeScalarView()
        while let scalar = peek, scalar != "\n" {
            position += 1
            if scalar == "/" {
                if let flag = peek, ScalarSet.letters.contains(flag.value) {
                    throw fault("flags of regular expressions are not supported", .unsupported)
                }
                return String(text)
            }
            if scalar == "\\", let next = peek {
                position += 1
                if next != "/" { text.append(scalar) }
                text.append(next)
            } else {
                text.append(scalar)
            }
        }
        throw fault("a regular expression has no end")
    }
}

extension Unicode.Scalar {
    fileprivate var isDigit: Bool { ("0"..."9").contains(self) }
}

// SPDX-License-Identifier: Apache-2.0
// Classes and escapes of regular expressions.

import EftConfig

/// Reads `[...]` and escapes.
struct PatternClassParser {
    private let source: [Unicode.Scalar]
    /// Where the next character is.
    private(set) var position: Int

    /// Makes a reader that stands on the bracket or the backslash.
    init(_ source: [Unicode.Scalar], _ position: Int) {
        self.source = source
        self.position = position
    }

    private var peek: Unicode.Scalar? { position < source.count ? source[position] : nil }

    private mutating func take(_ scalar: Unicode.Scalar) -> Bool {
        guard peek == scalar else { return false }
        position += 1
        return true
    }

    // MARK: Classes

    /// The set of a class in brackets.
    /// - Throws: `ConstraintError` (`malformed`, `unsupported`).
    mutating func set() throws(ConstraintError) -> ScalarSet {
        position += 1
        let isInverted = take("^")
        var parts: [ClosedRange<UInt32>] = []
        var isFirst = true
        while let scalar = peek {
            if scalar == "]" && !isFirst {
                position += 1
                let set = ScalarSet(parts)
                return isInverted ? set.inverted : set
            }
            // An empty class is nothing in one dialect and a bracket in others.
            if scalar == "]" { throw fault("write '\\]' for a bracket in a class") }
            isFirst = false
            let item = try member()
            guard peek == "-", let next = second, next != "]" else {
                parts += item.ranges
                continue
            }
            position += 1
            let end = try member()
            guard let low = item.only, let high = end.only, low <= high else {
                throw fault("a range of a class is out of order or has no single ends")
            }
            parts.append(low...high)
        }
        throw fault("a class has no end")
    }

    private var second: Unicode.Scalar? {
        position + 1 < source.count ? source[position + 1] : nil
    }

    private mutating func member() throws(ConstraintError) -> ScalarSet {
        guard let scalar = peek else { throw fault("a class has no end") }
        if scalar == "\\" { return try escape(inClass: true) }
        if scalar == "[" && second == ":" {
            position += 2
            var name = ""
            while let letter = peek, letter != ":", letter != "]" {
                name.unicodeScalars.append(letter)
                position += 1
            }
            guard take(":"), take("]"), let set = PatternClasses.posix(name) else {
                throw fault("unknown class name")
            }
            return set
        }
        if (scalar == "&" && second == "&") || (scalar == "-" && second == "-") {
            throw fault("operations on classes are not supported", .unsupported)
        }
        position += 1
        return ScalarSet(scalar)
    }

    // MARK: Escapes

    /// The set of an escape.
    /// - Throws: `ConstraintError` (`malformed`, `unsupported`).
    mutating func escape(inClass: Bool) throws(ConstraintError) -> ScalarSet {
        position += 1
        guard let letter = peek else { throw fault("a backslash at the end") }
        position += 1
        if let set = PatternClasses.escape(letter) { return set }
        switch letter {
        case "t": return ScalarSet("\t")
        case "n": return ScalarSet("\n")
        case "r": return ScalarSet("\r")
        case "f": return ScalarSet("\u{C}")
        case "v": return ScalarSet("\u{B}")
        case "x": return try hexadecimal(digits: 2, mayBeZero: inClass)
        case "u": return try unicode(mayBeZero: inClass)
        case "b" where inClass: return ScalarSet("\u{8}")
        case "p", "P": return try property(isInverted: letter == "P")
        case "1"..."9", "k":
            throw fault("back references are not supported", .unsupported)
        case "b", "B", "A", "Z", "z", "G":
            throw fault("'\\\(letter)' is not supported", .unsupported)
        case "0" where inClass: return ScalarSet("\u{0}")
        case "0": throw fault("NUL characters are not supported", .unsupported)
        default: break
        }
        guard !ScalarSet.letters.contains(letter.value) else {
            throw fault("'\\\(letter)' is not supported", .unsupported)
        }
        return ScalarSet(letter)
    }

    /// A character by its number; NUL only in a class, where it is mostly one of those that are excluded.
    private mutating func hexadecimal(
        digits: Int, mayBeZero: Bool
    ) throws(ConstraintError) -> ScalarSet {
        let end = min(position + digits, source.count)
        let text = source[position..<end].map { String($0) }.joined()
        guard text.utf8.count == digits, text.allSatisfy(\.isHexDigit),
            let value = UInt32(text, radix: 16),
            value != 0 || mayBeZero
        else {
            throw fault("expected \(digits) hexadecimal digits that are not all 0")
        }
        position = end
        return ScalarSet([value...value])
    }

    private mutating func unicode(mayBeZero: Bool) throws(ConstraintError) -> ScalarSet {
        guard take("{") else {
            let start = position
            let end = min(position + 4, source.count)
            let text = source[start..<end].map { String($0) }.joined()
            guard let high = UInt32(text, radix: 16), (0xD800...0xDBFF).contains(high) else {
                return try hexadecimal(digits: 4, mayBeZero: mayBeZero)
            }
            // The two halves of a character beyond U+FFFF.
            position = end
            let tail = source[end...].dropFirst(2).prefix(4).map { String($0) }.joined()
            guard take("\\"), take("u"), let low = UInt32(tail, radix: 16),
                (0xDC00...0xDFFF).contains(low)
            else { throw fault("half of a surrogate pair is no character") }
            position += 4
            let value = 0x1_0000 + ((high - 0xD800) << 10 | (low - 0xDC00))
            return ScalarSet([value...value])
        }
        var text = ""
        while let digit = peek, digit != "}" {
            text.unicodeScalars.append(digit)
            position += 1
        }
        guard take("}"), text.utf8.count <= 8, let value = UInt32(text, radix: 16),
            value != 0 || mayBeZero,
            Unicode.Scalar(value) != nil
        else { throw fault("expected a code point in hexadecimal digits") }
        return ScalarSet([value...value])
    }

    private mutating func property(isInverted: Bool) throws(ConstraintError) -> ScalarSet {
        var name = ""
        if take("{") {
            while let letter = peek, letter != "}", name.utf8.count < 64 {
                name.unicodeScalars.append(letter)
                position += 1
            }
            guard take("}") else { throw fault("a property's name has no end") }
        } else if let letter = peek {
            name = String(letter)
            position += 1
        }
        guard let set = PatternProperties.set(name) else {
            throw fault("the property '\(excerpt(name))' is not supported", .unsupported)
        }
        return isInverted ? set.inverted : set
    }

    private func fault(
        _ what: String, _ code: ConstraintError.Code = .malformed
    ) -> ConstraintError {
        ConstraintError(code, "at character \(position) of the regular expression: \(what)")
    }
}

extension ScalarSet {
    /// The only scalar of the set, or nil.
    fileprivate var only: UInt32? {
        guard ranges.count == 1, ranges[0].lowerBound == ranges[0].upperBound else { return nil }
        return ranges[0].lowerBound
    }
}

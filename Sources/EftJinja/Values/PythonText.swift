// SPDX-License-Identifier: Apache-2.0
// Texts as Python handles them: by code points.

/// Operations on texts.
enum PythonText {
    /// Number of code points.
    static func length(_ bytes: ArraySlice<UInt8>) -> Int {
        bytes.reduce(into: 0) { $0 += $1 & 0xC0 != 0x80 ? 1 : 0 }
    }

    /// The byte at which a code point begins; the end for one behind the last.
    static func offset(of index: Int, in bytes: [UInt8]) -> Int {
        var left = index
        for place in bytes.indices where bytes[place] & 0xC0 != 0x80 {
            if left == 0 { return place }
            left -= 1
        }
        return bytes.count
    }

    /// A text several times; `String(repeating:count:)` takes long for short texts.
    static func repeated(_ text: String, _ count: Int) -> String {
        guard !text.isEmpty, count > 0 else { return "" }
        let unit = Array(text.utf8)
        if unit.count == 1 {
            return String(decoding: [UInt8](repeating: unit[0], count: count), as: UTF8.self)
        }
        var bytes: [UInt8] = []
        bytes.reserveCapacity(unit.count * count)
        for _ in 0..<count { bytes += unit }
        return String(decoding: bytes, as: UTF8.self)
    }

    // MARK: Case

    static func upper(_ text: String) -> String { text.uppercased() }

    static func lower(_ text: String) -> String { text.lowercased() }

    static func capitalized(_ text: String) -> String {
        guard let first = text.unicodeScalars.first else { return "" }
        let rest = String(text.unicodeScalars.dropFirst())
        return first.properties.titlecaseMapping + lower(rest)
    }

    /// The first letter of each word large, the others small.
    static func titled(_ text: String) -> String {
        var result = ""
        var isInside = false
        for scalar in text.unicodeScalars {
            let properties = scalar.properties
            result += isInside ? properties.lowercaseMapping : properties.titlecaseMapping
            isInside = properties.isCased
        }
        return result
    }

    static func caseSwapped(_ text: String) -> String {
        var result = ""
        for scalar in text.unicodeScalars {
            let properties = scalar.properties
            if properties.isUppercase {
                result += properties.lowercaseMapping
            } else if properties.isLowercase {
                result += properties.uppercaseMapping
            } else {
                result.unicodeScalars.append(scalar)
            }
        }
        return result
    }

    // MARK: Questions

    static func isLetter(_ scalar: Unicode.Scalar) -> Bool {
        switch scalar.properties.generalCategory {
        case .uppercaseLetter, .lowercaseLetter, .titlecaseLetter, .modifierLetter, .otherLetter:
            true
        default: false
        }
    }

    static func isDigit(_ scalar: Unicode.Scalar) -> Bool {
        switch scalar.properties.numericType {
        case .decimal, .digit: true
        default: false
        }
    }

    static func isIdentifier(_ text: String) -> Bool {
        guard let first = text.unicodeScalars.first,
            first == "_" || first.properties.isXIDStart
        else { return false }
        return text.unicodeScalars.allSatisfy { $0.properties.isXIDContinue }
    }

    /// Whether all letters with a case have this one, and there are some.
    static func isCased(_ text: String, upper: Bool) -> Bool {
        var found = false
        for scalar in text.unicodeScalars {
            let properties = scalar.properties
            if upper ? properties.isLowercase : properties.isUppercase { return false }
            if properties.generalCategory == .titlecaseLetter { return false }
            found = found || (upper ? properties.isUppercase : properties.isLowercase)
        }
        return found
    }

    static func isTitle(_ text: String) -> Bool {
        var (found, isInside) = (false, false)
        for scalar in text.unicodeScalars {
            let properties = scalar.properties
            if properties.isUppercase || properties.generalCategory == .titlecaseLetter {
                if isInside { return false }
                (found, isInside) = (true, true)
            } else if properties.isLowercase {
                if !isInside { return false }
                found = true
            } else {
                isInside = false
            }
        }
        return found
    }

    // MARK: Cutting

    /// A text without the characters at its ends; nil means white space.
    static func stripped(
        _ text: String, of characters: String?, front: Bool, back: Bool
    ) -> String {
        let set = characters.map { Set($0.unicodeScalars) }
        func goes(_ scalar: Unicode.Scalar) -> Bool {
            set?.contains(scalar) ?? isPythonSpace(scalar)
        }
        var rest = text.unicodeScalars[...]
        if front { rest = rest.drop(while: goes) }
        if back { while let last = rest.last, goes(last) { rest.removeLast() } }
        return String(rest)
    }

    /// The words of a text, after so many cuts the rest in one.
    static func splitAtSpace(_ text: String, cuts: Int, fromEnd: Bool) -> [String] {
        var pieces: [String] = []
        var rest = text.unicodeScalars[...]
        while true {
            rest = trimmed(rest, fromEnd: fromEnd)
            guard !rest.isEmpty else { break }
            if pieces.count == cuts {
                pieces.append(String(rest))
                break
            }
            if fromEnd {
                let start = rest.lastIndex(where: isPythonSpace).map { rest.index(after: $0) }
                pieces.append(String(rest[(start ?? rest.startIndex)...]))
                rest = rest[..<(start ?? rest.startIndex)]
            } else {
                let end = rest.firstIndex(where: isPythonSpace) ?? rest.endIndex
                pieces.append(String(rest[..<end]))
                rest = rest[end...]
            }
        }
        return fromEnd ? pieces.reversed() : pieces
    }

    private static func trimmed(
        _ text: Substring.UnicodeScalarView, fromEnd: Bool
    ) -> Substring.UnicodeScalarView {
        guard fromEnd else { return text.drop(while: isPythonSpace) }
        var rest = text
        while let last = rest.last, isPythonSpace(last) { rest.removeLast() }
        return rest
    }

    /// The lines of a text.
    static func lines(_ text: String, keepingEnds: Bool) -> [String] {
        var lines: [String] = []
        var line = String.UnicodeScalarView()
        var scalars = text.unicodeScalars.makeIterator()
        var pending = scalars.next()
        while let scalar = pending {
            pending = scalars.next()
            guard isLineEnd(scalar) else {
                line.append(scalar)
                continue
            }
            if keepingEnds { line.append(scalar) }
            if scalar == "\r", let next = pending, next == "\n" {
                if keepingEnds { line.append(next) }
                pending = scalars.next()
            }
            lines.append(String(line))
            line = String.UnicodeScalarView()
        }
        if !line.isEmpty { lines.append(String(line)) }
        return lines
    }

    private static func isLineEnd(_ scalar: Unicode.Scalar) -> Bool {
        switch scalar.value {
        case 10...13, 0x1C...0x1E, 0x85, 0x2028, 0x2029: true
        default: false
        }
    }
}

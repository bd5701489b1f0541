// SPDX-License-Identifier: Apache-2.0
// The words of a text, as mteval-v13a has them.

/// Splits texts into words as sacrebleu's tokenizer `13a` does.
enum WordTokenizer {
    /// The words of a text, by their code points: texts of Swift are the same where accents are written in another way.
    static func words(_ text: String) -> [[Unicode.Scalar]] {
        var scalars = Array(text.unicodeScalars)
        while let last = scalars.last, isSpace(last) { scalars.removeLast() }
        var line = removing("<skipped>", from: scalars)
        line = removing("-\n", from: line)
        line = line.map { $0 == "\n" ? " " : $0 }
        for (entity, sign) in [("&quot;", "\""), ("&amp;", "&"), ("&lt;", "<"), ("&gt;", ">")] {
            line = removing(entity, from: line, putting: sign)
        }
        line = separateSigns([" "] + line + [" "])
        line = separate(line) {
            !isDigit($0) && isPoint($1)
        } put: {
            [$0, " ", $1, " "]
        }
        line = separate(line) {
            isPoint($0) && !isDigit($1)
        } put: {
            [" ", $0, " ", $1]
        }
        line = separate(line) {
            isDigit($0) && $1 == "-"
        } put: {
            [$0, " ", $1, " "]
        }
        return line.split(whereSeparator: isSpace).map(Array.init)
    }

    /// Whether Python's `str.split` splits at it.
    static func isSpace(_ scalar: Unicode.Scalar) -> Bool {
        scalar.properties.isWhitespace || (0x1C...0x1F).contains(scalar.value)
    }

    private static func isDigit(_ scalar: Unicode.Scalar) -> Bool { ("0"..."9").contains(scalar) }

    private static func isPoint(_ scalar: Unicode.Scalar) -> Bool { scalar == "." || scalar == "," }

    /// Signs of ASCII that are words of their own: all but those of numbers and the apostrophe.
    private static func isSign(_ scalar: Unicode.Scalar) -> Bool {
        switch scalar {
        case " "..."&", "("..."+", ":"..."@", "["..."`", "{"..."~", "/": true
        default: false
        }
    }

    private static func separateSigns(_ line: [Unicode.Scalar]) -> [Unicode.Scalar] {
        var result: [Unicode.Scalar] = []
        for scalar in line { result += isSign(scalar) ? [" ", scalar, " "] : [scalar] }
        return result
    }

    /// Replaces two neighbours where they are of a kind; none is taken twice.
    private static func separate(
        _ line: [Unicode.Scalar], _ isKind: (Unicode.Scalar, Unicode.Scalar) -> Bool,
        put: (Unicode.Scalar, Unicode.Scalar) -> [Unicode.Scalar]
    ) -> [Unicode.Scalar] {
        var (result, place) = ([Unicode.Scalar](), 0)
        while place < line.count {
            if place + 1 < line.count, isKind(line[place], line[place + 1]) {
                result += put(line[place], line[place + 1])
                place += 2
            } else {
                result.append(line[place])
                place += 1
            }
        }
        return result
    }

    private static func removing(
        _ words: String, from line: [Unicode.Scalar], putting replacement: String = ""
    ) -> [Unicode.Scalar] {
        let pattern = Array(words.unicodeScalars)
        var (result, place) = ([Unicode.Scalar](), 0)
        while place < line.count {
            if line[place...].starts(with: pattern) {
                result += Array(replacement.unicodeScalars)
                place += pattern.count
            } else {
                result.append(line[place])
                place += 1
            }
        }
        return result
    }
}

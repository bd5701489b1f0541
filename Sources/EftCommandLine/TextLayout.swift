// SPDX-License-Identifier: Apache-2.0
// How wide text is on a terminal, and how it is broken into lines.

/// The columns that a text takes on a terminal: one a character, two for East Asian and
/// pictographic ones.
package func displayWidth(_ text: String) -> Int {
    text.reduce(0) { $0 + displayWidth($1) }
}

/// As much of a text as fits in so many columns, ending in "…" where something is left out.
package func truncated(_ text: String, toWidth width: Int) -> String {
    guard displayWidth(text) > width else { return text }
    var result = ""
    var used = 0
    for character in text {
        let size = displayWidth(character)
        guard used + size < width else { break }
        result.append(character)
        used += size
    }
    return width > 0 ? result + "…" : ""
}

/// A paragraph broken at spaces into lines that fit in so many columns; words that are longer than a
/// line are broken too.
/// - Parameters:
///   - indentation: spaces before the first line.
///   - hanging: further spaces before all others.
package func wrapped(
    _ text: String, toWidth width: Int, indentation: Int = 0, hanging: Int = 0
) -> [String] {
    var lines: [String] = []
    let most = max(width, 1)
    // Half of the columns are for text, whatever the indentation.
    var margin = min(indentation, most / 2)
    var line = ""
    var used = 0
    func end() {
        lines.append(line.isEmpty ? "" : String(repeating: " ", count: margin) + line)
        margin = min(indentation + hanging, most / 2)
        (line, used) = ("", 0)
    }
    for word in text.split(separator: " ") {
        var rest = String(word)
        var size = displayWidth(rest)
        if used > 0, margin + used + 1 + size > most { end() }
        while margin + size > most {
            let head = leading(rest, toWidth: most - margin)
            (line, rest) = (head, String(rest.dropFirst(head.count)))
            size = displayWidth(rest)
            end()
        }
        if used > 0 { (line, used) = (line + " ", used + 1) }
        line += rest
        used += size
    }
    if used > 0 || lines.isEmpty { end() }
    return lines
}

/// As much of a text as fits in so many columns, one character at least.
private func leading(_ text: String, toWidth width: Int) -> String {
    var result = ""
    var used = 0
    for character in text {
        let size = displayWidth(character)
        guard result.isEmpty || used + size <= width else { break }
        result.append(character)
        used += size
    }
    return result
}

func displayWidth(_ character: Character) -> Int {
    guard let first = character.unicodeScalars.first else { return 0 }
    switch first.value {
    case 0x300...0x36F, 0x200B...0x200F, 0xFE00...0xFE0F: return 0
    case 0x1100...0x115F, 0x2E80...0x303E, 0x3041...0xA4CF, 0xAC00...0xD7A3, 0xF900...0xFAFF,
        0xFE30...0xFE6F, 0xFF00...0xFF60, 0xFFE0...0xFFE6, 0x1F300...0x1FAFF, 0x20000...0x3FFFD:
        return 2
    default: return 1
    }
}

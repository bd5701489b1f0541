// SPDX-License-Identifier: Apache-2.0
// Tables in plain text, and how wide text is.

import EftConfig

/// A table in plain text: columns as wide as their widest cell, two spaces between.
package struct TableRenderer: Sendable {
    /// The side on which cells are filled up.
    package enum Alignment: Sendable, Hashable {
        case left
        case right
    }

    /// A column.
    package struct Column: Sendable {
        /// The heading.
        package let title: String
        /// Where its cells stand.
        package let alignment: Alignment

        /// Makes a column.
        package init(_ title: String, _ alignment: Alignment = .left) {
            self.title = title
            self.alignment = alignment
        }
    }

    private let columns: [Column]
    /// Rows; nil stands for a rule.
    private var rows: [[String]?] = []

    /// Makes a table without rows.
    package init(_ columns: [Column]) { self.columns = columns }

    /// Adds a row; missing cells are empty, cells too many are dropped.
    package mutating func add(_ cells: [String]) {
        let filled = cells.prefix(columns.count).map { excerpt($0, limit: .max) }
        rows.append(filled + repeatElement("", count: columns.count - filled.count))
    }

    /// Adds a rule, such as before a total.
    package mutating func addRule() { rows.append(nil) }

    /// The table, with a rule under the headings and a newline after each line.
    package func render() -> String {
        let headings = columns.map(\.title)
        let widths = columns.indices.map { place in
            ([headings] + rows.compactMap(\.self)).map { displayWidth($0[place]) }.max() ?? 0
        }
        let rule = widths.map { String(repeating: "-", count: $0) }
        var lines = [line(headings, widths), rule.joined(separator: "  ")]
        for row in rows {
            lines.append(row.map { line($0, widths) } ?? rule.joined(separator: "  "))
        }
        return lines.map { $0 + "\n" }.joined()
    }

    private func line(_ cells: [String], _ widths: [Int]) -> String {
        var text = ""
        for (place, cell) in cells.enumerated() {
            let space = String(repeating: " ", count: widths[place] - displayWidth(cell))
            let isLast = place == cells.count - 1
            if place > 0 { text += "  " }
            switch columns[place].alignment {
            case .left: text += isLast ? cell : cell + space
            case .right: text += space + cell
            }
        }
        while text.last == " " { text.removeLast() }
        return text
    }
}

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

private func displayWidth(_ character: Character) -> Int {
    guard let first = character.unicodeScalars.first else { return 0 }
    switch first.value {
    case 0x300...0x36F, 0x200B...0x200F, 0xFE00...0xFE0F: return 0
    case 0x1100...0x115F, 0x2E80...0x303E, 0x3041...0xA4CF, 0xAC00...0xD7A3, 0xF900...0xFAFF,
        0xFE30...0xFE6F, 0xFF00...0xFF60, 0xFFE0...0xFFE6, 0x1F300...0x1FAFF, 0x20000...0x3FFFD:
        return 2
    default: return 1
    }
}

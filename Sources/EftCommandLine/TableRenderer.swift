// SPDX-License-Identifier: Apache-2.0
// Tables in plain text that fit the terminal.

import EftConfig

/// A table in plain text: columns as wide as their widest cell, two spaces between.
///
/// Where that is wider than the terminal, headings and left-aligned cells are broken into several
/// lines; where that is not enough, each row becomes a block with a line for each cell. No cell is
/// left out.
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

    /// Cells in a style.
    private struct Row {
        var cells: [String]
        var style: TerminalStyle
    }

    /// Columns below which no column of text is narrowed.
    private static let leastTextWidth = 12
    private static let gap = 2

    private let columns: [Column]
    /// Rows; nil stands for a rule.
    private var rows: [Row?] = []

    /// Makes a table without rows.
    package init(_ columns: [Column]) { self.columns = columns }

    /// Adds a row; missing cells are empty, cells too many are dropped.
    /// - Parameter style: of its text on terminals with colours.
    package mutating func add(_ cells: [String], style: TerminalStyle = []) {
        let filled = cells.prefix(columns.count).map { excerpt($0, limit: .max) }
        let missing = repeatElement("", count: columns.count - filled.count)
        rows.append(Row(cells: filled + missing, style: style))
    }

    /// Adds a rule, such as before a total.
    package mutating func addRule() { rows.append(nil) }

    /// The table, with a rule under the headings and a newline after each line.
    /// - Parameters:
    ///   - width: the most columns of a line; any number when nil.
    ///   - hasColor: whether headings, rules and styled rows are marked by escape sequences.
    package func render(width: Int? = nil, hasColor: Bool = false) -> String {
        let painter = Painter(hasColor: hasColor)
        let natural = columns.indices.map { place in
            cells(place).map(displayWidth).max() ?? 0
        }
        guard let width, total(natural) > width else { return lines(natural, painter) }
        if let narrowed = narrowed(natural, to: width) { return lines(narrowed, painter) }
        return blocks(width: max(width, 16), painter)
    }

    /// Heading and cells of a column.
    private func cells(_ place: Int) -> [String] {
        [columns[place].title] + rows.compactMap { $0?.cells[place] }
    }

    private func total(_ widths: [Int]) -> Int {
        widths.reduce(0, +) + Self.gap * max(0, widths.count - 1)
    }

    // MARK: Rows and columns

    /// Widths that fit, from the widest column down; nil when columns would become too narrow to read.
    private func narrowed(_ natural: [Int], to width: Int) -> [Int]? {
        let least = columns.indices.map { place in
            let words = longestWord(columns[place].title)
            let longest = cells(place).dropFirst().map {
                columns[place].alignment == .right
                    ? displayWidth($0)
                    : min(longestWord($0), Self.leastTextWidth)
            }
            return max(words, longest.max() ?? 0)
        }
        guard total(least) <= width else { return nil }
        var widths = natural
        while total(widths) > width {
            let wide = widths.indices.filter { widths[$0] > least[$0] }
            // Names, in the first column, stay on one line as long as they can.
            let order = { (place: Int) in (place == 0 ? 0 : 1, widths[place]) }
            guard let widest = wide.max(by: { order($0) < order($1) }) else { return nil }
            widths[widest] -= 1
        }
        return widths
    }

    private func longestWord(_ text: String) -> Int {
        text.split(separator: " ").map { displayWidth(String($0)) }.max() ?? 0
    }

    private func lines(_ widths: [Int], _ painter: Painter) -> String {
        let rule = widths.map { String(repeating: "-", count: $0) }
            .joined(separator: String(repeating: " ", count: Self.gap))
        var text = row(columns.map(\.title), widths, .bold, painter)
        text += painter.line(rule, .dim)
        for entry in rows {
            if let entry {
                text += row(entry.cells, widths, entry.style, painter)
            } else {
                text += painter.line(rule, .dim)
            }
        }
        return text
    }

    /// The lines of a row: as many as its highest cell has.
    private func row(
        _ cells: [String], _ widths: [Int], _ style: TerminalStyle, _ painter: Painter
    ) -> String {
        let broken = zip(cells, widths).map { cell, width in
            displayWidth(cell) <= width ? [cell] : wrapped(cell, toWidth: width)
        }
        let height = max(1, broken.map(\.count).max() ?? 1)
        return (0..<height).map { line in
            painter.line(
                filled(broken.map { line < $0.count ? $0[line] : "" }, widths), style)
        }.joined()
    }

    private func filled(_ cells: [String], _ widths: [Int]) -> String {
        var text = ""
        for (place, cell) in cells.enumerated() {
            let missing = max(0, widths[place] - displayWidth(cell))
            let space = String(repeating: " ", count: missing)
            let isLast = place == cells.count - 1
            if place > 0 { text += String(repeating: " ", count: Self.gap) }
            switch columns[place].alignment {
            case .left: text += isLast ? cell : cell + space
            case .right: text += space + cell
            }
        }
        while text.last == " " { text.removeLast() }
        return text
    }

    // MARK: A block for each row

    /// The first cell as a heading, and a line for each further cell that is not empty.
    private func blocks(width: Int, _ painter: Painter) -> String {
        let titles = columns.dropFirst().map(\.title)
        let widest = titles.map(displayWidth).max() ?? 0
        // Where titles leave little room for values, values stand below them.
        let column = 2 + widest + Self.gap
        var text = ""
        for entry in rows.compactMap(\.self) {
            for line in wrapped(entry.cells.first ?? "", toWidth: width, hanging: 2) {
                text += painter.line(line, entry.style.union(.bold))
            }
            for (title, cell) in zip(titles, entry.cells.dropFirst()) where !cell.isEmpty {
                text += field(title, cell, column: column, width: width, entry.style, painter)
            }
        }
        return text
    }

    private func field(
        _ title: String, _ cell: String, column: Int, width: Int, _ style: TerminalStyle,
        _ painter: Painter
    ) -> String {
        let room = width - column
        guard room >= min(displayWidth(cell), Self.leastTextWidth) else {
            let lines =
                wrapped(title, toWidth: width, indentation: 2)
                + wrapped(cell, toWidth: width, indentation: 4)
            return lines.map { painter.line($0, style) }.joined()
        }
        let lines = wrapped(cell, toWidth: room)
        let missing = column - 2 - displayWidth(title)
        let first = "  " + title + String(repeating: " ", count: missing) + (lines.first ?? "")
        let margin = String(repeating: " ", count: column)
        return painter.line(first, style)
            + lines.dropFirst().map { painter.line(margin + $0, style) }.joined()
    }
}

/// Ends lines, and styles them where there are colours.
private struct Painter {
    let hasColor: Bool

    func line(_ text: String, _ style: TerminalStyle) -> String {
        (hasColor ? style.applied(to: text) : text) + "\n"
    }
}

extension TerminalOutput {
    /// Writes a table that fits the terminal.
    package func write(_ table: TableRenderer) {
        write(table.render(width: wrapWidth, hasColor: hasColor))
    }
}

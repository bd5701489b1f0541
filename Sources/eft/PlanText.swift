// SPDX-License-Identifier: Apache-2.0
// A plan as text for a terminal of any width.
import EftCommandLine
import EftPlanning

/// Renders a plan in lines that fit a width.
struct PlanText {
    /// Columns of the terminal.
    let width: Int

    /// Most columns of a sentence, however wide the terminal is.
    private static let widestText = 100

    /// The conclusion: sentences, and below each the commands to type.
    func conclusion(_ conclusion: PlanConclusion) -> String {
        var text = wrapped(conclusion.headline)
        for item in conclusion.items {
            text += "\n" + wrapped(item.text)
            for command in item.commands { text += self.command(command) }
            if let file = item.file {
                text += "\n" + wrapped("\(file.name):")
                text += file.contents.split(separator: "\n").map { "    \($0)\n" }.joined()
            }
        }
        return text
    }

    /// The table of all stages; a list where the terminal is too narrow for it.
    func table(_ report: PlanReport) -> String {
        let rows = report.summaryRows
        var table = TableRenderer(
            (rows.first ?? []).map { .init($0, ["stage", "fits"].contains($0) ? .left : .right) })
        for row in rows.dropFirst() { table.add(row) }
        let text = table.render()
        let widest = text.split(separator: "\n").map { displayWidth(String($0)) }.max() ?? 0
        guard widest > width else { return text }
        return rows.dropFirst().map { row in
            let headings = rows.first ?? []
            let cells = zip(headings, row).dropFirst().filter { $0.1 != "-" }
                .map { $0.0 == "memory" || $0.0 == "speed" ? $0.1 : "\($0.0): \($0.1)" }
            return wrapped(row.first ?? "")
                + wrapped(cells.joined(separator: ", "), indentation: 2)
        }.joined()
    }

    /// All that is known of each stage.
    func details(_ report: PlanReport) -> String {
        report.details.map { heading, lines in
            wrapped(heading) + lines.map { wrapped($0, indentation: 2, hanging: 2) }.joined()
        }.joined(separator: "\n")
    }

    /// A command that can be pasted into a shell, over several lines where it is long.
    func command(_ command: AdvisedCommand) -> String {
        var lines: [String] = []
        var line = "  eft"
        for (place, word) in command.quoted.enumerated() {
            // Lines are broken so that each option stays beside its value.
            let unit = word + (isOption(word) ? " " + (value(command.quoted, place + 1) ?? "") : "")
            let room = width - 2
            let isValue = place > 0 && isOption(command.words[place - 1]) && !isOption(word)
            if place > 1, !isValue,
                displayWidth(line) + 1 + displayWidth(unit) > room
            {
                lines.append(line + " \\")
                line = "      " + word
            } else {
                line += " " + word
            }
        }
        return (lines + [line]).map { $0 + "\n" }.joined()
    }

    private func isOption(_ word: String) -> Bool { word.hasPrefix("-") }

    private func value(_ words: [String], _ place: Int) -> String? {
        words.indices.contains(place) && !isOption(words[place]) ? words[place] : nil
    }

    /// A paragraph broken at spaces.
    func wrapped(_ text: String, indentation: Int = 0, hanging: Int = 0) -> String {
        let most = min(max(width, 20), PlanText.widestText)
        var lines: [String] = []
        var line = String(repeating: " ", count: indentation)
        var isEmpty = true
        for word in text.split(separator: " ") {
            if !isEmpty, displayWidth(line) + 1 + displayWidth(String(word)) > most {
                lines.append(line)
                line = String(repeating: " ", count: indentation + hanging)
                isEmpty = true
            }
            line += (isEmpty ? "" : " ") + word
            isEmpty = false
        }
        return (lines + [line]).map { $0 + "\n" }.joined()
    }
}

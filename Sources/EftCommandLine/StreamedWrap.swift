// SPDX-License-Identifier: Apache-2.0
// Text that is broken into lines while it comes.

/// Breaks text at spaces so that it fits so many columns, piece by piece: a word is held back until its end has come.
///
/// Lines that the text itself ends, and spaces at their beginnings, stay. East Asian characters may be broken anywhere.
package struct StreamedWrap: Sendable {
    private let width: Int
    private var column = 0
    private var spaces = ""
    private var word = ""
    private var wordWidth = 0
    private var output = ""

    /// Makes one for lines of so many columns.
    package init(width: Int) { self.width = max(width, 1) }

    /// Takes the next piece; returns what can be written.
    package mutating func add(_ text: String) -> String {
        for character in text { take(character) }
        return give()
    }

    /// Returns what was held back.
    package mutating func finish() -> String {
        endWord()
        output += spaces
        (spaces, column) = ("", 0)
        return give()
    }

    private mutating func take(_ character: Character) {
        if character.isNewline {
            endWord()
            output.append("\n")
            (spaces, column) = ("", 0)
        } else if character == " " || character == "\t" {
            endWord()
            spaces.append(character)
        } else {
            let size = displayWidth(character)
            // A word ends before and behind a wide character, and where it fills a line.
            if size > 1 || wordWidth + size > width { endWord() }
            word.append(character)
            wordWidth += size
            if size > 1 { endWord() }
        }
    }

    private mutating func endWord() {
        guard !word.isEmpty else { return }
        let gap = displayWidth(spaces)
        if column > 0, column + gap + wordWidth > width {
            output.append("\n")
            column = 0
        } else {
            output += spaces
            column += gap
        }
        output += word
        column += wordWidth
        (spaces, word, wordWidth) = ("", "", 0)
    }

    private mutating func give() -> String {
        defer { output = "" }
        return output
    }
}

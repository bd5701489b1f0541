// SPDX-License-Identifier: Apache-2.0
// Multiple-choice questions as lm-evaluation-harness reads them.
import EftConfig

/// A text, ways in which it may go on, and which of them is right.
package struct ChoiceQuestion: Sendable, Hashable {
    /// What the model reads.
    package let context: String
    /// The choices; a space stands between context and choice.
    package let choices: [String]
    /// The number of the right choice.
    package let answer: Int

    /// Makes a question.
    package init(context: String, choices: [String], answer: Int) {
        self.context = context
        self.choices = choices
        self.answer = answer
    }

    /// Reads a row of one of these forms:
    ///
    /// | keys | context | choices |
    /// |---|---|---|
    /// | `query`, `choices`, `gold` | the query as it stands | `choices` |
    /// | `question`, `choices`, `answer` or `answerKey` | `Question: ...\nAnswer:`, as ARC has it | a list, or `text` and `label` in it |
    /// | `ctx` (or `ctx_a` and `ctx_b`), `endings`, `label` | cleaned as HellaSwag's, `activity_label` in front | cleaned |
    ///
    /// The answer is a number from 0, a letter, a label, or the text of a choice.
    /// - Throws: `ConfigError` for a row of no such form and for an answer that is none of the choices.
    package init(row: ConfigCursor) throws(ConfigError) {
        if let endings = try row.optional("endings") {
            let raw = try ChoiceQuestion.texts(endings)
            let texts = raw.map { HellaSwag.cleaned($0) }
            self.init(
                context: try HellaSwag.context(row), choices: texts,
                answer: try ChoiceQuestion.answer(row.required("label"), texts, labels: nil))
            return
        }
        let choices = try row.required("choices")
        let isLabelled = if case .object = choices.node.value { true } else { false }
        let texts = try ChoiceQuestion.texts(isLabelled ? choices.required("text") : choices)
        let labels = isLabelled ? try ChoiceQuestion.texts(choices.required("label")) : nil
        let context: String
        let answer: ConfigCursor
        if let query = try row.optional("query") {
            context = try query.string()
            answer = try row.required("gold")
        } else {
            context = "Question: \(try row.required("question").string())\nAnswer:"
            let key = try row.optional("answerKey") == nil ? "answer" : "answerKey"
            answer = try row.required(key)
        }
        self.init(
            context: context, choices: texts,
            answer: try ChoiceQuestion.answer(answer, texts, labels: labels))
    }

    private static func texts(_ list: ConfigCursor) throws(ConfigError) -> [String] {
        var texts: [String] = []
        for element in try list.elements() { texts.append(try element.string()) }
        guard texts.count >= 2, !texts.contains("") else {
            throw list.error(.badValue, "needs at least two choices, none of them empty")
        }
        return texts
    }

    private static func answer(
        _ cursor: ConfigCursor, _ choices: [String], labels: [String]?
    ) throws(ConfigError) -> Int {
        var place: Int?
        switch cursor.node.value {
        case .integer(let number): place = number
        case .string(let text):
            place = labels?.firstIndex(of: text) ?? choices.firstIndex(of: text) ?? Int(text)
            let scalars = text.unicodeScalars
            if place == nil, let letter = scalars.first, scalars.count == 1,
                ("A"..."Z").contains(letter)
            {
                place = Int(letter.value) - 0x41
            }
        default: break
        }
        guard let place, choices.indices.contains(place) else {
            throw cursor.error(
                .badValue,
                "the answer must be a number from 0 to \(choices.count - 1), a letter from A on, or the text of a choice"
            )
        }
        return place
    }

    /// The questions of a JSONL file.
    /// - Throws: `ConfigError` for an unreadable file or row, and for a file without rows.
    package static func read(_ path: String) throws(ConfigError) -> [ChoiceQuestion] {
        let rows = try JSONLines(path)
        var questions: [ChoiceQuestion] = []
        while let row = try rows.next() { questions.append(try ChoiceQuestion(row: row)) }
        guard !questions.isEmpty else {
            throw ConfigError(.badValue, "the file has no questions", file: path)
        }
        return questions
    }
}

/// HellaSwag's texts, cleaned as its task in lm-evaluation-harness does.
private enum HellaSwag {
    static func context(_ row: ConfigCursor) throws(ConfigError) -> String {
        var text: String
        if let first = try row.optional("ctx_a"), let second = try row.optional("ctx_b") {
            text = try first.string() + " " + capitalized(second.string())
        } else {
            text = try row.required("ctx").string()
        }
        if let activity = try row.optional("activity_label") {
            text = try activity.string() + ": " + text
        }
        return cleaned(text)
    }

    private static func capitalized(_ text: String) -> String {
        text.prefix(1).uppercased() + text.dropFirst().lowercased()
    }

    /// Marks in brackets out, spaces mended.
    static func cleaned(_ text: String) -> String {
        let stripped = PythonStrip.stripped(text)
        return replaced(
            withoutBrackets(replaced(stripped, " [title]", by: ". ")), "  ", by: " ")
    }

    /// Every occurrence of a word replaced, from left to right.
    private static func replaced(_ text: String, _ word: String, by other: String) -> String {
        let (bytes, sought, put) = (Array(text.utf8), Array(word.utf8), Array(other.utf8))
        var result: [UInt8] = []
        var place = 0
        while place < bytes.count {
            if bytes[place...].starts(with: sought) {
                result += put
                place += sought.count
            } else {
                result.append(bytes[place])
                place += 1
            }
        }
        return String(decoding: result, as: UTF8.self)
    }

    /// The text without what stands in brackets on one line.
    private static func withoutBrackets(_ text: String) -> String {
        var result: [UInt8] = []
        var rest = Array(text.utf8)[...]
        let (open, close, newline) = (UInt8(ascii: "["), UInt8(ascii: "]"), UInt8(ascii: "\n"))
        while let byte = rest.first {
            let end = byte == open ? rest.firstIndex { $0 == close || $0 == newline } : nil
            if let end, rest[end] == close {
                rest = rest[(end + 1)...]
            } else {
                result.append(byte)
                rest = rest.dropFirst()
            }
        }
        return String(decoding: result, as: UTF8.self)
    }
}

/// Stripping as Python's strings do it.
enum PythonStrip {
    static func isSpace(_ scalar: Unicode.Scalar) -> Bool {
        scalar.properties.isWhitespace || (0x1c...0x1f).contains(scalar.value)
    }

    /// The text without space at both ends.
    static func stripped(_ text: String) -> String {
        let tail = text.unicodeScalars.drop(while: isSpace)
        return split(String(Substring(tail))).text
    }

    /// The text without space at its end, and that space.
    static func split(_ text: String) -> (text: String, space: String) {
        let scalars = text.unicodeScalars
        let end =
            scalars.lastIndex { !isSpace($0) }.map(scalars.index(after:)) ?? scalars.startIndex
        return (String(Substring(scalars[..<end])), String(Substring(scalars[end...])))
    }
}

// SPDX-License-Identifier: Apache-2.0
// Thoughts and answer of a content that holds both between tags.

/// A content parted into thoughts and answer.
struct ThoughtSplit {
    /// What stands between the tags, without white space around.
    let thoughts: String
    /// What follows.
    let answer: String

    private static let thoughtTags = [
        ("<think>", "</think>"), ("<reasoning>", "</reasoning>"),
        ("<|begin_of_thought|>", "<|end_of_thought|>"),
    ]
    private static let answerTags = ("<|begin_of_solution|>", "<|end_of_solution|>")

    /// Parts a content at the first pair of tags that it has; nil when it has none.
    init?(_ content: String) {
        for tags in Self.thoughtTags {
            guard let found = Self.between(tags, in: content) else { continue }
            thoughts = Self.trimmed(found.inside)
            let rest = Substring(found.behind.unicodeScalars.drop(while: \.properties.isWhitespace))
            answer =
                Self.between(Self.answerTags, in: String(rest)).map { Self.trimmed($0.inside) }
                ?? String(rest)
            return
        }
        return nil
    }

    private static func between(
        _ tags: (String, String), in text: String
    ) -> (inside: Substring, behind: Substring)? {
        guard let open = text.firstRange(of: tags.0), let close = text.firstRange(of: tags.1),
            open.upperBound <= close.lowerBound
        else { return nil }
        return (text[open.upperBound..<close.lowerBound], text[close.upperBound...])
    }

    private static func trimmed(_ text: Substring) -> String {
        var scalars = text.unicodeScalars.drop(while: \.properties.isWhitespace)
        while let last = scalars.last, last.properties.isWhitespace { scalars.removeLast() }
        return String(scalars)
    }
}

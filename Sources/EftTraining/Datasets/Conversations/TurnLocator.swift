// SPDX-License-Identifier: Apache-2.0
// Where a turn stands in the text of its conversation, found by writing the conversation with another text in its place.
import EftConfig
import EftTokenizers

/// Finds turns in the text of a conversation.
///
/// The conversation is written twice more with stand-ins for the turn, at its own place, so that whatever the template does by
/// place or by what follows is the same in all texts; what differs is the turn. The two stand-ins share no first and no last
/// character, so that a character that the turn shares with one of them does not shorten it.
struct TurnLocator {
    let whole: ConversationText
    let writer: ConversationWriter
    /// The property by which the template knows thoughts.
    let thoughts: String
    /// Where each turn's text begins, as far as that was asked for.
    private var starts: [Int: Int?] = [:]

    private static let standIns = ["[[dummy_message]]", "zzdummymessagezz"]

    /// Which part of a turn is looked for.
    enum Part {
        /// All that the template makes of the turn.
        case turn
        /// The content, when thoughts are there too.
        case content
        /// The thoughts.
        case thoughts
    }

    /// A turn's place.
    struct Found {
        /// In the text.
        let bytes: Range<Int>
        /// Among the tokens.
        let tokens: Range<Int>
    }

    init(_ whole: ConversationText, _ writer: ConversationWriter, thoughts: String) {
        self.whole = whole
        self.writer = writer
        self.thoughts = thoughts
    }

    /// Where a turn stands; nil when the template writes nothing that depends on it.
    /// - Throws: `ChatTemplateError`, `TokenizerError`.
    func find(_ index: Int, _ part: Part = .turn) throws -> Found? {
        var (start, end) = (Int.max, 0)
        var others: [[UInt8]] = []
        for standIn in Self.standIns {
            let other = try text(index, part, standIn)
            let difference = Self.difference(of: whole.text, from: other)
            start = min(start, difference.lowerBound)
            end = max(end, difference.upperBound)
            others.append(other)
        }
        guard start < end else { return nil }
        let bytes = start..<end
        if let tokens = whole.tokens(in: bytes) { return Found(bytes: bytes, tokens: tokens) }
        // The tokenizer changed the text: the ids themselves are compared.
        var (first, last) = (Int.max, 0)
        for other in others {
            let difference = Self.difference(of: whole.ids, from: try writer.ids(other))
            first = min(first, difference.lowerBound)
            last = max(last, difference.upperBound)
        }
        return first < last ? Found(bytes: bytes, tokens: first..<last) : nil
    }

    /// Another turn whose text begins within that of the turn `index`; then the two cannot be told apart.
    mutating func turn(within found: Found, of index: Int) throws -> Int? {
        for other in whole.conversation.turns.indices where other != index {
            guard let start = try start(of: other), found.bytes.contains(start) else { continue }
            return other
        }
        return nil
    }

    /// Where the text of a turn begins; nil when it has none, or when the template refuses a stand-in for it.
    private mutating func start(of index: Int) throws -> Int? {
        if let known = starts[index] { return known }
        var start: Int?
        do throws(ChatTemplateError) {
            let other = try text(index, .turn, Self.standIns[0])
            let difference = Self.difference(of: whole.text, from: other)
            start = difference.isEmpty ? nil : difference.lowerBound
        } catch {
            guard error.code == .request else { throw error }
        }
        starts[index] = start
        return start
    }

    // MARK: Texts with stand-ins

    private func text(
        _ index: Int, _ part: Part, _ standIn: String
    ) throws(ChatTemplateError) -> [UInt8] {
        var messages = whole.conversation.turns.map(\.message)
        let turn = messages[index]
        var message = ConfigObject()
        message["role"] = turn["role"]
        switch part {
        case .turn: message["content"] = ConfigNode(standIn)
        case .content:
            message["content"] = ConfigNode(standIn)
            message[thoughts] = turn[thoughts]
        case .thoughts:
            message["content"] = turn["content"] ?? ""
            message[thoughts] = ConfigNode(standIn)
        }
        messages[index] = message
        return try writer.text(messages, tools: whole.conversation.tools)
    }

    /// The part of `text` that is not at the beginning or the end of `other` too; whole characters of UTF-8 for bytes.
    private static func difference<T: FixedWidthInteger>(
        of text: [T], from other: [T]
    ) -> Range<Int> {
        let most = min(text.count, other.count)
        var start = 0
        while start < most, text[start] == other[start] { start += 1 }
        var behind = 0
        while behind < most - start,
            text[text.count - 1 - behind] == other[other.count - 1 - behind]
        {
            behind += 1
        }
        var end = text.count - behind
        guard T.bitWidth == 8 else { return start..<end }
        func isInside(_ place: Int) -> Bool { place < text.count && text[place] & 0xC0 == 0x80 }
        while start > 0, isInside(start) { start -= 1 }
        while end > start, isInside(end) { end += 1 }
        return start..<end
    }
}

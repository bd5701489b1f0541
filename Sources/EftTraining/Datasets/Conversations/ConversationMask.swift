// SPDX-License-Identifier: Apache-2.0
// The labels of a conversation: which of its tokens are learned.
import EftConfig
import EftTokenizers

/// Decides turn by turn what of a conversation is learned.
struct ConversationMask {
    private let whole: ConversationText
    private let training: TurnTraining
    private let thoughts: String
    private var locator: TurnLocator
    /// The ids where they are learned, `ignoreIndex` elsewhere.
    private(set) var labels: [Int32]
    private var lastEOS: Int?
    private var lastEOT: Range<Int>?

    /// A token that ends a turn stands at most so many tokens behind it.
    private static let mostBetween = 3

    /// - Throws: `ConfigError` with row and turn where a turn cannot be told apart; `ChatTemplateError`, `TokenizerError`.
    init(
        _ whole: ConversationText, _ writer: ConversationWriter, _ training: TurnTraining,
        thoughts: String
    ) throws {
        self.whole = whole
        self.training = training
        self.thoughts = thoughts
        locator = TurnLocator(whole, writer, thoughts: thoughts)
        labels = [Int32](repeating: TrainingExample.ignoreIndex, count: whole.ids.count)
        for index in whole.conversation.turns.indices { try learn(index) }
        if training.eot == .last, let lastEOT { learn(tokens: lastEOT) }
        if training.eos == .last, let lastEOS { labels[lastEOS] = whole.ids[lastEOS] }
    }

    private mutating func learn(_ index: Int) throws {
        let turn = whole.conversation.turns[index]
        let isTrained = training.trains(turn)
        guard isTrained || training.trainsAllEnds else { return }
        let hasThoughts = turn.message[thoughts] != nil
        let hasDetail = turn.detail?.isEmpty == false || turn.thoughtDetail?.isEmpty == false
        let part: TurnLocator.Part = hasThoughts && hasDetail ? .content : .turn
        guard let found = try locator.find(index, part) else {
            if isTrained, turn.text("content")?.isEmpty == false {
                throw fault(index, "the chat template does not write this turn's content")
            }
            return
        }
        if isTrained {
            if let other = try locator.turn(within: found, of: index) {
                throw fault(
                    index,
                    "the chat template does not keep this turn apart from turn \(other): what it writes for one depends "
                        + "on the other; use another template, or leave the turn out of training")
            }
            if let detail = turn.detail, !detail.isEmpty {
                try learn(detail, of: turn.text("content") ?? "", found, index)
            } else if turn.thoughtDetail == nil {
                learn(tokens: found.tokens)
            }
            if let detail = turn.thoughtDetail, hasThoughts,
                let found = try locator.find(index, .thoughts)
            {
                try learn(detail, of: turn.text(thoughts) ?? "", found, index)
            }
        }
        learnEnds(behind: found, isTrained)
    }

    // MARK: Details

    /// Learns the tokens that stand for some characters of a text within a turn.
    private mutating func learn(
        _ detail: [TrainedCharacters], of content: String, _ found: TurnLocator.Found,
        _ index: Int
    ) throws {
        guard let places = whole.places else {
            throw fault(
                index,
                "the tokenizer changes the text, so that characters cannot be told apart; "
                    + "train the turn as a whole")
        }
        let text = Array(whole.text[found.bytes])
        let (written, skipped) = Self.trimmed(content)
        guard !written.isEmpty, text.starts(with: written) else {
            throw fault(
                index,
                "the chat template changes this turn's text, so that its characters cannot be "
                    + "told apart; train the turn as a whole")
        }
        var characters: [ClosedRange<Int>] = []
        var tokens: [Int] = []
        let first = found.bytes.lowerBound
        var place = found.tokens.lowerBound
        // Characters before a byte, counted on as the tokens go on.
        var (byte, count) = (0, skipped)
        func advance(to end: Int) {
            while byte < min(end, written.count) {
                if written[byte] & 0xC0 != 0x80 { count += 1 }
                byte += 1
            }
        }
        while place < places.count, places[place].lowerBound < first + written.count {
            advance(to: max(0, places[place].lowerBound - first))
            let begin = count
            advance(to: max(0, places[place].upperBound - first))
            characters.append(begin...max(begin, count - 1))
            tokens.append(place)
            place += 1
        }
        let learned = TrainedTokens(detail, tokens: characters).isTrained
        for (token, isTrained) in zip(tokens, learned) where isTrained {
            labels[token] = whole.ids[token]
        }
    }

    /// A content as templates that trim write it when it is found so, and the characters left out in front.
    private static func trimmed(_ content: String) -> (bytes: [UInt8], skipped: Int) {
        let scalars = content.unicodeScalars
        var rest = scalars.drop(while: \.properties.isWhitespace)
        let skipped = scalars.count - rest.count
        while let last = rest.last, last.properties.isWhitespace { rest.removeLast() }
        return (Array(String(rest).utf8), skipped)
    }

    // MARK: Ends of turns

    private mutating func learnEnds(behind turn: TurnLocator.Found, _ isTrained: Bool) {
        let end = turn.tokens.upperBound
        let within = end..<min(end + Self.mostBetween + 1, whole.ids.count)
        let eot = within.first { training.eotIDs.contains(whole.ids[$0]) }.map { $0..<$0 + 1 }
        if let place = eot ?? endingText(turn, within) {
            lastEOT = place
            if learns(training.eot, isTrained) { learn(tokens: place) }
        }
        if let place = within.first(where: { whole.ids[$0] == training.eosID }) {
            lastEOS = place
            if learns(training.eos, isTrained) { learn(tokens: place..<place + 1) }
        }
    }

    /// The tokens of a text that ends turns, when one begins behind the turn.
    private func endingText(_ turn: TurnLocator.Found, _ within: Range<Int>) -> Range<Int>? {
        guard !training.eotTexts.isEmpty, let places = whole.places,
            let last = within.last.map({ places[$0].lowerBound })
        else { return nil }
        let begin = turn.bytes.upperBound
        for place in begin...max(begin, last) {
            let rest = whole.text[place...]
            guard let text = training.eotTexts.first(where: { rest.starts(with: $0) }) else {
                continue
            }
            return whole.tokens(in: place..<place + text.count)
        }
        return nil
    }

    private func learns(_ ends: TurnTraining.Ends, _ isTrained: Bool) -> Bool {
        ends == .all || (ends == .turn && isTrained)
    }

    private mutating func learn(tokens: Range<Int>) {
        for place in tokens { labels[place] = whole.ids[place] }
    }

    private func fault(_ index: Int, _ message: String) -> ConfigError {
        whole.conversation.turns[index].place.error(.badValue, "turn \(index): \(message)")
    }
}

// SPDX-License-Identifier: Apache-2.0
// Many choices in one batch; those of a question share the pages of their common beginning.
import EftNN
import EftTensor

/// A batch of choices.
///
/// The common beginning of a question's choices, in whole pages, is a sequence of its own, computed once; each choice goes
/// on from it.
struct ChoiceBatch {
    /// A choice of a question.
    struct Place: Hashable {
        let question: Int
        let choice: Int
    }

    /// Whether choices share the pages of their beginning. Not where layers keep states, which pages do not bring back.
    let isSharing: Bool
    private var tokens: [Int32] = []
    private var runs: [DecoderBatch.Run] = []
    private(set) var table: [[Int]] = []
    private var pages = 0
    /// Rows whose loss is asked for, and the tokens to predict there.
    private(set) var labels: [(row: Int, token: Int32)] = []
    /// The choice of each label.
    private(set) var places: [Place] = []

    /// Rows so far.
    var rows: Int { tokens.count }
    /// Sequences so far.
    var sequences: Int { table.count }

    /// A batch without choices.
    init(isSharing: Bool) { self.isSharing = isSharing }

    /// Tokens of the common beginning of choices that are computed once: whole pages, before anything is scored.
    static func shared(_ choices: some Collection<EncodedChoice>) -> Int {
        guard choices.count > 1, let first = choices.first else { return 0 }
        var common = first.tokens.count
        for choice in choices {
            let same = zip(choice.tokens, first.tokens).prefix { $0 == $1 }.count
            common = min(common, same, choice.rows - choice.scored)
        }
        return max(common, 0) / pageTokens * pageTokens
    }

    /// Rows and sequences that choices of one question take.
    static func need(
        _ choices: some Collection<EncodedChoice>, isSharing: Bool
    ) -> (rows: Int, sequences: Int) {
        let shared = isSharing ? shared(choices) : 0
        let rows = choices.reduce(shared) { $0 + $1.rows - shared }
        return (rows, choices.count + (shared > 0 ? 1 : 0))
    }

    /// Adds choices of a question, the first of which has the number `first`.
    mutating func add(_ choices: ArraySlice<EncodedChoice>, question: Int, first: Int) {
        let shared = isSharing ? ChoiceBatch.shared(choices) : 0
        var common: [Int] = []
        if shared > 0, let choice = choices.first {
            common = takePages(shared)
            append(choice.tokens[..<shared], from: 0, length: shared, pages: common)
        }
        for (offset, choice) in choices.enumerated() {
            let row = rows - shared
            append(
                choice.tokens[shared..<choice.rows], from: shared, length: choice.rows,
                pages: common + takePages(choice.rows - shared))
            for target in choice.tokens.count - choice.scored..<choice.tokens.count {
                labels.append((row + target - 1, choice.tokens[target]))
                places.append(Place(question: question, choice: first + offset))
            }
        }
    }

    private mutating func takePages(_ tokens: Int) -> [Int] {
        let first = pages
        pages += pageCount(tokens: tokens)
        return Array(first..<pages)
    }

    private mutating func append(
        _ part: ArraySlice<Int32>, from position: Int, length: Int, pages: [Int]
    ) {
        runs.append(
            DecoderBatch.Run(
                sequence: table.count, rows: rows..<rows + part.count, firstPosition: position,
                length: length))
        tokens += part
        table.append(pages)
    }

    /// The batch for a decoder with adapters.
    func batch(slots: [Int]) -> DecoderBatch {
        DecoderBatch(tokens: tokens, runs: runs, slots: slots)
    }
}

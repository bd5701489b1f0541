// SPDX-License-Identifier: Apache-2.0
// Accuracy on multiple-choice questions.
import EftModels
import EftNN
import EftTensor

/// The score of questions.
package struct ChoiceScore: Sendable {
    /// Log-likelihoods of the choices of each question, in nats.
    package let logLikelihoods: [[Double]]
    /// The share of questions whose right choice is the likeliest.
    package let accuracy: Share
    /// The same with log-likelihoods divided by the characters of the choice, lm-evaluation-harness's `acc_norm`.
    package let accuracyByCharacter: Share
    /// The same with log-likelihoods divided by the bytes of the choice, lm-evaluation-harness's `acc_bytes`.
    package let accuracyByByte: Share
    /// Tokens read a second.
    package let tokensPerSecond: Double

    /// A share of questions.
    package struct Share: Sendable, Hashable {
        /// The share, from 0 to 1.
        package let value: Double
        /// Its standard error; 0 for a single question.
        package let standardError: Double

        init(_ right: Int, of count: Int) {
            value = Double(right) / Double(max(count, 1))
            standardError =
                count > 1 ? (value * (1 - value) / Double(count - 1)).squareRoot() : 0
        }
    }

    init(
        _ questions: [ChoiceQuestion], _ logLikelihoods: [[Double]], tokensPerSecond: Double
    ) {
        func share(_ length: (String) -> Int) -> Share {
            let right = zip(questions, logLikelihoods).filter { question, scores in
                let scaled = zip(scores, question.choices).map { $0 / Double(length($1)) }
                return scaled.firstIndex(of: scaled.max() ?? 0) == question.answer
            }
            return Share(right.count, of: questions.count)
        }
        self.logLikelihoods = logLikelihoods
        accuracy = share { _ in 1 }
        accuracyByCharacter = share { $0.unicodeScalars.count }
        accuracyByByte = share { $0.utf8.count }
        self.tokensPerSecond = tokensPerSecond
    }
}

/// Scores multiple-choice questions with a decoder.
package struct ChoiceEvaluator {
    /// Most sequences of a batch.
    package static let sequences = 128

    private let pass: EvaluationPass
    private let slots: [Int]
    private let rows: Int
    private let isSharing: Bool

    /// The rows of a batch: what is asked for, but not less than the longest choice and not more than all together.
    package static func rows(_ choices: [[EncodedChoice]], wanted: Int) -> Int {
        let longest = choices.joined().map(\.rows).max() ?? 1
        let all = choices.reduce(0) { $0 + ChoiceBatch.need($1, isSharing: true).rows }
        return max(longest, min(wanted, all))
    }

    /// Bytes that are kept outside of the ledgers for a batch of `rows` rows and the scores of choices.
    package static func byteCount(rows: Int, choices: Int) -> Int { rows * 128 + choices * 48 }

    /// Takes the memory for batches of `rows` rows.
    /// - Throws: `TensorError` when it does not fit the ledger.
    package init(decoder: Decoder, slots: [Int], rows: Int) throws {
        self.slots = slots
        self.rows = rows
        isSharing = decoder.description.shape.mixer == nil
        let chunk = LossHead.chunkRows(vocabulary: decoder.description.vocabulary, rows: rows)
        try decoder.reserveScratch(rows: rows, headRows: chunk)
        pass = try EvaluationPass(
            decoder: decoder, rows: rows, sequences: ChoiceEvaluator.sequences)
    }

    /// Scores questions.
    /// - Parameters:
    ///   - choices: the questions in tokens.
    ///   - progress: told how many questions are done.
    /// - Throws: `GenerationError` when a log-likelihood is not finite.
    package func score(
        _ questions: [ChoiceQuestion], _ choices: [[EncodedChoice]],
        progress: (Int) throws -> Void
    ) throws -> ChoiceScore {
        let start = ContinuousClock.now
        var scores = choices.map { [Double](repeating: 0, count: $0.count) }
        var (batch, read) = (ChoiceBatch(isSharing: isSharing), 0)
        func flush() throws {
            guard batch.rows > 0 else { return }
            let losses = try pass.losses(
                batch.batch(slots: slots), table: batch.table, labels: batch.labels)
            for (loss, place) in zip(losses, batch.places) {
                scores[place.question][place.choice] -= Double(loss)
            }
            read += batch.rows
            batch = ChoiceBatch(isSharing: isSharing)
        }
        for (question, all) in choices.enumerated() {
            var rest = all[...]
            while !rest.isEmpty {
                let part = fitting(rest, beside: batch)
                if part.isEmpty {
                    try flush()
                } else {
                    batch.add(part, question: question, first: part.startIndex)
                    rest = rest[part.endIndex...]
                }
            }
            try progress(question)
        }
        try flush()
        try progress(questions.count)
        guard scores.joined().allSatisfy(\.isFinite) else {
            throw GenerationError(
                "a log-likelihood is not a finite number; the model's weights may be damaged")
        }
        let seconds = (ContinuousClock.now - start).seconds
        return ChoiceScore(
            questions, scores, tokensPerSecond: Double(read) / max(seconds, 1e-9))
    }

    /// The choices that are added to a batch: all of them when they fit; as many as fit when the batch is empty.
    private func fitting(
        _ choices: ArraySlice<EncodedChoice>, beside batch: ChoiceBatch
    ) -> ArraySlice<EncodedChoice> {
        func fits(_ part: ArraySlice<EncodedChoice>) -> Bool {
            let need = ChoiceBatch.need(part, isSharing: isSharing)
            return batch.rows + need.rows <= rows
                && batch.sequences + need.sequences <= ChoiceEvaluator.sequences
        }
        if fits(choices) { return choices }
        guard batch.rows == 0 else { return [] }
        var part = choices.prefix(1)
        while part.count < choices.count, fits(choices.prefix(part.count + 1)) {
            part = choices.prefix(part.count + 1)
        }
        return part
    }
}

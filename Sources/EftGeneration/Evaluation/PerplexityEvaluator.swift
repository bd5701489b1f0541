// SPDX-License-Identifier: Apache-2.0
// Perplexity of a text in consecutive windows.
import EftModels
import EftNN
import EftTensor

#if canImport(Glibc)
    import Glibc
#endif

/// The score of a text.
package struct PerplexityScore: Sendable {
    /// Tokens scored.
    package let tokens: Int
    /// Mean negative log-likelihood in nats.
    package let nll: Double
    /// Speed over all tokens read.
    package let tokensPerSecond: Double
    /// exp of the mean.
    package var perplexity: Double { exp(nll) }
}

/// Scores a text with a decoder.
package struct PerplexityEvaluator {
    private let pass: EvaluationPass
    private let slots: [Int]
    private let length: Int

    /// Takes the memory for windows of `length` tokens.
    /// - Parameter kvType: how keys and values are held.
    /// - Throws: `TensorError` when it does not fit the ledger.
    package init(
        decoder: Decoder, slots: [Int], length: Int, kvType: KVType = .f32
    ) throws {
        self.slots = slots
        self.length = length
        let chunk = LossHead.chunkRows(vocabulary: decoder.description.vocabulary, rows: length)
        try decoder.reserveScratch(rows: length, headRows: chunk)
        pass = try EvaluationPass(
            decoder: decoder, rows: length, sequences: 1, kvType: kvType)
    }

    /// The loss of the labelled tokens of one sequence of at most `length` tokens, added up.
    /// - Parameter labels: for each token the one to predict there; negative for none.
    package func totalLoss(_ tokens: [Int32], labels: [Int32]) throws -> Double {
        try pass.losses(DecoderBatch(sequences: [tokens], slots: slots), labels: labels)
            .reduce(0) { $0 + Double($1) }
    }

    /// Cuts tokens into windows and scores each from its second token; a last window of one token scores nothing.
    /// - Parameter progress: told how many tokens were read.
    /// - Throws: `GenerationError` for fewer than two tokens.
    package func score(
        _ tokens: [Int32], progress: (Int) throws -> Void
    ) throws -> PerplexityScore {
        let windows = try EvaluationText.windows(tokens, length: length)
        let start = ContinuousClock.now
        var (sum, scored, read) = (0.0, 0, 0)
        for window in windows {
            let part = Array(tokens[window])
            let losses = try pass.losses(
                DecoderBatch(sequences: [part], slots: slots),
                labels: Array(part.dropFirst()) + [-100])
            for loss in losses { sum += Double(loss) }
            scored += window.count - 1
            read = window.upperBound
            try progress(read)
        }
        guard sum.isFinite else {
            throw GenerationError(
                "the negative log-likelihood is not a finite number; the model's weights may be damaged"
            )
        }
        let seconds = (ContinuousClock.now - start).seconds
        return PerplexityScore(
            tokens: scored, nll: sum / Double(scored),
            tokensPerSecond: Double(read) / max(seconds, 1e-9))
    }
}

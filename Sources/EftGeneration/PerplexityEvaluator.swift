// SPDX-License-Identifier: Apache-2.0
// Perplexity of a text in consecutive windows.
import EftConfig
import EftFormats
import EftModels
import EftNN
import EftTensor
import EftTokenizers

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
    /// - Throws: `TensorError` when it does not fit the ledger.
    package init(decoder: Decoder, slots: [Int], length: Int) throws {
        self.slots = slots
        self.length = length
        let chunk = LossHead.chunkRows(vocabulary: decoder.description.vocabulary, rows: length)
        try decoder.reserveScratch(rows: length, headRows: chunk)
        pass = try EvaluationPass(decoder: decoder, rows: length, sequences: 1)
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
        guard tokens.count >= 2 else {
            throw GenerationError("the data has \(tokens.count) tokens; at least two are needed")
        }
        let start = ContinuousClock.now
        var (sum, scored, first) = (0.0, 0, 0)
        while first < tokens.count - 1 {
            let window = Array(tokens[first..<min(first + length, tokens.count)])
            first += window.count
            let losses = try pass.losses(
                DecoderBatch(sequences: [window], slots: slots),
                labels: Array(window.dropFirst()) + [-100])
            for loss in losses { sum += Double(loss) }
            scored += window.count - 1
            try progress(first)
        }
        guard sum.isFinite else {
            throw GenerationError(
                "the negative log-likelihood is not a finite number; the model's weights may be damaged"
            )
        }
        let seconds = (ContinuousClock.now - start).seconds
        return PerplexityScore(
            tokens: scored, nll: sum / Double(scored),
            tokensPerSecond: Double(first) / max(seconds, 1e-9))
    }
}

/// Texts to score.
package enum EvaluationText {
    /// Tokens of a UTF-8 text file, or of the `text` of all rows of a `.jsonl` or `.parquet` file one after the other.
    /// - Throws: `ConfigError` for unreadable files, `FormatError`, `TokenizerError`.
    package static func tokens(_ path: String, tokenizer: Tokenizer) throws -> [Int32] {
        if path.hasSuffix(".jsonl") || DataRows.isParquet(path) {
            let rows = try DataRows(path)
            var tokens: [Int32] = []
            while let row = try rows.next() {
                let text = try row.required("text").string()
                tokens += try tokenizer.encode(text, addSpecialTokens: true)
            }
            return tokens
        }
        let bytes = try ConfigFile.contents(path)
        return try tokenizer.encode(String(decoding: bytes, as: UTF8.self), addSpecialTokens: true)
    }
}

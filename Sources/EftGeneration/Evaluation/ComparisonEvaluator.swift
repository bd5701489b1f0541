// SPDX-License-Identifier: Apache-2.0
// How far a model is from a reference on a text, in consecutive windows.
import EftConfig
import EftModels
import EftNN
import EftTensor

#if canImport(Glibc)
    import Glibc
#endif

/// How a model differs from a reference on a text.
package struct ComparisonScore: Sendable {
    /// Tokens scored.
    package let tokens: Int
    /// Mean negative log-likelihood of the reference in nats.
    package let referenceNLL: Double
    /// Mean negative log-likelihood of the model in nats.
    package let nll: Double
    /// KL(reference || model) of the next-token distributions, in nats.
    package let divergence: Distribution
    /// The share of tokens for which both hold the same token for the likeliest.
    package let top1Agreement: Double
    /// The mean share of the reference's five likeliest tokens that are among the model's five.
    package let top5Agreement: Double
    /// Frobenius norm of the difference of the states that each layer gives, over that of the reference; none when
    /// the two have layers of other shapes.
    package let layerErrors: [Double]
    /// Speed over all tokens read.
    package let tokensPerSecond: Double

    /// exp of the reference's mean.
    package var referencePerplexity: Double { exp(referenceNLL) }
    /// exp of the model's mean.
    package var perplexity: Double { exp(nll) }

    /// What is told of many numbers.
    package struct Distribution: Sendable, Hashable {
        /// The mean.
        package let mean: Double
        /// The median.
        package let median: Double
        /// What 99 % of the numbers do not pass.
        package let percentile99: Double
        /// The largest.
        package let largest: Double

        /// Looks at numbers; percentiles between two of them are interpolated.
        package init(_ values: [Float]) {
            let sorted = values.sorted()
            func quantile(_ share: Double) -> Double {
                guard let last = sorted.last else { return 0 }
                let place = share * Double(sorted.count - 1)
                let low = Int(place)
                guard low + 1 < sorted.count else { return Double(last) }
                let rest = place - Double(low)
                return Double(sorted[low]) * (1 - rest) + Double(sorted[low + 1]) * rest
            }
            mean = values.reduce(0) { $0 + Double($1) } / Double(max(values.count, 1))
            median = quantile(0.5)
            percentile99 = quantile(0.99)
            largest = Double(sorted.last ?? 0)
        }
    }
}

/// Compares a model with a reference, both read at once window by window.
package struct ComparisonEvaluator {
    private let pass: ComparisonPass
    private let slots: [Int]
    private let length: Int

    /// Bytes that a comparison keeps outside of the ledgers: for each token its divergence, a copy that is sorted and
    /// what sorting takes; the rows of a window; sums of the layers.
    package static func byteCount(tokens: Int, rows: Int, layers: Int) -> Int {
        tokens * 12 + rows * 3 * MemoryLayout<RowDivergence>.stride
            + layers * 3 * MemoryLayout<StateDifference>.stride
    }

    /// Takes the memory for windows of `length` tokens.
    /// - Parameter kvType: how the model's keys and values are held; the reference's are in f32.
    /// - Throws: `ModelError` for models of different vocabularies, `TensorError` when it does not fit a ledger.
    package init(
        reference: Decoder, model: Decoder, slots: [Int], length: Int, kvType: KVType = .f32
    ) throws {
        self.slots = slots
        self.length = length
        for decoder in [reference, model] {
            let chunk = LossHead.chunkRows(
                vocabulary: decoder.description.vocabulary, rows: length)
            try decoder.reserveScratch(rows: length, headRows: chunk)
        }
        pass = try ComparisonPass(
            reference: reference, model: model, rows: length, kvType: kvType)
    }

    /// Cuts tokens into windows and compares each from its second token, as `PerplexityEvaluator` scores them.
    /// - Parameter progress: told how many tokens were read.
    /// - Throws: `GenerationError` for fewer than two tokens, and when the numbers are not finite.
    package func compare(
        _ tokens: [Int32], progress: (Int) throws -> Void
    ) throws -> ComparisonScore {
        let windows = try EvaluationText.windows(tokens, length: length)
        let start = ContinuousClock.now
        var sums = Sums(capacity: tokens.count)
        var read = 0
        for window in windows {
            let part = Array(tokens[window])
            sums.add(
                try pass.compare(part, labels: Array(part.dropFirst()) + [-100], slots: slots))
            read = window.upperBound
            try progress(read)
        }
        let seconds = (ContinuousClock.now - start).seconds
        return try sums.score(tokensPerSecond: Double(read) / max(seconds, 1e-9))
    }

    /// What adds up over windows.
    private struct Sums {
        var divergences: [Float] = []
        var (referenceLoss, loss) = (0.0, 0.0)
        var (sameBest, commonBest) = (0, 0.0)
        var layers: [StateDifference] = []

        init(capacity: Int) { divergences.reserveCapacity(capacity) }

        mutating func add(_ window: SequenceComparison) {
            for row in window.rows {
                divergences.append(Float(row.divergence))
                referenceLoss += row.referenceLoss
                loss += row.loss
                sameBest += row.sameBest ? 1 : 0
                commonBest += row.commonBest
            }
            if layers.isEmpty {
                layers = window.layers
            } else {
                for (index, layer) in window.layers.enumerated() { layers[index] += layer }
            }
        }

        func score(tokensPerSecond: Double) throws -> ComparisonScore {
            let count = Double(divergences.count)
            for (name, sum) in [("reference", referenceLoss), ("model", loss)] {
                guard sum.isFinite else {
                    throw GenerationError(
                        "the negative log-likelihood of the \(name) is not a finite number; its weights may be damaged"
                    )
                }
            }
            return ComparisonScore(
                tokens: divergences.count, referenceNLL: referenceLoss / count, nll: loss / count,
                divergence: ComparisonScore.Distribution(divergences),
                top1Agreement: Double(sameBest) / count, top5Agreement: commonBest / count,
                layerErrors: layers.map(\.relativeError), tokensPerSecond: tokensPerSecond)
        }
    }
}

// SPDX-License-Identifier: Apache-2.0
// From logits to a token, for one sequence.
import EftTensor

#if canImport(Glibc)
    import Glibc
#endif

/// Samples the tokens of one sequence.
///
/// The steps, in order:
///
///  1. log-probabilities are taken from the logits as the model gave them, when asked for;
///  2. tokens outside the caller's mask (an output constraint), then outside `allowedTokenIDs`, are ruled out;
///  3. bad words, then end and stop tokens while the answer is shorter than `minTokens`, are ruled out;
///  4. `logitBias` is added;
///  5. repetition penalty (prompt and answer), frequency and presence penalty (answer), DRY;
///  6. temperature 0 takes the first of the largest logits here;
///  7. temperature; min-p, top-k (with those equal to the k-th), top-p, typical-p, each on what the one before left;
///  8. XTC, then a sample from what is left.
///
/// A sample depends on the logits, the settings, the tokens so far and their number only, never on other sequences or
/// earlier samples. So a sequence gets the same tokens alone and in a batch, and tokens that were drafted can be verified by
/// sampling from the logits at each place, accepting what was sampled as long as it equals the draft.
///
/// A copy is cheap; it shares the history until either accepts a token.
package struct SequenceSampler: Sendable {
    /// Bytes that a sample takes for a while for each token of the vocabulary, where a temperature leaves all of them.
    package static let temporaryBytes = 32

    private let parameters: GenerationParameters
    private let edits: LogitEdits
    private let temperature: Float
    private let logprobs: Int?
    private var history: TokenHistory

    /// Begins a sequence; nothing is carried over from another.
    /// - Parameters:
    ///   - parameters: settings within their ranges.
    ///   - prompt: its tokens.
    ///   - vocabulary: how many logits a row has.
    package init(parameters: GenerationParameters, prompt: [Int32], vocabulary: Int) {
        self.parameters = parameters
        edits = LogitEdits(parameters, vocabulary: vocabulary)
        temperature = parameters.effectiveTemperature
        logprobs = parameters.logprobs.map {
            $0 < 0 ? GenerationLimits(vocabulary: vocabulary).allLogprobs : $0
        }
        history = TokenHistory(prompt: prompt, isCounted: edits.needsCounts)
    }

    /// The prompt and the accepted tokens.
    package var tokens: [Int32] { history.tokens }

    /// How many tokens were accepted.
    package var answerCount: Int { history.answerCount }

    /// Samples the next token, without accepting it.
    /// - Parameters:
    ///   - logits: one for each token of the vocabulary; they are overwritten.
    ///   - mask: bit t % 32 of word t / 32 says whether token t is allowed; tokens beyond its end are not.
    /// - Throws: `SamplingError`.
    package func sample(
        _ logits: UnsafeMutableBufferPointer<Float>, mask: UnsafeBufferPointer<UInt32>? = nil
    ) throws(SamplingError) -> SampledToken {
        var row = EditedRow(logits, isLogged: logprobs != nil)
        guard let logprobs else { return SampledToken(id: try choose(&row, mask)) }
        guard mask != nil || edits.hasMask else {
            let scores = try RowScores(LogitRow(logits))
            let token = try choose(&row, nil)
            row.undo()
            return try scores.score(token, count: logprobs)
        }
        let raw = UnsafeMutableBufferPointer<Float>.allocate(capacity: logits.count)
        defer { raw.deallocate() }
        _ = raw.initialize(from: logits)
        let scores = try RowScores(LogitRow(raw))
        return try scores.score(try choose(&row, mask), count: logprobs)
    }

    /// Appends a token to the sequence: the one sampled, or another that was forced.
    package mutating func accept(_ token: Int32) { history.append(token) }

    private func choose(
        _ row: inout EditedRow, _ mask: UnsafeBufferPointer<UInt32>?
    ) throws(SamplingError) -> Int32 {
        if let mask { LogitRow.mask(row.logits, mask) }
        edits.apply(to: &row, history: history)
        let edited = LogitRow(row.logits)
        let peak = try edited.peak()
        if temperature == 0 { return peak.token }
        return sample(edited, top: peak.value) ?? peak.token
    }

    /// nil for a row without any weight, which a row with a peak is not.
    private func sample(_ row: LogitRow, top: Float) -> Int32? {
        let excludes = uniform(.exclusion) < Double(parameters.xtc.probability)
        let fraction = uniform(.token)
        let isWhole =
            parameters.minP == 0 && parameters.topK <= 0 && parameters.topP >= 1
            && parameters.typicalP >= 1 && !excludes
        if isWhole { return sampleWhole(row, top: top, scale: 1 / temperature, fraction) }
        return candidates(row, top: top, excludes: excludes).token(at: fraction)
    }

    /// What the filters leave of a row whose largest logit is `top`, by a temperature above 0.
    func candidates(_ row: LogitRow, top: Float, excludes: Bool) -> CandidateSet {
        let scale = 1 / temperature
        // What has no weight in f32 cannot be sampled.
        var floor = top - 87 * temperature
        if parameters.minP > 0 { floor = max(floor, top + temperature * log(parameters.minP)) }
        if parameters.topK > 0 { floor = max(floor, row.kth(parameters.topK)) }
        var mass: Double?
        if parameters.topP < 1 && parameters.minP == 0 && parameters.topK <= 0 {
            let total = row.sums(top: top, scale: scale).total
            floor = max(floor, nucleusFloor(row, top: top, total: total))
            mass = total
        }
        var candidates = CandidateSet(row, floor: floor, top: top, scale: scale)
        if parameters.topP < 1 {
            candidates.keepLikeliest(reaching: Double(parameters.topP) * (mass ?? candidates.total))
        }
        if parameters.typicalP < 1 {
            candidates.keepTypical(parameters.typicalP, top: top, scale: scale)
        }
        if excludes { candidates.excludeTopChoices(threshold: parameters.xtc.threshold) }
        return candidates
    }

    /// A logit below which no token lies in the nucleus: `count` tokens so unlikely cannot have half of what is left out,
    /// and neither can all those above the first such bound.
    private func nucleusFloor(_ row: LogitRow, top: Float, total: Double) -> Float {
        let half = (1 - Double(parameters.topP)) * total / 2
        func floor(_ count: Int) -> Float {
            top + temperature * (min(Float(log(half / Double(max(count, 1)))), 0) - 0.001)
        }
        let first = floor(row.count)
        return max(first, floor(row.countOf(atLeast: first)))
    }

    private func sampleWhole(
        _ row: LogitRow, top: Float, scale: Float, _ fraction: Double
    ) -> Int32? {
        let (blocks, total) = row.sums(top: top, scale: scale)
        guard let block = CumulativeWeight.block(blocks, at: fraction * total) else { return nil }
        let range = LogitRow.block(block.index, of: row.count)
        let weights = LogitRow(UnsafeBufferPointer(rebasing: row.values[range]))
            .weights(top: top, scale: scale)
        return CumulativeWeight.index(weights, at: block.goal).map {
            Int32(truncatingIfNeeded: range.lowerBound + $0)
        }
    }

    /// What a random number is for; each is a stream of its own.
    private enum Purpose: UInt64 {
        case token = 0
        case exclusion = 0xD1B5_4A32_D192_ED03
    }

    /// A number in [0, 1) made of seed, purpose and position.
    private func uniform(_ purpose: Purpose) -> Double {
        let stream = SplitMix64.first(of: (parameters.seed ?? 0) ^ purpose.rawValue)
        let mixed = SplitMix64.first(of: stream ^ UInt64(history.tokens.count))
        return Double(mixed >> 11) / 9007199254740992
    }
}

// SPDX-License-Identifier: Apache-2.0
// From logits to a token: the steps that the settings ask for, then a draw.
import EftTensor

#if canImport(Glibc)
    import Glibc
#endif

/// Draws tokens for one sequence.
///
/// Each draw depends on the logits, the seed and the number of the token only, so that a sequence gives the same
/// tokens alone and in a crowd.
package struct SamplerChain: Sendable {
    private let steps: [any LogitsProcessor]
    private let isGreedy: Bool
    private let seed: UInt64

    /// Chooses the steps, in vLLM's order: penalties, temperature, min-p, top-k, top-p.
    package init(_ parameters: GenerationParameters) {
        var steps: [any LogitsProcessor] = []
        if parameters.repetitionPenalty != 1 {
            steps.append(RepetitionPenalty(penalty: parameters.repetitionPenalty))
        }
        isGreedy = parameters.temperature == 0
        if !isGreedy {
            if parameters.temperature != 1 {
                steps.append(Temperature(temperature: parameters.temperature))
            }
            if parameters.minP > 0 { steps.append(MinP(minP: parameters.minP)) }
            if parameters.topK > 0 { steps.append(TopK(k: parameters.topK)) }
            if parameters.topP < 1 { steps.append(TopP(p: parameters.topP)) }
        }
        self.steps = steps
        seed = parameters.seed
    }

    /// Draws the next token.
    /// - Parameters:
    ///   - logits: one for each token of the vocabulary; not empty.
    ///   - tokens: the sequence so far.
    package func draw(_ logits: UnsafeBufferPointer<Float>, tokens: [Int32]) -> Int32 {
        var working = Array(logits)
        for step in steps { step.process(&working, tokens: tokens) }
        return isGreedy ? argmax(working) : sample(working, position: tokens.count)
    }

    /// The first of the largest.
    private func argmax(_ logits: [Float]) -> Int32 {
        var best = 0
        for index in logits.indices where logits[index] > logits[best] { best = index }
        return Int32(best)
    }

    private func sample(_ logits: [Float], position: Int) -> Int32 {
        guard let top = logits.max(), top > -.infinity else { return argmax(logits) }
        let weights = logits.map { $0 == -.infinity ? 0 : exp(Double($0 - top)) }
        var remaining = uniform(position) * weights.reduce(0, +)
        var last = 0
        for (index, weight) in weights.enumerated() where weight > 0 {
            last = index
            remaining -= weight
            if remaining < 0 { break }
        }
        return Int32(last)
    }

    /// A number in [0, 1) made of seed and position.
    private func uniform(_ position: Int) -> Double {
        let mixed = SplitMix64.first(of: SplitMix64.first(of: seed) ^ UInt64(position))
        return Double(mixed >> 11) / 9007199254740992
    }
}

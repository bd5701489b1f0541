// SPDX-License-Identifier: Apache-2.0
// How a sequence is to be continued.

/// Settings of one sequence's generation, under the names and with the ranges of vLLM.
///
/// In what order they act is stated at `SequenceSampler`.
package struct GenerationParameters: Sendable, Hashable {
    /// Most new tokens.
    package var maxTokens: Int
    /// Fewest new tokens: before, end and stop tokens cannot be sampled and stop strings are passed over.
    package var minTokens: Int = 0
    /// 0 takes the likeliest token always; what lies between 0 and 0.01 is 0.01.
    package var temperature: Float
    /// Only the k likeliest tokens; 0 or -1 for all.
    package var topK: Int
    /// Only the likeliest tokens that together reach this probability; 1 for all.
    package var topP: Float
    /// Only tokens at least this fraction as likely as the likeliest; 0 for all.
    package var minP: Float
    /// Only tokens whose information is nearest to what the distribution gives on average, until they reach this
    /// probability together (Meister et al. 2022); 1 for all.
    package var typicalP: Float = 1
    /// Logits of tokens of the prompt or the answer are divided (or, when negative, multiplied) by this; 1 for none.
    package var repetitionPenalty: Float
    /// Taken off the logits of tokens of the answer.
    package var presencePenalty: Float = 0
    /// Taken off the logits of tokens of the answer, as often as they occurred.
    package var frequencyPenalty: Float = 0
    /// Discourages what would lengthen a repetition.
    package var dry = DRYParameters()
    /// Leaves out the likeliest tokens now and then.
    package var xtc = XTCParameters()
    /// Added to the logits of tokens; what lies beyond +-100 is +-100.
    package var logitBias: [Int32: Float] = [:]
    /// The only tokens that may be sampled; nil for all.
    package var allowedTokenIDs: [Int32]?
    /// Sequences of tokens whose last one may not follow the others in the answer.
    package var badWords: [[Int32]] = []
    /// Tokens that end the sequence and are not part of its text.
    package var stopTokens: Set<Int32>
    /// The model's own end tokens, which end the sequence too unless `ignoreEOS`.
    package var endTokens: Set<Int32> = []
    /// Whether to go on after an end token.
    package var ignoreEOS = false
    /// Strings that end the sequence.
    package var stop: [String] = []
    /// Whether the text keeps the stop string, or the text of the stop token, that ended it.
    package var includeStopString = false
    /// Seed of the samples; nil lets the caller choose one (a sampler of its own takes 0).
    package var seed: UInt64?
    /// How many likeliest tokens to report beside each sampled one; -1 for as many as `GenerationLimits` allows, nil for
    /// no log-probabilities at all.
    package var logprobs: Int?
    /// The same for the tokens of the prompt.
    package var promptLogprobs: Int?
    /// Whether special tokens have no text.
    package var skipSpecialTokens = true

    /// Makes settings; the others are set one by one.
    package init(
        maxTokens: Int = 128, temperature: Float = 0, topK: Int = 0, topP: Float = 1,
        minP: Float = 0, repetitionPenalty: Float = 1, seed: UInt64? = nil,
        stopTokens: Set<Int32> = []
    ) {
        self.maxTokens = maxTokens
        self.temperature = temperature
        self.topK = topK
        self.topP = topP
        self.minP = minP
        self.repetitionPenalty = repetitionPenalty
        self.seed = seed
        self.stopTokens = stopTokens
    }

    /// What a token does to the sequence that it was sampled for.
    package enum TokenEnd: Sendable, Hashable {
        /// It is one of `stopTokens`; its id is the reason to report.
        case stopToken(Int32)
        /// It is one of the model's end tokens.
        case endOfSequence
    }

    /// How `token` ends the sequence; nil when it does not.
    package func end(with token: Int32) -> TokenEnd? {
        if stopTokens.contains(token) { return .stopToken(token) }
        return !ignoreEOS && endTokens.contains(token) ? .endOfSequence : nil
    }
}

/// Settings of DRY: a token that would continue a repetition of n tokens, n at least `allowedLength`, loses
/// `multiplier * base^(n - allowedLength)` of its logit.
package struct DRYParameters: Sendable, Hashable {
    /// 0 for none.
    package var multiplier: Float
    /// Growth a token of repetition; at least 1.
    package var base: Float
    /// Repetitions shorter than this cost nothing; at least 1.
    package var allowedLength: Int
    /// How many last tokens of prompt and answer are looked at; -1 for all, 0 for none.
    package var range: Int
    /// Tokens that no repetition reaches across.
    package var sequenceBreakers: Set<Int32>

    /// Makes settings.
    package init(
        multiplier: Float = 0, base: Float = 1.75, allowedLength: Int = 2, range: Int = -1,
        sequenceBreakers: Set<Int32> = []
    ) {
        self.multiplier = multiplier
        self.base = base
        self.allowedLength = allowedLength
        self.range = range
        self.sequenceBreakers = sequenceBreakers
    }
}

/// Settings of XTC ("exclude top choices"): with `probability`, all tokens of at least `threshold` but the least likely
/// of them are left out.
package struct XTCParameters: Sendable, Hashable {
    /// 0 for never.
    package var probability: Float
    /// Above 0.5 there are never two such tokens.
    package var threshold: Float

    /// Makes settings.
    package init(probability: Float = 0, threshold: Float = 0.1) {
        self.probability = probability
        self.threshold = threshold
    }
}

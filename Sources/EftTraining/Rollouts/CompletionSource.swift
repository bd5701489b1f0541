// SPDX-License-Identifier: Apache-2.0
// Where completions and rewards come from.
import EftModels

/// How completions are sampled.
package struct CompletionForm: Sendable, Hashable {
    /// Most tokens.
    package var maxTokens: Int
    /// What logits are divided by; the likeliest token at 0.
    package var temperature: Double
    /// The share of probability from which tokens are drawn.
    package var topP = 1.0
    /// The number of tokens from which one is drawn; all at 0.
    package var topK = 0
    /// The least probability, as a share of the highest.
    package var minP = 0.0
    /// What makes tokens less likely that were there before.
    package var repetitionPenalty = 1.0

    /// States a form.
    package init(maxTokens: Int, temperature: Double) {
        self.maxTokens = maxTokens
        self.temperature = temperature
    }
}

/// A prompt that is to be completed a number of times.
package struct CompletionRequest: Sendable, Hashable {
    /// Its tokens.
    package let prompt: [Int32]
    /// Completions; sample i is drawn with seed + i.
    package let samples: Int
    /// Seeds the samples.
    package let seed: UInt64
    /// How they are sampled.
    package let form: CompletionForm
}

/// A completion.
package struct SampledCompletion: Sendable, Hashable {
    /// Its tokens, with the one that ends it.
    package let tokens: [Int32]
    /// Whether it has no end: it is as long as allowed.
    package let isTruncated: Bool

    /// Puts a completion together.
    package init(tokens: [Int32], isTruncated: Bool) {
        self.tokens = tokens
        self.isTruncated = isTruncated
    }
}

/// Completes prompts with the model as it is at the moment. The numbers depend on model, prompt and seed alone.
package protocol CompletionSource {
    /// Completes prompts.
    /// - Parameter pause: called now and then; what it throws ends the work.
    /// - Returns: the samples of each request.
    func complete(
        _ requests: [CompletionRequest], pause: () throws -> Void
    ) throws -> [[SampledCompletion]]
}

/// What completing prompts may take of a run.
package struct CompletionSampling: Sendable {
    /// What sampling may hold.
    package let need: GenerationNeed
    /// Slots of the adapters that act.
    package let slots: [Int]
    /// Tokens that end a completion.
    package let endTokens: Set<Int32>
}

/// Makes a source of completions by a decoder; those who train by rewards, or ask for answers, bring it.
package typealias CompletionFactory =
    (_ decoder: Decoder, _ sampling: CompletionSampling) throws -> any CompletionSource

/// Rewards completions.
protocol RewardSource {
    /// The rewards of completions, each described by a JSON object on a line; nil for what cannot be judged.
    /// - Parameter pause: called now and then; what it throws ends the work.
    func rewards(_ lines: [String], pause: () throws -> Void) throws -> [Double?]
}

/// What learning from rewards needs besides a model.
struct RolloutTools {
    /// Completes prompts.
    let source: any CompletionSource
    /// Judges completions.
    let rewards: [any RewardSource]
    /// The text of tokens, without special ones.
    let text: ([Int32]) throws -> String
}

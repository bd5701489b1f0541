// SPDX-License-Identifier: Apache-2.0
// What the engine is asked for, and how it tells what became of it.
import EftNN
import EftTensor

/// How the states of a prompt's tokens become one vector.
package enum Pooling: String, Sendable, CaseIterable {
    /// The last token's state.
    case last
    /// The mean over all tokens.
    case mean
}

/// A prompt and how to continue it, any number of times.
package struct EngineRequest: Sendable {
    /// The prompt; at least one token.
    package var prompt: [Int32]
    /// Settings of all samples; sample i samples with seed + i.
    package var parameters: GenerationParameters
    /// Continuations.
    package var samples = 1
    /// What each sample's text must be; nil for anything.
    package var constraint: CompiledConstraint?
    /// How the prompt's states become a vector; nil to continue the prompt instead.
    package var pooling: Pooling?
    /// Slots of the adapters that act on it.
    package var adapters: [Int] = []
    /// What its pages may be shared under.
    package var root = PageTable.Root()
    /// Lower comes sooner, where the policy looks at it.
    package var priority = 0
    /// When it is given up, finished or not.
    package var deadline: ContinuousClock.Instant?
    /// What is told of it.
    package var sink: any EngineSink

    /// Makes a request.
    package init(
        prompt: [Int32], parameters: GenerationParameters, adapters: [Int] = [],
        sink: any EngineSink
    ) {
        self.prompt = prompt
        self.parameters = parameters
        self.adapters = adapters
        self.sink = sink
    }

    /// Tokens that a sample may come to; `Int.max` when there is no such number.
    var length: Int {
        guard pooling == nil else { return prompt.count }
        let (sum, overflow) = prompt.count.addingReportingOverflow(parameters.maxTokens)
        return overflow ? .max : sum
    }
}

/// Why a sequence ended, by the words of OpenAI's API and vLLM's.
package enum FinishReason: String, Sendable, CaseIterable {
    /// A stop token was sampled, or the caller found a stop string.
    case stop
    /// As many tokens as asked for, or as the context holds.
    case length
    /// The caller wanted no more, or the time was up.
    case abort
    /// The sequence could not go on.
    case error
}

/// How a sample ended.
package struct SampleEnd: Sendable {
    /// Why.
    package let reason: FinishReason
    /// The stop token of the request's own list that was sampled; nil for the model's end token and everything else.
    package let stopToken: Int32?
    /// What went wrong, with the reason `error`.
    package let error: (any Error)?
}

/// A token that was sampled.
package struct GeneratedToken: Sendable {
    /// The token with what was asked about its probability.
    package let token: SampledToken
    /// Whether it ends the sample and is no part of its text.
    package let isStop: Bool
}

/// Listens to one request. Called on the engine's thread; must not wait.
package protocol EngineSink: AnyObject, Sendable {
    /// The first part of the prompt is about to be read.
    /// - Parameter cachedTokens: tokens of the prompt that were read before.
    func began(cachedTokens: Int)
    /// Scores of the prompt's tokens, when they were asked for; nil for the first.
    func scored(_ prompt: [SampledToken?])
    /// The vector that the prompt's states became: the last norm's output, not scaled to length 1.
    func embedded(_ vector: [Float])
    /// A token of a sample.
    /// - Returns: whether the sample is to go on; what stops it is a stop string.
    func sampled(_ token: GeneratedToken, sample: Int) -> Bool
    /// A sample has ended; each ends once, also when the request fails.
    func ended(_ end: SampleEnd, sample: Int)
}

extension EngineSink {
    package func began(cachedTokens: Int) {}
    package func scored(_ prompt: [SampledToken?]) {}
    package func embedded(_ vector: [Float]) {}
}

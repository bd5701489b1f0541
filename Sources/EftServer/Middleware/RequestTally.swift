// SPDX-License-Identifier: Apache-2.0
// What a request's text took, for the lines of logs.
import EftGeneration
import EftTensor
import Synchronization

/// Tokens and times of one HTTP request, counted as the engine makes them.
package final class RequestTally: Sendable {
    /// What was counted.
    package struct Count: Sendable, Hashable {
        /// The model's name as the request's answer has it.
        package var model: String?
        /// Tokens of prompts.
        package var promptTokens = 0
        /// Tokens sampled for all answers.
        package var answerTokens = 0
        /// From the request's arrival to the first token; nil when there was none.
        package var firstToken: Duration?
        /// From the first token to the last.
        package var decoding = Duration.zero

        /// Tokens a second after the first one; nil for fewer than two tokens.
        package var tokensPerSecond: Double? {
            guard answerTokens > 1, decoding > .zero else { return nil }
            return Double(answerTokens - 1) / decoding.seconds
        }
    }

    private let start = ContinuousClock.now
    private let state = Mutex(Count())

    /// Begins to count.
    package init() {}

    /// What was counted so far.
    package var count: Count { state.withLock { $0 } }

    /// The request is for a model.
    func began(model: String) { state.withLock { $0.model = model } }

    /// Prompts of so many tokens are to be read.
    func submitted(promptTokens: Int) { state.withLock { $0.promptTokens += promptTokens } }

    /// A token was sampled.
    func sampled() {
        let time = ContinuousClock.now - start
        state.withLock { count in
            count.answerTokens += 1
            if let first = count.firstToken {
                count.decoding = time - first
            } else {
                count.firstToken = time
            }
        }
    }
}

/// Counts what it passes on.
final class TallySink: EngineSink {
    private let sink: any EngineSink
    private let tally: RequestTally

    init(_ sink: any EngineSink, _ tally: RequestTally) {
        self.sink = sink
        self.tally = tally
    }

    func began(cachedTokens: Int) { sink.began(cachedTokens: cachedTokens) }
    func scored(_ prompt: [SampledToken?]) { sink.scored(prompt) }
    func embedded(_ vector: [Float]) { sink.embedded(vector) }
    func sampled(_ token: GeneratedToken, sample: Int) -> Bool {
        tally.sampled()
        return sink.sampled(token, sample: sample)
    }
    func ended(_ end: SampleEnd, sample: Int) { sink.ended(end, sample: sample) }
}

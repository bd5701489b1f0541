// SPDX-License-Identifier: Apache-2.0
// How much an engine serves when all requests are there at once, as vLLM's benchmark of throughput has it.
import EftCommandLine
import EftConfig
import EftModels

/// Times many requests that come at once.
package struct ThroughputBenchmark {
    /// Requests.
    package var count = 1000
    /// Their prompts; the vocabulary is the decoder's.
    package var prompts = RandomPrompts(vocabulary: 1)
    /// Whether to stop now.
    package var isStopped: () -> Bool = { false }

    /// Starts from vLLM's figures.
    package init() {}

    /// Tokens of the longest sequence that may be sampled.
    package var longest: Int {
        let input = RandomPrompts.range(prompts.inputLength, ratio: prompts.rangeRatio).upperBound
        let output = RandomPrompts.range(prompts.outputLength, ratio: prompts.rangeRatio).upperBound
        return prompts.prefixLength + input + output
    }

    /// Runs, after a request of two tokens that brings the weights into memory.
    /// - Throws: as `EngineBench`.
    package func run(
        _ decoder: Decoder, _ options: EngineBenchOptions
    ) throws -> ThroughputFigures {
        let bench = try EngineBench(decoder, options)
        bench.isStopped = isStopped
        var prompts = prompts
        prompts.vocabulary = decoder.description.vocabulary
        _ = try bench.run([RandomPrompt(tokens: [0], outputLength: 1)])
        return ThroughputFigures(requests: count, engine: try bench.run(prompts.sample(count)))
    }
}

/// How much was served in which time.
package struct ThroughputFigures: Sendable {
    /// Requests.
    package let requests: Int
    /// What the engine did.
    package let engine: EngineFigures

    private func rate(_ count: Int) -> Double {
        engine.seconds > 0 ? Double(count) / engine.seconds : 0
    }

    /// Tokens of prompts and answers.
    package var tokens: Int { engine.promptTokens + engine.outputTokens }

    /// The lines for people: vLLM's, and what the engine adds of itself.
    package var text: String {
        func fixed(_ value: Double) -> String { formatFixed(value, decimals: 2) }
        return """
            Throughput: \(fixed(rate(requests))) requests/s, \(fixed(rate(tokens))) total tokens/s, \
            \(fixed(rate(engine.outputTokens))) output tokens/s
            Total num prompt tokens:  \(engine.promptTokens)
            Total num output tokens:  \(engine.outputTokens)
            Time outside the decoder: \(fixed(engine.overhead * 100)) % \
            (samples \(fixed(engine.samplingShare * 100)) %) in \(engine.steps) steps
            KV slots in use: \(fixed(engine.slotUse * 100)) % of those in pages in use
            Preemptions: \(engine.preemptions)
            """
    }

    /// The figures for machines: vLLM's keys first.
    package var node: ConfigNode {
        [
            "elapsed_time": ConfigNode(engine.seconds), "num_requests": ConfigNode(requests),
            "total_num_tokens": ConfigNode(tokens),
            "requests_per_second": ConfigNode(rate(requests)),
            "tokens_per_second": ConfigNode(rate(tokens)),
            "output_tokens_per_second": ConfigNode(rate(engine.outputTokens)),
            "num_prompt_tokens": ConfigNode(engine.promptTokens),
            "num_output_tokens": ConfigNode(engine.outputTokens),
            "steps": ConfigNode(engine.steps), "preemptions": ConfigNode(engine.preemptions),
            "overhead": ConfigNode(engine.overhead),
            "sampling": ConfigNode(engine.samplingShare),
            "kv_slot_use": ConfigNode(engine.slotUse),
        ]
    }
}

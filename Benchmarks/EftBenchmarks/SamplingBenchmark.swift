// SPDX-License-Identifier: Apache-2.0
// Samples of tokens beside one copy of their logits.
import EftGeneration
import EftPlanning
import EftTensor

/// Times samples of one sequence on one thread.
package enum SamplingBenchmark {
    private static let prompt = 2000

    /// Runs all: each kind of sample at two sizes of vocabulary.
    package static func run() throws -> [BenchmarkResult] {
        try [32_000, 128_256].flatMap { vocabulary in
            let logits = logits(vocabulary)
            defer { logits.deallocate() }
            let row = UnsafeMutableBufferPointer<Float>.allocate(capacity: vocabulary)
            defer { row.deallocate() }
            _ = row.initialize(from: logits)
            let copy = seconds { _ = row.update(from: logits) }
            return try settings.map { name, parameters in
                let sampler = sampler(parameters, vocabulary)
                let sample = try seconds {
                    _ = row.update(from: logits)
                    _ = try sampler.sample(row)
                }
                return BenchmarkResult(
                    "\(name) sample of \(vocabulary)",
                    Double(vocabulary) / max(sample - copy, 1e-9) / 1e6, "Mlogit/s",
                    limit: Double(vocabulary) / copy / 1e6, limitName: "copied")
            }
        }
    }

    private static let settings: [(String, GenerationParameters)] = {
        let greedy = GenerationParameters()
        var penalized = greedy
        penalized.repetitionPenalty = 1.1
        var scored = greedy
        scored.logprobs = 5
        let sampled = GenerationParameters(temperature: 0.8)
        var nucleus = sampled
        nucleus.topP = 0.95
        var both = nucleus
        both.topK = 40
        var all = both
        all.minP = 0.02
        all.typicalP = 0.95
        all.repetitionPenalty = 1.1
        all.presencePenalty = 0.2
        all.frequencyPenalty = 0.1
        all.dry.multiplier = 0.8
        all.xtc = XTCParameters(probability: 0.5)
        all.logitBias = [5: 1, 77: -100]
        all.logprobs = 5
        return [
            ("greedy", greedy), ("greedy, repetition penalty", penalized),
            ("greedy, 5 log-probabilities", scored), ("temperature", sampled),
            ("top-p 0.95", nucleus), ("top-k 40, top-p 0.95", both), ("everything", all),
        ]
    }()

    private static func sampler(
        _ parameters: GenerationParameters, _ vocabulary: Int
    ) -> SequenceSampler {
        var random = SplitMix64(seed: 2)
        let history = (0..<prompt).map { _ in Int32.random(in: 0..<20_000, using: &random) }
        var sampler = SequenceSampler(
            parameters: parameters, prompt: history, vocabulary: vocabulary)
        for token in history { sampler.accept(token) }
        return sampler
    }

    /// A bell of width 3 with some tokens above it, as a language model's logits are.
    private static func logits(_ count: Int) -> UnsafeMutableBufferPointer<Float> {
        var random = SplitMix64(seed: 1)
        let logits = UnsafeMutableBufferPointer<Float>.allocate(capacity: count)
        for index in 0..<count {
            let sum = (0..<6).reduce(Float(0)) { sum, _ in
                sum + Float.random(in: -1...1, using: &random)
            }
            logits.initializeElement(at: index, to: sum * 2.1 + (index % 1000 == 7 ? 6 : 0))
        }
        return logits
    }

    private static func seconds(_ body: () throws -> Void) rethrows -> Double {
        try Stopwatch.median(9) {
            for _ in 0..<20 { try body() }
        } / 20
    }
}

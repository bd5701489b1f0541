// SPDX-License-Identifier: Apache-2.0
// How long a batch takes, as vLLM's benchmark of latency has it.
import EftConfig
import EftModels

/// Times one batch again and again.
package struct LatencyBenchmark {
    /// Tokens of prompts and answers, and requests of a batch.
    package var inputLength = 32
    package var outputLength = 128
    package var batch = 8
    /// Runs that are not counted, and those that are.
    package var warmups = 10
    package var iterations = 30
    /// Seed of the prompts.
    package var seed: UInt64 = 0
    /// Whether to stop now, and who is told of each run.
    package var isStopped: () -> Bool = { false }
    package var progress: (_ done: Int, _ of: Int) -> Void = { _, _ in }

    /// Starts from vLLM's figures.
    package init() {}

    /// Runs.
    /// - Throws: as `EngineBench`.
    package func run(_ decoder: Decoder, _ options: EngineBenchOptions) throws -> LatencyFigures {
        let bench = try EngineBench(decoder, options)
        bench.isStopped = isStopped
        var prompts = RandomPrompts(vocabulary: decoder.description.vocabulary)
        (prompts.inputLength, prompts.outputLength) = (inputLength, outputLength)
        prompts.seed = seed
        let batch = prompts.sample(batch)
        var seconds: [Double] = []
        for index in 0..<warmups + iterations {
            progress(index, warmups + iterations)
            let figures = try bench.run(batch)
            if index >= warmups { seconds.append(figures.seconds) }
        }
        return LatencyFigures(seconds: seconds)
    }
}

/// How long batches took.
package struct LatencyFigures: Sendable {
    /// Seconds of each.
    package let seconds: [Double]
    private static let percentiles = [10, 25, 50, 75, 90, 99]

    /// Takes seconds.
    package init(seconds: [Double]) { self.seconds = seconds }

    /// The lines for people, as vLLM writes them.
    package var text: String {
        let statistics = Statistics(seconds)
        let lines = Self.percentiles.map {
            "\($0)% percentile latency: "
                + "\(pythonText(of: statistics.percentile(Double($0)))) seconds"
        }
        return
            (["Avg latency: \(pythonText(of: statistics.mean)) seconds"] + lines)
            .joined(separator: "\n")
    }

    /// The figures for machines, under vLLM's keys.
    package var node: ConfigNode {
        let statistics = Statistics(seconds)
        var percentiles = ConfigObject()
        for percent in Self.percentiles {
            percentiles["\(percent)"] = ConfigNode(statistics.percentile(Double(percent)))
        }
        return [
            "avg_latency": ConfigNode(statistics.mean), "latencies": ConfigNode(seconds),
            "percentiles": ConfigNode(percentiles),
        ]
    }
}

// SPDX-License-Identifier: Apache-2.0
// Answers to prompts while they are made, and how fast that went.
import EftCommandLine
import EftConfig
import EftGeneration
import EftModels
import EftTensor
import EftTokenizers

/// Continues prompts and shows their answers.
struct Answers {
    private let requests: [GenerationRequest]
    private var detokenizers: [StreamingDetokenizer]
    /// Whether the answer is written as it is made.
    private let isLive: Bool

    /// Bytes of a new token outside of the cache: its number where it is made, in the answer and in the report, and text.
    static let tokenBytes = 160

    /// What became of the prompts.
    struct Report {
        fileprivate(set) var texts: [String]
        fileprivate(set) var tokens: [[Int32]]
        fileprivate(set) var reasons: [FinishReason] = []
        fileprivate let promptTokens: [Int]
        fileprivate let isLive: Bool
        /// Seconds until the first token, and of all after it.
        fileprivate(set) var firstSeconds = 0.0
        fileprivate(set) var restSeconds = 0.0
        /// Tokens made after the first one of all.
        fileprivate(set) var restTokens = 0
        /// What streaming came to; nil when all layers stand in memory.
        var streaming: StreamStatistics?
        /// Seconds of loading.
        var loadSeconds = 0.0
        /// Bytes of weights that every pass uses.
        var passBytes = 0
    }

    init(_ tokenizer: Tokenizer, _ requests: [GenerationRequest], isLive: Bool) throws {
        self.requests = requests
        self.isLive = isLive
        detokenizers = try requests.map { _ in try StreamingDetokenizer(tokenizer) }
    }

    /// Makes the answers.
    func make(_ generator: Generator) throws -> Report {
        var detokenizers = detokenizers
        var report = Report(
            texts: requests.map { _ in "" }, tokens: requests.map { _ in [] },
            promptTokens: requests.map(\.prompt.count), isLive: isLive)
        let output = TerminalOutput.standardOutput
        let clock = ContinuousClock()
        let start = clock.now
        var (first, begun) = (start, 0)
        report.reasons = try generator.run(requests) { index, token in
            // Prompts are read one after the other; speed counts from where all of them are.
            if report.tokens[index].isEmpty {
                begun += 1
                first = clock.now
                if begun == requests.count { report.restTokens = 0 }
            } else if begun == requests.count {
                report.restTokens += 1
            }
            report.tokens[index].append(token)
            let piece = try detokenizers[index].append(token)
            report.texts[index] += piece
            if isLive { output.write(piece) }
            return !InterruptFlag.isRaised
        }
        let end = clock.now
        for index in requests.indices {
            let rest = try detokenizers[index].finish()
            report.texts[index] += rest
            if isLive { output.writeLine(rest) }
        }
        report.firstSeconds = (first - start).seconds
        report.restSeconds = (end - first).seconds
        return report
    }
}

extension Answers.Report {
    /// Tokens of all sequences together by second, once all prompts are read.
    private var speed: Double { restSeconds > 0 ? Double(restTokens) / restSeconds : 0 }

    /// Shows what is not shown yet, and the speed.
    func show(_ budget: Budget, isJSON: Bool) {
        guard !isJSON else {
            JSONOutput.print(ConfigNode(object(budget)))
            return
        }
        if !isLive {
            for (index, text) in texts.enumerated() {
                TerminalOutput.standardOutput.writeLine("[\(index + 1)] \(text)")
            }
        }
        let count = tokens.reduce(0) { $0 + $1.count }
        let several = texts.count > 1 ? " of \(texts.count) sequences" : ""
        TerminalOutput.standardError.writeLine(
            "\(promptTokens.reduce(0, +)) prompt tokens in \(formatDuration(firstSeconds)), "
                + "\(count) tokens\(several) at \(formatRate(speed, "tokens")); \(budget.outcome)"
                + (streaming.map { "; \($0.sentence)" } ?? ""))
    }

    private func object(_ budget: Budget) -> ConfigObject {
        var object: ConfigObject =
            texts.count == 1
            ? [
                "text": ConfigNode(texts[0]), "tokens": ConfigNode(tokens[0].map(Int.init)),
                "prompt_tokens": ConfigNode(promptTokens[0]),
                "finish_reason": ConfigNode(reasons[0].rawValue),
            ]
            : [
                "answers": ConfigNode(
                    .array(
                        texts.indices.map { index in
                            [
                                "text": ConfigNode(texts[index]),
                                "tokens": ConfigNode(tokens[index].map(Int.init)),
                                "prompt_tokens": ConfigNode(promptTokens[index]),
                                "finish_reason": ConfigNode(reasons[index].rawValue),
                            ]
                        }))
            ]
        object["seconds_to_first_token"] = ConfigNode(firstSeconds)
        object["tokens_per_second"] = ConfigNode(speed)
        object["seconds_to_load"] = ConfigNode(loadSeconds)
        object["bytes_per_pass"] = ConfigNode(passBytes)
        if let streaming {
            object["streaming"] = streaming.node
            object["streamed_bytes_per_pass"] = ConfigNode(budget.plan.placement?.forwardReads ?? 0)
        }
        object["peak_memory_planned"] = ConfigNode(budget.peaks.planned)
        object["peak_memory_measured"] = ConfigNode(budget.peaks.measured)
        return object
    }
}

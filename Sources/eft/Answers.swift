// SPDX-License-Identifier: Apache-2.0
// Answers to prompts while they are made, and how fast that went.
import EftCommandLine
import EftConfig
import EftGeneration
import EftModels
import EftPlanning
import EftTensor
import EftTokenizers

/// Continues prompts and shows their answers.
struct Answers {
    private let requests: [GenerationRequest]
    private let outputs: [OutputText]
    /// Whether the answer is written as it is made.
    private let isLive: Bool
    /// Tells thoughts from what is said in a live answer; nil where models mark none.
    var splitter: ReasoningSplitter?
    /// How such thoughts are marked.
    var reasoning: ReasoningFormat?

    /// Bytes of a new token outside of the cache: its number where it is made, in the answer and in the report, and text.
    private static let tokenBytes = 160

    /// Bytes that pages' tables and the texts of answers take outside of the ledgers.
    /// - Parameter tokens: most tokens of all answers together.
    static func bytes(
        _ need: GenerationNeed, _ description: DecoderDescription, tokens: Int
    ) -> Int {
        need.tablePages(description) * ServeRequirements.tableBytes + bytes(tokens: tokens)
    }

    /// Bytes that sampling takes outside of the ledgers, one sequence after the other.
    static func samplingBytes(_ parameters: GenerationParameters, vocabulary: Int) -> Int {
        parameters.temperature > 0 ? vocabulary * SequenceSampler.temporaryBytes : 0
    }

    /// Bytes that the texts of answers take outside of the ledgers.
    /// - Parameter tokens: most tokens of all answers together.
    static func bytes(tokens: Int) -> Int { tokens * tokenBytes }

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
        /// Most tokens of an answer; nil for as many as the context holds.
        var limit: Int?
        /// Tokens of context.
        var contextLength = 0
        /// The seed of the samples; nil when the likeliest tokens were taken.
        fileprivate let seed: UInt64?
    }

    init(_ tokenizer: Tokenizer, _ requests: [GenerationRequest], isLive: Bool) throws {
        self.requests = requests
        self.isLive = isLive
        outputs = try requests.map { try OutputText(tokenizer, $0.parameters) }
    }

    /// Makes the answers.
    func make(_ generator: Generator) throws -> Report {
        var outputs = outputs
        let first = requests.first?.parameters
        var report = Report(
            texts: requests.map { _ in "" }, tokens: requests.map { _ in [] },
            promptTokens: requests.map(\.prompt.count), isLive: isLive,
            seed: first.flatMap { $0.temperature > 0 ? $0.seed : nil })
        var live = LiveAnswer(splitter, reasoning)
        var speed = SpeedCount(requests.count)
        report.reasons = try generator.run(
            requests, isCancelled: { InterruptFlag.isRaised }
        ) { index, token in
            speed.count(isFirst: report.tokens[index].isEmpty)
            report.tokens[index].append(token)
            let piece = try outputs[index].append(token).text
            report.texts[index] += piece
            if isLive { live.write(piece) }
            return outputs[index].stopString == nil
        }
        speed.finish()
        for index in requests.indices {
            if outputs[index].stopString != nil { report.reasons[index] = .stop }
            let rest = try outputs[index].finish()
            report.texts[index] += rest
            if isLive { live.finish(rest) }
        }
        (report.firstSeconds, report.restSeconds, report.restTokens) = speed.result
        return report
    }
}

/// The answer that is written while it is made.
private struct LiveAnswer {
    private var splitter: ReasoningSplitter?
    private var printer: AnswerPrinter

    init(_ splitter: ReasoningSplitter?, _ reasoning: ReasoningFormat?) {
        self.splitter = splitter
        printer = AnswerPrinter(reasoning)
    }

    mutating func write(_ text: String) { show(splitter?.add(text) ?? [.content(text)]) }

    mutating func finish(_ rest: String) {
        write(rest)
        show(splitter?.finish() ?? [])
        printer.finish()
    }

    private mutating func show(_ parts: [ReasoningPart]) {
        for part in parts {
            switch part {
            case .reasoning(let text): printer.write(thought: text)
            case .content(let text): printer.write(text: text)
            }
        }
    }
}

/// Prompts are read one after the other; speed counts from where all of them are.
private struct SpeedCount {
    private let sequences: Int
    private let start = ContinuousClock.now
    private var first: ContinuousClock.Instant
    private var end: ContinuousClock.Instant
    private var begun = 0
    private var tokens = 0

    init(_ sequences: Int) {
        self.sequences = sequences
        (first, end) = (start, start)
    }

    mutating func count(isFirst: Bool) {
        if isFirst {
            begun += 1
            first = .now
            if begun == sequences { tokens = 0 }
        } else if begun == sequences {
            tokens += 1
        }
    }

    mutating func finish() { end = .now }

    /// Seconds until the first token, and of all after it, and how many those were.
    var result: (first: Double, rest: Double, tokens: Int) {
        ((first - start).seconds, (end - first).seconds, tokens)
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
        sayCuts()
        let count = tokens.reduce(0) { $0 + $1.count }
        let several = texts.count > 1 ? " of \(texts.count) sequences" : ""
        TerminalOutput.standardError.writeLine(
            "\(promptTokens.reduce(0, +)) prompt tokens in \(formatDuration(firstSeconds)), "
                + "\(count) tokens\(several) at \(formatRate(speed, "tokens")); \(budget.outcome)"
                + (streaming.map { "; \($0.sentence)" } ?? ""))
    }

    /// Says which answers were cut, and where.
    private func sayCuts() {
        for index in texts.indices where reasons[index] == .length {
            let answer = texts.count > 1 ? "answer \(index + 1)" : "the answer"
            let isLimit = limit == tokens[index].count
            TerminalOutput.standardError.writeLine(
                isLimit
                    ? "\(answer) is cut at \(tokens[index].count) tokens (-t)"
                    : "\(answer) is cut where the context of \(contextLength) tokens ends")
        }
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
        if let seed { object["seed"] = ConfigNode(Int(truncatingIfNeeded: seed)) }
        object["seconds_to_load"] = ConfigNode(loadSeconds)
        object["bytes_per_pass"] = ConfigNode(passBytes)
        if let streaming {
            object["streaming"] = streaming.node
            object["streamed_bytes_per_pass"] = ConfigNode(
                budget.plan.placement?.forwardReads() ?? 0)
        }
        object["peak_memory_planned"] = ConfigNode(budget.peaks.planned)
        object["peak_memory_measured"] = ConfigNode(budget.peaks.measured)
        return object
    }
}

// SPDX-License-Identifier: Apache-2.0
// What the forms of `eft eval` share: the text, progress, peaks.
import EftCommandLine
import EftConfig
import EftGeneration
import EftModels
import EftTensor
import EftTokenizers

/// The work of one `eft eval`.
struct Scoring {
    let arguments: ParsedArguments
    let isJSON: Bool
    private let progress: ProgressReporter

    init(_ arguments: ParsedArguments) {
        self.arguments = arguments
        isJSON = arguments.flag("json")
        progress = CommonOptions.progress(arguments)
    }

    /// Does something that takes a moment, and says so.
    func during<R>(_ what: String, _ work: () throws -> R) rethrows -> R {
        try progress.during(what, work)
    }

    /// The tokens of `--data`, and how many of them a window holds at most.
    func text(
        _ tokenizer: Tokenizer, _ model: DecoderDescription
    ) throws -> (tokens: [Int32], rows: Int) {
        // Learned positions end where the context does.
        let most = model.positions == nil ? 2048 : max(2, min(2048, model.contextLength))
        let length = try arguments.int("length", default: most, in: 2...(1 << 20))
        let data = try arguments.required("data")
        let files = try (arguments.source as? HubModels)?.texts(data) ?? [data]
        let tokens = try during("reading \(data)") {
            try files.flatMap {
                try EvaluationText.tokens($0, tokenizer: tokenizer, isRows: files != [data])
            }
        }
        return (tokens, min(length, tokens.count))
    }

    /// How keys and values of a text are held: exactly, unless `--kv-cache-dtype` asks what a cache would make of them.
    func cacheType(_ model: LoadedModel) throws -> KVType {
        guard arguments.isGiven("kv-cache-dtype") else { return .f32 }
        return try CommonOptions.cacheType(arguments, model.folder.description)
    }

    /// Tells how far the work is.
    /// - Throws: `Interruption`.
    func report(_ done: Int, of total: Int, _ unit: String) throws {
        guard !InterruptFlag.isRaised else { throw Interruption(description: "interrupted") }
        let share = Double(done) / Double(max(total, 1))
        progress.update("scoring", share: share, "\(done) of \(total) \(unit)")
    }

    /// Shows the result: an object for machines, or text and a line about speed and memory.
    func show(
        _ object: ConfigObject, tokensPerSecond: Double, _ budget: Budget,
        text: (TerminalOutput) -> Void
    ) {
        progress.clear()
        guard isJSON else {
            text(.standardOutput)
            TerminalOutput.standardError.writeLine(
                "\(formatRate(tokensPerSecond, "tokens")); \(budget.outcome)")
            return
        }
        var object = object
        object["tokens_per_second"] = ConfigNode(tokensPerSecond)
        object["peak_memory_planned"] = ConfigNode(budget.peaks.planned)
        object["peak_memory_measured"] = ConfigNode(budget.peaks.measured)
        JSONOutput.print(ConfigNode(.object(object)))
    }
}

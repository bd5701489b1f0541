// SPDX-License-Identifier: Apache-2.0
// eft eval: perplexity of a text.
import EftCommandLine
import EftConfig
import EftGeneration
import EftModels
import EftTensor
import EftTokenizers

enum EvalCommand: Command {
    static let specification = CommandSpecification(
        name: "eval", abstract: "Score a text: mean negative log-likelihood and perplexity.",
        discussion:
            "The file is tokenized once, with the special tokens that the tokenizer adds, and cut into "
            + "consecutive windows; each is scored from its second token.",
        examples: [
            Example(
                "eft eval -m ./model --data wiki.txt --length 2048", "perplexity of a base model"),
            Example(
                "eft eval -m ./base --adapter ./adapter --data test.txt --json", "with an adapter"),
        ],
        options: [
            CommonOptions.model, CommonOptions.adapter, CommonOptions.fourBits,
            CommonOptions.cacheFolder,
            OptionSpecification(
                "--data", kind: .value("FILE"),
                help: "a UTF-8 text, or .jsonl or .parquet rows with a text",
                isRequired: true, completion: .file),
            OptionSpecification(
                "--length", kind: .value("N"), help: "tokens of a window", defaultText: "2048"),
        ] + DeviceBudget.options + [
            CommonOptions.threads, CommonOptions.precision, CommonOptions.json,
        ])

    static func run(_ arguments: ParsedArguments) throws {
        let model = try LoadedModel(arguments)
        let length = try arguments.int("length", default: 2048, in: 2...(1 << 20))
        let progress = CommonOptions.progress(arguments)
        let file = try arguments.required("data")
        let tokens = try progress.during("reading \(file)") {
            try EvaluationText.tokens(file, tokenizer: model.tokenizer)
        }
        let rows = min(length, tokens.count)
        let plan = model.planner(for: .evaluation).evaluate(
            name: "eval", layouts: model.layouts, adapters: model.adapterExtents,
            load: try model.loader.loadNeed(), rows: rows)
        let streaming = try model.streaming(plan)
        let budget = model.budget(plan, streaming)
        let isJSON = arguments.flag("json")
        try budget.announce(quiet: isJSON)
        let (decoder, slots) = try model.load(plan, streaming, quiet: isJSON)
        let score = try PerplexityEvaluator(decoder: decoder, slots: slots, length: rows)
            .score(tokens) { done in
                guard !InterruptFlag.isRaised else {
                    throw Interruption(description: "interrupted")
                }
                let share = Double(done) / Double(max(tokens.count, 1))
                progress.update("scoring", share: share, "\(done) of \(tokens.count) tokens")
            }
        progress.clear()
        if isJSON {
            JSONOutput.print(
                [
                    "tokens": ConfigNode(score.tokens), "nll": ConfigNode(score.nll),
                    "perplexity": ConfigNode(score.perplexity),
                    "tokens_per_second": ConfigNode(score.tokensPerSecond),
                    "peak_memory_planned": ConfigNode(budget.peaks.planned),
                    "peak_memory_measured": ConfigNode(budget.peaks.measured),
                ])
        } else {
            TerminalOutput.standardOutput.writeLine(
                "tokens \(score.tokens)  nll \(formatFixed(score.nll, decimals: 5))  "
                    + "perplexity \(formatFixed(score.perplexity, decimals: 4))")
            TerminalOutput.standardError.writeLine(
                "\(formatRate(score.tokensPerSecond, "tokens")); \(budget.outcome)")
        }
    }
}

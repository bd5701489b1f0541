// SPDX-License-Identifier: Apache-2.0
// eft evaluate: the loss of a trained adapter on its configuration's validation data.
import EftCommandLine
import EftConfig
import EftGeneration
import EftModels
import EftTensor
import EftTraining

#if canImport(Glibc)
    import Glibc
#endif

enum EvaluateCommand: Command {
    private static let noEffect = AxolotlOptions.launcher

    /// What a loaded model reads.
    private static let modelOptions =
        [CommonOptions.fourBits, CommonOptions.cacheFolder] + DeviceBudget.options + [
            CommonOptions.threads, CommonOptions.precision, CommonOptions.json,
        ]

    static let specification = CommandSpecification(
        name: "evaluate",
        abstract: "Loss and perplexity of a training run's result on its validation data.",
        discussion:
            "Reads the YAML that Axolotl reads. The model is base_model with the adapter in output_dir or "
            + "--lora-model-dir; the data is what val_set_size or test_datasets give, prepared as for training, "
            + "and only the trained tokens count. The numbers are those that training reports at its end.",
        examples: [
            Example("eft evaluate qlora.yml", "the adapter in output_dir"),
            Example(
                "eft evaluate qlora.yml --lora-model-dir ./outputs/qlora/checkpoint-40",
                "a checkpoint"),
        ],
        options: modelOptions + AxolotlOptions.debug + noEffect.map(\.specification),
        arguments: AxolotlOptions.arguments, unknownOptions: AxolotlOptions.unknownOptions)

    /// The part of the options that say how the model is held.
    private static let loading = CommandSpecification(
        name: "evaluate", abstract: specification.abstract,
        options: [CommonOptions.model, CommonOptions.adapter] + modelOptions)

    static func run(_ arguments: ParsedArguments) throws {
        let config = try AxolotlOptions.config(arguments)
        let isJSON = arguments.flag("json")
        guard config.data.hasValidation else {
            throw try config.document.required("datasets").error(
                .badValue,
                "the configuration has no validation data; set val_set_size or test_datasets "
                    + "(--val-set-size 0.05)")
        }
        guard config.training.rollouts == nil else {
            throw try config.document.required("rl").error(
                .badValue,
                "a run of grpo evaluates completions while it trains; there is no loss of its data to compute"
            )
        }
        let examples = try PreparedExamples(config, shouldStop: { InterruptFlag.isRaised })
        let validation = examples.data.validation
        guard let rows = validation.map(\.tokens.count).max() else {
            throw TrainingError(
                .data, "no validation example is left; \(examples.data.counts.summary)")
        }
        if !isJSON { try announce(examples, arguments) }
        let trained = try TrainedModel(config)
        let words =
            trained.words(arguments, for: loading) + arguments.words(for: loading)
            + (arguments.isGiven("precision") ? [] : ["--precision", config.precision.rawValue])
        let model = try LoadedModel(
            ArgumentParser.parse(words, for: loading, configuration: arguments.configuration),
            scores: config.training.scoring != nil)
        if let scoring = config.training.scoring {
            return try show(
                scores(model, scoring, examples, isJSON: isJSON), of: trained,
                examples: validation.count, isJSON: isJSON)
        }
        let plan = model.planner().evaluate(
            name: "evaluate", layouts: model.layouts, adapters: model.adapterExtents,
            load: try model.loader.loadNeed(), rows: rows)
        let streaming = try model.streaming(plan)
        let budget = model.budget(plan, streaming)
        try budget.announce(quiet: isJSON)
        let (decoder, slots) = try model.load(plan, streaming, quiet: isJSON)
        let score = try score(decoder, slots, validation, rows: rows, isJSON: isJSON)
        show(score, of: trained, examples: validation.count, budget, isJSON: isJSON)
    }

    private static func announce(
        _ examples: PreparedExamples, _ arguments: ParsedArguments
    ) throws {
        let reporter = ProgressReporter()
        for notice in examples.notices { reporter.note("note: \(notice)") }
        if let notice = IneffectiveOption.notice(noEffect, arguments) {
            reporter.note("note: \(notice)")
        }
        let listing = try ExampleListing(examples, arguments, always: false)
        for line in try listing.lines(on: .standardError) {
            TerminalOutput.standardError.writeLine(line)
        }
    }

    /// The mean loss of the trained tokens of examples, one after the other.
    private static func score(
        _ decoder: Decoder, _ slots: [Int], _ examples: [TrainingExample], rows: Int, isJSON: Bool
    ) throws -> (loss: Double, tokens: Int) {
        let progress = ProgressReporter()
        let evaluator = try PerplexityEvaluator(decoder: decoder, slots: slots, length: rows)
        var (sum, tokens) = (0.0, 0)
        for (done, example) in examples.enumerated() {
            guard !InterruptFlag.isRaised else { throw Interruption(description: "interrupted") }
            let batch = MicroBatch([example], slots: slots)
            sum += try evaluator.totalLoss(example.tokens, labels: batch.labels)
            tokens += batch.trainedTokens
            if !isJSON { progress.update("\(done + 1) of \(examples.count) examples") }
        }
        progress.finish()
        return (tokens > 0 ? sum / Double(tokens) : 0, tokens)
    }

    /// What a model that scores says of the examples.
    private static func scores(
        _ model: LoadedModel, _ scoring: ScoreSettings, _ examples: PreparedExamples, isJSON: Bool
    ) throws -> (summary: ScoredExamples.Summary?, budget: Budget) {
        let scored = ScoredExamples(
            examples.data.validation, head: try model.scoreHead, padID: examples.padID)
        let progress = ProgressReporter()
        let result = try model.score(scored, name: "evaluate", length: 2048, quiet: isJSON) {
            guard !InterruptFlag.isRaised else { throw Interruption(description: "interrupted") }
            if !isJSON { progress.update("\($0) of \(scored.sequences.count) texts") }
        }
        progress.finish()
        return (scored.summary(result.values, centering: scoring.centering), result.budget)
    }

    private static func show(
        _ scores: (summary: ScoredExamples.Summary?, budget: Budget), of model: TrainedModel,
        examples: Int, isJSON: Bool
    ) {
        guard isJSON else {
            TerminalOutput.standardOutput.writeLine("eval " + (scores.summary?.sentence ?? ""))
            TerminalOutput.standardError.writeLine(scores.budget.outcome)
            return
        }
        var object: ConfigObject = ["examples": ConfigNode(examples)]
        for (key, value) in scores.summary?.entries ?? [] { object["eval_" + key] = value }
        object["model"] = ConfigNode(model.base)
        object["adapter"] = model.adapter.map { ConfigNode($0) } ?? .null
        object["peak_memory_planned"] = ConfigNode(scores.budget.peaks.planned)
        object["peak_memory_measured"] = ConfigNode(scores.budget.peaks.measured)
        JSONOutput.print(ConfigNode(object))
    }

    private static func show(
        _ score: (loss: Double, tokens: Int), of model: TrainedModel, examples: Int,
        _ budget: Budget, isJSON: Bool
    ) {
        guard !isJSON else {
            JSONOutput.print([
                "eval_loss": ConfigNode(score.loss), "perplexity": ConfigNode(exp(score.loss)),
                "tokens": ConfigNode(score.tokens), "examples": ConfigNode(examples),
                "model": ConfigNode(model.base),
                "adapter": model.adapter.map { ConfigNode($0) } ?? .null,
                "peak_memory_planned": ConfigNode(budget.peaks.planned),
                "peak_memory_measured": ConfigNode(budget.peaks.measured),
            ])
            return
        }
        TerminalOutput.standardOutput.writeLine(
            "eval loss \(formatFixed(score.loss, decimals: 4))  perplexity "
                + "\(formatFixed(exp(score.loss), decimals: 4))  over \(score.tokens) trained tokens of "
                + "\(examples) examples")
        TerminalOutput.standardError.writeLine(budget.outcome)
    }
}

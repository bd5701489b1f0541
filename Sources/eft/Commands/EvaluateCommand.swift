// SPDX-License-Identifier: Apache-2.0
// eft evaluate: the loss of a trained adapter on its configuration's validation data.
import EftCommandLine
import EftConfig
import EftGeneration
import EftModels
import EftTensor
import EftTraining

enum EvaluateCommand: Command {
    private static let noEffect = AxolotlOptions.launcher

    /// What a loaded model reads.
    private static let modelOptions =
        CommonOptions.form + [CommonOptions.cacheFolder] + DeviceBudget.options + [
            CommonOptions.threads, CommonOptions.precision, CommonOptions.json,
        ]

    static let specification = CommandSpecification(
        name: "evaluate",
        abstract: "Loss and perplexity of a training run's result on its validation data.",
        discussion:
            "Reads the YAML that Axolotl reads. The model is base_model with the adapter in output_dir or "
            + "--lora-model-dir; the data is what val_set_size or test_datasets give, prepared as for training, "
            + "and only the trained tokens count. The numbers are those that training reports at its end. They are "
            + "written to eval_summary.csv in output_dir too.",
        examples: [
            Example("eft evaluate qlora.yml", "the adapter in output_dir"),
            Example(
                "eft evaluate qlora.yml --lora-model-dir ./outputs/qlora/checkpoint-40",
                "a checkpoint"),
            Example("eft evaluate qlora.yml --training-data", "the training examples as well"),
        ],
        options: modelOptions + AxolotlOptions.debug + [
            OptionSpecification(
                "--training-data", help: "evaluate the examples that were trained on too")
        ] + noEffect.map(\.specification),
        arguments: AxolotlOptions.arguments, unknownOptions: AxolotlOptions.unknownOptions)

    /// The part of the options that say how the model is held.
    private static let loading = CommandSpecification(
        name: "evaluate", abstract: specification.abstract,
        options: [CommonOptions.model, CommonOptions.adapter] + modelOptions)

    static func run(_ arguments: ParsedArguments) throws {
        var config = try AxolotlOptions.config(arguments)
        config.data.memoryLimit = try CommonOptions.limit(arguments)
        let isJSON = arguments.flag("json")
        let withTraining = arguments.flag("training-data")
        guard config.data.hasValidation || withTraining else {
            throw try config.document.required("datasets").error(
                .badValue,
                "the configuration has no validation data; set val_set_size or test_datasets "
                    + "(--val-set-size 0.05), or evaluate its training data: --training-data")
        }
        guard config.training.rollouts == nil else {
            throw try config.document.required("rl").error(
                .badValue,
                "a run of grpo evaluates completions while it trains; there is no loss of its data to compute"
            )
        }
        let examples = try PreparedExamples(config, shouldStop: { InterruptFlag.isRaised })
        let sets = EvaluatedSet.sets(examples.data, withTraining: withTraining)
        guard !sets.isEmpty else {
            throw TrainingError(
                .data, "no example is left to evaluate; \(examples.data.counts.summary)")
        }
        if !isJSON { try announce(examples, arguments) }
        let trained = try TrainedModel(config)
        let words =
            try trained.words(arguments, for: loading) + arguments.words(for: loading)
            + (arguments.isGiven("precision") ? [] : ["--precision", config.precision.rawValue])
        let model = try LoadedModel(
            ArgumentParser.parse(
                words, for: loading, configuration: arguments.configuration,
                source: arguments.source),
            scores: config.training.scoring != nil)
        let results =
            if let scoring = config.training.scoring {
                try scores(model, scoring, sets, padID: examples.padID, isJSON: isJSON)
            } else { try losses(model, sets, isJSON: isJSON) }
        let file = try EvaluationSummary(results.sets).write(to: config.training.outputDir)
        show(results.sets, of: trained, results.budget, file, isJSON: isJSON)
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

    // MARK: Numbers

    private typealias Results = (sets: [EvaluatedSet], budget: Budget)

    /// Mean losses of the trained tokens.
    private static func losses(
        _ model: LoadedModel, _ sets: [EvaluatedSet], isJSON: Bool
    ) throws -> Results {
        let rows = sets.flatMap(\.examples).map(\.tokens.count).max() ?? 0
        let plan = model.planner().evaluate(
            name: "evaluate", layouts: model.layouts, adapters: model.adapterExtents,
            load: try model.loader.loadNeed(), rows: rows)
        let streaming = try model.streaming(plan)
        let budget = model.budget(plan, streaming)
        try budget.announce(quiet: isJSON)
        let (decoder, slots) = try model.load(plan, streaming, quiet: isJSON)
        let evaluator = try PerplexityEvaluator(decoder: decoder, slots: slots, length: rows)
        let results = try sets.map { set in
            var set = set
            set.take(try loss(of: set, evaluator, slots, isJSON: isJSON))
            return set
        }
        return (results, budget)
    }

    private static func loss(
        of set: EvaluatedSet, _ evaluator: PerplexityEvaluator, _ slots: [Int], isJSON: Bool
    ) throws -> (mean: Double, tokens: Int) {
        let progress = ProgressReporter()
        var (sum, tokens) = (0.0, 0)
        for (done, example) in set.examples.enumerated() {
            guard !InterruptFlag.isRaised else { throw Interruption(description: "interrupted") }
            let batch = MicroBatch([example], slots: slots)
            sum += try evaluator.totalLoss(example.tokens, labels: batch.labels)
            tokens += batch.trainedTokens
            if !isJSON { progress.update("\(done + 1) of \(set.examples.count) examples") }
        }
        progress.finish()
        return (tokens > 0 ? sum / Double(tokens) : 0, tokens)
    }

    /// What a model that scores says of the examples.
    private static func scores(
        _ model: LoadedModel, _ scoring: ScoreSettings, _ sets: [EvaluatedSet], padID: Int32?,
        isJSON: Bool
    ) throws -> Results {
        let head = try model.scoreHead
        let whole = ScoredExamples(sets.flatMap(\.examples), head: head, padID: padID)
        let progress = ProgressReporter()
        let result = try model.score(whole, name: "evaluate", length: 2048, quiet: isJSON) {
            guard !InterruptFlag.isRaised else { throw Interruption(description: "interrupted") }
            if !isJSON { progress.update("\($0) of \(whole.sequences.count) texts") }
        }
        progress.finish()
        var values = result.values[...]
        let results = sets.map { set in
            var set = set
            let part = ScoredExamples(set.examples, head: head, padID: padID)
            let own = Array(values.prefix(part.sequences.count))
            values = values.dropFirst(part.sequences.count)
            set.take(part.summary(own, centering: scoring.centering))
            return set
        }
        return (results, result.budget)
    }

    // MARK: Output

    private static func show(
        _ sets: [EvaluatedSet], of model: TrainedModel, _ budget: Budget, _ file: String,
        isJSON: Bool
    ) {
        guard isJSON else {
            for set in sets { TerminalOutput.standardOutput.writeLine(set.sentence) }
            TerminalOutput.standardError.writeLine(budget.outcome)
            ProgressReporter().note("summary: \(file)")
            return
        }
        var object = ConfigObject()
        for set in sets {
            for (key, value) in set.numbers { object[set.key(key)] = value }
        }
        object["model"] = ConfigNode(model.base)
        object["adapter"] = model.adapter.map { ConfigNode($0) } ?? .null
        object["peak_memory_planned"] = ConfigNode(budget.peaks.planned)
        object["peak_memory_measured"] = ConfigNode(budget.peaks.measured)
        object["summary"] = ConfigNode(file)
        JSONOutput.print(ConfigNode(object))
    }
}

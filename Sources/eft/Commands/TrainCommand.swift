// SPDX-License-Identifier: Apache-2.0
// `eft train`: a training run from an Axolotl configuration.
import EftCommandLine
import EftConfig
import EftFormats
import EftKit
import EftModels
import EftPlanning
import EftTensor
import EftTraining

enum TrainCommand: Command {
    static func savesWork(_ arguments: ParsedArguments) -> Bool { !arguments.flag("dry-run") }

    private static let noEffect =
        AxolotlOptions.launcher + [
            IneffectiveOption("--shard", reason: "removed by axolotl"),
            IneffectiveOption(
                "--prompter", value: "WORD",
                reason: "the configuration's data set type decides"),
        ]

    static let specification = CommandSpecification(
        name: "train",
        abstract: "Train an adapter (LoRA, QLoRA) or a whole model from an Axolotl configuration.",
        discussion:
            "Reads the YAML that Axolotl reads; any of its keys can be given as --key value and then wins. "
            + "base_model is a local folder, datasets[].path a local JSON or JSONL file.\n"
            + "--dry-run shows the plan and the first examples, with what of them is trained, and writes nothing.\n"
            + "A log, a model card (README.md) and a report (report.html) stand beside the results; --use-tensorboard "
            + "writes event files too.\n"
            + "The plan is shown first, and a run that does not fit is refused before any work. Ctrl-C saves a "
            + "checkpoint from which --resume-from-checkpoint goes on.",
        examples: [
            Example("eft train qlora.yml --memory 8GiB", "train within 8 GiB"),
            Example(
                "eft train qlora.yml --learning-rate 1e-4 --special_tokens.pad_token '<pad>'",
                "override keys of the configuration"),
            Example(
                "eft train qlora.yml --dry-run", "the plan, and what would be learned"),
            Example(
                "eft train qlora.yml --sweep sweep.yml", "a run for each combination of values"),
            Example(
                "eft train qlora.yml --resume-from-checkpoint out/checkpoint-100",
                "go on from a checkpoint"),
        ],
        options: DeviceBudget.options + [
            CommonOptions.cacheFolder, PreparedBase.option, CommonOptions.threads,
            CommonOptions.precision(default: "as bf16 and float32 say in the configuration"),
            AxolotlOptions.dryRun, SweepRuns.option,
        ] + AxolotlOptions.debug + [CommonOptions.json] + noEffect.map(\.specification),
        arguments: AxolotlOptions.arguments, unknownOptions: AxolotlOptions.unknownOptions)

    static func run(_ arguments: ParsedArguments) throws {
        if let file = arguments.string("sweep") {
            return try SweepRuns(arguments, file: file).run()
        }
        var config = try AxolotlOptions.config(arguments)
        if let notice = IneffectiveOption.notice(noEffect, arguments) {
            config.notices.append(notice)
        }
        let isDry = arguments.flag("dry-run")
        let devices = try DeviceBudget(arguments)
        config.model.preparedBase = try preparedBase(config, arguments, devices)
        let threads = try CommonOptions.threadCount(arguments)
        let program =
            devices.limits[0] == .max
            ? 0
            : min(
                ProcessMemory.program(for: .training, threads: threads)
                    + ConversionWatch.documentBytes(config.model.baseModel), devices.limits[0])
        let later = min(ProcessMemory.Work.training.later, program)
        let precision = arguments.string("precision").flatMap(ActivationPrecision.init)
        let job = try TrainingJob(
            config,
            devices: devices.backends(
                arguments, programBytes: program - later, precision: precision ?? config.precision),
            weightLimits: devices.weightLimits, program: (program, later),
            dataBytes: { weights, rows in
                ProcessMemory.grown(
                    beyond: program, training: weights, rows: rows, threads: threads,
                    completes: config.training.completesPrompts)
            },
            caches: arguments.string("cache-dir"),
            completions: { try CompletionEngine($0, $1) },
            shouldStop: { InterruptFlag.isRaised })
        var budget = Budget(plan: plan(job), limits: devices.limits)
        if job.devices.count > 1 { budget.ledgers = job.devices.map(\.ledger) }
        budget.repack = job.streaming.map {
            ($0.cache.folder, $0.cache.bytesToWrite($0.placement.streamed))
        }
        let progress = TrainProgress(job, limits: devices.limits)
        progress.begin(budget)
        try budget.announce(quiet: true)
        let listing = try ExampleListing(job.examples, arguments, always: isDry)
        if isDry {
            try describe(job, budget, listing, arguments)
            return
        }
        for line in try listing.lines(on: .standardError) {
            TerminalOutput.standardError.writeLine(line)
        }
        let summary = try job.run(
            onEvent: { progress.show($0) }, shouldStop: { InterruptFlag.isRaised })
        progress.end(summary, budget)
        guard arguments.flag("json") else { return }
        var object = summary.entries
        object["peak_memory_planned"] = ConfigNode(budget.peaks.planned)
        object["peak_memory_measured"] = ConfigNode(budget.peaks.measured)
        if let streaming = summary.streaming { object["streaming"] = streaming.node }
        JSONOutput.print(ConfigNode(object))
    }

    /// Shows what would be trained on.
    private static func describe(
        _ job: TrainingJob, _ budget: Budget, _ listing: ExampleListing,
        _ arguments: ParsedArguments
    ) throws {
        if arguments.flag("json") {
            var object = try listing.node()
            object["dry_run"] = ConfigNode(true)
            object["steps"] = ConfigNode(job.totalSteps)
            object["output"] = ConfigNode(job.config.training.outputDir)
            object["peak_memory_planned"] = ConfigNode(budget.peaks.planned)
            JSONOutput.print(ConfigNode(object))
            return
        }
        let lines =
            try listing.counts + listing.lines(on: .standardOutput) + [
                "dry run: \(job.totalSteps) steps would be made, with results in "
                    + "\(job.config.training.outputDir); nothing was written"
            ]
        for line in lines { TerminalOutput.standardOutput.writeLine(line) }
    }

    /// The folder of a 16-bit base's NF4 form, made now when it is wanted and not there; nil to quantize while loading.
    private static func preparedBase(
        _ config: AxolotlConfig, _ arguments: ParsedArguments, _ devices: DeviceBudget
    ) throws -> String? {
        guard config.adapter?.quantizesBase == true, config.model.doubleQuantization,
            config.adapter?.initialization != .loftq,
            FileSystem.isFolder(config.model.baseModel)
        else { return nil }
        let folder = try ModelFolder.open(config.model.baseModel, scores: true)
        guard
            let base = try PreparedBase(folder, caches: arguments.string("cache-dir")),
            arguments.string("prepare-base") != "never"
        else { return nil }
        if base.isCurrent { return base.path }
        guard base.isWanted(arguments), !arguments.flag("dry-run") else { return nil }
        try base.make(arguments, limit: devices.largest)
        return base.path
    }

    /// What the run needs, what the program and the data hold already included.
    private static func plan(_ job: TrainingJob) -> StagePlan {
        let training = job.config.training
        let kind = job.config.adapter?.methodName ?? "all weights"
        var plan = StagePlan(
            name: "train", placed: job.plan.placed,
            detail: "\(kind), \(job.totalSteps) steps of \(training.gradientAccumulationSteps) x "
                + "\(training.microBatchSize) x \(training.sequenceLen) tokens at most"
                + (job.plan.joined > 1
                    ? ", one pass over the weights for each \(job.plan.joined) micro-batches" : ""))
        plan.devices[0][.program] = job.programBytes
        plan.disk += (try? job.temporaryBytes) ?? 0
        return plan
    }
}

/// The lines that a training run shows on standard error.
private final class TrainProgress {
    private let job: TrainingJob
    private let limits: [Int]
    private let reporter = ProgressReporter()
    private var seconds = 0.0
    private var steps = 0
    private var smoothed = SmoothedValue()

    init(_ job: TrainingJob, limits: [Int]) {
        self.job = job
        self.limits = limits
    }

    func begin(_ budget: Budget) {
        for notice in job.notices { reporter.note("note: \(notice)") }
        let counts = job.data.counts
        reporter.note(
            "data: \(job.data.train.count) examples to train on, \(job.data.validation.count) to "
                + "evaluate on (\(counts.summary))")
        reporter.note("plan: \(budget.plan.detail)")
        let rows = PlanReport(stages: [budget.plan], limits: limits).rows
        var table = TableRenderer(
            (rows.first ?? []).enumerated().map { place, title in
                TableRenderer.Column(title, place == 0 ? .left : .right)
            })
        for row in rows.dropFirst() { table.add(row) }
        reporter.note(table)
        for line in budget.plan.deviceLines(limits) { reporter.note(line) }
        if let streaming = budget.streaming { reporter.note("streaming: \(streaming)") }
        if let folder = job.resumeFolder { reporter.note("going on from \(folder)") }
    }

    func show(_ event: TrainingJob.Event) {
        switch event {
        case .repacking(let done, let total):
            reporter.update(
                "writing layer \(done) of \(total) in the form in which it is streamed")
        case .loading(let done, let total):
            reporter.update("loading layer \(done) of \(total)  memory \(memory)")
        case .resumed(let step): reporter.note("going on after step \(step)")
        case .training(.step(let report)): show(report)
        case .training(.evaluation(let report)):
            let parts =
                [
                    "step \(report.step): eval loss \(formatFixed(report.loss, decimals: 4)) over "
                        + "\(report.tokens) tokens"
                ]
                + (report.perplexity.map { ["perplexity \(formatFixed($0, decimals: 3))"] } ?? [])
                + report.measures.map {
                    "\($0.metric.rawValue) \(formatFixed($0.value, decimals: 2))"
                } + (report.rewards.map(rewards) ?? []) + (report.rollouts.map(rollouts) ?? [])
            reporter.note(parts.joined(separator: "  "))
        case .training(.reference(let done, let total)):
            reporter.update("reference: \(done) of \(total) examples  memory \(memory)")
        case .training(.notice(let text)): reporter.note(text)
        case .training(.saved(_, let folder)): reporter.note("saved \(folder)")
        }
    }

    private func show(_ report: StepReport) {
        seconds += report.seconds
        steps += 1
        let left = Double(report.totalSteps - report.step) * seconds / Double(steps)
        smoothed.add(report.loss)
        let mean = smoothed.value ?? report.loss
        reporter.update(
            "step \(report.step)/\(report.totalSteps)",
            share: Double(report.step) / Double(max(report.totalSteps, 1)),
            parts: [
                "loss \(formatFixed(report.loss, decimals: 4))",
                "smoothed \(formatFixed(mean, decimals: 4))",
            ] + (report.rewards.map(rewards) ?? []) + (report.rollouts.map(rollouts) ?? []) + [
                "\(formatDuration(left)) left",
                formatRate(
                    report.seconds > 0 ? Double(report.tokens) / report.seconds : 0, "tokens"),
                "memory \(memory)", "lr \(shortened(report.learningRate))",
            ])
    }

    /// How much better chosen answers are rewarded, and how often.
    private func rewards(_ report: RewardReport) -> [String] {
        [
            report.margin.map { "margin \(formatFixed($0, decimals: 3))" },
            report.accuracy.map { "right \(formatFixed(100 * $0, decimals: 0)) %" },
        ].compactMap { $0 }
    }

    /// How completions are rewarded, and how long they are.
    private func rollouts(_ report: RolloutReport) -> [String] {
        var parts = [
            "reward \(formatFixed(report.reward, decimals: 3))",
            "length \(formatFixed(report.length, decimals: 0))",
        ]
        if report.divergence != 0 {
            parts.append("kl \(formatFixed(report.divergence, decimals: 4))")
        }
        return parts
    }

    /// Three significant digits, also of very small numbers.
    private func shortened(_ rate: Double) -> String {
        guard rate > 0 else { return "0" }
        var (mantissa, exponent) = (rate, 0)
        while mantissa < 1, exponent > -300 { (mantissa, exponent) = (mantissa * 10, exponent - 1) }
        return exponent == 0
            ? formatFixed(rate, decimals: 3)
            : formatFixed(mantissa, decimals: 2) + "e\(exponent)"
    }

    private var memory: String {
        "\(formatBytes(ProcessMemory.resident)) of "
            + formatBytes(limits.contains(.max) ? .max : limits.reduce(0, +))
    }

    func end(_ summary: TrainingJob.Summary, _ budget: Budget) {
        reporter.finish()
        var parts = ["\(summary.steps) steps"]
        if let loss = summary.loss { parts.append("loss \(formatFixed(loss, decimals: 4))") }
        if let loss = summary.evaluationLoss {
            parts.append("eval loss \(formatFixed(loss, decimals: 4))")
        }
        let rate = summary.seconds > 0 ? Double(summary.tokens) / summary.seconds : 0
        parts += [formatRate(rate, "tokens"), budget.outcome]
        if let streaming = summary.streaming { parts.append(streaming.sentence) }
        reporter.note(
            "done: " + parts.joined(separator: ", ") + "; results in \(summary.outputDir)")
        guard job.config.reports.htmlReport else { return }
        reporter.note("report: \(FileSystem.join(summary.outputDir, TrainingJob.reportName))")
    }
}

// SPDX-License-Identifier: Apache-2.0
// What is told of a run that has ended.
import EftConfig
import EftFormats
import EftModels
import EftTensor

/// A run that has ended, as the model card and the report tell of it.
struct RunFacts {
    /// The run's settings.
    let config: AxolotlConfig
    /// The adapter as it was trained; nil when all weights were.
    let adapter: AdapterConfig?
    /// Whether training began from weights made at random.
    let isFresh: Bool
    /// The examples.
    let examples: PreparedExamples
    /// The curves of the whole run.
    let curves: RunCurves
    /// What the run came to.
    let summary: TrainingJob.Summary
    /// The most resident bytes of the process, and what was planned.
    let memory: (peak: Int, planned: Int)
    /// Seconds since 1970.
    var time = WallClock.seconds

    /// The output folder's own name.
    var name: String {
        let name = FileSystem.name(of: FileSystem.absolute(config.training.outputDir))
        return name.isEmpty ? "model" : name
    }

    /// The base model as the configuration names it.
    var baseModel: String {
        (try? config.document.string("base_model", default: "")) ?? config.model.baseModel
    }

    /// How preferences were learned; empty for a run that learned texts.
    var rl: String {
        config.training.preferences == nil && config.training.rollouts == nil
            ? "" : (try? config.document.string("rl", default: "")) ?? ""
    }

    /// What was trained, in a word or two.
    var method: String {
        let weights =
            config.adapter?.methodName ?? "all weights"
        if let scoring = config.training.scoring {
            return (scoring.takesPairs ? "reward model, " : "process reward model, ") + weights
        }
        return rl.isEmpty ? weights : "\(rl.uppercased()), \(weights)"
    }

    /// The configuration without secrets, as YAML.
    var yaml: String {
        YAMLWriter.text(ConfigSecrets.removed(from: config.document.node))
    }

    // MARK: Tables

    /// What was reached, by name.
    var results: [(name: String, value: String)] {
        var rows: [(String, String)] = []
        func add(_ name: String, _ value: Double?) {
            guard let value else { return }
            rows.append((name, ReportText.number(value)))
        }
        let evaluation = curves[.evaluationLoss]
        add("Loss of the last steps", curves[.loss].last)
        add("Loss, smoothed", curves[.smoothedLoss].last)
        add("Validation loss", evaluation.last)
        if let last = evaluation.last, let lowest = evaluation.lowest, lowest < last {
            add("Lowest validation loss", lowest)
        }
        let learnsTokens = rl.isEmpty && config.training.scoring == nil
        if learnsTokens, let last = evaluation.last, last < 100 {
            add("Validation perplexity", Perplexity.of(loss: last))
        }
        add("Validation BLEU", curves[.evaluationBLEU].last)
        add("Validation chrF", curves[.evaluationChrF].last)
        add("Validation TER", curves[.evaluationTER].last)
        add("Reward", curves[.reward].last)
        add("Validation reward", curves[.evaluationReward].last)
        add("Divergence from the reference", curves[.divergence].last)
        add("Reward margin", curves[.margins].last)
        add("Reward accuracy", curves[.accuracies].last)
        add("Validation reward margin", curves[.evaluationMargins].last)
        add("Validation reward accuracy", curves[.evaluationAccuracies].last)
        rows.append(("Steps", ReportText.count(summary.steps)))
        if summary.tokens > 0 {
            rows.append(("Tokens", ReportText.count(summary.tokens)))
            rows.append(("Time of the steps", ReportText.duration(summary.seconds)))
        }
        if summary.tokens > 0, summary.seconds > 0 {
            add("Tokens/s", Double(summary.tokens) / summary.seconds)
        }
        if memory.peak > 0 { rows.append(("Peak memory", formatBytes(memory.peak))) }
        rows.append(("Planned memory", formatBytes(memory.planned)))
        return rows
    }

    /// What the run was made with, by Axolotl's keys.
    var hyperparameters: [(name: String, value: String)] {
        let training = config.training
        var rows: [(String, String)] = []
        if let adapter {
            rows += [
                ("lora_r", "\(adapter.rank)"), ("lora_alpha", ReportText.number(adapter.alpha)),
                ("lora_dropout", ReportText.number(adapter.dropout)),
                ("lora_target_modules", adapter.targetModules.joined(separator: ", ")),
            ]
        }
        if !rl.isEmpty { rows.append(("rl", rl)) }
        let optimizer = (try? config.document.string("optimizer", default: "")) ?? ""
        rows += [
            ("learning_rate", ReportText.number(training.learningRate)),
            ("lr_scheduler", training.schedule.rawValue),
            ("optimizer", optimizer.isEmpty ? "adamw_torch" : optimizer),
            ("micro_batch_size", "\(training.microBatchSize)"),
            ("gradient_accumulation_steps", "\(training.gradientAccumulationSteps)"),
            ("sequence_len", "\(training.sequenceLen)"),
            ("sample_packing", "\(training.samplePacking)"),
            ("num_epochs", ReportText.number(training.numEpochs)),
            ("steps", "\(summary.steps)"),
            ("weight_decay", ReportText.number(training.weightDecay)),
            ("max_grad_norm", ReportText.number(training.maxGradNorm)),
            ("seed", "\(training.seed)"),
        ]
        if let steps = training.warmupSteps { rows.append(("warmup_steps", "\(steps)")) }
        if let ratio = training.warmupRatio {
            rows.append(("warmup_ratio", ReportText.number(ratio)))
        }
        return rows
    }

    /// What became of the data.
    var data: [(name: String, value: String)] {
        let data = examples.data
        func describe(_ examples: [TrainingExample]) -> String {
            let tokens = examples.reduce(0) { $0 + $1.rowCount }
            let trained = examples.reduce(0) {
                $0 + $1.trainedTokens + ($1.rejected?.trainedTokens ?? 0)
            }
            return
                "\(ReportText.count(examples.count)) examples, \(ReportText.count(tokens)) tokens, "
                + "\(ReportText.count(trained)) of them trained"
        }
        var rows = [
            ("Rows read", ReportText.count(data.counts.rows)), ("Training", describe(data.train)),
        ]
        if !data.validation.isEmpty { rows.append(("Validation", describe(data.validation))) }
        for (count, reason) in data.counts.dropped {
            rows.append(("Left out, \(reason)", ReportText.count(count)))
        }
        if data.counts.truncated > 0 {
            rows.append(("Cut to sequence_len", ReportText.count(data.counts.truncated)))
        }
        return rows
    }
}

// SPDX-License-Identifier: Apache-2.0
// eft eval --rewards: what a reward model says of texts.
import EftCommandLine
import EftConfig
import EftGeneration
import EftModels
import EftTraining

extension Scoring {
    /// Scores the rows of `--rewards`.
    func rewards() throws {
        let model = try LoadedModel(arguments, scores: true)
        guard let head = model.folder.description.scores else {
            throw arguments.error(
                "rewards",
                "the model gives tokens and no scores; train one with reward_model: true")
        }
        let file = try arguments.required("rewards")
        let rows = try during("reading \(file)") {
            try ScoredRows(
                file, head: head, tokenizer: model.tokenizer, folder: model.folder.tokenizerFolder,
                options: rowOptions)
        }
        let scored = ScoredExamples(rows.examples, head: head, padID: try model.scorePadID)
        let count = ScoreEvaluator.rows(
            scored.sequences, wanted: try arguments.int("length", default: 2048, in: 2...(1 << 20)))
        let plan = model.planner(
            for: .evaluation,
            reserving: ScoreEvaluator.byteCount(
                rows: count, scores: scored.places.reduce(0) { $0 + $1.count })
        ).evaluate(
            name: "eval", layouts: model.layouts, adapters: model.adapterExtents,
            load: try model.loader.loadNeed(), rows: count,
            least: ScoreEvaluator.rows(scored.sequences, wanted: 0),
            sequences: ScoreEvaluator.sequences)
        let streaming = try model.streaming(plan)
        let budget = model.budget(plan, streaming)
        try budget.announce(quiet: isJSON)
        let (decoder, slots) = try model.load(plan, streaming, quiet: isJSON)
        let start = ContinuousClock.now
        let values = try ScoreEvaluator(decoder: decoder, slots: slots, rows: count)
            .score(scored.sequences, places: scored.places) {
                try report($0, of: scored.sequences.count, "texts")
            }
        let seconds = max((ContinuousClock.now - start).seconds, 1e-9)
        let tokens = scored.sequences.reduce(0) { $0 + $1.count }
        show(
            scored.nodes(values), rows.areLabelled ? scored.summary(values) : nil,
            tokensPerSecond: Double(tokens) / seconds, budget)
    }

    private var rowOptions: ScoredRows.Options {
        var options = ScoredRows.Options()
        options.templateFile = arguments.string("chat-template")
        options.stepSeparator = arguments.string("step-separator", default: "\n")
        return options
    }

    /// A line for each row, and what they come to behind them; one object for machines.
    private func show(
        _ rows: [ConfigObject], _ summary: ScoredExamples.Summary?, tokensPerSecond: Double,
        _ budget: Budget
    ) {
        var object = ConfigObject()
        object["rows"] = ConfigNode(.array(rows.map { ConfigNode($0) }))
        if let summary {
            object["loss"] = ConfigNode(summary.loss)
            for (key, value) in summary.rewards.entries() { object[key] = value }
        }
        show(object, tokensPerSecond: tokensPerSecond, budget) { output in
            for row in rows { output.writeLine(JSONWriter.text(ConfigNode(row))) }
            guard let summary else { return }
            TerminalOutput.standardError.writeLine(summary.sentence)
        }
    }
}

extension ScoredExamples.Summary {
    /// Loss, margin and accuracy in a line.
    var sentence: String {
        var parts = ["loss \(formatFixed(loss, decimals: 4))"]
        if let margin = rewards.margin {
            parts.append("margin \(formatFixed(margin, decimals: 3))")
        }
        if let accuracy = rewards.accuracy {
            parts.append("right \(formatFixed(100 * accuracy, decimals: 1)) %")
        }
        return parts.joined(separator: "  ") + "  over \(count)"
    }
}

extension LoadedModel {
    /// The token that fills up rows, as training had it: a whole model says it in its `config.json`, an adapter by its
    /// tokenizer; EOS where neither does.
    var scorePadID: Int32? {
        get throws {
            let given = try folder.config.optional("pad_token_id")?.int()
            let named = given.flatMap { Int32(exactly: $0) }
            let own = adapters.isEmpty ? named ?? tokenizer.padID : tokenizer.padID ?? named
            return own ?? tokenizer.eosID
        }
    }
}

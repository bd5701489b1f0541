// SPDX-License-Identifier: Apache-2.0
// eft eval --rewards: what a reward model says of texts.
import EftCommandLine
import EftConfig
import EftFormats
import EftGeneration
import EftModels
import EftTraining

extension Scoring {
    /// Scores the rows of `--rewards`.
    func rewards() throws {
        let model = try LoadedModel(arguments, scores: true)
        let head = try model.scoreHead
        let file = try arguments.required("rewards")
        let rows = try during("reading \(file)") {
            try ScoredRows(
                file, head: head, tokenizer: model.tokenizer, folder: model.folder.tokenizerFolder,
                options: rowOptions(model))
        }
        let scored = ScoredExamples(rows.examples, head: head, padID: try model.scorePadID)
        let length = try arguments.int("length", default: 2048, in: 2...(1 << 20))
        let result = try model.score(scored, name: "eval", length: length, quiet: isJSON) {
            try report($0, of: scored.sequences.count, "texts")
        }
        let summary = rows.areLabelled ? scored.summary(result.values) : nil
        let lines = scored.nodes(result.values)
        var object = ConfigObject()
        object["rows"] = ConfigNode(.array(lines.map { ConfigNode($0) }))
        for (key, value) in summary?.entries ?? [] { object[key] = value }
        show(object, tokensPerSecond: result.tokensPerSecond, result.budget) { output in
            for line in lines { output.writeLine(JSONWriter.text(ConfigNode(line))) }
            if let summary { TerminalOutput.standardError.writeLine(summary.sentence) }
        }
    }

    private func rowOptions(_ model: LoadedModel) -> ScoredRows.Options {
        var options = ScoredRows.Options()
        // Training keeps the template beside the adapter where that is not the base's.
        let kept = model.adapters.map { FileSystem.join($0, "chat_template.jinja") }
            .first(where: FileSystem.exists)
        options.templateFile = arguments.string("chat-template") ?? kept
        options.stepSeparator = arguments.string("step-separator", default: "\n")
        return options
    }
}

extension ScoredExamples.Summary {
    /// Everything, for machines.
    var entries: [(key: String, value: ConfigNode)] {
        [("loss", ConfigNode(loss))] + rewards.entries()
    }

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

/// What a model that scores said of texts.
struct TextScores {
    /// Of each sequence, `[places][labels]`.
    let values: [[Float]]
    /// Speed over all tokens.
    let tokensPerSecond: Double
    /// What was planned.
    let budget: Budget
}

extension LoadedModel {
    /// The head that scores.
    /// - Throws: `ModelError` for a model that has none.
    var scoreHead: ScoreHead {
        get throws {
            guard let head = folder.description.scores else {
                throw ModelError(
                    .unsupported,
                    "the model gives tokens and no scores; train one with reward_model: true",
                    path: folder.path)
            }
            return head
        }
    }

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

    /// Plans, loads, and scores.
    /// - Parameters:
    ///   - length: tokens that are read at once, unless a text has more.
    ///   - progress: told how many sequences are done.
    func score(
        _ scored: ScoredExamples, name: String, length: Int, quiet: Bool,
        progress: (Int) throws -> Void
    ) throws -> TextScores {
        let rows = ScoreEvaluator.rows(scored.sequences, wanted: length)
        let scores = scored.places.reduce(0) { $0 + $1.count }
        let kept = ScoreEvaluator.byteCount(rows: rows, scores: scores)
        let plan = planner(for: .evaluation, reserving: kept).evaluate(
            name: name, layouts: layouts, adapters: adapterExtents, load: try loader.loadNeed(),
            rows: rows, least: ScoreEvaluator.rows(scored.sequences, wanted: 0),
            sequences: ScoreEvaluator.sequences)
        let streaming = try streaming(plan)
        let budget = budget(plan, streaming)
        try budget.announce(quiet: quiet)
        let (decoder, slots) = try load(plan, streaming, quiet: quiet)
        let start = ContinuousClock.now
        let values = try ScoreEvaluator(decoder: decoder, slots: slots, rows: rows)
            .score(scored.sequences, places: scored.places, progress: progress)
        let tokens = scored.sequences.reduce(0) { $0 + $1.count }
        return TextScores(
            values: values,
            tokensPerSecond: Double(tokens) / max((ContinuousClock.now - start).seconds, 1e-9),
            budget: budget)
    }
}

// SPDX-License-Identifier: Apache-2.0
// eft eval --data: perplexity of a text.
import EftCommandLine
import EftConfig
import EftGeneration

extension Scoring {
    /// Scores a text.
    func perplexity() throws {
        let model = try LoadedModel(arguments)
        let (tokens, rows) = try text(model.tokenizer, model.folder.description)
        let kvType = try cacheType(model)
        let plan = model.planner(for: .evaluation).evaluate(
            name: "eval", layouts: model.layouts, adapters: model.adapterExtents,
            load: try model.loader.loadNeed(), rows: rows, kvType: kvType)
        let streaming = try model.streaming(plan)
        let budget = model.budget(plan, streaming)
        try budget.announce(quiet: isJSON)
        let (decoder, slots) = try model.load(plan, streaming, quiet: isJSON)
        let score = try PerplexityEvaluator(
            decoder: decoder, slots: slots, length: rows, kvType: kvType
        ).score(tokens) { try report($0, of: tokens.count, "tokens") }
        var object = ConfigObject()
        object["tokens"] = ConfigNode(score.tokens)
        object["nll"] = ConfigNode(score.nll)
        object["perplexity"] = ConfigNode(score.perplexity)
        show(object, tokensPerSecond: score.tokensPerSecond, budget) { output in
            output.writeLine(
                "tokens \(score.tokens)  nll \(formatFixed(score.nll, decimals: 5))  "
                    + "perplexity \(formatFixed(score.perplexity, decimals: 4))")
        }
    }
}

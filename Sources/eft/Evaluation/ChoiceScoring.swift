// SPDX-License-Identifier: Apache-2.0
// eft eval --tasks: accuracy on multiple-choice questions.
import EftCommandLine
import EftConfig
import EftGeneration
import EftModels

extension Scoring {
    /// Scores the questions of `--tasks`.
    func choices() throws {
        let model = try LoadedModel(arguments)
        let length = try arguments.int("length", default: 2048, in: 2...(1 << 20))
        let file = try arguments.required("tasks")
        let questions = try during("reading \(file)") { try ChoiceQuestion.read(file) }
        let encoder = ChoiceEncoder(
            tokenizer: model.tokenizer,
            contextLength: model.folder.description.contextLength)
        let choices = try during("encoding \(file)") { try questions.map(encoder.encode) }
        let rows = ChoiceEvaluator.rows(choices, wanted: length)
        let kept = ChoiceEvaluator.byteCount(
            rows: rows, choices: choices.reduce(0) { $0 + $1.count })
        let plan = model.planner(for: .evaluation, reserving: kept).evaluate(
            name: "eval", layouts: model.layouts, adapters: model.adapterExtents,
            load: try model.loader.loadNeed(), rows: rows,
            least: ChoiceEvaluator.rows(choices, wanted: 0),
            sequences: ChoiceEvaluator.sequences)
        let streaming = try model.streaming(plan)
        let budget = model.budget(plan, streaming)
        try budget.announce(quiet: isJSON)
        let (decoder, slots) = try model.load(plan, streaming, quiet: isJSON)
        let score = try ChoiceEvaluator(decoder: decoder, slots: slots, rows: rows)
            .score(questions, choices) { try report($0, of: questions.count, "questions") }
        var object = ConfigObject()
        object["questions"] = ConfigNode(questions.count)
        for (name, share) in score.shares {
            object[name] = ConfigNode(share.value)
            object[name + "_stderr"] = ConfigNode(share.standardError)
        }
        show(object, tokensPerSecond: score.tokensPerSecond, budget) { output in
            let shares = score.shares.map { name, share in
                "\(name) \(formatFixed(share.value, decimals: 4)) "
                    + "± \(formatFixed(share.standardError, decimals: 4))"
            }
            output.writeLine(
                "questions \(questions.count)  " + shares.joined(separator: "  "))
        }
    }
}

extension ChoiceScore {
    /// The shares under the names that lm-evaluation-harness gives them.
    fileprivate var shares: [(String, Share)] {
        [("acc", accuracy), ("acc_norm", accuracyByCharacter), ("acc_bytes", accuracyByByte)]
    }
}

// SPDX-License-Identifier: Apache-2.0
// BLEU, chrF and TER against sacrebleu.
import EftConfig
import EftTestSupport
import Testing

@testable import EftTraining

@Suite struct AnswerMeasureTests {
    @Test func `scores of corpora are sacrebleu's`() throws {
        let golden = try ConfigFile.read(Fixtures.path("answer-metrics/cases.json"))
        var count = 0
        for item in try golden.required("cases").elements() {
            let name = try item.required("name").string()
            let answers = try item.required("answers").strings()
            let references = try item.required("references").strings()
            for metric in AnswerMetric.allCases {
                let expected = try item.required(metric.rawValue).double()
                let score = metric.score(answers: answers, references: references)
                #expect(abs(score - expected) <= 1e-9 * 100, "\(name): \(score), \(expected)")
                count += 1
            }
        }
        #expect(count >= 90)
    }

    @Test func `words are those of the tokenizer 13a`() throws {
        let golden = try ConfigFile.read(Fixtures.path("answer-metrics/cases.json"))
        for item in try golden.required("tokens").elements() {
            let words = try item.required("words").strings()
            let found = try WordTokenizer.words(item.required("text").string())
            #expect(found == words.map { Array($0.unicodeScalars) })
        }
    }

    @Test(arguments: [
        ("eval_causal_lm_metrics: [comet]", "neural model"),
        ("eval_causal_lm_metrics: [perplexity, tre]", "did you mean 'ter'"),
        ("eval_causal_lm_metrics: [sacrebleau]", "did you mean 'sacrebleu'"),
        ("generate_samples: true\nnum_generation_samples: 0", "num_generation_samples"),
        ("eval_causal_lm_metrics: [chrf]\neval_max_new_tokens: 0", "eval_max_new_tokens"),
    ])
    func `what is not measured is refused by name`(_ lines: String, _ word: String) throws {
        let folder = try TemporaryFolder()
        let error = #expect(throws: ConfigError.self) { try SmallJob.config(folder, lines) }
        #expect(error?.description.contains(word) == true, "\(error?.description ?? "")")
    }

    @Test func `a run without what completes prompts says so`() throws {
        let folder = try SmallJob.workplace()
        let job = try SmallJob.job(
            SmallJob.config(folder, "eval_causal_lm_metrics: [chrf]"), folder)
        let error = try #require(throws: TrainingError.self) { try job.run(onEvent: { _ in }) }
        #expect(error.message.contains("prompts"))
    }

    @Test func `the first answer of a conversation is what is measured`() throws {
        let example = TrainingExample(
            tokens: [1, 5, 6, 7, 8, 9, 10], labels: [-100, -100, -100, 7, 8, -100, 10])
        let turn = try #require(example.firstAnswer)
        #expect(Array(turn.prompt) == [1, 5, 6] && Array(turn.answer) == [7, 8])
        #expect(TrainingExample(tokens: [1, 2], labels: [1, -100]).firstAnswer == nil)
        let all = try #require(TrainingExample(tokens: [1, 2, 3], labels: [1, 2, 3]).firstAnswer)
        #expect(Array(all.prompt) == [1] && Array(all.answer) == [2, 3])
    }
}

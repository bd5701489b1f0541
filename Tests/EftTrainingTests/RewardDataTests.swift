// SPDX-License-Identifier: Apache-2.0
// Rows for models that score become tokens, pairs and labels.
import EftConfig
import EftModels
import EftTestSupport
import EftTokenizers
import Testing

@testable import EftTraining

@Suite struct RewardDataTests {
    private static let template =
        "{{ bos_token }}{% for m in messages %}<{{ m.role }}>{{ m.content }}</>\n{% endfor %}"
        + "{% if add_generation_prompt %}<assistant>{% endif %}"

    private let rig: ConversationRig

    init() throws { rig = try ConversationRig("llama3", template: Self.template) }

    private func example(
        _ run: String, _ entry: String, _ row: String, length: Int = 4096
    ) throws -> TrainingExample {
        let config = try AxolotlConfig(
            ConfigCursor(
                YAMLParser.parse(
                    "base_model: b\nlearning_rate: 1\n\(run)\ndatasets:\n  - {path: x\(entry)}",
                    file: "c.yml"), file: "c.yml"))
        return try rig.answers(config, row, length: length)
    }

    private func text(_ ids: [Int32]) throws -> String { try rig.tokenizer.decode(ids) }

    // MARK: Pairs

    private static let chat = ", type: bradley_terry.chat_template"

    @Test(arguments: [
        (#"{"system": "", "input": "q", "chosen": "a", "rejected": "b"}"#, ""),
        (#"{"system": "s", "input": "q", "chosen": "a", "rejected": "b"}"#, "<system>s</>\n"),
        (
            #"{"prompt": [{"role": "user", "content": "q"}], "chosen": [{"role": "assistant", "content": "a"}], "rejected": [{"role": "assistant", "content": "b"}]}"#,
            ""
        ),
        (
            #"{"chosen": [{"role": "user", "content": "q"}, {"role": "assistant", "content": "a"}], "rejected": [{"role": "user", "content": "q"}, {"role": "assistant", "content": "b"}]}"#,
            ""
        ),
    ])
    func `a reward model reads all that the template writes`(
        _ row: String, _ system: String
    ) throws {
        for entry in [Self.chat, ""] {
            let found = try example("reward_model: true", entry, row)
            func whole(_ answer: String) -> String {
                "<|bos|>\(system)<user>q</>\n<assistant>\(answer)</>\n"
            }
            #expect(try text(found.tokens) == whole("a"))
            #expect(try text(try #require(found.rejected).tokens) == whole("b"))
        }
    }

    @Test func `named markups are those of preferences`() throws {
        let found = try example(
            "reward_model: true", ", type: bradley_terry.llama3.icr",
            #"{"input": "q", "chosen": "a", "rejected": "b"}"#)
        #expect(try text(found.tokens).contains("<|start_header_id|>user<|end_header_id|>\n\nq"))
        #expect(found.rejected != nil)
        let error = try #require(throws: ConfigError.self) {
            try example("reward_model: true", ", type: bradley_terry.chat_templat", "{}")
        }
        #expect(error.description.contains("did you mean 'bradley_terry.chat_template'"))
    }

    @Test(arguments: [
        (#"{"input": "q", "chosen": "a"}"#, "'rejected'"),
        (#"{"chosen": "a", "rejected": "b"}"#, "'input'"),
        (
            #"{"chosen": [{"role": "user", "content": "q"}], "rejected": [{"role": "user", "content": "q"}]}"#,
            "not an answer"
        ),
    ])
    func `rows without what is needed are named`(_ row: String, _ words: String) throws {
        let error = try #require(throws: ConfigError.self) {
            try example("reward_model: true", Self.chat, row)
        }
        #expect(error.description.contains(words))
    }

    // MARK: Steps

    private static let steps =
        #"{"prompt": "one", "completions": ["two three", "four"], "labels": [true, false]}"#

    @Test func `labels stand at the last token of each separator`() throws {
        let found = try example(
            "process_reward_model: true", ", type: stepwise_supervised", Self.steps)
        #expect(try text(found.tokens) == "<|bos|>onetwo three\nfour\n")
        let marks = found.labels.indices.filter { found.labels[$0] >= 0 }
        #expect(marks.map { found.labels[$0] } == [1, 0])
        #expect(marks.last == found.tokens.count - 1)
        #expect(try text(Array(found.tokens[...marks[0]])) == "<|bos|>onetwo three\n")
        // Prompt, steps and separators are encoded each by itself, as TRL does.
        let plain = try ["one", "two three", "\n", "four", "\n"]
            .flatMap { try rig.tokenizer.encode($0, addSpecialTokens: false) }
        #expect(Array(found.tokens.dropFirst()) == plain)
    }

    @Test func `separators, limits and the last step alone are the data set's`() throws {
        let run = "process_reward_model: true"
        let type = ", type: stepwise_supervised"
        let other = try example(run, type + #", step_separator: " ##""#, Self.steps)
        #expect(try text(other.tokens) == "<|bos|>onetwo three ##four ##")
        let last = try example(run, type + ", train_on_last_step_only: true", Self.steps)
        #expect(last.labels.filter { $0 >= 0 } == [0])
        let whole = try example(run, type, Self.steps)
        let cut = try example(run, type + ", max_completion_length: 2", Self.steps)
        #expect(cut.tokens == Array(whole.tokens.prefix(cut.tokens.count)))
        #expect(cut.tokens.count < whole.tokens.count)
        #expect(try example(run, type, Self.steps, length: 3).tokens.count == 3)
    }

    @Test(arguments: [
        (#"{"prompt": "p", "completions": ["a"], "labels": [0, 1]}"#, "1 steps and 2 labels"),
        (#"{"prompt": "p", "completions": ["a"], "labels": [2]}"#, "labels"),
        (#"{"prompt": "p", "completions": [], "labels": []}"#, "0 steps"),
        (#"{"prompt": "p", "labels": [1]}"#, "'completions'"),
    ])
    func `steps that make no sense are named`(_ row: String, _ words: String) throws {
        let error = try #require(throws: ConfigError.self) {
            try example("process_reward_model: true", ", type: stepwise_supervised", row)
        }
        #expect(error.description.contains(words), "\(error)")
    }

    @Test func `more kinds of steps are numbers`() throws {
        let row = #"{"prompt": "p", "completions": ["a", "b"], "labels": [2, 1]}"#
        let found = try example(
            "process_reward_model: true\nnum_labels: 3", ", type: stepwise_supervised", row)
        #expect(found.labels.filter { $0 >= 0 } == [2, 1])
    }

    // MARK: Rows to score

    private func scored(_ rows: String, _ head: ScoreHead) throws -> ScoredRows {
        let file = try rig.folder.write("scored.jsonl", rows)
        return try ScoredRows(
            file, head: head, tokenizer: rig.tokenizer, folder: rig.folder.path,
            options: ScoredRows.Options())
    }

    @Test func `rows to score have one of several forms`() throws {
        let head = ScoreHead(.text, labels: 1)
        let pair = #"{"input": "q", "chosen": "a", "rejected": "b"}"#
        let forms = [
            #"{"input": "q", "completion": "a"}"#,
            #"{"messages": [{"role": "user", "content": "q"}, {"role": "assistant", "content": "a"}]}"#,
            #"{"text": "plain"}"#,
        ]
        let pairs = try scored(pair, head)
        #expect(pairs.areLabelled)
        let mixed = try scored((forms + [pair]).joined(separator: "\n"), head)
        #expect(!mixed.areLabelled)
        let chosen = pairs.examples[0].tokens
        #expect(mixed.examples.map(\.tokens).prefix(2) == [chosen, chosen])
        #expect(try text(mixed.examples[2].tokens).contains("plain"))
        #expect(mixed.examples.map { $0.rejected == nil } == [true, true, true, false])
        let scores = ScoredExamples(mixed.examples, head: head, padID: nil)
        let values: [[Float]] = [[1], [2], [3], [0.5], [0.25]]
        let lines = scores.nodes(values).map { JSONWriter.text(ConfigNode($0)) }
        #expect(lines[2] == #"{"score": 3.0}"#)
        #expect(
            scores.summary(values)?.count == 1 && scores.summary(values)?.rewards.margin == 0.25)
    }

    @Test func `steps to score need no labels`() throws {
        let head = ScoreHead(.tokens, labels: 2)
        let bare = try scored(#"{"prompt": "p", "completions": ["a", "b"]}"#, head)
        #expect(!bare.areLabelled)
        let labelled = try scored(Self.steps, head)
        #expect(labelled.areLabelled)
        let scores = ScoredExamples(labelled.examples, head: head, padID: nil)
        #expect(scores.places.map(\.count) == [2])
        let summary = try #require(scores.summary([[0, 2, 0, 2]]))
        #expect(summary.count == 2 && summary.rewards.accuracy == 0.5)
        #expect(throws: ConfigError.self) { try scored(#"{"text": "t"}"#, head) }
        #expect(throws: TrainingError.self) { try scored("", head) }
    }
}

// SPDX-License-Identifier: Apache-2.0
// Whole runs that train a model to score: memory, files, resuming, and that something is learned.
import EftConfig
import EftFormats
import EftModels
import EftTensor
import EftTestSupport
import Testing

@testable import EftTraining

@Suite struct RewardRunTests {
    private static let pairs = (0..<12).map { index in
        #"{"system": "", "input": "say \#(index)", "chosen": "the \#(index)", "rejected": "not at all \#(index * 7)"}"#
    }.joined(separator: "\n")

    private static let steps = (0..<12).map { index in
        #"{"prompt": "say \#(index)", "completions": ["the \#(index)", "on the \#(index)"], "labels": [true, \#(index % 2 == 0)]}"#
    }.joined(separator: "\n")

    static let reward =
        "reward_model: true\nnum_labels: 1\nchat_template: chatml\ncenter_rewards_coefficient: 0.01"
    static let process = "process_reward_model: true"

    private func config(
        _ folder: TemporaryFolder, _ lines: String, adapter: String? = "lora",
        output: String = "out", base: String? = nil
    ) throws -> AxolotlConfig {
        let isReward = lines.contains("\nnum_labels")
        try folder.write("answers.jsonl", isReward ? Self.pairs : Self.steps)
        let type = isReward ? "bradley_terry.chat_template" : "stepwise_supervised"
        return try SmallJob.config(
            folder, adapter: adapter, output: output, base: base,
            data: "{path: \(folder.file("answers.jsonl")), type: \(type)}", lines + "\n")
    }

    @Test(arguments: [reward, process], ["lora", "qlora", nil] as [String?])
    func `runs hold what was planned`(_ lines: String, _ adapter: String?) throws {
        let folder = try SmallJob.workplace()
        // SmallJob compares the ledger's peak with the plan.
        let losses = try SmallJob.losses(
            SmallJob.job(config(folder, lines, adapter: adapter), folder))
        #expect(losses.allSatisfy(\.isFinite) && !losses.isEmpty)
    }

    @Test(arguments: [reward, process])
    func `a base that does not fit is streamed to the same numbers`(_ lines: String) throws {
        let folder = try SmallJob.workplace()
        let whole = try SmallJob.job(config(folder, lines), folder)
        let expected = try SmallJob.losses(whole)
        let limit = whole.plan.placed.total.total - 40_000
        let less = try SmallJob.job(config(folder, lines, output: "two"), folder, limit: limit)
        #expect(less.streaming != nil)
        #expect(try SmallJob.losses(less) == expected)
    }

    @Test(arguments: [reward, process], ["lora", nil] as [String?])
    func `a resumed run goes on to the same numbers`(_ lines: String, _ adapter: String?) throws {
        let folder = try SmallJob.workplace()
        let whole = try SmallJob.losses(
            SmallJob.job(config(folder, lines, adapter: adapter, output: "one"), folder))
        let resumed = try SmallJob.losses(
            SmallJob.job(
                config(
                    folder,
                    lines + "\nresume_from_checkpoint: \(folder.file("one/checkpoint-2"))",
                    adapter: adapter, output: "two"), folder))
        #expect(resumed == whole.suffix(resumed.count))
        #expect(!resumed.isEmpty && resumed.count < whole.count)
    }

    @Test func `chosen answers are rewarded more than rejected ones`() throws {
        let folder = try SmallJob.workplace()
        var config = try config(folder, Self.reward)
        config.training.maxSteps = 24
        var reports: [StepReport] = []
        _ = try SmallJob.job(config, folder).run(onEvent: {
            if case .training(.step(let report)) = $0 { reports.append(report) }
        })
        let last = try #require(reports.last?.rewards)
        #expect((last.margin ?? 0) > 0.5 && last.accuracy == 1)
    }

    @Test func `an adapter is written as PEFT writes it, and trained further`() throws {
        let folder = try SmallJob.workplace()
        _ = try SmallJob.losses(SmallJob.job(config(folder, Self.process), folder))
        let written = folder.file("out")
        let file = try ConfigFile.read(written + "/adapter_config.json")
        #expect(try file.required("task_type").string() == "TOKEN_CLS")
        #expect(
            try file.required("modules_to_save").elements().map { try $0.string() } == ["score"])
        let tensors = try CheckpointFolder.open(written, kind: .adapter)
        #expect(tensors.find("base_model.model.score.weight")?.shape.dims == [2, 32])
        #expect(tensors.find("base_model.model.score.bias")?.shape.dims == [2])
        let further = try config(
            folder, Self.process + "\nlora_model_dir: \(written)", output: "further")
        let job = try SmallJob.job(further, folder)
        #expect(try SmallJob.losses(job).allSatisfy(\.isFinite))
        let other = try config(
            folder, Self.reward + "\nlora_model_dir: \(written)", output: "other")
        let error = try #require(throws: ModelError.self) { try SmallJob.job(other, folder) }
        #expect(error.code == .mismatch)
    }

    @Test func `a whole model says what it is, and is trained further`() throws {
        let folder = try SmallJob.workplace()
        _ = try SmallJob.losses(SmallJob.job(config(folder, Self.reward, adapter: nil), folder))
        let config = try ConfigFile.read(folder.file("out/config.json"))
        let names = try config.required("architectures").elements().map { try $0.string() }
        #expect(names == ["LlamaForSequenceClassification"])
        #expect(try config.required("id2label").object().entries.count == 1)
        #expect(try config.required("pad_token_id").int() == Int(TinyModel.eos))
        let saved = try ModelFolder.open(folder.file("out"), scores: true)
        #expect(saved.description.scores == ScoreHead(.text, labels: 1))
        #expect(saved.checkpoint?.find("score.weight")?.shape.dims == [1, 32])
        #expect(saved.checkpoint?.find("lm_head.weight") == nil)
        let further = try self.config(
            folder, Self.reward, output: "further", base: folder.file("out"))
        #expect(try SmallJob.losses(SmallJob.job(further, folder)).allSatisfy(\.isFinite))
        let texts = try SmallJob.config(folder, output: "texts", base: folder.file("out"))
        let error = try #require(throws: ModelError.self) { try SmallJob.job(texts, folder) }
        #expect(error.code == .unsupported && error.message.contains("reward_model: true"))
    }

    @Test func `fresh heads follow from the seed`() throws {
        let folder = try SmallJob.workplace()
        let base = try ModelFolder.open(folder.file("base"))
        func numbers(_ seed: UInt64, _ kind: ScoreHead.Kind = .text) throws -> [Float] {
            let scored = try base.scored(ScoreHead(kind, labels: 3), seed: seed)
            return try #require(scored.checkpoint).floats(of: "score.weight")
        }
        let values = try numbers(1)
        #expect(values.count == 96)
        #expect(try values == numbers(1))
        #expect(try values != numbers(2))
        let deviation = (values.reduce(0) { $0 + $1 * $1 } / 96).squareRoot()
        #expect(deviation > 0.035 && deviation < 0.065)
        let biased = try base.scored(ScoreHead(.tokens, labels: 3), seed: 1)
        #expect(try #require(biased.checkpoint).floats(of: "score.bias").allSatisfy { $0 == 0 })
    }

    @Test(arguments: [
        ("reward_model: true\nnum_labels: 2", "num_labels: 1"),
        ("num_labels: 2", "goes with reward_model"),
        ("reward_model: true\nprocess_reward_model: true", "exclude each other"),
        ("reward_model: true\nrl: dpo", "remove rl"),
        ("process_reward_model: true\ncenter_rewards_coefficient: 0.1", "reward_model: true"),
        ("process_reward_model: true\nlora_modules_to_save: [lm_head]", "no lm_head"),
    ])
    func `keys that contradict each other are refused`(_ lines: String, _ words: String) throws {
        let folder = try TemporaryFolder()
        let error = try #require(throws: ConfigError.self) {
            try SmallJob.config(folder, base: "b", data: "{path: x}", lines)
        }
        #expect(error.description.contains(words))
    }

    @Test func `a type of other runs is refused by name`() throws {
        let folder = try SmallJob.workplace()
        let texts = try SmallJob.config(folder, Self.process)
        let error = try #require(throws: ConfigError.self) { try SmallJob.job(texts, folder) }
        #expect(error.description.contains("stepwise_supervised"))
        let pairs = try SmallJob.config(folder, Self.reward)
        let other = try #require(throws: ConfigError.self) { try SmallJob.job(pairs, folder) }
        #expect(other.description.contains("bradley_terry.chat_template"))
    }
}

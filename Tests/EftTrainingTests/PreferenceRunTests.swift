// SPDX-License-Identifier: Apache-2.0
// Whole runs that learn from preferences: memory, resuming, and that something is learned.
import EftConfig
import EftFormats
import EftTestSupport
import Testing

@testable import EftTraining

@Suite struct PreferenceRunTests {
    private static let pairs = (0..<12).map { index in
        #"{"prompt": "say \#(index)", "chosen": " the \#(index)", "rejected": " not at all \#(index * 7)"}"#
    }.joined(separator: "\n")

    private static let singles = (0..<12).map { index in
        #"{"prompt": "say \#(index)", "completion": " the \#(index)", "label": \#(index % 3 != 0)}"#
    }.joined(separator: "\n")

    private func config(
        _ folder: TemporaryFolder, _ lines: String, adapter: String? = "lora", single: Bool = false,
        output: String = "out"
    ) throws -> AxolotlConfig {
        try folder.write("answers.jsonl", single ? Self.singles : Self.pairs)
        return try SmallJob.config(
            folder, adapter: adapter, output: output,
            data: "{path: \(folder.file("answers.jsonl"))}", lines + "\n")
    }

    @Test(arguments: [
        "rl: dpo", "rl: dpo\nprecompute_ref_log_probs: true", "rl: ipo", "rl: orpo",
        "rl: simpo\nsample_packing: true",
    ])
    func `pairs hold what was planned`(_ lines: String) throws {
        let folder = try SmallJob.workplace()
        let job = try SmallJob.job(config(folder, lines), folder)
        // SmallJob compares the ledger's peak with the plan.
        #expect(try SmallJob.losses(job).allSatisfy(\.isFinite))
    }

    @Test func `single answers hold what was planned`() throws {
        let folder = try SmallJob.workplace()
        var config = try config(folder, "rl: dpo", single: true)
        config.training.preferences = PreferenceSettings(.kto)
        config.data.answers = .single
        config.training.microBatchSize = 3
        #expect(try SmallJob.losses(SmallJob.job(config, folder)).allSatisfy(\.isFinite))
    }

    @Test func `a fully trained model is compared with what it was`() throws {
        let folder = try SmallJob.workplace()
        var events: [Int] = []
        let job = try SmallJob.job(config(folder, "rl: dpo", adapter: nil), folder)
        var losses: [Double] = []
        _ = try job.run(onEvent: {
            if case .training(.reference(let done, let total)) = $0 { events += [done, total] }
            if case .training(.step(let report)) = $0 { losses.append(report.loss) }
        })
        #expect(events.suffix(2) == [12, 12])
        // Before the first step model and reference are the same.
        #expect(abs(losses[0] - 0.6931) < 1e-3)
        #expect(losses.dropFirst().contains { abs($0 - 0.6931) > 1e-2 })
    }

    @Test(arguments: [
        "peft_trainable_token_indices: [32, 33, 260]", "lora_modules_to_save: [embed_tokens]",
    ])
    func `a base that is trained beside an adapter is asked before the first step`(
        _ line: String
    ) throws {
        let folder = try SmallJob.workplace()
        func losses(_ lines: String, _ output: String) throws -> (losses: [Double], asked: Bool) {
            var (losses, asked) = ([Double](), false)
            let job = try SmallJob.job(
                config(folder, "rl: dpo\n" + lines, output: output), folder)
            _ = try job.run(onEvent: {
                if case .training(.reference) = $0 { asked = true }
                if case .training(.step(let report)) = $0 { losses.append(report.loss) }
            })
            return (losses, asked)
        }
        let plain = try losses(line, "plain")
        let before = try losses(line + "\nprecompute_ref_log_probs: true", "before")
        #expect(plain.asked && plain.losses == before.losses)
        #expect(try !losses("seed: 42", "adapter").asked)
    }

    @Test(arguments: [nil, "peft_trainable_token_indices: [32]"])
    func `kto asks what changes before the first step, and goes on`(_ line: String?) throws {
        let folder = try SmallJob.workplace()
        try SmallJob.checkGoingOn(
            folder, weights: line == nil ? "model.safetensors" : "adapter_model.safetensors"
        ) { output, lines in
            var config = try config(
                folder, "rl: dpo\n" + (line ?? "") + "\n" + lines,
                adapter: line == nil ? nil : "lora", single: true, output: output)
            config.training.preferences = PreferenceSettings(.kto)
            config.data.answers = .single
            config.training.microBatchSize = 3
            return try SmallJob.job(config, folder)
        }
    }

    @Test func `chosen answers become more likely than rejected ones`() throws {
        let folder = try SmallJob.workplace()
        var config = try config(folder, "rl: dpo")
        config.training.maxSteps = 24
        var reports: [StepReport] = []
        var evaluations: [EvaluationReport] = []
        _ = try SmallJob.job(config, folder).run(onEvent: {
            if case .training(.step(let report)) = $0 { reports.append(report) }
            if case .training(.evaluation(let report)) = $0 { evaluations.append(report) }
        })
        #expect(abs((reports[0].rewards?.margin ?? 1)) < 1e-3)
        let last = try #require(reports.last?.rewards)
        #expect((last.margin ?? 0) > 0.5 && last.accuracy == 1)
        #expect((evaluations.last?.rewards?.margin ?? 0) > 0)
        let log = try String(
            decoding: FileSystem.read(folder.file("out/training_log.jsonl")), as: UTF8.self)
        #expect(log.contains("rewards/margins") && log.contains("eval_rewards/accuracies"))
    }

    @Test(arguments: ["lora", nil] as [String?])
    func `a resumed run goes on to the same numbers`(_ adapter: String?) throws {
        let folder = try SmallJob.workplace()
        let whole = try SmallJob.losses(
            SmallJob.job(config(folder, "rl: dpo", adapter: adapter, output: "one"), folder))
        let resumed = try SmallJob.losses(
            SmallJob.job(
                config(
                    folder,
                    "rl: dpo\nresume_from_checkpoint: \(folder.file("one/checkpoint-2"))",
                    adapter: adapter, output: "two"), folder))
        // Two steps and two evaluations are left of four.
        #expect(resumed == whole.suffix(resumed.count))
        #expect(!resumed.isEmpty && resumed.count < whole.count)
    }

    @Test func `a checkpoint of other preferences is refused`() throws {
        let folder = try SmallJob.workplace()
        _ = try SmallJob.losses(SmallJob.job(config(folder, "rl: dpo"), folder))
        let other = try config(
            folder,
            "rl: dpo\nrl_beta: 0.2\nresume_from_checkpoint: \(folder.file("out/checkpoint-2"))",
            output: "two")
        let error = #expect(throws: TrainingError.self) {
            try SmallJob.losses(SmallJob.job(other, folder))
        }
        #expect(error?.code == .checkpoint)
    }

    @Test func `a row without an answer left counts as unlabelled`() throws {
        let folder = try SmallJob.workplace()
        var config = try config(folder, "rl: dpo")
        config.data.sequenceLen = 6
        config.data.valSetSize = 0
        config.data.excessLength = .truncate
        let error = #expect(throws: (any Error).self) { try SmallJob.job(config, folder) }
        #expect("\(error.map { "\($0)" } ?? "")".contains("nothing to learn"))
    }
}

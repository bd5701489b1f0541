// SPDX-License-Identifier: Apache-2.0
// Whole runs that learn from rewards of their own completions: memory, resuming, streaming, and that something is learned.
import EftConfig
import EftFormats
import EftKit
import EftModels
import EftTensor
import EftTestSupport
import EftTraining
import Testing

@Suite struct RolloutRunTests {
    /// Rewards completions by the percentage of vowels. The shell reads a line as soon as it is there, which not every awk
    /// does.
    private static let vowels =
        #"while read -r line; do c=${line##*completion}; v=$(printf %s "$c" | tr -cd aeiou); "#
        + #"echo $((100 * ${#v} / ${#c})); done"#

    private func config(
        _ folder: TemporaryFolder, output: String = "out", adapter: Bool = true,
        command: String = vowels, trl: String = "", _ lines: String = ""
    ) throws -> AxolotlConfig {
        let rows = (0..<8).map {
            #"{"prompt": "Below.\n### Instruction:\nTell me of ship \#($0).\n\n### Response:\n"}"#
        }
        try folder.write("prompts.jsonl", rows.joined(separator: "\n"))
        let shape =
            adapter ? "adapter: lora\nlora_r: 4\nlora_alpha: 8\nlora_target_linear: true\n" : ""
        let text = """
            base_model: \(Fixtures.packageRoot)/Examples/demo/model
            rl: grpo
            trl:
              num_generations: 4
              max_completion_length: 12
              reward_command: \(JSONWriter.text(ConfigNode(command)))
            \(trl)
            datasets: [{path: \(folder.file("prompts.jsonl"))}]
            output_dir: \(folder.file(output))
            micro_batch_size: 4
            gradient_accumulation_steps: 2
            learning_rate: 0.01
            lr_scheduler: constant
            max_steps: 4
            save_steps: 2
            float32: true
            gradient_checkpointing: true
            \(shape)\(lines)
            """
        return try AxolotlConfig(ConfigCursor(YAMLParser.parse(text, file: "c.yml"), file: "c.yml"))
    }

    private func job(
        _ config: AxolotlConfig, _ folder: TemporaryFolder, limit: Int = .max
    ) throws -> TrainingJob {
        let backend = try CPUBackend(
            ledger: MemoryLedger(limit: limit), threads: 2, precision: .f32)
        return try TrainingJob(
            config, devices: [backend], caches: folder.file("caches"),
            completions: { try CompletionEngine($0, $1) })
    }

    /// Steps and evaluations of a run; its ledger must peak at what was stated.
    private func run(
        _ job: TrainingJob
    ) throws -> (steps: [StepReport], evaluations: [EvaluationReport]) {
        var (steps, evaluations) = ([StepReport](), [EvaluationReport]())
        let summary = try job.run(onEvent: {
            if case .training(.step(let report)) = $0 { steps.append(report) }
            if case .training(.evaluation(let report)) = $0 { evaluations.append(report) }
        })
        #expect(summary.peakBytes == job.plan.placed.total.total)
        return (steps, evaluations)
    }

    /// What must be the same of a step.
    private func numbers(_ steps: [StepReport]) -> [[Double]] {
        steps.map { [$0.loss, $0.gradientNorm, $0.rollouts?.reward ?? -1] }
    }

    @Test(arguments: [true, false])
    func `a run holds what was planned, and its numbers follow from the seed`(
        _ adapter: Bool
    ) throws {
        let folder = try TemporaryFolder()
        let trl = adapter ? "  beta: 0.1\n  loss_type: grpo" : ""
        let first = try run(job(config(folder, adapter: adapter, trl: trl), folder)).steps
        #expect(first.count == 4)
        let report = try #require(first[0].rollouts)
        #expect(report.reward > 10 && report.reward < 60 && report.deviation > 0)
        #expect(report.length > 1 && report.length <= 12)
        // The model that samples is the one that learns: the first step changes no ratio and is no way from the reference.
        #expect(report.clipped == 0 && report.divergence == 0)
        if adapter { #expect((first[3].rollouts?.divergence ?? 0) > 0) }
        let second = try run(
            job(config(folder, output: "two", adapter: adapter, trl: trl), folder)
        ).steps
        #expect(numbers(first) == numbers(second))
        let other = try run(
            job(config(folder, output: "three", adapter: adapter, trl: trl, "seed: 7"), folder))
        #expect(numbers(first) != numbers(other.steps))
    }

    @Test func `a resumed run goes on to the same numbers`() throws {
        let folder = try TemporaryFolder()
        let whole = try run(job(config(folder, output: "one"), folder)).steps
        let rest = "resume_from_checkpoint: \(folder.file("one/checkpoint-2"))"
        let resumed = try run(job(config(folder, output: "two", rest), folder)).steps
        #expect(numbers(resumed) == numbers(Array(whole.suffix(2))))
    }

    @Test func `a base that does not fit is streamed to the same numbers`() throws {
        let folder = try TemporaryFolder()
        let whole = try job(config(folder), folder)
        let expected = try run(whole).steps
        let limit = whole.plan.placed.total.total - (1 << 20)
        let less = try job(config(folder, output: "two"), folder, limit: limit)
        #expect(less.streaming != nil)
        #expect(try numbers(run(less).steps) == numbers(expected))
    }

    @Test func `several steps are made of the same completions`() throws {
        let folder = try TemporaryFolder()
        let steps = try run(job(config(folder, trl: "  num_iterations: 2"), folder)).steps
        let rewards = steps.map { $0.rollouts?.reward ?? -1 }
        #expect(rewards[0] == rewards[1] && rewards[2] == rewards[3] && rewards[1] != rewards[2])
        // The second step of a pair sees other ratios than 1, so that its loss is another one.
        #expect(steps[0].loss != steps[1].loss)
    }

    @Test func `completions that are rewarded become likelier`() throws {
        let folder = try TemporaryFolder()
        let longer = try config(
            folder, "val_set_size: 2\neval_steps: 15\neval_on_start: true\nsave_strategy: 'no'")
        var config = longer
        config.training.maxSteps = 30
        let (steps, evaluations) = try run(job(config, folder))
        func mean(_ part: some Collection<StepReport>) -> Double {
            part.reduce(0) { $0 + ($1.rollouts?.reward ?? 0) } / Double(part.count)
        }
        #expect(mean(steps.suffix(5)) > mean(steps.prefix(5)) + 5)
        let rewards = evaluations.map { $0.rollouts?.reward ?? 0 }
        #expect(rewards.count == 3 && rewards[2] > rewards[0])
        let log = try String(
            decoding: FileSystem.read(folder.file("out/training_log.jsonl")), as: UTF8.self)
        #expect(log.contains("\"completions/mean_length\"") && log.contains("\"eval_reward\""))
    }

    @Test func `a command that ends early ends the run, and what was saved stays`() throws {
        let folder = try TemporaryFolder()
        // Three steps of 8 completions.
        let command = "for i in $(seq 24); do read line || exit; echo $((i % 3)); done; exit 4"
        let error = try #require(throws: TrainingError.self) {
            try run(job(config(folder, command: command), folder))
        }
        #expect(error.code == .reward && error.message.contains("exit status 4"))
        #expect(FileSystem.exists(folder.file("out/checkpoint-2/adapter_model.safetensors")))
    }

    @Test func `several commands are weighed`() throws {
        let folder = try TemporaryFolder()
        let constant = "while read line; do echo 2; done"
        var config = try config(folder, command: constant)
        config.training.rollouts?.rewardCommands = [constant, Self.vowels]
        config.training.rollouts?.rewardWeights = [0.5, 0]
        let steps = try run(job(config, folder)).steps
        #expect(steps.allSatisfy { $0.rollouts?.reward == 1 && $0.rollouts?.sameShare == 1 })
        #expect(steps.allSatisfy { $0.gradientNorm == 0 })
    }
}

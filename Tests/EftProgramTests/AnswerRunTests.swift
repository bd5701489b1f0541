// SPDX-License-Identifier: Apache-2.0
// Runs that answer prompts of their data: what is measured, shown and held.
import EftConfig
import EftFormats
import EftKit
import EftTensor
import EftTestSupport
import EftTraining
import Testing

@Suite struct AnswerRunTests {
    private func config(
        _ folder: TemporaryFolder, _ lines: String, output: String = "out"
    ) throws -> AxolotlConfig {
        let demo = "\(Fixtures.packageRoot)/Examples/demo"
        let text = """
            base_model: \(demo)/model
            datasets: [{path: \(demo)/lantern.jsonl, type: alpaca}]
            test_datasets: [{path: \(demo)/lantern-valid.jsonl, type: alpaca}]
            output_dir: \(folder.file(output))
            sequence_len: 96
            micro_batch_size: 2
            learning_rate: 0.01
            max_steps: 4
            eval_steps: 2
            float32: true
            gradient_checkpointing: true
            \(lines)
            """
        return try AxolotlConfig(ConfigCursor(YAMLParser.parse(text, file: "c.yml"), file: "c.yml"))
    }

    private func run(_ config: AxolotlConfig, _ folder: TemporaryFolder) throws -> (
        evaluations: [EvaluationReport], summary: TrainingJob.Summary
    ) {
        let backend = try CPUBackend(
            ledger: MemoryLedger(limit: .max), threads: 2, precision: .f32)
        let job = try TrainingJob(
            config, devices: [backend], caches: folder.file("caches"),
            completions: { try CompletionEngine($0, $1) })
        var evaluations: [EvaluationReport] = []
        let summary = try job.run(onEvent: {
            if case .training(.evaluation(let report)) = $0 { evaluations.append(report) }
        })
        #expect(summary.peakBytes == job.plan.placed.total.total)
        return (evaluations, summary)
    }

    private static let adapter =
        "adapter: lora\nlora_r: 4\nlora_alpha: 8\nlora_target_linear: true\n"

    @Test(arguments: [adapter, "optimizer: schedule_free_adamw\n"])
    func `answers are measured in each evaluation, and shown before and after`(
        _ lines: String
    ) throws {
        let folder = try TemporaryFolder()
        let asked = """
            \(lines)eval_causal_lm_metrics: [sacrebleu, chrf, perplexity]
            eval_max_new_tokens: 12
            generate_samples: true
            num_generation_samples: 2
            generation_do_sample: false
            generation_max_new_tokens: 20
            """
        let (evaluations, summary) = try run(config(folder, asked), folder)
        #expect(evaluations.map(\.step) == [0, 2, 4])
        for evaluation in evaluations {
            #expect(evaluation.measures.map(\.metric) == [.sacrebleu, .chrf])
            #expect(evaluation.measures.allSatisfy { (0...100).contains($0.value) })
        }
        #expect(evaluations.contains { $0.measures != evaluations[0].measures })
        #expect(summary.samples.count == 2)
        for sample in summary.samples {
            #expect(!sample.prompt.isEmpty && !sample.reference.isEmpty && sample.before != nil)
        }
        #expect(summary.samples.contains { $0.before != $0.after })
        let page = String(
            decoding: try FileSystem.read(folder.file("out/report.html")), as: UTF8.self)
        #expect(page.contains("<h2>Answers</h2>") && page.contains("Validation chrF"))
        let log = String(
            decoding: try FileSystem.read(folder.file("out/training_log.jsonl")), as: UTF8.self)
        #expect(log.contains("eval_sacrebleu") && log.contains("eval_chrf"))
    }

    @Test func `answering changes nothing of what is learned`() throws {
        let folder = try TemporaryFolder()
        let asked = "eval_causal_lm_metrics: [chrf]\ngenerate_samples: true\neval_max_new_tokens: 4"
        let plain = try run(config(folder, Self.adapter, output: "plain"), folder)
        let other = try run(config(folder, Self.adapter + asked, output: "other"), folder)
        #expect(plain.evaluations.map(\.loss) == other.evaluations.map(\.loss))
        #expect(plain.summary.samples.isEmpty)
        let name = "adapter_model.safetensors"
        #expect(
            try FileSystem.read(folder.file("plain/" + name))
                == FileSystem.read(folder.file("other/" + name)))
    }
}

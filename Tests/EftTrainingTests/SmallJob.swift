// SPDX-License-Identifier: Apache-2.0
// A run that is small enough to be made many times, on a base of several layers.
import EftConfig
import EftFormats
import EftModels
import EftTensor
import EftTestSupport
import EftTraining
import Testing

enum SmallJob {
    static let layers = 6

    /// A folder with a base model of 6 layers of random weights and a data file.
    static func workplace(_ type: String = "llama") throws -> TemporaryFolder {
        let folder = try TemporaryFolder()
        try TinyModel.write(to: folder, layers: layers, name: "base", type: type)
        try folder.write("rows.jsonl", TinyModel.rows(24))
        let model = try ModelFolder.open(folder.file("base"), needsWeights: false)
        let backend = try CPUBackend(threads: 1)
        let decoder = try Decoder.random(model.description, seed: 5, backend: backend)
        try DecoderSaver(decoder: decoder, backend: backend, dtype: .bf16)
            .save(to: folder.file("base"))
        return folder
    }

    /// A run of 4 steps of short rows, whose activations are small beside the base.
    static func config(
        _ folder: TemporaryFolder, adapter: String? = "lora",
        targets: String = "[q_proj, v_proj]", output: String = "out",
        accumulation: Int = 2, checkpointing: String = "true", base: String? = nil,
        data: String? = nil, _ lines: String = ""
    ) throws -> AxolotlConfig {
        let shape =
            adapter.map {
                "adapter: \($0)\nload_in_4bit: \($0 == "qlora")\nlora_r: 2\nlora_alpha: 4\n"
                    + "lora_dropout: 0.1\nlora_target_modules: \(targets)\n"
            } ?? ""
        let text = """
            base_model: \(base ?? folder.file("base"))
            datasets: [\(data ?? "{path: \(folder.file("rows.jsonl")), type: alpaca}")]
            output_dir: \(folder.file(output))
            sequence_len: 384
            micro_batch_size: 1
            gradient_accumulation_steps: \(accumulation)
            learning_rate: 0.01
            max_steps: 4
            save_steps: 2
            val_set_size: 2
            eval_steps: 2
            gradient_checkpointing: \(checkpointing)
            float32: true
            \(shape)\(lines)
            """
        return try AxolotlConfig(ConfigCursor(YAMLParser.parse(text, file: "c.yml"), file: "c.yml"))
    }

    static func job(
        _ config: AxolotlConfig, _ folder: TemporaryFolder, limit: Int = .max, dataBytes: Int = 0
    ) throws -> TrainingJob {
        let backend = try CPUBackend(
            ledger: MemoryLedger(limit: limit), threads: 2, precision: .f32)
        return try TrainingJob(
            config, devices: [backend], dataBytes: { _, _ in (dataBytes, 0) },
            caches: folder.file("caches")
        )
    }

    /// Makes a run; its ledger must peak at what was stated.
    static func losses(_ job: TrainingJob) throws -> [Double] {
        var losses: [Double] = []
        let summary = try job.run(onEvent: {
            switch $0 {
            case .training(.step(let report)): losses += [report.loss, report.gradientNorm]
            case .training(.evaluation(let report)): losses.append(report.loss)
            default: break
            }
        })
        let stated = job.plan.placed.total.total
        #expect(summary.peakBytes == stated)
        return losses
    }

    // MARK: Runs that go on

    /// Makes a run whole, and another that is stopped after three steps and goes on: both hold what was stated
    /// and save the same `weights`.
    /// - Parameter job: the job of an output folder with further lines of the configuration.
    static func checkGoingOn(
        _ folder: TemporaryFolder, weights: String = "adapter_model.safetensors",
        _ job: (_ output: String, _ more: String) throws -> TrainingJob
    ) throws {
        let whole = try losses(job("whole", ""))
        #expect(whole.allSatisfy(\.isFinite) && whole.count > 8)
        var steps = 0
        let first = try job("out", "")
        #expect(throws: TrainingError.self) {
            try first.run(
                onEvent: { if case .training(.step) = $0 { steps += 1 } },
                shouldStop: { steps == 3 })
        }
        _ = try losses(job("out", "resume_from_checkpoint: true"))
        #expect(
            try FileSystem.read(folder.file("whole/" + weights))
                == FileSystem.read(folder.file("out/" + weights)))
    }

    /// Makes a full fine-tune with `keys` and `rest`, and another from its first checkpoint: both save the same,
    /// and a run without `keys` refuses that checkpoint.
    static func checkFullResume(_ keys: String, _ rest: String = "") throws {
        let folder = try workplace()
        let resume = "resume_from_checkpoint: \(folder.file("whole/checkpoint-2"))"
        func job(_ output: String, _ lines: String...) throws -> TrainingJob {
            let lines = (lines + [rest]).joined(separator: "\n")
            return try self.job(config(folder, adapter: nil, output: output, lines), folder)
        }
        _ = try losses(job("whole", keys))
        _ = try losses(job("parts", keys, resume))
        #expect(
            try FileSystem.read(folder.file("whole/model.safetensors"))
                == FileSystem.read(folder.file("parts/model.safetensors")))
        let other = try job("other", resume)
        #expect(throws: TrainingError.self) { _ = try other.run(onEvent: { _ in }) }
    }
}

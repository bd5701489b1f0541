// SPDX-License-Identifier: Apache-2.0
// Training on a base that does not fit: the same adapter, within the budget, or refused.
import EftConfig
import EftFormats
import EftModels
import EftTensor
import EftTestSupport
import EftTraining
import Testing

@Suite struct StreamedTrainingTests {
    private static let layers = 6

    /// A folder with a base model of 6 layers of random weights and a data file.
    private func workplace(_ type: String = "llama") throws -> TemporaryFolder {
        let folder = try TemporaryFolder()
        try TinyModel.write(to: folder, layers: Self.layers, name: "base", type: type)
        try folder.write("rows.jsonl", TinyModel.rows(24))
        let model = try ModelFolder.open(folder.file("base"), needsWeights: false)
        let backend = try CPUBackend(threads: 1)
        let decoder = try Decoder.random(model.description, seed: 5, backend: backend)
        try DecoderSaver(decoder: decoder, backend: backend, dtype: .bf16)
            .save(to: folder.file("base"))
        return folder
    }

    /// A run of 4 steps of short rows, whose activations are small beside the base.
    private func config(
        _ folder: TemporaryFolder, adapter: String? = "lora",
        targets: String = "[q_proj, v_proj]", output: String = "out", _ lines: String = ""
    ) throws -> AxolotlConfig {
        let shape =
            adapter.map {
                "adapter: \($0)\nload_in_4bit: \($0 == "qlora")\nlora_r: 2\nlora_alpha: 4\n"
                    + "lora_dropout: 0.1\nlora_target_modules: \(targets)\n"
            } ?? ""
        let text = """
            base_model: \(folder.file("base"))
            datasets: [{path: \(folder.file("rows.jsonl")), type: alpaca}]
            output_dir: \(folder.file(output))
            sequence_len: 384
            micro_batch_size: 1
            gradient_accumulation_steps: 2
            learning_rate: 0.01
            max_steps: 4
            save_steps: 2
            val_set_size: 2
            eval_steps: 2
            gradient_checkpointing: true
            float32: true
            \(shape)\(lines)
            """
        return try AxolotlConfig(ConfigCursor(YAMLParser.parse(text, file: "c.yml"), file: "c.yml"))
    }

    private func job(
        _ config: AxolotlConfig, _ folder: TemporaryFolder, limit: Int = .max, dataBytes: Int = 0
    ) throws -> TrainingJob {
        let backend = try CPUBackend(
            ledger: MemoryLedger(limit: limit), threads: 2, precision: .f32)
        return try TrainingJob(
            config, backend: backend, dataBytes: { dataBytes }, caches: folder.file("caches"))
    }

    private func losses(_ job: TrainingJob) throws -> [Double] {
        var losses: [Double] = []
        let summary = try job.run(onEvent: {
            switch $0 {
            case .training(.step(let report)): losses += [report.loss, report.gradientNorm]
            case .training(.evaluation(_, let loss, _)): losses.append(loss)
            default: break
            }
        })
        let stated = job.memory.total
        #expect(summary.peakBytes <= stated)
        #expect(
            Double(summary.peakBytes) > 0.98 * Double(stated), "\(summary.peakBytes) of \(stated)")
        return losses
    }

    /// The least total with which a run of so many resident layers is made.
    private func total(_ job: TrainingJob, resident: Int) throws -> Int {
        let layouts = try job.base.layouts()
        let placement = layouts.streaming(Self.layers - resident)
        var memory = job.memory
        memory[.weights] = placement.weightBytes
        memory[.window] = placement.windowBytes
        return memory.total
    }

    @Test(arguments: ["lora", "qlora"], ["llama", "qwen3", "mixtral"])
    func `a streamed run trains the same adapter, bit for bit`(
        _ adapter: String, _ type: String
    ) throws {
        let folder = try workplace(type)
        let targets = type == "mixtral" ? "[q_proj, v_proj, w1, w2]" : "[q_proj, v_proj]"
        let whole = try job(
            config(folder, adapter: adapter, targets: targets, output: "whole"), folder)
        #expect(!whole.placement.isStreaming && whole.streaming == nil)
        let expected = try losses(whole)
        #expect(expected.count == 4 * 2 + 3)
        let saved = try FileSystem.read(folder.file("whole/adapter_model.safetensors"))
        for resident in [0, 1, 3] {
            let output = "streamed-\(resident)"
            let limit = try total(whole, resident: resident)
            let job = try job(
                config(folder, adapter: adapter, targets: targets, output: output), folder,
                limit: limit)
            #expect(job.placement.residentLayers == resident)
            #expect(try losses(job) == expected, "\(resident) resident")
            let file = folder.file(output + "/adapter_model.safetensors")
            #expect(try FileSystem.read(file) == saved)
        }
    }

    @Test func `one byte under the least is refused before any work`() throws {
        let folder = try workplace()
        let whole = try job(config(folder), folder)
        let least = try total(whole, resident: 0)
        let job = try job(config(folder), folder, limit: least)
        #expect(job.memory.total == least)
        let error = try #require(throws: TensorError.self) {
            try self.job(config(folder), folder, limit: least - 1)
        }
        #expect(error.code == .outOfBudget)
        #expect(error.message.contains("even with 0 of 6 layers resident"))
        #expect(error.message.contains("it fits with"))
        // What the data takes is not there for layers.
        #expect(throws: TensorError.self) {
            try self.job(config(folder), folder, limit: least, dataBytes: 1)
        }
        let other = try self.job(config(folder), folder, limit: least + 1000, dataBytes: 1000)
        #expect(other.placement == job.placement && other.programBytes == 1000)
        #expect(!FileSystem.exists(folder.file("out")))
        #expect(!FileSystem.exists(folder.file("caches")))
    }

    @Test func `a streamed run that was stopped goes on without streaming to the same adapter`()
        throws
    {
        let folder = try workplace()
        let whole = try job(config(folder, output: "whole"), folder)
        _ = try losses(whole)
        let limit = try total(whole, resident: 0)
        let job = try job(config(folder, output: "parts"), folder, limit: limit)
        var steps = 0
        let error = try #require(throws: TrainingError.self) {
            try job.run(
                onEvent: { if case .training(.step) = $0 { steps += 1 } },
                shouldStop: { steps >= 2 })
        }
        #expect(error.code == .interrupted)
        let checkpoint = folder.file("parts/checkpoint-2")
        let rest = try self.job(
            config(folder, output: "parts", "resume_from_checkpoint: \(checkpoint)"), folder)
        _ = try rest.run(onEvent: { _ in })
        let name = "adapter_model.safetensors"
        #expect(
            try FileSystem.read(folder.file("whole/" + name))
                == FileSystem.read(folder.file("parts/" + name)))
    }

    @Test func `an interruption while the cache is made leaves what is made`() throws {
        let folder = try workplace()
        let whole = try job(config(folder), folder)
        let job = try job(config(folder), folder, limit: total(whole, resident: 0))
        var repacked = 0
        let error = try #require(throws: TrainingError.self) {
            try job.run(
                onEvent: { if case .repacking(let done, _) = $0 { repacked = done } },
                shouldStop: { repacked == 2 })
        }
        #expect(error.code == .interrupted)
        let cache = try #require(job.streaming).cache
        #expect(cache.missing(job.placement.streamed) == [3, 4, 5])
    }

    @Test func `full training is not streamed, and says so`() throws {
        let folder = try workplace()
        let whole = try job(config(folder, adapter: nil), folder)
        let error = try #require(throws: TensorError.self) {
            try job(config(folder, adapter: nil), folder, limit: whole.memory.total - 1)
        }
        #expect(error.code == .outOfBudget)
        #expect(error.message.contains("frozen base of an adapter"))
    }
}

// SPDX-License-Identifier: Apache-2.0
// Whole runs of a tiny model: outputs, resuming, interrupting, memory.
import EftConfig
import EftFormats
import EftModels
import EftTensor
import EftTestSupport
import EftTokenizers
import EftTraining
import Testing

@Suite struct TrainingJobTests {
    /// A folder with a base model of random weights and a data file.
    private func workplace(rows: Int = 24) throws -> TemporaryFolder {
        let folder = try TemporaryFolder()
        try TinyModel.write(to: folder, name: "base")
        try folder.write("rows.jsonl", TinyModel.rows(rows))
        let model = try ModelFolder.open(folder.file("base"), needsWeights: false)
        let backend = try CPUBackend(threads: 1)
        let decoder = try Decoder.random(model.description, seed: 5, backend: backend)
        try DecoderSaver(decoder: decoder, backend: backend, dtype: .bf16)
            .save(to: folder.file("base"))
        return folder
    }

    private func config(
        _ folder: TemporaryFolder, _ lines: String = "", adapter: String? = "qlora",
        output: String = "out"
    ) throws -> AxolotlConfig {
        let shape =
            adapter.map {
                """
                adapter: \($0)
                load_in_4bit: \($0 == "qlora")
                lora_r: 4
                lora_alpha: 8
                lora_dropout: 0.1
                lora_target_linear: true

                """
            } ?? ""
        let text = """
            base_model: \(folder.file("base"))
            datasets: [{path: \(folder.file("rows.jsonl")), type: alpaca}]
            output_dir: \(folder.file(output))
            sequence_len: 384
            micro_batch_size: 2
            gradient_accumulation_steps: 2
            learning_rate: 0.01
            lr_scheduler: cosine
            warmup_steps: 2
            max_steps: 6
            save_steps: 3
            gradient_checkpointing: true
            float32: true
            \(shape)\(lines)
            """
        return try AxolotlConfig(ConfigCursor(YAMLParser.parse(text, file: "c.yml"), file: "c.yml"))
    }

    @discardableResult
    private func run(
        _ config: AxolotlConfig, limit: Int = .max, threads: Int = 2,
        stopAfter: Int = .max, _ onEvent: @escaping (TrainingEvent) -> Void = { _ in }
    ) throws -> TrainingJob.Summary {
        let backend = try CPUBackend(
            ledger: MemoryLedger(limit: limit), threads: threads, precision: .f32)
        let job = try TrainingJob(config, devices: [backend])
        var steps = 0
        return try job.run(
            onEvent: {
                guard case .training(let event) = $0 else { return }
                if case .step = event { steps += 1 }
                onEvent(event)
            }, shouldStop: { steps >= stopAfter })
    }

    private func bytes(_ folder: TemporaryFolder, _ name: String) throws -> [UInt8] {
        try FileSystem.read(folder.file(name))
    }

    // MARK: Outputs

    @Test(arguments: ["qlora", "lora"])
    func `an adapter run writes what PEFT reads`(_ kind: String) throws {
        let folder = try workplace()
        var losses: [Double] = []
        let summary = try run(config(folder, "num_epochs: 9", adapter: kind)) {
            if case .step(let report) = $0 { losses.append(report.loss) }
        }
        #expect(summary.steps == 6)
        let (first, last) = try (#require(losses.first), #require(losses.last))
        #expect(last < first - 0.2, "\(losses)")
        let saved = try AdapterConfig.read(folder: folder.file("out"))
        #expect(saved.rank == 4)
        #expect(saved.targetModules.count == 7)
        #expect(saved.baseModel == folder.file("base"))
        let adapter = try CheckpointFolder.open(folder.file("out"), kind: .adapter)
        #expect(adapter.tensors.count == 28)
        #expect(adapter.find("base_model.model.model.layers.1.mlp.down_proj.lora_B.weight") != nil)
        for name in ["tokenizer.json", "tokenizer_config.json", "axolotl_config.yml"] {
            #expect(FileSystem.exists(folder.file("out/\(name)")), "\(name)")
        }
        let lines = try JSONLines(folder.file("out/training_log.jsonl")).readAll()
        #expect(try lines.map { try $0.int("step", default: 0) } == [1, 2, 3, 4, 5, 6])
        #expect(try lines.map { try $0.double("loss", default: 0) } == losses)
        let copy = try AxolotlConfig.read(folder.file("out/axolotl_config.yml"))
        #expect(try copy.training == config(folder, "num_epochs: 9", adapter: kind).training)
    }

    @Test func `full training from scratch writes a model that trains on`() throws {
        let folder = try TemporaryFolder()
        try TinyModel.write(to: folder, name: "base")
        try folder.write("rows.jsonl", TinyModel.rows(24))
        try run(config(folder, adapter: nil, output: "first"))
        let model = try ModelFolder.open(folder.file("first"))
        #expect(model.description.layers == 2)
        let tensor = try #require(model.checkpoint?.find("model.embed_tokens.weight"))
        #expect(tensor.dtype == .f32)
        #expect(try model.config.string("torch_dtype", default: "") == "float32")
        #expect(FileSystem.exists(folder.file("first/generation_config.json")))
        // The result is a base model again.
        var config = try config(folder, adapter: nil, output: "second")
        config.model.baseModel = folder.file("first")
        config.outputType = .bf16
        let losses = try losses(config)
        #expect(try #require(losses.first) < 5.2)
        let second = try ModelFolder.open(folder.file("second"))
        #expect(second.checkpoint?.find("model.norm.weight")?.dtype == .bf16)
    }

    private func losses(_ config: AxolotlConfig) throws -> [Double] {
        var losses: [Double] = []
        try run(config) { if case .step(let report) = $0 { losses.append(report.loss) } }
        return losses
    }

    @Test func `training goes on from an adapter`() throws {
        let folder = try workplace()
        let first = try losses(config(folder, output: "first"))
        let text = "lora_model_dir: \(folder.file("first"))"
        let second = try losses(config(folder, text, output: "second"))
        #expect(try #require(second.first) < (try #require(first.first)) - 0.1)
    }

    @Test func `special tokens of the configuration reach the tokenizer's files`() throws {
        let folder = try workplace()
        try run(config(folder, "special_tokens: {pad_token: '</s>'}"))
        let file = try ConfigFile.read(folder.file("out/tokenizer_config.json"))
        #expect(try file.string("pad_token", default: "") == "</s>")
        #expect(try file.string("bos_token", default: "") == "<s>")
    }

    @Test func `the validation loss is reported at the start, on the way and at the end`() throws {
        let folder = try workplace()
        var steps: [Int] = []
        let summary = try run(config(folder, "val_set_size: 4\neval_steps: 4")) {
            if case .evaluation(let report) = $0 { steps.append(report.step) }
        }
        #expect(steps == [0, 4, 6])
        #expect(try #require(summary.evaluationLoss) < 5.2)
    }

    // MARK: Resuming

    @Test(arguments: ["qlora", nil] as [String?])
    func `a resumed run equals one that never stopped, bit for bit`(_ adapter: String?) throws {
        let folder = try workplace()
        let name = adapter == nil ? "model.safetensors" : "adapter_model.safetensors"
        try run(config(folder, adapter: adapter, output: "whole"))
        let error = try #require(throws: TrainingError.self) {
            try run(config(folder, adapter: adapter, output: "parts"), stopAfter: 4)
        }
        #expect(error.code == .interrupted)
        #expect(error.message.contains("checkpoint-4"))
        #expect(!FileSystem.exists(folder.file("parts/\(name)")))
        let summary = try run(
            config(
                folder, "resume_from_checkpoint: \(folder.file("parts/checkpoint-4"))",
                adapter: adapter, output: "parts"), threads: 1)
        #expect(summary.steps == 6)
        #expect(try bytes(folder, "whole/\(name)") == bytes(folder, "parts/\(name)"))
        #expect(
            try bytes(folder, "whole/checkpoint-6/trainer_state.safetensors")
                == bytes(folder, "parts/checkpoint-6/trainer_state.safetensors"))
        let log = try JSONLines(folder.file("parts/training_log.jsonl")).readAll()
        #expect(try log.map { try $0.int("step", default: 0) } == [1, 2, 3, 4, 5, 6])
    }

    @Test func `the newest checkpoint is found, and other data refused`() throws {
        let folder = try workplace()
        try run(config(folder))
        let again = try run(
            config(folder, "auto_resume_from_checkpoints: true"))
        #expect(again.loss == nil)
        try folder.write("rows.jsonl", TinyModel.rows(20))
        let error = try #require(throws: TrainingError.self) {
            try run(config(folder, "resume_from_checkpoint: true"))
        }
        #expect(error.code == .checkpoint)
    }

    @Test func `old checkpoints go, those of other runs stay`() throws {
        let folder = try workplace()
        try FileSystem.createFolder(folder.file("out/checkpoint-99"))
        let foreign = #"{"global_step": 99, "max_steps": 99, "fingerprint": "x"}"#
        try folder.write("out/checkpoint-99/trainer_state.json", foreign)
        var config = try config(folder, "save_total_limit: 2")
        config.training.saves = .steps(1)
        try run(config)
        let kept = TrainingCheckpoint.list(folder.file("out")).map(\.step)
        #expect(kept == [5, 6, 99])
    }

    @Test func `checkpoints without state are the model alone, and no run goes on from them`()
        throws
    {
        let folder = try workplace()
        var config = try config(folder, "save_only_model: true")
        config.training.saves = .steps(2)
        // An interruption keeps what is needed to go on.
        let interrupted = try #require(throws: TrainingError.self) {
            try run(config, stopAfter: 3)
        }
        #expect(interrupted.code == .interrupted)
        func files(_ step: Int) throws -> [String] {
            try FileSystem.list(folder.file("out/checkpoint-\(step)"))
        }
        #expect(try files(3).contains("trainer_state.safetensors"))
        #expect(try !files(2).contains("trainer_state.safetensors"))
        #expect(try files(2).contains("adapter_model.safetensors"))
        config.resume = .folder(folder.file("out/checkpoint-2"))
        let refused = try #require(throws: TrainingError.self) { try run(config) }
        #expect(refused.description.contains("save_only_model"))
        config.resume = .newest(required: true)
        #expect(try run(config).loss != nil)
        #expect(TrainingCheckpoint.list(folder.file("out")).map(\.step).contains(6))
        // The newest one with state is that of the interruption.
        var steps = 0
        try run(config) { if case .step = $0 { steps += 1 } }
        #expect(steps == 3)
    }

    @Test func `an interruption before the first step saves nothing`() throws {
        let folder = try workplace()
        let error = try #require(throws: TrainingError.self) {
            try run(config(folder), stopAfter: 0)
        }
        #expect(error.code == .interrupted)
        #expect(TrainingCheckpoint.list(folder.file("out")).isEmpty)
    }

    // MARK: Memory

    @Test(
        arguments: ["qlora", "lora", nil] as [String?],
        ["", "sample_packing: true", "val_set_size: 3"])
    func `the ledger's peak is what was stated`(_ adapter: String?, _ lines: String) throws {
        let folder = try workplace()
        let config = try config(folder, lines, adapter: adapter)
        let backend = try CPUBackend(threads: 2, precision: .f32)
        let job = try TrainingJob(config, devices: [backend])
        #expect(backend.ledger.peakTotal == 0)
        let summary = try job.run(onEvent: { _ in })
        let stated = job.plan.placed.total.total
        #expect(summary.peakBytes == stated)
    }

    @Test func `what does not fit is refused with a way out`() throws {
        let folder = try workplace()
        let config = try config(folder)
        let needed = try TrainingJob(config, devices: [CPUBackend(threads: 1, precision: .f32)])
            .plan.placed.total.total
        try run(config, limit: needed, threads: 1)
        let error = try #require(throws: TensorError.self) {
            try run(config, limit: needed * 3 / 4, threads: 1)
        }
        #expect(error.code == .outOfBudget)
        #expect(error.message.contains("micro_batch_size: 1"))
        let hopeless = try #require(throws: TensorError.self) { try run(config, limit: 1000) }
        #expect(hopeless.message.contains("nothing smaller"))
    }

    // MARK: Faults

    @Test func `a vocabulary that does not match is refused`() throws {
        let folder = try workplace()
        try TinyModel.write(to: folder, vocabulary: 100, name: "base")
        // The weights still have 264 rows; the tokenizer is looked at first.
        let error = try #require(throws: (any Error).self) { try run(config(folder)) }
        #expect("\(error)".contains("100") || error is FormatError)
    }

    @Test func `a damaged checkpoint is not taken for training from scratch`() throws {
        let folder = try workplace()
        try folder.write("base/model.safetensors", "damaged")
        #expect(throws: FormatError.self) { try run(config(folder, adapter: nil)) }
    }

    @Test func `a base that is not here is explained`() throws {
        let folder = try workplace()
        var config = try config(folder)
        config.model.baseModel = "NousResearch/Meta-Llama-3-8B"
        let error = try #require(throws: ConfigError.self) { try run(config) }
        #expect(error.description.contains("eft pull NousResearch/Meta-Llama-3-8B"))
        #expect(error.line == 1)
    }

    @Test(arguments: [
        ("lora_target_linear: false\nlora_target_modules: [o_pro]", "o_pro"),
        ("lora_target_linear: false\nlora_target_modules: [q_proj, k_projs]", "k_projs"),
    ])
    func `settings that the model cannot follow are refused`(_ lines: String, _ hint: String) throws
    {
        let folder = try workplace()
        let text = lines.replacing("lora_target_linear: false\n", with: "")
        let error = try #require(throws: TrainingError.self) { try run(config(folder, text)) }
        #expect(error.code == .configuration)
        #expect(error.description.contains(hint))
    }

    @Test func `a patterned adapter sits where the pattern says`() throws {
        let folder = try workplace()
        var config = try config(folder)
        config.adapter?.targets = .pattern(#"model\.layers\.1\..*(q|v)_proj"#)
        try run(config)
        let adapter = try CheckpointFolder.open(folder.file("out"), kind: .adapter)
        #expect(adapter.tensors.count == 4)
        #expect(adapter.tensors.allSatisfy { $0.name.contains("layers.1.self_attn") })
    }
}

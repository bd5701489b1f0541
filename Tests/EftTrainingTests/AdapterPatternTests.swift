// SPDX-License-Identifier: Apache-2.0
// Patterns of lora_target_modules that are written for larger models.
import EftConfig
import EftFormats
import EftModels
import EftTestSupport
import EftTraining
import Testing

struct AdapterPatternTests {
    @Test(arguments: [
        #"'model.language_model.layers.[\d]+.(mlp|self_attn).(up|q|v)_proj'"#,
        #"'model.text_model.layers.[\d]+.(mlp|self_attn).(up|q|v)_proj'"#,
    ])
    func `patterns for a decoder within a larger model mean the same layers`(
        _ pattern: String
    ) throws {
        let folder = try SmallJob.workplace()
        let plain = try SmallJob.config(
            folder, targets: #"'model.layers.[\d]+.(mlp|self_attn).(up|q|v)_proj'"#, output: "a")
        let other = try SmallJob.config(folder, targets: pattern, output: "b")
        let losses = try SmallJob.losses(SmallJob.job(plain, folder))
        #expect(try SmallJob.losses(SmallJob.job(other, folder)) == losses)
        // PEFT finds the layers by what is saved.
        let saved = try ConfigFile.read(folder.file("b/adapter_config.json"))
        let names = try saved.required("target_modules").strings()
        #expect(names.count == 3 * SmallJob.layers)
        #expect(names.contains("model.layers.0.self_attn.q_proj"))
    }

    private func job(_ targets: String, _ lines: String = "") throws -> (
        TrainingJob, TemporaryFolder
    ) {
        let folder = try SmallJob.workplace()
        return (try SmallJob.job(SmallJob.config(folder, targets: targets, lines), folder), folder)
    }

    @Test func `names of other models are passed over, and told`() throws {
        let (job, folder) = try job("[q_proj, in_proj, shared_expert.gate_proj]")
        let notice = try #require(job.notices.first { $0.contains("in_proj") })
        #expect(notice.contains("'in_proj', 'shared_expert.gate_proj'"))
        _ = try SmallJob.losses(job)
        let config = try AdapterConfig.read(folder: folder.file("out"))
        #expect(config.targetModules == ["q_proj"])
    }

    @Test(arguments: [
        ("[q_proj, k_projs]", "", "did you mean 'k_proj'"), ("[in_proj]", "", "matches no linear"),
        (
            "[q_proj, embed_tokens]", "lora_modules_to_save: [embed_tokens]\n",
            "lora_modules_to_save"
        ),
        ("[q_proj]", "peft_layers_to_transform: [1, 6]\n", "0 to 5"),
        ("'.*q_proj'", "peft_layers_to_transform: 1\n", "a pattern names"),
    ])
    func `targets that cannot be are refused`(
        _ targets: String, _ lines: String, _ message: String
    ) throws {
        let error = try #require(throws: TrainingError.self) { try job(targets, lines) }
        #expect(error.code == .configuration && error.message.contains(message), "\(error)")
    }

    @Test(arguments: [("[1, 4]", [1, 4]), ("2", [2])])
    func `adapters stand in the layers that are named`(
        _ value: String, _ layers: [Int]
    ) throws {
        let (job, folder) = try job("[q_proj, v_proj]", "peft_layers_to_transform: \(value)\n")
        _ = try SmallJob.losses(job)
        let adapter = try CheckpointFolder.open(folder.file("out"), kind: .adapter)
        let found = Set(
            adapter.tensors.compactMap { Int($0.name.split(separator: ".")[4]) })
        #expect(found == Set(layers) && adapter.tensors.count == layers.count * 4)
        #expect(try AdapterConfig.read(folder: folder.file("out")).layersToTransform == layers)
    }

    // MARK: Parameters that hold all experts

    private static let both =
        "lora_target_parameters: [experts.gate_up_proj, mlp.experts.down_proj]\n"

    /// An adapter's keys without dropout.
    private func keys(_ lines: String) -> String {
        "adapter: lora\nlora_r: 2\nlora_alpha: 4\n" + lines
    }

    @Test func `a run on all experts goes on, and saves what PEFT would`() throws {
        let folder = try SmallJob.workplace("mixtral")
        let lines = keys(Self.both + "lora_target_modules: [v_proj]\n")
        try SmallJob.checkGoingOn(folder) { output, more in
            try SmallJob.job(
                SmallJob.config(folder, adapter: nil, output: output, lines + more), folder)
        }
        let saved = try CheckpointFolder.open(folder.file("out"), kind: .adapter)
        let module = AdapterFile.prefix + "model.layers.3.mlp.experts"
        #expect(try saved.tensor(module + ".base_layer.lora_A.weight").shape.dims == [6, 32])
        #expect(try saved.tensor(module + ".base_layer.lora_B.weight").shape.dims == [128, 6])
        #expect(try saved.tensor(module + ".lora_A.weight").shape.dims == [6, 64])
        #expect(try saved.tensor(module + ".lora_B.weight").shape.dims == [32, 6])
        #expect(saved.tensors.count == 6 * SmallJob.layers)
        let config = try AdapterConfig.read(folder: folder.file("out"))
        #expect(config.targetParameters == ["experts.gate_up_proj", "mlp.experts.down_proj"])
        #expect(config.targetModules == ["v_proj"])
        // From the finished adapter another run begins.
        let more = try SmallJob.config(
            folder, adapter: nil, output: "more",
            lines + "lora_model_dir: \(folder.file("out"))\n")
        #expect(try SmallJob.losses(SmallJob.job(more, folder)).allSatisfy(\.isFinite))
    }

    @Test func `one product of all experts is enough`() throws {
        let folder = try SmallJob.workplace("mixtral")
        let config = try SmallJob.config(
            folder, adapter: nil,
            keys("lora_target_parameters: [down_proj]\npeft_init_lora_weights: gaussian\n"))
        _ = try SmallJob.losses(SmallJob.job(config, folder))
        let saved = try CheckpointFolder.open(folder.file("out"), kind: .adapter)
        #expect(saved.tensors.count == 2 * SmallJob.layers)
        #expect(saved.tensors.allSatisfy { $0.name.contains(".mlp.experts.lora_") })
    }

    @Test(arguments: [
        ("lora_dropout: 0.1\n", "lora_dropout"), ("peft_use_dora: true\n", "peft_use_dora"),
        ("peft_init_lora_weights: orthogonal\n", "peft_init_lora_weights"),
        ("lora_target_modules: [v_proj]\npeft_layers_to_transform: [1]\n", "peft_layers"),
        ("relora: true\njagged_restart_steps: 2\n", "relora"),
    ])
    func `what PEFT does not have on parameters is refused`(
        _ lines: String, _ word: String
    ) throws {
        let folder = try SmallJob.workplace("mixtral")
        let error = try #require(throws: TrainingError.self) {
            try SmallJob.job(
                SmallJob.config(folder, adapter: nil, keys(Self.both + lines)), folder)
        }
        #expect(error.code == .configuration && error.message.contains(word), "\(error)")
    }

    @Test func `other parameters are refused, and passed over without experts`() throws {
        let (job, _) = try job("[q_proj]", Self.both)
        #expect(job.notices.contains { $0.contains("no mixture of experts") })
        let folder = try SmallJob.workplace("mixtral")
        let error = try #require(throws: TrainingError.self) {
            try SmallJob.job(
                SmallJob.config(
                    folder, adapter: nil, keys("lora_target_parameters: [experts.w1]\n")), folder)
        }
        #expect(error.message.contains("'experts.w1'"))
        #expect(error.message.contains("model.layers.0.mlp.experts.gate_up_proj"))
    }
}

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

    @Test func `stacked experts are refused, and passed over where there are none`() throws {
        let line = "lora_target_parameters: [mlp.experts.gate_up_proj]\n"
        let (job, _) = try job("[q_proj]", line)
        #expect(job.notices.contains { $0.contains("no mixture of experts") })
        let folder = try SmallJob.workplace("mixtral")
        let error = try #require(throws: TrainingError.self) {
            try SmallJob.job(SmallJob.config(folder, targets: "[q_proj]", line), folder)
        }
        #expect(error.message.contains("w1"))
    }
}

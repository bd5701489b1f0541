// SPDX-License-Identifier: Apache-2.0
// Runs that train other forms of adapters: what they hold, how they stream and go on.
import EftConfig
import EftFormats
import EftModels
import EftTensor
import EftTestSupport
import EftTraining
import Testing

@Suite struct AdapterFormRunTests {
    private static let dora = "peft_use_dora: true\n"
    private static let all = "[q_proj, v_proj, o_proj, up_proj, down_proj]"

    @Test(arguments: ["lora", "qlora"], ["llama", "qwen2"])
    func `DoRA holds what was stated, and goes on where it was stopped`(
        _ kind: String, _ type: String
    ) throws {
        let folder = try SmallJob.workplace(type)
        try SmallJob.checkGoingOn(folder) { output, more in
            try SmallJob.job(
                SmallJob.config(
                    folder, adapter: kind, targets: Self.all, output: output, Self.dora + more),
                folder)
        }
        let config = try AdapterConfig.read(folder: folder.file("out"))
        #expect(config.usesDora)
    }

    @Test(arguments: [
        ("lora", "peft_init_lora_weights: pissa"),
        ("lora", "peft_init_lora_weights: pissa_niter_4"),
        ("lora", "peft_init_lora_weights: olora"), ("lora", "peft_init_lora_weights: orthogonal"),
        ("lora", "peft_init_lora_weights: false"),
        ("lora", "peft: {loftq_config: {loftq_bits: 4}}"),
        ("qlora", "peft: {loftq_config: {loftq_bits: 4}}"),
    ])
    func `adapters that begin otherwise hold what was stated, and go on where they were stopped`(
        _ kind: String, _ line: String
    ) throws {
        let folder = try SmallJob.workplace()
        try SmallJob.checkGoingOn(folder) { output, more in
            try SmallJob.job(
                SmallJob.config(
                    folder, adapter: kind, targets: Self.all, output: output, line + "\n" + more),
                folder)
        }
        let config = try AdapterConfig.read(folder: folder.file("out"))
        #expect(config.rank == (line.contains("pissa") || line.contains("olora") ? 4 : 2))
        let base = try AdapterBase(adapters: [folder.file("out")], option: nil)
        #expect((base.form == .nf4) == line.contains("loftq"))
        #expect(base.doubleQuantization == (kind == "qlora" || !line.contains("loftq")))
    }

    @Test(arguments: [dora, "peft_init_lora_weights: pissa\n", "peft_init_lora_weights: olora\n"])
    func `streamed layers change nothing`(_ line: String) throws {
        let folder = try SmallJob.workplace()
        func config(_ output: String) throws -> AxolotlConfig {
            try SmallJob.config(folder, targets: Self.all, output: output, line)
        }
        let whole = try SmallJob.job(config("whole"), folder)
        let expected = try SmallJob.losses(whole)
        let placement = try whole.base.layouts().streaming(SmallJob.layers)
        var memory = whole.plan.placed.total
        (memory[.weights], memory[.window]) = (placement.weightBytes, placement.windowBytes)
        let streamed = try SmallJob.job(config("streamed"), folder, limit: memory.total)
        #expect(streamed.plan.placed.placement.residentLayers == 0)
        #expect(try SmallJob.losses(streamed) == expected)
    }

    @Test func `an adapter on the embedding holds what was stated, streams and goes on`() throws {
        let folder = try SmallJob.workplace()
        let targets = "[q_proj, embed_tokens]"
        func job(_ output: String, _ lines: String = "", limit: Int = .max) throws -> TrainingJob {
            try SmallJob.job(
                SmallJob.config(folder, targets: targets, output: output, lines), folder,
                limit: limit)
        }
        let whole = try job("whole")
        let expected = try SmallJob.losses(whole)
        let placement = try whole.base.layouts().streaming(SmallJob.layers)
        var memory = whole.plan.placed.total
        (memory[.weights], memory[.window]) = (placement.weightBytes, placement.windowBytes)
        #expect(try SmallJob.losses(job("streamed", limit: memory.total)) == expected)
        let resumed = "resume_from_checkpoint: \(folder.file("streamed/checkpoint-2"))\n"
        _ = try SmallJob.losses(job("streamed", resumed))
        let next = "lora_model_dir: \(folder.file("whole"))\n"
        _ = try SmallJob.losses(job("next", next))
        let name = "adapter_model.safetensors"
        #expect(
            try FileSystem.read(folder.file("whole/" + name))
                == FileSystem.read(folder.file("streamed/" + name)))
        let tensor = "base_model.model.model.embed_tokens.lora_embedding_A"
        let (first, second) = try (
            CheckpointFolder.open(folder.file("whole"), kind: .adapter).floats(of: tensor),
            CheckpointFolder.open(folder.file("next"), kind: .adapter).floats(of: tensor)
        )
        #expect(first.contains { $0 != 0 } && first != second)
    }

    @Test(arguments: [
        "peft_use_dora: true", "peft_init_lora_weights: pissa",
        "lora_modules_to_save: [embed_tokens]", "peft_trainable_token_indices: [3]",
        "tokens: [<|a|>, <|b|>, <|c|>, <|d|>]",
    ])
    func `what does not go with an adapter on the embedding is refused`(_ line: String) throws {
        let folder = try SmallJob.workplace()
        let error = try #require(throws: TrainingError.self) {
            try SmallJob.job(
                SmallJob.config(folder, targets: "[q_proj, embed_tokens]", line + "\n"), folder)
        }
        #expect(error.code == .configuration && error.description.contains("embed_tokens"))
    }

    @Test func `training goes on from a DoRA adapter`() throws {
        let folder = try SmallJob.workplace()
        _ = try SmallJob.losses(SmallJob.job(SmallJob.config(folder, Self.dora), folder))
        let lines = "lora_model_dir: \(folder.file("out"))\n"
        let next = try SmallJob.job(SmallJob.config(folder, output: "next", lines), folder)
        _ = try SmallJob.losses(next)
        let name = "base_model.model.model.layers.0.self_attn.q_proj.lora_magnitude_vector"
        let (first, second) = try (
            CheckpointFolder.open(folder.file("out"), kind: .adapter).floats(of: name),
            CheckpointFolder.open(folder.file("next"), kind: .adapter).floats(of: name)
        )
        #expect(first.count == second.count && first != second)
    }

    @Test func `DoRA on the head is refused`() throws {
        let folder = try SmallJob.workplace()
        let error = try #require(throws: TrainingError.self) {
            try SmallJob.job(
                SmallJob.config(folder, targets: "[q_proj, lm_head]", Self.dora), folder)
        }
        #expect(error.code == .configuration && error.description.contains("peft_use_dora"))
    }
}

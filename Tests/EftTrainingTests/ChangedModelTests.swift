// SPDX-License-Identifier: Apache-2.0
// Runs that change the vocabulary, train embedding and head, or leave most weights alone.
import EftConfig
import EftFormats
import EftModels
import EftTensor
import EftTestSupport
import EftTokenizers
import EftTraining
import Testing

@Suite struct ChangedModelTests {
    /// Four tokens, of which two have room in the model's vocabulary.
    private static let tokens = "tokens: [<|a|>, <|b|>, <|im_start|>, <|im_end|>]\n"
    private static let modules = "lora_modules_to_save: [embed_tokens, lm_head]\n"

    /// The values of a tensor of a folder.
    private func floats(
        _ folder: TemporaryFolder, _ name: String, _ tensor: String,
        _ kind: CheckpointFolder.Kind = .model
    ) throws -> [Float] {
        try CheckpointFolder.open(folder.file(name), kind: kind).floats(of: tensor)
    }

    @Test(arguments: ["lora", "qlora"])
    func `new tokens, embedding and head are trained beside an adapter`(_ kind: String) throws {
        let folder = try SmallJob.workplace()
        let job = try SmallJob.job(
            SmallJob.config(folder, adapter: kind, Self.tokens + Self.modules), folder)
        #expect(try #require(job.notices.first).contains("'<|a|>', '<|b|>'"))
        let losses = try SmallJob.losses(job)
        #expect(losses.allSatisfy { $0.isFinite })
        let base = try ModelFolder.open(folder.file("base"))
        let adapted = try base.adapted(by: [folder.file("out")])
        #expect(adapted.description.vocabulary == base.description.vocabulary + 2)
        #expect(!adapted.description.tiedEmbeddings)
        #expect(adapted.tokenizerFolder == folder.file("out"))
        let tokenizer = try Tokenizer.load(folder: adapted.tokenizerFolder)
        #expect(
            tokenizer.id(for: "<|im_end|>").map { Int($0) } == base.description.vocabulary + 1)
        let path = "base_model.model.model.embed_tokens.weight"
        let trained = try floats(folder, "out", path, .adapter)
        let old = try floats(folder, "base", "model.embed_tokens.weight")
        #expect(trained.count == old.count + 2 * base.description.shape.hidden)
        #expect(Array(trained[..<old.count]) != old)
        #expect(
            try AdapterConfig.read(folder: folder.file("out")).modulesToSave
                == ["embed_tokens", "lm_head"])
    }

    @Test func `of a head that is not trained nothing is saved`() throws {
        let folder = try SmallJob.workplace()
        let lines = Self.tokens + "lora_modules_to_save: [embed_tokens]\n"
        _ = try SmallJob.losses(SmallJob.job(SmallJob.config(folder, lines), folder))
        let adapter = try CheckpointFolder.open(folder.file("out"), kind: .adapter)
        #expect(adapter.find("base_model.model.model.embed_tokens.weight") != nil)
        #expect(!adapter.tensors.contains { $0.name.contains("lm_head") })
        let base = try ModelFolder.open(folder.file("base"))
        let adapted = try base.adapted(by: [folder.file("out")])
        #expect(!adapted.description.tiedEmbeddings)
        let head = try #require(adapted.checkpoint).floats(of: "lm_head.weight")
        let grown = try base.grown(to: adapted.description.vocabulary)
        let old = try #require(grown.checkpoint).floats(of: "model.embed_tokens.weight")
        #expect(head == old)
    }

    @Test func `a run goes on from its checkpoint as if it had never stopped`() throws {
        let folder = try SmallJob.workplace()
        let lines = Self.tokens + Self.modules
        _ = try SmallJob.losses(SmallJob.job(SmallJob.config(folder, lines), folder))
        let name = "out/adapter_model.safetensors"
        let whole = try FileSystem.read(folder.file(name))
        let resumed = "resume_from_checkpoint: \(folder.file("out/checkpoint-2"))\n"
        let again = try SmallJob.job(SmallJob.config(folder, lines + resumed), folder)
        _ = try again.run(onEvent: { _ in })
        #expect(try FileSystem.read(folder.file(name)) == whole)
    }

    @Test func `streamed layers change nothing`() throws {
        let folder = try SmallJob.workplace()
        let lines = Self.tokens + Self.modules
        let whole = try SmallJob.job(SmallJob.config(folder, output: "whole", lines), folder)
        let expected = try SmallJob.losses(whole)
        let placement = try whole.base.layouts().streaming(SmallJob.layers)
        var memory = whole.plan.placed.total
        (memory[.weights], memory[.window]) = (placement.weightBytes, placement.windowBytes)
        let streamed = try SmallJob.job(
            SmallJob.config(folder, output: "streamed", lines), folder, limit: memory.total)
        #expect(streamed.plan.placed.placement.residentLayers == 0)
        #expect(try SmallJob.losses(streamed) == expected)
        #expect(
            try FileSystem.read(folder.file("streamed/adapter_model.safetensors"))
                == FileSystem.read(folder.file("whole/adapter_model.safetensors")))
    }

    @Test func `training goes on from an adapter with an embedding of its own`() throws {
        let folder = try SmallJob.workplace()
        _ = try SmallJob.losses(
            SmallJob.job(SmallJob.config(folder, Self.tokens + Self.modules), folder))
        let lines = Self.tokens + "lora_model_dir: \(folder.file("out"))\n"
        let job = try SmallJob.job(SmallJob.config(folder, output: "next", lines), folder)
        // The tokens are there by now.
        #expect(!job.notices.contains { $0.contains("new tokens") })
        _ = try SmallJob.losses(job)
        let path = "base_model.model.lm_head.weight"
        let first = try floats(folder, "out", path, .adapter)
        let second = try floats(folder, "next", path, .adapter)
        #expect(first.count == second.count && first != second)
    }

    @Test(arguments: ["lora", "qlora"])
    func `without saved modules the rows of new tokens are trained`(_ kind: String) throws {
        let folder = try SmallJob.workplace()
        let job = try SmallJob.job(SmallJob.config(folder, adapter: kind, Self.tokens), folder)
        #expect(try #require(job.notices.first).contains("trained beside the adapter"))
        let losses = try SmallJob.losses(job)
        let base = try ModelFolder.open(folder.file("base"))
        let adapter = try CheckpointFolder.open(folder.file("out"), kind: .adapter)
        let rows = try adapter.tensor(
            "base_model.model.model.embed_tokens.token_adapter.trainable_tokens_delta")
        #expect(rows.shape.dims == [4, base.description.shape.hidden])
        #expect(!adapter.tensors.contains { $0.name.hasSuffix("embed_tokens.weight") })
        let grown = try base.grown(to: base.description.vocabulary + 2)
        let adapted = try base.adapted(by: [folder.file("out")])
        #expect(adapted.description == grown.description)
        let name = "model.embed_tokens.weight"
        let first = try #require(grown.checkpoint).floats(of: name)
        let trained = try #require(adapted.checkpoint).floats(of: name)
        let width = base.description.shape.hidden
        let changed = Set(
            (0..<first.count / width).filter {
                first[$0 * width..<($0 + 1) * width] != trained[$0 * width..<($0 + 1) * width]
            })
        #expect(!changed.isEmpty && changed.isSubset(of: [262, 263, 264, 265]))
        // A resumed run goes on to the same bytes.
        let whole = try FileSystem.read(folder.file("out/adapter_model.safetensors"))
        let lines = "resume_from_checkpoint: \(folder.file("out/checkpoint-2"))\n"
        let again = try SmallJob.job(
            SmallJob.config(folder, adapter: kind, Self.tokens + lines), folder)
        _ = try again.run(onEvent: { _ in })
        #expect(try FileSystem.read(folder.file("out/adapter_model.safetensors")) == whole)
        #expect(losses.allSatisfy { $0.isFinite })
    }

    @Test func `rows of tokens that are named are trained, and gone on from`() throws {
        let folder = try SmallJob.workplace()
        let line = "peft_trainable_token_indices: [32, 33, 260]\n"
        _ = try SmallJob.losses(SmallJob.job(SmallJob.config(folder, line), folder))
        let first = try AdapterConfig.read(folder: folder.file("out"))
        #expect(first.trainedTokens.embedding == [32, 33, 260])
        let next = "lora_model_dir: \(folder.file("out"))\n"
        _ = try SmallJob.losses(
            SmallJob.job(SmallJob.config(folder, output: "next", next), folder))
        let second = try AdapterConfig.read(folder: folder.file("next"))
        #expect(second.trainedTokens == first.trainedTokens)
        let name = "base_model.model.model.embed_tokens.token_adapter.trainable_tokens_delta"
        #expect(
            try floats(folder, "next", name, .adapter) != floats(folder, "out", name, .adapter))
    }

    @Test func `rows are evaluated as they are saved when the optimizer averages`() throws {
        let folder = try SmallJob.workplace()
        let lines =
            "peft_trainable_token_indices: [32, 33, 260]\noptimizer: schedule_free_adamw\n"
        let job = try SmallJob.job(SmallJob.config(folder, lines), folder)
        let last = try #require(try SmallJob.losses(job).last)
        let next = "lora_model_dir: \(folder.file("out"))\n"
        var first: Double?
        let again = try SmallJob.job(
            SmallJob.config(folder, output: "next", next + "eval_on_start: true\n"), folder)
        _ = try again.run(onEvent: {
            if case .training(.evaluation(let report)) = $0, first == nil { first = report.loss }
        })
        #expect(abs(try #require(first) - last) < 1e-5)
    }

    @Test(arguments: [
        ("peft_trainable_token_indices: [9999]", "token 9999"),
        ("peft_trainable_token_indices: {wpe: [1]}", "no rows of tokens"),
        ("peft_trainable_token_indices: [1]\n" + modules, "remove one"),
    ])
    func `rows that cannot be trained are refused`(_ line: String, _ message: String) throws {
        let folder = try SmallJob.workplace()
        let error = try #require(throws: (any Error).self) {
            try SmallJob.job(SmallJob.config(folder, line + "\n"), folder)
        }
        #expect("\(error)".contains(message), "\(error)")
    }

    @Test func `a padding token alone does not let the model grow`() throws {
        let folder = try SmallJob.workplace()
        let job = try SmallJob.job(
            SmallJob.config(folder, "special_tokens: {pad_token: \"<pad>\"}\n"), folder)
        let base = try ModelFolder.open(folder.file("base"))
        #expect(job.base.folder.description.vocabulary == base.description.vocabulary)
    }

    @Test func `a fully trained model grows to a multiple of 32`() throws {
        let folder = try SmallJob.workplace()
        let lines =
            Self.tokens
            + "resize_token_embeddings_to_32x: true\nspecial_tokens: {eos_token: \"<|im_end|>\"}\n"
        let job = try SmallJob.job(SmallJob.config(folder, adapter: nil, lines), folder)
        _ = try SmallJob.losses(job)
        let base = try ModelFolder.open(folder.file("base"))
        let model = try ModelFolder.open(folder.file("out"))
        #expect(model.description.vocabulary % 32 == 0)
        #expect(model.description.vocabulary >= base.description.vocabulary + 2)
        let tokenizer = try Tokenizer.load(folder: folder.file("out"))
        #expect(tokenizer.eosID == tokenizer.id(for: "<|im_end|>"))
        #expect(tokenizer.eosIDs.first == tokenizer.eosID)
    }

    // MARK: unfrozen_parameters

    @Test func `only unfrozen weights and rows change`() throws {
        let folder = try SmallJob.workplace()
        let lines =
            "unfrozen_parameters: ['model.layers.[45].mlp.down_proj', '^model.embed_tokens.weight$[:100]', "
            + "'model.layers.0.input_layernorm']\nweight_decay: 0\n"
        let job = try SmallJob.job(SmallJob.config(folder, adapter: nil, lines), folder)
        _ = try SmallJob.losses(job)
        let before = try CheckpointFolder.open(folder.file("base"))
        let after = try CheckpointFolder.open(folder.file("out"))
        var changed: Set<String> = []
        for tensor in after.tensors
        where try before.floats(of: tensor.name) != after.floats(of: tensor.name) {
            changed.insert(tensor.name)
        }
        #expect(
            changed == [
                "model.embed_tokens.weight", "model.layers.0.input_layernorm.weight",
                "model.layers.4.mlp.down_proj.weight", "model.layers.5.mlp.down_proj.weight",
            ])
        let name = "model.embed_tokens.weight"
        let (old, new) = (try before.floats(of: name), try after.floats(of: name))
        let width = job.base.folder.description.shape.hidden
        #expect(old[(100 * width)...] == new[(100 * width)...])
        #expect(old[..<(100 * width)] != new[..<(100 * width)])
    }

    @Test(arguments: [
        ("[model.nothing]", "matches no weight"), ("['(']", "no regular expression"),
        ("['model.norm$[5:2]']", "no range of rows"),
    ])
    func `patterns that mean nothing are refused`(_ value: String, _ message: String) throws {
        let folder = try SmallJob.workplace()
        let error = try #require(throws: (any Error).self) {
            try SmallJob.job(
                SmallJob.config(folder, adapter: nil, "unfrozen_parameters: \(value)\n"), folder)
        }
        #expect("\(error)".contains(message), "\(error)")
    }

    @Test(arguments: [
        ("lora_modules_to_save: [input_layernorm]", "not trained as a whole"),
        ("added_tokens_overrides: {x: y}", "no token id"),
        ("added_tokens_overrides: {5000: <yy>}", "no added token 5000"),
    ])
    func `modules and tokens that cannot be are refused`(
        _ line: String, _ message: String
    ) throws {
        let folder = try SmallJob.workplace()
        let error = try #require(throws: (any Error).self) {
            try SmallJob.job(SmallJob.config(folder, line + "\n"), folder)
        }
        #expect("\(error)".contains(message), "\(error)")
    }

    @Test func `a head has an adapter or is trained whole, not both`() throws {
        let folder = try SmallJob.workplace()
        let targets = "[q_proj, lm_head]"
        let error = try #require(throws: TrainingError.self) {
            try SmallJob.job(SmallJob.config(folder, targets: targets, Self.modules), folder)
        }
        #expect(error.code == .configuration)
        let job = try SmallJob.job(SmallJob.config(folder, targets: targets), folder)
        #expect(try SmallJob.losses(job).allSatisfy { $0.isFinite })
        let adapter = try CheckpointFolder.open(folder.file("out"), kind: .adapter)
        #expect(adapter.find("base_model.model.lm_head.lora_B.weight") != nil)
        #expect(
            try AdapterConfig.read(folder: folder.file("out")).targetModules.contains("lm_head"))
    }
}

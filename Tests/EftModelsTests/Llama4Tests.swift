// SPDX-License-Identifier: Apache-2.0
// Llama 4: which layers see a chunk, rotate and have experts; the language of a model that sees.
import EftConfig
import EftFormats
import EftNN
import EftTensor
import EftTestSupport
import Testing

import EftModels

@Suite struct Llama4Tests {
    @Test(arguments: [
        (#"{"no_rope_layers": [1]}"#, "no_rope_layers"),
        (#"{"layer_types": ["chunked_attention"]}"#, "layer_types"),
        (#"{"layer_types": ["chunked_attention", "sliding_attention"]}"#, "sliding_attention"),
        (#"{"attention_chunk_size": 0}"#, "attention_chunk_size"),
        (#"{"floor_scale": 0}"#, "floor_scale"),
        (#"{"attn_scale": -1.0}"#, "attn_scale"),
        (#"{"num_experts_per_tok": 4}"#, "num_experts_per_tok"),
        (#"{"moe_layers": null, "interleave_moe_layer_step": 0}"#, "interleave_moe_layer_step"),
        (#"{"intermediate_size_mlp": 0}"#, "intermediate_size_mlp"),
    ])
    func `contradictory numbers are named errors`(_ more: String, _ word: String) throws {
        let error = try #require(throws: (any Error).self) { try describe("llama4", more) }
        #expect("\(error)".contains(word), "\(error)")
    }

    @Test func `what the config leaves out is as transformers has it`() throws {
        let model = try describe(
            "llama4",
            """
            {"num_hidden_layers": 8, "no_rope_layers": [], "layer_types": null, "moe_layers": null,
             "attention_chunk_size": 7}
            """)
        #expect((0..<8).map { model.kind(layer: $0).rotary == nil } == (0..<8).map { $0 % 4 == 3 })
        #expect((0..<8).map { model.kind(layer: $0).isChunked } == (0..<8).map { $0 % 4 != 3 })
        #expect(model.kind(layer: 0).window == 7 && model.kind(layer: 3).window == nil)
        #expect(
            (0..<8).map { model.shape(layer: $0).mixture != nil } == (0..<8).map { $0 % 2 == 1 })
        #expect(model.shape(layer: 0).normsHeads && !model.shape(layer: 3).normsHeads)
        #expect(
            model.shape(layer: 0).temperature == nil && model.shape(layer: 3).temperature != nil)
        let whole = try describe("llama4", #"{"attention_chunk_size": null, "layer_types": null}"#)
        #expect(whole.kind(layer: 0).window == nil && !whole.kind(layer: 0).isChunked)
        let still = try describe(
            "llama4", #"{"attn_temperature_tuning": false, "use_qk_norm": false}"#)
        #expect(still.shape.temperature == nil && !still.shape.normsHeads)
    }

    @Test func `chunks hold their pages as windows do`() throws {
        var need = GenerationNeed(contextLength: 4096, sequences: 2)
        need.prefillChunk = 64
        let model = try describe("llama4", #"{"attention_chunk_size": 100}"#)
        let groups = need.pagePlan(model).groups
        #expect(groups.map(\.window) == [nil, 100] && groups[1].pages < groups[0].pages)
    }

    @Test func `adapters of all experts together are refused by name`() throws {
        let folder = try TemporaryFolder()
        let adapter = Fixtures.path("architectures/llama4/adapter/adapter_config.json")
        try FileSystem.copy(adapter, to: folder.file("adapter_config.json"))
        let name = "base_model.model.model.layers.1.feed_forward.experts.base_layer.lora_A.weight"
        let writer = try SafetensorsWriter(
            folder: folder.path, baseName: "adapter_model",
            tensors: [try TensorInfo(name: name, dtype: .f32, shape: Shape(9, 28))],
            metadata: ["format": "pt"])
        try [Float](repeating: 0, count: 9 * 28).withUnsafeBytes { try writer.write(name, $0) }
        try writer.finish()
        let error = try #require(throws: ModelError.self) {
            try AdapterFile.extents(folder.path, description: describe("llama4", "{}"))
        }
        #expect("\(error)".contains("target_parameters"), "\(error)")
    }

    @Test func `the language of a model that sees gives the same losses, and is saved as it was`()
        throws
    {
        let source = Fixtures.path("architectures/llama4")
        let folder = try TemporaryFolder()
        var whole = ConfigObject()
        whole["model_type"] = "llama4"
        whole["text_config"] = ConfigNode(
            try ConfigFile.read(FileSystem.join(source, "config.json")).object())
        try folder.write("config.json", JSONWriter.text(ConfigNode(whole)))
        let checkpoint = try CheckpointFolder.open(source)
        let writer = try SafetensorsWriter(
            folder: folder.path, baseName: "model",
            tensors: checkpoint.tensors.map {
                try TensorInfo(name: "language_model." + $0.name, dtype: $0.dtype, shape: $0.shape)
            }, metadata: ["format": "pt"])
        for info in checkpoint.tensors {
            try checkpoint.bytes(of: info.name).withUnsafeBytes {
                try writer.write("language_model." + info.name, $0)
            }
        }
        try writer.finish()
        let backend = try CPUBackend(threads: 1)
        let batch = DecoderBatch(sequences: [(0..<30).map { Int32($0 * 7 % 45) }])
        let labels = batch.tokens.dropFirst() + [-100]
        func losses(_ path: String) throws -> [Float] {
            let decoder = try DecoderLoader(folder: ModelFolder.open(path)).load(backend: backend)
            let pass = try EvaluationPass(decoder: decoder, rows: 30, sequences: 1)
            return try pass.losses(batch, labels: Array(labels))
        }
        #expect(try losses(folder.path) == losses(source))
        let model = try ModelFolder.open(folder.path)
        #expect(model.description.headName == "language_model.lm_head")
        let decoder = try DecoderLoader(folder: model).load(backend: backend)
        let saved = try TemporaryFolder()
        try DecoderSaver(decoder: decoder, backend: backend, dtype: .f32).save(to: saved.path)
        let (again, before) = (
            try CheckpointFolder.open(saved.path), try CheckpointFolder.open(folder.path)
        )
        #expect(Set(again.tensors.map(\.name)) == Set(before.tensors.map(\.name)))
        for info in before.tensors {
            #expect(try again.floats(of: info.name) == before.floats(of: info.name), "\(info.name)")
        }
    }
}

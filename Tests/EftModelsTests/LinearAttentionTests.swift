// SPDX-License-Identifier: Apache-2.0
// Models with linear attention: what they read, what they take, and folders of models that see too.
import EftConfig
import EftFormats
import EftModels
import EftNN
import EftTensor
import EftTestSupport
import Testing

@Suite struct LinearAttentionTests {
    static let names = ["qwen3-next", "qwen3-5", "qwen3-5-moe"]

    @Test(arguments: [
        ("qwen3-next", #"{"linear_num_value_heads": 3}"#, "linear_num_value_heads"),
        ("qwen3-next", #"{"linear_conv_kernel_dim": 9}"#, "linear_conv_kernel_dim"),
        ("qwen3-5", #"{"linear_key_head_dim": 0}"#, "linear_key_head_dim"),
        ("qwen3-5", #"{"layer_types": ["linear_attention"]}"#, "layer_types"),
        ("qwen3-5", #"{"layer_types": ["linear_attention", "mamba"]}"#, "mamba"),
        ("qwen3-5", #"{"hidden_act": "gelu"}"#, "hidden_act"),
        ("qwen3-5", #"{"layer_types": null, "full_attention_interval": 0}"#, "interval"),
        ("qwen3-5-moe", #"{"num_experts_per_tok": 9}"#, "num_experts_per_tok"),
    ])
    func `contradictory widths and other kinds are named errors`(
        _ name: String, _ more: String, _ word: String
    ) throws {
        let error = #expect(throws: (any Error).self) { try describe(name, more) }
        #expect(error.map { "\($0)".contains(word) } == true, "\(String(describing: error))")
    }

    @Test func `every fourth layer has attention where the config does not say`() throws {
        let model = try describe("qwen3-5", #"{"layer_types": null, "num_hidden_layers": 8}"#)
        #expect((0..<8).map(model.isLinear) == [true, true, true, false, true, true, true, false])
        #expect(model.pagedLayers(0..<8) == 2 && model.pagedLayers(0..<3) == 0)
        #expect(model.distinctLayers.map(\.count) == [6, 2])
        let need = try #require(model.states(sequences: 3))
        #expect(need.byteCount(layers: 2..<5) == 2 * 3 * 4 * need.floats)
    }

    @Test(arguments: names)
    func `the number of parameters is that of the checkpoint`(_ name: String) throws {
        let folder = try ModelFolder.open(Fixtures.path("architectures/\(name)"))
        let count = try #require(folder.checkpoint).tensors.reduce(0) { $0 + $1.shape.count }
        #expect(folder.description.parameterCount == count)
        let names = Set(try #require(folder.checkpoint).tensors.map(\.name))
        #expect(Set(folder.description.weightNames) == names)
    }

    /// A folder as models that see are published: the language below, and tensors of the other parts.
    @Test(arguments: ["qwen3-5", "qwen3-5-moe"])
    func `a model that sees too runs its language part`(_ name: String) throws {
        let plain = try GoldenModel("architectures/\(name)")
        let source = Fixtures.path("architectures/\(name)")
        let folder = try TemporaryFolder()
        var text = try ConfigCursor(JSONParser.parse(FileSystem.read(source + "/config.json")))
            .object()
        let tied = text["tie_word_embeddings"]
        text["tie_word_embeddings"] = nil
        var whole = ConfigObject()
        let type = name == "qwen3-5" ? "qwen3_5" : "qwen3_5_moe"
        whole["model_type"] = ConfigNode(.string(type))
        whole["tie_word_embeddings"] = tied
        whole["text_config"] = ConfigNode(.object(text))
        try folder.write("config.json", JSONWriter.text(ConfigNode(.object(whole))))
        let checkpoint = try CheckpointFolder.open(source)
        func moved(_ tensor: String) -> String {
            tensor.hasPrefix("model.") ? "model.language_model." + tensor.dropFirst(6) : tensor
        }
        let others = try ["mtp.fc.weight", "model.visual.pos_embed.weight"].map {
            try TensorInfo(name: $0, dtype: .f32, shape: Shape(2, 2))
        }
        let stacks = name == "qwen3-5" ? [] : try Stack.all(of: plain.decoder, moved)
        let alone = checkpoint.tensors.filter { info in
            !stacks.contains { moved(info.name).hasPrefix($0.path) }
        }
        let infos =
            try alone.map { try TensorInfo(name: moved($0.name), dtype: .f32, shape: $0.shape) }
            + stacks.map { try TensorInfo(name: $0.name, dtype: .f32, shape: $0.shape) }
        let writer = try SafetensorsWriter(
            folder: folder.path, baseName: "model", tensors: infos + others,
            metadata: ["format": "pt"])
        for info in alone {
            var values = [Float](repeating: 0, count: info.shape.count)
            try values.withUnsafeMutableBufferPointer {
                try checkpoint.readFloats(info.name, elements: 0..<$0.count, into: $0)
            }
            try values.withUnsafeBytes { try writer.write(moved(info.name), $0) }
        }
        for stack in stacks {
            try stack.values.withUnsafeBytes { try writer.write(stack.name, $0) }
        }
        for info in others {
            try [Float](repeating: 1, count: 4).withUnsafeBytes { try writer.write(info.name, $0) }
        }
        try writer.finish()
        let model = try ModelFolder.open(folder.path)
        #expect((model.description.stack == nil) == stacks.isEmpty)
        #expect(model.description.layerName(1) == "model.language_model.layers.1")
        let decoder = try DecoderLoader(folder: model).load(backend: CPUBackend(threads: 1))
        let ids = try #require(try plain.ids(2))
        let pass = try EvaluationPass(decoder: decoder, rows: ids.count, sequences: 1)
        let other = try EvaluationPass(decoder: plain.decoder, rows: ids.count, sequences: 1)
        let batch = DecoderBatch(sequences: [ids])
        let labels = Array(ids.dropFirst()) + [-100]
        #expect(try pass.losses(batch, labels: labels) == other.losses(batch, labels: labels))
        // What is saved has the tensors that were read, but for those of other parts.
        let saved = try TemporaryFolder()
        try DecoderSaver(decoder: decoder, backend: CPUBackend(threads: 1), dtype: .f32)
            .save(to: saved.path)
        let again = try CheckpointFolder.open(saved.path)
        #expect(Set(again.tensors.map(\.name)) == Set(infos.map(\.name)))
        let before = try CheckpointFolder.open(folder.path)
        // Norms hold one more in memory, so that their last digits are rounded.
        for info in infos {
            #expect(try again.tensor(info.name).shape == info.shape)
            #expect(
                relativeError(
                    try again.floats(of: info.name), try before.floats(of: info.name)) < 1e-6)
        }
    }

    /// The experts of a layer in one tensor for both factors and one for the last product.
    private struct Stack {
        let path: String
        let name: String
        let shape: Shape
        let values: [Float]

        static func all(of decoder: Decoder, _ moved: (String) -> String) throws -> [Stack] {
            let backend = try CPUBackend(threads: 1)
            func numbers(_ linear: Linear) throws -> [Float] {
                let rows = try Matrix(
                    rows: linear.weight.outputs, columns: linear.weight.inputs, ledger: nil)
                backend.gather(
                    linear.weight, rows: (0..<Int32(rows.rows)).map { $0 }, into: rows)
                return rows.array
            }
            return try decoder.layers.flatMap { layer -> [Stack] in
                let path = moved(decoder.description.layerName(layer.index)) + ".mlp.experts."
                let experts = layer.linears.filter { $0.name.contains(".experts.") }
                let first = experts.filter { !$0.name.hasSuffix("down_proj") }
                let last = experts.filter { $0.name.hasSuffix("down_proj") }
                let (inputs, outputs) = (first[0].weight.inputs, first[0].weight.outputs)
                return [
                    Stack(
                        path: path, name: path + "gate_up_proj",
                        shape: Shape(last.count, 2 * outputs, inputs),
                        values: try first.flatMap(numbers)),
                    Stack(
                        path: path, name: path + "down_proj",
                        shape: Shape(last.count, inputs, outputs),
                        values: try last.flatMap(numbers)),
                ]
            }
        }
    }
}

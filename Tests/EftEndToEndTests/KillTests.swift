// SPDX-License-Identifier: Apache-2.0
// The program killed without warning, and started again.
import EftFormats
import EftTensor
import EftTestSupport
import Testing

struct KillTests {
    /// Runs the program and kills it once a number of weight files is finished.
    /// - Returns: whether it was killed in the midst of its work.
    private func kill(_ arguments: [String], output: String, after count: Int) throws -> Bool {
        let unfinished = FileSystem.join(output, "eft-unfinished")
        return try Program.kill(arguments) {
            let names = (try? FileSystem.list(unfinished)) ?? []
            return names.count(where: { $0.hasSuffix(".safetensors") }) >= count
        }
    }

    /// A Llama of many small layers.
    private func writeModel(_ folder: TemporaryFolder, layers: Int) throws -> String {
        let path = folder.file("model")
        var shapes: [(String, [Int])] = [("model.embed_tokens.weight", [100, 64])]
        for layer in 0..<layers {
            let prefix = "model.layers.\(layer)."
            shapes += [
                (prefix + "self_attn.q_proj.weight", [64, 64]),
                (prefix + "self_attn.k_proj.weight", [32, 64]),
                (prefix + "self_attn.v_proj.weight", [32, 64]),
                (prefix + "self_attn.o_proj.weight", [64, 64]),
                (prefix + "mlp.gate_proj.weight", [96, 64]),
                (prefix + "mlp.up_proj.weight", [96, 64]),
                (prefix + "mlp.down_proj.weight", [64, 96]),
                (prefix + "input_layernorm.weight", [64]),
                (prefix + "post_attention_layernorm.weight", [64]),
            ]
        }
        shapes.append(("model.norm.weight", [64]))
        try write(shapes, to: path, base: "model")
        try AtomicFile.write(
            FileSystem.join(path, "config.json"),
            """
            {"model_type": "llama", "vocab_size": 100, "hidden_size": 64, "intermediate_size": 96,
             "num_hidden_layers": \(layers), "num_attention_heads": 4, "num_key_value_heads": 2,
             "max_position_embeddings": 128, "rms_norm_eps": 1e-5, "tie_word_embeddings": true}
            """)
        return path
    }

    private func writeAdapter(_ folder: TemporaryFolder, layers: Int) throws -> String {
        let path = folder.file("adapter")
        let shapes = (0..<layers).flatMap { layer in
            let name = "base_model.model.model.layers.\(layer).self_attn.q_proj"
            return [(name + ".lora_A.weight", [2, 64]), (name + ".lora_B.weight", [64, 2])]
        }
        try write(shapes, to: path, base: "adapter_model")
        try AtomicFile.write(
            FileSystem.join(path, "adapter_config.json"),
            #"{"peft_type": "LORA", "r": 2, "lora_alpha": 4, "target_modules": ["q_proj"]}"#)
        return path
    }

    private func write(_ shapes: [(String, [Int])], to path: String, base: String) throws {
        var random = SplitMix64(seed: 5)
        let infos = try shapes.map {
            try TensorInfo(name: $0.0, dtype: .f32, shape: Shape(checking: $0.1))
        }
        let writer = try SafetensorsWriter(folder: path, baseName: base, tensors: infos)
        for info in infos {
            let values = (0..<info.shape.count).map { _ in Float.random(in: -1...1, using: &random)
            }
            try values.withUnsafeBytes { try writer.write(info.name, $0) }
        }
        try writer.finish()
    }

    @Test func `a folder of a shape is finished after a kill, and then not written again`() throws {
        let folder = try TemporaryFolder()
        func arguments(_ output: String) -> [String] {
            [
                "bench", "shape", "tinyllama-1.1b", "--layers", "2", "-b", "2", "--max-shard-size",
                "8MB", "-o", folder.file(output),
            ]
        }
        let whole = try Program(arguments("whole"))
        #expect(whole.status == 0, "\(whole.errors)")
        for count in [1, 5] {
            #expect(try kill(arguments("out"), output: folder.file("out"), after: count))
            #expect(throws: FormatError.self) { try CheckpointFolder.open(folder.file("out")) }
        }
        let rest = try Program(arguments("out"))
        #expect(rest.status == 0, "\(rest.errors)")
        #expect(rest.errors.contains("going on: "))
        #expect(try folder.tree("out") == folder.tree("whole"))
        #expect(try Program(arguments("out")).status == 2)
    }

    @Test(arguments: ["merge", "convert"])
    func `killed in the midst of its work, it goes on to the same files`(verb: String) throws {
        let folder = try TemporaryFolder()
        let model = try writeModel(folder, layers: 24)
        let adapter = try writeAdapter(folder, layers: 24)
        func arguments(_ output: String) -> [String] {
            let output = folder.file(output)
            let common = ["--dtype", "bf16", "--max-shard-size", "4KB"]
            return verb == "merge"
                ? ["merge", "--base", model, "--adapter", adapter, "-o", output] + common
                : ["convert", model, output] + common
        }
        let whole = try Program(arguments("whole"))
        #expect(whole.status == 0, "\(whole.errors)")
        for count in [2, 20, 60] {
            let killed = try kill(arguments("out"), output: folder.file("out"), after: count)
            #expect(killed)
            #expect(throws: FormatError.self) { try CheckpointFolder.open(folder.file("out")) }
        }
        let rest = try Program(arguments("out"))
        #expect(rest.status == 0, "\(rest.errors)")
        #expect(rest.errors.contains("going on: "))
        #expect(try folder.tree("out") == folder.tree("whole"))
    }
}

// SPDX-License-Identifier: Apache-2.0
// Small random models as Hugging Face folders.
import EftConfig
import EftFormats
import EftModels
import EftTensor
import EftTestSupport

/// Writes random models.
enum TinyModel {
    /// Tokens of the vocabulary; no multiple of 32.
    static let vocabulary = 100

    /// Writes a model of two layers, 64 hidden and 96 inner numbers.
    /// - Returns: its folder.
    static func write(
        to folder: TemporaryFolder, type: String = "llama", tied: Bool = true, bias: Bool = false,
        expertsPerToken: Int = 1, dtype: DType = .bf16
    ) throws -> String {
        let path = folder.file("model")
        try FileSystem.createFolder(path)
        // One MLP instead of experts in one tensor.
        let experts = type == "granitemoehybrid" ? 0 : 2
        let types =
            type == "granitemoehybrid" ? #""layer_types": ["mamba", "attention"],"# : ""
        let config = """
            {"architectures": ["LlamaForCausalLM"], "model_type": "\(type)", "vocab_size": \(vocabulary),
             "hidden_size": 64, "intermediate_size": 96, "num_hidden_layers": 2,
             "num_attention_heads": 4, "head_dim": 16,
             "moe_intermediate_size": 96, "shared_expert_intermediate_size": 32,
             "num_local_experts": \(experts), "num_experts": 2, "num_dense_layers": 0,
             \(types) "mamba_n_heads": 4, "mamba_d_state": 16, "shared_intermediate_size": 96,
             "full_attn_idxs": [1], "block_auto_adjust_ff_dim": false, "num_experts_per_tok": \(expertsPerToken), "num_key_value_heads": 2, "max_position_embeddings": 128,
             "rms_norm_eps": 1e-5, "rope_theta": 10000.0, "tie_word_embeddings": \(tied),
             "attention_bias": \(bias), "initializer_range": 0.1, "torch_dtype": "bfloat16"}
            """
        try AtomicFile.write(FileSystem.join(path, "config.json"), config)
        try AtomicFile.write(FileSystem.join(path, "tokenizer.json"), "{\"stands in\": true}")
        let backend = try CPUBackend(ledger: MemoryLedger(), threads: 2)
        let description = try ModelFolder.open(path, needsWeights: false).description
        let decoder = try Decoder.random(description, seed: 3, backend: backend)
        for linear in decoder.linears {
            guard let values = linear.bias else { continue }
            for index in 0..<values.floatCount { values.floats[index] = Float(index % 7) * 0.01 }
        }
        for norm in decoder.layers.flatMap(\.norms) where norm.weight.floatCount == 16 {
            for index in 0..<norm.weight.floatCount {
                norm.weight.floats[index] += Float(index % 5) * 0.125 - 0.25
            }
        }
        try DecoderSaver(decoder: decoder, backend: backend, dtype: dtype).save(to: path)
        return path
    }
}

extension TinyModel {
    /// The largest difference of the logits of `out` from those of `model` in a folder, by the largest of these.
    static func error(_ folder: TemporaryFolder) throws -> Float {
        try errors(folder).max() ?? .infinity
    }

    /// The error of a token in the middle: a token that goes to another expert has a large one, however small the change.
    static func medianError(_ folder: TemporaryFolder) throws -> Float {
        let errors = try errors(folder).sorted()
        return errors[errors.count / 2]
    }

    /// The largest error of each token's logits, as a share of the largest logit.
    private static func errors(_ folder: TemporaryFolder) throws -> [Float] {
        let ids = (0..<24).map { Int32(($0 * 5 + 3) % vocabulary) }
        let (found, wanted) = try (
            Logits(folder.file("out"))(ids), Logits(folder.file("model"))(ids)
        )
        let largest = wanted.reduce(0) { max($0, abs($1)) }
        return stride(from: 0, to: wanted.count, by: vocabulary).map { first in
            (first..<first + vocabulary).reduce(0) { max($0, abs(found[$1] - wanted[$1])) }
                / largest
        }
    }

    /// Random tokens.
    static func tokens(_ count: Int) -> [Int32] {
        var generator = NormalGenerator(seed: 7)
        return (0..<count).map { _ in Int32(generator.uniform() * Double(vocabulary)) }
    }
}

/// Writes small PEFT adapters.
enum TinyAdapter {
    /// Rank 2 on q_proj.
    static let config =
        #"{"peft_type": "LORA", "r": 2, "lora_alpha": 4, "target_modules": ["q_proj"]}"#

    /// Writes an adapter with given tensors, as (name, shape).
    /// - Parameter value: gives the number at each place of a tensor.
    /// - Returns: its folder.
    static func write(
        to folder: TemporaryFolder, _ tensors: [(String, [Int])], config: String = config,
        value: (Int) -> Float
    ) throws -> String {
        let path = folder.file("adapter")
        let infos = try tensors.map {
            try TensorInfo(
                name: "base_model.model." + $0.0, dtype: .f32, shape: Shape(checking: $0.1))
        }
        let writer = try SafetensorsWriter(
            folder: path, baseName: "adapter_model", tensors: infos)
        for info in infos {
            let values = (0..<info.shape.count).map(value)
            try values.withUnsafeBytes { try writer.write(info.name, $0) }
        }
        try writer.finish()
        try AtomicFile.write(FileSystem.join(path, "adapter_config.json"), config)
        return path
    }
}

// SPDX-License-Identifier: Apache-2.0
// The keys that files of each of llama.cpp's architectures have.
import EftConfig
import EftGGUF
import EftModels
import EftNN

extension GGUFSettings {
    private typealias Value = GGUFHeaderWriter.Value

    /// Writes all keys of the architecture.
    /// - Throws: `ConversionError` (`unsupported`), `ConfigError`.
    mutating func addFamily() throws {
        switch names.architecture {
        case "phi3", "phimoe": return try addPhi()
        case "gemma", "gemma2": return try addGemma()
        case "falcon", "starcoder": return addPlain()
        case "gptneox", "stablelm": return addParallel()
        case "minicpm3": return try addMiniCPM()
        case "phi2": return try addPhi2()
        case "chatglm": return try addGLM()
        default: break
        }
        try addCommon()
        switch names.architecture {
        case "llama", "smollm3", "arcee":
            addLlama()
            try refuseWindows()
        case "qwen2", "qwen3": try refuseWindows()
        case "qwen2moe", "qwen3moe":
            try refuseWindows()
            try addExpertWidths()
        case "gemma3": try addWindow()
        case "olmo2", "exaone4": try addOlmo()
        case "granite", "granitemoe": try addGranite()
        case "command-r", "cohere2", "nemotron": try addUnscaled()
        case "gpt-oss":
            try addWindow()
            set("expert_feed_forward_length", .whole(model.shape.intermediate))
        case "glm4": set("rope.dimension_count", .whole(model.rotary.headDim))
        case "glm4moe", "dots1", "deepseek2": try addGrouped()
        case "ernie4_5-moe": try addErnie()
        case "qwen3next", "qwen35", "qwen35moe": try addLinear()
        default: break
        }
    }

    private func refuseWindows() throws {
        if model.kinds.contains(where: { $0.window != nil }) {
            throw fault("llama.cpp reads these models without windows, and this one has some")
        }
    }

    private mutating func addWindow() throws {
        if let window = try whole("sliding_window") {
            set("attention.sliding_window", .whole(window))
        }
    }

    // MARK: Dense models

    private mutating func addPlain() {
        let isFalcon = names.architecture == "falcon"
        set("context_length", .whole(isFalcon ? 2048 : model.contextLength))
        if isFalcon { set("tensor_data_layout", text: "jploski") }
        set("embedding_length", .whole(model.shape.hidden))
        set("feed_forward_length", .whole(model.shape.intermediate))
        set("block_count", .whole(model.layers))
        set("attention.head_count", .whole(model.shape.heads))
        set("attention.head_count_kv", .whole(model.shape.kvHeads))
        set("attention.layer_norm_epsilon", .real(Double(model.finalNorm.epsilon)))
    }

    private mutating func addParallel() {
        set("context_length", .whole(model.contextLength))
        set("embedding_length", .whole(model.shape.hidden))
        set("block_count", .whole(model.layers))
        set("feed_forward_length", .whole(model.shape.intermediate))
        set("rope.dimension_count", .whole(model.rotary.headDim))
        set("attention.head_count", .whole(model.shape.heads))
        if names.architecture == "stablelm" {
            set("attention.head_count_kv", .whole(model.shape.kvHeads))
        }
        set("use_parallel_residual", .truth(model.shape.isParallel))
        set("attention.layer_norm_epsilon", .real(Double(model.finalNorm.epsilon)))
    }

    /// What the converters of Gemma and MiniCPM 3 begin with, in their order.
    private mutating func addSizes(kvHeads: Int) throws {
        set("context_length", .whole(model.contextLength))
        set("embedding_length", .whole(model.shape.hidden))
        set("block_count", .whole(model.layers))
        set("feed_forward_length", .whole(model.shape.intermediate))
        set("attention.head_count", .whole(model.shape.heads))
        set("attention.head_count_kv", .whole(kvHeads))
        try addEpsilons()
    }

    private mutating func addGemma() throws {
        try addSizes(kvHeads: model.shape.kvHeads)
        addHeadWidths()
        guard names.architecture == "gemma2" else { return }
        for key in ["attn_logit_softcapping", "final_logit_softcapping"] {
            if let cap = try number(key) { set(key, .real(cap)) }
        }
        try addWindow()
    }

    private mutating func addPhi() throws {
        set("context_length", .whole(model.contextLength))
        var original = try whole("original_max_position_embeddings") ?? 4096
        if case .long(let long) = model.rotary.scaling {
            original = long.originalContext
            set("rope.scaling.attn_factor", .real(long.attentionFactor))
        } else if model.rotary.scaling != .none {
            throw fault("this scaling of rotary embeddings has no place in a GGUF file")
        }
        set("rope.scaling.original_context_length", .whole(original))
        set("embedding_length", .whole(model.shape.hidden))
        set("feed_forward_length", .whole(model.shape.intermediate))
        set("block_count", .whole(model.layers))
        set("attention.head_count", .whole(model.shape.heads))
        set("attention.head_count_kv", .whole(model.shape.kvHeads))
        try addEpsilons()
        set("rope.dimension_count", .whole(model.rotary.headDim))
        set("rope.freq_base", .real(model.rotary.theta))
        set("attention.sliding_window", .whole(try whole("sliding_window") ?? 0))
        guard let experts = model.shape.mixture else { return }
        set("expert_used_count", .whole(experts.expertsPerRow))
        set("expert_count", .whole(experts.experts))
    }

    private mutating func addPhi2() throws {
        try refuseScaling()
        set("context_length", .whole(model.contextLength))
        set("embedding_length", .whole(model.shape.hidden))
        set("feed_forward_length", .whole(model.shape.intermediate))
        set("block_count", .whole(model.layers))
        set("attention.head_count", .whole(model.shape.heads))
        set("attention.head_count_kv", .whole(model.shape.kvHeads))
        set("attention.layer_norm_epsilon", .real(Double(model.finalNorm.epsilon)))
        set("rope.dimension_count", .whole(model.rotary.headDim))
        set("rope.freq_base", .real(model.rotary.theta))
    }

    private mutating func addGLM() throws {
        try refuseScaling()
        try addSizes(kvHeads: model.shape.kvHeads)
        if model.shape.headDim * model.shape.heads != model.shape.hidden { addHeadWidths() }
        set("rope.dimension_count", .whole(model.rotary.headDim))
        set("rope.freq_base", .real(model.rotary.theta))
    }

    private func refuseScaling() throws {
        guard model.rotary.scaling == .none else {
            throw fault("this scaling of rotary embeddings has no place in a GGUF file")
        }
    }

    private mutating func addMiniCPM() throws {
        guard let latent = model.shape.latent, let rank = latent.queryRank else {
            throw fault(
                "llama.cpp's minicpm3 has queries from a short vector, and this model has not")
        }
        try addSizes(kvHeads: model.shape.heads)
        set("vocab_size", .whole(model.vocabulary))
        set("attention.q_lora_rank", .whole(rank))
        set("attention.kv_lora_rank", .whole(latent.rank))
        set("attention.key_length", .whole(model.shape.headDim))
        set("rope.dimension_count", .whole(latent.rotated))
    }

    private mutating func addOlmo() throws {
        if names.architecture == "exaone4" { set("vocab_size", .whole(model.vocabulary)) }
        guard let window = model.kinds.lazy.compactMap(\.window).first else { return }
        set("attention.sliding_window", .whole(window))
        set(
            "attention.sliding_window_pattern",
            .truths((0..<model.layers).map { model.kind(layer: $0).window != nil }))
    }

    private mutating func addGranite() throws {
        addLlama()
        for (key, name) in [
            ("attention_multiplier", "attention.scale"),
            ("embedding_multiplier", "embedding_scale"),
            ("residual_multiplier", "residual_scale"), ("logits_scaling", "logit_scale"),
        ] {
            if let value = try number(key) { set(name, .real(value)) }
        }
        if let shared = model.shape.mixture?.shared {
            set("expert_shared_feed_forward_length", .whole(shared.intermediate))
        }
    }

    private mutating func addUnscaled() throws {
        try refuseScaling()
        if let scale = try number("logit_scale") { set("logit_scale", .real(scale)) }
        if names.architecture != "command-r" { addLlama() }
        if names.architecture == "cohere2" { try addWindow() }
        set("rope.scaling.type", text: "none")
    }

    // MARK: Mixtures

    private mutating func addExpertWidths() throws {
        if let width = try whole("moe_intermediate_size") {
            set("expert_feed_forward_length", .whole(width))
        }
        if let width = try whole("shared_expert_intermediate_size") {
            set("expert_shared_feed_forward_length", .whole(width))
        }
    }

    private mutating func addGrouped() throws {
        if let latent = model.shape.latent { try addLatent(latent) }
        if names.architecture == "glm4moe" {
            set("rope.dimension_count", .whole(model.rotary.headDim))
        }
        try addExpertWidths()
        set(
            "leading_dense_block_count",
            .whole((0..<model.layers).prefix { model.shape(layer: $0).mixture == nil }.count))
        if names.architecture == "deepseek2" {
            set("expert_feed_forward_length", .whole(model.shape.intermediate))
            set("expert_shared_count", .whole(try whole("n_shared_experts") ?? 0))
        } else if let count = try whole("n_shared_experts") {
            set("expert_shared_count", .whole(count))
        }
        guard let mixture = model.shape.mixture else { return }
        set("expert_weights_scale", .real(Double(mixture.scale)))
        guard case .sigmoid(let addsUp) = mixture.scoring else { return }
        if addsUp || names.architecture != "deepseek2" {
            set("expert_weights_norm", .truth(addsUp))
        }
        // Without it llama.cpp takes DeepSeek 3 for DeepSeek 2.
        if names.architecture != "dots1" { set("expert_gating_func", .whole(2)) }
    }

    private mutating func addLatent(_ latent: LatentShape) throws {
        set("vocab_size", .whole(model.vocabulary))
        if let rank = latent.queryRank { set("attention.q_lora_rank", .whole(rank)) }
        set("attention.kv_lora_rank", .whole(latent.rank))
        set("attention.key_length", .whole(latent.rank + latent.rotated))
        set("attention.value_length", .whole(latent.rank))
        set("attention.key_length_mla", .whole(model.shape.headDim))
        set("attention.value_length_mla", .whole(latent.valueDim))
        set("rope.dimension_count", .whole(latent.rotated))
        if let scale = try latentScale() {
            set("rope.scaling.yarn_log_multiplier", .real(0.1 * scale))
        }
    }

    private mutating func addErnie() throws {
        set("interleave_moe_layer_step", .whole(try whole("moe_layer_interval") ?? 1))
        set("leading_dense_block_count", .whole(try whole("moe_layer_start_index") ?? 1))
        set("expert_feed_forward_length", .whole(model.shape.intermediate))
        set("expert_shared_count", .whole(try whole("moe_num_shared_experts") ?? 2))
        if let shared = model.shape.mixture?.shared {
            set("expert_shared_feed_forward_length", .whole(shared.intermediate))
        }
    }

    private mutating func addLinear() throws {
        guard let linear = model.shape.mixer?.delta else { return }
        try addExpertWidths()
        set("ssm.conv_kernel", .whole(linear.taps))
        set("ssm.state_size", .whole(linear.delta.keyDim))
        set("ssm.group_count", .whole(linear.delta.keyHeads))
        set("ssm.time_step_rank", .whole(linear.delta.valueHeads))
        set("ssm.inner_size", .whole(linear.valueWidth))
        set(
            "attention.recurrent_layers",
            .truths((0..<model.layers).map { model.isLinear($0) }))
        set("full_attention_interval", .whole(try whole("full_attention_interval") ?? 4))
        set("rope.dimension_count", .whole(model.rotary.headDim))
        if names.architecture != "qwen3next" {
            set("rope.dimension_sections", .wholes(try ropeSections() ?? [11, 11, 10, 0]))
        }
    }
}

// SPDX-License-Identifier: Apache-2.0
// The metadata of a model as the keys of a config.json.
import EftConfig

/// Reads the metadata of an architecture, and collects what stands in config.json.
struct GGUFConfig {
    let file: GGUFFile
    /// `general.architecture`, which the keys of the architecture begin with.
    let architecture: String
    /// All tensors by name.
    let tensors: [String: GGUFTensor]
    private(set) var object = ConfigObject()

    init(_ file: GGUFFile, architecture: String) {
        self.file = file
        self.architecture = architecture
        let named = file.tensors.map { ($0.tensor.name, $0.tensor) }
        tensors = Dictionary(named) { first, _ in first }
    }

    // MARK: Writing

    mutating func set(_ key: String, _ value: Int) { object[key] = ConfigNode(.integer(value)) }
    mutating func set(_ key: String, _ value: Double) { object[key] = ConfigNode(.real(value)) }
    mutating func set(_ key: String, _ value: Bool) { object[key] = ConfigNode(.bool(value)) }
    mutating func set(_ key: String, _ value: String) { object[key] = ConfigNode(.string(value)) }
    mutating func set(_ key: String, _ node: ConfigNode) { object[key] = node }

    // MARK: Reading

    /// The whole key of the architecture.
    func key(_ name: String) -> String { "\(architecture).\(name)" }

    /// A whole number of the architecture; of a list of one for each layer, the number that all have.
    /// - Throws: `GGUFError` (`damaged`, `unsupported` where layers differ).
    func whole(_ name: String) throws(GGUFError) -> Int? {
        guard let value = file.metadata[key(name)] else { return nil }
        if value.list != nil {
            let numbers = try file.numbers(key(name), limit: 1 << 16) ?? []
            guard let first = numbers.first, let whole = Int(exactly: first) else {
                throw file.fault(key(name), "is no list of whole numbers")
            }
            guard numbers.allSatisfy({ $0 == first }) else {
                throw file.fault(
                    key(name), "differs from layer to layer, which is not supported", .unsupported)
            }
            return whole
        }
        guard let whole = value.whole, whole >= 0 else {
            throw file.fault(key(name), "is no whole number")
        }
        return whole
    }

    /// A whole number that must be there.
    /// - Throws: `GGUFError` (`damaged`).
    func required(_ name: String) throws(GGUFError) -> Int {
        guard let value = try whole(name) else { throw file.fault(key(name), "is missing") }
        return value
    }

    /// A finite number of the architecture.
    /// - Throws: `GGUFError` (`damaged`).
    func number(_ name: String) throws(GGUFError) -> Double? {
        guard let value = file.metadata[key(name)] else { return nil }
        guard let number = value.number, number.isFinite else {
            throw file.fault(key(name), "is no number")
        }
        return number
    }

    /// A truth value of the architecture.
    /// - Throws: `GGUFError` (`damaged`).
    func truth(_ name: String) throws(GGUFError) -> Bool? {
        guard let value = file.metadata[key(name)] else { return nil }
        guard let truth = value.truth else { throw file.fault(key(name), "is no truth value") }
        return truth
    }

    /// Truth values, one for each layer.
    /// - Throws: `GGUFError` (`damaged`).
    func flags(_ name: String) throws(GGUFError) -> [Bool]? {
        guard file.metadata[key(name)]?.list != nil else { return nil }
        return try file.numbers(key(name), limit: 1 << 16)?.map { $0 != 0 }
    }

    /// Whether there is a tensor.
    func has(_ name: String) -> Bool { tensors[name] != nil }

    // MARK: What all have in common

    /// Sets what all decoders have: extents, epsilon, rotary embedding, whether the head is the embedding.
    /// - Throws: `GGUFError`.
    mutating func setCommon(_ family: GGUFFamily) throws(GGUFError) {
        set("model_type", family.modelType)
        set("architectures", ConfigNode(.array([ConfigNode(.string(family.className))])))
        let hidden = try required("embedding_length")
        let heads = try required("attention.head_count")
        guard heads > 0 else { throw file.fault(key("attention.head_count"), "is zero") }
        set("hidden_size", hidden)
        set("num_hidden_layers", try layers())
        // Some conversions write what the large models of a family have.
        let up = tensors["blk.0.ffn_up.weight"]
        let width = try required("feed_forward_length")
        set("intermediate_size", up.map { $0.dims[0] / (family.fusesGateUp ? 2 : 1) } ?? width)
        set("num_attention_heads", heads)
        set("num_key_value_heads", try whole("attention.head_count_kv") ?? heads)
        if !family.isLatent { set("head_dim", try headDim()) }
        set("max_position_embeddings", try required("context_length"))
        guard let embedding = tensors["token_embd.weight"], embedding.dims.count == 2 else {
            throw GGUFError(
                .missing, "the file has no token_embd.weight; it is no language model by itself",
                path: file.path, tensor: "token_embd.weight")
        }
        set("vocab_size", embedding.dims[0])
        set("tie_word_embeddings", !has("output.weight"))
        let epsilonKey = family.isLayerNorm ? "layer_norm_epsilon" : "layer_norm_rms_epsilon"
        if let epsilon = try number("attention." + epsilonKey) {
            set(family.epsilonKey, epsilon)
        }
        if let activation = family.activation { set("hidden_act", activation) }
        try setRotary(family)
        setTokens()
        set("torch_dtype", "float32")
    }

    /// The number of layers, without those that only predict further tokens.
    func layers() throws(GGUFError) -> Int {
        let (all, extra) = (try required("block_count"), try whole("nextn_predict_layers") ?? 0)
        guard all > extra else { throw file.fault(key("block_count"), "is \(all)") }
        return all - extra
    }

    /// Numbers of a head.
    func headDim() throws(GGUFError) -> Int {
        let (hidden, heads) = (
            try required("embedding_length"), try required("attention.head_count")
        )
        // The rows of queries say it where the number of heads does not divide the states.
        let rows = tensors["blk.0.attn_q.weight"]?.dims[0] ?? hidden
        let width = try whole("attention.key_length") ?? (rows / max(heads, 1))
        if let values = try whole("attention.value_length"), values != width {
            throw file.fault(
                key("attention.value_length"),
                "(\(values)) differs from the \(width) of a key, which is not supported",
                .unsupported)
        }
        return width
    }

    private mutating func setTokens() {
        for (key, name) in [("bos", "bos"), ("eos", "eos"), ("padding", "pad")] {
            guard let id = file.metadata["tokenizer.ggml.\(key)_token_id"]?.whole else { continue }
            set("\(name)_token_id", id)
        }
    }

    /// The part of each head that rotates; nil where the file does not say.
    func rotaryShare() throws(GGUFError) -> Double? {
        let width = try headDim()
        guard let rotated = try whole("rope.dimension_count"), width > 0 else { return nil }
        return Double(rotated) / Double(width)
    }

    /// Sets `partial_rotary_factor` where a part of each head rotates.
    mutating func setRotaryShare() throws(GGUFError) {
        if let share = try rotaryShare() { set("partial_rotary_factor", share) }
    }

    /// Sets `sliding_window` where all layers have it.
    mutating func setWindow() throws(GGUFError) {
        let window = try whole("attention.sliding_window") ?? 0
        set("sliding_window", window > 0 ? ConfigNode(.integer(window)) : ConfigNode(.null))
    }

    /// Sets `sliding_window` and which layers have it.
    /// - Parameter isSliding: whether a layer has it, where the file does not say.
    mutating func setWindows(_ isSliding: (Int) -> Bool) throws(GGUFError) {
        let window = try whole("attention.sliding_window") ?? 0
        let layers = try layers()
        let flags = try flags("attention.sliding_window_pattern")
        if let flags, flags.count < layers {
            throw file.fault(
                key("attention.sliding_window_pattern"), "has \(flags.count) entries")
        }
        set("sliding_window", window > 0 ? ConfigNode(.integer(window)) : ConfigNode(.null))
        set(
            "layer_types",
            ConfigNode(
                .array(
                    (0..<layers).map { layer in
                        let slides = window > 0 && (flags?[layer] ?? isSliding(layer))
                        return ConfigNode(
                            .string(slides ? "sliding_attention" : "full_attention"))
                    })))
    }

    /// Sets the keys of a mixture of experts.
    mutating func setExperts(count: String, width: String?) throws(GGUFError) {
        set(count, try required("expert_count"))
        set("num_experts_per_tok", try required("expert_used_count"))
        guard let width else { return }
        if let value = try whole("expert_feed_forward_length") {
            set(width, value)
        } else if let gate = tensors["blk.0.ffn_gate_exps.weight"], gate.dims.count == 3 {
            set(width, gate.dims[1])
        }
    }
}

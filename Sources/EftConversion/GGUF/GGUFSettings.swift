// SPDX-License-Identifier: Apache-2.0
// What a GGUF file says about a model, from its config.json.
import EftConfig
import EftFormats
import EftGGUF
import EftModels
import EftNN

#if canImport(Glibc)
    import Glibc
#endif

/// Writes the settings of a model that llama.cpp reads, by the keys that its own conversion writes.
struct GGUFSettings {
    let folder: ModelFolder
    let names: GGUFNames
    private(set) var writer = GGUFHeaderWriter()
    private var keys: Set<String> = []

    /// The settings of a model's head, without its tokenizer.
    /// - Throws: `ConversionError` (`unsupported`) for what llama.cpp's architecture has no word for, `ConfigError`.
    static func write(
        _ folder: ModelFolder, _ names: GGUFNames, mix: GGUFMix
    ) throws -> GGUFHeaderWriter {
        var settings = GGUFSettings(folder: folder, names: names)
        settings.addGeneral(mix)
        try settings.addFamily()
        return settings.writer
    }

    private init(folder: ModelFolder, names: GGUFNames) {
        self.folder = folder
        self.names = names
    }

    var model: DecoderDescription { folder.description }

    /// Sets a key of the architecture; one that is there stays as it is.
    mutating func set(_ name: String, _ value: GGUFHeaderWriter.Value) {
        guard keys.insert(name).inserted else { return }
        writer.set("\(names.architecture).\(name)", value)
    }

    mutating func set(_ name: String, text: String) { set(name, .text(Array(text.utf8))) }

    private mutating func addGeneral(_ mix: GGUFMix) {
        writer.set("general.architecture", .text(Array(names.architecture.utf8)))
        writer.set("general.type", .text(Array("model".utf8)))
        writer.set("general.name", .text(Array(FileSystem.name(of: folder.path).utf8)))
        writer.set("general.file_type", .whole(mix.fileType))
        writer.set("general.quantization_version", .whole(2))
    }

    /// Says what the scales were chosen by, under llama.cpp's keys.
    static func add(_ importance: ImportanceMatrix, to head: inout GGUFHeaderWriter) {
        func text(_ key: String, _ value: String) {
            head.set("quantize.imatrix.\(key)", .text(Array(value.utf8)))
        }
        text("file", FileSystem.name(of: importance.path))
        if let name = importance.text { text("dataset", name) }
        head.set("quantize.imatrix.entries_count", .whole(importance.names.count))
        if let chunks = importance.chunks {
            head.set("quantize.imatrix.chunks_count", .whole(max(chunks, 0)))
        }
    }

    func fault(_ message: String) -> ConversionError {
        ConversionError(.unsupported, message, path: folder.path)
    }

    // MARK: What config.json says

    /// The settings of the language where a model sees too.
    private func config() throws -> ConfigCursor {
        try folder.config.optional("text_config") ?? folder.config
    }

    func has(_ key: String) throws -> Bool { try config().optional(key) != nil }

    /// The first of some keys that is there.
    func whole(_ keys: String...) throws -> Int? {
        for key in keys { if let value = try config().optional(key)?.int() { return value } }
        return nil
    }

    func number(_ key: String) throws -> Double? { try config().optional(key)?.double() }
    func truth(_ key: String) throws -> Bool? { try config().optional(key)?.bool() }

    private func rope(_ key: String) throws -> ConfigCursor? {
        let rope = try config().optional("rope_parameters") ?? config().optional("rope_scaling")
        return try rope?.optional(key) ?? rope?.optional("full_attention")?.optional(key)
    }

    // MARK: What most architectures have

    /// The keys that the conversion writes of all models, but for some families with lists of their own.
    mutating func addCommon() throws {
        let shape = model.shape
        set("block_count", .whole(model.layers))
        set("context_length", .whole(model.contextLength))
        set("embedding_length", .whole(shape.hidden))
        set(
            "feed_forward_length",
            .whole(try whole("intermediate_size", "n_inner") ?? shape.intermediate))
        set("attention.head_count", .whole(shape.heads))
        set("attention.head_count_kv", .whole(shape.latent == nil ? shape.kvHeads : 1))
        try addRotary()
        try addEpsilons()
        if let experts = shape.mixture {
            set("expert_count", .whole(experts.experts))
            set("expert_used_count", .whole(experts.expertsPerRow))
        }
        if let groups = try whole("n_group") { set("expert_group_count", .whole(groups)) }
        if let groups = try whole("topk_group") { set("expert_group_used_count", .whole(groups)) }
        if shape.latent == nil, try has("head_dim") { addHeadWidths() }
    }

    mutating func addHeadWidths() {
        set("attention.key_length", .whole(model.shape.headDim))
        set("attention.value_length", .whole(model.shape.headDim))
    }

    mutating func addEpsilons() throws {
        let epsilon = GGUFHeaderWriter.Value.real(Double(model.finalNorm.epsilon))
        let isLayer = model.norms.kind == .layer && names.architecture != "phimoe"
        if !isLayer { set("attention.layer_norm_rms_epsilon", epsilon) }
        // Some configurations have a number for the other kind of norm too, which the conversion takes over.
        for key in ["rms_norm_eps", "norm_eps"] where isLayer {
            if let value = try number(key) {
                set("attention.layer_norm_rms_epsilon", .real(value))
            }
        }
        if isLayer { set("attention.layer_norm_epsilon", epsilon) }
    }

    /// `vocab_size` and `rope.dimension_count`, as files of Llama's kin have them.
    mutating func addLlama() {
        set("vocab_size", .whole(model.vocabulary))
        set("rope.dimension_count", .whole(model.rotary.headDim))
    }

    // MARK: Rotary embedding

    private mutating func addRotary() throws {
        switch model.rotary.scaling {
        case .none, .llama3: break
        case .linear(let factor):
            set("rope.scaling.type", text: "linear")
            set("rope.scaling.factor", .real(factor))
        case .yarn(let yarn):
            set("rope.scaling.type", text: "yarn")
            set("rope.scaling.factor", .real(yarn.factor))
            set("rope.scaling.original_context_length", .whole(yarn.originalContext))
            if let value = try rope("attention_factor")?.double() {
                set("rope.scaling.yarn_attn_factor", .real(value))
            }
            set("rope.scaling.yarn_beta_fast", .real(yarn.betaFast))
            set("rope.scaling.yarn_beta_slow", .real(yarn.betaSlow))
        case .dynamic, .long:
            throw fault("this scaling of rotary embeddings has no place in a GGUF file")
        }
        for other in model.otherRotaries where other.scaling != .none {
            throw fault("a second rotary embedding that is scaled has no place in a GGUF file")
        }
        set("rope.freq_base", .real(model.rotary.theta))
        if let other = model.otherRotaries.first { set("rope.freq_base_swa", .real(other.theta)) }
    }

    /// The second of DeepSeek's scales.
    func latentScale() throws -> Double? { try rope("mscale_all_dim")?.double() }

    /// How many frequencies belong to time, height and width of what a model sees.
    func ropeSections() throws -> [Int32]? {
        guard let list = try rope("mrope_section") else { return nil }
        let sections = try list.elements().prefix(4).map { Int32(clamping: try $0.int()) }
        return sections + [Int32](repeating: 0, count: 4 - sections.count)
    }

    /// Tensors of numbers by which frequencies are divided.
    static func factors(_ rotary: RotaryEmbedding) -> [(name: String, numbers: [Float])] {
        switch rotary.scaling {
        case .llama3(let factor, let low, let high, let context):
            let numbers = (0..<rotary.headDim / 2).map { index -> Float in
                let share = 2 * Double(index) / Double(rotary.headDim)
                let wave = 2 * Double.pi * pow(rotary.theta, share)
                if wave < Double(context) / high { return 1 }
                if wave > Double(context) / low { return Float(factor) }
                let smooth = (Double(context) / wave - low) / (high - low)
                return Float(1 / ((1 - smooth) / factor + smooth))
            }
            return [("rope_freqs.weight", numbers)]
        case .long(let long):
            return [
                ("rope_factors_long.weight", long.longFactors.map { Float($0) }),
                ("rope_factors_short.weight", long.shortFactors.map { Float($0) }),
            ]
        default: return []
        }
    }
}

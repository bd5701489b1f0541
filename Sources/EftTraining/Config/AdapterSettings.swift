// SPDX-License-Identifier: Apache-2.0
// The keys that describe the adapter.
import EftConfig
import EftModels

/// The adapter of a run.
package struct AdapterSettings: Sendable, Hashable {
    /// Which linear layers get an adapter.
    package enum Targets: Sendable, Hashable {
        /// Names or ends of names, such as `q_proj`; every linear layer inside the decoder layers when `all`.
        case modules([String], all: Bool)
        /// A regular expression that the whole name must match.
        case pattern(String)
    }

    /// How A and B start, as in PEFT; B starts at zero unless it says otherwise.
    package enum Initialization: Sendable, Hashable {
        /// Uniform between plus and minus one over the square root of the number of inputs.
        case uniform
        /// Normal with a standard deviation of one over the rank.
        case gaussian
        /// Both uniform, so that the model changes at once.
        case random
        /// Both normal, in subspaces of the ranks that have nothing in common.
        case orthogonal
        /// The largest singular vectors of the weight, whose product is taken away from it; by as many rounds of products with
        /// random vectors when a number is given.
        case pissa(rounds: Int?)
        /// The first columns and rows of the weight's QR factors, whose product is taken away from it.
        case olora
        /// The largest singular vectors of what NF4 leaves of the weight.
        case loftq

        /// Whether the product that A and B begin with is taken away from the weight.
        package var replacesWeight: Bool {
            switch self {
            case .pissa, .olora: true
            default: false
            }
        }

        /// Whether it is computed from the base's weights.
        package var readsWeights: Bool { replacesWeight || self == .loftq }
    }

    /// Whether the base is held in 4 bits.
    package var quantizesBase: Bool
    /// Whether the base is held in 8 bits.
    package var holdsBaseIn8Bits = false
    /// The folder of an adapter to go on training; its own settings then count.
    package var folder: String?
    /// r.
    package var rank = 0
    /// alpha.
    package var alpha = 0.0
    /// Probability of dropout.
    package var dropout = 0.0
    /// Which layers.
    package var targets = Targets.modules([], all: true)
    /// Ranks that differ, by the end of a layer's name.
    package var rankPattern: [String: Int] = [:]
    /// Alphas that differ, by the end of a layer's name.
    package var alphaPattern: [String: Double] = [:]
    /// Whether alpha is divided by the square root of the rank.
    package var rankStabilized = false
    /// Whether the rows of adapted weights get lengths that are trained too (DoRA).
    package var usesDora = false
    /// Modules that are trained and saved whole: `embed_tokens`, `lm_head`.
    package var modulesToSave: [String] = []
    /// Tokens whose rows are trained alone.
    package var trainedTokens = TrainedTokenIDs()
    /// Numbers of the decoder layers whose linear layers get an adapter; all when nil.
    package var layersToTransform: [Int]?
    /// Names of stacked parameters that are to get an adapter.
    package var targetParameters: [String] = []
    /// How A starts.
    package var initialization = Initialization.uniform

    /// What the method is called.
    package var methodName: String { (quantizesBase ? "Q" : "") + (usesDora ? "DoRA" : "LoRA") }

    private static let rankRange = 1...65536

    private init(quantizesBase: Bool) { self.quantizesBase = quantizesBase }

    /// Reads the adapter's keys; nil when all weights are to be trained.
    static func read(_ config: ConfigCursor) throws(ConfigError) -> AdapterSettings? {
        let fourBit = try config.lenientBool("load_in_4bit") ?? false
        let eightBit = try config.lenientBool("load_in_8bit") ?? false
        guard let kind = try config.optional("adapter"), try kind.string() != "" else {
            for (key, isSet) in [("load_in_4bit", fourBit), ("load_in_8bit", eightBit)] where isSet
            {
                throw try config.required(key).error(
                    .badValue, "a quantized base cannot be trained itself; set adapter: qlora")
            }
            return nil
        }
        switch try kind.string() {
        case "lora": break
        case "qlora":
            guard fourBit else {
                throw kind.error(.badValue, "adapter: qlora needs load_in_4bit: true")
            }
            guard !eightBit else {
                throw kind.error(.badValue, "adapter: qlora does not go with load_in_8bit: true")
            }
        case let other:
            throw kind.error(
                .badValue,
                "the adapter '\(excerpt(other))' is not supported; there are lora and qlora")
        }
        var settings = AdapterSettings(quantizesBase: fourBit)
        settings.folder = try config.text("lora_model_dir")
        if try AdapterBase.usesLoftQ(config) { settings.quantizesBase = true }
        settings.holdsBaseIn8Bits = eightBit
        if eightBit, settings.quantizesBase {
            throw try config.required("load_in_8bit").error(
                .badValue, "does not go with a base in NF4 (load_in_4bit, loftq)")
        }
        if settings.folder == nil { try settings.readShape(config) }
        return settings
    }

    private mutating func readShape(_ config: ConfigCursor) throws(ConfigError) {
        guard let rank = try config.lenientInt("lora_r", in: Self.rankRange),
            let alpha = try config.lenientDouble("lora_alpha", in: -1e6...1e6)
        else {
            throw config.error(.missingKey, "an adapter needs lora_r and lora_alpha")
        }
        (self.rank, self.alpha) = (rank, alpha)
        dropout = try config.lenientDouble("lora_dropout", in: 0...0.99) ?? 0
        rankStabilized = try config.lenientBool("peft_use_rslora") ?? false
        usesDora = try config.lenientBool("peft_use_dora") ?? false
        for (key, value) in try config.optional("lora_rank_pattern")?.entries() ?? [] {
            rankPattern[key] = try value.int(in: Self.rankRange)
        }
        for (key, value) in try config.optional("lora_alpha_pattern")?.entries() ?? [] {
            alphaPattern[key] = try value.double()
        }
        try readModulesToSave(config)
        try readLayers(config)
        try readTokens(config)
        targetParameters = try config.texts("lora_target_parameters") ?? []
        try readInitialization(config)
        try readTargets(config)
        guard !initialization.readsWeights || !usesDora else {
            throw try config.required("peft_use_dora").error(
                .badValue,
                "DoRA does not go with an adapter that begins from the base's weights (pissa, olora, loftq); remove one "
                    + "of both")
        }
    }

    /// The modules that are trained whole: the configuration's, or those of the adapter to go on from.
    /// - Throws: what reading that adapter's settings throws.
    func savedModules() throws -> [String] {
        guard let folder else {
            return modulesToSave.compactMap(SavedEnds.module)
        }
        let names = try AdapterConfig.read(folder: folder).modulesToSave
        return SavedEnds.modules.filter { module in
            names.contains { SavedEnds.module(named: $0) == module }
        }
    }

    private mutating func readModulesToSave(_ config: ConfigCursor) throws(ConfigError) {
        let key = "lora_modules_to_save"
        for name in try config.texts(key) ?? [] {
            // Where there is such a head it is trained anyway.
            if ScoreHead.savedModules.contains(name), try ScoreSettings.read(config) != nil {
                continue
            }
            guard SavedEnds.module(named: name) != nil else {
                throw try config.required(key).error(
                    .badValue,
                    "'\(excerpt(name))' is not trained as a whole; there are "
                        + SavedEnds.modules.joined(separator: " and "))
            }
            let module = name.split(separator: ".").last.map(String.init) ?? name
            if !modulesToSave.contains(module) { modulesToSave.append(module) }
        }
    }

    private mutating func readTokens(_ config: ConfigCursor) throws(ConfigError) {
        guard let value = try config.optional("peft_trainable_token_indices") else { return }
        trainedTokens = try TrainedTokenIDs(value)
        guard trainedTokens.isEmpty || modulesToSave.isEmpty else {
            throw value.error(
                .badValue,
                "rows of tokens are trained alone, or embedding and head whole (lora_modules_to_save); remove one of "
                    + "both keys")
        }
    }

    private mutating func readLayers(_ config: ConfigCursor) throws(ConfigError) {
        let key = "peft_layers_to_transform"
        if let value = try config.optional(key) {
            let range = 0...Int(Int32.max)
            if case .array = value.node.value {
                var layers: [Int] = []
                for item in try value.elements() { layers.append(try item.int(in: range)) }
                layersToTransform = layers
            } else {
                layersToTransform = [try value.int(in: range)]
            }
        }
        for pattern in try config.texts("peft_layers_pattern") ?? [] where pattern != "layers" {
            throw try config.required("peft_layers_pattern").error(
                .badValue,
                "'\(excerpt(pattern))' is no list of decoder layers; it is called 'layers'")
        }
    }

    private mutating func readInitialization(_ config: ConfigCursor) throws(ConfigError) {
        let block = try config.optional("peft")
        for (key, value) in try block?.entries() ?? [] where key != "loftq_config" {
            throw value.error(.badValue, "not supported; there is loftq_config")
        }
        if let loftq = try block?.optional("loftq_config") {
            for (key, value) in try loftq.entries() {
                switch key {
                case "loftq_bits" where try value.int() == 4: break
                case "loftq_iter" where try value.int() == 1: break
                case "loftq_bits": throw value.error(.badValue, "only 4 bits are supported")
                default:
                    throw value.error(
                        .badValue,
                        "not supported: with one round alone the base is what NF4 makes of the model, so that the "
                            + "adapter runs on it")
                }
            }
            initialization = .loftq
        }
        guard let value = try config.optional("peft_init_lora_weights") else { return }
        initialization = try Self.initialization(value, isLoftQ: initialization == .loftq)
        guard !initialization.replacesWeight || !(quantizesBase || holdsBaseIn8Bits) else {
            throw value.error(
                .badValue,
                "an adapter that takes its product away from the base needs the base in 16 bits, as in PEFT, since "
                    + "what is left would have to be quantized anew; use adapter: lora without load_in_8bit, or loftq for a base in NF4"
            )
        }
        guard
            !initialization.replacesWeight || !rankStabilized
                || (rankPattern.isEmpty && alphaPattern.isEmpty)
        else {
            throw value.error(
                .badValue,
                "does not go with peft_use_rslora beside lora_rank_pattern or lora_alpha_pattern: no adapter of twice "
                    + "the rank has the same scales")
        }
    }

    private static func initialization(
        _ value: ConfigCursor, isLoftQ: Bool
    ) throws(ConfigError) -> Initialization {
        var word = ""
        switch value.node.value {
        case .bool(let flag): word = flag ? "true" : "false"
        case .string(let text): word = text.lowercased()
        default: break
        }
        // As Axolotl sets them: the key after the block.
        switch word {
        case "true": return .uniform
        case "false": return .random
        case "gaussian": return .gaussian
        case "orthogonal": return .orthogonal
        case "pissa": return .pissa(rounds: nil)
        case "olora": return .olora
        case "loftq":
            guard isLoftQ else {
                throw value.error(
                    .badValue, "needs peft: {loftq_config: {loftq_bits: 4}} beside it")
            }
            return .loftq
        case "eva", "corda", "lora_ga":
            throw value.error(
                .badValue,
                "'\(word)' needs activations or gradients of examples before training, which is not supported; there "
                    + "are pissa, olora, loftq, orthogonal and gaussian")
        default:
            if word.hasPrefix("pissa_niter_"), let rounds = Int(word.dropFirst(12)),
                (0...1000).contains(rounds)
            {
                return .pissa(rounds: rounds)
            }
            throw value.error(
                .badValue,
                "there are true, false, gaussian, orthogonal, pissa, pissa_niter_N, olora and loftq"
            )
        }
    }

    private mutating func readTargets(_ config: ConfigCursor) throws(ConfigError) {
        let all = try config.lenientBool("lora_target_linear") ?? false
        guard let value = try config.optional("lora_target_modules") else {
            guard all || !targetParameters.isEmpty else {
                throw config.error(
                    .missingKey,
                    "an adapter needs lora_target_linear: true or a list lora_target_modules")
            }
            targets = .modules([], all: all)
            return
        }
        if case .string(let pattern) = value.node.value, pattern != "" {
            if pattern == "all-linear" { return }
            guard (try? Regex(pattern)) != nil else {
                throw value.error(.badValue, "'\(excerpt(pattern))' is no regular expression")
            }
            targets = .pattern(pattern)
            return
        }
        let names = try config.texts("lora_target_modules") ?? []
        guard all || !names.isEmpty || !targetParameters.isEmpty else {
            throw value.error(.badValue, "the list is empty and lora_target_linear is not set")
        }
        targets = .modules(names, all: all)
    }
}

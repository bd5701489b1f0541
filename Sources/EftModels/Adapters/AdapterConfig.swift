// SPDX-License-Identifier: Apache-2.0
// PEFT's adapter_config.json.
import EftConfig
import EftFormats

/// Settings of a LoRA adapter, as PEFT 0.19 reads and writes them.
package struct AdapterConfig: Sendable, Hashable {
    /// r.
    package var rank: Int
    /// alpha.
    package var alpha: Double
    /// Probability of dropout in training.
    package var dropout: Double
    /// Names of the adapted modules, such as `q_proj`.
    package var targetModules: [String]
    /// Names of adapted parameters that hold the matrices of all experts, such as `mlp.experts.down_proj`.
    package var targetParameters: [String] = []
    /// Ranks of modules that differ, by name pattern.
    package var rankPattern: [String: Int]
    /// Alphas of modules that differ, by name pattern.
    package var alphaPattern: [String: Double]
    /// Patterns of the file in its order.
    private var rankOrder: [String] = []
    private var alphaOrder: [String] = []
    /// Whether alpha is divided by the square root of the rank.
    package var rankStabilized: Bool
    /// Whether the rows of adapted weights have lengths of their own (DoRA).
    package var usesDora = false
    /// Whether the base stores its weights by inputs. PEFT follows the base whatever is said here, and A and B are the same.
    package var storesByInputs = false
    /// The base model's path or name.
    package var baseModel: String
    /// Modules whose whole weight is trained and saved, such as `embed_tokens`.
    package var modulesToSave: [String]
    /// Whether a tied head stays tied to a saved embedding.
    package private(set) var ensuresWeightTying = false
    /// Tokens whose rows are trained alone.
    package var trainedTokens = TrainedTokenIDs()
    /// Numbers of the decoder layers that have adapters; all when nil.
    package var layersToTransform: [Int]?
    /// What the adapted model scores; nil for a language model.
    package var scores: ScoreHead.Kind?

    /// Makes settings.
    package init(
        rank: Int, alpha: Double, dropout: Double = 0, targetModules: [String],
        rankPattern: [String: Int] = [:], alphaPattern: [String: Double] = [:],
        rankStabilized: Bool = false, baseModel: String = "", modulesToSave: [String] = [],
        layersToTransform: [Int]? = nil
    ) {
        self.rank = rank
        self.alpha = alpha
        self.dropout = dropout
        self.targetModules = targetModules
        self.rankPattern = rankPattern
        self.alphaPattern = alphaPattern
        self.rankStabilized = rankStabilized
        self.baseModel = baseModel
        self.modulesToSave = modulesToSave
        self.layersToTransform = layersToTransform
    }

    /// Rank and scale of a module. Patterns are tried in the order of the file, as PEFT tries them.
    package func settings(for module: String) -> (rank: Int, scale: Double) {
        func match<V>(_ patterns: [String: V], _ order: [String]) -> V? {
            let others = patterns.keys.filter { !order.contains($0) }.sorted()
            return (order + others).first {
                patterns[$0] != nil && AdapterConfig.matches($0, module)
            }.flatMap { patterns[$0] }
        }
        let rank = match(rankPattern, rankOrder) ?? self.rank
        let alpha = match(alphaPattern, alphaOrder) ?? self.alpha
        let divisor = rankStabilized ? Double(rank).squareRoot() : Double(rank)
        return (rank, alpha / divisor)
    }

    /// The settings of an adapter of some times the rank and the same scales.
    package func widened(by times: Int) -> AdapterConfig {
        let growth = rankStabilized ? Double(times).squareRoot() : Double(times)
        var config = self
        config.rank *= times
        config.alpha *= growth
        config.rankPattern = rankPattern.mapValues { times * $0 }
        config.alphaPattern = alphaPattern.mapValues { growth * $0 }
        return config
    }

    /// Whether a pattern, a regular expression, matches a module's whole name or its end behind a dot.
    private static func matches(_ pattern: String, _ module: String) -> Bool {
        if module == pattern || module.hasSuffix("." + pattern) { return true }
        // Most patterns are plain names; a dot in them means a dot.
        let plain = pattern.utf8.allSatisfy { byte in
            byte == UInt8(ascii: "_") || byte == UInt8(ascii: ".")
                || (UInt8(ascii: "0")...UInt8(ascii: "9")).contains(byte)
                || (UInt8(ascii: "a")...UInt8(ascii: "z")).contains(byte | 0x20)
        }
        guard !plain, let regex = try? Regex("(?:.*\\.)?(?:\(pattern))") else { return false }
        return (try? regex.wholeMatch(in: module)) != nil
    }

    /// Refuses patterns that are no regular expressions.
    private static func checkPattern(_ pattern: String, _ cursor: ConfigCursor) throws {
        guard pattern.utf8.count <= 512, (try? Regex(pattern)) != nil else {
            throw cursor.error(.badValue, "the pattern '\(pattern)' is no regular expression")
        }
    }

    /// Reads `adapter_config.json` of a folder.
    /// - Throws: `ConfigError`, `FormatError`, and `ModelError` for kinds of adapters that Eft does not have.
    package static func read(folder: String) throws -> AdapterConfig {
        let path = FileSystem.join(folder, "adapter_config.json")
        guard FileSystem.exists(path) else {
            throw ModelError(
                .missing, "no adapter_config.json here; give a PEFT adapter's folder", path: folder)
        }
        let config = ConfigCursor(
            try JSONParser.parse(try FileSystem.read(path), file: path), file: path)
        try refuseUnsupported(config)
        let rank = try config.required("r")
        var result = AdapterConfig(
            rank: try checkedRank(rank), alpha: try config.required("lora_alpha").double(),
            dropout: try config.double("lora_dropout", default: 0), targetModules: [],
            rankStabilized: try config.bool("use_rslora", default: false),
            baseModel: try config.string("base_model_name_or_path", default: ""))
        result.storesByInputs = try config.bool("fan_in_fan_out", default: false)
        result.usesDora = try config.bool("use_dora", default: false)
        if let targets = try config.optional("target_modules") {
            if case .string(let one) = targets.node.value {
                result.targetModules = [one]
            } else {
                result.targetModules = try targets.elements().map { try $0.string() }
            }
        }
        if let parameters = try config.optional("target_parameters") {
            result.targetParameters = try parameters.elements().map { try $0.string() }
        }
        if let modules = try config.optional("modules_to_save") {
            result.modulesToSave = try modules.elements().map { try $0.string() }
        }
        if let layers = try config.optional("layers_to_transform") {
            if case .array = layers.node.value {
                result.layersToTransform = try layers.elements().map { try $0.int() }
            } else {
                result.layersToTransform = [try layers.int()]
            }
        }
        result.scores = ScoreHead.Kind(rawValue: try config.string("task_type", default: ""))
        if let tokens = try config.optional("trainable_token_indices") {
            result.trainedTokens = try TrainedTokenIDs(tokens)
        }
        result.ensuresWeightTying = try config.bool("ensure_weight_tying", default: false)
        for (key, _) in try config.optional("rank_pattern")?.object().entries ?? [] {
            let value = try config.required("rank_pattern").required(key)
            try checkPattern(key, value)
            result.rankPattern[key] = try checkedRank(value)
            result.rankOrder.append(key)
        }
        for (key, _) in try config.optional("alpha_pattern")?.object().entries ?? [] {
            let value = try config.required("alpha_pattern").required(key)
            try checkPattern(key, value)
            result.alphaPattern[key] = try value.double()
            result.alphaOrder.append(key)
        }
        return result
    }

    /// The highest rank that is believed.
    static let highestRank = 65536

    private static func checkedRank(_ cursor: ConfigCursor) throws -> Int {
        let rank = try cursor.int()
        guard rank > 0, rank <= highestRank else {
            throw cursor.error(
                .badValue, "a rank must lie between 1 and \(highestRank), found \(rank)")
        }
        return rank
    }
}

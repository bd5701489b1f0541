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
    /// Ranks of modules that differ, by name pattern.
    package var rankPattern: [String: Int]
    /// Alphas of modules that differ, by name pattern.
    package var alphaPattern: [String: Double]
    /// Whether alpha is divided by the square root of the rank.
    package var rankStabilized: Bool
    /// The base model's path or name.
    package var baseModel: String

    /// Makes settings.
    package init(
        rank: Int, alpha: Double, dropout: Double = 0, targetModules: [String],
        rankPattern: [String: Int] = [:], alphaPattern: [String: Double] = [:],
        rankStabilized: Bool = false, baseModel: String = ""
    ) {
        self.rank = rank
        self.alpha = alpha
        self.dropout = dropout
        self.targetModules = targetModules
        self.rankPattern = rankPattern
        self.alphaPattern = alphaPattern
        self.rankStabilized = rankStabilized
        self.baseModel = baseModel
    }

    /// Rank and scale of a module. A pattern matches the whole name or its end behind a dot, as PEFT's do.
    package func settings(for module: String) -> (rank: Int, scale: Double) {
        func match<V>(_ patterns: [String: V]) -> V? {
            patterns.keys.sorted { $0.count > $1.count }
                .first { module == $0 || module.hasSuffix("." + $0) }.flatMap { patterns[$0] }
        }
        let rank = match(rankPattern) ?? self.rank
        let alpha = match(alphaPattern) ?? self.alpha
        let divisor = rankStabilized ? Double(rank).squareRoot() : Double(rank)
        return (rank, alpha / divisor)
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
        if let targets = try config.optional("target_modules") {
            if case .string(let one) = targets.node.value {
                result.targetModules = [one]
            } else {
                result.targetModules = try targets.elements().map { try $0.string() }
            }
        }
        for (key, _) in try config.optional("rank_pattern")?.object().entries ?? [] {
            let value = try config.required("rank_pattern").required(key)
            result.rankPattern[key] = try checkedRank(value)
        }
        for (key, _) in try config.optional("alpha_pattern")?.object().entries ?? [] {
            result.alphaPattern[key] = try config.required("alpha_pattern").required(key).double()
        }
        return result
    }

    private static func checkedRank(_ cursor: ConfigCursor) throws -> Int {
        let rank = try cursor.int()
        guard rank > 0, rank <= 65536 else {
            throw cursor.error(.badValue, "a rank must lie between 1 and 65536, found \(rank)")
        }
        return rank
    }

    private static func refuseUnsupported(_ config: ConfigCursor) throws {
        func refuse(_ what: String) -> ModelError {
            ModelError(.unsupported, "adapters with \(what) are not supported", path: config.file)
        }
        let type = try config.string("peft_type", default: "LORA")
        guard type == "LORA" else { throw refuse("peft_type \(type)") }
        for key in ["use_dora", "fan_in_fan_out", "use_qalora", "use_bdlora", "lora_bias"]
        where try config.bool(key, default: false) {
            throw refuse(key)
        }
        guard try config.string("bias", default: "none") == "none" else {
            throw refuse("trained biases")
        }
        if let modules = try config.optional("modules_to_save"), try !modules.elements().isEmpty {
            throw refuse("modules_to_save")
        }
        if try config.optional("layer_replication") != nil { throw refuse("layer_replication") }
    }
}

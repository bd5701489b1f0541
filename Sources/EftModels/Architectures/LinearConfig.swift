// SPDX-License-Identifier: Apache-2.0
// The keys of config.json that say what linear attention is like, and which layers have it.
import EftConfig
import EftNN
import EftTensor

/// Reads `linear_*` and the `layer_types` of Qwen 3 Next.
enum LinearConfig {
    private static let largestHead = 1 << 10
    private static let mostHeads = 1 << 12

    /// - Throws: `ConfigError` for numbers that no model has.
    static func read(_ config: ConfigCursor, isGrouped: Bool) throws -> LinearAttentionShape {
        func extent(_ key: String, _ value: Int, most: Int) throws -> Int {
            try config.optional(key) == nil ? value : FamilyConfig.extent(key, config, most: most)
        }
        let keyHeads = try extent("linear_num_key_heads", 16, most: mostHeads)
        let valueHeads = try extent("linear_num_value_heads", 32, most: mostHeads)
        let keyDim = try extent("linear_key_head_dim", 128, most: largestHead)
        let valueDim = try extent("linear_value_head_dim", 128, most: largestHead)
        guard valueHeads % keyHeads == 0 else {
            throw config.error(
                .badValue,
                "linear_num_value_heads (\(valueHeads)) is no multiple of linear_num_key_heads (\(keyHeads))"
            )
        }
        let taps = try extent("linear_conv_kernel_dim", 4, most: RowConvolution.mostTaps)
        let widest = max(keyHeads * keyDim, valueHeads * valueDim)
        guard widest <= FamilyConfig.largestWidth else {
            throw config.error(
                .badValue,
                "linear attention of width \(widest) is wider than any model (\(FamilyConfig.largestWidth))"
            )
        }
        return LinearAttentionShape(
            delta: DeltaShape(
                keyHeads: keyHeads, valueHeads: valueHeads, keyDim: keyDim, valueDim: valueDim),
            taps: taps, isGrouped: isGrouped)
    }

    /// Layers that have it; every fourth one has not where the config does not say.
    /// - Throws: `ConfigError` for lists of another length, `ModelError` (`unsupported`) for other kinds of layers.
    static func kinds(_ config: ConfigCursor, layers: Int) throws -> [LayerKind] {
        var linear = LayerKind(rotary: nil)
        linear.isLinear = true
        guard let types = try config.optional("layer_types") else {
            let interval = try LayerKinds.pattern("full_attention_interval", config, default: 4)
            return (1...layers).map { $0 % interval == 0 ? LayerKind() : linear }
        }
        return try LayerKinds.named(
            types, layers: layers, supported: "full_attention, linear_attention"
        ) { ["full_attention": LayerKind(), "linear_attention": linear][$0] }
    }
}

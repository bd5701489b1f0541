// SPDX-License-Identifier: Apache-2.0
// The keys of config.json that say what a state space is like.
import EftConfig
import EftNN
import EftTensor

/// Reads `mamba_*`.
enum StateSpaceConfig {
    private static let mostHeads = 1 << 12
    private static let largestState = 1 << 10

    /// - Throws: `ConfigError` for numbers that no model has, `ModelError` (`unsupported`) for what Eft does not compute.
    static func read(_ config: ConfigCursor, hidden: Int) throws -> StateSpaceShape {
        func extent(_ key: String, _ value: Int, most: Int) throws -> Int {
            try config.optional(key) == nil ? value : FamilyConfig.extent(key, config, most: most)
        }
        try FamilyConfig.refuse(
            "mamba_proj_bias", config,
            "state spaces whose products have a bias (mamba_proj_bias) are not supported")
        try checkSteps(config)
        let heads = try extent("mamba_n_heads", 128, most: mostHeads)
        let groups = try extent("mamba_n_groups", 1, most: mostHeads)
        let state = try extent("mamba_d_state", 256, most: largestState)
        let taps = try extent("mamba_d_conv", 4, most: RowConvolution.mostTaps)
        let expand = try extent("mamba_expand", 2, most: 64)
        let width = expand * hidden
        guard heads % groups == 0, width % heads == 0, width <= FamilyConfig.largestWidth,
            groups * state <= FamilyConfig.largestWidth
        else {
            throw config.error(
                .badValue,
                "mamba_n_heads (\(heads)) must be a multiple of mamba_n_groups (\(groups)) and divide "
                    + "mamba_expand times hidden_size (\(width))")
        }
        if let cursor = try config.optional("mamba_d_head"), (try? cursor.string()) != "auto" {
            guard try cursor.int() == width / heads else {
                throw cursor.error(
                    .badValue,
                    "mamba_d_head must be mamba_expand times hidden_size over mamba_n_heads (\(width / heads))"
                )
            }
        }
        return StateSpaceShape(
            groups: groups, heads: heads, stateDim: state, headDim: width / heads, taps: taps,
            hasBias: try config.bool("mamba_conv_bias", default: true))
    }

    /// Steps are the soft plus of what the product gives, with no limits that could matter.
    private static func checkSteps(_ config: ConfigCursor) throws {
        guard let limits = try config.optional("time_step_limit") else { return }
        let ends = try limits.elements()
        let lower = ends.isEmpty ? 0 : try ends[0].double()
        // Infinity has no number in JSON.
        let upper = ends.count < 2 ? nil : try? ends[1].double()
        guard ends.count == 2, lower <= 0, (upper ?? .infinity) >= 1e30 else {
            throw ModelError(
                .unsupported,
                "state spaces with limits of their steps (time_step_limit) are not supported",
                path: config.file)
        }
    }
}

// SPDX-License-Identifier: Apache-2.0
// EXAONE 4.
import EftConfig
import EftNN

/// `Exaone4ForCausalLM`: norms of heads and of values, none before attention and MLP; layers that see everything do not
/// rotate where others have a window.
package enum Exaone4: Architecture {
    package static let modelTypes = ["exaone4"]
    package static let models = "EXAONE 4"

    package static func describe(_ config: ConfigCursor) throws -> DecoderDescription {
        var description = try FamilyConfig.describe(
            config,
            FamilyTraits(architecture: "Exaone4ForCausalLM", normsHeads: true, epsilon: 1e-5))
        description.normOnlyValues()
        let pattern = try pattern(config)
        let window = try LayerKinds.window(config, default: 4096)
        description.kinds = try LayerKinds.read(
            config, layers: description.layers, window: window,
            isSliding: { pattern[$0 % pattern.count] }
        ).map { LayerKind(window: $0.window, rotary: window == nil || $0.window != nil ? 0 : nil) }
        return description
    }

    /// Which layers of a period have a window: a number, the last one of which has none, or letters L and G.
    private static func pattern(_ config: ConfigCursor) throws -> [Bool] {
        guard let cursor = try config.optional("sliding_window_pattern") else {
            return [true, true, true, false]
        }
        if let letters = try? cursor.string(), !letters.isEmpty { return letters.map { $0 == "L" } }
        let period = try LayerKinds.pattern("sliding_window_pattern", config, default: 4)
        return (1...period).map { $0 != period }
    }
}

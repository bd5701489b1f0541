// SPDX-License-Identifier: Apache-2.0
// Which layers see a window of the past only, and which rotate.
import EftConfig
import EftNN

/// Reads `sliding_window` and `layer_types`.
enum LayerKinds {
    /// Kinds of layers that all rotate alike.
    /// - Parameters:
    ///   - window: `sliding_window` where the config does not give it.
    ///   - isSliding: whether a layer has the window, where there is no `layer_types`.
    /// - Throws: `ConfigError` for lists of another length and windows that are not positive, `ModelError` (`unsupported`)
    ///   for kinds of layers that Eft does not have.
    static func read(
        _ config: ConfigCursor, layers: Int, window: Int? = nil,
        isSliding: (_ layer: Int) -> Bool = { _ in true }
    ) throws -> [LayerKind] {
        func size() throws -> Int? { try self.window(config, default: window) }
        guard let types = try config.optional("layer_types") else {
            return try (0..<layers).map { LayerKind(window: isSliding($0) ? try size() : nil) }
        }
        return try named(types, layers: layers, supported: "full_attention, sliding_attention") {
            switch $0 {
            case "full_attention": return LayerKind()
            case "sliding_attention":
                guard let window = try size() else {
                    throw types.error(
                        .badValue,
                        "layer_types has 'sliding_attention', and there is no sliding_window")
                }
                return LayerKind(window: window)
            default: return nil
            }
        }
    }

    /// Reads the kind of each layer by its name.
    /// - Parameters:
    ///   - types: `layer_types`.
    ///   - supported: the names that there are, for the error.
    ///   - kind: what a name says; nil for one that the family does not have.
    /// - Throws: `ConfigError` for a list of another length, `ModelError` (`unsupported`) for other names; what `kind` throws.
    static func named(
        _ types: ConfigCursor, layers: Int, supported: String,
        _ kind: (_ name: String) throws -> LayerKind?
    ) throws -> [LayerKind] {
        let names = try types.elements().map { try $0.string() }
        guard names.count == layers else {
            throw types.error(
                .badValue,
                "layer_types has \(names.count) entries, num_hidden_layers says \(layers)")
        }
        return try names.map { name in
            guard let kind = try kind(name) else {
                throw ModelError(
                    .unsupported,
                    "layers of the type '\(excerpt(name))' are not supported in this family; supported are "
                        + supported, path: types.file)
            }
            return kind
        }
    }

    /// Reads kinds of layers of which those with a window have a rotary embedding of their own.
    /// - Parameters:
    ///   - theta: the base of that embedding where the config has none of those layers.
    ///   - isSliding: whether a layer has the window, where there is no `layer_types`.
    /// - Throws: as `read`, and as `RotaryConfig.read`.
    static func readWithLocalRotary(
        _ config: ConfigCursor, into description: inout DecoderDescription, _ traits: FamilyTraits,
        theta: Double, isSliding: (_ layer: Int) -> Bool
    ) throws {
        description.otherRotaries = [
            try RotaryConfig.read(
                config, headDim: description.shape.headDim, context: description.contextLength,
                traits, layers: "sliding_attention", theta: theta)
        ]
        description.kinds = try read(
            config, layers: description.layers, window: 4096, isSliding: isSliding
        ).map { LayerKind(window: $0.window, rotary: $0.window == nil ? 0 : 1) }
    }

    /// Whether each layer rotates, by `no_rope_layers` (1 where it does), or by how many layers apart others stand.
    /// - Throws: `ConfigError` for lists that are too short.
    static func rotating(_ config: ConfigCursor, layers: Int) throws -> [Bool] {
        let list = try config.optional("no_rope_layers")
        let values = try list?.elements().map { try $0.int() != 0 } ?? []
        guard let list, !values.isEmpty else {
            let interval = try pattern("no_rope_layer_interval", config, default: 4)
            return (0..<layers).map { ($0 + 1) % interval != 0 }
        }
        guard values.count >= layers else {
            throw list.error(
                .badValue,
                "no_rope_layers has \(values.count) entries, num_hidden_layers says \(layers)")
        }
        return Array(values.prefix(layers))
    }

    /// `sliding_window`; nil where the config says null.
    static func window(_ config: ConfigCursor, default value: Int?) throws -> Int? {
        guard try config.hasKey("sliding_window") else { return value }
        guard let cursor = try config.optional("sliding_window") else { return nil }
        let window = try cursor.int()
        guard window > 0 else {
            throw cursor.error(.badValue, "sliding_window (\(window)) must be positive")
        }
        return window
    }

    /// A whole number by which layers alternate.
    /// - Throws: `ConfigError` where it is not positive.
    static func pattern(_ key: String, _ config: ConfigCursor, default value: Int) throws -> Int {
        guard let cursor = try config.optional(key) else { return value }
        let pattern = try cursor.int()
        guard pattern > 0 else {
            throw cursor.error(.badValue, "\(key) (\(pattern)) must be positive")
        }
        return pattern
    }
}

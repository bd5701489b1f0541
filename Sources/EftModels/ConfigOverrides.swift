// SPDX-License-Identifier: Apache-2.0
// Keys of config.json that a command line replaces.
import EftConfig

/// Values that take the place of those in `config.json`.
package struct ConfigOverrides: Sendable {
    /// Keys and their values, as in `config.json`.
    package var values = ConfigObject()
    /// The scaling of rotary embeddings, as `rope_scaling` states it; the context grows by its factor.
    package var ropeScaling: ConfigNode?

    /// Nothing is replaced.
    package init() {}

    /// Whether nothing is replaced.
    package var isEmpty: Bool { values.isEmpty && ropeScaling == nil }

    /// A configuration with the values in place.
    /// - Throws: `ConfigError` for a scaling that is no mapping.
    func applied(to config: ConfigNode, file: String) throws -> ConfigNode {
        guard !isEmpty, case .object(var object) = config.value else { return config }
        for (key, node) in values.entries {
            // Of the two spellings of one setting the replaced one counts.
            if key == "rope_scaling" { object["rope_parameters"] = nil }
            if key == "rope_parameters" { object["rope_scaling"] = nil }
            if key == "rope_theta" { removeInner(key, of: "rope_parameters", &object) }
            object[key] = node
        }
        if let ropeScaling { try scale(&object, ropeScaling, file) }
        return ConfigNode(object)
    }

    /// Removes a key of an object that stands under another key.
    private func removeInner(_ inner: String, of key: String, _ object: inout ConfigObject) {
        guard case .object(var parameters)? = object[key]?.value else { return }
        parameters[inner] = nil
        object[key] = ConfigNode(parameters)
    }

    private func scale(_ object: inout ConfigObject, _ scaling: ConfigNode, _ file: String) throws {
        var rope = try ConfigCursor(scaling, file: "rope_scaling").object()
        let cursor = ConfigCursor(ConfigNode(object), file: file)
        let theta = try cursor.optional("rope_parameters")?.optional("rope_theta")?.double()
        object["rope_parameters"] = nil
        if let theta, object["rope_theta"] == nil { object["rope_theta"] = ConfigNode(theta) }
        let scaled = ConfigCursor(scaling, file: "rope_scaling")
        if let context = try cursor.optional("max_position_embeddings")?.int(in: 1...(1 << 30)),
            values["max_position_embeddings"] == nil,
            let factor = try scaled.optional("factor")?.double(in: 1...65536)
        {
            // What the model was made for stands in the scaling, where it has not said so itself.
            let original = try scaled.optional("original_max_position_embeddings")?
                .int(in: 1...(1 << 30))
            rope["original_max_position_embeddings"] = ConfigNode(original ?? context)
            let length = (Double(original ?? context) * factor).rounded(.down)
            object["max_position_embeddings"] = ConfigNode(
                max(context, Int(exactly: length) ?? context))
        }
        object["rope_scaling"] = ConfigNode(rope)
    }
}

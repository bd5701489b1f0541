// SPDX-License-Identifier: Apache-2.0
// A model whose rotary embedding is stretched beyond what its config.json says.
import EftConfig

#if canImport(Glibc)
    import Glibc
#endif

extension ModelFolder {
    /// The same weights with positions divided by a factor, or with the base frequency raised by NTK's alpha.
    ///
    /// These are ExLlamaV2's `-rs` and `-ra`. The config says so in the keys that transformers has for it: linear
    /// scaling, and `rope_theta` times alpha to the power of D / (D - 2).
    /// - Throws: `ModelError` (`invalidInput`) for a model whose config has a scaling of another kind.
    package func stretchingRotary(scale: Double?, alpha: Double?) throws -> ModelFolder {
        guard scale != nil || alpha != nil else { return self }
        guard description.otherRotaries.isEmpty, description.roots.isEmpty else {
            throw ModelError(
                .invalidInput,
                "-rs and -ra go with models that have one rotary embedding, described at the top of config.json",
                path: config.file)
        }
        var object = try config.object()
        let usesParameters = object["rope_parameters"] != nil
        let key = usesParameters ? "rope_parameters" : "rope_scaling"
        var rope = try config.optional(key)?.object() ?? ConfigObject()
        if let alpha {
            let dim = Double(description.shape.headDim)
            guard dim > 2 else {
                throw ModelError(
                    .invalidInput, "-ra needs heads of more than 2 numbers", path: config.file)
            }
            let theta = description.rotary.theta * pow(alpha, dim / (dim - 2))
            if usesParameters {
                rope["rope_theta"] = ConfigNode(theta)
            } else {
                object["rope_theta"] = ConfigNode(theta)
            }
        }
        if let scale {
            let kind = try config.optional(key).flatMap {
                try $0.optional("rope_type") ?? $0.optional("type")
            }?.string()
            guard [nil, "default", "linear"].contains(kind) else {
                throw ModelError(
                    .invalidInput,
                    "the model's config.json has rotary scaling of the type '\(excerpt(kind ?? ""))'; -rs goes with "
                        + "models that have none",
                    path: config.file)
            }
            rope["rope_type"] = ConfigNode("linear")
            rope["factor"] = ConfigNode(scale)
        }
        if !rope.isEmpty { object[key] = ConfigNode(rope) }
        let changed = ConfigCursor(ConfigNode(object), file: config.file)
        var described = description
        described.rotary = try ArchitectureRegistry.describe(changed).rotary
        return ModelFolder(
            path: path, config: changed, description: described, checkpoint: checkpoint,
            tokenizerFolder: tokenizerFolder, endsAdapter: endsAdapter,
            hasWholeEnds: hasWholeEnds)
    }
}

// SPDX-License-Identifier: Apache-2.0
// Models whose type no architecture reads: refused with a reason, or read as another type where the user says so.
import EftConfig
import EftFormats

/// The type that models of unknown types are read as; see `--assume`.
package enum AssumedArchitecture {
    /// Types that may be assumed.
    package static let types = ["llama"]

    /// The type; nil where none is assumed.
    @TaskLocal static var current: String?

    /// Does something that reads models of unknown types as one of this type; as no other where it is nil.
    package static func reading<R>(as name: String?, _ body: () throws -> R) rethrows -> R {
        try $current.withValue(name, operation: body)
    }

    /// Refuses weights that an assumed description would leave out.
    /// - Throws: `ModelError` (`mismatch`) that names one.
    static func check(
        _ description: DecoderDescription, _ checkpoint: any CheckpointReader
    ) throws(ModelError) {
        let known = Set(description.weightNames)
        let inside = description.names.layers + "."
        let other = checkpoint.tensors.first { tensor in
            // Frequencies that older files hold follow from the configuration.
            tensor.name.hasPrefix(inside) && !known.contains(tensor.name)
                && !tensor.name.hasSuffix(".inv_freq")
        }
        guard let other else { return }
        throw ModelError(
            .mismatch,
            "the model is not of Llama's form: Llama has no '\(other.name)'; it cannot be read as such",
            path: checkpoint.path)
    }
}

/// Why a model's type is not read.
enum UnknownArchitecture {
    /// What models of some types have that Eft does not compute.
    private static let reasons: [(types: [String], what: String)] = [
        (
            ["deepseek_v32", "deepseek_v4", "longcat_flash"],
            "latent attention of another form"
        ),
        (
            ["kimi_linear", "minimax", "bailing_moe_linear", "ring_linear"],
            "linear attention of another form"
        ),
        (
            [
                "mamba", "mamba2", "falcon_mamba", "jamba", "bamba", "zamba", "zamba2", "falcon_h1",
                "nemotron_h", "recurrent_gemma", "rwkv",
            ], "layers with a state instead of attention"
        ),
        (["bloom", "mpt"], "positions by the distance of tokens (alibi)"),
        (["gemma3n", "gemma3n_text"], "layers that share keys and values"),
        (["t5", "bart", "mt5", "whisper"], "an encoder"),
    ]

    /// The refusal.
    static func error(_ type: String, known: [String], path: String?) -> ModelError {
        let reason = reasons.first { $0.types.contains(type) }.map { " (it has \($0.what))" } ?? ""
        let near = nearest(type, known).map { "; the nearest of these is '\($0)'" } ?? ""
        let hint =
            reason.isEmpty
            ? ". A model of Llama's form under another name can be read with --assume llama"
            : ". Take a model of one of these"
        return ModelError(
            .unsupported,
            "the architecture '\(excerpt(type))' is not supported yet\(reason); supported are "
                + known.joined(separator: ", ") + near + hint, path: path)
    }

    /// The known type that differs in the fewest letters; nil where none is alike.
    private static func nearest(_ type: String, _ known: [String]) -> String? {
        let letters = Array(type.utf8.prefix(64))
        let found = known.map { ($0, editDistance(letters, Array($0.utf8))) }.min { $0.1 < $1.1 }
        guard let found, found.1 * 2 <= max(letters.count, 1) else { return nil }
        return found.0
    }
}

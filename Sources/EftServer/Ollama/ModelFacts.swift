// SPDX-License-Identifier: Apache-2.0
// What lists of models show of a model beyond its name.
import EftConfig
import EftFormats
import EftModels
import EftQuant

/// Facts about a model's files.
package struct ModelFacts: Sendable {
    /// The form of the weight files, such as `safetensors`.
    package var format = ""
    /// The family, such as `llama`.
    package var family = ""
    /// Numbers in all weights.
    package var parameters = 0
    /// How the layers' weights are stored, such as `BF16` or `EXL2-4.0bpw`.
    package var weights = ""
    /// Bytes of all weights.
    package var byteCount = 0
    /// When the weights were written, in seconds since 1970.
    package var modified = 0
    /// Identifies the model, in hexadecimal digits.
    package var digest = ""
    /// The extents of the layers, under GGUF's names.
    package var extents: [(key: String, value: Int)] = []

    /// Of a model without files.
    package init() {}

    /// Of a folder.
    package init(_ folder: ModelFolder) {
        let description = folder.description
        let shape = description.shape
        family =
            (try? folder.config.optional("model_type")?.string()) ?? description.architecture
        parameters = description.parameterCount
        extents = [
            ("block_count", description.layers), ("embedding_length", shape.hidden),
            ("feed_forward_length", shape.intermediate), ("attention.head_count", shape.heads),
            ("attention.head_count_kv", shape.kvHeads),
            ("vocab_size", description.vocabulary),
        ]
        guard let checkpoint = folder.checkpoint else { return }
        byteCount = checkpoint.byteCount
        let files = checkpoint.files
        format = ModelFacts.format(files.first ?? "")
        weights = ModelFacts.weights(description, checkpoint)
        modified = files.compactMap { FileSystem.status($0)?.seconds }.max() ?? 0
        digest = ModelFacts.digest(files)
    }

    /// How many numbers there are, as people write it.
    package var size: String {
        let (value, unit) =
            parameters >= 1_000_000_000
            ? (Double(parameters) / 1e9, "B")
            : parameters >= 1_000_000
                ? (Double(parameters) / 1e6, "M") : (Double(parameters) / 1e3, "K")
        return "\((value * 10).rounded() / 10)\(unit)"
    }

    private static func format(_ file: String) -> String {
        let ending = String(file.split(separator: "/").last?.split(separator: ".").last ?? "")
        return ["bin", "pt", "pth"].contains(ending) ? "pytorch" : ending
    }

    private static func weights(
        _ description: DecoderDescription, _ checkpoint: any CheckpointReader
    ) -> String {
        let first = description.linear(.output, layer: 0)
        let source = try? LinearSource(
            module: first.name, checkpoint: checkpoint, inputs: first.inputs,
            outputs: first.outputs)
        guard let source else { return "" }
        if source.isDense { return source.formName }
        // A quantized model mixes widths; its average width is what distinguishes it.
        let bits = Double(checkpoint.byteCount) * 8 / Double(max(description.parameterCount, 1))
        return "\(source.schemeName)-\((bits * 10).rounded() / 10)bpw"
    }

    /// Of the files' names, sizes and times: reading gigabytes only to name them would take long.
    private static func digest(_ files: [String]) -> String {
        let lines = files.map { file in
            "\(FileSystem.name(of: file)) \(FileSystem.byteCount(file) ?? 0) "
                + "\(FileSystem.modified(file) ?? 0)\n"
        }
        return SHA256.digest(Array(lines.joined().utf8)).hex
    }
}

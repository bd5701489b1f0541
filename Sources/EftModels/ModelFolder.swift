// SPDX-License-Identifier: Apache-2.0
// A Hugging Face model folder: config.json, weights, and what they say together.
import EftConfig
import EftFormats
import EftQuant

/// A model folder, or a bare `config.json` for planning.
package struct ModelFolder: Sendable {
    /// The folder, or the folder of the bare config.
    package let path: String
    /// The parsed `config.json`.
    package let config: ConfigCursor
    /// What the model is made of.
    package let description: DecoderDescription
    /// The weights; nil when there are none here.
    package var checkpoint: (any CheckpointReader)?
    /// The folder of the tokenizer that belongs to the model: an adapter with tokens of its own brings one.
    package var tokenizerFolder: String
    /// The adapter whose embedding or head stands in the place of the base's.
    package var endsAdapter: String?
    /// Whether that adapter brings a whole embedding or head, and not rows of tokens only.
    package var hasWholeEnds = false

    /// Opens a folder or a path to a `config.json`.
    /// - Parameters:
    ///   - needsWeights: whether a folder without weights is an error.
    ///   - overrides: what takes the place of keys of `config.json`.
    ///   - scores: whether a model may be opened that gives scores and no tokens.
    /// - Throws: `ConfigError`, `FormatError`, `ModelError`.
    package static func open(
        _ path: String, needsWeights: Bool = true, overrides: ConfigOverrides = ConfigOverrides(),
        scores: Bool = false
    ) throws -> ModelFolder {
        let isFolder = FileSystem.isFolder(path)
        let configPath = isFolder ? FileSystem.join(path, "config.json") : path
        guard FileSystem.exists(configPath) else {
            if isFolder, FileSystem.exists(FileSystem.join(path, "adapter_config.json")) {
                throw ModelError(
                    .missing,
                    "this is an adapter; give its base model here, and this as the adapter",
                    path: path)
            }
            throw ModelError(
                .missing, "no config.json here; give the folder of a Hugging Face model", path: path
            )
        }
        let bytes = try FileSystem.read(configPath)
        let node = try overrides.applied(
            to: JSONParser.parse(bytes, file: configPath), file: configPath)
        let config = ConfigCursor(node, file: configPath)
        var description = try ArchitectureRegistry.describe(config)
        if description.scores != nil, !scores {
            throw ScoreHead.refusal(description.architecture, path: path)
        }
        let folder = isFolder ? path : FileSystem.folder(of: path)
        var checkpoint: (any CheckpointReader)?
        if needsWeights {
            checkpoint = try CheckpointFolder.open(folder)
        } else if isFolder {
            checkpoint = try? CheckpointFolder.open(folder)
        }
        if let found = checkpoint {
            checkpoint = try UniformCheckpoint(found, description) ?? found
        }
        description.root(in: checkpoint)
        if let found = checkpoint {
            reconcile(&description, with: found)
            if try !ArchitectureRegistry.isKnown(config.required("model_type").string()) {
                try AssumedArchitecture.check(description, found)
            }
        }
        if let found = checkpoint { description.findStack(in: found) }
        if let found = checkpoint, let stack = description.stack {
            checkpoint = try StackedCheckpoint(found, description, stack: stack)
        }
        return ModelFolder(
            path: folder, config: config, description: description, checkpoint: checkpoint,
            tokenizerFolder: folder)
    }

    /// EXL2 writes a quantized copy of a tied embedding as the head: then the head is a weight of its own.
    private static func reconcile(
        _ description: inout DecoderDescription, with checkpoint: any CheckpointReader
    ) {
        if description.tiedEmbeddings, checkpoint.find(description.headName + ".q_weight") != nil {
            description.tiedEmbeddings = false
        }
        // ExLlamaV2 stores each part of a product that holds several alone.
        func isThere(_ role: DecoderDescription.Role) -> Bool {
            let name = description.linear(role, layer: 0).name + "."
            return checkpoint.tensors.contains { $0.name.hasPrefix(name) }
        }
        if description.shape.fusedHeads != nil, isThere(.query) {
            description.shape.fusedHeads = nil
        }
        if description.shape.fusesGateUp, description.shape.mixture == nil, isThere(.gate) {
            description.shape.fusesGateUp = false
        }
    }

    /// Whether the linear layers are stored as plain numbers; a folder without weights counts as such.
    /// - Throws: errors of reading the tables of the weights.
    package func isDense() throws -> Bool {
        guard let checkpoint else { return true }
        let first = description.linear(.output, layer: 0)
        return try LinearSource(
            module: first.name, checkpoint: checkpoint, inputs: first.inputs,
            outputs: first.outputs
        ).isDense
    }
}

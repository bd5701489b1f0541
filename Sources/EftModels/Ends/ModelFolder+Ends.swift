// SPDX-License-Identifier: Apache-2.0
// A model with another embedding or head than its files have.
import EftConfig
import EftFormats

extension ModelFolder {
    /// The model with rows for more tokens, or with a tied head that has become a weight of its own.
    /// - Parameters:
    ///   - vocabulary: tokens in all; no fewer than before.
    ///   - untied: whether a tied head becomes a copy of the embedding.
    /// - Throws: `ModelError` (`unsupported`) for an embedding or head that is stored quantized.
    package func grown(
        to vocabulary: Int, untied: Bool = false, filling: RowFilling = .mean
    ) throws -> ModelFolder {
        let unties = untied && description.tiedEmbeddings
        guard vocabulary > description.vocabulary || unties else { return self }
        var sources: [String: EndsCheckpoint.Source] = [:]
        for module in endModules(untied: unties) {
            // A head that is still tied is the embedding's copy.
            let old = description.tiedEmbeddings ? description.embeddingName : module
            sources[module + ".weight"] = .grown(
                name: old + ".weight", rows: vocabulary, filling)
        }
        return try changed(sources, vocabulary: vocabulary, unties: unties)
    }

    /// The model under adapters: with their embedding and head when they bring some.
    /// - Throws: `ModelError` (`unsupported`) when one of several adapters brings an embedding or head of its own.
    package func adapted(by adapters: [String]) throws -> ModelFolder {
        for adapter in adapters {
            guard let ends = try SavedEnds(adapter: adapter, base: description) else { continue }
            guard adapters.count == 1 else {
                throw ModelError(
                    .unsupported,
                    "the adapter brings an embedding or head of its own and does not go with others; use it "
                        + "alone, or merge it into a model of its own (eft merge)",
                    path: adapter)
            }
            return try adapted(by: adapter, ends)
        }
        return self
    }

    private func adapted(by adapter: String, _ ends: SavedEnds) throws -> ModelFolder {
        let config = try AdapterConfig.read(folder: adapter)
        // Without `modules_to_save` the base's own weight was replaced, and a tied head with it.
        let unties =
            description.tiedEmbeddings && !config.modulesToSave.isEmpty
            && !config.ensuresWeightTying
        var sources: [String: EndsCheckpoint.Source] = [:]
        for module in endModules(untied: unties) {
            let isHead = module == description.headName
            if let saved = isHead ? ends.head : ends.embedding ?? (unties ? nil : ends.head) {
                sources[module + ".weight"] = .tensor(ends.checkpoint, name: saved.name)
                continue
            }
            let old = description.tiedEmbeddings ? description.embeddingName : module
            guard unties || ends.vocabulary > description.vocabulary else { continue }
            sources[module + ".weight"] = .grown(
                name: old + ".weight", rows: ends.vocabulary, .mean)
        }
        var folder = try changed(sources, vocabulary: ends.vocabulary, unties: unties)
        folder.endsAdapter = adapter
        if ends.vocabulary > description.vocabulary,
            FileSystem.exists(FileSystem.join(adapter, "tokenizer.json"))
        {
            folder.tokenizerFolder = adapter
        }
        return folder
    }

    private func endModules(untied: Bool) -> [String] {
        description.tiedEmbeddings && !untied
            ? [description.embeddingName] : [description.embeddingName, description.headName]
    }

    private func changed(
        _ sources: [String: EndsCheckpoint.Source], vocabulary: Int, unties: Bool
    ) throws -> ModelFolder {
        var description = description
        description.vocabulary = vocabulary
        if unties { description.tiedEmbeddings = false }
        var object = try config.object()
        object["vocab_size"] = ConfigNode(vocabulary)
        if unties { object["tie_word_embeddings"] = ConfigNode(.bool(false)) }
        let checkpoint = try checkpoint.map { checkpoint -> any CheckpointReader in
            for case .grown(let name, _, _) in sources.values where checkpoint.find(name) == nil {
                throw ModelError(
                    .unsupported,
                    "\(name) is not stored in plain numbers and cannot take new tokens; give the 16-bit base",
                    path: path)
            }
            return try EndsCheckpoint(checkpoint, changing: sources)
        }
        return ModelFolder(
            path: path, config: ConfigCursor(ConfigNode(object), file: config.file),
            description: description, checkpoint: checkpoint, tokenizerFolder: tokenizerFolder,
            endsAdapter: endsAdapter)
    }
}

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
    /// - Parameter scores: whether an adapter may bring a head that scores.
    /// - Throws: `ModelError` (`unsupported`) when one of several adapters brings an embedding or head of its own.
    package func adapted(
        by adapters: [String], scores: Bool = false
    ) throws -> ModelFolder {
        for adapter in adapters {
            let base = try scored(by: adapter, allowed: scores)
            guard let ends = try SavedEnds(adapter: adapter, base: base.description) else {
                continue
            }
            guard adapters.count == 1 else {
                throw ModelError(
                    .unsupported,
                    "the adapter brings an embedding or head of its own and does not go with others; use it "
                        + "alone, or merge it into a model of its own (eft merge)",
                    path: adapter)
            }
            return try base.adapted(by: adapter, ends)
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
            let old = description.tiedEmbeddings ? description.embeddingName : module
            var source: EndsCheckpoint.Source?
            if let saved = isHead ? ends.head : ends.embedding ?? (unties ? nil : ends.head) {
                source = .tensor(ends.checkpoint, name: saved.name)
            } else if unties || ends.vocabulary > description.vocabulary {
                source = .grown(name: old + ".weight", rows: ends.vocabulary, .mean)
            }
            if let rows = isHead ? ends.headRows : ends.embeddingRows {
                let whole =
                    source
                    ?? .grown(
                        name: old + ".weight", rows: ends.vocabulary, .mean)
                let tokens = isHead ? ends.tokens.head : ends.tokens.embedding
                source = .replaced(whole, rows: tokens, by: ends.checkpoint, name: rows.name)
            }
            sources[module + ".weight"] = source
        }
        var folder = try changed(sources, vocabulary: ends.vocabulary, unties: unties)
        folder.endsAdapter = adapter
        folder.hasWholeEnds = ends.embedding != nil || ends.head != nil
        if ends.vocabulary > description.vocabulary,
            FileSystem.exists(FileSystem.join(adapter, "tokenizer.json"))
        {
            folder.tokenizerFolder = adapter
        }
        return folder
    }

    private func endModules(untied: Bool) -> [String] {
        // A head that scores has no rows of tokens.
        description.scores != nil || (description.tiedEmbeddings && !untied)
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
            for name in sources.values.compactMap(\.grownName) where checkpoint.find(name) == nil {
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
            endsAdapter: endsAdapter, hasWholeEnds: hasWholeEnds)
    }
}

extension EndsCheckpoint.Source {
    /// The tensor of the base that is changed.
    fileprivate var grownName: String? {
        switch self {
        case .tensor, .fresh: nil
        case .grown(let name, _, _): name
        case .replaced(let inner, _, _, _): inner.grownName
        }
    }
}

// SPDX-License-Identifier: Apache-2.0
// The base model of a run: its folder, and in what form its weights will be held.
import EftConfig
import EftFormats
import EftModels
import EftQuant
import EftTensor

/// A model folder, opened for training, with the tokens and the trained weights that a configuration asks for.
package struct BaseModel: Sendable {
    /// The folder.
    package let folder: ModelFolder
    /// Whether weights are made at random instead of read.
    package let isFresh: Bool
    /// How weights are held.
    package let options: LoadOptions
    /// Tokens whose rows of embedding and head are trained alone, beside an adapter.
    let trainedTokens: TrainedTokenIDs
    /// The rows that are trained of weights that are not trained whole, by name.
    let trainedRows: [String: [Range<Int>]]
    /// The tokenizer.
    let vocabulary: RunVocabulary
    /// Whether the embedding is another one than the base's, so that it is saved with an adapter.
    let savesEnds: Bool
    /// Whether layers may be streamed: those of an adapter's base are read-only.
    package let canStream: Bool
    /// Lines for the user.
    package let notices: [String]

    /// Opens the base model of a configuration.
    /// - Throws: `ConfigError`, `FormatError`, `ModelError`, `TokenizerError`.
    package init(_ config: AxolotlConfig) throws {
        let model = config.model
        let (opened, isFresh) = try Self.open(config)
        self.isFresh = isFresh
        let adapted = try Self.scored(
            opened.adapted(by: (config.adapter?.folder).map { [$0] } ?? [], scores: true), config)
        vocabulary = try RunVocabulary(
            model, folder: model.tokenizerConfig ?? adapted.tokenizerFolder,
            vocabulary: adapted.description.vocabulary)
        let saved = try config.adapter.map { try $0.savedModules() } ?? []
        let filling: RowFilling =
            model.fillsWithMean
            ? .mean
            : .normal(
                deviation: adapted.description.initializerRange,
                seed: mixedSeed(config.training.seed, 3))
        folder = try adapted.grown(
            to: vocabulary.size, untied: !saved.isEmpty, filling: filling)
        let description = folder.description
        try description.checkPositions(config.training.sequenceLen, what: "sequence_len")
        let hasGrown = description.vocabulary > opened.description.vocabulary
        let tokens = try Self.trainedTokens(config, saved, vocabulary, folder)
        trainedTokens = tokens
        // New rows that are trained alone say themselves how far the vocabulary has grown.
        let new = try Self.newTokens(vocabulary, folder)
        let isCovered = !tokens.isEmpty && new.isSubset(of: tokens)
        savesEnds =
            config.adapter != nil
            && ((hasGrown && !isCovered) || folder.hasWholeEnds || !saved.isEmpty)
        canStream = config.adapter != nil && !isFresh
        notices = Self.notices(config, vocabulary, saved)
        guard let adapter = config.adapter else {
            let unfrozen = try config.unfrozen?.weights(of: description)
            options = LoadOptions(trained: unfrozen?.trained ?? .all)
            trainedRows = unfrozen?.rows ?? [:]
            return
        }
        trainedRows = [:]
        let heads = description.scores == nil ? [] : description.headTensors
        let names = saved.map { $0 == "lm_head" ? description.headName : description.embeddingName }
        let isDense = try folder.isDense()
        let linears: WeightTarget =
            isDense && adapter.quantizesBase
            ? .nf4(doubleQuantization: model.doubleQuantization)
            : isDense && adapter.holdsBaseIn8Bits ? .int8 : .asStored
        options = LoadOptions(
            linears: linears,
            trained: names.isEmpty && heads.isEmpty
                ? .none : .named(Set(names.map { $0 + ".weight" } + heads)))
    }

    /// The model with the head that scores of a run that trains one.
    /// - Throws: `ModelError` for a model with such a head in another run, or with another one.
    private static func scored(
        _ folder: ModelFolder, _ config: AxolotlConfig
    ) throws -> ModelFolder {
        if let scoring = config.training.scoring {
            return try folder.scored(scoring.head, seed: mixedSeed(config.training.seed, 4))
        }
        guard let head = folder.description.scores else { return folder }
        throw ModelError(
            .unsupported,
            "\(folder.description.architecture) gives scores and no tokens; set "
                + (head.kind == .text ? "reward_model: true" : "process_reward_model: true")
                + " to train it further", path: folder.path)
    }

    private static func notices(
        _ config: AxolotlConfig, _ vocabulary: RunVocabulary, _ saved: [String]
    ) -> [String] {
        guard !vocabulary.newTokens.isEmpty else { return [] }
        let tokens = vocabulary.newTokens.prefix(5).map { "'\(excerpt($0, limit: 40))'" }
        let rest = vocabulary.newTokens.count - tokens.count
        let list = tokens.joined(separator: ", ") + (rest > 0 ? " and \(rest) more" : "")
        let line = "new tokens: \(list); the vocabulary has \(vocabulary.size) rows now"
        guard config.adapter != nil, saved.count < SavedEnds.modules.count else { return [line] }
        return [
            line
                + (saved.isEmpty
                    ? "; they are trained beside the adapter, all others stay as they are (lora_modules_to_save: "
                        + "[embed_tokens, lm_head] trains all)"
                    : "; those of the module that lora_modules_to_save does not name are not trained")
        ]
    }

    /// The rows that are trained beside an adapter: those of the configuration or of the adapter to go on from, and those
    /// of new tokens unless embedding or head is trained whole.
    /// - Throws: `ModelError` for tokens beyond the vocabulary and for a quantized embedding, and what reading throws.
    private static func trainedTokens(
        _ config: AxolotlConfig, _ saved: [String], _ vocabulary: RunVocabulary,
        _ folder: ModelFolder
    ) throws -> TrainedTokenIDs {
        guard let adapter = config.adapter, saved.isEmpty else { return TrainedTokenIDs() }
        var tokens =
            try adapter.folder.map { try AdapterConfig.read(folder: $0).trainedTokens }
            ?? adapter.trainedTokens
        let description = folder.description
        if tokens.isEmpty { tokens = try newTokens(vocabulary, folder) }
        guard tokens.bound <= description.vocabulary else {
            throw TrainingError(
                .configuration,
                "peft_trainable_token_indices names token \(tokens.bound - 1), the model has a vocabulary of "
                    + "\(description.vocabulary)")
        }
        if !tokens.isEmpty { try requireDense(folder) }
        return tokens
    }

    /// The rows of the tokens that the model did not know.
    private static func newTokens(
        _ vocabulary: RunVocabulary, _ folder: ModelFolder
    ) throws -> TrainedTokenIDs {
        guard !vocabulary.newTokens.isEmpty else { return TrainedTokenIDs() }
        let tokenizer = try vocabulary.tokenizer()
        let ids = vocabulary.newTokens.compactMap { tokenizer.id(for: $0) }.sorted()
        return TrainedTokenIDs(
            embedding: ids, head: folder.description.tiedEmbeddings ? [] : ids)
    }

    /// - Throws: `ModelError` (`unsupported`) for an embedding or head that is quantized.
    private static func requireDense(_ folder: ModelFolder) throws {
        let description = folder.description
        let modules =
            [description.embeddingName]
            + (description.tiedEmbeddings ? [] : [description.headName])
        for module in modules where folder.checkpoint?.find(module + ".weight") == nil {
            throw ModelError(
                .unsupported,
                "\(module) is not stored in plain numbers and has no rows to train; give the 16-bit base",
                path: folder.path)
        }
    }

    private static func open(
        _ config: AxolotlConfig
    ) throws -> (folder: ModelFolder, isFresh: Bool) {
        let model = config.model
        let cursor = try config.document.required("base_model")
        let hasAdapter = config.adapter != nil
        guard FileSystem.exists(model.baseModel) || model.reinitWeights else {
            throw missing(model.baseModel, cursor)
        }
        guard model.reinitWeights || (!hasAdapter && !holdsWeights(model.baseModel)) else {
            if let other = model.baseModelConfig, other != model.baseModel {
                throw try config.document.required("base_model_config").error(
                    .badValue,
                    "a config.json other than the weights' own is only used with reinit_weights")
            }
            return (
                try ModelFolder.open(model.preparedBase ?? model.baseModel, scores: true), false
            )
        }
        guard !hasAdapter else {
            throw try config.document.required("reinit_weights").error(
                .badValue, "an adapter needs a base with weights; train with adapter left empty"
            )
        }
        let path = model.baseModelConfig ?? model.baseModel
        guard FileSystem.exists(path) else { throw missing(path, cursor) }
        var folder = try ModelFolder.open(path, needsWeights: false, scores: true)
        // Weights that may be there are left alone.
        folder.checkpoint = nil
        return (folder, true)
    }

    /// Embedding and head as they are saved with an adapter; nil when they are the base's.
    /// - Parameter modules: those that are trained whole; of the others nothing is saved that the base does not give.
    func savedEnds(
        modules: [String], _ backend: CPUBackend, _ dtype: DType
    ) -> AdapterFile.Ends? {
        let scores = folder.description.scores != nil
        guard savesEnds || scores else { return nil }
        let modules = modules.filter { !ScoreHead.savedModules.contains($0) }
        func saves(_ module: String) -> Bool {
            guard savesEnds else { return false }
            return modules.isEmpty || modules.contains { SavedEnds.module(named: $0) == module }
        }
        return AdapterFile.Ends(
            embedding: saves("embed_tokens"),
            head: scores || (!folder.description.tiedEmbeddings && saves("lm_head")),
            backend: backend,
            dtype: dtype)
    }

    /// The model of a configuration, without its weights.
    /// - Throws: `ConfigError`, `FormatError`, `ModelError`.
    static func description(_ config: AxolotlConfig) throws -> ModelFolder {
        let path = config.model.baseModelConfig ?? config.model.baseModel
        guard FileSystem.exists(path) else {
            throw missing(path, try config.document.required("base_model"))
        }
        return try ModelFolder.open(path, needsWeights: false, scores: true)
    }

    /// Layouts of all weights.
    package func layouts() throws -> DecoderLayouts {
        isFresh
            ? try DecoderLayouts(folder.description, format: .dense(.f32))
            : try DecoderLayouts(DecoderLoader(folder: folder, options: options))
    }

    /// The shapes of what is trained, as an optimizer sees them: of an adapter, and of weights themselves.
    func trainedShapes(
        _ adapter: AdapterExtents?, for optimizer: OptimizerSettings
    ) throws -> TrainedShapes {
        let weights = try options.trained.shapes(
            folder.description, layouts(), isTarget: optimizer.need().isTarget)
        return adapter.map { weights + $0.trainedShapes } ?? weights
    }

    /// The course of loading.
    package func loadNeed() throws -> LoadNeed {
        isFresh ? LoadNeed() : try DecoderLoader(folder: folder, options: options).loadNeed()
    }

    /// What streams layers of a placement from below a folder of caches; nil when none is streamed.
    package func streaming(_ placement: WeightPlacement, caches: String?) throws -> StreamedBase? {
        try StreamedBase(
            placement, DecoderLoader(folder: folder, options: options), layouts: layouts(),
            caches: caches)
    }

    /// Loads weights on devices that hold parts of the decoder, or makes random ones.
    package func load(
        devices: [CPUBackend], parts: [DecoderPart], seed: UInt64, streaming: StreamedBase? = nil,
        progress: (_ done: Int, _ total: Int) throws -> Void
    ) throws -> Decoder {
        if isFresh {
            return try Decoder.random(
                folder.description, seed: mixedSeed(seed, 1), devices: devices, parts: parts)
        }
        return try withoutActuallyEscaping(progress) { progress in
            try DecoderLoader(folder: folder, options: options)
                .load(devices: devices, parts: parts, streaming: streaming, progress: progress)
        }
    }

    // MARK: Questions

    /// Whether a folder has anything that may be weights; a damaged file must not pass for none.
    private static func holdsWeights(_ path: String) -> Bool {
        guard FileSystem.isFolder(path), let names = try? FileSystem.list(path) else {
            return false
        }
        return names.contains { name in
            (name.hasSuffix(".safetensors") || name.hasSuffix(".bin")
                || name.hasSuffix(".index.json")) && !name.hasPrefix("adapter_model")
                && name != "training_args.bin"
        }
    }

    private static func missing(_ path: String, _ cursor: ConfigCursor) -> ConfigError {
        let parts = path.split(separator: "/", omittingEmptySubsequences: false)
        guard parts.count == 2, !path.hasPrefix("."), parts.allSatisfy({ !$0.isEmpty }) else {
            return cursor.error(.badValue, "the folder \(excerpt(path)) does not exist")
        }
        let id = excerpt(path)
        return cursor.error(
            .badValue,
            "'\(id)' is no local folder, and not in the cache of Hugging Face; fetch it with 'eft pull \(id)'"
        )
    }
}

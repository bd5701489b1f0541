// SPDX-License-Identifier: Apache-2.0
// The base model of a run: its folder, and in what form its weights will be held.
import EftConfig
import EftFormats
import EftModels
import EftQuant
import EftTensor

/// A model folder, opened for training.
package struct BaseModel: Sendable {
    /// The folder.
    package let folder: ModelFolder
    /// Whether weights are made at random instead of read.
    package let isFresh: Bool
    /// How weights are held.
    package let options: LoadOptions

    /// Opens the base model of a configuration.
    /// - Throws: `ConfigError`, `FormatError`, `ModelError`.
    package init(_ config: AxolotlConfig) throws {
        let model = config.model
        let cursor = try config.document.required("base_model")
        let hasAdapter = config.adapter != nil
        guard FileSystem.exists(model.baseModel) || model.reinitWeights else {
            throw Self.missing(model.baseModel, cursor)
        }
        isFresh = model.reinitWeights || (!hasAdapter && !Self.holdsWeights(model.baseModel))
        if isFresh {
            guard !hasAdapter else {
                throw try config.document.required("reinit_weights").error(
                    .badValue, "an adapter needs a base with weights; train with adapter left empty"
                )
            }
            let path = model.baseModelConfig ?? model.baseModel
            guard FileSystem.exists(path) else { throw Self.missing(path, cursor) }
            folder = try ModelFolder.open(path, needsWeights: false)
        } else {
            if let other = model.baseModelConfig, other != model.baseModel {
                throw try config.document.required("base_model_config").error(
                    .badValue,
                    "a config.json other than the weights' own is only used with reinit_weights")
            }
            folder = try ModelFolder.open(model.preparedBase ?? model.baseModel)
        }
        guard let adapter = config.adapter else {
            options = LoadOptions(linears: .f32, ends: .f32)
            return
        }
        let quantizes = try adapter.quantizesBase && folder.isDense()
        options = LoadOptions(
            linears: quantizes
                ? .nf4(doubleQuantization: model.doubleQuantization) : .asStored)
    }

    /// The folder of the tokenizer.
    package func tokenizerFolder(_ settings: ModelSettings) -> String {
        settings.tokenizerConfig ?? folder.path
    }

    /// The model of a configuration, without its weights.
    /// - Throws: `ConfigError`, `FormatError`, `ModelError`.
    static func description(_ config: AxolotlConfig) throws -> ModelFolder {
        let path = config.model.baseModelConfig ?? config.model.baseModel
        guard FileSystem.exists(path) else {
            throw missing(path, try config.document.required("base_model"))
        }
        return try ModelFolder.open(path, needsWeights: false)
    }

    /// Layouts of all weights.
    package func layouts() throws -> DecoderLayouts {
        isFresh
            ? try DecoderLayouts(folder.description, format: .dense(.f32))
            : try DecoderLayouts(DecoderLoader(folder: folder, options: options))
    }

    /// The shapes of what is trained: of an adapter, or of all weights.
    func trainedShapes(_ adapter: AdapterExtents?) throws -> TrainedShapes {
        try adapter?.trainedShapes ?? layouts().trainedShapes(folder.description)
    }

    /// The course of loading.
    package func loadNeed() throws -> LoadNeed {
        isFresh ? LoadNeed() : try DecoderLoader(folder: folder, options: options).loadNeed()
    }

    /// Whether layers may be streamed: those of an adapter's base are read-only.
    package var canStream: Bool { !isFresh && options.ends != .f32 }

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
            "'\(id)' is no local folder, and nothing is downloaded; fetch it with "
                + "'hf download \(id) --local-dir DIR' and give that folder")
    }
}

// SPDX-License-Identifier: Apache-2.0
// The model that the repository carries, served within a test.
import EftFormats
import EftGeneration
import EftModels
import EftNN
import EftServer
import EftTensor
import EftTestSupport
import EftTokenizers

enum DemoModel {
    /// Starts an engine for the model.
    /// - Parameter adapters: the folder from which adapters may be loaded.
    static func served(
        _ registry: MetricsRegistry, adapters: String? = nil
    ) throws -> ServedModel {
        let path = FileSystem.join(Fixtures.packageRoot, "Examples/demo/model")
        let folder = try ModelFolder.open(path)
        let tokenizer = try Tokenizer.load(folder: path)
        let decoder = try DecoderLoader(folder: folder).load(backend: CPUBackend(threads: 2))
        let configuration = EngineConfiguration(
            maxModelLength: 128, maxSequences: 4, maxBatchedTokens: 64)
        let need = GenerationNeed(
            contextLength: 128, sequences: 4, prefillChunk: 64, kvType: .bf16, cachePages: 32,
            logitRows: 4)
        let core = try EngineCore(decoder: decoder, need: need, configuration: configuration)
        let vocabulary = try ConstraintVocabulary(
            tokenizer, size: folder.description.vocabulary)
        var options = ServedModelOptions(names: ["demo", "demo/alias"], root: path, created: 1)
        options.adapterFolder = adapters
        return try ServedModel(
            core: core, tokenizer: tokenizer, templates: nil,
            constraints: ConstraintCache(
                vocabulary, limits: ConstraintLimits(), maximumBytes: 1 << 20),
            options: options,
            metrics: EngineMetrics(registry, modelName: "demo", maximumLength: 128))
    }

    /// What all routes are made of: with a folder of adapters.
    static func context() throws -> ServerContext {
        let registry = MetricsRegistry()
        var context = ServerContext(version: "1.2.3", registry: registry)
        context.model = try served(registry, adapters: "/nowhere")
        return context
    }
}

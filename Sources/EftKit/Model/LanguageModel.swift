// SPDX-License-Identifier: Apache-2.0
// A loaded model: the library's main type.
import EftConfig
import EftFormats
import EftGeneration
import EftModels
import EftTokenizers
import Synchronization

/// A language model with its tokenizer and adapters, loaded within a memory limit.
///
/// Any number of tasks may use it at once: their requests share the weights, are computed together, and get the same
/// answers as alone.
///
///     let model = try await LanguageModel.load("./model", options: ModelOptions(memoryLimit: 8 << 30))
///     print(try await model.complete("Once upon a time", options: .greedy).text)
public final class LanguageModel: Sendable {
    /// The model's folder.
    public let folder: String
    /// The memory that it holds at most.
    public let memory: MemoryPlan
    /// Most tokens of a request, prompt and answer.
    public let contextLength: Int
    let engine: Engine
    let tokenizer: Tokenizer
    /// The model's generation_config.json; nil when there is none.
    let generationConfig: ConfigNode?
    let templates: ChatTemplates?
    let options: ModelOptions
    /// Compiled output formats, made when the first one is asked for.
    private let constraints = Mutex<ConstraintCache?>(nil)
    let adapters = Mutex<[String: EngineAdapter]>([:])

    // MARK: Loading

    /// States the memory that a model will hold, from its tables, without reading weights.
    /// - Throws: `EftError`.
    public static func plan(
        _ folder: String, options: ModelOptions = ModelOptions()
    ) async throws(EftError) -> MemoryPlan {
        try await Background.run { _ in try PlannedModel(folder, options).memory }
    }

    /// Loads a model's folder: 16-bit, bitsandbytes NF4 or EXL2.
    /// - Parameters:
    ///   - folder: the model's folder.
    ///   - options: memory, context and adapters.
    ///   - onPlan: receives the plan before any weight is read; what it throws ends the loading.
    ///   - onProgress: receives layers as they are loaded.
    /// - Throws: `EftError`: `doesNotFit` before anything is read when the model does not fit.
    public static func load(
        _ folder: String, options: ModelOptions = ModelOptions(),
        onPlan: (@Sendable (MemoryPlan) throws -> Void)? = nil,
        onProgress: ProgressHandler? = nil
    ) async throws(EftError) -> LanguageModel {
        try await Background.run { flag in
            let planned = try PlannedModel(folder, options)
            try onPlan?(planned.memory)
            return try LanguageModel(planned, planned.load(flag, onProgress))
        }
    }

    private init(_ planned: PlannedModel, _ core: sending EngineCore) throws {
        folder = planned.folder.path
        memory = planned.memory
        contextLength = planned.plan.need.contextLength
        tokenizer = planned.tokenizer
        options = planned.options
        generationConfig = LanguageModel.generationConfig(planned.folder.path)
        templates = try ChatTemplates.loadIfPresent(folder: planned.folder.tokenizerFolder)
        engine = try Engine(core)
        for adapter in planned.options.adapters {
            let loaded = try engine.perform { try $0.loadAdapter(adapter.folder) }
            adapters.withLock { $0[adapter.name] = loaded }
        }
    }

    private static func generationConfig(_ folder: String) -> ConfigNode? {
        (try? FileSystem.read(folder + "/generation_config.json"))
            .flatMap { try? JSONParser.parse($0) }
    }

    /// Settings of continued texts where options say nothing: the author's, or the distribution as it is.
    var completionDefaults: SamplingDefaults {
        generationConfig.map { SamplingDefaults(generationConfig: $0) } ?? SamplingDefaults()
    }

    /// Settings of chats where options say nothing: the author's, or those usual for chats.
    var chatDefaults: SamplingDefaults {
        generationConfig.map { SamplingDefaults(chatWith: $0) } ?? .chat
    }

    // MARK: Text

    /// Whether the model has a chat template.
    public var hasChatTemplate: Bool { templates != nil }

    /// The token ids of a text.
    /// - Parameters:
    ///   - text: the text.
    ///   - addSpecialTokens: whether the tokenizer adds its own, such as one at the beginning.
    /// - Throws: `EftError`.
    public func encode(_ text: String, addSpecialTokens: Bool = true) throws(EftError) -> [Int32] {
        do {
            return try tokenizer.encode(text, addSpecialTokens: addSpecialTokens)
        } catch { throw EftError(wrapping: error) }
    }

    /// The text of token ids; ids without a token are left out.
    /// - Throws: `EftError`.
    public func decode(
        _ tokens: [Int32], skipSpecialTokens: Bool = false
    ) throws(EftError) -> String {
        do {
            return try tokenizer.decode(tokens, skipSpecialTokens: skipSpecialTokens)
        } catch { throw EftError(wrapping: error) }
    }

    // MARK: Output formats

    /// A compiled output format.
    /// - Throws: `ConstraintError`, `ConfigError`.
    func constraint(_ format: OutputFormat) throws -> CompiledConstraint {
        try constraintCache().constraint(try format.specification(), options: ConstraintOptions())
    }

    /// The compiled output formats.
    /// - Throws: `ConstraintError` for a vocabulary that cannot be constrained.
    func constraintCache() throws -> ConstraintCache {
        try constraints.withLock { kept in
            if let kept { return kept }
            let vocabulary = try ConstraintVocabulary(tokenizer, size: engine.vocabulary)
            var limits = ConstraintLimits()
            limits.cacheBytes = 8 << 20
            let cache = ConstraintCache(
                vocabulary, limits: limits, maximumBytes: PlannedModel.constraintBytes)
            kept = cache
            return cache
        }
    }
}

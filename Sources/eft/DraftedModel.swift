// SPDX-License-Identifier: Apache-2.0
// A smaller model that drafts for a served one.
import EftCommandLine
import EftGeneration
import EftModels
import EftNN
import EftPlanning
import EftTensor

/// The draft model of a server, planned before the model itself so that its memory is taken off the budget.
struct DraftedModel {
    /// What stands for drafts from the sequences themselves.
    static let ngram = "ngram"

    private let loader: DecoderLoader
    private let need: GenerationNeed
    /// Bytes that it takes.
    let byteCount: Int

    /// Opens the model's folder and reads tables, no weights.
    /// - Parameter tokens: most tokens that are drafted at once.
    /// - Throws: errors of reading them.
    init(
        _ path: String, _ model: LoadedModel, sequences: Int, kvType: KVType, length: Int,
        tokens: Int
    ) throws {
        let folder = try ModelFolder.open(path)
        loader = try DecoderLoader(folder: folder, options: LoadOptions(linears: .asStored))
        let shape = folder.description.shape
        // A few whole sequences; when more want drafts than that, some go without.
        var need = GenerationNeed(
            contextLength: length, sequences: sequences, prefillChunk: max(128, sequences),
            kvType: kvType.holds(headDim: shape.headDim) ? kvType : .bf16,
            cachePages: pageCount(tokens: length) * min(sequences, 8),
            logitRows: min(sequences, ServeRequirements.logitRows))
        need.ahead = tokens
        need.hasStateBackups = true
        self.need = need
        let planner = Planner(
            description: folder.description, limits: [.max], programBytes: 0,
            backend: model.devices[0])
        byteCount =
            planner.run(
                name: "draft", layouts: try DecoderLayouts(loader), load: try loader.loadNeed(),
                need: need, seekingRemedy: false
            ).memory.total
    }

    /// Loads the model and gives it to an engine.
    func attach(to core: EngineCore, sharing device: CPUBackend) throws {
        let backend = CPUBackend(
            sharing: device, ledger: MemoryLedger(limit: byteCount, name: "draft model"))
        let decoder = try loader.load(backend: backend)
        try core.useDrafts(of: decoder, need: need)
    }
}

// SPDX-License-Identifier: Apache-2.0
// A model with its adapters and tokenizer, planned first and loaded then.
import EftCommandLine
import EftFormats
import EftGeneration
import EftModels
import EftPlanning
import EftQuant
import EftTensor
import EftTokenizers

/// What `run` and `eval` start from.
struct LoadedModel {
    let folder: ModelFolder
    let tokenizer: Tokenizer
    let loader: DecoderLoader
    let layouts: DecoderLayouts
    let adapters: [String]
    let limit: Int
    let backend: CPUBackend
    private let cacheFolder: String?

    /// Opens everything and reads tables, no weights.
    init(_ arguments: ParsedArguments) throws {
        folder = try ModelFolder.open(arguments.required("model"))
        tokenizer = try Tokenizer.load(folder: folder.path)
        guard tokenizer.idBound <= folder.description.vocabulary else {
            throw ModelError(
                .mismatch,
                "the tokenizer knows token ids up to \(tokenizer.idBound - 1), the model's vocabulary has "
                    + "\(folder.description.vocabulary); they do not belong together",
                path: folder.path)
        }
        let linears: WeightTarget =
            arguments.flag("load-in-4bit") ? .nf4(doubleQuantization: true) : .asStored
        loader = try DecoderLoader(folder: folder, options: LoadOptions(linears: linears))
        layouts = try DecoderLayouts(loader)
        adapters = arguments.strings("adapter")
        limit = try CommonOptions.limit(arguments)
        backend = try CommonOptions.backend(arguments, limit: limit)
        cacheFolder = arguments.string("cache-dir")
    }

    /// Rank and bytes of the adapters.
    func adapterExtents() throws -> (rank: Int, bytes: Int) {
        var (rank, bytes) = (0, 0)
        for adapter in adapters {
            let extents = try AdapterFile.extents(adapter)
            rank = max(rank, extents.rank)
            bytes += extents.bytes
        }
        return (rank, bytes)
    }

    /// The planner for this model and machine.
    func planner() -> Planner {
        Planner(
            description: folder.description, limit: limit, programBytes: ProcessMemory.resident,
            backend: backend)
    }

    /// What streams layers, when the plan fits and says that some are streamed.
    func streaming(_ plan: StagePlan) throws -> StreamedBase? {
        guard plan.fits(limit), let placement = plan.placement, placement.isStreaming else {
            return nil
        }
        let caches = try cacheFolder ?? CacheFolder.standard()
        return StreamedBase(
            placement: placement, cache: try PanelCache(loader, layouts: layouts, below: caches))
    }

    /// The plan with what there is to write before streaming.
    func budget(_ plan: StagePlan, _ streaming: StreamedBase?) -> Budget {
        var budget = Budget(plan: plan, limit: limit)
        budget.repack = streaming.map {
            ($0.cache.folder, $0.cache.bytesToWrite($0.placement.streamed))
        }
        return budget
    }

    /// Loads weights and adapters; returns the adapters' slots.
    /// - Parameters:
    ///   - streaming: what streams layers; nil when all stand in memory.
    ///   - quiet: whether to say nothing of the progress.
    func load(
        _ streaming: StreamedBase?, quiet: Bool
    ) throws -> (decoder: Decoder, slots: [Int]) {
        let progress = ProgressReporter(output: .standardError)
        func report(_ text: String) throws {
            guard !InterruptFlag.isRaised else {
                throw Interruption(description: "interrupted while loading")
            }
            if !quiet { progress.update(text) }
        }
        if let streaming {
            try streaming.cache.fill(streaming.placement.streamed, backend: backend) {
                try report("writing layer \($0) of \($1) in the form in which it is streamed")
            }
        }
        let decoder = try loader.load(backend: backend, streaming: streaming) {
            try report("loading layer \($0) of \($1)")
        }
        progress.finish()
        let slots = try adapters.map { try AdapterFile.load($0, into: decoder) }
        return (decoder, slots)
    }
}

// SPDX-License-Identifier: Apache-2.0
// A model folder with its plan, before any weight is read.
import EftGeneration
import EftModels
import EftPlanning
import EftQuant
import EftTensor
import EftTokenizers

/// A model that is opened and planned: tables are read, weights are not.
struct PlannedModel {
    let folder: ModelFolder
    let tokenizer: Tokenizer
    let options: ModelOptions
    /// Memory, context and cache.
    let plan: ServePlan
    private let loader: DecoderLoader
    private let layouts: DecoderLayouts
    private let devices: [CPUBackend]

    /// Bytes of tables of tokens and compiled constraints, outside of the ledgers.
    private static func tableBytes(_ tokenizer: Tokenizer) -> Int {
        tokenizer.idBound * 96 + constraintBytes
    }
    /// The most bytes of compiled constraints that are kept.
    static let constraintBytes = 16 << 20

    /// Opens the folder and plans.
    /// - Throws: what reading the tables throws; `EftError` for options that make no sense.
    init(_ path: String, _ options: ModelOptions) throws {
        try options.check()
        self.options = options
        folder = try ModelFolder.open(path).adapted(by: options.adapters.map(\.folder))
        let description = folder.description
        tokenizer = try Tokenizer.load(folder: folder.tokenizerFolder)
        guard tokenizer.idBound <= description.vocabulary else {
            throw EftError(
                .file,
                "\(path): the tokenizer has ids up to \(tokenizer.idBound - 1), the model's vocabulary has "
                    + "\(description.vocabulary); they do not belong together")
        }
        let linears: WeightTarget =
            options.loadIn4Bit
            ? .nf4(doubleQuantization: true) : options.loadIn8Bit ? .int8 : .asStored
        loader = try DecoderLoader(folder: folder, options: LoadOptions(linears: linears))
        layouts = try DecoderLayouts(loader)
        let limits = options.limits
        devices = try CPUBackend.devices(limits: limits, programBytes: ProcessMemory.resident) {
            try CPUBackend(
                ledger: $0, threads: options.threads,
                precision: ActivationPrecision(rawValue: options.precision.rawValue) ?? .f32)
        }
        let program = ProcessMemory.program(
            for: .generation, threads: devices[0].threads, weights: layouts.linears.count)
        var planner = Planner(
            description: description, limits: limits,
            programBytes: program + PlannedModel.tableBytes(tokenizer), backend: devices[0])
        planner.laterProgramBytes = ProcessMemory.Work.generation.later
        plan = planner.serve(
            layouts: layouts, adapters: try PlannedModel.extents(options, description),
            load: try loader.loadNeed(), requirements: try options.requirements(description))
    }

    /// The plan as callers see it.
    var memory: MemoryPlan { MemoryPlan(plan.stage, limits: options.limits) }

    /// Reads the weights, and starts from the plan.
    /// - Throws: what reading throws; `EftError` (`doesNotFit`) when the plan does not fit.
    func load(_ flag: StopFlag, _ progress: ProgressHandler?) throws -> EngineCore {
        try memory.requireFit()
        func report(_ item: String, _ done: Int, _ total: Int) throws {
            guard !flag.isRaised else { throw EftError(.cancelled, "canceled while loading") }
            progress?(WorkProgress(item, done, total))
        }
        let streaming = try StreamedBase(
            plan.stage.placement, loader, layouts: layouts, caches: options.cacheFolder)
        if let streaming {
            try streaming.cache.fill(streaming.placement, devices: devices) {
                try report("writing layers to stream", $0, $1)
            }
        }
        let parts = plan.stage.placement?.parts ?? [folder.description.wholePart]
        let decoder = try loader.load(devices: devices, parts: parts, streaming: streaming) {
            try report("loading layers", $0, $1)
        }
        let configuration = EngineConfiguration(
            maxModelLength: plan.need.contextLength, maxSequences: plan.need.sequences,
            maxBatchedTokens: plan.need.rows)
        return try EngineCore(decoder: decoder, need: plan.need, configuration: configuration)
    }

    /// What adapters take, those included that may come later.
    private static func extents(
        _ options: ModelOptions, _ description: DecoderDescription
    ) throws -> AdapterExtents {
        var sum = try options.adapters.reduce(AdapterExtents(layers: description.layers)) {
            try $0 + AdapterFile.extents($1.folder, description: description)
        }
        let later = AdapterExtents(description, rank: options.maxAdapterRank)
        for _ in 0..<max(0, options.maxAdapters - options.adapters.count) { sum = sum + later }
        return sum
    }
}

extension ModelOptions {
    /// What the cache must hold.
    /// - Throws: `EftError` (`usage`) for a context or cache type that the model does not have.
    fileprivate func requirements(
        _ description: DecoderDescription
    ) throws(EftError) -> ServeRequirements {
        let type = KVType(rawValue: kvCacheType.rawValue) ?? .bf16
        guard type.holds(headDim: description.shape.headDim) else {
            throw EftError(
                .usage,
                "kvCacheType \(type.rawValue) takes heads of 32, 64, ... 256 numbers, the model's have "
                    + "\(description.shape.headDim)")
        }
        if let contextLength, contextLength > description.contextLength {
            throw EftError(
                .usage,
                "contextLength is \(contextLength), the model was made for \(description.contextLength) tokens"
            )
        }
        var requirements = ServeRequirements(
            maxSequences: maxConcurrentRequests, maxBatchedTokens: max(512, maxConcurrentRequests),
            kvType: type)
        requirements.maxModelLength = contextLength
        requirements.mayShorten = contextLength == nil
        requirements.keepStates()
        return requirements
    }
}

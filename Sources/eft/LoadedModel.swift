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
    private(set) var loader: DecoderLoader
    private(set) var layouts: DecoderLayouts
    let adapters: [String]
    let adapterExtents: AdapterExtents
    let budget: DeviceBudget
    let devices: [CPUBackend]
    private let cacheFolder: String?

    /// Opens everything and reads tables, no weights.
    /// - Parameters:
    ///   - adapters: folders of adapters; those that the command line lists when nil.
    ///   - usesAdapterTokenizer: whether an only adapter's tokenizer goes before the base's: training may have named other
    ///     special tokens and another template.
    ///   - shared: devices on which another model stands too, whose scratch memory serves both in turn; devices of its own when nil.
    ///   - scores: whether the model may be one that gives scores and no tokens.
    ///   - reserved: what adapters may take that come later.
    init(
        _ arguments: ParsedArguments, adapters folders: [String]? = nil,
        usesAdapterTokenizer: Bool = true, sharing shared: [CPUBackend]? = nil,
        scores: Bool = false,
        reserving reserved: (DecoderDescription) throws -> AdapterExtents? = { _ in nil }
    ) throws {
        adapters =
            try folders ?? arguments.strings("adapter").map { try arguments.adapter(at: $0) }
        let base = try AdapterBase(adapters: adapters, option: arguments.baseForm)
        let isPrepared: Bool
        let opened = try LoadedModel.open(
            arguments, inNF4: base.form == .nf4 && base.doubleQuantization, scores: scores)
        isPrepared = opened.isPrepared
        var folder = try opened.folder.adapted(by: adapters, scores: scores)
        let own = usesAdapterTokenizer ? LoadedModel.ownTokenizer(adapters) : nil
        let named = arguments.declares("tokenizer") ? arguments.string("tokenizer") : nil
        let tokens = try named.map { try (arguments.source as? HubModels)?.tokenizer($0) ?? $0 }
        (tokenizer, folder.tokenizerFolder) = try CommonOptions.progress(arguments)
            .during("reading the tokenizer") {
                if tokens == nil, let own {
                    let tokenizer = try Tokenizer.load(folder: own)
                    // With more tokens than the model it belongs to another base.
                    if tokenizer.idBound <= folder.description.vocabulary {
                        return (tokenizer, own)
                    }
                }
                let path = tokens ?? folder.tokenizerFolder
                return (try Tokenizer.load(folder: path), folder.tokenizerFolder)
            }
        self.folder = folder
        guard tokenizer.idBound <= folder.description.vocabulary else {
            throw ModelError(
                .mismatch,
                "the tokenizer knows token ids up to \(tokenizer.idBound - 1), the model's vocabulary has "
                    + "\(folder.description.vocabulary); they do not belong together",
                path: folder.path)
        }
        let isDense = try folder.isDense()
        if isDense || isPrepared, let sentence = base.sentence,
            !(arguments.declares("json") && arguments.flag("json"))
        {
            TerminalOutput.standardError.writeLine(sentence)
        }
        let linears: WeightTarget =
            switch isDense ? base.form : .stored {
            case .stored: .asStored
            case .int8: .int8
            case .nf4: .nf4(doubleQuantization: base.doubleQuantization)
            }
        loader = try DecoderLoader(folder: folder, options: LoadOptions(linears: linears))
        layouts = try DecoderLayouts(loader)
        let description = folder.description
        let loaded = try adapters.reduce(AdapterExtents(layers: description.layers)) {
            try $0 + AdapterFile.extents($1, description: description)
        }
        adapterExtents = try reserved(description).map { loaded + $0 } ?? loaded
        budget = try DeviceBudget(arguments)
        devices =
            try shared ?? budget.backends(arguments, programBytes: ProcessMemory.resident)
        cacheFolder = arguments.string("cache-dir")
    }

    /// The folder of an only adapter that has a whole tokenizer.
    private static func ownTokenizer(_ adapters: [String]) -> String? {
        guard adapters.count == 1, let adapter = adapters.first,
            TokenizerFiles.hasTokenizer(adapter),
            FileSystem.exists(FileSystem.join(adapter, "tokenizer_config.json"))
        else { return nil }
        return adapter
    }

    /// The chat templates of the tokenizer's folder, or else of the model's.
    func templates(_ arguments: ParsedArguments) throws -> ChatTemplates? {
        try ConversationOptions.templates(arguments, folder: folder.tokenizerFolder)
            ?? ConversationOptions.templates(arguments, folder: folder.path)
    }

    /// The model's folder, or when it is to be held in NF4 the form that training has made of it.
    private static func open(
        _ arguments: ParsedArguments, inNF4: Bool, scores: Bool
    ) throws -> (folder: ModelFolder, isPrepared: Bool) {
        let overrides = try VLLMArguments.overrides(arguments)
        let folder = try ModelFolder.open(
            ModelArgument.path(arguments), overrides: overrides, scores: scores)
        guard inNF4,
            let base = try? PreparedBase(folder, caches: arguments.string("cache-dir")),
            base.isCurrent
        else { return (folder, false) }
        return (try ModelFolder.open(base.path, overrides: overrides, scores: scores), true)
    }

    /// What a second model was measured to add to the program, outside of the ledgers.
    private static let comparingBytes = 256 << 10

    /// The planner for this model and machine, with what the program holds by now.
    /// - Parameters:
    ///   - work: what is planned.
    ///   - other: another model that will be loaded too.
    ///   - bytes: what the program will take beyond what it has, outside of the ledgers.
    func planner(
        for work: ProcessMemory.Work = .generation, beside other: LoadedModel? = nil,
        reserving bytes: Int = 0
    ) -> Planner {
        let program =
            ProcessMemory.program(
                for: work, threads: devices[0].threads,
                weights: layouts.linears.count + (other?.layouts.linears.count ?? 0))
            + (other == nil ? 0 : LoadedModel.comparingBytes)
        var planner = Planner(
            description: folder.description, limits: budget.limits,
            weightLimits: budget.weightLimits, programBytes: program + bytes,
            backend: devices[0])
        planner.laterProgramBytes = work.later
        return planner
    }

    /// Chooses the form of the weights and what generation needs: as stored where that fits, in NF4 otherwise.
    /// - Parameter bytes: what the program will take beyond what it has, outside of the ledgers.
    /// - Returns: a sentence about the choice.
    /// - Throws: `BudgetError` when nothing fits without streaming layers.
    mutating func fit(
        _ requirements: FitRequirements, reserving bytes: Int = 0
    ) throws -> (need: GenerationNeed, summary: String) {
        let planner = planner(reserving: bytes)
        var loaders = [loader]
        if try loader.options.linears == .asStored && folder.isDense() {
            loaders.append(
                try DecoderLoader(
                    folder: folder,
                    options: LoadOptions(linears: .nf4(doubleQuantization: true))))
        }
        let candidates = try loaders.map { loader in
            FitCandidate(
                name: loader.options.linears == .asStored
                    ? "weights as stored" : "layers in NF4 (--load-in-4bit)",
                layouts: try DecoderLayouts(loader), load: try loader.loadNeed())
        }
        guard
            let fit = planner.fit(
                candidates, adapters: adapterExtents, requirements: requirements)
        else {
            let narrower =
                planner.widestEXL2(requirements: requirements)
                .map {
                    "; quantized to \(formatTrimmed($0.bits, decimals: 2)) bits it would (eft quantize --fit SIZE)"
                } ?? ""
            throw BudgetError(
                description:
                    "no form of this model fits with \(requirements.least) tokens of context\(narrower); "
                    + "without --fit, layers that do not fit are streamed")
        }
        loader = loaders[fit.candidate]
        layouts = candidates[fit.candidate].layouts
        return (
            fit.need,
            "\(candidates[fit.candidate].name), \(fit.need.contextLength) tokens of context, keys and values "
                + "in \(fit.need.kvType.rawValue)"
        )
    }

    /// What streams layers, when the plan fits and says that some are streamed.
    func streaming(_ plan: StagePlan) throws -> StreamedBase? {
        guard plan.fits(budget.limits) else { return nil }
        return try StreamedBase(plan.placement, loader, layouts: layouts, caches: cacheFolder)
    }

    /// The plan with what there is to write before streaming.
    func budget(_ plan: StagePlan, _ streaming: StreamedBase?) -> Budget {
        var budget = Budget(plan: plan, limits: budget.limits)
        if devices.count > 1 { budget.ledgers = devices.map(\.ledger) }
        budget.repack = streaming.map {
            ($0.cache.folder, $0.cache.bytesToWrite($0.placement.streamed))
        }
        return budget
    }

    /// Plans generation of at most so many tokens with adapters, shows the plan, and refuses what does not fit.
    /// - Parameter sampling: bytes that sampling takes outside of the ledgers.
    /// - Throws: `BudgetError`.
    func planGeneration(
        _ name: String, _ need: GenerationNeed, tokens: Int, sampling: Int = 0,
        for work: ProcessMemory.Work = .generation, quiet: Bool = false
    ) throws -> (plan: StagePlan, streaming: StreamedBase?, budget: Budget) {
        let plan = planner(
            for: work,
            reserving: Answers.bytes(need, folder.description, tokens: tokens) + sampling
        ).run(
            name: name, layouts: layouts, adapters: adapterExtents, load: try loader.loadNeed(),
            need: need)
        let streaming = try streaming(plan)
        let budget = budget(plan, streaming)
        try budget.announce(quiet: quiet)
        return (plan, streaming, budget)
    }

    /// Loads weights and adapters; returns the adapters' slots.
    func load(
        _ plan: StagePlan, _ streaming: StreamedBase?, quiet: Bool
    ) throws -> (decoder: Decoder, slots: [Int]) {
        let decoder = try base(plan, streaming, quiet: quiet)
        return (decoder, try adapters.map { try AdapterFile.load($0, into: decoder) })
    }

    /// Loads weights.
    /// - Parameters:
    ///   - plan: where the weights stand.
    ///   - streaming: what streams layers; nil when all stand in memory.
    ///   - quiet: whether to say nothing of the progress.
    func base(
        _ plan: StagePlan, _ streaming: StreamedBase?, quiet: Bool
    ) throws -> Decoder {
        let progress = ProgressReporter(output: .standardError)
        func report(_ what: String, _ done: Int, _ total: Int) throws {
            guard !InterruptFlag.isRaised else {
                throw Interruption(description: "interrupted while loading")
            }
            guard !quiet else { return }
            let share = Double(done) / Double(max(total, 1))
            progress.update(what, share: share, "layer \(done) of \(total)")
        }
        if let streaming {
            try streaming.cache.fill(streaming.placement, devices: devices) {
                try report("writing in the form in which it is streamed", $0, $1)
            }
        }
        let decoder = try loader.load(
            devices: devices, parts: plan.placement?.parts ?? [folder.description.wholePart],
            streaming: streaming
        ) {
            try report("loading", $0, $1)
        }
        progress.clear()
        return decoder
    }
}

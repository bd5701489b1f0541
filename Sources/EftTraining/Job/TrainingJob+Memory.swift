// SPDX-License-Identifier: Apache-2.0
// What a training run will hold, stated before anything is loaded.
import EftModels
import EftNN
import EftTensor

/// Tokens of the examples of a run.
package struct ExampleLengths: Sendable, Hashable {
    /// Of each example to train on.
    package var train: [Int]
    /// Of each example to evaluate on.
    package var validation: [Int]

    /// Takes lengths.
    package init(train: [Int], validation: [Int] = []) {
        self.train = train
        self.validation = validation
    }
}

/// What a run will hold, and where the weights of its base stand.
package struct TrainingPlan: Sendable {
    /// Peak bytes by purpose, the program itself left out.
    package var memory: MemoryTable
    /// Which layers are streamed.
    package var placement: WeightPlacement
}

extension TrainingJob {
    /// States what a run will hold.
    ///
    /// The workspace row holds what is temporary: scratch memory of products, of loading and of saving; the latter two
    /// only as far as they pass what the rest takes at another time. The total is what the ledger's peak will be.
    /// - Parameters:
    ///   - lengths: of the examples; when nil, every row is taken to be as long as allowed.
    ///   - room: bytes that may be held; layers of an adapter's base are streamed when they do not fit.
    package static func plan(
        _ base: BaseModel, config: AxolotlConfig, lengths: ExampleLengths? = nil,
        backend: any Backend, room: Int
    ) throws -> TrainingPlan {
        let description = base.folder.description
        let layouts = try base.layouts()
        let adapter = try config.adapter.map {
            try AdapterTargets($0, description: description, baseModel: config.model.baseModel)
        }
        let need = try need(
            config.training, lengths, extents: adapter?.extents(description) ?? (0, 0))
        let adapterBytes = adapter?.byteCount(description) ?? 0
        let trainable = (adapter == nil ? layouts.byteCount : adapterBytes) / 4
        var table = TrainingMemory(trainableCount: trainable, pass: need).table(description)
        table[.adapters] = adapterBytes
        let products = DecoderScratch(
            linears: layouts.linears, head: layouts.head, rows: need.rows,
            headRows: LossHead.chunkRows(vocabulary: description.vocabulary, rows: need.rows),
            adapterRank: need.adapterRank, training: adapter == nil ? .full : .adapters
        ).byteCount(on: backend)
        let saving = adapter == nil ? DecoderSaver.scratchBytes(layouts, config.outputType) : 0
        let loading = try base.loadScratchBytes()
        let filling = PanelCache.fillBytes(layouts, loadScratch: loading)
        func memory(_ placement: WeightPlacement) -> MemoryTable {
            var all = table
            all[.weights] = placement.weightBytes
            all[.window] = placement.windowBytes
            // Layers are written to the cache before anything is loaded, the window comes after.
            let repacking = placement.isStreaming ? filling : 0
            let before = max(placement.weightBytes + loading, repacking)
            all[.workspace] = max(products + saving, before - all.total)
            return all
        }
        let placement = layouts.placement(canStream: base.canStream) {
            memory($0).total <= room
        }
        return TrainingPlan(memory: memory(placement), placement: placement)
    }

    private static func need(
        _ settings: TrainingSettings, _ lengths: ExampleLengths?,
        extents: (rank: Int, droppedInputs: Int)
    ) throws -> TrainingNeed {
        guard let lengths else {
            // A guess for packing: examples of 64 tokens, each of which may leave a page unfilled.
            let rows = settings.microBatchTokens
            let sequences = settings.samplePacking ? rows / 64 + 1 : settings.microBatchSize
            return TrainingNeed(
                rows: rows, sequences: sequences, adapterRank: extents.rank,
                droppedInputs: extents.droppedInputs, checkpointing: settings.gradientCheckpointing)
        }
        return Trainer.need(
            plan: try BatchPlan(lengths: lengths.train, settings: settings), train: lengths.train,
            validation: lengths.validation, settings: settings, adapterExtents: extents)
    }

    // MARK: Refusing

    /// Checks a run against the budget.
    /// - Throws: `TensorError` (`outOfBudget`) with the table and, when one is found, a change that makes it fit.
    static func requireFit(
        _ plan: TrainingPlan, _ base: BaseModel, config: AxolotlConfig, lengths: ExampleLengths?,
        room: Int, programBytes: Int, backend: any Backend
    ) throws {
        guard plan.memory.total > room else { return }
        var table = plan.memory
        table[.program] = programBytes
        let limit = room + programBytes
        var remedy =
            "nothing smaller was found to fit; raise --memory to \(suggested(table.total)), or train a smaller model"
        for (change, candidate) in smaller(config) {
            let fitting = lengths.map { clipped($0, candidate.training.sequenceLen) }
            let needed = try TrainingJob.plan(
                BaseModel(candidate), config: candidate, lengths: fitting, backend: backend,
                room: room)
            if needed.memory.total <= room {
                remedy = "it fits with \(change), or with --memory \(suggested(table.total))"
                break
            }
        }
        let streaming = plan.placement.isStreaming ? " even with \(plan.placement.summary)" : ""
        let hint =
            base.canStream
            ? "" : "\nonly the frozen base of an adapter can be streamed when it does not fit"
        throw TensorError(
            .outOfBudget,
            """
            training needs \(formatBytes(table.total))\(streaming), the budget is \(formatBytes(limit)):
            \(table.rendered)
            \(remedy)\(hint)
            """)
    }

    /// A size in whole MiB that holds `bytes`.
    private static func suggested(_ bytes: Int) -> String { "\((bytes >> 20) + 1)MiB" }

    private static func clipped(_ lengths: ExampleLengths, _ most: Int) -> ExampleLengths {
        let train = lengths.train.filter { $0 <= most }
        return ExampleLengths(
            train: train.isEmpty ? [most] : train,
            validation: lengths.validation.filter { $0 <= most })
    }

    /// The configuration with one change after the other, each on top of those before.
    private static func smaller(_ config: AxolotlConfig) -> [(String, AxolotlConfig)] {
        var candidates: [(String, AxolotlConfig)] = []
        var current = config
        var changes: [String] = []
        func add(_ change: String, replacing last: Bool = false) {
            if last { changes.removeLast() }
            changes.append(change)
            candidates.append((changes.joined(separator: ", "), current))
        }
        if !current.training.gradientCheckpointing {
            current.training.gradientCheckpointing = true
            add("gradient_checkpointing: true")
        }
        if current.training.microBatchSize > 1 {
            current.training.microBatchSize = 1
            add("micro_batch_size: 1")
        }
        if current.adapter?.quantizesBase == false {
            current.adapter?.quantizesBase = true
            add("adapter: qlora, load_in_4bit: true")
        }
        var halved = false
        while current.training.sequenceLen > 128 {
            current.training.sequenceLen /= 2
            add("sequence_len: \(current.training.sequenceLen)", replacing: halved)
            halved = true
        }
        return candidates
    }
}

extension DecoderSaver {
    /// Most temporary bytes while weights of these layouts are written as numbers of a type.
    static func scratchBytes(_ layouts: DecoderLayouts, _ dtype: DType) -> Int {
        ([layouts.embedding, layouts.head] + layouts.linears).map { layout in
            let rows = min(max(1, (1 << 20) / layout.inputs), layout.outputs)
            return rows * layout.inputs * (4 + dtype.byteWidth)
        }.max() ?? 0
    }
}

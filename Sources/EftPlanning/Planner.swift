// SPDX-License-Identifier: Apache-2.0
// Plans stages for a model in a folder, or for a bare config.json.
import EftModels
import EftNN
import EftQuant
import EftTensor

/// Plans what commands will need, by the statements that their components allocate by.
package struct Planner {
    /// The model.
    package let description: DecoderDescription
    /// Bytes that may be held.
    package let limit: Int
    /// Bytes of the program itself.
    package let programBytes: Int
    /// The device, for the sizes of scratch memory.
    package let backend: any Backend

    /// Prepares to plan.
    package init(
        description: DecoderDescription, limit: Int, programBytes: Int, backend: any Backend
    ) {
        self.description = description
        self.limit = limit
        self.programBytes = programBytes
        self.backend = backend
    }

    // MARK: Run

    /// A run over weights of given layouts, some of them streamed when they do not fit.
    package func run(
        name: String, layouts: DecoderLayouts, adapterBytes: Int = 0, loadScratch: Int = 0,
        need: GenerationNeed
    ) -> StagePlan {
        func planned(_ need: GenerationNeed) -> StagePlan {
            fitting(
                layouts,
                runOnce(
                    name: name, layouts: layouts, adapterBytes: adapterBytes,
                    loadScratch: loadScratch, need: need))
        }
        var plan = planned(need)
        guard !plan.fits(limit) else { return plan }
        var smaller = need
        // Halving the context is the smallest change that people make.
        while smaller.contextLength > 256 {
            smaller.contextLength /= 2
            smaller.prefillChunk = min(smaller.prefillChunk, 128)
            if planned(smaller).fits(limit) {
                plan.remedy = "--max-seq-len \(smaller.contextLength)"
                return plan
            }
        }
        plan.remedy = widestFit(need) ?? enough(plan)
        return plan
    }

    /// A plan changed to the placement with most layers in memory that fits, or to the one that takes least.
    private func fitting(
        _ layouts: DecoderLayouts, canStream: Bool = true, _ plan: StagePlan
    ) -> StagePlan {
        func placed(_ placement: WeightPlacement) -> StagePlan {
            var plan = plan
            plan.memory[.weights] = placement.weightBytes
            plan.memory[.window] = placement.windowBytes
            plan.disk += placement.diskBytes
            plan.placement = placement
            return plan
        }
        return placed(layouts.placement(canStream: canStream) { placed($0).fits(limit) })
    }

    /// The size of memory that holds a plan.
    private func enough(_ plan: StagePlan) -> String {
        "--memory \((plan.memory.total >> 20) + 1)MiB"
    }

    private func runOnce(
        name: String, layouts: DecoderLayouts, adapterBytes: Int, loadScratch: Int,
        need: GenerationNeed
    ) -> StagePlan {
        var memory = need.memory(description)
        memory[.adapters] = adapterBytes
        memory[.workspace] = max(
            loadScratch, need.scratch(linears: layouts.linears, head: layouts.head, on: backend))
        memory[.program] = programBytes
        let context = "\(need.contextLength) tokens of context, \(need.sequences) at once"
        return StagePlan(name: name, memory: memory, detail: context)
    }

    /// The widest EXL2 width at which a run fits.
    private func widestFit(_ need: GenerationNeed) -> String? {
        for bits in EXL2Geometry.uniformWidths.reversed() {
            guard
                let layouts = try? DecoderLayouts(
                    description, format: .exl2(bits: bits, headBits: min(bits + 2, 6)))
            else { continue }
            let candidate = fitting(
                layouts,
                runOnce(name: "", layouts: layouts, adapterBytes: 0, loadScratch: 0, need: need))
            if candidate.fits(limit) { return "the model quantized to \(bits) bits" }
        }
        return nil
    }

    /// Scoring windows of `rows` tokens over weights of given layouts, some of them streamed when they do not fit.
    package func evaluate(
        name: String, layouts: DecoderLayouts, adapterBytes: Int, loadScratch: Int, rows: Int,
        adapterRank: Int
    ) -> StagePlan {
        func planned(_ rows: Int) -> StagePlan {
            let memory = evaluation(
                layouts, adapterBytes: adapterBytes, loadScratch: loadScratch, rows: rows,
                adapterRank: adapterRank)
            return fitting(
                layouts,
                StagePlan(name: name, memory: memory, detail: "windows of \(rows) tokens"))
        }
        var plan = planned(rows)
        var smaller = rows
        while !plan.fits(limit), plan.remedy == nil, smaller > 64 {
            smaller /= 2
            if planned(smaller).fits(limit) { plan.remedy = "--length \(smaller)" }
        }
        if !plan.fits(limit), plan.remedy == nil { plan.remedy = enough(plan) }
        return plan
    }

    private func evaluation(
        _ layouts: DecoderLayouts, adapterBytes: Int, loadScratch: Int, rows: Int,
        adapterRank: Int
    ) -> MemoryTable {
        let chunk = LossHead.chunkRows(vocabulary: description.vocabulary, rows: rows)
        let scratch = DecoderScratch(
            linears: layouts.linears, head: layouts.head, rows: rows, headRows: chunk,
            adapterRank: adapterRank)
        return MemoryTable([
            .adapters: adapterBytes,
            .activations: EvaluationPass.byteCount(
                description, rows: rows, sequences: 1, adapterRank: adapterRank),
            .workspace: max(loadScratch, scratch.byteCount(on: backend)),
            .program: programBytes,
        ])
    }

    // MARK: Train

    /// What a training run trains.
    package struct TrainingOptions: Sendable, Hashable {
        /// Rank of adapters on all linear layers; 0 for full training.
        package var rank: Int
        /// Tokens of a sequence.
        package var sequenceLen: Int
        /// Sequences of a micro-batch.
        package var microBatchSize: Int
        /// Whether adapters use dropout.
        package var usesDropout: Bool
        /// Whether layers are computed again in the backward pass.
        package var checkpointing: Bool

        /// Makes options.
        package init(
            rank: Int, sequenceLen: Int, microBatchSize: Int, usesDropout: Bool = false,
            checkpointing: Bool = true
        ) {
            self.rank = rank
            self.sequenceLen = sequenceLen
            self.microBatchSize = microBatchSize
            self.usesDropout = usesDropout
            self.checkpointing = checkpointing
        }
    }

    /// A training run over weights of given layouts; of an adapter's base some layers are streamed when they do not
    /// fit.
    package func train(
        name: String, layouts: DecoderLayouts, loadScratch: Int = 0, options: TrainingOptions
    ) -> StagePlan {
        func planned(_ options: TrainingOptions) -> StagePlan {
            fitting(
                layouts, canStream: options.rank > 0,
                trainOnce(
                    name: name, layouts: layouts, loadScratch: loadScratch, options: options))
        }
        var plan = planned(options)
        guard !plan.fits(limit) else { return plan }
        for (change, candidate) in smallerTrainings(options) {
            if planned(candidate).fits(limit) {
                plan.remedy = change
                break
            }
        }
        return plan
    }

    private func smallerTrainings(
        _ options: TrainingOptions
    ) -> [(change: String, options: TrainingOptions)] {
        var candidates: [(String, TrainingOptions)] = []
        var current = options
        var changes: [String] = []
        if !current.checkpointing {
            current.checkpointing = true
            changes.append("gradient_checkpointing: true")
            candidates.append((changes.joined(separator: ", "), current))
        }
        if current.microBatchSize > 1 {
            current.microBatchSize = 1
            changes.append("micro_batch_size: 1 (and as many gradient_accumulation_steps)")
            candidates.append((changes.joined(separator: ", "), current))
        }
        while current.sequenceLen > 128 {
            current.sequenceLen /= 2
            let change = changes + ["sequence_len: \(current.sequenceLen)"]
            candidates.append((change.joined(separator: ", "), current))
        }
        return candidates
    }

    /// Bytes of adapters of a rank on all linear layers.
    package func adapterBytes(rank: Int) -> Int {
        description.linears(layer: 0).reduce(0) {
            $0 + LoRA.byteCount(inputs: $1.inputs, outputs: $1.outputs, rank: rank)
        } * description.layers
    }

    private func trainOnce(
        name: String, layouts: DecoderLayouts, loadScratch: Int, options: TrainingOptions
    ) -> StagePlan {
        let rows = options.sequenceLen * options.microBatchSize
        let isFull = options.rank == 0
        let adapters = isFull ? 0 : adapterBytes(rank: options.rank)
        let widest = description.linears(layer: 0).map(\.inputs).max() ?? 0
        let pass = TrainingNeed(
            rows: rows, sequences: options.microBatchSize, adapterRank: options.rank,
            droppedInputs: options.usesDropout ? widest : 0, checkpointing: options.checkpointing)
        let trainable = (isFull ? layouts.byteCount : adapters) / 4
        var memory = TrainingMemory(trainableCount: trainable, pass: pass).table(description)
        memory[.adapters] = adapters
        let scratch = DecoderScratch(
            linears: layouts.linears, head: layouts.head, rows: rows,
            headRows: LossHead.chunkRows(vocabulary: description.vocabulary, rows: rows),
            adapterRank: options.rank, training: isFull ? .full : .adapters)
        memory[.workspace] = max(loadScratch, scratch.byteCount(on: backend))
        memory[.program] = programBytes
        let kind = isFull ? "all weights" : "rank \(options.rank)"
        return StagePlan(
            name: name, memory: memory, disk: trainable * 4 * 4,
            detail: "\(kind), \(options.microBatchSize) x \(options.sequenceLen) tokens")
    }
}

// SPDX-License-Identifier: Apache-2.0
// What generation, evaluation and training hold on each device: stated once, for planning and for doing.
import EftNN
import EftTensor

/// A decoder that is to be placed: its weights, the adapters on it, and the devices that may hold it.
package struct PlacementTask {
    /// The model.
    package var description: DecoderDescription
    /// Its weights.
    package var layouts: DecoderLayouts
    /// Adapters on top.
    package var adapters: AdapterExtents
    /// The steps of loading.
    package var load: LoadNeed
    /// Bytes that a run takes for a while on a device once weights and adapters stand there, before all else.
    package var starting = 0
    /// Bytes that libraries keep on the first device from then on.
    package var kept = 0
    /// What is rounded in quantization-aware training.
    package var rounding: FakeQuantization?
    /// Bytes that each device may hold.
    package var limits: [Int]
    /// Most bytes of weights for each device; its whole room when nil.
    package var weightLimits: [Int]?
    /// Bytes of the program itself, held against the first device.
    package var programBytes: Int
    /// A device of this kind, for the sizes of scratch memory.
    package var backend: any Backend

    /// States a task.
    package init(
        description: DecoderDescription, layouts: DecoderLayouts, adapters: AdapterExtents? = nil,
        load: LoadNeed = LoadNeed(), limits: [Int], weightLimits: [Int]? = nil,
        programBytes: Int = 0, backend: any Backend
    ) {
        self.description = description
        self.layouts = layouts
        self.adapters = adapters ?? AdapterExtents(layers: description.layers)
        self.load = load
        self.limits = limits
        self.weightLimits = weightLimits
        self.programBytes = programBytes
        self.backend = backend
    }

    /// Places a decoder on devices that hold what `need` states for their part.
    private func place(
        canStream: Bool, expertsAlone: Bool = false,
        _ need: @escaping (_ device: Int, _ part: DecoderPart) -> MemoryTable
    ) -> PlacedMemory {
        let (load, adapters, programBytes) = (load, adapters, programBytes)
        let (starting, kept) = (starting, kept)
        func others(_ device: Int, _ part: DecoderPart) -> MemoryTable {
            var table = part.isEmpty ? MemoryTable() : need(device, part)
            if !part.isEmpty { table[.adapters] += adapters.byteCount(part) }
            if device == 0 {
                table[.program] += programBytes
                table[.workspace] += kept
            }
            return table
        }
        let search = PlacementSearch(
            layouts: layouts, limits: limits, weightLimits: weightLimits, canStream: canStream,
            expertsAlone: expertsAlone, others: others,
            whole: { others, placement in
                guard !placement.part.isEmpty else { return others }
                var all = PlacementSearch.sum(others, placement)
                // Layers are written to the cache before anything is loaded, and the window comes after. What that
                // takes counts as far as it passes what the rest takes at another time.
                let repacking = placement.isStreaming ? load.fillPeak(placement.streamed) : 0
                let held = all[.weights] + all[.window] + all[.adapters]
                let begun = held + starting + kept - load.missing(placement.part)
                let before = max(load.peak(placement), repacking, starting > 0 ? begun : 0)
                all[.workspace] += max(0, before - (all.total - all[.program]))
                return all
            })
        var placed = search.best()
        placed.notAtOnce = placed.total.total - together(placed, others)
        placed.scratch = placed.placement.devices.enumerated().map { device, placement in
            placement.part.isEmpty ? 0 : need(device, placement.part)[.workspace]
        }
        return placed
    }

    /// Most bytes on all devices together: they are filled and loaded one after the other, and hold the rest after that.
    private func together(
        _ placed: PlacedMemory, _ others: (_ device: Int, _ part: DecoderPart) -> MemoryTable
    ) -> Int {
        var (running, loaded, peak) = (0, programBytes, 0)
        var begun = programBytes + starting + kept - load.laterProgramBytes
        for (device, placement) in placed.placement.devices.enumerated() {
            running += PlacementSearch.sum(others(device, placement.part), placement).total
            guard !placement.part.isEmpty else { continue }
            if placement.isStreaming {
                peak = max(peak, programBytes + load.fillPeak(placement.streamed))
            }
            peak = max(peak, loaded + load.peak(placement))
            loaded += placement.weightBytes
            begun += placement.weightBytes + placement.windowBytes
            begun += adapters.byteCount(placement.part)
        }
        return max(peak, running, starting > 0 ? begun : 0)
    }

    /// Places a decoder that generates.
    package func generation(_ need: GenerationNeed) -> PlacedMemory {
        var need = need
        need.adapters = adapters.widths
        need.adaptsHead = adapters.head > 0
        let (description, layouts, backend) = (description, layouts, backend)
        return place(canStream: true, expertsAlone: true) { [need] _, part in
            var table = need.memory(description, part: part)
            table[.workspace] = need.scratch(layouts, part: part, on: backend)
            return table
        }
    }

    /// Places a decoder that scores batches of `rows` tokens in at most `sequences` sequences.
    /// - Parameter kvType: how keys and values are held.
    package func evaluation(
        rows: Int, sequences: Int = 1, kvType: KVType = .f32
    ) -> PlacedMemory {
        let (description, layouts, backend, adapters) = (description, layouts, backend, adapters)
        return place(canStream: true, expertsAlone: true) { _, part in
            var scratch = DecoderScratch(
                layouts, part: part, rows: rows,
                headRows: LossHead.chunkRows(vocabulary: description.headOutputs, rows: rows),
                adapters: adapters.widths)
            scratch.adaptsHead = adapters.head > 0
            return MemoryTable([
                .activations: EvaluationPass.byteCount(
                    description, part: part, rows: rows, sequences: sequences,
                    adapters: adapters.widths, kvType: kvType),
                .workspace: scratch.byteCount(on: backend),
            ])
        }
    }

    /// Places a decoder that is trained.
    /// - Parameters:
    ///   - trained: the weights that are trained besides adapters.
    ///   - optimizer: what the optimizer holds.
    ///   - saving: temporary bytes on the first device while results are written.
    ///   - canStream: whether the base may be streamed; all weights in training never are.
    ///   - generation: what a run holds besides that completes prompts by itself.
    package func training(
        _ need: TrainingNeed, weights trained: TrainedWeights, optimizer: OptimizerNeed = .adamW,
        saving: Int = 0, canStream: Bool = true, generation: GenerationNeed? = nil
    ) -> PlacedMemory {
        var generation = generation
        generation?.adapters = adapters.widths
        generation?.adaptsHead = adapters.head > 0
        let (description, layouts, backend, adapters) = (description, layouts, backend, adapters)
        let (training, rounding) = (trained.scratch(description), rounding)
        let memory = TrainingMemory(
            trained.shapes(description, layouts, isTarget: optimizer.isTarget)
                + adapters.trainedShapes, optimizer, on: backend)
        return place(canStream: canStream && training != .full) { [generation] device, part in
            var scratch = DecoderScratch(
                layouts, part: part, rows: need.rows,
                headRows: LossHead.chunkRows(vocabulary: description.headOutputs, rows: need.rows),
                adapters: need.adapters, training: training)
            scratch.adaptsHead = adapters.head > 0
            let trained = memory.bytes(part)
            var table = trained.table(isPaged: optimizer.isPaged)
            table[.activations] = need.byteCount(description, part: part)
            table[.weights] = rounding?.byteCount(layouts, part) ?? 0
            var products = max(scratch.byteCount(on: backend), trained.products)
            if let generation {
                table = table + generation.memory(description, part: part)
                products = max(products, generation.scratch(layouts, part: part, on: backend))
            }
            table[.workspace] = products + (device == 0 ? saving : 0)
            return table
        }
    }

    /// Places a decoder that is trained, and decides how many micro-batches of a step one pass over the weights serves:
    /// as many as make a step read the fewest bytes, and of those as few as do.
    /// - Parameters:
    ///   - weights: those that are trained besides adapters.
    ///   - microBatches: of a step.
    package func training(
        _ need: TrainingNeed, weights: TrainedWeights, microBatches: Int,
        optimizer: OptimizerNeed = .adamW,
        saving: Int = 0, canStream: Bool = true, generation: GenerationNeed? = nil
    ) -> (placed: PlacedMemory, joined: Int) {
        func joining(_ joined: Int) -> PlacedMemory {
            var need = need
            need.joined = joined
            return training(
                need, weights: weights, optimizer: optimizer, saving: saving, canStream: canStream,
                generation: generation)
        }
        var best = (placed: joining(1), joined: 1)
        guard need.checkpointing.recomputes, best.placed.fits, best.placed.placement.isStreaming
        else { return best }
        func read(_ plan: (placed: PlacedMemory, joined: Int)) -> Int {
            let passes = (microBatches + plan.joined - 1) / plan.joined
            return plan.placed.placement.trainingReads * passes
        }
        var joined = 2
        while joined < 2 * microBatches {
            let count = min(joined, microBatches)
            let candidate = (placed: joining(count), joined: count)
            if candidate.placed.fits, read(candidate) < read(best) { best = candidate }
            joined *= 2
        }
        return best
    }
}

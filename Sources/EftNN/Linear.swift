// SPDX-License-Identifier: Apache-2.0
// A linear layer over a weight in any format, with any number of adapters.
import EftTensor

/// y = x W + bias, plus the adapters that the batch names for its rows.
///
/// Changed only while a model is put together (adapters, gradients), hence unchecked.
package final class Linear: @unchecked Sendable {
    /// The layer's path in the checkpoint, such as `model.layers.0.self_attn.q_proj`.
    package let name: String
    /// A number unique to the layer, which seeds its dropout masks.
    package let ordinal: UInt64
    /// The weight.
    package let weight: PackedWeight
    /// The bias, N numbers.
    package let bias: Buffer?
    /// Adapters by their slot in the model.
    package var adapters: [Int: LoRA] = [:]
    /// Gradients in full training.
    package var weightParameter: Parameter?
    package var biasParameter: Parameter?
    /// Rows of the weight that are trained alone.
    package var trainedRows: TokenRows?
    /// What rounds weight and inputs in quantization-aware training; such a layer has no adapters.
    package var fakeQuantizer: FakeQuantizer?

    /// Puts a layer together.
    package init(name: String, ordinal: UInt64, weight: PackedWeight, bias: Buffer?) {
        precondition(bias.map { $0.floatCount == weight.outputs } ?? true)
        self.name = name
        self.ordinal = ordinal
        self.weight = weight
        self.bias = bias
    }

    /// The weight that is computed with.
    private var usedWeight: PackedWeight { fakeQuantizer?.weight ?? weight }

    /// x as it is computed with; the memory holds until the next layer's.
    private func usedInput(_ x: Matrix, _ pass: Pass) -> Matrix {
        fakeQuantizer?.input(x, pass) ?? x
    }

    /// y (+)= the layer's value.
    package func forward(_ x: Matrix, into y: Matrix, accumulate: Bool = false, _ pass: Pass)
        throws(TensorError)
    {
        try prepareAdapters(pass)
        // Where an adapter rescales the layer's value, that must stand alone before it is added.
        let runs = accumulate ? rescaledRuns(of: x.rows, pass) : []
        guard runs.contains(where: \.isRescaled) else {
            try pass.backend.multiply(
                usedInput(x, pass), usedWeight, into: y, accumulate: accumulate)
            return try addBiasAndAdapters(x, to: y, pass)
        }
        for (rows, stands) in runs {
            let (x, y, pass) = (x.rows(rows), y.rows(rows), pass.part(rows))
            let value =
                stands ? pass.adapterScratch.scaled(rows: y.rows, columns: y.columns) : y
            try pass.backend.multiply(x, weight, into: value, accumulate: !stands)
            try addBiasAndAdapters(x, to: value, pass)
            if stands { pass.backend.addScaled(value, factor: 1, to: y) }
        }
    }

    /// y = the value of each of several layers of the same x, which round it alike.
    package static func forward(_ layers: [Linear], _ x: Matrix, into y: [Matrix], _ pass: Pass)
        throws(TensorError)
    {
        let input = layers.first?.usedInput(x, pass) ?? x
        try pass.backend.multiply(input, layers.map(\.usedWeight), into: y, accumulate: false)
        for (layer, y) in zip(layers, y) {
            try layer.prepareAdapters(pass)
            try layer.addBiasAndAdapters(x, to: y, pass)
        }
    }

    /// Whether the layer's value is its weight's product alone.
    func isPlain(_ pass: Pass) -> Bool {
        bias == nil && fakeQuantizer == nil
            && pass.adapterSegments.allSatisfy { $0.slots.allSatisfy { adapters[$0] == nil } }
    }

    private func prepareAdapters(_ pass: Pass) throws(TensorError) {
        for slot in Set(pass.adapterSegments.flatMap(\.slots)) {
            try adapters[slot]?.prepare(for: self, scratch: pass.adapterScratch)
        }
    }

    /// All rows, those apart on which an adapter acts that rescales the layer's value.
    private func rescaledRuns(
        of rows: Int, _ pass: Pass
    ) -> [(rows: Range<Int>, isRescaled: Bool)] {
        let seed = pass.seed(ordinal)
        let chosen = pass.adapterSegments.filter { segment in
            segment.slots.contains { adapters[$0]?.rescales(seed) ?? false }
        }
        guard !chosen.isEmpty else { return [(0..<rows, false)] }
        var (runs, next): ([(Range<Int>, Bool)], Int) = ([], 0)
        for segment in chosen.map(\.rows).sorted(by: { $0.lowerBound < $1.lowerBound }) {
            if let last = runs.last, last.1, next == segment.lowerBound {
                runs[runs.count - 1].0 = last.0.lowerBound..<segment.upperBound
            } else {
                if next < segment.lowerBound { runs.append((next..<segment.lowerBound, false)) }
                runs.append((segment, true))
            }
            next = segment.upperBound
        }
        return next < rows ? runs + [(next..<rows, false)] : runs
    }

    private func addBiasAndAdapters(_ x: Matrix, to y: Matrix, _ pass: Pass) throws(TensorError) {
        if let bias { pass.backend.addBias(bias, to: y) }
        for segment in pass.adapterSegments {
            for slot in segment.slots {
                guard let adapter = adapters[slot] else { continue }
                try adapter.forward(
                    x.rows(segment.rows), into: y.rows(segment.rows), of: self,
                    seed: pass.seed(ordinal), scratch: pass.adapterScratch)
            }
        }
    }

    /// Adds to the gradients of what is trainable, and dx (+)= the gradient of x; what is added to belongs to the same x.
    package func backward(
        _ x: Matrix, dy: Matrix, into dx: Matrix, accumulate: Bool, _ pass: Pass
    ) throws(TensorError) {
        let backend = pass.backend
        pass.gradientObserver?.observe(self, gradient: dy)
        if let gradient = weightParameter?.activeGradient {
            try backend.accumulateWeightGradient(
                x: usedInput(x, pass), dy: dy, into: gradient, layout: weight.layout)
        }
        trainedRows?.addGradient(x, dy: dy)
        if let gradient = biasParameter?.activeGradient {
            backend.addColumnSums(of: dy, to: gradient)
        }
        try prepareAdapters(pass)
        let dy = try scaledGradient(x, dy: dy, pass)
        try backend.multiplyTransposed(dy, usedWeight, into: dx, accumulate: accumulate)
        // What else is in dx is the gradient of the same x, to which the same happens.
        fakeQuantizer?.finishInput(x, gradient: dx, pass)
        for segment in pass.adapterSegments {
            for slot in segment.slots {
                guard let adapter = adapters[slot] else { continue }
                try adapter.backward(
                    x.rows(segment.rows), dy: dy.rows(segment.rows),
                    addingTo: dx.rows(segment.rows), of: self, seed: pass.seed(ordinal),
                    scratch: pass.adapterScratch)
            }
        }
    }

    /// The gradient of the layer's value before adapters gave its rows lengths; dy itself when none does. An adapter that
    /// does acts alone on its rows when a backward pass is made.
    private func scaledGradient(
        _ x: Matrix, dy: Matrix, _ pass: Pass
    ) throws(TensorError) -> Matrix {
        guard rescaledRuns(of: x.rows, pass).contains(where: \.isRescaled) else { return dy }
        let (seed, scratch) = (pass.seed(ordinal), pass.adapterScratch)
        let scaled = scratch.scaled(rows: dy.rows, columns: dy.columns)
        scaled.pointer.update(from: dy.pointer, count: dy.count)
        for segment in pass.adapterSegments {
            for slot in segment.slots {
                guard let adapter = adapters[slot], adapter.rescales(seed) else { continue }
                let rows = segment.rows
                try adapter.scaleGradient(
                    x.rows(rows), dy: dy.rows(rows), of: self, into: scaled.rows(rows),
                    scratch: scratch)
            }
        }
        return scaled
    }

    /// Takes memory for the gradients of the weight, which must be in f32, and of the bias.
    /// - Throws: `TensorError` when they do not fit the ledger.
    package func makeTrainable(
        weight trainsWeight: Bool = true, bias trainsBias: Bool = true, ledger: MemoryLedger?
    ) throws(TensorError) {
        if trainsWeight {
            precondition(weight.layout.format == .f32, "weights that are trained are held in f32")
            weightParameter = try Parameter(
                name: name + ".weight", value: weight.panels, shape: weight.layout.trainedShape,
                decays: true, ledger: ledger)
        }
        if trainsBias, let bias {
            biasParameter = try Parameter(
                name: name + ".bias", value: bias, decays: false, ledger: ledger)
        }
    }
}

/// What layers need to know of one pass over a batch.
package struct Pass: Sendable {
    /// The device.
    package let backend: any Backend
    /// Which adapters act on which rows.
    package let adapterSegments: [AdapterSegment]
    /// Memory of the adapters.
    package let adapterScratch: AdapterScratch
    /// The seed of this micro-batch's dropout; nil outside training.
    package let dropoutSeed: UInt64?
    /// Who sees the gradients of linear layers' values in a backward pass.
    package let gradientObserver: (any GradientObserver)?

    /// Describes a pass.
    package init(
        backend: any Backend, adapterSegments: [AdapterSegment], adapterScratch: AdapterScratch,
        dropoutSeed: UInt64? = nil, gradientObserver: (any GradientObserver)? = nil
    ) {
        self.backend = backend
        self.adapterSegments = adapterSegments
        self.adapterScratch = adapterScratch
        self.dropoutSeed = dropoutSeed
        self.gradientObserver = gradientObserver
    }

    /// The same pass seen by a range of its rows, with the same seed.
    func part(_ range: Range<Int>) -> Pass { part(range, dropoutSeed: dropoutSeed) }

    /// The same pass seen by a range of its rows, with a seed.
    func part(_ range: Range<Int>, dropoutSeed: UInt64?) -> Pass {
        let segments = adapterSegments.compactMap { segment -> AdapterSegment? in
            let common = segment.rows.clamped(to: range)
            guard !common.isEmpty else { return nil }
            return AdapterSegment(
                rows: common.lowerBound - range.lowerBound..<common.upperBound - range.lowerBound,
                slots: segment.slots)
        }
        return Pass(
            backend: backend, adapterSegments: segments, adapterScratch: adapterScratch,
            dropoutSeed: dropoutSeed, gradientObserver: gradientObserver)
    }

    /// The same pass seen by some of its rows, ascending, that are packed together.
    func packed(_ rows: [Int]) -> Pass {
        Pass(
            backend: backend, adapterSegments: adapterSegments.compactMap { $0.packed(rows) },
            adapterScratch: adapterScratch, dropoutSeed: dropoutSeed,
            gradientObserver: gradientObserver)
    }

    /// The seed of one layer; the recomputed forward pass uses the same one.
    func seed(_ ordinal: UInt64) -> UInt64? {
        dropoutSeed.map { ($0 &+ ordinal) &* 0x9E37_79B9_7F4A_7C15 }
    }
}

/// Sees the gradients of linear layers' values as a backward pass computes them; calibration sums them up.
package protocol GradientObserver: AnyObject, Sendable {
    /// Takes the gradient `[T][N]` of a layer's value.
    func observe(_ layer: Linear, gradient: Matrix)
}

/// Rows of a batch and the adapters that act on them, by slot.
package struct AdapterSegment: Sendable, Hashable {
    /// Rows of the batch.
    package let rows: Range<Int>
    /// Slots of the adapters, all added up.
    package let slots: [Int]

    /// Makes a segment.
    package init(rows: Range<Int>, slots: [Int]) {
        self.rows = rows
        self.slots = slots
    }

    /// The segment when some rows, ascending, are packed together; nil when it has none of them.
    func packed(_ rows: [Int]) -> AdapterSegment? {
        let first = rows.count { $0 < self.rows.lowerBound }
        let end = rows.count { $0 < self.rows.upperBound }
        return first < end ? AdapterSegment(rows: first..<end, slots: slots) : nil
    }
}

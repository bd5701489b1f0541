// SPDX-License-Identifier: Apache-2.0
// One decoder layer at a time: put together, run on calibration rows, and let go of.
import EftFormats
import EftModels
import EftNN
import EftQuant
import EftTensor

/// Runs single decoder layers on calibration rows.
///
/// What statistics are made from, the unquantized model's own states among it, is computed with activations in bf16, half the
/// work of f32 where machines have bf16 products: thousands of tokens average the rounding away. Values that errors are told of
/// are computed as a model in EXL2 computes when it generates; what else goes on through quantized layers, with activations in
/// bytes where the machine has products of them.
final class BlockRunner {
    private let description: DecoderDescription
    private let backend: CPUBackend
    /// The backends of passes that only observe, and of those whose values count.
    private let observing: CPUBackend
    private let carrying: CPUBackend
    /// The backends of passes whose values need not be exact: through quantized layers, and through others.
    private let skimming: CPUBackend
    private let skimmingDense: CPUBackend
    /// The backend of sums over tokens: in bf16 where that is faster than f32.
    let statistics: CPUBackend
    /// The same for passes that need not be exact: sums of inputs with themselves in bytes where that is faster still.
    let roughStatistics: CPUBackend
    private let activations: LayerActivations
    private let gradients: LayerGradients?
    private let cache: PassCache
    private let rotations: [RotaryTables]
    private let scratch: AdapterScratch
    /// The length for which the rotary tables stand.
    private var tableLength = 0

    /// Bytes of activations for rows of at most `length` tokens; of gradients too when layers run backward.
    static func byteCount(
        _ description: DecoderDescription, length: Int, backward: Bool = false
    ) -> Int {
        let shape = description.shape
        return LayerActivations.byteCount(rows: length, shape: shape, backward: backward)
            + (backward ? LayerGradients.byteCount(rows: length, shape: shape) : 0)
            + PassCache.byteCount(
                pages: pageCount(tokens: length), shape: shape, backward: backward)
            + length * description.rotaryWidth * 4
    }

    /// Takes the memory.
    /// - Throws: `TensorError` when it does not fit.
    init(
        _ description: DecoderDescription, length: Int, backward: Bool = false,
        backend: CPUBackend
    ) throws(TensorError) {
        let ledger = backend.ledger
        self.description = description
        self.backend = backend
        let backends = BlockRunner.backends(backend)
        (observing, carrying) = (backends.observing, backends.carrying)
        (skimming, skimmingDense) = (backends.skimming, backends.skimmingDense)
        statistics = BlockRunner.statistics(on: backend)
        roughStatistics = BlockRunner.roughStatistics(on: backend)
        activations = try LayerActivations(
            rows: length, shape: description.shape, backward: backward, ledger: ledger)
        gradients =
            backward
            ? try LayerGradients(rows: length, shape: description.shape, ledger: ledger) : nil
        cache = try PassCache(
            pageCount: pageCount(tokens: length), shape: description.shape, backward: backward,
            ledger: ledger)
        var rotations: [RotaryTables] = []
        for rotary in description.rotaries {
            rotations.append(try rotary.tables(rows: length, ledger: ledger))
        }
        self.rotations = rotations
        scratch = try AdapterScratch(
            backend: backend,
            need: AdapterScratch.Need(rows: length, backward: backward))
    }

    /// A backend at the precisions of passes.
    struct Backends {
        /// Of those that only observe.
        let observing: CPUBackend
        /// Of those whose values count.
        let carrying: CPUBackend
        /// Of those whose values need not be exact: through quantized layers, and through others.
        let skimming: CPUBackend
        let skimmingDense: CPUBackend

        /// All of them.
        var all: [CPUBackend] { [observing, carrying, skimming, skimmingDense] }
    }

    /// The backends of passes.
    static func backends(_ backend: CPUBackend) -> Backends {
        Backends(
            observing: CPUBackend(backend, precision: .bf16),
            carrying: CPUBackend(backend, precision: .inference),
            skimming: CPUBackend(backend, precision: .int8, attendsRoughly: true),
            skimmingDense: CPUBackend(backend, precision: .bf16, attendsRoughly: true))
    }

    /// The backend at the precision of sums over tokens.
    static func statistics(on backend: CPUBackend) -> CPUBackend {
        let isFast = backend.instructionSet >= .avx512BF16
        return CPUBackend(backend, precision: isFast ? .bf16 : .f32)
    }

    /// The backend at the precision of sums that need not be exact.
    static func roughStatistics(on backend: CPUBackend) -> CPUBackend {
        let hasBytes = backend.instructionSet >= .avx512VNNI
        return hasBytes ? CPUBackend(backend, precision: .int8) : statistics(on: backend)
    }

    /// A pass without adapters.
    var pass: Pass { pass(on: carrying) }

    private func pass(
        on backend: CPUBackend, _ observer: (any GradientObserver)? = nil
    ) -> Pass {
        Pass(
            backend: backend, adapterSegments: [], adapterScratch: scratch,
            gradientObserver: observer)
    }

    // MARK: Layers

    /// How exactly a pass computes.
    enum Precision {
        /// As a model computes when it generates.
        case exact
        /// In bf16, for statistics of the unquantized layer.
        case observing
        /// In bytes, or in bf16 where weights are not quantized, attention in bf16.
        case rough(quantized: Bool)

        /// Whether values need not be exact.
        var isRough: Bool {
            if case .rough = self { return true }
            return false
        }
    }

    /// Puts a layer together; `checkpoint` says where each linear layer is.
    /// - Throws: `FormatError`, `TensorError`.
    func layer(
        _ index: Int, vectors: any CheckpointReader,
        checkpoint: (String) throws -> any CheckpointReader
    ) throws -> DecoderLayer {
        try layer(index, vectors: vectors, needed: { _ in true }, checkpoint: checkpoint)
    }

    /// Puts a layer together, of whose weights only some are used.
    /// - Parameters:
    ///   - needed: whether the weight of a linear layer is; the others are left out.
    ///   - checkpoint: says where each linear layer is.
    /// - Throws: `FormatError`, `TensorError`.
    func layer(
        _ index: Int, vectors: any CheckpointReader, needed: (String) -> Bool,
        checkpoint: (String) throws -> any CheckpointReader
    ) throws -> DecoderLayer {
        try description.makeLayer(index) { shape, ordinal in
            let reader = try checkpoint(shape.name)
            let source = try LinearSource(
                module: shape.name, checkpoint: reader, inputs: shape.inputs,
                outputs: shape.outputs)
            guard needed(shape.name) else {
                let weight = try PackedWeight(streamed: source.layout(as: .asStored))
                return Linear(name: shape.name, ordinal: ordinal, weight: weight, bias: nil)
            }
            var bias: Buffer?
            if shape.hasBias {
                bias = try VectorSource.load(
                    shape.name + ".bias", count: shape.outputs, checkpoint: reader,
                    backend: backend)
            }
            return Linear(
                name: shape.name, ordinal: ordinal,
                weight: try source.load(as: .asStored, backend: backend), bias: bias)
        } norm: {
            try norm($0, vectors)
        } vector: {
            try $0.load(from: vectors, backend: backend)
        }
    }

    /// Loads a norm.
    func norm(
        _ shape: DecoderDescription.NormShape, _ checkpoint: any CheckpointReader
    ) throws -> Norm {
        try shape.load(from: checkpoint, backend: backend)
    }

    /// Computes a layer's value of one row of tokens.
    func forward(_ layer: DecoderLayer, _ x: Matrix, into out: Matrix) throws {
        try layer.forward(x, into: out, state(tokens: x.rows, on: carrying))
    }

    /// Shows the inputs of a layer's linear layers for one row of tokens.
    /// - Parameters:
    ///   - out: takes the layer's value when `finishing`, or what stands before its MLP.
    ///   - finishing: whether the value is wanted; without it the last product is left out.
    ///   - exact: whether a value is computed as when the model generates, or in bf16.
    func observe(
        _ layer: DecoderLayer, _ x: Matrix, into out: Matrix, finishing: Bool, exact: Bool = true,
        observer: @escaping DecoderLayer.Observer
    ) throws {
        if finishing {
            let state = state(tokens: x.rows, on: exact ? carrying : observing)
            try layer.forward(x, into: out, state, observer: observer)
        } else {
            let state = state(tokens: x.rows, on: observing)
            try layer.observe(x, middle: out, state, observer: observer)
        }
    }

    /// Shows the inputs of one expert's linear layers for those tokens of a row that choose it.
    /// - Parameter middle: attention's value with its residual.
    func observe(
        expert: Int, of layer: DecoderLayer, _ middle: Matrix, _ precision: Precision = .observing,
        observer: DecoderLayer.Observer
    ) throws {
        try layer.observe(
            expert: expert, middle, state(tokens: middle.rows, precision), observer: observer)
    }

    /// Computes the value of one half of a layer: attention, or what follows it.
    func forward(
        _ half: DecoderLayer.Half, of layer: DecoderLayer, _ x: Matrix, into out: Matrix
    ) throws {
        try layer.forward(half, x, into: out, state(tokens: x.rows, on: carrying))
    }

    /// Turns the gradient of a layer's value of x into that of x, in place.
    func backward(
        _ layer: DecoderLayer, _ x: Matrix, gradient: Matrix, observer: any GradientObserver
    ) throws {
        guard let gradients else { preconditionFailure("made for forward passes only") }
        let state = state(tokens: x.rows, on: observing, observer)
        try layer.recompute(x, state)
        try layer.backward(x, gradient: gradient, gradients: gradients, cache: cache, state)
    }

    /// A pass over one row of tokens.
    func state(tokens length: Int, _ precision: Precision) -> LayerPass {
        switch precision {
        case .exact: state(tokens: length, on: carrying)
        case .observing: state(tokens: length, on: observing)
        case .rough(let quantized):
            state(tokens: length, on: quantized ? skimming : skimmingDense)
        }
    }

    private func state(
        tokens length: Int, on backend: CPUBackend, _ observer: (any GradientObserver)? = nil
    ) -> LayerPass {
        if length != tableLength {
            for (rotary, tables) in zip(description.rotaries, rotations) {
                rotary.fill(tables, rows: 0..<length, firstPosition: 0, length: length)
            }
            tableLength = length
        }
        let batch = DecoderBatch(sequences: [[Int32](repeating: 0, count: length)])
        return LayerPass(
            batch: batch, pass: pass(on: backend, observer), activations: activations,
            cache: cache, rotations: rotations.map { $0.rows(0..<length) })
    }
}

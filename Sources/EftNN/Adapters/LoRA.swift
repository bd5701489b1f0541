// SPDX-License-Identifier: Apache-2.0
// Low-rank adaptation of one linear layer (Hu et al. 2021), as PEFT computes it.
import EftTensor

/// The adapter of one linear layer: y += scale * B(A(dropout(x))), and with DoRA y's rows have a length of their own.
package final class LoRA: @unchecked Sendable {
    /// r.
    package let rank: Int
    /// alpha / r, or alpha / sqrt(r) with rank stabilization.
    package let scale: Float
    /// Probability of dropping an input of A in training.
    package let dropout: Float
    /// A, `[r][K]`; another adapter's where they share it.
    package let a: Matrix
    /// B, `[N][r]`.
    package let b: Matrix
    /// The lengths of the adapted weight's rows with DoRA; nil without.
    package let magnitude: Magnitude?
    /// Trainable views of A and B; nil when the adapter is only run.
    private var parameters: (a: Parameter, b: Parameter)?
    /// The adapter whose A it uses; nil when it has its own.
    private let owner: LoRA?

    /// What is trained of it, without what is another's; empty when the adapter is only run.
    package var trained: [Parameter] {
        guard let parameters else { return [] }
        return (owner == nil ? [parameters.a] : []) + [parameters.b]
            + (magnitude?.parameter.map { [$0] } ?? [])
    }

    /// Allocates an adapter of zeros.
    /// - Parameter owner: an adapter of a layer with the same inputs, whose A this one uses too.
    /// - Throws: `TensorError` when it does not fit the ledger.
    package init(
        inputs: Int, outputs: Int, rank: Int, scale: Float, dropout: Float,
        hasMagnitude: Bool = false, sharingAOf owner: LoRA? = nil, ledger: MemoryLedger?
    ) throws(TensorError) {
        precondition(rank > 0 && inputs > 0 && outputs > 0)
        precondition(owner.map { $0.rank == rank && $0.a.columns == inputs } ?? true)
        self.owner = owner
        self.rank = rank
        self.scale = scale
        self.dropout = dropout
        if let owner {
            a = owner.a
        } else {
            a = try Matrix(rows: rank, columns: inputs, ledger: ledger, purpose: .adapters)
        }
        b = try Matrix(rows: outputs, columns: rank, ledger: ledger, purpose: .adapters)
        magnitude = hasMagnitude ? try Magnitude(outputs: outputs, ledger: ledger) : nil
    }

    /// Bytes of A and B, and of the lengths when there are any.
    /// - Parameter sharesA: whether A is another adapter's.
    package static func byteCount(
        inputs: Int, outputs: Int, rank: Int, hasMagnitude: Bool = false, sharesA: Bool = false
    ) -> Int {
        ((sharesA ? 0 : inputs) + outputs) * rank * 4
            + (hasMagnitude ? Magnitude.byteCount(outputs: outputs) : 0)
    }

    /// Makes the lengths those of a weight's rows, which must be in memory; B must be zero.
    package func beginMagnitude(_ weight: PackedWeight, _ backend: any Backend) {
        magnitude?.begin(weight, backend)
    }

    /// Takes memory for gradients; `prefix` names the layer as PEFT does. One that uses another's A comes after that.
    /// - Throws: `TensorError` when they do not fit the ledger.
    package func makeTrainable(prefix: String, ledger: MemoryLedger?) throws(TensorError) {
        precondition(owner == nil || owner?.parameters != nil)
        let ofA: Parameter
        if let shared = owner?.parameters?.a {
            ofA = shared
        } else {
            ofA = try Parameter(name: prefix + ".lora_A.weight", matrix: a, ledger: ledger)
        }
        parameters = (
            ofA, try Parameter(name: prefix + ".lora_B.weight", matrix: b, ledger: ledger)
        )
        try magnitude?.makeTrainable(prefix: prefix, ledger: ledger)
    }

    /// Brings what follows from A, B and the lengths up to date; to be called before shared memory is in use.
    func prepare(for layer: Linear, scratch: AdapterScratch) throws(TensorError) {
        try magnitude?.update(layer.weight, a: a, b: b, scale: scale, scratch: scratch)
    }

    // MARK: Forward

    /// Makes y, the value of a layer (and of adapters before this one), the value with this adapter.
    ///
    /// y += scale * B A dropout(x). With DoRA: y = f (y - bias + scale * B A x) + bias, where f is the length over the norm;
    /// with dropout, where the base's product must be that of the dropped x too, y += f (W + scale * B A) dropout(x) -
    /// W dropout(x). `prepare` must have been called.
    func forward(
        _ x: Matrix, into y: Matrix, of layer: Linear, seed: UInt64?, scratch: AdapterScratch
    ) throws(TensorError) {
        guard let magnitude else {
            return try addProduct(
                dropped(x, seed: seed, scratch: scratch), to: y, scratch: scratch)
        }
        let backend = scratch.backend
        guard drops(seed) else {
            try addProduct(x, to: y, scratch: scratch)
            backend.scaleColumns(of: y, by: magnitude.factors, around: layer.bias)
            return
        }
        let input = dropped(x, seed: seed, scratch: scratch)
        let value = scratch.scaled(rows: y.rows, columns: y.columns)
        try backend.multiply(input, layer.weight, into: value, accumulate: false)
        backend.addScaled(value, factor: -1, to: y)
        try addProduct(input, to: value, scratch: scratch)
        backend.scaleColumns(of: value, by: magnitude.factors, around: nil)
        backend.addScaled(value, factor: 1, to: y)
    }

    /// y += scale * B A x.
    private func addProduct(
        _ x: Matrix, to y: Matrix, scratch: AdapterScratch
    ) throws(TensorError) {
        let hidden = scratch.hidden(rows: x.rows, rank: rank)
        try scratch.backend.gemm(
            x, transposeA: false, a, transposeB: true, into: hidden, alpha: 1, beta: 0)
        try scratch.backend.gemm(
            hidden, transposeA: false, b, transposeB: true, into: y, alpha: scale, beta: 1)
    }

    /// Whether the layer's value must stand alone before the adapter acts on it.
    func rescales(_ seed: UInt64?) -> Bool { magnitude != nil && !drops(seed) }

    private func drops(_ seed: UInt64?) -> Bool { seed != nil && dropout > 0 }

    // MARK: Backward

    /// The gradient of the value before it was given its lengths, from that of the layer's value, into `scaled`; dm += ...
    ///
    /// The value is computed again. `prepare` must have been called.
    func scaleGradient(
        _ x: Matrix, dy: Matrix, of layer: Linear, into scaled: Matrix, scratch: AdapterScratch
    ) throws(TensorError) {
        guard let magnitude else { return }
        let backend = scratch.backend
        if magnitude.parameter != nil {
            try backend.multiply(x, layer.weight, into: scaled, accumulate: false)
            try addProduct(x, to: scaled, scratch: scratch)
            magnitude.addGradient(dy, value: scaled, backend)
        }
        scaled.pointer.update(from: dy.pointer, count: dy.count)
        backend.scaleColumns(of: scaled, by: magnitude.factors, around: nil)
    }

    /// dA += ..., dB += ..., dx += the adapter's part; the hidden values are computed again.
    ///
    /// dy is the gradient of the layer's value, or what `scaleGradient` made of it.
    func backward(
        _ x: Matrix, dy: Matrix, addingTo dx: Matrix?, of layer: Linear, seed: UInt64?,
        scratch: AdapterScratch
    ) throws(TensorError) {
        guard magnitude != nil, drops(seed) else {
            return try backward(x, dy: dy, addingTo: dx, seed: seed, scratch: scratch)
        }
        // All of dm, dA and dB come from the dropped x; dx gets what the lengths add to the base's product besides.
        let backend = scratch.backend
        let input = dropped(x, seed: seed, scratch: scratch)
        let scaled = scratch.scaled(rows: dy.rows, columns: dy.columns)
        try scaleGradient(input, dy: dy, of: layer, into: scaled, scratch: scratch)
        let dhidden = try addGradients(input, dy: scaled, scratch: scratch)
        guard let dx, let seed else { return }
        let dinput = scratch.changed(rows: x.rows, columns: x.columns)
        try backend.gemm(
            dhidden, transposeA: false, a, transposeB: false, into: dinput, alpha: 1, beta: 0)
        backend.addScaled(dy, factor: -1, to: scaled)
        try backend.multiplyTransposed(scaled, layer.weight, into: dinput, accumulate: true)
        backend.dropout(dinput, into: dinput, probability: dropout, seed: seed)
        backend.addScaled(dinput, factor: 1, to: dx)
    }

    private func backward(
        _ x: Matrix, dy: Matrix, addingTo dx: Matrix?, seed: UInt64?, scratch: AdapterScratch
    ) throws(TensorError) {
        let backend = scratch.backend
        let input = dropped(x, seed: seed, scratch: scratch)
        let dhidden = try addGradients(input, dy: dy, scratch: scratch)
        guard let dx else { return }
        guard let seed, dropout > 0 else {
            try backend.gemm(
                dhidden, transposeA: false, a, transposeB: false, into: dx, alpha: 1, beta: 1)
            return
        }
        let dinput = scratch.changed(rows: x.rows, columns: x.columns)
        try backend.gemm(
            dhidden, transposeA: false, a, transposeB: false, into: dinput, alpha: 1, beta: 0)
        backend.dropout(dinput, into: dinput, probability: dropout, seed: seed)
        backend.addScaled(dinput, factor: 1, to: dx)
    }

    /// dA += ..., dB += ...; the gradient of the hidden values.
    private func addGradients(
        _ input: Matrix, dy: Matrix, scratch: AdapterScratch
    ) throws(TensorError) -> Matrix {
        let backend = scratch.backend
        let dhidden = scratch.hiddenGradient(rows: input.rows, rank: rank)
        try backend.gemm(
            dy, transposeA: false, b, transposeB: false, into: dhidden, alpha: scale, beta: 0)
        guard let parameters else { return dhidden }
        let hidden = scratch.hidden(rows: input.rows, rank: rank)
        try backend.gemm(
            input, transposeA: false, a, transposeB: true, into: hidden, alpha: 1, beta: 0)
        let da = Matrix(sharing: parameters.a.gradient, rows: rank, columns: a.columns)
        let db = Matrix(sharing: parameters.b.gradient, rows: b.rows, columns: rank)
        try backend.gemm(
            dhidden, transposeA: true, input, transposeB: false, into: da, alpha: 1, beta: 1)
        try backend.gemm(
            dy, transposeA: true, hidden, transposeB: false, into: db, alpha: scale, beta: 1)
        return dhidden
    }

    private func dropped(_ x: Matrix, seed: UInt64?, scratch: AdapterScratch) -> Matrix {
        guard let seed, dropout > 0 else { return x }
        let target = scratch.changed(rows: x.rows, columns: x.columns)
        scratch.backend.dropout(x, into: target, probability: dropout, seed: seed)
        return target
    }
}

/// The widest of some adapters, which decide the memory that adapters share while they compute.
package struct AdapterWidths: Sendable, Hashable {
    /// The highest rank; 0 without adapters.
    package var rank = 0
    /// The most inputs of a linear layer that computes with a copy of them (training only): its adapter uses dropout, or they are
    /// rounded.
    package var changedInputs = 0
    /// The most outputs of a linear layer whose adapter gives lengths (DoRA).
    package var scaledOutputs = 0

    /// States widths.
    package init(rank: Int = 0, changedInputs: Int = 0, scaledOutputs: Int = 0) {
        self.rank = rank
        self.changedInputs = changedInputs
        self.scaledOutputs = scaledOutputs
    }

    /// The widest of both.
    package static func | (a: AdapterWidths, b: AdapterWidths) -> AdapterWidths {
        AdapterWidths(
            rank: max(a.rank, b.rank), changedInputs: max(a.changedInputs, b.changedInputs),
            scaledOutputs: max(a.scaledOutputs, b.scaledOutputs))
    }
}

/// Memory that adapters share while they compute.
package final class AdapterScratch: Sendable {
    /// The device.
    package let backend: any Backend
    private let hiddenBuffer: Buffer
    private let hiddenGradientBuffer: Buffer
    private let changedBuffer: Buffer
    private let scaledBuffer: Buffer

    /// Allocates for at most `rows` rows, rank `rank`, and, when dropout is used, `inputs` inputs.
    /// - Throws: `TensorError` when it does not fit the ledger.
    package init(backend: any Backend, need: Need) throws(TensorError) {
        self.backend = backend
        let ledger = backend.ledger
        hiddenBuffer = try Buffer(
            byteCount: need.hiddenBytes, ledger: ledger, purpose: .activations)
        hiddenGradientBuffer = try Buffer(
            byteCount: need.backward ? need.hiddenBytes : 0, ledger: ledger, purpose: .activations)
        changedBuffer = try Buffer(
            byteCount: need.changedBytes, ledger: ledger, purpose: .activations)
        scaledBuffer = try Buffer(
            byteCount: need.scaledBytes, ledger: ledger, purpose: .activations)
    }

    /// How much is needed.
    package struct Need: Sendable {
        /// Most rows of a batch.
        package var rows: Int
        /// Highest rank; 0 without adapters.
        package var rank: Int
        /// Most inputs of a layer that computes with a copy of them; 0 without.
        package var changedInputs: Int
        /// Most outputs of a layer whose adapter gives lengths; 0 without.
        package var scaledOutputs: Int
        /// Whether there is a backward pass.
        package var backward: Bool

        /// States a need.
        package init(rows: Int, widths: AdapterWidths = AdapterWidths(), backward: Bool) {
            self.rows = rows
            rank = widths.rank
            changedInputs = widths.changedInputs
            scaledOutputs = widths.scaledOutputs
            self.backward = backward
        }

        /// The norms of adapted rows are computed from as many rows as the rank has.
        private var hiddenRows: Int { scaledOutputs > 0 ? max(rows, rank) : rows }
        fileprivate var hiddenBytes: Int { hiddenRows * rank * 4 }
        fileprivate var changedBytes: Int { rows * changedInputs * 4 }
        fileprivate var scaledBytes: Int { hiddenRows * scaledOutputs * 4 }
        /// All bytes.
        package var byteCount: Int {
            hiddenBytes * (backward ? 2 : 1) + changedBytes + scaledBytes
        }
    }

    func hidden(rows: Int, rank: Int) -> Matrix {
        Matrix(sharing: hiddenBuffer, rows: rows, columns: rank)
    }

    func hiddenGradient(rows: Int, rank: Int) -> Matrix {
        Matrix(sharing: hiddenGradientBuffer, rows: rows, columns: rank)
    }

    /// Inputs of a layer that are not computed with as they are.
    func changed(rows: Int, columns: Int) -> Matrix {
        Matrix(sharing: changedBuffer, rows: rows, columns: columns)
    }

    /// Values of a layer before they have their lengths, or their gradient.
    func scaled(rows: Int, columns: Int) -> Matrix {
        Matrix(sharing: scaledBuffer, rows: rows, columns: columns)
    }
}

// SPDX-License-Identifier: Apache-2.0
// Low-rank adaptation of one linear layer (Hu et al. 2021), as PEFT computes it.
import EftTensor

/// The adapter of one linear layer: y += scale * B(A(dropout(x))).
package final class LoRA: @unchecked Sendable {
    /// r.
    package let rank: Int
    /// alpha / r, or alpha / sqrt(r) with rank stabilization.
    package let scale: Float
    /// Probability of dropping an input of A in training.
    package let dropout: Float
    /// A, `[r][K]`.
    package let a: Matrix
    /// B, `[N][r]`.
    package let b: Matrix
    /// Trainable views of A and B; nil when the adapter is only run.
    package private(set) var parameters: (a: Parameter, b: Parameter)?

    /// Allocates an adapter of zeros.
    /// - Throws: `TensorError` when it does not fit the ledger.
    package init(
        inputs: Int, outputs: Int, rank: Int, scale: Float, dropout: Float, ledger: MemoryLedger?
    ) throws(TensorError) {
        precondition(rank > 0 && inputs > 0 && outputs > 0)
        self.rank = rank
        self.scale = scale
        self.dropout = dropout
        a = try Matrix(rows: rank, columns: inputs, ledger: ledger, purpose: .adapters)
        b = try Matrix(rows: outputs, columns: rank, ledger: ledger, purpose: .adapters)
    }

    /// Bytes of A and B.
    package static func byteCount(inputs: Int, outputs: Int, rank: Int) -> Int {
        (inputs + outputs) * rank * 4
    }

    /// Takes memory for gradients; `prefix` names the layer as PEFT does.
    /// - Throws: `TensorError` when they do not fit the ledger.
    package func makeTrainable(prefix: String, ledger: MemoryLedger?) throws(TensorError) {
        parameters = (
            try Parameter(
                name: prefix + ".lora_A.weight", value: a.buffer,
                shape: .matrix(rows: a.rows, columns: a.columns), decays: true, ledger: ledger),
            try Parameter(
                name: prefix + ".lora_B.weight", value: b.buffer,
                shape: .matrix(rows: b.rows, columns: b.columns), decays: true, ledger: ledger)
        )
    }

    /// y += scale * B A dropout(x).
    package func forward(_ x: Matrix, into y: Matrix, seed: UInt64?, scratch: AdapterScratch)
        throws(TensorError)
    {
        let backend = scratch.backend
        let input = dropped(x, seed: seed, scratch: scratch)
        let hidden = scratch.hidden(rows: x.rows, rank: rank)
        try backend.gemm(
            input, transposeA: false, a, transposeB: true, into: hidden, alpha: 1, beta: 0)
        try backend.gemm(
            hidden, transposeA: false, b, transposeB: true, into: y, alpha: scale, beta: 1)
    }

    /// dA += ..., dB += ..., dx += scale * dropout'(A' B' dy); the hidden values are computed again.
    package func backward(
        _ x: Matrix, dy: Matrix, addingTo dx: Matrix?, seed: UInt64?, scratch: AdapterScratch
    ) throws(TensorError) {
        let backend = scratch.backend
        let input = dropped(x, seed: seed, scratch: scratch)
        let dhidden = scratch.hiddenGradient(rows: x.rows, rank: rank)
        try backend.gemm(
            dy, transposeA: false, b, transposeB: false, into: dhidden, alpha: scale, beta: 0)
        if let parameters {
            let hidden = scratch.hidden(rows: x.rows, rank: rank)
            try backend.gemm(
                input, transposeA: false, a, transposeB: true, into: hidden, alpha: 1, beta: 0)
            let da = Matrix(sharing: parameters.a.gradient, rows: rank, columns: a.columns)
            let db = Matrix(sharing: parameters.b.gradient, rows: b.rows, columns: rank)
            try backend.gemm(
                dhidden, transposeA: true, input, transposeB: false, into: da, alpha: 1, beta: 1)
            try backend.gemm(
                dy, transposeA: true, hidden, transposeB: false, into: db, alpha: scale, beta: 1)
        }
        guard let dx else { return }
        guard let seed, dropout > 0 else {
            try backend.gemm(
                dhidden, transposeA: false, a, transposeB: false, into: dx, alpha: 1, beta: 1)
            return
        }
        let dinput = scratch.dropped(rows: x.rows, columns: x.columns)
        try backend.gemm(
            dhidden, transposeA: false, a, transposeB: false, into: dinput, alpha: 1, beta: 0)
        backend.dropout(dinput, into: dinput, probability: dropout, seed: seed)
        backend.addScaled(dinput, factor: 1, to: dx)
    }

    private func dropped(_ x: Matrix, seed: UInt64?, scratch: AdapterScratch) -> Matrix {
        guard let seed, dropout > 0 else { return x }
        let target = scratch.dropped(rows: x.rows, columns: x.columns)
        scratch.backend.dropout(x, into: target, probability: dropout, seed: seed)
        return target
    }
}

/// Memory that adapters share while they compute.
package final class AdapterScratch: Sendable {
    /// The device.
    package let backend: any Backend
    private let hiddenBuffer: Buffer
    private let hiddenGradientBuffer: Buffer
    private let droppedBuffer: Buffer

    /// Allocates for at most `rows` rows, rank `rank`, and, when dropout is used, `inputs` inputs.
    /// - Throws: `TensorError` when it does not fit the ledger.
    package init(backend: any Backend, need: Need) throws(TensorError) {
        self.backend = backend
        let ledger = backend.ledger
        hiddenBuffer = try Buffer(
            byteCount: need.hiddenBytes, ledger: ledger, purpose: .activations)
        hiddenGradientBuffer = try Buffer(
            byteCount: need.backward ? need.hiddenBytes : 0, ledger: ledger, purpose: .activations)
        droppedBuffer = try Buffer(
            byteCount: need.droppedBytes, ledger: ledger, purpose: .activations)
    }

    /// How much is needed.
    package struct Need: Sendable {
        /// Most rows of a batch.
        package var rows: Int
        /// Highest rank; 0 without adapters.
        package var rank: Int
        /// Most inputs of a layer with dropout; 0 without.
        package var droppedInputs: Int
        /// Whether there is a backward pass.
        package var backward: Bool

        /// States a need.
        package init(rows: Int, rank: Int, droppedInputs: Int, backward: Bool) {
            self.rows = rows
            self.rank = rank
            self.droppedInputs = droppedInputs
            self.backward = backward
        }

        fileprivate var hiddenBytes: Int { rows * rank * 4 }
        fileprivate var droppedBytes: Int { rows * droppedInputs * 4 }
        /// All bytes.
        package var byteCount: Int { hiddenBytes * (backward ? 2 : 1) + droppedBytes }
    }

    fileprivate func hidden(rows: Int, rank: Int) -> Matrix {
        Matrix(sharing: hiddenBuffer, rows: rows, columns: rank)
    }

    fileprivate func hiddenGradient(rows: Int, rank: Int) -> Matrix {
        Matrix(sharing: hiddenGradientBuffer, rows: rows, columns: rank)
    }

    fileprivate func dropped(rows: Int, columns: Int) -> Matrix {
        Matrix(sharing: droppedBuffer, rows: rows, columns: columns)
    }
}

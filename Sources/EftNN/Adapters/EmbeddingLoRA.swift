// SPDX-License-Identifier: Apache-2.0
// Low-rank adaptation of an embedding, as PEFT computes it.
import EftTensor

/// The adapter of an embedding: the state of token t gets scale * B A[:, t] added. There is no dropout.
///
/// A head that is tied to the embedding stays as it is.
package final class EmbeddingLoRA: @unchecked Sendable {
    /// r.
    package let rank: Int
    /// alpha / r, or alpha / sqrt(r) with rank stabilization.
    package let scale: Float
    /// A, `[r][V]`.
    package let a: Matrix
    /// B, `[C][r]`.
    package let b: Matrix
    private var parameters: (a: Parameter, b: Parameter)?

    /// What stands behind the path of the embedding, as PEFT saves it.
    package static let suffixes = (a: ".lora_embedding_A", b: ".lora_embedding_B")

    /// What is trained of it; empty when the adapter is only run.
    package var trained: [Parameter] { parameters.map { [$0.a, $0.b] } ?? [] }

    /// Allocates an adapter of zeros.
    /// - Throws: `TensorError` when it does not fit the ledger.
    package init(
        vocabulary: Int, hidden: Int, rank: Int, scale: Float, ledger: MemoryLedger?
    ) throws(TensorError) {
        precondition(rank > 0 && vocabulary > 0 && hidden > 0)
        self.rank = rank
        self.scale = scale
        a = try Matrix(rows: rank, columns: vocabulary, ledger: ledger, purpose: .adapters)
        b = try Matrix(rows: hidden, columns: rank, ledger: ledger, purpose: .adapters)
    }

    /// Takes memory for gradients; `prefix` names the embedding as PEFT does.
    /// - Throws: `TensorError` when they do not fit the ledger.
    package func makeTrainable(prefix: String, ledger: MemoryLedger?) throws(TensorError) {
        let names = EmbeddingLoRA.suffixes
        parameters = (
            try Parameter(name: prefix + names.a, matrix: a, ledger: ledger),
            try Parameter(name: prefix + names.b, matrix: b, ledger: ledger)
        )
    }

    /// y += scale * B A[:, t] for the token t of each row.
    package func forward(
        _ tokens: ArraySlice<Int32>, into y: Matrix, scratch: AdapterScratch
    ) throws(TensorError) {
        try scratch.backend.gemm(
            columns(tokens, scratch), transposeA: false, b, transposeB: true, into: y, alpha: scale,
            beta: 1)
    }

    /// dA += ..., dB += ... from the gradient of the states of tokens.
    package func backward(
        _ tokens: ArraySlice<Int32>, dy: Matrix, scratch: AdapterScratch
    ) throws(TensorError) {
        guard let parameters else { return }
        let backend = scratch.backend
        let db = Matrix(sharing: parameters.b.gradient, rows: b.rows, columns: rank)
        try backend.gemm(
            dy, transposeA: true, columns(tokens, scratch), transposeB: false, into: db,
            alpha: scale, beta: 1)
        let da = scratch.hiddenGradient(rows: dy.rows, rank: rank)
        try backend.gemm(
            dy, transposeA: false, b, transposeB: false, into: da, alpha: scale, beta: 0)
        for (row, token) in tokens.enumerated() {
            for index in 0..<rank {
                parameters.a.gradient.floats[index * a.columns + Int(token)] +=
                    da.pointer[row * rank + index]
            }
        }
    }

    /// The columns of A of some tokens, row by row.
    private func columns(_ tokens: ArraySlice<Int32>, _ scratch: AdapterScratch) -> Matrix {
        let hidden = scratch.hidden(rows: tokens.count, rank: rank)
        for (row, token) in tokens.enumerated() {
            for index in 0..<rank {
                hidden.pointer[row * rank + index] = a.pointer[index * a.columns + Int(token)]
            }
        }
        return hidden
    }
}

// SPDX-License-Identifier: Apache-2.0
// The lengths that DoRA (Liu et al. 2024) gives the rows of an adapted weight, as PEFT computes them.
import EftTensor

/// A length m for each output of a linear layer: W' = m / ||W + s B A|| (W + s B A), row by row.
///
/// The norm is taken as a constant by backward passes. It is computed from ||W||, W A' and A A', so that no second copy of W
/// is made: ||W + s B A||^2 = ||W||^2 + 2 s <W A', B> + s^2 B A A' B'.
/// Changed by one thread at a time, hence unchecked.
package final class Magnitude: @unchecked Sendable {
    /// m, N numbers.
    package let values: Buffer
    /// m / ||W + s B A||.
    let factors: Buffer
    /// 1 / ||W + s B A||.
    let inverses: Buffer
    /// ||W||^2.
    private let squares: Buffer
    private var knowsSquares = false
    /// Whether factors and inverses are those of the present A, B and m.
    private var isCurrent = false
    /// Trainable view of m; nil when the adapter is only run.
    package private(set) var parameter: Parameter?

    /// Allocates lengths of zero.
    /// - Throws: `TensorError` when they do not fit the ledger.
    init(outputs: Int, ledger: MemoryLedger?) throws(TensorError) {
        func numbers() throws(TensorError) -> Buffer {
            try Buffer(byteCount: outputs * 4, ledger: ledger, purpose: .adapters)
        }
        values = try numbers()
        factors = try numbers()
        inverses = try numbers()
        squares = try numbers()
    }

    /// Bytes of all its numbers.
    package static func byteCount(outputs: Int) -> Int { outputs * 16 }

    /// The name of the lengths behind a layer's path, as PEFT saves them.
    package static let suffix = ".lora_magnitude_vector"

    func makeTrainable(prefix: String, ledger: MemoryLedger?) throws(TensorError) {
        parameter = try Parameter(
            name: prefix + Magnitude.suffix, value: values, decays: true, ledger: ledger)
    }

    /// Notes that A, B or m have changed.
    package func noteChange() { isCurrent = false }

    /// Makes m the norms of the rows of a weight, as long as B is zero the norms of the adapted rows too.
    func begin(_ weight: PackedWeight, _ backend: any Backend) {
        learnSquares(weight, backend)
        for output in 0..<weight.outputs {
            values.floats[output] = squares.floats[output].squareRoot()
        }
        isCurrent = false
    }

    private func learnSquares(_ weight: PackedWeight, _ backend: any Backend) {
        guard !knowsSquares else { return }
        backend.squares(of: weight, into: squares)
        knowsSquares = true
    }

    /// dm += the sums of dy times the value before it has its lengths, over the norms.
    func addGradient(_ dy: Matrix, value: Matrix, _ backend: any Backend) {
        guard let parameter else { return }
        backend.addColumnProducts(of: dy, value, times: inverses, to: parameter.gradient)
    }

    /// Brings the factors up to date with A `[r][K]`, B `[N][r]` and m.
    func update(
        _ weight: PackedWeight, a: Matrix, b: Matrix, scale: Float, scratch: AdapterScratch
    ) throws(TensorError) {
        guard !isCurrent else { return }
        let backend = scratch.backend
        learnSquares(weight, backend)
        let rank = a.rows
        let products = scratch.scaled(rows: rank, columns: weight.outputs)
        let gram = scratch.hidden(rows: rank, rank: rank)
        // 2 s A W' + s^2 A A' B', whose products with B are what the adapter adds to the squares.
        try backend.inFullPrecision.multiply(a, weight, into: products, accumulate: false)
        try backend.gemm(a, transposeA: false, a, transposeB: true, into: gram, alpha: 1, beta: 0)
        try backend.gemm(
            gram, transposeA: false, b, transposeB: true, into: products, alpha: scale * scale,
            beta: 2 * scale)
        let (columns, added) = (weight.outputs, products.pointer)
        for output in 0..<columns {
            let row = b.pointer + output * rank
            var sum = Double(squares.floats[output])
            for index in 0..<rank {
                sum += Double(row[index]) * Double(added[index * columns + output])
            }
            // A row of zeros has no direction; it stays zero.
            let inverse = sum > 0 ? Float(1 / sum.squareRoot()) : 0
            inverses.floats[output] = inverse
            factors.floats[output] = values.floats[output] * inverse
        }
        isCurrent = true
    }
}

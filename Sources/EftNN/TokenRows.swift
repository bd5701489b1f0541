// SPDX-License-Identifier: Apache-2.0
// Rows of an embedding or a head that are trained while all others stay as they are.
import EftTensor

/// Trained rows of a weight with a row for each token, as PEFT's `trainable_token_indices`.
///
/// The rows are kept in f32 and written into the weight after each step, rounded to its type as PEFT rounds them: nothing else of
/// the passes changes. Gradient and optimizer state are those of the rows alone.
/// Changed by one thread at a time, hence unchecked.
package final class TokenRows: @unchecked Sendable {
    /// The tokens, in ascending order.
    package let tokens: [Int32]
    /// What an optimizer changes: the rows, one after the other.
    package let parameter: Parameter
    private let values: Matrix
    /// The 16 rows of a panel while it is written.
    private let panel: Matrix
    private let places: [Int32: Int]

    /// Takes the rows out of a weight that is not quantized.
    /// - Parameter name: the name under which the rows are saved.
    /// - Throws: `TensorError` when they do not fit the ledger.
    package init(
        name: String, tokens: some Sequence<Int32>, of weight: PackedWeight,
        _ backend: any Backend
    ) throws(TensorError) {
        let tokens = Set(tokens).sorted()
        precondition(!tokens.isEmpty && tokens.allSatisfy { $0 >= 0 && Int($0) < weight.outputs })
        self.tokens = tokens
        places = Dictionary(uniqueKeysWithValues: tokens.enumerated().map { ($1, $0) })
        let (width, ledger) = (weight.inputs, backend.ledger)
        values = try Matrix(
            rows: tokens.count, columns: width, ledger: ledger, purpose: .adapters)
        panel = try Matrix(rows: 16, columns: width, ledger: ledger, purpose: .adapters)
        backend.gather(weight, rows: tokens, into: values)
        parameter = try Parameter(
            name: name, value: values.buffer,
            shape: .matrix(rows: tokens.count, columns: width), decays: true, ledger: ledger)
    }

    /// Bytes of the rows and of what writing them takes.
    package static func byteCount(tokens: Int, width: Int) -> Int { (tokens + 16) * width * 4 }

    /// The rows `[tokens][C]`.
    package var matrix: Matrix { values }

    /// Writes the rows into the weight that they were taken from.
    package func store(in weight: PackedWeight, _ backend: any Backend) {
        for (first, members) in Dictionary(grouping: tokens, by: { $0 / 16 * 16 }) {
            let count = min(16, weight.outputs - Int(first))
            let rows = panel.rows(0..<count)
            backend.gather(weight, rows: (0..<Int32(count)).map { first + $0 }, into: rows)
            for token in members {
                guard let place = places[token] else { continue }
                let source = values.pointer + place * values.columns
                let target = panel.pointer + Int(token - first) * values.columns
                target.update(from: source, count: values.columns)
            }
            backend.pack(rows, into: weight, firstRow: Int(first))
        }
    }

    /// Adds the gradients `[T][C]` of embedded tokens.
    package func addGradient(_ gradient: Matrix, tokens: [Int32]) {
        for (row, token) in tokens.enumerated() {
            guard let place = places[token] else { continue }
            add(gradient.pointer + row * gradient.columns, times: 1, to: place)
        }
    }

    /// Adds the gradient of the rows as outputs y = x W' from x `[T][C]` and dy `[T][V]`.
    package func addGradient(_ x: Matrix, dy: Matrix) {
        for row in 0..<x.rows {
            for (place, token) in tokens.enumerated() {
                let factor = dy.pointer[row * dy.columns + Int(token)]
                if factor != 0 { add(x.pointer + row * x.columns, times: factor, to: place) }
            }
        }
    }

    private func add(_ source: UnsafePointer<Float>, times factor: Float, to place: Int) {
        let target = parameter.gradient.floats + place * values.columns
        for column in 0..<values.columns { target[column] += factor * source[column] }
    }
}

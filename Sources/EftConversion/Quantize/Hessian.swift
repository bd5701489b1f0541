// SPDX-License-Identifier: Apache-2.0
// The Hessian of a linear layer's output error, and the factor of its inverse that GPTQ walks along.
import EftTensor

/// H = sum over calibration rows of X'X / rows, X being the inputs of a linear layer; then, in the same memory, the
/// upper factor U of its damped inverse: U'U = (H + damp I)^-1.
package final class Hessian {
    /// K.
    package let size: Int
    /// What was added to the diagonal; 0 before `factor`.
    package private(set) var damp: Double = 0
    /// The input that each row stands for, most active first; in order before `factor`.
    package private(set) var permutation: [UInt32]
    private let buffer: Buffer
    private var batches = 0
    private var tokens = 0
    /// H's diagonal in stored order, since `factor`; below it H itself stays.
    private var activities: [Float] = []

    /// Columns of a task of triangular products and systems; each runs on one thread of the library.
    static let taskColumns = 64

    /// Bytes of the matrix, under `.workspace`.
    package static func byteCount(_ size: Int) -> Int { size * size * 4 }

    /// Takes the memory.
    /// - Throws: `TensorError` when it does not fit.
    package init(size: Int, ledger: MemoryLedger?) throws(TensorError) {
        self.size = size
        permutation = (0..<UInt32(size)).map { $0 }
        buffer = try Buffer(
            byteCount: Hessian.byteCount(size), ledger: ledger, purpose: .workspace)
    }

    /// The matrix, row by row; only the lower triangle is right before `factor`, only the upper one after it.
    package var values: UnsafeMutablePointer<Float> { buffer.floats }

    /// Adds a calibration row's inputs `[T][K]`, at the backend's precision of statistics.
    /// - Throws: `TensorError` when scratch memory does not suffice.
    package func add(_ x: Matrix, backend: CPUBackend) throws(TensorError) {
        precondition(x.columns == size && damp == 0, "inputs of another layer")
        try backend.addGram(x, to: values)
        batches += 1
        tokens += x.rows
    }

    /// Adds the identity, by a share of the mean of the diagonal; the identity itself when nothing was added before.
    package func addIdentity(share: Float) {
        let mean = diagonal.reduce(0.0) { $0 + Double($1) } / Double(max(size, 1))
        let value = batches == 0 ? 1 : share * Float(mean)
        for index in 0..<size { values[index * size + index] += value }
    }

    /// Tokens that were added.
    package var tokenCount: Int { tokens }

    /// Whether fewer tokens came than an eighth of what would be one for each input.
    package var isRare: Bool { tokens < size / 8 }

    /// Makes up for few tokens: as if an eighth of the tokens that are missing to one for each input had come, with
    /// independent inputs of the mean size. Where none came the matrix becomes the identity.
    package func supplement() {
        guard tokens > 0 else { return addIdentity(share: 1) }
        let missing = max(size - tokens, 0)
        addIdentity(share: Float(missing) / Float(8 * tokens))
    }

    /// The stored row of each input.
    package var places: [UInt32] {
        var places = permutation
        for (row, input) in permutation.enumerated() { places[Int(input)] = UInt32(row) }
        return places
    }

    /// What turns energies by this Hessian, which are means over calibration rows, to means over their tokens.
    package var shareOfToken: Double { Double(batches) / Double(max(tokens, 1)) }

    /// What a rounding error of each stored row costs once later rows have made up for it: 1 / U_kk^2, after `factor`.
    package var rowWeights: [Float] {
        precondition(damp > 0, "before the factor is there")
        return diagonal.map { 1 / ($0 * $0) }
    }

    /// Shows H + damp I: its lower triangle and diagonal, in stored order, after `factor`.
    package func withMatrix<Result>(
        _ body: (UnsafePointer<Float>) throws -> Result
    ) rethrows -> Result {
        precondition(damp > 0, "before the factor is there")
        let pivots = diagonal
        for index in 0..<size {
            values[index * size + index] = activities[index] + Float(damp)
        }
        defer { for index in 0..<size { values[index * size + index] = pivots[index] } }
        return try body(values)
    }

    private var diagonal: [Float] { (0..<size).map { values[$0 * size + $0] } }

    /// Orders inputs by activity, where the recipe says so, and turns the matrix into the factor.
    /// - Throws: `ConversionError` (`numbers`) when it has no inverse; `TensorError`.
    package func factor(
        module: String, recipe: QuantizerRecipe = .exllamav2, backend: CPUBackend
    ) throws {
        mirror(scale: 1 / Float(max(batches, 1)), on: backend)
        guard diagonal.allSatisfy(\.isFinite) else {
            throw ConversionError(
                .numbers, "its inputs hold infinite or NaN values in calibration", tensor: module)
        }
        if recipe.isSorted { permute(on: backend) }
        let original = diagonal
        activities = original
        let step = Hessian.damping(recipe.damping, original)
        let inverse = InverseFactor(size: size, backend: backend)
        for attempt in 1...10 {
            damp = step * Double(attempt)
            if attempt > 1 { mirror(scale: 1, on: backend) }
            for row in 0..<size { values[row * size + row] = original[row] + Float(damp) }
            if try inverse.find(values) { return }
        }
        throw ConversionError(
            .numbers, "the Hessian of its inputs has no inverse; use more calibration text",
            tensor: module)
    }

    /// What is added to a diagonal.
    private static func damping(
        _ damping: QuantizerRecipe.Damping, _ diagonal: [Float]
    ) -> Double {
        let mean = diagonal.reduce(0.0) { $0 + Double($1) } / Double(diagonal.count)
        switch damping {
        case .mean(let share): return max(share * mean, 1e-5)
        case .median(let share):
            // Where most inputs are dead the mean bounds it.
            let median = diagonal.sorted(by: >)[diagonal.count / 2]
            return max(share * Double(median), 1e-4 * mean, 1e-5)
        }
    }

    /// Multiplies the lower triangle and copies it to the upper one, in squares that stay in the caches.
    private func mirror(scale: Float, on backend: CPUBackend) {
        let (size, side) = (size, Hessian.taskColumns)
        nonisolated(unsafe) let values = values
        backend.parallelFor((size + side - 1) / side) { index in
            let rows = index * side..<min((index + 1) * side, size)
            for first in stride(from: 0, to: rows.upperBound, by: side) {
                for row in rows {
                    let line = values + row * size
                    for column in first..<min(first + side, row + 1) {
                        let value = line[column] * scale
                        line[column] = value
                        values[column * size + row] = value
                    }
                }
            }
        }
    }

    /// Sorts rows and columns by falling diagonal, in place; equal ones keep their order.
    private func permute(on backend: CPUBackend) {
        let activity = diagonal
        let order = (0..<size).sorted {
            (activity[$1], $0) < (activity[$0], $1)
        }
        permutation = order.map { UInt32($0) }
        Hessian.permute(values, order, on: backend)
    }

    /// Sorts rows and columns of a square matrix, in place: row i becomes what row `order[i]` was.
    static func permute(
        _ values: UnsafeMutablePointer<Float>, _ order: [Int], on backend: CPUBackend
    ) {
        let size = order.count
        nonisolated(unsafe) let numbers = values
        backend.parallelFor((size + taskColumns - 1) / taskColumns) { index in
            var row = [Float](repeating: 0, count: size)
            for place in index * taskColumns..<min((index + 1) * taskColumns, size) {
                let line = numbers + place * size
                for column in 0..<size { row[column] = line[order[column]] }
                line.update(from: row, count: size)
            }
        }
        // Columns by columns, along the cycles of the order.
        backend.parallelFor((size + taskColumns - 1) / taskColumns) { index in
            let first = index * taskColumns
            let width = min(taskColumns, size - first)
            let lines = numbers + first
            var row = [Float](repeating: 0, count: width)
            var done = [Bool](repeating: false, count: size)
            for start in 0..<size where !done[start] {
                row.withUnsafeMutableBufferPointer {
                    $0.baseAddress?.update(from: lines + start * size, count: width)
                }
                var target = start
                while order[target] != start {
                    (lines + target * size).update(from: lines + order[target] * size, count: width)
                    done[target] = true
                    target = order[target]
                }
                (lines + target * size).update(from: row, count: width)
                done[target] = true
            }
        }
    }

    /// tr(D'HD) of a matrix `[K][N]` in the order of `permutation`, without the damping; overwrites it.
    /// - Throws: `TensorError` when memory does not suffice.
    package func energy(_ matrix: Matrix, backend: CPUBackend) throws(TensorError) -> Double {
        precondition(matrix.rows == size && damp > 0, "before the factor is there")
        precondition(matrix.buffer.byteCount == matrix.count * 4, "a part of a matrix")
        let plain = backend.sumOfSquares(matrix.buffer)
        try TriangularProducts(values, size: size, stride: size, backend: backend)
            .solveTransposed(matrix.pointer, columns: matrix.columns)
        return max(backend.sumOfSquares(matrix.buffer) - damp * plain, 0)
    }
}

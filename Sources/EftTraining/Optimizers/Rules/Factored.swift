// SPDX-License-Identifier: Apache-2.0
// Means of squares that are kept by row and by column, which Adafactor and CAME share.
import EftTensor

/// The running mean of a matrix of squares, from its means by row and by column (Shazeer and Stern 2018).
struct FactoredMean {
    /// The names of both in the state.
    let rows: String
    /// See `rows`.
    let columns: String

    /// The parts of the state.
    func parts(_ shape: ParameterShape) -> [StatePart] {
        [.f32(rows, shape.rows), .f32(columns, shape.columns)]
    }

    /// Bytes that a step takes for a while.
    static func scratchBytes(_ shape: ParameterShape) -> Int { (shape.rows + shape.columns) * 4 }

    /// Adds the squares of a buffer to the means, then divides the buffer by the root of what they stand for.
    func divide(_ buffer: Buffer, floor: Double, beta: Double, _ target: UpdateTarget) {
        guard let factors = factors(squaresOf: buffer, floor: floor, beta: beta, target) else {
            return
        }
        target.backend.scale(
            buffer, target.parameter.shape, rows: factors.rows, columns: factors.columns)
    }

    /// Adds x^2 + floor to the means; gives one over the root of what they stand for, as factors.
    func factors(
        squaresOf x: Buffer, floor: Double, beta: Double, _ target: UpdateTarget
    ) -> (rows: Matrix, columns: Matrix)? {
        guard let scratch = target.scratch else { return nil }
        let shape = target.parameter.shape
        let row = Matrix(sharing: scratch, rows: 1, columns: shape.rows)
        let column = Matrix(sharing: scratch, offset: shape.rows, rows: 1, columns: shape.columns)
        target.backend.squareMeans(x, shape, floor: Float(floor), rows: row, columns: column)
        for (fresh, name) in [(row, rows), (column, columns)] {
            let mean = target.state.row(name)
            for index in 0..<fresh.count {
                let kept = mean.pointer[index] * Float(beta)
                mean.pointer[index] = kept + fresh.pointer[index] * Float(1 - beta)
                fresh.pointer[index] = mean.pointer[index]
            }
        }
        var sum = 0.0
        for index in 0..<row.count { sum += Double(row.pointer[index]) }
        let mean = Float(sum / Double(row.count))
        for index in 0..<row.count {
            row.pointer[index] = 1 / (row.pointer[index] / mean).squareRoot()
        }
        for index in 0..<column.count {
            column.pointer[index] = 1 / column.pointer[index].squareRoot()
        }
        return (row, column)
    }
}

extension UpdateTarget {
    /// Scales a buffer down so that the root of its mean square is at most `most`.
    func clip(_ buffer: Buffer, to most: Double) {
        let square = backend.sumOfSquares(buffer) / Double(max(parameter.shape.numbers, 1))
        let ratio = square.squareRoot() / most
        if ratio > 1 { backend.scale(row(buffer), by: Float(1 / ratio)) }
    }

    /// value = keep * value - rate * change.
    func subtract(_ change: Buffer, rate: Double, keep: Double) {
        if keep != 1 { backend.scale(row(parameter.value), by: Float(keep)) }
        backend.addScaled(row(change), factor: Float(-rate), to: row(parameter.value))
    }
}

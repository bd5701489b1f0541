// SPDX-License-Identifier: Apache-2.0
// Small triangular blocks on one thread: what products of matrices leave to be done.

/// Lower triangles of at most a few hundred rows, `stride` numbers from row to row.
enum TriangularBlock {
    private typealias Lanes = SIMD16<Float>

    /// Turns the lower triangle of a symmetric positive definite block A into L with L L' = A; what stands above stays.
    /// - Returns: false when A is not positive definite; the triangle then holds anything.
    static func factor(_ a: UnsafeMutablePointer<Float>, rows: Int, stride: Int) -> Bool {
        for row in 0..<rows {
            let line = a + row * stride
            for column in 0..<row {
                let other = a + column * stride
                line[column] = (line[column] - dot(line, other, column)) / other[column]
            }
            let square = line[row] - dot(line, line, row)
            guard square > 0, square.isFinite else { return false }
            line[row] = square.squareRoot()
        }
        return true
    }

    /// Fills a square block `[rows][rows]`, zero above the diagonal, with the inverse of a lower triangle.
    static func invert(
        _ triangle: UnsafePointer<Float>, rows: Int, stride: Int,
        into inverse: UnsafeMutablePointer<Float>
    ) {
        inverse.update(repeating: 0, count: rows * rows)
        for row in 0..<rows {
            let (line, target) = (triangle + row * stride, inverse + row * rows)
            for column in 0..<row {
                add(inverse + column * rows, times: -line[column], to: target, column + 1)
            }
            let factor = 1 / line[row]
            for column in 0..<row { target[column] *= factor }
            target[row] = factor
        }
    }

    private static func load(_ x: UnsafePointer<Float>) -> Lanes {
        UnsafeRawPointer(x).loadUnaligned(as: Lanes.self)
    }

    private static func dot(
        _ x: UnsafePointer<Float>, _ y: UnsafePointer<Float>, _ count: Int
    ) -> Float {
        var sums = Lanes.zero
        let whole = count / 16 * 16
        for place in Swift.stride(from: 0, to: whole, by: 16) {
            sums += load(x + place) * load(y + place)
        }
        var sum = sums.sum()
        for place in whole..<count { sum += x[place] * y[place] }
        return sum
    }

    private static func add(
        _ x: UnsafePointer<Float>, times factor: Float, to y: UnsafeMutablePointer<Float>,
        _ count: Int
    ) {
        let whole = count / 16 * 16
        for place in Swift.stride(from: 0, to: whole, by: 16) {
            UnsafeMutableRawPointer(y + place).storeBytes(
                of: load(y + place) + factor * load(x + place), as: Lanes.self)
        }
        for place in whole..<count { y[place] += factor * x[place] }
    }
}

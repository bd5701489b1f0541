// SPDX-License-Identifier: Apache-2.0
// Sums of squares of a matrix, and the largest eigenvectors of a symmetric one, in 64 bits.
import CLAPACK

/// Functions of symmetric matrices, which stand in their lower triangle.
enum SymmetricMatrix {
    /// Rows or columns of a matrix that become 64-bit numbers at a time.
    static let chunk = 256

    /// Most bytes that the library takes while it looks for eigenvectors, and gives back: 26 numbers a row for dsyevr, more with
    /// blocks, and 10 integers.
    static func libraryBytes(_ size: Int) -> Int { size * (80 * 8 + 14 * 4) + (1 << 12) }

    /// Adds W'W to a sum when W `[N][K]` has as many rows as columns at least, else W W': `[size][size]` of the shorter side.
    /// - Parameter part: memory of `chunk` x size numbers.
    static func addSquares(
        of w: Matrix, to sum: UnsafeMutablePointer<Double>, part: UnsafeMutablePointer<Double>
    ) {
        let isTall = w.columns <= w.rows
        let (size, count) = isTall ? (w.columns, w.rows) : (w.rows, w.columns)
        for first in stride(from: 0, to: count, by: chunk) {
            let width = min(chunk, count - first)
            for index in 0..<width {
                for place in 0..<size {
                    let at =
                        isTall
                        ? (first + index) * w.columns + place : place * w.columns + first + index
                    part[index * size + place] = Double(w.pointer[at])
                }
            }
            // Rows of W or columns of it, row by row of `part` either way.
            cblas_dsyrk(
                CblasRowMajor, CblasLower, CblasTrans, blasint(size), blasint(width), 1, part,
                blasint(size), 1, sum, blasint(size))
        }
    }

    /// The largest eigenvalues, falling and not negative; nil when they are not found.
    /// - Parameters:
    ///   - matrix: overwritten.
    ///   - vectors: their unit vectors, row by row.
    static func largest(
        _ matrix: UnsafeMutablePointer<Double>, size: Int, count: Int,
        vectors: UnsafeMutablePointer<Double>
    ) -> [Double]? {
        var values = [Double](repeating: 0, count: size)
        var support = [Int32](repeating: 0, count: 2 * max(count, 1))
        var found: Int32 = 0
        let n = Int32(size)
        // The lower triangle by rows is the upper one by columns.
        let status = LAPACKE_dsyevr(
            LAPACK_COL_MAJOR, CChar(UInt8(ascii: "V")), CChar(UInt8(ascii: "I")),
            CChar(UInt8(ascii: "U")), n, matrix, n, 0, 0, n - Int32(count) + 1, n, 0,
            &found, &values, vectors, n, &support)
        guard status == 0, found == Int32(count) else { return nil }
        let chosen = values.prefix(count).map { max($0, 0) }
        guard chosen.allSatisfy(\.isFinite) else { return nil }
        for low in 0..<count / 2 {
            let high = count - 1 - low
            for place in 0..<size {
                let value = vectors[low * size + place]
                vectors[low * size + place] = vectors[high * size + place]
                vectors[high * size + place] = value
            }
        }
        return chosen.reversed()
    }
}

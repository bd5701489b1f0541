// SPDX-License-Identifier: Apache-2.0
// The factor of a symmetric matrix's inverse, in place and on all workers.
import CLAPACK

/// Finds the upper triangle U with U'U = A^-1 of a symmetric positive definite matrix.
///
/// Were A read from its end, its Cholesky factor L would be lower with L L' = A, and the inverse of L is U, read from its end:
/// one factor and one triangular inverse, instead of a factor, an inverse and the factor of that. The library works on
/// blocks, each on one thread.
package struct InverseFactor {
    /// Rows of the blocks along the diagonal.
    private static let block = 128
    /// Columns of C of a product, and rows or columns of a task.
    private static let part = 256
    private static let task = 64

    private let size: Int
    private let backend: CPUBackend

    /// Prepares for matrices `[size][size]`.
    package init(size: Int, backend: CPUBackend) {
        self.size = size
        self.backend = backend
    }

    /// Scratch of the products.
    package static func scratchBytes(size: Int, on backend: CPUBackend) -> Int {
        backend.gemmScratchBytes(m: size, n: min(size, part), k: block)
    }

    /// Turns the upper triangle of A into U; what lies below the diagonal stays.
    /// - Returns: false when A is not positive definite; the triangle then holds anything.
    /// - Throws: `TensorError` when scratch memory does not suffice.
    package func find(_ a: UnsafeMutablePointer<Float>) throws(TensorError) -> Bool {
        var numbers = UnsafeMutableBufferPointer(start: a, count: size * size)
        // The upper triangle becomes the lower one, of the matrix read from its end.
        numbers.reverse()
        defer { numbers.reverse() }
        guard try factor(a), try invert(a) else { return false }
        return (0..<size).allSatisfy { row in
            let value = a[row * size + row]
            return value.isFinite && value > 0
        }
    }

    /// The lower triangle L with L L' = A.
    private func factor(_ a: UnsafeMutablePointer<Float>) throws(TensorError) -> Bool {
        for first in stride(from: 0, to: size, by: Self.block) {
            let rows = min(Self.block, size - first)
            let end = first + rows
            // By columns, as the library counts, a lower triangle by rows is the upper one.
            guard
                LAPACKE_spotrf(
                    LAPACK_COL_MAJOR, CChar(UInt8(ascii: "U")), Int32(rows),
                    a + first * size + first, Int32(size)) == 0
            else { return false }
            guard end < size else { break }
            solve(a, below: first, rows)
            updateCorners(a, from: first, rows)
            for column in stride(from: end, to: size - Self.part, by: Self.part) {
                let (left, below) = (a + column * size + first, column + Self.part)
                try backend.gemm(
                    size - below, Self.part, rows, alpha: -1,
                    MatrixPart(a + below * size + first, stride: size),
                    MatrixPart(left, stride: size, transposed: true),
                    addingTo: a + below * size + column, stride: size)
            }
        }
        return true
    }

    /// What stands below a block of L, times the inverse of the block's transpose.
    private func solve(_ a: UnsafeMutablePointer<Float>, below first: Int, _ count: Int) {
        nonisolated(unsafe) let a = a
        let (size, end, task) = (size, first + count, Self.task)
        backend.parallelFor((size - end + task - 1) / task) { index in
            let row = end + index * task
            cblas_strsm(
                CblasRowMajor, CblasRight, CblasLower, CblasTrans, CblasNonUnit,
                blasint(min(task, size - row)), blasint(count), 1, a + first * size + first,
                blasint(size), a + row * size + first, blasint(size))
        }
    }

    /// The blocks on the diagonal that a block column of L changes: only their lower triangles, beside which others' numbers
    /// stand.
    private func updateCorners(
        _ a: UnsafeMutablePointer<Float>, from first: Int, _ count: Int
    ) {
        nonisolated(unsafe) let a = a
        let (size, end, part) = (size, first + count, Self.part)
        backend.parallelFor((size - end + part - 1) / part) { index in
            let row = end + index * part
            cblas_ssyrk(
                CblasRowMajor, CblasLower, CblasNoTrans, blasint(min(part, size - row)),
                blasint(count), -1, a + row * size + first, blasint(size), 1,
                a + row * size + row, blasint(size))
        }
    }

    /// The inverse of L, columns from left to right: those of a block need L from there on alone.
    private func invert(_ a: UnsafeMutablePointer<Float>) throws(TensorError) -> Bool {
        nonisolated(unsafe) let a = a
        let (size, task) = (size, Self.task)
        for first in stride(from: 0, to: size, by: Self.part) {
            let columns = min(Self.part, size - first)
            let end = first + columns
            let corner = a + first * size + first
            guard
                LAPACKE_strtri(
                    LAPACK_COL_MAJOR, CChar(UInt8(ascii: "U")), CChar(UInt8(ascii: "N")),
                    Int32(columns), corner, Int32(size)) == 0
            else { return false }
            guard end < size else { break }
            nonisolated(unsafe) let inverse = corner
            backend.parallelFor((size - end + task - 1) / task) { index in
                let row = end + index * task
                cblas_strmm(
                    CblasRowMajor, CblasRight, CblasLower, CblasNoTrans, CblasNonUnit,
                    blasint(min(task, size - row)), blasint(columns), -1, inverse, blasint(size),
                    a + row * size + first, blasint(size))
            }
            backend.parallelFor((columns + task - 1) / task) { index in
                let column = index * task
                cblas_strsm(
                    CblasRowMajor, CblasLeft, CblasLower, CblasNoTrans, CblasNonUnit,
                    blasint(size - end), blasint(min(task, columns - column)), 1,
                    a + end * size + end, blasint(size), a + end * size + first + column,
                    blasint(size))
            }
        }
        return true
    }
}

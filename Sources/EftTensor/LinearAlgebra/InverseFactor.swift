// SPDX-License-Identifier: Apache-2.0
// The factor of a symmetric matrix's inverse, in place and on all workers.

/// Finds the upper triangle U with U'U = A^-1 of a symmetric positive definite matrix.
///
/// Were A read from its end, its Cholesky factor L would be lower with L L' = A, and the inverse of L is U, read from its end:
/// one factor and one triangular inverse, instead of a factor, an inverse and the factor of that. All but blocks along the
/// diagonal are products of rectangles.
package struct InverseFactor {
    /// Columns of a block.
    private static let block = 128
    /// Rows of a product with a triangle.
    private static let part = 256

    private let size: Int
    private let backend: CPUBackend

    /// Prepares for matrices `[size][size]`.
    package init(size: Int, backend: CPUBackend) {
        self.size = size
        self.backend = backend
    }

    /// Scratch of the products.
    package static func scratchBytes(size: Int, on backend: CPUBackend) -> Int {
        let columns = min(size, block)
        return max(
            backend.gemmScratchBytes(m: size, n: columns, k: size),
            backend.gemmScratchBytes(m: size, n: columns, k: columns))
    }

    /// Bytes of memory that finding takes besides.
    package static func byteCount(size: Int) -> Int {
        let (rows, square) = (min(size, block), min(size, part))
        return (size * rows + square * square + rows * rows) * 4
    }

    /// Memory of one search.
    private struct Memory {
        /// What stands below a block `[K][block]`.
        let panel: UnsafeMutablePointer<Float>
        /// A square on the diagonal.
        let square: UnsafeMutablePointer<Float>
        /// The inverse of a block.
        let inverse: UnsafeMutablePointer<Float>
    }

    /// Turns the upper triangle of A into U; what lies below the diagonal stays.
    /// - Returns: false when A is not positive definite; the triangle then holds anything.
    /// - Throws: `TensorError` when memory does not suffice.
    package func find(_ a: UnsafeMutablePointer<Float>) throws(TensorError) -> Bool {
        let buffer = try Buffer(
            byteCount: Self.byteCount(size: size), ledger: backend.ledger, purpose: .workspace)
        defer { withExtendedLifetime(buffer) {} }
        let panel = buffer.floats
        let square = panel + size * min(size, Self.block)
        let side = min(size, Self.part)
        let memory = Memory(panel: panel, square: square, inverse: square + side * side)
        // The upper triangle becomes the lower one, of the matrix read from its end.
        reverse(a)
        defer { reverse(a) }
        guard try factor(a, memory) else { return false }
        try invert(a, memory)
        return (0..<size).allSatisfy { row in
            let value = a[row * size + row]
            return value.isFinite && value > 0
        }
    }

    /// The lower triangle L with L L' = A, with the inverses of its blocks on the diagonal.
    private func factor(
        _ a: UnsafeMutablePointer<Float>, _ memory: Memory
    ) throws(TensorError) -> Bool {
        for first in stride(from: 0, to: size, by: Self.block) {
            let rows = min(Self.block, size - first)
            let (end, own) = (first + rows, a + first * size)
            try subtractSquares(own, before: first, rows, memory)
            try backend.gemm(
                size - end, rows, first, alpha: -1, MatrixPart(a + end * size, stride: size),
                MatrixPart(own, stride: size, transposed: true),
                addingTo: a + end * size + first, stride: size)
            guard TriangularBlock.factor(own + first, rows: rows, stride: size) else {
                return false
            }
            TriangularBlock.invert(
                own + first, rows: rows, stride: size, into: memory.inverse)
            for row in 0..<rows {
                (own + first + row * size).update(from: memory.inverse + row * rows, count: row + 1)
            }
            guard end < size else { break }
            let below = a + end * size + first
            take(below, rows, size - end, to: memory.panel)
            try backend.gemm(
                size - end, rows, rows, alpha: 1, MatrixPart(memory.panel, stride: rows),
                MatrixPart(memory.inverse, stride: rows, transposed: true), addingTo: below,
                stride: size)
        }
        return true
    }

    /// Takes from a block on the diagonal what its rows of L say, in its lower triangle alone.
    private func subtractSquares(
        _ own: UnsafeMutablePointer<Float>, before first: Int, _ rows: Int, _ memory: Memory
    ) throws(TensorError) {
        guard first > 0 else { return }
        memory.square.update(repeating: 0, count: rows * rows)
        try backend.gemm(
            rows, rows, first, alpha: 1, MatrixPart(own, stride: size),
            MatrixPart(own, stride: size, transposed: true), addingTo: memory.square, stride: rows)
        for row in 0..<rows {
            for column in 0...row {
                own[row * size + first + column] -= memory.square[row * rows + column]
            }
        }
    }

    /// The inverse of L, columns from right to left: with the inverse X of what stands behind a block B of L, and C below B,
    /// the inverse has -X C B^-1 below B^-1.
    private func invert(
        _ a: UnsafeMutablePointer<Float>, _ memory: Memory
    ) throws(TensorError) {
        let blocks = (size + Self.block - 1) / Self.block
        for first in (0..<blocks).reversed().map({ $0 * Self.block }) {
            let rows = min(Self.block, size - first)
            let (end, corner) = (first + rows, a + first * size + first)
            guard end < size else { continue }
            memory.inverse.update(repeating: 0, count: rows * rows)
            for row in 0..<rows {
                (memory.inverse + row * rows).update(from: corner + row * size, count: row + 1)
            }
            let below = a + end * size + first
            memory.panel.update(repeating: 0, count: rows * (size - end))
            try backend.gemm(
                size - end, rows, rows, alpha: 1, MatrixPart(below, stride: size),
                MatrixPart(memory.inverse, stride: rows), addingTo: memory.panel, stride: rows)
            for row in 0..<size - end { (below + row * size).update(repeating: 0, count: rows) }
            for row in stride(from: end, to: size, by: Self.part) {
                try subtractProduct(a, row, end, rows, from: a + row * size + first, memory)
            }
        }
    }

    /// Takes rows of X times what `panel` holds from a place; X is a lower triangle that begins at `end`.
    private func subtractProduct(
        _ a: UnsafeMutablePointer<Float>, _ row: Int, _ end: Int, _ columns: Int,
        from target: UnsafeMutablePointer<Float>, _ memory: Memory
    ) throws(TensorError) {
        let count = min(Self.part, size - row)
        try backend.gemm(
            count, columns, row - end, alpha: -1, MatrixPart(a + row * size + end, stride: size),
            MatrixPart(memory.panel, stride: columns), addingTo: target, stride: size)
        memory.square.update(repeating: 0, count: count * count)
        for index in 0..<count {
            (memory.square + index * count).update(
                from: a + (row + index) * size + row, count: index + 1)
        }
        try backend.gemm(
            count, columns, count, alpha: -1, MatrixPart(memory.square, stride: count),
            MatrixPart(memory.panel + (row - end) * columns, stride: columns), addingTo: target,
            stride: size)
    }

    /// Moves columns of A to memory, and leaves zeros.
    private func take(
        _ start: UnsafeMutablePointer<Float>, _ columns: Int, _ rows: Int,
        to panel: UnsafeMutablePointer<Float>
    ) {
        nonisolated(unsafe) let (start, panel) = (start, panel)
        forEachRun(of: rows, each: 64) { run in
            for row in run {
                (panel + row * columns).update(from: start + row * size, count: columns)
                (start + row * size).update(repeating: 0, count: columns)
            }
        }
    }

    /// Reads A from its end.
    private func reverse(_ a: UnsafeMutablePointer<Float>) {
        nonisolated(unsafe) let a = a
        let last = size * size - 1
        forEachRun(of: size * size / 2, each: 1 << 16) { run in
            for place in run {
                let value = a[place]
                a[place] = a[last - place]
                a[last - place] = value
            }
        }
    }

    /// Calls `body` with parts of a range on all workers.
    private func forEachRun(
        of count: Int, each length: Int, _ body: @Sendable (Range<Int>) -> Void
    ) {
        backend.parallelFor((count + length - 1) / length) { index in
            body(index * length..<min((index + 1) * length, count))
        }
    }
}

// SPDX-License-Identifier: Apache-2.0
// Products with a matrix of which one triangle is there, from products of whole matrices.

/// Products and solutions with the lower or the upper triangle of a square matrix, whose other triangle holds something else.
///
/// Blocks along the diagonal are copied without what stands on their other side; all else are products of rectangles. Results
/// do not depend on the number of threads.
package struct TriangularProducts {
    /// Rows of a block.
    private static let block = 128
    /// Columns of x at a time.
    private static let mostColumns = 2048

    /// Bytes of memory that a product takes besides scratch of `gemm`.
    /// - Parameter copiesRows: whether x changes: not so in `addSymmetric`.
    package static func byteCount(size: Int, columns: Int, copiesRows: Bool = true) -> Int {
        let rows = min(block, size)
        // The triangle of a solution stands in the place of rows for a while.
        return rows * (rows + (copiesRows ? max(min(columns, mostColumns), rows) : 0)) * 4
    }

    private let matrix: UnsafePointer<Float>
    private let size: Int
    private let stride: Int
    private let backend: CPUBackend

    /// Prepares for a matrix `[size][size]`.
    /// - Parameter stride: numbers from one row to the next.
    package init(
        _ matrix: UnsafePointer<Float>, size: Int, stride: Int, backend: CPUBackend
    ) {
        (self.matrix, self.size, self.stride, self.backend) = (matrix, size, stride, backend)
    }

    /// Scratch of the products of whole matrices.
    package static func scratchBytes(size: Int, columns: Int, on backend: CPUBackend) -> Int {
        let width = min(columns, mostColumns)
        return max(
            backend.gemmScratchBytes(m: min(size, block), n: width, k: size),
            backend.gemmScratchBytes(m: size, n: width, k: min(size, block)))
    }

    /// y += A x, with A symmetric and in the lower triangle; x and y `[size][columns]`.
    /// - Throws: `TensorError` when memory does not suffice, as the other products.
    package func addSymmetric(
        _ x: UnsafePointer<Float>, to y: UnsafeMutablePointer<Float>, columns: Int
    ) throws(TensorError) {
        try forEachBlock(columns, copiesRows: false) {
            (rows, first, width, memory) throws(TensorError) in
            let (own, count) = (x + rows.lowerBound * columns + first, rows.count)
            let left = matrix + rows.lowerBound * stride
            let target = y + rows.lowerBound * columns + first
            try backend.gemm(
                count, width, rows.lowerBound, alpha: 1, MatrixPart(left, stride: stride),
                MatrixPart(x + first, stride: columns), addingTo: target, stride: columns)
            try backend.gemm(
                rows.lowerBound, width, count, alpha: 1,
                MatrixPart(left, stride: stride, transposed: true),
                MatrixPart(own, stride: columns), addingTo: y + first, stride: columns)
            for row in 0..<count {
                for column in 0...row {
                    let value = left[row * stride + rows.lowerBound + column]
                    memory.square[row * count + column] = value
                    memory.square[column * count + row] = value
                }
            }
            try backend.gemm(
                count, width, count, alpha: 1, MatrixPart(memory.square, stride: count),
                MatrixPart(own, stride: columns), addingTo: target, stride: columns)
        }
    }

    /// x = U x with U in the upper triangle; x `[size][columns]`.
    package func multiply(
        _ x: UnsafeMutablePointer<Float>, columns: Int
    ) throws(TensorError) {
        try forEachBlock(columns) { (rows, first, width, memory) throws(TensorError) in
            copyUpper(rows, to: memory.square, transposed: false)
            let target = x + rows.lowerBound * columns + first
            try multiplyBlock(memory, rows.count, target, columns, width)
            try backend.gemm(
                rows.count, width, size - rows.upperBound, alpha: 1,
                MatrixPart(matrix + rows.lowerBound * stride + rows.upperBound, stride: stride),
                MatrixPart(x + rows.upperBound * columns + first, stride: columns),
                addingTo: target, stride: columns)
        }
    }

    /// x = U' x, likewise.
    package func multiplyTransposed(
        _ x: UnsafeMutablePointer<Float>, columns: Int
    ) throws(TensorError) {
        try forEachBlock(columns, isReversed: true) {
            (rows, first, width, memory) throws(TensorError) in
            copyUpper(rows, to: memory.square, transposed: true)
            let target = x + rows.lowerBound * columns + first
            try multiplyBlock(memory, rows.count, target, columns, width)
            try above(rows, 1, x + first, target, columns, width)
        }
    }

    /// x = the solution z of U' z = x, likewise.
    package func solveTransposed(
        _ x: UnsafeMutablePointer<Float>, columns: Int
    ) throws(TensorError) {
        try forEachBlock(columns) { (rows, first, width, memory) throws(TensorError) in
            let (count, target) = (rows.count, x + rows.lowerBound * columns + first)
            try above(rows, -1, x + first, target, columns, width)
            // The place of x's rows holds the triangle until they come there.
            copyUpper(rows, to: memory.rows, transposed: true)
            TriangularBlock.invert(memory.rows, rows: count, stride: count, into: memory.square)
            try multiplyBlock(memory, count, target, columns, width)
        }
    }

    // MARK: Blocks

    /// Memory of a product: a block without its other triangle, and rows of x.
    private struct Memory {
        let square: UnsafeMutablePointer<Float>
        let rows: UnsafeMutablePointer<Float>
    }

    /// Calls `body` with the rows of each block, for some columns after the others: the first, and how many.
    private func forEachBlock(
        _ columns: Int, isReversed: Bool = false, copiesRows: Bool = true,
        _ body: (Range<Int>, Int, Int, Memory) throws(TensorError) -> Void
    ) throws(TensorError) {
        let block = min(TriangularProducts.block, size)
        let most = TriangularProducts.mostColumns
        let buffer = try Buffer(
            byteCount: TriangularProducts.byteCount(
                size: size, columns: columns, copiesRows: copiesRows),
            ledger: backend.ledger, purpose: .workspace)
        let memory = Memory(square: buffer.floats, rows: buffer.floats + block * block)
        let blocks = (size + block - 1) / block
        for first in Swift.stride(from: 0, to: columns, by: most) {
            for index in 0..<blocks {
                let place = (isReversed ? blocks - 1 - index : index) * block
                try body(
                    place..<min(place + block, size), first, min(most, columns - first), memory)
            }
        }
        withExtendedLifetime(buffer) {}
    }

    /// The block of some rows, zero on the other side.
    private func copyUpper(
        _ rows: Range<Int>, to square: UnsafeMutablePointer<Float>, transposed: Bool
    ) {
        let count = rows.count
        square.update(repeating: 0, count: count * count)
        for row in 0..<count {
            let line = matrix + (rows.lowerBound + row) * stride + rows.lowerBound
            for column in row..<count {
                square[transposed ? column * count + row : row * count + column] = line[column]
            }
        }
    }

    /// x = D x for the rows of a block.
    private func multiplyBlock(
        _ memory: Memory, _ count: Int, _ x: UnsafeMutablePointer<Float>, _ columns: Int,
        _ width: Int
    ) throws(TensorError) {
        for row in 0..<count {
            (memory.rows + row * width).update(from: x + row * columns, count: width)
            (x + row * columns).update(repeating: 0, count: width)
        }
        try backend.gemm(
            count, width, count, alpha: 1, MatrixPart(memory.square, stride: count),
            MatrixPart(memory.rows, stride: width), addingTo: x, stride: columns)
    }

    /// target += alpha U' x for what stands above a block.
    private func above(
        _ rows: Range<Int>, _ alpha: Float, _ x: UnsafePointer<Float>,
        _ target: UnsafeMutablePointer<Float>, _ columns: Int, _ width: Int
    ) throws(TensorError) {
        try backend.gemm(
            rows.count, width, rows.lowerBound, alpha: alpha,
            MatrixPart(matrix + rows.lowerBound, stride: stride, transposed: true),
            MatrixPart(x, stride: columns), addingTo: target, stride: columns)
    }
}

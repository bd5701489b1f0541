// SPDX-License-Identifier: Apache-2.0
// The directions in which a matrix is largest.

/// Finds unit singular vectors of the largest singular values of matrices `[rows][columns]` of one form.
///
/// A vector's sign is such that its number of largest magnitude, the first of several, is positive. Vectors of a value that is zero
/// are zero where they have the length of the longer side, and any of the possible ones on the shorter.
package struct SingularVectors: Sendable {
    private let rows: Int
    private let columns: Int
    private let count: Int

    /// Prepares for `count` vectors, at most as many as there are rows and columns.
    package init(rows: Int, columns: Int, count: Int) {
        precondition(count > 0 && count <= min(rows, columns), "more vectors than a matrix has")
        self.rows = rows
        self.columns = columns
        self.count = count
    }

    private var size: Int { min(rows, columns) }

    /// Bytes of memory that `find` is to be given.
    package var scratchBytes: Int {
        8 * size * (size + max(SymmetricMatrix.chunk, count))
    }

    /// Bytes that the linear-algebra library takes, and partly keeps.
    package func libraryBytes(threads: Int) -> Int {
        SymmetricMatrix.libraryBytes(size)
            + LowRank.libraryBytes(
                .singular, outputs: rows, inputs: columns, rank: count, threads: threads)
    }

    /// Fills vectors row by row.
    /// - Parameters:
    ///   - w: the matrix.
    ///   - left: `[count][rows]`; not looked for when nil.
    ///   - right: `[count][columns]`, likewise.
    ///   - scratch: memory of `scratchBytes`.
    /// - Returns: whether they were found; not so for a matrix with infinite or NaN numbers.
    package func find(of w: Matrix, left: Matrix?, right: Matrix?, scratch: Buffer) -> Bool {
        precondition(w.rows == rows && w.columns == columns)
        precondition(left.map { $0.rows == count && $0.columns == rows } ?? true)
        precondition(right.map { $0.rows == count && $0.columns == columns } ?? true)
        precondition(scratch.byteCount >= scratchBytes)
        let memory = scratch.base.assumingMemoryBound(to: Double.self)
        let (sums, vectors) = (memory, memory + size * size)
        sums.update(repeating: 0, count: size * size)
        SymmetricMatrix.addSquares(of: w, to: sums, part: vectors)
        guard
            let squares = SymmetricMatrix.largest(
                sums, size: size, count: count, vectors: vectors)
        else { return false }
        let isTall = columns <= rows
        let (short, long) = isTall ? (right, left) : (left, right)
        if let long {
            for index in 0..<count {
                fill(
                    long.pointer + index * long.columns, w, vectors + index * size,
                    value: squares[index].squareRoot())
            }
        }
        if let short {
            for index in 0..<count * size { short.pointer[index] = Float(vectors[index]) }
        }
        for matrix in [left, right].compactMap({ $0 }) { turn(matrix) }
        return true
    }

    /// The vector of the longer side: W's product with that of the shorter, over their value.
    private func fill(
        _ target: UnsafeMutablePointer<Float>, _ w: Matrix, _ vector: UnsafeMutablePointer<Double>,
        value: Double
    ) {
        let isTall = columns <= rows
        for place in 0..<max(rows, columns) {
            var sum = 0.0
            let (first, step) = isTall ? (place * columns, 1) : (place, columns)
            for index in 0..<size {
                sum += vector[index] * Double(w.pointer[first + index * step])
            }
            target[place] = value > 0 ? Float(sum / value) : 0
        }
    }

    /// Gives each row its sign.
    private func turn(_ matrix: Matrix) {
        for row in 0..<matrix.rows {
            let numbers = matrix.pointer + row * matrix.columns
            var largest: Float = 0
            for place in 0..<matrix.columns where abs(numbers[place]) > abs(largest) {
                largest = numbers[place]
            }
            guard largest < 0 else { continue }
            for place in 0..<matrix.columns { numbers[place] = -numbers[place] }
        }
    }
}

// SPDX-License-Identifier: Apache-2.0
// Row-major f32 matrices: what layers take and give.

/// A row-major f32 matrix that owns its memory or shares it with others.
package struct Matrix: Sendable {
    /// The memory, kept alive.
    package let buffer: Buffer
    /// First element, in floats from the start of `buffer`.
    package let offset: Int
    /// Number of rows.
    package let rows: Int
    /// Number of columns; consecutive rows are this many floats apart.
    package let columns: Int

    /// Allocates a zeroed matrix under a purpose.
    /// - Throws: `TensorError` when it does not fit the ledger.
    package init(
        rows: Int, columns: Int, ledger: MemoryLedger?, purpose: MemoryPurpose = .activations,
        residency: Buffer.Residency = .atOnce
    ) throws(TensorError) {
        buffer = try Buffer(
            byteCount: rows * columns * 4, ledger: ledger, purpose: purpose, residency: residency)
        offset = 0
        self.rows = rows
        self.columns = columns
    }

    /// A matrix over part of existing memory.
    package init(sharing buffer: Buffer, offset: Int = 0, rows: Int, columns: Int) {
        precondition(offset >= 0 && (offset + rows * columns) * 4 <= buffer.byteCount)
        self.buffer = buffer
        self.offset = offset
        self.rows = rows
        self.columns = columns
    }

    /// First element.
    package var pointer: UnsafeMutablePointer<Float> { buffer.floats + offset }
    /// Number of elements.
    package var count: Int { rows * columns }

    /// Rows `range`, sharing the memory.
    package func rows(_ range: Range<Int>) -> Matrix {
        precondition(range.lowerBound >= 0 && range.upperBound <= rows)
        return Matrix(
            sharing: buffer, offset: offset + range.lowerBound * columns, rows: range.count,
            columns: columns)
    }

    /// A matrix of fewer rows and columns in the same memory, whose rows follow each other.
    package func narrowed(rows: Int, columns: Int) -> Matrix {
        precondition(rows <= self.rows && columns <= self.columns)
        return Matrix(sharing: buffer, offset: offset, rows: rows, columns: columns)
    }

    /// The same elements in rows of `columns`, which divides the number of columns.
    package func split(columns: Int) -> Matrix {
        precondition(columns > 0 && self.columns % columns == 0)
        return Matrix(
            sharing: buffer, offset: offset, rows: rows * (self.columns / columns),
            columns: columns)
    }

    /// Fills the rows with chosen ones of another matrix, or of itself when they ascend.
    package func pack(_ chosen: [Int], of source: Matrix) {
        for (place, row) in chosen.enumerated() {
            (pointer + place * columns).update(
                from: source.pointer + row * columns, count: columns)
        }
    }

    /// Puts rows that were packed in place back, row i to row `chosen[i]`; the other rows hold anything.
    package func unpack(_ chosen: [Int]) {
        for (source, target) in chosen.enumerated().reversed() where target != source {
            precondition(source < target && target < rows, "rows in ascending order")
            (pointer + target * columns).update(from: pointer + source * columns, count: columns)
        }
    }

    /// Copies the elements out, row by row.
    package var array: [Float] { Array(UnsafeBufferPointer(start: pointer, count: count)) }

    /// Copies elements in, row by row; `values` must have `count` elements.
    package func assign(_ values: [Float]) {
        precondition(values.count == count)
        values.withUnsafeBufferPointer { source in
            if let base = source.baseAddress { pointer.update(from: base, count: count) }
        }
    }

    /// Sets every element to zero.
    package func zero() { pointer.update(repeating: 0, count: count) }
}

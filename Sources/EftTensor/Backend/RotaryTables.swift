// SPDX-License-Identifier: Apache-2.0
// The rotations of a batch's rows.

/// Cosines and sines `[T][R/2]` of the angles by which the first R numbers of each head rotate.
package struct RotaryTables: Sendable {
    package let cosines: Matrix
    package let sines: Matrix
    /// Whether neighbours (2i, 2i + 1) rotate together, and not (i, i + R/2).
    package let interleaved: Bool

    /// Pairs two tables.
    package init(cosines: Matrix, sines: Matrix, interleaved: Bool) {
        precondition(cosines.rows == sines.rows && cosines.columns == sines.columns)
        self.cosines = cosines
        self.sines = sines
        self.interleaved = interleaved
    }

    /// A view of some rows.
    package func rows(_ range: Range<Int>) -> RotaryTables {
        RotaryTables(
            cosines: cosines.rows(range), sines: sines.rows(range), interleaved: interleaved)
    }
}

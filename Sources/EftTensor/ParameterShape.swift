// SPDX-License-Identifier: Apache-2.0
// The extents of what is trained.
import CEftKernels

/// The extents of a trained tensor, and the order in which its numbers stand in memory.
package struct ParameterShape: Sendable, Hashable {
    /// The order of numbers.
    package enum Order: Sendable, Hashable {
        /// One row.
        case vector
        /// Row by row.
        case rowMajor
        /// Panels of 16 rows, which are outputs, with the inputs padded, as `WeightLayout` has f32 weights.
        case panels
    }

    /// Rows: outputs.
    package let rows: Int
    /// Columns: inputs.
    package let columns: Int
    /// The order in memory.
    package let order: Order
    /// Whether each row belongs to a token: an embedding or a head, which some optimizers treat otherwise.
    package var isOfVocabulary = false
    /// Whether it is one of the weights for which an optimizer does what it does not for all (GaLore).
    package var isTarget = false

    private init(rows: Int, columns: Int, order: Order) {
        precondition(rows > 0 && columns >= 0, "a shape without rows")
        self.rows = rows
        self.columns = columns
        self.order = order
    }

    /// A vector.
    package static func vector(_ count: Int) -> ParameterShape {
        ParameterShape(rows: 1, columns: count, order: .vector)
    }

    /// A row-major matrix.
    package static func matrix(rows: Int, columns: Int) -> ParameterShape {
        ParameterShape(rows: rows, columns: columns, order: .rowMajor)
    }

    /// A weight in panels.
    package static func panels(outputs: Int, inputs: Int) -> ParameterShape {
        ParameterShape(rows: outputs, columns: inputs, order: .panels)
    }

    /// The same shape, of an embedding or a head.
    package var ofVocabulary: ParameterShape {
        var shape = self
        shape.isOfVocabulary = true
        return shape
    }

    /// Whether rows and columns mean something.
    package var isMatrix: Bool { order != .vector }
    /// Numbers, padding left out.
    package var numbers: Int { rows * columns }
    /// Numbers in memory, padding among them.
    package var storedCount: Int {
        guard order == .panels else { return numbers }
        return WeightLayout(.f32, inputs: columns, outputs: rows).byteCount / 4
    }

    /// The kernels' description of numbers of this shape.
    func kernelValue(_ numbers: UnsafeMutablePointer<Float>) -> eft_matrix {
        eft_matrix(data: numbers, rows: rows, columns: columns, in_panels: order == .panels)
    }
}

extension WeightLayout {
    /// The shape of an f32 weight that is trained itself.
    package var trainedShape: ParameterShape { .panels(outputs: outputs, inputs: inputs) }
}

// SPDX-License-Identifier: Apache-2.0
// A short convolution between two gates in the place of attention: its last rows take the place of keys and values (LFM 2).
import EftTensor

/// The widths of a gated short convolution.
package struct ShortConvolutionShape: Sendable, Hashable {
    /// Numbers of a row that the convolution sees.
    package var width: Int
    /// Rows that it sees.
    package var taps: Int

    /// States widths.
    package init(width: Int, taps: Int) {
        precondition(width > 0 && taps > 0 && taps <= RowConvolution.mostTaps)
        self.width = width
        self.taps = taps
    }

    /// Numbers that a layer keeps of a sequence: the last rows that the convolution saw.
    package var stateFloats: Int { (taps - 1) * width }
}

/// The parts of a gated short convolution before its last product.
package struct ShortConvolution: Sendable {
    /// One product for the gate before the convolution, the one behind it, and what both gate.
    let product: Linear
    /// `[width][taps]`.
    let convolution: TrainedVector

    /// Puts the parts together.
    package init(product: Linear, convolution: TrainedVector) {
        self.product = product
        self.convolution = convolution
    }
}

/// What a gated short convolution computes on the way.
final class ShortConvolutionActivations: Sendable {
    /// Both gates and what they gate `[T][3 C]`; their gradients in the backward pass.
    let whole: Matrix
    /// What the convolution sees `[T][C]`.
    let gated: Matrix
    /// What it gives; its gradient in the backward pass.
    let sums: Matrix
    /// What the last product reads: the sums' place where no backward pass follows.
    let values: Matrix
    /// The gradient of that.
    let gradient: Matrix?

    static func byteCount(rows: Int, _ shape: DecoderShape, backward: Bool) -> Int {
        guard let convolution = shape.mixer?.convolution else { return 0 }
        return rows * convolution.width * 4 * (backward ? 7 : 5)
    }

    init?(
        rows: Int, _ shape: DecoderShape, backward: Bool, ledger: MemoryLedger?,
        residency: Buffer.Residency
    ) throws(TensorError) {
        guard let width = shape.mixer?.convolution?.width else { return nil }
        func matrix(_ columns: Int) throws(TensorError) -> Matrix {
            try Matrix(rows: rows, columns: columns, ledger: ledger, residency: residency)
        }
        whole = try matrix(3 * width)
        gated = try matrix(width)
        sums = try matrix(width)
        values = backward ? try matrix(width) : sums
        gradient = backward ? try matrix(width) : nil
    }
}

// SPDX-License-Identifier: Apache-2.0
// What linear attention by the gated delta rule takes and gives.
import CEftKernels

/// Heads of linear attention. Some value heads go with each key head.
package struct DeltaShape: Sendable, Hashable {
    package let keyHeads: Int
    package let valueHeads: Int
    /// Numbers of a head of queries and keys, and of values.
    package let keyDim: Int
    package let valueDim: Int
    /// Whether what the state holds for a key stays: a state-space layer (Mamba 2), and not the delta rule.
    package let adds: Bool

    /// Makes a shape.
    package init(keyHeads: Int, valueHeads: Int, keyDim: Int, valueDim: Int, adds: Bool = false) {
        precondition(keyHeads > 0 && valueHeads % keyHeads == 0 && keyDim > 0 && valueDim > 0)
        self.keyHeads = keyHeads
        self.valueHeads = valueHeads
        self.keyDim = keyDim
        self.valueDim = valueDim
        self.adds = adds
    }

    /// Numbers of the states of all heads.
    package var stateFloats: Int { withUnsafePointer(to: kernelValue, eft_delta_state_floats) }

    /// Numbers of scratch memory of the backward pass for at most `rows` rows of a sequence.
    package func scratchFloats(rows: Int) -> Int {
        withUnsafePointer(to: kernelValue) { eft_delta_scratch_floats($0, rows) }
    }

    /// The kernels' description.
    var kernelValue: eft_delta {
        eft_delta(
            key_heads: keyHeads, value_heads: valueHeads, key_dim: keyDim, value_dim: valueDim,
            adds: adds)
    }
}

/// Rows of linear attention: queries and keys `[T][Hk * Dk]`, values `[T][Hv * Dv]`, gates `[T][Hv]`; or their gradients.
package struct DeltaRows: Sendable {
    package let query: Matrix
    package let key: Matrix
    package let value: Matrix
    /// What is left of the state, and how much of what is missing from it is added.
    package let decay: Matrix
    package let strength: Matrix

    /// Puts rows together.
    package init(query: Matrix, key: Matrix, value: Matrix, decay: Matrix, strength: Matrix) {
        self.query = query
        self.key = key
        self.value = value
        self.decay = decay
        self.strength = strength
    }

    /// Some of the rows.
    package func rows(_ range: Range<Int>) -> DeltaRows {
        DeltaRows(
            query: query.rows(range), key: key.rows(range), value: value.rows(range),
            decay: decay.rows(range), strength: strength.rows(range))
    }
}

/// Gates and what they were made of.
package struct DeltaGates: Sendable {
    package let a: Matrix
    /// Nil where strength is made of `a` too.
    package let b: Matrix?
    package let rate: Buffer
    package let bias: Buffer
    package let decay: Matrix
    package let strength: Matrix

    /// Puts gates together.
    package init(
        a: Matrix, b: Matrix?, rate: Buffer, bias: Buffer, decay: Matrix, strength: Matrix
    ) {
        self.a = a
        self.b = b
        self.rate = rate
        self.bias = bias
        self.decay = decay
        self.strength = strength
    }
}

/// A convolution of each of some columns over a row and those before it: y[t][c] = sum of weight[c][j] x[t - taps + 1 + j][c].
package struct RowConvolution: @unchecked Sendable {
    /// Most rows that a convolution sees.
    package static let mostTaps = Int(EFT_MOST_TAPS)

    /// Rows of one sequence.
    package let x: Matrix
    /// The columns of x.
    package let columns: Range<Int>
    /// Rows that a row of the result sees.
    package let taps: Int
    /// `[columns of x][taps]`.
    package let weight: Buffer
    /// The `taps - 1` rows before x, as wide; zeros when nil.
    package let before: UnsafePointer<Float>?

    /// Describes a convolution.
    package init(
        _ x: Matrix, columns: Range<Int>, taps: Int, weight: Buffer,
        before: UnsafePointer<Float>? = nil
    ) {
        precondition(columns.lowerBound >= 0 && columns.upperBound <= x.columns)
        precondition(taps > 0 && taps <= RowConvolution.mostTaps)
        precondition(weight.floatCount == x.columns * taps)
        self.x = x
        self.columns = columns
        self.taps = taps
        self.weight = weight
        self.before = before
    }
}

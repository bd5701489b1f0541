// SPDX-License-Identifier: Apache-2.0
// A state-space layer in the place of attention: the states of heads take the place of keys and values (Mamba 2).
import EftTensor

/// The widths of a state-space layer. In the words of the gated delta rule, whose step it shares: B are its keys, C its
/// queries, x its values.
package struct StateSpaceShape: Sendable, Hashable {
    /// Groups of B and C as heads of keys, heads of x, and their widths.
    package var rule: DeltaShape
    /// Rows that the convolution before it sees.
    package var taps: Int
    /// Whether the convolution has a bias.
    package var hasBias: Bool

    /// States widths.
    package init(groups: Int, heads: Int, stateDim: Int, headDim: Int, taps: Int, hasBias: Bool) {
        precondition(taps > 0 && taps <= RowConvolution.mostTaps)
        rule = DeltaShape(
            keyHeads: groups, valueHeads: heads, keyDim: stateDim, valueDim: headDim, adds: true)
        self.taps = taps
        self.hasBias = hasBias
    }

    /// Numbers of x, of the gate, and of what the last product reads.
    package var width: Int { rule.valueHeads * rule.valueDim }
    /// Numbers of all groups of B, or of C.
    package var keyWidth: Int { rule.keyHeads * rule.keyDim }
    /// Numbers of x, B and C, which the convolution sees.
    package var mixedWidth: Int { width + 2 * keyWidth }
    /// Numbers of the first product: the gate, what the convolution sees, a step of each head.
    package var productWidth: Int { width + mixedWidth + rule.valueHeads }
    /// Columns of x, B and C among those that the convolution sees.
    var parts: [Range<Int>] {
        [0..<width, width..<width + keyWidth, width + keyWidth..<mixedWidth]
    }

    /// Numbers that a layer keeps of a sequence: the states of all heads, then the last rows that the convolution saw.
    package var stateFloats: Int { rule.stateFloats + (taps - 1) * mixedWidth }
}

/// The parts of a state-space layer before its last product.
package struct StateSpace: Sendable {
    /// One product for all.
    let product: Linear
    /// `[mixedWidth][taps]`, and what is added to its sums.
    let convolution: TrainedVector
    let convolutionBias: TrainedVector?
    /// The logarithm of each head's rate of decay, and what is added to its steps.
    let rate: TrainedVector
    let bias: TrainedVector
    /// How much of x itself each head adds.
    let skip: TrainedVector
    /// Of the weighed values.
    let norm: Norm

    /// Puts the parts together.
    package init(
        product: Linear, convolution: TrainedVector, convolutionBias: TrainedVector?,
        rate: TrainedVector, bias: TrainedVector, skip: TrainedVector, norm: Norm
    ) {
        self.product = product
        self.convolution = convolution
        self.convolutionBias = convolutionBias
        self.rate = rate
        self.bias = bias
        self.skip = skip
        self.norm = norm
    }

    /// What is neither a linear layer nor a norm.
    var vectors: [TrainedVector] {
        [convolution, convolutionBias, rate, bias, skip].compactMap { $0 }
    }
}

/// What a state-space layer computes on the way.
final class StateSpaceActivations: Sendable {
    /// The first product's value; its gradient in the backward pass.
    let whole: Matrix
    /// The parts of it in places of their own; their gradients in the backward pass.
    let gate: Matrix
    let mixed: Matrix
    let step: Matrix
    /// What the rule reads and gives.
    let rule: RuleActivations
    /// That weighed, and what the last product reads.
    let weighed: Matrix
    let values: Matrix

    static func byteCount(rows: Int, _ shape: DecoderShape, backward: Bool) -> Int {
        guard let space = shape.mixer?.space else { return 0 }
        let always = 2 * space.productWidth
        let kept = backward ? 2 * space.width : 0
        return rows * (always + kept) * 4
            + RuleActivations.byteCount(rows: rows, space.rule, backward: backward)
    }

    init?(
        rows: Int, _ shape: DecoderShape, backward: Bool, ledger: MemoryLedger?,
        residency: Buffer.Residency
    ) throws(TensorError) {
        guard let space = shape.mixer?.space else { return nil }
        func matrix(_ columns: Int) throws(TensorError) -> Matrix {
            try Matrix(rows: rows, columns: columns, ledger: ledger, residency: residency)
        }
        whole = try matrix(space.productWidth)
        gate = try matrix(space.width)
        mixed = try matrix(space.mixedWidth)
        step = try matrix(space.rule.valueHeads)
        rule = try RuleActivations(
            rows: rows, space.rule, backward: backward, ledger: ledger, residency: residency)
        weighed = backward ? try matrix(space.width) : gate
        values = backward ? try matrix(space.width) : gate
    }
}

// SPDX-License-Identifier: Apache-2.0
// Linear attention: a state of each head takes the place of keys and values (gated delta rule; Qwen 3 Next).
import EftTensor

/// The widths of linear attention.
package struct LinearAttentionShape: Sendable, Hashable {
    /// Heads and their widths.
    package var delta: DeltaShape
    /// Rows that the convolution before it sees.
    package var taps: Int
    /// Whether one product holds queries, keys, values and their gates of each key head, and another one both gates of the
    /// rule; each has one of its own otherwise.
    package var isGrouped: Bool

    /// States widths.
    package init(delta: DeltaShape, taps: Int, isGrouped: Bool) {
        precondition(taps > 0 && taps <= RowConvolution.mostTaps)
        self.delta = delta
        self.taps = taps
        self.isGrouped = isGrouped
    }

    /// Numbers of all queries, or all keys.
    package var keyWidth: Int { delta.keyHeads * delta.keyDim }
    /// Numbers of all values.
    package var valueWidth: Int { delta.valueHeads * delta.valueDim }
    /// Numbers of queries, keys and values, which the convolution sees.
    package var mixedWidth: Int { 2 * keyWidth + valueWidth }
    /// Columns of queries, keys and values among them.
    var parts: [Range<Int>] {
        [0..<keyWidth, keyWidth..<2 * keyWidth, 2 * keyWidth..<mixedWidth]
    }

    /// Numbers that a layer keeps of a sequence: the states of all heads, then the last rows that the convolution saw.
    package var stateFloats: Int { delta.stateFloats + (taps - 1) * mixedWidth }
}

/// Numbers of a layer that are neither a matrix nor a norm. Changed only while a model is put together, hence unchecked.
package final class TrainedVector: @unchecked Sendable {
    /// The path in the checkpoint.
    package let name: String
    /// The numbers.
    package let values: Buffer
    /// Whether weight decay applies.
    package let decays: Bool
    /// The trainable view, in full training.
    package private(set) var parameter: Parameter?

    /// Wraps numbers.
    package init(name: String, values: Buffer, decays: Bool) {
        self.name = name
        self.values = values
        self.decays = decays
    }

    /// Takes memory for the gradient.
    /// - Throws: `TensorError` when it does not fit the ledger.
    package func makeTrainable(ledger: MemoryLedger?) throws(TensorError) {
        parameter = try Parameter(name: name, value: values, decays: decays, ledger: ledger)
    }
}

/// The parts of linear attention before its last product.
package struct LinearAttention: Sendable {
    /// The products.
    package enum Projections: Sendable {
        /// Queries, keys, values and their gates, key head by key head; both gates of the rule likewise.
        case grouped(states: Linear, gates: Linear)
        /// Queries, keys and values; the values' gates; strength; decay.
        case apart(mixed: Linear, gate: Linear, strength: Linear, decay: Linear)
    }

    let projections: Projections
    /// `[mixedWidth][taps]`.
    let convolution: TrainedVector
    /// The logarithm of each head's rate of decay.
    let rate: TrainedVector
    /// Added to what decay is made from.
    let bias: TrainedVector
    /// Of each head's values.
    let norm: Norm
    /// Norms without numbers of their own: heads of queries and keys get length one, queries the scale of scores too.
    private let queryUnit: Norm
    private let keyUnit: Norm

    /// Added to the squares of a head whose length becomes one.
    private static let unitEpsilon: Float = 1e-6

    /// Puts the parts together.
    /// - Throws: `TensorError` when the machine has no memory left.
    package init(
        _ shape: LinearAttentionShape, projections: Projections, convolution: TrainedVector,
        rate: TrainedVector, bias: TrainedVector, norm: Norm
    ) throws(TensorError) {
        self.projections = projections
        self.convolution = convolution
        self.rate = rate
        self.bias = bias
        self.norm = norm
        let width = Float(shape.delta.keyDim)
        func unit(_ factor: Float) throws(TensorError) -> Norm {
            let weight = try Buffer(
                byteCount: shape.delta.keyDim * 4, ledger: nil, purpose: .weights)
            weight.floats.update(repeating: factor, count: weight.floatCount)
            return Norm(name: "unit", epsilon: LinearAttention.unitEpsilon / width, weight: weight)
        }
        keyUnit = try unit(1 / width.squareRoot())
        queryUnit = try unit(1 / width)
    }

    /// The linear layers, in the order of the computation; all read the states.
    var linears: [Linear] {
        switch projections {
        case .grouped(let states, let gates): [states, gates]
        case .apart(let mixed, let gate, let strength, let decay): [mixed, gate, strength, decay]
        }
    }

    /// What is neither a linear layer nor a norm.
    var vectors: [TrainedVector] { [convolution, rate, bias] }

    var units: [Norm] { [queryUnit, keyUnit] }
}

/// What linear attention computes on the way.
final class LinearActivations: Sendable {
    /// Values of products that hold several, where they do; their gradients in the backward pass.
    let states: Matrix?
    let gates: Matrix?
    /// Queries, keys and values before the convolution; their gradient in the backward pass.
    let mixed: Matrix
    /// What weighs the values; its gradient in the backward pass.
    let gate: Matrix
    /// What decay and strength are made from; their gradients in the backward pass.
    let decaySource: Matrix
    let strengthSource: Matrix
    /// Queries and keys behind the convolution, before their heads get length one.
    let plainQuery: Matrix
    let plainKey: Matrix
    /// What the rule reads and gives.
    let rule: RuleActivations
    /// What it gives, normed, and weighed.
    let normed: Matrix
    let values: Matrix

    static func byteCount(rows: Int, _ shape: DecoderShape, backward: Bool) -> Int {
        guard let linear = shape.mixer?.delta else { return 0 }
        let (keys, values, heads) = (linear.keyWidth, linear.valueWidth, linear.delta.valueHeads)
        let grouped = linear.isGrouped ? linear.mixedWidth + values + 2 * heads : 0
        let always = grouped + linear.mixedWidth + values + 2 * heads
        // Plain heads, normed and weighed values have places of their own.
        let kept = backward ? 2 * keys + 2 * values : 0
        return rows * (always + kept) * 4
            + RuleActivations.byteCount(rows: rows, linear.delta, backward: backward)
    }

    init?(
        rows: Int, _ shape: DecoderShape, backward: Bool, ledger: MemoryLedger?,
        residency: Buffer.Residency
    ) throws(TensorError) {
        guard let linear = shape.mixer?.delta else { return nil }
        func matrix(_ columns: Int) throws(TensorError) -> Matrix {
            try Matrix(rows: rows, columns: columns, ledger: ledger, residency: residency)
        }
        let heads = linear.delta.valueHeads
        states = linear.isGrouped ? try matrix(linear.mixedWidth + linear.valueWidth) : nil
        gates = linear.isGrouped ? try matrix(2 * heads) : nil
        mixed = try matrix(linear.mixedWidth)
        gate = try matrix(linear.valueWidth)
        decaySource = try matrix(heads)
        strengthSource = try matrix(heads)
        rule = try RuleActivations(
            rows: rows, linear.delta, backward: backward, ledger: ledger, residency: residency)
        values = backward ? try matrix(linear.valueWidth) : gate
        plainQuery = backward ? try matrix(linear.keyWidth) : rule.rows.query
        plainKey = backward ? try matrix(linear.keyWidth) : rule.rows.key
        normed = backward ? try matrix(linear.valueWidth) : rule.core
    }
}

// SPDX-License-Identifier: Apache-2.0
// The fake quantization of a weight that is trained, and of what it multiplies.
import EftTensor

/// A second copy of an f32 weight, rounded to 4 bits by groups of inputs, which is computed with in place of the weight.
///
/// The weight itself is what an optimizer changes; the copy follows by `refill`. Rounding is torchao's
/// `Int4WeightFakeQuantizer` for activations in 16 bits, and that of inputs its 8 bits a token with a zero point.
/// Changed only between passes, hence unchecked.
package final class FakeQuantizer: @unchecked Sendable {
    /// The weight that is trained.
    package let source: PackedWeight
    /// Inputs of a group.
    package let group: Int
    /// Whether the inputs of products are rounded too.
    package let roundsInputs: Bool
    /// Whether it is in use; a weight is computed with as it is otherwise.
    package private(set) var isOn = false
    private let rounded: PackedWeight
    private let backend: any Backend

    /// Takes memory for the copy.
    /// - Throws: `TensorError` when it does not fit the ledger.
    package init(
        _ source: PackedWeight, group: Int, roundsInputs: Bool, _ backend: any Backend
    ) throws(TensorError) {
        precondition(source.layout.format == .f32, "weights that are trained are held in f32")
        self.source = source
        self.group = group
        self.roundsInputs = roundsInputs
        self.backend = backend
        rounded = try PackedWeight(layout: source.layout, ledger: backend.ledger)
    }

    /// What is computed with.
    package var weight: PackedWeight { isOn ? rounded : source }

    /// Takes it in or out of use.
    package func turn(on isOn: Bool) {
        self.isOn = isOn
        refill()
    }

    /// Brings the copy up to date when it is in use, after the weight has changed.
    package func refill() {
        if isOn { backend.fakeInt4(source, group: group, into: rounded) }
    }

    /// Turns the gradient of the copy into that of the weight, once all of it is added up.
    package func finish(_ gradient: Buffer) {
        if isOn { backend.fakeInt4Backward(source, group: group, gradient: gradient) }
    }

    /// Makes gradients `[rows.count][K]` of rows that are taken from the weight as it is such that `finish` gives them back.
    package func excuse(_ gradients: Matrix, rows: [Int32]) {
        guard isOn else { return }
        backend.fakeInt4Inverse(source, group: group, rows: rows, gradients: gradients)
    }

    /// x, or what it is rounded to in memory of the pass.
    func input(_ x: Matrix, _ pass: Pass) -> Matrix {
        guard isOn, roundsInputs else { return x }
        let target = pass.adapterScratch.changed(rows: x.rows, columns: x.columns)
        pass.backend.fakeInt8(x, into: target)
        return target
    }

    /// From the gradient of the rounded x to that of x, in place.
    func finishInput(_ x: Matrix, gradient: Matrix, _ pass: Pass) {
        if isOn, roundsInputs { pass.backend.fakeInt8Backward(x, gradient: gradient) }
    }
}

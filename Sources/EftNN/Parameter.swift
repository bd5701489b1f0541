// SPDX-License-Identifier: Apache-2.0
// What an optimizer changes.
import EftTensor

/// A trainable f32 tensor with its gradient.
///
/// Only one thread changes it at a time (the trainer between steps, a layer's backward during one), hence unchecked.
package final class Parameter: @unchecked Sendable {
    /// The name under which it is saved.
    package let name: String
    /// Values.
    package let value: Buffer
    /// The gradient, of the same size, summed over the micro-batches of a step.
    package let gradient: Buffer
    /// Whether weight decay applies; not for norms and biases, as the Hugging Face trainer does.
    package let decays: Bool

    /// Wraps values, and takes memory for the gradient.
    /// - Throws: `TensorError` when the gradient does not fit the ledger.
    package init(name: String, value: Buffer, decays: Bool, ledger: MemoryLedger?)
        throws(TensorError)
    {
        self.name = name
        self.value = value
        self.decays = decays
        gradient = try Buffer(byteCount: value.byteCount, ledger: ledger, purpose: .gradients)
    }

    /// Sets the gradient to zero.
    package func zeroGradient() {
        gradient.floats.update(repeating: 0, count: gradient.floatCount)
    }
}

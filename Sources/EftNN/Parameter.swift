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
    /// Rows and columns, and how the numbers stand in memory.
    package let shape: ParameterShape
    /// Whether weight decay applies; not for norms and biases, as the Hugging Face trainer does.
    package let decays: Bool

    /// Whether gradients are computed; they are those of zero otherwise.
    package var isActive = true

    /// Ranges of the gradient that stay zero: numbers at the same place of each of several runs.
    private var frozen: [Frozen] = []

    /// Wraps values, and takes memory for the gradient.
    /// - Parameter shape: a vector when nil.
    /// - Throws: `TensorError` when the gradient does not fit the ledger.
    package init(
        name: String, value: Buffer, shape: ParameterShape? = nil, decays: Bool,
        ledger: MemoryLedger?
    ) throws(TensorError) {
        let shape = shape ?? .vector(value.floatCount)
        precondition(shape.storedCount == value.floatCount, "a shape of other numbers")
        self.name = name
        self.value = value
        self.shape = Parameter.isOfVocabulary(name) ? shape.ofVocabulary : shape
        self.decays = decays
        gradient = try Buffer(byteCount: value.byteCount, ledger: ledger, purpose: .gradients)
    }

    /// Wraps values and a gradient that stand somewhere already.
    package init(name: String, value: Buffer, gradient: Buffer, shape: ParameterShape) {
        precondition(shape.storedCount == value.floatCount && value.byteCount == gradient.byteCount)
        (self.name, self.value, self.gradient, self.shape) = (name, value, gradient, shape)
        decays = false
    }

    /// Wraps a matrix of an adapter, and takes memory for the gradient.
    /// - Throws: `TensorError` when the gradient does not fit the ledger.
    package convenience init(
        name: String, matrix: Matrix, ledger: MemoryLedger?
    ) throws(TensorError) {
        try self.init(
            name: name, value: matrix.buffer,
            shape: .matrix(rows: matrix.rows, columns: matrix.columns), decays: true, ledger: ledger
        )
    }

    /// What checkpoints call an embedding.
    package static let embeddingNames: Set = [
        "embed_tokens", "embed_in", "word_embeddings", "wte", "tok_embeddings",
    ]
    /// What checkpoints call a head.
    package static let headNames: Set = ["lm_head", "embed_out", "output"]

    /// Whether a parameter belongs to an embedding or a head, by the names that they have in checkpoints.
    package static func isOfVocabulary(_ name: String) -> Bool {
        let parts = name.split(separator: ".").map(String.init)
        // Inside decoder layers an output is another one.
        let isInside = parts.contains { $0.utf8.allSatisfy { $0 >= 0x30 && $0 <= 0x39 } }
        return !isInside && parts.contains { embeddingNames.contains($0) || headNames.contains($0) }
    }

    /// The gradient, where it is computed.
    var activeGradient: Buffer? { isActive ? gradient : nil }

    /// Sets the gradient to zero.
    package func zeroGradient() {
        gradient.floats.update(repeating: 0, count: gradient.floatCount)
    }

    /// Numbers of a row: `count` of them, `stride` apart.
    private struct Frozen {
        let first: Int
        let stride: Int
        let count: Int
    }

    /// Keeps numbers as they are but for weight decay: `count` of them, `stride` apart.
    package func freeze(from first: Int, stride: Int, count: Int) {
        precondition(first >= 0 && first + (count - 1) * stride < gradient.floatCount)
        frozen.append(Frozen(first: first, stride: stride, count: count))
    }

    /// Sets the gradient of what is frozen to zero.
    package func clearFrozenGradient() {
        for row in frozen {
            for place in 0..<row.count { gradient.floats[row.first + place * row.stride] = 0 }
        }
    }
}

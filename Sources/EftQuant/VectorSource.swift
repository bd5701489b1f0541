// SPDX-License-Identifier: Apache-2.0
// Vectors of a checkpoint: norms and biases.
import EftFormats
import EftTensor

/// Loads vectors of real numbers as f32.
package enum VectorSource {
    /// Reads a vector of any type of real numbers.
    /// - Parameters:
    ///   - name: the tensor's whole name.
    ///   - count: the number of elements that the model expects.
    /// - Throws: `FormatError` (also for infinite or NaN values), `TensorError` when memory does not suffice.
    package static func load(
        _ name: String, count: Int, checkpoint: any CheckpointReader, ledger: MemoryLedger?,
        purpose: MemoryPurpose = .weights
    ) throws -> Buffer {
        try load(
            name, shape: [count], checkpoint: checkpoint, ledger: ledger, purpose: purpose)
    }

    /// Reads all numbers of a tensor of a shape.
    /// - Throws: as the form for vectors.
    package static func load(
        _ name: String, shape: [Int], checkpoint: any CheckpointReader, ledger: MemoryLedger?,
        purpose: MemoryPurpose = .weights
    ) throws -> Buffer {
        let info = try checkpoint.tensor(name)
        let count = shape.reduce(1, *)
        guard info.shape.dims == shape else {
            throw FormatError(
                .damaged,
                "has shape \(info.shape), but the model's config.json asks for \(shape)",
                path: checkpoint.path, tensor: name)
        }
        let buffer = try Buffer(byteCount: count * 4, ledger: ledger, purpose: purpose)
        let values = UnsafeMutableBufferPointer(start: buffer.floats, count: count)
        try checkpoint.readFloats(name, elements: 0..<count, into: values)
        guard values.allSatisfy(\.isFinite) else {
            throw FormatError(
                .damaged, "holds infinite or NaN values", path: checkpoint.path, tensor: name)
        }
        return buffer
    }

    /// Reads a vector into a backend's memory.
    /// - Throws: as the form with a ledger.
    package static func load(
        _ name: String, count: Int, checkpoint: any CheckpointReader, backend: CPUBackend
    ) throws -> Buffer {
        try load(name, count: count, checkpoint: checkpoint, ledger: backend.ledger)
    }
}

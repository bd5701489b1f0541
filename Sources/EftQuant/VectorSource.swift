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
        let info = try checkpoint.tensor(name)
        guard info.shape.dims == [count] else {
            throw FormatError(
                .damaged,
                "has shape \(info.shape), but the model's config.json asks for [\(count)]",
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

// SPDX-License-Identifier: Apache-2.0
// A checkpoint together with what its folder says about its quantized weights.
import EftTensor

/// A checkpoint whose folder describes the form of its weights; its tensors are the stored ones.
package final class QuantizedCheckpoint: CheckpointView {
    package let base: any CheckpointReader
    package let quantization: StoredQuantization?

    /// Puts a description beside a checkpoint.
    package init(_ base: any CheckpointReader, _ quantization: StoredQuantization) {
        self.base = base
        self.quantization = quantization
    }

    package func find(_ name: String) -> TensorInfo? { base.find(name) }

    package func read(
        _ name: String, bytes range: Range<Int>, into target: UnsafeMutableRawBufferPointer
    ) throws(FormatError) {
        try base.read(name, bytes: range, into: target)
    }

    package func withBytes<R>(
        of name: String, _ body: (UnsafeRawBufferPointer) throws -> R
    ) throws -> R {
        try base.withBytes(of: name, body)
    }

    package func releasePages(of name: String) { base.releasePages(of: name) }

    package func place(of name: String) -> (path: String, bytes: Range<Int>)? {
        base.place(of: name)
    }
}

// SPDX-License-Identifier: Apache-2.0
// The scales of NF4 blocks, plain or quantized a second time.
import CEftKernels
import EftFormats
import EftTensor

/// Scales that were quantized to 8 bits: scale = map[code] * absmax of its block + offset, in f32.
package struct NF4NestedScales: Sendable {
    /// Codes [blocks].
    package let codes: Buffer
    /// Largest magnitudes [ceil(blocks / 256)], f32.
    package let absmax: Buffer
    /// What was subtracted from all scales: their mean.
    package let offset: Float
    /// Number of scales.
    package let count: Int

    /// Bytes that the codes and magnitudes of `count` scales take.
    static func byteCount(_ count: Int) -> Int {
        count + NF4Format.blocks(count, size: NF4Format.nestedBlockSize) * 4
    }

    /// Quantizes scales as bitsandbytes does, and puts what they decode to in their place.
    /// - Parameter scales: f32 [count], overwritten.
    /// - Throws: `TensorError` when memory does not suffice.
    package init(
        replacing scales: Buffer, count: Int, backend: CPUBackend
    ) throws(TensorError) {
        let values = scales.floats
        var sum = 0.0
        for index in 0..<count { sum += Double(values[index]) }
        let offset = Float(sum / Double(max(count, 1)))
        let size = NF4Format.nestedBlockSize
        let blocks = NF4Format.blocks(count, size: size)
        codes = try Buffer(byteCount: count, ledger: backend.ledger, purpose: .workspace)
        absmax = try Buffer(byteCount: blocks * 4, ledger: backend.ledger, purpose: .workspace)
        self.offset = offset
        self.count = count
        for index in 0..<count { values[index] -= offset }
        let map = NF4Format.nestedMap
        let codePointer = codes.base.assumingMemoryBound(to: UInt8.self)
        map.withUnsafeBufferPointer {
            eft_blockwise8_quantize(
                backend.context, count, size, $0.baseAddress, values, codePointer, absmax.floats)
        }
        for index in 0..<count {
            // Two roundings, as bitsandbytes rounds the product and the sum separately.
            let product = map[Int(codePointer[index])] * absmax.floats[index / size]
            values[index] = product + offset
        }
    }
}

/// The scales of a stored NF4 weight, decoded by ranges.
struct NF4StoredScales: Sendable {
    /// How scales were quantized a second time.
    struct Nested: Sendable {
        /// The values of the 256 codes.
        let map: [Float]
        /// Largest magnitude of each block.
        let absmax: [Float]
        /// Scales in a block.
        let blockSize: Int
        /// Added to every scale.
        let offset: Float
    }

    /// The tensor of scales: real numbers of any type, or u8 codes.
    let info: TensorInfo
    let checkpoint: any CheckpointReader
    let nested: Nested?

    /// Decodes the scales of `blocks`; `target` has a place for each.
    /// - Throws: `FormatError`, also when one is infinite or NaN.
    func read(
        _ blocks: Range<Int>, into target: UnsafeMutableBufferPointer<Float>
    ) throws(FormatError) {
        guard let nested else {
            try checkpoint.readFloats(info.name, elements: blocks, into: target)
            return try requireFinite(target)
        }
        // The codes are read into the end of the target, ahead of the scales that grow over them.
        let raw = UnsafeMutableRawBufferPointer(target)
        let start = raw.count - blocks.count
        try checkpoint.read(
            info.name, bytes: blocks,
            into: UnsafeMutableRawBufferPointer(rebasing: raw[start...]))
        for (index, block) in blocks.enumerated() {
            let code = Int(raw[start + index])
            let product = nested.map[code] * nested.absmax[block / nested.blockSize]
            target[index] = product + nested.offset
        }
        try requireFinite(target)
    }

    private func requireFinite(_ values: UnsafeMutableBufferPointer<Float>) throws(FormatError) {
        guard values.allSatisfy(\.isFinite) else {
            throw FormatError(
                .damaged, "the scales hold infinite or NaN values", path: checkpoint.path,
                tensor: info.name)
        }
    }
}

// SPDX-License-Identifier: Apache-2.0
// Tensors of random bits, made as a stream: their size is never in memory.
import EftFormats
import EftPlanning
import EftTensor

/// A tensor and what fills it.
struct RandomTensor {
    /// What the bytes are.
    enum Content {
        /// Any bits.
        case bits
        /// 16-bit numbers of magnitude 0.02 or so (`RandomWeights.numbers`).
        case numbers
        /// These bytes over and over.
        case repeating([UInt8])
    }

    let info: TensorInfo
    let content: Content

    init(_ name: String, _ dtype: DType, _ shape: [Int], _ content: Content) throws {
        info = try TensorInfo(name: name, dtype: dtype, shape: Shape(checking: shape))
        self.content = content
    }

    /// Raised whenever the same name comes to give other bytes, so that half a folder is not finished with them.
    static let version = "1"

    /// Bytes written at a time.
    static let chunkBytes = 4 << 20

    /// Writes all bytes; random ones depend on the name alone.
    func write(
        to writer: SafetensorsWriter, buffer: Buffer, checkpoint: () throws -> Void
    ) throws {
        var state = SplitMix64(named: info.name)
        var left = info.byteCount
        if case .repeating(let bytes) = content { fill(buffer, repeating: bytes) }
        while left > 0 {
            try checkpoint()
            let count = min(left, buffer.byteCount)
            switch content {
            case .bits: fill(buffer, count, &state) { $0 }
            case .numbers:
                let isHalf = info.dtype == .f16
                fill(buffer, count, &state) { RandomWeights.numbers($0, isHalf: isHalf) }
            case .repeating: break
            }
            try writer.write(
                info.name,
                UnsafeRawBufferPointer(rebasing: UnsafeRawBufferPointer(buffer.bytes)[..<count]))
            left -= count
        }
    }

    private func fill(
        _ buffer: Buffer, _ count: Int, _ state: inout SplitMix64, _ shape: (UInt64) -> UInt64
    ) {
        let words = buffer.base.assumingMemoryBound(to: UInt64.self)
        for index in 0..<(count + 7) / 8 { words[index] = shape(state.next()) }
    }

    /// A pattern's length divides the buffer's.
    private func fill(_ buffer: Buffer, repeating pattern: [UInt8]) {
        for index in 0..<min(buffer.byteCount, roundUp(info.byteCount, to: pattern.count)) {
            buffer.bytes[index] = pattern[index % pattern.count]
        }
    }
}

extension SplitMix64 {
    /// A sequence that depends on a name alone (FNV-1a).
    fileprivate init(named name: String) {
        self.init(
            seed: name.utf8.reduce(0xcbf2_9ce4_8422_2325) { ($0 ^ UInt64($1)) &* 0x100_0000_01b3 })
    }
}

// SPDX-License-Identifier: Apache-2.0
// LZ4's frames, of which Arrow makes one a buffer.

/// LZ4's frame format (https://github.com/lz4/lz4/blob/dev/doc/lz4_Frame_format.md).
///
///     magic (UInt32) · flags · block size · [content size (UInt64)] · check · blocks · 0 (UInt32) · [check (UInt32)]
///
/// Checks are passed over: what they would find shows in the rows, or in the size.
enum LZ4Frame {
    private static let magic = 0x184D_2204

    /// Decompresses; nil when the bytes are no whole frame of the size.
    static func decompress(_ source: UnsafeRawBufferPointer, size: Int) -> [UInt8]? {
        guard LZ4Block.canBecome(size, from: source.count) else { return nil }
        var input = BlockReader(source)
        // Dictionaries come from elsewhere, and other versions than the first there are none.
        guard input.integer(bytes: 4) == magic, let flags = input.byte(), flags >> 6 == 1,
            flags & 1 == 0, input.byte() != nil
        else { return nil }
        if flags & 0b1000 != 0, input.integer(bytes: 8) != size { return nil }
        guard input.byte() != nil else { return nil }
        var output = BlockWriter(size)
        while let head = input.integer(bytes: 4) {
            if head == 0 {
                if flags & 0b100 != 0, input.take(4) == nil { return nil }
                return input.isAtEnd ? output.finished : nil
            }
            guard let block = input.take(head & 0x7FFF_FFFF) else { return nil }
            if head >> 31 == 1 {
                guard output.append(block) else { return nil }
            } else {
                // A block may repeat what stands in the blocks before it.
                let bytes = UnsafeRawBufferPointer(rebasing: block)
                guard LZ4Block.decompress(bytes, into: &output) else { return nil }
            }
            if flags & 0b10000 != 0, input.take(4) == nil { return nil }
        }
        return nil
    }
}

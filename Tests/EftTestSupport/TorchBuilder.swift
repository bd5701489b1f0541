// SPDX-License-Identifier: Apache-2.0
// PyTorch checkpoints and zip archives put together byte by byte, right ones and others.

/// Little-endian fields one after the other.
package struct ByteBuilder: Sendable {
    /// The bytes so far.
    package private(set) var bytes: [UInt8] = []

    /// Begins with nothing.
    package init() {}

    /// Adds bytes.
    package mutating func add(_ more: some Sequence<UInt8>) { bytes += more }

    /// Adds an integer.
    package mutating func add(_ value: some FixedWidthInteger) {
        withUnsafeBytes(of: value.littleEndian) { bytes += $0 }
    }
}

/// A zip archive of stored entries.
package struct ZipBuilder: Sendable {
    private var file = ByteBuilder()
    private var directory = ByteBuilder()
    private var count = 0

    /// Begins with nothing.
    package init() {}

    /// Adds an entry.
    /// - Parameters:
    ///   - claimed: the size that the directory says the content has.
    ///   - method: 0 stored, 8 deflated.
    package mutating func add(
        _ name: String, _ data: [UInt8], claimed: UInt32? = nil, method: UInt16 = 0
    ) {
        let offset = UInt32(file.bytes.count)
        let (size, stored) = (claimed ?? UInt32(data.count), UInt32(data.count))
        // Stored entries are read without a look at it.
        let sum: UInt32 = 0
        let nameCount = UInt16(name.utf8.count)
        file.add(UInt32(0x0403_4B50))
        for field in [20, 0, method, 0, 0] as [UInt16] { file.add(field) }
        for field in [sum, stored, size] { file.add(field) }
        file.add(nameCount)
        file.add(UInt16(0))
        file.add(name.utf8)
        file.add(data)
        directory.add(UInt32(0x0201_4B50))
        for field in [20, 20, 0, method, 0, 0] as [UInt16] { directory.add(field) }
        for field in [sum, stored, size] { directory.add(field) }
        for field in [nameCount, 0, 0, 0, 0] { directory.add(field) }
        directory.add(UInt32(0))
        directory.add(offset)
        directory.add(name.utf8)
        count += 1
    }

    /// The whole file.
    package func finished() -> [UInt8] {
        var result = file
        let start = UInt32(file.bytes.count)
        result.add(directory.bytes)
        result.add(UInt32(0x0605_4B50))
        for field in [0, 0, UInt16(clamping: count), UInt16(clamping: count)] as [UInt16] {
            result.add(field)
        }
        result.add(UInt32(directory.bytes.count))
        result.add(start)
        result.add(UInt16(0))
        return result.bytes
    }
}

/// The pickle of a state dict, operation by operation.
package struct PickleBuilder: Sendable {
    private var file = ByteBuilder()

    /// Begins with the protocol.
    package init() { file.add([0x80, 2]) }

    /// The bytes with the end behind them.
    package var finished: [UInt8] { file.bytes + [UInt8(ascii: ".")] }

    /// Adds operations as they are.
    package mutating func add(_ operations: some Sequence<UInt8>) { file.add(operations) }

    /// Adds operations again and again.
    package mutating func add(_ operations: [UInt8], times: Int) {
        // Doubled, because millions of small steps take long in a build for debugging.
        var many = operations
        while many.count < operations.count * times { many += many }
        file.add(many.prefix(operations.count * times))
    }

    /// Adds a text, of which `claimed` bytes are said to follow.
    package mutating func text(_ text: String, claimed: UInt32? = nil) {
        file.add([UInt8(ascii: "X")])
        file.add(claimed ?? UInt32(text.utf8.count))
        file.add(text.utf8)
    }

    /// Adds an integer of 32 bits.
    package mutating func integer(_ value: Int32) {
        file.add([UInt8(ascii: "J")])
        file.add(value)
    }

    /// Adds a tuple of integers.
    package mutating func tuple(_ values: [Int32]) {
        file.add([UInt8(ascii: "(")])
        for value in values { integer(value) }
        file.add([UInt8(ascii: "t")])
    }

    /// Adds a tensor over the storage `key` of `count` numbers, of f32 unless another type of storage is named.
    package mutating func tensor(
        key: String, count: Int32, offset: Int32 = 0, shape: [Int32], strides: [Int32],
        storage: String = "FloatStorage"
    ) {
        file.add("ctorch._utils\n_rebuild_tensor_v2\n((".utf8)
        text("storage")
        file.add("ctorch\n\(storage)\n".utf8)
        text(key)
        text("cpu")
        integer(count)
        file.add("tQ".utf8)
        integer(offset)
        tuple(shape)
        tuple(strides)
        file.add([0x89])
        file.add("ccollections\nOrderedDict\n)RtR".utf8)
    }

    /// Wraps everything in an archive as torch.save writes it.
    package func archive(_ storages: [(key: String, data: [UInt8])] = []) -> [UInt8] {
        var zip = ZipBuilder()
        zip.add("archive/data.pkl", finished)
        for storage in storages { zip.add("archive/data/\(storage.key)", storage.data) }
        return zip.finished()
    }
}

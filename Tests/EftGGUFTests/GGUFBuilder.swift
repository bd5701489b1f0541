// SPDX-License-Identifier: Apache-2.0
// GGUF files written piece by piece, right or wrong.
import EftGGUF

/// Writes a GGUF file; every number can be made to lie.
struct GGUFBuilder {
    /// A tensor's entry, and the bytes that stand where it says.
    struct Tensor {
        var name = "t"
        var dims: [UInt64] = [32]
        var type: UInt32 = 0
        var offset: UInt64?
        var data: [UInt8] = []
    }

    var magic = Array("GGUF".utf8)
    var version: UInt32 = 3
    var alignment = 32
    var tensorCount: UInt64?
    var entryCount: UInt64?
    /// Keys with the bytes of type and value.
    var entries: [(key: String, value: [UInt8])] = []
    var tensors: [Tensor] = []

    static func bytes<T: FixedWidthInteger>(_ value: T) -> [UInt8] {
        withUnsafeBytes(of: value.littleEndian) { Array($0) }
    }

    static func string(_ text: String) -> [UInt8] {
        bytes(UInt64(text.utf8.count)) + Array(text.utf8)
    }

    mutating func add(_ key: String, _ text: String) {
        entries.append((key, Self.bytes(UInt32(8)) + Self.string(text)))
    }

    mutating func add(_ key: String, _ number: UInt32) {
        entries.append((key, Self.bytes(UInt32(4)) + Self.bytes(number)))
    }

    mutating func add(_ key: String, _ texts: [String]) {
        entries.append(
            (
                key,
                Self.bytes(UInt32(9)) + Self.bytes(UInt32(8)) + Self.bytes(UInt64(texts.count))
                    + texts.flatMap(Self.string)
            ))
    }

    /// The file.
    func file() -> [UInt8] {
        var file = magic + Self.bytes(version)
        file += Self.bytes(tensorCount ?? UInt64(tensors.count))
        file += Self.bytes(entryCount ?? UInt64(entries.count))
        for entry in entries { file += Self.string(entry.key) + entry.value }
        var offset = 0
        for tensor in tensors {
            file += Self.string(tensor.name) + Self.bytes(UInt32(tensor.dims.count))
            file += tensor.dims.flatMap { Self.bytes($0) } + Self.bytes(tensor.type)
            file += Self.bytes(tensor.offset ?? UInt64(offset))
            offset += padded(tensor.data.count)
        }
        func pad() {
            file += [UInt8](repeating: 0, count: padded(file.count) - file.count)
        }
        pad()
        for tensor in tensors {
            file += tensor.data
            pad()
        }
        return file
    }

    private func padded(_ count: Int) -> Int { (count + alignment - 1) / alignment * alignment }
}

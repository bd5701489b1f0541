// SPDX-License-Identifier: Apache-2.0
// The header of a safetensors file, checked in full.
//
// offset      size  content
// 0           8     n: length of the header, unsigned, little-endian; at most 100 000 000
// 8           n     JSON object in UTF-8, beginning with '{', may end in spaces:
//                     "__metadata__": {string: string}                      optional
//                     name: {"dtype": "F32", "shape": [..], "data_offsets": [begin, end]}
// 8 + n       rest  tensor data, row-major, little-endian; offsets count from here. The tensors follow each other
//                   without gap or overlap, and the last ends at the end of the file.
import EftConfig
import EftTensor

/// What a safetensors header says, after every check.
struct SafetensorsHeader: Sendable {
    /// Most bytes that a header may have, as in the format's own library.
    static let maximumByteCount = 100_000_000
    /// The key that is not a tensor.
    static let metadataKey = "__metadata__"

    /// Readable tensors in the order of their data.
    private(set) var tensors: [TensorInfo] = []
    /// Where each readable tensor lies in the file.
    private(set) var ranges: [Range<Int>] = []
    /// Tensors of other element types.
    private(set) var opaque: [OpaqueTensor] = []
    /// The string map of `__metadata__`.
    private(set) var metadata: [String: String] = [:]

    /// Bits of an element of the types that can be listed but not read.
    private static let opaqueBits = [
        "F4": 4, "F6_E2M3": 6, "F6_E3M2": 6, "F8_E5M2": 8, "F8_E8M0": 8,
        "F8_E4M3FNUZ": 8, "F8_E5M2FNUZ": 8, "U16": 16, "U32": 32, "U64": 64, "C64": 64,
    ]

    private enum Entry {
        case readable(TensorInfo)
        case opaque(OpaqueTensor)
    }

    /// Reads and checks the header of a mapped file.
    /// - Throws: `FormatError` (`damaged`, `unsupported`).
    init(of file: MappedFile) throws(FormatError) {
        do {
            try self.init(bytes: file.slice(0..<file.byteCount))
        } catch {
            var error = error
            error.path = file.path
            throw error
        }
    }

    private init(bytes: UnsafeRawBufferPointer) throws(FormatError) {
        guard bytes.count >= 8 else {
            throw FormatError(.damaged, "\(bytes.count) bytes are too few for a safetensors file")
        }
        let length = UInt64(littleEndian: bytes.loadUnaligned(as: UInt64.self))
        guard length <= UInt64(SafetensorsHeader.maximumByteCount) else {
            throw FormatError(
                .damaged, "the header claims \(length) bytes; this is no safetensors file")
        }
        let dataStart = 8 + Int(length)
        guard dataStart <= bytes.count else {
            throw FormatError(
                .damaged,
                "the header claims \(length) bytes and the file has \(bytes.count); it is cut off")
        }
        guard length > 0, bytes[8] == UInt8(ascii: "{") else {
            throw FormatError(.damaged, "the header does not begin with '{'")
        }
        let root: ConfigObject
        do {
            let json = UnsafeRawBufferPointer(rebasing: bytes[8..<dataStart])
            root = try ConfigCursor(
                JSONParser.parse(json.bindMemory(to: UInt8.self), maximumDepth: 8)
            ).object()
        } catch {
            throw FormatError(.damaged, "header: \(error.message)")
        }
        try collect(root, dataStart: dataStart, dataCount: bytes.count - dataStart)
    }

    private mutating func collect(
        _ root: ConfigObject, dataStart: Int, dataCount: Int
    ) throws(FormatError) {
        var entries: [(entry: Entry, begin: Int, end: Int)] = []
        entries.reserveCapacity(root.count)
        for (name, node) in root.entries {
            if name == SafetensorsHeader.metadataKey {
                metadata = try SafetensorsHeader.stringMap(node)
            } else {
                entries.append(try SafetensorsHeader.entry(name, node, dataCount: dataCount))
            }
        }
        // Swift's sort keeps the order of equals, so empty tensors stay in the header's order.
        entries.sort { ($0.begin, $0.end) < ($1.begin, $1.end) }
        var position = 0
        for item in entries {
            let name: String
            switch item.entry {
            case .readable(let info):
                name = info.name
                tensors.append(info)
                ranges.append(dataStart + item.begin..<dataStart + item.end)
            case .opaque(let tensor):
                name = tensor.name
                opaque.append(tensor)
            }
            guard item.begin == position else {
                let fault = item.begin < position ? "overlaps another tensor" : "follows a gap"
                throw FormatError(.damaged, "the data \(fault)", tensor: name)
            }
            position = item.end
        }
        guard position == dataCount else {
            throw FormatError(
                .damaged,
                "the tensors end \(dataCount - position) bytes before the end of the file")
        }
    }

    // MARK: One entry

    private static func entry(
        _ name: String, _ node: ConfigNode, dataCount: Int
    ) throws(FormatError) -> (entry: Entry, begin: Int, end: Int) {
        guard case .object(let fields) = node.value else {
            throw FormatError(.damaged, "the header's entry is no mapping", tensor: name)
        }
        guard case .string(let typeName)? = fields["dtype"]?.value else {
            throw FormatError(.damaged, "the header gives no dtype", tensor: name)
        }
        let shape: Shape
        do {
            shape = try Shape(checking: integers(fields["shape"], "shape", name))
        } catch let error as TensorError {
            throw FormatError(.damaged, error.message, tensor: name)
        } catch let error as FormatError {
            throw error
        } catch {
            throw FormatError(.damaged, "unreadable shape", tensor: name)
        }
        let offsets = try integers(fields["data_offsets"], "data_offsets", name)
        guard offsets.count == 2 else {
            throw FormatError(.damaged, "data_offsets is not a pair", tensor: name)
        }
        let (begin, end) = (offsets[0], offsets[1])
        guard begin >= 0, begin <= end else {
            throw FormatError(
                .damaged, "data_offsets [\(begin), \(end)] is no range", tensor: name)
        }
        guard end <= dataCount else {
            throw FormatError(
                .damaged,
                "the data end at byte \(end) of \(dataCount); the file is cut off", tensor: name)
        }
        let entry = try describe(name, typeName, shape)
        let expected =
            switch entry {
            case .readable(let info): info.byteCount
            case .opaque(let tensor): tensor.byteCount
            }
        guard end - begin == expected else {
            throw FormatError(
                .damaged,
                "\(typeName) \(shape) takes \(expected) bytes, data_offsets give \(end - begin)",
                tensor: name)
        }
        return (entry, begin, end)
    }

    private static func describe(
        _ name: String, _ typeName: String, _ shape: Shape
    ) throws(FormatError) -> Entry {
        if let dtype = DType(rawValue: typeName) {
            return .readable(try TensorInfo(name: name, dtype: dtype, shape: shape))
        }
        guard let bits = opaqueBits[typeName] else {
            throw FormatError(.unsupported, "unknown dtype '\(typeName)'", tensor: name)
        }
        let (total, overflow) = shape.count.multipliedReportingOverflow(by: bits)
        guard !overflow, total % 8 == 0 else {
            throw FormatError(
                .damaged, "\(typeName) \(shape) does not fill whole bytes", tensor: name)
        }
        return .opaque(
            OpaqueTensor(name: name, typeName: typeName, shape: shape, byteCount: total / 8))
    }

    private static func integers(
        _ node: ConfigNode?, _ key: String, _ tensor: String
    ) throws(FormatError) -> [Int] {
        guard case .array(let items)? = node?.value else {
            throw FormatError(.damaged, "the header gives no \(key)", tensor: tensor)
        }
        var values: [Int] = []
        values.reserveCapacity(items.count)
        for item in items {
            guard case .integer(let value) = item.value, value >= 0 else {
                throw FormatError(
                    .damaged, "\(key) holds something else than natural numbers of 63 bits",
                    tensor: tensor)
            }
            values.append(value)
        }
        return values
    }

    private static func stringMap(_ node: ConfigNode) throws(FormatError) -> [String: String] {
        guard case .object(let fields) = node.value else {
            throw FormatError(.damaged, "\(metadataKey) is no mapping")
        }
        var map: [String: String] = [:]
        for (key, node) in fields.entries {
            guard case .string(let value) = node.value else {
                throw FormatError(.damaged, "\(metadataKey) holds '\(key)' that is no string")
            }
            map[key] = value
        }
        return map
    }
}

// SPDX-License-Identifier: Apache-2.0
// PyTorch's own checkpoint files (.bin, .pt), read without executing anything.
//
// Zip format (since 1.6), all in one folder of any name:   Older format, one after another:
//   data.pkl    the state dict; storages as persistent ids   pickle   0x1950a86a20f9469cfc6c
//   data/KEY    one storage each, elements little-endian     pickle   1001 (version)
//   byteorder   "little" or "big" (may be missing)           pickle   {"little_endian": True, ...}
//   version     a number                                     pickle   the state dict
//                                                            pickle   list of storage keys
//                                                            for each key: 8 bytes number of elements, elements
import EftTensor

/// A mapped PyTorch checkpoint in the zip format or the older one.
package final class TorchPickle: CheckpointReader {
    /// Where the bytes of a storage are.
    enum Source: Sendable {
        case mapped(Range<Int>)
        case deflated(ZipArchive.Entry)

        /// Size of the storage in bytes.
        var byteCount: Int {
            switch self {
            case .mapped(let range): range.count
            case .deflated(let entry): entry.byteCount
            }
        }
    }

    /// Most bytes of a tensor that repeats its storage; more would let a small file claim any amount of memory.
    private static let maximumExpandedBytes = 1 << 26

    /// What either format is read into.
    struct Content {
        var root: PickleValue
        var heap: PickleHeap
        var sources: [String: Source]
        var archive: ZipArchive?
    }

    package let tensors: [TensorInfo]
    private let file: MappedFile
    private let archive: ZipArchive?
    private let views: [String: (info: TensorInfo, tensor: TorchTensor, source: Source)]

    /// Opens a file and reads everything but the tensors' elements.
    /// - Throws: `FormatError`; `unsupported` with the name when the pickle refers to anything but tensors.
    package init(path: String) throws(FormatError) {
        file = try MappedFile(path: path)
        let bytes = file.slice(0..<file.byteCount)
        let isZip = bytes.count >= 4 && bytes[0] == 0x50 && bytes[1] == 0x4B
        let content = isZip ? try TorchPickle.readZip(file) : try TorchPickle.readLegacy(file)
        archive = content.archive
        let state = try StateDict(content.root, heap: content.heap, path: path)
        var infos: [TensorInfo] = []
        var views: [String: (info: TensorInfo, tensor: TorchTensor, source: Source)] = [:]
        for (name, tensor) in state.tensors {
            let storage = tensor.storage
            guard let source = content.sources[storage.key] else {
                throw FormatError(
                    .damaged, "the storage '\(storage.key)' is missing", path: path, tensor: name)
            }
            let (size, overflow) = storage.count.multipliedReportingOverflow(
                by: storage.dtype.byteWidth)
            guard !overflow, size == source.byteCount else {
                throw FormatError(
                    .damaged,
                    "the storage '\(storage.key)' has \(source.byteCount) bytes, not "
                        + "\(storage.count) \(storage.dtype.rawValue)", path: path, tensor: name)
            }
            let info = try TensorInfo(name: name, dtype: storage.dtype, shape: tensor.shape)
            guard info.byteCount <= max(size, TorchPickle.maximumExpandedBytes) else {
                throw FormatError(
                    .unsupported,
                    "an expanded view, far larger than what is stored; save it contiguous",
                    path: path, tensor: name)
            }
            infos.append(info)
            views[name] = (info, tensor, source)
        }
        tensors = infos
        self.views = views
        // The system may have mapped far more than the tables that were read.
        file.release(0..<file.byteCount)
    }

    /// Whether a file is to be read as a PyTorch checkpoint, by its first bytes and its name.
    static func isOne(_ path: String) throws(FormatError) -> Bool {
        let file = try MappedFile(path: path)
        let head = file.slice(0..<min(9, file.byteCount))
        if head.count >= 4, head[0] == 0x50, head[1] == 0x4B { return true }
        if head.count == 9, head[8] == UInt8(ascii: "{") { return false }
        return [".bin", ".pt", ".pth"].contains { path.hasSuffix($0) }
            || head.first == 0x80
    }

    package var path: String { file.path }
    package var opaqueTensors: [OpaqueTensor] { [] }
    package var metadata: [String: String] { [:] }

    package func find(_ name: String) -> TensorInfo? { views[name]?.info }

    // MARK: Bytes

    package func read(
        _ name: String, bytes part: Range<Int>, into target: UnsafeMutableRawBufferPointer
    ) throws(FormatError) {
        let info = try tensor(name)
        guard let (_, tensor, source) = views[name] else { return }
        let width = info.dtype.byteWidth
        precondition(
            part.lowerBound >= 0 && part.upperBound <= info.byteCount
                && target.count == part.count, "bytes \(part) of \(info)")
        if part.isEmpty { return }
        if tensor.isContiguous {
            let start = tensor.offset * width + part.lowerBound
            switch source {
            case .mapped(let range):
                try file.read(at: range.lowerBound + start, into: target)
            case .deflated(let entry):
                try archive?.inflate(entry, from: start, into: target)
            }
            return
        }
        precondition(
            part.lowerBound % width == 0 && part.upperBound % width == 0,
            "bytes \(part) of \(info) cut an element")
        let elements = part.lowerBound / width..<part.upperBound / width
        switch source {
        case .mapped(let range):
            try StridedCopy.copy(tensor, elements: elements, into: target) {
                (offset, piece) throws(FormatError) in
                try file.read(at: range.lowerBound + offset, into: piece)
            }
        case .deflated(let entry):
            guard let content = try archive?.content(of: entry) else { return }
            try content.withRawBytes { (storage) throws(FormatError) in
                try StridedCopy.copy(tensor, elements: elements, into: target) {
                    (offset, piece) throws(FormatError) in
                    piece.copyMemory(
                        from: UnsafeRawBufferPointer(
                            rebasing: storage[offset..<offset + piece.count]))
                }
            }
        }
    }

    package func withBytes<R>(
        of name: String, _ body: (UnsafeRawBufferPointer) throws -> R
    ) throws -> R {
        let info = try tensor(name)
        if case (_, let tensor, .mapped(let range))? = views[name], tensor.isContiguous {
            let start = range.lowerBound + tensor.offset * info.dtype.byteWidth
            return try file.withBytes(start..<start + info.byteCount, body)
        }
        return try bytes(of: name).withUnsafeBytes(body)
    }

    package func releasePages(of name: String) {
        if case .mapped(let range)? = views[name]?.source { file.release(range) }
    }
}

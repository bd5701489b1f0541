// SPDX-License-Identifier: Apache-2.0
// The two containers of PyTorch checkpoints: where the state dict's pickle and the storages lie.
import EftTensor

extension TorchPickle {
    /// Most bytes that the pickle of a state dict may have; storages are not part of it.
    private static let maximumPickleBytes = 1 << 26

    // MARK: Zip

    /// Reads the zip format.
    static func readZip(_ file: MappedFile) throws(FormatError) -> Content {
        let archive = try ZipArchive(file)
        let pickles = archive.entries.filter {
            $0.name == "data.pkl" || $0.name.hasSuffix("/data.pkl")
        }
        guard pickles.count == 1, let pickle = pickles.first else {
            throw FormatError(
                .unsupported, "a zip archive, but not one that torch.save makes", path: file.path)
        }
        let root = String(pickle.name.dropLast("data.pkl".count))
        if archive.entries.contains(where: { $0.name == root + "constants.pkl" }) {
            throw FormatError(
                .unsupported, "a TorchScript program; save its state dict instead", path: file.path)
        }
        if let order = archive.entries.first(where: { $0.name == root + "byteorder" }),
            !order.isDeflated
        {
            let range = try archive.dataRange(of: order)
            guard range.count == 6, file.slice(range).elementsEqual("little".utf8) else {
                throw FormatError(
                    .unsupported, "made on a big-endian machine; save it again", path: file.path)
            }
        }
        guard pickle.byteCount <= maximumPickleBytes else {
            throw FormatError(
                .unsupported, "its data.pkl has \(pickle.byteCount) bytes, too many",
                path: file.path)
        }
        var (value, heap) = (PickleValue.none, PickleHeap())
        if pickle.isDeflated {
            try archive.content(of: pickle).withRawBytes { (buffer) throws(FormatError) in
                var machine = PickleMachine(ByteReader(buffer, path: file.path))
                value = try machine.run()
                heap = machine.heap
            }
        } else {
            let range = try archive.dataRange(of: pickle)
            var machine = PickleMachine(
                ByteReader(file, start: range.lowerBound, end: range.upperBound))
            value = try machine.run()
            heap = machine.heap
        }
        var sources: [String: Source] = [:]
        for entry in archive.entries where entry.name.hasPrefix(root + "data/") {
            let key = String(entry.name.dropFirst(root.count + "data/".count))
            let range = try archive.dataRange(of: entry)
            sources[key] = entry.isDeflated ? .deflated(entry) : .mapped(range)
        }
        return Content(root: value, heap: heap, sources: sources, archive: archive)
    }

    // MARK: The older format

    /// 0x1950a86a20f9469cfc6c, little-endian.
    private static let magic: [UInt8] = [
        0x6C, 0xFC, 0x9C, 0x46, 0xF9, 0x20, 0x6A, 0xA8, 0x50, 0x19,
    ]

    /// Reads the format of PyTorch before 1.6.
    static func readLegacy(_ file: MappedFile) throws(FormatError) -> Content {
        var reader = ByteReader(file, start: 0)
        try readPreamble(&reader, file)
        var machine = PickleMachine(reader)
        let root = try machine.run()
        let heap = machine.heap
        var list = PickleMachine(machine.reader, room: heap.room)
        guard case .list(let index) = try list.run() else {
            throw FormatError(.damaged, "the list of storages is missing", path: file.path)
        }
        reader = list.reader
        var widths: [String: Int] = [:]
        for storage in heap.storages { widths[storage.key] = storage.dtype.byteWidth }
        var sources: [String: Source] = [:]
        for item in list.heap.lists[index] {
            guard case .text(let key) = item, let width = widths[key], sources[key] == nil else {
                throw FormatError(
                    .damaged, "the list of storages does not match the state dict",
                    path: file.path)
            }
            let (size, overflow) = try reader.offset().multipliedReportingOverflow(by: width)
            let start = reader.position
            try reader.skip(overflow ? .max : size)
            reader.releaseBehind()
            sources[key] = .mapped(start..<reader.position)
        }
        guard reader.remaining == 0 else {
            throw FormatError(
                .damaged, "\(reader.remaining) bytes follow the last storage", path: file.path)
        }
        return Content(root: root, heap: heap, sources: sources, archive: nil)
    }

    private static func readPreamble(
        _ reader: inout ByteReader, _ file: MappedFile
    ) throws(FormatError) {
        var machine = PickleMachine(reader)
        guard reader.remaining > 0, file.slice(0..<1)[0] == 0x80,
            case .longInteger(let number) = try machine.run(), number == magic
        else {
            throw FormatError(
                .unsupported, "neither of the two formats of torch.save", path: file.path)
        }
        machine = PickleMachine(machine.reader)
        guard case .integer(1001) = try machine.run() else {
            throw FormatError(
                .unsupported, "an unknown version of the older torch.save format", path: file.path)
        }
        machine = PickleMachine(machine.reader)
        guard case .dictionary(let index) = try machine.run() else {
            throw FormatError(.damaged, "the machine's description is missing", path: file.path)
        }
        for (key, value) in machine.heap.dictionaries[index] {
            if case .text("little_endian") = key, case .bool(false) = value {
                throw FormatError(
                    .unsupported, "made on a big-endian machine; save it again", path: file.path)
            }
        }
        reader = machine.reader
    }
}

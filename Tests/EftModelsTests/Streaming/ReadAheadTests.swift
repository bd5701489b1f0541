// SPDX-License-Identifier: Apache-2.0
// Tensors that are read ahead are those of the checkpoint, whatever is asked for in whatever order.
import EftFormats
import EftModels
import EftTensor
import EftTestSupport
import Testing

@Suite struct ReadAheadTests {
    private static let piece = ReadAheadCheckpoint.pieceBytes

    /// Tensors of sizes around those of pieces, at odd places of their file.
    private static let sizes = [
        ("a", 5), ("b", piece), ("c", 2 * piece + 1), ("small", 3), ("d", piece - 1),
        ("e", 3 * piece),
        ("f", 4097),
    ]

    private func folder() throws -> TemporaryFolder {
        let folder = try TemporaryFolder()
        let infos = try Self.sizes.map {
            try TensorInfo(name: $0.0, dtype: .u8, shape: Shape($0.1))
        }
        let writer = try SafetensorsWriter(
            folder: folder.path, tensors: infos, maxShardBytes: 4 * Self.piece)
        var generator = SplitMix64(seed: 7)
        for info in infos {
            let words = (0..<info.byteCount / 8 + 1).map { _ in generator.next() }
            try words.withUnsafeBytes {
                try writer.write(
                    info.name, UnsafeRawBufferPointer(rebasing: $0[..<info.byteCount]))
            }
        }
        try writer.finish()
        return folder
    }

    private func ahead(
        _ base: any CheckpointReader, _ names: [String], ledger: MemoryLedger? = nil
    ) throws -> ReadAheadCheckpoint {
        let tensors = try names.map { try base.tensor($0) }
        return try #require(
            try ReadAheadCheckpoint(base, tensors: tensors, ledger: ledger, leastBytes: 1))
    }

    /// Reads a tensor in steps and compares.
    private func compare(
        _ name: String, step: Int, _ found: any CheckpointReader, _ base: any CheckpointReader
    ) throws {
        let expected = try base.bytes(of: name)
        var bytes = [UInt8](repeating: 0, count: expected.count)
        try bytes.withUnsafeMutableBytes { buffer in
            for start in stride(from: 0, to: buffer.count, by: step) {
                let range = start..<min(start + step, buffer.count)
                try found.read(
                    name, bytes: range, into: UnsafeMutableRawBufferPointer(rebasing: buffer[range])
                )
            }
        }
        #expect(bytes == expected, "\(name) in steps of \(step)")
    }

    @Test(arguments: [1_000_003, piece, 3 * piece, 100 * piece])
    func `all tensors in order`(_ step: Int) throws {
        let folder = try folder()
        let base = try CheckpointFolder.open(folder.path)
        let names = Self.sizes.map(\.0).filter { $0 != "small" }
        let reader = try ahead(base, names)
        for (name, _) in Self.sizes { try compare(name, step: step, reader, base) }
    }

    @Test func `another order, again, and left out`() throws {
        let folder = try folder()
        let base = try CheckpointFolder.open(folder.path)
        let reader = try ahead(base, ["b", "c", "d", "e"])
        for name in ["c", "b", "e", "e", "d", "f", "c"] {
            try compare(name, step: 999_999, reader, base)
        }
        // A part from the middle, and then from the beginning.
        let other = try ahead(base, ["e"])
        for range in [Self.piece + 7..<2 * Self.piece + 9, 0..<10, 5..<3 * Self.piece] {
            var bytes = [UInt8](repeating: 0, count: range.count)
            try bytes.withUnsafeMutableBytes { try other.read("e", bytes: range, into: $0) }
            #expect(try bytes == Array(base.bytes(of: "e")[range]))
        }
    }

    @Test func `it is a checkpoint like the one it reads`() throws {
        let folder = try folder()
        let base = try CheckpointFolder.open(folder.path)
        let reader = try ahead(base, ["e"])
        #expect(reader.tensors == base.tensors && reader.files == base.files)
        #expect(reader.path == base.path && reader.metadata == base.metadata)
        #expect(reader.find("a") == base.find("a") && reader.find("none") == nil)
        #expect(throws: FormatError.self) { try reader.bytes(of: "none") }
        #expect(reader.place(of: "b")?.bytes.count == Self.piece)
        try reader.withBytes(of: "a") { #expect($0.count == 5) }
    }

    @Test func `memory is what was stated, and only where there is much to read`() throws {
        let folder = try folder()
        let base = try CheckpointFolder.open(folder.path)
        let least = ReadAheadCheckpoint.leastBytes
        #expect(ReadAheadCheckpoint.scratchBytes(least - 1) == 0)
        let ledger = MemoryLedger(limit: ReadAheadCheckpoint.scratchBytes(least))
        let tensors = base.tensors
        #expect(try ReadAheadCheckpoint(base, tensors: tensors, ledger: ledger) == nil)
        #expect(ledger.peakTotal == 0)
        do {
            let reader = try ahead(base, ["c", "e"], ledger: ledger)
            #expect(ledger.current[.workspace] == ReadAheadCheckpoint.scratchBytes(least))
            try compare("c", step: 1 << 20, reader, base)
        }
        #expect(ledger.current.total == 0)
        let small = MemoryLedger(limit: 1000)
        #expect(throws: TensorError.self) { try ahead(base, ["c"], ledger: small) }
    }

    @Test func `a file that was cut is told when its bytes are asked for`() throws {
        let folder = try folder()
        let base = try CheckpointFolder.open(folder.path)
        let place = try #require(base.place(of: "e"))
        let cut = try FileSystem.read(place.path).prefix(place.bytes.lowerBound + Self.piece + 100)
        try AtomicFile.write(place.path, Array(cut))
        let reader = try ahead(base, ["e"])
        var bytes = [UInt8](repeating: 0, count: Self.piece)
        try bytes.withUnsafeMutableBytes { try reader.read("e", bytes: 0..<Self.piece, into: $0) }
        let error = try #require(throws: FormatError.self) {
            try bytes.withUnsafeMutableBytes {
                try reader.read("e", bytes: Self.piece..<2 * Self.piece, into: $0)
            }
        }
        #expect(error.code == .damaged && error.path == place.path)
    }
}

// SPDX-License-Identifier: Apache-2.0
// Writing safetensors checkpoints: shards, order, and what is left when something goes wrong.
import EftConfig
import EftFormats
import EftTensor
import EftTestSupport
import Testing

#if canImport(Glibc)
    import Glibc
#endif

struct SafetensorsWriterTests {
    private static let shapes: [[Int]] = [[], [0], [1], [3, 5], [2, 0, 3], [1, 1, 7], [129]]

    @Test(arguments: DType.allCases)
    func `what is written is read back`(dtype: DType) throws {
        let folder = try TemporaryFolder()
        let tensors = try Self.shapes.enumerated().map { index, dims in
            try TensorInfo(
                name: "layer.\(index) \"é\"\n", dtype: dtype, shape: Shape(checking: dims))
        }
        let writer = try SafetensorsWriter(
            folder: folder.file("new/deep"), tensors: tensors,
            metadata: ["format": "pt", "k": "\\"])
        for tensor in tensors {
            // Pieces of odd sizes.
            let bytes = content(tensor)
            for start in stride(from: 0, to: bytes.count, by: 7) {
                try writer.write(tensor.name, Array(bytes[start..<min(start + 7, bytes.count)]))
            }
        }
        let paths = try writer.finish()
        #expect(paths == [folder.file("new/deep/model.safetensors")])
        let reader = try CheckpointFolder.open(folder.file("new/deep"))
        #expect(reader.tensors == tensors)
        #expect(reader.metadata == ["format": "pt", "k": "\\"])
        for tensor in tensors { #expect(try reader.bytes(of: tensor.name) == content(tensor)) }
        let header = try FileSystem.read(paths[0]).prefix(8)
        #expect(header[0] % 8 == 0)
    }

    @Test(arguments: [
        (1_000_000, 1), (100, 2), (70, 3), (1, 5),
    ])
    func `shards are filled in order and indexed`(limit: Int, count: Int) throws {
        let folder = try TemporaryFolder()
        let tensors = try [40, 40, 30, 60, 10].enumerated().map { index, size in
            try TensorInfo(name: "t\(index)", dtype: .u8, shape: Shape(size))
        }
        let paths = try write(tensors, folder, base: "output", limit: limit)
        try #require(paths.count == (count == 1 ? 1 : count + 1))
        #expect(try FileSystem.list(folder.path).count == paths.count)
        let opened = try CheckpointFolder.open(count == 1 ? folder.path : paths[count])
        #expect(opened.tensors == tensors)
        for tensor in tensors { #expect(try opened.bytes(of: tensor.name) == content(tensor)) }
        guard count > 1 else { return }
        #expect(paths[0] == folder.file("output-00001-of-0000\(count).safetensors"))
        let index = try ConfigCursor(JSONParser.parse(FileSystem.read(paths[count])))
        #expect(try index.required("metadata").required("total_size").int() == 180)
        #expect(try index.required("weight_map").object().count == 5)
    }

    @Test func `a new checkpoint takes the place of an older one of another shape`() throws {
        let folder = try TemporaryFolder()
        let tensors = try (0..<4).map {
            try TensorInfo(name: "t\($0)", dtype: .i16, shape: Shape(5))
        }
        try folder.write("config.json", "{}")
        try folder.write("model-00001-of-00009.safetensors.partial", "left by a crash")
        for limit in [10, 1000, 20, 30, 1000] {
            let paths = try write(tensors, folder, base: "model", limit: limit)
            let names = Set(paths.map { FileSystem.name(of: $0) })
            #expect(try Set(FileSystem.list(folder.path)) == names.union(["config.json"]))
            #expect(try CheckpointFolder.open(folder.path).tensors == tensors)
        }
    }

    @Test func `a writer that is dropped leaves nothing, and the older checkpoint whole`() throws {
        let folder = try TemporaryFolder()
        let tensors = try (0..<3).map {
            try TensorInfo(name: "t\($0)", dtype: .u8, shape: Shape(50))
        }
        let paths = try write(tensors, folder, base: "model", limit: 60)
        do {
            let writer = try SafetensorsWriter(
                folder: folder.path, tensors: tensors, maxShardBytes: 60)
            try writer.write("t0", content(tensors[0]))
            try writer.write("t1", Array(content(tensors[1]).dropLast()))
            #expect(try FileSystem.list(folder.path).count == paths.count + 2)
        }
        #expect(try FileSystem.list(folder.path).count == paths.count)
        #expect(try CheckpointFolder.open(folder.path).tensors == tensors)
    }

    @Test func `two writers of one file do not mix`() throws {
        let folder = try TemporaryFolder()
        let tensors = [try TensorInfo(name: "t", dtype: .u8, shape: Shape(3))]
        let writer = try SafetensorsWriter(folder: folder.path, tensors: tensors)
        let error = #expect(throws: FormatError.self) {
            try SafetensorsWriter(folder: folder.path, tensors: tensors)
        }
        #expect(error?.message.contains("another process") == true)
        try writer.write("t", [1, 2, 3])
        try writer.finish()
        #expect(try CheckpointFolder.open(folder.path).bytes(of: "t") == [1, 2, 3])
    }

    @Test func `names that cannot be are refused before anything is written`() throws {
        let folder = try TemporaryFolder()
        let info = try TensorInfo(name: "a", dtype: .u8, shape: Shape(1))
        let reserved = try TensorInfo(name: "__metadata__", dtype: .u8, shape: Shape(1))
        for tensors in [[info, info], [reserved]] {
            let error = #expect(throws: FormatError.self) {
                try SafetensorsWriter(folder: folder.path, tensors: tensors)
            }
            #expect(error?.code == .unsupported)
        }
        #expect(try FileSystem.list(folder.path).isEmpty)
    }

    @Test func `more bytes than 64 bits can count are refused by name`() throws {
        let folder = try TemporaryFolder()
        let tensors = try (0..<3).map {
            try TensorInfo(name: "t\($0)", dtype: .u8, shape: Shape(checking: [1 << 62]))
        }
        #expect(try tensors.prefix(1).totalByteCount() == 1 << 62)
        let error = #expect(throws: FormatError.self) {
            try SafetensorsWriter(folder: folder.path, tensors: tensors)
        }
        #expect(error?.code == .damaged && error?.tensor == "t1")
        #expect(try FileSystem.list(folder.path).isEmpty)
    }

    @Test func `more than the disk can hold is refused at once`() throws {
        let folder = try TemporaryFolder()
        let free = try #require(FileSystem.freeBytes(folder.path))
        let info = try TensorInfo(name: "a", dtype: .u8, shape: Shape(checking: [free * 2]))
        let error = #expect(throws: FormatError.self) {
            try SafetensorsWriter(folder: folder.path, tensors: [info])
        }
        #expect(error?.code == .io)
        #expect(try FileSystem.list(folder.path).isEmpty)
    }

    @Test func `running out of room is an error and leaves no file`() async {
        // In a process of its own: the limit on the size of files holds for all of it.
        await #expect(processExitsWith: .success) {
            signal(SIGXFSZ, SIG_IGN)
            var limit = rlimit(rlim_cur: 1 << 16, rlim_max: 1 << 16)
            #if canImport(Glibc)
                setrlimit(__rlimit_resource_t(1), &limit)
            #endif
            let folder = try TemporaryFolder()
            let info = try TensorInfo(name: "a", dtype: .u8, shape: Shape(1 << 18))
            let error = #expect(throws: FormatError.self) {
                let writer = try SafetensorsWriter(folder: folder.path, tensors: [info])
                try writer.write("a", [UInt8](repeating: 1, count: 1 << 18))
                try writer.finish()
            }
            let left = try FileSystem.list(folder.path)
            guard error?.code == .io, error?.message.contains("too large") == true, left.isEmpty
            else { fatalError("\(String(describing: error)), left \(left)") }
        }
    }

    // MARK: Content

    private func content(_ tensor: TensorInfo) -> [UInt8] {
        let seed = tensor.name.utf8.reduce(0) { ($0 &* 31) &+ Int($1) }
        return (0..<tensor.byteCount).map { UInt8(truncatingIfNeeded: ($0 &+ seed) &* 37) }
    }

    private func write(
        _ tensors: [TensorInfo], _ folder: TemporaryFolder, base: String, limit: Int
    ) throws -> [String] {
        let writer = try SafetensorsWriter(
            folder: folder.path, baseName: base, tensors: tensors, maxShardBytes: limit)
        for tensor in tensors { try writer.write(tensor.name, content(tensor)) }
        return try writer.finish()
    }
}

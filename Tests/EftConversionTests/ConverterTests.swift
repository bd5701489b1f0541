// SPDX-License-Identifier: Apache-2.0
// Checkpoints of every format to safetensors of every type.
import EftConfig
import EftConversion
import EftFormats
import EftTensor
import EftTestSupport
import Testing

struct ConverterTests {
    private struct Stop: Error {}

    private func converter(
        _ input: String, _ output: String, _ dtype: DType? = nil, shard: Int = 1 << 30
    ) throws -> CheckpointConverter {
        try CheckpointConverter(
            input: input, output: output, options: .init(dtype: dtype, maxShardBytes: shard),
            backend: CPUBackend(ledger: MemoryLedger(), threads: 2))
    }

    /// Writes a folder of one checkpoint file.
    private func write(
        _ folder: TemporaryFolder, _ tensors: [(String, DType, [Int], [UInt8])]
    ) throws -> String {
        let path = folder.file("in")
        let infos = try tensors.map {
            try TensorInfo(name: $0.0, dtype: $0.1, shape: Shape(checking: $0.2))
        }
        let writer = try SafetensorsWriter(folder: path, tensors: infos)
        for tensor in tensors { try writer.write(tensor.0, tensor.3) }
        try writer.finish()
        return path
    }

    private func bytes(_ values: [Float]) -> [UInt8] {
        values.flatMap { value in withUnsafeBytes(of: value.bitPattern.littleEndian, Array.init) }
    }

    @Test func `an output that ends with safetensors is that one file`() throws {
        let folder = try TemporaryFolder()
        let input = Fixtures.path("models/bin-sharded")
        let output = folder.file("one.safetensors")
        #expect(try converter(input, output, shard: 1000).run() == [output])
        #expect(try FileSystem.list(folder.path) == ["one.safetensors"])
        let (source, result) = (
            try CheckpointFolder.open(input), try SafetensorsFile(path: output)
        )
        #expect(Set(source.tensors.map(\.name)) == Set(result.tensors.map(\.name)))
        for info in source.tensors {
            #expect(try result.bytes(of: info.name) == source.bytes(of: info.name))
        }
        // Again, from the file itself: it must not be written over while it is read.
        #expect(throws: ConversionError.self) { try converter(output, output) }
        // From a file, in another type, in place of an older one.
        let other = folder.file("two.safetensors")
        try converter(output, other, .f32).run()
        try converter(output, other, .bf16).run()
        #expect(try SafetensorsFile(path: other).tensors.allSatisfy { $0.dtype == .bf16 })
        #expect(
            try FileSystem.list(folder.path).sorted() == ["one.safetensors", "two.safetensors"])
    }

    @Test func `a folder may be named like a file, and other weight files are not written`() throws
    {
        let folder = try TemporaryFolder()
        let input = Fixtures.path("models/plain")
        try FileSystem.createFolder(folder.file("x.safetensors"))
        try converter(input, folder.file("x.safetensors")).run()
        #expect(FileSystem.exists(folder.file("x.safetensors/config.json")))
        let error = try #require(throws: ConversionError.self) {
            try converter(input, folder.file("model.bin"))
        }
        #expect(error.code == .usage && error.description.contains(".safetensors"))
    }

    @Test(arguments: ["bin", "bin-legacy", "bin-sharded", "sharded", "plain"])
    func `all formats come out with the same numbers`(_ name: String) throws {
        let folder = try TemporaryFolder()
        let input = Fixtures.path("models/\(name)")
        try converter(input, folder.file("out")).run()
        let (source, result) = (
            try CheckpointFolder.open(input), try CheckpointFolder.open(folder.file("out"))
        )
        #expect(Set(source.tensors.map(\.name)) == Set(result.tensors.map(\.name)))
        for info in source.tensors {
            #expect(try result.tensor(info.name).dtype == info.dtype)
            #expect(try result.bytes(of: info.name) == source.bytes(of: info.name))
        }
        #expect(
            try FileSystem.list(folder.file("out")).allSatisfy {
                !$0.hasSuffix(".bin") && !$0.contains(".bin.index")
            })
    }

    @Test(arguments: [DType.bf16, .f16, .f32], ["plain", "bf16", "f16"])
    func `numbers are rounded once and the config names the type`(
        _ dtype: DType, _ name: String
    ) throws {
        let folder = try TemporaryFolder()
        let input = Fixtures.path("models/\(name)")
        try converter(input, folder.file("out"), dtype, shard: 8000).run()
        let (source, result) = (
            try CheckpointFolder.open(input), try CheckpointFolder.open(folder.file("out"))
        )
        for info in source.tensors {
            let values = try source.floats(of: info.name)
            let wanted = values.map { value in
                switch dtype {
                case .bf16: ElementConversion.float(bfloat16: ElementConversion.bfloat16(value))
                case .f16: ElementConversion.float(half: ElementConversion.half(value))
                default: value
                }
            }
            #expect(try result.tensor(info.name).dtype == dtype)
            #expect(try result.floats(of: info.name) == wanted, "\(info.name)")
        }
        let config = ConfigCursor(
            try JSONParser.parse(FileSystem.read(folder.file("out/config.json"))))
        let key = try config.optional("dtype") == nil ? "torch_dtype" : "dtype"
        let names: [DType: String] = [.bf16: "bfloat16", .f16: "float16", .f32: "float32"]
        #expect(try config.required(key).string() == names[dtype])
    }

    @Test func `integers and truth values stay, doubles are narrowed`() throws {
        let folder = try TemporaryFolder()
        let double = withUnsafeBytes(of: (1.0 / 3).bitPattern.littleEndian, Array.init)
        let input = try write(
            folder,
            [
                ("a", .i64, [1], [1, 2, 3, 4, 5, 6, 7, 8]), ("b", .bool, [2], [1, 0]),
                ("c", .f64, [1], double), ("d", .f32, [0], []), ("e", .f32, [], bytes([2.5])),
            ])
        try converter(input, folder.file("out"), .f32).run()
        let result = try CheckpointFolder.open(folder.file("out"))
        #expect(try result.bytes(of: "a") == [1, 2, 3, 4, 5, 6, 7, 8])
        #expect(try result.bytes(of: "b") == [1, 0])
        #expect(try result.floats(of: "c") == [Float(1.0 / 3)])
        #expect(try result.tensor("d").shape.dims == [0])
        #expect(try result.floats(of: "e") == [2.5])
    }

    @Test(arguments: [DType.f32, .f16, .bf16], [Float.nan, .infinity, -.infinity])
    func `numbers that are not finite are refused by name`(_ dtype: DType, _ bad: Float) throws {
        let folder = try TemporaryFolder()
        let input = try write(
            folder, [("good", .f32, [1], bytes([1])), ("bad", .f32, [3], bytes([0, bad, 1]))])
        let error = #expect(throws: ConversionError.self) {
            try converter(input, folder.file("out"), dtype).run()
        }
        #expect(error?.tensor == "bad")
        #expect(throws: FormatError.self) { try CheckpointFolder.open(folder.file("out")) }
    }

    @Test(arguments: [(Float(65519), true), (65520, false), (-70000, false), (1e-9, true)])
    func `numbers beyond f16 are refused`(_ value: Float, fits: Bool) throws {
        let folder = try TemporaryFolder()
        let input = try write(folder, [("x", .f32, [1], bytes([value]))])
        let converter = try converter(input, folder.file("out"), .f16)
        if fits {
            try converter.run()
        } else {
            let error = #expect(throws: ConversionError.self) { try converter.run() }
            #expect(error?.tensor == "x")
        }
    }

    @Test func `a converter that is stopped leaves no weights`() throws {
        let folder = try TemporaryFolder()
        let converter = try converter(Fixtures.path("models/plain"), folder.file("out"))
        #expect(throws: Stop.self) {
            try converter.run(ConversionMonitor(checkInterrupt: { throw Stop() }))
        }
        #expect(throws: FormatError.self) { try CheckpointFolder.open(folder.file("out")) }
    }

    @Test func `the output must be another folder than the input`() throws {
        let folder = try TemporaryFolder()
        let input = try write(folder, [("x", .f32, [1], bytes([1]))])
        #expect(throws: ConversionError.self) { try converter(input, input) }
        #expect(throws: ConversionError.self) { try converter(input, input + "/../in/.") }
        #expect(throws: ConversionError.self) { try converter(input + "/model.safetensors", input) }
        #expect(throws: ConversionError.self) { try converter(input, "") }
    }

    @Test func `quantized weights keep their types`() throws {
        let folder = try TemporaryFolder()
        let input = Fixtures.path("nf4-model/bnb-4bit")
        #expect(throws: ConversionError.self) { try converter(input, folder.file("a"), .f16) }
        try converter(input, folder.file("b")).run()
        let (source, result) = (
            try CheckpointFolder.open(input), try CheckpointFolder.open(folder.file("b"))
        )
        for info in source.tensors {
            #expect(try result.bytes(of: info.name) == source.bytes(of: info.name))
        }
    }

    @Test func `memory does not depend on the size of tensors`() throws {
        let folder = try TemporaryFolder()
        let count = 3 * (1 << 20) + 17
        let input = try write(
            folder, [("x", .f32, [count], bytes((0..<count).map { Float($0 % 1000) }))])
        let ledger = MemoryLedger()
        let converter = try CheckpointConverter(
            input: input, output: folder.file("out"), options: .init(dtype: .bf16),
            backend: CPUBackend(ledger: ledger, threads: 2))
        try converter.run()
        #expect(ledger.peakTotal <= CheckpointConverter.memory.total)
        let result = try CheckpointFolder.open(folder.file("out"))
        #expect(
            try result.floats(of: "x").last
                == Float(
                    ElementConversion.float(
                        bfloat16: ElementConversion.bfloat16(Float((count - 1) % 1000)))))
    }
}

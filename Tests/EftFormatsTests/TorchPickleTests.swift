// SPDX-License-Identifier: Apache-2.0
// Reading PyTorch checkpoints: right ones, and ones that call something or lie.
import EftFormats
import EftTensor
import EftTestSupport
import Testing

struct TorchPickleTests {
    private static let hostile = "formats/bin-hostile"

    /// Where a file's state dict lies in the golden names when it was wrapped.
    private static let wrappers = ["nested": "model/state_dict/", "wrapped": "state_dict/"]

    @Test(
        arguments: try Fixtures.list("formats/bin").filter { $0.hasSuffix(".bin") })
    func `reads what torch.save wrote`(file: String) throws {
        let golden = try SafetensorsFile(path: Fixtures.path("formats/bin/bin.safetensors"))
        let reader = try TorchPickle(path: Fixtures.path("formats/bin/\(file)"))
        let stem = file.split(separator: ".")[0]
        let prefix = "\(stem)/\(Self.wrappers[String(stem)] ?? "")"
        let expected = golden.tensors.filter { $0.name.hasPrefix(prefix) }
        #expect(!expected.isEmpty && reader.tensors.count == expected.count)
        for info in expected {
            let name = String(info.name.dropFirst(prefix.count))
            let found = try reader.tensor(name)
            #expect(found.dtype == info.dtype && found.shape == info.shape, "\(name)")
            let bytes = try golden.bytes(of: info.name)
            #expect(try reader.bytes(of: name) == bytes, "\(name)")
            #expect(try reader.withBytes(of: name) { Array($0) } == bytes, "\(name)")
        }
    }

    @Test(arguments: ["deflated.bin", "zip64.bin"])
    func `reads archives that were zipped again`(file: String) throws {
        let original = try TorchPickle(path: Fixtures.path("formats/bin/views.bin"))
        let reader = try TorchPickle(path: Fixtures.path("formats/bin-zips/\(file)"))
        #expect(reader.tensors == original.tensors)
        for info in original.tensors {
            let bytes = try original.bytes(of: info.name)
            #expect(try reader.bytes(of: info.name) == bytes)
            for start in stride(from: 0, to: bytes.count, by: 4) {
                var part = [UInt8](repeating: 0, count: 4)
                try part.withUnsafeMutableBytes {
                    try reader.read(info.name, bytes: start..<start + 4, into: $0)
                }
                #expect(part == Array(bytes[start..<start + 4]))
            }
        }
    }

    @Test func `any part of a strided view can be read`() throws {
        let reader = try TorchPickle(path: Fixtures.path("formats/bin/views.bin"))
        for info in reader.tensors {
            let whole = try reader.floats(of: info.name)
            for start in 0..<whole.count {
                for end in start..<whole.count {
                    var part = [Float](repeating: -1, count: end - start)
                    try part.withUnsafeMutableBufferPointer {
                        try reader.readFloats(info.name, elements: start..<end, into: $0)
                    }
                    #expect(part == Array(whole[start..<end]), "\(info.name) \(start)..<\(end)")
                }
            }
        }
    }

    @Test(arguments: try Fixtures.list(hostile).filter { $0.hasSuffix(".bin") && $0 != "good.bin" })
    func `refuses a file that calls something or lies`(file: String) throws {
        let path = Fixtures.path("\(Self.hostile)/\(file)")
        let error = #expect(throws: FormatError.self) { try TorchPickle(path: path) }
        #expect(error?.path == path)
        #expect(error?.code == .damaged || error?.code == .unsupported)
    }

    @Test(arguments: [
        ("os-system.bin", "os.system"), ("os-system.legacy.bin", "os.system"),
        ("posix-system.bin", "posix.system"), ("builtins-eval.bin", "builtins.eval"),
        ("old-builtins-eval.bin", "__builtin__.eval"), ("getattr.bin", "builtins.getattr"),
        ("unknown-class.bin", "somewhere.models.Network"), ("torch-load.bin", "torch.load"),
        ("stack-global.bin", "os.system"), ("inst.bin", "os.system"),
        ("newobj-build.bin", "somewhere.Thing"), ("unknown-storage.bin", "torch.StrangeStorage"),
    ])
    func `names what a pickle wanted to call`(file: String, name: String) throws {
        let path = Fixtures.path("\(Self.hostile)/\(file)")
        let error = #expect(throws: FormatError.self) { try TorchPickle(path: path) }
        #expect(error?.code == .unsupported)
        #expect(error?.message.contains(name) == true, "\(String(describing: error))")
    }

    @Test func `the file that the hostile ones vary is good`() throws {
        let reader = try TorchPickle(path: Fixtures.path("\(Self.hostile)/good.bin"))
        #expect(try reader.floats(of: "a") == [1, 2, 3, 4])
    }

    @Test func `reads the pickles of Python 2 and views of the oldest files`() throws {
        let folder = try TemporaryFolder()
        let path = try folder.write("old.bin", LegacyFile.withView)
        let reader = try TorchPickle(path: path)
        #expect(reader.tensors.map(\.name) == ["w"])
        #expect(try reader.floats(of: "w") == [2, 3])
    }

    @Test(arguments: ["trailing byte", "cut off", "no magic", "only the magic"])
    func `refuses a broken file of the older format`(fault: String) throws {
        let whole = LegacyFile.withView
        let bytes =
            switch fault {
            case "trailing byte": whole + [0]
            case "cut off": Array(whole.dropLast())
            case "no magic": [0x80, 2, 0x4B, 1, 0x2E] + whole
            default: Array(whole.prefix(15))
            }
        let folder = try TemporaryFolder()
        let path = try folder.write("old.bin", bytes)
        #expect(throws: FormatError.self) { try TorchPickle(path: path) }
    }

    @Test func `values that share parts without end are refused in time`() throws {
        // Thirty dictionaries, each holding the next one twice: 2^30 ways to the innermost.
        var pickle: [UInt8] = [0x80, 2, 0x7D, 0x71, 0]
        for level in 1...30 {
            let key = { (text: String) in [0x55, 1] + Array(text.utf8) }
            let inner = [0x68, UInt8(level - 1)]
            pickle += [0x7D] + key("a") + inner + [0x73] + key("b") + inner + [0x73]
            pickle += [0x71, UInt8(level)]
        }
        let folder = try TemporaryFolder()
        let path = try folder.write("bomb.bin", LegacyFile.around(pickle + [0x2E], storages: []))
        #expect(throws: FormatError.self) { try TorchPickle(path: path) }
    }

    @Test func `a dictionary that contains itself is refused`() throws {
        let pickle: [UInt8] = [0x80, 2, 0x7D, 0x71, 0, 0x55, 1, 0x61, 0x68, 0, 0x73, 0x2E]
        let folder = try TemporaryFolder()
        let path = try folder.write("self.bin", LegacyFile.around(pickle, storages: []))
        #expect(throws: FormatError.self) { try TorchPickle(path: path) }
    }

    @Test(arguments: [
        "bin/views.bin", "bin/parameters.legacy.bin", "bin/nested.bin", "bin/protocol4.bin",
        "bin-zips/deflated.bin", "bin-zips/zip64.bin",
    ])
    func `no altered file makes the reader crash`(file: String) throws {
        let original = try FileSystem.read(Fixtures.path("formats/\(file)"))
        let folder = try TemporaryFolder()
        var accepted = 0
        var random = SplitMix64(seed: 11)
        for round in 0..<2000 {
            let bytes = random.mutated(original, headBias: original.count / 2)
            let path = try folder.plainWrite("fuzz\(round % 4).bin", bytes)
            guard let reader = try? TorchPickle(path: path) else { continue }
            accepted += 1
            for tensor in reader.tensors where tensor.byteCount < 1 << 20 {
                _ = try? reader.bytes(of: tensor.name)
            }
        }
        #expect(accepted > 0 && accepted < 2000)
    }
}

/// Files of the older format, put together by hand.
private enum LegacyFile {
    static let preamble: [UInt8] =
        [0x80, 2, 0x8A, 10, 0x6C, 0xFC, 0x9C, 0x46, 0xF9, 0x20, 0x6A, 0xA8, 0x50, 0x19, 0x2E]
        + [0x80, 2, 0x4D, 0xE9, 0x03, 0x2E] + [0x80, 2, 0x7D, 0x2E]

    /// A whole file around the pickle of a state dict; storages by key, with the number of elements.
    static func around(
        _ pickle: [UInt8], storages: [(key: String, count: UInt8, data: [UInt8])]
    ) -> [UInt8] {
        var file = preamble + pickle + [0x80, 2, 0x5D]
        for storage in storages { file += text(storage.key) + [0x61] }
        file.append(0x2E)
        for storage in storages { file += [storage.count, 0, 0, 0, 0, 0, 0, 0] + storage.data }
        return file
    }

    /// {"w": two elements of a view that begins at the second of four floats}
    static let withView: [UInt8] = {
        let view: [UInt8] = [0x28] + text("7.1") + [0x4B, 1, 0x4B, 3, 0x74]
        let id: [UInt8] =
            [0x28] + text("storage") + global("torch", "FloatStorage") + text("7") + text("cpu")
            + [0x8A, 1, 4] + view + [0x74, 0x51]
        let tensor: [UInt8] =
            global("torch._utils", "_rebuild_tensor") + [0x28] + id
            + [0x4B, 0, 0x4B, 2, 0x85, 0x4B, 1, 0x85, 0x74, 0x52]
        let pickle: [UInt8] = [0x80, 2, 0x7D] + text("w") + tensor + [0x73, 0x2E]
        let floats: [Float] = [1, 2, 3, 4]
        return around(pickle, storages: [("7", 4, floats.withUnsafeBytes { Array($0) })])
    }()

    private static func text(_ text: String) -> [UInt8] {
        [0x55, UInt8(text.utf8.count)] + Array(text.utf8)
    }

    private static func global(_ module: String, _ name: String) -> [UInt8] {
        [0x63] + Array("\(module)\n\(name)\n".utf8)
    }
}

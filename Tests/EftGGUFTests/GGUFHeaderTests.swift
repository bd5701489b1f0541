// SPDX-License-Identifier: Apache-2.0
// Reading headers of GGUF files: right ones, and ones that lie.
import EftFormats
import EftGGUF
import EftTensor
import EftTestSupport
import Testing

struct GGUFHeaderTests {
    /// A small right file: two tensors, every kind of value.
    private static var sample: GGUFBuilder {
        var builder = GGUFBuilder()
        builder.add("general.architecture", "llama")
        builder.add("llama.block_count", 7)
        builder.add("words", ["a", "", "naïve ≤"])
        func add(_ key: String, _ type: UInt32, _ bytes: [UInt8]) {
            builder.entries.append((key, GGUFBuilder.bytes(type) + bytes))
        }
        add("u8", 0, [200])
        add("i8", 1, [0xFF])
        add("u16", 2, [0, 2])
        add("i16", 3, [0xFE, 0xFF])
        add("i32", 5, GGUFBuilder.bytes(Int32(-5)))
        add("f32", 6, GGUFBuilder.bytes(Float(0.1).bitPattern))
        add("bool", 7, [1])
        add("u64", 10, GGUFBuilder.bytes(UInt64.max))
        add("i64", 11, GGUFBuilder.bytes(Int64.min))
        add("f64", 12, GGUFBuilder.bytes(Double(0.1).bitPattern))
        add(
            "scores", 9,
            GGUFBuilder.bytes(UInt32(6)) + GGUFBuilder.bytes(UInt64(2))
                + GGUFBuilder.bytes(Float(-1.5).bitPattern)
                + GGUFBuilder.bytes(Float(2).bitPattern))
        builder.tensors = [
            .init(name: "a", dims: [32, 2], type: 0, data: [UInt8](repeating: 1, count: 256)),
            .init(name: "b", dims: [64], type: 2, data: [UInt8](repeating: 2, count: 36)),
        ]
        return builder
    }

    private func open(_ bytes: [UInt8]) throws -> GGUFFile {
        let folder = try TemporaryFolder()
        return try GGUFFile(path: folder.write("a.gguf", bytes))
    }

    private func fault(_ bytes: [UInt8]) throws -> GGUFError? {
        let folder = try TemporaryFolder()
        let path = try folder.write("a.gguf", bytes)
        return #expect(throws: GGUFError.self) { try GGUFFile(path: path) }
    }

    @Test(arguments: [UInt32(2), 3])
    func `reads values, lists and tensors`(version: UInt32) throws {
        var builder = Self.sample
        builder.version = version
        let folder = try TemporaryFolder()
        let file = try GGUFFile(path: folder.write("a.gguf", builder.file()))
        #expect(file.parts[0].version == Int(version))
        let metadata = file.metadata
        #expect(metadata["general.architecture"] == .text("llama"))
        #expect(metadata["llama.block_count"] == .integer(7))
        #expect(metadata["u8"] == .integer(200))
        #expect(metadata["i8"] == .integer(-1))
        #expect(metadata["u16"] == .integer(512))
        #expect(metadata["i16"] == .integer(-2))
        #expect(metadata["i32"] == .integer(-5))
        #expect(metadata["f32"] == .real(0.1))
        #expect(metadata["f64"] == .real(0.1))
        #expect(metadata["bool"] == .bool(true))
        #expect(metadata["u64"] == .real(0x1p64))
        #expect(metadata["i64"] == .integer(.min))
        #expect(try file.numbers("scores") == [-1.5, 2])
        #expect(try file.numbers("none") == nil)
        var words: [String] = []
        let count = try file.forEachString("words") { index, bytes throws(GGUFError) in
            #expect(index == words.count)
            words.append(String(decoding: bytes, as: UTF8.self))
        }
        #expect(count == 3)
        #expect(words == ["a", "", "naïve ≤"])
        let (a, b) = (file.tensors[0].tensor, file.tensors[1].tensor)
        #expect(a.dims == [2, 32] && a.type == .f32 && a.bytes.count == 256)
        #expect(a.rows == 2 && a.columns == 32 && a.rowBytes == 128)
        #expect(b.dims == [64] && b.type == .q4_0 && b.bytes.count == 36)
        #expect(b.bytes.lowerBound == a.bytes.upperBound)
        #expect(a.bytes.lowerBound % 32 == 0)
    }

    @Test func `takes the alignment that the file names`() throws {
        var builder = Self.sample
        builder.add("general.alignment", 64)
        builder.alignment = 64
        let tensors = try open(builder.file()).tensors
        #expect(tensors.allSatisfy { $0.tensor.bytes.lowerBound % 64 == 0 })
    }

    @Test func `a list of one kind is not read as another`() throws {
        let folder = try TemporaryFolder()
        let file = try GGUFFile(path: folder.write("a.gguf", Self.sample.file()))
        #expect(throws: GGUFError.self) { try file.numbers("words") }
        #expect(throws: GGUFError.self) { try file.numbers("u8") }
        #expect(throws: GGUFError.self) { try file.numbers("scores", limit: 1) }
        #expect(throws: GGUFError.self) {
            try file.forEachString("scores") { _, _ throws(GGUFError) in }
        }
    }

    @Test func `says what is wrong with a header`() throws {
        func check(
            _ words: String, _ code: GGUFErrorCode = .damaged,
            _ change: (inout GGUFBuilder) -> Void
        ) throws {
            var builder = Self.sample
            change(&builder)
            let error = try fault(builder.file())
            #expect(error?.message.contains(words) == true, "\(String(describing: error))")
            #expect(error?.code == code)
        }
        func entry(_ type: UInt32, _ bytes: [UInt8]) -> (key: String, value: [UInt8]) {
            ("x", GGUFBuilder.bytes(type) + bytes)
        }
        let huge = GGUFBuilder.bytes(UInt64.max)
        try check("does not begin") { $0.magic = Array("GGML".utf8) }
        try check("version 1", .unsupported) { $0.version = 1 }
        try check("version 9", .unsupported) { $0.version = 9 }
        try check("big-endian", .unsupported) { $0.version = UInt32(3).byteSwapped }
        try check("more than the file") { $0.tensorCount = .max }
        try check("more than the file") { $0.entryCount = 1 << 40 }
        try check("no type of a value") { $0.entries.append(entry(13, [])) }
        try check("no truth value") { $0.entries.append(entry(7, [2])) }
        try check("a string of 18446744073709551615") { $0.entries.append(entry(8, huge)) }
        try check("a list of 18446744073709551615") {
            $0.entries.append(entry(9, GGUFBuilder.bytes(UInt32(0)) + huge))
        }
        try check("a list of 1152921504606846976") {
            $0.entries.append(
                entry(9, GGUFBuilder.bytes(UInt32(8)) + GGUFBuilder.bytes(UInt64(1) << 60)))
        }
        try check("list of lists", .unsupported) {
            $0.entries.append(
                entry(9, GGUFBuilder.bytes(UInt32(9)) + GGUFBuilder.bytes(UInt64(1))))
        }
        try check("twice") { $0.add("u8", 1) }
        try check("power of two") { $0.add("general.alignment", 24) }
        try check("power of two") { $0.add("general.alignment", 0) }
        try check("power of two") { $0.add("general.alignment", "32") }
        try check("0 extents") { $0.tensors[0].dims = [] }
        try check("5 extents") { $0.tensors[0].dims = [1, 1, 1, 1, 1] }
        try check("an extent of 0") { $0.tensors[0].dims = [32, 0] }
        try check("an extent of 18446744073709551615") { $0.tensors[0].dims = [.max] }
        try check("64 bits can count") { $0.tensors[0].dims = [1 << 40, 1 << 40] }
        try check("more bytes than 64 bits") { $0.tensors[0].dims = [1 << 62] }
        try check("no longer in use", .unsupported) { $0.tensors[0].type = 4 }
        try check("type 77", .unsupported) { $0.tensors[0].type = 77 }
        try check("no multiple of the 32") { $0.tensors[1].dims = [48] }
        try check("no multiple of 32") { $0.tensors[1].offset = 40 }
        try check("cut off") { $0.tensors[1].offset = 1 << 50 }
        try check("cut off") { $0.tensors[1].offset = UInt64.max - 31 }
        try check("cut off") { $0.tensors[1].dims = [1 << 20] }
        try check("where a does") { $0.tensors[1].offset = 128 }
        try check("twice") { $0.tensors[1].name = "a" }
    }

    @Test func `a file that ends early is damaged wherever it ends`() throws {
        let whole = Self.sample.file()
        let folder = try TemporaryFolder()
        for count in 0..<whole.count - 63 {
            let path = try folder.plainWrite("a.gguf", Array(whole[..<count]))
            let error = #expect(throws: GGUFError.self) { try GGUFFile(path: path) }
            #expect(error?.code == .damaged, "\(count): \(String(describing: error))")
        }
    }

    @Test func `altered files are read or refused`() throws {
        let whole = Self.sample.file()
        let folder = try TemporaryFolder()
        var random = SplitMix64(seed: 15)
        var refused = 0
        for _ in 0..<4000 {
            let path = try folder.plainWrite(
                "a.gguf", random.mutated(whole, headBias: whole.count - 320))
            do { try check(GGUFFile(path: path)) } catch { refused += 1 }
        }
        #expect(refused > 1000)
    }

    /// Reads all that a file says.
    private func check(_ file: GGUFFile) throws(GGUFError) {
        for (_, tensor) in file.tensors {
            #expect(tensor.bytes.upperBound <= FileSystem.byteCount(file.path) ?? 0)
            #expect(tensor.rows * tensor.rowBytes == tensor.bytes.count)
        }
        for (key, value) in file.metadata where value.list != nil {
            if value.list?.element == .string {
                _ = try file.forEachString(key) { _, _ throws(GGUFError) in }
            } else {
                _ = try file.numbers(key)
            }
        }
    }

    @Test func `other files are no GGUF`() throws {
        let folder = try TemporaryFolder()
        #expect(GGUFHeader.isOne(try folder.write("a", Self.sample.file())))
        #expect(!GGUFHeader.isOne(try folder.write("b", "GGU")))
        #expect(!GGUFHeader.isOne(try folder.write("c", "GGML....")))
        #expect(!GGUFHeader.isOne(folder.file("none")))
        #expect(!GGUFHeader.isOne(folder.path))
        folder.makePipe("pipe")
        #expect(!GGUFHeader.isOne(folder.file("pipe")))
        let error = #expect(throws: GGUFError.self) { try GGUFFile(path: folder.file("none")) }
        #expect(error?.code == .missing)
    }
}

struct GGUFSplitTests {
    /// The files of a model in three parts.
    private static func parts() -> [[UInt8]] {
        (0..<3).map { index in
            var builder = GGUFBuilder()
            if index == 0 {
                builder.add("general.architecture", "llama")
                builder.add("split.tensors.count", 2)
            }
            builder.entries.append(
                ("split.no", GGUFBuilder.bytes(UInt32(2)) + GGUFBuilder.bytes(UInt16(index))))
            builder.entries.append(
                ("split.count", GGUFBuilder.bytes(UInt32(2)) + GGUFBuilder.bytes(UInt16(3))))
            if index > 0 {
                builder.tensors = [
                    .init(name: "t\(index)", data: [UInt8](repeating: 0, count: 128))
                ]
            }
            return builder.file()
        }
    }

    private static func name(_ index: Int) -> String { "m-0000\(index + 1)-of-00003.gguf" }

    private func folder(_ parts: [[UInt8]] = parts()) throws -> TemporaryFolder {
        let folder = try TemporaryFolder()
        for (index, part) in parts.enumerated() { try folder.write(Self.name(index), part) }
        return folder
    }

    @Test(arguments: 0..<3) func `opens a model by any of its files`(index: Int) throws {
        let folder = try folder()
        let file = try GGUFFile(path: folder.file(Self.name(index)))
        #expect(file.path == folder.file(Self.name(0)))
        #expect(file.metadata["general.architecture"] == .text("llama"))
        #expect(file.tensors.map(\.tensor.name) == ["t1", "t2"])
        #expect(file.tensors.map(\.part) == [1, 2])
    }

    @Test func `says which file is missing, wrong or misnamed`() throws {
        let folder = try folder()
        try folder.write(Self.name(1), Self.parts()[2])
        var error = #expect(throws: GGUFError.self) {
            try GGUFFile(path: folder.file(Self.name(0)))
        }
        #expect(error?.message.contains("part 2 of 3") == true)
        try FileSystem.remove(folder.file(Self.name(1)))
        error = #expect(throws: GGUFError.self) { try GGUFFile(path: folder.file(Self.name(0))) }
        #expect(error?.code == .missing && error?.path == folder.file(Self.name(1)))
        let renamed = try folder.write("model.gguf", Self.parts()[0])
        error = #expect(throws: GGUFError.self) { try GGUFFile(path: renamed) }
        #expect(error?.message.contains("NAME-00001-of-00003.gguf") == true)
    }

    @Test func `tensors that are missing or doubled are found`() throws {
        var builder = GGUFBuilder()
        builder.entries = [
            ("split.no", GGUFBuilder.bytes(UInt32(2)) + GGUFBuilder.bytes(UInt16(2))),
            ("split.count", GGUFBuilder.bytes(UInt32(2)) + GGUFBuilder.bytes(UInt16(3))),
        ]
        var parts = Self.parts()
        parts[2] = builder.file()
        let without = try folder(parts)
        var error = #expect(throws: GGUFError.self) {
            try GGUFFile(path: without.file(Self.name(0)))
        }
        #expect(error?.message.contains("1 tensors where 2") == true)
        builder.tensors = [.init(name: "t1", data: [UInt8](repeating: 0, count: 128))]
        parts[2] = builder.file()
        let double = try folder(parts)
        error = #expect(throws: GGUFError.self) {
            try GGUFFile(path: double.file(Self.name(0)))
        }
        #expect(error?.message.contains("two files") == true)
    }
}

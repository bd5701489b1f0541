// SPDX-License-Identifier: Apache-2.0
// Finding weight files in folders, and reading several as one.
import EftFormats
import EftTensor
import EftTestSupport
import Testing

struct CheckpointFolderTests {
    @Test(arguments: ["sharded", "bin", "bin-legacy", "bin-sharded"])
    func `every way of storing a model gives the same tensors`(model: String) throws {
        let plain = try CheckpointFolder.open(Fixtures.path("models/plain"))
        let other = try CheckpointFolder.open(Fixtures.path("models/\(model)"))
        #expect(Set(other.tensors) == Set(plain.tensors))
        #expect(!plain.tensors.isEmpty)
        for tensor in plain.tensors {
            #expect(try other.bytes(of: tensor.name) == plain.bytes(of: tensor.name))
        }
    }

    @Test(arguments: [
        "model.safetensors.index.json", "model-00002-of-00003.safetensors",
    ])
    func `a single file or an index can be opened by its path`(name: String) throws {
        let reader = try CheckpointFolder.open(Fixtures.path("models/sharded/\(name)"))
        #expect(!reader.tensors.isEmpty)
    }

    @Test func `shards without an index are read when all are there`() throws {
        let folder = try copy("models/sharded", without: ["model.safetensors.index.json"])
        let plain = try CheckpointFolder.open(Fixtures.path("models/plain"))
        #expect(try Set(CheckpointFolder.open(folder.path).tensors) == Set(plain.tensors))
        try FileSystem.remove(folder.file("model-00003-of-00003.safetensors"))
        try expectError(folder, .missing, "model-00003-of-00003.safetensors")
    }

    @Test func `an index naming a missing file is refused`() throws {
        let folder = try copy("models/sharded", without: ["model-00002-of-00003.safetensors"])
        try expectError(folder, .missing, "model-00002-of-00003.safetensors")
    }

    @Test func `a bin index naming a missing file is refused`() throws {
        let folder = try copy("models/bin-sharded", without: ["pytorch_model-00001-of-00002.bin"])
        try expectError(folder, .missing, "pytorch_model-00001-of-00002.bin")
    }

    @Test(arguments: [
        (#"{"weight_map":{"a":"one.safetensors","c":"two.safetensors"}}"#, "does not"),
        (#"{"weight_map":{"a":"two.safetensors","b":"one.safetensors"}}"#, "does not"),
        (#"{"weight_map":{"a":"../one.safetensors"}}"#, "plain file name"),
        (#"{"weight_map":{"a":""}}"#, "plain file name"), (#"{"weight_map":{"a":1}}"#, "plain"),
        (#"{"weight_map":[]}"#, "mapping"), ("{}", "weight_map"), ("{", "index"),
    ])
    func `an index that is wrong is refused`(index: String, words: String) throws {
        let folder = try TemporaryFolder()
        try write(folder, "one", ["a"])
        try write(folder, "two", ["b"])
        try folder.write("model.safetensors.index.json", index)
        try expectError(folder, .damaged, words)
    }

    @Test func `a tensor in two shards is refused`() throws {
        let folder = try TemporaryFolder()
        try write(folder, "one", ["a", "b"])
        try write(folder, "two", ["b"])
        try folder.write(
            "model.safetensors.index.json",
            #"{"weight_map":{"a":"one.safetensors","b":"two.safetensors"}}"#)
        try expectError(folder, .damaged, "both one.safetensors and two.safetensors")
    }

    @Test(arguments: [("exl2", true), ("gptq", false)])
    func `only an EXL2 folder may carry an index of missing files`(
        method: String, opens: Bool
    ) throws {
        let folder = try TemporaryFolder()
        try write(folder, "output-00001-of-00002", ["a"])
        try write(folder, "output-00002-of-00002", ["b"])
        try write(folder, "other", ["a"])
        try folder.write(
            "model.safetensors.index.json",
            #"{"weight_map":{"a":"model-00001-of-00001.safetensors"}}"#)
        try folder.write("config.json", #"{"quantization_config":{"quant_method":"\#(method)"}}"#)
        if opens {
            #expect(try CheckpointFolder.open(folder.path).tensors.map(\.name) == ["a", "b"])
        } else {
            try expectError(folder, .missing, "model-00001-of-00001.safetensors")
        }
    }

    @Test func `model and adapter in one folder are told apart`() throws {
        let folder = try TemporaryFolder()
        try write(folder, "adapter_model", ["lora"])
        #expect(try CheckpointFolder.open(folder.path).tensors.map(\.name) == ["lora"])
        try write(folder, "weights", ["w"])
        #expect(try CheckpointFolder.open(folder.path).tensors.map(\.name) == ["w"])
        let adapter = try CheckpointFolder.open(folder.path, kind: .adapter)
        #expect(adapter.tensors.map(\.name) == ["lora"])
    }

    @Test func `an empty folder or no folder has no weights`() throws {
        let folder = try TemporaryFolder()
        try expectError(folder, .missing, "no weights")
        let error = #expect(throws: FormatError.self) {
            try CheckpointFolder.open(folder.file("nothing"))
        }
        #expect(error?.code == .missing)
        #expect(
            #expect(throws: FormatError.self) {
                try CheckpointFolder.open(folder.path, kind: .adapter)
            }?.code == .missing)
    }

    @Test func `a shard cut off is refused`() throws {
        let folder = try copy("models/sharded", without: [])
        let name = "model-00003-of-00003.safetensors"
        let bytes = try FileSystem.read(folder.file(name))
        try folder.write(name, Array(bytes.dropLast(10)))
        try expectError(folder, .damaged, name)
    }

    // MARK: Folders

    private func copy(_ fixture: String, without left: Set<String>) throws -> TemporaryFolder {
        let folder = try TemporaryFolder()
        for name in try Fixtures.list(fixture) where !left.contains(name) {
            try FileSystem.copy(Fixtures.path("\(fixture)/\(name)"), to: folder.file(name))
        }
        return folder
    }

    private func write(_ folder: TemporaryFolder, _ base: String, _ names: [String]) throws {
        let tensors = try names.map { try TensorInfo(name: $0, dtype: .u8, shape: Shape(1)) }
        let aside = try TemporaryFolder()
        let writer = try SafetensorsWriter(folder: aside.path, baseName: base, tensors: tensors)
        for name in names { try writer.write(name, [1]) }
        for path in try writer.finish() {
            try FileSystem.copy(path, to: folder.file(FileSystem.name(of: path)))
        }
    }

    private func expectError(
        _ folder: TemporaryFolder, _ code: FormatError.Code, _ words: String,
        _ location: SourceLocation = #_sourceLocation
    ) throws {
        let error = #expect(throws: FormatError.self, sourceLocation: location) {
            try CheckpointFolder.open(folder.path)
        }
        #expect(error?.code == code, sourceLocation: location)
        #expect(
            error?.description.contains(words) == true, "\(String(describing: error))",
            sourceLocation: location)
    }
}

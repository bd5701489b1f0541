// SPDX-License-Identifier: Apache-2.0
// llama.cpp's adapters against the PEFT folders that they were made of.
import EftFormats
import EftModels
import EftNN
import EftTensor
import EftTestSupport
import Testing

struct GGUFAdapterTests {
    private static let file = Fixtures.path("gguf/adapters/gqa-tied.gguf")
    private static let folder = Fixtures.path("lora/gqa-tied/adapter")

    /// A copy of the file with a text replaced by one as long.
    private func changed(_ text: String, _ other: String) throws -> TemporaryFolder {
        let folder = try TemporaryFolder()
        var bytes = try FileSystem.read(Self.file)
        let (old, new) = (Array(text.utf8), Array(other.utf8))
        precondition(old.count == new.count, "texts of one length")
        let place = try #require(
            (0...bytes.count - old.count).first { Array(bytes[$0..<$0 + old.count]) == old })
        bytes.replaceSubrange(place..<place + old.count, with: new)
        try AtomicFile.write(folder.file("a.gguf"), bytes)
        return folder
    }

    @Test func `matrices, rank and scale are those of PEFT's folder`() throws {
        let base = try ModelFolder.open(Fixtures.path("models/gqa-tied")).description
        let peft = try CheckpointFolder.open(Self.folder, kind: .adapter)
        let made = try CheckpointFolder.open(
            Self.file, kind: .adapter, headDim: base.shape.headDim)
        #expect(Set(made.tensors.map(\.name)) == Set(peft.tensors.map(\.name)))
        for info in peft.tensors {
            #expect(try made.tensor(info.name).shape == info.shape)
            #expect(try made.floats(of: info.name) == peft.floats(of: info.name), "\(info.name)")
        }
        let (config, expected) = (
            try AdapterConfig.read(folder: Self.file), try AdapterConfig.read(folder: Self.folder)
        )
        #expect(config.rank == expected.rank && config.alpha == expected.alpha)
        #expect(Set(config.targetModules) == Set(expected.targetModules))
        for layer in 0..<base.layers {
            for linear in base.linears(layer: layer) {
                let (found, wanted) = (
                    config.settings(for: linear.name), expected.settings(for: linear.name)
                )
                #expect(found.rank == wanted.rank && found.scale == wanted.scale)
            }
        }
        #expect(
            try AdapterFile.extents(Self.file, description: base)
                == AdapterFile.extents(Self.folder, description: base))
    }

    @Test func `an adapted model gives the same logits, bit for bit`() throws {
        let model = try GoldenModel("models/gqa-tied", golden: "lora/gqa-tied")
        let slots = try [Self.file, Self.folder].map {
            try AdapterFile.load($0, into: model.decoder)
        }
        let ids = try #require(try model.ids(1))
        let found = try slots.map { try model.logits([ids], slots: [$0]) }
        #expect(found[0] == found[1])
        let plain = try model.logits([ids])
        #expect(found[0] != plain)
    }

    @Test func `without alpha products are not multiplied`() throws {
        let folder = try changed("adapter.lora.alpha", "adapter.lora.alphb")
        let config = try AdapterConfig.read(folder: folder.file("a.gguf"))
        #expect(config.settings(for: "model.layers.0.self_attn.q_proj").scale == 1)
    }

    @Test(arguments: [
        ("lora_a", "lora_c", "half of an adapter"), ("ffn_down", "ffn_dowm", "no place"),
        ("llama", "llamb", "llamb"),
    ])
    func `what is not read is refused by name`(text: String, other: String, message: String) throws
    {
        let folder = try changed(text, other)
        let error = #expect(throws: FormatError.self) {
            try CheckpointFolder.open(folder.file("a.gguf"), kind: .adapter)
        }
        #expect(error?.code == .unsupported && error?.message.contains(message) == true)
    }

    @Test func `rows that are no heads of the base are an error, and so is no base`() throws {
        let error = #expect(throws: FormatError.self) {
            try CheckpointFolder.open(Self.file, kind: .adapter, headDim: 6)
        }
        #expect(error?.code == .damaged)
        let checkpoint = try CheckpointFolder.open(Self.file, kind: .adapter)
        let path = "base_model.model.model.layers.0.self_attn."
        #expect(throws: FormatError.self) {
            try checkpoint.floats(of: path + "q_proj.lora_B.weight")
        }
        #expect(try !checkpoint.floats(of: path + "v_proj.lora_B.weight").isEmpty)
        // Another model has no place for it.
        let other = try GoldenModel("models/plain")
        #expect(throws: (any Error).self) { try AdapterFile.load(Self.file, into: other.decoder) }
    }

    @Test func `given as a model it is refused as what it is`() throws {
        for path in [Self.file, Self.folder] {
            let error = #expect(throws: ModelError.self) { try ModelFolder.open(path) }
            #expect(error?.message.contains("this is an adapter") == true)
        }
        let inspection = try Inspection(Self.file)
        #expect(inspection.adapter != nil)
    }

    @Test func `tensors that torch wrote under other names are found`() throws {
        let folder = try TemporaryFolder()
        let source = Fixtures.path("models/bin")
        try FileSystem.copy(
            FileSystem.join(source, "config.json"), to: folder.file("config.json"))
        try FileSystem.copy(
            FileSystem.join(source, "pytorch_model.bin"), to: folder.file("weights.pt"))
        // What a trainer leaves beside it is no model.
        try FileSystem.copy(
            FileSystem.join(source, "pytorch_model.bin"), to: folder.file("optimizer.pt"))
        let expected = try CheckpointFolder.open(source)
        let found = try CheckpointFolder.open(folder.path)
        #expect(found.tensors.map(\.name) == expected.tensors.map(\.name))
        #expect(try !ModelFolder.open(folder.path).description.architecture.isEmpty)
        // Of two nobody knows which.
        try FileSystem.copy(
            FileSystem.join(source, "pytorch_model.bin"), to: folder.file("other.pth"))
        #expect(throws: FormatError.self) { try CheckpointFolder.open(folder.path) }
        let adapter = try TemporaryFolder()
        try FileSystem.copy(
            FileSystem.join(source, "pytorch_model.bin"), to: adapter.file("adapter_model.pt"))
        #expect(
            try CheckpointFolder.open(adapter.path, kind: .adapter).tensors.count
                == expected.tensors.count)
    }
}

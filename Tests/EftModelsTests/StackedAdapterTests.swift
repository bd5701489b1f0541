// SPDX-License-Identifier: Apache-2.0
// Adapters of the parameters that hold all experts of a layer, against PEFT.
import EftConfig
import EftFormats
import EftModels
import EftTensor
import EftTestSupport
import Testing

@Suite struct StackedAdapterTests {
    static let names = ["qwen3-moe", "gpt-oss", "granitemoe"]

    private static func path(_ name: String) -> String {
        Fixtures.path("stacked-adapters/\(name)")
    }

    private func model(_ name: String) throws -> GoldenModel {
        try GoldenModel(
            "architectures/\(name)", golden: "stacked-adapters/\(name)",
            adapter: Self.path(name) + "/adapter")
    }

    @Test(arguments: names)
    func `logits equal those of PEFT`(_ name: String) throws {
        let model = try model(name)
        let slot = try AdapterFile.load(Self.path(name) + "/adapter", into: model.decoder)
        for index in 0..<3 {
            let ids = try #require(try model.ids(index))
            let expected = try model.golden.floats(of: "logits_\(index)")
            #expect(relativeError(try model.logits([ids], slots: [slot]), expected) < 1e-4)
        }
    }

    @Test(arguments: names)
    func `gradients equal PyTorch's, one for gate and up together`(_ name: String) throws {
        let decoder = try model(name).decoder
        let slot = try AdapterFile.load(Self.path(name) + "/adapter", into: decoder)
        for linear in decoder.linears {
            try linear.adapters[slot]?.makeTrainable(
                prefix: AdapterFile.prefix + linear.name, ledger: nil)
        }
        let golden = try CheckpointFolder.open(Self.path(name) + "/training.safetensors")
        let batch = try GradientGoldenTests.Batch(golden)
        let (loss, found) = try GradientGoldenTests.gradients(
            decoder, batch, slots: [slot], checkpointing: true)
        #expect(abs(loss - (try golden.floats(of: "loss"))[0]) < 1e-4 * abs(loss))
        let count = try GradientGoldenTests.compareAdapters(found, golden)
        #expect(count == decoder.parameters.count)
    }

    @Test(arguments: names)
    func `what is saved is what was loaded`(_ name: String) throws {
        let decoder = try model(name).decoder
        let adapter = Self.path(name) + "/adapter"
        let slot = try AdapterFile.load(adapter, into: decoder)
        let folder = try TemporaryFolder()
        let config = try AdapterConfig.read(folder: adapter)
        try AdapterFile.save(decoder, slot: slot, config: config, to: folder.path)
        let (old, new) = try (
            CheckpointFolder.open(adapter, kind: .adapter),
            CheckpointFolder.open(folder.path, kind: .adapter)
        )
        #expect(Set(old.tensors.map(\.name)) == Set(new.tensors.map(\.name)))
        for info in old.tensors {
            #expect(try new.tensor(info.name).shape == info.shape)
            #expect(try old.floats(of: info.name) == new.floats(of: info.name))
        }
        #expect(try AdapterConfig.read(folder: folder.path) == config)
    }

    @Test(arguments: names)
    func `memory is stated to the byte`(_ name: String) throws {
        let adapter = Self.path(name) + "/adapter"
        let backend = try CPUBackend(ledger: MemoryLedger(), threads: 2)
        let folder = try ModelFolder.open(Fixtures.path("architectures/\(name)"))
        let decoder = try DecoderLoader(folder: folder).load(backend: backend)
        _ = try AdapterFile.load(adapter, into: decoder)
        let taken = backend.ledger.current[.adapters]
        let stated = try AdapterFile.extents(adapter, description: decoder.description)
        #expect(stated.byteCount == taken && taken > 0 && stated.rank == 3)
    }

    /// An adapter whose configuration names other parameters than its tensors belong to.
    private func renamed(_ name: String, _ parameters: String) throws -> TemporaryFolder {
        let folder = try TemporaryFolder()
        let source = Self.path(name) + "/adapter/"
        try FileSystem.copy(
            source + "adapter_model.safetensors", to: folder.file("adapter_model.safetensors"))
        var object = try ConfigFile.read(source + "adapter_config.json").object()
        object["target_parameters"] = try JSONParser.parse(parameters)
        try folder.write("adapter_config.json", JSONWriter.text(ConfigNode(.object(object))))
        return folder
    }

    @Test(arguments: [
        ("qwen3-moe", "[\"mlp.experts.gate_up_proj\"]", ModelError.Code.mismatch),
        ("granitemoe", "[\"experts.gate_up_proj\", \"experts.down_proj\"]", .missing),
        ("qwen3-moe", "null", .mismatch),
        ("qwen3-moe", "[\"mlp.experts.bias\"]", .mismatch),
    ])
    func `tensors that do not belong to the parameters are refused`(
        _ name: String, _ parameters: String, _ code: ModelError.Code
    ) throws {
        let folder = try renamed(name, parameters)
        let decoder = try model(name).decoder
        let error = try #require(throws: ModelError.self) {
            try AdapterFile.load(folder.path, into: decoder)
        }
        #expect(error.code == code, "\(error)")
        #expect(decoder.linears.allSatisfy { $0.adapters.isEmpty })
    }
}

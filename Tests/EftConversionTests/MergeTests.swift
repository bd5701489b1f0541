// SPDX-License-Identifier: Apache-2.0
// Merges of other bases, and adapters that do not fit.
import EftConfig
import EftConversion
import EftFormats
import EftModels
import EftTensor
import EftTestSupport
import Testing

struct MergeTests {
    private func merger(
        _ base: String, _ adapter: String, _ output: String,
        _ options: AdapterMerger.Options = .init(), ledger: MemoryLedger = MemoryLedger()
    ) throws -> AdapterMerger {
        try AdapterMerger(
            base: base, adapter: adapter, output: output, options: options,
            backend: CPUBackend(ledger: ledger, threads: 2))
    }

    /// An adapter on q_proj of layer 0 with given tensors, as (name, shape).
    private func adapter(
        _ folder: TemporaryFolder, _ tensors: [(String, [Int])], fill: Float = 0.5,
        config: String = TinyAdapter.config
    ) throws -> String {
        try TinyAdapter.write(to: folder, tensors, config: config) { _ in fill }
    }

    private static let module = "model.layers.0.self_attn.q_proj"
    private static let good = [
        (module + ".lora_A.weight", [2, 64]), (module + ".lora_B.weight", [64, 2]),
    ]

    static let misfits: [(what: String, tensors: [(String, [Int])])] = [
        ("no tensors", []),
        ("only A", [good[0]]),
        ("only B", [good[1]]),
        ("another base", [(module + ".lora_A.weight", [2, 48]), good[1]]),
        (
            "another rank",
            [(module + ".lora_A.weight", [3, 64]), (module + ".lora_B.weight", [64, 3])]
        ),
        (
            "transposed",
            [(module + ".lora_A.weight", [64, 2]), (module + ".lora_B.weight", [2, 64])]
        ),
        ("a layer too many", good + [("model.layers.9.self_attn.q_proj.lora_A.weight", [2, 64])]),
        ("a magnitude", good + [(module + ".lora_magnitude_vector", [64])]),
        ("an embedding", good + [("model.embed_tokens.lora_embedding_A", [2, 100])]),
        (
            "a tied head",
            good + [("lm_head.lora_A.weight", [2, 64]), ("lm_head.lora_B.weight", [100, 2])]
        ),
    ]

    @Test(arguments: misfits.indices)
    func `adapters that do not fit are refused before anything is written`(_ index: Int) throws {
        let folder = try TemporaryFolder()
        let base = try TinyModel.write(to: folder)
        let adapter = try adapter(folder, MergeTests.misfits[index].tensors)
        #expect(throws: (any Error).self, "\(MergeTests.misfits[index].what)") {
            try merger(base, adapter, folder.file("out"))
        }
        #expect(!FileSystem.exists(folder.file("out")))
    }

    @Test(arguments: [
        #"{"peft_type": "IA3", "r": 2, "lora_alpha": 4}"#,
        #"{"peft_type": "LORA", "r": 2, "lora_alpha": 4, "use_dora": true}"#,
        #"{"peft_type": "LORA", "r": 0, "lora_alpha": 4}"#,
        #"{"peft_type": "LORA", "r": 2, "lora_alpha": "x"}"#,
        #"{"peft_type": "LORA", "r": 2, "lora_alpha": 4, "rank_pattern": {"(": 2}}"#,
        #"{"peft_type": "LORA", "r": 2}"#, "[]", "{",
    ])
    func `adapter settings that make no sense are refused`(_ config: String) throws {
        let folder = try TemporaryFolder()
        let base = try TinyModel.write(to: folder)
        let adapter = try adapter(folder, MergeTests.good, config: config)
        #expect(throws: (any Error).self) { try merger(base, adapter, folder.file("out")) }
    }

    @Test(arguments: [Float.nan, .infinity])
    func `adapters with numbers that are not finite leave no output`(_ bad: Float) throws {
        let folder = try TemporaryFolder()
        let base = try TinyModel.write(to: folder)
        let adapter = try adapter(folder, MergeTests.good, fill: bad)
        let merger = try merger(base, adapter, folder.file("out"))
        #expect(throws: ConversionError.self) { try merger.run() }
        #expect(throws: FormatError.self) { try CheckpointFolder.open(folder.file("out")) }
    }

    @Test func `no altered adapter makes a merge crash`() throws {
        let folder = try TemporaryFolder()
        let base = try TinyModel.write(to: folder)
        let path = try adapter(folder, MergeTests.good)
        let config = try FileSystem.read(FileSystem.join(path, "adapter_config.json"))
        let weights = try FileSystem.read(FileSystem.join(path, "adapter_model.safetensors"))
        let document = try JSONParser.parse(config)
        var random = SplitMix64(seed: 81)
        var (accepted, refused) = (0, 0)
        for round in 0..<400 {
            let settings =
                switch round % 3 {
                case 0: random.mutated(config, headBias: config.count)
                case 1: Array(JSONWriter.text(random.mutated(document)).utf8)
                default: config
                }
            _ = try folder.plainWrite("adapter/adapter_config.json", settings)
            _ = try folder.plainWrite(
                "adapter/adapter_model.safetensors",
                round % 3 == 2 ? random.mutated(weights, headBias: 250) : weights)
            do {
                let merger = try merger(base, path, folder.file("out"))
                accepted += 1
                // Writing waits for the disk; a part of them is enough.
                if accepted % 8 == 0 { try merger.run() }
            } catch {
                #expect(
                    error is ConversionError || error is ConfigError || error is FormatError
                        || error is ModelError, "round \(round): \(error)")
                refused += 1
            }
        }
        #expect(accepted > 20 && refused > 20)
    }

    @Test func `the output must be another folder`() throws {
        let folder = try TemporaryFolder()
        let base = try TinyModel.write(to: folder)
        let adapter = try adapter(folder, MergeTests.good)
        #expect(throws: ConversionError.self) { try merger(base, adapter, base) }
        #expect(throws: ConversionError.self) { try merger(base, adapter, adapter) }
    }

    @Test func `a base in NF4 comes out in its own type, without a quantization`() throws {
        let folder = try TemporaryFolder()
        let base = Fixtures.path("nf4-model/bnb-4bit")
        let adapter = try adapter(folder, MergeTests.good)
        // With and without the round trip: what is stored quantized is not quantized again.
        for (name, trip) in [("a", true), ("b", false)] {
            try merger(base, adapter, folder.file(name), .init(roundTripsNF4: trip)).run()
        }
        let (a, b) = (
            try CheckpointFolder.open(folder.file("a")), try CheckpointFolder.open(folder.file("b"))
        )
        let golden = try SafetensorsFile(path: Fixtures.path("nf4-model/dequantized.safetensors"))
        for info in golden.tensors where info.name != MergeTests.module + ".weight" {
            #expect(try a.floats(of: info.name) == golden.floats(of: info.name), "\(info.name)")
        }
        for info in a.tensors { #expect(try a.bytes(of: info.name) == b.bytes(of: info.name)) }
        let config = try ModelFolder.open(folder.file("a")).config
        #expect(try config.optional("quantization_config") == nil)
    }

    @Test func `the round trip changes the layers' matrices and nothing else`() throws {
        let folder = try TemporaryFolder()
        let base = try TinyModel.write(to: folder)
        let adapter = try adapter(folder, MergeTests.good, fill: 0)
        try merger(base, adapter, folder.file("out"), .init(roundTripsNF4: true)).run()
        let (source, result) = (
            try CheckpointFolder.open(base), try CheckpointFolder.open(folder.file("out"))
        )
        for info in source.tensors {
            let same = try source.bytes(of: info.name) == result.bytes(of: info.name)
            let held = info.shape.dims.count == 2 && info.name.hasPrefix("model.layers.")
            #expect(same != held, "\(info.name)")
        }
    }

    @Test func `a tokenizer beside the adapter replaces the base's`() throws {
        let folder = try TemporaryFolder()
        let base = try TinyModel.write(to: folder)
        let adapter = try adapter(folder, MergeTests.good)
        try AtomicFile.write(FileSystem.join(adapter, "tokenizer.json"), "{\"new\": 1}")
        try merger(base, adapter, folder.file("out"), .init(dtype: .f16)).run()
        #expect(
            try FileSystem.read(folder.file("out/tokenizer.json")) == Array("{\"new\": 1}".utf8))
        let config = try ModelFolder.open(folder.file("out")).config
        #expect(try config.required("torch_dtype").string() == "float16")
        #expect(!FileSystem.exists(folder.file("out/adapter_config.json")))
    }

    @Test(arguments: [false, true])
    func `memory stays within what was stated`(_ trip: Bool) throws {
        let folder = try TemporaryFolder()
        let base = try TinyModel.write(to: folder)
        let adapter = try adapter(folder, MergeTests.good)
        let ledger = MemoryLedger()
        let merger = try merger(
            base, adapter, folder.file("out"), .init(roundTripsNF4: trip), ledger: ledger)
        let stated = merger.memory
        try merger.run()
        #expect(ledger.peakTotal <= stated.total)
        #expect(Double(ledger.peakTotal) > 0.95 * Double(stated.total))
    }
}

// SPDX-License-Identifier: Apache-2.0
// Models in GGUF files: those that llama.cpp's own conversion wrote, and one that is quantized, against transformers.
import EftConfig
import EftFormats
import EftModels
import EftTensor
import EftTestSupport
import Testing

@Suite struct GGUFModelTests {
    private static let names = try? Fixtures.list("gguf/models").map {
        String($0.dropLast(".gguf".count))
    }

    /// What llama.cpp's files cannot say of these small models: it has a fixed value there, and the large models have it too.
    private static let unsaid = [
        "cohere2": #"{"layer_types": ["sliding_attention", "full_attention"]}"#,
        "gemma2": #"{"query_pre_attn_scalar": 12}"#,
        "gemma3":
            #"{"query_pre_attn_scalar": 12, "layer_types": ["sliding_attention", "full_attention"]}"#,
        "nemotron": #"{"partial_rotary_factor": 0.5}"#, "phi": #"{"num_key_value_heads": 2}"#,
        "smollm3": #"{"no_rope_layers": [1, 0]}"#, "starcoder2": #"{"sliding_window": 11}"#,
    ]

    @Test(arguments: names ?? [])
    func `a model that llama.cpp converted gives transformers' logits`(_ name: String) throws {
        var overrides = ConfigOverrides()
        if let text = Self.unsaid[name] {
            overrides.values = try ConfigCursor(JSONParser.parse(Array(text.utf8))).object()
        }
        let model = try GoldenModel(
            "gguf/models/\(name).gguf", golden: "architectures/\(name)", overrides: overrides)
        for index in 0..<3 {
            let ids = try #require(try model.ids(index))
            let expected = try model.golden.floats(of: "logits_\(index)")
            #expect(relativeError(try model.logits([ids]), expected) < 1e-4, "sequence \(index)")
        }
    }

    /// What is stored with one added comes back with the last bit in doubt.
    @Test(arguments: names ?? [])
    func `tensors are those of the folder that was converted`(_ name: String) throws {
        let found = try CheckpointFolder.open(Fixtures.path("gguf/models/\(name).gguf"))
        let folder = try CheckpointFolder.open(
            Fixtures.path("architectures/\(name)/model.safetensors"))
        let names = Set(found.tensors.map(\.name))
        // transformers keeps the experts of a layer together.
        let apart = folder.tensors.filter { !$0.name.contains(".experts.") }
        #expect(names.isSuperset(of: apart.map(\.name).filter { !$0.hasSuffix("lm_head.weight") }))
        for tensor in apart where names.contains(tensor.name) {
            #expect(try found.tensor(tensor.name).shape == tensor.shape)
            let (a, b) = (try found.floats(of: tensor.name), try folder.floats(of: tensor.name))
            let isShifted = tensor.name.hasSuffix("norm.weight")
            #expect(
                zip(a, b).allSatisfy { isShifted ? abs($0 - $1) < 2e-7 : $0 == $1 },
                "\(tensor.name)")
        }
    }

    @Test func `quantized tensors are what the format's package makes of them`() throws {
        let checkpoint = try CheckpointFolder.open(Fixtures.path("gguf/quantized/model.gguf"))
        let file = Fixtures.path("gguf/quantized/digests.json")
        let digests = try ConfigCursor(JSONParser.parse(FileSystem.read(file)))
        let names = try digests.object().keys
        #expect(Set(names) == Set(checkpoint.tensors.map(\.name)))
        // Sizes are those of the blocks, not of the numbers.
        let size = try #require(FileSystem.byteCount(Fixtures.path("gguf/quantized/model.gguf")))
        #expect(checkpoint.byteCount < size && checkpoint.byteCount > size / 2)
        for name in names {
            let bytes = try checkpoint.bytes(of: name)
            #expect(SHA256.digest(bytes).hex == (try digests.required(name).string()), "\(name)")
            #expect(try checkpoint.withBytes(of: name) { Array($0) } == bytes)
            // Any part is the same as that part of the whole.
            var random = SplitMix64(seed: 3)
            for _ in 0..<20 {
                let first = Int.random(in: 0..<bytes.count, using: &random)
                let end = Int.random(in: first...bytes.count, using: &random)
                var part = [UInt8](repeating: 0, count: end - first)
                try part.withUnsafeMutableBytes {
                    try checkpoint.read(name, bytes: first..<end, into: $0)
                }
                #expect(part[...] == bytes[first..<end], "\(name) \(first) to \(end)")
            }
        }
    }

    @Test func `a quantized model gives transformers' logits`() throws {
        let model = try GoldenModel("gguf/quantized/model.gguf", golden: "gguf/quantized")
        for index in 0..<3 {
            let ids = try #require(try model.ids(index))
            let expected = try model.golden.floats(of: "logits_\(index)")
            // Some of the types are held in half precision.
            #expect(relativeError(try model.logits([ids]), expected) < 1e-3, "sequence \(index)")
        }
    }

    @Test(arguments: [(ActivationPrecision.int16, Float(1e-3)), (.int8, 0.05)])
    func `codes times integers give nearly the same logits`(
        precision: ActivationPrecision, limit: Float
    ) throws {
        let model = try GoldenModel(
            "gguf/quantized/model.gguf", golden: "gguf/quantized", precision: precision)
        for index in 0..<3 {
            let ids = try #require(try model.ids(index))
            let expected = try model.golden.floats(of: "logits_\(index)")
            #expect(relativeError(try model.logits([ids]), expected) < limit, "sequence \(index)")
        }
    }

    @Test func `a GGUF file is a folder with documents`() throws {
        let path = Fixtures.path("gguf/models/gemma3.gguf")
        #expect(FileSystem.isFolder(path) && !FileSystem.isDirectory(path))
        let names = try FileSystem.list(path)
        #expect(
            names == [
                "config.json", "generation_config.json", "tokenizer.json", "tokenizer_config.json",
            ])
        for name in names {
            let file = FileSystem.join(path, name)
            #expect(FileSystem.exists(file))
            #expect(FileSystem.byteCount(file) == FileSystem.byteCount(path))
            _ = try JSONParser.parse(FileSystem.read(file), file: file)
        }
        #expect(!FileSystem.exists(FileSystem.join(path, "chat_template.jinja")))
        #expect(throws: FormatError.self) {
            try FileSystem.read(FileSystem.join(path, "chat_template.jinja"))
        }
        let folder = try TemporaryFolder()
        try FileSystem.copy(FileSystem.join(path, "config.json"), to: folder.file("config.json"))
        #expect(
            try FileSystem.read(folder.file("config.json"))
                == FileSystem.read(FileSystem.join(path, "config.json")))
    }
}

// SPDX-License-Identifier: Apache-2.0
// GGUF files of all architectures that are written, against those that llama.cpp's own conversion writes of the same folders.
import EftConfig
import EftFormats
import EftGGUF
import EftModels
import EftTensor
import EftTestSupport
import Testing

@testable import EftConversion

struct GGUFWrittenArchitectureTests {
    /// Keys of config.json in the place of those of small models of which llama.cpp's files cannot say what they say.
    private static let sayable = [
        "deepseek-v3":
            #"{"rope_parameters": {"rope_type": "yarn", "rope_theta": 10000.0, "factor": 4.0, "original_max_position_embeddings": 16, "beta_fast": 32.0, "beta_slow": 1.0, "mscale": 0.7, "mscale_all_dim": 0.7}}"#,
        "dots1":
            #"{"sliding_window": null, "layer_types": ["full_attention", "full_attention"]}"#,
        "falcon": #"{"bias": false, "max_position_embeddings": 2048}"#,
        "falcon-new": #"{"max_position_embeddings": 2048}"#,
        "minicpm3": #"{"scale_emb": 12, "scale_depth": 1.4, "dim_model_base": 256}"#,
        "phimoe": #"{"router_jitter_noise": 0.01, "original_max_position_embeddings": 128}"#,
    ]

    /// Read only, or written with blocks that were none; Mistral's second name is not written.
    private static let unwritten: Set = [
        "baichuan", "glm4-moe-lite", "gpt-oss-mxfp4", "gpt2", "internlm2", "mistral3",
    ]

    /// Keys that llama.cpp's conversion leaves out or takes from another one, and its reader needs.
    private static let corrected: [String: Set<String>] = [
        "deepseek-v3": ["expert_gating_func"],
        "ernie4-5-moe": ["expert_shared_feed_forward_length"],
        "falcon": ["feed_forward_length"], "falcon-new": ["feed_forward_length"],
        "gpt-bigcode": ["feed_forward_length"],
        "glm": [
            "context_length", "rope.dimension_count", "attention.key_length",
            "attention.value_length",
        ],
    ]

    static let names = GGUFRecipe.names.filter { !unwritten.contains($0) }

    /// A folder with the weights and settings of a fixture, and the tokenizer of a GGUF file.
    static func folder(
        _ name: String, tokenizer: String, in folder: TemporaryFolder
    ) throws -> String {
        let source = Fixtures.path(GGUFRecipe.source(of: name))
        let file = FileSystem.join(source, "config.json")
        var config = try ConfigCursor(
            JSONParser.parse(FileSystem.read(file), file: file), file: file
        ).object()
        if let text = sayable[name] {
            let own = try ConfigCursor(JSONParser.parse(Array(text.utf8))).object()
            for (key, node) in own.entries { config[key] = node }
        }
        let path = folder.file("model")
        try FileSystem.createFolder(path)
        try AtomicFile.write(
            FileSystem.join(path, "config.json"),
            JSONWriter.bytes(ConfigNode(.object(config)), layout: .indented(2)))
        try FileSystem.copy(
            FileSystem.join(source, "model.safetensors"),
            to: FileSystem.join(path, "model.safetensors"))
        for document in ["tokenizer.json", "tokenizer_config.json"] {
            try AtomicFile.write(
                FileSystem.join(path, document),
                FileSystem.read(FileSystem.join(tokenizer, document)))
        }
        return path
    }

    @Test(arguments: names)
    func `a written file has the keys, names, extents and bytes of llama.cpp's`(
        _ name: String
    ) throws {
        let temporary = try TemporaryFolder()
        let expected = try GGUFRecipe.make(name, in: temporary)
        let folder = try Self.folder(name, tokenizer: expected, in: temporary)
        let output = temporary.file("out.gguf")
        try GGUFConverter(
            ModelFolder.open(folder), output: output, mix: .f32, checksShape: false,
            backend: CPUBackend(threads: 2)
        ).run()
        let files = try [expected, output].map { try GGUFFile(path: $0) }
        let architecture = try #require(files[0].metadata["general.architecture"]?.text)
        #expect(files[1].metadata["general.architecture"]?.text == architecture)
        let keys = files.map { file in
            Set(file.metadata.keys.filter { $0.hasPrefix(architecture + ".") })
                .subtracting((Self.corrected[name] ?? []).map { architecture + "." + $0 })
        }
        #expect(keys[0] == keys[1])
        for key in keys[0].intersection(keys[1]) {
            let values = files.map { $0.metadata[key] }
            if values[0]?.list == nil {
                #expect(values[0] == values[1], "\(key)")
            } else {
                #expect(try files[0].numbers(key) == files[1].numbers(key), "\(key)")
            }
        }
        try compare(files, paths: [expected, output])
        try readBack(output, folder)
    }

    /// Shapes of fixtures that llama.cpp would not load, or would run as others.
    private static let unread = [
        ("arcee", "no biases"), ("ernie4-5", "no biases"), ("exaone4", "64 layers"),
        ("deepseek-v2", "26 or 27 layers"), ("gpt-neox-serial", "biases of queries"),
        ("olmoe", "a key for each query"), ("glm", "share the model's width"),
        ("qwen3-5", "one width"), ("qwen3-5-moe", "one width"), ("qwen3-next", "one width"),
    ]

    @Test(arguments: unread)
    func `a shape that llama.cpp does not read is refused before anything is written`(
        _ name: String, _ reason: String
    ) throws {
        let temporary = try TemporaryFolder()
        let tokenizer = try GGUFRecipe.make(name, in: temporary)
        let folder = try Self.folder(name, tokenizer: tokenizer, in: temporary)
        let before = try FileSystem.list(temporary.path)
        let error = try #require(
            #expect(throws: ConversionError.self) {
                try GGUFConverter(
                    ModelFolder.open(folder), output: temporary.file("out.gguf"), mix: .f32,
                    backend: CPUBackend(threads: 2))
            })
        #expect(error.code == .unsupported && error.message.contains(reason), "\(error)")
        #expect(try FileSystem.list(temporary.path) == before)
    }

    private func compare(_ files: [GGUFFile], paths: [String]) throws {
        let bytes = try paths.map { try FileSystem.read($0) }
        let tensors = files.map { file in
            Dictionary(uniqueKeysWithValues: file.tensors.map { ($0.tensor.name, $0.tensor) })
        }
        #expect(Set(tensors[0].keys) == Set(tensors[1].keys))
        for (name, given) in tensors[0] {
            guard let found = tensors[1][name] else { continue }
            #expect(given.dims == found.dims && given.type == found.type, "\(name)")
            guard given.bytes.count == found.bytes.count else { continue }
            // The exponential is not that of PyTorch in its last bit.
            guard !name.hasSuffix("ssm_a") else { continue }
            #expect(bytes[0][given.bytes] == bytes[1][found.bytes], "\(name)")
        }
    }

    /// The weights come back bit for bit; what is stored with one added, or as an exponential, with the last bit in doubt.
    private func readBack(_ output: String, _ folder: String) throws {
        let models = try [folder, output].map { try ModelFolder.open($0) }
        let given = try #require(models[0].checkpoint)
        let found = try #require(models[1].checkpoint)
        var compared = 0
        for layer in 0..<models[0].description.layers {
            let description = models[0].description
            let names =
                description.linears(layer: layer).map { $0.name + ".weight" }
                + description.norms(layer: layer).map { $0.name + ".weight" }
                + description.vectors(layer: layer).map(\.name)
            for name in names {
                let (a, b) = (try given.floats(of: name), try found.floats(of: name))
                let isChanged = name.hasSuffix("norm.weight") || name.hasSuffix("A_log")
                #expect(
                    zip(a, b).allSatisfy {
                        isChanged ? abs($0 - $1) < 3e-7 * max(1, abs($0)) : $0 == $1
                    } && a.count == b.count, "\(name)")
                compared += 1
            }
        }
        #expect(compared >= 10)
    }

    /// Tensors that are put together of others, or turned, in blocks of two types.
    @Test(arguments: ["deepseek-v3", "qwen3-5-moe", "qwen3-next", "gpt-oss", "granitemoeshared"])
    func `half precision comes back as it went`(_ name: String) throws {
        let temporary = try TemporaryFolder()
        let recipe = try GGUFRecipe.make(name, in: temporary)
        let folder = try Self.folder(name, tokenizer: recipe, in: temporary)
        let output = temporary.file("out.gguf")
        try GGUFConverter(
            ModelFolder.open(folder), output: output, mix: .f16, checksShape: false,
            backend: CPUBackend(threads: 2)
        ).run()
        let models = try [folder, output].map { try ModelFolder.open($0) }
        let given = try #require(models[0].checkpoint)
        let found = try #require(models[1].checkpoint)
        for linear in models[0].description.distinctLinears {
            let name = linear.name + ".weight"
            let (a, b) = (try given.floats(of: name), try found.floats(of: name))
            let isWhole = linear.role.isRouter
            #expect(zip(a, b).allSatisfy { (isWhole ? $0 : Float(Float16($0))) == $1 }, "\(name)")
        }
    }
}

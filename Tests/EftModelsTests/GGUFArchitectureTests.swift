// SPDX-License-Identifier: Apache-2.0
// Models of all architectures as llama.cpp's own conversion wrote them, against transformers.
import EftConfig
import EftFormats
import EftGGUF
import EftModels
import EftTensor
import EftTestSupport
import Testing

@Suite struct GGUFArchitectureTests {
    /// What llama.cpp's files cannot say of these small models: it has a fixed value there, and the large models have it too.
    private static let unsaid = [
        "deepseek-v3":
            #"{"rope_scaling": {"rope_type": "yarn", "factor": 4.0, "original_max_position_embeddings": 16, "mscale": 0.9, "mscale_all_dim": 0.7}}"#,
        "dots1":
            #"{"sliding_window": 7, "layer_types": ["sliding_attention", "full_attention"]}"#,
        "exaone4": #"{"layer_types": ["sliding_attention", "full_attention"]}"#,
        "glm": #"{"partial_rotary_factor": 0.5}"#,
        "glm4-moe-lite":
            #"{"model_type": "glm4_moe_lite", "mlp_layer_types": ["sparse", "dense"]}"#,
        "gpt-oss-mxfp4": #"{"layer_types": ["full_attention", "full_attention"]}"#,
        "minicpm3": #"{"scale_emb": 3.0, "scale_depth": 0.9, "dim_model_base": 14}"#,
        "phimoe": #"{"router_jitter_noise": 0.2}"#,
    ]

    /// Models whose biases llama.cpp leaves out, as those that are published have none.
    private static let unbiased = ["falcon", "internlm2"]

    private static func overrides(_ text: String?) throws -> ConfigOverrides {
        var overrides = ConfigOverrides()
        if let text {
            overrides.values = try ConfigCursor(JSONParser.parse(Array(text.utf8))).object()
        }
        return overrides
    }

    /// A folder of which the biases of linear layers are zero.
    private static func withoutBiases(
        _ source: String, in folder: TemporaryFolder
    ) throws -> GoldenModel {
        let stored = Fixtures.path(source + "/model.safetensors")
        let checkpoint = try CheckpointFolder.open(stored)
        var bytes = try FileSystem.read(stored)
        for tensor in checkpoint.tensors
        where tensor.name.hasSuffix(".bias") && !tensor.name.contains("norm")
            && !tensor.name.contains(".ln_")
        {
            let place = try #require(checkpoint.place(of: tensor.name))
            for index in place.bytes { bytes[index] = 0 }
        }
        let path = folder.file("unbiased")
        try FileSystem.createFolder(path)
        try AtomicFile.write(FileSystem.join(path, "model.safetensors"), bytes)
        try FileSystem.copy(
            Fixtures.path(source + "/config.json"), to: FileSystem.join(path, "config.json"))
        return try GoldenModel(path, golden: source)
    }

    @Test(arguments: GGUFRecipe.names)
    func `a model that llama.cpp converted gives the logits of the folder`(_ name: String) throws {
        let folder = try TemporaryFolder()
        let path = try GGUFRecipe.make(name, in: folder)
        let source = GGUFRecipe.source(of: name)
        let model = try GoldenModel(
            path, golden: source, overrides: Self.overrides(Self.unsaid[name]))
        let unbiased =
            Self.unbiased.contains(name) ? try Self.withoutBiases(source, in: folder) : nil
        for index in 0..<3 {
            let ids = try #require(try model.ids(index))
            let expected =
                try unbiased?.logits([ids]) ?? model.golden.floats(of: "logits_\(index)")
            #expect(relativeError(try model.logits([ids]), expected) < 1e-4, "sequence \(index)")
        }
    }

    /// What is stored with one added, or as an exponential, comes back with the last bit in doubt.
    @Test(arguments: GGUFRecipe.names)
    func `tensors are those of the folder that was converted`(_ name: String) throws {
        let temporary = try TemporaryFolder()
        let path = try GGUFRecipe.make(name, in: temporary)
        let found = try CheckpointFolder.open(path)
        let folder = try CheckpointFolder.open(
            Fixtures.path(GGUFRecipe.source(of: name) + "/model.safetensors"))
        func type(_ path: String) throws -> String {
            let file = FileSystem.join(path, "config.json")
            let config = try ConfigCursor(JSONParser.parse(FileSystem.read(file), file: file))
            return try config.string("model_type", default: "")
        }
        // Some are read as models of another form.
        guard try type(path) == type(Fixtures.path(GGUFRecipe.source(of: name))) else { return }
        var compared = 0
        for tensor in folder.tensors {
            guard let info = found.find(tensor.name) else { continue }
            #expect(info.shape.count == tensor.shape.count, "\(tensor.name)")
            let (a, b) = (try found.floats(of: tensor.name), try folder.floats(of: tensor.name))
            let isChanged = tensor.name.hasSuffix("norm.weight") || tensor.name.hasSuffix("A_log")
            #expect(
                zip(a, b).allSatisfy {
                    isChanged ? abs($0 - $1) < 3e-7 * max(1, abs($1)) : $0 == $1
                }, "\(tensor.name)")
            compared += 1
        }
        #expect(compared > 10)
        // Parts of a tensor are those of the whole.
        for info in found.tensors {
            let bytes = try found.bytes(of: info.name)
            var random = SplitMix64(seed: 5)
            for _ in 0..<4 {
                let first = Int.random(in: 0..<bytes.count, using: &random)
                let end = Int.random(in: first...bytes.count, using: &random)
                var part = [UInt8](repeating: 0, count: end - first)
                try part.withUnsafeMutableBytes {
                    try found.read(info.name, bytes: first..<end, into: $0)
                }
                #expect(part[...] == bytes[first..<end], "\(info.name) \(first) to \(end)")
            }
        }
    }

    @Test(arguments: GGUFRecipe.names)
    func `a damaged file is refused or read, and nothing else`(_ name: String) throws {
        let temporary = try TemporaryFolder()
        let path = try GGUFRecipe.make(name, in: temporary)
        let bytes = try FileSystem.read(path)
        let head = try GGUFFile(path: path).tensors.map(\.tensor.bytes.lowerBound).min() ?? 0
        var random = SplitMix64(seed: 11)
        var refused = 0
        for _ in 0..<150 {
            let damaged = try temporary.plainWrite(
                "damaged.gguf", random.mutated(bytes, headBias: head))
            do {
                let checkpoint = try CheckpointFolder.open(damaged)
                for info in checkpoint.tensors where info.byteCount < 1 << 20 {
                    _ = try checkpoint.bytes(of: info.name)
                }
                _ = try ModelFolder.open(damaged)
            } catch { refused += 1 }
        }
        #expect(refused > 20)
    }

    @Test func `experts in MXFP4 that are put together keep their blocks`() throws {
        let temporary = try TemporaryFolder()
        let model = try ModelFolder.open(GGUFRecipe.make("gpt-oss-mxfp4", in: temporary))
        let checkpoint = try #require(model.checkpoint)
        for linear in model.description.linears(layer: 1) where linear.expert != nil {
            #expect(checkpoint.blockType(of: linear.name + ".weight") == .mxfp4, "\(linear.name)")
        }
    }
}

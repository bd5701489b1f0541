// SPDX-License-Identifier: Apache-2.0
// GGUF files that are written: read back, and against those of llama.cpp's own conversion.
import EftConfig
import EftFormats
import EftGGUF
import EftModels
import EftTensor
import EftTestSupport
import EftTokenizers
import Testing

@testable import EftConversion

struct GGUFConverterTests {
    private let backend: CPUBackend

    init() throws { backend = try CPUBackend(threads: 2) }

    private func convert(
        _ source: String, to path: String, _ mix: GGUFMix, overrides: ConfigOverrides = .init()
    ) throws -> any CheckpointReader {
        try GGUFConverter(
            ModelFolder.open(source, overrides: overrides), output: path, mix: mix,
            backend: backend
        ).run()
        return try CheckpointFolder.open(path)
    }

    /// Files of llama.cpp's conversion are folders themselves: written again, they say and hold the same.
    @Test(arguments: [
        "granite", "gemma2", "gemma3", "mixtral", "qwen2-moe", "smollm3", "olmo3", "cohere2",
        "stablelm", "starcoder2",
    ])
    func `a file that llama.cpp's own conversion wrote comes out as it is`(name: String) throws {
        let folder = try TemporaryFolder()
        let source = Fixtures.path("gguf/models/\(name).gguf")
        let found = try convert(source, to: folder.file("out.gguf"), .f32)
        let given = try CheckpointFolder.open(source)
        #expect(Set(found.tensors) == Set(given.tensors))
        for info in given.tensors {
            let (a, b) = (try found.floats(of: info.name), try given.floats(of: info.name))
            let isShifted = info.name.hasSuffix("norm.weight")
            #expect(
                zip(a, b).allSatisfy { isShifted ? abs($0 - $1) < 2e-7 : $0 == $1 }, "\(info.name)")
        }
        let models = try [source, folder.file("out.gguf")].map { try ModelFolder.open($0) }
        #expect(models[0].description == models[1].description)
        let tokenizers = try [source, folder.file("out.gguf")].map {
            try Tokenizer.load(folder: $0)
        }
        #expect(tokenizers[0].eosIDs == tokenizers[1].eosIDs)
        #expect(!FileSystem.exists(folder.file("out.gguf.head.gguf")))
    }

    @Test(arguments: GGUFMix.allCases)
    func `every mix holds the numbers to its width`(mix: GGUFMix) throws {
        let folder = try TemporaryFolder()
        let source = Fixtures.path("gguf/models/granite.gguf")
        let found = try convert(source, to: folder.file("out.gguf"), mix)
        let given = try CheckpointFolder.open(source)
        for info in given.tensors {
            let (a, b) = (try found.floats(of: info.name), try given.floats(of: info.name))
            let error = zip(a, b).reduce(0) { $0 + ($1.0 - $1.1) * ($1.0 - $1.1) }
            let size = b.reduce(0) { $0 + $1 * $1 }
            #expect(error <= size * 0.01, "\(info.name) of \(mix)")
            if mix == .f32 || info.shape.dims.count == 1 { #expect(a == b) }
        }
    }

    @Test(arguments: try Fixtures.list("gguf/tokenizers").filter { $0.hasSuffix(".gguf") })
    func `a tokenizer comes out as it is`(name: String) throws {
        let folder = try TemporaryFolder()
        let source = Fixtures.path("gguf/tokenizers/\(name)")
        let given = try Tokenizer.load(folder: source)
        var head = GGUFHeaderWriter()
        head.set("general.architecture", .text(Array("llama".utf8)))
        for key in [
            "block_count", "context_length", "embedding_length", "feed_forward_length",
            "attention.head_count",
        ] { head.set("llama." + key, .whole(key == "embedding_length" ? 8 : 1)) }
        try GGUFTokenizerWriter.add(source, vocabulary: given.idBound + 3, to: &head)
        let embedding = GGUFHeaderWriter.Tensor(
            name: "token_embd.weight", dims: [given.idBound + 3, 8], type: .f16)
        let zeros = [UInt8](repeating: 0, count: embedding.byteCount)
        let path = try folder.write("out.gguf", head.bytes([embedding]) + zeros)
        let found = try Tokenizer.load(folder: path)
        #expect(
            found.bosID == given.bosID && found.eosIDs == given.eosIDs
                && found.padID == given.padID && found.idBound == given.idBound + 3)
        let golden = try ConfigCursor(
            JSONParser.parse(FileSystem.read(Fixtures.path("gguf/tokenizers/golden.json"))))
        let cases = try golden.required(String(name.dropLast(".gguf".count))).elements()
        for entry in cases {
            let text = try entry.required("text").string()
            #expect(
                try found.encode(text, addSpecialTokens: true)
                    == given.encode(text, addSpecialTokens: true), "\(text.debugDescription)")
        }
        #expect(
            try ChatTemplates.loadIfPresent(folder: path)?.source
                == ChatTemplates.loadIfPresent(folder: source)?.source)
    }

    @Test func `a model that llama.cpp's form cannot say is refused before anything is written`()
        throws
    {
        let folder = try TemporaryFolder()
        let source = Fixtures.path("gguf/models/granite.gguf")
        var overrides = ConfigOverrides()
        // llama.cpp's Granite has no norms of heads and no windows; a dynamic base has no key.
        overrides.values = try ConfigCursor(
            JSONParser.parse(
                Array(#"{"rope_scaling": {"rope_type": "dynamic", "factor": 2.0}}"#.utf8))
        ).object()
        #expect(throws: ConversionError.self) {
            try convert(source, to: folder.file("out.gguf"), .f32, overrides: overrides)
        }
        let other = Fixtures.path("architectures/gptj")
        let error = #expect(throws: ConversionError.self) {
            try convert(other, to: folder.file("out.gguf"), .f32)
        }
        #expect(error?.message.contains("'gptj'") == true)
        #expect(try FileSystem.list(folder.path).isEmpty)
    }
}

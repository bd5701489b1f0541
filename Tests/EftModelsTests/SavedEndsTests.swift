// SPDX-License-Identifier: Apache-2.0
// Adapters with an embedding or head of their own, and vocabularies that grow, against PEFT and transformers.
import EftConfig
import EftFormats
import EftModels
import EftNN
import EftTensor
import EftTestSupport
import Testing

@Suite struct SavedEndsTests {
    private static func path(_ name: String) -> String { Fixtures.path("saved-modules/\(name)") }

    @Test(arguments: [
        "tied-both", "tied-embedding", "tied-ensured", "untied-both", "resized", "head-lora",
        "rows-tied", "rows-untied",
    ])
    func `logits equal those of PEFT`(_ name: String) throws {
        let facts = try ConfigFile.read(Self.path(name) + "/case.json")
        let adapter = Self.path(name) + "/adapter"
        let model = try GoldenModel(
            facts.required("base").string(), golden: "saved-modules/\(name)", adapter: adapter)
        #expect(model.decoder.description.vocabulary == (try facts.required("vocabulary").int()))
        let slot = try AdapterFile.load(adapter, into: model.decoder)
        for index in 0..<3 {
            let ids = try #require(try model.ids(index))
            let expected = try model.golden.floats(of: "logits_\(index)")
            #expect(relativeError(try model.logits([ids], slots: [slot]), expected) < 1e-4)
        }
    }

    @Test func `an adapter's ends need a model that was loaded with them`() throws {
        let adapter = Self.path("untied-both") + "/adapter"
        let decoder = try GoldenModel("models/bias").decoder
        let error = try #require(throws: ModelError.self) {
            try AdapterFile.load(adapter, into: decoder)
        }
        #expect(error.code == .unsupported && error.description.contains("embedding or head"))
        let two = try #require(throws: ModelError.self) {
            try ModelFolder.open(Fixtures.path("models/bias"))
                .adapted(by: [Self.path("head-lora") + "/adapter", adapter])
        }
        #expect(two.code == .unsupported && two.description.contains("eft merge"))
    }

    @Test func `an embedding of another width is refused`() throws {
        let adapter = Self.path("tied-both") + "/adapter"
        let error = try #require(throws: ModelError.self) {
            try ModelFolder.open(Fixtures.path("models/odd-head")).adapted(by: [adapter])
        }
        #expect(error.code == .mismatch)
    }

    @Test func `rows that do not fit their tokens are refused`() throws {
        let folder = try TemporaryFolder()
        for name in ["adapter_config.json", "adapter_model.safetensors"] {
            try FileSystem.copy(
                Self.path("rows-tied") + "/adapter/" + name, to: folder.file(name))
        }
        let config = folder.file("adapter_config.json")
        let text = String(decoding: try FileSystem.read(config), as: UTF8.self)
        for tokens in ["[3, 64]", "[3, 3, 64]", "[3, 64, -1]", "{\"wpe\": [1]}", "null"] {
            let pattern = try Regex(#""trainable_token_indices": \[[^\]]*\]"#)
            try folder.write(
                "adapter_config.json",
                text.replacing(pattern, with: "\"trainable_token_indices\": \(tokens)"))
            #expect(throws: (any Error).self, "\(tokens)") {
                try ModelFolder.open(Fixtures.path("models/gqa-tied")).adapted(by: [folder.path])
            }
        }
    }

    // MARK: Growing

    /// The values of a tensor, read in pieces of so many bytes.
    private func floats(
        _ checkpoint: any CheckpointReader, _ name: String, step: Int
    ) throws -> [Float] {
        let info = try checkpoint.tensor(name)
        var bytes = [UInt8](repeating: 0, count: info.byteCount)
        for first in stride(from: 0, to: bytes.count, by: step) {
            let range = first..<min(first + step, bytes.count)
            try bytes.withUnsafeMutableBytes {
                try checkpoint.read(
                    name, bytes: range, into: UnsafeMutableRawBufferPointer(rebasing: $0[range]))
            }
        }
        return bytes.withUnsafeBytes { raw in
            (0..<info.shape.count).map {
                raw.loadUnaligned(fromByteOffset: $0 * 4, as: Float.self)
            }
        }
    }

    @Test(arguments: [1 << 20, 13, 4096])
    func `new rows begin with the mean of the old ones`(_ step: Int) throws {
        let base = try ModelFolder.open(Fixtures.path("models/gqa-tied"))
        let name = "model.embed_tokens.weight"
        let old = try #require(base.checkpoint).floats(of: name)
        let width = base.description.shape.hidden
        let grown = try base.grown(to: base.description.vocabulary + 3)
        #expect(grown.description.tiedEmbeddings)
        #expect(try grown.config.required("vocab_size").int() == base.description.vocabulary + 3)
        let checkpoint = try #require(grown.checkpoint)
        let found = try floats(checkpoint, name, step: step)
        #expect(Array(found[..<old.count]) == old)
        let mean = try SafetensorsFile(path: Self.path("mean/mean.safetensors")).floats(of: "mean")
        #expect(found.count == old.count + 3 * width)
        for row in 0..<3 {
            let new = Array(found[(old.count + row * width)...].prefix(width))
            #expect(relativeError(new, mean) < 1e-5)
        }
        let whole = try checkpoint.withBytes(of: name) { $0.count }
        #expect(whole == found.count * 4)
    }

    @Test func `a tied head that is untied begins as the embedding`() throws {
        let base = try ModelFolder.open(Fixtures.path("models/gqa-tied"))
        let untied = try base.grown(to: base.description.vocabulary + 1, untied: true)
        #expect(!untied.description.tiedEmbeddings)
        #expect(try untied.config.required("tie_word_embeddings").bool() == false)
        let checkpoint = try #require(untied.checkpoint)
        #expect(
            try checkpoint.floats(of: "lm_head.weight")
                == checkpoint.floats(of: "model.embed_tokens.weight"))
        #expect(checkpoint.tensors.count { $0.name == "lm_head.weight" } == 1)
    }

    @Test func `random rows have the model's deviation`() throws {
        let base = try ModelFolder.open(Fixtures.path("models/bias"))
        let old = base.description.vocabulary
        let grown = try base.grown(
            to: old + 200, filling: .normal(deviation: 0.02, seed: 7))
        let width = base.description.shape.hidden
        for name in ["model.embed_tokens.weight", "lm_head.weight"] {
            let new = try #require(grown.checkpoint).floats(of: name)[(old * width)...]
            let squares = new.reduce(0) { $0 + Double($1) * Double($1) }
            #expect(abs((squares / Double(new.count)).squareRoot() - 0.02) < 0.002)
        }
    }

    @Test func `a quantized head takes no new tokens`() throws {
        let base = try ModelFolder.open(Fixtures.path("exl2-model"))
        let error = try #require(throws: ModelError.self) {
            try base.grown(to: base.description.vocabulary + 1)
        }
        #expect(error.code == .unsupported && error.description.contains("16-bit base"))
    }
}

// SPDX-License-Identifier: Apache-2.0
// Learned positions end, and checkpoints of their families differ in form.
import EftConfig
import EftFormats
import EftModels
import EftNN
import EftQuant
import EftTensor
import EftTestSupport
import Testing

struct LearnedPositionsTests {
    private static func open(_ name: String) throws -> ModelFolder {
        try ModelFolder.open(Fixtures.path("architectures/\(name)"))
    }

    @Test(arguments: ["gpt2", "gpt-neo", "opt"])
    func `a sequence beyond the last position is refused, one that ends there is not`(
        _ name: String
    ) throws {
        let model = try GoldenModel("architectures/\(name)")
        let length = model.decoder.description.contextLength
        let ids = (0..<Int32(length + 1)).map { 1 + $0 % 40 }
        #expect(try model.logits([Array(ids.dropLast())]).count == length * 45)
        let error = #expect(throws: ModelError.self) { _ = try model.logits([ids]) }
        #expect(error?.description.contains("positions for \(length)") == true)
    }

    @Test func `a matrix by inputs is shown by outputs, in any part of its bytes`() throws {
        let folder = try Self.open("gpt2")
        let raw = try CheckpointFolder.open(folder.path)
        let shown = try #require(folder.checkpoint)
        let name = "transformer.h.1.mlp.c_fc.weight"
        let (found, stored) = (try shown.floats(of: name), try raw.floats(of: name))
        #expect(try shown.tensor(name).shape.dims == [38, 32])
        for output in 0..<38 {
            for input in 0..<32 {
                #expect(found[output * 32 + input] == stored[input * 38 + output])
            }
        }
        let whole = try shown.bytes(of: name)
        for range in [0..<1, 3..<8, 100..<400, whole.count - 5..<whole.count] {
            var part = [UInt8](repeating: 0, count: range.count)
            try part.withUnsafeMutableBytes { try shown.read(name, bytes: range, into: $0) }
            #expect(part == Array(whole[range]))
        }
    }

    /// OpenAI's own files say `h.0...` where others say `transformer.h.0...`.
    @Test func `names without their root are found`() throws {
        let source = try Self.open("gpt2")
        let raw = try CheckpointFolder.open(source.path)
        let folder = try TemporaryFolder()
        let bare = { (name: String) in String(name.dropFirst("transformer.".count)) }
        let infos = try raw.tensors.map {
            try TensorInfo(name: bare($0.name), dtype: $0.dtype, shape: $0.shape)
        }
        let writer = try SafetensorsWriter(
            folder: folder.path, baseName: "model", tensors: infos, metadata: [:])
        for info in raw.tensors {
            try raw.bytes(of: info.name).withUnsafeBytes {
                try writer.write(bare(info.name), $0)
            }
        }
        try writer.finish()
        try folder.write(
            "config.json", FileSystem.read(FileSystem.join(source.path, "config.json")))
        func logits(_ path: String) throws -> [Float] {
            let decoder = try DecoderLoader(folder: ModelFolder.open(path)).load(
                backend: CPUBackend(threads: 1, precision: .f32))
            return try EvaluationPass(decoder: decoder, rows: 4, sequences: 1).values(
                DecoderBatch(sequences: [[4, 9, 33, 7]]), rows: [3])
        }
        #expect(try logits(folder.path) == logits(source.path))
    }

    @Test func `learned positions of another number are a named error`() throws {
        var overrides = ConfigOverrides()
        overrides.values["n_positions"] = 64
        let folder = try ModelFolder.open(
            Fixtures.path("architectures/gpt2"), overrides: overrides)
        let error = #expect(throws: FormatError.self) {
            try DecoderLoader(folder: folder).load(
                backend: CPUBackend(threads: 1, precision: .f32))
        }
        #expect(error?.description.contains("wpe") == true)
    }

    @Test(arguments: [
        ("gpt2", ", \"scale_attn_by_inverse_layer_idx\": true", "scale_attn_by_inverse"),
        ("gpt2", ", \"add_cross_attention\": true", "encoder"),
        ("opt", ", \"do_layer_norm_before\": false", "OPT 350M"),
        ("gpt-neo", ", \"attention_types\": [[[\"global\"], 1]]", "attention_types"),
        ("gpt-neo", ", \"attention_types\": [[[\"global\"]]]", "attention_types"),
        ("gptj", ", \"rotary_dim\": 3", "partial_rotary_factor"),
    ])
    func `what is not computed is refused by name`(
        _ name: String, _ more: String, _ word: String
    ) throws {
        let path = Fixtures.path("architectures/\(name)/config.json")
        var node = try ConfigCursor(JSONParser.parse(FileSystem.read(path))).object()
        let changes = try ConfigCursor(JSONParser.parse(Array("{\"x\": 0\(more)}".utf8))).object()
        for (key, value) in changes.entries { node[key] = value }
        let error = #expect(throws: (any Error).self) {
            try ArchitectureRegistry.describe(ConfigCursor(ConfigNode(node)))
        }
        #expect(error.map { "\($0)".contains(word) } == true, "\(String(describing: error))")
    }
}

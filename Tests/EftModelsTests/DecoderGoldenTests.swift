// SPDX-License-Identifier: Apache-2.0
// Logits and losses against transformers.
import EftConfig
import EftFormats
import EftModels
import EftNN
import EftQuant
import EftTensor
import EftTestSupport
import Testing

/// Everything that a golden test of one model folder needs.
struct GoldenModel {
    let decoder: Decoder
    let golden: any CheckpointReader

    init(
        _ folder: String, golden: String? = nil, file: String = "golden",
        options: LoadOptions = LoadOptions(), precision: ActivationPrecision = .f32,
        instructionSet: InstructionSet = .standard,
        threads: Int = 2, adapter: String? = nil, overrides: ConfigOverrides = ConfigOverrides()
    ) throws {
        let backend = try CPUBackend(
            threads: threads, precision: precision, instructionSet: instructionSet)
        let path = folder.hasPrefix("/") ? folder : Fixtures.path(folder)
        let model = try ModelFolder.open(path, overrides: overrides)
            .adapted(by: adapter.map { [$0] } ?? [])
        decoder = try DecoderLoader(folder: model, options: options).load(backend: backend)
        self.golden = try CheckpointFolder.open(
            Fixtures.path((golden ?? folder) + "/\(file).safetensors"))
    }

    /// Token ids of the numbered sequence, or nil beyond the last.
    func ids(_ index: Int) throws -> [Int32]? {
        guard let info = golden.find("ids_\(index)") else { return nil }
        let bytes = try golden.bytes(of: info.name)
        return bytes.withUnsafeBytes { raw in
            (0..<info.shape.count).map {
                Int32(raw.loadUnaligned(fromByteOffset: $0 * 8, as: Int64.self))
            }
        }
    }

    /// All logits of sequences read at once, without a cache that outlives a layer.
    func logits(_ sequences: [[Int32]], slots: [Int] = []) throws -> [Float] {
        try logits(DecoderBatch(sequences: sequences, slots: slots))
    }

    /// All logits of a batch of whole sequences.
    func logits(_ batch: DecoderBatch) throws -> [Float] {
        let need = DecoderWorkspaceNeed(
            rows: batch.count, logitRows: batch.count, adapters: decoder.adapterWidths)
        let workspace = try DecoderWorkspace(
            need, decoder: decoder)
        let cache = try PassCache(
            pageCount: pageCount(tokens: batch.count) + batch.runs.count,
            shape: decoder.description.shape, backward: false, ledger: nil)
        let hidden = try decoder.forward(batch, cache: cache, workspace: workspace)
        return try decoder.logits(
            of: hidden, rows: Array(0..<batch.count), batch: batch, workspace: workspace
        ).array
    }
}

/// The largest difference, relative to the largest expected value.
func relativeError(_ found: [Float], _ expected: [Float]) -> Float {
    guard found.count == expected.count, let top = expected.map(abs).max() else {
        return .infinity
    }
    // An expert that no row chose has a gradient of zeros.
    guard top > 0 else { return found.allSatisfy { $0 == 0 } ? 0 : .infinity }
    return zip(found, expected).map { abs($0 - $1) }.reduce(0, max) / top
}

@Suite struct DecoderGoldenTests {
    static let folders = [
        "plain", "gqa-tied", "bias", "odd-head", "rope-llama3", "rope-linear", "rope-yarn",
        "rope-yarn-explicit", "rope-dynamic", "bf16", "f16",
    ]

    @Test(arguments: folders)
    func `logits equal those of transformers in f32`(_ name: String) throws {
        let model = try GoldenModel("models/\(name)")
        var index = 0
        while let ids = try model.ids(index) {
            let expected = try model.golden.floats(of: "logits_\(index)")
            let found = try model.logits([ids])
            #expect(relativeError(found, expected) < 1e-4, "sequence \(index)")
            index += 1
        }
        #expect(index >= 2)
    }

    @Test(arguments: ["sharded", "bin", "bin-legacy", "bin-sharded"])
    func `every spelling of a checkpoint gives the same logits`(_ name: String) throws {
        let model = try GoldenModel("models/\(name)", golden: "models/plain")
        let ids = try #require(try model.ids(1))
        let expected = try model.golden.floats(of: "logits_1")
        #expect(relativeError(try model.logits([ids]), expected) < 1e-4)
    }

    @Test(arguments: InstructionSet.available)
    func `every instruction set gives the logits`(_ level: InstructionSet) throws {
        let model = try GoldenModel("models/odd-head", instructionSet: level)
        let ids = try #require(try model.ids(2))
        let expected = try model.golden.floats(of: "logits_2")
        #expect(relativeError(try model.logits([ids]), expected) < 1e-4)
    }

    @Test(arguments: InstructionSet.available)
    func `EXL2 logits equal those of the dequantized weights`(_ level: InstructionSet) throws {
        // The reference rounds each weight to half precision: 2^-11 of it.
        let exact = try GoldenModel("exl2-model", precision: .f32, instructionSet: level)
        let integers = try GoldenModel("exl2-model", precision: .int16, instructionSet: level)
        let bytes = try GoldenModel("exl2-model", precision: .int8, instructionSet: level)
        for index in 0..<3 {
            let ids = try #require(try exact.ids(index))
            let expected = try exact.golden.floats(of: "logits_\(index)")
            let found = try exact.logits([ids])
            #expect(relativeError(found, expected) < 1e-3)
            #expect(relativeError(try integers.logits([ids]), found) < 1e-4)
            #expect(relativeError(try bytes.logits([ids]), found) < 2e-2)
        }
    }

    @Test func `activations in bf16 stay within the noise of bf16`() throws {
        let model = try GoldenModel("models/bf16", precision: .bf16)
        let ids = try #require(try model.ids(2))
        let expected = try model.golden.floats(of: "logits_2")
        #expect(relativeError(try model.logits([ids]), expected) < 3e-2)
    }

    @Test func `a packed batch gives each sequence its own logits, bit for bit`() throws {
        let model = try GoldenModel("models/gqa-tied")
        let one = try #require(try model.ids(1))
        let two = try #require(try model.ids(2))
        let together = try model.logits([one, two, one])
        let apart = try model.logits([one]) + model.logits([two]) + model.logits([one])
        #expect(together == apart)
    }

    @Test(arguments: [1, 2, 3])
    func `the number of threads changes no bit`(_ threads: Int) throws {
        let model = try GoldenModel("models/bias", threads: threads)
        let reference = try GoldenModel("models/bias", threads: 1)
        let ids = try #require(try model.ids(2))
        #expect(try model.logits([ids]) == reference.logits([ids]))
    }

    @Test(arguments: [
        "plain", "gqa-tied", "bias", "rope-llama3", "rope-linear", "rope-yarn", "rope-dynamic",
    ])
    func `both spellings of config.json describe the same decoder`(_ name: String) throws {
        let folder = Fixtures.path("models/\(name)")
        let new = try ModelFolder.open(folder).description
        let old = try ModelFolder.open(folder + "/config_legacy.json", needsWeights: false)
            .description
        #expect(new == old)
    }

    @Test func `losses equal those of transformers`() throws {
        for name in Self.folders where name != "f16" {
            let model = try GoldenModel("models/\(name)")
            let ids = try #require(try model.ids(1))
            guard model.golden.find("loss_1") != nil else { continue }
            let expected = try model.golden.floats(of: "loss_1")[0]
            let pass = try EvaluationPass(decoder: model.decoder, rows: ids.count, sequences: 1)
            let losses = try pass.losses(
                DecoderBatch(sequences: [ids]), labels: Array(ids.dropFirst()) + [-100])
            let mean = losses.reduce(0, +) / Float(ids.count - 1)
            #expect(abs(mean - expected) < 1e-4 * abs(expected), "\(name)")
        }
    }

    @Test func `a token beyond the vocabulary is refused`() throws {
        let model = try GoldenModel("models/plain")
        #expect(throws: ModelError.self) { try model.logits([[1, 48]]) }
        #expect(throws: ModelError.self) { try model.logits([[-1]]) }
    }
}

// SPDX-License-Identifier: Apache-2.0
// Quantizing the embedding too: one copy for a tied head, and a weight of its own for others.
import EftFormats
import EftModels
import EftTensor
import EftTestSupport
import Testing

@testable import EftConversion

struct EmbeddingStageTests {
    private struct Stop: Error {}

    private func job(
        _ folder: TemporaryFolder, output: String = "out", work: String = "work",
        tied: Bool = true, bits: Double = 8, recipe: QuantizeRecipe = .uniform, headBits: Int = 8,
        ledger: MemoryLedger = MemoryLedger()
    ) throws -> QuantizeJob {
        let path = folder.file("model")
        if !FileSystem.exists(path) { _ = try TinyModel.write(to: folder, tied: tied) }
        let tokens = TinyModel.tokens(6 * 40)
        var options = QuantizeOptions(
            bits: bits, recipe: recipe, headBits: headBits, rows: 6, length: 40)
        options.quantizesEmbedding = true
        return try QuantizeJob(
            input: path, work: folder.file(work), output: folder.file(output),
            calibration: CalibrationRows(name: "text.txt", tokens: tokens, rows: 6, length: 40),
            options: options, backend: CPUBackend(ledger: ledger, threads: 2))
    }

    @Test(arguments: [QuantizeRecipe.uniform, .eft, .exllamav2])
    func `a tied embedding is stored once`(_ recipe: QuantizeRecipe) throws {
        let folder = try TemporaryFolder()
        let report = try job(folder, recipe: recipe).run()
        let out = try ModelFolder.open(folder.file("out"))
        #expect(out.description.tiedEmbeddings)
        let names = try #require(out.checkpoint).tensors.map(\.name)
        #expect(!names.contains("model.embed_tokens.weight"))
        #expect(!names.contains { $0.hasPrefix("lm_head.") })
        #expect(names.contains("model.embed_tokens.q_weight"))
        #expect(report.linears.count == out.description.layers * 7 + 1)
        #expect(report.calibrationPerplexity.map(\.isFinite) ?? false)
        let difference = try TinyModel.error(folder)
        #expect(difference < 0.06)
    }

    @Test func `an embedding beside a head of its own is quantized by itself`() throws {
        let folder = try TemporaryFolder()
        let report = try job(folder, tied: false).run()
        let names = try CheckpointFolder.open(folder.file("out")).tensors.map(\.name)
        #expect(!names.contains("model.embed_tokens.weight"))
        #expect(names.contains("lm_head.q_weight") && names.contains("model.embed_tokens.q_weight"))
        #expect(report.linears.count == 2 * 7 + 2)
        let difference = try TinyModel.error(folder)
        #expect(difference < 0.06)
    }

    @Test(arguments: [true, false], [QuantizeRecipe.uniform, .eft])
    func `memory stays within what was stated`(tied: Bool, recipe: QuantizeRecipe) throws {
        let folder = try TemporaryFolder()
        let ledger = MemoryLedger()
        let job = try job(folder, tied: tied, recipe: recipe, ledger: ledger)
        let stated = try job.memory()
        _ = try job.run()
        #expect(
            ledger.peakTotal <= stated.total,
            "held \(ledger.peak.rendered), stated \(stated.rendered)")
    }

    @Test(arguments: [
        "model.layers.1: for the embedding", "model.embed_tokens", "model.layers.0.mlp.down_proj",
        "model.layers.1: row 2 of 6",
    ])
    func `a run that was stopped goes on to the same bytes`(_ item: String) throws {
        let folder = try TemporaryFolder()
        _ = try job(folder, output: "whole", work: "other").run()
        #expect(throws: Stop.self) {
            try job(folder).run(
                ConversionMonitor(report: { if $0.item == item { throw Stop() } }))
        }
        _ = try job(folder).run()
        let (found, wanted) = try (
            FileSystem.read(folder.file("out/output.safetensors")),
            FileSystem.read(folder.file("whole/output.safetensors"))
        )
        #expect(found == wanted)
        let files = try FileSystem.list(folder.file("work"))
        #expect(!files.contains { $0.contains("_states") })
    }

    @Test func `another choice for the embedding is another job`() throws {
        let folder = try TemporaryFolder()
        _ = try job(folder).run()
        let saved = try #require(try QuantizeSettings.read(work: folder.file("work")))
        #expect(saved.options.quantizesEmbedding)
        var options = QuantizeOptions(
            bits: 8, recipe: .uniform, headBits: 8, rows: 6, length: 40)
        options.quantizesEmbedding = false
        #expect(throws: ConversionError.self) {
            try QuantizeJob(
                input: folder.file("model"), work: folder.file("work"),
                output: folder.file("out"), calibration: job(folder).calibration,
                options: options, backend: CPUBackend(ledger: MemoryLedger(), threads: 2))
        }
    }
}

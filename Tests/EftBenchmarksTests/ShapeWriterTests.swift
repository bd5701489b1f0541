// SPDX-License-Identifier: Apache-2.0
// Folders of random weights: they load, have the bits that were asked for, and keep activations finite.
import EftBenchmarks
import EftFormats
import EftModels
import EftNN
import EftTensor
import EftTestSupport
import Testing

@Suite struct ShapeWriterTests {
    private static let shape = NamedShape(
        name: "small", vocabulary: 320, hidden: 256, intermediate: 768, layers: 3, heads: 4,
        kvHeads: 2, headDim: 64, ropeTheta: 10000, context: 128, tied: false)

    @Test(arguments: [
        ShapeWriter.Format.exl2(bits: 4), .exl2(bits: 2.4), .exl2(bits: 3.5), .nf4, .bf16,
    ])
    func `a folder loads and gives finite logits`(_ format: ShapeWriter.Format) throws {
        let folder = try TemporaryFolder()
        let writer = try ShapeWriter(Self.shape, format: format)
        try writer.write(to: folder.path) { _, _ in }
        let model = try ModelFolder.open(folder.path)
        #expect(model.description.layers == 3)
        let backend = try CPUBackend(threads: 2)
        let decoder = try DecoderLoader(folder: model).load(backend: backend)
        let need = DecoderWorkspaceNeed(rows: 8, logitRows: 1)
        let workspace = try DecoderWorkspace(
            need, description: model.description, backend: backend)
        let cache = try PagedCache(
            pageCount: 1, layers: 3, shape: model.description.shape, kvType: .f32, ledger: nil)
        #expect(cache.extend(sequence: 0, to: 8))
        let batch = DecoderBatch(sequences: [[1, 2, 3, 4, 5, 6, 7, 8]])
        let hidden = try decoder.forward(batch, cache: cache, workspace: workspace)
        let logits = try decoder.logits(of: hidden, rows: [7], batch: batch, workspace: workspace)
        #expect(logits.array.allSatisfy { $0.isFinite && abs($0) < 1e4 })
        #expect(Set(logits.array).count > 100)
    }

    @Test func `two widths come to the bits that were asked for`() throws {
        let wide = NamedShape(
            name: "wide", vocabulary: 64, hidden: 4096, intermediate: 8192, layers: 1, heads: 32,
            kvHeads: 32, headDim: 128, ropeTheta: 10000, context: 128, tied: true)
        for bits in [2.4, 2.55, 3.5, 4.25, 6.5] {
            let writer = try ShapeWriter(wide, format: .exl2(bits: bits))
            #expect(abs(writer.bitsPerWeight - bits) < 0.04, "\(bits): \(writer.bitsPerWeight)")
        }
        #expect(throws: FormatError.self) { try ShapeWriter(wide, format: .exl2(bits: 2.01)) }
    }

    @Test func `an interrupted folder is not taken for a model`() throws {
        struct Stop: Error {}
        let folder = try TemporaryFolder()
        let writer = try ShapeWriter(Self.shape, format: .nf4)
        #expect(throws: Stop.self) {
            try writer.write(to: folder.path) { done, _ in if done > 100_000 { throw Stop() } }
        }
        #expect(throws: (any Error).self) { try ModelFolder.open(folder.path) }
        #expect(try FileSystem.list(folder.path).isEmpty)
    }
}

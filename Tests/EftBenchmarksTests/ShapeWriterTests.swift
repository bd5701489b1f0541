// SPDX-License-Identifier: Apache-2.0
// Folders of random weights: they load, have the bits that were asked for, and keep activations finite.
import EftBenchmarks
import EftFormats
import EftModels
import EftNN
import EftTensor
import EftTestSupport
import EftTokenizers
import Testing

@Suite struct ShapeWriterTests {
    private static let shape = small(.llama)

    private static func small(_ family: NamedShape.Family) -> NamedShape {
        NamedShape(
            name: "small", family: family, vocabulary: 320, hidden: 256, intermediate: 768,
            layers: 3, heads: 4, kvHeads: 2, headDim: 64, ropeTheta: 10000, context: 128,
            tied: false)
    }

    @Test(
        arguments: [NamedShape.Family.llama, .qwen3, .mixtral],
        [ShapeWriter.Format.exl2(bits: 4), .exl2(bits: 2.4), .exl2(bits: 3.5), .nf4, .bf16])
    func `a folder loads and gives finite logits`(
        _ family: NamedShape.Family, _ format: ShapeWriter.Format
    ) throws {
        let folder = try TemporaryFolder()
        let writer = try ShapeWriter(Self.small(family), format: format)
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

    @Test func `every id has a text, and every byte an id`() throws {
        let folder = try TemporaryFolder()
        var writer = try ShapeWriter(Self.shape, format: .nf4)
        try writer.write(to: folder.file("bytes")) { _, _ in }
        #expect(try Tokenizer.load(folder: folder.file("bytes")).idBound == 256)
        writer.namesAllIDs = true
        try writer.write(to: folder.file("words")) { _, _ in }
        let tokenizer = try Tokenizer.load(folder: folder.file("words"))
        #expect(tokenizer.idBound == 320)
        let words = try (256..<320).map { try tokenizer.decode([Int32($0)]) }
        #expect(Set(words).count == 64 && words.allSatisfy { $0.hasPrefix(" ") && $0.count > 2 })
        let ids = try tokenizer.encode(words.joined(), addSpecialTokens: false)
        #expect(ids.allSatisfy { $0 < 256 } && ids.count == words.joined().utf8.count)
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

    @Test func `Qwen 3's shape is that of its 32B model`() throws {
        let shape = try #require(NamedShape.all.first { $0.name == "qwen3-32b" })
        let model = try shape.description(layers: shape.layers)
        #expect(model.shape.normsHeads && model.shape.headDim == 128 && model.layers == 64)
        // As its authors count them: 32.8 billion parameters, 31.2 without embedding and head.
        #expect(model.parameterCount == 32_762_123_264)
        let ends = 2 * model.vocabulary * model.shape.hidden
        #expect((model.parameterCount - ends + 50_000_000) / 100_000_000 == 312)
    }

    @Test func `Mixtral's shape is that of 8x7B`() throws {
        let shape = try #require(NamedShape.all.first { $0.name == "mixtral-8x7b" })
        let model = try shape.description(layers: shape.layers)
        #expect(model.shape.mixture == MixtureShape(experts: 8, expertsPerRow: 2))
        #expect(model.parameterCount == 46_702_792_704)
    }

    // MARK: Going on

    private struct Stop: Error {}

    /// Writes until so many bytes are done; returns what was noted.
    private func write(
        _ writer: ShapeWriter, to folder: String, until limit: Int = .max
    ) throws -> [String] {
        var notes: [String] = []
        try writer.write(to: folder, maxShardBytes: 200_000, note: { notes.append($0) }) {
            done, _ in
            if done > limit { throw Stop() }
        }
        return notes
    }

    @Test(arguments: [ShapeWriter.Format.exl2(bits: 4), .nf4, .bf16])
    func `a run that was stopped goes on to the same bytes`(_ format: ShapeWriter.Format) throws {
        let folder = try TemporaryFolder()
        let writer = try ShapeWriter(Self.shape, format: format)
        #expect(try write(writer, to: folder.file("whole")).isEmpty)
        let total = writer.byteCount
        for part in [total / 3, total / 2, 5 * total / 6] {
            #expect(throws: Stop.self) { try write(writer, to: folder.file("out"), until: part) }
            #expect(throws: (any Error).self) { try ModelFolder.open(folder.file("out")) }
        }
        let unfinished = folder.file("out/eft-unfinished")
        let kept = try FileSystem.list(unfinished).filter { $0.hasSuffix(".safetensors") }
        let times = kept.map { FileSystem.modified(FileSystem.join(unfinished, $0)) }
        #expect(kept.count > 2)
        let notes = try write(writer, to: folder.file("out"))
        #expect(notes.count == 1 && notes[0].contains("going on"))
        // Whole files were not written again.
        #expect(kept.map { FileSystem.modified(folder.file("out/" + $0)) } == times)
        #expect(try folder.tree("out") == folder.tree("whole"))
    }

    @Test func `another form begins anew`() throws {
        let folder = try TemporaryFolder()
        let path = folder.file("out")
        let first = try ShapeWriter(Self.shape, format: .bf16)
        #expect(throws: Stop.self) { try write(first, to: path, until: 3_000_000) }
        let notes = try write(ShapeWriter(Self.shape, layers: 2, format: .bf16), to: path)
        #expect(notes.count == 1 && notes[0].contains("the number of layers"))
        #expect(try ModelFolder.open(path).description.layers == 2)
    }

    @Test func `an interrupted folder is not taken for a model`() throws {
        let folder = try TemporaryFolder()
        let writer = try ShapeWriter(Self.shape, format: .nf4)
        #expect(throws: Stop.self) {
            try writer.write(to: folder.path) { done, _ in if done > 100_000 { throw Stop() } }
        }
        #expect(throws: (any Error).self) { try ModelFolder.open(folder.path) }
        #expect(try FileSystem.list(folder.path).isEmpty)
    }
}

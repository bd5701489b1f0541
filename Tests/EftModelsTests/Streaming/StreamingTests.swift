// SPDX-License-Identifier: Apache-2.0
// Streamed layers compute what resident ones do, and are read no more often than promised.
import EftFormats
import EftModels
import EftNN
import EftTensor
import EftTestSupport
import Testing

@Suite struct StreamingTests {
    // MARK: Equality

    @Test(
        arguments: StoredForm.allCases,
        ["qwen3", "mixtral", "qwen3_next", "lfm2", "granitemoehybrid", "llama4_text"])
    func `streamed logits are resident ones, bit for bit`(
        _ form: StoredForm, _ type: String
    ) throws {
        let model = try StreamModel(form, type: type)
        let resident = try model.decoder(streamed: 0)
        let expected = try resident.allLogits()
        #expect(resident.streams[0] == nil)
        #expect(expected.allSatisfy(\.isFinite) && Set(expected).count > 1000)
        for (streamed, slots, direct) in [
            (7, 2, true), (7, 2, false), (7, 3, true), (5, 4, true), (4, 2, true), (3, 2, true),
        ] {
            let decoder = try model.decoder(streamed: streamed, slots: slots, direct: direct)
            #expect(decoder.streams[0] != nil)
            for _ in 0..<3 {
                #expect(try decoder.allLogits() == expected, "\(streamed) through \(slots)")
            }
        }
    }

    @Test(
        arguments: StoredForm.allCases,
        [
            ("qwen3", true), ("qwen3", false), ("mixtral", true), ("qwen3_next", true),
            ("lfm2", true), ("granitemoehybrid", true), ("llama4_text", true),
        ])
    func `streamed gradients are resident ones, bit for bit`(
        _ form: StoredForm, _ model: (type: String, checkpointing: Bool)
    ) throws {
        let checkpointing = model.checkpointing
        let model = try StreamModel(form, type: model.type)
        func gradients(_ streamed: Int, slots: Int = 2) throws -> (losses: [Float], all: [Float]) {
            let decoder = try model.decoder(streamed: streamed, slots: slots)
            try decoder.attachAdapter()
            return try decoder.gradients(passes: 2, checkpointing: checkpointing)
        }
        let expected = try gradients(0)
        #expect(expected.all.contains { $0 != 0 })
        for (streamed, slots) in [(7, 2), (6, 3), (4, 2)] {
            let found = try gradients(streamed, slots: slots)
            #expect(found.losses == expected.losses, "\(streamed) through \(slots)")
            #expect(found.all == expected.all, "\(streamed) through \(slots)")
        }
    }

    // MARK: Reads

    /// All layers of the model have records of this size.
    private func recordBytes(_ model: StreamModel) throws -> Int {
        try DecoderLayouts(model.loader()).records[0].byteCount
    }

    /// Goes through layers as a pass does, at a pace that the reader keeps up with.
    private func walk(_ stream: LayerStream, _ order: LayerWalk) throws {
        let streamed = (0..<StreamModel.layers).filter { stream.isStreamed($0) }
        stream.begin(order)
        for layer in order == .forward ? streamed : streamed + streamed.reversed() {
            try stream.acquire(layer)
            stream.settle()
            stream.release(layer)
        }
        stream.settle()
    }

    @Test(arguments: [(7, 2), (7, 3), (5, 2), (6, 4)])
    func `each walk reads what its turn-around does not reuse`(_ test: (Int, Int)) throws {
        let (streamed, slots) = test
        let model = try StreamModel()
        let decoder = try model.decoder(streamed: streamed, slots: slots)
        let stream = try #require(decoder.streams[0])
        let record = try recordBytes(model)
        stream.settle()
        var expected = slots
        #expect(stream.bytesRead == expected * record)
        // Forward walks read every layer once; the first ones of the next walk stand in the window already.
        for _ in 0..<3 {
            try walk(stream, .forward)
            expected += streamed
            #expect(stream.bytesRead == expected * record)
        }
        // There and back, the layers in the window are used twice at both ends.
        for _ in 0..<3 {
            try walk(stream, .forwardAndBackward)
            expected += 2 * (streamed - slots)
            #expect(stream.bytesRead == expected * record)
        }
    }

    // A reader that falls behind finds some of the next walk's layers still in the window, and reads fewer.
    @Test(arguments: [7, 5, 4])
    func `passes read what their walks promise`(_ streamed: Int) throws {
        let model = try StreamModel()
        let decoder = try model.decoder(streamed: streamed)
        try decoder.attachAdapter()
        let stream = try #require(decoder.streams[0])
        let record = try recordBytes(model)
        let ids = StreamModel.ids
        let pass = try TrainingPass(
            decoder: decoder,
            need: TrainingNeed(
                rows: ids.count, sequences: 1, adapters: decoder.adapterWidths,
                checkpointing: .memory))
        for step in 1...3 {
            _ = try pass.run(
                DecoderBatch(sequences: [ids], slots: [0]), labels: ids, gradientScale: 1)
            stream.settle()
            #expect(stream.bytesRead <= (2 + step * 2 * (streamed - 2)) * record)
            #expect(stream.bytesRead >= step * 2 * (streamed - 3) * record)
        }
        let before = stream.bytesRead
        for step in 1...3 {
            _ = try decoder.allLogits()
            stream.settle()
            #expect(stream.bytesRead <= before + step * streamed * record)
            #expect(stream.bytesRead >= before + step * (streamed - 2) * record)
        }
    }

    @Test func `records are checked once and read past the page cache`() throws {
        let model = try StreamModel()
        let base = try model.base(7)
        let backend = try CPUBackend(threads: 2)
        for direct in [true, false] {
            var base = base
            base.direct = direct
            let decoder = try model.loader().load(backend: backend, streaming: base)
            _ = try decoder.allLogits()
        }
        guard try PageCache.canForget(model.folder.path) else { return }
        for layer in 0..<StreamModel.layers {
            let pages = try PageCache.residentPages(base.cache.path(layer: layer))
            #expect(pages == 0, "layer \(layer)")
        }
    }

    @Test func `a repack leaves little of its sources in the page cache`() throws {
        let model = try StreamModel()
        guard try PageCache.canForget(model.folder.path) else { return }
        let source = model.path + "/model.safetensors"
        let pages = try #require(FileSystem.byteCount(source)) / 4096
        _ = try FileSystem.read(source)
        #expect(try PageCache.residentPages(source) > pages / 2)
        let cache = try model.cache()
        try cache.fill(Array(0..<StreamModel.layers), backend: CPUBackend(threads: 2))
        #expect(try PageCache.residentPages(source) < pages / 4)
    }

    // MARK: Memory

    @Test(arguments: StoredForm.allCases, [7, 4, 3])
    func `a streamed decoder holds what its placement states`(
        _ form: StoredForm, _ streamed: Int
    ) throws {
        let model = try StreamModel(form)
        let placement = try model.placement(streamed)
        #expect(placement.streamed.count == streamed)
        #expect(placement.windowBytes > 0 && placement.windowBytes % (2 * 4096) == 0)
        let cache = try model.cache()
        let loader = try model.loader()
        let most = try loader.loadNeed().fillPeak(placement.streamed)
        let ledger = MemoryLedger(limit: most)
        let layers = cache.missing(placement.streamed)
        #expect(cache.bytesToWrite(placement.streamed) == placement.diskBytes)
        try cache.fill(layers, backend: CPUBackend(ledger: ledger, threads: 2))
        // What other formats are rewritten with is stated as a bound.
        #expect(form.configuration.isEmpty ? ledger.peakTotal == most : ledger.peakTotal > most / 2)
        #expect(ledger.peakTotal <= most && ledger.current.total == 0)
        #expect(cache.bytesToWrite(placement.streamed) == 0)
        let written = try placement.streamed.reduce(0) {
            try $0 + #require(FileSystem.byteCount(cache.path(layer: $1)))
        }
        #expect(written == placement.diskBytes)

        let held = MemoryLedger()
        let decoder = try model.decoder(streamed: streamed, ledger: held)
        #expect(held.current[.weights] == placement.weightBytes)
        #expect(held.current[.window] == placement.windowBytes)
        _ = try decoder.allLogits()
        #expect(held.current[.window] == placement.windowBytes)
    }

    /// The best placement on one device that holds nothing but weights and window.
    private func placement(
        _ layouts: DecoderLayouts, room: Int, canStream: Bool = true
    ) -> WeightPlacement {
        PlacementSearch(
            layouts: layouts, limits: [room], canStream: canStream,
            others: { _, _ in MemoryTable() }
        ).best().placement
    }

    @Test func `the best placement that fits is found, or the least`() throws {
        let layouts = try DecoderLayouts(StreamModel().loader())
        #expect(!placement(layouts, room: layouts.byteCount).isStreaming)
        let less = placement(layouts, room: layouts.byteCount - 1)
        #expect(less.streamed.count == 3)
        for count in 3...7 {
            let exact = layouts.streaming(count)
            let room = exact.weightBytes + exact.windowBytes
            #expect(placement(layouts, room: room) == exact)
            #expect(placement(layouts, room: room - 1).streamed.count == min(count + 1, 7))
        }
        #expect(placement(layouts, room: 0).streamed == Array(0..<7))
        #expect(!placement(layouts, room: 0, canStream: false).isStreaming)
        #expect(layouts.streaming(3).streamed == [2, 4, 6])
        // A window that holds all streamed layers saves nothing.
        #expect(!layouts.streaming(2).isStreaming)
    }

    @Test func `a model of two layers is not streamed`() throws {
        let folder = try ModelFolder.open(Fixtures.path("models/plain"))
        let layouts = try DecoderLayouts(DecoderLoader(folder: folder))
        #expect(!placement(layouts, room: 0).isStreaming)
    }

    @Test func `streamed weights are not trained themselves, nor saved`() throws {
        let model = try StreamModel(.f32)
        let decoder = try model.decoder(streamed: 4)
        let error = try #require(throws: TensorError.self) { try decoder.makeTrainable(.all) }
        #expect(error.message.contains("adapter"))
        let backend = try CPUBackend(threads: 1)
        #expect(throws: ModelError.self) {
            try DecoderSaver(decoder: decoder, backend: backend, dtype: .f32)
                .save(to: model.folder.file("copy"))
        }
    }
}

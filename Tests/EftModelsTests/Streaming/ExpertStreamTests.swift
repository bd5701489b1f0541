// SPDX-License-Identifier: Apache-2.0
// Experts that are read when they are chosen compute what resident ones do, and no others are read.
import EftFormats
import EftModels
import EftNN
import EftQuant
import EftTensor
import EftTestSupport
import Testing

#if canImport(Glibc)
    import Glibc
#endif

/// A model with experts in a folder, and a folder for its cache.
struct ExpertModel {
    let path: String
    let options: LoadOptions
    private let folder: TemporaryFolder
    var caches: String { folder.file("caches") }

    init(_ path: String, _ held: WeightTarget = .asStored) throws {
        self.path = path
        options = LoadOptions(linears: held)
        folder = try TemporaryFolder()
    }

    func loader() throws -> DecoderLoader {
        try DecoderLoader(folder: ModelFolder.open(path), options: options)
    }

    /// The experts streamed alone, with so many places.
    func base(slots: Int, direct: Bool = true) throws -> StreamedBase {
        let loader = try loader()
        let layouts = try DecoderLayouts(loader)
        let device = try #require(layouts.streamingExperts(slots: slots))
        var base = StreamedBase(
            placement: WeightPlacement(devices: [device]),
            cache: try PanelCache(loader, layouts: layouts, below: caches))
        base.direct = direct
        try base.cache.fill(base.placement.streamed, backend: CPUBackend(threads: 2))
        return base
    }

    /// A decoder; all in memory when `slots` is nil.
    func decoder(
        slots: Int?, direct: Bool = true, threads: Int = 2, ledger: MemoryLedger = MemoryLedger()
    ) throws -> Decoder {
        let backend = try CPUBackend(ledger: ledger, threads: threads)
        return try loader().load(
            backend: backend, streaming: slots.map { try base(slots: $0, direct: direct) })
    }

    /// Token ids of the model.
    static func ids(_ decoder: Decoder, count: Int = 13) -> [Int32] {
        (0..<count).map { Int32(($0 * 37 + 5) % decoder.description.vocabulary) }
    }
}

@Suite struct ExpertStreamTests {
    /// All architectures with experts, each matrix in a tensor of its own or all in one.
    static let families = [
        "deepseek-v2", "deepseek-v3", "dots1", "ernie4-5-moe", "glm4-moe", "glm4-moe-lite",
        "gpt-oss",
        "gpt-oss-mxfp4", "granitemoe", "granitemoeshared", "mixtral", "olmoe", "phimoe",
        "qwen2-moe",
        "qwen3-5-moe", "qwen3-moe", "qwen3-moe-mixed", "qwen3-next",
    ]

    private func model(
        _ family: String, _ held: WeightTarget = .asStored
    ) throws -> ExpertModel {
        try ExpertModel(Fixtures.path("architectures/\(family)"), held)
    }

    private func least(_ model: ExpertModel) throws -> Int {
        try #require(model.base(slots: 0).placement.devices[0].experts).slots
    }

    // MARK: Equality

    @Test(arguments: families, [WeightTarget.asStored, .nf4(doubleQuantization: true), .int8])
    func `chosen experts compute what resident ones do, bit for bit`(
        _ family: String, _ held: WeightTarget
    ) throws {
        let model = try model(family, held)
        let resident = try model.decoder(slots: nil)
        let ids = ExpertModel.ids(resident)
        let (expected, one) = (try resident.allLogits(ids), try resident.allLogits([ids[3]]))
        #expect(resident.expertStreams.isEmpty && expected.allSatisfy(\.isFinite))
        let least = try least(model)
        for (slots, direct, threads) in [
            (least, true, 2), (least, false, 1), (least + 1, true, 3), (.max, true, 2),
        ] {
            let decoder = try model.decoder(slots: slots, direct: direct, threads: threads)
            #expect(decoder.expertStreams.count == 1 && decoder.streams[0] == nil)
            for _ in 0..<2 {
                #expect(try decoder.allLogits(ids) == expected, "\(slots) places")
                #expect(try decoder.allLogits([ids[3]]) == one, "\(slots) places")
            }
        }
    }

    @Test(arguments: StoredForm.allCases, ["mixtral", "qwen3_next"])
    func `every stored form is streamed`(_ form: StoredForm, _ type: String) throws {
        let stored = try StreamModel(form, type: type)
        let model = try ExpertModel(stored.path, form.options.linears)
        let expected = try model.decoder(slots: nil).allLogits()
        for slots in [0, 5, 9] {
            let decoder = try model.decoder(slots: slots)
            for _ in 0..<2 { #expect(try decoder.allLogits() == expected, "\(slots) places") }
        }
    }

    @Test(arguments: ["mixtral", "qwen2-moe"])
    func `experts of a GGUF file are streamed`(_ name: String) throws {
        let model = try ExpertModel(Fixtures.path("gguf/models/\(name).gguf"))
        let resident = try model.decoder(slots: nil)
        let ids = ExpertModel.ids(resident)
        let expected = try resident.allLogits(ids)
        for slots in [0, 6] {
            let decoder = try model.decoder(slots: slots)
            for _ in 0..<2 { #expect(try decoder.allLogits(ids) == expected, "\(slots) places") }
        }
    }

    @Test(arguments: ["mixtral", "qwen3-moe", "gpt-oss", "qwen2-moe"], [false, true])
    func `adapters on experts act as they do in memory`(_ family: String, _ dora: Bool) throws {
        let model = try model(family)
        func logits(_ slots: Int?) throws -> [Float] {
            let decoder = try model.decoder(slots: slots)
            let plain = try decoder.allLogits(ExpertModel.ids(decoder))
            try decoder.attachAdapter(dora: dora, dropout: 0)
            let adapted = try decoder.allLogits(ExpertModel.ids(decoder), slots: [0])
            #expect(adapted != plain)
            return adapted
        }
        let expected = try logits(nil)
        for slots in [0, 6] { #expect(try logits(slots) == expected) }
    }

    // MARK: Reads

    @Test(arguments: families)
    func `a token reads the experts that it chooses, and those only once`(
        _ family: String
    ) throws {
        let model = try model(family)
        let decoder = try model.decoder(slots: .max)
        let stream = try #require(decoder.expertStreams.first)
        let placement = try model.base(slots: .max).placement
        let experts = try #require(placement.devices[0].experts)
        let perToken = experts.layers.reduce(0) { $0 + $1.perRow }
        #expect(stream.statistics.bytes == 0)
        let first = try decoder.allLogits([5])
        let once = stream.statistics
        #expect(once.expertsUsed == perToken && once.expertsRead == perToken)
        #expect(once.bytes > 0 && once.bytes <= placement.forwardReads())
        #expect(once.bytes <= perToken * experts.slotBytes)
        #expect(perToken < experts.count)
        // There is a place for each: the same token again reads nothing.
        #expect(try decoder.allLogits([5]) == first)
        let again = stream.statistics
        #expect(again.expertsUsed == 2 * perToken && again.expertsRead == perToken)
        #expect(again.bytes == once.bytes)
        // However long a text, no expert is read twice.
        for start in 0..<4 {
            _ = try decoder.allLogits((0..<20).map { Int32(($0 * 7 + start) % 40) })
        }
        #expect(stream.statistics.expertsRead <= experts.count)
    }

    @Test(arguments: ["mixtral", "qwen3-moe", "gpt-oss", "granitemoe"])
    func `few places read no more than is stated`(_ family: String) throws {
        let model = try model(family)
        let decoder = try model.decoder(slots: 0)
        let stream = try #require(decoder.expertStreams.first)
        let placement = try model.base(slots: 0).placement
        for rows in [1, 1, 2, 1, 9, 3, 20, 1] {
            let before = stream.statistics
            _ = try decoder.allLogits(ExpertModel.ids(decoder, count: rows))
            let pass = stream.statistics - before
            #expect(pass.bytes <= placement.forwardReads(rows: rows))
            #expect(pass.expertsRead <= pass.expertsUsed)
        }
    }

    // If the longest unused of all layers left, each expert would leave just before it is needed again.
    @Test func `a token that needs one place too many does not read all its experts again`() throws
    {
        let stored = try StreamModel(type: "mixtral")
        let model = try ExpertModel(stored.path)
        let perToken = 2 * StreamModel.layers
        let decoder = try model.decoder(slots: perToken - 1)
        let stream = try #require(decoder.expertStreams.first)
        _ = try decoder.allLogits([5])
        #expect(stream.statistics.expertsRead == perToken)
        for _ in 0..<20 {
            let before = stream.statistics
            _ = try decoder.allLogits([5])
            let pass = stream.statistics - before
            #expect(pass.expertsUsed == perToken)
            #expect(pass.expertsRead > 0 && pass.expertsRead < perToken / 2)
        }
    }

    /// Damages one expert after the other: a pass that does not choose it never sees it.
    @Test(arguments: ["mixtral", "qwen3-moe", "gpt-oss"])
    func `only experts that are chosen are looked at`(_ family: String) throws {
        let model = try model(family)
        let base = try model.base(slots: 0)
        let expected = try model.decoder(slots: nil).allLogits([7])
        let layer = try #require(base.placement.streamed.last)
        let record = base.cache.records[layer]
        let experts = try #require(record.experts)
        let path = base.cache.path(layer: layer)
        let whole = try FileSystem.read(path)
        var found = 0
        for expert in 0..<experts.count {
            let place = record.bytes(ofExpert: expert)
            try overwrite(path, at: place.lowerBound + 9, [whole[place.lowerBound + 9] ^ 64])
            let decoder = try model.loader().load(
                backend: CPUBackend(threads: 2), streaming: base)
            do {
                #expect(try decoder.allLogits([7]) == expected)
            } catch let error as FormatError {
                #expect(error.code == .damaged && error.path == path)
                #expect(error.message.contains("expert \(expert)"))
                found += 1
                // The next pass reads it anew: nothing is lost.
                try overwrite(path, at: place.lowerBound + 9, [whole[place.lowerBound + 9]])
                for _ in 0..<2 { #expect(try decoder.allLogits([7]) == expected) }
            }
            try overwrite(path, at: place.lowerBound + 9, [whole[place.lowerBound + 9]])
        }
        #expect(found == experts.perRow)
    }

    private func overwrite(_ path: String, at offset: Int, _ bytes: [UInt8]) throws {
        let file = open(path, O_WRONLY)
        try #require(file >= 0)
        defer { close(file) }
        #expect(pwrite(file, bytes, bytes.count, off_t(offset)) == bytes.count)
    }

    @Test func `a file that ends early is an error of its layer, and the stream goes on`() throws {
        let model = try model("qwen3-moe")
        let base = try model.base(slots: 0)
        let expected = try model.decoder(slots: nil).allLogits([7, 8, 9])
        let decoder = try model.loader().load(backend: CPUBackend(threads: 2), streaming: base)
        let layer = try #require(base.placement.streamed.last)
        let whole = try FileSystem.read(base.cache.path(layer: layer))
        #expect(truncate(base.cache.path(layer: layer), 4096) == 0)
        for _ in 0..<3 {
            let error = try #require(throws: FormatError.self) { try decoder.allLogits([7, 8, 9]) }
            #expect(error.code == .damaged && error.path == base.cache.path(layer: layer))
        }
        try overwrite(base.cache.path(layer: layer), at: 0, whole)
        #expect(try decoder.allLogits([7, 8, 9]) == expected)
    }

    @Test func `a changed table of checksums makes the layer anew`() throws {
        let model = try model("qwen3-moe")
        let base = try model.base(slots: 0)
        let layer = base.placement.streamed[0]
        let path = base.cache.path(layer: layer)
        let whole = try FileSystem.read(path)
        #expect(whole.count == base.cache.records[layer].fileBytes)
        let table = base.cache.records[layer].byteCount
        try overwrite(path, at: table + 3, [whole[table + 3] ^ 1])
        #expect(base.cache.missing([layer]) == [layer])
        try base.cache.fill([layer], backend: CPUBackend(threads: 1))
        #expect(try FileSystem.read(path) == whole)
    }

    @Test func `a stream that goes away while it reads leaves nothing behind`() throws {
        let model = try model("mixtral")
        let ledger = MemoryLedger()
        for _ in 0..<10 {
            let decoder = try model.decoder(slots: 0, ledger: ledger)
            _ = try decoder.allLogits([3])
        }
        #expect(ledger.current.total == 0)
    }

    // MARK: Memory

    @Test(arguments: families)
    func `a decoder holds what its placement states`(_ family: String) throws {
        let model = try model(family)
        // Of layers that differ, plans count the norms of those that have most.
        let whole = MemoryLedger()
        let resident = try model.decoder(slots: nil, ledger: whole)
        let planned = try DecoderLayouts(model.loader()).resident.weightBytes
        let unused = planned - whole.current[.weights]
        #expect(resident.expertStreams.isEmpty && unused >= 0 && unused < planned / 50)
        for slots in [0, 7] {
            let placement = try model.base(slots: slots).placement
            let ledger = MemoryLedger()
            let decoder = try model.decoder(slots: slots, ledger: ledger)
            #expect(ledger.current[.weights] == placement.weightBytes - unused)
            #expect(ledger.current[.window] == placement.windowBytes)
            _ = try decoder.allLogits([1, 2, 3])
            #expect(ledger.current[.window] == placement.windowBytes)
            let written = try placement.streamed.reduce(0) {
                try $0
                    + #require(
                        FileSystem.byteCount(model.base(slots: slots).cache.path(layer: $1)))
            }
            #expect(written == placement.diskBytes)
        }
    }

    private func search(
        _ layouts: DecoderLayouts, room: Int, expertsAlone: Bool = true
    ) -> PlacedMemory {
        PlacementSearch(
            layouts: layouts, limits: [room], expertsAlone: expertsAlone,
            others: { _, _ in MemoryTable() }
        ).best()
    }

    @Test func `as many experts as fit are in memory, and the rest always is`() throws {
        let layouts = try DecoderLayouts(StreamModel(type: "mixtral").loader())
        #expect(!search(layouts, room: layouts.byteCount).placement.isStreaming)
        let least = try #require(layouts.streamingExperts(slots: 0)?.experts)
        #expect(least.slots == 2 && least.count == 21)
        for slots in least.slots..<20 {
            let exact = try #require(layouts.streamingExperts(slots: slots))
            let room = exact.weightBytes + exact.windowBytes
            guard room < layouts.byteCount else { continue }
            for more in [0, 1, least.slotBytes - 1] {
                let placed = search(layouts, room: min(room + more, layouts.byteCount - 1))
                #expect(placed.fits && placed.placement.devices == [exact])
            }
            #expect(placed(search(layouts, room: room, expertsAlone: false)))
        }
        // What holds not even the fewest experts does not fit.
        let exact = try #require(layouts.streamingExperts(slots: 0))
        let none = search(layouts, room: exact.weightBytes + exact.windowBytes - 1)
        #expect(!none.fits || none.placement.expertCount == 0)
        #expect(!search(layouts, room: 0).fits)
    }

    /// Without experts alone whole layers are streamed, as in training.
    private func placed(_ memory: PlacedMemory) -> Bool {
        memory.placement.expertCount == 0 && memory.placement.isStreaming
    }

    @Test func `a model without experts streams layers as before`() throws {
        let layouts = try DecoderLayouts(StreamModel().loader())
        #expect(layouts.streamingExperts(slots: 4) == nil)
        #expect(
            search(layouts, room: layouts.byteCount - 1).placement
                == search(layouts, room: layouts.byteCount - 1, expertsAlone: false).placement)
    }
}

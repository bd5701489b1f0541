// SPDX-License-Identifier: Apache-2.0
// A decoder on several devices computes what it computes on one, and each device holds what was stated.
import EftModels
import EftNN
import EftTensor
import EftTestSupport
import Testing

@Suite struct DeviceSplitTests {
    /// Layers of each device, and how many of them are streamed.
    struct Split: Sendable, CustomTestStringConvertible {
        let layers: [Int]
        var streamed: [Int] = []
        var testDescription: String { "\(layers) streamed \(streamed)" }
    }

    static let splits = [
        Split(layers: [7]), Split(layers: [2, 3, 2]), Split(layers: [1, 6]),
        Split(layers: [1, 1, 1, 1, 1, 1, 1]), Split(layers: [0, 4, 0, 3, 0]),
        Split(layers: [3, 4], streamed: [3, 3]), Split(layers: [4, 3], streamed: [0, 3]),
    ]

    private func parts(_ counts: [Int], isTied: Bool = false) -> [DecoderPart] {
        var next = 0
        return counts.map { count in
            defer { next += count }
            guard count > 0 else { return DecoderPart(layers: next..<next) }
            return DecoderPart(
                layers: next..<next + count, holdsEmbedding: next == 0,
                holdsHead: isTied ? next == 0 : next + count == counts.reduce(0, +))
        }
    }

    /// A decoder on devices of its own.
    private func decoder(
        _ model: StreamModel, _ split: Split
    ) throws -> (decoder: Decoder, ledgers: [MemoryLedger]) {
        let loader = try model.loader()
        let layouts = try DecoderLayouts(loader)
        let first = try CPUBackend(threads: 2)
        let devices = split.layers.map { _ in CPUBackend(sharing: first, ledger: MemoryLedger()) }
        let parts = parts(split.layers)
        var base: StreamedBase?
        if !split.streamed.isEmpty {
            let placement = WeightPlacement(
                devices: zip(parts, split.streamed).map {
                    layouts.streaming($1, of: $0)
                })
            base = StreamedBase(placement: placement, cache: try model.cache())
            try base?.cache.fill(placement, devices: devices) { _, _ in }
        }
        let decoder = try loader.load(devices: devices, parts: parts, streaming: base)
        return (decoder, devices.map(\.ledger))
    }

    private static let models =
        StoredForm.allCases.map { ($0, "qwen3") } + [
            (.exl2, "qwen3_next"), (.exl2, "lfm2"), (.exl2, "granitemoehybrid"),
            (.exl2, "llama4_text"),
        ]

    @Test(arguments: models, splits)
    func `any division gives the logits of one device, bit for bit`(
        _ model: (form: StoredForm, type: String), _ split: Split
    ) throws {
        let model = try StreamModel(model.form, type: model.type)
        let expected = try model.decoder(streamed: 0).allLogits()
        let decoder = try decoder(model, split).decoder
        for _ in 0..<2 { #expect(try decoder.allLogits() == expected) }
        let pass = try EvaluationPass(decoder: decoder, rows: 21, sequences: 1)
        let whole = try EvaluationPass(decoder: model.decoder(streamed: 0), rows: 21, sequences: 1)
        let batch = DecoderBatch(sequences: [StreamModel.ids])
        let labels = StreamModel.ids.dropFirst() + [-100]
        #expect(
            try pass.losses(batch, labels: Array(labels))
                == whole.losses(batch, labels: Array(labels)))
    }

    @Test(
        arguments: [
            (StoredForm.f32, "qwen3"), (.storedNF4, "qwen3"), (.exl2, "qwen3"),
            (.storedNF4, "qwen3_next"), (.storedNF4, "lfm2"),
            (.storedNF4, "granitemoehybrid"), (.storedNF4, "llama4_text"),
        ], splits)
    func `any division gives the gradients of one device, bit for bit`(
        _ model: (form: StoredForm, type: String), _ split: Split
    ) throws {
        let model = try StreamModel(model.form, type: model.type)
        for checkpointing in [true, false] {
            let whole = try model.decoder(streamed: 0)
            try whole.attachAdapter()
            let expected = try whole.gradients(passes: 2, checkpointing: checkpointing)
            let decoder = try decoder(model, split).decoder
            try decoder.attachAdapter()
            let found = try decoder.gradients(passes: 2, checkpointing: checkpointing)
            #expect(found.losses == expected.losses && found.all == expected.all)
        }
    }

    @Test(arguments: splits)
    func `devices hold what their parts state`(_ split: Split) throws {
        let model = try StreamModel(.exl2)
        let (decoder, ledgers) = try decoder(model, split)
        let layouts = try DecoderLayouts(model.loader())
        let parts = parts(split.layers)
        for (device, part) in parts.enumerated() {
            let streamed = split.streamed.isEmpty ? 0 : split.streamed[device]
            let placement = layouts.streaming(streamed, of: part)
            #expect(ledgers[device].current[.weights] == placement.weightBytes)
            #expect(ledgers[device].current[.window] == placement.windowBytes)
        }
        try decoder.attachAdapter()
        let need = TrainingNeed(
            rows: 21, sequences: 1, adapters: AdapterWidths(rank: 3, changedInputs: 96),
            checkpointing: .memory)
        let pass = try TrainingPass(decoder: decoder, need: need)
        for (device, part) in parts.enumerated() {
            #expect(
                ledgers[device].current[.activations]
                    == need.byteCount(decoder.description, part: part))
        }
        _ = pass
    }

    @Test(arguments: [Checkpointing.memory, .disk], [2, 3, 5])
    func `one pass for several micro-batches gives what a pass for each gives`(
        _ checkpointing: Checkpointing, _ joined: Int
    ) throws {
        let model = try StreamModel(.exl2)
        let ids = StreamModel.ids
        let micros = [21, 3, 17, 1, 9].enumerated().map { seed, length in
            let half = length / 2
            let batch = DecoderBatch(
                sequences: [Array(ids[..<half]), Array(ids[half..<length])].filter { !$0.isEmpty },
                slots: [0])
            return TrainingRows(
                batch, labels: Array(ids.suffix(length)), dropoutSeed: UInt64(seed))
        }
        let plain = try model.decoder(streamed: 0)
        try plain.attachAdapter()
        let expected = try plain.gradients(
            of: micros, joined: 1, checkpointing: .memory, folder: model.caches)
        for split in [Self.splits[0], Self.splits[1], Self.splits[5]] {
            let decoder = try decoder(model, split).decoder
            try decoder.attachAdapter()
            let found = try decoder.gradients(
                of: micros, joined: joined, checkpointing: checkpointing,
                folder: model.folder.path)
            #expect(found.losses == expected.losses && found.all == expected.all)
        }
    }

    // MARK: Search

    private func search(
        _ limits: [Int], weightLimits: [Int]? = nil, canStream: Bool = true
    ) throws -> (PlacedMemory, DecoderLayouts) {
        let layouts = try DecoderLayouts(StreamModel(.bf16).loader())
        let search = PlacementSearch(
            layouts: layouts, limits: limits, weightLimits: weightLimits, canStream: canStream,
            others: { _, part in MemoryTable([.kvCache: part.layers.count * 1000]) })
        return (search.best(), layouts)
    }

    @Test func `devices are filled in order, and one byte less moves a layer on`() throws {
        let layouts = try search([.max]).1
        for counts in [[2, 3, 2], [6, 1], [1, 1, 5], [7, 0]] {
            let parts = parts(counts)
            let limits = zip(parts, counts).map { layouts.byteCount($0) + $1 * 1000 }
            let placed = try search(limits).0
            #expect(placed.fits && placed.placement.parts == parts)
            #expect(placed.devices.map(\.total) == limits)
            var less = limits
            less[0] -= 1
            let other = try search(less, canStream: false).0
            #expect(!other.fits)
            // Room for it on the next device.
            less[1] += 1 << 20
            let moved = try search(less, canStream: false).0
            #expect(moved.fits && moved.placement.parts[0].layers.count == counts[0] - 1)
        }
    }

    @Test func `a device without room for anything is passed over`() throws {
        let placed = try search([10, 1 << 30]).0
        #expect(placed.fits && placed.placement.parts == parts([0, 7]))
    }

    @Test func `what does not fit is streamed, on each device its own`() throws {
        let (whole, layouts) = try search([.max])
        let room = whole.devices[0].total
        let placed = try search([room / 3, room / 3]).0
        #expect(placed.fits && placed.placement.isStreaming)
        #expect(placed.placement.devices.allSatisfy { $0.part.layers.count >= 3 })
        #expect(zip(placed.devices, [room / 3, room / 3]).allSatisfy { $0.total <= $1 })
        #expect(placed.placement.layers == layouts.layerCount)
        let hopeless = try search([100, 100]).0
        #expect(!hopeless.fits && hopeless.placement.layers == 7)
    }

    @Test func `a division that was asked for is kept`() throws {
        let layouts = try search([.max]).1
        let counts = [3, 2, 2]
        let weights = parts(counts).map { layouts.byteCount($0) }
        let placed = try search(counts.map { _ in Int.max }, weightLimits: weights).0
        #expect(placed.fits && placed.placement.parts == parts(counts))
        let less = try search(counts.map { _ in Int.max }, weightLimits: weights.map { $0 - 1 }).0
        #expect(!less.fits && !less.placement.isStreaming)
    }
}

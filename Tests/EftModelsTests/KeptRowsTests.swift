// SPDX-License-Identifier: Apache-2.0
// A pass that leaves out rows nobody looks at gives the others the same bits, and fills the cache alike.
import EftModels
import EftNN
import EftTensor
import EftTestSupport
import Testing

@Suite struct KeptRowsTests {
    /// Two sequences side by side in a cache of their own.
    private struct Pass {
        let decoder: Decoder
        let workspace: DecoderWorkspace
        let cache: PagedCache

        init(_ decoder: Decoder, rows: Int, adapters: AdapterWidths) throws {
            self.decoder = decoder
            workspace = try DecoderWorkspace(
                DecoderWorkspaceNeed(rows: rows, logitRows: 2, adapters: adapters),
                decoder: decoder)
            cache = try PagedCache(
                pageCount: 16, layers: decoder.description.layers, shape: decoder.description.shape,
                kvType: .bf16, ledger: nil, states: decoder.description.states(sequences: 2))
        }

        /// The states of the kept rows of the whole batch, row by row.
        func states(_ batch: DecoderBatch, keeping kept: [Int]?) throws -> [[Float]] {
            for run in batch.runs {
                #expect(
                    cache.extend(
                        sequence: run.sequence, to: run.firstPosition + run.rows.count))
            }
            let hidden = try decoder.forward(
                batch, keeping: kept, cache: cache, workspace: workspace)
            return (kept ?? Array(0..<batch.count)).map { hidden.rows($0..<$0 + 1).array }
        }

        /// The states of one more token of each sequence, which look at all that the cache holds.
        func statesOfNext(_ lengths: [Int], slots: [Int]) throws -> [[Float]] {
            let runs = lengths.enumerated().map {
                DecoderBatch.Run(
                    sequence: $0.offset, rows: $0.offset..<$0.offset + 1,
                    firstPosition: $0.element)
            }
            let batch = DecoderBatch(
                tokens: [3, 4], runs: runs,
                adapterSegments: slots.isEmpty ? [] : [AdapterSegment(rows: 1..<2, slots: slots)])
            return try states(batch, keeping: nil)
        }
    }

    private static func check(
        _ model: GoldenModel, slots: [Int] = [], _ level: InstructionSet
    ) throws {
        let (one, two) = (try #require(try model.ids(1)), try #require(try model.ids(2)))
        let count = one.count + two.count
        let batch = DecoderBatch(
            tokens: one + two,
            runs: [
                DecoderBatch.Run(sequence: 0, rows: 0..<one.count),
                DecoderBatch.Run(sequence: 1, rows: one.count..<count),
            ],
            adapterSegments: slots.isEmpty
                ? [] : [AdapterSegment(rows: one.count..<count, slots: slots)])
        let adapters = model.decoder.adapterWidths
        func pass() throws -> Pass { try Pass(model.decoder, rows: count, adapters: adapters) }
        let whole = try pass()
        let all = try whole.states(batch, keeping: nil)
        let next = try whole.statesOfNext([one.count, two.count], slots: slots)
        let choices: [[Int]] = [
            [one.count - 1, count - 1], [count - 1], [0], [], [0, 1, one.count, count - 2],
            Array(one.count..<count), Array(0..<count),
        ]
        for kept in choices {
            let own = try pass()
            let found = try own.states(batch, keeping: kept)
            #expect(found == kept.map { all[$0] }, "\(kept) on \(level)")
            #expect(
                try own.statesOfNext([one.count, two.count], slots: slots) == next,
                "after \(kept) on \(level)")
        }
    }

    @Test(
        arguments: [
            "models/plain", "models/gqa-tied", "models/odd-head", "models/rope-dynamic",
            "architectures/qwen2", "architectures/qwen3", "architectures/mixtral",
        ], InstructionSet.available)
    func `kept rows and the cache have the bits of a whole pass`(
        _ name: String, _ level: InstructionSet
    ) throws {
        try Self.check(GoldenModel(name, instructionSet: level), level)
    }

    @Test(arguments: InstructionSet.available)
    func `quantized weights and activations in integers as well`(_ level: InstructionSet) throws {
        try Self.check(
            GoldenModel("exl2-model", precision: .int8, instructionSet: level), level)
    }

    @Test(arguments: ["qwen2", "qwen3", "mixtral"])
    func `adapters act on the rows that they acted on`(_ name: String) throws {
        let model = try GoldenModel("architectures/\(name)")
        let slot = try AdapterFile.load(
            Fixtures.path("architectures/\(name)/adapter"), into: model.decoder)
        try Self.check(model, slots: [slot], .standard)
    }

    @Test func `a batch of some rows cuts runs and adapters`() {
        let batch = DecoderBatch(
            tokens: [10, 11, 12, 13, 14, 15],
            runs: [
                DecoderBatch.Run(sequence: 5, rows: 0..<4, firstPosition: 7, length: 20),
                DecoderBatch.Run(sequence: 6, rows: 4..<6),
            ],
            adapterSegments: [
                AdapterSegment(rows: 0..<3, slots: [0]), AdapterSegment(rows: 4..<5, slots: [1]),
            ])
        let kept = batch.keeping([0, 2, 3, 5])
        #expect(kept.tokens == [10, 12, 13, 15])
        #expect(kept.runs.map(\.sequence) == [5, 5, 6])
        #expect(kept.runs.map(\.rows) == [0..<1, 1..<3, 3..<4])
        #expect(kept.runs.map(\.firstPosition) == [7, 9, 1])
        #expect(kept.runs.map(\.length) == [20, 20, 2])
        #expect(kept.adapterSegments == [AdapterSegment(rows: 0..<2, slots: [0])])
        #expect(batch.keeping([]).runs.isEmpty)
    }
}

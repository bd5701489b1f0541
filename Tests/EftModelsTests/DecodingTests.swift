// SPDX-License-Identifier: Apache-2.0
// Decoding through the cache equals reading at once, bit for bit.
import EftModels
import EftNN
import EftTensor
import EftTestSupport
import Testing

@Suite struct DecodingTests {
    /// Logits of the last token of each chunk, read through a paged cache.
    static func logits(
        _ decoder: Decoder, _ ids: [Int32], chunks: [Int], kvType: KVType, length: Int
    ) throws -> [[Float]] {
        let need = DecoderWorkspaceNeed(rows: ids.count, logitRows: 1)
        let workspace = try DecoderWorkspace(
            need, decoder: decoder)
        let cache = try PagedCache(
            pageCount: 8, layers: decoder.description.layers, shape: decoder.description.shape,
            kvType: kvType, ledger: nil, states: decoder.description.states(sequences: 2))
        // Another sequence holds the first page, so that pages do not lie in order.
        #expect(cache.extend(sequence: 7, to: 1))
        #expect(cache.extend(sequence: 3, to: ids.count))
        var all: [[Float]] = []
        var done = 0
        for chunk in chunks {
            let tokens = Array(ids[done..<done + chunk])
            let batch = DecoderBatch(
                tokens: tokens,
                runs: [
                    DecoderBatch.Run(
                        sequence: 3, rows: 0..<chunk, firstPosition: done, length: length)
                ])
            let hidden = try decoder.forward(batch, cache: cache, workspace: workspace)
            let logits = try decoder.logits(
                of: hidden, rows: [chunk - 1], batch: batch, workspace: workspace)
            all.append(logits.array)
            done += chunk
        }
        return all
    }

    @Test(
        arguments: ["plain", "gqa-tied", "odd-head", "rope-dynamic", "bf16", "f16"],
        [KVType.f32, .bf16, .f16])
    func `token by token equals all at once`(_ name: String, _ kvType: KVType) throws {
        for level in InstructionSet.available {
            let model = try GoldenModel("models/\(name)", instructionSet: level)
            let ids = try #require(try model.ids(2))
            let one = try Self.logits(
                model.decoder, ids, chunks: [ids.count], kvType: kvType, length: ids.count)
            let single = try Self.logits(
                model.decoder, ids, chunks: ids.map { _ in 1 }, kvType: kvType, length: ids.count)
            let halves = [ids.count / 2, ids.count - ids.count / 2]
            let chunked = try Self.logits(
                model.decoder, ids, chunks: halves, kvType: kvType, length: ids.count)
            #expect(one.last == single.last, "\(level)")
            #expect(one.last == chunked.last, "\(level)")
        }
    }

    @Test(arguments: [KVType.q8, .q6, .q4])
    func `token by token equals all at once with a cache in codes`(_ kvType: KVType) throws {
        // The demo's model: the only one here whose heads have 32 numbers.
        let folder = try ModelFolder.open(Fixtures.path("../../Examples/demo/model"))
        let ids = (0..<70).map { Int32(($0 * 37 + 5) % 2000) }
        for level in InstructionSet.available {
            let backend = try CPUBackend(threads: 2, instructionSet: level)
            let decoder = try DecoderLoader(folder: folder).load(backend: backend)
            func last(_ chunks: [Int], _ type: KVType) throws -> [Float] {
                try #require(
                    try Self.logits(decoder, ids, chunks: chunks, kvType: type, length: ids.count)
                        .last)
            }
            let one = try last([ids.count], kvType)
            #expect(try last(ids.map { _ in 1 }, kvType) == one, "\(level)")
            let limit: Float = kvType == .q8 ? 0.02 : 0.25
            #expect(relativeError(one, try last([ids.count], .f32)) < limit, "\(level)")
        }
    }

    @Test(arguments: KVType.allCases)
    func `a text is scored through a cache as it is read through one`(_ kvType: KVType) throws {
        let folder = try ModelFolder.open(Fixtures.path("../../Examples/demo/model"))
        let ids = (0..<70).map { Int32(($0 * 37 + 5) % 2000) }
        let ledger = MemoryLedger()
        let backend = try CPUBackend(ledger: ledger, threads: 2)
        let decoder = try DecoderLoader(folder: folder).load(backend: backend)
        let wanted = try Self.logits(
            decoder, ids, chunks: ids.map { _ in 1 }, kvType: kvType, length: ids.count)
        let before = ledger.current[.activations]
        let pass = try EvaluationPass(
            decoder: decoder, rows: ids.count, sequences: 1, kvType: kvType)
        let stated = EvaluationPass.byteCount(
            decoder.description, part: decoder.parts[0], rows: ids.count, sequences: 1,
            adapters: decoder.adapterWidths, kvType: kvType)
        #expect(ledger.current[.activations] - before == stated)
        // A longer text went through the same pages before.
        _ = try pass.losses(
            DecoderBatch(sequences: [Array(ids.reversed())]), labels: ids.map { _ in 1 })
        let found = try pass.values(
            DecoderBatch(sequences: [Array(ids.prefix(50))]), rows: [3, 49])
        #expect(found == wanted[3] + wanted[49])
    }

    @Test(arguments: [ActivationPrecision.int16, .int8])
    func `token by token equals all at once in integers`(_ precision: ActivationPrecision) throws {
        for level in InstructionSet.available {
            let model = try GoldenModel("exl2-model", precision: precision, instructionSet: level)
            let ids = try #require(try model.ids(2))
            func last(_ chunks: [Int]) throws -> [Float]? {
                try Self.logits(
                    model.decoder, ids, chunks: chunks, kvType: .bf16, length: ids.count
                )
                .last
            }
            let one = try last([ids.count])
            #expect(try last(ids.map { _ in 1 }) == one, "\(level)")
            #expect(try last([ids.count / 2, ids.count - ids.count / 2]) == one, "\(level)")
        }
    }

    @Test func `pages go back to the pool and a full pool says so`() throws {
        let shape = DecoderShape(
            hidden: 8, intermediate: 8, heads: 1, kvHeads: 1, headDim: 8, normEpsilon: 1e-5)
        let ledger = MemoryLedger()
        let cache = try PagedCache(
            pageCount: 3, layers: 2, shape: shape, kvType: .bf16, ledger: ledger)
        #expect(
            ledger.current[.kvCache]
                == PagedCache.byteCount(pages: 3, layers: 2, shape: shape, kvType: .bf16))
        #expect(cache.extend(sequence: 0, to: 17))
        #expect(cache.freePages == 1)
        #expect(!cache.extend(sequence: 1, to: 33))
        #expect(cache.freePages == 1)
        #expect(cache.extend(sequence: 1, to: 16))
        cache.release(sequence: 0)
        #expect(cache.freePages == 2)
    }
}

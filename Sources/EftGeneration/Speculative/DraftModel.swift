// SPDX-License-Identifier: Apache-2.0
// Drafts from a smaller model (Leviathan et al. 2023), verified by what the larger one samples.
import EftModels
import EftNN
import EftTensor

/// A smaller model of the same vocabulary that runs ahead of the sequences.
///
/// It samples with each sequence's own settings, seed and random numbers: where both models think alike, sampled tokens
/// are alike too.
final class DraftModel: DraftProposer {
    private let decoder: Decoder
    private let cache: PagedCache
    private let workspace: DecoderWorkspace
    private let headRows: Int
    /// Tokens of each sequence that stand in this model's pages.
    private var held: [Int: [Int32]] = [:]
    /// How many tokens of each sequence its state was kept behind, in a model with linear attention.
    private var backedUp: [Int: Int] = [:]

    /// Takes the memory that `need` states.
    /// - Throws: `TensorError` when it does not fit the ledger, `GenerationError` for another vocabulary or where no memory
    ///   was taken to take a draft back.
    init(decoder: Decoder, need: GenerationNeed, vocabulary: Int) throws {
        guard decoder.description.vocabulary == vocabulary else {
            throw GenerationError(
                "the draft model has \(decoder.description.vocabulary) tokens, the model \(vocabulary); "
                    + "they must share their tokenizer")
        }
        self.decoder = decoder
        headRows = need.headRows
        cache = try decoder.cache(need)
        guard cache.goesBack else {
            throw GenerationError(
                "a draft model with linear attention needs a second state of each sequence, for which no memory was taken"
            )
        }
        workspace = try DecoderWorkspace(need.workspace, decoder: decoder)
        try decoder.reserveScratch(rows: need.rows, headRows: need.headRows)
    }

    func forget(_ sequence: Int) {
        cache.release(sequence: sequence)
        held[sequence] = nil
        backedUp[sequence] = nil
    }

    func giveBack(unusedSince time: ContinuousClock.Instant) {
        cache.giveBack(unusedSince: time)
    }

    /// A sequence that is being drafted for.
    private struct Work {
        let query: Int
        let sequence: Int
        var tokens: [Int32]
        var computed: Int
        let most: Int
        var sampler: SequenceSampler
        var drafts: [Int32] = []
    }

    func propose(_ queries: [DraftQuery]) throws -> [[Int32]] {
        var works: [Work] = []
        for (index, query) in queries.enumerated() where query.most > 0 {
            guard let work = begin(index, query) else { continue }
            works.append(work)
        }
        var going = works.indices.filter { works[$0].most > 0 }
        do {
            while !going.isEmpty {
                let isReady = try advance(&works, going)
                // Who has more to read than a batch holds reads on next time.
                going = isReady.filter { works[$0].drafts.count < works[$0].most }
            }
        } catch {
            // Some layers' states may have gone on, others not.
            if cache.keepsStates { for work in works { forget(work.sequence) } }
            throw error
        }
        var drafts: [[Int32]] = queries.map { _ in [] }
        for work in works {
            held[work.sequence] = Array(work.tokens.prefix(work.computed))
            drafts[work.query] = work.drafts
        }
        return drafts
    }

    /// Goes back to what the sequence and this model's pages have in common; nil when there are no pages left.
    private func begin(_ index: Int, _ query: DraftQuery) -> Work? {
        let known = held[query.sequence] ?? []
        var common = 0
        while common < min(known.count, query.tokens.count - 1),
            known[common] == query.tokens[common]
        {
            common += 1
        }
        guard cache.canHold(sequence: query.sequence) else { return nil }
        common = goBack(query.sequence, to: common, of: known.count)
        // What came true before is never taken back, so that nothing was left that is needed again.
        let isHeld = cache.withTable { table in
            if !table.reaches(sequence: query.sequence, position: common) {
                table.release(sequence: query.sequence)
                common = 0
            }
            table.trim(sequence: query.sequence, computed: common, prompt: 0)
            return table.reserve(sequence: query.sequence, to: query.tokens.count + query.most)
        }
        guard isHeld else {
            forget(query.sequence)
            return nil
        }
        return Work(
            query: index, sequence: query.sequence, tokens: query.tokens, computed: common,
            most: query.most, sampler: query.sampler)
    }

    /// Takes drafts back that did not come true.
    /// - Returns: the tokens that the sequence's pages and state hold, `common` of `known` at most.
    private func goBack(_ sequence: Int, to common: Int, of known: Int) -> Int {
        guard cache.keepsStates, common < known else { return common }
        if let count = backedUp[sequence], count <= common {
            cache.restore(sequence: sequence)
            return count
        }
        forget(sequence)
        return 0
    }

    /// Computes a batch, and samples a token for each sequence that is read to its end.
    /// - Returns: those sequences.
    private func advance(_ works: inout [Work], _ going: [Int]) throws -> [Int] {
        var tokens: [Int32] = []
        var runs: [DecoderBatch.Run] = []
        var ready: [(work: Int, row: Int)] = []
        for index in going {
            let (sequence, first) = (works[index].sequence, works[index].computed)
            let pending = works[index].tokens.count - first
            let count = min(pending, workspace.rows - tokens.count)
            guard count > 0 else { continue }
            guard cache.extend(sequence: sequence, to: first + count) else { continue }
            runs.append(
                DecoderBatch.Run(
                    sequence: sequence, rows: tokens.count..<tokens.count + count,
                    firstPosition: first))
            tokens += works[index].tokens[first..<first + count]
            works[index].computed += count
            if count == pending { ready.append((index, tokens.count - 1)) }
        }
        guard !tokens.isEmpty else { return [] }
        let batch = DecoderBatch(tokens: tokens, runs: runs)
        let hidden = try decoder.forward(
            batch, keeping: ready.map(\.row), cache: cache, workspace: workspace)
        for item in ready where cache.keepsStates && works[item.work].drafts.isEmpty {
            // From here on everything is a draft.
            cache.backUp(sequence: works[item.work].sequence)
            backedUp[works[item.work].sequence] = works[item.work].computed
        }
        for first in stride(from: 0, to: ready.count, by: headRows) {
            let part = ready[first..<min(first + headRows, ready.count)]
            let logits = try decoder.logits(
                of: hidden, rows: part.map(\.row), batch: batch, workspace: workspace)
            for (row, item) in part.enumerated() {
                let values = UnsafeMutableBufferPointer(
                    start: logits.pointer + row * logits.columns, count: logits.columns)
                guard let token = try? works[item.work].sampler.sample(values) else { continue }
                works[item.work].drafts.append(token.id)
                works[item.work].tokens.append(token.id)
                works[item.work].sampler.accept(token.id)
            }
        }
        return ready.map(\.work).filter {
            works[$0].tokens.count > works[$0].computed
        }
    }
}

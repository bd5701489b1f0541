// SPDX-License-Identifier: Apache-2.0
// Where drafts of next tokens come from.

/// A sequence that would like drafts.
struct DraftQuery {
    /// The sequence's number.
    let sequence: Int
    /// Its tokens; the last one has just been sampled.
    let tokens: [Int32]
    /// Most tokens to draft.
    let most: Int
    /// How it samples; a copy may be used to guess what it will sample.
    let sampler: SequenceSampler
}

/// Drafts tokens that sequences may sample next.
///
/// What is drafted changes no result: each sequence samples for itself at every place, and a draft only saves the step when
/// it equals what was sampled. So outputs are exact, greedy or sampled, whatever the drafts are.
protocol DraftProposer: AnyObject {
    /// Drafts for sequences that sample in this step, in the order of the queries.
    func propose(_ queries: [DraftQuery]) throws -> [[Int32]]
    /// A sequence has ended or gives its pages back.
    func forget(_ sequence: Int)
    /// Gives the memory of pages back that were not used since a time.
    func giveBack(unusedSince time: ContinuousClock.Instant)
}

extension DraftProposer {
    func giveBack(unusedSince time: ContinuousClock.Instant) {}
}

/// Drafts from the sequences themselves.
final class NGramDrafts: DraftProposer {
    private let sizes: ClosedRange<Int>
    private var proposers: [Int: NGramProposer] = [:]

    init(sizes: ClosedRange<Int> = 2...4) { self.sizes = sizes }

    func propose(_ queries: [DraftQuery]) -> [[Int32]] {
        queries.map { query in
            var proposer =
                proposers.removeValue(forKey: query.sequence)
                ?? NGramProposer(sizes: sizes)
            proposer.append(query.tokens[min(proposer.count, query.tokens.count)...])
            let drafts = proposer.propose(query.most)
            proposers[query.sequence] = proposer
            return drafts
        }
    }

    func forget(_ sequence: Int) { proposers[sequence] = nil }
}

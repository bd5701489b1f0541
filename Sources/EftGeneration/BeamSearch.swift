// SPDX-License-Identifier: Apache-2.0
// Beam search over whatever gives the likeliest next tokens.

#if canImport(Glibc)
    import Glibc
#endif

/// Settings of a beam search.
package struct BeamSearchParameters: Sendable, Hashable {
    /// Beams kept after each step, and most answers given; at least 1.
    package var width: Int
    /// Most tokens of an answer.
    package var maxTokens: Int
    /// A beam's score is its log-probability divided by its length to this power.
    package var lengthPenalty: Double
    /// Tokens that complete a beam.
    package var endTokens: Set<Int32>
    /// Whether end tokens are tokens like others.
    package var ignoreEOS: Bool
    /// Whether an answer keeps the end token that completed it.
    package var includeEndToken: Bool

    /// Makes settings.
    package init(
        width: Int, maxTokens: Int, lengthPenalty: Double = 1, endTokens: Set<Int32> = [],
        ignoreEOS: Bool = false, includeEndToken: Bool = false
    ) {
        self.width = width
        self.maxTokens = maxTokens
        self.lengthPenalty = lengthPenalty
        self.endTokens = endTokens
        self.ignoreEOS = ignoreEOS
        self.includeEndToken = includeEndToken
    }

    /// How many likeliest tokens a step takes of each beam.
    package var candidates: Int { 2 * min(max(width, 0), Int.max / 2) }
}

/// A beam search, a step at a time: the caller scores the next tokens of the `active` beams and calls `advance`.
///
/// A step takes each beam's 2 x width likeliest next tokens. An end token among them completes a copy of its beam; of all
/// others the `width` best by score go on. Answers are the best of the completed beams and of those that reach the most
/// tokens. The score is log-probability / length^lengthPenalty, where the length counts generated tokens without
/// an end token and the log-probability counts the end token too.
package struct BeamSearch: Sendable {
    /// A beginning of an answer, or an answer.
    package struct Beam: Sendable, Hashable {
        /// Generated tokens.
        package fileprivate(set) var tokens: [Int32]
        /// Each generated token as it was chosen; with the end token.
        package fileprivate(set) var steps: [RankedToken]
        /// The sum of the tokens' log-probabilities.
        package fileprivate(set) var logprob: Double
        /// The score.
        package fileprivate(set) var score: Double
        /// Which active beam of the step before it continues.
        package fileprivate(set) var parent: Int
        /// The token that completed it; nil for a beam that may go on or reached the most tokens.
        package fileprivate(set) var endToken: Int32?
    }

    /// Settings.
    package let parameters: BeamSearchParameters
    /// Beams whose next tokens are wanted, the best first; none when the search is over.
    package private(set) var active: [Beam]
    private var completed: [Beam] = []
    private var left: [Beam] = []
    private var length = 0

    /// Begins with the empty answer.
    package init(_ parameters: BeamSearchParameters) {
        self.parameters = parameters
        let empty = Beam(tokens: [], steps: [], logprob: 0, score: 0, parent: 0)
        active = parameters.maxTokens > 0 && parameters.width > 0 ? [empty] : []
    }

    /// Takes the likeliest next tokens of each active beam: `candidates` or all there are, the likeliest first. A beam
    /// without one is dropped.
    package mutating func advance(_ likeliest: [[RankedToken]]) {
        var going: [Beam] = []
        length += 1
        for (parent, tokens) in zip(active.indices, likeliest) {
            // Ruled out tokens have no log-probability to add.
            for token in tokens.prefix(parameters.candidates) where token.logprob > -.infinity {
                let isEnd = !parameters.ignoreEOS && parameters.endTokens.contains(token.id)
                let beam = continued(active[parent], parent: parent, token, isEnd: isEnd)
                if isEnd { completed.append(beam) } else { going.append(beam) }
            }
        }
        active = best(going)
        completed = best(completed)
        if length >= parameters.maxTokens || cannotImprove {
            left = active
            active = []
        }
    }

    /// The answers so far, the best first: at most `width`.
    package var answers: [Beam] { best(completed + left) }

    /// Runs the whole search.
    /// - Parameter next: for the generated tokens of each active beam, its likeliest next tokens as `advance` takes them.
    /// - Throws: what `next` throws.
    package static func run(
        _ parameters: BeamSearchParameters, isolation: isolated (any Actor)? = #isolation,
        next: ([Beam]) async throws -> [[RankedToken]]
    ) async throws -> [Beam] {
        var search = BeamSearch(parameters)
        while !search.active.isEmpty { search.advance(try await next(search.active)) }
        return search.answers
    }

    private func continued(
        _ beam: Beam, parent: Int, _ token: RankedToken, isEnd: Bool
    ) -> Beam {
        var beam = beam
        beam.parent = parent
        beam.steps.append(token)
        beam.logprob += Double(token.logprob)
        if !isEnd || parameters.includeEndToken { beam.tokens.append(token.id) }
        beam.endToken = isEnd ? token.id : nil
        beam.score = score(beam.logprob, length: beam.steps.count - (isEnd ? 1 : 0))
        return beam
    }

    private func score(_ logprob: Double, length: Int) -> Double {
        logprob / pow(Double(max(length, 1)), parameters.lengthPenalty)
    }

    /// The best `width` beams; of equal ones those that came first.
    private func best(_ beams: [Beam]) -> [Beam] {
        let order = beams.indices.sorted {
            beams[$0].score != beams[$1].score ? beams[$0].score > beams[$1].score : $0 < $1
        }
        return order.prefix(max(parameters.width, 0)).map { beams[$0] }
    }

    /// Whether no continuation can come among the answers: log-probabilities only fall, so that a beam's score is at most
    /// what its log-probability would give at its shortest or its longest length.
    private var cannotImprove: Bool {
        guard completed.count >= parameters.width, let worst = completed.last else { return false }
        return active.allSatisfy { beam in
            max(
                score(beam.logprob, length: length),
                score(beam.logprob, length: parameters.maxTokens)) < worst.score
        }
    }
}

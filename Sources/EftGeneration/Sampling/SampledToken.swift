// SPDX-License-Identifier: Apache-2.0
// A sampled or given token with its log-probability, and why a sample may fail.

/// A token with its place in the distribution.
package struct RankedToken: Sendable, Hashable {
    /// The token.
    package let id: Int32
    /// Natural logarithm of its probability by the logits as the model gave them; -infinity is possible.
    package let logprob: Float
    /// 1 for the likeliest; equal ones rank by id.
    package let rank: Int
}

/// A token that was sampled, or given and scored.
package struct SampledToken: Sendable, Hashable {
    /// The token.
    package let id: Int32
    /// As in `RankedToken`; 0 when no log-probabilities were asked for.
    package let logprob: Float
    /// As in `RankedToken`; 0 when no log-probabilities were asked for.
    package let rank: Int
    /// This token, then those of rank 1, 2, ... without it: N entries when it is one of the first N, else N + 1. Empty
    /// when no log-probabilities were asked for.
    package let top: [RankedToken]

    /// A token without log-probabilities.
    package init(id: Int32) {
        self.id = id
        logprob = 0
        rank = 0
        top = []
    }

    /// A token with its place and the likeliest others.
    init(_ token: RankedToken, likeliest: [RankedToken]) {
        id = token.id
        logprob = token.logprob
        rank = token.rank
        top = [token] + likeliest.filter { $0.id != token.id }
    }
}

/// Why no token can be sampled for a sequence; others are not concerned.
package enum SamplingError: Error, Sendable, Hashable, CustomStringConvertible {
    /// A logit is NaN or +infinity.
    case damagedLogits
    /// All tokens are ruled out. With a constraint on the output, the sequence is at its end.
    case nothingAllowed

    package var description: String {
        switch self {
        case .damagedLogits:
            "the model's logits are not finite numbers; its weights may be damaged, or too large for "
                + "the precision"
        case .nothingAllowed:
            "no token is allowed; loosen allowed_token_ids, bad_words or the output's constraint"
        }
    }
}

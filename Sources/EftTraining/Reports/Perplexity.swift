// SPDX-License-Identifier: Apache-2.0
// The perplexity of a loss.

#if canImport(Glibc)
    import Glibc
#endif

/// How many tokens a model is as unsure between as if all were equally likely.
enum Perplexity {
    /// The perplexity of a mean loss in nats a token.
    static func of(loss: Double) -> Double { exp(loss) }
}

// SPDX-License-Identifier: Apache-2.0
// DRY ("don't repeat yourself"): what a token that continues a repetition loses.

#if canImport(Glibc)
    import Glibc
#endif

/// Finds repetitions at the end of a sequence.
///
/// For a place j of the window, n(j) is how many tokens before j equal those at the sequence's end, none of them a
/// breaker. The token at j then lengthens a repetition of n(j) tokens, and a token's n is the largest over its places.
struct DRYPenalty: Sendable {
    let parameters: DRYParameters

    /// nil when the settings ask for none.
    init?(_ parameters: DRYParameters) {
        guard parameters.multiplier > 0, parameters.range != 0 else { return nil }
        self.parameters = parameters
    }

    /// What each token that continues a repetition of the allowed length or more loses: finite.
    func penalties(_ tokens: [Int32]) -> [Int32: Float] {
        repetitions(tokens).mapValues { length in
            let growth = pow(Double(parameters.base), Double(length - parameters.allowedLength))
            return Float(
                min(
                    Double(parameters.multiplier) * growth,
                    Double(Float.greatestFiniteMagnitude)))
        }
    }

    /// The longest repetition, of the allowed length at least, that each token would continue.
    private func repetitions(_ tokens: [Int32]) -> [Int32: Int] {
        let count = parameters.range < 0 ? tokens.count : min(parameters.range, tokens.count)
        let first = tokens.count - count
        // No repetition is longer than what follows the last breaker.
        let breakers = parameters.sequenceBreakers
        var longest = count
        if !breakers.isEmpty {
            longest = 0
            while longest < count, !breakers.contains(tokens[tokens.count - 1 - longest]) {
                longest += 1
            }
        }
        guard longest >= parameters.allowedLength, count > parameters.allowedLength else {
            return [:]
        }
        var found: [Int32: Int] = [:]
        tokens.withUnsafeBufferPointer { tokens in
            withUnsafeTemporaryAllocation(of: Int32.self, capacity: count) { matches in
                Self.matchLengths(tokens, count: count, into: matches)
                for back in 1..<count {
                    let length = min(Int(matches[back]), longest)
                    guard length >= parameters.allowedLength else { continue }
                    // `back` tokens before the end stands the repetition's last token; the next one continued it.
                    let token = tokens[first + count - back]
                    found[token] = max(found[token] ?? 0, length)
                }
            }
        }
        return found
    }

    /// matches[b] = how many of the last `count` tokens, read backwards from b before the end, equal those read
    /// backwards from the end: the Z function (Gusfield 1997) of the window read backwards, in linear time.
    private static func matchLengths(
        _ tokens: UnsafeBufferPointer<Int32>, count: Int,
        into matches: UnsafeMutableBufferPointer<Int32>
    ) {
        let last = tokens.count - 1
        matches.initialize(repeating: 0)
        // [left, right) is the stretch that is known to equal a beginning and reaches farthest.
        var (left, right) = (0, 0)
        for back in stride(from: 1, to: count, by: 1) {
            var length = back < right ? min(right - back, Int(matches[back - left])) : 0
            while back + length < count, tokens[last - length] == tokens[last - back - length] {
                length += 1
            }
            matches[back] = Int32(truncatingIfNeeded: length)
            if back + length > right { (left, right) = (back, back + length) }
        }
    }
}

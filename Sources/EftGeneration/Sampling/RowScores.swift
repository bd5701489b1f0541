// SPDX-License-Identifier: Apache-2.0
// Log-probabilities and ranks by the logits as the model gave them.

#if canImport(Glibc)
    import Glibc
#endif

/// The log-probabilities of one row of logits.
struct RowScores {
    private let row: LogitRow
    private let logSum: Double

    /// Takes the sum of a row.
    /// - Throws: `SamplingError` for a row that is no distribution.
    init(_ row: LogitRow) throws(SamplingError) {
        self.row = row
        let top = try row.peak().value
        logSum = Double(top) + log(row.sums(top: top, scale: 1).total)
    }

    /// A token with its place and the `count` likeliest.
    /// - Throws: `SamplingError.nothingAllowed` for a token that the row does not have.
    func score(_ token: Int32, count: Int) throws(SamplingError) -> SampledToken {
        guard token >= 0, Int(token) < row.count else { throw .nothingAllowed }
        let value = row.values[Int(token)]
        let before = LogitRow(UnsafeBufferPointer(rebasing: row.values[..<Int(token)]))
        let greater = row.countOf(atLeast: value.nextUp)
        let equal =
            before.countOf(atLeast: value) - before.countOf(atLeast: value.nextUp)
        return SampledToken(
            RankedToken(id: token, logprob: logprob(value), rank: greater + equal + 1),
            likeliest: likeliest(count))
    }

    private func logprob(_ logit: Float) -> Float { Float(Double(logit) - logSum) }

    /// The `count` likeliest tokens in order; equal ones by id.
    func likeliest(_ count: Int) -> [RankedToken] {
        let count = min(count, row.count)
        guard count > 0 else { return [] }
        let least = row.kth(count)
        let greater = row.countOf(atLeast: least.nextUp)
        // Among this many of those that are not less, all but `greater` equal the least.
        let (tokens, values) = row.tokens(atLeast: least.nextUp, capacity: greater)
        let (others, otherValues) = row.tokens(atLeast: least, capacity: count + greater)
        var found = zip(tokens, values).map { (token: $0, value: $1) }
        for (token, value) in zip(others, otherValues) where value == least {
            if found.count == count { break }
            found.append((token, value))
        }
        found.sort { $0.value != $1.value ? $0.value > $1.value : $0.token < $1.token }
        return found.enumerated().map { place, item in
            RankedToken(
                id: Int32(truncatingIfNeeded: item.token), logprob: logprob(item.value),
                rank: place + 1)
        }
    }
}

// SPDX-License-Identifier: Apache-2.0
// The tokens that are left to draw from, and the filters that need to know their probabilities.

#if canImport(Glibc)
    import Glibc
#endif

/// Some tokens in order of id with their weights, which are proportional to their probabilities.
struct CandidateSet {
    private var tokens: [UInt32]
    private var logits: [Float]
    private var weights: [Float]
    private(set) var total: Double

    /// The tokens of a row whose logits are at least `floor`, by temperature 1 / `scale`.
    init(_ row: LogitRow, floor: Float, top: Float, scale: Float) {
        (tokens, logits) = row.tokens(atLeast: floor, capacity: row.countOf(atLeast: floor))
        weights = logits.withUnsafeBufferPointer {
            LogitRow($0).weights(top: top, scale: scale)
        }
        total = Self.sum(weights)
    }

    private static func sum(_ weights: [Float]) -> Double {
        weights.reduce(into: 0.0) { $0 += Double($1) }
    }

    /// Keeps the likeliest tokens until their weights together reach `goal`, equal ones by id; at least one.
    mutating func keepLikeliest(reaching goal: Double) {
        guard total > goal else { return }
        let cut = MassCut(weights, reaching: goal) { Double(logits[$0]) }
        keep { index, logit, _ in cut.keeps(Double(logit), index) }
    }

    /// Keeps the tokens whose information is nearest to the mean until their probabilities together reach `p`, and
    /// those as near as the last of them.
    mutating func keepTypical(_ p: Float, top: Float, scale: Float) {
        let logTotal = log(total)
        var entropy = 0.0
        let information = tokens.indices.map { index in
            let information = logTotal - Double((logits[index] - top) * scale)
            if weights[index] > 0 { entropy += Double(weights[index]) / total * information }
            return information
        }
        let mean = entropy
        func key(_ index: Int) -> Double { -abs(information[index] - mean) }
        let cut = MassCut(weights, reaching: Double(p) * total, key)
        keep { index, _, _ in key(index) >= cut.key }
    }

    /// Leaves out all tokens of at least this probability but the least likely of them, of equal ones the last.
    mutating func excludeTopChoices(threshold: Float) {
        let least = Double(threshold) * total
        var last: Int?
        for index in tokens.indices where Double(weights[index]) >= least {
            if let known = last, logits[known] < logits[index] { continue }
            last = index
        }
        let kept = last
        keep { index, _, weight in Double(weight) < least || index == kept }
    }

    private mutating func keep(
        _ isKept: (_ index: Int, _ logit: Float, _ weight: Float) -> Bool
    ) {
        var kept = 0
        for index in tokens.indices where isKept(index, logits[index], weights[index]) {
            tokens[kept] = tokens[index]
            logits[kept] = logits[index]
            weights[kept] = weights[index]
            kept += 1
        }
        tokens.removeLast(tokens.count - kept)
        logits.removeLast(logits.count - kept)
        weights.removeLast(weights.count - kept)
        total = Self.sum(weights)
    }

    /// The token at a fraction in [0, 1) of the weight.
    func token(at fraction: Double) -> Int32? {
        CumulativeWeight.index(weights, at: fraction * total).map {
            Int32(truncatingIfNeeded: tokens[$0])
        }
    }
}

/// Walks along weights.
enum CumulativeWeight {
    /// The first index at which the weights up to it exceed `goal`; the last with a weight when rounding leaves none; nil
    /// when there is no weight.
    static func index(_ weights: [Float], at goal: Double) -> Int? {
        var remaining = goal
        var last: Int?
        for (index, weight) in weights.enumerated() where weight > 0 {
            last = index
            remaining -= Double(weight)
            if remaining < 0 { break }
        }
        return last
    }

    /// The block in which the sum exceeds `goal`, and what of the goal lies in it; as `index`.
    static func block(_ sums: [Double], at goal: Double) -> (index: Int, goal: Double)? {
        var remaining = goal
        var last: (index: Int, goal: Double)?
        for (index, sum) in sums.enumerated() where sum > 0 {
            last = (index, remaining)
            if remaining < sum { break }
            remaining -= sum
        }
        return last
    }
}

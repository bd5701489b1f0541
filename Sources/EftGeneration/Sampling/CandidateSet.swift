// SPDX-License-Identifier: Apache-2.0
// The tokens that are left to sample from, and the filters that need to know their probabilities.

#if canImport(Glibc)
    import Glibc
#endif

/// Some tokens in order of id with their weights, which are proportional to their probabilities.
struct CandidateSet {
    private(set) var tokens: [UInt32]
    private var logits: [Float]
    private(set) var weights: [Float]
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
        weights.withUnsafeBufferPointer { LogitRow($0).mass(of: $0, atLeast: 0) }
    }

    /// Keeps the likeliest tokens until their weights together reach `goal`, equal ones by id; at least one.
    mutating func keepLikeliest(reaching goal: Double) {
        guard total > goal else { return }
        let cut = MassCut(logits, weights, reaching: goal)
        let places = Self.places(logits, atLeast: cut.key)
        keep(places.filter { cut.keeps(logits[Int($0)], $0) })
    }

    /// Keeps the tokens whose information is nearest to the mean until their probabilities together reach `p`, and
    /// those as near as the last of them.
    mutating func keepTypical(_ p: Float, top: Float, scale: Float) {
        let logTotal = Float(log(total))
        let information = logits.map { logTotal - ($0 - top) * scale }
        var entropy = 0.0
        for (weight, information) in zip(weights, information) where weight > 0 {
            entropy += Double(weight) / total * Double(information)
        }
        let mean = Float(entropy)
        let nearness = information.map { -abs($0 - mean) }
        let cut = MassCut(nearness, weights, reaching: Double(p) * total)
        keep(Self.places(nearness, atLeast: cut.key))
    }

    private static func places(_ keys: [Float], atLeast floor: Float) -> [UInt32] {
        keys.withUnsafeBufferPointer {
            let row = LogitRow($0)
            return row.tokens(atLeast: floor, capacity: row.countOf(atLeast: floor)).tokens
        }
    }

    /// Leaves out all tokens of at least this probability but the least likely of them, of equal ones the last.
    mutating func excludeTopChoices(threshold: Float) {
        let least = Double(threshold) * total
        var last: UInt32?
        var others: [UInt32] = []
        for (index, weight) in weights.enumerated() {
            let place = UInt32(truncatingIfNeeded: index)
            if Double(weight) < least {
                others.append(place)
            } else if last.map({ logits[Int($0)] >= logits[index] }) ?? true {
                last = place
            }
        }
        if let last { keep((others + [last]).sorted()) }
    }

    private mutating func keep(_ places: [UInt32]) {
        tokens = places.map { tokens[Int($0)] }
        logits = places.map { logits[Int($0)] }
        weights = places.map { weights[Int($0)] }
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

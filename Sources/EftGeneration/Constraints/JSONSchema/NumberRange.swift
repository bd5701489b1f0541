// SPDX-License-Identifier: Apache-2.0
// Numbers between two bounds, compared digit by digit.

/// Numbers within bounds, written without an exponent.
struct NumberRange {
    private let minimum: Schema.Bound?
    private let maximum: Schema.Bound?

    init(_ minimum: Schema.Bound?, _ maximum: Schema.Bound?) {
        self.minimum = minimum
        self.maximum = maximum
    }

    /// A bound on a magnitude, which is what is compared.
    struct Limit {
        var whole: [UInt8]
        var fraction: [UInt8]
        /// Whether the bound itself is outside.
        var isExclusive: Bool
    }

    private static let zero = Decimal(isNegative: false, whole: [0], fraction: [])

    /// The spellings of the numbers.
    func node(isInteger: Bool) -> GrammarNode {
        var choices: [GrammarNode] = []
        // Zero and what is above.
        if maximum.map({ !$0.value.isNegative }) ?? true {
            let low = minimum.flatMap { $0.value.isNegative ? nil : $0 }
            choices.append(
                magnitudes(
                    from: low ?? Schema.Bound(value: Self.zero, isExclusive: false), to: maximum,
                    isInteger: isInteger))
        }
        // What is below zero: the bounds change places.
        if minimum.map({ $0.value.isNegative }) ?? true {
            let low = maximum.flatMap { $0.value.isNegative ? $0 : nil }
            choices.append(
                .sequence([
                    .text("-"),
                    magnitudes(
                        from: Schema.Bound(
                            value: low?.value.magnitude ?? Self.zero,
                            isExclusive: low?.isExclusive ?? true),
                        to: minimum.map {
                            Schema.Bound(value: $0.value.magnitude, isExclusive: $0.isExclusive)
                        }, isInteger: isInteger),
                ]))
        }
        return .choice(choices)
    }

    private func magnitudes(
        from low: Schema.Bound, to high: Schema.Bound?, isInteger: Bool
    ) -> GrammarNode {
        var lower = Limit(
            whole: low.value.whole, fraction: low.value.fraction, isExclusive: low.isExclusive)
        var upper = high.map {
            Limit(whole: $0.value.whole, fraction: $0.value.fraction, isExclusive: $0.isExclusive)
        }
        if isInteger {
            if low.isExclusive || !lower.fraction.isEmpty { lower.whole = low.value.wholeAfter }
            lower = Limit(whole: lower.whole, fraction: [], isExclusive: false)
            if let high, let old = upper {
                var whole = old.whole
                if high.isExclusive && old.fraction.isEmpty {
                    if high.value.isZero { return .impossible }
                    whole = high.value.wholeBefore
                }
                upper = Limit(whole: whole, fraction: [], isExclusive: false)
            }
        }
        let tails = Tails(lower, upper, isInteger: isInteger)
        return Self.wholes(lower.whole, upper?.whole, tails)
    }

    /// What follows the digits before the point.
    private struct Tails {
        let free: GrammarNode
        /// Behind the lower bound's, the upper one's, and those of both.
        let low: GrammarNode
        let high: GrammarNode
        let both: GrammarNode

        init(_ lower: Limit, _ upper: Limit?, isInteger: Bool) {
            guard !isInteger else {
                (free, low, high, both) = (.empty, .empty, .empty, .empty)
                return
            }
            free = JSONPieces.fraction.optional
            low = NumberFractions(low: lower, high: nil).node
            high = NumberFractions(low: nil, high: upper).node
            both = NumberFractions(low: lower, high: upper).node
        }
    }

    // MARK: Before the point

    private static func wholes(
        _ low: [UInt8], _ high: [UInt8]?, _ tails: Tails
    ) -> GrammarNode {
        guard let high else {
            let longer = GrammarNode.sequence([
                .set(digits(1, 9)),
                .repeated(
                    .digit, minimum: low.count,
                    maximum: max(low.count, JSONPieces.wholeDigits - 1)), tails.free,
            ])
            return .choice([atLeast(low[...], tails), longer])
        }
        if low.count > high.count { return .impossible }
        if low.count == high.count {
            return between(low[...], high[...], tails)
        }
        var choices = [
            atLeast(low[...], tails), atMost(high[...], tails, isFirst: true),
        ]
        if high.count - low.count > 1 {
            choices.append(
                .sequence([
                    .set(digits(1, 9)),
                    .repeated(.digit, minimum: low.count, maximum: high.count - 2), tails.free,
                ]))
        }
        return .choice(choices)
    }

    /// As many digits as the bound has, none below it.
    private static func atLeast(
        _ low: ArraySlice<UInt8>, _ tails: Tails
    ) -> GrammarNode {
        guard let digit = low.first else { return tails.low }
        let rest = low.dropFirst()
        var choices: [GrammarNode] = [
            .sequence([.set(digits(digit, digit)), atLeast(rest, tails)])
        ]
        if digit < 9 {
            choices.append(
                .sequence([
                    .set(digits(digit + 1, 9)), GrammarNode.digit.times(rest.count), tails.free,
                ]))
        }
        return .choice(choices)
    }

    /// As many digits as the bound has, none above it.
    private static func atMost(
        _ high: ArraySlice<UInt8>, _ tails: Tails, isFirst: Bool
    ) -> GrammarNode {
        guard let digit = high.first else { return tails.high }
        let rest = high.dropFirst()
        // Numbers of several digits do not begin with 0.
        let least: UInt8 = isFirst && !rest.isEmpty ? 1 : 0
        var choices: [GrammarNode] = [
            .sequence([.set(digits(digit, digit)), atMost(rest, tails, isFirst: false)])
        ]
        if digit > least {
            choices.append(
                .sequence([
                    .set(digits(least, digit - 1)), GrammarNode.digit.times(rest.count), tails.free,
                ]))
        }
        return .choice(choices)
    }

    /// As many digits as both bounds have, between them.
    private static func between(
        _ low: ArraySlice<UInt8>, _ high: ArraySlice<UInt8>, _ tails: Tails
    ) -> GrammarNode {
        guard let first = low.first, let last = high.first else { return tails.both }
        let (lowRest, highRest) = (low.dropFirst(), high.dropFirst())
        if first > last { return .impossible }
        if first == last {
            return .sequence([
                .set(digits(first, first)), between(lowRest, highRest, tails),
            ])
        }
        var choices: [GrammarNode] = [
            .sequence([.set(digits(first, first)), atLeast(lowRest, tails)]),
            .sequence([.set(digits(last, last)), atMost(highRest, tails, isFirst: false)]),
        ]
        if last - first > 1 {
            choices.append(
                .sequence([
                    .set(digits(first + 1, last - 1)), GrammarNode.digit.times(lowRest.count),
                    tails.free,
                ]))
        }
        return .choice(choices)
    }

    static func digits(_ low: UInt8, _ high: UInt8) -> ScalarSet {
        ScalarSet([(UInt32(low) + 0x30)...(UInt32(high) + 0x30)])
    }
}

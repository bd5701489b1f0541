// SPDX-License-Identifier: Apache-2.0
// Digits behind the point within bounds.

/// What may follow the digits before the point when those equal a bound's, or both bounds'.
struct NumberFractions {
    let low: NumberRange.Limit?
    let high: NumberRange.Limit?

    /// Nothing, or a point and digits.
    var node: GrammarNode {
        let behind = GrammarNode.sequence([
            .text("."), rest(0, isLow: low != nil, isHigh: high != nil),
        ])
        return mayEnd(0, isLow: low != nil, isHigh: high != nil) ? behind.optional : behind
    }

    /// Whether the number may end before the digit at `index`.
    private func mayEnd(_ index: Int, isLow: Bool, isHigh: Bool) -> Bool {
        if isLow, let low, index < low.fraction.count || low.isExclusive { return false }
        if isHigh, let high, index >= high.fraction.count && high.isExclusive { return false }
        return true
    }

    /// The digits from `index` on, at least one in front; `isLow` and `isHigh` say that those before equal the bound's.
    private func rest(_ index: Int, isLow: Bool, isHigh: Bool) -> GrammarNode {
        let lowDigits = low?.fraction ?? []
        let highDigits = high?.fraction ?? []
        let isPastLow = index >= lowDigits.count
        // At the end of a bound that is inside, all that follows is above it.
        let isLow = isLow && !(isPastLow && low?.isExclusive == false)
        let most = max(JSONPieces.fractionDigits, lowDigits.count + 1, highDigits.count + 1)
        func many(_ node: GrammarNode) -> GrammarNode {
            .repeated(node, minimum: index == 0 ? 1 : 0, maximum: most - index)
        }
        let zeros = GrammarNode.set(ScalarSet("0"))
        if !isLow && !isHigh { return many(.digit) }
        if isPastLow && (!isHigh || index >= highDigits.count) {
            if isHigh { return isLow || high?.isExclusive == true ? .impossible : many(zeros) }
            return .sequence([
                .repeated(zeros, minimum: 0, maximum: most - index - 1),
                .set(NumberRange.digits(1, 9)),
                .repeated(.digit, minimum: 0, maximum: JSONPieces.fractionDigits),
            ])
        }
        let least: UInt8 = isLow && !isPastLow ? lowDigits[index] : 0
        let highest: UInt8 = !isHigh ? 9 : index < highDigits.count ? highDigits[index] : 0
        guard least <= highest else { return .impossible }
        var choices: [GrammarNode] = []
        func add(_ range: ClosedRange<UInt8>, isLow: Bool, isHigh: Bool) {
            let digit = GrammarNode.set(NumberRange.digits(range.lowerBound, range.upperBound))
            choices.append(
                .sequence([digit, rest(index + 1, isLow: isLow, isHigh: isHigh)]))
        }
        if index > 0 && mayEnd(index, isLow: isLow, isHigh: isHigh) { choices.append(.empty) }
        let (isLeastTight, isMostTight) = (isLow, isHigh)
        if least == highest {
            add(least...highest, isLow: isLeastTight, isHigh: isMostTight)
            return .choice(choices)
        }
        var (from, to) = (least, highest)
        if isLeastTight {
            add(least...least, isLow: true, isHigh: false)
            from += 1
        }
        if isMostTight {
            add(highest...highest, isLow: false, isHigh: true)
            to -= 1
        }
        if from <= to { add(from...to, isLow: false, isHigh: false) }
        return .choice(choices)
    }
}

// SPDX-License-Identifier: Apache-2.0
// From characters that are to be learned to tokens.

/// Ranges of characters, widened to whole tokens.
struct TrainedTokens {
    /// For each token whether it is learned.
    let isTrained: [Bool]

    /// Decides for the tokens of a text.
    /// - Parameters:
    ///   - details: the ranges, in characters of the text.
    ///   - tokens: the characters of each token, in order; both ends included.
    ///
    /// A range is widened to the tokens that it cuts. A token is learned when one of the widened ranges that are learned
    /// holds it.
    init(_ details: [TrainedCharacters], tokens: [ClosedRange<Int>]) {
        var result = [Bool](repeating: false, count: tokens.count)
        for detail in details where detail.isTrained {
            guard let range = Self.widened(detail, tokens) else { continue }
            for place in range { result[place] = true }
        }
        isTrained = result
    }

    /// The tokens of a range; nil when it holds none.
    private static func widened(
        _ detail: TrainedCharacters, _ tokens: [ClosedRange<Int>]
    ) -> ClosedRange<Int>? {
        var first = tokens.firstIndex { $0.lowerBound >= detail.first } ?? tokens.count
        if first > 0, tokens[first - 1].upperBound > detail.first { first -= 1 }
        var last = tokens.lastIndex { $0.upperBound <= detail.last } ?? -1
        if last + 1 < tokens.count, tokens[last + 1].lowerBound < detail.last { last += 1 }
        return first <= last && last < tokens.count ? first...last : nil
    }
}

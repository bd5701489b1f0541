// SPDX-License-Identifier: Apache-2.0
// What answers come to beside those of the data: BLEU (Papineni et al. 2002), chrF (Popović 2015) and TER (Snover et al. 2006), as
// sacrebleu counts.

#if canImport(Glibc)
    import Glibc
#endif

/// A measure of generated answers.
package enum AnswerMetric: String, Sendable, CaseIterable {
    /// BLEU of up to four words, with the tokenizer 13a and exponential smoothing.
    case sacrebleu
    /// F score of up to six characters, recall counted twice.
    case chrf
    /// Edits for a hundred words of the data's answers, of which fewer are better; moving some words is one.
    case ter

    /// The score of all answers together: from 0 to 100, but for TER, which can pass it.
    package func score(answers: [String], references: [String]) -> Double {
        switch self {
        case .sacrebleu: WordScore(answers, references).value
        case .chrf: CharacterScore(answers, references).value
        case .ter: EditScore(answers, references).value
        }
    }
}

/// How often each run of some elements occurs.
private func counts<Element: Hashable>(_ elements: [Element], _ length: Int) -> [ArraySlice<
    Element
>: Int] {
    guard elements.count >= length else { return [:] }
    var counts: [ArraySlice<Element>: Int] = [:]
    for first in 0...elements.count - length {
        counts[elements[first..<first + length], default: 0] += 1
    }
    return counts
}

/// How many of the runs stand in the reference too, each as often as there.
private func matches<Key>(_ answer: [Key: Int], _ reference: [Key: Int]) -> Int {
    answer.reduce(0) { $0 + min($1.value, reference[$1.key] ?? 0) }
}

/// BLEU of a corpus.
private struct WordScore {
    private static let order = 4
    private var correct = [Int](repeating: 0, count: order)
    private var total = [Int](repeating: 0, count: order)
    private var (answerWords, referenceWords) = (0, 0)

    init(_ answers: [String], _ references: [String]) {
        for (answer, reference) in zip(answers, references) {
            let (a, r) = (WordTokenizer.words(answer), WordTokenizer.words(reference))
            answerWords += a.count
            referenceWords += r.count
            for n in 0..<Self.order {
                correct[n] += matches(counts(a, n + 1), counts(r, n + 1))
                total[n] += max(0, a.count - n)
            }
        }
    }

    var value: Double {
        guard correct.contains(where: { $0 > 0 }) else { return 0 }
        var (logarithms, smoothing) = (0.0, 1.0)
        for n in 0..<Self.order {
            // Answers that are all too short for a run of this length have no precision of it.
            guard total[n] > 0 else { return 0 }
            if correct[n] == 0 {
                smoothing *= 2
                logarithms += log(1 / (smoothing * Double(total[n])))
            } else {
                logarithms += log(Double(correct[n]) / Double(total[n]))
            }
        }
        let brevity =
            answerWords < referenceWords
            ? exp(1 - Double(referenceWords) / Double(answerWords)) : 1
        return 100 * brevity * exp(logarithms / Double(Self.order))
    }
}

/// chrF2 of a corpus.
private struct CharacterScore {
    private static let (order, weight) = (6, 4.0)
    private var answer = [Int](repeating: 0, count: order)
    private var reference = [Int](repeating: 0, count: order)
    private var correct = [Int](repeating: 0, count: order)

    init(_ answers: [String], _ references: [String]) {
        for (answer, reference) in zip(answers, references) {
            let (a, r) = (Self.characters(answer), Self.characters(reference))
            for n in 0..<Self.order {
                let (hypothesis, expected) = (counts(a, n + 1), counts(r, n + 1))
                // Runs of a length that the reference is too short for do not count.
                self.answer[n] += expected.isEmpty ? 0 : max(0, a.count - n)
                self.reference[n] += max(0, r.count - n)
                correct[n] += matches(hypothesis, expected)
            }
        }
    }

    private static func characters(_ text: String) -> [Unicode.Scalar] {
        text.unicodeScalars.filter { !WordTokenizer.isSpace($0) }
    }

    var value: Double {
        var (precision, recall, lengths) = (0.0, 0.0, 0.0)
        for n in 0..<Self.order where answer[n] > 0 && reference[n] > 0 {
            precision += Double(correct[n]) / Double(answer[n])
            recall += Double(correct[n]) / Double(reference[n])
            lengths += 1
        }
        guard lengths > 0, precision + recall > 0 else { return 0 }
        (precision, recall) = (precision / lengths, recall / lengths)
        return 100 * (1 + Self.weight) * precision * recall
            / (Self.weight * precision + recall)
    }
}

/// TER of a corpus.
private struct EditScore {
    private var (edits, referenceWords) = (0, 0)

    init(_ answers: [String], _ references: [String]) {
        for (answer, reference) in zip(answers, references) {
            let expected = TranslationEdits.words(reference)
            edits += TranslationEdits.count(TranslationEdits.words(answer), expected)
            referenceWords += expected.count
        }
    }

    var value: Double {
        guard referenceWords > 0 else { return edits > 0 ? 100 : 0 }
        return 100 * Double(edits) / Double(referenceWords)
    }
}

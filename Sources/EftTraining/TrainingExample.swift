// SPDX-License-Identifier: Apache-2.0
// One tokenized example, and how examples become a batch.
import EftModels
import EftNN

/// Tokens of one document with their labels.
package struct TrainingExample: Sendable, Hashable {
    /// Token ids.
    package var tokens: [Int32]
    /// For each token, itself where it is to be learned and `ignoreIndex` where not.
    package var labels: [Int32]
    /// What is preferred, in a run that learns from preferences.
    package var preference: Preference?
    /// The row as JSON, where a command asks for it that rewards completions.
    package var row: String?

    /// What is said of the example's answer, which are its learned tokens.
    package enum Preference: Sendable, Hashable {
        /// It is better than the answer of these tokens to the same prompt.
        case over(tokens: [Int32], labels: [Int32])
        /// It is desirable, or not.
        case desirable(Bool)
    }

    /// The label of tokens that are not learned.
    package static let ignoreIndex: Int32 = -100

    /// Makes an example; all tokens are learned when no labels are given.
    package init(tokens: [Int32], labels: [Int32]? = nil) {
        self.tokens = tokens
        self.labels = labels ?? tokens
        precondition(self.labels.count == tokens.count)
    }

    /// The answer that the example's is preferred to, as an example of its own.
    package var rejected: TrainingExample? {
        guard case .over(let tokens, let labels)? = preference else { return nil }
        return TrainingExample(tokens: tokens, labels: labels)
    }

    /// Tokens that go through the model, those of a rejected answer included.
    package var rowCount: Int { tokens.count + (rejected?.tokens.count ?? 0) }

    /// Tokens of the longer answer with its prompt.
    package var longestCount: Int { max(tokens.count, rejected?.tokens.count ?? 0) }

    /// The example with its sequences cut.
    package func prefix(_ count: Int) -> TrainingExample {
        var result = TrainingExample(
            tokens: Array(tokens.prefix(count)), labels: Array(labels.prefix(count)))
        (result.preference, result.row) = (preference, row)
        if let rejected = rejected?.prefix(count) {
            result.preference = .over(tokens: rejected.tokens, labels: rejected.labels)
        }
        return result
    }

    /// Tokens that are learned: the first one is never predicted.
    package var trainedTokens: Int { labels.dropFirst().count { $0 >= 0 } }
}

/// Examples that go through the model together; each sees itself only.
package struct MicroBatch: Sendable {
    /// Tokens and runs.
    package let batch: DecoderBatch
    /// For each row the token to predict there: labels shifted by one within each example; or else its own label.
    package let labels: [Int32]
    /// Rows with a label.
    package let trainedTokens: Int

    /// Puts examples together.
    /// - Parameter predictsNext: whether a row's label is the token behind it, and not about its own.
    package init(_ examples: [TrainingExample], slots: [Int], predictsNext: Bool = true) {
        batch = DecoderBatch(sequences: examples.map(\.tokens), slots: slots)
        labels = examples.flatMap { example in
            predictsNext
                ? example.labels.dropFirst() + [TrainingExample.ignoreIndex] : example.labels[...]
        }
        trainedTokens = labels.count { $0 >= 0 }
    }
}

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

    /// The label of tokens that are not learned.
    package static let ignoreIndex: Int32 = -100

    /// Makes an example; all tokens are learned when no labels are given.
    package init(tokens: [Int32], labels: [Int32]? = nil) {
        self.tokens = tokens
        self.labels = labels ?? tokens
        precondition(self.labels.count == tokens.count)
    }

    /// Tokens that are learned: the first one is never predicted.
    package var trainedTokens: Int { labels.dropFirst().count { $0 >= 0 } }
}

/// Examples that go through the model together; each sees itself only.
package struct MicroBatch: Sendable {
    /// Tokens and runs.
    package let batch: DecoderBatch
    /// For each row the token to predict there: labels shifted by one within each example.
    package let labels: [Int32]
    /// Rows with a label.
    package let trainedTokens: Int

    /// Puts examples together.
    package init(_ examples: [TrainingExample], slots: [Int]) {
        batch = DecoderBatch(sequences: examples.map(\.tokens), slots: slots)
        labels = examples.flatMap { $0.labels.dropFirst() + [TrainingExample.ignoreIndex] }
        trainedTokens = labels.count { $0 >= 0 }
    }
}

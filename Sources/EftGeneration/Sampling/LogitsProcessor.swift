// SPDX-License-Identifier: Apache-2.0
// A step between the model's logits and the draw of a token.

/// Changes logits before a token is drawn. Tokens that may not be drawn get minus infinity.
package protocol LogitsProcessor: Sendable {
    /// Changes `logits` (one for each token of the vocabulary), knowing the sequence so far.
    func process(_ logits: inout [Float], tokens: [Int32])
}

// SPDX-License-Identifier: Apache-2.0
// Where keys and values of earlier tokens are found.
import EftTensor

/// Keys and values of sequences, in pages of 16 tokens.
package protocol KVCache: AnyObject, Sendable {
    /// How keys and values are held in pages.
    var kvType: KVType { get }
    /// The runs of a batch with the pages of one layer.
    func attentionRuns(layer: Int, batch: DecoderBatch) -> [AttentionRun]
}

/// Pages needed for `tokens` tokens.
package func pageCount(tokens: Int) -> Int { (tokens + pageTokens - 1) / pageTokens }

// SPDX-License-Identifier: Apache-2.0
// Where keys and values of earlier tokens are found, or what layers keep in their place.
import EftTensor

/// Keys and values of sequences, in pages of 16 tokens.
package protocol KVCache: AnyObject, Sendable {
    /// How keys and values are held in pages.
    var kvType: KVType { get }
    /// The runs of a batch with the pages of one layer.
    func attentionRuns(layer: Int, batch: DecoderBatch) -> [AttentionRun]
    /// Where the states of a layer with linear attention stand, for each run of a batch; nil where none outlives the pass.
    func states(layer: Int, batch: DecoderBatch) -> [UnsafeMutablePointer<Float>?]
}

extension KVCache {
    package func states(layer: Int, batch: DecoderBatch) -> [UnsafeMutablePointer<Float>?] {
        batch.runs.map { _ in nil }
    }
}

/// Pages needed for `tokens` tokens.
package func pageCount(tokens: Int) -> Int { (tokens + pageTokens - 1) / pageTokens }

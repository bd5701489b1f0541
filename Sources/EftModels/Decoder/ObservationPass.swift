// SPDX-License-Identifier: Apache-2.0
// Whole sequences through a decoder, with a look at what its linear layers read.
import EftNN
import EftTensor

/// Shows the inputs of a decoder's linear layers, a sequence at a time; no cache outlives a layer.
package final class ObservationPass: Sendable {
    private let pass: EvaluationPass

    /// Takes the memory of an evaluation pass for sequences of at most `rows` tokens.
    /// - Throws: `TensorError` when it does not fit the ledger.
    package init(decoder: Decoder, rows: Int) throws {
        let chunk = LossHead.chunkRows(vocabulary: decoder.description.vocabulary, rows: rows)
        try decoder.reserveScratch(rows: rows, headRows: chunk)
        pass = try EvaluationPass(decoder: decoder, rows: rows, sequences: 1)
    }

    /// Takes a sequence through all layers.
    /// - Throws: `FormatError` when a streamed layer cannot be read, `ModelError` for a token beyond the vocabulary, and what
    ///   the observer throws.
    package func run(
        _ tokens: [Int32], slots: [Int] = [], observer: @escaping DecoderLayer.Observer
    ) throws {
        var walk = try pass.walk(DecoderBatch(sequences: [tokens], slots: slots))
        while !walk.isDone { try walk.step(observer: observer) }
    }
}

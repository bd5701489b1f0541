// SPDX-License-Identifier: Apache-2.0
// Two decoders side by side on the same tokens.
import EftNN
import EftTensor

/// How a model differs from a reference on one sequence.
package struct SequenceComparison: Sendable {
    /// Each row that has a label, in order.
    package var rows: [RowDivergence] = []
    /// The states that each layer gives; none when the two have layers of other shapes.
    package var layers: [StateDifference] = []
}

/// Takes whole sequences through two decoders at once, a layer of one and the same layer of the other, so that no
/// states are kept and each decoder may stream its own layers.
package final class ComparisonPass: Sendable {
    private let reference: EvaluationPass
    private let model: EvaluationPass
    private let backend: any Backend
    private let comparesLayers: Bool

    /// Takes the memory of two evaluation passes.
    /// - Parameter kvType: how the model's keys and values are held; the reference's are in f32.
    /// - Throws: `ModelError` (`mismatch`) for vocabularies of different sizes, `TensorError` when it does not fit a
    ///   ledger.
    package init(
        reference: Decoder, model: Decoder, rows: Int, kvType: KVType = .f32
    ) throws {
        let (one, other) = (reference.description, model.description)
        guard one.vocabulary == other.vocabulary else {
            throw ModelError(
                .mismatch,
                "the reference predicts \(one.vocabulary) tokens, the model \(other.vocabulary); models of different "
                    + "vocabularies cannot be compared")
        }
        comparesLayers = one.layers == other.layers && one.shape.hidden == other.shape.hidden
        backend = model.devices[model.headDevice]
        self.reference = try EvaluationPass(decoder: reference, rows: rows, sequences: 1)
        self.model = try EvaluationPass(
            decoder: model, rows: rows, sequences: 1, kvType: kvType)
    }

    /// Compares one sequence.
    /// - Parameters:
    ///   - slots: adapters of the model; the reference has none.
    ///   - labels: for each token the one to predict there; negative for none.
    /// - Throws: `FormatError` when a streamed layer cannot be read, `ModelError` for a token beyond the vocabulary.
    package func compare(
        _ tokens: [Int32], labels: [Int32], slots: [Int]
    ) throws -> SequenceComparison {
        let plain = DecoderBatch(sequences: [tokens])
        let adapted = DecoderBatch(sequences: [tokens], slots: slots)
        var (one, other) = (try reference.walk(plain), try model.walk(adapted))
        var result = SequenceComparison()
        if comparesLayers {
            while !one.isDone {
                try one.step()
                try other.step()
                result.layers.append(backend.difference(reference: one.hidden, other.hidden))
            }
        } else {
            while !one.isDone { try one.step() }
            while !other.isDone { try other.step() }
        }
        let (wanted, found) = (reference.normed(one.atHead()), model.normed(other.atHead()))
        for rows in model.chunks(of: tokens.count) {
            let divergences = backend.divergence(
                reference: try reference.logits(wanted, rows: rows, plain),
                logits: try model.logits(found, rows: rows, adapted), labels: labels[rows])
            result.rows += zip(divergences, labels[rows]).filter { $1 >= 0 }.map(\.0)
        }
        return result
    }
}

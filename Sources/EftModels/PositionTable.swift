// SPDX-License-Identifier: Apache-2.0
// Learned positions: what the checkpoint calls them, how many there are.
import EftConfig
import EftNN
import EftTensor

extension DecoderDescription {
    /// The table of learned positions.
    package struct PositionTable: Sendable, Hashable {
        /// The path in the checkpoint, without `.weight`.
        package var name: String
        /// Rows before that of position 0.
        package var first: Int

        /// The tensor's name.
        package var weight: String { name + ".weight" }
    }

    /// Adds learned positions to the embeddings, one for each of the context, in place of rotary ones.
    mutating func learnPositions(_ name: String, first: Int = 0) {
        positions = PositionTable(name: name, first: first)
        kinds = (0..<layers).map { LayerKind(window: kind(layer: $0).window, rotary: nil) }
    }

    /// Whether a module stands in a decoder layer.
    package func isInLayers(_ module: String) -> Bool { module.hasPrefix(names.layers + ".") }

    /// Rows of the table of learned positions; 0 without one.
    package var positionRows: Int { positions.map { contextLength + $0.first } ?? 0 }

    /// Bytes of the table of learned positions in f32.
    package var positionBytes: Int { positionRows * shape.hidden * 4 }

    /// The shape of the table as it is trained; none without one.
    var positionShapes: [ParameterShape] {
        positions == nil ? [] : [.matrix(rows: positionRows, columns: shape.hidden)]
    }

    /// Refuses sequences that are longer than the learned positions.
    /// - Throws: `ModelError` (`invalidInput`).
    package func checkPositions(_ length: Int, what: String) throws(ModelError) {
        guard positions != nil, length > contextLength else { return }
        throw ModelError(
            .invalidInput,
            "\(what) has \(length) tokens, and the model has learned positions for \(contextLength); shorter ones are "
                + "needed")
    }
}

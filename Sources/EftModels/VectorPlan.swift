// SPDX-License-Identifier: Apache-2.0
// The vectors of a decoder layer that are neither norms nor biases.
import EftNN

extension DecoderDescription {
    /// Name and size of a vector.
    package struct VectorShape: Sendable, Hashable {
        /// What vectors do.
        package enum Role: Sendable, Hashable {
            /// Scores of heads that stand for no position.
            case sinks
            /// Added to the scores by which experts are chosen.
            case correction
        }

        /// What it does.
        package let role: Role
        /// The path in the checkpoint.
        package let name: String
        /// Numbers.
        package let count: Int
        /// Whether the checkpoint has it as a matrix of one row.
        package let isRow: Bool

        /// Whether it is trained where all weights are.
        package var isTrained: Bool { role == .sinks }
    }

    /// The vectors of a decoder layer, in the order of the computation.
    package func vectors(layer: Int) -> [VectorShape] {
        let shape = shape(layer: layer)
        var all: [VectorShape] = []
        func add(_ role: VectorShape.Role, _ name: String, _ count: Int, isRow: Bool = false) {
            all.append(
                VectorShape(
                    role: role, name: layerName(layer) + "." + name, count: count, isRow: isRow))
        }
        if shape.hasSinks { add(.sinks, names.sinks, shape.heads) }
        if let mixture = shape.mixture, mixture.hasCorrection {
            add(
                .correction, mlpNames.correction, mixture.experts, isRow: mlpNames.correctionIsRow)
        }
        return all
    }
}

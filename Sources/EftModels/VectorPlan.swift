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
            /// Of what keeps a state: the convolution's weight, and of linear attention each head's rate of decay, and what is added before it.
            case convolution
            case rate
            case decayBias
            /// Of a state-space layer: the convolution's bias, and how much of x itself each head adds.
            case convolutionBias
            case skip
        }

        /// What it does.
        package let role: Role
        /// The path in the checkpoint.
        package let name: String
        /// The extents in the checkpoint.
        package let extents: [Int]

        /// Numbers.
        package var count: Int { extents.reduce(1, *) }
        /// Whether it is trained where all weights are.
        package var isTrained: Bool { role != .correction }
    }

    /// The vectors of a decoder layer, in the order of the computation.
    package func vectors(layer: Int) -> [VectorShape] {
        let shape = shape(layer: layer)
        var all: [VectorShape] = []
        func add(_ role: VectorShape.Role, _ name: String, _ extents: [Int]) {
            all.append(
                VectorShape(role: role, name: layerName(layer) + "." + name, extents: extents))
        }
        if shape.hasSinks { add(.sinks, names.sinks, [shape.heads]) }
        if let convolution = shape.mixer?.convolution {
            add(.convolution, names.convolution, [convolution.width, 1, convolution.taps])
        }
        if let space = shape.mixer?.space {
            add(.convolution, names.convolution, [space.mixedWidth, 1, space.taps])
            if space.hasBias { add(.convolutionBias, names.convolutionBias, [space.mixedWidth]) }
            add(.rate, names.rate, [space.rule.valueHeads])
            add(.decayBias, names.decayBias, [space.rule.valueHeads])
            add(.skip, names.skip, [space.rule.valueHeads])
        }
        if let linear = shape.mixer?.delta {
            add(.convolution, names.convolution, [linear.mixedWidth, 1, linear.taps])
            add(.rate, names.rate, [linear.delta.valueHeads])
            add(.decayBias, names.decayBias, [linear.delta.valueHeads])
        }
        if let mixture = shape.mixture, mixture.hasCorrection {
            add(
                .correction, mlpNames.correction,
                mlpNames.correctionIsRow ? [1, mixture.experts] : [mixture.experts])
        }
        return all
    }
}

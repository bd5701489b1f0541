// SPDX-License-Identifier: Apache-2.0
// A decoder layer put together of parts, as its description says, whoever makes the parts.
import EftNN

extension DecoderDescription {
    /// Puts a layer together. The parts are asked for in the order of the computation, linear layers and norms apart.
    /// - Parameters:
    ///   - linear: makes a linear layer; its number is unlike that of all others, for the draws of dropout.
    ///   - norm: makes a norm.
    /// - Throws: what making parts throws.
    package func makeLayer(
        _ index: Int, linear: (_ shape: LinearShape, _ ordinal: UInt64) throws -> Linear,
        norm: (NormShape) throws -> Norm
    ) rethrows -> DecoderLayer {
        func part(_ role: Role) throws -> Linear {
            try linear(self.linear(role, layer: index), ordinal(role, layer: index))
        }
        return DecoderLayer(
            index: index, shape: shape, inputNorm: try norm(inputNorm(layer: index)),
            headNorms: try headNorms(layer: index).map {
                HeadNorms(query: try norm($0.query), key: try norm($0.key))
            },
            middleNorm: try norm(middleNorm(layer: index)), query: try part(.query),
            key: try part(.key), value: try part(.value), output: try part(.output),
            gate: try part(.gate), up: try part(.up), down: try part(.down))
    }

    /// A number for each linear layer, for the draws of dropout.
    private func ordinal(_ role: Role, layer: Int) -> UInt64 {
        UInt64(layer * Role.allCases.count + (Role.allCases.firstIndex(of: role) ?? 0) + 1)
    }
}

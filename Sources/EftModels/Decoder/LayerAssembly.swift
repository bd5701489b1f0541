// SPDX-License-Identifier: Apache-2.0
// A decoder layer made of parts, as its description says; the caller makes the parts.
import EftNN

extension DecoderDescription {
    /// Puts a layer together. The parts are requested in the order of the computation, linear layers and norms separately.
    /// - Parameters:
    ///   - linear: makes a linear layer; its number is unique, and seeds its dropout masks.
    ///   - norm: makes a norm.
    /// - Throws: what making parts throws.
    package func makeLayer(
        _ index: Int, linear: (_ shape: LinearShape, _ ordinal: UInt64) throws -> Linear,
        norm: (NormShape) throws -> Norm
    ) rethrows -> DecoderLayer {
        // The head has number 0.
        var ordinal = UInt64(index * linears(layer: 0).count)
        func part(_ role: Role, expert: Int? = nil) throws -> Linear {
            ordinal += 1
            return try linear(self.linear(role, layer: index, expert: expert), ordinal)
        }
        func mlp(expert: Int? = nil) throws -> GatedMLP {
            GatedMLP(
                gate: try part(.gate, expert: expert), up: try part(.up, expert: expert),
                down: try part(.down, expert: expert))
        }
        func feedForward() throws -> DecoderLayer.FeedForward {
            guard let mixture = shape.mixture else { return .mlp(try mlp()) }
            return .mixture(
                Mixture(
                    router: try part(.router),
                    experts: try (0..<mixture.experts).map { try mlp(expert: $0) }, shape: mixture))
        }
        return DecoderLayer(
            index: index, shape: shape, inputNorm: try norm(inputNorm(layer: index)),
            headNorms: try headNorms(layer: index).map {
                HeadNorms(query: try norm($0.query), key: try norm($0.key))
            },
            middleNorm: try norm(middleNorm(layer: index)), query: try part(.query),
            key: try part(.key), value: try part(.value), output: try part(.output),
            feedForward: try feedForward())
    }
}

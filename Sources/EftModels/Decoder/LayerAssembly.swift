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
        func mlp(expert: Int? = nil) throws -> MLP {
            MLP(
                activation: shape.activation,
                gate: shape.isGated ? try part(.gate, expert: expert) : nil,
                up: try part(.up, expert: expert), down: try part(.down, expert: expert))
        }
        func shared() throws -> SharedExpert? {
            guard let shared = shape.mixture?.shared else { return nil }
            let gate = shared.isWeighed ? try part(.sharedRouter) : nil
            return SharedExpert(
                mlp: MLP(
                    activation: shape.activation,
                    gate: shape.isGated ? try part(.sharedGate) : nil, up: try part(.sharedUp),
                    down: try part(.sharedDown)), gate: gate)
        }
        func feedForward() throws -> DecoderLayer.FeedForward {
            guard let mixture = shape.mixture else { return .mlp(try mlp()) }
            let router = try part(.router)
            let experts = try (0..<mixture.experts).map { try mlp(expert: $0) }
            return .mixture(
                Mixture(router: router, experts: experts, shared: try shared(), shape: mixture))
        }
        let shapes = layerNorms(index)
        // In the order of the computation.
        let attention = try shapes.attention.map(norm)
        let (queryNorm, keyNorm) = (try shapes.query.map(norm), try shapes.key.map(norm))
        let rowNorms = LayerNorms(
            attention: attention, attentionValue: try shapes.attentionValue.map(norm),
            feedForward: try shapes.feedForward.map(norm),
            feedForwardValue: try shapes.feedForwardValue.map(norm))
        var headNorms: HeadNorms?
        if let queryNorm, let keyNorm { headNorms = HeadNorms(query: queryNorm, key: keyNorm) }
        return DecoderLayer(
            index: index, shape: shape, kind: kind(layer: index), rowNorms: rowNorms,
            headNorms: headNorms, query: try part(.query), key: try part(.key),
            value: try part(.value), output: try part(.output), feedForward: try feedForward())
    }
}

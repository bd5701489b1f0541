// SPDX-License-Identifier: Apache-2.0
// A decoder layer made of parts, as its description says; the caller makes the parts.
import EftNN
import EftTensor

extension DecoderDescription {
    /// Puts a layer together. The parts are requested in the order of the computation, linear layers and norms separately.
    /// - Parameters:
    ///   - linear: makes a linear layer; its number is unique, and seeds its dropout masks.
    ///   - norm: makes a norm.
    ///   - vector: makes another vector.
    /// - Throws: what making parts throws.
    package func makeLayer(
        _ index: Int, linear: (_ shape: LinearShape, _ ordinal: UInt64) throws -> Linear,
        norm: (NormShape) throws -> Norm, vector: (VectorShape) throws -> Buffer
    ) throws -> DecoderLayer {
        let vectors = vectors(layer: index)
        func numbers(_ role: VectorShape.Role) throws -> Buffer? {
            try vectors.first { $0.role == role }.map(vector)
        }
        let shape = shape(layer: index)
        // The head has number 0.
        var ordinal = UInt64(index * largest { linears(layer: $0).count })
        func part(_ role: Role, expert: Int? = nil) throws -> Linear {
            ordinal += 1
            return try linear(self.linear(role, layer: index, expert: expert), ordinal)
        }
        func mlp(_ roles: [Role], expert: Int? = nil) throws -> MLP {
            let parts = try roles.map { try part($0, expert: expert) }
            let factors: MLP.Factors =
                parts.count > 2
                ? .apart(gate: parts[0], up: parts[1])
                : shape.isGated ? .fused(parts[0]) : .plain(parts[0])
            return MLP(
                activation: shape.activation, factors: factors, down: parts[parts.count - 1])
        }
        func shared() throws -> SharedExpert? {
            guard let shared = shape.mixture?.shared else { return nil }
            let gate = shared.isWeighed ? try part(.sharedRouter) : nil
            return SharedExpert(mlp: try mlp(sharedRoles.filter { !$0.isRouter }), gate: gate)
        }
        func feedForward() throws -> DecoderLayer.FeedForward {
            guard let mixture = shape.mixture else { return .mlp(try mlp(mlpRoles)) }
            let router = try part(.router)
            let experts = try (0..<mixture.experts).map { try mlp(mlpRoles, expert: $0) }
            return .mixture(
                Mixture(
                    router: router, experts: experts, shared: try shared(), shape: mixture,
                    correction: try numbers(.correction)))
        }
        let shapes = layerNorms(index)
        // In the order of the computation.
        let attention = try shapes.attention.map(norm)
        let vectorNorms = try [shapes.queryVector, shapes.latentVector].map { try $0.map(norm) }
        let linearNorm = try shapes.linearValue.map(norm)
        let (queryNorm, keyNorm) = (try shapes.query.map(norm), try shapes.key.map(norm))
        let rowNorms = LayerNorms(
            attention: attention, attentionValue: try shapes.attentionValue.map(norm),
            feedForward: try shapes.feedForward.map(norm),
            feedForwardValue: try shapes.feedForwardValue.map(norm))
        var headNorms: HeadNorms?
        if let queryNorm, let keyNorm {
            headNorms = HeadNorms(query: queryNorm, key: keyNorm)
        } else if shape.normsHeads {
            headNorms = try HeadNorms(headDim: shape.headDim, epsilon: shape.normEpsilon)
        }
        func trainedVector(_ role: VectorShape.Role, decays: Bool) throws -> TrainedVector? {
            try vectors.first { $0.role == role }.map {
                TrainedVector(name: $0.name, values: try vector($0), decays: decays)
            }
        }
        func linearAttention(
            _ linear: LinearAttentionShape, _ norm: Norm
        ) throws -> LinearAttention? {
            let projections: LinearAttention.Projections =
                linear.isGrouped
                ? .grouped(states: try part(.mixed), gates: try part(.strength))
                : .apart(
                    mixed: try part(.mixed), gate: try part(.valueGate),
                    strength: try part(.strength), decay: try part(.decay))
            guard let convolution = try trainedVector(.convolution, decays: true),
                let rate = try trainedVector(.rate, decays: true),
                let bias = try trainedVector(.decayBias, decays: false)
            else { return nil }
            return try LinearAttention(
                linear, projections: projections, convolution: convolution, rate: rate, bias: bias,
                norm: norm)
        }
        func projections() throws -> AttentionProjections {
            if shape.mixer?.convolution != nil {
                let product = try part(.mixed)
                if let convolution = try trainedVector(.convolution, decays: true) {
                    return .convolution(
                        ShortConvolution(product: product, convolution: convolution))
                }
            }
            if shape.mixer?.space != nil, let linearNorm {
                let product = try part(.mixed)
                let convolution = try trainedVector(.convolution, decays: true)
                let convolutionBias = try trainedVector(.convolutionBias, decays: false)
                if let convolution, let rate = try trainedVector(.rate, decays: true),
                    let bias = try trainedVector(.decayBias, decays: false),
                    let skip = try trainedVector(.skip, decays: true)
                {
                    return .space(
                        StateSpace(
                            product: product, convolution: convolution,
                            convolutionBias: convolutionBias, rate: rate, bias: bias, skip: skip,
                            norm: linearNorm))
                }
            }
            if let linear = shape.mixer?.delta, let linearNorm,
                let attention = try linearAttention(linear, linearNorm)
            {
                return .linear(attention)
            }
            if let latentNorm = vectorNorms[1] {
                let query: LatentProjections.Query =
                    try vectorNorms[0].map {
                        .throughVector(
                            down: try part(.queryDown), norm: $0, up: try part(.queryUp))
                    } ?? .direct(part(.query))
                return .latent(
                    LatentProjections(
                        query: query, down: try part(.latentDown), norm: latentNorm,
                        up: try part(.latentUp)))
            }
            if let order = shape.fusedHeads { return .fused(try part(.queryKeyValue), order) }
            return .apart(
                query: try part(.query), key: try part(.key), value: try part(.value))
        }
        // One after the other, and not `rethrows`: Swift 6 destroys arguments that a throwing one has kept from being made.
        let attentionParts = try projections()
        let output = try part(.output)
        let sinks = try numbers(.sinks).map {
            AttentionSinks(name: layerName(index) + "." + names.sinks, scores: $0)
        }
        let behind = try feedForward()
        return DecoderLayer(
            index: index, shape: shape, kind: kind(layer: index), rowNorms: rowNorms,
            headNorms: headNorms, projections: attentionParts, output: output, sinks: sinks,
            feedForward: behind)
    }
}

// SPDX-License-Identifier: Apache-2.0
// Whole models of random weights.
import EftModels
import EftNN
import EftPlanning
import EftQuant
import EftTensor

extension RandomWeights {
    /// A decoder of random weights in a format.
    package static func decoder(
        _ description: DecoderDescription, format: PlannedFormat, backend: CPUBackend
    ) throws -> Decoder {
        let layouts = try DecoderLayouts(description, format: format)
        var seed: UInt64 = 1
        func weight(_ layout: WeightLayout) throws -> PackedWeight {
            seed += 1
            return try RandomWeights.weight(layout, seed: seed, ledger: backend.ledger)
        }
        func norm(_ shape: DecoderDescription.NormShape) throws -> Norm {
            let buffer = try Buffer(
                byteCount: shape.count * 4, ledger: backend.ledger, purpose: .weights)
            buffer.floats.update(repeating: 1, count: shape.count)
            var bias: Buffer?
            if shape.hasBias {
                let zeros = try Buffer(
                    byteCount: shape.count * 4, ledger: backend.ledger, purpose: .weights)
                zeros.floats.update(repeating: 0, count: shape.count)
                bias = zeros
            }
            return shape.norm(weight: buffer, bias: bias)
        }
        let embedding = try weight(layouts.embedding)
        var next = 0
        let layers = try (0..<description.layers).map { index in
            try description.makeLayer(index) { shape, ordinal in
                defer { next += 1 }
                return Linear(
                    name: shape.name, ordinal: ordinal, weight: try weight(layouts.linears[next]),
                    bias: nil)
            } norm: {
                try norm($0)
            } vector: {
                let numbers = try Buffer(
                    byteCount: $0.count * 4, ledger: backend.ledger, purpose: .weights)
                numbers.floats.update(repeating: 0, count: $0.count)
                return numbers
            }
        }
        let head = layouts.isTied ? embedding : try weight(layouts.head)
        return Decoder(
            description: description, backend: backend, embedding: embedding, layers: layers,
            finalNorm: try norm(description.finalNorm),
            head: Linear(name: description.headName, ordinal: 0, weight: head, bias: nil))
    }
}

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
        let hidden = description.shape.hidden
        var seed: UInt64 = 1
        func weight(_ layout: WeightLayout) throws -> PackedWeight {
            seed += 1
            return try RandomWeights.weight(layout, seed: seed, ledger: backend.ledger)
        }
        func norm(_ name: String) throws -> Norm {
            let buffer = try Buffer(
                byteCount: hidden * 4, ledger: backend.ledger, purpose: .weights)
            buffer.floats.update(repeating: 1, count: hidden)
            return Norm(name: name, weight: buffer)
        }
        let embedding = try weight(layouts.embedding)
        var next = 0
        func linear(_ role: DecoderDescription.Role, _ layer: Int) throws -> Linear {
            defer { next += 1 }
            return Linear(
                name: description.linear(role, layer: layer).name, ordinal: UInt64(next + 1),
                weight: try weight(layouts.linears[next]), bias: nil)
        }
        let layers = try (0..<description.layers).map { index in
            DecoderLayer(
                index: index, shape: description.shape,
                inputNorm: try norm(description.inputNormName(index)),
                middleNorm: try norm(description.middleNormName(index)),
                query: try linear(.query, index), key: try linear(.key, index),
                value: try linear(.value, index), output: try linear(.output, index),
                gate: try linear(.gate, index), up: try linear(.up, index),
                down: try linear(.down, index))
        }
        let head = layouts.isTied ? embedding : try weight(layouts.head)
        return Decoder(
            description: description, backend: backend, embedding: embedding, layers: layers,
            finalNorm: try norm(description.finalNormName),
            head: Linear(name: description.headName, ordinal: 0, weight: head, bias: nil))
    }
}

// SPDX-License-Identifier: Apache-2.0
// A fresh decoder with random weights, for training from scratch.
import CEftKernels
import EftNN
import EftTensor

#if canImport(Glibc)
    import Glibc
#endif

/// Numbers from a normal distribution, the same for the same seed everywhere.
package struct NormalGenerator {
    private var bits: SplitMix64
    private var spare: Double?

    /// Starts a sequence.
    package init(seed: UInt64) { bits = SplitMix64(seed: seed) }

    /// A uniform number in (0, 1).
    package mutating func uniform() -> Double {
        (Double(bits.next() >> 11) + 0.5) / 9007199254740992
    }

    /// A number of mean 0 and standard deviation 1, by Box and Muller's method.
    package mutating func normal() -> Double {
        if let value = spare {
            spare = nil
            return value
        }
        let radius = (-2 * log(uniform())).squareRoot()
        let angle = 2 * Double.pi * uniform()
        spare = radius * sin(angle)
        return radius * cos(angle)
    }
}

extension Decoder {
    /// Makes a decoder on one device; see the other form.
    /// - Throws: `TensorError` when it does not fit the ledger.
    package static func random(
        _ description: DecoderDescription, seed: UInt64, backend: CPUBackend
    ) throws -> Decoder {
        try random(
            description, seed: seed, devices: [backend], parts: [description.wholePart])
    }

    /// Makes a decoder of f32 weights sampled from a normal distribution; norms are one, biases zero. The numbers are the
    /// same on any division over devices.
    /// - Throws: `TensorError` when it does not fit a ledger.
    package static func random(
        _ description: DecoderDescription, seed: UInt64, devices: [CPUBackend],
        parts: [DecoderPart]
    ) throws -> Decoder {
        var generator = NormalGenerator(seed: seed)
        // The device that takes what is made next.
        var backend = devices[parts.firstIndex(where: \.holdsEmbedding) ?? 0]
        func weight(_ inputs: Int, _ outputs: Int) throws -> PackedWeight {
            try .random(
                inputs: inputs, outputs: outputs, deviation: description.initializerRange,
                generator: &generator, backend: backend)
        }
        func vector(_ count: Int, _ value: Float) throws -> Buffer {
            let buffer = try Buffer(
                byteCount: count * 4, ledger: backend.ledger, purpose: .weights)
            buffer.floats.update(repeating: value, count: count)
            return buffer
        }
        func norm(_ shape: DecoderDescription.NormShape) throws -> Norm {
            shape.norm(
                weight: try vector(shape.count, 1),
                bias: shape.hasBias ? try vector(shape.count, 0) : nil)
        }
        let hidden = description.shape.hidden
        let embedding = try weight(hidden, description.vocabulary)
        let positions = try description.positions.map { table in
            let matrix = try Matrix(
                rows: description.positionRows, columns: hidden, ledger: backend.ledger,
                purpose: .weights)
            for index in 0..<matrix.count {
                matrix.pointer[index] = Float(generator.normal() * description.initializerRange)
            }
            return LearnedPositions(name: table.weight, table: matrix, first: table.first)
        }
        let layers = try (0..<description.layers).map { index in
            backend = devices[parts.firstIndex { $0.layers.contains(index) } ?? 0]
            return try description.makeLayer(index) { shape, ordinal in
                Linear(
                    name: shape.name, ordinal: ordinal,
                    weight: try weight(shape.inputs, shape.outputs),
                    bias: shape.hasBias ? try vector(shape.outputs, 0) : nil)
            } norm: {
                try norm($0)
            } vector: { shape in
                let isOne = shape.role == .decayBias || shape.role == .skip
                let numbers = try vector(shape.count, isOne ? 1 : 0)
                for place in 0..<shape.count {
                    switch shape.role {
                    case .convolution:
                        numbers.floats[place] = Float(
                            generator.normal() * description.initializerRange)
                    // The rate itself is even between 0 and 16.
                    case .rate: numbers.floats[place] = Float(log(16 * generator.uniform()))
                    case .sinks, .correction, .decayBias, .convolutionBias, .skip: break
                    }
                }
                return numbers
            }
        }
        backend = devices[parts.firstIndex(where: \.holdsHead) ?? 0]
        let head =
            description.tiedEmbeddings ? embedding : try weight(hidden, description.headOutputs)
        return Decoder(
            description: description, devices: devices, parts: parts, embedding: embedding,
            positions: positions, layers: layers, finalNorm: try norm(description.finalNorm),
            head: Linear(
                name: description.headName, ordinal: 0, weight: head,
                bias: description.headHasBias ? try vector(description.headOutputs, 0) : nil),
            streams: devices.map { _ in nil })
    }
}

extension PackedWeight {
    /// An f32 weight of normally distributed numbers, made by a chunk of rows at a time.
    fileprivate static func random(
        inputs: Int, outputs: Int, deviation: Double, generator: inout NormalGenerator,
        backend: CPUBackend
    ) throws -> PackedWeight {
        let weight = try PackedWeight(
            layout: WeightLayout(.f32, inputs: inputs, outputs: outputs), ledger: backend.ledger)
        let chunk = Int(EFT_PANEL) * 16
        var rows = [Float](repeating: 0, count: min(chunk, outputs) * inputs)
        for first in stride(from: 0, to: outputs, by: chunk) {
            let count = min(chunk, outputs - first)
            for index in 0..<count * inputs { rows[index] = Float(generator.normal() * deviation) }
            withUnsafePointer(to: weight.descriptor) {
                eft_dense_pack(
                    backend.context, $0, weight.panels.base, rows, EFT_F32, first, count)
            }
        }
        return weight
    }
}

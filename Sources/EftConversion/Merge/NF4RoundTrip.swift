// SPDX-License-Identifier: Apache-2.0
// A weight as training in 4 bits saw it: quantized to NF4 and decoded again.
import EftFormats
import EftQuant
import EftTensor

/// A dense weight, quantized to NF4, whose values are read back by runs of rows.
package struct NF4RoundTrip {
    private let matrix: NF4Matrix
    private let columns: Int

    /// Most bytes that it takes, under `.workspace`, for a weight stored as `dtype`.
    package static func byteCount(inputs: Int, outputs: Int) -> Int {
        let blocks = NF4Format.blocks(inputs * outputs)
        let nested = NF4Format.blocks(blocks, size: NF4Format.nestedBlockSize) * 4
        return NF4Format.packedBytes(inputs * outputs) + blocks * 5 + nested
    }

    /// Quantizes the stored weight of a module.
    /// - Throws: `FormatError`, `TensorError`.
    package init(
        _ module: BaseWeights.Module, of checkpoint: any CheckpointReader,
        doubleQuantization: Bool = true, backend: CPUBackend
    ) throws {
        let info = try checkpoint.tensor(module.name + ".weight")
        matrix = try NF4Matrix(
            quantizing: info, of: checkpoint, doubleQuantization: doubleQuantization,
            backend: backend)
        columns = module.inputs
    }

    /// Decodes rows, rounded to the weight's own type as bitsandbytes rounds them.
    package func read(_ rows: Range<Int>, into target: UnsafeMutablePointer<Float>) {
        let codes = matrix.packed.base.assumingMemoryBound(to: UInt8.self)
        let absmax = matrix.absmax.floats
        let (first, end) = (rows.lowerBound * columns, rows.upperBound * columns)
        NF4Format.values.withUnsafeBufferPointer { values in
            for element in first..<end {
                let byte = codes[element / 2]
                let code = element & 1 == 0 ? byte >> 4 : byte & 15
                let value = values[Int(code)] * absmax[element / NF4Format.blockSize]
                target[element - first] = rounded(value)
            }
        }
    }

    private func rounded(_ value: Float) -> Float {
        switch matrix.original {
        case .bf16: ElementConversion.float(bfloat16: ElementConversion.bfloat16(value))
        case .f16: ElementConversion.float(half: ElementConversion.half(value))
        default: value
        }
    }
}

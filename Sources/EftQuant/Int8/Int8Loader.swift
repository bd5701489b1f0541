// SPDX-License-Identifier: Apache-2.0
// From a dense weight in a checkpoint to 8 bits, by runs of rows.
import CEftKernels
import EftFormats
import EftTensor

/// Loads dense weights as LLM.int8 holds them.
enum Int8Loader {
    /// Bytes of a number of the longest run beside the run as it is stored: half and single precision, and a code.
    private static let bytesPerNumber = 2 + 4 + 1

    private static func length(rows: Int, columns: Int) -> Int {
        min(DenseRows.length(rows: rows, columns: columns), rows)
    }

    /// The most temporary bytes of `fill`.
    static func scratchBytes(stored dtype: DType, inputs: Int, outputs: Int) -> Int {
        let rows = length(rows: outputs, columns: inputs)
        return DenseRows.byteCount(dtype: dtype, rows: outputs, columns: inputs)
            + rows * inputs * bytesPerNumber + rows * 4
    }

    /// Quantizes a stored matrix into `weight`, whose layout is that of `Int8Format`.
    /// - Throws: `FormatError`, also for values beyond half precision; `TensorError`.
    static func fill(
        _ weight: PackedWeight, from info: TensorInfo, of checkpoint: any CheckpointReader,
        backend: CPUBackend
    ) throws {
        let (outputs, inputs) = (weight.outputs, weight.inputs)
        let rows = try DenseRows(info, of: checkpoint, backend: backend)
        let most = length(rows: outputs, columns: inputs)
        func buffer(_ bytes: Int) throws(TensorError) -> Buffer {
            try Buffer(byteCount: bytes, ledger: backend.ledger, purpose: .workspace)
        }
        let (halves, floats) = (try buffer(most * inputs * 2), try buffer(most * inputs * 4))
        let (bytes, absmax) = (try buffer(most * inputs), try buffer(most * 4))
        let codes = bytes.base.assumingMemoryBound(to: Int8.self)
        let context = backend.context
        for range in rows.ranges {
            let (source, type) = try rows.read(range)
            let count = range.count * inputs
            eft_convert(context, count, source, type, halves.base, EFT_F16)
            guard eft_all_finite(context, count, halves.base, EFT_F16) else {
                throw FormatError(
                    .unsupported,
                    "rows \(range.lowerBound) to \(range.upperBound - 1) hold values beyond half precision, "
                        + "which 8-bit weights cannot hold; leave load_in_8bit out",
                    path: checkpoint.path, tensor: info.name)
            }
            eft_convert(context, count, halves.base, EFT_F16, floats.base, EFT_F32)
            eft_int8_quantize(context, range.count, inputs, floats.floats, codes, absmax.floats)
            weight.setInt8(
                codes, absmax.floats, rows: range, scratch: floats.floats, context: context)
        }
    }
}

// SPDX-License-Identifier: Apache-2.0
// Weights of 8 bits as bitsandbytes' LLM.int8 holds them: names, and the panels that hold them in memory.
import CEftKernels
import EftTensor

/// Facts of LLM.int8's weights (Dettmers et al. 2022; bitsandbytes 0.49).
///
/// Each output's row is rounded to half precision and has its largest magnitude as its scale: value = code * scale / 127,
/// codes from -127 to 127. bitsandbytes rounds activations to 8 bits too, all but outliers; here the precision of the run
/// decides on activations, so that results are nearer to those of the 16-bit weights.
package enum Int8Format {
    /// 1/127 in f32, by which bitsandbytes multiplies.
    static let step: Float = 1 / 127
    /// What follows the module's name in the name of the tensor of scales.
    package static let scaleSuffix = ".SCB"

    /// Most blocks of 32 inputs that share a scale in memory; a row's scale is repeated for each such group, so that sums of
    /// integers over a group stay within 32 bits.
    private static let groupBlocks = 32

    /// The panels that hold a matrix: codes where K is a multiple of 32, else values in f32.
    static func layout(inputs: Int, outputs: Int) -> WeightLayout {
        let unit = Int(EFT_BLOCK)
        guard inputs % unit == 0 else {
            return WeightLayout(.f32, inputs: inputs, outputs: outputs)
        }
        let blocks = inputs / unit
        let groups = stride(from: 0, to: blocks, by: groupBlocks).map {
            WeightLayout.Group(blocks: min(groupBlocks, blocks - $0), bits: 8)
        }
        return WeightLayout(
            .coded(book: .signed, scales: .f32, groups: groups, permuted: false), inputs: inputs,
            outputs: outputs)
    }
}

extension PackedWeight {
    /// Fills outputs `rows`, of which the first is a multiple of 16.
    /// - Parameters:
    ///   - codes: signed bytes [rows][K].
    ///   - absmax: the scale of each row.
    ///   - scratch: room for the values of the rows in f32, where the layout holds values.
    func setInt8(
        _ codes: UnsafePointer<Int8>, _ absmax: UnsafePointer<Float>, rows: Range<Int>,
        scratch: UnsafeMutablePointer<Float>?, context: OpaquePointer
    ) {
        guard case .coded = layout.format else {
            guard let scratch else { preconditionFailure("values need room") }
            for index in 0..<rows.count * inputs {
                scratch[index] = Float(codes[index]) * absmax[index / inputs] * Int8Format.step
            }
            withUnsafePointer(to: descriptor) {
                eft_dense_pack(
                    context, $0, panels.base, scratch, EFT_F32, rows.lowerBound, rows.count)
            }
            return
        }
        withUnsafePointer(to: descriptor) {
            eft_int8_pack(context, $0, panels.base, codes, rows.lowerBound, rows.count)
        }
        let (lanes, groups) = (Int(EFT_PANEL), layout.groupCount)
        for row in rows {
            let target = scales.floats + row / lanes * groups * lanes + row % lanes
            let scale = absmax[row - rows.lowerBound] * Int8Format.step
            for group in 0..<groups { target[group * lanes] = scale }
        }
    }
}

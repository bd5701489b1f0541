// SPDX-License-Identifier: Apache-2.0
// NF4 and FP4 as bitsandbytes stores them: sizes, names, and the panels that hold it in memory.
import CEftKernels
import EftTensor

/// Facts of the NF4 format (Dettmers et al. 2023; bitsandbytes 0.49).
///
/// A matrix [N, K] is flattened row by row and cut in blocks of 64 numbers, which may cross rows. Each block has the
/// largest magnitude as its scale, and each number a code of 4 bits; number 2i is the high half of byte i.
/// Doubly quantized scales are 8-bit codes of (scale - mean) in blocks of 256.
package enum NF4Format {
    /// Numbers in a block when Eft quantizes.
    package static let blockSize = 64
    /// Scales in a block of the second quantization.
    package static let nestedBlockSize = 256

    /// The code book, 16 values in ascending order.
    package static var values: [Float] {
        withUnsafeBytes(of: eft_nf4_values) { Array($0.bindMemory(to: Float.self)) }
    }

    /// The 16 values of FP4, whose codes stand in the same form.
    package static var fp4Values: [Float] {
        withUnsafeBytes(of: eft_fp4_values) { Array($0.bindMemory(to: Float.self)) }
    }

    /// The signed 8-bit map of the second quantization, 256 values in ascending order.
    package static var nestedMap: [Float] {
        var map = [Float](repeating: 0, count: 256)
        map.withUnsafeMutableBufferPointer { eft_dynamic_map(true, $0.baseAddress) }
        return map
    }

    /// Bytes of packed codes of `count` numbers.
    package static func packedBytes(_ count: Int) -> Int { (count + 1) / 2 }

    /// Blocks of `count` numbers.
    package static func blocks(_ count: Int, size: Int = blockSize) -> Int {
        (count + size - 1) / size
    }

    /// Inputs that share a scale in memory: the longest runs of a row that lie in one block and fill blocks of 32.
    ///
    /// Nil when rows do not divide so; then the weight is held dense.
    static func groupInputs(inputs: Int, blockSize: Int) -> Int? {
        var (a, b) = (inputs, blockSize)
        while b != 0 { (a, b) = (b, a % b) }
        return a % Int(EFT_BLOCK) == 0 ? a : nil
    }

    /// The panels that hold an NF4 matrix: codes where rows divide in blocks of 32, else values of the original type.
    package static func layout(
        inputs: Int, outputs: Int, blockSize: Int, original: DType,
        book: WeightLayout.CodeBook = .nf4
    ) -> WeightLayout {
        guard let size = groupInputs(inputs: inputs, blockSize: blockSize) else {
            return WeightLayout(original.denseFormat, inputs: inputs, outputs: outputs)
        }
        let group = WeightLayout.Group(blocks: size / Int(EFT_BLOCK), bits: 4)
        let groups = [WeightLayout.Group](repeating: group, count: inputs / size)
        return WeightLayout(
            .coded(book: book, scales: .f32, groups: groups, permuted: false), inputs: inputs,
            outputs: outputs)
    }
}

extension PackedWeight {
    /// The kernels' description of outputs `rows` alone; the first is a multiple of 16.
    func descriptor(rows: Range<Int>) -> eft_weight {
        precondition(rows.lowerBound % Int(EFT_PANEL) == 0, "rows begin within a panel")
        var part = descriptor
        let panel = rows.lowerBound / Int(EFT_PANEL)
        part.outputs = rows.count
        part.panels = UnsafeRawPointer(panels.base + panel * layout.panelBytes)
        return part
    }

    /// Packs NF4 bytes of outputs `rows`.
    func packNF4(_ packed: UnsafePointer<UInt8>, rows: Range<Int>, context: OpaquePointer) {
        let part = descriptor(rows: rows)
        withUnsafePointer(to: part) {
            eft_nf4_pack(context, $0, UnsafeMutableRawPointer(mutating: part.panels), packed)
        }
    }

    /// Spreads the scales of NF4 blocks over the panels, for outputs `rows`.
    /// - Parameters:
    ///   - absmax: scales of the blocks from `firstBlock` on.
    ///   - blockSize: numbers in a block, which run on over the rows.
    func setNF4Scales(
        _ absmax: UnsafePointer<Float>, firstBlock: Int, blockSize: Int, rows: Range<Int>
    ) {
        let lanes = Int(EFT_PANEL)
        let groups = layout.groupCount
        let size = inputs / groups
        for row in rows {
            let target = scales.floats + row / lanes * groups * lanes + row % lanes
            for group in 0..<groups {
                let block = (row * inputs + group * size) / blockSize - firstBlock
                target[group * lanes] = absmax[block]
            }
        }
    }
}

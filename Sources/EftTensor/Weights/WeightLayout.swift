// SPDX-License-Identifier: Apache-2.0
// The size and shape of a weight matrix in the form that the kernels multiply, known before any memory is taken.
import CEftKernels

/// How a weight matrix is held in memory: panels of 16 outputs, dense or in coded scale groups.
///
/// The planner asks the layout for its size and the loader allocates by it, so that the two cannot disagree.
package struct WeightLayout: Sendable, Hashable {
    /// The numbers that make up the matrix.
    package enum Format: Sendable, Hashable {
        case f32
        case f16
        case bf16
        /// Codes in scale groups.
        case coded(book: CodeBook, scales: ScaleForm, groups: [Group], permuted: Bool)
    }

    /// How scales are held.
    package enum ScaleForm: String, Sendable, Hashable {
        case f32
        case f16
        /// Four bits each and a half a group, as EXL2 stores them.
        case exl2
        /// A byte each, the exponent of a power of two (MXFP4).
        case e8m0
        /// A half each, and another that is added; a group is a block of 32 inputs, its codes unsigned (GGUF's Q4_1, Q5_1).
        case offset
        /// A byte each, and another for what is taken away, with two halves for eight groups of one block (Q4_K, Q5_K).
        case kOffset = "k-offset"
        /// A byte for each half of a block, and a half for eight blocks (Q3_K, Q6_K).
        case kHalves = "k-halves"
        /// Four bits for each half of a block, and four for what is taken away, with two halves for eight blocks (Q2_K).
        case kOffsetHalves = "k-offset-halves"

        /// Bytes of the scales of a panel in a group, or in the groups that share a record.
        package var bytesPerPanel: Int {
            switch self {
            case .f32, .offset: 64
            case .f16: 32
            case .exl2: Int(EFT_EXL2_SCALES)
            case .e8m0: Int(EFT_PANEL)
            case .kOffset, .kOffsetHalves: 320
            case .kHalves: 288
            }
        }

        /// Groups whose scales are one record.
        package var groupsPerRecord: Int {
            switch self {
            case .f32, .f16, .exl2, .e8m0, .offset: 1
            case .kOffset, .kHalves, .kOffsetHalves: Int(EFT_K_BLOCKS)
            }
        }

        /// Whether each block has scales of its own, as GGUF's types have: groups of one block each.
        package var areOfBlocks: Bool {
            switch self {
            case .f32, .f16, .exl2, .e8m0: false
            case .offset, .kOffset, .kHalves, .kOffsetHalves: true
            }
        }

        var kernelValue: eft_scale_type {
            switch self {
            case .f32: EFT_SCALES_F32
            case .f16: EFT_SCALES_F16
            case .exl2: EFT_SCALES_EXL2
            case .e8m0: EFT_SCALES_E8M0
            case .offset: EFT_SCALES_OFFSET
            case .kOffset: EFT_SCALES_K_OFFSET
            case .kHalves: EFT_SCALES_K_HALVES
            case .kOffsetHalves: EFT_SCALES_K_OFFSET_HALVES
            }
        }
    }

    /// What a code means.
    package enum CodeBook: Sendable, Hashable {
        /// code - 2^(bits-1), as EXL2.
        case signed
        /// The 16 values of NF4.
        case nf4
        /// 8-bit floating point numbers (E4M3).
        case e4m3
        /// Twice the 4-bit floating point numbers (E2M1).
        case e2m1
        /// The 16 values of bitsandbytes' FP4.
        case fp4
    }

    /// Consecutive blocks of 32 inputs that share a width in bits and, for each output, a scale.
    package struct Group: Sendable, Hashable {
        /// Number of blocks of 32 inputs.
        package let blocks: Int
        /// Width of a code: 2, 3, 4, 5, 6 or 8.
        package let bits: Int

        /// Makes a group.
        package init(blocks: Int, bits: Int) {
            self.blocks = blocks
            self.bits = bits
        }
    }

    /// The numbers that make up the matrix.
    package let format: Format
    /// K.
    package let inputs: Int
    /// N.
    package let outputs: Int

    /// Makes a layout for K inputs and N outputs.
    package init(_ format: Format, inputs: Int, outputs: Int) {
        precondition(inputs > 0 && outputs > 0, "empty weight")
        self.format = format
        self.inputs = inputs
        self.outputs = outputs
        if case .coded(_, let scales, let groups, _) = format {
            precondition(groups.reduce(0) { $0 + $1.blocks } == blocks, "groups do not cover K")
            precondition(
                !scales.areOfBlocks || groups.allSatisfy { $0.blocks == 1 }, "groups of one block")
        }
    }

    /// Blocks of 32 inputs, the last one padded.
    package var blocks: Int { (inputs + Int(EFT_BLOCK) - 1) / Int(EFT_BLOCK) }
    /// Panels of 16 outputs, the last one padded.
    package var panels: Int { (outputs + Int(EFT_PANEL) - 1) / Int(EFT_PANEL) }

    /// Bytes of one panel.
    package var panelBytes: Int {
        switch format {
        case .f32: blocks * 32 * 64
        case .f16, .bf16: blocks * 16 * 64
        case .coded(_, _, let groups, _): groups.reduce(0) { $0 + $1.blocks * $1.bits } * 64
        }
    }

    /// Scale groups; 0 for dense formats.
    package var groupCount: Int {
        if case .coded(_, _, let groups, _) = format { groups.count } else { 0 }
    }

    /// Bytes of all scales.
    package var scaleBytes: Int {
        if case .coded(_, let scales, let groups, _) = format {
            panels * ((groups.count + scales.groupsPerRecord - 1) / scales.groupsPerRecord)
                * scales.bytesPerPanel
        } else {
            0
        }
    }

    /// Bytes of the group table and the permutation.
    package var tableBytes: Int {
        guard case .coded(_, _, let groups, let permuted) = format else { return 0 }
        return groups.count * MemoryLayout<eft_group>.stride + (permuted ? blocks * 32 * 4 : 0)
    }

    /// All bytes that the weight takes in memory.
    package var byteCount: Int { panels * panelBytes + scaleBytes + tableBytes }

    /// Bits for each of the K x N weights, everything counted.
    package var bitsPerWeight: Double {
        Double(byteCount) * 8 / (Double(inputs) * Double(outputs))
    }
}

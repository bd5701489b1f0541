// SPDX-License-Identifier: Apache-2.0
// GGUF's types that panels hold as they are stored.
import EftGGUF
import EftTensor

/// The codes and scales that hold a type's blocks, in panels of the same values.
package struct BlockForm: Sendable {
    /// All types that are held so, by the names that llama.cpp prints.
    package static let all: [(name: String, form: BlockForm)] = GGUFTensorType.allCases.compactMap {
        type in BlockForm(type).map { (type.name, $0) }
    }

    /// Width of a code.
    package let bits: Int
    /// What a code means; unsigned where scales have offsets.
    let book: WeightLayout.CodeBook
    /// How the scales are held.
    let scales: WeightLayout.ScaleForm

    /// The form of a type; nil for one whose numbers are not codes times a scale.
    init?(_ type: GGUFTensorType) {
        book = type == .mxfp4 ? .e2m1 : .signed
        switch type {
        case .q4_0: (bits, scales) = (4, .f16)
        case .q5_0: (bits, scales) = (5, .f16)
        case .mxfp4: (bits, scales) = (4, .e8m0)
        case .q8_0: (bits, scales) = (8, .f16)
        case .q4_1: (bits, scales) = (4, .offset)
        case .q5_1: (bits, scales) = (5, .offset)
        case .q2_K: (bits, scales) = (2, .kOffsetHalves)
        case .q3_K: (bits, scales) = (3, .kHalves)
        case .q4_K: (bits, scales) = (4, .kOffset)
        case .q5_K: (bits, scales) = (5, .kOffset)
        case .q6_K: (bits, scales) = (6, .kHalves)
        default: return nil
        }
    }

    /// What a weight takes; K is a multiple of 32.
    package func layout(inputs: Int, outputs: Int) -> WeightLayout {
        let group = WeightLayout.Group(blocks: 1, bits: bits)
        return WeightLayout(
            .coded(
                book: book, scales: scales,
                groups: [WeightLayout.Group](repeating: group, count: inputs / 32), permuted: false
            ), inputs: inputs, outputs: outputs)
    }
}

// SPDX-License-Identifier: Apache-2.0
// Which type of block each weight of a GGUF file gets, by the names that llama.cpp has for mixes.
import EftGGUF
import EftModels

/// A mix of types, such as Q4_K_M.
package enum GGUFMix: String, Sendable, CaseIterable {
    case f32, f16, bf16
    case q8_0, q6_k, q5_k_m, q5_k_s, q5_1, q5_0, q4_k_m, q4_k_s, q4_1, q4_0, iq4_nl, iq4_xs

    /// The number that stands for the mix in `general.file_type`.
    var fileType: Int {
        switch self {
        case .f32: 0
        case .f16: 1
        case .q4_0: 2
        case .q4_1: 3
        case .q8_0: 7
        case .q5_0: 8
        case .q5_1: 9
        case .q4_k_s: 14
        case .q4_k_m: 15
        case .q5_k_s: 16
        case .q5_k_m: 17
        case .q6_k: 18
        case .iq4_nl: 25
        case .iq4_xs: 30
        case .bf16: 32
        }
    }

    /// The type of most weights.
    private var most: GGUFTensorType {
        switch self {
        case .f32: .f32
        case .f16: .f16
        case .bf16: .bf16
        case .q8_0: .q8_0
        case .q6_k: .q6_K
        case .q5_k_m, .q5_k_s: .q5_K
        case .q5_1: .q5_1
        case .q5_0: .q5_0
        case .q4_k_m, .q4_k_s: .q4_K
        case .q4_1: .q4_1
        case .q4_0: .q4_0
        case .iq4_nl: .iq4_nl
        case .iq4_xs: .iq4_xs
        }
    }

    /// The type of embedding or head.
    func type(isHead: Bool, columns: Int) -> GGUFTensorType {
        guard most.isQuantized, isHead, self != .q8_0 else { return fitting(most, columns) }
        return fitting(.q6_K, columns)
    }

    /// What decides, besides its place, how finely a weight is held.
    struct Circumstances {
        /// Layers of the model.
        var layers: Int
        /// Queries that share a key.
        var sharing: Int
        /// Whether columns have weights.
        var isWeighted: Bool
    }

    /// The type of a linear layer's weight: values and the products that end an MLP are finer in the layers that matter most.
    func type(
        _ role: DecoderDescription.Role, layer: Int, of circumstances: Circumstances, columns: Int
    ) -> GGUFTensorType {
        let layers = circumstances.layers
        guard role == .value || role == .down else { return fitting(most, columns) }
        let eighth = layers / 8
        let isFirst = layer < eighth
        let isFine = isFirst || layer >= 7 * layers / 8 || (layer - eighth) % 3 == 2
        switch self {
        case .q4_k_m, .q5_k_m: return fitting(isFine ? .q6_K : most, columns)
        case .q4_k_s:
            let isFiner = role == .value ? layer < 4 : isFirst
            return fitting(isFiner ? .q5_K : most, columns)
        case .iq4_nl, .iq4_xs:
            let isFiner =
                role == .value
                ? circumstances.sharing >= 4 : isFirst && !circumstances.isWeighted
            return fitting(isFiner ? .q5_K : most, columns)
        default: return fitting(most, columns)
        }
    }

    /// A type whose blocks divide a row: the next finer one with blocks of 32, else half precision.
    private func fitting(_ type: GGUFTensorType, _ columns: Int) -> GGUFTensorType {
        guard columns % type.blockSize != 0 else { return type }
        guard columns % 32 == 0 else { return .f16 }
        switch type {
        case .q4_K: return .q5_0
        case .q5_K: return .q5_1
        case .iq4_xs: return .iq4_nl
        default: return .q8_0
        }
    }
}

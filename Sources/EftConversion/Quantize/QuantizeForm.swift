// SPDX-License-Identifier: Apache-2.0
// The file formats that quantizing by calibration can write.

/// In which form a quantized model is written.
package enum QuantizeForm: Sendable, Hashable {
    /// ExLlamaV2's, with widths that are chosen layer by layer.
    case exl2
    /// AutoGPTQ's and GPTQModel's: one width, and a scale in half precision for each group and output.
    case gptq(GPTQSettings)

    /// The name on command lines and in notes of jobs.
    package var name: String {
        switch self {
        case .exl2: "exl2"
        case .gptq: "gptq"
        }
    }

    /// What the names of weight files begin with.
    var fileStem: String { self == .exl2 ? "output" : "model" }

    /// The settings of GPTQ's files; nil for another form.
    package var gptq: GPTQSettings? {
        guard case .gptq(let settings) = self else { return nil }
        return settings
    }
}

/// What GPTQ's files leave open.
package struct GPTQSettings: Sendable, Hashable {
    /// Widths that readers of such files have kernels for.
    package static let widths = [2, 3, 4, 8]
    /// Inputs that can share a scale.
    package static let groupSizes = [32, 64, 128]

    /// Inputs that share a scale.
    package var groupSize: Int
    /// Whether inputs are quantized and grouped by falling activity (`desc_act`), instead of in their order.
    package var isActivityOrdered: Bool

    /// Makes settings with the usual group.
    package init(groupSize: Int = 128, isActivityOrdered: Bool = false) {
        self.groupSize = groupSize
        self.isActivityOrdered = isActivityOrdered
    }
}

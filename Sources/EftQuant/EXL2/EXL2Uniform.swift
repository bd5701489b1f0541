// SPDX-License-Identifier: Apache-2.0
// The group sizes of matrices that are quantized at one width throughout.

extension EXL2Geometry {
    /// Widths at which a whole model can be quantized.
    package static let uniformWidths = [2, 3, 4, 5, 6, 8]

    /// Inputs that share a scale: 128 as in the reference's options, fewer for narrow codes and small matrices, where
    /// scales cost little and help most.
    package static func uniformGroupSize(bits: Int, inputs: Int) -> Int {
        if inputs <= 1024 { return 32 }
        return bits <= 3 ? 64 : 128
    }

    /// The groups of a matrix at one width; nil when K is no multiple of 32 or the width is unknown.
    package static func uniform(bits: Int, inputs: Int) -> [EXL2Group]? {
        guard inputs > 0, inputs % 32 == 0, uniformWidths.contains(bits) else { return nil }
        let size = uniformGroupSize(bits: bits, inputs: inputs)
        return groups(
            inputs: inputs, sections: [EXL2Section(bits: bits, groupSize: size, proportion: 1)])
    }
}

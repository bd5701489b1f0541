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

    /// The groups of a matrix of `bits` bits a weight: one width, or two of which the wider has a share.
    /// - Parameter bits: a width, or a mean that then holds the scales too, such as 2.4.
    /// - Returns: nil when there is no such mean, or `inputs` is no multiple of 32.
    package static func groups(bits: Double, inputs: Int) -> [EXL2Group]? {
        if let whole = Int(exactly: bits) { return uniform(bits: whole, inputs: inputs) }
        guard inputs % 32 == 0, let sections = mixed(bits: bits, inputs: inputs) else { return nil }
        return groups(inputs: inputs, sections: sections)
    }

    /// Sections of two neighbouring widths that come to a mean, scales included; nil when none do.
    package static func mixed(bits: Double, inputs: Int) -> [EXL2Section]? {
        for (low, high) in zip(uniformWidths, uniformWidths.dropFirst()) {
            let size = uniformGroupSize(bits: low, inputs: inputs)
            // A scale takes 4 bits for each group and output.
            let share = (bits - Double(low) - 4 / Double(size)) / Double(high - low)
            guard share >= 0, share <= 1 else { continue }
            return [
                EXL2Section(bits: high, groupSize: size, proportion: share),
                EXL2Section(bits: low, groupSize: size, proportion: 1),
            ]
        }
        return nil
    }
}

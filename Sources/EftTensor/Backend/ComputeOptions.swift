// SPDX-License-Identifier: Apache-2.0
// How a device computes: threads, instruction set, precision.
import CEftKernels

/// The precision in which activations enter products with bf16 and quantized weights.
///
/// One setting for a whole run: were it chosen by the number of rows, a sequence's result would depend on the rest of the batch.
package enum ActivationPrecision: String, Sendable, CaseIterable {
    /// Rounded to bf16.
    case bf16
    /// Full f32 (on bf16 hardware: split in a high and a low part).
    case f32
    /// With EXL2 weights 16-bit integers with a scale for each token and scale group, exact sums, the same bits on every
    /// instruction set; f32 elsewhere.
    case int16
    /// Likewise 8-bit integers with a scale for each token and at most 128 inputs of a scale group; half the work where
    /// the machine has dot products of bytes, at more error.
    case int8

    /// The default of generation.
    package static let inference = ActivationPrecision.int16
    /// The default of a server: most of its time goes to products of many rows, and the error of bytes is
    /// a tenth of what codes of four bits have.
    package static let serving = ActivationPrecision.int8

    /// What training uses unless its configuration says otherwise; as fast as f32 where the machine has no fast bf16
    /// dot products.
    package static let training = ActivationPrecision.bf16

    package var kernelValue: eft_precision {
        switch self {
        case .bf16: EFT_PRECISION_BF16
        case .f32: EFT_PRECISION_F32
        case .int16: EFT_PRECISION_INT16
        case .int8: EFT_PRECISION_INT8
        }
    }
}

/// An instruction-set level of the kernels.
package enum InstructionSet: UInt32, Sendable, CaseIterable, Comparable {
    case scalar = 0
    case avx2 = 1
    case avx512 = 2
    case avx512VNNI = 3
    case avx512BF16 = 4
    case neon = 16
    case neonI8MM = 17

    package static func < (a: InstructionSet, b: InstructionSet) -> Bool { a.rawValue < b.rawValue }

    /// The highest level that this machine has.
    package static var best: InstructionSet {
        InstructionSet(rawValue: eft_isa_best().rawValue) ?? .scalar
    }

    /// The level to use: what the environment variable EFT_ISA names, else the fastest that this machine has.
    package static var standard: InstructionSet {
        InstructionSet(rawValue: eft_isa_default().rawValue) ?? .scalar
    }

    /// All levels that this machine has.
    package static var available: [InstructionSet] {
        allCases.filter { eft_isa_is_available(eft_isa(rawValue: $0.rawValue)) }
    }

    /// The level's name, as EFT_ISA takes it.
    package var name: String { String(cString: eft_isa_name(eft_isa(rawValue: rawValue))) }
}

// SPDX-License-Identifier: Apache-2.0
// How a device computes: threads, instruction set, precision.
import CEftKernels

/// The precision in which activations enter products with bf16 and quantized weights.
///
/// One setting for a whole run: were it chosen by the number of rows, a sequence's result would depend on its company.
package enum ActivationPrecision: String, Sendable, CaseIterable {
    /// Rounded to bf16.
    case bf16
    /// Full f32 (on bf16 hardware: split in a high and a low part).
    case f32

    package var kernelValue: eft_precision {
        self == .bf16 ? EFT_PRECISION_BF16 : EFT_PRECISION_F32
    }
}

/// An instruction-set level of the kernels.
package enum InstructionSet: UInt32, Sendable, CaseIterable, Comparable {
    case scalar = 0
    case avx2 = 1
    case avx512 = 2
    case avx512BF16 = 3

    package static func < (a: InstructionSet, b: InstructionSet) -> Bool { a.rawValue < b.rawValue }

    /// The highest level that this machine has.
    package static var best: InstructionSet {
        InstructionSet(rawValue: eft_isa_best().rawValue) ?? .scalar
    }

    /// The level to use: `best`, or what the environment variable EFT_ISA names.
    package static var standard: InstructionSet {
        InstructionSet(rawValue: eft_isa_default().rawValue) ?? .scalar
    }

    /// All levels that this machine has.
    package static var available: [InstructionSet] { allCases.filter { $0 <= best } }

    /// The level's name, as EFT_ISA spells it.
    package var name: String { String(cString: eft_isa_name(eft_isa(rawValue: rawValue))) }
}

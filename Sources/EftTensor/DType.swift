// SPDX-License-Identifier: Apache-2.0
// Element types of tensors, under the names of safetensors.

/// The element type of a stored tensor.
package enum DType: String, Sendable, CaseIterable, Hashable {
    case f64 = "F64"
    case f32 = "F32"
    case f16 = "F16"
    case bf16 = "BF16"
    /// 8 bits: a sign, four of exponent, three of fraction; no infinities (OCP FP8). Read through a scale only.
    case f8e4m3 = "F8_E4M3"
    case i64 = "I64"
    case i32 = "I32"
    case i16 = "I16"
    case i8 = "I8"
    case u8 = "U8"
    case bool = "BOOL"

    /// Bytes that one element takes.
    package var byteWidth: Int {
        switch self {
        case .f64, .i64: 8
        case .f32, .i32: 4
        case .f16, .bf16, .i16: 2
        case .f8e4m3, .i8, .u8, .bool: 1
        }
    }

    /// Whether the type holds real numbers that stand for themselves; those of 8 bits have a scale.
    package var isFloatingPoint: Bool {
        switch self {
        case .f64, .f32, .f16, .bf16: true
        default: false
        }
    }
}

// SPDX-License-Identifier: Apache-2.0
// How JSON spells strings.

import EftConfig

/// Forms of JSON strings.
enum JSONText {
    /// The scalars that must be escaped in a string.
    static let escaped = ScalarSet([0...0x1F, 0x22...0x22, 0x5C...0x5C])

    /// What follows the backslash in the one spelling used for an escaped scalar.
    static func escape(_ value: UInt32) -> String {
        switch value {
        case 0x22: "\""
        case 0x5C: "\\"
        case 8: "b"
        case 12: "f"
        case 10: "n"
        case 13: "r"
        case 9: "t"
        default: (value < 16 ? "u000" : "u00") + String(value, radix: 16)
        }
    }
}

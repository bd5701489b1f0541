// SPDX-License-Identifier: Apache-2.0
// Finds the end of a JSON value that comes in pieces.
import EftGeneration

/// Follows one JSON value byte by byte, as far as its end needs it: strings, brackets, and what may stand outside of
/// both.
struct JSONValueScanner: Sendable {
    /// What a byte is to the value.
    enum Progress: Sendable {
        /// It belongs to the value, which goes on.
        case inside
        /// It is the value's last byte.
        case last
        /// The value ended before this byte.
        case behind
        /// No JSON value has it here.
        case failed
    }

    /// Deeper values are taken for faulty.
    private static let maximumDepth = 256

    private var open: [UInt8] = []
    private var isInString = false
    private var isEscaped = false
    private var hasBegun = false

    /// Takes the next byte; the first one may not be white space.
    mutating func feed(_ byte: UInt8) -> Progress {
        defer { hasBegun = true }
        if isInString { return string(byte) }
        switch byte {
        case UInt8(ascii: "\""):
            guard !hasBegun || !open.isEmpty else { return .failed }
            isInString = true
            return .inside
        case UInt8(ascii: "{"), UInt8(ascii: "["):
            guard !hasBegun || !open.isEmpty, open.count < Self.maximumDepth else { return .failed }
            // The closing brackets lie two codes behind the opening ones.
            open.append(byte + 2)
            return .inside
        case UInt8(ascii: "}"), UInt8(ascii: "]"):
            guard let expected = open.last else { return hasBegun ? .behind : .failed }
            guard expected == byte else { return .failed }
            open.removeLast()
            return open.isEmpty ? .last : .inside
        case UInt8(ascii: ","), UInt8(ascii: ";"), UInt8(ascii: " "), UInt8(ascii: "\n"),
            UInt8(ascii: "\r"), UInt8(ascii: "\t"):
            if open.isEmpty { return hasBegun ? .behind : .failed }
            return byte == UInt8(ascii: ";") ? .failed : .inside
        case UInt8(ascii: ":"): return open.isEmpty ? .failed : .inside
        case UInt8(ascii: "0")...UInt8(ascii: "9"), UInt8(ascii: "a")...UInt8(ascii: "z"),
            UInt8(ascii: "A")...UInt8(ascii: "Z"), UInt8(ascii: "+"), UInt8(ascii: "-"),
            UInt8(ascii: "."):
            return .inside
        default: return .failed
        }
    }

    private mutating func string(_ byte: UInt8) -> Progress {
        if isEscaped {
            isEscaped = false
        } else if byte == UInt8(ascii: "\\") {
            isEscaped = true
        } else if byte == UInt8(ascii: "\"") {
            isInString = false
            return open.isEmpty ? .last : .inside
        }
        return .inside
    }
}

// SPDX-License-Identifier: Apache-2.0
// GPT-2's alphabet: one visible character for each byte.

/// The characters that stand for bytes in byte-level vocabularies.
///
/// Visible Latin-1 characters stand for themselves; the other 68 bytes, in order, for U+0100 and up.
package enum ByteLevelAlphabet {
    /// The character of each byte, in UTF-8 (1 or 2 bytes).
    package static let characters: [[UInt8]] = scalars.map { Array(String(Character($0)).utf8) }

    private static let scalars: [Unicode.Scalar] = {
        var next: UInt32 = 256
        return (UInt32(0)...255).map { byte in
            switch byte {
            case 0x21...0x7E, 0xA1...0xAC, 0xAE...0xFF: return Unicode.Scalar(UInt8(byte))
            default:
                next += 1
                return Unicode.Scalar(next - 1) ?? " "
            }
        }
    }()

    private static let bytes: [Int16] = {
        var table = [Int16](repeating: -1, count: 324)
        for (byte, scalar) in scalars.enumerated() { table[Int(scalar.value)] = Int16(byte) }
        return table
    }()

    /// The bytes that a token's characters stand for, or nil when one of them is not of the alphabet.
    static func decode(_ token: some Sequence<UInt8>) -> [UInt8]? {
        var result: [UInt8] = []
        return append(token, to: &result) ? result : nil
    }

    /// Appends the bytes that a token's characters stand for; false, with nothing appended, when one of them is not of
    /// the alphabet.
    static func append(_ token: some Sequence<UInt8>, to result: inout [UInt8]) -> Bool {
        let start = result.count
        var lead: UInt32 = 0
        for unit in token {
            let code: UInt32
            if lead != 0 {
                code = (lead & 0x1F) << 6 | UInt32(unit & 0x3F)
                lead = 0
            } else if unit < 0x80 {
                code = UInt32(unit)
            } else if unit < 0xE0 {
                lead = UInt32(unit)
                continue
            } else {
                code = .max
            }
            guard code < 324, bytes[Int(code)] >= 0 else {
                result.removeLast(result.count &- start)
                return false
            }
            result.append(UInt8(truncatingIfNeeded: bytes[Int(code)]))
        }
        return true
    }

    /// Appends the characters of `bytes`, in UTF-8.
    static func encode(_ bytes: UnsafeBufferPointer<UInt8>, into text: inout [UInt8]) {
        for byte in bytes { text.append(contentsOf: characters[Int(byte)]) }
    }
}

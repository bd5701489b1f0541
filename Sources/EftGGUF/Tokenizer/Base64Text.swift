// SPDX-License-Identifier: Apache-2.0
// Bytes as text (RFC 4648).

/// Base64 with padding.
enum Base64Text {
    private static let alphabet = Array(
        "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/".utf8)

    /// The text that stands for bytes.
    static func text(_ bytes: [UInt8]) -> String {
        var letters: [UInt8] = []
        letters.reserveCapacity((bytes.count + 2) / 3 * 4)
        for start in stride(from: 0, to: bytes.count, by: 3) {
            let group = bytes[start..<min(start + 3, bytes.count)]
            var bits: UInt32 = 0
            for place in 0..<3 { bits = bits << 8 | UInt32(group.dropFirst(place).first ?? 0) }
            for place in 0..<4 {
                let letter = Self.alphabet[Int(bits >> UInt32(18 - 6 * place)) & 0x3F]
                letters.append(place <= group.count ? letter : UInt8(ascii: "="))
            }
        }
        return String(decoding: letters, as: UTF8.self)
    }
}

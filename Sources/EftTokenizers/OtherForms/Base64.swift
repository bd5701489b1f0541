// SPDX-License-Identifier: Apache-2.0
// Text as bytes (RFC 4648).

/// Base64 with padding.
enum Base64 {
    private static let values: [UInt8] = {
        var values = [UInt8](repeating: 0xFF, count: 256)
        let alphabet = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/"
        for (value, letter) in alphabet.utf8.enumerated() { values[Int(letter)] = UInt8(value) }
        return values
    }()

    /// The bytes that a text stands for; nil when it is not base64.
    static func bytes(_ text: some Collection<UInt8>) -> [UInt8]? {
        guard text.count % 4 == 0 else { return nil }
        var result: [UInt8] = []
        result.reserveCapacity(text.count / 4 * 3)
        var (bits, count, padding) = (UInt32(0), 0, 0)
        for letter in text {
            let value = values[Int(letter)]
            if letter == UInt8(ascii: "=") {
                padding += 1
            } else if padding > 0 || value == 0xFF {
                return nil
            }
            bits = bits << 6 | UInt32(value & 0x3F) * (padding > 0 ? 0 : 1)
            count += 1
            guard count == 4 else { continue }
            guard padding <= 2 else { return nil }
            for place in 0..<(3 - padding) {
                result.append(UInt8(truncatingIfNeeded: bits >> UInt32(16 - 8 * place)))
            }
            // Only the last group has padding.
            (bits, count) = (0, padding > 0 ? 4 : 0)
        }
        return result
    }
}

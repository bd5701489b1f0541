// SPDX-License-Identifier: Apache-2.0
// Bytes to whole characters, with U+FFFD for what is none.

/// Reads UTF-8 as it arrives.
enum UTF8Repair {
    /// U+FFFD in UTF-8.
    static let replacement: [UInt8] = [0xEF, 0xBF, 0xBD]

    /// Takes from the front of `pending` all that is decided: whole characters, and one U+FFFD for each maximal part of
    /// an invalid one (Unicode 16, section 3.9).
    /// - Parameter isEnd: whether no more bytes come, so that a character cut short is invalid.
    static func takeWhole(_ pending: inout [UInt8], isEnd: Bool) -> [UInt8] {
        var text: [UInt8] = []
        text.reserveCapacity(pending.count)
        var position = 0
        while position < pending.count {
            let (length, isValid) = character(pending, at: position)
            if !isValid && position + length == pending.count && !isEnd
                && isPrefix(pending, at: position)
            {
                break
            }
            text += isValid ? Array(pending[position..<(position + length)]) : replacement
            position += length
        }
        pending.removeFirst(position)
        return text
    }

    /// The length of the character at `position`, or of the longest part of one.
    private static func character(
        _ bytes: [UInt8], at position: Int
    ) -> (length: Int, isValid: Bool) {
        let lead = bytes[position]
        guard let (needed, second) = shape(lead) else { return (1, lead < 0x80) }
        var length = 1
        while length < needed, position + length < bytes.count {
            let range = length == 1 ? second : 0x80...0xBF
            guard range.contains(bytes[position + length]) else { break }
            length += 1
        }
        return (length, length == needed)
    }

    private static func isPrefix(_ bytes: [UInt8], at position: Int) -> Bool {
        shape(bytes[position]) != nil
    }

    /// How many bytes a lead byte announces, and which may come second; nil for ASCII and for no lead byte.
    private static func shape(_ lead: UInt8) -> (length: Int, second: ClosedRange<UInt8>)? {
        switch lead {
        case 0xC2...0xDF: (2, 0x80...0xBF)
        case 0xE0: (3, 0xA0...0xBF)
        case 0xED: (3, 0x80...0x9F)
        case 0xE1...0xEF: (3, 0x80...0xBF)
        case 0xF0: (4, 0x90...0xBF)
        case 0xF1...0xF3: (4, 0x80...0xBF)
        case 0xF4: (4, 0x80...0x8F)
        default: nil
        }
    }
}

// SPDX-License-Identifier: Apache-2.0
// Escapes in the strings of a template, which are Python's.

/// Escapes in string literals.
enum StringEscapes {
    /// The text of a literal, given without its quotes.
    /// - Throws: `TemplateError` (`syntax`).
    static func resolved(_ bytes: ArraySlice<UInt8>) throws(TemplateError) -> String {
        guard bytes.contains(UInt8(ascii: "\\")) else {
            return String(decoding: bytes, as: UTF8.self)
        }
        var result: [UInt8] = []
        var place = bytes.startIndex
        while place < bytes.endIndex {
            let byte = bytes[place]
            place += 1
            guard byte == UInt8(ascii: "\\"), place < bytes.endIndex else {
                result.append(byte)
                continue
            }
            let letter = bytes[place]
            place += 1
            if let plain = plainEscapes[letter] {
                result.append(contentsOf: plain)
            } else if let width = hexWidths[letter] {
                try append(number(bytes, &place, exactly: width, radix: 16), to: &result)
            } else if (UInt8(ascii: "0")...UInt8(ascii: "7")).contains(letter) {
                place -= 1
                try append(number(bytes, &place, upTo: 3, radix: 8), to: &result)
            } else if letter == UInt8(ascii: "N") {
                throw TemplateError(.unsupported, "characters cannot be written by name (\\N)")
            } else {
                // An unknown escape is kept as it is.
                result += [byte, letter]
            }
        }
        return String(decoding: result, as: UTF8.self)
    }

    private static let plainEscapes: [UInt8: [UInt8]] = [
        UInt8(ascii: "\n"): [], UInt8(ascii: "\\"): [0x5C], UInt8(ascii: "'"): [0x27],
        UInt8(ascii: "\""): [0x22], UInt8(ascii: "a"): [7], UInt8(ascii: "b"): [8],
        UInt8(ascii: "f"): [12], UInt8(ascii: "n"): [10], UInt8(ascii: "r"): [13],
        UInt8(ascii: "t"): [9], UInt8(ascii: "v"): [11],
    ]
    private static let hexWidths: [UInt8: Int] = [
        UInt8(ascii: "x"): 2, UInt8(ascii: "u"): 4, UInt8(ascii: "U"): 8,
    ]

    private static func number(
        _ bytes: ArraySlice<UInt8>, _ place: inout Int, exactly width: Int, radix: UInt32
    ) throws(TemplateError) -> UInt32 {
        let start = place
        let value = number(bytes, &place, upTo: width, radix: radix)
        guard place - start == width else {
            throw TemplateError(.syntax, "an escape needs \(width) hexadecimal digits")
        }
        return value
    }

    private static func number(
        _ bytes: ArraySlice<UInt8>, _ place: inout Int, upTo width: Int, radix: UInt32
    ) -> UInt32 {
        var value: UInt32 = 0
        var count = 0
        while count < width, place < bytes.endIndex, bytes[place] < 0x80,
            let digit = Character(Unicode.Scalar(bytes[place])).hexDigitValue, digit < radix
        {
            value = value &* radix &+ UInt32(digit)
            place += 1
            count += 1
        }
        return value
    }

    private static func append(
        _ value: UInt32, to bytes: inout [UInt8]
    ) throws(TemplateError) {
        guard let scalar = Unicode.Scalar(value) else {
            throw TemplateError(.syntax, "an escape names no code point")
        }
        bytes.append(contentsOf: Array(String(scalar).utf8))
    }
}

// SPDX-License-Identifier: Apache-2.0
// Normalizers that take or change single characters.
import EftConfig

extension Normalizer {
    /// Keeps the characters of a text (valid UTF-8) that `isKept` holds for.
    static func keep(_ text: inout [UInt8], _ isKept: (Unicode.Scalar) -> Bool) {
        change(&text) { isKept($0) ? $0 : nil }
    }

    /// Drops control characters and makes spaces of white space and some marks, as SentencePiece's rules for translation.
    static func replaceControls(_ text: inout [UInt8]) {
        change(&text) { scalar in
            switch scalar.value {
            case 0x1...0x8, 0xB, 0xE...0x1F, 0x7F, 0x8F, 0x9F: nil
            case 0x9, 0xA, 0xC, 0xD, 0x1680, 0x200B...0x200F, 0x2028, 0x2029, 0x2581, 0xFEFF,
                0xFFFD:
                " "
            default: scalar
            }
        }
    }

    private static func change(
        _ text: inout [UInt8], _ body: (Unicode.Scalar) -> Unicode.Scalar?
    ) {
        var changed = String.UnicodeScalarView()
        for scalar in String(decoding: text, as: UTF8.self).unicodeScalars {
            if let scalar = body(scalar) { changed.append(scalar) }
        }
        text = Array(String(changed).utf8)
    }
}

extension Unicode.Scalar {
    /// Whether this is a mark in the library's tables for StripAccents, which are those of Unicode 9.
    private var isMarkInUnicode9: Bool {
        guard let age = properties.age, age.major <= 9, value != 0x111C9 else { return false }
        switch properties.generalCategory {
        case .nonspacingMark, .spacingMark, .enclosingMark: return true
        // Both became letters later.
        default: return value == 0x1CF2 || value == 0x1CF3
        }
    }

    /// Whether StripAccents takes this.
    var isOldMark: Bool { value >= 0x300 && isMarkInUnicode9 }
}

extension CharacterMap {
    /// Reads the `precompiled_charsmap` of a normalizer.
    /// - Throws: `TokenizerError` (`malformed`) for what is no table, or not a whole one.
    init(_ node: TokenizerNode) throws(TokenizerError) {
        let place = try node.required("precompiled_charsmap")
        guard let bytes = Base64.bytes(try place.string().utf8), let map = CharacterMap(bytes[...]),
            map.isWhole
        else {
            throw place.error(
                .malformed,
                "the table of characters is faulty or was cut short; fetch the file again")
        }
        self = map
    }
}

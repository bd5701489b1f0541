// SPDX-License-Identifier: Apache-2.0
// Code points on which the reference's Unicode tables and those of PCRE2 and utf8proc disagree.

/// Differences between Unicode versions, so that the same text gives the same tokens with any of them.
///
/// The `tokenizers` library matches patterns with Unicode 16 and normalizes with a version before 12.1; PCRE2 10.42 has
/// Unicode 14, and utf8proc 2.8 has Unicode 15.
enum UnicodeTables {
    /// A range of code points, both ends included.
    typealias Span = (first: UInt32, last: UInt32)

    /// Code points that were given to a general category after Unicode 14.
    static func additions(to category: String) -> [Span] { addedByCategory[category] ?? [] }

    /// All code points assigned after Unicode 14.
    static let allAdditions: [Span] = addedByCategory.values.flatMap { $0 }
        .sorted { $0.first < $1.first }

    /// Han ideographs added after Unicode 14.
    static let hanAdditions: [Span] = spans("2B739 2EBF0-2EE5D 31350-323AF")

    /// White space (the property White_Space; U+180E is none since Unicode 6.3).
    static let whiteSpace: [Span] = spans(
        "9-D 20 85 A0 1680 2000-200A 2028 2029 202F 205F 3000")

    /// Alphabetic code points that are neither letters, marks, decimal digits nor connectors, and count as `\w`.
    static let otherWordCharacters: [Span] = spans(
        """
        B2-B3 B9 BC-BE 16EE-16F0 2160-2182 2185-2188 24B6-24E9 3007 3021-3029 3038-303A A6E6-A6EF \
        10140-10174 10341 1034A 103D1-103D5 12400-1246E 1F130-1F149 1F150-1F169 1F170-1F189
        """)

    /// Code points that the library's old normalization tables do not know: they neither change nor reorder nor compose.
    static let unknownToNormalization: [Span] = spans(
        """
        7FD 897-89F 8CA-8D3 9FE C3C D3B-D3C EBA 1715 1ABF-1ADD 1AE0-1AEB 1DF6-1DFA 32FF A7F2-A7F4 \
        A82C AB69 105C0-105F3 10781-10785 10787-107B0 107B2-107BA 10D24-10D27 10D69-10D6D \
        10EAB-10EAC 10EFA-10EFB 10EFD-10EFF 10F46-10F50 10F82-10F85 11070 1133B 11380-113E2 1145E \
        11839-1183A 11930-11938 1193D-1193E 11943 119E0 11A34 11A47 11A99 11D42 11D44-11D45 11D97 \
        11F41-11F42 16100-1612F 16D40-16D6C 16FF0-16FF1 1E030-1E06D 1E08F 1E130-1E136 1E2AE \
        1E2EC-1E2EF 1E4EC-1E4EF 1E5EE-1E5EF 1E6E3 1E6E6 1E6EE-1E6EF 1E6F5 1F16C 1FBF0-1FBF9
        """)

    private static let addedByCategory: [String: [Span]] = [
        "Lu": spans("1C89 A7CB-A7CC A7DA A7DC 10D50-10D65"),
        "Ll": spans("1C8A A7CD A7DB 10D70-10D85 1DF25-1DF2A"),
        "Lm": spans("10D4E 10D6F 16D40-16D42 16D6B-16D6C 1E030-1E06D 1E4EB"),
        "Lo": spans(
            """
            105C0-105F3 10D4A-10D4D 10D4F 10EC2-10EC4 1123F-11240 11380-11389 1138B 1138E \
            11390-113B5 113B7 113D1 113D3 11BC0-11BE0 11F02 11F04-11F10 11F12-11F33 1342F \
            13441-13446 13460-143FA 16100-1611D 16D43-16D6A 18CFF 1B132 1B155 1E4D0-1E4EA \
            1E5D0-1E5ED 1E5F0 2B739 2EBF0-2EE5D 31350-323AF
            """),
        "Mn": spans(
            """
            897 ECE 10D69-10D6D 10EFC-10EFF 11241 113BB-113C0 113CE 113D0 113D2 113E1-113E2 \
            11F00-11F01 11F36-11F3A 11F40 11F42 11F5A 13440 13447-13455 1611E-16129 1612D-1612F \
            1E08F 1E4EC-1E4EF 1E5EE-1E5EF
            """),
        "Mc": spans(
            """
            CF3 113B8-113BA 113C2 113C5 113C7-113CA 113CC-113CD 113CF 1171E 11F03 11F34-11F35 \
            11F3E-11F3F 11F41 1612A-1612C
            """),
        "Nd": spans(
            """
            10D40-10D49 116D0-116E3 11BF0-11BF9 11F50-11F59 16130-16139 16D70-16D79 1CCF0-1CCF9 \
            1E4F0-1E4F9 1E5F1-1E5FA
            """),
        "No": spans("1D2C0-1D2D3"),
        "Pd": spans("10D6E"),
        "Po": spans(
            """
            1B4E-1B4F 1B7F 113D4-113D5 113D7-113D8 11B00-11B09 11BE1 11F43-11F4F 16D6D-16D6F 1E5FF
            """),
        "Sm": spans("10D8E-10D8F"),
        "So": spans(
            """
            2427-2429 2FFC-2FFF 31E4-31E5 31EF 1CC00-1CCEF 1CD00-1CEB3 1F6DC 1F774-1F776 \
            1F77B-1F77F 1F7D9 1F8B2-1F8BB 1F8C0-1F8C1 1FA75-1FA77 1FA87-1FA89 1FA8F 1FAAD-1FAAF \
            1FABB-1FABF 1FAC6 1FACE-1FACF 1FADA-1FADC 1FADF 1FAE8-1FAE9 1FAF7-1FAF8 1FBCB-1FBEF
            """),
        "Cf": spans("13439-1343F"),
    ]

    private static func spans(_ text: String) -> [Span] {
        text.split(separator: " ").map { item in
            let ends = item.split(separator: "-").compactMap { UInt32($0, radix: 16) }
            precondition(ends.count == 1 || ends.count == 2, "a table of code points is misspelled")
            return (ends[0], ends[ends.count - 1])
        }
    }
}

extension Unicode.Scalar {
    /// Whether this is white space by the property White_Space.
    var isWhiteSpace: Bool {
        if value < 0x80 { return value == 0x20 || value &- 9 < 5 }
        return UnicodeTables.whiteSpace.contains { $0.first <= value && value <= $0.last }
    }

    /// Whether this is a `\w` of the `regex` crate: alphabetic, mark, decimal digit, connector or join control.
    var isWordCharacter: Bool {
        if value < 0x80 {
            return value == 0x5F || value &- 0x30 < 10 || (value | 0x20) &- 0x61 < 26
        }
        if properties.isAlphabetic || properties.isJoinControl { return true }
        switch properties.generalCategory {
        case .nonspacingMark, .spacingMark, .enclosingMark, .decimalNumber, .connectorPunctuation:
            return true
        default: return false
        }
    }

    /// Whether this is a number of any kind (general category N).
    var isNumeric: Bool {
        if value < 0x80 { return value &- 0x30 < 10 }
        switch properties.generalCategory {
        case .decimalNumber, .letterNumber, .otherNumber: return true
        default: return false
        }
    }

    /// Whether this is ASCII punctuation or of the general category P.
    var isPunctuation: Bool {
        if value < 0x80 {
            return (0x21...0x2F).contains(value) || (0x3A...0x40).contains(value)
                || (0x5B...0x60).contains(value) || (0x7B...0x7E).contains(value)
        }
        switch properties.generalCategory {
        case .connectorPunctuation, .dashPunctuation, .openPunctuation, .closePunctuation,
            .initialPunctuation, .finalPunctuation, .otherPunctuation:
            return true
        default: return false
        }
    }
}

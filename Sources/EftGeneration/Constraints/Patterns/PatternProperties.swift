// SPDX-License-Identifier: Apache-2.0
// Unicode's general categories as sets.

import Synchronization

/// The sets behind `\p{...}`.
enum PatternProperties {
    private static let known = Mutex<[String: ScalarSet]>([:])

    /// The scalars of a general category (`Lu`) or of a group of them (`L`), or nil for another name.
    static func set(_ name: String) -> ScalarSet? {
        guard isCategory(name) else { return nil }
        if let set = known.withLock({ $0[name] }) { return set }
        var ranges: [ClosedRange<UInt32>] = []
        for value in UInt32(0)...0x10FFFF {
            guard let scalar = Unicode.Scalar(value),
                abbreviation(scalar.properties.generalCategory).hasPrefix(name)
            else { continue }
            if let last = ranges.last, last.upperBound + 1 == value {
                ranges[ranges.count - 1] = last.lowerBound...value
            } else {
                ranges.append(value...value)
            }
        }
        let set = ScalarSet(ranges)
        known.withLock { $0[name] = set }
        return set
    }

    private static func isCategory(_ name: String) -> Bool {
        // Code points without a character differ between versions of Unicode.
        let names = [
            "Lu", "Ll", "Lt", "Lm", "Lo", "Mn", "Mc", "Me", "Nd", "Nl", "No", "Pc", "Pd", "Ps",
            "Pe", "Pi", "Pf", "Po", "Sm", "Sc", "Sk", "So", "Zs", "Zl", "Zp",
        ]
        return names.contains(name) || name.utf8.count == 1 && names.contains { $0.hasPrefix(name) }
    }

    private static func abbreviation(_ category: Unicode.GeneralCategory) -> String {
        switch category {
        case .uppercaseLetter: "Lu"
        case .lowercaseLetter: "Ll"
        case .titlecaseLetter: "Lt"
        case .modifierLetter: "Lm"
        case .otherLetter: "Lo"
        case .nonspacingMark: "Mn"
        case .spacingMark: "Mc"
        case .enclosingMark: "Me"
        case .decimalNumber: "Nd"
        case .letterNumber: "Nl"
        case .otherNumber: "No"
        case .connectorPunctuation: "Pc"
        case .dashPunctuation: "Pd"
        case .openPunctuation: "Ps"
        case .closePunctuation: "Pe"
        case .initialPunctuation: "Pi"
        case .finalPunctuation: "Pf"
        case .otherPunctuation: "Po"
        case .mathSymbol: "Sm"
        case .currencySymbol: "Sc"
        case .modifierSymbol: "Sk"
        case .otherSymbol: "So"
        case .spaceSeparator: "Zs"
        case .lineSeparator: "Zl"
        case .paragraphSeparator: "Zp"
        default: "-"
        }
    }
}

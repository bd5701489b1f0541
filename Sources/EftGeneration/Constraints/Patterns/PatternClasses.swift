// SPDX-License-Identifier: Apache-2.0
// Named sets of characters in regular expressions.

/// The sets that escapes and names stand for.
///
/// Where dialects differ, a set holds what all agree on, so that a text passes every checker: `\s` is ASCII white
/// space, and `\S` leaves out all that any dialect takes for white space, as `\D` and `\W` do for digits and words.
enum PatternClasses {
    /// What `.` stands for.
    static let dot = ScalarSet([0xA...0xA, 0xD...0xD, 0x2028...0x2029]).inverted
    static let word = ScalarSet.letters.union(.digits).union(ScalarSet("_"))
    static let space = ScalarSet([9...13, 0x20...0x20])
    private static let anySpace = ScalarSet([
        9...13, 0x1C...0x20, 0x85...0x85, 0xA0...0xA0, 0x1680...0x1680, 0x180E...0x180E,
        0x2000...0x200A, 0x2028...0x2029, 0x202F...0x202F, 0x205F...0x205F, 0x3000...0x3000,
        0xFEFF...0xFEFF,
    ])

    /// The set of an escaped letter, or nil.
    static func escape(_ letter: Unicode.Scalar) -> ScalarSet? {
        switch letter {
        case "d": .digits
        case "D": ScalarSet.digits.inverted.subtracting(category("Nd"))
        case "w": word
        case "W":
            ["L", "M", "N", "Pc"].reduce(word.inverted) { $0.subtracting(category($1)) }
        case "s": space
        case "S": anySpace.inverted
        default: nil
        }
    }

    private static func category(_ name: String) -> ScalarSet {
        PatternProperties.set(name) ?? .none
    }

    /// The set of a POSIX name between `[:` and `:]`, or nil.
    static func posix(_ name: String) -> ScalarSet? {
        switch name {
        case "alpha": .letters
        case "digit": .digits
        case "alnum": ScalarSet.letters.union(.digits)
        case "upper": ScalarSet(["A"..."Z"])
        case "lower": ScalarSet(["a"..."z"])
        case "xdigit": .hexDigits
        case "space": space
        case "word": word
        case "punct": ScalarSet(["!"..."/", ":"..."@", "["..."`", "{"..."~"])
        default: nil
        }
    }
}

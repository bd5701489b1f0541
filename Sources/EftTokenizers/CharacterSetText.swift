// SPDX-License-Identifier: Apache-2.0
// A set of characters, written for PCRE2.

/// A union of what can stand inside brackets and of complements of such.
///
/// PCRE2 10.42 has no nested classes, so `[ab\S]` becomes an alternation of two.
struct CharacterSetText {
    /// What stands inside positive brackets.
    var positive = ""
    /// What stands inside negated brackets, each a set whose complement belongs to this one.
    var negatives: [String] = []

    /// Whether this is exactly the category C, whose complement has a spelling of its own.
    private var isOther = false

    /// Makes a set.
    init(positive: String = "", negatives: [String] = []) {
        self.positive = positive
        self.negatives = negatives
    }

    /// Adds another set's characters.
    mutating func formUnion(_ other: CharacterSetText) {
        isOther = positive.isEmpty && negatives.isEmpty && other.isOther
        positive += other.positive
        negatives += other.negatives
    }

    /// The characters outside the set, or nil when that cannot be written as a union.
    var complement: CharacterSetText? {
        if isOther {
            var set = CharacterSetText()
            for name in ["L", "M", "N", "P", "S", "Z"] { set.formUnion(.category(name)) }
            return set
        }
        if negatives.isEmpty { return CharacterSetText(negatives: [positive]) }
        if positive.isEmpty, negatives.count == 1 {
            return CharacterSetText(positive: negatives[0])
        }
        return nil
    }

    /// A pattern that matches one character of the set, or one outside it.
    func formatted(negated: Bool) -> String {
        if negatives.isEmpty { return negated ? "[^\(positive)]" : "[\(positive)]" }
        if negated {
            let inside = negatives.dropFirst().map { "(?=[\($0)])" }.joined()
            let outside = positive.isEmpty ? "" : "(?![\(positive)])"
            return "(?:\(outside)\(inside)[\(negatives[0])])"
        }
        let parts = (positive.isEmpty ? [] : ["[\(positive)]"]) + negatives.map { "[^\($0)]" }
        return parts.count == 1 ? parts[0] : "(?:\(parts.joined(separator: "|")))"
    }

    // MARK: Known sets

    /// White space, `\s`.
    static let whiteSpace = CharacterSetText(positive: spell(UnicodeTables.whiteSpace))

    /// Hexadecimal digits, `\h`.
    static let hexDigit = CharacterSetText(positive: "0-9A-Fa-f")

    /// Word characters, `\w`.
    static let word: CharacterSetText = {
        var set = CharacterSetText(positive: spell(UnicodeTables.otherWordCharacters))
        for name in ["L", "M", "Nd", "Pc"] { set.formUnion(category(name)) }
        return set
    }()

    /// A general category of one or two letters.
    static func category(_ name: String) -> CharacterSetText {
        if name == "Cn" || name == "C" {
            // What was assigned since is in no category for an older PCRE2.
            let assigned = "\\P{Cn}" + spell(UnicodeTables.allAdditions)
            let others = name == "C" ? ["Cc", "Cf", "Co"] : []
            var set = CharacterSetText(negatives: [assigned])
            for other in others { set.formUnion(category(other)) }
            set.isOther = name == "C"
            return set
        }
        let additions = subcategories(of: name).flatMap { UnicodeTables.additions(to: $0) }
        return CharacterSetText(positive: "\\p{\(name)}" + spell(additions))
    }

    /// A property by any of its names, or nil when it is not known.
    static func property(_ name: String) -> CharacterSetText? {
        let key = name.lowercased().filter { $0 != "_" && $0 != " " && $0 != "-" }
        if let short = categoryNames[key] { return category(short) }
        if let script = scriptNames[key] {
            let additions = script == "Han" ? UnicodeTables.hanAdditions : []
            return CharacterSetText(positive: "\\p{sc:\(script)}" + spell(additions))
        }
        return nil
    }

    private static func subcategories(of name: String) -> [String] {
        name.count == 2 ? [name] : Set(categoryNames.values).filter { $0.hasPrefix(name) }.sorted()
    }

    private static func spell(_ spans: [UnicodeTables.Span]) -> String {
        spans.sorted { $0.first < $1.first }.map { span in
            let first = "\\x{" + String(span.first, radix: 16) + "}"
            return span.first == span.last
                ? first : first + "-\\x{" + String(span.last, radix: 16) + "}"
        }.joined()
    }

    private static let categoryNames: [String: String] = {
        let names = [
            "L": "letter", "Lu": "uppercaseletter", "Ll": "lowercaseletter",
            "Lt": "titlecaseletter", "Lm": "modifierletter", "Lo": "otherletter", "M": "mark",
            "Mn": "nonspacingmark", "Mc": "spacingmark", "Me": "enclosingmark", "N": "number",
            "Nd": "decimalnumber", "Nl": "letternumber", "No": "othernumber", "P": "punctuation",
            "Pc": "connectorpunctuation", "Pd": "dashpunctuation", "Ps": "openpunctuation",
            "Pe": "closepunctuation", "Pi": "initialpunctuation", "Pf": "finalpunctuation",
            "Po": "otherpunctuation", "S": "symbol", "Sm": "mathsymbol", "Sc": "currencysymbol",
            "Sk": "modifiersymbol", "So": "othersymbol", "Z": "separator", "Zs": "spaceseparator",
            "Zl": "lineseparator", "Zp": "paragraphseparator", "C": "other", "Cc": "control",
            "Cf": "format", "Cn": "unassigned", "Co": "privateuse",
        ]
        var table: [String: String] = [:]
        for (short, long) in names {
            table[short.lowercased()] = short
            table[long] = short
        }
        return table
    }()

    private static let scriptNames: [String: String] = {
        let names = [
            "Arabic", "Armenian", "Bengali", "Bopomofo", "Cyrillic", "Devanagari", "Ethiopic",
            "Georgian", "Greek", "Gujarati", "Gurmukhi", "Han", "Hangul", "Hebrew", "Hiragana",
            "Kannada", "Katakana", "Khmer", "Lao", "Latin", "Malayalam", "Mongolian", "Myanmar",
            "Oriya", "Sinhala", "Syriac", "Tamil", "Telugu", "Thai", "Tibetan",
        ]
        return Dictionary(uniqueKeysWithValues: names.map { ($0.lowercased(), $0) })
    }()
}

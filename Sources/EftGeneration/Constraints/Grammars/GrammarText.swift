// SPDX-License-Identifier: Apache-2.0
// From the text of a grammar to rules.

/// The notations in which a grammar may be written.
enum GrammarNotation: Sendable {
    /// `root ::= "a" [b-d]* | other`, as GBNF and most EBNF dialects have it.
    case ebnf
    /// `start: "a" /[b-d]*/ | other`, as Lark has it.
    case lark

    /// The rule with which a text begins.
    var rootName: String { self == .ebnf ? "root" : "start" }
}

/// Reads grammars.
enum GrammarText {
    /// Adds a grammar's rules.
    /// - Returns: the rule of the whole text.
    /// - Throws: `ConstraintError` with the line of what is wrong.
    static func compile(
        _ text: String, into builder: inout AutomatonBuilder
    ) throws(ConstraintError) -> RuleID {
        let notation: GrammarNotation = text.contains("::=") ? .ebnf : .lark
        var parser = GrammarParser(text, notation: notation, builder: builder)
        try parser.parse()
        builder = parser.builder
        for rule in parser.order {
            guard let node = parser.definitions[rule] else { continue }
            try builder.fill(
                rule, with: LeftRecursion.removed(from: node, of: rule, budget: &builder.budget))
        }
        return try parser.root(&builder)
    }
}

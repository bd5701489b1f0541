// SPDX-License-Identifier: Apache-2.0
// Expressions of which rules are made.

/// The number of a rule of a grammar.
typealias RuleID = Int32

/// What a part of the text may be.
indirect enum GrammarNode: Sendable {
    /// Nothing: the empty text.
    case empty
    /// One scalar of a set; no text at all when the set is empty.
    case set(ScalarSet)
    /// These scalars in order.
    case literal([UInt32])
    /// One of many literals; becomes a tree, so that thousands are cheap.
    case words([[UInt32]])
    case sequence([GrammarNode])
    case choice([GrammarNode])
    /// `minimum` to `maximum` times; without bound when nil.
    case repeated(GrammarNode, minimum: Int, maximum: Int?)
    /// The text of another rule.
    case rule(RuleID)
    /// A token without text.
    case token(Int32)
    /// An automaton over scalars.
    case characters(CharacterAutomaton)

    /// A literal text.
    static func text(_ text: String) -> GrammarNode {
        .literal(text.unicodeScalars.map(\.value))
    }

    /// The node or nothing.
    var optional: GrammarNode { .repeated(self, minimum: 0, maximum: 1) }
    /// Any number of times.
    var star: GrammarNode { .repeated(self, minimum: 0, maximum: nil) }
    /// Once or more.
    var plus: GrammarNode { .repeated(self, minimum: 1, maximum: nil) }
    /// Exactly so many times.
    func times(_ count: Int) -> GrammarNode { .repeated(self, minimum: count, maximum: count) }

    /// No text at all.
    static let impossible = GrammarNode.set(.none)
    /// An ASCII digit.
    static let digit = GrammarNode.set(.digits)
}

/// How scalars are written in the text.
enum TextForm: Sendable, Hashable {
    /// As they are.
    case plain
    /// As in a JSON string, each scalar in one way: escaped only where JSON demands it.
    case json
}

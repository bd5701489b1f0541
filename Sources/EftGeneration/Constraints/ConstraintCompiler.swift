// SPDX-License-Identifier: Apache-2.0
// From what a text must be to rules of an automaton.

import EftConfig

/// Makes the rules of one constraint.
struct ConstraintCompiler {
    private(set) var builder: AutomatonBuilder
    private let vocabulary: ConstraintVocabulary
    private let options: ConstraintOptions
    private let limits: ConstraintLimits

    init(
        vocabulary: ConstraintVocabulary, options: ConstraintOptions, limits: ConstraintLimits
    ) {
        builder = AutomatonBuilder(limits: limits, spellable: vocabulary.spellable)
        self.vocabulary = vocabulary
        self.options = options
        self.limits = limits
    }

    /// Adds a constraint's rules.
    /// - Returns: the rule of the whole text.
    /// - Throws: `ConstraintError`.
    mutating func compile(
        _ specification: ConstraintSpecification
    ) throws(ConstraintError) -> RuleID {
        let node = try node(of: specification, depth: 0)
        return try builder.addRule(node)
    }

    private mutating func node(
        of specification: ConstraintSpecification, depth: Int
    ) throws(ConstraintError) -> GrammarNode {
        guard depth <= limits.nesting else {
            throw ConstraintError(
                .tooComplex, "constraints are nested deeper than \(limits.nesting)")
        }
        switch specification {
        case .jsonSchema(let schema):
            var compiler = try SchemaCompiler(builder, root: schema, options: options)
            let rule = try compiler.compile()
            builder = compiler.builder
            return .rule(rule)
        case .jsonObject:
            return try node(of: .jsonSchema(["type": "object"]), depth: depth + 1)
        case .regex(let pattern):
            try check(pattern, name: "regular expression")
            return try PatternParser.parse(pattern, isSearch: false, limits: limits)
        case .choice(let texts):
            guard !texts.isEmpty else {
                throw ConstraintError(.malformed, "the list of choices is empty")
            }
            try check(texts)
            return .words(texts.map { $0.unicodeScalars.map(\.value) })
        case .grammar(let text):
            try check(text, name: "grammar")
            return .rule(try GrammarText.compile(text, into: &builder))
        case .literal(let text):
            try check([text])
            return .text(text)
        case .token(let id):
            guard vocabulary.bytes(of: id).first == ConstraintVocabulary.firstOfMark else {
                throw ConstraintError(
                    .malformed, "the token \(id) is none without text; ask for its text instead")
            }
            return .token(id)
        case .sequence(let parts):
            var nodes: [GrammarNode] = []
            for part in parts { nodes.append(try node(of: part, depth: depth + 1)) }
            return .sequence(nodes)
        case .anyOf(let parts):
            var nodes: [GrammarNode] = []
            for part in parts { nodes.append(try node(of: part, depth: depth + 1)) }
            return .choice(nodes)
        case .repeated(let part, let minimum, let maximum, let separator):
            guard minimum >= 0, maximum.map({ $0 >= minimum }) ?? true else {
                throw ConstraintError(
                    .malformed, "a repetition needs 0 <= minimum <= maximum")
            }
            let one = GrammarNode.rule(
                try builder.addRule(try node(of: part, depth: depth + 1)))
            return .list(
                one, separator: .text(separator), minimum: minimum, maximum: maximum)
        case .textWithout(let texts):
            guard texts.allSatisfy({ !$0.isEmpty }) else {
                throw ConstraintError(.malformed, "an empty text occurs in every text")
            }
            try check(texts)
            return .characters(
                try CharacterAutomaton(
                    withoutAny: texts.map { $0.unicodeScalars.map(\.value) },
                    budget: &builder.budget))
        }
    }

    private func check(_ text: String, name: String) throws(ConstraintError) {
        if text.utf8.allSatisfy({ $0 == 0x20 || (9...13).contains($0) }) && name == "grammar"
            || text.isEmpty
        {
            throw ConstraintError(.malformed, "the \(name) is empty")
        }
        if text.utf8.contains(0) {
            throw ConstraintError(.malformed, "the \(name) holds a NUL character")
        }
        try check([text])
    }

    private func check(_ texts: [String]) throws(ConstraintError) {
        guard texts.reduce(0, { $0 + $1.utf8.count }) <= limits.sourceBytes else {
            throw ConstraintError(
                .tooComplex, "the constraint is larger than \(limits.sourceBytes) bytes")
        }
    }
}

extension GrammarNode {
    /// Between `minimum` and `maximum` parts (any number when nil) with a separator between any two.
    static func list(
        _ part: GrammarNode, separator: GrammarNode, minimum: Int, maximum: Int?
    ) -> GrammarNode {
        if maximum == 0 { return .empty }
        let more = GrammarNode.repeated(
            .sequence([separator, part]), minimum: max(minimum - 1, 0),
            maximum: maximum.map { $0 - 1 })
        let list = GrammarNode.sequence([part, more])
        return minimum > 0 ? list : list.optional
    }
}

// SPDX-License-Identifier: Apache-2.0
// The rules of a grammar in EBNF or in Lark's notation.

import EftConfig

/// Reads the rules of a grammar.
///
/// Lark's terminals are rules like others: nothing looks for the longest one, and priorities do not count. What a grammar
/// ignores may stand behind each terminal and in front of the first.
struct GrammarParser {
    private(set) var builder: AutomatonBuilder
    /// The expression of each rule.
    private(set) var definitions: [RuleID: GrammarNode] = [:]
    /// The rules in the order in which they were named.
    private(set) var order: [RuleID] = []
    private var scanner: GrammarScanner
    private let notation: GrammarNotation
    private var rules: [String: RuleID] = [:]
    private var firstUse: [String: Int] = [:]
    private var ignored: [GrammarNode] = []
    private var ignoreRule: RuleID?
    private var depth = 0
    /// Whether the rule being read is one of Lark's rules, in which ignored text may stand between terminals.
    private var isSpaced = false

    init(_ text: String, notation: GrammarNotation, builder: AutomatonBuilder) {
        self.builder = builder
        self.notation = notation
        scanner = GrammarScanner(text, notation: notation)
    }

    // MARK: Rules

    /// Reads everything.
    /// - Throws: `ConstraintError` with the line.
    mutating func parse() throws(ConstraintError) {
        if notation == .lark { ignoreRule = try builder.addRule() }
        scanner.skipBlank()
        while scanner.peek != nil {
            if notation == .lark, scanner.take("%") {
                try directive()
            } else {
                try definition()
            }
            scanner.skipBlank()
        }
        for (name, place) in firstUse.sorted(by: { $0.value < $1.value })
        where rules[name].map({ definitions[$0] == nil }) ?? true {
            scanner.position = place
            throw scanner.fault("there is no rule '\(excerpt(name))'")
        }
        if let ignoreRule {
            try builder.fill(ignoreRule, with: GrammarNode.choice(ignored).star)
        }
    }

    /// The rule of the whole text.
    /// - Throws: `ConstraintError` (`malformed`) when it is missing.
    func root(_ builder: inout AutomatonBuilder) throws(ConstraintError) -> RuleID {
        guard let root = rules[notation.rootName] else {
            throw ConstraintError(
                .malformed, "the grammar has no rule '\(notation.rootName)' to begin with")
        }
        guard let ignoreRule else { return root }
        return try builder.addRule(.sequence([.rule(ignoreRule), .rule(root)]))
    }

    private mutating func definition() throws(ConstraintError) {
        if notation == .lark {
            while let mark = scanner.peek, mark == "?" || mark == "!" { scanner.advance() }
        }
        guard let name = scanner.name() else { throw scanner.fault("expected a rule") }
        if notation == .lark, scanner.take(".") { _ = scanner.number() }
        scanner.skipSpace()
        guard scanner.takeDefinitionMark() else {
            throw scanner.fault("expected '\(notation == .ebnf ? "::=" : ":")' after a rule's name")
        }
        let rule = try rule(named: name)
        guard definitions[rule] == nil else {
            throw scanner.fault("the rule '\(excerpt(name))' is defined twice")
        }
        isSpaced = notation == .lark && !Self.isTerminal(name)
        definitions[rule] = try alternatives()
        guard scanner.isAtRuleEnd else { throw scanner.fault("unexpected text") }
    }

    private mutating func rule(named name: String) throws(ConstraintError) -> RuleID {
        if let known = rules[name] { return known }
        let rule = try builder.addRule()
        rules[name] = rule
        order.append(rule)
        return rule
    }

    private static func isTerminal(_ name: String) -> Bool {
        name.unicodeScalars.first { $0 != "_" }.map { ("A"..."Z").contains($0) } ?? false
    }

    private mutating func directive() throws(ConstraintError) {
        let word = scanner.name() ?? ""
        scanner.skipSpace()
        switch word {
        case "ignore":
            isSpaced = false
            ignored.append(try alternatives())
        case "import":
            guard let library = scanner.name(), library == "common" else {
                throw scanner.fault("only terminals of 'common' can be imported", .unsupported)
            }
            scanner.skipSpace()
            if scanner.take("(") {
                repeat {
                    scanner.skipBlank()
                    try importTerminal(isAlone: false)
                    scanner.skipBlank()
                } while scanner.take(",")
                guard scanner.take(")") else { throw scanner.fault("expected ')'") }
                return
            }
            guard scanner.take(".") else { throw scanner.fault("expected '.'") }
            try importTerminal(isAlone: true)
        default: throw scanner.fault("'%\(excerpt(word))' is not supported", .unsupported)
        }
    }

    private mutating func importTerminal(isAlone: Bool) throws(ConstraintError) {
        guard let name = scanner.name(), let pattern = LarkLibrary.pattern(of: name) else {
            throw scanner.fault("there is no such terminal in 'common'", .unsupported)
        }
        var alias = name
        if isAlone {
            scanner.skipSpace()
            if scanner.take("->") {
                scanner.skipSpace()
                guard let other = scanner.name() else { throw scanner.fault("expected a name") }
                alias = other
            }
        }
        let rule = try rule(named: alias)
        guard definitions[rule] == nil else {
            throw scanner.fault("the terminal '\(excerpt(alias))' is defined twice")
        }
        definitions[rule] = try PatternParser.parse(
            pattern, isSearch: false, limits: builder.limits)
    }

    // MARK: Expressions

    private mutating func alternatives() throws(ConstraintError) -> GrammarNode {
        guard depth <= builder.limits.nesting else {
            throw scanner.fault(
                "groups are nested deeper than \(builder.limits.nesting)", .tooComplex)
        }
        scanner.skipSpace()
        // Lark allows a bar in front of the first alternative too.
        if notation == .lark && scanner.peek == "|" { scanner.advance() }
        var parts = [try sequence()]
        while scanner.take("|") { parts.append(try sequence()) }
        return parts.count == 1 ? parts[0] : .choice(parts)
    }

    private mutating func sequence() throws(ConstraintError) -> GrammarNode {
        var parts: [GrammarNode] = []
        scanner.skipSpace()
        while !scanner.isAtEnd(ofGroup: depth > 0) {
            try builder.budget.spend()
            parts.append(try repetition(of: try atom()))
            scanner.skipSpace()
            if notation == .lark, scanner.take("->") {
                scanner.skipSpace()
                _ = scanner.name()
                scanner.skipSpace()
            }
        }
        return parts.count == 1 ? parts[0] : parts.isEmpty ? .empty : .sequence(parts)
    }

    private mutating func repetition(
        of node: GrammarNode
    ) throws(ConstraintError) -> GrammarNode {
        var node = node
        for _ in 0...builder.limits.nesting {
            if notation == .ebnf { scanner.skipSpace() }
            switch scanner.peek {
            case "*": node = node.star
            case "+": node = node.plus
            case "?": node = node.optional
            case "{" where notation == .ebnf:
                scanner.advance()
                node = try counted(node, separator: ",", end: "}")
                continue
            default:
                let place = scanner.position
                scanner.skipSpace()
                guard notation == .lark, scanner.take("~") else {
                    scanner.position = place
                    return node
                }
                node = try counted(node, separator: "..", end: nil)
                continue
            }
            scanner.advance()
        }
        throw scanner.fault("too many repetitions of repetitions", .tooComplex)
    }

    private mutating func counted(
        _ node: GrammarNode, separator: String, end: String?
    ) throws(ConstraintError) -> GrammarNode {
        scanner.skipSpace()
        let low = scanner.number()
        var high = low
        scanner.skipSpace()
        if scanner.take(separator) {
            scanner.skipSpace()
            high = scanner.number()
            scanner.skipSpace()
        }
        if let end, !scanner.take(end) { throw scanner.fault("expected '\(end)'") }
        guard low != nil || high != nil, high.map({ $0 >= low ?? 0 }) ?? true else {
            throw scanner.fault("a repetition needs bounds in order")
        }
        guard max(low ?? 0, high ?? 0) <= builder.limits.states else {
            throw scanner.fault("a repetition's bound is too large", .tooComplex)
        }
        return .repeated(node, minimum: low ?? 0, maximum: high)
    }

    private mutating func atom() throws(ConstraintError) -> GrammarNode {
        guard let scalar = scanner.peek else { throw scanner.fault("the grammar ends too early") }
        switch scalar {
        case "(": return try group(end: ")")
        case "[" where notation == .lark: return try group(end: "]").optional
        case "[": return .set(try scanner.characterClass())
        case ".":
            guard notation == .ebnf else { break }
            scanner.advance()
            return .set(.all)
        case "\"", "'": return spaced(try literal())
        case "/":
            guard notation == .lark else { break }
            let pattern = try scanner.pattern()
            do {
                return spaced(
                    try PatternParser.parse(pattern, isSearch: false, limits: builder.limits))
            } catch { throw scanner.fault(error.message, error.code) }
        default: break
        }
        let place = scanner.position
        guard let name = scanner.name() else {
            throw scanner.fault("unexpected '\(excerpt(String(scalar)))'")
        }
        if scanner.peek == "{" && notation == .lark {
            throw scanner.fault("templates are not supported", .unsupported)
        }
        if firstUse[name] == nil { firstUse[name] = place }
        let node = GrammarNode.rule(try rule(named: name))
        return Self.isTerminal(name) ? spaced(node) : node
    }

    private mutating func group(end: String) throws(ConstraintError) -> GrammarNode {
        scanner.advance()
        depth += 1
        scanner.groupDepth += 1
        let node = try alternatives()
        depth -= 1
        scanner.groupDepth -= 1
        guard scanner.take(end) else { throw scanner.fault("expected '\(end)'") }
        return node
    }

    private mutating func literal() throws(ConstraintError) -> GrammarNode {
        let text = try scanner.string()
        if notation == .lark {
            let place = scanner.position
            scanner.skipSpace()
            if scanner.take("..") {
                scanner.skipSpace()
                let end = try scanner.string()
                guard let low = text.first, let high = end.first, text.count == 1, end.count == 1,
                    low <= high
                else { throw scanner.fault("a range needs two single characters in order") }
                return .set(ScalarSet([low...high]))
            }
            scanner.position = place
            if scanner.take("i") { return try caseless(text) }
        }
        return .literal(text)
    }

    private func caseless(_ text: [UInt32]) throws(ConstraintError) -> GrammarNode {
        guard text.allSatisfy({ $0 < 128 }) else {
            throw scanner.fault("'i' is supported for ASCII text only", .unsupported)
        }
        return .sequence(
            text.map { value in
                let isLetter = ScalarSet.letters.contains(value)
                return .set(
                    ScalarSet(
                        isLetter ? [value...value, (value ^ 32)...(value ^ 32)] : [value...value]))
            })
    }

    /// A terminal with what is ignored behind it.
    private func spaced(_ node: GrammarNode) -> GrammarNode {
        guard isSpaced, let ignoreRule else { return node }
        return .sequence([node, .rule(ignoreRule)])
    }
}

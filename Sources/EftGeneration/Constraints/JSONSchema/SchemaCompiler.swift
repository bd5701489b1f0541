// SPDX-License-Identifier: Apache-2.0
// From JSON Schema to rules.

import EftConfig

/// Makes the rules of a JSON schema's documents.
///
/// Every schema becomes a rule, and recursive ones rules that call themselves. What a document may be is narrower than
/// what the schema accepts in these respects, all of which leave documents valid: properties come in the order of the
/// schema; properties and items that are not listed appear only where the schema says so, or says nothing about any; and
/// a schema that has keywords for some types and no `type` admits those types only.
struct SchemaCompiler {
    var builder: AutomatonBuilder
    let options: ConstraintOptions
    let pieces: JSONPieces
    private let reader: SchemaReader
    private let root: ConfigNode
    private var rules: [String: RuleID] = [:]
    var stringRules: [StringKey: RuleID] = [:]
    private var waiting: [(parts: [SchemaPart], rule: RuleID)] = []

    /// What strings are asked for.
    struct StringKey: Hashable {
        let minimum: Int
        let maximum: Int?
        let patterns: [[UInt8]]
        let formats: [String]
    }

    /// Begins with a schema.
    /// - Throws: `ConstraintError`.
    init(
        _ builder: AutomatonBuilder, root: ConfigNode, options: ConstraintOptions
    ) throws(ConstraintError) {
        self.builder = builder
        self.options = options
        self.root = root
        pieces = try JSONPieces(&self.builder, options: options)
        reader = SchemaReader(root: root)
    }

    /// Makes all rules.
    /// - Returns: the rule of the document.
    /// - Throws: `ConstraintError` with the path of what is wrong.
    mutating func compile() throws(ConstraintError) -> RuleID {
        try checkNesting(root, depth: 0)
        if case .object(let object) = root.value, object.isEmpty {
            throw ConstraintError(.malformed, "the schema is empty; ask for a JSON object instead")
        }
        let rule = try rule(for: [SchemaPart(node: root, path: "#")])
        while let next = waiting.popLast() {
            do {
                let schema = try reader.conditions(next.parts, budget: &builder.budget)
                let node = try node(for: schema, depth: 0)
                try builder.fill(next.rule, with: node)
            } catch { throw error.at(next.parts.first?.path ?? "#") }
        }
        return rule
    }

    private mutating func checkNesting(_ node: ConfigNode, depth: Int) throws(ConstraintError) {
        guard depth <= builder.limits.nesting else {
            throw ConstraintError(
                .tooComplex, "the schema is nested deeper than \(builder.limits.nesting)")
        }
        switch node.value {
        case .array(let items):
            try builder.budget.spend(items.count)
            for item in items { try checkNesting(item, depth: depth + 1) }
        case .object(let object):
            for entry in object.entries {
                try builder.budget.spend(1 + entry.key.utf8.count)
                try checkNesting(entry.node, depth: depth + 1)
            }
        case .string(let text): try builder.budget.spend(text.utf8.count)
        default: break
        }
    }

    /// The rule of the values that satisfy some schemas, all of them; made once for the same schemas, and filled later.
    /// - Throws: `ConstraintError`.
    mutating func rule(for parts: [SchemaPart]) throws(ConstraintError) -> RuleID {
        var parts = parts
        if parts.count == 1 {
            var seen: Set<String> = []
            while let target = try reader.loneReference(parts[0]) {
                guard seen.insert(target.path).inserted else {
                    throw ConstraintError(
                        .malformed, "the reference refers to itself", path: target.path)
                }
                parts = [target]
            }
        }
        let key = parts.map(\.path).joined(separator: "\n")
        if let known = rules[key] { return known }
        let rule = try builder.addRule()
        rules[key] = rule
        waiting.append((parts, rule))
        return rule
    }

    // MARK: Values

    /// The values that satisfy the conditions.
    private mutating func node(
        for schema: Schema, depth: Int
    ) throws(ConstraintError) -> GrammarNode {
        guard depth <= builder.limits.nesting else {
            throw ConstraintError(
                .tooComplex, "choices between schemas are nested too deeply", path: schema.path)
        }
        if schema.isImpossible { return .impossible }
        if let group = schema.alternatives.first {
            return try choice(of: group, in: schema, depth: depth)
        }
        if let values = schema.values {
            var words: [[UInt32]] = []
            var others: [GrammarNode] = []
            for value in values where try accepts(value, schema) {
                switch literal(value) {
                case .literal(let word): words.append(word)
                case let other: others.append(other)
                }
            }
            return .choice([.words(words)] + others)
        }
        var types = schema.types
        if types == nil && !schema.concerned.isEmpty {
            types = SchemaType.allCases.filter { schema.concerned.contains($0) }
        }
        guard let types else { return .rule(pieces.value) }
        var choices: [GrammarNode] = []
        for type in types {
            switch type {
            case .null: choices.append(.text("null"))
            case .boolean: choices.append(.choice([.text("true"), .text("false")]))
            case .integer:
                if types.contains(.number) { continue }
                choices.append(try numbers(schema, isInteger: true))
            case .number: choices.append(try numbers(schema, isInteger: false))
            case .string: choices.append(try strings(schema))
            case .array: choices.append(.rule(try arrays(schema)))
            case .object: choices.append(.rule(try objects(schema)))
            }
        }
        return .choice(choices)
    }

    private mutating func choice(
        of group: [SchemaPart], in schema: Schema, depth: Int
    ) throws(ConstraintError) -> GrammarNode {
        var base = schema
        base.alternatives.removeFirst()
        var choices: [GrammarNode] = []
        for part in group {
            if base.isUnconditional {
                choices.append(.rule(try rule(for: [part])))
                continue
            }
            var joined = base
            let branch = try reader.conditions([part], budget: &builder.budget)
            try joined.add(branch, budget: &builder.budget)
            choices.append(try node(for: joined, depth: depth + 1))
        }
        return .choice(choices)
    }

    private func numbers(
        _ schema: Schema, isInteger: Bool
    ) throws(ConstraintError) -> GrammarNode {
        if schema.minimum == nil && schema.maximum == nil {
            return .rule(isInteger ? pieces.integer : pieces.number)
        }
        for case .some(let bound) in [schema.minimum, schema.maximum]
        where bound.value.whole.count > 40 || bound.value.fraction.count > 40 {
            throw ConstraintError(
                .tooComplex, "a bound of a number has more than 40 digits on a side of its point",
                path: schema.path)
        }
        return NumberRange(schema.minimum, schema.maximum).node(isInteger: isInteger)
    }
}

extension Schema {
    /// Whether nothing is asked for but what is in `alternatives`.
    fileprivate var isUnconditional: Bool {
        types == nil && values == nil && concerned.isEmpty && alternatives.isEmpty && !isImpossible
    }
}

// SPDX-License-Identifier: Apache-2.0
// Strings of a JSON schema, and values written out.

import EftConfig

extension SchemaCompiler {
    /// Strings that satisfy the conditions, with their quotes; a rule that all such strings of the document share.
    /// - Throws: `ConstraintError`.
    mutating func strings(_ schema: Schema) throws(ConstraintError) -> GrammarNode {
        let key = StringKey(
            minimum: schema.minimumLength, maximum: schema.maximumLength,
            patterns: schema.patterns.map { Array($0.utf8) }, formats: schema.formats)
        if let known = stringRules[key] { return .rule(known) }
        let rule = try builder.addRule(try stringNode(schema))
        stringRules[key] = rule
        return .rule(rule)
    }

    private mutating func stringNode(_ schema: Schema) throws(ConstraintError) -> GrammarNode {
        let (minimum, maximum) = (schema.minimumLength, schema.maximumLength)
        if let maximum, maximum < minimum { return .impossible }
        guard max(minimum, maximum ?? 0) <= builder.limits.states else {
            throw ConstraintError(
                .tooComplex, "the length of the string is too large", path: schema.path)
        }
        let bounded = minimum > 0 || maximum != nil
        if schema.patterns.isEmpty && schema.formats.isEmpty {
            guard bounded else { return .rule(pieces.string) }
            return quoted(
                .repeated(.rule(pieces.character), minimum: minimum, maximum: maximum))
        }
        let nodes = try expressions(schema)
        if nodes.count == 1, !bounded {
            return quoted(.rule(try builder.addRule(nodes[0], form: .json)))
        }
        var automata: [CharacterAutomaton] = []
        for node in nodes { automata.append(try automaton(node)) }
        if bounded {
            automata.append(
                try CharacterAutomaton(lengths: minimum, maximum, budget: &builder.budget))
        }
        var joined = automata[0]
        for automaton in automata.dropFirst() { joined = try both(joined, automaton) }
        return quoted(.rule(try builder.addRule(.characters(joined), form: .json)))
    }

    /// The text of a string between quotes.
    func quoted(_ node: GrammarNode) -> GrammarNode {
        .sequence([.text("\""), node, .text("\"")])
    }

    /// An automaton of an expression.
    /// - Throws: `ConstraintError` (`tooComplex`).
    mutating func automaton(_ node: GrammarNode) throws(ConstraintError) -> CharacterAutomaton {
        try CharacterAutomaton(
            node, maximumStates: builder.limits.states, budget: &builder.budget)
    }

    /// What two automata both take.
    /// - Throws: `ConstraintError` (`tooComplex`).
    mutating func both(
        _ a: CharacterAutomaton, _ b: CharacterAutomaton
    ) throws(ConstraintError) -> CharacterAutomaton {
        try a.intersection(b, maximumStates: builder.limits.states, budget: &builder.budget)
    }

    /// The patterns and formats as expressions that match whole strings.
    private func expressions(_ schema: Schema) throws(ConstraintError) -> [GrammarNode] {
        var nodes: [GrammarNode] = []
        for pattern in schema.patterns {
            do {
                nodes.append(
                    try PatternParser.parse(pattern, isSearch: true, limits: builder.limits))
            } catch { throw error.at(schema.path + "/pattern") }
        }
        for format in schema.formats {
            guard let pattern = StringFormats.pattern(of: format) else {
                throw ConstraintError(
                    .unsupported,
                    "the format '\(excerpt(format))' cannot be enforced; use a pattern",
                    path: schema.path + "/format")
            }
            nodes.append(
                try PatternParser.parse(pattern, isSearch: false, limits: builder.limits))
        }
        return nodes
    }

    // MARK: Values

    /// Whether a value of an `enum` satisfies the conditions beside it.
    /// - Throws: `ConstraintError` (`unsupported`) when that is not known.
    mutating func accepts(
        _ value: ConfigNode, _ schema: Schema
    ) throws(ConstraintError) -> Bool {
        let number = Decimal(value)
        if let types = schema.types {
            let isOfType = types.contains { $0.holds(value, number) }
            if !isOfType { return false }
        }
        if let number {
            if let bound = schema.minimum,
                number < bound.value || bound.isExclusive && number == bound.value
            {
                return false
            }
            if let bound = schema.maximum,
                bound.value < number || bound.isExclusive && number == bound.value
            {
                return false
            }
        }
        switch value.value {
        case .string(let text):
            let scalars = text.unicodeScalars.map(\.value)
            if scalars.count < schema.minimumLength { return false }
            if let maximum = schema.maximumLength, scalars.count > maximum { return false }
            for node in try expressions(schema) {
                let automaton = try automaton(node)
                if try !automaton.takes(scalars, budget: &builder.budget) { return false }
            }
        case .array where schema.concerned.contains(.array),
            .object where schema.concerned.contains(.object):
            throw ConstraintError(
                .unsupported, "listed arrays or objects cannot stand beside other conditions",
                path: schema.path)
        default: break
        }
        return true
    }

    /// A value, with white space where it may be.
    func literal(_ value: ConfigNode) -> GrammarNode {
        let space = pieces.space
        func list(_ open: String, _ items: [GrammarNode], _ close: String) -> GrammarNode {
            var nodes: [GrammarNode] = [.text(open), space]
            for (index, item) in items.enumerated() {
                if index > 0 { nodes += [.text(","), space] }
                nodes += [item, space]
            }
            return .sequence(nodes + [.text(close)])
        }
        switch value.value {
        case .array(let items): return list("[", items.map { literal($0) }, "]")
        case .object(let object):
            return list(
                "{",
                object.entries.map {
                    .sequence([
                        literal(ConfigNode($0.key)), space, .text(":"), space, literal($0.node),
                    ])
                }, "}")
        default: return .text(JSONWriter.text(value, layout: .minimal))
        }
    }
}

extension SchemaType {
    /// Whether a value is of the type; a number without a fraction is an integer.
    fileprivate func holds(_ value: ConfigNode, _ number: Decimal?) -> Bool {
        switch (self, value.value) {
        case (.null, .null), (.boolean, .bool), (.string, .string), (.array, .array),
            (.object, .object):
            true
        case (.number, _): number != nil
        case (.integer, _): number?.fraction.isEmpty ?? false
        default: false
        }
    }
}

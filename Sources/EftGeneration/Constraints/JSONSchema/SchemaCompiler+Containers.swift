// SPDX-License-Identifier: Apache-2.0
// Objects and arrays of a JSON schema.

extension SchemaCompiler {
    /// A text and white space behind it.
    private func mark(_ text: String) -> GrammarNode {
        .sequence([.text(text), pieces.space])
    }

    // MARK: Arrays

    /// The rule of arrays that satisfy the conditions.
    /// - Throws: `ConstraintError`.
    mutating func arrays(_ schema: Schema) throws(ConstraintError) -> RuleID {
        let prefix = schema.prefix ?? []
        let (minimum, maximum) = (schema.minimumItems, schema.maximumItems)
        if let maximum, maximum < minimum { return try builder.addRule(.impossible) }
        guard max(minimum, maximum ?? 0) <= builder.limits.states else {
            throw ConstraintError(
                .tooComplex, "the number of items is too large", path: schema.path)
        }
        // Nothing said about further items: none behind a prefix, unless some are demanded.
        let isOpen = schema.items != nil || prefix.isEmpty || minimum > prefix.count
        var others: RuleID?
        if isOpen {
            others =
                try schema.items.map { (parts) throws(ConstraintError) in
                    try rule(for: parts)
                } ?? pieces.value
        }
        let result = try builder.addRule()
        let (start, end) = (
            builder.rules[Int(result)].start, builder.rules[Int(result)].end
        )
        var state = try builder.addState()
        try builder.add(mark("["), from: start, to: state)
        let last = maximum ?? max(minimum, prefix.count)
        for index in 0..<last {
            guard let item = index < prefix.count ? try rule(for: prefix[index]) : others else {
                break
            }
            if index >= minimum { try builder.add(.text("]"), from: state, to: end) }
            let next = try builder.addState()
            try builder.add(element(item, isFirst: index == 0), from: state, to: next)
            state = next
        }
        if last >= minimum { try builder.add(.text("]"), from: state, to: end) }
        if maximum == nil, let others {
            var loop = state
            if last == 0 {
                loop = try builder.addState()
                try builder.add(element(others, isFirst: true), from: state, to: loop)
                try builder.add(.text("]"), from: loop, to: end)
            }
            try builder.add(element(others, isFirst: false), from: loop, to: loop)
        }
        return result
    }

    private func element(_ rule: RuleID, isFirst: Bool) -> GrammarNode {
        .sequence((isFirst ? [] : [mark(",")]) + [.rule(rule), pieces.space])
    }

    // MARK: Objects

    /// A member that an object may have.
    private struct Member {
        let rule: RuleID
        let isRequired: Bool
    }

    /// The rule of objects that satisfy the conditions.
    /// - Throws: `ConstraintError`.
    mutating func objects(_ schema: Schema) throws(ConstraintError) -> RuleID {
        let properties = try properties(schema)
        var members: [Member] = []
        let required = Set(schema.required.map { Array($0.utf8) })
        for property in properties {
            members.append(
                Member(
                    rule: try member(key: literal(.init(property.key)), parts: property.parts),
                    isRequired: required.contains(Array(property.key.utf8))))
        }
        let others = try otherMembers(schema, listed: properties)
        let (minimum, maximum) = (schema.minimumProperties, schema.maximumProperties)
        // A key may come twice among those that are not listed, and then counts once.
        if others != nil, minimum > max(1, members.count(where: \.isRequired)) {
            throw ConstraintError(
                .unsupported, "minProperties cannot be enforced where any property may come",
                path: schema.path)
        }
        return try chain(members, others: others, minimum: minimum, maximum: maximum)
    }

    /// The listed properties, and those that are required without being listed.
    private mutating func properties(
        _ schema: Schema
    ) throws(ConstraintError) -> [Schema.Property] {
        var properties = schema.properties
        let listed = Set(properties.map { Array($0.key.utf8) })
        for key in schema.required where !listed.contains(Array(key.utf8)) {
            // Without a word on other properties, any value will do.
            let isMatched = !schema.patternProperties.isEmpty
            properties.append(
                Schema.Property(key: key, parts: isMatched ? [] : schema.additional ?? []))
        }
        for pattern in schema.patternProperties {
            let automaton = try keys(pattern, path: schema.path)
            for index in properties.indices {
                let key = properties[index].key.unicodeScalars.map(\.value)
                let isMatch = try automaton.takes(key, budget: &builder.budget)
                if isMatch {
                    properties[index].parts.append(pattern.part)
                } else if !listed.contains(Array(properties[index].key.utf8)) {
                    throw ConstraintError(
                        .unsupported, "a required property is not listed", path: schema.path)
                }
            }
        }
        return properties
    }

    private mutating func keys(
        _ property: Schema.PatternProperty, path: String
    ) throws(ConstraintError) -> CharacterAutomaton {
        do {
            return try automaton(
                PatternParser.parse(property.pattern, isSearch: true, limits: builder.limits))
        } catch { throw error.at(path + "/patternProperties") }
    }

    /// The rule of a key with its value.
    private mutating func member(
        key: GrammarNode, parts: [SchemaPart]
    ) throws(ConstraintError) -> RuleID {
        let value = parts.isEmpty ? pieces.value : try rule(for: parts)
        return try builder.addRule(
            .sequence([key, pieces.space, mark(":"), .rule(value)]))
    }

    /// The rule of members that are not listed, or nil when there may be none.
    private mutating func otherMembers(
        _ schema: Schema, listed: [Schema.Property]
    ) throws(ConstraintError) -> RuleID? {
        let words = listed.map { $0.key.unicodeScalars.map(\.value) }
        if !schema.patternProperties.isEmpty {
            if let additional = schema.additional, additional.contains(where: { $0.node != false })
            {
                throw ConstraintError(
                    .unsupported,
                    "additionalProperties beside patternProperties can only be false",
                    path: schema.path)
            }
            return try patternMembers(schema, but: words)
        }
        if let additional = schema.additional {
            let isClosed = additional.contains { $0.node == false }
            if isClosed || options.disablesAdditionalProperties { return nil }
        } else if !listed.isEmpty {
            return nil
        }
        var key = GrammarNode.rule(pieces.string)
        if !words.isEmpty {
            let automaton = try CharacterAutomaton(allBut: words, budget: &builder.budget)
            key = quoted(.rule(try builder.addRule(.characters(automaton), form: .json)))
        }
        return try member(key: key, parts: schema.additional ?? [])
    }

    private mutating func patternMembers(
        _ schema: Schema, but words: [[UInt32]]
    ) throws(ConstraintError) -> RuleID {
        let free = try CharacterAutomaton(allBut: words, budget: &builder.budget)
        var automata: [CharacterAutomaton] = []
        var choices: [GrammarNode] = []
        for property in schema.patternProperties {
            let keys = try both(keys(property, path: schema.path), free)
            for other in automata where try !both(keys, other).isEmpty {
                throw ConstraintError(
                    .unsupported, "patterns of properties must not match the same key",
                    path: schema.path + "/patternProperties")
            }
            automata.append(keys)
            let key = quoted(.rule(try builder.addRule(.characters(keys), form: .json)))
            choices.append(.rule(try member(key: key, parts: [property.part])))
        }
        return try builder.addRule(.choice(choices))
    }

    /// The rule of objects with members in order, and others behind them.
    private mutating func chain(
        _ members: [Member], others: RuleID?, minimum: Int, maximum: Int?
    ) throws(ConstraintError) -> RuleID {
        var maximum = maximum
        if others == nil {
            if minimum > members.count { return try builder.addRule(.impossible) }
            if let most = maximum, most >= members.count { maximum = nil }
        }
        // How many members have come matters up to here.
        let counted = max(1, minimum, maximum ?? 0)
        guard counted <= builder.limits.states else {
            throw ConstraintError(.tooComplex, "the number of properties is too large")
        }
        let result = try builder.addRule()
        let rule = builder.rules[Int(result)]
        var states: [Int32] = []
        for _ in 0...counted { states.append(try builder.addState()) }
        try builder.add(mark("{"), from: rule.start, to: states[0])
        func link(_ member: RuleID, _ count: Int) -> GrammarNode {
            .sequence((count == 0 ? [] : [mark(",")]) + [.rule(member), pieces.space])
        }
        for member in members {
            var next: [Int32] = []
            for _ in 0...counted { next.append(try builder.addState()) }
            for count in 0...counted {
                if !member.isRequired {
                    try builder.addJump(from: states[count], to: next[count])
                }
                if let maximum, count >= maximum { continue }
                try builder.add(
                    link(member.rule, count), from: states[count], to: next[min(count + 1, counted)]
                )
            }
            states = next
        }
        for count in 0...counted {
            if count >= minimum { try builder.add(.text("}"), from: states[count], to: rule.end) }
            guard let others, maximum.map({ count < $0 }) ?? true else { continue }
            try builder.add(
                link(others, count), from: states[count], to: states[min(count + 1, counted)])
        }
        return result
    }
}

// SPDX-License-Identifier: Apache-2.0
// What one or several schemas ask for together.

import EftConfig

/// A schema as it stands in its document.
struct SchemaPart: Sendable {
    let node: ConfigNode
    /// Where it stands, such as `#/properties/age`.
    let path: String
}

/// The kinds of value that `type` names.
enum SchemaType: String, CaseIterable, Sendable {
    case null, boolean, integer, number, string, array, object
}

/// The conditions that a value has to satisfy, of one schema or of several at once.
struct Schema: Sendable {
    /// An end of a range of numbers.
    struct Bound: Sendable {
        let value: Decimal
        let isExclusive: Bool
    }

    /// A property and the schemas that its value satisfies, all of them.
    struct Property: Sendable {
        let key: String
        var parts: [SchemaPart]
    }

    /// Schemas for the properties whose keys match a pattern.
    struct PatternProperty: Sendable {
        let pattern: String
        let part: SchemaPart
    }

    /// Where the schema stands, for messages.
    let path: String
    /// Whether a schema `false` takes part.
    var isImpossible = false
    var types: [SchemaType]?
    /// The values of `enum` or `const`.
    var values: [ConfigNode]?

    var properties: [Property] = []
    var required: [String] = []
    /// The schemas of properties that are not listed; nil when nothing is said.
    var additional: [SchemaPart]?
    var patternProperties: [PatternProperty] = []
    var minimumProperties = 0
    var maximumProperties: Int?

    var prefix: [[SchemaPart]]?
    var items: [SchemaPart]?
    var minimumItems = 0
    var maximumItems: Int?

    var minimumLength = 0
    var maximumLength: Int?
    var patterns: [String] = []
    var formats: [String] = []

    var minimum: Bound?
    var maximum: Bound?

    /// Lists of which one schema each has to be satisfied.
    var alternatives: [[SchemaPart]] = []
    /// The kinds of value that some keyword is about.
    var concerned: Set<SchemaType> = []

    init(path: String) { self.path = path }

    // MARK: Several schemas

    /// Adds the conditions of another schema.
    /// - Throws: `ConstraintError` (`unsupported`) for what cannot be brought together; (`tooComplex`).
    mutating func add(
        _ other: Schema, budget: inout StepBudget
    ) throws(ConstraintError) {
        try budget.spend(
            properties.count * other.properties.count + required.count * other.required.count
                + (values?.count ?? 0) * (other.values?.count ?? 0) + other.properties.count)
        isImpossible = isImpossible || other.isImpossible
        addTypes(other.types)
        if let more = other.values {
            values =
                values.map { old in old.filter { one in more.contains { one.isSame(as: $0) } } }
                ?? more
        }
        try addProperties(other)
        try addItems(other)
        minimumLength = max(minimumLength, other.minimumLength)
        maximumLength = Self.lower(maximumLength, other.maximumLength)
        patterns += other.patterns.filter { !patterns.contains($0) }
        formats += other.formats.filter { !formats.contains($0) }
        addMinimum(other.minimum)
        addMaximum(other.maximum)
        alternatives += other.alternatives
        concerned.formUnion(other.concerned)
    }

    private mutating func addTypes(_ more: [SchemaType]?) {
        guard let more else { return }
        guard let old = types else {
            types = more
            return
        }
        types = SchemaType.allCases.filter { type in
            func has(_ list: [SchemaType]) -> Bool {
                list.contains(type) || type == .integer && list.contains(.number)
            }
            return has(old) && has(more)
        }
    }

    private mutating func addProperties(_ other: Schema) throws(ConstraintError) {
        if !other.patternProperties.isEmpty && !(properties.isEmpty && patternProperties.isEmpty)
            || !patternProperties.isEmpty && !other.properties.isEmpty
        {
            throw ConstraintError(
                .unsupported, "patternProperties cannot be joined with another schema",
                path: other.path)
        }
        var result: [Property] = []
        for var property in properties {
            if let same = other.properties.first(where: { $0.key.isSame(as: property.key) }) {
                property.parts += same.parts
            } else {
                property.parts += other.additional ?? []
            }
            result.append(property)
        }
        for var property in other.properties
        where !properties.contains(where: { $0.key.isSame(as: property.key) }) {
            property.parts += additional ?? []
            result.append(property)
        }
        properties = result
        required += other.required.filter { key in !required.contains { $0.isSame(as: key) } }
        if let more = other.additional { additional = (additional ?? []) + more }
        patternProperties += other.patternProperties
        minimumProperties = max(minimumProperties, other.minimumProperties)
        maximumProperties = Self.lower(maximumProperties, other.maximumProperties)
    }

    private mutating func addItems(_ other: Schema) throws(ConstraintError) {
        if prefix != nil || other.prefix != nil {
            let (left, right) = (prefix ?? [], other.prefix ?? [])
            prefix = (0..<max(left.count, right.count)).map { index in
                (index < left.count ? left[index] : items ?? [])
                    + (index < right.count ? right[index] : other.items ?? [])
            }
        }
        if let more = other.items { items = (items ?? []) + more }
        minimumItems = max(minimumItems, other.minimumItems)
        maximumItems = Self.lower(maximumItems, other.maximumItems)
    }

    mutating func addMinimum(_ bound: Bound?) {
        guard let bound else { return }
        guard let old = minimum, !(old.value < bound.value) else {
            minimum = bound
            return
        }
        if !(bound.value < old.value) && bound.isExclusive { minimum = bound }
    }

    mutating func addMaximum(_ bound: Bound?) {
        guard let bound else { return }
        guard let old = maximum, !(bound.value < old.value) else {
            maximum = bound
            return
        }
        if !(old.value < bound.value) && bound.isExclusive { maximum = bound }
    }

    private static func lower(_ a: Int?, _ b: Int?) -> Int? {
        guard let a, let b else { return a ?? b }
        return min(a, b)
    }
}

extension String {
    /// Whether two strings have the same bytes; `==` would hold for other spellings of a character too.
    func isSame(as other: String) -> Bool { utf8.elementsEqual(other.utf8) }
}

extension ConfigNode {
    /// Whether two values are equal in JSON, where 1 and 1.0 are.
    func isSame(as other: ConfigNode) -> Bool {
        if let number = Decimal(self), let other = Decimal(other) { return number == other }
        switch (value, other.value) {
        case (.array(let a), .array(let b)):
            return a.count == b.count && zip(a, b).allSatisfy { $0.isSame(as: $1) }
        case (.object(let a), .object(let b)):
            return a.count == b.count
                && a.entries.allSatisfy { b[$0.key].map($0.node.isSame) ?? false }
        default: return self == other
        }
    }
}

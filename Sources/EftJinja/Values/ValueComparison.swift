// SPDX-License-Identifier: Apache-2.0
// Truth, equality and order of values, as Python has them.

extension TemplateValue {
    /// Whether a condition holds for the value.
    package var isTrue: Bool {
        switch self {
        case .undefined, .null: false
        case .bool(let value): value
        case .integer(let value): value != 0
        case .real(let value): value != 0
        case .string(let text): !text.isEmpty
        case .list(let list), .tuple(let list): !list.items.isEmpty
        case .dictionary(let dictionary): dictionary.count > 0
        case .function, .method, .object: true
        }
    }

    /// The value as a number, when it is one; True is 1.
    var number: Number? {
        switch self {
        case .bool(let value): .integer(value ? 1 : 0)
        case .integer(let value): .integer(value)
        case .real(let value): .real(value)
        default: nil
        }
    }

    /// Whether two values are equal; the caller has paid for the smaller one's weight.
    func equals(_ other: TemplateValue) -> Bool {
        if let a = number, let b = other.number { return a.equals(b) }
        switch (self, other) {
        case (.undefined, .undefined), (.null, .null): return true
        case (.string(let a), .string(let b)): return sameBytes(a, b)
        case (.list(let a), .list(let b)), (.tuple(let a), .tuple(let b)):
            guard a.items.count == b.items.count else { return false }
            for (one, two) in zip(a.items, b.items) where !one.equals(two) { return false }
            return true
        case (.dictionary(let a), .dictionary(let b)):
            guard a.count == b.count else { return false }
            for (key, value) in a.entries {
                guard let found = try? b.value(of: key), found.equals(value) else { return false }
            }
            return true
        case (.function(let a), .function(let b)): return a == b
        case (.method(let a), .method(let b)): return a === b
        case (.object(let a), .object(let b)): return a == b
        default: return false
        }
    }

    /// Whether this value comes before another.
    /// - Throws: `TemplateError` (`type`) for values without an order, (`undefined`).
    func isLess(than other: TemplateValue) throws(TemplateError) -> Bool {
        if let a = number, let b = other.number { return a.isLess(than: b) }
        switch (self, other) {
        case (.undefined(let origin), _), (_, .undefined(let origin)):
            throw TemplateError(.undefined, origin.message)
        case (.string(let a), .string(let b)):
            return a.utf8.lexicographicallyPrecedes(b.utf8)
        case (.list(let a), .list(let b)), (.tuple(let a), .tuple(let b)):
            for (one, two) in zip(a.items, b.items) where !one.equals(two) {
                return try one.isLess(than: two)
            }
            return a.items.count < b.items.count
        default:
            throw TemplateError(
                .type, "values of types '\(typeName)' and '\(other.typeName)' have no order")
        }
    }
}

/// A number of either kind.
enum Number: Sendable {
    case integer(Int)
    case real(Double)

    /// The number as a real one.
    var real: Double {
        switch self {
        case .integer(let value): Double(value)
        case .real(let value): value
        }
    }

    /// The value of a template.
    var value: TemplateValue {
        switch self {
        case .integer(let value): .integer(value)
        case .real(let value): .real(value)
        }
    }

    func equals(_ other: Number) -> Bool {
        switch (self, other) {
        case (.integer(let a), .integer(let b)): a == b
        case (.real(let a), .real(let b)): a == b
        case (.integer(let a), .real(let b)), (.real(let b), .integer(let a)):
            Int(exactly: b) == a
        }
    }

    func isLess(than other: Number) -> Bool {
        switch (self, other) {
        case (.integer(let a), .integer(let b)): return a < b
        case (.real(let a), .real(let b)): return a < b
        case (.integer(let a), .real(let b)): return Double(a) < b
        case (.real(let a), .integer(let b)): return a < Double(b)
        }
    }
}

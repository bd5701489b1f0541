// SPDX-License-Identifier: Apache-2.0
// What expressions give.

extension Interpreter {
    /// The value of an expression.
    func evaluate(_ expression: Expression, _ scope: Scope) throws(TemplateError) -> TemplateValue {
        try charge(1)
        try enter()
        line = expression.line
        let value = try evaluated(expression, scope)
        leave()
        return value
    }

    private func evaluated(
        _ expression: Expression, _ scope: Scope
    ) throws(TemplateError) -> TemplateValue {
        switch expression.kind {
        case .constant(let value): return value
        case .name(let id): return value(of: id, scope)
        case .tuple(let parts): return try .tuple(try values(parts, scope))
        case .list(let parts): return try .list(try values(parts, scope))
        case .dictionary(let entries): return try dictionary(entries, scope)
        case .unary(let symbol, let operand):
            return try sign(symbol, try evaluate(operand, scope), line: expression.line)
        case .not(let operand): return .bool(!(try evaluate(operand, scope).isTrue))
        case .binary(let symbol, let left, let right):
            let (a, b) = (try evaluate(left, scope), try evaluate(right, scope))
            line = expression.line
            return try binary(symbol, a, b)
        case .concatenation(let parts): return try concatenation(parts, scope)
        case .and(let left, let right):
            let value = try evaluate(left, scope)
            return value.isTrue ? try evaluate(right, scope) : value
        case .or(let left, let right):
            let value = try evaluate(left, scope)
            return value.isTrue ? value : try evaluate(right, scope)
        case .comparison(let first, let rest): return try comparison(first, rest, scope)
        case .conditional(let test, let then, let otherwise):
            if try evaluate(test, scope).isTrue { return try evaluate(then, scope) }
            if let otherwise { return try evaluate(otherwise, scope) }
            return .undefined(.other("a condition without 'else' does not hold"))
        case .attribute(let operand, let name):
            let value = try evaluate(operand, scope)
            line = expression.line
            return try attribute(name, of: value)
        case .item(let operand, let index):
            let (value, key) = (try evaluate(operand, scope), try evaluate(index, scope))
            line = expression.line
            return try item(key, of: value)
        case .slice(let operand, let start, let stop, let step):
            return try slice(operand, start, stop, step, scope)
        case .call(let function, let arguments):
            return try call(function, arguments, scope, line: expression.line)
        case .filter(let operand, _, _):
            guard let operand else { return .undefined(.other("a filter has no value")) }
            return try evaluateFilter(expression, on: try evaluate(operand, scope), scope)
        case .test(let operand, let name, let given):
            let value = try evaluate(operand, scope)
            let arguments = try evaluate(given, scope)
            line = expression.line
            return .bool(try test(name, value, arguments))
        }
    }

    private func values(
        _ parts: [Expression], _ scope: Scope
    ) throws(TemplateError) -> [TemplateValue] {
        var result: [TemplateValue] = []
        result.reserveCapacity(parts.count)
        for part in parts { result.append(try evaluate(part, scope)) }
        try reserve(TemplateLimits.itemBytes, times: result.count)
        return result
    }

    private func dictionary(
        _ entries: [(key: Expression, value: Expression)], _ scope: Scope
    ) throws(TemplateError) -> TemplateValue {
        var result = TemplateDictionary()
        try reserve(TemplateLimits.entryBytes, times: entries.count)
        for (key, value) in entries {
            let (key, value) = (try evaluate(key, scope), try evaluate(value, scope))
            try charge(for: key)
            try result.set(key, value)
        }
        return .dictionary(result)
    }

    private func concatenation(
        _ parts: [Expression], _ scope: Scope
    ) throws(TemplateError) -> TemplateValue {
        var text = ""
        for part in parts {
            text += try printed(try evaluate(part, scope))
            guard text.utf8.count <= limits.valueBytes else { try reserve(.max); break }
        }
        return try made(text)
    }

    // MARK: Comparison

    private func comparison(
        _ first: Expression, _ rest: [(operation: Comparison, operand: Expression)], _ scope: Scope
    ) throws(TemplateError) -> TemplateValue {
        var left = try evaluate(first, scope)
        for (operation, operand) in rest {
            let right = try evaluate(operand, scope)
            line = first.line
            guard try compare(operation, left, right) else { return .bool(false) }
            left = right
        }
        return .bool(true)
    }

    /// Whether a comparison holds.
    func compare(
        _ operation: Comparison, _ a: TemplateValue, _ b: TemplateValue
    ) throws(TemplateError) -> Bool {
        switch operation {
        case .equal: return try areEqual(a, b)
        case .notEqual: return !(try areEqual(a, b))
        case .less: return try isLess(a, b)
        case .greater: return try isLess(b, a)
        case .lessOrEqual: return try isLessOrEqual(a, b)
        case .greaterOrEqual: return try isLessOrEqual(b, a)
        case .isIn: return try isIn(a, b)
        case .isNotIn: return !(try isIn(a, b))
        }
    }

    func areEqual(_ a: TemplateValue, _ b: TemplateValue) throws(TemplateError) -> Bool {
        try charge(min(a.weight, b.weight))
        return a.equals(b)
    }

    func isLess(_ a: TemplateValue, _ b: TemplateValue) throws(TemplateError) -> Bool {
        // Lists are compared anew on each level.
        let (work, overflows) = min(a.weight, b.weight)
            .multipliedReportingOverflow(by: min(a.height, b.height) + 1)
        try charge(overflows ? .max : work)
        return try a.isLess(than: b)
    }

    private func isLessOrEqual(
        _ a: TemplateValue, _ b: TemplateValue
    ) throws(TemplateError) -> Bool {
        let isLess = try isLess(a, b)
        if isLess { return true }
        return try areEqual(a, b)
    }

    /// Whether a value is an item of a list, a key of a mapping or a part of a text.
    func isIn(_ value: TemplateValue, _ container: TemplateValue) throws(TemplateError) -> Bool {
        switch container {
        case .list(let list), .tuple(let list):
            for item in list.items where try areEqual(value, item) { return true }
            return false
        case .dictionary(let dictionary):
            try charge(for: value)
            return try dictionary.value(of: value).map { _ in true } ?? false
        case .string(let text):
            guard let part = value.text else {
                throw TemplateError(
                    .type, "only a text can be in a text, not a value of type '\(value.typeName)'")
            }
            try charge((text.utf8.count + part.utf8.count) / 8)
            return ByteSearch.first(of: part, in: text) != nil
        case .undefined: return false
        default:
            throw TemplateError(
                .type, "nothing can be in a value of type '\(container.typeName)'")
        }
    }
}

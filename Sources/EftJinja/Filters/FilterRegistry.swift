// SPDX-License-Identifier: Apache-2.0
// The filters that stand behind `|`.

/// A filter: what becomes of a value.
typealias ValueFilter =
    @Sendable (Interpreter, TemplateValue, CallArguments) throws(TemplateError) -> TemplateValue

/// Filters by their names.
enum FilterRegistry {
    static let all: [String: ValueFilter] = {
        let families = [
            TextFilters.all, WrittenFilters.all, NumberFilters.all, SequenceFilters.all,
            OrderFilters.all, SelectionFilters.all, ["tojson": JSONFilter.tojson],
        ]
        return families.reduce(into: [:]) { $0.merge($1) { first, _ in first } }
    }()
}

extension Interpreter {
    /// What a filter gives.
    func applyFilter(
        _ name: String, to value: TemplateValue, _ arguments: CallArguments
    ) throws(TemplateError) -> TemplateValue {
        guard let filter = FilterRegistry.all[name] else {
            throw TemplateError(.unsupported, "there is no filter '\(name.prefix(40))'", line: line)
        }
        try charge(forText: value)
        return try filter(self, value, arguments)
    }

    /// What a chain of filters gives for a value that stands in front of it.
    func evaluateFilter(
        _ expression: Expression, on value: TemplateValue, _ scope: Scope
    ) throws(TemplateError) -> TemplateValue {
        guard case .filter(let inner, let name, let given) = expression.kind else { return value }
        var input = value
        // In a chain behind a block the innermost filter comes first.
        if let inner, case .filter = inner.kind, inner.isBlockFilter {
            input = try nested { () throws(TemplateError) in
                try evaluateFilter(inner, on: value, scope)
            }
        }
        let arguments = try evaluate(given, scope)
        line = expression.line
        return try applyFilter(name, to: input, arguments)
    }

    /// A value reached through a path of names and numbers with dots between them.
    func value(
        at path: TemplateValue, in item: TemplateValue, default standard: TemplateValue? = nil
    ) throws(TemplateError) -> TemplateValue {
        guard let path = path.text else { return try self.item(path, of: item) }
        var result = item
        for part in path.split(separator: ".", omittingEmptySubsequences: false) {
            let key =
                part.allSatisfy(\.isNumber) ? Int(part).map { TemplateValue.integer($0) } : nil
            result = try self.item(key ?? .string(String(part)), of: result)
            if result.isUndefined, let standard { result = standard }
        }
        return result
    }
}

extension Expression {
    /// Whether this chain of filters stands behind a block and not behind a value.
    fileprivate var isBlockFilter: Bool {
        var here = self
        while case .filter(let inner, _, _) = here.kind {
            guard let inner else { return true }
            here = inner
        }
        return false
    }
}

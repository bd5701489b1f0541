// SPDX-License-Identifier: Apache-2.0
// Filters that compare the items of a list.

/// Filters for order and difference.
enum OrderFilters {
    static let all: [String: ValueFilter] = [
        "sort": sort, "dictsort": dictsort, "unique": unique, "groupby": groupby,
        "min": extreme("min", largest: false), "max": extreme("max", largest: true),
    ]

    /// An item with what it is compared by.
    private struct Keyed {
        let key: TemplateValue
        let item: TemplateValue
    }

    /// What an item is compared by: itself or what lies at a path in it, without case unless asked.
    private static func key(
        _ item: TemplateValue, path: TemplateValue?, isCaseSensitive: Bool,
        default standard: TemplateValue? = nil, _ interpreter: Interpreter
    ) throws(TemplateError) -> TemplateValue {
        var key = item
        if let path, !path.isNone {
            key = try interpreter.value(at: path, in: item, default: standard)
        }
        if let text = key.text, !isCaseSensitive {
            return try interpreter.made(PythonText.lower(text))
        }
        return key
    }

    /// Sorts by keys, stable; equal ones keep their order also when reversed.
    private static func sorted(
        _ items: [Keyed], reversed: Bool, _ interpreter: Interpreter
    ) throws(TemplateError) -> [TemplateValue] {
        var runs = items.map { [$0] }
        while runs.count > 1 {
            var merged: [[Keyed]] = []
            var place = 0
            while place < runs.count {
                if place + 1 < runs.count {
                    merged.append(
                        try merge(runs[place], runs[place + 1], reversed, interpreter))
                } else {
                    merged.append(runs[place])
                }
                place += 2
            }
            runs = merged
        }
        return runs.first?.map(\.item) ?? []
    }

    private static func merge(
        _ a: [Keyed], _ b: [Keyed], _ reversed: Bool, _ interpreter: Interpreter
    ) throws(TemplateError) -> [Keyed] {
        var result: [Keyed] = []
        result.reserveCapacity(a.count + b.count)
        var (i, j) = (0, 0)
        while i < a.count, j < b.count {
            let takesSecond =
                try reversed
                ? interpreter.isLess(a[i].key, b[j].key) : interpreter.isLess(b[j].key, a[i].key)
            if takesSecond {
                result.append(b[j])
                j += 1
            } else {
                result.append(a[i])
                i += 1
            }
        }
        return result + a[i...] + b[j...]
    }

    @Sendable private static func sort(
        _ interpreter: Interpreter, _ value: TemplateValue, _ given: CallArguments
    ) throws(TemplateError) -> TemplateValue {
        let arguments = try given.bound(
            to: ["reverse", "case_sensitive", "attribute"], of: "sort")
        let isCaseSensitive = arguments.flag(1, default: false)
        var keyed: [Keyed] = []
        for item in try interpreter.items(of: value) {
            // In a list equal things are passed over, also those that have no order.
            var parts: [TemplateValue] = []
            for path in paths(arguments[2]) {
                parts.append(
                    try key(item, path: path, isCaseSensitive: isCaseSensitive, interpreter))
            }
            keyed.append(Keyed(key: try .tuple(parts), item: item))
        }
        return try interpreter.made(
            try sorted(keyed, reversed: arguments.flag(0, default: false), interpreter))
    }

    /// The paths in a text with commas between them.
    private static func paths(_ attribute: TemplateValue?) -> [TemplateValue?] {
        guard let text = attribute?.text else { return [attribute] }
        return text.split(separator: ",").map { .string(String($0)) }
    }

    @Sendable private static func dictsort(
        _ interpreter: Interpreter, _ value: TemplateValue, _ given: CallArguments
    ) throws(TemplateError) -> TemplateValue {
        let arguments = try given.bound(to: ["case_sensitive", "by", "reverse"], of: "dictsort")
        let by = try arguments.text(1) ?? "key"
        guard by == "key" || by == "value" else {
            throw TemplateError(.value, "'dictsort' sorts by 'key' or by 'value'")
        }
        guard case .dictionary(let dictionary) = value else {
            throw TemplateError(.type, "'dictsort' needs a mapping")
        }
        var keyed: [Keyed] = []
        for (key, value) in dictionary.entries {
            let compared = try self.key(
                by == "key" ? key : value, path: nil,
                isCaseSensitive: arguments.flag(0, default: false), interpreter)
            keyed.append(Keyed(key: compared, item: try .tuple([key, value])))
        }
        return try interpreter.made(
            try sorted(keyed, reversed: arguments.flag(2, default: false), interpreter))
    }

    @Sendable private static func unique(
        _ interpreter: Interpreter, _ value: TemplateValue, _ given: CallArguments
    ) throws(TemplateError) -> TemplateValue {
        let arguments = try given.bound(to: ["case_sensitive", "attribute"], of: "unique")
        var seen: Set<DictionaryKey> = []
        var result: [TemplateValue] = []
        for item in try interpreter.items(of: value) {
            let key = try self.key(
                item, path: arguments[1], isCaseSensitive: arguments.flag(0, default: false),
                interpreter)
            try interpreter.charge(for: key)
            if seen.insert(try DictionaryKey(key)).inserted { result.append(item) }
        }
        return try interpreter.made(result)
    }

    private static func extreme(_ name: String, largest: Bool) -> ValueFilter {
        { interpreter, value, given throws(TemplateError) in
            let arguments = try given.bound(to: ["case_sensitive", "attribute"], of: name)
            var best: Keyed?
            for item in try interpreter.items(of: value) {
                let key = try self.key(
                    item, path: arguments[1],
                    isCaseSensitive: arguments.flag(0, default: false), interpreter)
                guard let current = best else {
                    best = Keyed(key: key, item: item)
                    continue
                }
                let isBetter =
                    try largest
                    ? interpreter.isLess(current.key, key) : interpreter.isLess(key, current.key)
                if isBetter { best = Keyed(key: key, item: item) }
            }
            return best?.item ?? .undefined(.other("no aggregated item, the sequence was empty"))
        }
    }

    @Sendable private static func groupby(
        _ interpreter: Interpreter, _ value: TemplateValue, _ given: CallArguments
    ) throws(TemplateError) -> TemplateValue {
        let arguments = try given.bound(
            to: ["attribute", "default", "case_sensitive"], of: "groupby")
        let path = try arguments.required(0)
        let isCaseSensitive = arguments.flag(2, default: false)
        var keyed: [Keyed] = []
        for item in try interpreter.items(of: value) {
            let key = try self.key(
                item, path: path, isCaseSensitive: isCaseSensitive, default: arguments[1],
                interpreter)
            keyed.append(Keyed(key: key, item: try .tuple([key, item])))
        }
        var groups: [(key: TemplateValue, items: [TemplateValue])] = []
        for pair in try sorted(keyed, reversed: false, interpreter) {
            guard let parts = pair.items, parts.count == 2 else { continue }
            if let last = groups.last, try interpreter.areEqual(last.key, parts[0]) {
                groups[groups.count - 1].items.append(parts[1])
            } else {
                groups.append((parts[0], [parts[1]]))
            }
        }
        var result: [TemplateValue] = []
        for group in groups {
            // The name shown is the first item's own, in its own case.
            let shown = try interpreter.value(
                at: path, in: group.items[0], default: arguments[1])
            result.append(try .tuple([shown, try interpreter.made(group.items)]))
        }
        return try interpreter.made(result)
    }
}

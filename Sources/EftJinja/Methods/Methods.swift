// SPDX-License-Identifier: Apache-2.0
// Methods of texts, lists and mappings.

/// A method of a value.
typealias Method =
    @Sendable (TemplateValue, CallArguments, Interpreter) throws(TemplateError) -> TemplateValue

/// Methods by the kind of value that has them.
enum Methods {
    /// Those that would change a value, which no template may.
    private static let changingList: Set<String> = [
        "append", "clear", "extend", "insert", "pop", "remove", "reverse", "sort",
    ]
    private static let changingDictionary: Set<String> = [
        "clear", "pop", "popitem", "setdefault", "update",
    ]

    /// Whether a value has a method of this name.
    static func has(_ name: String, _ value: TemplateValue) -> Bool {
        switch value {
        case .string: StringMethods.all[name] != nil
        case .list: ListMethods.all[name] != nil || changingList.contains(name)
        case .tuple: name != "copy" && ListMethods.all[name] != nil
        case .dictionary:
            DictionaryMethods.all[name] != nil || changingDictionary.contains(name)
        default: false
        }
    }

    /// What a method gives.
    /// - Throws: `TemplateError` (`forbidden`) for methods that would change the value.
    static func call(
        _ name: String, _ receiver: TemplateValue, _ arguments: CallArguments,
        _ interpreter: Interpreter
    ) throws(TemplateError) -> TemplateValue {
        let method: Method? =
            switch receiver {
            case .string: StringMethods.all[name]
            case .list, .tuple: ListMethods.all[name]
            case .dictionary: DictionaryMethods.all[name]
            default: nil
            }
        guard let method else {
            throw TemplateError(
                .forbidden, "'\(name)' would change a value of type '\(receiver.typeName)'")
        }
        try interpreter.charge(forText: receiver)
        return try method(receiver, arguments, interpreter)
    }
}

/// Methods of lists and tuples.
enum ListMethods {
    static let all: [String: Method] = ["count": count, "index": index, "copy": copy]

    @Sendable private static func count(
        _ value: TemplateValue, _ given: CallArguments, _ interpreter: Interpreter
    ) throws(TemplateError) -> TemplateValue {
        let wanted = try given.bound(to: ["value"], of: "count").required(0)
        var count = 0
        for item in value.items ?? [] where try interpreter.areEqual(item, wanted) { count += 1 }
        return .integer(count)
    }

    @Sendable private static func index(
        _ value: TemplateValue, _ given: CallArguments, _ interpreter: Interpreter
    ) throws(TemplateError) -> TemplateValue {
        let wanted = try given.bound(to: ["value"], of: "index").required(0)
        for (place, item) in (value.items ?? []).enumerated()
        where try interpreter.areEqual(item, wanted) {
            return .integer(place)
        }
        throw TemplateError(.value, "the list does not hold the value")
    }

    @Sendable private static func copy(
        _ value: TemplateValue, _ given: CallArguments, _ interpreter: Interpreter
    ) throws(TemplateError) -> TemplateValue {
        _ = try given.bound(to: [], of: "copy")
        return value
    }
}

/// Methods of mappings.
enum DictionaryMethods {
    static let all: [String: Method] = [
        "get": get, "items": items, "keys": keys, "values": values, "copy": copy,
    ]

    private static func entries(
        _ value: TemplateValue, _ interpreter: Interpreter
    ) throws(TemplateError) -> [(key: TemplateValue, value: TemplateValue)] {
        guard case .dictionary(let dictionary) = value else { return [] }
        try interpreter.reserve(TemplateLimits.entryBytes, times: dictionary.count)
        return dictionary.entries
    }

    @Sendable private static func get(
        _ value: TemplateValue, _ given: CallArguments, _ interpreter: Interpreter
    ) throws(TemplateError) -> TemplateValue {
        let arguments = try given.bound(to: ["key", "default"], of: "get")
        guard case .dictionary(let dictionary) = value else { return .null }
        let key = try arguments.required(0)
        try interpreter.charge(for: key)
        if let found = try dictionary.value(of: key) { return found }
        return arguments[1] ?? .null
    }

    @Sendable private static func items(
        _ value: TemplateValue, _ given: CallArguments, _ interpreter: Interpreter
    ) throws(TemplateError) -> TemplateValue {
        _ = try given.bound(to: [], of: "items")
        return try pairs(value, interpreter)
    }

    /// The entries as pairs of key and value.
    static func pairs(
        _ value: TemplateValue, _ interpreter: Interpreter
    ) throws(TemplateError) -> TemplateValue {
        var pairs: [TemplateValue] = []
        for (key, value) in try entries(value, interpreter) {
            pairs.append(try .tuple([key, value]))
        }
        return try .list(pairs)
    }

    @Sendable private static func keys(
        _ value: TemplateValue, _ given: CallArguments, _ interpreter: Interpreter
    ) throws(TemplateError) -> TemplateValue {
        _ = try given.bound(to: [], of: "keys")
        return try .list(try entries(value, interpreter).map(\.key))
    }

    @Sendable private static func values(
        _ value: TemplateValue, _ given: CallArguments, _ interpreter: Interpreter
    ) throws(TemplateError) -> TemplateValue {
        _ = try given.bound(to: [], of: "values")
        return try .list(try entries(value, interpreter).map(\.value))
    }

    @Sendable private static func copy(
        _ value: TemplateValue, _ given: CallArguments, _ interpreter: Interpreter
    ) throws(TemplateError) -> TemplateValue {
        _ = try given.bound(to: [], of: "copy")
        return value
    }
}

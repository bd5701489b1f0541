// SPDX-License-Identifier: Apache-2.0
// Typed reading of a document, with the path of keys and the line in every error.

/// A place in a YAML or JSON document, from which values are read by key with the type that the
/// caller expects.
///
/// An explicit null counts as absent everywhere, as the field's tools read it.
package struct ConfigCursor: Sendable {
    /// The last step on the way here; the path is written only when an error needs it.
    private enum Step: Sendable {
        case none
        case key(String)
        case index(Int)
    }

    /// The value here.
    package let node: ConfigNode
    /// The file that the document came from.
    package let file: String?
    private let parentPath: String
    private let step: Step

    /// Makes a cursor at the top of a document.
    package init(_ node: ConfigNode, file: String? = nil, keyPath: String = "") {
        self.init(node, file: file, parentPath: keyPath, step: .none)
    }

    private init(_ node: ConfigNode, file: String?, parentPath: String, step: Step) {
        self.node = node
        self.file = file
        self.parentPath = parentPath
        self.step = step
    }

    /// The path of keys that led here, such as `datasets[0].path`.
    package var keyPath: String {
        switch step {
        case .none: parentPath
        case .key(let key): parentPath.isEmpty ? key : "\(parentPath).\(key)"
        case .index(let index): "\(parentPath)[\(index)]"
        }
    }

    /// An error at this place.
    package func error(_ code: ConfigError.Code, _ message: String) -> ConfigError {
        ConfigError(
            code, message, file: file, keyPath: keyPath, line: node.line > 0 ? node.line : nil)
    }

    private func wrongType(_ expected: String) -> ConfigError {
        let found =
            switch node.value {
            case .bool(let value): "\(value)"
            case .integer(let value): "\(value)"
            case .real(let value): "\(value)"
            case .string(let value): "the string '\(excerpt(value, limit: 40))'"
            default: node.kindName
            }
        return error(.wrongType, "expected \(expected), found \(found)")
    }

    // MARK: Children

    /// The value of `key`, or nil when it is absent or null.
    /// - Throws: `ConfigError` when this is not a mapping.
    package func optional(_ key: String) throws(ConfigError) -> ConfigCursor? {
        guard let child = try object()[key] else { return nil }
        if case .null = child.value { return nil }
        return ConfigCursor(child, file: file, parentPath: keyPath, step: .key(key))
    }

    /// The value of `key`.
    /// - Throws: `ConfigError` when it is absent or null, or this is not a mapping.
    package func required(_ key: String) throws(ConfigError) -> ConfigCursor {
        guard let child = try optional(key) else {
            throw error(.missingKey, "the key '\(key)' is missing")
        }
        return child
    }

    /// The elements of a list.
    /// - Throws: `ConfigError` when this is not a list.
    package func elements() throws(ConfigError) -> [ConfigCursor] {
        guard case .array(let items) = node.value else { throw wrongType("a list") }
        let path = keyPath
        return items.enumerated().map { index, item in
            ConfigCursor(item, file: file, parentPath: path, step: .index(index))
        }
    }

    /// The mapping here.
    /// - Throws: `ConfigError` when this is not a mapping.
    package func object() throws(ConfigError) -> ConfigObject {
        guard case .object(let object) = node.value else { throw wrongType("a mapping") }
        return object
    }

    /// The entries of a mapping in document order, nulls left out.
    /// - Throws: `ConfigError` when this is not a mapping.
    package func entries() throws(ConfigError) -> [(key: String, cursor: ConfigCursor)] {
        let path = keyPath
        return try object().entries.compactMap { key, child in
            if case .null = child.value { return nil }
            return (key, ConfigCursor(child, file: file, parentPath: path, step: .key(key)))
        }
    }

    /// A complaint for each key of this mapping that is not among `known`, with the nearest known
    /// key if any is near.
    /// - Returns: errors to be thrown or shown as warnings, in document order.
    /// - Throws: `ConfigError` when this is not a mapping.
    package func unknownKeys(known: [String]) throws(ConfigError) -> [ConfigError] {
        let object = try object()
        let set = Set(known)
        let path = keyPath
        return object.entries.compactMap { key, _ in
            guard !set.contains(key) else { return nil }
            let near = closestMatch(key, in: known).map { "; did you mean '\($0)'?" } ?? ""
            return ConfigError(
                .badValue, "unknown key '\(excerpt(key))'\(near)", file: file, keyPath: path,
                line: object.line(ofKey: key))
        }
    }

    // MARK: Scalars

    /// A truth value.
    /// - Throws: `ConfigError` when it is something else.
    package func bool() throws(ConfigError) -> Bool {
        guard case .bool(let value) = node.value else { throw wrongType("true or false") }
        return value
    }

    /// An integer; a real number without fraction counts as one.
    /// - Throws: `ConfigError` when it is something else, or outside `range`.
    package func int(in range: ClosedRange<Int> = Int.min...Int.max) throws(ConfigError) -> Int {
        let value: Int
        switch node.value {
        case .integer(let integer): value = integer
        case .real(let real):
            guard let exact = Int(exactly: real) else { throw wrongType("an integer") }
            value = exact
        default: throw wrongType("an integer")
        }
        guard range.contains(value) else {
            throw error(.badValue, "expected an integer \(describe(range)), found \(value)")
        }
        return value
    }

    /// A finite number.
    /// - Throws: `ConfigError` when it is something else, or outside `range`.
    package func double(
        in range: ClosedRange<Double> = -.greatestFiniteMagnitude ... .greatestFiniteMagnitude
    ) throws(ConfigError) -> Double {
        let value: Double
        switch node.value {
        case .integer(let integer): value = Double(integer)
        case .real(let real) where real.isFinite: value = real
        default: throw wrongType("a number")
        }
        guard range.contains(value) else {
            throw error(.badValue, "expected a number \(describe(range)), found \(value)")
        }
        return value
    }

    /// A string.
    /// - Throws: `ConfigError` when it is something else.
    package func string() throws(ConfigError) -> String {
        guard case .string(let value) = node.value else { throw wrongType("a string") }
        return value
    }

    private func describe(_ range: ClosedRange<Int>) -> String {
        if range.upperBound == .max { return "of at least \(range.lowerBound)" }
        if range.lowerBound == .min { return "of at most \(range.upperBound)" }
        return "from \(range.lowerBound) to \(range.upperBound)"
    }

    private func describe(_ range: ClosedRange<Double>) -> String {
        if range.upperBound == .greatestFiniteMagnitude { return "of at least \(range.lowerBound)" }
        if range.lowerBound == -.greatestFiniteMagnitude {
            return "of at most \(range.upperBound)"
        }
        return "from \(range.lowerBound) to \(range.upperBound)"
    }
}

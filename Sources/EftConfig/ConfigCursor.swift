// SPDX-License-Identifier: Apache-2.0
// Typed reading of a document, with the path of keys and the line in every error.

/// A place in a YAML or JSON document, from which values are read by key with the type that the caller expects.
///
/// An explicit null counts as absent everywhere, as the field's tools read it.
package struct ConfigCursor: Sendable {
    /// The value here.
    package let node: ConfigNode
    /// The path of keys that led here.
    package let keyPath: String
    /// The file that the document came from.
    package let file: String?

    /// Makes a cursor at the top of a document.
    package init(_ node: ConfigNode, file: String? = nil, keyPath: String = "") {
        self.node = node
        self.file = file
        self.keyPath = keyPath
    }

    /// An error at this place.
    package func error(_ code: ConfigError.Code, _ message: String) -> ConfigError {
        ConfigError(
            code, message, file: file, keyPath: keyPath, line: node.line > 0 ? node.line : nil)
    }

    private func wrongType(_ expected: String) -> ConfigError {
        error(.wrongType, "expected \(expected), found \(node.kindName)")
    }

    // MARK: Children

    /// The value of `key`, or nil when it is absent or null.
    /// - Throws: `ConfigError` when this is not a mapping.
    package func optional(_ key: String) throws(ConfigError) -> ConfigCursor? {
        guard let child = try object()[key] else { return nil }
        if case .null = child.value { return nil }
        return ConfigCursor(
            child, file: file, keyPath: keyPath.isEmpty ? key : "\(keyPath).\(key)")
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
        return items.enumerated().map { index, item in
            ConfigCursor(item, file: file, keyPath: "\(keyPath)[\(index)]")
        }
    }

    /// The mapping here.
    /// - Throws: `ConfigError` when this is not a mapping.
    package func object() throws(ConfigError) -> ConfigObject {
        guard case .object(let object) = node.value else { throw wrongType("a mapping") }
        return object
    }

    // MARK: Scalars

    /// A truth value.
    /// - Throws: `ConfigError` when it is something else.
    package func bool() throws(ConfigError) -> Bool {
        guard case .bool(let value) = node.value else { throw wrongType("true or false") }
        return value
    }

    /// An integer; a real number without fraction counts as one.
    /// - Throws: `ConfigError` when it is something else.
    package func int() throws(ConfigError) -> Int {
        switch node.value {
        case .integer(let value): return value
        case .real(let value):
            if let exact = Int(exactly: value) { return exact }
            throw wrongType("an integer")
        default: throw wrongType("an integer")
        }
    }

    /// A finite number.
    /// - Throws: `ConfigError` when it is something else.
    package func double() throws(ConfigError) -> Double {
        switch node.value {
        case .integer(let value): return Double(value)
        case .real(let value) where value.isFinite: return value
        default: throw wrongType("a number")
        }
    }

    /// A string.
    /// - Throws: `ConfigError` when it is something else.
    package func string() throws(ConfigError) -> String {
        guard case .string(let value) = node.value else { throw wrongType("a string") }
        return value
    }

    // MARK: Scalars by key, with defaults

    /// The truth value at `key`, or `fallback` when absent.
    package func bool(_ key: String, default fallback: Bool) throws(ConfigError) -> Bool {
        try optional(key)?.bool() ?? fallback
    }

    /// The integer at `key`, or `fallback` when absent.
    package func int(_ key: String, default fallback: Int) throws(ConfigError) -> Int {
        try optional(key)?.int() ?? fallback
    }

    /// The number at `key`, or `fallback` when absent.
    package func double(_ key: String, default fallback: Double) throws(ConfigError) -> Double {
        try optional(key)?.double() ?? fallback
    }

    /// The string at `key`, or `fallback` when absent.
    package func string(_ key: String, default fallback: String) throws(ConfigError) -> String {
        try optional(key)?.string() ?? fallback
    }
}

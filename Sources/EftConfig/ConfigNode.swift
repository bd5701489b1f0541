// SPDX-License-Identifier: Apache-2.0
// A parsed YAML or JSON value that remembers its line.

/// A value of a YAML or JSON document, with the line where it begins.
package struct ConfigNode: Sendable {
    /// The value itself.
    package indirect enum Value: Sendable {
        case null
        case bool(Bool)
        case integer(Int)
        case real(Double)
        case string(String)
        case array([ConfigNode])
        case object(ConfigObject)
    }

    /// The value.
    package let value: Value
    /// The line in the document, counted from 1; 0 for values made by the program.
    package let line: Int

    /// Makes a node.
    package init(_ value: Value, line: Int = 0) {
        self.value = value
        self.line = line
    }

    /// The word for this kind of value in messages.
    package var kindName: String {
        switch value {
        case .null: "nothing"
        case .bool: "a truth value"
        case .integer: "an integer"
        case .real: "a number"
        case .string: "a string"
        case .array: "a list"
        case .object: "a mapping"
        }
    }
}

/// The entries of a mapping, in the order of the document; keys are unique.
package struct ConfigObject: Sendable {
    /// Keys in document order.
    package private(set) var keys: [String] = []
    private var values: [String: ConfigNode] = [:]

    /// Makes an empty mapping.
    package init() {}

    /// The value of a key; setting an existing key keeps its place, setting nil removes it.
    package subscript(key: String) -> ConfigNode? {
        get { values[key] }
        set {
            if let newValue {
                if values.updateValue(newValue, forKey: key) == nil { keys.append(key) }
            } else if values.removeValue(forKey: key) != nil {
                keys.removeAll { $0 == key }
            }
        }
    }

    /// Number of entries.
    package var count: Int { keys.count }

    /// Entries in document order.
    package var entries: [(key: String, node: ConfigNode)] {
        keys.compactMap { key in values[key].map { (key, $0) } }
    }
}

// SPDX-License-Identifier: Apache-2.0
// A parsed YAML or JSON value that remembers its line.

/// A value of a YAML or JSON document, with the line where it begins.
package struct ConfigNode: Sendable {
    /// The value itself.
    package enum Content: Sendable {
        case null
        case bool(Bool)
        case integer(Int)
        case real(Double)
        case string(String)
        case array([ConfigNode])
        case object(ConfigObject)
    }

    /// The value.
    package let value: Content
    /// The line in the document, counted from 1; 0 for values made by the program.
    package let line: Int

    /// Makes a node.
    package init(_ value: Content, line: Int = 0) {
        self.value = value
        self.line = line
    }

    /// The value of an integer or a number; nil for anything else.
    package var number: Double? {
        switch value {
        case .integer(let value): Double(value)
        case .real(let value): value
        default: nil
        }
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

// MARK: - Equality

/// Nodes are equal when their contents are: lines and the order of keys do not count, kinds of
/// number do.
extension ConfigNode: Equatable {
    package static func == (a: ConfigNode, b: ConfigNode) -> Bool { a.value == b.value }
}

extension ConfigNode.Content: Equatable {
    package static func == (a: ConfigNode.Content, b: ConfigNode.Content) -> Bool {
        switch (a, b) {
        case (.null, .null): true
        case (.bool(let a), .bool(let b)): a == b
        case (.integer(let a), .integer(let b)): a == b
        case (.real(let a), .real(let b)): a == b
        case (.string(let a), .string(let b)): a.utf8.elementsEqual(b.utf8)
        case (.array(let a), .array(let b)): a == b
        case (.object(let a), .object(let b)): a == b
        default: false
        }
    }
}

extension ConfigObject: Equatable {
    package static func == (a: ConfigObject, b: ConfigObject) -> Bool {
        a.count == b.count && a.entries.allSatisfy { b[$0.key] == $0.node }
    }
}

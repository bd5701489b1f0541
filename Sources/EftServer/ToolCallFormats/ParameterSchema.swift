// SPDX-License-Identifier: Apache-2.0
// What the schema of a tool says of its parameters.

import EftConfig

/// Kinds of JSON values.
struct ParameterKinds: OptionSet, Sendable {
    let rawValue: Int

    static let string = ParameterKinds(rawValue: 1)
    static let integer = ParameterKinds(rawValue: 2)
    static let number = ParameterKinds(rawValue: 4)
    static let boolean = ParameterKinds(rawValue: 8)
    static let null = ParameterKinds(rawValue: 16)
    static let object = ParameterKinds(rawValue: 32)
    static let array = ParameterKinds(rawValue: 64)

    /// Whether nothing but a text is meant; so it is when nothing is said.
    var isText: Bool { isEmpty || self == .string }

    init(rawValue: Int) { self.rawValue = rawValue }

    /// The kind that a schema calls by a name.
    init(named name: String) {
        self =
            switch name {
            case "string", "str", "text": .string
            case "integer", "int": .integer
            case "number", "float": .number
            case "boolean", "bool": .boolean
            case "null": .null
            case "object", "dict": .object
            case "array", "list": .array
            default: []
            }
    }
}

/// The parameters of a tool.
struct ParameterSchema: Sendable {
    private static let maximumDepth = 8

    private let root: ConfigObject
    private let properties: ConfigObject
    /// The parameters that must be given.
    let required: Set<String>

    /// Reads a schema; what is no schema has no parameters.
    init(_ schema: ConfigNode?) {
        root = Self.object(schema) ?? ConfigObject()
        properties = Self.object(root["properties"]) ?? ConfigObject()
        required = Set(Self.strings(root["required"]))
    }

    /// Parameters in the order of the schema.
    var names: [String] { properties.keys }

    /// The kinds of value that a parameter may have; empty when nothing is said.
    func kinds(of name: String) -> ParameterKinds { kinds(properties[name], depth: 0) }

    /// The texts of which a parameter has one, when they are listed.
    func choices(of name: String) -> [String]? {
        guard let schema = Self.object(properties[name]) else { return nil }
        let texts = Self.strings(schema["enum"])
        return texts.isEmpty ? nil : texts
    }

    /// A parameter's schema with the definitions that it may refer to.
    func standalone(_ name: String) -> ConfigNode {
        guard var schema = Self.object(properties[name]) else {
            return properties[name] ?? ConfigNode(ConfigObject())
        }
        for key in ["$defs", "definitions"] where schema[key] == nil { schema[key] = root[key] }
        return ConfigNode(schema)
    }

    private func kinds(_ node: ConfigNode?, depth: Int) -> ParameterKinds {
        guard depth < Self.maximumDepth, let schema = Self.object(node) else { return [] }
        var kinds: ParameterKinds = []
        switch schema["type"]?.value {
        case .string(let name)?: kinds.formUnion(ParameterKinds(named: name))
        case .array?:
            for name in Self.strings(schema["type"]) {
                kinds.formUnion(ParameterKinds(named: name))
            }
        default: break
        }
        for key in ["anyOf", "oneOf", "allOf"] {
            guard case .array(let parts)? = schema[key]?.value else { continue }
            for part in parts { kinds.formUnion(self.kinds(part, depth: depth + 1)) }
        }
        if case .string(let target)? = schema["$ref"]?.value {
            kinds.formUnion(self.kinds(definition(target), depth: depth + 1))
        }
        if kinds.isEmpty, case .array(let values)? = schema["enum"]?.value {
            for value in values { kinds.formUnion(Self.kind(of: value)) }
        }
        if kinds.isEmpty, let value = schema["const"] { kinds = Self.kind(of: value) }
        if !kinds.isEmpty, schema["nullable"] == true { kinds.insert(.null) }
        return kinds
    }

    private func definition(_ target: String) -> ConfigNode? {
        for key in ["$defs", "definitions"] where target.hasPrefix("#/\(key)/") {
            return Self.object(root[key])?[String(target.dropFirst(key.count + 3))]
        }
        return nil
    }

    private static func kind(of value: ConfigNode) -> ParameterKinds {
        switch value.value {
        case .null: .null
        case .bool: .boolean
        case .integer: .integer
        case .real: .number
        case .string: .string
        case .array: .array
        case .object: .object
        }
    }

    private static func object(_ node: ConfigNode?) -> ConfigObject? {
        guard case .object(let object)? = node?.value else { return nil }
        return object
    }

    private static func strings(_ node: ConfigNode?) -> [String] {
        guard case .array(let items)? = node?.value else { return [] }
        return items.compactMap {
            if case .string(let text) = $0.value { return text }
            return nil
        }
    }
}

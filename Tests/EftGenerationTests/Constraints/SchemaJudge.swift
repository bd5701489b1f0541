// SPDX-License-Identifier: Apache-2.0
// A plain reading of JSON Schema, to judge documents that were generated under one.

import EftConfig

@testable import EftTokenizers

/// Says whether values satisfy schemas, keyword by keyword as the specification words them.
struct SchemaJudge {
    let root: ConfigNode

    func accepts(_ value: ConfigNode) throws -> Bool { try accepts(value, root) }

    private func accepts(_ value: ConfigNode, _ schema: ConfigNode) throws -> Bool {
        if case .bool(let answer) = schema.value { return answer }
        guard case .object(let keywords) = schema.value else { return false }
        for (keyword, node) in keywords.entries {
            guard try satisfies(value, keyword, node, keywords) else { return false }
        }
        return true
    }

    private func satisfies(
        _ value: ConfigNode, _ keyword: String, _ node: ConfigNode, _ all: ConfigObject
    ) throws -> Bool {
        switch keyword {
        case "$ref": return try accepts(value, target(node))
        case "type":
            if case .array(let names) = node.value { return names.contains { isOf(value, $0) } }
            return isOf(value, node)
        case "const": return same(value, node)
        case "enum": return list(node).contains { same(value, $0) }
        case "anyOf", "oneOf": return try list(node).contains { try accepts(value, $0) }
        case "allOf": return try list(node).allSatisfy { try accepts(value, $0) }
        default: break
        }
        switch value.value {
        case .string(let text): return try satisfies(text, keyword, node)
        case .array(let items): return try satisfies(items, keyword, node, all)
        case .object(let members): return try satisfies(members, keyword, node, all)
        default:
            guard let number = number(value), let bound = self.number(node) else { return true }
            switch keyword {
            case "minimum": return number >= bound
            case "maximum": return number <= bound
            case "exclusiveMinimum": return number > bound
            case "exclusiveMaximum": return number < bound
            default: return true
            }
        }
    }

    private func satisfies(_ text: String, _ keyword: String, _ node: ConfigNode) throws -> Bool {
        let count = text.unicodeScalars.count
        switch (keyword, node.value) {
        case ("minLength", .integer(let bound)): return count >= bound
        case ("maxLength", .integer(let bound)): return count <= bound
        case ("pattern", .string(let pattern)): return try Self.matches(text, pattern)
        default: return true
        }
    }

    private func satisfies(
        _ items: [ConfigNode], _ keyword: String, _ node: ConfigNode, _ all: ConfigObject
    ) throws -> Bool {
        let prefix = all["prefixItems"].map(list) ?? []
        switch (keyword, node.value) {
        case ("minItems", .integer(let bound)): return items.count >= bound
        case ("maxItems", .integer(let bound)): return items.count <= bound
        case ("items", _):
            return try items.dropFirst(prefix.count).allSatisfy { try accepts($0, node) }
        case ("prefixItems", _): return try zip(items, prefix).allSatisfy { try accepts($0, $1) }
        default: return true
        }
    }

    private func satisfies(
        _ members: ConfigObject, _ keyword: String, _ node: ConfigNode, _ all: ConfigObject
    ) throws -> Bool {
        func object(_ key: String) -> ConfigObject {
            if case .object(let object)? = all[key]?.value { return object }
            return ConfigObject()
        }
        switch (keyword, node.value) {
        case ("minProperties", .integer(let bound)): return members.count >= bound
        case ("maxProperties", .integer(let bound)): return members.count <= bound
        case ("required", _):
            return list(node).allSatisfy {
                if case .string(let key) = $0.value { return members[key] != nil }
                return false
            }
        case ("properties", .object(let properties)):
            return try members.entries.allSatisfy { member in
                try properties[member.key].map { try accepts(member.node, $0) } ?? true
            }
        case ("patternProperties", .object(let patterns)):
            return try members.entries.allSatisfy { member in
                try patterns.entries.allSatisfy {
                    try !Self.matches(member.key, $0.key) || accepts(member.node, $0.node)
                }
            }
        case ("additionalProperties", _):
            return try members.entries.allSatisfy { member in
                if object("properties")[member.key] != nil { return true }
                let isMatched = try object("patternProperties").keys.contains {
                    try Self.matches(member.key, $0)
                }
                return try isMatched || accepts(member.node, node)
            }
        default: return true
        }
    }

    static func matches(_ text: String, _ pattern: String) throws -> Bool {
        let compiled = try Pattern(pattern)
        let state = try MatchState()
        return try Array(text.utf8).withUnsafeBufferPointer {
            try compiled.firstMatch(in: $0, from: 0, state: state)
        } != nil
    }

    private func list(_ node: ConfigNode) -> [ConfigNode] {
        if case .array(let items) = node.value { return items }
        return []
    }

    private func number(_ node: ConfigNode) -> Double? {
        switch node.value {
        case .integer(let value): Double(value)
        case .real(let value): value
        default: nil
        }
    }

    private func same(_ a: ConfigNode, _ b: ConfigNode) -> Bool {
        if let number = number(a) { return number == self.number(b) }
        return a == b
    }

    private func isOf(_ value: ConfigNode, _ type: ConfigNode) -> Bool {
        switch (value.value, type) {
        case (.null, "null"), (.bool, "boolean"), (.string, "string"), (.array, "array"),
            (.object, "object"), (.integer, "integer"), (.integer, "number"), (.real, "number"):
            true
        case (.real(let number), "integer"): number == number.rounded()
        default: false
        }
    }

    private func target(_ reference: ConfigNode) -> ConfigNode {
        guard case .string(let text) = reference.value else { return false }
        var node = root
        for key in text.split(separator: "/").dropFirst() {
            guard case .object(let object) = node.value else { return false }
            let name = String(key).replacing("%20", with: " ").replacing("~1", with: "/")
            node = object[name.replacing("~0", with: "~")] ?? false
        }
        return node
    }
}

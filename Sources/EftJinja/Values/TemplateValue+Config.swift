// SPDX-License-Identifier: Apache-2.0
// Values from JSON and YAML documents.

import EftConfig

extension TemplateValue {
    /// The value of a JSON or YAML document.
    /// - Throws: `TemplateError` (`limit`) when it is nested too deep.
    package init(_ node: ConfigNode) throws(TemplateError) {
        self = try Self.converted(node, depth: 0)
    }

    private static func converted(
        _ node: ConfigNode, depth: Int
    ) throws(TemplateError) -> TemplateValue {
        switch node.value {
        case .null: return .null
        case .bool(let value): return .bool(value)
        case .integer(let value): return .integer(value)
        case .real(let value): return .real(value)
        case .string(let text): return .string(text)
        case .array(let nodes):
            _ = try checkedHeight(depth + 1)
            var items: [TemplateValue] = []
            items.reserveCapacity(nodes.count)
            for node in nodes { items.append(try converted(node, depth: depth + 1)) }
            return try .list(items)
        case .object(let object):
            _ = try checkedHeight(depth + 1)
            var dictionary = TemplateDictionary()
            for (key, node) in object.entries {
                try dictionary.set(key, try converted(node, depth: depth + 1))
            }
            return .dictionary(dictionary)
        }
    }
}

// SPDX-License-Identifier: Apache-2.0
// From the keywords of JSON Schema to conditions.

import EftConfig

/// Reads schemas of one document.
struct SchemaReader: Sendable {
    private let root: ConfigNode

    /// Keywords that say nothing about which values are valid.
    private static let annotations: Set<String> = [
        "title", "description", "default", "examples", "example", "deprecated", "readOnly",
        "writeOnly", "discriminator", "$schema", "$id", "id", "$comment", "$defs", "definitions",
        "$anchor",
    ]

    init(root: ConfigNode) { self.root = root }

    /// The conditions of several schemas together.
    /// - Throws: `ConstraintError` with the path of the faulty keyword.
    func conditions(
        _ parts: [SchemaPart], budget: inout StepBudget
    ) throws(ConstraintError) -> Schema {
        var result = Schema(path: parts.first?.path ?? "#")
        var pending = Array(parts.reversed())
        var seen: Set<String> = []
        while let part = pending.popLast() {
            guard seen.insert(part.path).inserted else { continue }
            switch part.node.value {
            case .bool(let isPossible):
                if !isPossible { result.isImpossible = true }
            case .object(let object):
                try budget.spend(1 + object.count)
                var schema = Schema(path: part.path)
                var joined: [SchemaPart] = []
                for (keyword, node) in object.entries {
                    let place = SchemaPart(node: node, path: Self.path(part.path, keyword))
                    switch keyword {
                    case "$ref": joined.append(try target(of: place))
                    case "allOf": joined += try schemas(place)
                    default:
                        try read(keyword, place, object, into: &schema)
                    }
                }
                try result.add(schema, budget: &budget)
                pending += joined.reversed()
            default:
                throw ConstraintError(
                    .malformed, "expected a schema, found \(part.node.kindName)", path: part.path)
            }
        }
        return result
    }

    /// What `$ref` of a schema with nothing else refers to, or nil.
    func loneReference(_ part: SchemaPart) throws(ConstraintError) -> SchemaPart? {
        guard case .object(let object) = part.node.value, let reference = object["$ref"] else {
            return nil
        }
        let others = object.keys.filter { $0 != "$ref" && !Self.annotations.contains($0) }
        guard others.isEmpty else { return nil }
        return try target(of: SchemaPart(node: reference, path: part.path + "/$ref"))
    }

    // MARK: Keywords

    private func read(
        _ keyword: String, _ part: SchemaPart, _ object: ConfigObject, into schema: inout Schema
    ) throws(ConstraintError) {
        switch keyword {
        case "type": schema.types = try types(part)
        case "enum": try addValues(try list(part), part, &schema)
        case "const": try addValues([part.node], part, &schema)
        case "anyOf", "oneOf": schema.alternatives.append(try schemas(part))
        case "properties", "required", "additionalProperties", "patternProperties",
            "minProperties", "maxProperties", "unevaluatedProperties":
            schema.concerned.insert(.object)
            try readObject(keyword, part, object, into: &schema)
        case "items", "prefixItems", "additionalItems", "minItems", "maxItems", "uniqueItems",
            "unevaluatedItems":
            schema.concerned.insert(.array)
            try readArray(keyword, part, object, into: &schema)
        case "minLength", "maxLength", "pattern", "format":
            schema.concerned.insert(.string)
            switch keyword {
            case "minLength": schema.minimumLength = try count(part)
            case "maxLength": schema.maximumLength = try count(part)
            case "pattern": schema.patterns = [try string(part)]
            default: schema.formats = [try string(part)]
            }
        case "minimum", "exclusiveMinimum", "maximum", "exclusiveMaximum":
            schema.concerned.insert(.number)
            guard let value = Decimal(part.node) else { throw wrong(part, "a number") }
            let bound = Schema.Bound(value: value, isExclusive: keyword.hasPrefix("exclusive"))
            if keyword.hasSuffix("inimum") {
                schema.addMinimum(bound)
            } else {
                schema.addMaximum(bound)
            }
        case "multipleOf" where part.node.isSame(as: 1) && object["type"] == "integer": break
        default:
            if Self.annotations.contains(keyword) || keyword.hasPrefix("x-") { return }
            throw ConstraintError(
                .unsupported,
                "the keyword '\(excerpt(keyword))' cannot be enforced; leave it out",
                path: part.path)
        }
    }

    private func addValues(
        _ values: [ConfigNode], _ part: SchemaPart, _ schema: inout Schema
    ) throws(ConstraintError) {
        guard !values.isEmpty else {
            throw ConstraintError(.malformed, "the list of values is empty", path: part.path)
        }
        if let old = schema.values {
            schema.values = old.filter { one in values.contains { one.isSame(as: $0) } }
        } else {
            schema.values = values
        }
    }

    private func readObject(
        _ keyword: String, _ part: SchemaPart, _ object: ConfigObject, into schema: inout Schema
    ) throws(ConstraintError) {
        switch keyword {
        case "properties":
            schema.properties = try mapping(part).entries.map {
                Schema.Property(
                    key: $0.key,
                    parts: [SchemaPart(node: $0.node, path: Self.path(part.path, $0.key))])
            }
        case "required":
            var seen: Set<[UInt8]> = []
            for item in try list(part) {
                guard case .string(let key) = item.value else { throw wrong(part, "strings") }
                if seen.insert(Array(key.utf8)).inserted { schema.required.append(key) }
            }
        case "additionalProperties": schema.additional = [part]
        case "patternProperties":
            schema.patternProperties = try mapping(part).entries.map {
                Schema.PatternProperty(
                    pattern: $0.key,
                    part: SchemaPart(node: $0.node, path: Self.path(part.path, $0.key)))
            }
        case "minProperties": schema.minimumProperties = try count(part)
        case "maxProperties": schema.maximumProperties = try count(part)
        default:
            // Without additional properties none is left unevaluated.
            guard part.node == false,
                object["additionalProperties"] == nil || object["additionalProperties"] == false
            else { throw unsupported(part) }
        }
    }

    private func readArray(
        _ keyword: String, _ part: SchemaPart, _ object: ConfigObject, into schema: inout Schema
    ) throws(ConstraintError) {
        switch keyword {
        case "items":
            // Before 2020 a list of schemas stood here.
            if case .array = part.node.value {
                schema.prefix = try schemas(part).map { [$0] }
            } else {
                schema.items = [part]
            }
        case "prefixItems": schema.prefix = try schemas(part).map { [$0] }
        case "additionalItems":
            if case .array? = object["items"]?.value { schema.items = [part] }
        case "minItems": schema.minimumItems = try count(part)
        case "maxItems": schema.maximumItems = try count(part)
        case "uniqueItems":
            guard case .bool(let isUnique) = part.node.value else {
                throw wrong(part, "a truth value")
            }
            if isUnique, object["maxItems"] != 1, object["maxItems"] != 0 {
                throw unsupported(part)
            }
        default:
            guard part.node == false, object["items"] == nil else { throw unsupported(part) }
            schema.items = [part]
        }
    }

    // MARK: Values

    private func types(_ part: SchemaPart) throws(ConstraintError) -> [SchemaType] {
        var names: [ConfigNode] = [part.node]
        if case .array(let items) = part.node.value { names = items }
        var types: [SchemaType] = []
        for name in names {
            guard case .string(let text) = name.value, let type = SchemaType(rawValue: text) else {
                throw ConstraintError(.malformed, "unknown type", path: part.path)
            }
            if !types.contains(type) { types.append(type) }
        }
        guard !types.isEmpty else { throw wrong(part, "at least one type") }
        return types
    }

    private func schemas(_ part: SchemaPart) throws(ConstraintError) -> [SchemaPart] {
        let items = try list(part)
        guard !items.isEmpty else {
            throw ConstraintError(.malformed, "the list of schemas is empty", path: part.path)
        }
        return items.enumerated().map {
            SchemaPart(node: $0.element, path: "\(part.path)/\($0.offset)")
        }
    }

    private func list(_ part: SchemaPart) throws(ConstraintError) -> [ConfigNode] {
        guard case .array(let items) = part.node.value else { throw wrong(part, "a list") }
        return items
    }

    private func mapping(_ part: SchemaPart) throws(ConstraintError) -> ConfigObject {
        guard case .object(let object) = part.node.value else { throw wrong(part, "a mapping") }
        return object
    }

    private func string(_ part: SchemaPart) throws(ConstraintError) -> String {
        guard case .string(let text) = part.node.value else { throw wrong(part, "a string") }
        return text
    }

    private func count(_ part: SchemaPart) throws(ConstraintError) -> Int {
        switch part.node.value {
        case .integer(let value) where value >= 0: return value
        case .real(let value) where value >= 0 && value < 1e15 && value == value.rounded():
            return Int(value)
        default: throw wrong(part, "a count")
        }
    }

    private func wrong(_ part: SchemaPart, _ what: String) -> ConstraintError {
        ConstraintError(
            .malformed, "expected \(what), found \(part.node.kindName)", path: part.path)
    }

    private func unsupported(_ part: SchemaPart) -> ConstraintError {
        ConstraintError(.unsupported, "this cannot be enforced; leave it out", path: part.path)
    }

    // MARK: References

    /// The path of what stands under a key; long ones are cut, and stay apart by a number made of the rest.
    private static func path(_ path: String, _ key: String) -> String {
        shortened(path, 240) + "/"
            + shortened(key.replacing("~", with: "~0").replacing("/", with: "~1"), 60)
    }

    private static func shortened(_ text: String, _ limit: Int) -> String {
        guard text.utf8.count > limit else { return text }
        let mark = text.utf8.reduce(UInt64(0xCBF2_9CE4_8422_2325)) {
            ($0 ^ UInt64($1)) &* 0x100_0000_01B3
        }
        let start = String(decoding: text.utf8.prefix(limit - 20), as: UTF8.self)
        return start + "…" + String(mark, radix: 16)
    }

    private func target(of part: SchemaPart) throws(ConstraintError) -> SchemaPart {
        let reference = try string(part)
        func fault(_ what: String) -> ConstraintError {
            ConstraintError(
                .malformed, "the reference '\(excerpt(reference))' \(what)", path: part.path)
        }
        guard reference.utf8.first == UInt8(ascii: "#") else {
            throw ConstraintError(
                .unsupported, "only references within the schema ('#/...') are followed",
                path: part.path)
        }
        var node = root
        var path = "#"
        let keys = reference.dropFirst().split(separator: "/", omittingEmptySubsequences: false)
        guard keys.first?.isEmpty ?? true else { throw fault("names no place; write '#/...'") }
        for key in keys.dropFirst() {
            guard let decoded = Self.percentDecoded(key) else { throw fault("is not valid") }
            let key = decoded.replacing("~1", with: "/").replacing("~0", with: "~")
            switch node.value {
            case .object(let object):
                guard let next = object[key] else { throw fault("leads nowhere") }
                node = next
            case .array(let items):
                guard let index = Int(key), items.indices.contains(index) else {
                    throw fault("leads nowhere")
                }
                node = items[index]
            default: throw fault("leads nowhere")
            }
            path = Self.path(path, key)
        }
        return SchemaPart(node: node, path: path)
    }

    private static func percentDecoded(_ text: Substring) -> String? {
        var bytes: [UInt8] = []
        var rest = Array(text.utf8)[...]
        while let byte = rest.popFirst() {
            guard byte == UInt8(ascii: "%") else {
                bytes.append(byte)
                continue
            }
            guard let value = UInt8(String(decoding: rest.prefix(2), as: UTF8.self), radix: 16)
            else { return nil }
            bytes.append(value)
            rest = rest.dropFirst(2)
        }
        return String(validating: bytes, as: UTF8.self)
    }
}

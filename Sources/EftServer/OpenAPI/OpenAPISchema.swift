// SPDX-License-Identifier: Apache-2.0
// Schemas of JSON values, put together word by word.
import EftConfig

/// A schema as OpenAPI 3.1 writes it, which is JSON Schema's way.
struct OpenAPISchema: Sendable {
    private var object: ConfigObject

    private init(_ object: ConfigObject) { self.object = object }

    /// The schema as JSON.
    var node: ConfigNode { ConfigNode(object) }

    // MARK: Kinds of values

    /// Any value.
    static let anything = OpenAPISchema(ConfigObject())
    static let boolean = OpenAPISchema(["type": "boolean"])
    static let integer = OpenAPISchema(["type": "integer"])
    static let number = OpenAPISchema(["type": "number"])
    static let string = OpenAPISchema(["type": "string"])
    /// Nothing: the field is refused when it has a value.
    static let null = OpenAPISchema(["type": "null"])

    static func integer(_ range: ClosedRange<Int>) -> OpenAPISchema {
        integer.with("minimum", ConfigNode(range.lowerBound))
            .with("maximum", ConfigNode(range.upperBound))
    }

    static func integer(from least: Int) -> OpenAPISchema {
        integer.with("minimum", ConfigNode(least))
    }

    static func number(_ range: ClosedRange<Double>) -> OpenAPISchema {
        number.with("minimum", ConfigNode(range.lowerBound))
            .with("maximum", ConfigNode(range.upperBound))
    }

    /// A number above a bound.
    static func number(above bound: Double, to most: Double? = nil) -> OpenAPISchema {
        let schema = number.with("exclusiveMinimum", ConfigNode(bound))
        return most.map { schema.with("maximum", ConfigNode($0)) } ?? schema
    }

    static func number(from least: Double) -> OpenAPISchema {
        number.with("minimum", ConfigNode(least))
    }

    /// A string of so many characters.
    static func string(_ length: ClosedRange<Int>) -> OpenAPISchema {
        string.with("minLength", ConfigNode(length.lowerBound))
            .with("maxLength", ConfigNode(length.upperBound))
    }

    /// One of some words.
    static func word(_ words: [String]) -> OpenAPISchema { string.with("enum", ConfigNode(words)) }

    /// Always the same word.
    static func constant(_ word: String) -> OpenAPISchema {
        string.with("const", ConfigNode(word))
    }

    static func list(
        of items: OpenAPISchema, from least: Int? = nil, to most: Int? = nil
    ) -> OpenAPISchema {
        var schema = OpenAPISchema(["type": "array", "items": items.node])
        if let least { schema = schema.with("minItems", ConfigNode(least)) }
        if let most { schema = schema.with("maxItems", ConfigNode(most)) }
        return schema
    }

    /// A mapping with any keys.
    static func map(to values: OpenAPISchema) -> OpenAPISchema {
        OpenAPISchema(["type": "object", "additionalProperties": values.node])
    }

    /// A mapping with these fields and any others.
    static func object(
        required: [String] = [], _ fields: KeyValuePairs<String, OpenAPISchema>
    ) -> OpenAPISchema {
        object(required: required, fields.map { ($0.key, $0.value) })
    }

    /// As above, for fields that come from several places.
    static func object(
        required: [String] = [], _ fields: [(String, OpenAPISchema)]
    ) -> OpenAPISchema {
        var properties = ConfigObject()
        for (name, schema) in fields { properties[name] = schema.node }
        var object: ConfigObject = ["type": "object", "properties": ConfigNode(properties)]
        if !required.isEmpty { object["required"] = ConfigNode(required) }
        return OpenAPISchema(object)
    }

    /// What at least one of some schemas describes.
    static func any(of choices: [OpenAPISchema]) -> OpenAPISchema {
        OpenAPISchema(["anyOf": ConfigNode(choices.map(\.node))])
    }

    /// A schema among the document's components.
    static func named(_ name: String) -> OpenAPISchema {
        OpenAPISchema(["$ref": "#/components/schemas/\(name)"])
    }

    // MARK: More about a value

    /// The same with a further keyword.
    func with(_ keyword: String, _ value: ConfigNode) -> OpenAPISchema {
        var copy = self
        copy.object[keyword] = value
        return copy
    }

    /// The same with words for people.
    func about(_ text: String) -> OpenAPISchema { with("description", ConfigNode(text)) }

    /// The same with what counts when nothing is said.
    func standard(_ value: ConfigNode) -> OpenAPISchema { with("default", value) }

    /// The same, or null.
    var orNull: OpenAPISchema {
        var copy = self
        if case .string(let type)? = object["type"]?.value {
            guard type != "null" else { return self }
            copy.object["type"] = [ConfigNode(type), "null"]
            if case .array(let words)? = object["enum"]?.value {
                copy.object["enum"] = ConfigNode(words + [.null])
            }
            return copy
        }
        if case .array(let choices)? = object["anyOf"]?.value {
            copy.object["anyOf"] = ConfigNode(choices + [OpenAPISchema.null.node])
            return copy
        }
        return object.isEmpty ? self : .any(of: [self, .null])
    }
}

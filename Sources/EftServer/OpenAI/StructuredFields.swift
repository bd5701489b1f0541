// SPDX-License-Identifier: Apache-2.0
// What a request wants its answer to look like.
import EftConfig
import EftGeneration

extension RequestFields {
    /// The constraint that `response_format` or `structured_outputs` states; nil for none.
    /// - Throws: `HTTPFailure` (400) for more than one, unknown kinds, and what cannot be compiled.
    func constraint(_ model: ServedModel) throws(HTTPFailure) -> CompiledConstraint? {
        var options = ConstraintOptions()
        let format = try responseFormat()
        let structured = try structuredOutput(&options)
        guard format == nil || structured == nil else {
            throw failure("structured_outputs", "and response_format exclude each other")
        }
        guard let specification = format ?? structured else { return nil }
        return try model.compile(specification, options)
    }

    private func responseFormat() throws(HTTPFailure) -> ConstraintSpecification? {
        guard let format = try fields("response_format") else { return nil }
        switch try format.string("type") {
        case "text": return nil
        case "json_object": return .jsonObject
        case "json_schema":
            guard let schema = try format.fields("json_schema")?["schema"] else {
                throw format.failure("json_schema", "must have a schema")
            }
            return .jsonSchema(schema)
        case let other?:
            throw format.failure("type", "'\(excerpt(other))' is not served here")
        case nil: throw format.failure("type", "is missing")
        }
    }

    private func structuredOutput(
        _ options: inout ConstraintOptions
    ) throws(HTTPFailure) -> ConstraintSpecification? {
        guard let fields = try fields("structured_outputs") else { return nil }
        options.disablesWhitespace = try fields.bool("disable_any_whitespace") ?? false
        options.whitespacePattern = try fields.string("whitespace_pattern")
        options.disablesAdditionalProperties =
            try fields.bool("disable_additional_properties") ?? false
        var found: [ConstraintSpecification] = []
        if let schema = fields["json"] { found.append(try jsonSchema(schema, fields)) }
        if let pattern = try fields.string("regex") { found.append(.regex(pattern)) }
        if let texts = try fields.strings("choice") { found.append(.choice(texts)) }
        if let grammar = try fields.string("grammar") { found.append(.grammar(grammar)) }
        if try fields.bool("json_object") ?? false { found.append(.jsonObject) }
        if fields["structural_tag"] != nil {
            throw fields.failure("structural_tag", "is not served here")
        }
        guard found.count == 1 else {
            throw failure(
                "structured_outputs",
                "must have exactly one of json, regex, choice, grammar, json_object; found \(found.count)"
            )
        }
        return found[0]
    }

    /// A schema, or the text of one.
    private func jsonSchema(
        _ node: ConfigNode, _ fields: RequestFields
    ) throws(HTTPFailure) -> ConstraintSpecification {
        guard case .string(let text) = node.value else { return .jsonSchema(node) }
        do {
            return .jsonSchema(try JSONParser.parse(Array(text.utf8), maximumDepth: 64))
        } catch {
            throw fields.failure("json", "is not valid JSON: \(error)")
        }
    }
}

extension ServedModel {
    /// A constraint, from the cache or compiled now.
    /// - Throws: `HTTPFailure` (400).
    func compile(
        _ specification: ConstraintSpecification, _ options: ConstraintOptions = ConstraintOptions()
    ) throws(HTTPFailure) -> CompiledConstraint {
        do {
            return try constraints.constraint(specification, options: options)
        } catch {
            throw .badRequest("the structured output cannot be had: \(error)")
        }
    }
}

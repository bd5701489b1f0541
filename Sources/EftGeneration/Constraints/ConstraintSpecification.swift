// SPDX-License-Identifier: Apache-2.0
// What a text must be.

import EftConfig

/// What a generated text must be, as a request states it.
package indirect enum ConstraintSpecification: Sendable, Equatable {
    /// A JSON document that a schema accepts.
    case jsonSchema(ConfigNode)
    /// Any JSON object.
    case jsonObject
    /// A text that a regular expression matches as a whole.
    case regex(String)
    /// One of some texts.
    case choice([String])
    /// A text of a grammar, in EBNF (`root ::= ...`) or in Lark's notation (`start: ...`).
    case grammar(String)
    /// A literal text, such as the marks around a tool call.
    case literal(String)
    /// A token without text, such as a special one that begins a tool call.
    case token(Int32)
    /// Texts one behind the other.
    case sequence([ConstraintSpecification])
    /// A text of any of these kinds.
    case anyOf([ConstraintSpecification])
    /// Between `minimum` and `maximum` texts (any number when nil) with a separator between any two.
    case repeated(
        ConstraintSpecification, minimum: Int, maximum: Int?, separator: String)
    /// Any text in which none of these occurs, such as what precedes a tool call.
    case textWithout([String])
}

/// How a constraint is understood.
package struct ConstraintOptions: Sendable, Hashable {
    /// Whether JSON has no white space outside of strings.
    package var disablesWhitespace = false
    /// A regular expression for the white space between the parts of JSON; nil for up to 64 of any kind.
    package var whitespacePattern: String?
    /// Whether objects have the listed properties only, whatever a schema says.
    package var disablesAdditionalProperties = false

    /// Makes the usual options.
    package init() {}
}

extension ConstraintSpecification {
    /// A text that differs between any two different constraints.
    func key(_ options: ConstraintOptions) -> String {
        JSONWriter.text(
            [
                document, ConfigNode(options.disablesWhitespace),
                options.whitespacePattern.map { ConfigNode($0) } ?? .null,
                ConfigNode(options.disablesAdditionalProperties),
            ], layout: .minimal)
    }

    private var document: ConfigNode {
        switch self {
        case .jsonSchema(let schema): ["schema", schema]
        case .jsonObject: ["object"]
        case .regex(let text): ["regex", ConfigNode(text)]
        case .choice(let texts): ["choice", ConfigNode(texts)]
        case .grammar(let text): ["grammar", ConfigNode(text)]
        case .literal(let text): ["literal", ConfigNode(text)]
        case .token(let id): ["token", ConfigNode(Int(id))]
        case .sequence(let parts): ["sequence", ConfigNode(parts.map(\.document))]
        case .anyOf(let parts): ["any", ConfigNode(parts.map(\.document))]
        case .repeated(let part, let minimum, let maximum, let separator):
            [
                "repeated", part.document, ConfigNode(minimum),
                maximum.map { ConfigNode($0) } ?? .null, ConfigNode(separator),
            ]
        case .textWithout(let texts): ["without", ConfigNode(texts)]
        }
    }
}

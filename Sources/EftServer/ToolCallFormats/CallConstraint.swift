// SPDX-License-Identifier: Apache-2.0
// Calls as constraints on a model's text.

import EftConfig
import EftGeneration

/// Parts of which the constraints of several formats are made.
enum CallConstraint {
    /// A call as an object with its name and arguments, in this order.
    static func object(
        _ tool: ToolDefinition, argumentsKey: String
    ) -> ConstraintSpecification {
        let name = JSONWriter.text(ConfigNode(tool.name))
        return .sequence([
            .literal("{\"name\": \(name), \"\(argumentsKey)\": "), arguments(tool), .literal("}"),
        ])
    }

    /// The arguments of a tool.
    static func arguments(_ tool: ToolDefinition) -> ConstraintSpecification {
        tool.parameters.map { .jsonSchema($0) } ?? .literal("{}")
    }

    /// One of some texts, without a choice where there is none.
    static func any(_ parts: [ConstraintSpecification]) -> ConstraintSpecification {
        parts.count == 1 ? parts[0] : .anyOf(parts)
    }

    /// One call or, when allowed, more.
    static func calls(
        _ call: ConstraintSpecification, separator: String, allowsSeveral: Bool
    ) -> ConstraintSpecification {
        allowsSeveral
            ? .repeated(call, minimum: 1, maximum: nil, separator: separator) : call
    }
}

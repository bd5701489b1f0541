// SPDX-License-Identifier: Apache-2.0
// The keys of a data set that say where a row keeps its messages, and who speaks in them.
import EftConfig

/// Names of fields, and roles by what rows call them.
struct ConversationFields: Sendable {
    /// The field of the messages; nil looks for `messages`, then for `conversations`.
    var messages: String?
    /// The field of the tools.
    let tools: String
    /// Properties of messages, and the names that rows have for them; nil finds ShareGPT's by itself.
    let properties: [(property: String, field: String)]?
    /// The property by which the template knows thoughts, and the rows' name for it.
    let thoughts: (property: String, field: String)
    /// The field that says whether a turn is learned.
    let training: String?
    /// The field that says which characters of a turn are learned.
    let trainingDetail: String?
    /// What rows call a role, and what the template calls it.
    let roles: [String: String]
    /// Whether thoughts between tags in the content become a property of their own.
    let splitsThoughts: Bool
    /// Whether a system message in front is left out.
    let dropsSystem: Bool

    private static let usualRoles = [
        "human": "user", "user": "user", "assistant": "assistant", "gpt": "assistant",
        "system": "system", "tool": "tool",
    ]

    /// - Throws: `ConfigError` for values of the wrong type and for names that contradict each other.
    init(_ entry: ConfigCursor) throws(ConfigError) {
        messages = try entry.text("field_messages")
        tools = try entry.text("field_tools") ?? "tools"
        thoughts = (
            try entry.text("template_thinking_key") ?? "reasoning_content",
            try entry.text("field_thinking") ?? "reasoning_content"
        )
        properties = try Self.properties(entry, thoughts)
        training = try entry.text("message_field_training")
        trainingDetail = try entry.text("message_field_training_detail")
        splitsThoughts = try entry.lenientBool("split_thinking") ?? false
        dropsSystem = try entry.lenientBool("drop_system_message") ?? false
        guard let given = try entry.optional("roles") else {
            roles = Self.usualRoles
            return
        }
        var roles: [String: String] = [:]
        for (role, names) in try given.entries() {
            for name in try names.strings() { roles[name] = role }
        }
        self.roles = roles.isEmpty ? Self.usualRoles : roles
    }

    private static func properties(
        _ entry: ConfigCursor, _ thoughts: (property: String, field: String)
    ) throws(ConfigError) -> [(property: String, field: String)]? {
        var result: [(property: String, field: String)] = []
        if let mapping = try entry.optional("message_property_mappings") {
            for (property, field) in try mapping.entries() {
                result.append((property, try field.string()))
            }
        }
        for property in ["role", "content"] {
            guard let old = try entry.optional("message_field_\(property)") else { continue }
            let field = try old.string()
            if let other = result.first(where: { $0.property == property }) {
                guard other.field == field else {
                    throw old.error(
                        .badValue,
                        "it contradicts message_property_mappings.\(property) '\(excerpt(other.field))'"
                    )
                }
            } else {
                result.append((property, field))
            }
        }
        if result.isEmpty { return nil }
        for property in ["role", "content"]
        where !result.contains(where: { $0.property == property }) {
            result.append((property, property))
        }
        if !result.contains(where: { $0.property == thoughts.property }) { result.append(thoughts) }
        return result
    }
}

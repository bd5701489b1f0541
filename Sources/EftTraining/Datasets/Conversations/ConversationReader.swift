// SPDX-License-Identifier: Apache-2.0
// From a row to the messages that a template takes.
import EftConfig

/// Reads conversations by the names that a data set gives to its fields.
struct ConversationReader: Sendable {
    let fields: ConversationFields

    private static let systemField = "system"

    /// The conversation of a row; nulls count as absent everywhere.
    /// - Throws: `ConfigError` with the place of what is missing or of another kind.
    func conversation(_ row: ConfigCursor) throws(ConfigError) -> Conversation {
        let list = try messages(row)
        guard let first = list.first else {
            throw list.place.error(.badValue, "there are no messages")
        }
        let mapping = fields.properties ?? Self.mapping(first, fields.thoughts)
        var turns: [ConversationTurn] = []
        for message in list.items { turns.append(try turn(message, mapping)) }
        if turns.first?.role != "system", let system = try row.optional(Self.systemField) {
            var message = ConfigObject()
            message["role"] = "system"
            message["content"] = ConfigNode(try system.string())
            turns.insert(ConversationTurn(message: message, place: system), at: 0)
        }
        if fields.dropsSystem, turns.first?.role == "system" { turns.removeFirst() }
        guard !turns.isEmpty else {
            throw list.place.error(.badValue, "there is no message beside the system's")
        }
        return Conversation(turns: turns, tools: try tools(row))
    }

    // MARK: Messages

    private func messages(
        _ row: ConfigCursor
    ) throws(ConfigError) -> (items: [ConfigCursor], first: ConfigCursor?, place: ConfigCursor) {
        let names = fields.messages.map { [$0] } ?? ["messages", "conversations"]
        var found: ConfigCursor?
        for name in names where found == nil { found = try row.optional(name) }
        guard let found else {
            throw row.error(
                .missingKey,
                "the row has no field '\(names[0])'; field_messages names the field of the messages"
            )
        }
        let items = try parsed(found).elements().filter { $0.node != .null }
        return (items, items.first, found)
    }

    /// ShareGPT's names when the first message has them, else the usual ones.
    private static func mapping(
        _ message: ConfigCursor, _ thoughts: (property: String, field: String)
    ) -> [(property: String, field: String)] {
        var isShareGPT = false
        if case .object(let object) = message.node.value {
            isShareGPT =
                object["role"] == nil && object["content"] == nil && object["from"] != nil
                && object["value"] != nil
        }
        let names = isShareGPT ? ("from", "value") : ("role", "content")
        return [("role", names.0), ("content", names.1), thoughts]
    }

    private func turn(
        _ cursor: ConfigCursor, _ mapping: [(property: String, field: String)]
    ) throws(ConfigError) -> ConversationTurn {
        var message = ConfigObject()
        for (property, field) in mapping {
            guard let value = try cursor.optional(field) else { continue }
            message[property] = Self.withoutNulls(value.node)
        }
        let taken =
            mapping.map(\.field) + [fields.training, fields.trainingDetail].compactMap { $0 }
        for (key, value) in try cursor.entries()
        where message[key] == nil && !taken.contains(key) {
            message[key] = Self.withoutNulls(value.node)
        }
        let roleField = mapping.first { $0.property == "role" }?.field ?? "role"
        guard let role = try cursor.optional(roleField)?.string() else {
            throw cursor.error(.missingKey, "the message has no '\(roleField)'")
        }
        message["role"] = ConfigNode(fields.roles[role] ?? role)
        var turn = ConversationTurn(message: message, place: cursor)
        try readTraining(cursor, into: &turn)
        try joinParts(&turn)
        if fields.splitsThoughts { splitThoughts(&turn) }
        return turn
    }

    private func readTraining(
        _ cursor: ConfigCursor, into turn: inout ConversationTurn
    ) throws(ConfigError) {
        if let key = fields.training { turn.training = try cursor.lenientBool(key) }
        guard let key = fields.trainingDetail, let detail = try cursor.optional(key) else { return }
        var ranges: [TrainedCharacters] = []
        for item in try detail.elements() {
            let places = 0...Int(Int32.max)
            ranges.append(
                TrainedCharacters(
                    first: try item.required("begin_offset").int(in: places),
                    last: try item.required("end_offset").int(in: places),
                    isTrained: try item.required("train").bool()))
        }
        turn.detail = ranges
    }

    // MARK: Contents

    /// Contents and thoughts that are lists of parts become one text, and what the parts say about learning a detail.
    private func joinParts(_ turn: inout ConversationTurn) throws(ConfigError) {
        if let joined = try parts(turn.message["content"], turn.place) {
            turn.message["content"] = ConfigNode(joined.text)
            if let detail = joined.detail { turn.detail = detail }
        }
        let property = fields.thoughts.property
        if let joined = try parts(turn.message[property], turn.place) {
            turn.message[property] = ConfigNode(joined.text)
            turn.thoughtDetail = joined.detail
        }
    }

    private func parts(
        _ node: ConfigNode?, _ place: ConfigCursor
    ) throws(ConfigError) -> (text: String, detail: [TrainedCharacters]?)? {
        switch node?.value {
        case nil, .null?, .string?: return nil
        case .array(let items)?:
            var (text, count, isExplicit) = ("", 0, false)
            var detail: [TrainedCharacters] = []
            for item in items {
                let part = ConfigCursor(item, file: place.file, keyPath: place.keyPath)
                let piece = try Self.text(of: part)
                let flag = try Self.flag(of: part)
                isExplicit = isExplicit || flag != nil
                let length = piece.unicodeScalars.count
                if length > 0 {
                    detail.append(
                        TrainedCharacters(
                            first: count, last: count + length - 1, isTrained: flag ?? true))
                }
                text += piece
                count += length
            }
            return (text, isExplicit ? detail : nil)
        default:
            throw place.error(.wrongType, "the content is neither a text nor a list of parts")
        }
    }

    private static func text(of part: ConfigCursor) throws(ConfigError) -> String {
        if case .string(let text) = part.node.value { return text }
        if let type = try part.optional("type")?.string(), type != "text" {
            throw part.error(
                .badValue, "a part of type '\(excerpt(type))': only text can be trained on")
        }
        for key in ["text", "content", "value"] {
            if let text = try part.optional(key)?.string(), !text.isEmpty { return text }
        }
        return ""
    }

    /// What a part says about learning it: `train`, or a `weight` other than 0.
    private static func flag(of part: ConfigCursor) throws(ConfigError) -> Bool? {
        guard case .object = part.node.value else { return nil }
        if let train = try part.lenientBool("train") { return train }
        return try part.optional("weight").map { (weight) throws(ConfigError) in
            try weight.double() != 0
        }
    }

    private func splitThoughts(_ turn: inout ConversationTurn) {
        guard turn.role == "assistant", let content = turn.text("content"),
            let split = ThoughtSplit(content)
        else { return }
        turn.message[fields.thoughts.property] = ConfigNode(split.thoughts)
        turn.message["content"] = ConfigNode(split.answer)
    }

    // MARK: Tools

    /// The tools that a row describes; nil for none.
    func tools(_ row: ConfigCursor) throws(ConfigError) -> [ConfigNode]? {
        guard let cursor = try row.optional(fields.tools) else { return nil }
        var tools: [ConfigNode] = []
        for tool in try parsed(cursor).elements() {
            var node = Self.withoutNulls(tool.node)
            if case .object(var object) = node.value,
                case .object(var function)? = object["function"]?.value,
                case .string? = function["parameters"]?.value
            {
                let text = try tool.required("function").required("parameters")
                function["parameters"] = try parsed(text).node
                object["function"] = ConfigNode(function)
                node = ConfigNode(object)
            }
            tools.append(node)
        }
        return tools.isEmpty ? nil : tools
    }

    /// Data sets of one column type keep lists as JSON text.
    private func parsed(_ cursor: ConfigCursor) throws(ConfigError) -> ConfigCursor {
        guard case .string(let text) = cursor.node.value else { return cursor }
        do {
            let node = try JSONParser.parse(text, maximumDepth: 64)
            return ConfigCursor(node, file: cursor.file, keyPath: cursor.keyPath)
        } catch {
            throw cursor.error(.badValue, "the text is not valid JSON: \(error.message)")
        }
    }

    /// Columns of one type give every row the keys of all others, with null for those that it lacks.
    private static func withoutNulls(_ node: ConfigNode) -> ConfigNode {
        switch node.value {
        case .array(let items):
            return ConfigNode(
                .array(items.filter { $0 != .null }.map(withoutNulls)), line: node.line)
        case .object(let object):
            var result = ConfigObject()
            for (key, value) in object.entries where value != .null {
                result[key] = withoutNulls(value)
            }
            return ConfigNode(.object(result), line: node.line)
        default: return node
        }
    }
}

// SPDX-License-Identifier: Apache-2.0
// The keys at the top of a configuration that say how conversations become text.
import EftConfig
import EftFormats
import EftTokenizers

/// How conversations become text, unless a data set says otherwise.
package struct ChatSettings: Sendable {
    /// The template; nil takes the tokenizer's.
    package let template: ChatTemplateChoice?
    /// Further values for the template.
    package let templateValues: ConfigObject
    /// The tokens that end turns; nil for the tokenizer's EOS alone.
    package let eotTokens: [String]?

    init(_ config: ConfigCursor) throws(ConfigError) {
        template = try ChatTemplateChoice(config)
        templateValues = try config.optional("chat_template_kwargs")?.object() ?? ConfigObject()
        eotTokens = try config.optional("eot_tokens")?.strings()
    }
}

/// Where a chat template comes from.
package enum ChatTemplateChoice: Sendable, Hashable {
    /// The tokenizer's.
    case tokenizer
    /// The tokenizer's, or that of a family when it has none.
    case tokenizerOr(String)
    /// That of a family.
    case family(String)
    /// A text; with its file when it stands in one.
    case text(String, file: String?)

    private static let fallback = "tokenizer_default_fallback_"

    /// Reads `chat_template` and `chat_template_jinja`; nil when neither is there.
    /// - Throws: `ConfigError` for unknown names, with the nearest known one.
    init?(_ config: ConfigCursor) throws(ConfigError) {
        let jinja = try config.optional("chat_template_jinja")
        guard let cursor = try config.optional("chat_template"), try !cursor.string().isEmpty
        else {
            guard let jinja, try !jinja.string().isEmpty else { return nil }
            self = try Self.text(jinja)
            return
        }
        let name = try cursor.string()
        switch name {
        case "tokenizer_default": self = .tokenizer
        case "jinja":
            guard let jinja else {
                throw cursor.error(
                    .missingKey,
                    "'jinja' needs chat_template_jinja: the template's text or file")
            }
            self = try Self.text(jinja)
        case _ where name.hasPrefix(Self.fallback):
            let family = String(name.dropFirst(Self.fallback.count))
            try Self.check(family, cursor)
            self = .tokenizerOr(family)
        default:
            try Self.check(name, cursor)
            self = .family(name)
        }
    }

    private static func text(_ cursor: ConfigCursor) throws(ConfigError) -> ChatTemplateChoice {
        let text = try cursor.string()
        let isOneLine = !text.utf8.contains(UInt8(ascii: "\n")) && !text.contains("{")
        guard isOneLine else { return .text(text, file: nil) }
        guard FileSystem.exists(text), !FileSystem.isFolder(text) else {
            throw cursor.error(
                .badValue, "'\(excerpt(text))' is no file, and no template either")
        }
        let bytes = try ConfigFile.contents(text)
        guard let source = String(validating: bytes, as: UTF8.self) else {
            throw cursor.error(.badValue, "the file \(excerpt(text)) is not valid UTF-8")
        }
        return .text(source, file: text)
    }

    /// The template's text; nil where it is the tokenizer's own.
    func source(tokenizerHasOne: () throws -> Bool) rethrows -> String? {
        switch self {
        case .tokenizer: nil
        case .tokenizerOr(let name):
            try tokenizerHasOne() ? nil : ChatTemplateFamily.source(name)
        case .family(let name): ChatTemplateFamily.source(name)
        case .text(let text, _): text
        }
    }

    private static func check(_ family: String, _ cursor: ConfigCursor) throws(ConfigError) {
        let known = ChatTemplateFamily.names
        if known.contains(family) { return }
        guard !ChatTemplateFamily.unavailable.contains(family) else {
            throw cursor.error(
                .badValue,
                "the template '\(family)' consists of instructions that belong to its model; take the model's own by "
                    + "tokenizer_default, or give its text as chat_template_jinja")
        }
        let near = closestMatch(family, in: known).map { "; did you mean '\($0)'?" } ?? ""
        throw cursor.error(
            .badValue,
            "there is no chat template '\(excerpt(family))'\(near); there are: tokenizer_default, jinja, "
                + known.joined(separator: ", "))
    }
}

extension DataSettings {
    /// The template that conversations are written by, to be kept with what is trained; nil where the tokenizer has it.
    /// - Parameter tokenizerHasOne: whether the tokenizer has a template; asked where that decides.
    /// - Throws: `ConfigError`, and what `tokenizerHasOne` throws.
    func keptTemplate(tokenizerHasOne: () throws -> Bool) throws -> String? {
        var choice = chat.template
        for entry in datasets where choice == nil && entry.holdsConversations {
            choice = try ChatTemplateChoice(entry.cursor)
        }
        return try choice?.source(tokenizerHasOne: tokenizerHasOne)
    }
}

extension DatasetEntry {
    /// Whether its rows are conversations.
    fileprivate var holdsConversations: Bool {
        (Conversations.names + MessagePreferences.names + ScoredConversations.names)
            .contains(typeName)
            || typeName.hasPrefix("sharegpt")
    }
}

// SPDX-License-Identifier: Apache-2.0
// Where a model folder keeps its chat templates and the special tokens that they print.

import EftConfig
import EftJinja

/// The chat templates of a model folder.
package struct ChatTemplates: Sendable {
    /// The templates' names; one that stands alone is called "default".
    package let names: [String]
    /// The text of the template for chats with tools.
    package let source: String
    private let templates: [String: ChatTemplate]
    private let tokens: SpecialTokenTexts

    /// Reads the chat templates of a model folder.
    ///
    /// Files ending in `.jinja` count before `tokenizer_config.json`, and that before `chat_template.json`.
    /// - Parameter replaced: special tokens that count instead of those of the folder.
    /// - Throws: `ChatTemplateError` (`missing`, `file`, `template`, `limit`).
    package static func load(
        folder: String, replacing replaced: [(name: String, text: String)] = []
    ) throws(ChatTemplateError) -> ChatTemplates {
        let tokens = try SpecialTokenTexts(folder: folder).replacing(replaced)
        var sources = try jinjaFiles(folder)
        for name in ["tokenizer_config.json", "chat_template.json"] where sources.isEmpty {
            sources = try entries(of: folder + "/" + name)
        }
        guard !sources.isEmpty else {
            throw ChatTemplateError(
                .missing, "this model has no chat template; give one as chat_template.jinja",
                file: folder)
        }
        var templates: [String: ChatTemplate] = [:]
        for source in sources {
            templates[source.name] = try ChatTemplate(
                source.text, file: source.file, specialTokens: tokens)
        }
        let preferred = sources.first { $0.name == "tool_use" } ?? sources[0]
        return ChatTemplates(
            names: templates.keys.sorted(), source: preferred.text, templates: templates,
            tokens: tokens)
    }

    /// The chat templates of a model folder; nil when it has none.
    /// - Throws: `ChatTemplateError` (`file`, `template`, `limit`).
    package static func loadIfPresent(
        folder: String, replacing replaced: [(name: String, text: String)] = []
    ) throws(ChatTemplateError) -> ChatTemplates? {
        do throws(ChatTemplateError) {
            return try load(folder: folder, replacing: replaced)
        } catch {
            guard error.code == .missing else { throw error }
            return nil
        }
    }

    /// The template for a chat: the one asked for, else "tool_use" when there are tools, else "default".
    /// - Throws: `ChatTemplateError` (`missing`).
    package func template(
        named name: String? = nil, hasTools: Bool = false
    ) throws(ChatTemplateError) -> ChatTemplate {
        if let name {
            if let found = templates[name] { return found }
        } else if hasTools, let found = templates["tool_use"] {
            return found
        } else if let found = templates["default"] {
            return found
        }
        throw ChatTemplateError(
            .missing,
            "there is no chat template '\(excerpt(name ?? "default"))'; there are: "
                + names.map { excerpt($0) }.joined(separator: ", "))
    }

    /// A template that stands in no file, with the special tokens of the folder.
    /// - Throws: `ChatTemplateError` (`template`, `limit`).
    package func template(source: String) throws(ChatTemplateError) -> ChatTemplate {
        try ChatTemplate(source, specialTokens: tokens)
    }

    /// Only a given template, for a model folder that has none or another one.
    /// - Throws: `ChatTemplateError` (`template`, `limit`, `file`).
    package static func single(
        _ source: String, file: String? = nil, folder: String,
        replacing replaced: [(name: String, text: String)] = []
    ) throws(ChatTemplateError) -> ChatTemplates {
        let tokens = try SpecialTokenTexts(folder: folder).replacing(replaced)
        let template = try ChatTemplate(source, file: file, specialTokens: tokens)
        return ChatTemplates(
            names: ["default"], source: source, templates: ["default": template], tokens: tokens)
    }

    // MARK: Files

    private typealias Source = (name: String, text: String, file: String)

    private static func jinjaFiles(_ folder: String) throws(ChatTemplateError) -> [Source] {
        var sources: [Source] = []
        if let text = try text(folder + "/chat_template.jinja") {
            sources.append(("default", text, folder + "/chat_template.jinja"))
        }
        let more = folder + "/additional_chat_templates"
        for file in FileAccess.names(in: more) where file.hasSuffix(".jinja") {
            let path = more + "/" + file
            guard let text = try text(path) else { continue }
            sources.append((String(file.dropLast(".jinja".count)), text, path))
        }
        return sources
    }

    private static func text(_ path: String) throws(ChatTemplateError) -> String? {
        let bytes: [UInt8]?
        do { bytes = try FileAccess.read(path) } catch { throw ChatTemplateError(error) }
        guard let bytes else { return nil }
        guard let text = String(validating: bytes, as: UTF8.self) else {
            throw ChatTemplateError(.file, "the template is not valid UTF-8", file: path)
        }
        return text
    }

    /// The templates that a JSON file holds: one, or a list of named ones.
    private static func entries(of path: String) throws(ChatTemplateError) -> [Source] {
        guard let document = try jsonDocument(path) else { return [] }
        do {
            guard let entry = try document.optional("chat_template") else { return [] }
            if case .string(let text) = entry.node.value { return [("default", text, path)] }
            var sources: [Source] = []
            for item in try entry.elements() {
                sources.append(
                    (
                        try item.required("name").string(),
                        try item.required("template").string(), path
                    ))
            }
            return sources
        } catch { throw ChatTemplateError(error) }
    }
}

/// A JSON file, or nil when there is none.
private func jsonDocument(_ path: String) throws(ChatTemplateError) -> ConfigCursor? {
    let bytes: [UInt8]?
    do { bytes = try FileAccess.read(path) } catch { throw ChatTemplateError(error) }
    guard let bytes else { return nil }
    do {
        let node = try JSONParser.parse(bytes, file: path, acceptsNonFinite: true)
        return ConfigCursor(node, file: path)
    } catch { throw ChatTemplateError(error) }
}

/// The texts of a tokenizer's special tokens, under the names by which templates know them.
package struct SpecialTokenTexts: Sendable {
    /// The names that templates may use.
    static let names = [
        "bos_token", "eos_token", "unk_token", "sep_token", "pad_token", "cls_token", "mask_token",
    ]

    /// Texts by their names.
    package let texts: [(name: String, text: String)]

    /// Special tokens given by a program.
    package init(_ texts: [(name: String, text: String)]) { self.texts = texts }

    /// Reads `tokenizer_config.json` and, for what that leaves open, `special_tokens_map.json`.
    /// - Throws: `ChatTemplateError` (`file`).
    init(folder: String) throws(ChatTemplateError) {
        var texts: [(name: String, text: String)] = []
        for file in ["tokenizer_config.json", "special_tokens_map.json"] {
            guard let document = try jsonDocument(folder + "/" + file) else { continue }
            for name in Self.names where !texts.contains(where: { $0.name == name }) {
                if let text = try Self.text(document, name) { texts.append((name, text)) }
            }
        }
        self.texts = texts
    }

    /// The same with some tokens replaced or added.
    func replacing(_ replaced: [(name: String, text: String)]) -> SpecialTokenTexts {
        let names = Set(replaced.map(\.name))
        return SpecialTokenTexts(texts.filter { !names.contains($0.name) } + replaced)
    }

    /// A token as a text or as a mapping with its content.
    private static func text(
        _ document: ConfigCursor, _ name: String
    ) throws(ChatTemplateError) -> String? {
        do {
            guard let entry = try document.optional(name) else { return nil }
            if case .object = entry.node.value { return try entry.required("content").string() }
            return try entry.string()
        } catch { throw ChatTemplateError(error) }
    }
}

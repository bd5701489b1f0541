// SPDX-License-Identifier: Apache-2.0
// What conversations need of a run beside their rows: tokenizer, templates, and the keys that all data sets share.
import EftConfig
import EftTokenizers

/// The tokenizer and the chat templates of a run.
package struct ChatResources: Sendable {
    let tokenizer: Tokenizer
    let settings: ChatSettings
    private let folder: String
    private let replaced: [(name: String, text: String)]

    /// Makes the resources of a tokenizer's folder.
    /// - Parameter replaced: special tokens of the configuration, by names such as `eos_token`.
    package init(
        tokenizer: Tokenizer, folder: String, settings: ChatSettings,
        replacing replaced: [(name: String, text: String)] = []
    ) {
        self.tokenizer = tokenizer
        self.folder = folder
        self.settings = settings
        self.replaced = replaced
    }

    /// The templates that a choice means.
    /// - Throws: `ChatTemplateError` (`missing`, `file`, `template`, `limit`).
    func templates(_ choice: ChatTemplateChoice) throws(ChatTemplateError) -> ChatTemplates {
        switch choice {
        case .tokenizer:
            return try ChatTemplates.load(folder: folder, replacing: replaced)
        case .tokenizerOr(let family):
            let own = try ChatTemplates.loadIfPresent(folder: folder, replacing: replaced)
            if let own { return own }
            return try self.family(family)
        case .family(let name): return try family(name)
        case .text(let source, let file):
            return try ChatTemplates.single(
                source, file: file, folder: folder, replacing: replaced)
        }
    }

    private func family(_ name: String) throws(ChatTemplateError) -> ChatTemplates {
        guard let source = ChatTemplateFamily.source(name) else {
            throw ChatTemplateError(.missing, "there is no chat template '\(excerpt(name))'")
        }
        return try ChatTemplates.single(source, folder: folder, replacing: replaced)
    }
}

// SPDX-License-Identifier: Apache-2.0
// What can be wrong with a chat, or with the template that it is written by.

import EftConfig
import EftJinja

/// A fault in a chat template or in what it was given.
package struct ChatTemplateError: Error, Sendable, CustomStringConvertible {
    /// The kind of fault.
    package enum Code: Sendable, Hashable {
        /// The model has no chat template, or none of the name asked for.
        case missing
        /// A file cannot be read or is malformed.
        case file
        /// The template itself is faulty, or asks for what is not offered.
        case template
        /// The messages or other values given are not what the template takes.
        case request
        /// Rendering takes more than its limits allow.
        case limit
    }

    /// The kind of fault.
    package let code: Code
    /// What is wrong and what to do.
    package let message: String
    /// The file, when known.
    package let file: String?
    /// Line in the file or template, counted from 1, when known.
    package let line: Int?

    /// Makes an error.
    package init(_ code: Code, _ message: String, file: String? = nil, line: Int? = nil) {
        self.code = code
        self.message = message
        self.file = file
        self.line = line
    }

    /// An error of a file beside the tokenizer.
    init(_ error: TokenizerError) {
        self.init(.file, error.message, file: error.file, line: error.line)
    }

    /// An error of a JSON file.
    init(_ error: ConfigError) {
        self.init(.file, error.message, file: error.file, line: error.line)
    }

    /// An error met while a template was read (`isRendering` false) or rendered.
    init(_ error: TemplateError, file: String?, isRendering: Bool) {
        let code: Code =
            switch error.code {
            case .limit: .limit
            case .syntax, .unsupported, .forbidden: .template
            // Given other messages, the template may do.
            case .raised, .undefined, .type, .value: isRendering ? .request : .template
            }
        self.init(
            code, error.message, file: file, line: error.line > 0 ? error.line : nil)
    }

    package var description: String {
        located(message, path: file, line: line)
    }
}

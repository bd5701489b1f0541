// SPDX-License-Identifier: Apache-2.0
// What a kind of data set has to offer, and the list of all of them.
import EftConfig

/// How one row of a data set becomes examples.
package protocol RowFormat: Sendable {
    /// Lines for the user about what the format will do.
    var notices: [String] { get }

    /// The examples of one row.
    /// - Throws: `ConfigError` with file, line and field when the row does not have what the format needs.
    func examples(_ row: ConfigCursor, _ encoder: PromptEncoder) throws -> [TrainingExample]
}

/// A kind of data set.
///
/// One file in `Formats/` each, and one line in `DatasetRegistry.all`.
package protocol DatasetFormat: RowFormat {
    /// The words of the key `type` that name it; empty for one that is named by a mapping.
    static var names: [String] { get }

    /// Reads the entry of `datasets` that names it.
    /// - Throws: `ConfigError` for keys that it cannot use; `ChatTemplateError`, `TokenizerError`, `TrainingError`.
    init(_ entry: DatasetEntry, _ encoder: PromptEncoder) throws
}

extension RowFormat {
    /// Nothing to say.
    package var notices: [String] { [] }
}

/// All kinds of data sets.
package enum DatasetRegistry {
    /// One line for each file in `Formats/`.
    package static let all: [any DatasetFormat.Type] = [
        Completion.self,
        Conversations.self,
        InputOutput.self,
        Instructions.self,
        Pretraining.self,
        Reflection.self,
        Tokenized.self,
        UserDefined.self,
    ]

    /// The format that an entry of `datasets` names.
    /// - Throws: `ConfigError` with the nearest known name, and what the format throws.
    package static func format(
        _ entry: DatasetEntry, _ encoder: PromptEncoder
    ) throws -> any DatasetFormat {
        guard let type = entry.type else { return Tokenized() }
        if case .object = type.node.value { return try UserDefined(entry, encoder) }
        let name = try type.string()
        for format in all where format.names.contains(name) {
            return try format.init(entry, encoder)
        }
        // Axolotl had several loaders for what is one form here.
        if name.hasPrefix("sharegpt") { return try Conversations(entry, encoder) }
        let known = all.flatMap { $0.names }
        let near = closestMatch(name, in: known).map { "; did you mean '\($0)'?" } ?? ""
        throw type.error(
            .badValue,
            "the data set type '\(excerpt(name))' is not supported yet\(near); there are "
                + known.joined(separator: ", ") + ", and mappings of your own")
    }
}

extension ConfigCursor {
    /// The text of a field of a row; empty when absent.
    func field(_ key: String) throws(ConfigError) -> String {
        try optional(key)?.string() ?? ""
    }

    /// The text of a field that a row must have.
    func requiredField(_ key: String) throws(ConfigError) -> String {
        guard let value = try optional(key) else {
            throw error(.missingKey, "the row has no field '\(key)'")
        }
        return try value.string()
    }
}

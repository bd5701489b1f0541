// SPDX-License-Identifier: Apache-2.0
// The kinds of data sets of runs that train a model to score.
import EftConfig

/// All kinds of data sets for reward models.
enum RewardRegistry {
    /// What stands before the names of Axolotl's types for pairs.
    static let prefix = "bradley_terry."

    /// The format of pairs that an entry of `datasets` names; rows with the usual fields need no name.
    /// - Throws: `ConfigError` with the known names, and what the format throws.
    static func pairs(
        _ entry: DatasetEntry, _ encoder: PromptEncoder
    ) throws -> any RowFormat {
        guard let type = entry.type else { return try ScoredConversations(entry, encoder) }
        if case .object = type.node.value { return try MappedPreferences(type, .pairs) }
        let name = try type.string()
        let full = name.hasPrefix(prefix) ? name : prefix + name
        if ScoredConversations.names.contains(full) {
            return try ScoredConversations(entry, encoder)
        }
        if let format = MarkedPreferences(String(full.dropFirst(prefix.count)), .pairs) {
            return format
        }
        let known = ScoredConversations.names + MarkedPreferences.names.map { prefix + $0 }
        let near = closestMatch(full, in: known).map { "; did you mean '\($0)'?" } ?? ""
        throw type.error(
            .badValue,
            "there is no data set type '\(excerpt(name))' for reward models\(near); there are "
                + known.joined(separator: ", ") + ", and mappings of your own")
    }

    /// The format of steps with labels.
    /// - Parameter labels: kinds of steps.
    /// - Throws: `ConfigError` for another type.
    static func steps(_ entry: DatasetEntry, labels: Int) throws -> any RowFormat {
        if let type = entry.type, try type.string() != StepwiseSupervised.name {
            throw type.error(
                .badValue,
                "process_reward_model learns from steps; the type is \(StepwiseSupervised.name)")
        }
        return try StepwiseSupervised(entry, labels: labels)
    }
}

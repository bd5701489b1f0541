// SPDX-License-Identifier: Apache-2.0
// What Eft does with each key of Axolotl's configurations.
import EftConfig

/// What is done with each key that Axolotl knows; the names are in `AxolotlKeys+Lists.swift`.
///
/// Keys that only steer other hardware, other programs or speed have no effect, and are listed once, together. Keys
/// that would change what comes out are either refused, when the result would be another thing, or noted, when it would
/// differ a little.
enum AxolotlKeys {
    /// What is done with a key that asks for something.
    enum Treatment {
        case read
        /// What it asks for is done anyway, or concerns nothing that Eft does.
        case silent
        /// Accepted, and listed with the others of its kind.
        case noEffect
        /// Accepted; what it would send stands in the log.
        case service
        /// Accepted with a line that says what happens instead.
        case notice(String)
        /// An error that says what to do.
        case refuse(String)
    }

    /// All known keys.
    static let all: [String: Treatment] = {
        var table: [String: Treatment] = [:]
        for key in read { table[key] = .read }
        for key in silent { table[key] = .silent }
        for key in services { table[key] = .service }
        for key in noEffect { table[key] = .noEffect }
        for (key, text) in notices { table[key] = .notice(text) }
        for (key, text) in refusals { table[key] = .refuse(text) }
        return table
    }()

    // MARK: Checking

    /// Lines for keys that are unknown or without effect.
    /// - Throws: `ConfigError` for keys that ask for what Eft does not have.
    static func check(_ config: ConfigCursor) throws(ConfigError) -> [String] {
        var lines = try config.unknownKeys(known: all.keys.sorted()).map { "\($0); it is ignored" }
        var unused: [String] = []
        var services: [String] = []
        for (key, value) in try config.entries() where value.asksForSomething {
            switch all[key] {
            case .noEffect: unused.append(key)
            case .service: services.append(key)
            case .notice(let text): lines.append("\(value.error(.badValue, text))")
            case .refuse(let text): throw value.error(.badValue, text)
            default: break
            }
        }
        if !services.isEmpty {
            lines.append(
                "nothing is sent anywhere; what would be is in training_log.jsonl of output_dir, and for TensorBoard "
                    + "with use_tensorboard: " + services.joined(separator: ", "))
        }
        if !unused.isEmpty {
            lines.append(
                "without effect here (they concern other hardware, services or speed): "
                    + unused.joined(separator: ", "))
        }
        return lines
    }
}

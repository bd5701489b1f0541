// SPDX-License-Identifier: Apache-2.0
// The key `unfrozen_parameters`: which weights are trained when there is no adapter.
import EftConfig
import EftModels

/// Patterns of names of weights, as Axolotl reads them.
///
/// A pattern is a regular expression that must match from the beginning of a name, maybe followed by a range of rows,
/// as in `^model.embed_tokens.weight$[:32000]`: then the gradients of the other rows are zero.
package struct UnfrozenParameters: Sendable, Hashable {
    private struct Pattern: Sendable, Hashable {
        let text: String
        let rows: Range<Int>?
    }

    private let patterns: [Pattern]

    /// Reads the key; nil when it is absent or empty.
    /// - Throws: `ConfigError` for a text that is no such pattern.
    init?(_ config: ConfigCursor) throws(ConfigError) {
        let key = "unfrozen_parameters"
        guard let texts = try config.texts(key) else { return nil }
        let place = try config.required(key)
        var patterns: [Pattern] = []
        for text in texts {
            let (name, rows) = try UnfrozenParameters.split(text, place)
            guard name.utf8.count <= 4096, (try? Regex(name)) != nil else {
                throw place.error(.badValue, "'\(excerpt(text))' is no regular expression")
            }
            patterns.append(Pattern(text: name, rows: rows))
        }
        self.patterns = patterns
    }

    /// Takes the range of rows from the end of a pattern.
    private static func split(
        _ text: String, _ place: ConfigCursor
    ) throws(ConfigError) -> (name: String, rows: Range<Int>?) {
        guard text.hasSuffix("]"), let open = text.lastIndex(of: "[") else { return (text, nil) }
        let inner = text[text.index(after: open)...].dropLast()
        let parts = inner.split(separator: ":", omittingEmptySubsequences: false)
        let isRange =
            (1...2).contains(parts.count) && inner.contains { $0.isNumber }
            && parts.allSatisfy { $0.allSatisfy { ("0"..."9").contains($0) } }
        // Anything else in brackets belongs to the expression.
        guard isRange, parts.count == 2 || text[..<open].hasSuffix("$") else { return (text, nil) }
        let first = parts[0].isEmpty ? 0 : Int(parts[0])
        let end =
            parts.count == 1 ? first.map { $0 &+ 1 } : parts[1].isEmpty ? Int.max : Int(parts[1])
        guard let first, let end, first < end else {
            throw place.error(.badValue, "'\(excerpt(text))' names no range of rows")
        }
        return (String(text[..<open]), first..<end)
    }

    /// Names under which a weight may be meant: its own, and those of a model of which the decoder is a part.
    private static func names(_ name: String) -> [String] {
        guard name.hasPrefix("model.") else { return [name] }
        return [
            name, "model.language_model." + name.dropFirst("model.".count),
            "language_model." + name,
        ]
    }

    /// The weights that are trained, and of those with ranges the rows.
    /// - Throws: `TrainingError` (`configuration`) when no weight is meant.
    package func weights(
        of description: DecoderDescription
    ) throws -> (trained: TrainedWeights, rows: [String: [Range<Int>]]) {
        let expressions = try patterns.map { (try Regex($0.text), $0.rows) }
        var names: Set<String> = []
        var ranges: [String: [Range<Int>]] = [:]
        for name in description.weightNames {
            for (regex, rows) in expressions
            where try UnfrozenParameters.names(name).contains(where: {
                try regex.prefixMatch(in: $0) != nil
            }) {
                names.insert(name)
                if let rows { ranges[name, default: []].append(rows) }
            }
        }
        guard !names.isEmpty else {
            let examples = description.weightNames.prefix(3).joined(separator: ", ")
            throw TrainingError(
                .configuration,
                "unfrozen_parameters matches no weight of the model; they are called \(examples), ..."
            )
        }
        let isAll = names.count == description.weightNames.count && ranges.isEmpty
        return (isAll ? .all : .named(names), ranges)
    }
}

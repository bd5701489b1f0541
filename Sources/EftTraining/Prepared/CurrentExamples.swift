// SPDX-License-Identifier: Apache-2.0
// The examples of a run: those that were kept when they are current, else made anew.
import EftFormats

/// The examples of a run, and where they may be kept.
struct CurrentExamples: Sendable {
    /// The examples.
    let data: TrainingData
    /// Lines for the user about examples that were kept.
    let notices: [String]
    /// Where they can be kept, which they are not yet; nil when nothing is to be kept.
    private let unwritten: PreparedStore?

    /// Takes or makes the examples of a configuration.
    /// - Parameter shouldStop: asked now and then; when it says yes, `TrainingError` (`interrupted`) is thrown.
    /// - Throws: `ConfigError`, `FormatError`, `TokenizerError`, `TrainingError`; `TensorError` (`outOfBudget`) when they take
    ///   more memory than the configuration's data may.
    init(
        _ config: AxolotlConfig, _ tokenizer: TrainingTokenizer, tokenizerFolder: String,
        shouldStop: () -> Bool
    ) throws {
        let store = try config.data.preparedPath.map {
            try PreparedStore(config, tokenizerFolder: tokenizerFolder, path: $0)
        }
        var lines: [String] = []
        switch try store?.read(memoryLimit: config.data.memoryLimit) {
        case .current(let data)?:
            self.data = data
            notices = ["prepared data is used: \(store?.folder ?? "")"]
            unwritten = nil
            return
        case .damaged(let reason)?:
            lines.append(
                "the prepared data in \(store?.folder ?? "") is damaged (\(reason)) and not used; the data is "
                    + "read anew, and takes its place when that is written")
        case .nothing?:
            if let path = store?.path, let names = try? FileSystem.list(path), !names.isEmpty {
                lines.append(
                    "the prepared data in \(path) belongs to other data or settings; it is not used and left "
                        + "alone")
            }
        case nil: break
        }
        // Rows may be changed while they are read: then the examples have no key, and are not kept.
        data = try TrainingData(
            config.data, encoder: tokenizer.encoder(config.data), seed: config.training.seed,
            shouldStop: shouldStop)
        let after = try config.data.preparedPath.map {
            try PreparedStore(config, tokenizerFolder: tokenizerFolder, path: $0)
        }
        unwritten = after?.folder == store?.folder ? after : nil
        notices = lines
    }

    /// Keeps the examples where the configuration says.
    /// - Returns: the folder; nil when there is nothing to write.
    /// - Throws: `FormatError` (`io`).
    func keep() throws -> String? {
        guard let unwritten else { return nil }
        try unwritten.write(data)
        return unwritten.folder
    }
}

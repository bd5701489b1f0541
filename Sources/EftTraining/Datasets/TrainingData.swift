// SPDX-License-Identifier: Apache-2.0
// From files to examples: tokenize, shuffle, drop, split.
import EftConfig
import EftFormats

/// The examples of a run.
package struct TrainingData: Sendable {
    /// Examples to train on.
    package private(set) var train: [TrainingExample]
    /// Examples to evaluate on.
    package private(set) var validation: [TrainingExample]
    /// Lines for the user.
    package private(set) var notices: [String] = []
    /// What became of the rows.
    package private(set) var counts = Counts()

    /// How many rows were read, and how many examples left out and why.
    package struct Counts: Sendable, Hashable {
        /// Rows read.
        package var rows = 0
        /// Examples longer than the limit.
        package var tooLong = 0
        /// Examples cut to the limit.
        package var truncated = 0
        /// Examples below the least length.
        package var tooShort = 0
        /// Examples of which no token is learned.
        package var unlabelled = 0
        /// Examples that came before.
        package var duplicates = 0

        /// One line for the user.
        package var summary: String {
            let parts = [
                (tooLong, "too long"), (tooShort, "too short"),
                (unlabelled, "with nothing to learn"), (duplicates, "duplicate"),
            ].filter { $0.0 > 0 }.map { "\($0.0) \($0.1)" }
            let dropped = parts.isEmpty ? "" : ", dropped: " + parts.joined(separator: ", ")
            let cut = truncated > 0 ? ", cut: \(truncated)" : ""
            return "\(rows) rows read\(dropped)\(cut)"
        }
    }

    /// Puts given examples together.
    package init(train: [TrainingExample], validation: [TrainingExample] = []) {
        self.train = train
        self.validation = validation
    }

    // MARK: Preparing

    /// Reads and prepares all data sets of a configuration.
    /// - Parameters:
    ///   - encoder: turns text into ids; its length is that of training examples.
    ///   - shouldStop: asked now and then; when it says yes, `TrainingError` (`interrupted`) is thrown.
    /// - Throws: `ConfigError` with file, line and field; `TrainingError` (`data`) when nothing is left.
    package init(
        _ settings: DataSettings, encoder: PromptEncoder, seed: UInt64,
        shouldStop: () -> Bool = { false }
    ) throws {
        (train, validation) = ([], [])
        var all = try read(settings.datasets, encoder, shouldStop)
        guard !all.isEmpty else {
            throw TrainingError(.data, "the data sets hold no example; \(counts.summary)")
        }
        if settings.shuffles {
            var generator = ShuffleGenerator(seed: seed, stream: .max)
            all.shuffle(using: &generator)
        }
        all = try kept(all, settings, limit: settings.sequenceLen)
        if settings.testDatasets.isEmpty {
            let count = try TrainingData.validationCount(settings.valSetSize, of: all.count)
            validation = Array(all.suffix(count))
            train = Array(all.dropLast(count))
        } else {
            train = all
            let tests = try read(settings.testDatasets, encoder, shouldStop)
            validation = try kept(tests, settings, limit: settings.evalSequenceLen)
        }
        guard !train.isEmpty else {
            throw TrainingError(.data, "no example is left to train on; \(counts.summary)")
        }
    }

    private mutating func read(
        _ entries: [DatasetEntry], _ encoder: PromptEncoder, _ shouldStop: () -> Bool
    ) throws -> [TrainingExample] {
        var all: [TrainingExample] = []
        for entry in entries {
            let format = try DatasetRegistry.format(entry, encoder)
            notices += format.notices
            var rows: [[TrainingExample]] = []
            for file in try DatasetFiles.find(entry) {
                let reader = try DataRows(file)
                while let row = try reader.next() {
                    rows.append(try format.examples(row, encoder))
                    if rows.count % 256 == 0, shouldStop() {
                        throw TrainingError(.interrupted, "interrupted while reading \(file)")
                    }
                }
            }
            let slice = rows[entry.split.rows(of: rows.count)]
            counts.rows += slice.count
            all += slice.joined()
        }
        return all
    }

    /// The examples that can be learned from, in order.
    private mutating func kept(
        _ examples: [TrainingExample], _ settings: DataSettings, limit: Int
    ) throws(TrainingError) -> [TrainingExample] {
        var seen = Set<TrainingExample>()
        var result: [TrainingExample] = []
        for var example in examples {
            if example.tokens.count > limit {
                switch settings.excessLength {
                case .drop:
                    counts.tooLong += 1
                    continue
                case .truncate:
                    counts.truncated += 1
                    example = example.prefix(limit)
                case .raise:
                    throw TrainingError(
                        .data,
                        "an example of \(example.tokens.count) tokens exceeds the limit of \(limit); raise "
                            + "sequence_len or set excess_length_strategy to drop or truncate")
                }
            }
            // A single token has nothing before it to be predicted from.
            if example.tokens.count < max(settings.minSampleLen, 2) {
                counts.tooShort += 1
            } else if example.trainedTokens == 0 {
                counts.unlabelled += 1
            } else if settings.deduplicates, !seen.insert(example).inserted {
                counts.duplicates += 1
            } else {
                result.append(example)
            }
        }
        return result
    }

    /// A share is rounded up; a number above 1 (or 1 itself) is a count.
    private static func validationCount(
        _ size: Double, of count: Int
    ) throws(TrainingError) -> Int {
        let wanted = size < 1 ? (Double(count) * size).rounded(.up) : size.rounded()
        guard wanted < Double(max(count, 1)) else {
            throw TrainingError(
                .data,
                "val_set_size takes \(Int(wanted)) of \(count) examples and leaves none to train on"
            )
        }
        return Int(wanted)
    }
}

extension TrainingExample {
    fileprivate func prefix(_ count: Int) -> TrainingExample {
        TrainingExample(
            tokens: Array(tokens.prefix(count)), labels: Array(labels.prefix(count)))
    }
}

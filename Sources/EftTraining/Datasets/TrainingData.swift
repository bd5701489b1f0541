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
        /// Rows that cannot be used.
        package var bad = 0
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

        /// Examples that were left out, by reason; reasons without any are not there.
        package var dropped: [(count: Int, reason: String)] {
            [
                (bad, "unusable"), (tooLong, "too long"), (tooShort, "too short"),
                (unlabelled, "with nothing to learn"), (duplicates, "duplicate"),
            ].filter { $0.0 > 0 }
        }

        /// One line for the user.
        package var summary: String {
            let parts = self.dropped.map { "\($0.count) \($0.reason)" }
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

    /// Examples that were prepared earlier, with what was said of them then.
    init(
        train: [TrainingExample], validation: [TrainingExample], counts: Counts, notices: [String]
    ) {
        self.train = train
        self.validation = validation
        self.counts = counts
        self.notices = notices
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
        var all = try read(settings, settings.datasets, encoder, seed, shouldStop)
        guard !all.isEmpty else {
            throw TrainingError(.data, "the data sets hold no example; \(counts.summary)")
        }
        if settings.shuffles {
            var generator = ShuffleGenerator(seed: seed, stream: .max)
            all.shuffle(using: &generator)
        }
        let usable = try kept(all, settings, limit: settings.sequenceLen)
        if settings.testDatasets.isEmpty {
            let count = try TrainingData.validationCount(settings.valSetSize, of: usable.count)
            if count == 0, settings.valSetSize > 0 {
                notices.append(
                    "val_set_size has no effect: a single example is left, which is trained on")
            }
            validation = Array(usable.suffix(count))
            train = Array(usable.dropLast(count))
        } else {
            train = usable
            let tests = try read(settings, settings.testDatasets, encoder, seed, shouldStop)
            validation = try kept(tests, settings, limit: settings.evalSequenceLen)
        }
        guard !train.isEmpty else {
            throw TrainingError(.data, "no example is left to train on; \(counts.summary)")
        }
    }

    /// An example, and the row that it comes from.
    private struct Source {
        var example: TrainingExample
        let place: RowPlace
    }

    /// Rows after which somebody may want to stop, and the memory that examples take is looked at.
    private static let rowsBetweenLooks = 256

    private mutating func read(
        _ settings: DataSettings, _ entries: [DatasetEntry], _ encoder: PromptEncoder,
        _ seed: UInt64, _ shouldStop: () -> Bool
    ) throws -> [Source] {
        var all: [Source] = []
        for (index, entry) in entries.enumerated() {
            let format: any RowFormat =
                try settings.answers.map { try PreferenceRegistry.format(entry, $0, encoder) }
                ?? DatasetRegistry.format(entry, encoder)
            notices += format.notices
            var rows: [[Source]] = []
            var bad = BadRows()
            for file in try DatasetFiles.find(entry) {
                let reader = try DataRows(file, form: entry.form)
                while let row = try reader.next() {
                    do {
                        rows.append(
                            try Self.examples(
                                row, entry, format, encoder, hasAnswers: settings.answers != nil))
                    } catch let error as ConfigError {
                        bad.add(rows.count, error)
                        rows.append([])
                    }
                    guard rows.count % Self.rowsBetweenLooks == 0 else { continue }
                    if shouldStop() {
                        throw TrainingError(.interrupted, "interrupted while reading \(file)")
                    }
                    try DataMemory.require(
                        settings.memoryLimit, after: "\(rows.count) rows of \(file)")
                }
            }
            var slice = entry.split.rows(of: rows.count)
            slice = min(slice.lowerBound + entry.skippedRows, slice.upperBound)..<slice.upperBound
            let places = entry.shard?.places(of: slice, seed: seed) ?? Array(slice)
            bad.keep(Set(places))
            try bad.check(rows: places.count, share: settings.maxBadRowShare)
            notices += bad.notices
            counts.bad += bad.count
            counts.rows += places.count
            var examples = places.flatMap { rows[$0] }
            if settings.shufflesEach {
                var generator = ShuffleGenerator(seed: seed, stream: .max - UInt64(index) - 1)
                examples.shuffle(using: &generator)
            }
            all += examples
        }
        return all
    }

    private static func examples(
        _ row: ConfigCursor, _ entry: DatasetEntry, _ format: any RowFormat,
        _ encoder: PromptEncoder, hasAnswers: Bool
    ) throws -> [Source] {
        let place = RowPlace(file: row.file, line: row.node.line)
        let isTokenized = !hasAnswers && Tokenized.holds(row)
        guard isTokenized || hasAnswers || entry.type != nil else {
            let error = entry.cursor.error(
                .missingKey,
                "the key 'type' is missing, and the rows are no tokens (input_ids, attention_mask, labels)"
            )
            throw TrainingError(.configuration, error.description)
        }
        let examples =
            isTokenized
            ? try Tokenized().examples(row, encoder) : try format.examples(row, encoder)
        return examples.map { Source(example: $0, place: place) }
    }

    /// The examples that can be learned from, in order.
    private mutating func kept(
        _ sources: [Source], _ settings: DataSettings, limit: Int
    ) throws(TrainingError) -> [TrainingExample] {
        var seen = Set<TrainingExample>()
        var result: [TrainingExample] = []
        var (short, unlabelled) = ([RowPlace](), [RowPlace]())
        for source in sources {
            var example = source.example
            if example.longestCount > limit {
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
                        "\(source.place): an example of \(example.longestCount) tokens exceeds the limit of \(limit); raise "
                            + "sequence_len or set excess_length_strategy to drop or truncate")
                }
            }
            // A single token has nothing before it to be predicted from.
            if example.tokens.count < max(settings.minSampleLen, 2) {
                counts.tooShort += 1
                short.append(source.place)
            } else if settings.answers != .prompts,
                example.trainedTokens == 0 || example.rejected?.trainedTokens == 0
            {
                counts.unlabelled += 1
                unlabelled.append(source.place)
            } else if settings.deduplicates, !seen.insert(example).inserted {
                counts.duplicates += 1
            } else {
                result.append(example)
            }
        }
        notices += Self.named(short, "below min_sample_len")
        notices += Self.named(unlabelled, "of which no token is learned")
        return result
    }

    /// A line with the first places of examples that were left out; nothing when there are none.
    private static func named(_ places: [RowPlace], _ reason: String) -> [String] {
        guard !places.isEmpty else { return [] }
        let first = places.sorted(by: RowPlace.isBefore).prefix(3).map(\.description).joined(
            separator: ", ")
        let more = places.count > 3 ? " and \(places.count - 3) more" : ""
        return ["\(places.count) left out \(reason): \(first)\(more)"]
    }

    /// A share is rounded up; a number above 1 (or 1 itself) is a count.
    private static func validationCount(
        _ size: Double, of count: Int
    ) throws(TrainingError) -> Int {
        // A share of a single example would leave none.
        if size < 1, count <= 1 { return 0 }
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

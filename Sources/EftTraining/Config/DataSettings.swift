// SPDX-License-Identifier: Apache-2.0
// The keys that say where examples come from and how they are prepared.
import EftConfig
import EftFormats

/// The data of a run.
package struct DataSettings: Sendable {
    /// What happens to examples that are longer than `sequence_len`.
    package enum ExcessLength: String, Sendable, CaseIterable {
        case drop
        case truncate
        case `raise`
    }

    /// Data sets to train on.
    package var datasets: [DatasetEntry]
    /// Data sets to evaluate on.
    package var testDatasets: [DatasetEntry]
    /// The share (below 1) or number of examples taken from the end for evaluation.
    package var valSetSize: Double
    /// Most tokens of an example to train on.
    package var sequenceLen: Int
    /// Most tokens of an example to evaluate on.
    package var evalSequenceLen: Int
    /// Fewest tokens of an example.
    package var minSampleLen: Int
    /// What happens to longer ones.
    package var excessLength: ExcessLength
    /// Whether prompts are learned too.
    package var trainOnInputs: Bool
    /// Whether equal examples count once.
    package var deduplicates: Bool
    /// The greatest share of a data set's rows that may be left out because they cannot be used.
    package var maxBadRowShare: Double
    /// Whether examples are shuffled before the validation set is taken.
    package var shuffles: Bool
    /// Whether the examples of each of several data sets are shuffled among themselves before that.
    package var shufflesEach: Bool

    /// The folder in which prepared examples are kept; nil keeps none.
    package var preparedPath: String?
    /// The folder in which they are kept when they are prepared without one.
    package static let usualPreparedPath = "last_run_prepared"

    /// Most resident bytes of the program while examples are read, after which reading ends with an error.
    package var memoryLimit = Int.max

    /// How rows hold preferences, in a run that learns from them.
    package var answers: AnswerKind?

    /// How conversations become text.
    package var chat: ChatSettings

    /// Whether there is anything to evaluate on.
    package var hasValidation: Bool { valSetSize > 0 || !testDatasets.isEmpty }

    /// Longest example that is believed.
    static let longestSequence = 1 << 24

    init(_ config: ConfigCursor) throws(ConfigError) {
        let lengths = 1...Self.longestSequence
        sequenceLen = try config.lenientInt("sequence_len", in: lengths) ?? 512
        evalSequenceLen = try config.lenientInt("eval_sequence_len", in: lengths) ?? sequenceLen
        minSampleLen = try config.lenientInt("min_sample_len", in: lengths) ?? 2
        excessLength = .drop
        if let value = try config.optional("excess_length_strategy") {
            guard let strategy = ExcessLength(rawValue: try value.string()) else {
                throw value.error(.badValue, "expected drop, truncate or raise")
            }
            excessLength = strategy
        }
        trainOnInputs = try config.lenientBool("train_on_inputs") ?? false
        deduplicates = try config.lenientBool("dataset_exact_deduplication") ?? false
        let keepsOrder = try config.lenientBool("curriculum_sampling") ?? false
        shuffles = try config.lenientBool("shuffle_merged_datasets") ?? true
        shufflesEach = try config.lenientBool("shuffle_before_merging_datasets") ?? false
        maxBadRowShare = try config.lenientDouble("max_bad_row_share", in: 0...1) ?? 0.05
        preparedPath = try config.text("dataset_prepared_path")
        valSetSize = try config.lenientDouble("val_set_size", in: 0...1e12) ?? 0
        chat = try ChatSettings(config)
        datasets = try Self.entries(config, "datasets") + Self.pretraining(config)
        testDatasets = try Self.entries(config, "test_datasets")
        guard !datasets.isEmpty else {
            throw config.error(.missingKey, "the list 'datasets' is missing or empty")
        }
        // As in Axolotl: a curriculum of one data set is never shuffled, one of several only when asked to.
        if keepsOrder, datasets.count == 1 { shuffles = false }
        shufflesEach = shufflesEach && datasets.count > 1
        guard testDatasets.isEmpty || valSetSize == 0 else {
            throw try config.required("val_set_size").error(
                .badValue, "val_set_size and test_datasets exclude each other")
        }
    }

    /// The entries of `pretraining_dataset`: a path, an entry, or a list of them.
    private static func pretraining(
        _ config: ConfigCursor
    ) throws(ConfigError) -> [DatasetEntry] {
        guard let value = try config.optional("pretraining_dataset") else { return [] }
        let type = ConfigCursor("pretrain", file: value.file, keyPath: value.keyPath)
        switch value.node.value {
        case .bool(false): return []
        case .string(let path):
            let node = ConfigNode(.object(["path": ConfigNode(path)]), line: value.node.line)
            return [
                try DatasetEntry(
                    ConfigCursor(node, file: value.file, keyPath: value.keyPath), type: type)
            ]
        case .object: return [try DatasetEntry(value, type: type)]
        default:
            var entries: [DatasetEntry] = []
            for item in try value.elements() {
                entries.append(try DatasetEntry(item, type: type))
            }
            return entries
        }
    }

    private static func entries(
        _ config: ConfigCursor, _ key: String
    ) throws(ConfigError) -> [DatasetEntry] {
        guard let list = try config.optional(key) else { return [] }
        var entries: [DatasetEntry] = []
        for item in try list.elements() { entries.append(try DatasetEntry(item)) }
        return entries
    }
}

/// One entry of `datasets`.
package struct DatasetEntry: Sendable {
    /// A file or a folder.
    package let path: String
    /// Files, relative to the folder `path` where that is one.
    package let dataFiles: [String]
    /// How rows are written; nil leaves it to the names of files.
    package let form: DataRows.Form?
    /// Which part of the data.
    package let split: DatasetSplit
    /// Which of several equal parts of that; nil for all.
    package let shard: DatasetShard?
    /// Rows in front that are passed over.
    package let skippedRows: Int
    /// How rows become examples: a name, or a mapping of the user's own; nil for rows that are tokens already.
    package let type: ConfigCursor?
    /// The entry as a whole, for the keys that formats read.
    package let cursor: ConfigCursor
    /// Lines for the user.
    package let notices: [String]

    /// The name of the type; empty for a mapping, and where there is none.
    package var typeName: String {
        guard case .string(let name)? = type?.node.value else { return "" }
        return name
    }

    private static let known = [
        "path", "name", "split", "type", "data_files", "ds_type", "revision", "trust_remote_code",
        "shards", "shards_idx", "preprocess_shards", "field", "conversation", "field_messages",
        "message_property_mappings", "message_field_role", "message_field_content", "roles",
        "roles_to_train", "train_on_eos", "train_on_eot", "chat_template", "chat_template_jinja",
        "field_tools", "field_thinking", "template_thinking_key", "split_thinking",
        "drop_system_message", "message_field_training", "message_field_training_detail",
        "train_on_split", "temperature", "skip", "input_format", "input_transform",
        "field_human", "field_model", "logprobs_field", "text_column",
        "field_chosen", "field_rejected", "field_completion", "field_label", "step_separator",
        "max_completion_length", "train_on_last_step_only",
    ]

    /// The rows of one split of a data set, by its name on the hub.
    package init(name: String, split: String) throws(ConfigError) {
        let entry: ConfigObject = ["path": ConfigNode(name), "split": ConfigNode(split)]
        try self.init(ConfigCursor(ConfigNode(.object(entry))))
    }

    /// - Parameter fallback: the type of an entry that names none.
    init(_ cursor: ConfigCursor, type fallback: ConfigCursor? = nil) throws(ConfigError) {
        self.cursor = cursor
        path = try cursor.required("path").string()
        type = try cursor.optional("type") ?? fallback
        dataFiles = try cursor.texts("data_files") ?? []
        let named = try cursor.optional("ds_type").map { (item) throws(ConfigError) in
            guard let form = DataRows.Form(rawValue: try item.string()) else {
                let known = DataRows.Form.allCases.map(\.rawValue).joined(separator: ", ")
                throw item.error(.badValue, "data files in \(known) are read, others are not")
            }
            return form
        }
        // `path: csv` with `data_files` is how Hugging Face names local files.
        form = named ?? (dataFiles.isEmpty ? nil : DataRows.Form(rawValue: path))
        split = try DatasetSplit(cursor)
        shard = try DatasetShard(cursor)
        skippedRows = try cursor.lenientInt("skip", in: 0...1 << 50) ?? 0
        notices = try cursor.unknownKeys(known: Self.known).map { "\($0); it is ignored" }
    }
}

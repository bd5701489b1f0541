// SPDX-License-Identifier: Apache-2.0
// A QLoRA configuration for a data set that has none yet.
import EftCommandLine
import EftConfig
import EftFormats
import EftTraining

/// What `eft plan MODEL --dataset FILE` would train: a configuration with the usual settings.
struct PlannedDataset {
    /// The model's folder.
    let model: String
    /// A JSON, JSONL or Parquet file.
    let file: String
    /// Axolotl's word for the form of its rows.
    let type: String
    /// Times that the data is gone through.
    let epochs: Double
    /// Whether short examples share a row.
    let samplePacking: Bool
    let rank: Int
    let sequenceLen: Int
    let microBatchSize: Int
    let gradientAccumulationSteps: Int

    /// The configuration as a file for `eft train`.
    var yaml: String {
        func quoted(_ text: String) -> String { JSONWriter.text(ConfigNode(text)) }
        return """
            base_model: \(quoted(model))
            adapter: qlora
            load_in_4bit: true
            lora_r: \(rank)
            lora_alpha: \(2 * rank)
            lora_target_linear: true
            datasets:
              - path: \(quoted(file))
                type: \(quoted(type))
            sequence_len: \(sequenceLen)
            sample_packing: \(samplePacking)
            micro_batch_size: \(microBatchSize)
            gradient_accumulation_steps: \(gradientAccumulationSteps)
            num_epochs: \(epochs)
            learning_rate: 0.0002
            gradient_checkpointing: true
            output_dir: ./model-out

            """
    }

    /// The configuration as `eft train` reads it.
    func config() throws -> AxolotlConfig {
        try AxolotlConfig(ConfigCursor(YAMLParser.parse(Array(yaml.utf8))))
    }

    /// The form of a file's rows, from the fields of the first one.
    /// - Throws: `ConfigError` when the file has no row, or one of another form.
    static func type(of file: String) throws -> String {
        guard FileSystem.exists(file), !FileSystem.isFolder(file) else {
            throw FormatError(
                .missing, "this file does not exist; give a local JSON, JSONL or Parquet file",
                path: file)
        }
        guard let row = try DataRows(file).next() else {
            throw ConfigError(.badValue, "the file holds no row", file: file)
        }
        func has(_ keys: String...) throws -> Bool {
            try keys.allSatisfy { try row.optional($0) != nil }
        }
        if try has("instruction", "output") { return "alpaca" }
        if try has("messages") || has("conversations") { return "chat_template" }
        if try has("segments") { return "input_output" }
        if try has("text") { return "completion" }
        throw row.error(
            .badValue,
            "rows of this form are not known by their fields; name it with --dataset-type, as 'type' of "
                + "Axolotl's datasets does")
    }
}

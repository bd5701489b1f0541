// SPDX-License-Identifier: Apache-2.0
// A training run in Swift values, under the keys of an Axolotl configuration.
import EftConfig
import EftTraining

/// What is trained, on what, and how.
///
/// The properties are the common keys of an Axolotl configuration; `settings` takes any other one.
public struct TrainingConfiguration: Sendable, Hashable {
    /// What is trained.
    public enum Method: String, Sendable, Hashable {
        /// An adapter on the base as it is stored.
        case lora
        /// An adapter on the base in NF4.
        case qlora
        /// All weights.
        case full
    }

    /// Rows to train on.
    public struct Dataset: Sendable, Hashable {
        /// A local JSON or JSONL file, or a folder of them.
        public var path: String
        /// How rows become examples, such as `alpaca` or `completion`.
        public var type: String

        /// Names a data set.
        public init(path: String, type: String) {
            self.path = path
            self.type = type
        }
    }

    /// The base model's folder.
    public var baseModel: String
    /// What is trained.
    public var method: Method
    /// Rows to train on.
    public var datasets: [Dataset]
    /// Where the adapter or the model goes.
    public var output: String
    /// Rank of the adapter.
    public var rank = 16
    /// The adapter's scale is alpha divided by rank.
    public var alpha = 32.0
    /// Dropout of the adapter's inputs.
    public var dropout = 0.0
    /// Most tokens of an example.
    public var sequenceLength = 512
    /// Whether short examples share a row.
    public var packsSamples = true
    /// Rows of a micro-batch.
    public var microBatchSize = 1
    /// Micro-batches of a step.
    public var gradientAccumulationSteps = 1
    /// Passes over the data.
    public var epochs = 1.0
    /// Most steps; nil for no limit.
    public var maxSteps: Int?
    /// The highest learning rate.
    public var learningRate = 2e-4
    /// The share of rows that is kept for evaluation, below 1, or their number.
    public var validationSize = 0.0
    /// Seed of order, fresh weights and dropout.
    public var seed = 42
    /// Any other key of an Axolotl configuration with its value as YAML, such as `"lora_dropout": "0.05"`; dots lead into
    /// mappings. It wins over the properties.
    public var settings: [String: String] = [:]

    /// Describes a run.
    public init(baseModel: String, method: Method, datasets: [Dataset], output: String) {
        self.baseModel = baseModel
        self.method = method
        self.datasets = datasets
        self.output = output
    }

    /// The document of the configuration.
    private var document: ConfigObject {
        var object: ConfigObject = [
            "base_model": ConfigNode(baseModel),
            "datasets": ConfigNode(
                datasets.map { ["path": ConfigNode($0.path), "type": ConfigNode($0.type)] }),
            "output_dir": ConfigNode(output), "sequence_len": ConfigNode(sequenceLength),
            "sample_packing": ConfigNode(packsSamples),
            "micro_batch_size": ConfigNode(microBatchSize),
            "gradient_accumulation_steps": ConfigNode(gradientAccumulationSteps),
            "num_epochs": ConfigNode(epochs), "learning_rate": ConfigNode(learningRate),
            "val_set_size": ConfigNode(validationSize), "seed": ConfigNode(seed),
        ]
        if let maxSteps { object["max_steps"] = ConfigNode(maxSteps) }
        guard method != .full else { return object }
        object["adapter"] = ConfigNode(method.rawValue)
        object["load_in_4bit"] = ConfigNode(method == .qlora)
        object["lora_r"] = ConfigNode(rank)
        object["lora_alpha"] = ConfigNode(alpha)
        object["lora_dropout"] = ConfigNode(dropout)
        object["lora_target_linear"] = ConfigNode(true)
        return object
    }

    /// The configuration as training reads it.
    /// - Throws: `ConfigError`.
    func resolved() throws -> AxolotlConfig {
        let overrides = settings.sorted { $0.key < $1.key }.map { ConfigOverride($0.key, $0.value) }
        let cursor = ConfigCursor(ConfigNode(document), file: "the training configuration")
        return try AxolotlConfig(ConfigOverride.apply(overrides, to: cursor))
    }
}

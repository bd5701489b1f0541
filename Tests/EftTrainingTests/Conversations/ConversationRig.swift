// SPDX-License-Identifier: Apache-2.0
// Conversations tokenized by a tokenizer of the fixtures.
import EftConfig
import EftTestSupport
import EftTokenizers
import Testing

@testable import EftTraining

/// A tokenizer's folder, and what a data set makes of rows with it.
struct ConversationRig {
    let folder: TemporaryFolder
    let tokenizer: Tokenizer

    /// A template that ends every message with EOS.
    static let template =
        "{% for m in messages %}<tool>{{ m.role }}\n{{ m.content }}{{ eos_token }}\n{% endfor %}"

    /// - Parameter template: the template of the tokenizer's folder.
    init(_ name: String = "qwen", template: String? = nil) throws {
        folder = try TemporaryFolder()
        try folder.link("tokenizer.json", to: Fixtures.path("tokenizers/\(name).json"))
        let tokens: ConfigNode =
            name == "qwen" || name == "llama3"
            ? ["bos_token": "<|bos|>", "eos_token": "<|eos|>"]
            : ["bos_token": "<s>", "eos_token": "</s>"]
        try folder.write("tokenizer_config.json", JSONWriter.text(tokens))
        if let template { try folder.write("chat_template.jinja", template) }
        tokenizer = try Tokenizer.load(folder: folder.path)
    }

    /// The format that an entry of `datasets` names, with further keys at the top of the configuration.
    func format(
        _ entry: ConfigObject, top: ConfigObject = [:]
    ) throws -> (format: any DatasetFormat, encoder: PromptEncoder) {
        var entry = entry
        entry["path"] = "rows.jsonl"
        if entry["type"] == nil { entry["type"] = "chat_template" }
        var config = top
        config["base_model"] = "b"
        config["learning_rate"] = 1
        config["datasets"] = [ConfigNode(entry)]
        let settings = try AxolotlConfig(ConfigCursor(ConfigNode(config), file: "c.yml")).data
        let encoder = encoder(settings)
        return (try DatasetRegistry.format(settings.datasets[0], encoder), encoder)
    }

    /// An encoder for texts of up to `length` tokens.
    func encoder(_ settings: DataSettings, length: Int = 4096) -> PromptEncoder {
        PromptEncoder(
            sequenceLen: length, trainOnInputs: settings.trainOnInputs, bosID: tokenizer.bosID,
            eosID: tokenizer.eosID,
            chat: ChatResources(tokenizer: tokenizer, folder: folder.path, settings: settings.chat)
        ) { [tokenizer] in try tokenizer.encode($0, addSpecialTokens: $1) }
    }

    /// The example that the first data set of a configuration of preferences, rewards or rollouts makes of a row.
    func answers(
        _ config: AxolotlConfig, _ row: String, length: Int = 4096
    ) throws -> TrainingExample {
        let encoder = encoder(config.data, length: length)
        let format = try PreferenceRegistry.format(
            config.data.datasets[0], try #require(config.data.answers), encoder)
        let cursor = ConfigCursor(try JSONParser.parse(row), file: "rows.jsonl")
        return try #require(try format.examples(cursor, encoder).first)
    }

    /// The example of one row.
    func example(
        _ row: ConfigNode, _ entry: ConfigObject = [:], top: ConfigObject = [:]
    ) throws -> TrainingExample {
        let (format, encoder) = try format(entry, top: top)
        let cursor = ConfigCursor(ConfigNode(row.value, line: 7), file: "rows.jsonl")
        return try format.examples(cursor, encoder)[0]
    }

    /// The text of all tokens, those that are not learned replaced by dots.
    func learned(_ example: TrainingExample) throws -> String {
        try zip(example.tokens, example.labels).map { token, label in
            label >= 0 ? try tokenizer.decode([token]) : "."
        }.joined()
    }
}

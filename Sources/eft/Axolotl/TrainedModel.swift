// SPDX-License-Identifier: Apache-2.0
// The model that a training configuration results in: its base with the trained adapter, or a whole model.
import EftCommandLine
import EftConfig
import EftFormats
import EftModels
import EftTraining

/// Base and adapter as a configuration names them.
struct TrainedModel {
    /// The folder of the model.
    let base: String
    /// The folder of the adapter; nil when all weights were trained.
    let adapter: String?
    /// How training held the base.
    private let form: BaseForm

    /// Reads `base_model`, `adapter`, `lora_model_dir`, `output_dir` and `load_in_4bit`.
    /// - Throws: `ConfigError`.
    init(_ document: ConfigCursor) throws {
        let output = try document.string("output_dir", default: "./model-out")
        let kind = try document.string("adapter", default: "")
        let folder = try document.string("lora_model_dir", default: "")
        form = try kind.isEmpty ? .stored : AdapterBase.form(document)
        let named = try ModelSettings.dated(
            document.required("base_model").string(), document)
        if kind.isEmpty, folder.isEmpty {
            // What was trained in whole lies in output_dir, unless the command line names another model.
            let isTrained = FileSystem.exists(FileSystem.join(output, "config.json"))
            let isOverridden = try document.required("base_model").node.line == 0
            (base, adapter) = (isTrained && !isOverridden ? output : named, nil)
        } else {
            (base, adapter) = (named, folder.isEmpty ? output : folder)
        }
    }

    /// Reads a whole configuration.
    init(_ config: AxolotlConfig) throws { try self.init(config.document) }

    /// The words that name model and adapter for another verb.
    func words(
        _ arguments: ParsedArguments, for other: CommandSpecification, adapterName: String? = nil
    ) throws -> [String] {
        var words = ["--model=\(base)"]
        if let adapter { words.append("--adapter=\(adapterName.map { $0 + "=" } ?? "")\(adapter)") }
        let takesForm = other.options.contains { $0.key == CommonOptions.fourBits.key }
        if adapter != nil, takesForm, try arguments.baseForm == nil {
            let option =
                switch form {
                case .stored: "--no-load-in-4bit"
                case .int8: "--load-in-8bit"
                case .nf4: "--load-in-4bit"
                }
            words.append(option)
        }
        // The template that training wrote conversations by, where that is not the base's.
        let template = FileSystem.join(adapter ?? base, "chat_template.jinja")
        let takesTemplate = other.options.contains { $0.key == ConversationOptions.template.key }
        let isNamed = arguments.declares("chat-template") && arguments.isGiven("chat-template")
        if adapter != nil, takesTemplate, !isNamed, FileSystem.exists(template) {
            words.append("--chat-template=\(template)")
        }
        return words
    }
}

// SPDX-License-Identifier: Apache-2.0
// In which form the base of an adapter is held: as its training held it, unless an option decides.
import EftConfig
import EftFormats

/// How the linear layers of a 16-bit base are held in memory.
package enum BaseForm: Sendable, Hashable {
    /// As they are stored.
    case stored
    /// In 8 bits, as LLM.int8 holds weights.
    case int8
    /// In NF4.
    case nf4

    /// The form in a sentence.
    fileprivate var words: String {
        switch self {
        case .stored: "as stored"
        case .int8: "in 8 bits"
        case .nf4: "in NF4"
        }
    }
}

/// Whether the linear layers of a 16-bit base are held in NF4 or in 8 bits under adapters.
///
/// QLoRA trains an adapter on the values that NF4 makes of a base. On the 16-bit base the same adapter gives other
/// answers. So `run`, `eval`, `serve` and `merge` hold the base as the adapter's training did. What training did is
/// read from what lies beside the adapter; see `record(beside:)`.
package struct AdapterBase: Sendable, Hashable {
    /// What decided.
    package enum Reason: Sendable, Hashable {
        /// An option; with what the training's record says, where there is one.
        case option(trained: BaseForm?)
        /// The record of the adapters' training, in this file.
        case record(String)
        /// Adapters whose trainings held the base differently.
        case mixed
        /// No adapter, or none with a record.
        case nothing
    }

    /// How linear layers stored as plain numbers are held.
    package let form: BaseForm
    /// Whether the scales of NF4 are quantized a second time, as is usual.
    package let doubleQuantization: Bool
    /// What decided it.
    package let reason: Reason

    /// The file in which Eft's training keeps its configuration.
    package static let configName = "axolotl_config.yml"

    /// Decides.
    /// - Parameters:
    ///   - adapters: folders of the adapters that the base will have.
    ///   - option: what the command line says; nil when it says nothing.
    ///   - configuration: the training's configuration, when the command line names it.
    /// - Throws: `ConfigError` and `FormatError` for a record that cannot be read.
    package init(
        adapters: [String], option: BaseForm?, configuration: ConfigCursor? = nil
    ) throws {
        let records = try adapters.map { adapter in
            let found = try AdapterBase.record(beside: adapter)
            guard found == nil, let configuration else { return found }
            return try Record(configuration, file: configuration.file ?? AdapterBase.configName)
        }
        let known = records.compactMap { $0 }
        let all = Set(known.map(\.form))
        let doubles = Set(known.filter { $0.form == .nf4 }.map(\.doubleQuantization))
        doubleQuantization = doubles != [false]
        if let option {
            form = option
            reason = .option(trained: all.count == 1 ? all.first : nil)
        } else if all.count > 1 || doubles.count > 1
            || (known.count < records.count && all != [.stored] && !all.isEmpty)
        {
            (form, reason) = (.stored, .mixed)
        } else if let first = known.first {
            (form, reason) = (first.form, .record(first.file))
        } else {
            (form, reason) = (.stored, .nothing)
        }
    }

    // MARK: Words

    /// A line for verbs that compute with base and adapter; nil when there is nothing to say.
    package var sentence: String? {
        switch (reason, form) {
        case (.record(let file), .nf4):
            "the base is held in NF4, as the adapter was trained (\(file)); --no-load-in-4bit holds it as "
                + "stored: more memory, and other answers than in training"
        case (.record(let file), .int8):
            "the base is held in 8 bits, as the adapter was trained (\(file)); --no-load-in-8bit holds it as "
                + "stored: more memory, and slightly other answers than in training"
        case (.option(.nf4?), .stored):
            "the base is held as stored, but the adapter was trained on NF4: answers differ from training"
        case (.option(.stored?), .nf4):
            "the base is held in NF4, but the adapter was trained on the base as stored: less memory, and "
                + "answers differ from training"
        case (.option(let trained?), let held) where trained != held:
            "the base is held \(held.words), but the adapter was trained on it \(trained.words): answers differ "
                + "from training"
        case (.mixed, _):
            "the base is held as stored: not all of the adapters are known to be trained on the same form of it; "
                + "--load-in-4bit holds it in NF4, --load-in-8bit in 8 bits"
        default: nil
        }
    }

    /// A line for a merge; nil when there is nothing to say.
    package var mergeSentence: String? {
        switch (reason, form) {
        case (.record(let file), .nf4):
            "merging into the values that NF4 makes of the base, as the adapter was trained (\(file)); to "
                + "quantize the result afterwards, --no-load-in-4bit is better: the base is then rounded only once"
        case (.record(let file), .int8):
            "merging into the base as stored; the adapter was trained on 8 bits (\(file)), which differ from it by "
                + "0.4 % of a row's largest weight at most"
        case (.option(.nf4?), .stored):
            "merging into the 16-bit base, although the adapter was trained on NF4: better when the result is "
                + "quantized afterwards; in 16 bits its answers differ from training"
        case (.option(.stored?), .nf4):
            "merging into what NF4 makes of the base, although the adapter was trained on the base as stored"
        default: nil
        }
    }

    // MARK: Records

    /// What is known of an adapter's training.
    private struct Record {
        let form: BaseForm
        let doubleQuantization: Bool
        let file: String

        init(form: BaseForm, doubleQuantization: Bool, file: String) {
            self.form = form
            self.doubleQuantization = doubleQuantization
            self.file = file
        }

        /// Reads a training configuration.
        init(_ config: ConfigCursor, file: String) throws(ConfigError) {
            let options = try config.optional("bnb_config_kwargs")
            // LoftQ on a base that is not asked for in 4 bits rounds it once.
            let usesLoftQ = try AdapterBase.usesLoftQ(config)
            let isDouble = try AdapterBase.asksForNF4(config) ? true : !usesLoftQ
            self.init(
                form: try AdapterBase.form(config),
                doubleQuantization: try options?.bool(
                    "bnb_4bit_use_double_quant", default: isDouble) ?? isDouble, file: file)
        }
    }

    /// How the training of an adapter held its base; nil when nothing says so.
    ///
    /// In this order: Eft's copy of the configuration, in the folder or, for a `checkpoint-N`, in the one above it; the
    /// configuration in Axolotl's model card (`README.md`); the `quantization_config` that transformers writes in the
    /// `config.json` beside an adapter.
    private static func record(beside adapter: String) throws -> Record? {
        var folders = [adapter]
        let absolute = FileSystem.absolute(adapter)
        if FileSystem.name(of: absolute).hasPrefix("checkpoint-") {
            folders.append(FileSystem.folder(of: absolute))
        }
        for folder in folders {
            let path = FileSystem.join(folder, configName)
            if FileSystem.exists(path) {
                return try Record(ConfigFile.read(path), file: configName)
            }
        }
        for folder in folders {
            if let record = card(folder) ?? modelConfig(folder) { return record }
        }
        return nil
    }

    /// How a training configuration holds the base.
    /// - Throws: `ConfigError`.
    package static func form(_ config: ConfigCursor) throws(ConfigError) -> BaseForm {
        if try asksForNF4(config) { return .nf4 }
        if try usesLoftQ(config) { return .nf4 }
        return try isOn("load_in_8bit", config) ?? false ? .int8 : .stored
    }

    /// Whether a training configuration lets an adapter begin as LoftQ does, on a base in NF4.
    /// - Throws: `ConfigError`.
    package static func usesLoftQ(_ config: ConfigCursor) throws(ConfigError) -> Bool {
        guard try config.string("adapter", default: "") != "" else { return false }
        if let value = try config.optional("peft_init_lora_weights"),
            case .string("loftq") = value.node.value
        {
            return true
        }
        return try config.optional("peft")?.optional("loftq_config") != nil
    }

    private static func asksForNF4(_ config: ConfigCursor) throws(ConfigError) -> Bool {
        let kind = try config.string("adapter", default: "")
        return try isOn("load_in_4bit", config) ?? (kind == "qlora")
    }

    /// A key that may be quoted; nil when it is missing.
    private static func isOn(
        _ key: String, _ config: ConfigCursor
    ) throws(ConfigError) -> Bool? {
        guard let value = try config.optional(key) else { return nil }
        if case .string(let text) = value.node.value {
            return YAMLScalar.resolve(text) == .bool(true)
        }
        return try value.bool()
    }

    /// Largest model card that is looked into.
    private static let largestCard = 1 << 20

    /// What the configuration in a model card says; a card without one, or with a damaged one, says nothing.
    private static func card(_ folder: String) -> Record? {
        let name = "README.md"
        let path = FileSystem.join(folder, name)
        guard let size = FileSystem.byteCount(path), size <= largestCard,
            let bytes = try? FileSystem.read(path)
        else { return nil }
        let text = String(decoding: bytes, as: UTF8.self)
        // The card's head is YAML too; the configuration is a block of code.
        for block in text.components(between: "```yaml\n", and: "\n```") {
            guard let node = try? YAMLParser.parse(block) else { continue }
            let config = ConfigCursor(node)
            guard (try? config.optional("base_model")) != nil,
                let record = try? Record(config, file: name)
            else { continue }
            return record
        }
        return nil
    }

    /// What transformers notes about the base in a `config.json`.
    private static func modelConfig(_ folder: String) -> Record? {
        let name = "config.json"
        let path = FileSystem.join(folder, name)
        guard FileSystem.exists(path), let bytes = try? FileSystem.read(path),
            let node = try? JSONParser.parse(bytes),
            let quantization = try? ConfigCursor(node).optional("quantization_config"),
            let inNF4 = try? quantization.optional("load_in_4bit")?.bool()
        else { return nil }
        let inInt8 = (try? quantization.optional("load_in_8bit")?.bool()) ?? false
        let isDouble = try? quantization.optional("bnb_4bit_use_double_quant")?.bool()
        return Record(
            form: inNF4 ? .nf4 : inInt8 ? .int8 : .stored, doubleQuantization: isDouble ?? false,
            file: name)
    }
}

extension String {
    /// The texts between marks, in order.
    fileprivate func components(between start: String, and end: String) -> [String] {
        var result: [String] = []
        var rest = self[...]
        while let first = rest.firstRange(of: start) {
            rest = rest[first.upperBound...]
            guard let last = rest.firstRange(of: end) else { break }
            result.append(String(rest[..<last.lowerBound]))
            rest = rest[last.upperBound...]
        }
        return result
    }
}

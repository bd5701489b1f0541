// SPDX-License-Identifier: Apache-2.0
// What a run writes: a PEFT adapter or a whole model, with its tokenizer.
import EftConfig
import EftFormats
import EftModels
import EftTensor
import EftTokenizers

/// Writes what was trained into folders.
struct TrainingOutput: Sendable {
    let config: AxolotlConfig
    let base: BaseModel
    let decoder: Decoder
    let backend: CPUBackend
    /// The adapter's slot and settings; nil for a whole model.
    let adapter: (slot: Int, config: AdapterConfig)?
    let tokenizerFolder: String

    /// The writer that the loop takes.
    var output: Trainer.Output { Trainer.Output { try save(to: $0) } }

    private func save(to folder: String) throws {
        try FileSystem.createFolder(folder)
        if let adapter {
            try AdapterFile.save(decoder, slot: adapter.slot, config: adapter.config, to: folder)
        } else {
            try saveModel(folder)
        }
        try TokenizerFiles.copy(from: tokenizerFolder, to: folder)
        for name in ["tokenizer_config.json", "special_tokens_map.json"] {
            try setSpecialTokens(FileSystem.join(folder, name))
        }
        let hasTemplate = { try ChatTemplates.loadIfPresent(folder: tokenizerFolder) != nil }
        if let template = try config.data.keptTemplate(tokenizerHasOne: hasTemplate) {
            try AtomicFile.write(
                FileSystem.join(folder, "chat_template.jinja"), Array(template.utf8))
        }
    }

    private func saveModel(_ folder: String) throws {
        var object = try base.folder.config.object()
        object["quantization_config"] = nil
        let name: ConfigNode =
            switch config.outputType {
            case .f32: "float32"
            case .f16: "float16"
            default: "bfloat16"
            }
        // transformers 5 spells the key `dtype`.
        object[object["dtype"] == nil ? "torch_dtype" : "dtype"] = name
        // The config waits on the disk until the weights are whole, so that a full disk leaves the older pair.
        let file = try OutputFile(path: FileSystem.join(folder, "config.json"))
        try file.write(Array(text(object).utf8))
        try file.seal()
        try DecoderSaver(decoder: decoder, backend: backend, dtype: config.outputType)
            .save(to: folder)
        try file.publish()
        let generation = FileSystem.join(base.folder.path, "generation_config.json")
        if FileSystem.exists(generation) {
            try FileSystem.copy(
                generation, to: FileSystem.join(folder, "generation_config.json"))
        }
    }

    /// Enters the configuration's special tokens into a file of the tokenizer, when it is there.
    private func setSpecialTokens(_ path: String) throws {
        guard !config.model.specialTokens.isEmpty, FileSystem.exists(path) else { return }
        var object = try ConfigFile.read(path).object()
        for token in config.model.specialTokens { object[token.role] = ConfigNode(token.text) }
        try AtomicFile.write(path, text(object))
    }

    private func text(_ object: ConfigObject) -> String {
        JSONWriter.text(ConfigNode(object), layout: .indented(2)) + "\n"
    }
}

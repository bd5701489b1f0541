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
    /// The token that fills up rows.
    let padID: Int32?
    let decoder: Decoder
    let backend: CPUBackend
    /// The adapter's slots and settings; nil for a whole model.
    let adapter: (attached: AttachedAdapter, config: AdapterConfig)?

    /// The writer that the loop takes.
    var output: Trainer.Output { Trainer.Output { try save(to: $0) } }

    private func save(to folder: String) throws {
        try FileSystem.createFolder(folder)
        if let adapter {
            var settings = adapter.config
            settings.trainedTokens = base.trainedTokens
            try AdapterFile.save(
                decoder, slot: adapter.attached.slot, start: adapter.attached.start,
                startTimes: adapter.attached.startTimes, config: settings,
                ends: base.savedEnds(
                    modules: settings.modulesToSave, backend, config.outputType), to: folder)
        } else {
            try saveModel(folder)
        }
        try base.vocabulary.copy(to: folder)
        for name in ["tokenizer_config.json", "special_tokens_map.json"] {
            try setSpecialTokens(FileSystem.join(folder, name))
        }
        try setEnds(FileSystem.join(folder, "generation_config.json"))
        let hasTemplate = { try ChatTemplates.loadIfPresent(folder: base.vocabulary.folder) != nil }
        if let template = try config.data.keptTemplate(tokenizerHasOne: hasTemplate) {
            try AtomicFile.write(
                FileSystem.join(folder, "chat_template.jinja"), Array(template.utf8))
        }
    }

    private func saveModel(_ folder: String) throws {
        var object = try base.folder.config.object()
        object["quantization_config"] = nil
        // A text is scored at its last token that is not this one.
        if base.folder.description.scores?.kind == .text, let padID {
            object["pad_token_id"] = ConfigNode(Int(padID))
        }
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

    /// Lets answers end at the configuration's EOS token, as the Hugging Face trainer does.
    private func setEnds(_ path: String) throws {
        guard let id = base.vocabulary.namedEnd, FileSystem.exists(path) else { return }
        let file = try ConfigFile.read(path)
        var ids = [Int(id)]
        if let old = try file.optional("eos_token_id") {
            if case .array = old.node.value {
                ids += try old.elements().map { try $0.int() }.filter { $0 != ids[0] }
            } else if try old.int() != ids[0] {
                ids.append(try old.int())
            }
        }
        var object = try file.object()
        object["eos_token_id"] =
            ids.count == 1 ? ConfigNode(ids[0]) : ConfigNode(.array(ids.map { ConfigNode($0) }))
        try AtomicFile.write(path, self.text(object))
    }

    /// Enters the configuration's special tokens into a file of the tokenizer, when it is there.
    private func setSpecialTokens(_ path: String) throws {
        let model = config.model
        guard !model.specialTokens.isEmpty || !model.additionalSpecialTokens.isEmpty,
            FileSystem.exists(path)
        else { return }
        var object = try ConfigFile.read(path).object()
        for token in model.specialTokens { object[token.role] = ConfigNode(token.text) }
        if !model.additionalSpecialTokens.isEmpty {
            object["additional_special_tokens"] = ConfigNode(
                .array(model.additionalSpecialTokens.map { ConfigNode($0) }))
        }
        try AtomicFile.write(path, text(object))
    }

    private func text(_ object: ConfigObject) -> String {
        JSONWriter.text(ConfigNode(object), layout: .indented(2)) + "\n"
    }
}

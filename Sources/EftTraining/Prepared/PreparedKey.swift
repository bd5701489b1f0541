// SPDX-License-Identifier: Apache-2.0
// What examples are made of: prepared ones belong to a run when this is equal.
import EftConfig
import EftFormats
import EftTokenizers

/// A digest of everything that decides what a run's examples are.
struct PreparedKey: Sendable, Hashable {
    /// The digest in hexadecimal digits.
    let hex: String

    /// Changed whenever the same rows become other examples, or are stored in another way.
    static let version = 1

    /// Digests the settings, the tokenizer's files, and which files of data there are, of what size and from when.
    /// - Throws: `ConfigError` when a file of data is not there; `FormatError`.
    init(_ config: AxolotlConfig, tokenizerFolder: String) throws {
        let node: ConfigNode = [
            "version": ConfigNode(.integer(Self.version)),
            "program": ConfigNode(ProgramVersion.current),
            "seed": ConfigNode("\(config.training.seed)"),
            "tokenizer": try Self.tokenizer(tokenizerFolder),
            "special_tokens": Self.list(
                config.model.specialTokens.map {
                    Self.list([ConfigNode($0.role), ConfigNode($0.text)])
                }),
            "tokens": Self.tokens(config.model),
            "settings": Self.settings(config.data),
            "datasets": Self.list(try config.data.datasets.map { try Self.entry($0) }),
            "test_datasets": Self.list(try config.data.testDatasets.map { try Self.entry($0) }),
        ]
        hex = SHA256.digest(Array(JSONWriter.text(node).utf8)).hex
    }

    // MARK: Parts

    private static func list(_ nodes: [ConfigNode]) -> ConfigNode { ConfigNode(.array(nodes)) }

    /// What changes the tokenizer that the files describe.
    private static func tokens(_ model: ModelSettings) -> ConfigNode {
        [
            "new": list(model.newTokens.map { ConfigNode($0) }),
            "special": list(model.additionalSpecialTokens.map { ConfigNode($0) }),
            "overrides": list(
                model.tokenOverrides.sorted { $0.key < $1.key }.map {
                    list([ConfigNode(Int($0.key)), ConfigNode($0.value)])
                }),
        ]
    }

    private static func settings(_ data: DataSettings) -> ConfigNode {
        [
            "val_set_size": ConfigNode(data.valSetSize),
            "sequence_len": ConfigNode(data.sequenceLen),
            "eval_sequence_len": ConfigNode(data.evalSequenceLen),
            "min_sample_len": ConfigNode(data.minSampleLen),
            "excess_length_strategy": ConfigNode(data.excessLength.rawValue),
            "train_on_inputs": ConfigNode(data.trainOnInputs),
            "dataset_exact_deduplication": ConfigNode(data.deduplicates),
            "max_bad_row_share": ConfigNode(data.maxBadRowShare),
            "shuffle_merged_datasets": ConfigNode(data.shuffles),
            "shuffle_before_merging_datasets": ConfigNode(data.shufflesEach),
            "answers": ConfigNode(data.answers.map { "\($0)" } ?? ""),
            "chat_template": template(data.chat.template),
            "chat_template_kwargs": ConfigNode(.object(data.chat.templateValues)),
            "eot_tokens": data.chat.eotTokens.map { list($0.map { ConfigNode($0) }) } ?? .null,
        ]
    }

    private static func template(_ choice: ChatTemplateChoice?) -> ConfigNode {
        func named(_ kind: String, _ family: String) -> ConfigNode {
            list([
                ConfigNode(kind), ConfigNode(family),
                ConfigNode(ChatTemplateFamily.source(family) ?? ""),
            ])
        }
        switch choice {
        case nil: return .null
        case .tokenizer: return "tokenizer"
        case .tokenizerOr(let family): return named("tokenizer or", family)
        case .family(let family): return named("family", family)
        case .text(let text, _): return list(["text", ConfigNode(text)])
        }
    }

    /// An entry as it was written, the template that it may name in a file of its own, and its files.
    private static func entry(_ entry: DatasetEntry) throws -> ConfigNode {
        let files = try DatasetFiles.find(entry).map { path -> ConfigNode in
            let status = FileSystem.status(path)
            return [
                "path": ConfigNode(FileSystem.absolute(path)),
                "bytes": ConfigNode(status?.byteCount ?? -1),
                "changed": list([
                    ConfigNode(status?.seconds ?? 0), ConfigNode(status?.nanoseconds ?? 0),
                ]),
            ]
        }
        return [
            "entry": entry.cursor.node, "type": entry.type?.node ?? .null,
            "chat_template": template(try ChatTemplateChoice(entry.cursor)),
            "files": list(files),
        ]
    }

    /// Digests of all files that a tokenizer may consist of, those of the model's weights aside.
    private static func tokenizer(_ folder: String) throws -> ConfigNode {
        var digests = ConfigObject()
        for below in ["", "additional_chat_templates"] {
            let place = below.isEmpty ? folder : FileSystem.join(folder, below)
            guard FileSystem.isFolder(place) else { continue }
            for name in try FileSystem.list(place) where isRead(name) {
                let path = FileSystem.join(place, name)
                guard !FileSystem.isFolder(path) else { continue }
                let file = try MappedFile(path: path)
                let digest = file.withBytes(0..<file.byteCount) { SHA256.digest($0) }
                digests[below.isEmpty ? name : below + "/" + name] = ConfigNode(digest.hex)
            }
        }
        return ConfigNode(.object(digests))
    }

    private static func isRead(_ name: String) -> Bool {
        [".json", ".jinja", ".txt", ".model", ".tiktoken"].contains { name.hasSuffix($0) }
            && !name.hasSuffix(".index.json")
    }
}

// SPDX-License-Identifier: Apache-2.0
// Examples that are kept, so that a later run need not make them again.
import EftConfig
import EftFormats
import EftTensor

/// The folder `dataset_prepared_path/KEY` of a run, in which its examples are or will be.
///
/// | file | content |
/// |---|---|
/// | `examples.safetensors` | tokens, labels and preferences |
/// | `prepared.json` | the key, what became of the rows, and digests of the other file and of itself |
///
/// Data that belong to other rows or settings have another key, and stay where they are.
struct PreparedStore: Sendable {
    /// The folder of the run's examples.
    let folder: String
    /// The folder that holds it and those of other settings.
    let path: String
    private let key: PreparedKey

    private static let tensorBase = "examples"
    private static let describing = "prepared.json"

    /// The place of a configuration's examples.
    /// - Throws: what `PreparedKey` throws.
    init(_ config: AxolotlConfig, tokenizerFolder: String, path: String) throws {
        key = try PreparedKey(config, tokenizerFolder: tokenizerFolder)
        self.path = path
        folder = FileSystem.join(path, key.hex)
    }

    // MARK: Reading

    /// What stands in the folder.
    enum Found {
        case current(TrainingData)
        case nothing
        /// Something that cannot be used, and why.
        case damaged(String)
    }

    /// Looks for the examples.
    /// - Parameter memoryLimit: most resident bytes of the program with them.
    /// - Throws: `TensorError` (`outOfBudget`) when they would take more.
    func read(memoryLimit: Int = .max) throws(TensorError) -> Found {
        guard FileSystem.exists(folder) else { return .nothing }
        do { return .current(try data(memoryLimit)) } catch let error as TensorError {
            throw error
        } catch let error as FormatError {
            return .damaged(error.message)
        } catch let error as ConfigError {
            return .damaged(error.message)
        } catch { return .damaged("\(error)") }
    }

    private func data(_ memoryLimit: Int) throws -> TrainingData {
        let document = try ConfigFile.read(FileSystem.join(folder, Self.describing))
        let content = try document.required("content")
        let text = JSONWriter.text(content.node)
        guard try document.required("sha256").string() == Self.digest(text) else {
            throw document.error(.badValue, "its description was altered")
        }
        guard try content.required("key").string() == key.hex else {
            throw document.error(.badValue, "it is a copy of data for other settings")
        }
        let path = FileSystem.join(folder, Self.tensorBase + ".safetensors")
        guard try content.required("examples_sha256").string() == Self.digest(file: path) else {
            throw FormatError(.damaged, "its examples were altered", path: path)
        }
        let file = try SafetensorsFile(path: path)
        let bytes = file.tensors.reduce(0) { $0 + $1.byteCount }
        try DataMemory.require(memoryLimit, for: bytes, after: "opening \(path)")
        return TrainingData(
            train: try StoredExamples("train").read(file),
            validation: try StoredExamples("validation").read(file),
            counts: try TrainingData.Counts(content.required("counts")),
            notices: try content.required("notices").strings())
    }

    private static func digest(_ text: String) -> String { SHA256.digest(Array(text.utf8)).hex }

    private static func digest(file path: String) throws -> String {
        let file = try MappedFile(path: path)
        defer { file.release(0..<file.byteCount) }
        return file.withBytes(0..<file.byteCount) { SHA256.digest($0) }.hex
    }

    // MARK: Writing

    /// Writes examples aside and gives them their name when they are whole.
    /// - Throws: `FormatError` (`io`), also when another process writes below the same path.
    func write(_ data: TrainingData) throws {
        try FileSystem.createFolder(path)
        let lock = try FolderLock(path)
        defer { withExtendedLifetime(lock) {} }
        try TrainingCheckpoint.replace(folder) { partial in
            let (train, validation) = (StoredExamples("train"), StoredExamples("validation"))
            let tensors = try train.tensors(data.train) + validation.tensors(data.validation)
            let writer = try SafetensorsWriter(
                folder: partial, baseName: Self.tensorBase, tensors: tensors,
                maxShardBytes: .max, metadata: [:])
            try train.write(data.train, to: writer)
            try validation.write(data.validation, to: writer)
            try writer.finish()
            let examples = FileSystem.join(partial, Self.tensorBase + ".safetensors")
            let content: ConfigNode = [
                "key": ConfigNode(key.hex), "program": ConfigNode(ProgramVersion.current),
                "examples_sha256": ConfigNode(try Self.digest(file: examples)),
                "counts": data.counts.node,
                "notices": ConfigNode(.array(data.notices.map { ConfigNode($0) })),
            ]
            let document: ConfigNode = [
                "content": content, "sha256": ConfigNode(Self.digest(JSONWriter.text(content))),
            ]
            try AtomicFile.write(
                FileSystem.join(partial, Self.describing),
                JSONWriter.text(document, layout: .indented(2)) + "\n")
        }
    }
}

extension TrainingData.Counts {
    private static let names: [(name: String, count: WritableKeyPath<Self, Int> & Sendable)] = [
        ("rows", \.rows), ("bad", \.bad), ("too_long", \.tooLong), ("truncated", \.truncated),
        ("too_short", \.tooShort), ("unlabelled", \.unlabelled), ("duplicates", \.duplicates),
    ]

    /// The counts by name.
    fileprivate var node: ConfigNode {
        var object = ConfigObject()
        for (name, count) in Self.names { object[name] = ConfigNode(self[keyPath: count]) }
        return ConfigNode(.object(object))
    }

    fileprivate init(_ cursor: ConfigCursor) throws(ConfigError) {
        self.init()
        for (name, count) in Self.names {
            self[keyPath: count] = try cursor.required(name).int(in: 0...Int.max)
        }
    }
}

// SPDX-License-Identifier: Apache-2.0
// A GGUF file as a Hugging Face or PEFT folder: the documents that would lie in it.
import EftConfig
import Synchronization

#if canImport(Glibc)
    import Glibc
#else
    import Darwin
#endif

/// A language model or an adapter in a GGUF file, seen as the folder that it stands for.
///
/// The folder's path is that of the file; its documents are made when they are read and lie nowhere.
package final class GGUFModel: Sendable {
    /// The file.
    package let file: GGUFFile
    /// The tensors under Hugging Face's names, in the order of the file.
    package let views: [GGUFView]
    /// Whether it is an adapter.
    package let isAdapter: Bool
    private let config: ConfigNode

    /// The documents that a GGUF file may stand for.
    package static let documents = [
        "config.json", "generation_config.json", "tokenizer.json", "tokenizer_config.json",
        "chat_template.jinja", "adapter_config.json",
    ]

    private init(_ file: GGUFFile) throws(GGUFError) {
        self.file = file
        isAdapter = GGUFAdapter.isOne(file)
        if isAdapter {
            let adapter = try GGUFAdapter(file)
            (config, views) = (adapter.config, adapter.views)
            return
        }
        let (name, family) = try GGUFFamily.of(file)
        var config = GGUFConfig(file, architecture: name)
        try config.setCommon(family)
        try family.settings(&config)
        self.config = ConfigNode(.object(config.object))
        views = try GGUFViews.make(config, family)
    }

    // MARK: Opening

    /// A model that was opened, and what its file was then.
    private struct Opened: Sendable {
        let path: String
        let stamp: [Int]
        let model: GGUFModel
    }

    /// The models opened last: each document of a model asks for it.
    private static let opened = Mutex<[Opened]>([])
    private static let mostOpened = 2

    /// Opens a model, or gives the one that was opened before and has not changed since.
    /// - Throws: `GGUFError`.
    package static func open(_ path: String) throws(GGUFError) -> GGUFModel {
        let stamp = self.stamp(path)
        let known = opened.withLock { models in
            models.first { $0.path == path && $0.stamp == stamp }?.model
        }
        if let known { return known }
        let model = try GGUFModel(GGUFFile(path: path))
        opened.withLock { models in
            models.removeAll { $0.path == path }
            models = models.suffix(mostOpened - 1)
            models.append(Opened(path: path, stamp: stamp, model: model))
        }
        return model
    }

    /// Size and time of a file, and which it is.
    private static func stamp(_ path: String) -> [Int] {
        var status = stat()
        guard stat(path, &status) == 0 else { return [] }
        #if canImport(Glibc)
            let time = status.st_mtim
        #else
            let time = status.st_mtimespec
        #endif
        return [
            Int(status.st_size), time.tv_sec, time.tv_nsec, Int(truncatingIfNeeded: status.st_ino),
        ]
    }

    // MARK: The folder

    /// Whether a path is that of a GGUF file.
    package static func isOne(_ path: String) -> Bool {
        path.lowercased().hasSuffix(".gguf") && GGUFHeader.isOne(path)
    }

    /// The file and the document that the path of a document means; nil for any other path.
    package static func split(_ path: String) -> (file: String, document: String)? {
        guard let slash = path.lastIndex(of: "/") else { return nil }
        let (file, name) = (String(path[..<slash]), String(path[path.index(after: slash)...]))
        return documents.contains(name) && isOne(file) ? (file, name) : nil
    }

    /// The bytes of a document by its path, such as `model.gguf/config.json`; nil for any other path, and where the
    /// file stands for no such document.
    /// - Throws: `GGUFError`.
    package static func document(_ path: String) throws(GGUFError) -> [UInt8]? {
        guard let (file, name) = split(path) else { return nil }
        return try open(file).document(named: name)
    }

    /// Whether the path of a document means one that there is.
    package static func hasDocument(_ path: String) -> Bool {
        guard let (file, name) = split(path), let model = try? open(file) else { return false }
        return model.names.contains(name)
    }

    /// The documents that this file stands for.
    package var names: [String] {
        if isAdapter { return ["adapter_config.json"] }
        return Self.documents.filter { name in
            switch name {
            case "config.json": true
            case "adapter_config.json": false
            case "chat_template.jinja": file.metadata["tokenizer.chat_template"]?.text != nil
            default: file.metadata["tokenizer.ggml.tokens"] != nil
            }
        }
    }

    /// The bytes of a document; nil where the file stands for no such document.
    /// - Throws: `GGUFError`.
    package func document(named name: String) throws(GGUFError) -> [UInt8]? {
        guard names.contains(name) else { return nil }
        switch name {
        case "config.json", "adapter_config.json":
            return JSONWriter.bytes(config, layout: .indented(2))
        case "chat_template.jinja":
            return file.metadata["tokenizer.chat_template"]?.text.map { Array($0.utf8) }
        case "tokenizer.json": return try GGUFTokenizer(file).document()
        case "tokenizer_config.json":
            return JSONWriter.bytes(try GGUFTokenizer(file).settings(), layout: .indented(2))
        default:
            return JSONWriter.bytes(try GGUFTokenizer(file).generation(), layout: .indented(2))
        }
    }
}

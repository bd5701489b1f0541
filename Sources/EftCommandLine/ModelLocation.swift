// SPDX-License-Identifier: Apache-2.0
// Models by path, or by name below the folders in which a user keeps them.

import EftConfig

#if canImport(Glibc)
    import Glibc
#else
    import Darwin
#endif

/// Finds the folder of a model.
package struct ModelLocation: Sendable {
    private let folders: [String]
    private let source: (any ModelSource)?

    /// Looks names up in these folders, in this order, and then in a source.
    package init(folders: [String], source: (any ModelSource)? = nil) {
        self.folders = folders
        self.source = source
    }

    /// Looks names up in the folders of a user's configuration, and on the hub.
    package init(_ arguments: ParsedArguments) {
        self.init(folders: arguments.configuration.modelFolders, source: arguments.source)
    }

    /// The path of a model: an existing path as it is, else what a name stands for.
    ///
    /// A model folder `smollm2` in a folder of models goes by the name `smollm2`, and one in a folder of its own, as
    /// `meta-llama/Llama-3.1-8B`, by that name or by its last part. Other names are those of the hub, whose
    /// models are fetched when they are not on this machine.
    /// - Throws: `ModelNotFound` saying what there is and what to do, or what the source throws.
    package func resolve(_ text: String) throws -> String {
        if Self.exists(text) { return try Self.model(at: text) }
        if let path = try find(text) ?? sourced(text) { return path }
        throw notFound(text)
    }

    /// The path of an adapter: an existing path as it is, else what a name on the hub stands for; any other text as it
    /// is.
    package func adapter(_ text: String) throws -> String {
        try Self.exists(text) ? text : sourced(text) ?? text
    }

    /// Whether a text names a model that is neither in a folder here nor held by the source, but may be fetched.
    package func isElsewhere(_ text: String) -> Bool {
        guard let source, !text.hasPrefix("."), source.isName(text) else { return false }
        return !Self.exists(text) && find(text) == nil && source.cached(text) == nil
            && !Self.isBelowFolder(text)
    }

    /// What the source has under a name; nil for texts that are rather paths.
    private func sourced(_ text: String) throws -> String? {
        guard let source, !text.hasPrefix("."), !text.hasPrefix("/"), !text.hasPrefix("~") else {
            return nil
        }
        if let path = source.cached(text) { return path }
        return Self.isBelowFolder(text) ? nil : try source.model(text)
    }

    /// Whether the first part of a text is a folder here, so that the text is rather a path with a slip in it.
    private static func isBelowFolder(_ text: String) -> Bool {
        guard let first = text.split(separator: "/").first, text.contains("/") else { return false }
        return exists("\(first)/")
    }

    /// The path that a name stands for; nil for existing paths and unknown names.
    package func find(_ name: String) -> String? {
        guard !Self.exists(name), !name.isEmpty, !name.hasPrefix("/"), !name.hasPrefix(".") else {
            return nil
        }
        for folder in folders {
            let models = Self.models(in: folder)
            if let exact = models.first(where: { $0.name == name }) { return exact.path }
            let nested = models.filter { $0.name.hasSuffix("/" + name) }
            if nested.count == 1 { return nested[0].path }
        }
        return nil
    }

    /// The path that a name stands for; any other text as it is, for those who say themselves what is missing.
    /// - Throws: what the source throws.
    package func path(_ text: String) throws -> String {
        if Self.exists(text) { return text }
        return try find(text) ?? sourced(text) ?? text
    }

    /// The names of all models in the folders, in order.
    package var names: [String] {
        var seen: Set<String> = []
        return folders.flatMap { Self.models(in: $0).map(\.name) }
            .filter { seen.insert($0).inserted }
    }

    // MARK: What there is

    private struct Model {
        let name: String
        let path: String
    }

    /// Models directly in a folder, and those one folder below.
    private static func models(in folder: String) -> [Model] {
        entries(folder).flatMap { name -> [Model] in
            let path = "\(folder)/\(name)"
            if let model = cached(name, path) { return [model] }
            if exists("\(path)/config.json") || ggufModels([name]) == [name] {
                return [Model(name: name, path: path)]
            }
            let names = entries(path)
            let files = Set(ggufModels(names))
            return names.filter { exists("\(path)/\($0)/config.json") || files.contains($0) }
                .map { Model(name: "\(name)/\($0)", path: "\(path)/\($0)") }
        }
    }

    /// A model as huggingface_hub keeps it: `models--OWNER--NAME`, with a folder for each revision.
    private static func cached(_ name: String, _ path: String) -> Model? {
        guard name.hasPrefix("models--") else { return nil }
        let revisions = entries("\(path)/snapshots").filter {
            exists("\(path)/snapshots/\($0)/config.json")
        }
        let main = (try? ConfigFile.contents("\(path)/refs/main", maximumSize: 1024)).map {
            String(decoding: $0, as: UTF8.self).filter { !$0.isWhitespace }
        }
        guard let revision = revisions.first(where: { $0 == main }) ?? revisions.last else {
            return nil
        }
        return Model(
            name: String(name.dropFirst("models--".count)).replacing("--", with: "/"),
            path: "\(path)/snapshots/\(revision)")
    }

    /// Names in a folder that do not begin with a dot, sorted; none when it cannot be read.
    private static func entries(_ folder: String) -> [String] {
        guard let stream = opendir(folder) else { return [] }
        defer { closedir(stream) }
        var names: [String] = []
        while let entry = readdir(stream) {
            let name = withUnsafePointer(to: &entry.pointee.d_name) { pointer in
                pointer.withMemoryRebound(to: CChar.self, capacity: 256) { String(cString: $0) }
            }
            if !name.hasPrefix(".") { names.append(name) }
        }
        return names.sorted()
    }

    private static func exists(_ path: String) -> Bool { access(path, F_OK) == 0 }

    /// The path itself, or the only GGUF model in a folder that holds nothing else.
    private static func model(at path: String) throws(ModelNotFound) -> String {
        guard !exists("\(path)/config.json") else { return path }
        let names = entries(path)
        guard !names.contains(where: { $0.hasSuffix(".safetensors") || $0.hasSuffix(".bin") })
        else { return path }
        let models = ggufModels(names)
        guard models.count <= 1 else {
            let shown = models.prefix(20).map { excerpt($0) }.joined(separator: ", ")
            throw ModelNotFound(
                "\(excerpt(path, limit: 300)) holds several models; give one of the files: \(shown)"
            )
        }
        return models.first.map { "\(path)/\($0)" } ?? path
    }

    /// The GGUF files among names that are models; of the files of one that was split, the first.
    private static func ggufModels(_ names: [String]) -> [String] {
        names.filter { name in
            let lower = name.lowercased()
            guard lower.hasSuffix(".gguf"), !lower.hasPrefix("mmproj") else { return false }
            let words = lower.dropLast(".gguf".count).split(separator: "-")
            guard words.count >= 4, words[words.count - 2] == "of",
                let index = Int(words[words.count - 3])
            else { return true }
            return index == 1
        }
    }

    // MARK: What is missing

    private func notFound(_ text: String) -> ModelNotFound {
        let parts = text.split(separator: "/", omittingEmptySubsequences: false)
        let isName = !text.hasPrefix("/") && !text.hasPrefix(".") && !text.hasPrefix("~")
        let missing = "there is no folder '\(excerpt(text, limit: 300))'"
        if isName, parts.count == 2, parts.allSatisfy(Self.isHubWord) {
            let near = closestMatch(text, in: names).map { "; did you mean '\($0)'?" } ?? ""
            let isRatherPath = source != nil && Self.isBelowFolder(text)
            let folder = "'\(excerpt(String(parts[0])))' is a folder here"
            return ModelNotFound(
                missing + near
                    + (isRatherPath
                        ? "; \(folder): call a model of the hub hf.co/\(excerpt(text)) then" : ""))
        }
        guard isName, parts.count == 1 else {
            let parent = parts.dropLast().joined(separator: "/")
            let near = closestMatch(
                String(parts.last ?? ""), in: Self.entries(parent.isEmpty ? "/" : parent))
            return ModelNotFound(
                missing + (near.map { "; did you mean '\(parent)/\($0)'?" } ?? ""))
        }
        let near =
            closestMatch(text, in: Self.entries(".")).map { "; did you mean './\($0)'?" }
            ?? closestMatch(text, in: names).map { "; did you mean '\($0)'?" }
        return ModelNotFound("\(missing)\(near ?? "")\n\(choice)")
    }

    /// What may be given instead of a name that is not known.
    private var choice: String {
        guard !folders.isEmpty else {
            return
                "give the path of a model's folder, or list the folders of your models under 'models' in "
                + "~/.config/eft/config.yml to call models by name"
        }
        let names = names
        let places = folders.map { excerpt($0) }.joined(separator: " and ")
        guard !names.isEmpty else {
            return "give the path of a model's folder; there are no models in \(places)"
        }
        let shown = names.prefix(20).map { excerpt($0) }.joined(separator: ", ")
        let more = names.count > 20 ? " and \(names.count - 20) more" : ""
        return
            "give the path of a model's folder, or one of the models in \(places): \(shown)\(more)"
    }

    private static func isHubWord(_ word: Substring) -> Bool {
        !word.isEmpty
            && word.utf8.allSatisfy {
                UInt8(ascii: "a")...UInt8(ascii: "z") ~= $0
                    || UInt8(ascii: "A")...UInt8(ascii: "Z") ~= $0
                    || UInt8(ascii: "0")...UInt8(ascii: "9") ~= $0 || "-_.".utf8.contains($0)
            }
    }
}

/// A model that is not there.
package struct ModelNotFound: Error, Sendable, Hashable, CustomStringConvertible {
    package let description: String

    init(_ description: String) { self.description = description }
}

// SPDX-License-Identifier: Apache-2.0
// The files that an entry of `datasets` means.
import EftConfig
import EftFormats
import EftHub

/// Finds the local files of a data set.
package enum DatasetFiles {
    /// Words by which Hugging Face tells the files of splits apart.
    private static let splitWords: [String: [String]] = [
        "train": ["train", "training"], "test": ["test", "testing", "eval", "evaluation"],
        "validation": ["validation", "valid", "dev", "val"],
    ]

    /// The files of an entry, in order.
    /// - Throws: `ConfigError` when there are none, with what to do.
    package static func find(
        _ entry: DatasetEntry, cache: HubCache? = .ofUser
    ) throws -> [String] {
        var path = entry.path
        if !FileSystem.exists(path),
            let cached = cache?.dataset(path, revision: try entry.cursor.text("revision"))
        {
            path = cached
        }
        if !entry.dataFiles.isEmpty {
            // `path: json` with `data_files` is how Hugging Face names local files.
            let base = FileSystem.isFolder(path) ? path : "."
            return try entry.dataFiles.map { name in
                let file = name.hasPrefix("/") ? name : FileSystem.join(base, name)
                guard FileSystem.exists(file), !FileSystem.isFolder(file) else {
                    throw try entry.cursor.required("data_files").error(
                        .badValue, "the file \(excerpt(file)) does not exist")
                }
                try check(file, entry)
                return file
            }
        }
        guard FileSystem.exists(path) else { throw try missing(entry) }
        guard FileSystem.isFolder(path) else {
            try check(path, entry)
            return [path]
        }
        if let saved = try SavedDataset.files(in: path, entry) { return saved }
        for below in try folders(entry) {
            let folder = FileSystem.join(path, below)
            guard FileSystem.isFolder(folder) else { continue }
            let names = dataFiles(try FileSystem.list(folder), entry.form)
            let chosen = files(names, of: entry.split.name)
            if !chosen.isEmpty { return chosen.map { FileSystem.join(folder, $0) } }
        }
        throw try entry.cursor.required("path").error(
            .badValue,
            "the folder \(excerpt(path)) holds no JSON, Parquet, CSV or Arrow file for the split "
                + "'\(excerpt(entry.split.name))'")
    }

    /// Where in its folder a data set's files may lie: those of Hugging Face have them in a folder of this name, and
    /// variants in folders of theirs.
    private static func folders(_ entry: DatasetEntry) throws(ConfigError) -> [String] {
        let usual = ["", "data"]
        let variant = try entry.cursor.optional("name")?.string()
        return (variant.map { name in usual.map { FileSystem.join($0, name) } } ?? []) + usual
    }

    /// Those of a folder's files that hold rows, of one format: a data set that is there in both is not read twice.
    private static func dataFiles(_ names: [String], _ form: DataRows.Form?) -> [String] {
        // Beside the data, the library keeps what it knows of them, and what it has computed from them.
        let names = names.filter {
            !["dataset_infos.json", "dataset_info.json"].contains($0)
                && !($0.hasPrefix("cache-") && $0.hasSuffix(".arrow"))
        }
        for form in form.map({ [$0] }) ?? DataRows.Form.searched {
            let found = names.filter { DataRows.form(of: $0) == form }
            if !found.isEmpty { return found }
        }
        return []
    }

    /// Files whose names say that they belong to a split; those that name no split belong to `train`.
    private static func files(_ names: [String], of split: String) -> [String] {
        func belongs(_ name: String, _ words: [String]) -> Bool {
            let parts = name.lowercased().split { !$0.isLetter }
            return parts.contains { words.contains(String($0)) }
        }
        let named = names.filter { belongs($0, splitWords[split] ?? [split]) }
        if !named.isEmpty || split != "train" { return named }
        return names.filter { name in !splitWords.values.contains { belongs(name, $0) } }
    }

    private static func check(_ file: String, _ entry: DatasetEntry) throws {
        let name = file.lowercased()
        for other in [".zip", ".xz", ".bz2", ".tar"] where name.hasSuffix(other) {
            throw try entry.cursor.required("path").error(
                .badValue,
                "\(other) files are not read; convert \(excerpt(file)) to .jsonl or .parquet")
        }
    }

    private static func missing(_ entry: DatasetEntry) throws -> ConfigError {
        let path = entry.path
        let cursor = try entry.cursor.required("path")
        if path.contains("://") {
            return cursor.error(
                .badValue,
                "of addresses only names on the hub are known, as OWNER/NAME; fetch \(excerpt(path)) and give the "
                    + "file's path")
        }
        let parts = path.split(separator: "/", omittingEmptySubsequences: false)
        let isHubID =
            parts.count == 2 && !path.hasPrefix(".") && parts.allSatisfy { !$0.isEmpty }
            && DataRows.form(of: path) == nil
        guard isHubID else {
            return cursor.error(.badValue, "\(excerpt(path)) does not exist")
        }
        let id = excerpt(path)
        return cursor.error(
            .badValue,
            "'\(id)' is no local file or folder, and its files are not in the cache of Hugging Face; fetch them with "
                + "'eft pull --dataset \(id)'")
    }
}

// MARK: Data sets of the hub

extension DatasetFiles {
    /// The name of an entry's data set on the hub when its files are not here; nil when they are, and for paths.
    /// - Throws: `ConfigError`.
    package static func missingName(
        _ entry: DatasetEntry, cache: HubCache? = .ofUser
    ) throws(ConfigError) -> HubName? {
        guard !FileSystem.exists(entry.path), DataRows.form(of: entry.path) == nil,
            let named = HubName(entry.path, kind: .dataset),
            let name = named.at(try entry.cursor.text("revision"))
        else { return nil }
        let files = (try? find(entry, cache: cache)) ?? []
        return files.isEmpty || isPartMissing(files) ? name : nil
    }

    /// Whether files lack some that their names count: `train-00000-of-00002.parquet`.
    private static func isPartMissing(_ files: [String]) -> Bool {
        let parts = files.compactMap { file in
            FileSystem.name(of: file).split(separator: ".").first.flatMap { ShardName(String($0)) }
        }
        return parts.contains { part in
            parts.filter { $0.stem == part.stem && $0.count == part.count }.count < part.count
        }
    }

    /// The files of an entry among the paths of a repository, as `find` chooses among those of a folder.
    package static func chosen(_ entry: DatasetEntry, among paths: [String]) -> [String] {
        if !entry.dataFiles.isEmpty { return paths.filter(entry.dataFiles.contains) }
        for folder in (try? folders(entry)) ?? [] {
            let names = paths.filter {
                let place = FileSystem.folder(of: $0)
                return place == (folder.isEmpty ? "." : folder)
            }
            let rows = dataFiles(names.map { FileSystem.name(of: $0) }, entry.form)
            let chosen = files(rows, of: entry.split.name)
            if !chosen.isEmpty { return chosen.map { FileSystem.join(folder, $0) } }
        }
        return []
    }

    /// All paths of a repository that hold rows, in each folder of one format.
    package static func rowFiles(_ paths: [String]) -> [String] {
        Dictionary(grouping: paths) { FileSystem.folder(of: $0) }.flatMap { folder, paths in
            dataFiles(paths.map { FileSystem.name(of: $0) }, nil)
                .map { FileSystem.join(folder, $0) }
        }.sorted()
    }
}

extension DataRows.Form {
    /// The order in which a folder is looked through; not for lines of text, for many folders hold notes.
    fileprivate static let searched: [DataRows.Form] = [.json, .parquet, .csv, .arrow]
}

// SPDX-License-Identifier: Apache-2.0
// The files that an entry of `datasets` means.
import EftConfig
import EftFormats

/// Finds the local files of a data set.
enum DatasetFiles {
    /// Words by which Hugging Face tells the files of splits apart.
    private static let splitWords: [String: [String]] = [
        "train": ["train", "training"], "test": ["test", "testing", "eval", "evaluation"],
        "validation": ["validation", "valid", "dev", "val"],
    ]

    /// The files of an entry, in order.
    /// - Throws: `ConfigError` when there are none, with what to do.
    static func find(
        _ entry: DatasetEntry, cache: HubCache = .ofUser
    ) throws -> [String] {
        var path = entry.path
        if !FileSystem.exists(path),
            let cached = cache.dataset(path, revision: try entry.cursor.text("revision"))
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
        // Data sets of Hugging Face have their files in a folder of this name, and variants in folders of theirs.
        let usual = [path, FileSystem.join(path, "data")]
        let variant = try entry.cursor.optional("name")?.string()
        let variants = variant.map { name in usual.map { FileSystem.join($0, name) } } ?? []
        for folder in variants + usual where FileSystem.isFolder(folder) {
            let chosen = files(try dataFiles(in: folder, entry), of: entry.split.name)
            if !chosen.isEmpty { return chosen.map { FileSystem.join(folder, $0) } }
        }
        throw try entry.cursor.required("path").error(
            .badValue,
            "the folder \(excerpt(path)) holds no JSON, Parquet, CSV or Arrow file for the split "
                + "'\(excerpt(entry.split.name))'")
    }

    /// The files of a folder that hold rows, of one format: a data set that is there in both is not read twice.
    private static func dataFiles(in folder: String, _ entry: DatasetEntry) throws -> [String] {
        // Beside the data, the library keeps what it knows of them, and what it has computed from them.
        let names = try FileSystem.list(folder).filter {
            !["dataset_infos.json", "dataset_info.json"].contains($0)
                && !($0.hasPrefix("cache-") && $0.hasSuffix(".arrow"))
        }
        for form in entry.form.map({ [$0] }) ?? DataRows.Form.searched {
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
                .badValue, "nothing is downloaded; fetch \(excerpt(path)) and give the file's path")
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
            "'\(id)' is no local file or folder, and nothing is downloaded; fetch it with "
                + "'hf download --repo-type dataset \(id) --local-dir DIR' and give that path")
    }
}

extension DataRows.Form {
    /// The order in which a folder is looked through; not for lines of text, for many folders hold notes.
    fileprivate static let searched: [DataRows.Form] = [.json, .parquet, .csv, .arrow]
}

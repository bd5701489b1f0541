// SPDX-License-Identifier: Apache-2.0
// Folders that the `datasets` library has saved.
import EftConfig
import EftFormats

/// Folders that `save_to_disk` made: `state.json` names the files of a data set in order, `dataset_dict.json` the splits
/// of several, each in a folder of its own.
enum SavedDataset {
    /// The files of an entry; nil when the folder is no such folder.
    ///
    /// A data set that was saved alone has no splits, so that the name of one says nothing, as in Axolotl.
    /// - Throws: `ConfigError` when the split or a file is not there.
    static func files(in folder: String, _ entry: DatasetEntry) throws -> [String]? {
        if let files = try files(in: folder) { return files }
        let list = FileSystem.join(folder, "dataset_dict.json")
        guard FileSystem.exists(list) else { return nil }
        let splits = try ConfigFile.read(list).required("splits").elements().map {
            try $0.string()
        }
        let name = entry.split.name
        if splits.contains(name), isPlain(name),
            let files = try files(in: FileSystem.join(folder, name))
        {
            return files
        }
        let known = splits.prefix(16).map { "'\(excerpt($0))'" }.joined(separator: ", ")
        throw try entry.cursor.required("path").error(
            .badValue,
            "the folder \(excerpt(folder)) holds no split '\(excerpt(name))', but \(known); set "
                + "split to one of them")
    }

    /// The files that the state of a data set names.
    private static func files(in folder: String) throws -> [String]? {
        let path = FileSystem.join(folder, "state.json")
        guard FileSystem.exists(path) else { return nil }
        let state = try ConfigFile.read(path)
        // Data may be called so too.
        guard case .object = state.node.value, let list = try state.optional("_data_files") else {
            return nil
        }
        if let indices = try state.optional("_indices_data_files"),
            try !indices.elements().isEmpty
        {
            throw indices.error(
                .badValue,
                "rows that are chosen by a file of their own are not read; call flatten_indices() "
                    + "before save_to_disk")
        }
        return try list.elements().map { item in
            let cursor = try item.required("filename")
            let name = try cursor.string()
            let file = FileSystem.join(folder, name)
            guard isPlain(name), FileSystem.exists(file), !FileSystem.isFolder(file) else {
                throw cursor.error(
                    .badValue,
                    "the file \(excerpt(name)) is not in the folder; save the data set again")
            }
            return file
        }
    }

    private static func isPlain(_ name: String) -> Bool {
        !name.isEmpty && !name.contains("/") && name != ".."
    }
}

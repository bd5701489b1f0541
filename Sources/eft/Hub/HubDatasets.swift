// SPDX-License-Identifier: Apache-2.0
// Data sets by name, fetched before they are read.
import EftConfig
import EftFormats
import EftHub
import EftTraining

/// Brings data sets of the hub into the cache, where training finds them.
enum HubDatasets {
    /// Fetches those files of a configuration's data sets that are needed and not there.
    /// - Throws: `HubError`.
    static func fetch(_ data: DataSettings, _ fetcher: HubFetcher) throws {
        for entry in data.datasets + data.testDatasets {
            guard let name = try DatasetFiles.missingName(entry) else { continue }
            // Without the network reading says what is missing.
            if fetcher.settings.offlineVariable != nil { continue }
            _ = try fetcher.fetch(
                HubRepository(.dataset, name), revision: name.revision, label: name.description
            ) { (listing) throws(HubError) in
                let chosen = DatasetFiles.chosen(entry, among: listing.files.map(\.path))
                guard chosen.isEmpty else { return Set(chosen) }
                throw none(name, listing, "for the split '\(excerpt(entry.split.name))'")
            }
        }
    }

    /// The files of a data set to score: of its test split, else its validation split, else of all that it has.
    /// - Throws: `HubError`, `ConfigError`.
    static func files(toScore data: String, _ fetcher: HubFetcher) throws -> [String] {
        let entries = try ["test", "validation", "train"].map {
            try DatasetEntry(name: data, split: $0)
        }
        guard let name = try DatasetFiles.missingName(entries[0]) else {
            return try DatasetFiles.find(entries[0])
        }
        if fetcher.settings.offlineVariable != nil {
            let there = try entries.first { try DatasetFiles.missingName($0) == nil }
            return try DatasetFiles.find(there ?? entries[0])
        }
        var found = entries[0]
        _ = try fetcher.fetch(
            HubRepository(.dataset, name), revision: name.revision, label: name.description
        ) { (listing) throws(HubError) in
            let paths = listing.files.map(\.path)
            for entry in entries {
                let chosen = DatasetFiles.chosen(entry, among: paths)
                guard chosen.isEmpty else {
                    found = entry
                    return Set(chosen)
                }
            }
            throw none(name, listing, "of a kind that is read")
        }
        return try DatasetFiles.find(found)
    }

    /// Fetches all files of a data set that hold rows, of one form.
    /// - Throws: `HubError`.
    static func fetchAll(
        _ name: HubName, _ fetcher: HubFetcher
    ) throws(HubError) -> HubFetcher.Found {
        try fetcher.fetch(
            HubRepository(.dataset, name), revision: name.revision, label: name.description
        ) { (listing) throws(HubError) in
            let chosen = DatasetFiles.rowFiles(listing.files.map(\.path))
            guard chosen.isEmpty else { return Set(chosen) }
            throw none(name, listing, "of a kind that is read")
        }
    }

    private static func none(_ name: HubName, _ listing: HubListing, _ which: String) -> HubError {
        let some = listing.files.prefix(12).map { excerpt($0.path) }.joined(separator: ", ")
        return HubError(
            .unsupported,
            "\(name.id) holds no JSON, Parquet, CSV or Arrow file \(which); it holds \(some)"
                + (listing.files.count > 12 ? " and more" : "")
                + "; 'name', 'split' and 'data_files' say which files are meant")
    }
}

// SPDX-License-Identifier: Apache-2.0
// Which files of a data set of the hub a configuration needs.
import EftConfig
import EftFormats
import EftHub
import EftTestSupport
import Testing

@testable import EftTraining

struct HubDatasetTests {
    private func entry(_ text: String) throws -> DatasetEntry {
        try DatasetEntry(ConfigCursor(YAMLParser.parse("{type: alpaca, \(text)}")))
    }

    private static let paths = [
        ".gitattributes", "README.md", "dataset_infos.json", "rows.py",
        "data/train-00000-of-00002.parquet", "data/train-00001-of-00002.parquet",
        "data/test-00000-of-00001.parquet", "en/train.jsonl", "en/train.csv", "en/valid.jsonl",
        "data/fr/train.csv", "extra.jsonl.gz",
    ]

    @Test(arguments: [
        ("path: org/rows", ["extra.jsonl.gz"]),
        (
            "path: org/rows, ds_type: parquet",
            ["data/train-00000-of-00002.parquet", "data/train-00001-of-00002.parquet"]
        ),
        ("path: org/rows, split: test", ["data/test-00000-of-00001.parquet"]),
        ("path: org/rows, name: en", ["en/train.jsonl"]),
        ("path: org/rows, name: en, split: validation", ["en/valid.jsonl"]),
        ("path: org/rows, name: fr", ["data/fr/train.csv"]),
        ("path: org/rows, data_files: [en/train.csv, no.json]", ["en/train.csv"]),
        ("path: org/rows, split: other", []),
    ])
    func `files are chosen as in a folder`(text: String, chosen: [String]) throws {
        #expect(DatasetFiles.chosen(try entry(text), among: Self.paths) == chosen)
    }

    @Test func `of all that a repository holds, rows are taken in one form a folder`() {
        #expect(
            DatasetFiles.rowFiles(Self.paths) == [
                "data/fr/train.csv", "data/test-00000-of-00001.parquet",
                "data/train-00000-of-00002.parquet", "data/train-00001-of-00002.parquet",
                "en/train.jsonl", "en/valid.jsonl", "extra.jsonl.gz",
            ])
    }

    @Test func `what is not here, or not all of it, is told by its name`() throws {
        let folder = try TemporaryFolder()
        let cache = HubCache(folder: folder.path)
        func missing(_ text: String) throws -> HubName? {
            try DatasetFiles.missingName(entry(text), cache: cache)
        }
        #expect(try missing("path: org/rows")?.description == "org/rows")
        #expect(try missing("path: org/rows, revision: v1")?.description == "org/rows@v1")
        let address = "https://huggingface.co/datasets/org/rows"
        #expect(try missing("path: '\(address)'")?.id == "org/rows")
        let others = [
            folder.path, "rows.jsonl", "./org/rows", "json", "data/rows.parquet", "/no/rows",
            "https://x.org/rows", "imdb",
        ]
        for path in others { #expect(try missing("path: '\(path)'") == nil, "\(path)") }
        let place = "datasets--org--rows/snapshots/abc/"
        try folder.makeFolder(for: place + "x")
        try folder.makeFolder(for: "datasets--org--rows/refs/main")
        try folder.write("datasets--org--rows/refs/main", "abc")
        #expect(try missing("path: org/rows") != nil)
        try folder.write(place + "train-00000-of-00002.parquet", "")
        #expect(try missing("path: org/rows") != nil)
        try folder.write(place + "train-00001-of-00002.parquet", "")
        #expect(try missing("path: org/rows") == nil)
        #expect(try missing("path: org/rows, split: test") != nil)
    }
}

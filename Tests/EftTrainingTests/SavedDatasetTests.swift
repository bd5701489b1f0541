// SPDX-License-Identifier: Apache-2.0
// Folders that the `datasets` library saved, and its cache.
import EftConfig
import EftFormats
import EftTestSupport
import Testing

@testable import EftTraining

struct SavedDatasetTests {
    private static let folder = Fixtures.path("formats/arrow")

    private func files(_ path: String, _ more: String = "") throws -> [String] {
        let node = try YAMLParser.parse("{path: '\(path)', type: chat_template\(more)}")
        return try DatasetFiles.find(
            DatasetEntry(ConfigCursor(node)), cache: nil)
    }

    private func rows(_ files: [String]) throws -> [ConfigNode] {
        try files.flatMap { file in
            let rows = try DataRows(file)
            var nodes: [ConfigNode] = []
            while let row = try rows.next() { nodes.append(row.node) }
            return nodes
        }
    }

    @Test func `a saved data set gives the rows that were saved, in order`() throws {
        let talks = try rows([FileSystem.join(Self.folder, "talks.jsonl")])
        #expect(talks.count == 7)
        let saved = FileSystem.join(Self.folder, "saved")
        for split in ["", ", split: train", ", split: other"] {
            let found = try files(saved, split)
            #expect(found.count == 2)
            #expect(try rows(found) == talks)
        }
        let splits = FileSystem.join(Self.folder, "splits")
        #expect(try rows(files(splits)) == Array(talks[..<4]))
        #expect(try rows(files(splits, ", split: 'test[:1]'")) == Array(talks[4...]))
        let error = try #require(throws: ConfigError.self) {
            try files(splits, ", split: validation")
        }
        #expect(error.message.contains("no split 'validation'"))
        #expect(error.message.contains("'train', 'test'"))
    }

    @Test func `the order is that of the state, and files that it names must be there`() throws {
        let folder = try TemporaryFolder()
        let saved = FileSystem.join(Self.folder, "saved")
        for name in ["data-00000-of-00002.arrow", "data-00001-of-00002.arrow"] {
            try folder.link(name, to: FileSystem.join(saved, name))
        }
        func state(_ names: [String], _ more: String = "") throws {
            let list = names.map { "{\"filename\": \"\($0)\"}" }.joined(separator: ", ")
            try folder.write("state.json", "{\"_data_files\": [\(list)]\(more)}")
        }
        let (first, second) = ("data-00000-of-00002.arrow", "data-00001-of-00002.arrow")
        try state([second, first])
        #expect(try files(folder.path) == [second, first].map { folder.file($0) })
        for name in ["data-2.arrow", "../saved/\(first)", "..", ""] {
            try state([first, name])
            #expect(throws: ConfigError.self) { try files(folder.path) }
        }
        try state([first], ", \"_indices_data_files\": [{\"filename\": \"indices.arrow\"}]")
        let error = try #require(throws: ConfigError.self) { try files(folder.path) }
        #expect(error.message.contains("flatten_indices"))
        try folder.write("dataset_dict.json", #"{"splits": [".."]}"#)
        try folder.write("state.json", "[]")
        #expect(throws: ConfigError.self) { try files(folder.path, ", split: '..'") }
    }

    @Test func `files in the cache of the library are found by their splits`() throws {
        let folder = try TemporaryFolder()
        let file = FileSystem.join(Self.folder, "saved/data-00000-of-00002.arrow")
        for name in ["rows-train.arrow", "rows-test.arrow", "cache-0123456789abcdef.arrow"] {
            try folder.link(name, to: file)
        }
        try folder.write("dataset_info.json", "{}")
        #expect(try files(folder.path) == [folder.file("rows-train.arrow")])
        #expect(try files(folder.path, ", split: test") == [folder.file("rows-test.arrow")])
        #expect(try files(folder.path, ", ds_type: arrow") == [folder.file("rows-train.arrow")])
        #expect(try rows(files(file)).count == 4)
        let named = try files("arrow", ", data_files: '\(file)'")
        #expect(named == [file])
        // Files of rows come first, as they do beside Parquet.
        try folder.write("train.jsonl", "{}")
        #expect(try files(folder.path) == [folder.file("train.jsonl")])
    }
}

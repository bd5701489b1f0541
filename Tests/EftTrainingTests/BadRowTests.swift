// SPDX-License-Identifier: Apache-2.0
// Rows that cannot be used, and configurations of data that are read in other ways.
import EftConfig
import EftFormats
import EftHub
import EftTestSupport
import Testing

@testable import EftTraining

struct BadRowTests {
    private func prepare(
        _ rows: [String], _ entry: String = "type: completion", top: String = ""
    ) throws -> TrainingData {
        let folder = try TemporaryFolder()
        try folder.write("rows.jsonl", rows.joined(separator: "\n"))
        return try prepare("datasets: [{path: \(folder.file("rows.jsonl")), \(entry)}]\n\(top)")
    }

    private func prepare(_ text: String) throws -> TrainingData {
        let rig = try ConversationRig("llama3")
        let node = try YAMLParser.parse("base_model: b\nlearning_rate: 1\n\(text)")
        let settings = try AxolotlConfig(ConfigCursor(node, file: "c.yml")).data
        let encoder = PromptEncoder(
            sequenceLen: 512, trainOnInputs: false, bosID: rig.tokenizer.bosID,
            eosID: rig.tokenizer.eosID,
            chat: ChatResources(
                tokenizer: rig.tokenizer, folder: rig.folder.path, settings: settings.chat)
        ) { try rig.tokenizer.encode($0, addSpecialTokens: $1) }
        return try TrainingData(settings, encoder: encoder, seed: 1)
    }

    private func rows(_ count: Int, bad: [Int: String] = [:]) -> [String] {
        (1...count).map { bad[$0] ?? #"{"text": "the \#($0)"}"# }
    }

    @Test func `few bad rows are left out, counted by reason and named`() throws {
        let bad = [
            3: #"{"txt": "x"}"#, 7: #"{"text": null}"#, 8: #"{"text": 5}"#, 9: "[1]", 11: "{}",
            12: "{}",
        ]
        let data = try prepare(rows(120, bad: bad))
        #expect(data.counts.bad == 6 && data.counts.rows == 120)
        #expect(data.train.count == 114)
        #expect(data.counts.summary.contains("120 rows read, dropped: 6 unusable"))
        try #require(data.notices.count == 2)
        let missing = data.notices[0]
        #expect(missing.hasPrefix("4 left out with a missing field: "))
        #expect(missing.contains("rows.jsonl:3") && missing.contains("no field 'text'"))
        #expect(missing.contains("rows.jsonl:7") && missing.hasSuffix("rows.jsonl:11 and 1 more"))
        let wrong = data.notices[1]
        #expect(wrong.hasPrefix("2 left out with a value of another kind: "))
        #expect(wrong.contains("rows.jsonl:8") && wrong.hasSuffix("rows.jsonl:9"))
    }

    @Test func `more than the stated share stops the run at the first row`() throws {
        let bad = [2: #"{"txt": "x"}"#, 5: #"{"text": 5}"#]
        let error = try #require(throws: ConfigError.self) { try prepare(rows(10, bad: bad)) }
        #expect(error.line == 2)
        #expect(error.message.contains("the first of 2 among 10 rows"))
        #expect(error.message.contains("1 with a missing field, 1 with a value of another kind"))
        #expect(error.message.contains("max_bad_row_share"))
        let more = try prepare(rows(10, bad: bad), top: "max_bad_row_share: 0.2")
        #expect(more.train.count == 8)
        #expect(throws: ConfigError.self) {
            try prepare(rows(100, bad: [50: "{}"]), top: "max_bad_row_share: 0")
        }
        // Rows outside the slice do not count.
        let slice = try prepare(rows(10, bad: bad), "type: completion, split: 'train[5:]'")
        #expect(slice.counts.bad == 0 && slice.train.count == 5)
    }

    @Test func `rows of which nothing is learned are named`() throws {
        let none = #"{"segments": [{"label": false, "text": "the end"}]}"#
        let some = #"{"segments": [{"label": true, "text": "the end"}]}"#
        let empty = #"{"segments": []}"#
        let data = try prepare([some, none, empty, some, none], "type: input_output")
        #expect(data.train.count == 2)
        #expect(data.counts.unlabelled == 2 && data.counts.tooShort == 1)
        #expect(data.notices.count == 2)
        #expect(data.notices[0].hasPrefix("1 left out below min_sample_len: "))
        #expect(data.notices[0].hasSuffix("rows.jsonl:3"))
        #expect(data.notices[1].hasPrefix("2 left out of which no token is learned: "))
        #expect(data.notices[1].hasSuffix("rows.jsonl:5"))
    }

    @Test func `conversations that the template refuses are bad rows`() throws {
        func row(_ role: String) -> String {
            #"{"messages": [{"role": "\#(role)", "content": "on"}, {"role": "assistant", "content": "off"}]}"#
        }
        let rows = (0..<30).map { row($0 == 4 ? "assistant" : "user") }
        let data = try prepare(rows, "type: chat_template, chat_template: gemma")
        #expect(data.counts.bad == 1 && data.train.count == 29)
        #expect(data.notices.contains { $0.contains("rows.jsonl:5") && $0.contains("take turns") })
    }

    // MARK: Other ways to name data

    @Test func `rows of tokens need no type, other rows do`() throws {
        let row = #"{"input_ids": [5, 6], "attention_mask": [1, 1], "labels": [5, 6]}"#
        for entry in ["", "type: ", "type: alpaca"] {
            let data = try prepare([row], entry)
            #expect(data.train == [TrainingExample(tokens: [5, 6])])
        }
        let error = try #require(throws: TrainingError.self) { try prepare(rows(3), "") }
        #expect(error.message.contains("'type' is missing"))
    }

    @Test(arguments: [
        "PATH", "[{path: PATH}]", "{path: PATH, text_column: text}",
        "[{path: PATH, type: completion}]",
    ])
    func `data for pretraining is read`(_ value: String) throws {
        let folder = try TemporaryFolder()
        let path = try folder.write("rows.jsonl", rows(4).joined(separator: "\n"))
        let data = try prepare(
            "pretraining_dataset: \(value.replacing("PATH", with: path))\nstreaming: true")
        #expect(data.train.count == 4)
        #expect(data.train.allSatisfy { $0.labels == $0.tokens && $0.tokens.count > 2 })
    }

    @Test func `parts of a data set are drawn by the seed and add up to it`() throws {
        let rows = rows(11)
        func lengths(_ keys: String) throws -> [[Int32]] {
            try prepare(rows, "type: completion\(keys)").train.map(\.tokens)
        }
        let parts = try (0..<3).map { try lengths(", shards: 3, shards_idx: \($0)") }
        #expect(parts.map(\.count) == [4, 4, 3])
        #expect(Set(parts.joined()) == Set(try lengths("")))
        #expect(try lengths(", shards: 3") == parts[0])
        #expect(try lengths(", skip: 4, split: 'train[2:]'").count == 5)
        #expect(try lengths(", skip: 10").count == 1)
        #expect(throws: TrainingError.self) { try lengths(", skip: 100") }
        #expect(throws: ConfigError.self) { try lengths(", shards: 3, shards_idx: 3") }
    }

    @Test func `data sets are found in the cache of Hugging Face, and variants in their folders`()
        throws
    {
        let folder = try TemporaryFolder()
        let place = "datasets--some--rows/snapshots/abc/"
        for name in [
            "", "datasets--some--rows", "datasets--some--rows/refs",
            "datasets--some--rows/snapshots",
        ]
            + ["abc", "abc/data", "abc/en"].map({ "datasets--some--rows/snapshots/" + $0 })
        {
            try FileSystem.createFolder(folder.file(name))
        }
        try folder.write("datasets--some--rows/refs/main", "abc\n")
        try folder.write(place + "data/train.jsonl", "{}")
        try folder.write(place + "en/train.csv", "a\n1")
        let cache = HubCache(folder: folder.path)
        func files(_ text: String) throws -> [String] {
            let node = try YAMLParser.parse(text)
            return try DatasetFiles.find(DatasetEntry(ConfigCursor(node)), cache: cache)
        }
        let rows = "path: some/rows, type: alpaca"
        #expect(try files("{\(rows)}") == [folder.file(place + "data/train.jsonl")])
        #expect(try files("{\(rows), revision: abc}") == [folder.file(place + "data/train.jsonl")])
        #expect(try files("{\(rows), name: en}") == [folder.file(place + "en/train.csv")])
        #expect(try files("{\(rows), name: other}") == [folder.file(place + "data/train.jsonl")])
        #expect(throws: ConfigError.self) { try files("{\(rows), revision: def}") }
        #expect(throws: ConfigError.self) { try files("{path: ../rows, type: alpaca}") }
    }
}

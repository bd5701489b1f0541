// SPDX-License-Identifier: Apache-2.0
import EftConfig
import EftFormats
import EftTestSupport
import EftTokenizers
import EftTraining
import Testing

@Suite struct DatasetTests {
    private static let tokenizer = try? Tokenizer(json: Array(TinyModel.tokenizer.utf8))

    private func encoder(
        _ sequenceLen: Int = 512, trainOnInputs: Bool = false
    ) throws -> PromptEncoder {
        let tokenizer = try #require(Self.tokenizer)
        return PromptEncoder(
            sequenceLen: sequenceLen, trainOnInputs: trainOnInputs, bosID: TinyModel.bos,
            eosID: TinyModel.eos
        ) { try tokenizer.encode($0, addSpecialTokens: $1) }
    }

    private func entry(_ text: String) throws -> DatasetEntry {
        let node = try YAMLParser.parse(
            "base_model: b\nlearning_rate: 1\ndatasets:\n  - {path: x, \(text)}")
        return try AxolotlConfig(ConfigCursor(node)).data.datasets[0]
    }

    private func examples(
        _ type: String, _ row: String, _ encoder: PromptEncoder
    ) throws -> [TrainingExample] {
        let format = try DatasetRegistry.format(entry(type), encoder)
        return try format.examples(ConfigCursor(JSONParser.parse(row), file: "rows.jsonl"), encoder)
    }

    private func text(_ tokens: some Sequence<Int32>) throws -> String {
        try #require(Self.tokenizer).decode(tokens)
    }

    // MARK: Texts

    private static let with =
        "Below is an instruction that describes a task, paired with an input that "
        + "provides further context. Write a response that appropriately completes the request."
    private static let without =
        "Below is an instruction that describes a task. Write a response that "
        + "appropriately completes the request."

    @Test(arguments: [
        ("alpaca", "i", "\(with)\n\n### Instruction:\ndo\n\n### Input:\ni\n\n### Response:\n"),
        ("alpaca", "", "\(without)\n\n### Instruction:\ndo\n\n### Response:\n"),
        ("alpaca:instruct", "", "\(without)\n\n### Instruction:\ndo\n\n### Response:\n"),
        ("alpaca:chat", "i", "SYSTEM: \(with)\nUSER: do\ni\nASSISTANT:"),
        ("alpaca:chat", "", "SYSTEM: \(without)\nUSER: do\nASSISTANT:"),
        (
            "alpaca:chatml", "i",
            "<|im_start|>system\n\(with)<|im_end|>\n<|im_start|>user\ndo\ni<|im_end|>\n<|im_start|>assistant\n"
        ),
        (
            "alpaca:chatml", "",
            "<|im_start|>system\n\(without)<|im_end|>\n<|im_start|>user\ndo<|im_end|>\n<|im_start|>assistant\n"
        ),
        ("alpaca:phi", "i", "<|system|>\n\(with)<|end|>\n<|user|>\ndo<|end|>i<|assistant|>"),
        ("alpaca:phi", "", "<|system|>\n\(without)<|end|>\n<|user|>\ndo<|end|>\n<|assistant|>\n"),
    ])
    func `alpaca prompts have the exact text`(
        _ type: String, _ input: String, _ prompt: String
    ) throws {
        let row = #"{"instruction": "do", "input": "\#(input)", "output": "the"}"#
        let example = try #require(try examples("type: '\(type)'", row, encoder()).first)
        let ids = try #require(Self.tokenizer).encode(prompt, addSpecialTokens: true)
        // The response is the merged token "the" and EOS; the prompt begins with BOS and has no EOS.
        #expect(example.tokens == ids + [257, TinyModel.eos])
        #expect(ids.first == TinyModel.bos)
        #expect(example.labels == ids.map { _ in -100 } + [257, TinyModel.eos])
    }

    @Test(arguments: [#""input": null, "#, ""])
    func `an absent input is no input`(_ field: String) throws {
        let row = #"{"instruction": "do", \#(field)"output": "x"}"#
        let example = try examples("type: alpaca", row, encoder())[0]
        #expect(
            try text(example.tokens).contains("\(Self.without)\n\n### Instruction:\ndo\n\n### Resp")
        )
    }

    @Test func `prompts are learned when asked for`() throws {
        let row = #"{"instruction": "do", "output": "x"}"#
        let example = try examples("type: alpaca", row, encoder(trainOnInputs: true))[0]
        #expect(example.labels == example.tokens)
    }

    @Test func `no token spans the border of prompt and response`() throws {
        // "on" is one token, but not across the border.
        let row = #"{"instruction": "do", "output": "n"}"#
        let type = "type: {format: '{instruction} o', no_input_format: '{instruction} o'}"
        let example = try examples(type, row, encoder())[0]
        // Bytes of printable ASCII have their place in the vocabulary as id.
        #expect(example.tokens.suffix(3) == [111, 110, TinyModel.eos])
    }

    @Test func `long prompts are cut and leave the response whole`() throws {
        let row = #"{"instruction": "abcdefghij", "output": "the"}"#
        let example = try examples("type: alpaca", row, encoder(10))[0]
        #expect(example.tokens.count == 12)
        #expect(example.tokens.suffix(2) == [257, TinyModel.eos])
    }

    @Test func `a response as long as the limit gets no EOS`() throws {
        let row = #"{"instruction": "a", "output": "xyz"}"#
        let example = try examples("type: alpaca", row, encoder(4))[0]
        // BOS counts towards the limit before it is taken away.
        #expect(example.tokens.count == 4 + 3)
        #expect(example.tokens.last != TinyModel.eos)
    }

    @Test func `completion cuts a text into pieces`() throws {
        let example = try examples("type: completion", #"{"text": "abcdefg"}"#, encoder(4))
        #expect(example.map(\.tokens.count) == [4, 4, 1])
        #expect(example[0].tokens[0] == TinyModel.bos)
        #expect(example[2].tokens == [TinyModel.eos])
        #expect(example.allSatisfy { $0.labels == $0.tokens })
        let field = try examples("type: completion, field: body", #"{"body": "ab"}"#, encoder(16))
        #expect(try text(field[0].tokens.dropFirst().dropLast()) == "ab")
    }

    @Test func `input_output adds no token and masks segments`() throws {
        let row = #"{"segments": [{"label": false, "text": "the"}, {"label": true, "text": "on"}]}"#
        let example = try examples("type: input_output", row, encoder())[0]
        #expect(example.tokens == [257, 258])
        #expect(example.labels == [-100, 258])
    }

    @Test func `formats of one's own fill in fields`() throws {
        let type =
            "type: {system_prompt: S, field_instruction: q, field_input: c, field_output: a, "
            + "format: 'Q {instruction} {{x}} C {input} A ', no_input_format: 'Q {instruction} A ', "
            + "system_format: '[{system}]'}"
        let with = try examples(type, #"{"q": "1", "c": "2", "a": "3"}"#, encoder())[0]
        #expect(try text(with.tokens.dropFirst().dropLast()) == "[S]Q 1 {x} C 2 A 3")
        let without = try examples(type, #"{"q": "1", "a": "3", "system": "T"}"#, encoder())[0]
        #expect(try text(without.tokens.dropFirst().dropLast()) == "[T]Q 1 A 3")
        #expect(without.labels.suffix(2) == without.tokens.suffix(2))
        #expect(without.trainedTokens == 2)
    }

    // MARK: Faults

    @Test(arguments: [
        ("type: alpaca", #"{"output": "x"}"#, "instruction"),
        ("type: alpaca", #"{"instruction": "x"}"#, "output"),
        ("type: completion", #"{"txt": "x"}"#, "text"),
        ("type: input_output", "{}", "segments"),
        ("type: {}", #"{"instruction": "x"}"#, "output"),
    ])
    func `a missing field is named`(_ type: String, _ row: String, _ field: String) throws {
        let error = try #require(throws: ConfigError.self) { try examples(type, row, encoder()) }
        #expect(error.description.contains("'\(field)'"))
        #expect(error.file == "rows.jsonl")
        #expect(error.line == 1)
    }

    @Test(arguments: [
        ("type: alpaca", "[1]"), ("type: alpaca", #"{"instruction": 1, "output": "x"}"#),
        ("type: input_output", #"{"segments": [{"label": 1, "text": "x"}]}"#),
        ("type: input_output", #"{"segments": "x"}"#),
    ])
    func `rows of another shape are refused`(_ type: String, _ row: String) throws {
        #expect(throws: ConfigError.self) { try examples(type, row, encoder()) }
    }

    @Test func `unknown types name what there is`() throws {
        let error = try #require(throws: ConfigError.self) {
            try DatasetRegistry.format(entry("type: alpca"), encoder())
        }
        #expect(error.description.contains("did you mean 'alpaca'?"))
        #expect(error.keyPath == "datasets[0].type")
    }

    @Test func `every file of formats is registered`() throws {
        let folder = FileSystem.join(
            Fixtures.packageRoot, "Sources/EftTraining/Datasets/Formats")
        let files = try FileSystem.list(folder).map { String($0.dropLast(".swift".count)) }
        #expect(Set(files) == Set(DatasetRegistry.all.map { "\($0)" }))
    }

    // MARK: Splits

    @Test(arguments: [
        ("train", 10, 0..<10), ("train[:30%]", 10, 0..<3), ("train[30%:]", 10, 3..<10),
        ("train[:3]", 10, 0..<3), ("train[-2:]", 10, 8..<10), ("train[:100]", 10, 0..<10),
        ("train[8:2]", 10, 8..<8), ("test[10%:20%]", 100, 10..<20), ("train[:]", 4, 0..<4),
        ("train[:1%]", 12, 0..<1), ("train[99%:100%]", 12, 12..<12), ("train[:0%]", 12, 0..<0),
        ("train[:1%]", 0, 0..<0), ("train[5%:5%]", 12, 1..<1), ("train[1%:2%]", 12, 0..<1),
    ])
    func `slices take their rows`(_ text: String, _ count: Int, _ expected: Range<Int>) throws {
        #expect(try entry("type: alpaca, split: '\(text)'").split.rows(of: count) == expected)
    }

    @Test(arguments: [
        "train[", "train[1]", "train[a:b]", "[1:2]", "train[1:2][3:4]", "train[:101%]",
        "train[:-9223372036854775808]", "train[1:2", "",
    ])
    func `senseless slices are refused`(_ text: String) throws {
        #expect(throws: ConfigError.self) { try entry("type: alpaca, split: '\(text)'") }
    }

    // MARK: The pipeline

    private func prepare(
        _ rows: String, _ lines: String = "", sequenceLen: Int = 512, name: String = "rows.jsonl"
    ) throws -> TrainingData {
        let folder = try TemporaryFolder()
        try folder.write(name, rows)
        let node = try YAMLParser.parse(
            """
            base_model: b
            learning_rate: 1
            sequence_len: \(sequenceLen)
            datasets: [{path: \(folder.file(name)), type: completion}]
            \(lines)
            """)
        let config = try AxolotlConfig(ConfigCursor(node))
        return try TrainingData(
            config.data, encoder: encoder(sequenceLen), seed: config.training.seed)
    }

    /// Rows whose texts are `a`, `bb`, `ccc` and so on.
    private func rows(_ count: Int) -> String {
        (0..<count).map { index in
            let letter = Character(Unicode.Scalar(UInt8(97 + index)))
            return #"{"text": "\#(String(repeating: letter, count: index + 1))"}"#
        }.joined(separator: "\n")
    }

    @Test func `every row becomes an example, shuffled by the seed`() throws {
        let data = try prepare(rows(12))
        #expect(data.train.map(\.tokens.count).sorted() == Array(3...14))
        #expect(data.train.map(\.tokens.count) != Array(3...14))
        #expect(try prepare(rows(12)).train == data.train)
        #expect(try prepare(rows(12), "seed: 7").train != data.train)
        let plain = try prepare(rows(12), "shuffle_merged_datasets: false")
        #expect(plain.train.map(\.tokens.count) == Array(3...14))
        let curriculum = try prepare(rows(12), "curriculum_sampling: true")
        #expect(curriculum.train.map(\.tokens.count) == Array(3...14))
        // There is nothing to merge, so that this changes nothing.
        #expect(try prepare(rows(12), "shuffle_before_merging_datasets: true").train == data.train)
    }

    @Test(arguments: [("0.25", 3), ("0.1", 2), ("4", 4), ("1", 1), ("0", 0)])
    func `the validation set is taken from the end`(_ size: String, _ expected: Int) throws {
        let all = try prepare(rows(12)).train
        let data = try prepare(rows(12), "val_set_size: \(size)")
        #expect(data.validation.count == expected)
        #expect(data.train + data.validation == all)
    }

    @Test func `dropped examples are counted`() throws {
        // Pieces of at most 4 tokens, of which the last ones may be too short.
        let data = try prepare(rows(4), "min_sample_len: 4", sequenceLen: 4)
        #expect(data.counts.rows == 4)
        #expect(data.train.allSatisfy { $0.tokens.count == 4 })
        #expect(data.counts.tooShort == 3)
        let twice = try prepare(
            rows(3) + "\n" + rows(3), "dataset_exact_deduplication: true")
        #expect(twice.counts.duplicates == 3)
        #expect(twice.train.count == 3)
    }

    @Test(arguments: [
        ("[{\"text\": \"ab\"}, {\"text\": \"cd\"}]", "rows.json"),
        ("{\"text\": \"ab\"}\n\n{\"text\": \"cd\"}", "rows.jsonl"),
    ])
    func `lists and lines are read alike`(_ text: String, _ name: String) throws {
        #expect(try prepare(text, name: name).train.count == 2)
    }

    @Test(arguments: ["", "[]", "\n\n"])
    func `an empty data set is an error`(_ text: String) throws {
        let error = try #require(throws: TrainingError.self) { try prepare(text) }
        #expect(error.code == .data)
    }

    @Test func `a validation set of everything is an error`() throws {
        #expect(throws: TrainingError.self) { try prepare(rows(3), "val_set_size: 3") }
        #expect(throws: TrainingError.self) { try prepare(rows(3), "val_set_size: 0.99") }
    }

    @Test(arguments: ["{", #"{"text": 1}"#, #"{"text": "a"} x"#])
    func `broken rows are refused with their line`(_ row: String) throws {
        let error = try #require(throws: ConfigError.self) {
            try prepare(#"{"text": "fine"}"# + "\n" + row)
        }
        #expect(error.line == 2)
    }

    @Test(arguments: [
        ("tatsu-lab/alpaca", "eft pull --dataset tatsu-lab/alpaca"),
        ("./nothing.jsonl", "does not exist"),
        ("https://x.org/a.jsonl", "only names on the hub"),
    ])
    func `data that is not here is explained`(_ path: String, _ hint: String) throws {
        let node = try YAMLParser.parse(
            "base_model: b\nlearning_rate: 1\ndatasets: [{path: '\(path)', type: alpaca}]")
        let config = try AxolotlConfig(ConfigCursor(node, file: "c.yml"))
        let error = try #require(throws: ConfigError.self) {
            try TrainingData(config.data, encoder: encoder(), seed: 1)
        }
        #expect(error.description.contains(hint))
        #expect(error.keyPath == "datasets[0].path")
    }

    @Test func `folders hold splits by the names of their files`() throws {
        let folder = try TemporaryFolder()
        try folder.write("data-train-1.jsonl", #"{"text": "ab"}"#)
        try folder.write("data-train-2.jsonl", #"{"text": "cd"}"#)
        try folder.write("data-test.jsonl", #"{"text": "ef"}"#)
        try folder.write("notes.txt", "x")
        func count(_ split: String) throws -> Int {
            let node = try YAMLParser.parse(
                """
                base_model: b
                learning_rate: 1
                datasets: [{path: \(folder.path), type: completion, split: '\(split)'}]
                """)
            let config = try AxolotlConfig(ConfigCursor(node))
            return try TrainingData(config.data, encoder: encoder(), seed: 1).train.count
        }
        #expect(try count("train") == 2)
        #expect(try count("test") == 1)
        #expect(throws: ConfigError.self) { try count("validation") }
    }

    private func parquet(_ path: String, _ more: String = "") throws -> TrainingData {
        let node = try YAMLParser.parse(
            """
            base_model: b
            learning_rate: 1
            shuffle_merged_datasets: false
            datasets: [{path: \(path), type: completion, field: long_text\(more)}]
            """)
        let config = try AxolotlConfig(ConfigCursor(node))
        return try TrainingData(config.data, encoder: encoder(), seed: 1)
    }

    @Test func `Parquet rows give the examples of the same rows in JSON`() throws {
        let source = Fixtures.path("formats/parquet")
        let lines = try parquet(FileSystem.join(source, "rows.jsonl"))
        #expect(lines.counts.rows == 60 && lines.train.count > 40)
        #expect(try parquet(FileSystem.join(source, "usual.parquet")).train == lines.train)
        // As a download of Hugging Face has it, and with the same rows beside in JSON.
        let folder = try TemporaryFolder()
        try FileSystem.createFolder(folder.file("data"))
        try folder.link(
            "data/train-00000-of-00001.parquet", to: FileSystem.join(source, "zstd.parquet"))
        #expect(try parquet(folder.path).train == lines.train)
        try folder.link("data/train.jsonl", to: FileSystem.join(source, "rows.jsonl"))
        for type in ["", ", ds_type: json", ", ds_type: parquet"] {
            #expect(try parquet(folder.path, type).train == lines.train)
        }
        let error = try #require(throws: ConfigError.self) {
            try parquet(folder.path, ", ds_type: webdataset")
        }
        #expect(error.keyPath == "datasets[0].ds_type")
    }
}

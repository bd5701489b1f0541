// SPDX-License-Identifier: Apache-2.0
// Prepared data: the same results with and without, and never those of other data or settings.
import EftConfig
import EftFormats
import EftTensor
import EftTestSupport
import Testing

@testable import EftTraining

#if canImport(Glibc)
    import Glibc
#endif

struct PreparedDataTests {
    private static let pairs = (0..<12).map { index in
        #"{"prompt": "say \#(index)", "chosen": " the \#(index)", "rejected": " not at all \#(index * 7)"}"#
    }.joined(separator: "\n")

    private static let singles = (0..<12).map { index in
        #"{"prompt": "say \#(index)", "completion": " the \#(index)", "label": \#(index % 3 != 0)}"#
    }.joined(separator: "\n")

    /// A tokenizer and a configuration, for which no weights are needed.
    private func workplace() throws -> TemporaryFolder {
        let folder = try TemporaryFolder()
        try TinyModel.write(to: folder, layers: 1, name: "base")
        try folder.write("rows.jsonl", TinyModel.rows(24))
        return folder
    }

    private func examples(_ config: AxolotlConfig) throws -> PreparedExamples {
        try PreparedExamples(config)
    }

    private func isTaken(_ examples: PreparedExamples) -> Bool {
        examples.notices.contains { $0.hasPrefix("prepared data is used: ") }
    }

    private func kept(_ folder: TemporaryFolder) throws -> [String] {
        let path = folder.file("prepared")
        return FileSystem.isFolder(path) ? try FileSystem.list(path) : []
    }

    private func line(_ folder: TemporaryFolder) -> String {
        "dataset_prepared_path: \(folder.file("prepared"))\n"
    }

    // MARK: Results

    @Test(arguments: ["plain", "packed", "pairs", "singles"])
    func `a run gives the same bits with prepared data as without`(kind: String) throws {
        let folder = try SmallJob.workplace()
        try folder.write("pairs.jsonl", Self.pairs)
        try folder.write("singles.jsonl", Self.singles)
        func job(_ output: String, _ lines: String) throws -> TrainingJob {
            var config: AxolotlConfig
            switch kind {
            case "pairs", "singles":
                config = try SmallJob.config(
                    folder, output: output, data: "{path: \(folder.file(kind + ".jsonl"))}",
                    "rl: dpo\n" + lines)
                if kind == "singles" {
                    config.training.preferences = PreferenceSettings(.kto)
                    config.data.answers = .single
                    config.training.microBatchSize = 3
                }
            default:
                config = try SmallJob.config(
                    folder, output: output,
                    (kind == "packed" ? "sample_packing: true\n" : "") + lines)
            }
            return try SmallJob.job(config, folder)
        }
        func result(_ output: String, _ job: TrainingJob) throws -> (
            losses: [Double], bytes: [UInt8]
        ) {
            let losses = try SmallJob.losses(job)
            let file = folder.file(output + "/adapter_model.safetensors")
            return (losses, try FileSystem.read(file))
        }
        let plain = try result("plain", job("plain", ""))
        #expect(try kept(folder).isEmpty)
        let first = try job("first", line(folder))
        #expect(!isTaken(first.examples))
        let written = try result("first", first)
        #expect(try kept(folder).count == 1)
        let second = try job("second", line(folder))
        #expect(isTaken(second.examples))
        #expect(second.data.train == first.data.train)
        #expect(second.data.validation == first.data.validation)
        #expect(second.data.counts == first.data.counts)
        let taken = try result("second", second)
        #expect(plain.losses.count > 4 && plain.losses.allSatisfy(\.isFinite))
        #expect(written == plain)
        #expect(taken == plain)
        #expect(try kept(folder).count == 1)
    }

    @Test func `what was said of the rows is said again`() throws {
        let folder = try workplace()
        let rows = TinyModel.rows(24) + "{\"instruction\": 5}\n"
        try folder.write("rows.jsonl", rows)
        let config = try SmallJob.config(folder, line(folder))
        let first = try examples(config)
        #expect(first.data.notices.count == 1 && first.data.counts.bad == 1)
        let place = try #require(try first.keep())
        #expect(FileSystem.folder(of: place) == folder.file("prepared"))
        let second = try examples(config)
        #expect(isTaken(second) && second.data.notices == first.data.notices)
        #expect(second.data.counts == first.data.counts)
        // There is nothing to write then.
        #expect(try second.keep() == nil)
        let outline = try TrainingOutline(
            SmallJob.config(folder, adapter: nil, line(folder)))
        #expect(outline.counts == first.data.counts)
        #expect(outline.notices.contains { $0.hasPrefix("prepared data is used: ") })
    }

    // MARK: What it belongs to

    private static let others = [
        "sequence_len: 383", "eval_sequence_len: 50", "min_sample_len: 3",
        "excess_length_strategy: truncate", "train_on_inputs: true", "val_set_size: 3",
        "dataset_exact_deduplication: true", "max_bad_row_share: 0.5",
        "shuffle_merged_datasets: false", "curriculum_sampling: true", "seed: 7",
        "chat_template: chatml",
        "chat_template_kwargs: {a: 1}", "eot_tokens: [a]", "special_tokens: {bos_token: a}",
        "tokens: [<a>]", "special_tokens: {additional_special_tokens: [<a>]}",
        "added_tokens_overrides: {260: <a>}",
        "datasets: [{path: ROWS, type: alpaca, split: 'train[:5]'}]",
        "datasets: [{path: ROWS, type: alpaca:chat}]", "datasets: [{path: COPY, type: alpaca}]",
        "datasets: [{path: ROWS, type: alpaca}, {path: COPY, type: alpaca}]",
        "datasets: [{path: ROWS, type: alpaca, chat_template_jinja: TEMPLATE}]",
        "datasets: [{path: ROWS, type: alpaca}, {path: COPY, type: alpaca}]\nshuffle_before_merging_datasets: true",
        "val_set_size: 0\ntest_datasets: [{path: COPY, type: alpaca}]",
    ]

    private func key(_ folder: TemporaryFolder, _ lines: String) throws -> PreparedKey {
        let names = ["ROWS": "rows.jsonl", "COPY": "copy.jsonl", "TEMPLATE": "template.jinja"]
        var text = lines
        for (word, name) in names { text = text.replacing(word, with: folder.file(name)) }
        let base = try SmallJob.config(folder, line(folder)).document.node
        guard case .object(var object) = base.value else {
            throw ConfigError(.syntax, "no mapping")
        }
        let more = ConfigCursor(try YAMLParser.parse(text.isEmpty ? "{}" : text))
        for (key, value) in try more.entries() { object[key] = value.node }
        let config = try AxolotlConfig(ConfigCursor(ConfigNode(.object(object)), file: "c.yml"))
        return try PreparedKey(config, tokenizerFolder: folder.file("base"))
    }

    private func keyed() throws -> TemporaryFolder {
        let folder = try workplace()
        try folder.write("copy.jsonl", TinyModel.rows(24))
        try folder.write("template.jinja", "{{ messages }}")
        return folder
    }

    @Test(arguments: Self.others)
    func `other settings have another key`(lines: String) throws {
        let folder = try keyed()
        #expect(try key(folder, lines) != key(folder, ""))
        #expect(try key(folder, lines) == key(folder, lines))
    }

    @Test func `settings that do not change examples have the same key`() throws {
        let folder = try keyed()
        let first = try key(folder, "")
        for lines in [
            "learning_rate: 0.5", "max_steps: 9", "output_dir: elsewhere", "lora_r: 5",
            "dataset_prepared_path: elsewhere", "sample_packing: true",
        ] {
            #expect(try key(folder, lines) == first, "\(lines)")
        }
    }

    @Test func `other files have another key`() throws {
        let folder = try keyed()
        let entry = "datasets: [{path: ROWS, type: alpaca, chat_template_jinja: TEMPLATE}]"
        var keys: Set<PreparedKey> = [try key(folder, entry)]
        func change(_ name: String, _ text: String) throws {
            try folder.write(name, text)
            #expect(try keys.insert(key(folder, entry)).inserted, "\(name)")
        }
        // The same rows from another time count as others: who knows what was in between.
        let times = [timeval(tv_sec: 9, tv_usec: 0), timeval(tv_sec: 9, tv_usec: 0)]
        #expect(utimes(folder.file("rows.jsonl"), times) == 0)
        #expect(try keys.insert(key(folder, entry)).inserted)
        try change("rows.jsonl", TinyModel.rows(25))
        try change("template.jinja", "{{ messages | length }}")
        try change("base/chat_template.jinja", "{{ messages }}")
        try folder.makeFolder(for: "base/additional_chat_templates/rag.jinja")
        try change("base/additional_chat_templates/rag.jinja", "{{ messages }}")
        try change("base/added_tokens.json", "{}")
        let tokenizer = try FileSystem.read(folder.file("base/tokenizer.json"))
        try change("base/tokenizer.json", String(decoding: tokenizer, as: UTF8.self) + "\n")
        try folder.write("rows-2.jsonl", "{}")
        try folder.write("base/model.safetensors.index.json", "{}")
        #expect(try keys.contains(key(folder, entry)))
    }

    @Test func `every setting of the data is part of the key`() throws {
        // Who adds one adds it to PreparedKey, and its name here.
        let folder = try workplace()
        let data = try SmallJob.config(folder).data
        let settings = [
            "datasets", "testDatasets", "valSetSize", "sequenceLen", "evalSequenceLen",
            "minSampleLen", "excessLength", "trainOnInputs", "deduplicates", "maxBadRowShare",
            "shuffles", "shufflesEach", "answers", "chat",
        ]
        let notInKey = ["preparedPath", "memoryLimit"]
        #expect(
            Set(Mirror(reflecting: data).children.compactMap(\.label)) == Set(settings + notInKey))
        #expect(
            Mirror(reflecting: data.chat).children.compactMap(\.label)
                == ["template", "templateValues", "eotTokens"])
    }

    // MARK: Damage

    @Test func `data of other settings is left alone, with a line`() throws {
        let folder = try workplace()
        _ = try examples(SmallJob.config(folder, line(folder))).keep()
        let before = try folder.tree("prepared")
        let other = try examples(SmallJob.config(folder, "train_on_inputs: true\n" + line(folder)))
        #expect(!isTaken(other))
        #expect(other.notices.contains { $0.contains("other data or settings") })
        #expect(try folder.tree("prepared") == before)
        _ = try other.keep()
        #expect(try kept(folder).count == 2)
        #expect(isTaken(try examples(SmallJob.config(folder, line(folder)))))
    }

    @Test func `data that passes the memory limit ends with an error, read or prepared`() throws {
        let folder = try workplace()
        try folder.write("rows.jsonl", TinyModel.rows(600))
        var config = try SmallJob.config(folder, line(folder))
        func isRefused() -> Bool {
            do { _ = try examples(config) } catch let error as TensorError {
                return error.code == .outOfBudget && error.message.contains("raise --memory")
            } catch { Issue.record("\(error)") }
            return false
        }
        config.data.memoryLimit = ResidentMemory.now / 2
        #expect(isRefused())
        config.data.memoryLimit = .max
        #expect(try examples(config).keep() != nil)
        config.data.memoryLimit = ResidentMemory.now / 2
        #expect(isRefused())
        config.data.memoryLimit = ResidentMemory.now + 64 << 20
        #expect(isTaken(try examples(config)))
    }

    @Test(arguments: ["examples.safetensors", "prepared.json"])
    func `an altered file is never taken, and replaced with a line`(name: String) throws {
        let folder = try workplace()
        let config = try SmallJob.config(folder, line(folder))
        let place = try #require(try examples(config).keep())
        let store = try PreparedStore(
            config, tokenizerFolder: folder.file("base"), path: folder.file("prepared"))
        #expect(store.folder == place)
        guard case .current(let whole) = try store.read() else {
            Issue.record("what was written is not taken")
            return
        }
        let path = FileSystem.join(place, name)
        let original = try FileSystem.read(path)
        var random = SplitMix64(seed: 8)
        var refused = 0
        for round in 0..<120 {
            var bytes = original
            if round % 4 == 0 {
                bytes = random.mutated(original, headBias: original.count)
            } else {
                let bit = UInt8(1) << UInt8.random(in: 0..<8, using: &random)
                bytes[Int.random(in: 0..<bytes.count, using: &random)] ^= bit
            }
            try AtomicFile.write(path, bytes)
            switch try store.read() {
            case .damaged(let reason):
                refused += 1
                #expect(!reason.isEmpty)
            case .current(let data):
                // Spaces of the description say nothing.
                #expect(data.train == whole.train && data.validation == whole.validation)
                #expect(data.counts == whole.counts && data.notices == whole.notices)
                #expect(name == "prepared.json")
            case .nothing: Issue.record("round \(round): the folder is gone")
            }
        }
        #expect(refused > 60)
        try AtomicFile.write(path, Array(original.dropLast(9)))
        let again = try examples(config)
        #expect(!isTaken(again) && again.data.train == whole.train)
        #expect(again.notices.contains { $0.contains(place) && $0.contains("is damaged") })
        #expect(try again.keep() == place)
        #expect(isTaken(try examples(config)))
        #expect(try kept(folder) == [FileSystem.name(of: place)])
    }

    @Test func `half of a folder, or one under another name, is not taken`() throws {
        let folder = try workplace()
        let config = try SmallJob.config(folder, line(folder))
        let place = try #require(try examples(config).keep())
        let other = try SmallJob.config(folder, "train_on_inputs: true\n" + line(folder))
        let store = try PreparedStore(
            other, tokenizerFolder: folder.file("base"), path: folder.file("prepared"))
        try FileSystem.move(place, to: store.folder)
        #expect(!isTaken(try examples(config)))
        let found = try examples(other)
        #expect(!isTaken(found) && found.notices.contains { $0.contains("copy of data") })
        _ = try found.keep()
        try FileSystem.remove(FileSystem.join(store.folder, "examples.safetensors"))
        #expect(!isTaken(try examples(other)))
        try FileSystem.removeFolder(store.folder)
        try FileSystem.createFolder(store.folder)
        #expect(!isTaken(try examples(other)))
    }

    @Test func `a run goes on when its data cannot be kept`() throws {
        let folder = try SmallJob.workplace()
        let file = try folder.write("prepared", "a file, no folder")
        let job = try SmallJob.job(
            SmallJob.config(folder, "dataset_prepared_path: \(file)\n"), folder)
        var lines: [String] = []
        let summary = try job.run(onEvent: {
            if case .training(.notice(let line)) = $0 { lines.append(line) }
        })
        #expect(summary.steps == 4)
        #expect(lines.contains { $0.hasPrefix("the prepared data is not kept: ") })
    }

    // MARK: Tensors

    @Test func `examples of every kind come back, and parts that do not fit are refused`() throws {
        var pair = TrainingExample(tokens: [1, 2, 3], labels: [-100, 2, 3])
        pair.preference = .over(tokens: [1, 9], labels: [-100, 9])
        var good = TrainingExample(tokens: [4, 5])
        good.preference = .desirable(true)
        var bad = TrainingExample(tokens: [6, .max], labels: [-100, .min])
        bad.preference = .desirable(false)
        let all = [TrainingExample(tokens: [7, 8]), pair, good, TrainingExample(tokens: []), bad]
        let stored = StoredExamples("train")
        func file(_ infos: [TensorInfo], _ write: (SafetensorsWriter) throws -> Void) throws
            -> [TrainingExample]
        {
            let folder = try TemporaryFolder()
            let writer = try SafetensorsWriter(folder: folder.path, tensors: infos)
            try write(writer)
            try writer.finish()
            return try stored.read(SafetensorsFile(path: folder.file("model.safetensors")))
        }
        let back = try file(stored.tensors(all)) { try stored.write(all, to: $0) }
        #expect(back == all)
        func claimed(_ values: [(String, [Int32])]) throws -> [TrainingExample] {
            let infos = try values.map {
                try TensorInfo(
                    name: "train." + $0.0, dtype: .i32, shape: Shape(checking: [$0.1.count]))
            }
            return try file(infos) { writer in
                for (name, list) in values {
                    try list.withUnsafeBytes { try writer.write("train." + name, $0) }
                }
            }
        }
        #expect(
            try claimed([("lengths", [1]), ("tokens", [5]), ("labels", [5]), ("preferences", [0])])
                == [TrainingExample(tokens: [5])])
        for lengths: [Int32] in [[2], [0], [-1], [.max, .max], [-1, 2], [1, 0]] {
            #expect(throws: FormatError.self) {
                try claimed([
                    ("lengths", lengths), ("tokens", [5]), ("labels", [5]), ("preferences", [0]),
                ])
            }
        }
        for mark: Int32 in [1, 4, -1] {
            #expect(throws: FormatError.self) {
                try claimed([
                    ("lengths", [1]), ("tokens", [5]), ("labels", [5]), ("preferences", [mark]),
                ])
            }
        }
    }
}

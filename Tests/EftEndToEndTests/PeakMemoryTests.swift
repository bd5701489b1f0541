// SPDX-License-Identifier: Apache-2.0
// What the program says it will hold, and what the system says it held, over dozens of small runs.
import EftBenchmarks
import EftConfig
import EftFormats
import EftTensor
import EftTestSupport
import Testing

#if canImport(Glibc)
    import Glibc
#endif

/// Models of one shape in several forms, with what it takes to run and train them: large beside the program itself,
/// small enough to be run dozens of times.
struct SmallModels {
    static let (layers, kvHeads, headDim) = (8, 4, 64)
    static let shape = NamedShape(
        name: "small", vocabulary: 4096, hidden: 1024, intermediate: 2816, layers: layers,
        heads: 16, kvHeads: kvHeads, headDim: headDim, ropeTheta: 10000, context: 4096, tied: false)
    static let lora = [
        ("adapter", "lora"), ("lora_r", "8"), ("lora_alpha", "16"), ("lora_target_linear", "true"),
    ]
    static let qlora = lora + [("adapter", "qlora"), ("load_in_4bit", "true")]
    let folder: TemporaryFolder

    /// Writes models in the formats that are named.
    init(
        _ formats: [String: ShapeWriter.Format], shape: NamedShape = SmallModels.shape,
        layers: Int? = nil
    ) throws {
        folder = try TemporaryFolder(shape.name)
        for (name, format) in formats {
            try ShapeWriter(shape, layers: layers, format: format)
                .write(to: folder.file(name)) { _, _ in }
        }
        try folder.write("text.txt", String(repeating: "The quick brown fox. ", count: 120))
        try folder.write(
            "questions.jsonl",
            (0..<20).map { row in
                "{\"question\": \"How many words are in row \(row)?\", "
                    + "\"choices\": [\"one\", \"none at all\", \"three or four\"], \"answer\": 1}\n"
            }.joined())
        try folder.write(
            "rows.jsonl",
            (0..<16).map { row in
                let words = String(repeating: "word \(row) ", count: 4 + row % 3)
                return "{\"text\": \"\(words)\"}\n"
            }.joined())
    }

    /// Writes a training configuration.
    /// - Parameter keys: lines that win over the others of the same key.
    func config(_ name: String, base: String, _ keys: [(String, String)]) throws -> String {
        var all: [(String, String)] = [
            ("base_model", folder.file(base)),
            ("datasets", "[{path: \(folder.file("rows.jsonl")), type: completion}]"),
            ("output_dir", folder.file(name)), ("sequence_len", "64"), ("micro_batch_size", "1"),
            ("gradient_accumulation_steps", "1"), ("learning_rate", "0.001"), ("max_steps", "1"),
            ("gradient_checkpointing", "true"), ("bf16", "auto"),
        ]
        for (key, value) in keys {
            all.removeAll { $0.0 == key }
            all.append((key, value))
        }
        let path = folder.file(name + ".yml")
        try AtomicFile.write(path, all.map { "\($0.0): \($0.1)\n" }.joined())
        return path
    }
}

/// What a run planned to hold at most, and what the system measured.
struct Peaks {
    let planned: Int
    let measured: Int

    /// Runs the program to its end.
    /// - Parameter input: what the program reads; nothing when nil.
    init(_ arguments: [String], input: String? = nil) throws {
        let program = try Program(arguments + ["--json"], input: input)
        try #require(program.status == 0, "\(arguments): \(program.errors)")
        let answer = ConfigCursor(try JSONParser.parse(program.output))
        planned = try answer.required("peak_memory_planned").int()
        measured = try answer.required("peak_memory_measured").int()
        try record(arguments)
    }

    /// Adds a line to the file that the environment's EFT_PEAKS names: planned and measured bytes, and the command line,
    /// whose paths have the shape's name.
    private func record(_ arguments: [String]) throws {
        guard let path = getenv("EFT_PEAKS").map({ String(cString: $0) }) else { return }
        let line = "\(planned)\t\(measured)\t\(arguments.joined(separator: " "))\n"
        guard let file = fopen(path, "a") else {
            throw FormatError(.io, "cannot be written", path: path)
        }
        fputs(line, file)
        fclose(file)
    }

    /// Whether the plan is an upper bound, and one that says something: 2 % or 4 MiB above what was measured, since other machines map
    /// other code.
    var isBound: Bool {
        measured <= planned && planned - measured <= max(planned / 50, 4 << 20)
    }

    /// Runs the program and checks that its plan held.
    @discardableResult
    static func check(_ arguments: [String], input: String? = nil) throws -> Peaks {
        let peaks = try Peaks(arguments, input: input)
        #expect(
            peaks.isBound,
            "planned \(peaks.planned), measured \(peaks.measured), \(peaks.planned - peaks.measured) left: \(arguments)"
        )
        return peaks
    }
}

struct PeakMemoryTests {
    private func check(_ arguments: [String]) throws -> Peaks { try Peaks.check(arguments) }

    @Test func `a run that fills a large cache holds what was planned, and hardly less`() throws {
        let models = try SmallModels(["exl2": .exl2(bits: 4)])
        let text = String(repeating: "The quick brown fox. ", count: 120)
        for type in [KVType.f32, .bf16, .q8, .q6, .q4] {
            _ = try check([
                "run", "-m", models.folder.file("exl2"), "-p", text, "-t", "8", "--ignore-eos",
                "--kv-cache-dtype", type.rawValue,
            ])
        }
    }

    /// A share of what all layers in memory take, on so many devices, as `--memory` and a cache.
    private func memory(
        _ percent: Int, of peaks: Peaks, devices: Int = 1, caches: TemporaryFolder
    ) -> [String] {
        let each = peaks.planned / 100 * percent / devices
        let sizes = Array(repeating: "\(each)", count: devices).joined(separator: ",")
        return ["--memory", sizes, "--cache-dir", caches.path]
    }

    @Test func `a run of 16-bit weights holds no more than was planned, and hardly less`() throws {
        let caches = try TemporaryFolder()
        let models = try SmallModels(["bf16": .bf16])
        let run = ["run", "-m", models.folder.file("bf16"), "-p", "The quick brown fox", "-t", "3"]
        let whole = try check(run)
        // Of a context no more is planned than prompt and answer can fill.
        let long = try check(run + ["-l", "1500"])
        #expect(long.planned <= whole.planned + (256 << 10))
        _ = try check(run + memory(150, of: whole, devices: 3, caches: caches))
        _ = try check(run + memory(60, of: whole, caches: caches))
        _ = try check(run + memory(90, of: whole, devices: 2, caches: caches))
        let narrow = try check(run + ["--load-in-4bit", "-l", "200"])
        _ = try check(run + ["--load-in-4bit"] + memory(80, of: narrow, caches: caches))
    }

    @Test func `a run of quantized weights holds no more than was planned, and hardly less`() throws
    {
        let caches = try TemporaryFolder()
        let models = try SmallModels(["nf4": .nf4, "exl2": .exl2(bits: 4)])
        let prompt = ["-p", "The quick brown fox", "-t", "3"]
        let nf4 = ["run", "-m", models.folder.file("nf4")] + prompt
        _ = try check(nf4 + memory(70, of: check(nf4), caches: caches))
        let run = ["run", "-m", models.folder.file("exl2")] + prompt
        let whole = try check(run)
        _ = try check(run + ["-p", "One", "-p", "Two", "-l", "400"])
        _ = try check(run + memory(140, of: whole, devices: 2, caches: caches))
        // The second time nothing is written.
        for _ in 0..<2 { _ = try check(run + memory(65, of: whole, caches: caches)) }
        _ = try check(run + memory(100, of: whole, devices: 2, caches: caches))
    }

    @Test func `experts that are read when they are chosen take the places that were planned`()
        throws
    {
        let caches = try TemporaryFolder()
        let shape = NamedShape(
            name: "many-experts", family: .qwen2MoE(experts: 16, expertsPerRow: 2, shared: 1024),
            vocabulary: 4096, hidden: 512, intermediate: 512, layers: 5, heads: 8, kvHeads: 4,
            headDim: 64, ropeTheta: 10000, context: 512, tied: false)
        let models = try SmallModels(["bf16": .bf16, "nf4": .nf4], shape: shape)
        // Many kinds of tokens, which choose more experts than there are places.
        let prompt =
            "Sphinx of black quartz, judge my vow! 0123456789 The five boxing wizards jump quickly; "
            + "(a+b)*c = {x|y} [z] #1 @home 100% & more? <tag> ~tilde~ Zebra QUARTZ vexed"
        for (name, percents, ofTwo) in [("bf16", [55, 40], 85), ("nf4", [75, 65], 92)] {
            let folder = models.folder.file(name)
            let run = ["run", "-m", folder, "-p", prompt, "-t", "40"]
            let whole = try check(run)
            for percent in percents {
                _ = try check(run + memory(percent, of: whole, caches: caches))
            }
            // Two devices, and two sequences at once.
            _ = try check(
                run + ["-p", "One"] + memory(ofTwo, of: whole, devices: 2, caches: caches))
            let eval = [
                "eval", "-m", folder, "--data", models.folder.file("text.txt"), "--length", "128",
            ]
            let scored = try check(eval)
            _ = try check(eval + memory(70, of: scored, caches: caches))
        }
        let run = ["run", "-m", models.folder.file("bf16"), "-p", "Fox", "-t", "30", "--json"]
        let whole = try Peaks(Array(run.dropLast()))
        let program = try Program(run + memory(60, of: whole, caches: caches))
        let answer = ConfigCursor(try JSONParser.parse(program.output))
        let streaming = try answer.required("streaming")
        let (used, read) = (
            try streaming.required("experts_used").int(),
            try streaming.required("experts_read").int()
        )
        #expect(used > 30 * 5 * 2 && read > 0 && read < used)
        // 3 matrices of 512 x 512 in 16 bits an expert, and 2 of 5 layers a token.
        let bytes = 3 * 512 * 512 * 2
        #expect(try streaming.required("bytes").int() == read * bytes)
        #expect(try answer.required("streamed_bytes_per_pass").int() == 10 * bytes)
    }

    @Test func `a score holds no more than was planned, and hardly less`() throws {
        let caches = try TemporaryFolder()
        let models = try SmallModels(["exl2": .exl2(bits: 4)])
        let common = [
            "eval", "-m", models.folder.file("exl2"), "--data", models.folder.file("text.txt"),
            "--length",
        ]
        let whole = try check(common + ["64"])
        _ = try check(common + ["150"])
        _ = try check(common + ["64"] + memory(70, of: whole, caches: caches))
        _ = try check(common + ["64"] + memory(150, of: whole, devices: 2, caches: caches))
    }

    @Test func `a comparison holds no more than was planned, and hardly less`() throws {
        let caches = try TemporaryFolder()
        let models = try SmallModels(["exl2": .exl2(bits: 4), "bf16": .bf16])
        let common = [
            "eval", "-m", models.folder.file("exl2"), "--compare", models.folder.file("bf16"),
            "--data", models.folder.file("text.txt"), "--length", "64",
        ]
        let whole = try check(common)
        _ = try check(common + memory(60, of: whole, caches: caches))
        _ = try check(common + memory(130, of: whole, devices: 2, caches: caches))
        let questions = [
            "eval", "-m", models.folder.file("exl2"), "--tasks",
            models.folder.file("questions.jsonl"),
        ]
        let all = try check(questions)
        _ = try check(questions + memory(85, of: all, caches: caches))
    }

    @Test func `a training run holds no more than was planned, and hardly less`() throws {
        let caches = try TemporaryFolder()
        let models = try SmallModels(["bf16": .bf16])
        func train(
            _ keys: [(String, String)], _ more: [String] = []
        ) throws -> Peaks {
            let config = try models.config("out", base: "bf16", keys)
            return try check(["train", config] + more)
        }
        let lora = SmallModels.lora
        let qlora = SmallModels.qlora
        let whole = try train(lora)
        let narrow = try train(qlora)
        let adapter = ["--adapter", models.folder.file("out")]
        let run = ["run", "-m", models.folder.file("bf16"), "-p", "One", "-t", "3"] + adapter
        let over = try check(run + ["--load-in-4bit"])
        _ = try check(run + ["--load-in-4bit"] + memory(75, of: over, caches: caches))
        _ = try train(qlora + [("gradient_checkpointing", "false")])
        let disk = [
            ("gradient_checkpointing", "offload_disk"), ("optimizer", "paged_adamw_32bit"),
        ]
        _ = try train(qlora + disk + [("lora_dropout", "0.1")])
        _ = try train(qlora + [("optimizer", "adamw_bnb_8bit")])
        let several = [("gradient_accumulation_steps", "3")]
        _ = try train(lora + several, memory(60, of: whole, caches: caches))
        _ = try train(qlora + several, memory(75, of: narrow, caches: caches))
        _ = try train(qlora + disk, memory(75, of: narrow, caches: caches))
        _ = try train(qlora, memory(150, of: narrow, devices: 2, caches: caches))
        _ = try train(qlora, memory(105, of: narrow, devices: 2, caches: caches))
    }

    @Test func `training all weights holds no more than was planned, and hardly less`() throws {
        let models = try SmallModels(["bf16": .bf16], layers: 2)
        let names = [
            "adamw_torch", "paged_adamw_32bit", "adamw_bnb_8bit", "paged_adamw_8bit", "muon",
        ]
        for keys in names.map({ [("optimizer", $0)] }) {
            _ = try check(["train", models.config("out", base: "bf16", keys)])
        }
    }
}

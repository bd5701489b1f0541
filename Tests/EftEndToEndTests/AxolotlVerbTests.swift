// SPDX-License-Identifier: Apache-2.0
// The command lines of axolotl and of ExLlamaV2's converter, as their users type them.
import EftConfig
import EftFormats
import EftTestSupport
import Testing

@Suite struct AxolotlVerbTests {
    /// The demo's configuration for a few steps.
    private func config(_ folder: TemporaryFolder, _ lines: String = "") throws -> String {
        try folder.write(
            "c.yml",
            """
            base_model: Examples/demo/model
            load_in_4bit: true
            adapter: qlora
            lora_r: 4
            lora_alpha: 8
            lora_target_linear: true
            datasets: [{path: Examples/demo/lantern.jsonl, type: alpaca}]
            output_dir: \(folder.file("out"))
            sequence_len: 256
            micro_batch_size: 2
            learning_rate: 0.002
            max_steps: 3
            \(lines)
            """)
    }

    private func object(_ program: Program) throws -> ConfigCursor {
        ConfigCursor(try JSONParser.parse(program.output))
    }

    @Test(arguments: [
        ("train", "--memry", "--memory"), ("train", "--learnin-rate", "--learning-rate"),
        ("preprocess", "--sequence-length", "--sequence-len"),
        ("merge-lora", "--lora-model-dri", "--lora-model-dir"),
        ("evaluate", "--val-set-sise", "--val-set-size"),
        ("inference", "--max-token", "--max-tokens"),
    ])
    func `a flag that nobody knows is refused with the nearest name`(
        _ verb: String, _ flag: String, _ near: String
    ) throws {
        let folder = try TemporaryFolder()
        let program = try Program(verb, try config(folder), flag, "1")
        #expect(program.status == 2)
        #expect(program.errors.contains("'\(flag)'") && program.errors.contains("'\(near)'"))
        #expect(try FileSystem.list(folder.path) == ["c.yml"])
    }

    @Test func `axolotl's own options are taken, those without effect with one line`() throws {
        let folder = try TemporaryFolder()
        let program = try Program(
            "train", try config(folder), "--launcher", "accelerate", "--num-processes", "2",
            "--flash-attention", "--special_tokens.pad_token", "<pad>", "--dry-run", "--", "--x=1")
        #expect(program.status == 0, "\(program.errors)")
        let lines = program.errors.split(separator: "\n").filter { $0.contains("effect here") }
        #expect(lines.count == 2)
        #expect(lines.contains { $0.contains("--launcher, --num-processes") })
        #expect(lines.contains { $0.hasSuffix("flash_attention") })
        let stray = try Program("train", try config(folder), "other.yml")
        #expect(stray.status == 2 && stray.errors.contains("other.yml"))
    }

    @Test func `a dry run shows what is trained and writes nothing`() throws {
        let folder = try TemporaryFolder()
        let text = try Program("train", try config(folder), "--dry-run")
        #expect(text.status == 0, "\(text.errors)")
        #expect(text.output.contains("  masked  | ### Response:\n"))
        #expect(text.output.contains("  trained | The Lantern Ship"))
        #expect(text.output.contains("3 steps would be made"))
        #expect(text.errors.contains("activations"))
        let json = try Program("train", try config(folder), "--dry-run", "--json")
        let steps = try object(json).required("steps").int()
        #expect(steps == 3)
        // Neither a prepared base, nor panels to stream, nor kept inputs are written.
        let streamed = try Program(
            "train", try config(folder), "--dry-run", "--memory", "60MiB", "--cache-dir",
            folder.file("caches"), "--prepare-base", "always", "--gradient-checkpointing",
            "offload_disk")
        #expect(streamed.status == 0, "\(streamed.errors)")
        #expect(try FileSystem.list(folder.path) == ["c.yml"])
        let small = try Program("train", try config(folder), "--dry-run", "--memory", "20MiB")
        #expect(small.status == 3)
    }

    @Test func `preprocess counts, shows tokens with labels, and keeps them for training`() throws {
        let folder = try TemporaryFolder()
        let path = folder.file("prepared")
        let lines = "val_set_size: 20\ndataset_prepared_path: \(path)"
        let dry = try Program("preprocess", try config(folder, lines), "--dry-run")
        #expect(dry.status == 0 && !FileSystem.exists(path), "\(dry.errors)")
        let counts = try Program("preprocess", try config(folder, lines))
        #expect(counts.status == 0, "\(counts.errors)")
        #expect(counts.output.contains("validation: 20 examples"))
        #expect(!counts.output.contains("example 1"))
        let kept = try #require(try FileSystem.list(path).first)
        #expect(counts.errors.contains("prepared data is written: \(path)/\(kept)"))
        let debug = try Program(
            "preprocess", try config(folder, lines), "--debug", "--debug-num-examples", "1")
        #expect(debug.output.contains("(-100, ") && debug.output.contains("example 1"))
        #expect(!debug.output.contains("example 2"))
        #expect(debug.errors.contains("prepared data is used: \(path)/\(kept)"))
        let train = try Program("train", try config(folder, lines))
        #expect(train.status == 0, "\(train.errors)")
        #expect(train.errors.contains("prepared data is used: \(path)/\(kept)"))
        #expect(try FileSystem.list(path) == [kept])
        let plain = try Program("train", try config(folder, "val_set_size: 20"))
        #expect(plain.status == 0 && !plain.errors.contains("prepared data"))
    }

    @Test(.enabled(if: FileSystem.exists("/usr/bin/script")))
    func `on a terminal what is learned is green and what is masked red`() throws {
        let folder = try TemporaryFolder()
        let file = try config(folder)
        func shown(_ options: String, _ colors: String) throws -> String {
            let words = "preprocess \(file) --dry-run \(options)"
            return try Program(
                path: "/usr/bin/script",
                ["-qec", "env TERM=xterm \(colors) \(Program.path) \(words)", "/dev/null"]
            ).output
        }
        let tokens = try shown("--debug", "NO_COLOR=")
        #expect(tokens.contains("(-100, ") && tokens.contains("\u{1B}[32m"))
        for token in tokens.split(separator: "\u{1B}[31m").dropFirst() {
            #expect(token.prefix { $0 != "\u{1B}" }.contains("(-100, "))
        }
        let segments = try shown("--debug-text-only", "NO_COLOR=")
        #expect(segments.contains("\u{1B}[31m  masked  | "))
        #expect(segments.contains("\u{1B}[32m  trained | "))
        #expect(try !shown("--debug", "NO_COLOR=1").contains("\u{1B}["))
    }

    @Test func `a sweep makes a run for each combination`() throws {
        let folder = try TemporaryFolder()
        let config = try config(folder, "logging_steps: 1")
        let sweep = try folder.write(
            "sweep.yml", "learning_rate: [0.002, -1]\n_: [{lora_r: 2, lora_alpha: 2}]\n")
        let listed = try object(Program("train", config, "--sweep", sweep, "--dry-run", "--json"))
        #expect(try listed.required("runs").elements().count == 2)
        #expect(!FileSystem.exists(folder.file("out")))
        let program = try Program(
            "train", config, "--sweep", sweep, "--json", "--max-steps", "2")
        // A rate below 0 is refused by its run, and the other one is made.
        #expect(program.status == 2 && program.errors.contains("runs that failed: sweep000"))
        for run in try object(program).required("runs").elements() {
            let rate = try run.required("changes").required("learning_rate").double()
            let output = try run.required("output").string()
            #expect(try run.required("status").int() == (rate > 0 ? 0 : 2))
            #expect(
                FileSystem.exists(FileSystem.join(output, "adapter_model.safetensors"))
                    == (rate > 0))
            guard rate > 0 else { continue }
            #expect(try run.required("loss").double() > 0)
            let adapter = try ConfigFile.read(FileSystem.join(output, "adapter_config.json"))
            #expect(try adapter.required("r").int() == 2)
        }
    }

    @Test func `what was trained is evaluated, answered with and merged from the same file`() throws
    {
        let folder = try TemporaryFolder()
        let config = try config(folder, "val_set_size: 20")
        let train = try Program("train", config, "--json")
        try #require(train.status == 0, "\(train.errors)")
        let loss = try object(train).required("eval_loss").double()
        #expect(train.errors.contains("report: "))
        let evaluated = try Program("evaluate", config, "--json")
        try #require(evaluated.status == 0, "\(evaluated.errors)")
        #expect(abs(try object(evaluated).required("eval_loss").double() - loss) < 1e-5)
        let summary = try ConfigFile.contents(folder.file("out/eval_summary.csv"))
        let lines = String(decoding: summary, as: UTF8.self).split(separator: "\r\n")
        #expect(lines.first == "metric,training,validation")
        #expect(lines.contains("examples,,20"))
        let both = try object(Program("evaluate", config, "--json", "--training-data"))
        #expect(try both.required("train_examples").int() > 20)
        #expect(abs(try both.required("eval_loss").double() - loss) < 1e-5)
        #expect(abs(try both.required("train_loss").double() - loss) < 1)
        // Another base is another model.
        let stored = try object(Program("evaluate", config, "--json", "--no-load-in-4bit"))
        #expect(abs(try stored.required("eval_loss").double() - loss) > 1e-5)

        let prompt = ["-p", "What is on the Lantern Ship?", "-t", "12", "--json"]
        let model = ["-m", "Examples/demo/model", "--adapter", folder.file("out")]
        let inference = try Program(["inference", config] + prompt)
        try #require(inference.status == 0, "\(inference.errors)")
        let run = try Program(["run"] + model + ["--alpaca"] + prompt)
        let answer = try text(run)
        #expect(try text(inference) == answer)
        let explicit = try Program(["run"] + model + ["--alpaca", "--load-in-4bit"] + prompt)
        #expect(try text(explicit) == answer)
        let said = try Program(["run"] + model + ["-p", "x", "-t", "1"])
        #expect(said.errors.contains("held in NF4") && said.errors.contains("--no-load-in-4bit"))

        let dry = try Program("merge-lora", config, "--dry-run")
        #expect(dry.status == 0 && !FileSystem.exists(folder.file("out/merged")))
        let merged = try Program("merge-lora", config, "--json")
        try #require(merged.status == 0, "\(merged.errors)")
        #expect(try object(merged).required("nf4_round_trip").bool())
        let alone = try Program(
            ["run", "-m", folder.file("out/merged"), "--alpaca"] + prompt)
        #expect(alone.status == 0, "\(alone.errors)")
        let plain = try Program(
            "merge", "--base", "Examples/demo/model", "--adapter", folder.file("out"), "-o",
            folder.file("plain"), "--no-load-in-4bit", "--json")
        #expect(try !object(plain).required("nf4_round_trip").bool())
    }

    /// The generated text of a run with --json.
    private func text(_ program: Program) throws -> String {
        try object(program).required("text").string()
    }

    @Test(arguments: [
        ("val_set_size: 244", "val_set_size"),
        ("resume_from_checkpoint: true", "checkpoint"),
        ("resume_from_checkpoint: nowhere", "nowhere"),
        ("sequence_len: 16\nexcess_length_strategy: raise", "excess_length_strategy"),
        ("sequence_len: 16", "too long"),
        ("lora_target_modules: [nothing]\nlora_target_linear: false", "lora_target_modules"),
        ("peft_trainable_token_indices: [99999]", "token 99999"),
    ])
    func `faults of a configuration and its data are status 2`(
        _ lines: String, _ hint: String
    ) throws {
        let folder = try TemporaryFolder()
        let own = lines.split(separator: "\n").map { $0.prefix { $0 != ":" } }
        let text = try FileSystem.read(config(folder))
        let base = String(decoding: text, as: UTF8.self).split(separator: "\n")
            .filter { line in !own.contains { line.hasPrefix($0 + ":") } }
        let file = try folder.write("d.yml", (base + [Substring(lines)]).joined(separator: "\n"))
        let program = try Program("train", file)
        #expect(program.status == 2, "\(program.errors)")
        #expect(program.errors.contains(hint), "\(program.errors)")
    }
}

@Suite struct ConverterLineTests {
    @Test(arguments: ["bfloat16", "torch.bfloat16", "bf16"])
    func `types have the names that users know`(_ name: String) throws {
        let folder = try TemporaryFolder()
        let output = folder.file("one.safetensors")
        let program = try Program(
            "convert", "Tests/Fixtures/models/bin/pytorch_model.bin", output, "--dtype", name)
        #expect(program.status == 0, "\(program.errors)")
        #expect(try FileSystem.list(folder.path) == ["one.safetensors"])
        let file = try SafetensorsFile(path: output)
        #expect(file.tensors.allSatisfy { $0.dtype == .bf16 } && !file.tensors.isEmpty)
    }

    @Test func `a dry run of convert and quantize writes nothing`() throws {
        let folder = try TemporaryFolder()
        let convert = try Program(
            "convert", "Examples/demo/model", folder.file("out"), "--dtype", "half", "--dry-run")
        #expect(convert.status == 0 && convert.output.contains("would write"))
        let quantize = try Program(
            "quantize", "-i", "Examples/demo/model", "-o", folder.file("work"), "-cf",
            folder.file("out"), "-b", "3", "--dry-run", "--json")
        #expect(quantize.status == 0, "\(quantize.errors)")
        let plan = ConfigCursor(try JSONParser.parse(quantize.output))
        #expect(try plan.required("bits").int() == 3)
        #expect(try plan.required("calibration").string() == "(built-in)")
        #expect(try FileSystem.list(folder.path).isEmpty)
    }

    @Test func `a measurement is made and used by ExLlamaV2's options`() throws {
        let folder = try TemporaryFolder()
        let file = folder.file("m.json")
        let quantize = ["quantize", "-i", "Examples/demo/model", "-r", "3", "-l", "64", "-mr", "2"]
        let measure = try Program(
            quantize + ["-o", folder.file("one"), "-om", file, "-ml", "32", "-so", "-fst"])
        #expect(measure.status == 0, "\(measure.errors)")
        let status = measure.output.split(separator: "\n").filter { $0.hasPrefix("[STATUS]{") }
        #expect(!status.isEmpty)
        let notes = measure.errors.split(separator: "\n").filter { $0.contains("effect here") }
        #expect(notes.count == 1 && notes.first?.contains("-fst") == true)
        let measured = ConfigCursor(try JSONParser.parse(FileSystem.read(file), file: file))
        #expect(try measured.required("measurement").entries().count == 8)
        let use = try Program(
            quantize + ["-o", folder.file("work"), "-m", file, "-b", "3.4", "--json"])
        #expect(use.status == 0, "\(use.errors)")
        let report = ConfigCursor(try JSONParser.parse(use.output))
        let bits = try report.required("bits_per_weight").double()
        #expect(bits <= 3.4 && bits > 3.35)
        let missing = try Program(quantize + ["-o", folder.file("new"), "-m", "nowhere.json"])
        #expect(missing.status == 4 && missing.errors.contains("nowhere.json"))
        let resume = try Program("quantize", "-o", folder.file("none"), "-res")
        #expect(resume.status == 2 && resume.errors.contains("no job"))
    }
}

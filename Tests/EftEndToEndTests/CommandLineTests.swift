// SPDX-License-Identifier: Apache-2.0
// The program as a user meets it: output, exit statuses, refusals.
import EftConfig
import EftFormats
import EftTestSupport
import Testing

@Suite struct CommandLineTests {
    @Test func `help lists every verb and each has examples`() throws {
        let help = try Program("--help")
        #expect(help.status == 0)
        for verb in [
            "plan", "inspect", "train", "merge", "convert", "quantize", "run", "chat", "eval",
            "imatrix",
            "bench",
        ] {
            #expect(help.output.contains("\n  \(verb) "), "\(verb)")
            let own = try Program(verb, "--help")
            #expect(own.status == 0)
            #expect(own.output.contains("Examples:"), "\(verb)")
        }
    }

    @Test func `wrong usage is status 2 and suggests`() throws {
        let verb = try Program("trian")
        #expect(verb.status == 2 && verb.errors.contains("train"))
        let option = try Program("run", "--adaptor", "x")
        #expect(option.status == 2 && option.errors.contains("--adapter"))
        let number = try Program("plan", "Examples/demo/model", "--rank", "many")
        #expect(number.status == 2 && number.errors.contains("--rank"))
    }

    @Test(arguments: [("run", "int16"), ("eval", "int16"), ("serve", "int8")])
    func `verbs say in what precision they compute`(verb: String, precision: String) throws {
        let help = try Program(verb, "--help")
        #expect(help.status == 0)
        let words = help.output.split(whereSeparator: \.isWhitespace).joined(separator: " ")
        let option = try #require(words.split(separator: "--precision").last)
        #expect(option.contains("int8; default: \(precision))"))
    }

    @Test func `a plan is a table, and an object for machines`() throws {
        let table = try Program("plan", "Examples/demo/model", "--memory", "1GiB")
        #expect(table.status == 0 && table.output.contains("QLoRA"))
        let json = try Program("plan", "Examples/demo/model", "--memory", "1GiB", "--json")
        let plan = ConfigCursor(try JSONParser.parse(json.output))
        #expect(try plan.required("fits").bool())
    }

    @Test func `what does not fit is refused with status 3 and a table`() throws {
        let run = try Program(
            "run", "-m", "Examples/demo/model", "-p", "Hello", "--memory", "4MiB")
        #expect(run.status == 3)
        #expect(run.errors.contains("weights") && run.errors.contains("total"))
        #expect(run.output.isEmpty)
    }

    @Test func `what is planned is enough, and less is refused with status 3`() throws {
        let folder = try TemporaryFolder()
        // All weights in training are never streamed, so that there is one plan. The bytes that the program itself holds
        // differ from run to run; tests of the library hold plans to the byte.
        let config = try folder.write(
            "all.yml",
            """
            base_model: Examples/demo/model
            datasets: [{path: Examples/demo/lantern.jsonl, type: alpaca}]
            output_dir: \(folder.file("out"))
            sequence_len: 256
            micro_batch_size: 1
            learning_rate: 0.001
            max_steps: 1
            """)
        func train(_ more: [String]) throws -> Program {
            try Program(["train", config, "--json"] + more)
        }
        let free = try train([])
        try #require(free.status == 0, "\(free.errors)")
        let planned = try ConfigCursor(JSONParser.parse(free.output))
            .required("peak_memory_planned").int()
        let differing = 4 << 20
        let enough = try train(["--memory", "\(planned + differing)"])
        #expect(enough.status == 0, "\(enough.errors)")
        let refused = try train(["--memory", "\(planned - differing)"])
        #expect(refused.status == 3 && refused.errors.contains("training needs"))
        #expect(refused.output.isEmpty)
    }

    @Test func `a model that does not fit is streamed, with the same score`() throws {
        let folder = try TemporaryFolder()
        let common = [
            "eval", "-m", "Examples/demo/model", "--data", "Examples/demo/valid.txt", "--length",
            "64", "--cache-dir", folder.path,
        ]
        func score(_ program: Program) throws -> ConfigCursor {
            #expect(program.status == 0, "\(program.errors)")
            return ConfigCursor(try JSONParser.parse(program.output))
        }
        let whole = try score(Program(common + ["--json"]))
        #expect(try FileSystem.list(folder.path).isEmpty)
        let planned = try whole.required("peak_memory_planned").int()
        let memory = ["--memory", "\((planned >> 10) - 1500)KiB"]
        let streamed = try score(Program(common + memory + ["--json"]))
        #expect(
            try streamed.required("perplexity").double() == whole.required("perplexity").double())
        #expect(try FileSystem.list(folder.path).count == 1)
        let told = try Program(common + memory)
        #expect(told.status == 0 && told.errors.contains("of 4 layers resident"))
        #expect(told.errors.contains("I/O window") && told.errors.contains(folder.path))
    }

    @Test func `a model is compared with its original, streamed or not`() throws {
        let folder = try TemporaryFolder()
        let model = "Examples/demo/model"
        let quantized = folder.file("4bit")
        let made = try Program(
            "quantize", "-i", model, "-o", folder.file("work"), "-cf", quantized, "-b", "4", "-c",
            "Examples/demo/calibration.txt", "-r", "4", "-l", "64")
        try #require(made.status == 0, "\(made.errors)")
        let text = try folder.write(
            "text.txt", String(repeating: "One morning Felix went to the market. ", count: 12))
        let caches = folder.file("caches")
        func compare(_ more: [String]) throws -> ConfigCursor {
            let program = try Program(
                [
                    "eval", "-m", quantized, "--compare", model, "--data", text, "--length", "33",
                    "--cache-dir", caches, "--json",
                ] + more)
            #expect(program.status == 0, "\(program.errors)")
            return ConfigCursor(try JSONParser.parse(program.output))
        }
        let whole = try compare([])
        let divergence = try whole.required("kl_divergence").required("mean").double()
        #expect(divergence > 0 && divergence < 1)
        #expect(try whole.required("layer_errors").elements().count == 4)
        #expect(try whole.required("top1_agreement").double() > 0.5)
        let planned = try whole.required("peak_memory_planned").int()
        let streamed = try compare(["--memory", "\((planned >> 10) - 2400)KiB"])
        #expect(try FileSystem.list(caches).count >= 1)
        #expect(try streamed.required("kl_divergence").required("mean").double() == divergence)
        // Keys and values in codes add to what the weights have cost.
        let codes = try compare(["--kv-cache-dtype", "q4"])
        #expect(try codes.required("kl_divergence").required("mean").double() != divergence)
        #expect(
            try codes.required("reference").required("nll").double()
                == whole.required("reference").required("nll").double())
        let table = try Program(
            "eval", "-m", quantized, "--compare", model, "--data", text, "--length", "33")
        #expect(table.status == 0 && table.output.contains("KL divergence"))
    }

    @Test func `models that have not the same tokens are not compared`() throws {
        let folder = try TemporaryFolder()
        let model = "Examples/demo/model"
        for name in try FileSystem.list(model) {
            try folder.write(name, FileSystem.read(FileSystem.join(model, name)))
        }
        let json = String(
            decoding: try FileSystem.read(folder.file("tokenizer.json")), as: UTF8.self)
        let other = json.replacing("<|pad|>", with: "<|gap|>")
        try folder.write("tokenizer.json", other)
        let refused = try Program(
            "eval", "-m", model, "--compare", folder.path, "--data", "Examples/demo/valid.txt")
        #expect(refused.status == 4 && refused.errors.contains("token 2 differs"))
    }

    @Test func `a score is of a text or of questions`() throws {
        let model = ["eval", "-m", "Examples/demo/model"]
        let questions = Fixtures.path("choices/questions.jsonl")
        let scored = try Program(model + ["--tasks", questions, "--precision", "f32", "--json"])
        let found = ConfigCursor(try JSONParser.parse(scored.output))
        #expect(try found.required("questions").int() == 15)
        #expect(try found.required("acc").double() == 0.6)
        for wrong in [
            [], ["--tasks", questions, "--data", "x"], ["--tasks", questions, "--compare", "x"],
            ["--compare", "x"], ["--tasks", questions, "--kv-cache-dtype", "q8"],
        ] {
            let refused = try Program(model + wrong)
            #expect(refused.status == 2, "\(wrong)")
        }
    }

    /// Runs the program in a shell: `"$@"` stands for it and the arguments.
    private func shell(_ script: String, _ arguments: [String]) throws -> Program {
        try Program(path: "/bin/bash", ["-c", script, "bash", Program.path] + arguments)
    }

    @Test func `output that nobody reads stops the work, without a word`() throws {
        let endless = [
            "run", "-m", "Examples/demo/model", "--raw", "-p", "One day", "-t", "480",
            "--ignore-eos", "--threads", "1",
        ]
        let run = try shell("\"$@\" 2>&1 | head -c 1 >/dev/null; exit ${PIPESTATUS[0]}", endless)
        #expect(run.status == 128 + 13)
        #expect(run.errors.isEmpty, "\(run.errors)")
        // Nothing is written before the end: the reader is missed while the text is scored.
        let eval = try shell(
            "\"$@\" 2>&1 | exec 0<&-; exit ${PIPESTATUS[0]}",
            [
                "eval", "-m", "Examples/demo/model", "--data", "Examples/demo/valid.txt", "--json",
                "--threads", "1",
            ])
        #expect(eval.status == 128 + 13)
    }

    @Test func `a run that saves goes on when nobody reads its output`() throws {
        let folder = try TemporaryFolder()
        let train = try shell(
            "\"$@\" 2>&1 | true; exit ${PIPESTATUS[0]}",
            [
                "train", "Examples/demo/qlora.yml", "--max_steps", "2", "--json", "--output_dir",
                folder.file("adapter"),
            ])
        #expect(train.status == 0)
        #expect(try !CheckpointFolder.open(folder.file("adapter"), kind: .adapter).tensors.isEmpty)
    }

    @Test func `models go by name, and defaults come from the environment`() throws {
        let named = try shell(
            "EFT_CONFIG=none EFT_MODELS=Examples/demo \"$@\"", ["inspect", "model"])
        #expect(named.status == 0 && named.output.hasPrefix("LlamaForCausalLM"))
        let missing = try shell(
            "EFT_CONFIG=none EFT_MODELS=Examples/demo \"$@\"", ["inspect", "modle"])
        #expect(missing.status == 4 && missing.errors.contains("did you mean 'model'?"))
        let small = try shell(
            "EFT_CONFIG=none EFT_MEMORY=4MiB \"$@\"",
            ["run", "-m", "Examples/demo/model", "-p", "Hello"])
        #expect(small.status == 3, "\(small.errors)")
        let folder = try TemporaryFolder()
        let config = try folder.write("config.yml", "memroy: 1GiB")
        let unknown = try shell(
            "EFT_CONFIG=\(config) \"$@\"", ["inspect", "Examples/demo/model"])
        #expect(unknown.status == 2 && unknown.errors.contains("did you mean 'memory'?"))
    }

    @Test func `the version names the kernels and the machine`() throws {
        let short = try Program("--version")
        #expect(short.status == 0 && short.output.split(separator: "\n").count == 1)
        let long = try Program("version", "--verbose")
        #expect(long.status == 0 && long.output.hasPrefix(short.output))
        #expect(long.output.contains("\nkernels ") && long.output.contains("\nmemory "))
    }

    @Test func `damaged and missing files are status 4`() throws {
        let folder = try TemporaryFolder()
        let model = Fixtures.path("models/plain")
        for name in ["config.json", "model.safetensors"] {
            var bytes = try FileSystem.read(FileSystem.join(model, name))
            if name == "model.safetensors" { bytes.removeLast(100) }
            try folder.write(name, bytes)
        }
        let damaged = try Program("inspect", folder.path)
        #expect(damaged.status == 4 && damaged.errors.contains("model.safetensors"))
        let missing = try Program("inspect", folder.path + "/nothing")
        #expect(missing.status == 4)
        let pickle = try Program(
            "inspect", Fixtures.path("formats/bin-hostile/os-system.bin"))
        #expect(pickle.status == 4 && pickle.errors.contains("system"))
    }

    /// Runs the program where no file may have more than some KiB.
    private func limited(_ kibibytes: Int, _ arguments: [String]) throws -> Program {
        try Program(
            path: "/bin/bash",
            ["-c", "ulimit -f \(kibibytes); exec \"$0\" \"$@\"", Program.path] + arguments)
    }

    @Test func `a full disk is status 1, names the file, and leaves nothing that looks whole`()
        throws
    {
        let folder = try TemporaryFolder()
        let train = try limited(
            100,
            [
                "train", "Examples/demo/qlora.yml", "--max_steps", "1", "--output_dir",
                folder.file("adapter"),
            ])
        #expect(train.status == 1 && train.errors.contains("adapter_model.safetensors: "))
        #expect(train.errors.contains("too large"), "\(train.errors)")
        #expect(throws: FormatError.self) {
            try CheckpointFolder.open(folder.file("adapter"), kind: .adapter)
        }
        let quantize = try limited(
            2000,
            [
                "quantize", "-i", "Examples/demo/model", "-o", folder.file("work"), "-cf",
                folder.file("exl2"), "-b", "4", "-c", "Examples/demo/calibration.txt", "-r", "1",
                "-l",
                "32",
            ])
        #expect(quantize.status == 1 && quantize.errors.contains("output.safetensors: "))
        let convert = try limited(
            2000, ["convert", "Examples/demo/model", folder.file("f32"), "--dtype", "f32"])
        #expect(convert.status == 1 && convert.errors.contains("model.safetensors: "))
        for name in ["exl2", "f32"] {
            #expect(throws: FormatError.self) { try CheckpointFolder.open(folder.file(name)) }
        }
    }

    @Test(arguments: ["train", "merge", "convert", "quantize"])
    func `an output that cannot be made is refused by name`(verb: String) throws {
        let folder = try TemporaryFolder()
        try folder.write("file", "x")
        let out = folder.file("file/out")
        let model = "Examples/demo/model"
        let arguments =
            switch verb {
            case "train":
                ["train", "Examples/demo/qlora.yml", "--max_steps", "1", "--output_dir", out]
            case "merge":
                [
                    "merge", "--base", Fixtures.path("models/gqa-tied"), "--adapter",
                    Fixtures.path("lora/gqa-tied/adapter"), "-o", out,
                ]
            case "convert": ["convert", model, out]
            default:
                [
                    "quantize", "-i", model, "-o", out, "-c", "Examples/demo/calibration.txt", "-r",
                    "1",
                    "-l", "32",
                ]
            }
        let program = try Program(arguments)
        #expect(program.status == 1)
        #expect(program.errors.contains(folder.file("file")), "\(program.errors)")
        #expect(try FileSystem.list(folder.path) == ["file"])
    }

    @Test func `a run that was stopped goes on from its checkpoint to the same adapter`() throws {
        let folder = try TemporaryFolder()
        let common = [
            "train", "Examples/demo/qlora.yml", "--max_steps", "4", "--saves_per_epoch", "7",
        ]
        let whole = try Program(common + ["--output_dir", folder.file("whole")])
        #expect(whole.status == 0)
        let resumed = try Program(
            common + [
                "--output_dir", folder.file("resumed"), "--resume-from-checkpoint",
                folder.file("whole/checkpoint-2"),
            ])
        #expect(resumed.status == 0, "\(resumed.errors)")
        let name = "adapter_model.safetensors"
        #expect(
            try FileSystem.read(folder.file("whole/" + name))
                == FileSystem.read(folder.file("resumed/" + name)))
    }

    @Test func `the demo model answers, the same every time`() throws {
        let arguments = ["run", "-m", "Examples/demo/model", "-p", "One day", "-t", "8", "--json"]
        let one = try Program(arguments)
        #expect(one.status == 0)
        let answer = ConfigCursor(try JSONParser.parse(one.output))
        #expect(try answer.required("tokens").elements().count == 8)
        let two = try Program(arguments + ["--threads", "1"])
        let other = ConfigCursor(try JSONParser.parse(two.output))
        #expect(try other.required("text").string() == answer.required("text").string())
    }
}

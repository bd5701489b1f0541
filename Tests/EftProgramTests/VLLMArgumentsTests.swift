// SPDX-License-Identifier: Apache-2.0
// Command lines of vllm serve, and what they come to.
import EftCommandLine
import EftConfig
import EftFormats
import EftModels
import EftTestSupport
import Testing

@testable import eft

@Suite struct VLLMArgumentsTests {
    private func read(_ words: [String]) throws -> VLLMArguments {
        try VLLMArguments(ArgumentParser.parse(words, for: ServeCommand.specification))
    }

    private func read(_ line: String) throws -> VLLMArguments {
        try read(line.split(separator: " ").map(String.init))
    }

    private func refusal(_ line: String) -> String {
        do {
            _ = try read(line)
            return ""
        } catch { return "\(error)" }
    }

    @Test func `the model is an argument or an option`() throws {
        #expect(try read("./model").arguments.string("model") == "./model")
        #expect(try read("--model ./model").arguments.string("model") == "./model")
        #expect(try read("./model").notes.isEmpty)
        #expect(refusal("--port 8000").contains("MODEL is missing"))
        #expect(refusal("./a -m ./b").contains("give one of them"))
    }

    @Test func `all options without effect are said in one notice, each with its reason`() throws {
        let line =
            "./m --enforce-eager --swap-space 4 --block-size=32 --disable-log-requests "
            + "--trust-remote-code -O3 --disable-custom-all-reduce --no-async-scheduling"
        let notes = try read(line).notes
        #expect(notes.count == 1)
        let note = try #require(notes.first)
        for name in line.split(separator: " ").dropFirst() where name.hasPrefix("--") {
            let bare = name.prefix { $0 != "=" }.replacing("--no-", with: "--")
            #expect(note.contains(bare), "\(bare)")
        }
        #expect(note.contains("--enforce-eager, --disable-custom-all-reduce, -O3 (kernels"))
        #expect(try read("./m --port 80").notes.isEmpty)
    }

    @Test func `a revision belongs to a name on the hub`() throws {
        let named = try read("org/model --revision v1").arguments
        #expect(named.string("model") == "org/model@v1")
        #expect(named.strings("served-model-name") == ["org/model"])
        let served = try read("org/model --revision v1 --served-model-name m").arguments
        #expect(served.strings("served-model-name") == ["m"])
        #expect(try read("./model --revision v1").notes.first?.contains("--revision") == true)
        #expect(refusal("org/model@v1 --revision v2").contains("--revision"))
    }

    @Test func `every option without effect is read, with its value`() throws {
        for reason in Set(IneffectiveOption.vllm.map(\.reason)) {
            #expect(!reason.isEmpty && !reason.hasSuffix("."))
            var (words, names) = (["./m"], [String]())
            for option in IneffectiveOption.vllm where option.reason == reason {
                names.append(option.names[0])
                for name in option.names {
                    words.append(name)
                    let specification = option.specification
                    if specification.valueName != nil { words.append("1") }
                    if specification.takesMany { words.append("2") }
                }
            }
            let notice = try #require(read(words).notes.last)
            #expect(notice.hasSuffix("\(names.joined(separator: ", ")) (\(reason))"))
        }
    }

    @Test func `no option is both shown and without effect, and none is declared twice`() {
        let all =
            (ServeCommand.specification.options + ServeCommand.specification.hiddenOptions)
            .flatMap(\.names)
        #expect(Set(all).count == all.count)
    }

    @Test func `unknown options stay errors, with the nearest name of vLLM's too`() {
        #expect(refusal("./m --enforce-eagr").contains("--enforce-eager"))
        #expect(refusal("./m --no-such-thing").contains("unknown option"))
    }

    @Test(arguments: [
        ("auto", nil), ("bfloat16", "bf16"), ("half", "f16"), ("float16", "f16"),
        ("fp8", "q8"), ("fp8_e5m2", "q8"), ("q4", "q4"), ("float32", "f32"),
    ])
    func `types of the cache have vLLM's names too`(_ name: String, _ type: String?) throws {
        let read = try read("./m --kv-cache-dtype \(name)")
        #expect(read.arguments.string("kv-cache-dtype") == type)
        #expect(read.notes.contains { $0.contains("q8") } == name.hasPrefix("fp8"))
    }

    @Test func `numbers may have units`() throws {
        let arguments = try read(
            "./m --max-model-len 4k --max-num-batched-tokens 2K --max-num-seqs 16"
        ).arguments
        #expect(try arguments.int("max-model-len") == 4000)
        #expect(try arguments.int("max-num-batched-tokens") == 2048)
        #expect(try arguments.int("max-num-seqs") == 16)
        #expect(try read("./m --max-model-len 0.5K").arguments.int("max-model-len") == 512)
        #expect(refusal("./m --max-model-len 1e400k").contains("takes a number"))
        #expect(refusal("./m --max-model-len -2k").contains("takes a number"))
        #expect(try read("./m --max-model-len auto").arguments.string("max-model-len") == "auto")
    }

    @Test func `a model that is stored otherwise than -q says is refused`() throws {
        func check(_ method: String, _ form: String) throws {
            try QuantizationOption.check(
                read("./m -q \(method)").arguments,
                ModelFolder.open(Fixtures.path("quantized-models/\(form)")))
        }
        for (method, form) in [
            ("awq", "awq"), ("awq_marlin", "awq"), ("gptq", "gptq"), ("fp8", "fp8"),
            ("compressed-tensors", "compressed"),
        ] { try check(method, form) }
        for (method, form) in [("awq", "gptq"), ("gguf", "gptq"), ("gptq", "fp8")] {
            #expect(throws: UsageError.self) { try check(method, form) }
        }
    }

    @Test func `quantization and formats of files choose how layers are held`() throws {
        for line in [
            "-q bitsandbytes", "--quantization=bitsandbytes", "--load-format bitsandbytes",
        ] {
            #expect(try read("./m \(line)").arguments.flag("load-in-4bit"))
        }
        for line in [
            "-q exl2", "-q awq", "-q gptq_marlin", "-q fp8", "-q gguf", "--load-format auto",
            "--dtype auto", "-q None",
        ] {
            let read = try read("./m \(line)")
            #expect(!read.arguments.flag("load-in-4bit") && read.notes.isEmpty)
        }
        #expect(refusal("./m -q modelopt").contains("eft quantize"))
        #expect(try read("./m --dtype float32").arguments.string("precision") == "f32")
        #expect(
            try read("./m --dtype float --precision int16").arguments.string("precision")
                == "int16")
        #expect(try read("./m --dtype half").notes.last?.contains("as they are stored") == true)
        #expect(refusal("./m --dtype int8").contains("--dtype takes one of"))
    }

    @Test func `parallel sizes are the number of devices`() throws {
        #expect(try read("./m -tp 2 --memory 1GiB,1GiB").notes.isEmpty)
        #expect(try read("./m -tp 2 -pp 2 --memory 1GiB,1GiB,1GiB,1GiB").notes.isEmpty)
        #expect(refusal("./m -tp 2 -pp 2 --memory 1GiB,1GiB").contains("4 devices"))
        for line in ["-tp 2", "--pipeline-parallel-size 2 --memory 4GiB"] {
            #expect(try read("./m \(line)").notes.last?.contains("--memory 24GiB,24GiB") == true)
        }
        #expect(try read("./m -tp 1").notes.isEmpty)
        #expect(refusal("./m -tp 0").contains("from 1 to 64"))
    }

    @Test func `memory beside devices adds to each`() throws {
        let arguments = try read("./m --memory 1GiB,2GiB --cpu-offload-gb 1.5").arguments
        #expect(try arguments.memorySizes("memory")?.map(\.bytes) == [5 << 29, 7 << 29])
        #expect(try read("./m --cpu-offload-gb 4").notes.last?.contains("main memory") == true)
        #expect(try read("./m --cpu-offload-gb 0").notes.isEmpty)
        #expect(refusal("./m --cpu-offload-gb -1").contains("--cpu-offload-gb takes a number"))
    }

    @Test func `drafts have three spellings`() throws {
        let ngram = [
            ["--speculative-config", #"{"method": "ngram", "num_speculative_tokens": 5}"#],
            ["--spec-method", "ngram", "--spec-tokens", "5"],
            ["--speculative-model", "[ngram]", "--num-speculative-tokens", "5"],
        ]
        for words in ngram {
            let arguments = try read(["./m"] + words).arguments
            #expect(arguments.string("speculative-model") == "ngram")
            #expect(try arguments.int("num-speculative-tokens") == 5)
        }
        let model = try read(["./m", "-sc", #"{"model": "./small"}"#]).arguments
        #expect(model.string("speculative-model") == "./small")
        #expect(refusal(#"./m -sc {"method":"eagle"}"#).contains("ngram"))
        #expect(refusal("./m -sc {").contains("takes JSON"))
        #expect(refusal("./m -sc [1]").contains("expected"))
    }

    @Test func `lists may be words or JSON`() throws {
        let arguments = try read([
            "./m", "--lora-modules", "a=./a", #"{"name": "b", "path": "./b"}"#,
            "--served-model-name", "x", "y", "--allowed-origins", #"["http://a", "*"]"#,
        ]).arguments
        #expect(arguments.strings("adapter") == ["a=./a", "b=./b"])
        #expect(arguments.strings("served-model-name") == ["x", "y"])
        #expect(arguments.strings("allowed-origins") == ["http://a", "*"])
        #expect(refusal(#"./m --lora-modules {"name":"b"}"#).contains("path"))
        #expect(try read("./m --enable-lora --lora-modules a=./a").notes.isEmpty)
        #expect(refusal("./m --no-enable-lora --lora-modules a=./a").contains("--enable-lora"))
    }

    @Test func `the prefix cache goes on and off`() throws {
        for (line, isOn) in [("", true), ("--enable-prefix-caching", true)] {
            let arguments = try read("./m \(line)").arguments
            #expect(arguments.flag("enable-prefix-caching", default: true) == isOn)
        }
        let off = try read("./m --no-enable-prefix-caching").arguments
        #expect(!off.flag("enable-prefix-caching", default: true))
    }

    @Test func `what would change answers or access is refused, not passed over`() {
        #expect(refusal("./m --response-role user").contains("assistant only"))
        #expect(refusal("./m --ssl-cert-reqs 2").contains("--api-key"))
        #expect(refusal("./m --logprobs-mode processed_logprobs").contains("raw_logprobs"))
        #expect(refusal("./m --middleware my.Class").contains("no Python code is run"))
        #expect(refusal("./m --logits-processors my.Class").contains("no Python code is run"))
        #expect(refusal("./m --hf-config-path ./x").contains("--hf-overrides"))
        #expect(refusal("./m --ssl-ciphers A").contains("is not available"))
        #expect(refusal("./m --response-role assistant").isEmpty)
    }

    @Test func `keys of JSON options are given one by one`() throws {
        let read = try read(
            "./m --compilation-config.mode 3 -cc.pass_config.enable_fusion=false "
                + "--hf-overrides.rope_theta 5e5 --hf_overrides.rope-scaling.factor 2 "
                + "--default-chat-template-kwargs.enable_thinking false --enable-force-include-usage"
        )
        #expect(read.notes.count == 1)
        #expect(read.notes.first?.contains("--compilation-config (kernels") == true)
        let overrides = try VLLMArguments.overrides(read.arguments)
        #expect(overrides.values["rope_theta"] == 5e5)
        #expect(overrides.values["rope_scaling"] == ["factor": 2])
        let answers = try VLLMArguments.answerDefaults(read.arguments)
        #expect(answers.templateArguments["enable_thinking"] == false)
        #expect(answers.includesUsage)
        #expect(!answers.tokensAsIDs && !answers.hidesUncallableTools)
        #expect(refusal("./m --port.number 80").contains("unknown option"))
        #expect(refusal("./m --hf-overrides. 1").contains("has no key"))
    }

    @Test func `a file of options gives way to the command line`() throws {
        let folder = try TemporaryFolder()
        try folder.write(
            "serve.yml",
            """
            model: ./from-file
            port: 9000
            max_model_len: 4k
            served-model-name: [x, y]
            enable-prefix-caching: false
            swap-space: 4
            load-in-4bit: true
            """)
        let file = folder.file("serve.yml")
        let read = try read("--config \(file) --port 9001")
        #expect(read.arguments.string("model") == "./from-file")
        #expect(try read.arguments.int("port") == 9001)
        #expect(try read.arguments.int("max-model-len") == 4000)
        #expect(read.arguments.strings("served-model-name") == ["x", "y"])
        #expect(!read.arguments.flag("enable-prefix-caching", default: true))
        #expect(read.arguments.flag("load-in-4bit"))
        #expect(read.notes.last?.contains("--swap-space") == true)
        #expect(try self.read("./m --config \(file)").arguments.string("model") == "./m")
        try folder.write("wrong.yml", "no_such_option: 1\n")
        #expect(refusal("./m --config \(folder.file("wrong.yml"))").contains("is no option"))
        try folder.write("kind.yml", "port: [1, 2]\n")
        #expect(refusal("./m --config \(folder.file("kind.yml"))").contains("expected one value"))
        try folder.write("choice.yml", "dtype: int8\n")
        #expect(refusal("./m --config \(folder.file("choice.yml"))").contains("takes one of"))
        #expect(!refusal("./m --config /nowhere.yml").isEmpty)
    }

    @Test func `keys of the model's configuration are replaced`() throws {
        func overrides(_ words: [String]) throws -> ConfigOverrides {
            try VLLMArguments.overrides(read(["./m"] + words).arguments)
        }
        #expect(try overrides([]).isEmpty)
        let all = try overrides([
            "--hf-overrides", #"{"rms_norm_eps": 0.5}"#, "--rope-theta", "5000",
            "--rope-scaling", #"{"rope_type": "linear", "factor": 2}"#,
        ])
        #expect(all.values["rms_norm_eps"] == ConfigNode(0.5))
        #expect(all.values["rope_theta"] == ConfigNode(5000.0))
        #expect(all.ropeScaling != nil)
        #expect(throws: ConfigError.self) { try overrides(["--rope-scaling", "[2]"]) }
        #expect(throws: ConfigError.self) { try overrides(["--hf-overrides", "{"]) }
        #expect(throws: UsageError.self) { try overrides(["--rope-theta", "0"]) }
    }
}

// SPDX-License-Identifier: Apache-2.0
// Every verb that has a plan, on shapes of which other parts dominate: the plan is an upper bound of what was measured.
import EftBenchmarks
import EftConfig
import EftFormats
import EftTensor
import EftTestSupport
import Testing

/// A shape on which the verbs are run.
struct PlannedShape: CustomTestStringConvertible, Sendable {
    let shape: NamedShape
    var testDescription: String { shape.name }

    /// Embedding and head are nearly everything.
    static let head = PlannedShape(
        shape: NamedShape(
            name: "wide-head", vocabulary: 49152, hidden: 256, intermediate: 512, layers: 2,
            heads: 4, kvHeads: 2, headDim: 64, ropeTheta: 10000, context: 256, tied: false))
    /// The head is the embedding.
    static let tied = PlannedShape(
        shape: NamedShape(
            name: "tied", vocabulary: 32000, hidden: 320, intermediate: 640, layers: 3,
            heads: 5, kvHeads: 5, headDim: 64, ropeTheta: 10000, context: 256, tied: true))
    /// Many small layers.
    static let deep = PlannedShape(
        shape: NamedShape(
            name: "deep", vocabulary: 512, hidden: 256, intermediate: 768, layers: 40,
            heads: 4, kvHeads: 4, headDim: 64, ropeTheta: 10000, context: 256, tied: true))
    /// The MLP is nearly everything.
    static let wide = PlannedShape(
        shape: NamedShape(
            name: "wide-mlp", vocabulary: 1024, hidden: 512, intermediate: 8192, layers: 2,
            heads: 8, kvHeads: 2, headDim: 64, ropeTheta: 10000, context: 256, tied: false))

    /// Values are normed before they are added, scores and logits are capped.
    static let capped = PlannedShape(
        shape: NamedShape(
            name: "capped", family: .gemma2, vocabulary: 32000, hidden: 256, intermediate: 512,
            layers: 4, heads: 4, kvHeads: 2, headDim: 64, ropeTheta: 10000, context: 256, tied: true
        ))
    /// Experts, beside an MLP that is wider than each.
    static let experts = PlannedShape(
        shape: NamedShape(
            name: "experts", family: .qwen2MoE(experts: 4, expertsPerRow: 2, shared: 1024),
            vocabulary: 4096, hidden: 512, intermediate: 512, layers: 3, heads: 8, kvHeads: 4,
            headDim: 64, ropeTheta: 10000, context: 256, tied: false))

    /// A window in most layers, far shorter than the context.
    static let windowed = PlannedShape(
        shape: NamedShape(
            name: "windowed", family: .gemma3(window: 64), vocabulary: 4096, hidden: 256,
            intermediate: 512, layers: 12, heads: 8, kvHeads: 8, headDim: 64, ropeTheta: 10000,
            context: 4096, tied: true))

    static let dense = [head, tied, deep, wide, capped]
    static let all = dense + [experts]
}

@Suite(.serialized)
struct VerbMemoryTests {
    private func models(_ shape: PlannedShape) throws -> SmallModels {
        try SmallModels(["base": .bf16], shape: shape.shape)
    }

    @Test(arguments: PlannedShape.all)
    func `from a base to an adapter, merged, converted and run`(shape: PlannedShape) throws {
        let models = try models(shape)
        let (base, adapter) = (models.folder.file("base"), models.folder.file("adapter"))
        let text = models.folder.file("text.txt")
        try Peaks.check(["eval", "-m", base, "--data", text, "--length", "128"])
        let coded = SmallModels.lora + [("optimizer", "adamw_bnb_8bit")]
        for keys in [coded, SmallModels.lora, SmallModels.qlora] {
            try Peaks.check(["train", models.config("adapter", base: "base", keys)])
        }
        let run = ["run", "-m", base, "-p", "The quick brown fox", "-t", "8"]
        try Peaks.check(run)
        try Peaks.check(run + ["--adapter", adapter])
        try Peaks.check(run + ["--load-in-4bit"])
        try Peaks.check(
            ["merge", "--base", base, "--adapter", adapter, "-o", models.folder.file("merged")])
        try Peaks.check(["convert", base, models.folder.file("f16"), "--dtype", "f16"])
        try Peaks.check(["convert", base, models.folder.file("nf4"), "--dtype", "nf4"])
        try Peaks.check(["run", "-m", models.folder.file("nf4"), "-p", "Fox", "-t", "8"])
    }

    @Test(arguments: PlannedShape.all)
    func `rows that fill most of the context are trained on`(shape: PlannedShape) throws {
        let models = try models(shape)
        try models.folder.write(
            "rows.jsonl",
            (0..<4).map { row in
                "{\"text\": \"\(String(repeating: "word \(row) ", count: 28 + row % 3))\"}\n"
            }.joined())
        for keys in [SmallModels.lora, SmallModels.qlora] {
            let more = [("sequence_len", "256"), ("max_steps", "2")]
            try Peaks.check(["train", models.config("adapter", base: "base", keys + more)])
        }
    }

    @Test(arguments: PlannedShape.all, [true, false])
    func `a model that scores is trained and asked`(shape: PlannedShape, isReward: Bool) throws {
        let models = try models(shape)
        let rows = (1...4).map { index in
            isReward
                ? #"{"input": "Fox \#(index)?", "chosen": "A brown fox.", "rejected": "A dog \#(index)."}"#
                : #"{"prompt": "Fox \#(index)?", "completions": ["It is", "brown."], "labels": [1, 0]}"#
        }.joined(separator: "\n")
        let file = try models.folder.write("scored.jsonl", rows)
        let kind =
            isReward
            ? [
                ("reward_model", "true"), ("chat_template", "jinja"),
                ("chat_template_jinja", "'{% for m in messages %}{{ m.content }} {% endfor %}'"),
                ("datasets", "[{path: \(file), type: bradley_terry.chat_template}]"),
            ]
            : [
                ("process_reward_model", "true"),
                ("datasets", "[{path: \(file), type: stepwise_supervised}]"),
            ]
        let base = models.folder.file("base")
        for keys in [[], SmallModels.lora, SmallModels.qlora] {
            try Peaks.check(["train", models.config("scores", base: "base", kind + keys)])
        }
        try Peaks.check([
            "eval", "-m", base, "--adapter", models.folder.file("scores"), "--rewards", file,
        ])
        try Peaks.check([
            "merge", "--base", base, "--adapter", models.folder.file("scores"), "-o",
            models.folder.file("merged"),
        ])
        try Peaks.check(["eval", "-m", models.folder.file("merged"), "--rewards", file])
    }

    @Test(arguments: PlannedShape.dense)
    func `all weights are trained for 4 bits`(shape: PlannedShape) throws {
        let models = try models(shape)
        for block in ["quantize_embedding: true", "activation_dtype: int8"] {
            let qat = ("qat", "{weight_dtype: int4, group_size: 64, \(block)}")
            try Peaks.check(["train", models.config("qat", base: "base", [qat])])
        }
    }

    @Test(arguments: PlannedShape.all)
    func `a model is trained by rewards of its own completions`(shape: PlannedShape) throws {
        let models = try models(shape)
        let file = try models.folder.write(
            "prompts.jsonl",
            (1...4).map { #"{"prompt": "The quick brown fox \#($0)"}"# }.joined(separator: "\n"))
        let block =
            "{num_generations: 4, max_completion_length: 24, beta: BETA, "
            + "reward_command: 'while read line; do echo ${#line}; done'}"
        let run = [
            ("rl", "grpo"), ("datasets", "[{path: \(file)}]"), ("micro_batch_size", "2"),
            ("gradient_accumulation_steps", "4"),
        ]
        for (beta, keys) in [("0.1", SmallModels.lora), ("0.1", SmallModels.qlora), ("0", [])] {
            let trl = ("trl", block.replacing("BETA", with: beta))
            try Peaks.check(["train", models.config("grpo", base: "base", run + [trl] + keys)])
        }
    }

    @Test(arguments: [PlannedShape.tied, .wide])
    func `other forms of adapters, trained, run, merged and folded in`(
        shape: PlannedShape
    ) throws {
        let models = try models(shape)
        let (base, adapter) = (models.folder.file("base"), models.folder.file("adapter"))
        let text = models.folder.file("text.txt")
        for keys in [
            [("peft_init_lora_weights", "pissa")], [("peft_init_lora_weights", "pissa_niter_4")],
            [("peft_init_lora_weights", "olora")],
            [("peft", "{loftq_config: {loftq_bits: 4}}")],
        ] {
            try Peaks.check([
                "train", models.config("adapter", base: "base", SmallModels.lora + keys),
            ])
        }
        for keys in [
            SmallModels.qlora + [("peft_use_dora", "true"), ("lora_dropout", "0.1")],
            SmallModels.lora + [("peft_use_dora", "true")],
        ] {
            try Peaks.check(["train", models.config("adapter", base: "base", keys)])
        }
        try Peaks.check(
            ["run", "-m", base, "-p", "The quick brown fox", "-t", "8", "--adapter", adapter])
        try Peaks.check(
            ["eval", "-m", base, "--data", text, "--length", "128", "--adapter", adapter])
        for rest in [[], ["--adapter", adapter]] {
            try Peaks.check(
                [
                    "imatrix", "-m", base, "-f", text, "-c", "128", "-o",
                    models.folder.file("imatrix.gguf"),
                ] + rest)
        }
        try Peaks.check(
            ["merge", "--base", base, "--adapter", adapter, "-o", models.folder.file("merged")])
        try Peaks.check([
            "quantize", "-i", base, "--adapter", adapter, "-c", text, "-l", "64", "-r", "4",
            "--recipe", "uniform", "-o", models.folder.file("work"), "-cf",
            models.folder.file("quantized"),
        ])
    }

    /// Messages of which the first fills the context nearly, so that the others do not fit beside it.
    private static let messages =
        String(repeating: "A long message about foxes. ", count: 8) + "About foxes.\n"
        + (1...6).map { "Message \($0) of a long conversation about foxes.\n" }.joined()
    private static let template =
        "{% for message in messages %}{{ message.role }}: {{ message.content }}\n{% endfor %}assistant:"

    @Test(arguments: PlannedShape.all)
    func `a conversation that fills the context`(shape: PlannedShape) throws {
        let models = try models(shape)
        try Peaks.check(
            ["train", models.config("adapter", base: "base", SmallModels.qlora)])
        let template = try models.folder.write("chat.jinja", Self.template)
        let chat = [
            "chat", "-m", models.folder.file("base"), "--chat-template", template, "-t", "48",
            "--ignore-eos", "--no-history",
        ]
        try Peaks.check(chat, input: Self.messages)
        let adapter = ["--adapter", "own=" + models.folder.file("adapter")]
        try Peaks.check(chat + adapter, input: Self.messages)
        try Peaks.check(
            chat + ["--load-in-4bit", "--kv-cache-dtype", "q8"], input: Self.messages)
    }

    @Test(arguments: PlannedShape.all)
    func `quantized and run`(shape: PlannedShape) throws {
        let models = try models(shape)
        let output = models.folder.file("quantized")
        let quantize = [
            "quantize", "-i", models.folder.file("base"), "-c", models.folder.file("text.txt"),
            "-l", "64", "-r", "4",
        ]
        // Measuring goes through the same steps whatever the shape, and takes its time.
        let measures = shape.testDescription == PlannedShape.tied.testDescription
        let recipe = measures ? ["-mr", "2"] : ["--recipe", "uniform"]
        try Peaks.check(
            quantize + recipe + ["-o", models.folder.file("work"), "-cf", output])
        try Peaks.check(["run", "-m", output, "-p", "The quick brown fox", "-t", "8"])
        try Peaks.check(
            ["eval", "-m", output, "--data", models.folder.file("text.txt"), "--length", "64"])
        try Peaks.check([
            "eval", "-m", output, "--compare", models.folder.file("base"), "--data",
            models.folder.file("text.txt"), "--length", "64",
        ])
        try Peaks.check(["eval", "-m", output, "--tasks", models.folder.file("questions.jsonl")])
        let wide = ["-o", models.folder.file("work8"), "-cf", models.folder.file("quantized8")]
        try Peaks.check(quantize + wide + ["--recipe", "uniform", "-b", "8", "-hb", "8"])
    }

    @Test func `keys and values of a long text behind short windows`() throws {
        let models = try models(.windowed)
        let text = String(repeating: "The quick brown fox jumps. ", count: 100)
        for type in ["f32", "q8"] {
            try Peaks.check([
                "run", "-m", models.folder.file("base"), "-p", text, "-t", "48", "--ignore-eos",
                "--kv-cache-dtype", type,
            ])
        }
        // A conversation that is longer than its windows, and nearly fills its context.
        let template = try models.folder.write("chat.jinja", Self.template)
        let chat = [
            "chat", "-m", models.folder.file("base"), "--chat-template", template, "-t", "48",
            "--ignore-eos", "--no-history", "--max-seq-len", "1024",
        ]
        let long = String(repeating: "A long message about foxes. ", count: 33)
        try Peaks.check(chat, input: long + "\nAnd then?\n")
    }

    /// A budget below the plan is refused before any work, not passed on the way.
    @Test func `a budget that does not hold the head is refused`() throws {
        let models = try models(.head)
        let arguments = [
            "quantize", "-i", models.folder.file("base"), "-c", models.folder.file("text.txt"),
            "-l", "64", "-r", "4", "-o", models.folder.file("work"), "--recipe", "uniform",
        ]
        let peaks = try Peaks.check(arguments)
        let less = ["--memory", "\(peaks.measured - (4 << 20))", "-nr"]
        let refused = try Program(arguments + less)
        #expect(refused.status == 3, "\(refused.errors)")
    }

    @Test func `an answer that is to go far beyond the model's context`() throws {
        let models = try models(.deep)
        let run = ["run", "-m", models.folder.file("base"), "--ignore-eos"]
        // The answer ends where the context does, and no memory is taken beyond it.
        for tokens in ["700", "3000"] { try Peaks.check(run + ["-p", "Fox", "-t", tokens]) }
        let long = String(repeating: "The quick brown fox. ", count: 100)
        let refused = try Program(run + ["-t", "64", "-p", long])
        #expect(refused.status == 2 && refused.errors.contains("the context of 256"))
    }

    @Test func `a text that takes more than the model`() throws {
        let models = try models(.deep)
        let text = models.folder.file("long.txt")
        try AtomicFile.write(text, String(repeating: "The quick brown fox. ", count: 2000))
        try Peaks.check(
            ["eval", "-m", models.folder.file("base"), "--data", text, "--length", "200"])
    }

    @Test func `a checkpoint of PyTorch, views included`() throws {
        let models = try models(.deep)
        let folder = models.folder.file("bin")
        try FileSystem.createFolder(folder)
        let source = try SafetensorsFile(path: models.folder.file("base/model.safetensors"))
        try AtomicFile.write(
            FileSystem.join(folder, "pytorch_model.bin"), TorchCopy.archive(of: source))
        for name in ["config.json", "tokenizer.json"] {
            try AtomicFile.write(
                FileSystem.join(folder, name),
                FileSystem.read(models.folder.file("base/" + name)))
        }
        let output = models.folder.file("from-bin")
        try Peaks.check(["convert", folder, output])
        let written = try SafetensorsFile(path: FileSystem.join(output, "model.safetensors"))
        for info in source.tensors {
            #expect(try written.bytes(of: info.name) == source.bytes(of: info.name), "\(info.name)")
        }
        try Peaks.check(["run", "-m", folder, "-p", "Fox", "-t", "8"])
    }
}

/// A bf16 checkpoint as torch.save writes it, with matrices stored transposed.
enum TorchCopy {
    static func archive(of source: any CheckpointReader) throws -> [UInt8] {
        var pickle = PickleBuilder()
        var storages: [(key: String, data: [UInt8])] = []
        pickle.add("}".utf8)
        for info in source.tensors {
            let (bytes, dims) = (try source.bytes(of: info.name), info.shape.dims)
            let key = "\(storages.count)"
            pickle.text(info.name)
            let isMatrix = dims.count == 2
            let (rows, columns) = isMatrix ? (dims[0], dims[1]) : (1, info.shape.count)
            pickle.tensor(
                key: key, count: Int32(info.shape.count), shape: dims.map { Int32($0) },
                strides: isMatrix ? [1, Int32(rows)] : [1], storage: "BFloat16Storage")
            pickle.add("s".utf8)
            var data = [UInt8](repeating: 0, count: bytes.count)
            for index in 0..<info.shape.count {
                let (row, column) = (index / columns, index % columns)
                let place = (column * rows + row) * 2
                (data[place], data[place + 1]) = (bytes[index * 2], bytes[index * 2 + 1])
            }
            storages.append((key: key, data: data))
        }
        return pickle.archive(storages)
    }
}

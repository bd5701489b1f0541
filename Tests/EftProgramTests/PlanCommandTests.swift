// SPDX-License-Identifier: Apache-2.0
// What a plan advises can be typed, and its text fits the terminal.
import EftCommandLine
import EftConfig
import EftConversion
import EftFormats
import EftModels
import EftPlanning
import EftQuant
import EftTestSupport
import Testing

@testable import eft

@Suite struct PlanCommandTests {
    static let demo = Fixtures.packageRoot + "/Examples/demo/"

    /// Bare configurations of models that are too large for a test to have.
    enum Shape: String, CaseIterable, Sendable {
        case llama8B, llama70B, mixtral

        var config: String {
            let extents: (type: String, rest: String) =
                switch self {
                case .llama8B:
                    (
                        "llama",
                        #""hidden_size": 4096, "intermediate_size": 14336, "num_hidden_layers": 32, "num_attention_heads": 32"#
                    )
                case .llama70B:
                    (
                        "llama",
                        #""hidden_size": 8192, "intermediate_size": 28672, "num_hidden_layers": 80, "num_attention_heads": 64"#
                    )
                case .mixtral:
                    (
                        "mixtral",
                        #""num_local_experts": 8, "num_experts_per_tok": 2, "hidden_size": 4096, "intermediate_size": 14336, "num_hidden_layers": 32, "num_attention_heads": 32"#
                    )
                }
            return """
                {"model_type": "\(extents.type)", "vocab_size": 128256, "num_key_value_heads": 8,
                 "max_position_embeddings": 8192, \(extents.rest)}
                """
        }
    }

    private func plan(_ words: [String]) throws -> FullPlan {
        let arguments = try ArgumentParser.parse(
            words + ["--no-speed"], for: PlanCommand.specification)
        return try FullPlan(PlanRequest(arguments), arguments)
    }

    private func plan(_ shape: Shape, _ memory: String, _ more: [String] = []) throws -> FullPlan {
        let folder = try TemporaryFolder()
        let path = try folder.write("config.json", shape.config)
        return try plan([path, "--memory", memory] + more)
    }

    /// Each command as its verb reads it; fails for one that it would refuse.
    private func parsed(_ plan: FullPlan) throws -> [ParsedArguments] {
        let commands = plan.conclusion.items.flatMap(\.commands)
        try #require(!commands.isEmpty)
        return try commands.map { command in
            guard
                case .run(let verb, let arguments) = try CommandRegistry.program.resolve(
                    command.words)
            else {
                throw UsageError("\(command.words) is no command")
            }
            #expect(verb.name == command.words.first)
            #expect(arguments.passedThrough.isEmpty, "\(command.words)")
            return arguments
        }
    }

    @Test(arguments: Shape.allCases, ["100MiB", "8GiB", "4x24GiB"])
    func `advised commands are taken by their verbs`(_ shape: Shape, _ memory: String) throws {
        let plan = try plan(shape, memory)
        guard plan.report.stages.contains(where: { $0.fits(plan.report.limits) }),
            memory != "100MiB"
        else {
            // Then there is nothing to type, but a size that would do.
            #expect(plan.conclusion.items.first?.text.contains("--memory ") == true)
            return
        }
        for arguments in try parsed(plan) {
            #expect(arguments.string("memory") == memory)
            guard arguments.command.name == "quantize" else { continue }
            let bits = try #require(try arguments.int("bits"))
            #expect(EXL2Geometry.uniformWidths.contains(bits))
        }
    }

    @Test func `a context and keys and values that are asked for are in the commands`() throws {
        let plan = try plan(.llama8B, "8GiB", ["--context", "8000", "--batch", "8"])
        let run = try #require(try parsed(plan).first { $0.command.name == "run" })
        #expect(try run.int("max-seq-len") == 8000)
        // 8 sequences of that length in 16 bits take the 8 GiB by themselves.
        #expect(run.string("kv-cache-dtype") != nil)
    }

    @Test(arguments: [
        (Shape.llama70B, "24GiB", 2), (.llama70B, "4x24GiB", 4), (.llama8B, "8GiB", 4),
    ])
    func `the width is 4 bits, or less where that does not fit`(
        _ shape: Shape, _ memory: String, _ bits: Int
    ) throws {
        let parsed = try parsed(plan(shape, memory))
        let quantize = try #require(parsed.first { $0.command.name == "quantize" })
        let run = try #require(parsed.first { $0.command.name == "run" })
        #expect(try quantize.int("bits") == bits)
        #expect(quantize.string("compile-full") == run.argument("MODEL"))
    }

    @Test func `a model that fits is run as it is`() throws {
        let plan = try plan([Self.demo + "model", "--memory", "1GiB"])
        let first = try #require(try parsed(plan).first)
        #expect(first.command.name == "run")
        #expect(first.argument("MODEL") == Self.demo + "model")
    }

    @Test func `a model with a chat template is talked with`() throws {
        let folder = try TemporaryFolder()
        try folder.write("config.json", Shape.llama8B.config)
        try folder.write("chat_template.jinja", "{{ messages[0].content }}")
        let parsed = try parsed(plan([folder.path, "--memory", "8GiB"]))
        #expect(parsed.contains { $0.command.name == "chat" })
        #expect(!parsed.contains { $0.command.name == "run" })
    }

    @Test func `quantizing that does not fit is advised with the memory that it takes`() throws {
        let plan = try plan(.llama8B, "3GiB")
        let stage = try #require(plan.report.stages.first { $0.name.hasPrefix("quantize") })
        let quantize = try #require(try parsed(plan).first { $0.command.name == "quantize" })
        let memory = try #require(try quantize.memorySizes("memory")?.first?.bytes)
        #expect(memory >= stage.memory.total)
        #expect((memory == 3 << 30) == stage.fits(plan.report.limits))
    }

    @Test func `the calibration that is planned is that of quantize`() throws {
        let folder = try ModelFolder.open(Self.demo + "model", needsWeights: false)
        let defaults = QuantizeDefaults(folder.description)
        #expect(defaults.rows == QuantizeOptions().rows)
        #expect(defaults.length == min(QuantizeOptions().length, folder.description.contextLength))
        let rows = QuantizeCommand.specification.options.first { $0.names.contains("-r") }
        #expect(rows?.defaultText == "\(defaults.rows)")
    }

    @Test func `a mixture of experts is quantized`() throws {
        let parsed = try parsed(plan(.mixtral, "40GiB"))
        #expect(parsed.contains { $0.command.name == "quantize" })
        #expect(parsed.first { $0.command.name == "run" }?.flag("load-in-4bit") != true)
    }

    // MARK: Text

    @Test(arguments: Shape.allCases, [40, 80, 120])
    func `lines fit the terminal`(_ shape: Shape, _ width: Int) throws {
        let plan = try plan(shape, "24GiB,8GiB")
        let text = PlanText(width: width)
        let all =
            text.conclusion(plan.conclusion) + text.table(plan.report) + text.details(plan.report)
        for line in all.split(separator: "\n") where displayWidth(String(line)) > width {
            // Only a path, which cannot be broken, may be longer.
            let words = line.split(separator: " ").filter { $0 != "\\" }
            #expect(
                words.count <= 4 && words.contains { $0.contains("/") }, "\(line)")
        }
    }

    @Test func `a long command is one command over several lines`() {
        let words = ["quantize", "-i", "a folder", "-o", "it's", "--memory", "8GiB"]
        let command = AdvisedCommand(words)
        #expect(
            command.quoted == [
                "quantize", "-i", "'a folder'", "-o", "'it'\\''s'", "--memory", "8GiB",
            ])
        let lines = PlanText(width: 40).command(command).split(separator: "\n")
        #expect(lines.count > 1)
        #expect(lines.dropLast().allSatisfy { $0.hasSuffix(" \\") })
        let joined = lines.map { $0.replacing(" \\", with: "") }.joined(separator: " ")
            .split(separator: " ").joined(separator: " ")
        #expect(joined == "eft " + command.quoted.joined(separator: " "))
    }

    // MARK: Training

    @Test func `a configuration is planned with its data`() throws {
        let plan = try plan([Self.demo + "qlora.yml", "--memory", "1GiB"])
        let training = try #require(plan.training)
        #expect(training.outline.counts.rows == 244)
        #expect(training.stage.fits(plan.report.limits))
        let command = try #require(plan.conclusion.items.first?.commands.first)
        #expect(command.words == ["train", Self.demo + "qlora.yml", "--memory", "1GiB"])
        let node = ConfigCursor(plan.node)
        #expect(try node.required("training").required("steps").int() == 135)
        #expect(try !node.required("conclusion").required("advice").elements().isEmpty)
    }

    @Test func `options win over the configuration`() throws {
        let once = try plan([Self.demo + "qlora.yml", "--epochs", "1"])
        #expect(once.training?.outline.batches.steps.count == 13)
    }

    @Test(arguments: [
        (#"{"instruction": "a", "input": "", "output": "b"}"#, "alpaca"),
        (#"{"text": "a"}"#, "completion"),
        (#"{"segments": [{"label": true, "text": "a"}]}"#, "input_output"),
        (#"{"messages": []}"#, "chat_template"), (#"{"conversations": []}"#, "chat_template"),
    ])
    func `data without a configuration is known by its fields`(
        _ row: String, _ type: String
    ) throws {
        let folder = try TemporaryFolder()
        let file = try folder.write("rows.jsonl", row)
        #expect(try PlannedDataset.type(of: file) == type)
    }

    @Test func `the shown configuration is the one that is planned`() throws {
        let plan = try plan([
            Self.demo + "model", "--dataset", Self.demo + "lantern.jsonl", "--epochs", "2",
            "--sample-packing",
        ])
        let file = try #require(plan.conclusion.items.first?.file)
        let folder = try TemporaryFolder()
        let again = try self.plan([folder.write("qlora.yml", file.contents)])
        #expect(again.training?.outline.batches.steps == plan.training?.outline.batches.steps)
        #expect(again.training?.outline.notices == [])
    }

    @Test func `data of an unknown form is refused with what to do`() throws {
        let folder = try TemporaryFolder()
        let file = try folder.write("rows.jsonl", #"{"question": "a"}"#)
        let error = #expect(throws: ConfigError.self) {
            _ = try plan([Self.demo + "model", "--dataset", file])
        }
        #expect(error?.message.contains("--dataset-type") == true)
        #expect(throws: FormatError.self) {
            _ = try plan([Self.demo + "model", "--dataset", folder.file("none.jsonl")])
        }
        #expect(throws: UsageError.self) {
            _ = try plan([Self.demo + "model", "--epochs", "2"])
        }
    }
}

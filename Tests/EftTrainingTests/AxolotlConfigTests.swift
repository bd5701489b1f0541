// SPDX-License-Identifier: Apache-2.0
import EftConfig
import EftModels
import EftTestSupport
import EftTraining
import Testing

@Suite struct AxolotlConfigTests {
    /// The least that a configuration needs, and more lines.
    private func config(_ lines: String, _ overrides: [ConfigOverride] = []) throws -> AxolotlConfig
    {
        let text =
            "base_model: base\nlearning_rate: 1e-3\ndatasets: [{path: rows.jsonl, type: alpaca}]\n"
            + lines
        let node = try YAMLParser.parse(text, file: "test.yml")
        return try AxolotlConfig(
            ConfigOverride.apply(overrides, to: ConfigCursor(node, file: "test.yml")))
    }

    // MARK: The reference configurations

    @Test func `the 8B reference configuration is read as it is`() throws {
        let config = try AxolotlConfig.read(Fixtures.path("training/qlora.yml"))
        #expect(
            config.notices == [
                "without effect here (they concern other hardware, services or speed): attn_implementation"
            ])
        #expect(config.model.baseModel == "NousResearch/Meta-Llama-3-8B")
        #expect(config.model.specialTokens.map(\.text) == ["<|end_of_text|>"])
        let adapter = try #require(config.adapter)
        #expect(adapter.quantizesBase)
        #expect((adapter.rank, adapter.alpha, adapter.dropout) == (32, 16, 0.05))
        #expect(adapter.targets == .modules([], all: true))
        #expect(config.data.datasets.map(\.path) == ["aaditya/alpaca_subset_1"])
        #expect(!config.data.hasValidation)
        var expected = TrainingSettings()
        expected.sequenceLen = 4096
        expected.microBatchSize = 2
        expected.gradientAccumulationSteps = 4
        expected.numEpochs = 4
        expected.samplePacking = true
        expected.gradientCheckpointing = .memory
        expected.optimizer = OptimizerSettings("paged_adamw_32bit")
        expected.learningRate = 0.0002
        expected.warmupRatio = 0.1
        expected.outputDir = "./outputs/qlora-out"
        #expect(config.training == expected)
        #expect(config.resume == .never)
        #expect(config.precision == .bf16)
    }

    @Test func `the 70B reference configuration is read as it is`() throws {
        let config = try AxolotlConfig.read(Fixtures.path("training/qlora-fsdp-70b.yaml"))
        #expect(
            config.notices == [
                "without effect here (they concern other hardware, services or speed): "
                    + "attn_implementation, fsdp, fsdp_config"
            ])
        #expect(config.adapter?.rank == 8)
        #expect(config.data.valSetSize == 0.05)
        #expect(config.training.evaluations == .epochs(4))
        #expect(config.training.evaluatesAtStart)
        #expect(config.training.saves == .epochs(1))
        #expect(config.training.learningRate == 1e-5)
        #expect(config.training.gradientAccumulationSteps == 4)
        #expect(config.training.gradientCheckpointing == .memory)
        #expect(!config.training.samplePacking)
    }

    @Test func `defaults are Axolotl's`() throws {
        let config = try config("")
        #expect(config.adapter == nil)
        #expect(config.training.sequenceLen == 512)
        #expect(config.training.microBatchSize == 1)
        #expect(config.training.numEpochs == 1)
        #expect(config.training.schedule == .cosine)
        #expect(config.training.seed == 42)
        #expect(config.training.saves == .epochs(1))
        #expect(config.training.evaluations == .never)
        #expect(config.training.outputDir == "./model-out")
        #expect(config.data.minSampleLen == 2)
        #expect(config.data.excessLength == .drop)
    }

    // MARK: Resolution

    @Test(arguments: [
        ("learning_rate: \"2e-4\"", 2e-4), ("learning_rate: 2e-4", 2e-4), ("learning_rate: 1", 1.0),
    ])
    func `learning rates are read in any spelling`(_ line: String, _ expected: Double) throws {
        let node = try YAMLParser.parse(
            "base_model: b\ndatasets: [{path: p, type: alpaca}]\n" + line)
        #expect(try AxolotlConfig(ConfigCursor(node)).training.learningRate == expected)
    }

    @Test(arguments: [
        ("batch_size: 8\nmicro_batch_size: 2", 4), ("gradient_accumulation_steps: 3", 3),
        ("micro_batch_size: 2", 1),
    ])
    func `batch sizes follow from each other`(_ lines: String, _ accumulation: Int) throws {
        #expect(try config(lines).training.gradientAccumulationSteps == accumulation)
    }

    @Test(
        arguments: [
            ("save_strategy: \"no\"", .never), ("save_strategy: no", .never),
            ("save_steps: 5", .steps(5)),
            ("save_steps: 0.25", .share(0.25)), ("saves_per_epoch: 2", .epochs(2)),
            ("save_strategy: epoch", .epochs(1)),
            ("save_strategy: steps\nsave_steps: 7", .steps(7)),
        ] as [(String, TrainingSettings.Cadence)])
    func `saves follow their keys`(_ lines: String, _ expected: TrainingSettings.Cadence) throws {
        #expect(try config(lines).training.saves == expected)
    }

    @Test func `evaluations need something to evaluate on`() throws {
        #expect(try config("evals_per_epoch: 4").training.evaluations == .never)
        let some = try config("evals_per_epoch: 4\nval_set_size: 0.1").training
        #expect(some.evaluations == .epochs(4))
        #expect(some.evaluatesAtStart)
        let plain = try config("val_set_size: 10").training
        #expect(plain.evaluations == .epochs(1))
        #expect(!plain.evaluatesAtStart)
        let tests = try config("eval_steps: 3\ntest_datasets: [{path: t.json, type: completion}]")
        #expect(tests.training.evaluations == .steps(3))
    }

    @Test(arguments: [
        ("optimizer: paged_adamw_8bit", true), ("optimizer: paged_adamw_32bit", true),
        ("optimizer: adamw_torch", false), ("", false),
    ])
    func `paged optimizers keep their state on the disk`(_ line: String, _ expected: Bool) throws {
        #expect(try config(line).training.optimizer.isPaged == expected)
    }

    @Test(arguments: [
        ("gradient_checkpointing: true", Checkpointing.memory),
        ("gradient_checkpointing: offload", .memory),
        ("gradient_checkpointing: offload_disk", .disk),
        ("gradient_checkpointing: false", .none), ("activation_offloading: true", .memory),
        ("activation_offloading: disk", .disk),
        ("gradient_checkpointing: true\nactivation_offloading: disk", .disk), ("", .none),
    ])
    func `checkpointing is on for every word that means it`(
        _ line: String, _ expected: Checkpointing
    ) throws {
        #expect(try config(line).training.gradientCheckpointing == expected)
    }

    @Test func `warm-up steps below one are a share of all steps`() throws {
        let share = try config("warmup_steps: 0.1").training
        #expect(share.warmupRatio == 0.1 && share.warmupSteps == nil)
        let steps = try config("warmup_steps: 10").training
        #expect(steps.warmupRatio == nil && steps.warmupSteps == 10)
        for lines in ["warmup_steps: 0.1\nwarmup_ratio: 0.1", "warmup_steps: 2.5"] {
            #expect(throws: ConfigError.self) { try config(lines) }
        }
    }

    @Test(
        arguments: [
            ("resume_from_checkpoint: out/checkpoint-5", .folder("out/checkpoint-5")),
            ("resume_from_checkpoint: true", .newest(required: true)),
            ("resume_from_checkpoint:", .never), ("resume_from_checkpoint: false", .never),
            ("auto_resume_from_checkpoints: true", .newest(required: false)),
        ] as [(String, AxolotlConfig.Resume)])
    func `resuming follows its keys`(_ line: String, _ expected: AxolotlConfig.Resume) throws {
        #expect(try config(line).resume == expected)
    }

    @Test(arguments: ["ao_adamw_fp8", "ao_adamw_4bit", "adamw_torch_4bit"])
    func `optimizers that promise fewer bits say what they run with`(_ name: String) throws {
        let notices = try config("optimizer: \(name)").notices
        #expect(notices.count == 1)
        #expect(notices[0].contains("f32 state"))
    }

    @Test func `unknown keys are named with a suggestion and ignored`() throws {
        let notices = try config("lora_rank: 8\nmicro_batchsize: 4\nzzzz: 1\nlogging_steps: 1")
            .notices
        #expect(notices.count == 3)
        #expect(notices[1].contains("test.yml:5"))
        #expect(notices[1].contains("did you mean 'micro_batch_size'?"))
        #expect(!notices[2].contains("did you mean"))
    }

    @Test func `keys that would change the result are noted`() throws {
        let notices = try config(
            "use_pose: true\nhub_model_id: me/mine\nflash_attention: true"
        ).notices
        #expect(notices.count == 2)
        #expect(notices[0].contains("use_pose"))
        #expect(notices[1].contains("hub_model_id, flash_attention"))
    }

    // MARK: Refusals

    @Test(
        arguments: [
            ("micro_batch_size: two", "micro_batch_size", 4),
            ("micro_batch_size: 0", "micro_batch_size", 4),
            ("num_epochs: -1", "num_epochs", 4), ("num_epochs: .nan", "num_epochs", 4),
            ("sequence_len: [1]", "sequence_len", 4),
            ("sample_packing: maybe", "sample_packing", 4),
            ("optimizer: lion_4bit", "optimizer", 4), ("lr_scheduler: rexx", "lr_scheduler", 4),
            ("adapter: qlora", "adapter", 4), ("adapter: dora", "adapter", 4),
            ("load_in_4bit: true", "load_in_4bit", 4), ("rl: grpo", "rl", 4),
            ("peft_layer_replication: [[0, 1]]", "peft_layer_replication", 4),
            ("val_set_size: -0.1", "val_set_size", 4),
            ("batch_size: 8\ngradient_accumulation_steps: 2", "batch_size", 4),
            ("batch_size: 3\nmicro_batch_size: 2", "batch_size", 4),
            ("warmup_steps: 1\nwarmup_ratio: 0.1", "warmup_ratio", 5),
            ("excess_length_strategy: fold", "excess_length_strategy", 4),
            ("special_tokens: {pad_tokn: x}", "special_tokens.pad_tokn", 4),
            ("test_datasets: [{type: alpaca}]", "test_datasets[0]", 4),
            ("unsloth_rope: true", "unsloth_rope", 4), ("base_model: [1]", "", nil),
            ("seed: 1e30", "seed", 4), ("max_steps: 99999999999999999999", "max_steps", 4),
        ] as [(String, String, Int?)])
    func `senseless values are refused with their place`(
        _ lines: String, _ key: String, _ line: Int?
    ) throws {
        let error = try #require(throws: ConfigError.self) { try config(lines) }
        if let line {
            #expect(error.keyPath == key)
            #expect(error.line == line)
            #expect(error.file == "test.yml")
        }
    }

    @Test(arguments: ["base_model: b", "base_model: b\nlearning_rate: 1", "learning_rate: 1"])
    func `what a run cannot do without is asked for`(_ text: String) throws {
        let node = try YAMLParser.parse(text)
        let error = try #require(throws: ConfigError.self) { try AxolotlConfig(ConfigCursor(node)) }
        #expect(error.code == .missingKey)
    }

    // MARK: Overrides

    @Test func `keys on the command line win`() throws {
        let config = try config(
            "micro_batch_size: 2\nadapter: lora\nlora_r: 8\nlora_alpha: 16\nlora_target_modules: [q_proj]",
            [
                ConfigOverride("micro-batch-size", "4"), ConfigOverride("learning_rate", "5e-5"),
                ConfigOverride("special_tokens.pad_token", "<pad>"),
                ConfigOverride("datasets.0.path", "other.jsonl"),
                ConfigOverride("lora-target-modules", "k_proj, v_proj"),
                ConfigOverride("sample-packing", "true"), ConfigOverride("base_model", "123"),
            ])
        #expect(config.training.microBatchSize == 4)
        #expect(config.training.learningRate == 5e-5)
        #expect(config.training.samplePacking)
        #expect(config.model.specialTokens.map(\.text) == ["<pad>"])
        #expect(config.model.baseModel == "123")
        #expect(config.data.datasets[0].path == "other.jsonl")
        #expect(config.adapter?.targets == .modules(["k_proj", "v_proj"], all: false))
    }

    @Test(arguments: [
        ("datasets.7.path", "x"), ("datasets.x", "y"), ("learning_rate.a", "1"),
        ("special_tokens.", "x"),
    ])
    func `overrides that lead nowhere are refused`(_ key: String, _ value: String) throws {
        #expect(throws: ConfigError.self) { try config("", [ConfigOverride(key, value)]) }
    }

    @Test(arguments: ["resume_from_checkpoint", "bf16", "tf32", "gradient_checkpointing"])
    func `keys that also take words are not flags`(_ key: String) {
        #expect(!AxolotlConfig.booleanKeys.contains(key))
        #expect(AxolotlConfig.booleanKeys.contains("sample_packing"))
    }

    @Test func `a strict configuration takes no new keys`() throws {
        #expect(throws: ConfigError.self) {
            try config("strict: true", [ConfigOverride("micro_batch_size", "2")])
        }
        let known = try config(
            "strict: true\nmicro_batch_size: 1", [ConfigOverride("micro_batch_size", "2")])
        #expect(known.training.microBatchSize == 2)
    }
}

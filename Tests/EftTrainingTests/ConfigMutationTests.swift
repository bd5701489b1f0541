// SPDX-License-Identifier: Apache-2.0
// Altered training configurations: refused or used, never a crash.
import EftConfig
import EftFormats
import EftTensor
import EftTestSupport
import EftTraining
import Testing

struct ConfigMutationTests {
    /// A configuration with most of the keys that are read.
    private static let rich = """
        base_model: ./base
        base_model_config: ./base
        tokenizer_config: ./base
        reinit_weights: false
        bnb_config_kwargs: {bnb_4bit_quant_type: nf4, bnb_4bit_use_double_quant: true}
        special_tokens: {pad_token: "<pad>", bos_token: "<s>"}
        adapter: lora
        load_in_4bit: true
        lora_r: 8
        lora_alpha: 16
        lora_dropout: 0.05
        lora_target_modules: [q_proj, v_proj]
        lora_model_dir: ./adapter
        datasets:
          - {path: rows.jsonl, type: alpaca, shards: 3}
          - {path: more.json, ds_type: json, type: {field_instruction: a, field_output: b, format: "{instruction}"}}
        val_set_size: 0.1
        dataset_prepared_path: ./prepared
        output_dir: ./out
        sequence_len: 512
        sample_packing: true
        micro_batch_size: 2
        gradient_accumulation_steps: 4
        num_epochs: 3
        max_steps: 20
        optimizer: adamw_torch
        lr_scheduler: cosine
        learning_rate: 0.0002
        warmup_ratio: 0.1
        cosine_min_lr_ratio: 0.1
        cosine_constant_lr_ratio: 0.5
        weight_decay: 0.01
        adam_beta1: 0.9
        max_grad_norm: 1.0
        bf16: auto
        train_on_inputs: false
        gradient_checkpointing: true
        resume_from_checkpoint:
        auto_resume_from_checkpoints: false
        logging_steps: 1
        eval_steps: 0.25
        save_strategy: steps
        save_steps: 5
        save_total_limit: 2
        seed: 42
        """

    /// Computes what a run derives from its configuration.
    private func use(_ config: AxolotlConfig) throws {
        var settings = config.training
        // Plans grow with the numbers asked for; only their form is of interest here.
        settings.numEpochs = min(settings.numEpochs, 3)
        settings.maxSteps = settings.maxSteps.map { min($0, 50) }
        let longest = max(1, min(settings.sequenceLen, 40))
        let plan = try BatchPlan(lengths: (0..<20).map { 1 + $0 % longest }, settings: settings)
        let schedule = LearningRateSchedule(config.training, total: plan.steps.count)
        for step in plan.steps.indices { #expect(schedule.rate(step: step).isFinite) }
    }

    private func check(
        _ rounds: Int, _ document: (inout SplitMix64) throws -> ConfigNode
    ) {
        var random = SplitMix64(seed: 71)
        var (used, refused) = (0, 0)
        for round in 0..<rounds {
            do {
                let node = try document(&random)
                try use(AxolotlConfig(ConfigCursor(node, file: "c.yml")))
                used += 1
            } catch {
                #expect(error is ConfigError || error is TrainingError, "round \(round): \(error)")
                refused += 1
            }
        }
        #expect(used > rounds / 20 && refused > rounds / 20)
    }

    @Test func `no altered value makes it crash`() throws {
        let document = try YAMLParser.parse(Self.rich, file: "c.yml")
        try use(AxolotlConfig(ConfigCursor(document, file: "c.yml")))
        check(4000) { $0.mutated(document) }
    }

    @Test func `no altered text makes it crash`() throws {
        let texts =
            try ["qlora.yml", "qlora-fsdp-70b.yaml"].map {
                try FileSystem.read(Fixtures.path("training/" + $0))
            } + [Array(Self.rich.utf8)]
        check(1500) { random in
            let text = texts[Int.random(in: 0..<texts.count, using: &random)]
            return try YAMLParser.parse(random.mutated(text, headBias: text.count), file: "c.yml")
        }
    }
}

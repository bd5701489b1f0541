// SPDX-License-Identifier: Apache-2.0
// Runs with other optimizers than AdamW: what they hold, how they go on, and what a configuration says of them.
import EftConfig
import EftFormats
import EftModels
import EftTensor
import EftTestSupport
@testable import EftTraining
import Testing

@Suite struct OptimizerRunTests {
    /// One of each kind: coded, factored, orthogonal, averaged, paged, without state.
    static let names = [
        "adamw_bnb_8bit", "paged_adamw_8bit", "lion_pytorch", "adafactor", "came_pytorch", "muon",
        "schedule_free_adamw", "paged_ademamix_8bit", "sgd", "rmsprop",
    ]

    private func losses(_ job: TrainingJob) throws -> [Double] { try SmallJob.losses(job) }

    @Test(arguments: names, ["lora", nil])
    func `a run holds what was stated, and goes on where it was stopped`(
        _ name: String, _ adapter: String?
    ) throws {
        try checkGoingOn(name, adapter)
    }

    /// Projections of some layers, of all, and on both sides; new ones before and after the run is stopped.
    @Test(arguments: [
        "galore_adamw\noptim_target_modules: [self_attn, 'model.layers.0.mlp.*']\noptim_args: rank=4, update_proj_gap=3",
        "galore_adafactor\noptim_target_modules: all-linear\noptim_args: rank=500, update_proj_gap=1, proj_type=full",
        "galore_adamw_8bit\noptim_target_modules: '.*(down|up)_proj'\noptim_args: rank=8, proj_type=left",
    ])
    func `projected gradients hold what was stated, and go on where they were stopped`(
        _ lines: String
    ) throws {
        try checkGoingOn(lines, nil)
    }

    private func checkGoingOn(_ name: String, _ adapter: String?) throws {
        let folder = try SmallJob.workplace()
        let optimizer = "optimizer: \(name)\nembedding_lr_scale: 0.5\n"
        let weights = adapter == nil ? "model.safetensors" : "adapter_model.safetensors"
        try SmallJob.checkGoingOn(folder, weights: weights) { output, more in
            try SmallJob.job(
                SmallJob.config(folder, adapter: adapter, output: output, optimizer + more), folder)
        }
    }

    @Test func `what is evaluated and saved of schedule-free AdamW are averages`() throws {
        let folder = try SmallJob.workplace()
        let lines = "optimizer: schedule_free_adamw\nlr_scheduler: constant"
        let job = try SmallJob.job(SmallJob.config(folder, output: "out", lines), folder)
        _ = try losses(job)
        let result = try CheckpointFolder.open(folder.file("out/adapter_model.safetensors"))
        let state = try CheckpointFolder.open(
            folder.file("out/checkpoint-4/trainer_state.safetensors"))
        let saved = try CheckpointFolder.open(
            folder.file("out/checkpoint-4/adapter_model.safetensors"))
        var compared = 0
        for info in result.tensors {
            let name = info.name
            let found = try result.floats(of: name)
            let (y, z) = try (
                state.floats(of: name + ".value"), state.floats(of: name + ".z")
            )
            for index in found.indices {
                let average = y[index] + (z[index] - y[index]) * Float(1 - 1 / 0.9)
                #expect(abs(found[index] - average) <= 1e-6 * max(1, abs(average)))
            }
            let kept = try saved.floats(of: name)
            #expect(found != y && found == kept)
            compared += found.count
        }
        #expect(compared > 0)
    }

    // MARK: Configuration

    private func config(_ lines: String) throws -> AxolotlConfig {
        let text = "base_model: b\ndatasets: [{path: d.json, type: alpaca}]\nlearning_rate: 0.01\n"
        return try AxolotlConfig(
            ConfigCursor(YAMLParser.parse(text + lines, file: "c.yml"), file: "c.yml"))
    }

    @Test(arguments: [
        ("optimizer: adamw_torch", 8.0), ("optimizer: paged_adamw_8bit", 2.03125), ("", 8),
        ("optimizer: lion_8bit", 1.015625), ("optimizer: ademamix", 12), ("optimizer: sgd", 0),
        ("optimizer: sgd\noptim_args: momentum=0.9", 4), ("optimizer: adamw_torch_4bit", 8),
    ])
    func `state takes as many bytes a number`(_ lines: String, _ expected: Double) throws {
        let need = try config(lines).training.optimizer.need()
        let shape = ParameterShape.matrix(rows: 256, columns: 512)
        #expect(Double(need.stateBytes(shape)) == expected * 256 * 512)
        #expect(need.stateBytes(.vector(100)) <= 1200)
    }

    @Test(arguments: [
        ("optimizer: galore_adamw", "optim_target_modules"),
        ("optimizer: apollo_adamw", "galore_adamw"),
        ("optimizer: galore_adamw\noptim_target_modules: ['(']", "regular expression"),
        ("optimizer: galore_adamw\noptim_target_modules: mlp\noptim_args: rank=0", "'rank'"),
        (
            "optimizer: galore_adamw\noptim_target_modules: mlp\noptim_args: proj_type=up",
            "reverse_std"
        ),
        (
            "optimizer: galore_adafactor\noptim_target_modules: mlp\nadapter: lora\nlora_r: 4\nlora_alpha: 8\nlora_target_linear: true",
            "remove adapter"
        ),
        ("optimizer: adamw_torhc", "did you mean"),
        ("optimizer: sgd\noptim_args: {beta1: 3}", "'beta1'"),
        ("optimizer: sgd\noptim_args: momentum", "name=value"),
        ("optimizer: sgd\noptim_args: momentum=two", "'momentum'"),
        ("optimizer: sgd\noptim_args: nesterov=true", "momentum"),
        ("optimizer: adamw_torch\noptim_args: {eps: 1}", "'eps'"),
        ("optimizer: muon\noptim_args: ns_steps=0", "ns_steps"),
        ("lr_groups: [{name: a, lr: 1}]", "modules"), ("adam_beta3: 2", "adam_beta3"),
    ])
    func `senseless optimizers are refused`(_ lines: String, _ word: String) throws {
        let error = try #require(throws: ConfigError.self) { try config(lines) }
        #expect("\(error)".contains(word), "\(error)")
    }

    @Test func `arguments stand in a line or in a mapping`() throws {
        let line = try config("optimizer: sgd\noptim_args: momentum=0.9, nesterov=True").training
        let mapping = try config("optimizer: sgd\noptim_args: {momentum: 0.9, nesterov: true}")
        #expect(line.optimizer.arguments == ["momentum": "0.9", "nesterov": "True"])
        #expect(mapping.training.optimizer.arguments == ["momentum": "0.9", "nesterov": "true"])
    }

    @Test(arguments: [
        ("all-linear", "lm_head.weight", true), ("all-linear", "model.embed_tokens.weight", false),
        ("[attn, mlp]", "model.layers.3.self_attn.q_proj.weight", true),
        ("[q_proj]", "model.layers.3.self_attn.k_proj.weight", false),
        ("[q_proj]", "model.layers.3.self_attn.q_proj.bias", false),
        ("q_proj", "model.layers.3.self_attn.q_proj.weight", false),
        ("'.*q_proj'", "model.layers.3.self_attn.q_proj.weight", true),
        ("['.*[.]1[.].*q_proj']", "model.layers.3.self_attn.q_proj.weight", false),
        ("['.*[.]1[.].*q_proj']", "model.layers.1.self_attn.q_proj.weight", true),
    ])
    func `targets are those of transformers`(
        _ targets: String, _ name: String, _ isOne: Bool
    ) throws {
        let lines = "optimizer: galore_adamw\noptim_target_modules: \(targets)"
        let isTarget = try #require(try config(lines).training.optimizer.need().isTarget)
        #expect(isTarget(name) == isOne)
    }

    @Test func `a projected weight has the state of few numbers`() throws {
        let lines = "optimizer: galore_adamw\noptim_target_modules: all-linear\noptim_args: rank=16"
        let need = try config(lines).training.optimizer.need()
        var shape = ParameterShape.panels(outputs: 256, inputs: 512)
        #expect(need.stateBytes(shape) == 8 * 256 * 512)
        shape.isTarget = true
        #expect(need.stateBytes(shape) == 4 * 16 * 256 + 8 * 16 * 512)
    }

    // MARK: Rates

    private func rate(
        _ name: String, _ lines: String, decays: Bool = true
    ) throws -> [Double] {
        let settings = try config("weight_decay: 0.1\n" + lines).training
        let rate = ParameterRate(name: name, decays: decays, settings)
        return [rate.factor, rate.weightDecay]
    }

    @Test func `parts of a model have rates of their own`() throws {
        let (table, head) = ("model.embed_tokens.weight", "lm_head.weight")
        let query = "model.layers.0.self_attn.q_proj.weight"
        #expect(try rate(table, "") == [1, 0.1])
        #expect(try rate(table, "embedding_lr: 0.001") == [0.1, 0])
        #expect(try rate(head, "embedding_lr: 0.001\nembedding_lr_scale: 0.5") == [0.5, 0])
        #expect(try rate(query, "embedding_lr: 0.001") == [1, 0.1])
        let groups =
            "lr_groups: [{name: a, modules: [k_proj, q_proj], lr: 0.02}, "
            + "{name: b, modules: [self_attn, embed_tokens], lr: 0.03}]"
        #expect(try rate(query, groups) == [2, 0.1])
        #expect(try rate("model.layers.0.self_attn.o_proj.weight", groups) == [3, 0.1])
        #expect(try rate("model.layers.0.mlp.up_proj.weight", groups) == [1, 0.1])
        #expect(try rate(table, groups) == [1, 0])
        let norm = "model.layers.0.self_attn.q_norm.weight"
        #expect(try rate(norm, groups, decays: false) == [1, 0])
        #expect(try rate(head, "optimizer: came_pytorch") == [1, 0])
        let plus = "loraplus_lr_ratio: 16\nloraplus_lr_embedding: 0.002"
        #expect(try rate("m.q_proj.lora_A.weight", plus) == [1, 0])
        #expect(try rate("m.q_proj.lora_B.weight", plus) == [16, 0])
        #expect(try rate("m.embed_tokens.lora_embedding_A", plus) == [0.2, 0])
    }
}

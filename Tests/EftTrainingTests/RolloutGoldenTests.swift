// SPDX-License-Identifier: Apache-2.0
// Advantages, losses and gradients of group relative policy optimization against TRL.
import EftConfig
import EftFormats
import EftModels
import EftNN
import EftTensor
import EftTestSupport
import Testing

@testable import EftTraining

@Suite struct RolloutGoldenTests {
    static let names = [
        "dapo", "grpo", "bnpo", "dr-grpo", "kl", "kl-dapo", "truncated", "cool", "old", "old-high",
        "old-delta", "sequence", "sequence-dapo",
    ]

    /// A case of scripts/fixtures/grpo.py.
    private struct Golden {
        let file: ConfigCursor
        let expected: ConfigCursor
        let gradients: any CheckpointReader
        let settings: RolloutSettings
        let completions: [(prompt: [Int32], completion: SampledCompletion)]

        init(_ name: String) throws {
            file = try ConfigFile.read(Fixtures.path("grpo/cases.json"))
            gradients = try CheckpointFolder.open(Fixtures.path("grpo/gradients.safetensors"))
            let found = try file.required("cases").elements()
                .first { try $0.required("name").string() == name }
            expected = try #require(found)
            let keys = try expected.required("config").string().split(separator: "\n")
            let lines =
                ["rl: grpo", "trl:", "  reward_command: [a, b]", "  reward_weights: [1, 0.5]"]
                + ["  num_generations: 3", "  max_completion_length: 9"] + keys.map { "  \($0)" }
            let config = ConfigCursor(
                try YAMLParser.parse(lines.joined(separator: "\n"), file: "c.yml"), file: "c.yml")
            var notices: [String] = []
            settings = try #require(try RolloutSettings.read(config, &notices))
            completions = try file.required("rollouts").elements().map { row in
                func ids(_ key: String) throws -> [Int32] {
                    try row.required(key).elements().map { Int32(try $0.int()) }
                }
                return (
                    try ids("prompt"),
                    SampledCompletion(
                        tokens: try ids("completion"),
                        isTruncated: try row.required("is_truncated").bool())
                )
            }
        }

        var rewards: [[Double?]] {
            get throws {
                let rows = try file.required("rewards").elements().map { row in
                    try row.elements().map { $0.node == .null ? nil : try $0.double() }
                }
                return (0..<2).map { command in rows.map { $0[command] } }
            }
        }

        func noise(_ index: Int) throws -> [Double] {
            try file.required("noise").elements()[index].elements().map { try $0.double() }
        }
    }

    private func trained() throws -> (decoder: Decoder, slot: Int) {
        let folder = try ModelFolder.open(Fixtures.path("models/gqa-tied"))
        let backend = try CPUBackend(threads: 2, precision: .f32)
        let decoder = try DecoderLoader(folder: folder).load(backend: backend)
        let slot = try AdapterFile.load(Fixtures.path("lora/gqa-tied/adapter"), into: decoder)
        for linear in decoder.linears {
            try linear.adapters[slot]?.makeTrainable(
                prefix: AdapterFile.prefix + linear.name, ledger: nil)
        }
        return (decoder, slot)
    }

    @Test func `all cases are tested`() throws {
        let file = try ConfigFile.read(Fixtures.path("grpo/cases.json"))
        let cases = try file.required("cases").elements()
        #expect(try cases.map { try $0.required("name").string() } == Self.names)
    }

    @Test(arguments: names)
    func `advantages are TRL's`(_ name: String) throws {
        let golden = try Golden(name)
        let found = GroupAdvantages(
            try golden.rewards, weights: golden.settings.rewardWeights, size: 3,
            scaling: golden.settings.scaling)
        let wanted = try golden.expected.required("advantages").elements().map { try $0.double() }
        #expect(found.values.count == wanted.count)
        for (value, wanted) in zip(found.values, wanted) { #expect(abs(value - wanted) < 1e-4) }
    }

    /// Completes and rewards as the fixture says.
    private struct Given: CompletionSource, RewardSource {
        let golden: Golden
        let command: Int

        func complete(
            _ requests: [CompletionRequest], pause: () throws -> Void
        ) throws -> [[SampledCompletion]] {
            let all = golden.completions.map(\.completion)
            return stride(from: 0, to: all.count, by: 3).map { Array(all[$0..<$0 + 3]) }
        }

        func rewards(_ lines: [String], pause: () throws -> Void) throws -> [Double?] {
            try golden.rewards[command]
        }
    }

    @Test(arguments: names)
    func `losses and gradients are TRL's`(_ name: String) throws {
        let golden = try Golden(name)
        let (decoder, slot) = try trained()
        let pass = try TrainingPass(
            decoder: decoder,
            need: TrainingNeed(
                rows: 3 * 14, sequences: 3, adapters: decoder.adapterWidths,
                checkpointing: .memory))
        let prompts = [golden.completions[0].prompt, golden.completions[3].prompt]
        let objective = RolloutObjective(
            golden.settings, train: prompts.map { TrainingExample(tokens: $0) }, validation: [],
            slots: [slot], seed: 1, microBatchSize: 3,
            tools: RolloutTools(
                source: Given(golden: golden, command: 0),
                rewards: [Given(golden: golden, command: 0), Given(golden: golden, command: 1)],
                text: { _ in "" }))
        for parameter in decoder.parameters { parameter.zeroGradient() }
        var rollouts = try objective.rollouts([0, 1], step: 0, pass)
        if golden.settings.numIterations > 1 {
            // What the model said when it sampled, as the fixture has it.
            for index in rollouts.all.indices {
                let own = try #require(rollouts.all[index].old)
                rollouts.all[index].old = zip(own, try golden.noise(index)).map { $0 + $1 }
            }
        }
        let result = try objective.learn(rollouts, step: 0, pass) {}
        let loss = try golden.expected.required("loss").double()
        #expect(abs(result.loss - loss) <= 1e-4 * max(abs(loss), 1), "\(result.loss), \(loss)")
        let report = try #require(result.rollouts)
        func mean(_ key: String) throws -> Double {
            let values = try golden.expected.required(key).elements().map { try $0.double() }
            return values.reduce(0, +) / Double(values.count)
        }
        #expect(try abs(report.clipped - mean("clip")) < 1e-6)
        if golden.settings.beta > 0 {
            let wanted = try mean("kl")
            #expect(abs(report.divergence - wanted) < 1e-4 * max(1, wanted))
        }
        let gradients = GoldenGradients(
            file: golden.gradients, prefix: name + "/",
            norm: try golden.expected.required("grad_norm").double())
        let compared = try gradients.compare(decoder, tolerance: 2e-4, normTolerance: 1e-4)
        #expect(compared == 2)
    }

    @Test(arguments: names)
    func `slopes are those of the loss`(_ name: String) throws {
        let loss = PolicyLoss(settings: try Golden(name).settings)
        var completions = [
            PolicyLoss.Completion(
                current: [-1, -2.5, -0.25], old: [-1.1, -2.1, -0.3], reference: [-1.5, -2, -0.5],
                advantage: 0.75),
            PolicyLoss.Completion(
                current: [-0.5], old: [-0.9], reference: [-0.4], advantage: -1.25),
            PolicyLoss.Completion(
                current: [-3, -1], old: [-2.9, -1.02], reference: [-2, -1], advantage: 2,
                isMasked: true),
        ]
        let found = loss.outcome(completions, batches: 2, tokens: 9)
        for index in completions.indices {
            for place in completions[index].current.indices {
                func shifted(_ step: Double) -> Double {
                    let before = completions[index].current[place]
                    defer { completions[index].current[place] = before }
                    completions[index].current[place] += step
                    return loss.outcome(completions, batches: 2, tokens: 9).loss
                }
                let slope = (shifted(1e-5) - shifted(-1e-5)) / 2e-5
                #expect(abs(slope - found.slopes[index][place]) < 1e-6)
            }
        }
    }

    @Test func `completions that cannot be judged teach nothing`() {
        let found = GroupAdvantages(
            [[1, nil, 3, nil, nil, 2]], weights: [1], size: 3, scaling: .none)
        #expect(found.values == [-1, 0, 1, 0, 0, 0])
        #expect(found.mean == 2)
        let same = GroupAdvantages([[2, 2, 1, 3]], weights: [1], size: 2, scaling: .group)
        #expect(same.values[0] == 0 && same.values[1] == 0 && same.sameShare == 0.5)
    }
}

// SPDX-License-Identifier: Apache-2.0
// Layers that are trained in turn.
import EftConfig
import EftFormats
import EftModels
import EftNN
import EftTensor
import EftTestSupport
import Testing

@testable import EftTraining

@Suite struct LayerSamplingTests {
    @Test func `layers follow from seed and step alone, and all have their turn`() {
        let sampling = LayerSampling(count: 2, interval: 3)
        var turns = LayerTurns(sampling, layers: 6, seed: 7)
        var counts = [Int](repeating: 0, count: 6)
        var drawn: Set<Set<Int>> = []
        for step in 0..<300 {
            turns.advance(to: step)
            #expect(turns.active == sampling.layers(step: step, of: 6, seed: 7))
            #expect(turns.active.count == 2)
            if step % 3 > 0 {
                #expect(turns.active == sampling.layers(step: step - 1, of: 6, seed: 7))
            }
            for layer in turns.active { counts[layer] += 1 }
            drawn.insert(turns.active)
        }
        #expect(turns.counts == counts)
        #expect(counts.allSatisfy { $0 > 60 && $0 < 140 })
        #expect(drawn.count == 15)
        var resumed = LayerTurns(sampling, layers: 6, seed: 7)
        resumed.advance(to: 299)
        #expect(resumed.counts == counts && resumed.active == turns.active)
        #expect(
            (0..<20).contains {
                sampling.layers(step: 3 * $0, of: 6, seed: 7)
                    != sampling.layers(step: 3 * $0, of: 6, seed: 8)
            })
    }

    @Test func `ten steps follow PyTorch`() throws {
        let trace = try TrainingTraceTests.Trace("lisa")
        let json = try ConfigFile.read(Fixtures.path("lisa/training.json"))
        let wanted = try json.required("layers").doubles().map { Int($0) }
        let sampling = LayerSampling(count: 1, interval: try json.int("interval", default: 0))
        let seed = try #require(
            (UInt64(0)..<10_000).first { seed in
                wanted.indices.allSatisfy {
                    sampling.layers(step: $0 * sampling.interval, of: 2, seed: seed) == [wanted[$0]]
                }
            })
        let decoder = try DecoderLoader(
            folder: ModelFolder.open(Fixtures.path("models/gqa-tied")),
            options: LoadOptions(trained: .all)
        ).load(backend: CPUBackend(threads: 2, precision: .f32))
        try decoder.makeTrainable(.all)
        let folder = try TemporaryFolder()
        var settings = TrainingTraceTests.settings
        settings.seed = seed
        settings.outputDir = folder.path
        settings.layerSampling = sampling
        let trainer = try Trainer(
            decoder: decoder, settings: settings, train: trace.examples,
            validation: trace.examples, slots: [], fingerprint: "", output: Trainer.Output { _ in })
        var reports: [StepReport] = []
        try trainer.run(
            onEvent: { if case .step(let report) = $0 { reports.append(report) } },
            shouldStop: { false })
        let losses = try reports.map(\.loss) + [trainer.evaluationLoss().loss]
        #expect(losses.count == 11)
        for (index, (loss, expected)) in zip(losses, trace.losses).enumerated() {
            #expect(abs(loss - expected) <= 1e-4 * expected, "step \(index): \(loss), \(expected)")
        }
        for (report, expected) in zip(reports, trace.norms) {
            #expect(abs(report.gradientNorm - expected) <= 1e-3 * expected, "\(report.step)")
        }
    }

    // MARK: Runs

    private static let keys = "lisa_n_layers: 2\nlisa_step_interval: 3"

    @Test(arguments: ["", "optimizer: paged_adamw_8bit", "optimizer: muon"])
    func `a resumed run equals one that never stopped, bit for bit`(_ optimizer: String) throws {
        try SmallJob.checkFullResume(Self.keys, optimizer)
    }

    @Test func `layers that had no turn are saved as they were`() throws {
        let folder = try SmallJob.workplace()
        let config = try SmallJob.config(folder, adapter: nil, Self.keys)
        _ = try SmallJob.losses(SmallJob.job(config, folder))
        let sampling = try #require(config.training.layerSampling)
        let chosen = (0..<4).reduce(into: Set<Int>()) {
            $0.formUnion(
                sampling.layers(step: $1, of: SmallJob.layers, seed: config.training.seed))
        }
        let before = try CheckpointFolder.open(folder.file("base"))
        let after = try CheckpointFolder.open(folder.file("out"))
        for layer in 0..<SmallJob.layers {
            let name = "model.layers.\(layer).mlp.down_proj.weight"
            let isSame = try before.floats(of: name) == after.floats(of: name)
            #expect(isSame == !chosen.contains(layer), "\(name)")
        }
        let name = "model.embed_tokens.weight"
        #expect(try before.floats(of: name) != after.floats(of: name))
    }

    // MARK: Refusals

    @Test(
        arguments: [
            ("lisa_n_layers: 2", nil, "go together"), ("lisa_step_interval: 2", nil, "go together"),
            ("\(keys)\nlisa_layers_attribute: model.vision", nil, "decoder layers"),
            (keys, "lora", "remove adapter"),
            ("\(keys)\nunfrozen_parameters: [lm_head]", nil, "unfrozen_parameters"),
            ("\(keys)\noptimizer: schedule_free_adamw", nil, "schedule-free"),
        ] as [(String, String?, String)])
    func `what is not supported is refused by name`(
        _ lines: String, _ adapter: String?, _ words: String
    ) throws {
        let folder = try TemporaryFolder()
        let error = try #require(throws: ConfigError.self) {
            _ = try SmallJob.config(folder, adapter: adapter, lines)
        }
        #expect("\(error)".contains(words), "\(error)")
    }

    @Test func `more layers than there are are refused`() throws {
        let folder = try SmallJob.workplace()
        let config = try SmallJob.config(
            folder, adapter: nil, "lisa_n_layers: 7\nlisa_step_interval: 1")
        let error = try #require(throws: TrainingError.self) {
            _ = try SmallJob.job(config, folder)
        }
        #expect(error.message.contains("6 layers"))
    }
}

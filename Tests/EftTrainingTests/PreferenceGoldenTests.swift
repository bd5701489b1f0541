// SPDX-License-Identifier: Apache-2.0
// Losses, rewards and gradients of preferences against TRL.
import EftConfig
import EftFormats
import EftModels
import EftNN
import EftTensor
import EftTestSupport
import Testing

@testable import EftTraining

@Suite struct PreferenceGoldenTests {
    /// The cases of scripts/fixtures/preferences.py.
    private struct Golden {
        let json: ConfigCursor
        let gradients: any CheckpointReader

        init() throws {
            json = try ConfigFile.read(Fixtures.path("preferences/cases.json"))
            gradients = try CheckpointFolder.open(
                Fixtures.path("preferences/gradients.safetensors"))
        }

        private static func ids(_ cursor: ConfigCursor, _ key: String) throws -> [Int32] {
            try cursor.required(key).elements().map { Int32(try $0.int()) }
        }

        private static func answer(_ prompt: [Int32], _ ids: [Int32]) -> TrainingExample {
            let ignored = [Int32](repeating: -100, count: prompt.count)
            return TrainingExample(tokens: prompt + ids, labels: ignored + ids)
        }

        func examples(pairs: Bool) throws -> [TrainingExample] {
            try json.required(pairs ? "pairs" : "singles").elements().map { row in
                let prompt = try Golden.ids(row, "prompt_ids")
                let names = pairs ? ["chosen_ids", "rejected_ids"] : ["completion_ids"]
                return TrainingExample(
                    answers: try names.map { Golden.answer(prompt, try Golden.ids(row, $0)) },
                    isDesirable: try row.optional("label")?.bool())
            }
        }
    }

    static let names = [
        "sigmoid", "sigmoid-strong", "hinge", "ipo", "robust", "exo", "nca", "bco", "sppo",
        "apo-zero", "apo-down", "discopop", "normed", "normed-key", "sum", "weighted",
        "weighted-sum", "orpo", "simpo",
        "simpo-own", "cpo", "cpo-alone", "kto",
    ]

    private func settings(_ text: String) throws -> PreferenceSettings {
        let config = ConfigCursor(try YAMLParser.parse(text, file: "c.yml"), file: "c.yml")
        return try #require(try PreferenceSettings.read(config))
    }

    private func trained() throws -> (decoder: Decoder, slot: Int) {
        let folder = try ModelFolder.open(Fixtures.path("models/gqa-tied"))
        let backend = try CPUBackend(threads: 2, precision: .f32)
        let decoder = try DecoderLoader(folder: folder, options: LoadOptions())
            .load(backend: backend)
        let slot = try AdapterFile.load(Fixtures.path("lora/gqa-tied/adapter"), into: decoder)
        for linear in decoder.linears {
            try linear.adapters[slot]?.makeTrainable(
                prefix: "base_model.model." + linear.name, ledger: nil)
        }
        return (decoder, slot)
    }

    @Test func `all cases are tested`() throws {
        let cases = try Golden().json.required("cases").elements()
        #expect(try cases.map { try $0.required("name").string() } == Self.names)
    }

    @Test func `steps of kto on all weights follow TRL with a second copy of the model`() throws {
        let golden = try Golden()
        let decoder = try DecoderLoader(
            folder: ModelFolder.open(Fixtures.path("models/gqa-tied")),
            options: LoadOptions(trained: .all)
        ).load(backend: CPUBackend(threads: 2, precision: .f32))
        try decoder.makeTrainable(.all)
        let examples = try golden.examples(pairs: false)
        let folder = try TemporaryFolder()
        var settings = TrainingTraceTests.settings
        settings.preferences = try self.settings(
            "rl: kto\nkto_desirable_weight: 1.2\nkto_undesirable_weight: 0.7")
        (settings.learningRate, settings.weightDecay) = (2e-3, 0)
        (settings.numEpochs, settings.microBatchSize) = (5, 3)
        settings.keepsOrder = true
        settings.outputDir = folder.path
        let trainer = try Trainer(
            decoder: decoder, settings: settings, train: examples, validation: [], slots: [],
            fingerprint: "", output: Trainer.Output { _ in })
        var losses: [Double] = []
        try trainer.prepare(onEvent: { _ in }, shouldStop: { false })
        try trainer.run(
            onEvent: { if case .step(let report) = $0 { losses.append(report.loss) } },
            shouldStop: { false })
        let expected = try golden.json.required("kto_full").doubles()
        #expect(losses.count == expected.count)
        for (index, (loss, wanted)) in zip(losses, expected).enumerated() {
            #expect(abs(loss - wanted) <= 2e-4 * wanted, "step \(index): \(loss), \(wanted)")
        }
    }

    @Test(arguments: names)
    func `losses, rewards and gradients are TRL's`(_ name: String) throws {
        let golden = try Golden()
        let found = try golden.json.required("cases").elements()
            .first { try $0.required("name").string() == name }
        let expected = try #require(found)
        let settings = try settings(expected.required("config").string())
        let examples = try golden.examples(pairs: settings.takesPairs)
        let (decoder, slot) = try trained()
        let pass = try TrainingPass(
            decoder: decoder,
            need: TrainingNeed(
                rows: examples.reduce(0) { $0 + $1.rowCount }, sequences: 2 * examples.count,
                adapters: decoder.adapterWidths, checkpointing: .memory))
        let objective = PreferenceObjective(
            settings, train: examples, validation: examples, slots: [slot], seed: 1)
        for parameter in decoder.parameters { parameter.zeroGradient() }
        let result = try objective.accumulate([Array(examples.indices)], step: 0, pass) {}
        let loss = try expected.required("loss").double()
        // Weights of pairs make losses small.
        let allowed = settings.weighsPairs ? 5e-4 * abs(loss) : 1e-4 * max(abs(loss), 1)
        #expect(abs(result.loss - loss) <= allowed, "\(result.loss), \(loss)")
        if let chosen = try expected.optional("chosen")?.double() {
            let rewards = try #require(result.rewards)
            #expect(abs((rewards.chosen ?? 0) - chosen) < 1e-4)
            let rejected = try expected.required("rejected").double()
            #expect(abs((rewards.rejected ?? 0) - rejected) < 1e-4)
        }
        let gradients = GoldenGradients(
            file: golden.gradients, prefix: name + "/",
            norm: try expected.required("grad_norm").double())
        let compared = try gradients.compare(decoder, tolerance: 1e-3, normTolerance: 1e-3)
        #expect(compared == 2)
        // Nothing is trained by an evaluation, and the loss is the same.
        let evaluation = try objective.evaluate([Array(examples.indices)], pass) {}
        #expect(abs(evaluation.loss - result.loss) <= 1e-5 * max(abs(loss), 1))
    }

    @Test(arguments: names)
    func `the step's slopes are those of its loss`(_ name: String) throws {
        let golden = try Golden()
        let found = try golden.json.required("cases").elements()
            .first { try $0.required("name").string() == name }
        let settings = try settings(try #require(found).required("config").string())
        let loss = PreferenceLoss(settings: settings)
        let scores = [(-9.5, 4), (-3.25, 9), (-1.5, 1), (-2.75, 2)].map {
            AnswerScore(sum: $0.0, tokens: $0.1)
        }
        let references = [-9.0, -3.5, -2.0, -2.5]
        func outcome(_ scores: [AnswerScore]) -> PreferenceOutcome {
            settings.takesPairs
                ? loss.pairs(scores, references: references, chosenLoss: 1.25)
                : loss.single(
                    scores, references: references, desirable: [true, false, false, true],
                    divergence: 0.4)
        }
        let found1 = outcome(scores)
        for index in scores.indices {
            let step = 1e-5
            var (above, below) = (scores, scores)
            above[index].sum += step
            below[index].sum -= step
            let slope = (outcome(above).loss - outcome(below).loss) / (2 * step)
            #expect(abs(slope - found1.gradients[index]) < 1e-6 * max(1, abs(slope)))
        }
    }
}

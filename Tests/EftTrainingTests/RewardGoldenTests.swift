// SPDX-License-Identifier: Apache-2.0
// Models that score against TRL, transformers and PEFT: scores, losses and gradients.
import EftConfig
import EftFormats
import EftModels
import EftNN
import EftTensor
import EftTestSupport
import Testing

@testable import EftTraining

@Suite struct RewardGoldenTests {
    static let names = [
        "text", "text-centered", "text-adapter", "text-adapter-centered", "tokens",
        "tokens-adapter",
    ]

    /// A case of scripts/fixtures/rewards.py.
    private struct Golden {
        let file: ConfigCursor
        let expected: ConfigCursor
        let gradients: any CheckpointReader
        let head: ScoreHead
        let examples: [TrainingExample]
        let padID: Int32

        init(_ name: String) throws {
            file = try ConfigFile.read(Fixtures.path("rewards/cases.json"))
            gradients = try CheckpointFolder.open(Fixtures.path("rewards/gradients.safetensors"))
            let found = try file.required("cases").elements()
                .first { try $0.required("name").string() == name }
            expected = try #require(found)
            head =
                name.hasPrefix("text")
                ? ScoreHead(.text, labels: 1) : ScoreHead(.tokens, labels: 2)
            padID = Int32(try file.required("pad_token_id").int())
            func ids(_ cursor: ConfigCursor, _ key: String) throws -> [Int32] {
                try cursor.required(key).elements().map { Int32(try $0.int()) }
            }
            examples =
                head.kind == .text
                ? try file.required("pairs").elements().map { row in
                    TrainingExample(
                        answers: [
                            TrainingExample(tokens: try ids(row, "chosen_ids")),
                            TrainingExample(tokens: try ids(row, "rejected_ids")),
                        ], isDesirable: nil)
                }
                : try file.required("steps").elements().map {
                    TrainingExample(tokens: try ids($0, "input_ids"), labels: try ids($0, "labels"))
                }
        }

        /// The decoder with everything trainable, and the adapter's slot.
        func trained(_ name: String) throws -> (decoder: Decoder, slots: [Int]) {
            let backend = try CPUBackend(threads: 2, precision: .f32)
            let kind = head.kind == .text ? "text" : "tokens"
            guard name.contains("adapter") else {
                let folder = try ModelFolder.open(Fixtures.path("rewards/\(kind)"), scores: true)
                #expect(folder.description.scores == head)
                let decoder = try DecoderLoader(
                    folder: folder, options: LoadOptions(trained: .all)
                ).load(backend: backend)
                try decoder.makeTrainable(.all)
                return (decoder, [])
            }
            let adapter = Fixtures.path("rewards/\(kind)-adapter")
            let folder = try ModelFolder.open(Fixtures.path("models/gqa-tied"))
                .adapted(by: [adapter], scores: true)
            #expect(folder.description.scores == head)
            let trained = TrainedWeights.named(Set(folder.description.headTensors))
            let decoder = try DecoderLoader(folder: folder, options: LoadOptions(trained: trained))
                .load(backend: backend)
            let slot = try AdapterFile.load(adapter, into: decoder)
            for linear in decoder.linears {
                try linear.adapters[slot]?.makeTrainable(
                    prefix: AdapterFile.prefix + linear.name, ledger: nil)
            }
            try decoder.makeTrainable(trained)
            return (decoder, [slot])
        }

        func objective(_ slots: [Int]) throws -> any TrainingObjective {
            guard head.kind == .text else {
                return StepObjective(
                    SupervisedObjective(
                        train: examples, validation: examples, slots: slots, seed: 1),
                    labels: head.labels)
            }
            let centering = try expected.required("center_rewards_coefficient").double()
            return RewardObjective(
                settings: ScoreSettings(head, centering: centering), train: examples,
                validation: examples, slots: slots, seed: 1, padID: padID)
        }
    }

    @Test func `all cases are tested`() throws {
        let file = try ConfigFile.read(Fixtures.path("rewards/cases.json"))
        let cases = try file.required("cases").elements()
        #expect(try cases.map { try $0.required("name").string() } == Self.names)
    }

    @Test(arguments: names)
    func `scores, losses and gradients are TRL's`(_ name: String) throws {
        let golden = try Golden(name)
        let (decoder, slots) = try golden.trained(name)
        let pass = try TrainingPass(
            decoder: decoder,
            need: TrainingNeed(
                rows: golden.examples.reduce(0) { $0 + $1.rowCount }, sequences: 6,
                adapters: decoder.adapterWidths, checkpointing: .memory))
        let objective = try golden.objective(slots)
        for parameter in decoder.parameters { parameter.zeroGradient() }
        let all = Array(golden.examples.indices)
        let result = try objective.accumulate([all], step: 0, pass) {}
        let loss = try golden.expected.required("loss").double()
        #expect(abs(result.loss - loss) <= 1e-4 * max(abs(loss), 1), "\(result.loss), \(loss)")
        try compare(decoder, golden, prefix: name + "/")
        let evaluation = try objective.evaluate([all], pass) {}
        #expect(abs(evaluation.loss - loss) <= 1e-4 * max(abs(loss), 1))
        let accuracy = try golden.expected.required("accuracy").double()
        #expect(abs((evaluation.rewards?.accuracy ?? -1) - accuracy) < 1e-6)
        if let margin = try golden.expected.optional("margin")?.double() {
            #expect(abs((result.rewards?.margin ?? 0) - margin) < 1e-4)
        }
        try compareScores(decoder, slots, golden)
    }

    private func compare(_ decoder: Decoder, _ golden: Golden, prefix: String) throws {
        let gradients = GoldenGradients(
            file: golden.gradients, prefix: prefix,
            norm: try golden.expected.required("grad_norm").double())
        let compared = try gradients.compare(decoder, tolerance: 2e-4, normTolerance: 1e-4)
        let count = golden.gradients.tensors.count { $0.name.hasPrefix(prefix) }
        #expect(compared == count && count >= 2, "\(prefix): \(compared) of \(count)")
    }

    private func compareScores(_ decoder: Decoder, _ slots: [Int], _ golden: Golden) throws {
        let scored = ScoredExamples(golden.examples, head: golden.head, padID: golden.padID)
        let rows = scored.sequences.reduce(0) { $0 + $1.count }
        let pass = try EvaluationPass(decoder: decoder, rows: rows, sequences: 6)
        var (first, places) = (0, [Int]())
        for (sequence, own) in zip(scored.sequences, scored.places) {
            places += own.map { first + $0 }
            first += sequence.count
        }
        let values = try pass.values(
            DecoderBatch(sequences: scored.sequences, slots: slots), rows: places)
        let told = try golden.expected.required("scores").elements()
        let wanted: [Double]
        if golden.head.kind == .text {
            // TRL's batch has all chosen texts first.
            let scores = try told.map { try $0.double() }
            let half = scores.count / 2
            wanted = (0..<half).flatMap { [scores[$0], scores[$0 + half]] }
        } else {
            wanted = try told.flatMap { try $0.elements() }.flatMap { try $0.elements() }
                .map { try $0.double() }
        }
        #expect(values.count == wanted.count)
        for (value, wanted) in zip(values, wanted) {
            #expect(abs(Double(value) - wanted) < 1e-4 * max(1, abs(wanted)))
        }
    }

    @Test func `the slopes of pairs are those of their loss`() {
        let loss = RewardLoss(centering: 0.3)
        let rewards = [1.5, -0.25, -2, 40, 3, 3]
        let outcome = loss.pairs(rewards)
        for index in rewards.indices {
            var (above, below) = (rewards, rewards)
            above[index] += 1e-5
            below[index] -= 1e-5
            let slope = (loss.pairs(above).loss - loss.pairs(below).loss) / 2e-5
            #expect(abs(slope - outcome.slopes[index]) < 1e-6 * max(1, abs(slope)))
        }
        #expect(outcome.report.accuracy == 1.0 / 3)
        #expect(loss.pairs([-800, 800]).loss.isFinite)
    }

    @Test func `a text is scored at its last token that is no padding`() {
        #expect(ScoredBatch.place(in: [4, 2, 5, 2, 2], padID: 2) == 2)
        #expect(ScoredBatch.place(in: [4, 2, 5], padID: nil) == 2)
        #expect(ScoredBatch.place(in: [2, 2], padID: 2) == 0)
        #expect(ScoredBatch([[1, 3], [2, 5, 2]], padID: 2).rows == [1, 3])
    }

    @Test func `what scores is refused where tokens are wanted`() throws {
        for folder in ["rewards/text", "rewards/tokens"] {
            let error = try #require(throws: ModelError.self) {
                try ModelFolder.open(Fixtures.path(folder))
            }
            #expect(error.code == .unsupported && error.message.contains("scores and no tokens"))
        }
        let base = try ModelFolder.open(Fixtures.path("models/gqa-tied"))
        let adapter = Fixtures.path("rewards/text-adapter")
        let error = try #require(throws: ModelError.self) { try base.adapted(by: [adapter]) }
        #expect(error.code == .unsupported && error.message.contains("the adapter gives scores"))
        let decoder = try DecoderLoader(folder: base).load(backend: CPUBackend(threads: 1))
        let late = try #require(throws: ModelError.self) {
            try AdapterFile.load(adapter, into: decoder)
        }
        #expect(late.code == .unsupported)
    }

    @Test func `another head than the model's is refused`() throws {
        let folder = try ModelFolder.open(Fixtures.path("rewards/tokens"), scores: true)
        let error = try #require(throws: ModelError.self) {
            try folder.scored(ScoreHead(.text, labels: 1), seed: 1)
        }
        #expect(error.code == .mismatch)
        #expect(try folder.scored(ScoreHead(.tokens, labels: 2), seed: 1).path == folder.path)
    }
}

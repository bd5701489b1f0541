// SPDX-License-Identifier: Apache-2.0
// Runs that end early, and runs that keep their best.
import EftConfig
import EftFormats
import EftTestSupport
import Testing

@testable import EftTraining

@Suite struct RunGuardTests {
    @Test func `a run ends after evaluations without a gain`() {
        var settings = TrainingSettings()
        settings.earlyStoppingPatience = 2
        var guardian = RunGuard(settings)
        let losses = [3.0, 2, 2.5, 1.5, 1.5, 1.6]
        let found = losses.enumerated().map { guardian.noteEvaluation(loss: $1, step: $0) }
        #expect(found.map(\.isBest) == [true, true, false, true, false, false])
        #expect(found.map { $0.end != nil } == [false, false, false, false, false, true])
        #expect(guardian.best == RunGuard.Best(loss: 1.5, step: 3))
    }

    @Test func `the watchdog counts bad steps in a row`() {
        var settings = TrainingSettings()
        settings.lossWatchdog = .init(threshold: 2, patience: 2)
        var guardian = RunGuard(settings)
        #expect(
            [3, 1, 3, 2, 3, 3].map { guardian.noteStep(loss: $0) != nil }
                == [false, false, false, false, false, true])
    }

    /// What a small run came to.
    private struct Outcome {
        var notices: [String] = []
        var evaluations: [EvaluationReport] = []
        var losses: [Double] = []
        var steps = 0
    }

    private func run(
        _ folder: TemporaryFolder, output: String = "out",
        _ change: (inout TrainingSettings) -> Void = { _ in }
    ) throws -> Outcome {
        var config = try SmallJob.config(folder, output: output)
        change(&config.training)
        var outcome = Outcome()
        outcome.steps = try SmallJob.job(config, folder).run(onEvent: {
            switch $0 {
            case .training(.notice(let text)): outcome.notices.append(text)
            case .training(.evaluation(let report)): outcome.evaluations.append(report)
            case .training(.step(let report)): outcome.losses.append(report.loss)
            default: break
            }
        }).steps
        return outcome
    }

    /// Steps so large that the loss soon rises.
    private func overshoot(_ settings: inout TrainingSettings) {
        settings.maxSteps = 16
        settings.learningRate = 0.3
        settings.maxGradNorm = 0
        settings.schedule = .constant
        settings.warmupSteps = 0
        settings.evaluations = .steps(1)
        settings.evaluatesAtStart = false
        settings.saves = .steps(5)
        settings.saveTotalLimit = 1
    }

    @Test func `a run that gets worse ends and keeps its best`() throws {
        let folder = try SmallJob.workplace()
        let outcome = try run(folder) {
            overshoot(&$0)
            $0.earlyStoppingPatience = 3
            $0.loadsBest = true
        }
        let losses = outcome.evaluations.map(\.loss)
        let best = try #require(losses.indices.min { losses[$0] < losses[$1] })
        #expect(outcome.steps == outcome.evaluations.count && outcome.steps == best + 4)
        #expect(outcome.steps < 16)
        #expect(outcome.notices.count == 2)
        #expect(outcome.notices[0].contains("early_stopping_patience"))
        #expect(outcome.notices[1].contains("step \(best + 1),"))
        let name = "adapter_model.safetensors"
        let kept = try FileSystem.read(folder.file("out/checkpoint-\(best + 1)/\(name)"))
        #expect(try FileSystem.read(folder.file("out/\(name)")) == kept)
    }

    @Test func `a resumed run remembers its best`() throws {
        let folder = try SmallJob.workplace()
        func change(_ settings: inout TrainingSettings) {
            overshoot(&settings)
            settings.earlyStoppingPatience = 3
            settings.saves = .steps(1)
            settings.saveTotalLimit = 99
        }
        let whole = try run(folder, output: "one", change)
        let state = try TrainingCheckpoint.read(
            folder.file("one/checkpoint-\(whole.steps - 1)"))
        #expect(state.withoutGain == 2)
        var config = try SmallJob.config(
            folder, output: "two",
            "resume_from_checkpoint: \(folder.file("one/checkpoint-\(whole.steps - 1)"))\n")
        change(&config.training)
        let summary = try SmallJob.job(config, folder).run(onEvent: { _ in })
        #expect(summary.steps == whole.steps)
    }

    @Test func `the watchdog ends a run`() throws {
        let folder = try SmallJob.workplace()
        let outcome = try run(folder) { $0.lossWatchdog = .init(threshold: 0.5, patience: 2) }
        #expect(outcome.steps == 2 && outcome.notices.first?.contains("watchdog") == true)
    }

    @Test func `noise on embeddings is in training alone, and the same each time`() throws {
        let folder = try SmallJob.workplace()
        func change(_ settings: inout TrainingSettings, _ noise: Double) {
            settings.embeddingNoise = noise
            settings.evaluatesAtStart = true
        }
        let plain = try run(folder, output: "a") { change(&$0, 0) }
        let noisy = try run(folder, output: "b") { change(&$0, 5) }
        let again = try run(folder, output: "c") { change(&$0, 5) }
        #expect(noisy.losses == again.losses)
        #expect(zip(plain.losses, noisy.losses).allSatisfy { $0 != $1 })
        #expect(abs(plain.losses[0] - noisy.losses[0]) < 1)
        #expect(plain.evaluations[0].loss == noisy.evaluations[0].loss)
    }

    @Test func `second matrices learn faster with LoRA+`() throws {
        let folder = try SmallJob.workplace()
        func adapter(_ ratio: Double, _ output: String) throws -> any CheckpointReader {
            _ = try run(folder, output: output) {
                $0.maxSteps = 1
                $0.warmupSteps = 0
                $0.schedule = .constant
                $0.loraPlusRatio = ratio
            }
            return try CheckpointFolder.open(folder.file(output))
        }
        let (plain, plus) = try (adapter(1, "a"), adapter(16, "b"))
        var compared = 0
        for info in plain.tensors {
            let (a, b) = try (plain.floats(of: info.name), plus.floats(of: info.name))
            let ratio: Float = info.name.contains("lora_B") ? 16 : 1
            for (x, y) in zip(a, b) { #expect(abs(y - ratio * x) <= 1e-4 * abs(y) + 1e-7) }
            compared += a.count
        }
        #expect(compared > 0)
    }
}

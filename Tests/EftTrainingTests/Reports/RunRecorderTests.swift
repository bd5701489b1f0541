// SPDX-License-Identifier: Apache-2.0
// The log of a run, and the curves that are made of it.
import EftConfig
import EftFormats
import EftTestSupport
import Testing

@testable import EftTraining

@Suite struct RunRecorderTests {
    private func log(_ folder: TemporaryFolder) throws -> [ConfigCursor] {
        try JSONLines(folder.file("out/training_log.jsonl")).readAll()
    }

    @Test func `lines of the log are means over logging_steps, the last one of what is left`()
        throws
    {
        let folder = try SmallJob.workplace()
        var reports: [StepReport] = []
        let config = try SmallJob.config(folder, "logging_steps: 3")
        _ = try SmallJob.job(config, folder).run(onEvent: {
            if case .training(.step(let report)) = $0 { reports.append(report) }
        })
        let lines = try log(folder).filter { try $0.optional("loss") != nil }
        #expect(try lines.map { try $0.int("step", default: 0) } == [3, 4])
        let losses = try lines.map { try $0.double("loss", default: 0) }
        #expect(losses == [reports.prefix(3).reduce(0) { $0 + $1.loss } / 3, reports[3].loss])
        #expect(
            try lines[0].int("tokens", default: 0) == reports.prefix(3).reduce(0) { $0 + $1.tokens }
        )
        #expect(try lines[0].double("grad_norm", default: 0) == reports[2].gradientNorm)
        #expect(try lines.allSatisfy { try $0.int("resident_bytes", default: 0) > 1 << 20 })
    }

    @Test func `a run that is stopped leaves all its steps in the log`() throws {
        let folder = try SmallJob.workplace()
        let config = try SmallJob.config(folder, "logging_steps: 10")
        var steps = 0
        let error = #expect(throws: TrainingError.self) {
            try SmallJob.job(config, folder).run(
                onEvent: { if case .training(.step) = $0 { steps += 1 } },
                shouldStop: { steps >= 3 })
        }
        #expect(error?.code == .interrupted)
        let lines = try log(folder).filter { try $0.optional("loss") != nil }
        #expect(try lines.map { try $0.int("step", default: 0) } == [3])
    }

    @Test func `evaluations have the names of transformers, and the perplexity when asked for`()
        throws
    {
        let folder = try SmallJob.workplace()
        let config = try SmallJob.config(folder, "eval_causal_lm_metrics: [perplexity]")
        _ = try SmallJob.losses(SmallJob.job(config, folder))
        let lines = try log(folder).filter { try $0.optional("eval_loss") != nil }
        #expect(try lines.map { try $0.int("step", default: -1) } == [0, 2, 4])
        for line in lines {
            let loss = try line.double("eval_loss", default: 0)
            #expect(try line.double("eval_perplexity", default: 0) == Perplexity.of(loss: loss))
            for key in ["epoch", "eval_runtime", "eval_samples_per_second"] {
                #expect(try line.optional(key) != nil, "\(key)")
            }
        }
        let plain = try SmallJob.config(folder, output: "plain")
        _ = try SmallJob.losses(SmallJob.job(plain, folder))
        let text = try FileSystem.read(folder.file("plain/training_log.jsonl"))
        #expect(!String(decoding: text, as: UTF8.self).contains("perplexity"))
    }

    @Test func `metrics that nobody knows are refused`() throws {
        let folder = try SmallJob.workplace()
        let error = #expect(throws: ConfigError.self) {
            try SmallJob.config(folder, "eval_causal_lm_metrics: [perplexty]")
        }
        #expect(error?.description.contains("did you mean 'perplexity'") == true)
    }

    @Test(arguments: [("evals_per_epoch: 2", [0, 3, 6]), ("eval_strategy: epoch", [0, 6])])
    func `evaluations and checkpoints come so many times an epoch`(
        _ key: String, _ expected: [Int]
    ) throws {
        let folder = try SmallJob.workplace()
        var config = try SmallJob.config(folder, accumulation: 4)
        config.training.maxSteps = nil
        let perEpoch = key.hasPrefix("evals") ? 2 : 1
        config.training.evaluations = .epochs(perEpoch)
        config.training.saves = .epochs(perEpoch)
        config.training.evaluatesAtStart = true
        var (evaluated, saved) = ([Int](), [Int]())
        _ = try SmallJob.job(config, folder).run(onEvent: {
            if case .training(.evaluation(let report)) = $0 { evaluated.append(report.step) }
            if case .training(.saved(let step, _)) = $0 { saved.append(step) }
        })
        #expect(evaluated == expected)
        #expect(saved == Array(expected.dropFirst()))
    }

    // MARK: Curves

    @Test func `a long curve is thinned out to means, and its ends stay`() {
        var curve = RunCurve()
        let count = 100_000
        for step in 1...count { curve.add(step: step, Double(step)) }
        curve.add(step: count + 1, .nan)
        #expect(curve.points.count <= RunCurve.mostPoints + 1)
        #expect(curve.points.count >= RunCurve.mostPoints / 2)
        #expect(curve.last == Double(count) && curve.lowest == 1)
        #expect(curve.points.last?.step == count)
        let steps = curve.points.map(\.step)
        #expect(steps == steps.sorted())
        // Each point is the mean of the steps up to it.
        for (before, point) in zip([0] + steps, curve.points) {
            #expect(abs(point.value - Double(before + 1 + point.step) / 2) < 1e-6)
        }
    }

    @Test func `a smoothed value starts at the first one and forgets it slowly`() throws {
        var smoothed = SmoothedValue()
        #expect(smoothed.value == nil)
        smoothed.add(4)
        #expect(abs(try #require(smoothed.value) - 4) < 1e-12)
        smoothed.add(.infinity)
        for _ in 0..<100 { smoothed.add(2) }
        #expect(abs(try #require(smoothed.value) - 2) < 1e-3)
    }

    @Test func `a resumed run has the curve of the whole run`() throws {
        let folder = try SmallJob.workplace()
        _ = try SmallJob.losses(SmallJob.job(SmallJob.config(folder), folder))
        let recorder = RunRecorder(try SmallJob.config(folder))
        try recorder.begin(stepsDone: 2)
        #expect(recorder.curves[.loss].points.map(\.step) == [1, 2])
        #expect(recorder.curves[.evaluationLoss].points.map(\.step) == [0, 2])
        #expect(recorder.curves[.smoothedLoss].points.count == 2)
        #expect(try log(folder).count == 4)
    }
}

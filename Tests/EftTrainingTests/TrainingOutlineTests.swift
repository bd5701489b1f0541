// SPDX-License-Identifier: Apache-2.0
// What is said of a run before it begins is what it then does.
import EftModels
import EftTensor
import EftTestSupport
import EftTraining
import Testing

@Suite struct TrainingOutlineTests {
    @Test(arguments: [
        "num_epochs: 2\nmax_steps: null", "sample_packing: true\nnum_epochs: 3\nmax_steps: null",
        "eval_steps: 3", "evals_per_epoch: 2\neval_steps: null",
        "eval_strategy: no\neval_steps: null",
        "eval_on_start: true",
    ])
    func `steps, tokens and evaluations are those of the run`(_ lines: String) throws {
        let folder = try SmallJob.workplace()
        let config = try SmallJob.config(folder, "").overridden(lines)
        let outline = try TrainingOutline(config)
        let job = try SmallJob.job(config, folder)
        #expect(outline.batches.steps.count == job.totalSteps)
        var (tokens, evaluations): ([Int], Int) = ([], 0)
        _ = try job.run(onEvent: {
            switch $0 {
            case .training(.step(let report)): tokens.append(report.tokens)
            case .training(.evaluation): evaluations += 1
            default: break
            }
        })
        #expect(tokens == outline.steps.map { $0.reduce(0) { $0 + $1.tokens } })
        #expect(evaluations == outline.evaluations.count)
        let backend = try CPUBackend(threads: 2, precision: .f32)
        let plan = try outline.plan(backend: backend, room: TrainingRoom(limits: [.max]))
        #expect(plan == job.plan)
    }

    @Test func `nothing is refused for its size`() throws {
        let folder = try SmallJob.workplace()
        let outline = try TrainingOutline(SmallJob.config(folder))
        let plan = try outline.plan(
            backend: CPUBackend(threads: 1), room: TrainingRoom(limits: [1 << 16]))
        #expect(!plan.placed.fits)
    }

    @Test func `the trained numbers are those of the adapter`() throws {
        let folder = try SmallJob.workplace()
        let config = try SmallJob.config(folder)
        let job = try SmallJob.job(config, folder)
        let bytes = job.plan.placed.total[.adapters]
        #expect(try TrainingOutline(config).trainedNumbers * 4 == bytes)
    }
}

extension AxolotlConfig {
    /// The configuration with keys of its own, which `null` removes.
    fileprivate func overridden(_ lines: String) throws -> AxolotlConfig {
        let overrides = lines.split(separator: "\n").map { line in
            let parts = line.split(separator: ":", maxSplits: 1).map { part in
                String(part.drop { $0 == " " })
            }
            return ConfigOverride(parts[0], parts.count > 1 ? parts[1] : "")
        }
        return try AxolotlConfig(ConfigOverride.apply(overrides, to: document))
    }
}

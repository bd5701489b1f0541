// SPDX-License-Identifier: Apache-2.0
// Learning rates against transformers and PyTorch.
import EftConfig
import EftTestSupport
import Testing

@testable import EftTraining

@Suite struct ScheduleGoldenTests {
    @Test func `rates are those of transformers and PyTorch`() throws {
        let golden = try ConfigFile.read(Fixtures.path("schedules/rates.json"))
        let peak = try golden.required("peak").double()
        let total = try golden.required("total").int()
        var kinds: Set<LearningRateSchedule.Kind> = []
        for item in try golden.required("cases").elements() {
            let name = try item.required("name").string()
            let keys = try item.required("keys").string()
            let text =
                "base_model: b\nlearning_rate: \(peak)\nlr_scheduler: \(name)\n"
                + "warmup_steps: \(try item.required("warmup").int())\n"
                + "datasets: [{path: x, type: alpaca}]\n\(keys)"
            let settings = try AxolotlConfig(
                ConfigCursor(YAMLParser.parse(text, file: "c.yml"), file: "c.yml")
            ).training
            let schedule = LearningRateSchedule(settings, total: total)
            kinds.insert(schedule.kind)
            for (step, wanted) in try item.required("rates").doubles().enumerated() {
                let rate = schedule.rate(step: step)
                #expect(
                    abs(rate - wanted) <= 1e-9 * peak + 1e-12,
                    "\(name) \(keys) step \(step): \(rate), \(wanted)")
            }
        }
        #expect(kinds.count == LearningRateSchedule.Kind.allCases.count - 1)
    }

    @Test func `a quadratic warm-up rises as a square`() throws {
        var settings = TrainingSettings()
        settings.learningRate = 1
        settings.warmupSteps = 4
        settings.scheduleOptions.quadraticWarmup = true
        let schedule = LearningRateSchedule(settings, total: 20)
        #expect((0..<5).map { schedule.rate(step: $0) } == [0, 0.0625, 0.25, 0.5625, 1])
    }

    @Test(arguments: [
        ("lr_scheduler_kwargs: {num_cycle: 2}", "num_cycles"),
        ("lr_scheduler_kwargs: {decay_type: steep}", "1-sqrt"),
        ("lr_scheduler_kwargs: {anneal_strategy: sine}", "linear"),
        ("lr_scheduler: rexx", "rex"),
    ])
    func `what no schedule knows is refused`(_ keys: String, _ word: String) throws {
        let text =
            "base_model: b\nlearning_rate: 1\ndatasets: [{path: x, type: alpaca}]\n\(keys)"
        let error = #expect(throws: ConfigError.self) {
            try AxolotlConfig(ConfigCursor(YAMLParser.parse(text, file: "c.yml"), file: "c.yml"))
        }
        #expect(error?.description.contains(word) == true, "\(error?.description ?? "")")
    }
}

// SPDX-License-Identifier: Apache-2.0
// Sweeps: which runs a file stands for, in which order.
import EftConfig
import EftTestSupport
import EftTraining
import Testing

struct SweepPlanTests {
    private func plan(
        _ sweep: String, base: String = "output_dir: out\nseed: 9\n", output: String? = nil
    ) throws -> SweepPlan {
        func cursor(_ text: String) throws -> ConfigCursor {
            ConfigCursor(try YAMLParser.parse(text, file: "s.yml"), file: "s.yml")
        }
        return try SweepPlan(cursor(base), sweep: cursor(sweep), output: output)
    }

    private func text(_ run: SweepPlan.Run, _ keys: [String]) -> String {
        keys.map { JSONWriter.text(run.changes[$0] ?? .null).replacing("\"", with: "") }
            .joined(separator: "/")
    }

    /// The orders are those of axolotl 0.19's `generate_sweep_configs`.
    @Test func `runs come in Axolotl's order`() throws {
        let grid = try plan("lora_r: [8, 16, 32]\nlearning_rate: [1, 2]\nseed: [1, 2, 3]\n")
        #expect(
            grid.runs.map { text($0, ["lora_r", "learning_rate", "seed"]) }
                == [
                    "32/1/2", "32/1/1", "8/2/2", "16/2/1", "8/2/3", "16/1/2", "32/2/2", "16/1/1",
                    "16/2/2",
                    "32/2/1", "8/1/2", "16/2/3", "8/1/3", "32/1/3", "32/2/3", "16/1/3", "8/1/1",
                    "8/2/1",
                ])
        let pairs = try plan(
            """
            _:
              - {adapter: lora, load_in_8bit: true}
              - {adapter: qlora, load_in_4bit: true}
            seed: [1, 2, 3]
            """)
        #expect(
            pairs.runs.map { text($0, ["adapter", "seed"]) }
                == ["qlora/2", "qlora/1", "lora/2", "lora/3", "lora/1", "qlora/3"])
        let many = try plan("seed: [\((0..<2000).map { "\($0)" }.joined(separator: ", "))]")
        let order = many.runs.map { text($0, ["seed"]) }
        #expect(
            Array(order.prefix(8)) == ["795", "1468", "478", "807", "1505", "1279", "1143", "1432"])
        #expect(Array(order.suffix(4)) == ["1518", "51", "228", "1309"])
    }

    @Test func `each run has its keys and a folder of its own`() throws {
        let plan = try plan("seed: [1, 2]\n_: [{lora_r: 4}]\n")
        #expect(plan.runs.map(\.name) == ["sweep0001", "sweep0002"])
        #expect(plan.runs.map(\.folder) == ["out/sweep0001", "out/sweep0002"])
        for run in plan.runs {
            let config = ConfigCursor(run.config)
            #expect(try config.required("output_dir").string() == run.folder)
            #expect(try config.required("lora_r").int() == 4)
            #expect(try [1, 2].contains(config.required("seed").int()))
        }
        let folders = try self.plan("output_dir: [a, b]").runs.map(\.folder)
        #expect(Set(folders.map { $0.prefix(2) }) == ["a/", "b/"])
        #expect(folders.map { $0.dropFirst(2) } == ["sweep0001", "sweep0002"])
        #expect(try self.plan("seed: [1]", output: "x").runs[0].folder == "x/sweep0001")
        #expect(
            try self.plan("seed: [1]", base: "seed: 2").runs[0].folder == "./model-out/sweep0001")
    }

    @Test(arguments: [
        ("seed: 1", "list"), ("seed: []", "no value"), ("{}", "sets no key"),
        ("_: []", "sets no key"), ("_: [{}]", "sets no key"), ("_: [1]", "expected"),
        ("learning_rat: [1]", "learning_rate"), ("_: [{lora_rr: 1}]", "lora_r"),
        ("[1]", "expected"),
        (
            (0..<5).map {
                "\(["seed", "lora_r", "lora_alpha", "num_epochs", "max_steps"][$0]): [1, 2, 3, 4, 5, 6, 7]\n"
            }
            .joined(), "more than 9999 runs"
        ),
    ])
    func `what is no sweep is refused`(_ text: String, _ problem: String) throws {
        let error = #expect(throws: ConfigError.self) { try plan(text) }
        #expect(error?.description.contains(problem) == true, "\(error?.description ?? "")")
    }
}

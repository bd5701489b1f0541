// SPDX-License-Identifier: Apache-2.0
// eft train --sweep: one training after the other, each a process of its own.
import EftCommandLine
import EftConfig
import EftFormats
import EftTraining

#if canImport(Glibc)
    import Glibc
#endif

/// The runs of a sweep, made and summed up.
///
/// Each is a process, so that its plan and its peak are those of a run alone. A run that fails does not keep the others from
/// being made.
struct SweepRuns {
    private let plan: SweepPlan
    private let arguments: ParsedArguments
    /// The words of each run behind its configuration.
    private let words: [String]

    static let option = OptionSpecification(
        "--sweep", kind: .value("FILE"),
        help:
            "a YAML file with lists of values: a run for each combination, in output_dir/sweep0001 and so on",
        completion: .file)

    /// Reads the configuration and the sweep's file.
    /// - Throws: `UsageError`, `ConfigError`.
    init(_ arguments: ParsedArguments, file: String) throws {
        self.arguments = arguments
        let overrides = try AxolotlOptions.overrides(arguments)
        plan = try SweepPlan(
            ConfigFile.read(arguments.requiredArgument("CONFIG")), sweep: ConfigFile.read(file),
            output: overrides.last { $0.path == ["output_dir"] }?.value)
        let own = arguments.words(for: arguments.command, except: ["sweep", "json"])
        words =
            own
            + overrides.filter { $0.path != ["output_dir"] }
            .map { "--\($0.key)=\($0.value)" }
    }

    /// Makes the runs, or lists them for `--dry-run`.
    /// - Throws: `Interruption` when the user ends it; `TrainingError` when a run has failed.
    func run() throws {
        let isJSON = arguments.flag("json")
        if arguments.flag("dry-run") { return show(plan.runs.map { ($0, nil) }, isJSON: isJSON) }
        var outcomes: [(SweepPlan.Run, Outcome?)] = []
        for (index, run) in plan.runs.enumerated() {
            if !isJSON {
                TerminalOutput.standardError.writeLine(
                    "\(run.name), \(index + 1) of \(plan.runs.count): \(SweepRuns.text(run))")
            }
            let status = try make(run)
            outcomes.append((run, Outcome(status: status, folder: run.folder)))
            guard !InterruptFlag.isRaised, status != ExitStatus.interrupted.rawValue else {
                show(outcomes, isJSON: isJSON)
                throw Interruption(
                    description: "interrupted in \(run.name); its checkpoint is in \(run.folder)")
            }
        }
        show(outcomes, isJSON: isJSON)
        let failed = outcomes.filter { $0.1?.status != 0 }.map(\.0.name)
        guard failed.isEmpty else {
            throw TrainingError(
                .configuration, "runs that failed: \(failed.joined(separator: ", "))")
        }
    }

    // MARK: One run

    /// Starts a run and waits for it.
    /// - Returns: its exit status.
    private func make(_ run: SweepPlan.Run) throws -> Int32 {
        try FileSystem.createFolder(run.folder)
        let config = FileSystem.join(run.folder, "sweep_config.yml")
        try AtomicFile.write(
            config, JSONWriter.text(run.config, layout: .indented(2)) + "\n")
        // The object of --json stands alone on standard output.
        let (child, fault) = ChildProcess.start(
            "/proc/self/exe", ["eft", "train", config] + words, descriptors: [(2, 1)])
        guard fault == 0 else {
            throw FormatError.system(
                .io, "cannot start a run", path: "/proc/self/exe", errno: fault)
        }
        return SweepRuns.wait(child)
    }

    private static func wait(_ child: pid_t) -> Int32 {
        var status: Int32 = 0
        var isTold = false
        while waitpid(child, &status, WNOHANG) == 0 {
            if InterruptFlag.isRaised, !isTold {
                isTold = true
                _ = kill(child, SIGTERM)
            }
            usleep(50_000)
        }
        // As the shell counts: the status of an exit, or 128 and the signal.
        return status & 0x7f == 0 ? (status >> 8) & 0xff : 128 + status & 0x7f
    }

    // MARK: Output

    /// What a run has come to.
    private struct Outcome {
        let status: Int32
        let loss: Double?
        let evalLoss: Double?

        /// Reads the log that the run left.
        init(status: Int32, folder: String) {
            self.status = status
            var (loss, evalLoss): (Double?, Double?)
            let path = FileSystem.join(folder, TrainingLog.name)
            for line in ((try? TextFile.contents(path)) ?? "").split(separator: "\n") {
                guard let entry = (try? JSONParser.parse(String(line))).map({ ConfigCursor($0) })
                else { continue }
                loss = (try? entry.optional("loss")?.double()) ?? loss
                evalLoss = (try? entry.optional("eval_loss")?.double()) ?? evalLoss
            }
            (self.loss, self.evalLoss) = (loss, evalLoss)
        }
    }

    private static func text(_ run: SweepPlan.Run) -> String {
        run.changes.entries
            .map { "\($0.key): \(JSONWriter.text($0.node))" }.joined(separator: ", ")
    }

    private func show(_ outcomes: [(SweepPlan.Run, Outcome?)], isJSON: Bool) {
        if isJSON {
            let runs = outcomes.map { run, outcome -> ConfigNode in
                var object: ConfigObject = [
                    "name": ConfigNode(run.name), "output": ConfigNode(run.folder),
                    "changes": ConfigNode(run.changes),
                ]
                if let outcome {
                    object["status"] = ConfigNode(Int(outcome.status))
                    object["loss"] = outcome.loss.map { ConfigNode($0) } ?? .null
                    object["eval_loss"] = outcome.evalLoss.map { ConfigNode($0) } ?? .null
                }
                return ConfigNode(object)
            }
            JSONOutput.print(["runs": ConfigNode(runs)])
            return
        }
        func cell(_ value: Double?) -> String {
            value.map { formatFixed($0, decimals: 4) } ?? "-"
        }
        var table = TableRenderer([
            .init("run"), .init("loss", .right), .init("eval loss", .right), .init("keys"),
        ])
        for (run, outcome) in outcomes {
            let isWhole = outcome?.status ?? 0 == 0
            table.add([
                run.name, isWhole ? cell(outcome?.loss) : "failed", cell(outcome?.evalLoss),
                SweepRuns.text(run),
            ])
        }
        TerminalOutput.standardOutput.write(table)
    }
}

// SPDX-License-Identifier: Apache-2.0
// Keeps what a run tells: in the log, for TensorBoard, and as curves.
import EftConfig
import EftFormats
import EftTensor

/// The records of a run while it goes on.
final class RunRecorder {
    private let settings: TrainingSettings
    private let reports: ReportSettings
    private var log: TrainingLog?
    private var tensorBoard: TensorBoardLog?
    private var steps = StepAverage()
    /// Steps that were made here, and the sum of their losses.
    private var made = (count: 0, loss: 0.0)
    /// The curves of the whole run, those of its earlier parts included.
    private(set) var curves = RunCurves()

    init(_ config: AxolotlConfig) {
        settings = config.training
        reports = config.reports
    }

    /// Opens the files.
    /// - Parameter stepsDone: steps that earlier parts of the run have made.
    /// - Throws: `FormatError` when a file cannot be written.
    func begin(stepsDone: Int) throws {
        log = try TrainingLog(settings.outputDir, keepingSteps: stepsDone) { curves.add($0) }
        guard reports.tensorBoard else { return }
        tensorBoard = try TensorBoardLog(
            outputDir: settings.outputDir, folder: reports.loggingDir, stepsDone: stepsDone)
    }

    /// Takes what happened; a line is written every `logging_steps` steps, and after the last one.
    /// - Throws: `FormatError`, for instance when the disk is full.
    func note(_ event: TrainingEvent) throws {
        switch event {
        case .step(let report):
            steps.add(report)
            made = (made.count + 1, made.loss + report.loss)
            if report.step % max(settings.loggingSteps, 1) == 0 || report.step == report.totalSteps
            {
                try writeSteps()
            }
        case .evaluation(let report): try write(report.entries)
        case .saved, .reference, .notice: break
        }
    }

    /// Writes what an early end has left unwritten.
    /// - Throws: `FormatError`, for instance when the disk is full.
    func writeSteps() throws {
        guard let report = steps.report else { return }
        steps = StepAverage()
        var line = report.entries
        line["resident_bytes"] = ConfigNode(ResidentMemory.now)
        try write(line)
    }

    /// Writes what the run came to, for TensorBoard alone: transformers has it in no line of its own kind either.
    /// - Throws: `FormatError`, for instance when the disk is full.
    func end(_ summary: TrainingJob.Summary) throws {
        guard made.count > 0 else { return }
        let count = Double(made.count)
        var line: ConfigObject = ["step": ConfigNode(summary.steps)]
        line["train_runtime"] = ConfigNode(summary.seconds)
        line["train_loss"] = ConfigNode(made.loss / count)
        if summary.seconds > 0 {
            line["train_steps_per_second"] = ConfigNode(count / summary.seconds)
        }
        try tensorBoard?.append(line)
    }

    private func write(_ line: ConfigObject) throws {
        curves.add(line)
        try log?.append(line)
        try tensorBoard?.append(line)
    }
}

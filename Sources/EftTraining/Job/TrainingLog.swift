// SPDX-License-Identifier: Apache-2.0
// A line of JSON for each step and evaluation.
import EftConfig
import EftFormats

#if canImport(Glibc)
    import Glibc
#endif

/// `training_log.jsonl` of an output folder.
final class TrainingLog {
    private static let name = "training_log.jsonl"
    private let path: String
    private let descriptor: Int32

    /// Begins a log; lines of an earlier run stay up to a step, so that a resumed run has one whole log.
    /// - Throws: `FormatError` when the file cannot be written.
    init(_ folder: String, keepingSteps steps: Int) throws {
        path = FileSystem.join(folder, TrainingLog.name)
        var kept: [String] = []
        if steps > 0, FileSystem.exists(path) {
            let reader = try JSONLines(path)
            // A line that a crash cut short is the last one that counts.
            while let line = try? reader.next(), let step = try? line.int("step", default: .max) {
                if step <= steps { kept.append(JSONWriter.text(line.node)) }
            }
        }
        try AtomicFile.write(path, kept.map { $0 + "\n" }.joined())
        descriptor = open(path, O_WRONLY | O_APPEND | O_CLOEXEC)
        guard descriptor >= 0 else { throw fault() }
    }

    deinit { if descriptor >= 0 { close(descriptor) } }

    /// Writes an event's line.
    /// - Throws: `FormatError`, for instance when the disk is full.
    func append(_ event: TrainingEvent) throws {
        guard let node = event.node else { return }
        let line = Array((JSONWriter.text(node) + "\n").utf8)
        guard write(descriptor, line, line.count) == line.count else { throw fault() }
    }

    private func fault() -> FormatError {
        FormatError(.io, "cannot write the log: \(String(cString: strerror(errno)))", path: path)
    }
}

extension TrainingEvent {
    /// The event as a line of the log; nil for those that have none.
    package var node: ConfigNode? {
        switch self {
        case .step(let report): report.node
        case .evaluation(let report): report.node
        case .saved, .reference, .notice: nil
        }
    }
}

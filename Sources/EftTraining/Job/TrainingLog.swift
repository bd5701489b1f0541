// SPDX-License-Identifier: Apache-2.0
// A line of JSON for each step and evaluation.
import EftConfig
import EftFormats

/// `training_log.jsonl` of an output folder.
package final class TrainingLog {
    /// The file's name.
    package static let name = "training_log.jsonl"
    private let file: AppendedFile

    /// Begins a log; lines of an earlier run stay up to a step, so that a resumed run has one whole log.
    /// - Parameter onKept: told of each line that stays.
    /// - Throws: `FormatError` when the file cannot be written.
    init(
        _ folder: String, keepingSteps steps: Int, onKept: (ConfigObject) -> Void = { _ in }
    ) throws {
        let path = FileSystem.join(folder, TrainingLog.name)
        let begun = try OutputFile(path: path)
        if steps > 0, FileSystem.exists(path) {
            let reader = try JSONLines(path)
            // A line that a crash cut short is the last one that counts.
            while let line = try? reader.next(), let object = try? line.object(),
                let step = try? line.int("step", default: .max)
            {
                guard step <= steps else { continue }
                try begun.write(TrainingLog.line(object))
                onKept(object)
            }
        }
        try begun.publish()
        file = try AppendedFile(path)
    }

    /// Writes a line.
    /// - Throws: `FormatError`, for instance when the disk is full.
    func append(_ line: ConfigObject) throws { try file.append(TrainingLog.line(line)) }

    private static func line(_ object: ConfigObject) -> [UInt8] {
        JSONWriter.bytes(ConfigNode(object)) + [UInt8(ascii: "\n")]
    }
}

// SPDX-License-Identifier: Apache-2.0
// The file of an evaluation, as axolotl writes it.
import EftConfig
import EftFormats

/// A table of numbers: a line each, with one column for training and one for validation examples.
struct EvaluationSummary {
    /// Axolotl's name of the file.
    static let fileName = "eval_summary.csv"
    private let lines: [String]

    /// Takes what was evaluated; numbers are in the order of their names.
    init(_ sets: [EvaluatedSet]) {
        let names = Set(sets.flatMap { $0.numbers.map(\.key) }).sorted()
        func cell(_ name: String, _ kind: EvaluatedSet.Kind) -> String {
            let value = sets.first { $0.kind == kind }?.numbers.first { $0.key == name }?.value
            return value.map { JSONWriter.text($0, layout: .minimal) } ?? ""
        }
        lines =
            ["metric,training,validation"]
            + names.map { "\($0),\(cell($0, .training)),\(cell($0, .validation))" }
    }

    /// Writes the file into a folder, which is made when it is not there.
    /// - Returns: the file's path.
    /// - Throws: `FormatError`.
    func write(to folder: String) throws -> String {
        try FileSystem.createFolder(folder)
        let path = FileSystem.join(folder, EvaluationSummary.fileName)
        try AtomicFile.write(path, lines.joined(separator: "\r\n") + "\r\n")
        return path
    }
}

// SPDX-License-Identifier: Apache-2.0
// The event file of a run, which TensorBoard shows while the run goes on.
import EftConfig
import EftFormats

#if canImport(Glibc)
    import Glibc
#endif

/// An event file with the values of a run's log, under the tags that transformers gives them.
final class TensorBoardLog {
    private let file: AppendedFile

    /// The folder of event files below an output folder.
    private static let runs = "runs"

    /// Begins an event file.
    /// - Parameters:
    ///   - folder: where event files go; a folder below `runs` of the output folder when nil.
    ///   - stepsDone: steps made before. A run that goes on adds a file to the folder of its earlier ones, so that
    ///     TensorBoard shows one curve.
    /// - Throws: `FormatError` (`io`).
    init(outputDir: String, folder: String?, stepsDone: Int) throws(FormatError) {
        let now = WallClock.seconds
        let place =
            folder ?? TensorBoardLog.runFolder(outputDir, goesOn: stepsDone > 0, time: now)
        try FileSystem.createFolder(place)
        file = try AppendedFile(TensorBoardLog.unusedName(in: place, time: now))
        try file.append(EventRecord.header(time: now))
        if stepsDone > 0 { try file.append(EventRecord.start(step: stepsDone + 1, time: now)) }
    }

    private static func runFolder(_ outputDir: String, goesOn: Bool, time: Double) -> String {
        let above = FileSystem.join(outputDir, runs)
        // Names begin with the date, so that the last one is the newest.
        if goesOn, let newest = (try? FileSystem.list(above))?.last {
            return FileSystem.join(above, newest)
        }
        let name = WallClock.text(time, .fileName) + "_" + HostName.text
        return firstUnused { FileSystem.join(above, $0 == 0 ? name : "\(name)_\($0)") }
    }

    private static func unusedName(in folder: String, time: Double) -> String {
        let name =
            "events.out.tfevents.\(WallClock.whole(time)).\(HostName.text).\(getpid())"
        return firstUnused { FileSystem.join(folder, "\(name).\($0)") }
    }

    private static func firstUnused(_ path: (Int) -> String) -> String {
        var count = 0
        while FileSystem.exists(path(count)), count < 10_000 { count += 1 }
        return path(count)
    }

    // MARK: Values

    /// Writes the numbers of a line of the log.
    /// - Throws: `FormatError`, for instance when the disk is full.
    func append(_ line: ConfigObject) throws(FormatError) {
        guard case .integer(let step)? = line["step"]?.value else { return }
        var values: [(tag: String, value: Double)] = []
        for (key, node) in line.entries where key != "step" {
            guard let value = node.number else { continue }
            values.append((TensorBoardLog.tag(key), value))
        }
        guard !values.isEmpty else { return }
        try file.append(EventRecord.scalars(values, step: step, time: WallClock.seconds))
    }

    /// What transformers calls an entry of its log in TensorBoard.
    static func tag(_ key: String) -> String {
        key.hasPrefix("eval_") ? "eval/" + key.dropFirst("eval_".count) : "train/" + key
    }
}

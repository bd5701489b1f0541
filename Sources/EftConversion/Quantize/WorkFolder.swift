// SPDX-License-Identifier: Apache-2.0
// The work folder of a quantization: what a killed run needs to go on.
import EftConfig
import EftFormats
import EftTensor

/// The state of a quantization on the disk.
///
/// | file | content |
/// |---|---|
/// | `job_new.json` | options, fingerprint, progress, the chosen mix, and the report so far |
/// | `sensitivity.safetensors` | for each linear layer, how much the prediction depends on each output |
/// | `measurement.json` | the options of the blocks that are measured |
/// | `measurement_states-<layer>.safetensors` | inputs of that layer on all measurement rows, f32 |
/// | `hidden_states-<layer>.safetensors` | inputs of that layer on all calibration rows, f32 |
/// | `reference_states-<layer>.safetensors` | the same in the unquantized model, where layers make up for those before |
/// | `embedding_states-<layer>.safetensors` | inputs of that layer on the rows for which a shared embedding is rounded |
/// | `candidates/<n>/<module>.safetensors` | linear layers quantized for a measurement |
/// | `out_tensor/<module>.safetensors` | the finished linear layers |
struct WorkFolder {
    /// How far a job is.
    enum Progress: Sendable, Hashable {
        /// The sensitivities come next.
        case sensitivity
        /// Layers before this one are measured; with the number of layers, all are, and the mix is chosen next.
        case measure(Int)
        /// Layers before this one are quantized; with the number of layers, all are, and the head is next.
        case layer(Int)
        /// All linear layers are there.
        case compile
        /// The output was written.
        case finished
    }

    static let jobName = "job_new.json"

    let path: String

    /// The folder of finished linear layers.
    var outTensors: String { FileSystem.join(path, "out_tensor") }
    /// The measurement so far.
    var measurement: String { FileSystem.join(path, "measurement.json") }
    /// The folder of linear layers quantized for a measurement.
    var candidates: String { FileSystem.join(path, "candidates") }
    /// The folder of those with one of the sets of widths.
    func candidates(_ place: Int) -> String { FileSystem.join(candidates, String(place)) }
    private var jobPath: String { FileSystem.join(path, WorkFolder.jobName) }

    // MARK: Job

    /// The state of an earlier run of the same job; nil when there was none.
    /// - Throws: `ConversionError` (`usage`) when the folder belongs to another job.
    func resume(fingerprint: String) throws -> SavedJob? {
        guard FileSystem.exists(jobPath) else { return nil }
        do {
            let job = ConfigCursor(
                try JSONParser.parse(try FileSystem.read(jobPath), file: jobPath), file: jobPath)
            guard try job.string("fingerprint", default: "") == fingerprint else {
                throw ConversionError(
                    .usage,
                    "another job was begun here (other model, calibration or options); give another "
                        + "folder with -o, or -nr to start anew",
                    path: path)
            }
            return try SavedJob(job)
        } catch let error as ConfigError {
            throw ConversionError(
                .damaged, "the job is damaged (\(error)); start anew with -nr", path: path)
        }
    }

    /// Notes how far the job is.
    func save(_ state: SavedJob, _ settings: ConfigObject) throws {
        var job = settings
        for (key, node) in state.node.entries { job[key] = node }
        try AtomicFile.write(
            jobPath, JSONText.string(ConfigNode(.object(job)), indent: 4) + "\n")
    }

    /// Removes what an earlier job left.
    func clear() throws {
        guard FileSystem.isFolder(path) else { return }
        try FileSystem.remove(jobPath)
        for prefix in [
            "hidden_states", "reference_states", "embedding_states", "measurement", "sensitivity",
        ] {
            try removeStates(prefix: prefix, except: nil)
        }
        try clearCandidates()
        try removeTensors(in: outTensors)
    }

    /// Removes linear layers quantized for a measurement.
    func clearCandidates() throws {
        guard FileSystem.isFolder(candidates) else { return }
        for name in try FileSystem.list(candidates) {
            try removeTensors(in: FileSystem.join(candidates, name))
        }
    }

    private func removeTensors(in folder: String) throws {
        guard FileSystem.isFolder(folder) else { return }
        for name in try FileSystem.list(folder)
        where name.hasSuffix(".safetensors") || name.hasSuffix(".partial") {
            try FileSystem.remove(FileSystem.join(folder, name))
        }
    }

    /// Removes files whose names begin so, but those of one layer.
    func removeStates(prefix: String, except layer: Int?) throws {
        let kept = layer.map { prefix + "\($0).safetensors" }
        for name in try FileSystem.list(path) where name.hasPrefix(prefix) && name != kept {
            try FileSystem.remove(FileSystem.join(path, name))
        }
    }
}

/// What the note of a job says besides its settings.
struct SavedJob: Sendable, Hashable {
    var progress: WorkFolder.Progress
    /// The chosen option of each block, by its path; empty before they are chosen.
    var strategy: [String: WidthOption] = [:]
    var report = QuantizeReport()

    /// A job that has just begun.
    init(_ progress: WorkFolder.Progress) { self.progress = progress }

    /// Reads a note.
    /// - Throws: `ConfigError`.
    init(_ job: ConfigCursor) throws {
        report = try QuantizeReport(job.required("report"))
        if let chosen = try job.optional("strategy") {
            for (key, option) in try chosen.entries() { strategy[key] = try WidthOption(option) }
        }
        let name = try job.required("progress")
        progress =
            switch try name.string() {
            case "sensitivity": .sensitivity
            case "measure_quant": .measure(try job.required("layer").int())
            case "quant": .layer(try job.required("layer").int())
            case "compile": .compile
            case "finished": .finished
            case let other: throw name.error(.badValue, "unknown progress \(other)")
            }
    }

    /// The note's keys.
    var node: ConfigObject {
        var job = ConfigObject()
        switch progress {
        case .sensitivity: job["progress"] = "sensitivity"
        case .measure(let layer):
            job["progress"] = "measure_quant"
            job["layer"] = ConfigNode(layer)
        case .layer(let layer):
            job["progress"] = "quant"
            job["layer"] = ConfigNode(layer)
        case .compile: job["progress"] = "compile"
        case .finished: job["progress"] = "finished"
        }
        if !strategy.isEmpty {
            var chosen = ConfigObject()
            for key in strategy.keys.sorted() { chosen[key] = strategy[key]?.node }
            job["strategy"] = ConfigNode(.object(chosen))
        }
        job["report"] = report.node
        return job
    }
}

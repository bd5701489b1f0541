// SPDX-License-Identifier: Apache-2.0
// The work folder of a quantization: what a killed run needs to go on.
import EftConfig
import EftFormats
import EftTensor

/// The state of a quantization on the disk.
///
/// | file | content |
/// |---|---|
/// | `job_new.json` | options, fingerprint, progress and the report so far |
/// | `hidden_states-<layer>.safetensors` | inputs of that layer on all calibration rows, f32 |
/// | `out_tensor/<module>.safetensors` | the finished linear layers |
struct WorkFolder {
    /// How far a job is.
    enum Progress: Sendable, Hashable {
        /// Layers before this one are quantized; with the number of layers, all are, and the head is next.
        case layer(Int)
        /// All linear layers are there.
        case compile
        /// The output was written.
        case finished
    }

    static let jobName = "job_new.json"
    private static let tensorName = "hidden_states"

    let path: String

    /// The folder of finished linear layers.
    var outTensors: String { FileSystem.join(path, "out_tensor") }
    private var jobPath: String { FileSystem.join(path, WorkFolder.jobName) }

    private func statesName(_ layer: Int) -> String { "\(WorkFolder.tensorName)-\(layer)" }

    // MARK: Job

    /// The progress and report of an earlier run of the same job; nil when there was none.
    /// - Throws: `ConversionError` (`usage`) when the folder belongs to another job.
    func resume(fingerprint: String) throws -> (Progress, QuantizeReport)? {
        guard FileSystem.exists(jobPath) else { return nil }
        let job: ConfigCursor
        do {
            job = ConfigCursor(
                try JSONParser.parse(try FileSystem.read(jobPath), file: jobPath), file: jobPath)
            guard try job.string("fingerprint", default: "") == fingerprint else {
                throw ConversionError(
                    .usage,
                    "another job was begun here (other model, calibration or options); give another "
                        + "folder with -o, or -nr to start anew",
                    path: path)
            }
            let report = try QuantizeReport(job.required("report"))
            switch try job.required("progress").string() {
            case "finished": return (.finished, report)
            case "compile": return (.compile, report)
            default: return (.layer(try job.required("layer").int()), report)
            }
        } catch let error as ConfigError {
            throw ConversionError(
                .damaged, "the job is damaged (\(error)); start anew with -nr", path: path)
        }
    }

    /// Notes how far the job is.
    func save(
        _ progress: Progress, _ report: QuantizeReport, _ settings: ConfigObject
    ) throws {
        var job = settings
        switch progress {
        case .layer(let layer):
            job["progress"] = ConfigNode(.string("quant"))
            job["layer"] = ConfigNode(.integer(layer))
        case .compile: job["progress"] = ConfigNode(.string("compile"))
        case .finished: job["progress"] = ConfigNode(.string("finished"))
        }
        job["report"] = report.node
        try AtomicFile.write(
            jobPath, JSONText.string(ConfigNode(.object(job)), indent: 4) + "\n")
    }

    /// Removes what an earlier job left.
    func clear() throws {
        guard FileSystem.isFolder(path) else { return }
        try FileSystem.remove(jobPath)
        try removeStates(except: nil)
        guard FileSystem.isFolder(outTensors) else { return }
        for name in try FileSystem.list(outTensors)
        where name.hasSuffix(".safetensors") || name.hasSuffix(".partial") {
            try FileSystem.remove(FileSystem.join(outTensors, name))
        }
    }

    // MARK: Hidden states

    /// Writes the inputs of a layer.
    func saveStates(_ states: Matrix, layer: Int) throws {
        let name = WorkFolder.tensorName
        let info = try TensorInfo(
            name: name, dtype: .f32, shape: Shape(states.rows, states.columns))
        let writer = try SafetensorsWriter(
            folder: path, baseName: statesName(layer), tensors: [info], maxShardBytes: .max)
        try writer.write(
            name, UnsafeRawBufferPointer(start: states.pointer, count: states.count * 4))
        try writer.finish()
    }

    /// Reads the inputs of a layer.
    /// - Throws: `FormatError`, `ConversionError` (`damaged`).
    func loadStates(into states: Matrix, layer: Int) throws {
        let file = try SafetensorsFile(
            path: FileSystem.join(path, statesName(layer) + ".safetensors"))
        let info = try file.tensor(WorkFolder.tensorName)
        guard info.dtype == .f32, info.shape.dims == [states.rows, states.columns] else {
            throw ConversionError(
                .damaged, "the saved states have another shape; start anew with -nr",
                path: file.path)
        }
        try file.read(
            info.name,
            into: UnsafeMutableRawBufferPointer(start: states.pointer, count: states.count * 4))
    }

    /// Removes saved states but those of one layer.
    func removeStates(except layer: Int?) throws {
        let kept = layer.map { statesName($0) + ".safetensors" }
        for name in try FileSystem.list(path)
        where name.hasPrefix(WorkFolder.tensorName + "-") && name != kept {
            try FileSystem.remove(FileSystem.join(path, name))
        }
    }
}

/// A digest of what a job depends on (FNV-1a, 64 bits).
struct Fingerprint {
    private var state: UInt64 = 0xCBF2_9CE4_8422_2325

    /// Adds bytes.
    mutating func add(_ bytes: some Sequence<UInt8>) {
        for byte in bytes { state = (state ^ UInt64(byte)) &* 0x0000_0100_0000_01B3 }
    }

    /// Adds a text, told apart from what follows.
    mutating func add(_ text: String) {
        add(text.utf8)
        add([0])
    }

    /// The digest in hexadecimal.
    var text: String {
        let digits = String(state, radix: 16)
        return String(repeating: "0", count: 16 - digits.count) + digits
    }
}

// SPDX-License-Identifier: Apache-2.0
// A 16-bit base in NF4, made once for QLoRA and used from there by train and run.
import EftCommandLine
import EftConfig
import EftConversion
import EftFormats
import EftModels
import EftPlanning
import EftTensor

/// The NF4 form of a base in the cache folder: a model folder as bitsandbytes writes it.
///
/// Quantizing while loading gives the same numbers, but reads four times as many bytes each time.
struct PreparedBase {
    /// From how many bytes of weights on a base is prepared without being asked for.
    static let leastBytes = 1 << 30

    /// The 16-bit model.
    let source: ModelFolder
    /// Where the NF4 form is, or will be.
    let path: String
    /// What the source was when the NF4 form was made.
    private let state: String

    private static let stateName = "eft-source.json"

    static let option = OptionSpecification(
        "--prepare-base", kind: .value("WHEN"),
        help:
            "write a 16-bit base that is trained in 4 bits once in NF4 to the cache folder, and use that: always, "
            + "never, or auto for bases over 1 GiB",
        defaultText: "auto", choices: ["auto", "always", "never"])

    /// Names the place of a base's NF4 form; nil for a model that is quantized already.
    /// - Throws: errors of reading tables, and `ModelError` when there is no place for caches.
    init?(_ source: ModelFolder, caches: String?) throws {
        guard let checkpoint = source.checkpoint, try source.isDense() else { return nil }
        self.source = source
        let folder = FileSystem.absolute(source.path)
        var files = ConfigObject()
        for file in checkpoint.files.sorted() {
            files[FileSystem.name(of: file)] = [
                "bytes": ConfigNode(FileSystem.byteCount(file) ?? -1),
                "modified": ConfigNode(FileSystem.modified(file) ?? -1),
            ]
        }
        let node: ConfigNode = ["source": ConfigNode(folder), "files": ConfigNode(files)]
        state = JSONWriter.text(node, layout: .indented(1)) + "\n"
        path = FileSystem.join(
            try caches ?? CacheFolder.standard(),
            "\(FileSystem.name(of: folder))-nf4-\(XXH64.hex(folder))")
    }

    /// Bytes of the 16-bit weights.
    private var sourceBytes: Int {
        (source.checkpoint?.files ?? []).reduce(0) { $0 + (FileSystem.byteCount($1) ?? 0) }
    }

    /// Whether the NF4 form is whole, and of the weights that the source has now.
    var isCurrent: Bool {
        let note = FileSystem.join(path, PreparedBase.stateName)
        return (try? FileSystem.read(note)) == Array(state.utf8)
    }

    /// Whether to make it, as `--prepare-base` says.
    func isWanted(_ arguments: ParsedArguments) -> Bool {
        switch arguments.string("prepare-base", default: "auto") {
        case "always": true
        case "never": false
        default: sourceBytes >= PreparedBase.leastBytes
        }
    }

    /// Makes the NF4 form, or what a run that was stopped has left of it.
    /// - Throws: `BudgetError` when a matrix does not fit, `FormatError` when the disk has too little room.
    func make(_ arguments: ParsedArguments, limit: Int) throws {
        // What is there may be of other weights, and must not be taken for these.
        try FileSystem.createFolder(path)
        try FileSystem.remove(FileSystem.join(path, PreparedBase.stateName))
        let backend = try CommonOptions.backend(arguments, limit: limit)
        let converter = try NF4Converter(source, output: path, backend: backend)
        let watch = try ConversionWatch(
            arguments,
            plan: StagePlan(
                name: "NF4 base", memory: NF4Converter.memory(source.description),
                disk: converter.byteCount), limit: limit, copying: source.path)
        _ = try watch.run("writing the base in NF4", resumes: "run it again to go on") {
            try converter.run($0)
        }
        try AtomicFile.write(FileSystem.join(path, PreparedBase.stateName), state)
    }
}

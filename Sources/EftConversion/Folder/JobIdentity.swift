// SPDX-License-Identifier: Apache-2.0
// What a conversion depends on: options and input files, as text that can be compared and shown.
import EftConfig
import EftFormats
import EftTensor

/// What decides every byte of a conversion's weights; two runs of the same identity may share finished files.
struct JobIdentity: Sendable {
    /// Names and values, in the order in which they are looked at for a difference.
    private var entries: [(name: String, value: String)] = []

    /// Begins with what every conversion depends on.
    init(
        _ operation: String, dtype: DType?, maxShardBytes: Int, instructionSet: InstructionSet
    ) {
        add("the layout of unfinished folders", "1")
        add("the operation", operation)
        add("the type of numbers", dtype?.rawValue ?? "as stored")
        add("the size of weight files", String(maxShardBytes))
        // Levels of kernels add products in different orders.
        add("the instruction set", "\(instructionSet)")
    }

    /// Adds an option.
    mutating func add(_ name: String, _ value: String) { entries.append((name, value)) }

    /// Adds size and time of the weights and settings in a folder, or of one weight file.
    /// - Throws: `FormatError` when the folder cannot be listed.
    mutating func add(input path: String, as role: String) throws(FormatError) {
        let isIndex = path.hasSuffix(".index.json")
        let folder = FileSystem.isFolder(path) ? path : FileSystem.folder(of: path)
        let names =
            FileSystem.isFolder(path) || isIndex
            ? try FileSystem.list(folder).filter(OutputFolder.isWeightsOrSettings)
            : [FileSystem.name(of: path)]
        for name in names {
            let file = FileSystem.join(folder, name)
            guard !FileSystem.isFolder(file), let status = FileSystem.status(file) else { continue }
            add(
                "\(name) of the \(role)",
                "\(status.byteCount) bytes of \(status.seconds) s \(status.nanoseconds) ns")
        }
    }

    /// The identity as an object of strings.
    var node: ConfigNode {
        var object = ConfigObject()
        for (name, value) in entries { object[name] = ConfigNode(value) }
        return ConfigNode(object)
    }

    /// What is not as in an earlier identity: the name of the first difference, or nil.
    func difference(from earlier: ConfigObject) -> String? {
        for (name, value) in entries where earlier[name] != ConfigNode(value) { return name }
        let own = Set(entries.map(\.name))
        return earlier.keys.first { !own.contains($0) }
    }
}

// SPDX-License-Identifier: Apache-2.0
// What a conversion depends on: the type of numbers, the kernels, and the input files.
import EftFormats
import EftTensor

extension JobIdentity {
    /// Begins with what every conversion depends on.
    init(
        _ operation: String, dtype: DType?, maxShardBytes: Int, instructionSet: InstructionSet
    ) {
        self.init(operation, maxShardBytes: maxShardBytes)
        add("the type of numbers", dtype?.rawValue ?? "as stored")
        // Levels of kernels add products in different orders.
        add("the instruction set", "\(instructionSet)")
    }

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
}

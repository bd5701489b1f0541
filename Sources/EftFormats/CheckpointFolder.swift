// SPDX-License-Identifier: Apache-2.0
// Finding the weight files of a model or adapter folder, and reading several as one.
import EftConfig
import EftGGUF

/// Opens checkpoints by path, whatever their format.
package enum CheckpointFolder {
    /// Which checkpoint of a folder is meant.
    package enum Kind: Sendable, Hashable {
        /// The model itself; an adapter only when there is nothing else.
        case model
        /// A PEFT adapter.
        case adapter
    }

    /// Opens a folder, a weight file, an index file or a GGUF file.
    ///
    /// In a folder it looks, in this order, for `model.safetensors`, its index, shards without an index,
    /// `output.safetensors` or its shards, any other safetensors files, `pytorch_model.bin`, its index, the only other `.bin`, `.pt` or `.pth` file of
    /// tensors, `adapter_model.safetensors`, `adapter_model.bin`, `adapter_model.pt`. In an EXL2 folder an index
    /// that names missing files is ignored: its makers copy the index of the unquantized model along.
    /// - Parameter headDim: numbers of a head of an adapter's base, which adapters in GGUF files do not say.
    /// - Throws: `FormatError`.
    package static func open(
        _ path: String, kind: Kind = .model, headDim: Int? = nil
    ) throws(FormatError) -> any CheckpointReader {
        if GGUFModel.isOne(path) { return try GGUFCheckpoint(path: path, headDim: headDim) }
        guard FileSystem.isFolder(path) else { return try openFile(path) }
        if kind == .model, let reader = try openModel(path) {
            guard let quantization = try quantization(path) else { return reader }
            return quantization.method == .fp8
                ? try FP8Checkpoint(reader, quantization)
                : QuantizedCheckpoint(reader, quantization)
        }
        for name in ["adapter_model.safetensors", "adapter_model.bin", "adapter_model.pt"] {
            let file = FileSystem.join(path, name)
            if FileSystem.exists(file) { return try openFile(file) }
        }
        throw FormatError(
            .missing,
            kind == .model
                ? "no weights here: expected model.safetensors, an index with shards, or pytorch_model.bin"
                : "no adapter here: expected adapter_model.safetensors or adapter_model.bin",
            path: path)
    }

    /// What the folder says about its weights.
    private static func quantization(_ folder: String) throws(FormatError) -> StoredQuantization? {
        do throws(ConfigError) {
            return try StoredQuantization(folder: folder)
        } catch {
            throw FormatError(.unsupported, error.message, path: error.file ?? folder)
        }
    }

    private static func openModel(_ folder: String) throws(FormatError) -> (any CheckpointReader)? {
        let single = FileSystem.join(folder, "model.safetensors")
        if FileSystem.exists(single) { return try SafetensorsFile(path: single) }
        let others = try FileSystem.list(folder).filter {
            $0.hasSuffix(".safetensors") && !$0.hasPrefix("adapter_model")
        }
        let indexPath = FileSystem.join(folder, "model.safetensors.index.json")
        if FileSystem.exists(indexPath) {
            let index = try ShardIndex(path: indexPath)
            let missing = index.files.contains { !FileSystem.exists(FileSystem.join(folder, $0)) }
            if !(missing && !others.isEmpty && isEXL2(folder)) {
                return try ShardedCheckpoint(folder: folder, index: index)
            }
        }
        if !others.isEmpty {
            let files = withoutIndex(others)
            try requireAllShards(files, folder: folder)
            return try ShardedCheckpoint(folder: folder, files: files)
        }
        let pickle = FileSystem.join(folder, "pytorch_model.bin")
        if FileSystem.exists(pickle) { return try TorchPickle(path: pickle) }
        let pickleIndex = FileSystem.join(folder, "pytorch_model.bin.index.json")
        if FileSystem.exists(pickleIndex) {
            return try ShardedCheckpoint(folder: folder, index: ShardIndex(path: pickleIndex))
        }
        return try openPickle(folder)
    }

    /// Files that trainers leave beside a model.
    private static let trainerFiles = [
        "training_args", "optimizer", "scheduler", "scaler", "rng_state", "adapter_model",
        "consolidated",
    ]

    /// The only file of tensors that torch wrote under a name of its own; nil where there is none, or more than one.
    private static func openPickle(_ folder: String) throws(FormatError) -> (any CheckpointReader)?
    {
        var found: [String] = []
        for name in try FileSystem.list(folder)
        where [".bin", ".pt", ".pth"].contains(where: name.hasSuffix)
            && !trainerFiles.contains(where: name.hasPrefix)
        {
            let path = FileSystem.join(folder, name)
            guard !FileSystem.isFolder(path), (try? TorchPickle.isOne(path)) ?? false else {
                continue
            }
            found.append(path)
        }
        guard let path = found.first, found.count == 1 else { return nil }
        return try TorchPickle(path: path)
    }

    /// The weight files among all safetensors files: the shards of a model, else EXL2's output, else all.
    private static func withoutIndex(_ names: [String]) -> [String] {
        for stem in ["model", "output"] {
            let group = names.filter { name in
                let base = String(name.dropLast(".safetensors".count))
                return base == stem || ShardName(base)?.stem == stem
            }
            if !group.isEmpty { return group }
        }
        return names
    }

    /// Opens one weight file, told apart by its first bytes, or an index file.
    static func openFile(_ path: String) throws(FormatError) -> any CheckpointReader {
        if path.hasSuffix(".index.json") {
            return try ShardedCheckpoint(
                folder: FileSystem.folder(of: path), index: ShardIndex(path: path))
        }
        return try TorchPickle.isOne(path) ? TorchPickle(path: path) : SafetensorsFile(path: path)
    }

    private static func isEXL2(_ folder: String) -> Bool {
        guard let bytes = try? FileSystem.read(FileSystem.join(folder, "config.json")),
            let config = try? ConfigCursor(JSONParser.parse(bytes)),
            let method = try? config.optional("quantization_config")?
                .string("quant_method", default: "")
        else { return false }
        return method == "exl2"
    }

    /// Without an index only the numbers in the names tell that a shard is missing.
    private static func requireAllShards(
        _ files: [String], folder: String
    ) throws(FormatError) {
        let present = Set(files)
        for file in files {
            guard let name = ShardName(String(file.dropLast(".safetensors".count))) else {
                continue
            }
            // A missing shard is found before the loop has passed the number of files.
            for index in 1...max(1, min(name.count, files.count + 1)) {
                let sibling = ShardName(stem: name.stem, index: index, count: name.count).text
                guard present.contains(sibling + ".safetensors") else {
                    throw FormatError(
                        .missing, "the shard \(sibling).safetensors is missing", path: folder)
                }
            }
        }
    }
}

/// Several files read as one checkpoint.
package final class ShardedCheckpoint: CheckpointReader {
    package let path: String
    package var files: [String] { shards.flatMap(\.files) }
    package let tensors: [TensorInfo]
    package let opaqueTensors: [OpaqueTensor]
    package let metadata: [String: String]
    private let shards: [any CheckpointReader]
    private let homes: [String: Int]

    /// Opens the files that an index names.
    /// - Throws: `FormatError`; `missing` for an absent file, `damaged` where index and shards disagree.
    convenience init(folder: String, index: ShardIndex) throws(FormatError) {
        for file in index.files where !FileSystem.exists(FileSystem.join(folder, file)) {
            throw FormatError(
                .missing, "the index names \(file), which is missing", path: index.path)
        }
        try self.init(folder: folder, files: index.files)
        let names = index.files.enumerated().map { ($1, $0) }
        let positions = Dictionary(names) { first, _ in first }
        for (tensor, file) in index.entries {
            guard let home = homes[tensor], home == positions[file] else {
                throw FormatError(
                    .damaged, "the index says that \(file) holds it, and it does not",
                    path: index.path, tensor: tensor)
            }
        }
    }

    /// Opens files of one folder.
    /// - Throws: `FormatError`; `damaged` when two files hold tensors of the same name.
    init(folder: String, files: [String]) throws(FormatError) {
        var shards: [any CheckpointReader] = []
        var homes: [String: Int] = [:]
        var metadata: [String: String] = [:]
        for (position, file) in files.enumerated() {
            let shard = try CheckpointFolder.openFile(FileSystem.join(folder, file))
            let names = shard.tensors.map(\.name) + shard.opaqueTensors.map(\.name)
            for name in names {
                if let other = homes.updateValue(position, forKey: name) {
                    throw FormatError(
                        .damaged, "both \(files[other]) and \(file) hold it", path: folder,
                        tensor: name)
                }
            }
            metadata.merge(shard.metadata) { first, _ in first }
            shards.append(shard)
        }
        path = folder
        self.shards = shards
        self.homes = homes
        self.metadata = metadata
        tensors = shards.flatMap(\.tensors)
        opaqueTensors = shards.flatMap(\.opaqueTensors)
    }

    private func shard(of name: String) throws(FormatError) -> any CheckpointReader {
        guard let home = homes[name] else {
            throw FormatError(
                .missing, "the checkpoint has no such tensor", path: path, tensor: name)
        }
        return shards[home]
    }

    package func find(_ name: String) -> TensorInfo? {
        homes[name].flatMap { shards[$0].find(name) }
    }

    package func read(
        _ name: String, bytes range: Range<Int>, into target: UnsafeMutableRawBufferPointer
    ) throws(FormatError) {
        try shard(of: name).read(name, bytes: range, into: target)
    }

    package func withBytes<R>(
        of name: String, _ body: (UnsafeRawBufferPointer) throws -> R
    ) throws -> R {
        try shard(of: name).withBytes(of: name, body)
    }

    package func place(of name: String) -> (path: String, bytes: Range<Int>)? {
        homes[name].flatMap { shards[$0].place(of: name) }
    }

    package func releasePages(of name: String) {
        if let home = homes[name] { shards[home].releasePages(of: name) }
    }
}

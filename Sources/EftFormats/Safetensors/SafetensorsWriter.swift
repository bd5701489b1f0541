// SPDX-License-Identifier: Apache-2.0
// Writing a safetensors checkpoint as a stream, in shards, so that no crash leaves half of it looking whole.
//
// Shards are written as `<name>.partial`. When all are on the disk, an older checkpoint of the same base name is taken
// away (its index first), the shards get their names, and the index comes last. Whenever this stops, the folder holds
// either a whole checkpoint or one that a reader refuses because shards are missing.
import EftTensor

/// A writer of `model.safetensors`, or of `model-00001-of-0000N.safetensors` with an index.
///
/// All tensors are declared first; then their bytes are written in pieces, in the declared order; then `finish()`.
/// A writer that is dropped before that removes what it wrote.
package final class SafetensorsWriter {
    /// Shard size of the field's tools, in bytes.
    package static let defaultShardBytes = 5_000_000_000

    /// The folder that is written into.
    package let folder: String
    private let baseName: String
    private let shards: [[TensorInfo]]
    private let metadata: [String: String]
    private var files: [OutputFile] = []
    private var next = (shard: 0, tensor: 0, byte: 0)

    /// Plans the shards and begins the first one; makes the folder.
    ///
    /// A shard holds as many tensors as fit in `maxShardBytes`, but at least one.
    /// - Throws: `FormatError` (`io` when the disk has too little room, `unsupported` for a name that cannot be).
    package init(
        folder: String, baseName: String = "model", tensors: [TensorInfo],
        maxShardBytes: Int = SafetensorsWriter.defaultShardBytes,
        metadata: [String: String] = ["format": "pt"]
    ) throws(FormatError) {
        var names: Set<String> = []
        for tensor in tensors {
            guard tensor.name != SafetensorsHeader.metadataKey,
                names.insert(tensor.name).inserted
            else {
                throw FormatError(
                    .unsupported, "a safetensors file cannot hold this name, or not twice",
                    path: folder, tensor: tensor.name)
            }
        }
        self.folder = folder
        self.baseName = baseName
        self.metadata = metadata
        shards = SafetensorsWriter.split(tensors, maxShardBytes: maxShardBytes)
        try FileSystem.createFolder(folder)
        let needed = tensors.reduce(1 << 16) { $0 &+ $1.byteCount &+ 256 }
        if let free = FileSystem.freeBytes(folder), free < needed {
            throw FormatError(
                .io,
                "writing takes \(formatBytes(needed)) and the disk has \(formatBytes(free)) left",
                path: folder)
        }
        try beginShard()
    }

    /// The names of the files that `finish()` leaves, index not among them.
    package var fileNames: [String] {
        if shards.count == 1 { return [baseName + ".safetensors"] }
        return shards.indices.map {
            ShardName(stem: baseName, index: $0 + 1, count: shards.count).text + ".safetensors"
        }
    }

    private static func split(_ tensors: [TensorInfo], maxShardBytes: Int) -> [[TensorInfo]] {
        var shards: [[TensorInfo]] = [[]]
        var size = 0
        for tensor in tensors {
            let last = shards.count - 1
            if !shards[last].isEmpty, size > maxShardBytes - tensor.byteCount {
                shards.append([tensor])
                size = tensor.byteCount
            } else {
                shards[last].append(tensor)
                size += tensor.byteCount
            }
        }
        return shards
    }

    private func beginShard() throws(FormatError) {
        let shard = shards[next.shard]
        let header = SafetensorsHeader.encode(shard, metadata: metadata)
        let path = FileSystem.join(folder, fileNames[next.shard])
        guard header.count - 8 <= SafetensorsHeader.maximumByteCount else {
            throw FormatError(
                .unsupported, "\(shard.count) tensors need too large a header; use smaller shards",
                path: path)
        }
        let file = try OutputFile(path: path)
        files.append(file)
        try file.write(header)
    }

    /// Steps over finished tensors; seals a finished shard and begins the next.
    private func advance() throws(FormatError) {
        while next.shard < shards.count {
            let shard = shards[next.shard]
            if next.tensor < shard.count {
                if next.byte < shard[next.tensor].byteCount { return }
                next = (next.shard, next.tensor + 1, 0)
            } else {
                try files[next.shard].seal()
                next = (next.shard + 1, 0, 0)
                if next.shard < shards.count { try beginShard() }
            }
        }
    }

    /// Appends bytes to a tensor; tensors come in the declared order, each until it is full.
    /// - Throws: `FormatError` (`io`).
    package func write(_ name: String, _ bytes: UnsafeRawBufferPointer) throws(FormatError) {
        if bytes.isEmpty { return }
        try advance()
        precondition(next.shard < shards.count, "'\(name)' comes after the last declared tensor")
        let tensor = shards[next.shard][next.tensor]
        precondition(tensor.name == name, "'\(name)' comes where '\(tensor.name)' was declared")
        precondition(
            bytes.count <= tensor.byteCount - next.byte, "'\(name)' gets more bytes than declared")
        try files[next.shard].write(bytes)
        next.byte += bytes.count
    }

    /// Appends bytes to a tensor.
    package func write(_ name: String, _ bytes: [UInt8]) throws(FormatError) {
        try bytes.withRawBytes { (buffer) throws(FormatError) in try write(name, buffer) }
    }

    /// Gives the files their names and writes the index; every declared tensor must be full.
    /// - Returns: the paths of all files, the index last if there is one.
    /// - Throws: `FormatError` (`io`).
    @discardableResult
    package func finish() throws(FormatError) -> [String] {
        try advance()
        precondition(next.shard == shards.count, "finished before all tensors were written")
        try removeOlder()
        for file in files { try file.publish() }
        var paths = files.map(\.path)
        if shards.count > 1 {
            var map: [String: String] = [:]
            for (shard, name) in zip(shards, fileNames) {
                for tensor in shard { map[tensor.name] = name }
            }
            let total = shards.joined().reduce(0) { $0 + $1.byteCount }
            try AtomicFile.write(
                indexPath, SafetensorsHeader.encodeIndex(totalSize: total, weightMap: map))
            paths.append(indexPath)
        }
        return paths
    }

    private var indexPath: String {
        FileSystem.join(folder, baseName + ".safetensors.index.json")
    }

    /// Removes files of an older checkpoint that would be mixed up with the new one.
    private func removeOlder() throws(FormatError) {
        try FileSystem.remove(indexPath)
        let ours = Set(fileNames.map { $0 + OutputFile.partialSuffix })
        for name in try FileSystem.list(folder) where !ours.contains(name) {
            var stem = Substring(name)
            if stem.hasSuffix(OutputFile.partialSuffix) {
                stem = stem.dropLast(OutputFile.partialSuffix.count)
            }
            guard stem.hasSuffix(".safetensors") else { continue }
            stem = stem.dropLast(".safetensors".count)
            // The one-file checkpoint is replaced by a rename when the new one is a single file too.
            let isSingle = stem == baseName && shards.count > 1
            let isShard = ShardName(String(stem))?.stem == baseName
            if isSingle || isShard { try FileSystem.remove(FileSystem.join(folder, name)) }
        }
        try FileSystem.syncFolder(folder)
    }
}

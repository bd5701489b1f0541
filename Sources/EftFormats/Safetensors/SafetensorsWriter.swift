// SPDX-License-Identifier: Apache-2.0
// Writing a safetensors checkpoint as a stream, in shards, so that no crash leaves half of it looking whole.
//
// Shards are written as `<name>.partial`. When all are on the disk, an older checkpoint of the same base name is taken
// away (its index first), the shards get their names, and the index comes last. Whenever this stops, the folder holds
// either a whole checkpoint or one that a reader refuses because shards are missing.
//
// A writer that resumes gives each shard its name as soon as it is on the disk, in a folder where nobody reads yet; the
// next writer of the same tensors keeps the shards that are whole.
import EftTensor

/// A writer of `model.safetensors`, or of `model-00001-of-0000N.safetensors` with an index.
///
/// All tensors are declared first; then their bytes are written in pieces, in the declared order; then `finish()`.
/// A writer that is dropped before that removes what it wrote, but for the finished shards when it resumes.
package final class SafetensorsWriter {
    /// Shard size of the field's tools, in bytes.
    package static let defaultShardBytes = 5_000_000_000

    /// The folder that is written into.
    package let folder: String
    private let baseName: String
    private let shards: [[TensorInfo]]
    private let metadata: [String: String]
    private let resumes: Bool
    /// Shards that an earlier writer finished.
    private let kept: Set<Int>
    private let keptNames: Set<String>
    /// Bytes of tensors that an earlier writer finished.
    package let keptBytes: Int
    /// The shards of this writer that have no name yet.
    private var files: [OutputFile] = []
    private var next = (shard: 0, tensor: 0, byte: 0)

    /// Plans the shards and begins the first one; makes the folder.
    ///
    /// A shard holds as many tensors as fit in `maxShardBytes`, but at least one.
    /// - Parameter resumes: whether to keep whole shards of the same tensors in the folder. Only their headers and sizes
    ///   are compared: that they come from the same sources is the caller's to know.
    /// - Throws: `FormatError` (`io` when the disk has too little room, `unsupported` for a name that cannot be).
    package init(
        folder: String, baseName: String = "model", tensors: [TensorInfo],
        maxShardBytes: Int = SafetensorsWriter.defaultShardBytes,
        metadata: [String: String] = ["format": "pt"], resumes: Bool = false
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
        let total = try tensors.totalByteCount()
        self.folder = folder
        self.baseName = baseName
        self.metadata = metadata
        self.resumes = resumes
        let shards = SafetensorsWriter.split(tensors, maxShardBytes: maxShardBytes)
        self.shards = shards
        let paths = SafetensorsWriter.fileNames(baseName, count: shards.count)
            .map { FileSystem.join(folder, $0) }
        let kept =
            !resumes
            ? []
            : Set(
                shards.indices.filter {
                    SafetensorsWriter.isWhole(paths[$0], shards[$0], metadata: metadata)
                })
        self.kept = kept
        keptNames = Set(kept.flatMap { shards[$0].map(\.name) })
        keptBytes = kept.reduce(0) { $0 + shards[$1].reduce(0) { $0 + $1.byteCount } }
        try FileSystem.createFolder(folder)
        try SafetensorsWriter.requireRoom(
            for: total - keptBytes, margin: 256 * tensors.count + 1 << 16, paths: paths,
            in: folder)
        if !kept.contains(0) { try beginShard() }
    }

    /// Refuses a disk with too little room; what a killed writer left half-written will be written over.
    private static func requireRoom(
        for needed: Int, margin: Int, paths: [String], in folder: String
    ) throws(FormatError) {
        guard var free = FileSystem.freeBytes(folder) else { return }
        for path in paths { free += FileSystem.byteCount(path + OutputFile.partialSuffix) ?? 0 }
        guard free >= margin, free - margin >= needed else {
            throw FormatError(
                .io,
                "writing takes \(formatBytes(needed)) and the disk has \(formatBytes(free)) left",
                path: folder)
        }
    }

    /// The names of the files that `finish()` leaves, index not among them.
    package var fileNames: [String] {
        SafetensorsWriter.fileNames(baseName, count: shards.count)
    }

    private static func fileNames(_ baseName: String, count: Int) -> [String] {
        if count == 1 { return [baseName + ".safetensors"] }
        return (1...count).map {
            ShardName(stem: baseName, index: $0, count: count).text + ".safetensors"
        }
    }

    /// Whether an earlier writer finished this tensor, so that it must not be written again.
    package func isKept(_ name: String) -> Bool { keptNames.contains(name) }

    /// Whether a file has the header and the size of a shard. It got its name after it was synced, so it is whole.
    private static func isWhole(
        _ path: String, _ shard: [TensorInfo], metadata: [String: String]
    ) -> Bool {
        let header = SafetensorsHeader.encode(shard, metadata: metadata)
        guard let file = try? MappedFile(path: path),
            file.byteCount == shard.reduce(header.count, { $0 + $1.byteCount })
        else { return false }
        return file.withBytes(0..<header.count) { $0.elementsEqual(header) }
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
            if kept.contains(next.shard) {
                try beginNext()
            } else if next.tensor < shard.count {
                if next.byte < shard[next.tensor].byteCount { return }
                next = (next.shard, next.tensor + 1, 0)
            } else {
                if resumes {
                    try files.popLast()?.publish()
                } else {
                    try files.last?.seal()
                }
                try beginNext()
            }
        }
    }

    private func beginNext() throws(FormatError) {
        next = (next.shard + 1, 0, 0)
        if next.shard < shards.count, !kept.contains(next.shard) { try beginShard() }
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
        try files.last?.write(bytes)
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
        if !resumes {
            // The one-file checkpoint is replaced by a rename when the new one is a single file too.
            let own = Set(fileNames.map { $0 + OutputFile.partialSuffix })
            try SafetensorsWriter.removeCheckpoint(
                folder, baseName: baseName,
                except: shards.count == 1 ? own.union(fileNames) : own)
        }
        for file in files { try file.publish() }
        var paths = fileNames.map { FileSystem.join(folder, $0) }
        if shards.count > 1 {
            var map: [String: String] = [:]
            for (shard, name) in zip(shards, fileNames) {
                for tensor in shard { map[tensor.name] = name }
            }
            let total = shards.joined().reduce(0) { $0 + $1.byteCount }
            let indexPath = FileSystem.join(folder, SafetensorsWriter.indexName(baseName))
            try AtomicFile.write(
                indexPath, SafetensorsHeader.encodeIndex(totalSize: total, weightMap: map))
            paths.append(indexPath)
        }
        return paths
    }

    /// The name of the index of a checkpoint in several files.
    package static func indexName(_ baseName: String) -> String {
        baseName + ".safetensors.index.json"
    }

    /// Removes the files of a checkpoint, whole or not, in one file or several; the index first.
    /// - Parameter names: files that stay.
    /// - Throws: `FormatError` (`io`).
    package static func removeCheckpoint(
        _ folder: String, baseName: String, except names: Set<String>
    ) throws(FormatError) {
        let index = indexName(baseName)
        for name in [index, index + OutputFile.partialSuffix] where !names.contains(name) {
            try FileSystem.remove(FileSystem.join(folder, name))
        }
        for name in try FileSystem.list(folder) where !names.contains(name) {
            var stem = Substring(name)
            if stem.hasSuffix(OutputFile.partialSuffix) {
                stem = stem.dropLast(OutputFile.partialSuffix.count)
            }
            guard stem.hasSuffix(".safetensors") else { continue }
            stem = stem.dropLast(".safetensors".count)
            if stem == baseName || ShardName(String(stem))?.stem == baseName {
                try FileSystem.remove(FileSystem.join(folder, name))
            }
        }
        try FileSystem.syncFolder(folder)
    }
}

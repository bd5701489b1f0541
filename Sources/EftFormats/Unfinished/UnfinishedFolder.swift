// SPDX-License-Identifier: Apache-2.0
// Where a checkpoint folder is built, so that a run that was killed can go on.
//
// Everything is made in `<output>/eft-unfinished`. A weight file gets its name there once it is on the disk. When all
// files are whole, that is noted, the older weights of the output go away, and the new files are moved up, the index of
// the weights last. Killed at any moment, the output holds the older checkpoint, or one that a reader refuses, or the
// new one; and the next run of the same identity does what is left to do.
import EftConfig
import EftTensor

/// The unfinished files of a checkpoint folder, with a note of what they are made from.
package final class UnfinishedFolder {
    /// Its name in the output folder.
    private static let name = "eft-unfinished"
    /// Begins with a point, as no file that is copied does.
    private static let jobName = ".job.json"

    /// A finished file and its size in bytes.
    private struct File {
        let name: String
        let byteCount: Int
    }

    /// The folder.
    private let path: String
    /// What to tell the user about an earlier run; nil when there was none.
    package private(set) var notice: String?
    private let output: String
    private let stem: String
    private let identity: JobIdentity
    private let lock: FolderLock
    /// All files, once they are whole.
    private var files: [File]?
    private var isMoved = false

    /// Goes on where an earlier run of the same identity stopped, or begins anew.
    /// - Parameter stem: the base name of the weight files.
    /// - Throws: `FormatError` (`io`), also when another process is writing the same folder.
    package init(output: String, stem: String, identity: JobIdentity) throws {
        self.output = output
        self.stem = stem
        self.identity = identity
        path = FileSystem.join(output, UnfinishedFolder.name)
        try FileSystem.createFolder(path)
        lock = try FolderLock(path)
        if FileSystem.exists(jobPath) {
            do {
                files = try readJob()
                if isWhole { notice = "going on: all files are written already" }
                return
            } catch {
                notice = "starting anew: \(error.description)"
            }
        }
        // The old files must be gone before the folder says that its files are of this identity.
        for name in try FileSystem.list(path) {
            try FileSystem.remove(FileSystem.join(path, name))
        }
        try FileSystem.syncFolder(path)
        try writeJob(files: nil)
    }

    deinit {
        // Without a finished file there is nothing to go on with.
        let names = (try? FileSystem.list(path)) ?? []
        let isOfUse = files != nil || names.contains { $0.hasSuffix(".safetensors") }
        if !isMoved && !isOfUse { try? FileSystem.removeFolder(path) }
    }

    /// Whether an earlier run left files in an output folder that wait to be finished or moved up.
    package static func exists(in output: String) -> Bool {
        FileSystem.exists(FileSystem.join(FileSystem.join(output, name), jobName))
    }

    /// Whether all files are whole, and only `publish` is left to do.
    package var isWhole: Bool { files != nil }

    // MARK: Job

    private var jobPath: String { FileSystem.join(path, UnfinishedFolder.jobName) }

    /// Why an earlier run's files are of no use.
    private struct Restart: Error, CustomStringConvertible {
        let description: String
    }

    /// The finished files that an earlier run noted; nil when it did not come that far.
    /// - Throws: `Restart`.
    private func readJob() throws(Restart) -> [File]? {
        let job: ConfigCursor
        let earlier: ConfigObject
        var files: [File]?
        do {
            job = ConfigCursor(try JSONParser.parse(FileSystem.read(jobPath)))
            earlier = try job.required("job").object()
            if let list = try job.optional("files") {
                files = try list.entries().map {
                    File(name: $0.key, byteCount: try $0.cursor.int(in: 0...Int.max))
                }
            }
        } catch {
            throw Restart(description: "the note of the run that was stopped cannot be read")
        }
        if let difference = identity.difference(from: earlier) {
            throw Restart(description: "\(difference) is not as in the run that was stopped")
        }
        for file in files ?? [] {
            let size = FileSystem.byteCount(place(of: file.name))
            guard isPlain(file.name), size == file.byteCount else {
                throw Restart(description: "\(file.name) of the run that was stopped is missing")
            }
        }
        return files
    }

    private func isPlain(_ name: String) -> Bool {
        !name.isEmpty && !name.contains("/") && name != ".." && name != "."
    }

    /// Where a finished file is: here, or moved up already.
    private func place(of name: String) -> String {
        let here = FileSystem.join(path, name)
        return FileSystem.exists(here) ? here : FileSystem.join(output, name)
    }

    private func writeJob(files: [File]?) throws {
        var job: ConfigObject = ["job": identity.node]
        if let files {
            var sizes = ConfigObject()
            for file in files { sizes[file.name] = ConfigNode(file.byteCount) }
            job["files"] = ConfigNode(sizes)
        }
        try AtomicFile.write(jobPath, JSONWriter.text(ConfigNode(job), layout: .indented(2)) + "\n")
    }

    // MARK: Writing

    /// A writer that keeps the weight files that are whole.
    /// - Throws: `FormatError`, also when the disk has too little room for the others.
    package func writer(_ tensors: [TensorInfo], maxShardBytes: Int) throws -> SafetensorsWriter {
        let writer = try SafetensorsWriter(
            folder: path, baseName: stem, tensors: tensors, maxShardBytes: maxShardBytes,
            resumes: true)
        if writer.keptBytes > 0 {
            notice =
                "going on: \(formatBytes(writer.keptBytes)) of weights are written already"
        }
        return writer
    }

    /// Finishes the weights, and notes that everything is whole.
    /// - Parameter others: writes all other files into the folder that it is given.
    /// - Throws: `FormatError`, and what `others` throws.
    package func finish(_ writer: SafetensorsWriter, others: (String) throws -> Void) throws {
        let weights = try writer.finish().map { FileSystem.name(of: $0) }
        // Files that an earlier run copied may be gone from the source.
        let own = Set(weights + [UnfinishedFolder.jobName])
        for name in try FileSystem.list(path) where !own.contains(name) {
            try FileSystem.remove(FileSystem.join(path, name))
        }
        try others(path)
        let names = try FileSystem.list(path).filter { !own.contains($0) } + weights
        let files = try names.map { name in
            guard let size = FileSystem.byteCount(FileSystem.join(path, name)) else {
                throw FormatError(
                    .io, "the file was removed while the folder was written; run it again",
                    path: FileSystem.join(path, name))
            }
            return File(name: name, byteCount: size)
        }
        try writeJob(files: files)
        self.files = files
    }

    /// Moves all files to the output folder, in place of older weights, and removes this folder.
    /// - Returns: the paths of the weight files, the index last if there is one.
    /// - Throws: `FormatError` (`io`); the next run goes on with it.
    package func publish() throws -> [String] {
        let names = (files ?? []).map(\.name)
        let here = Set(try FileSystem.list(path))
        try SafetensorsWriter.removeCheckpoint(
            output, baseName: stem, except: Set(names.filter { !here.contains($0) }))
        let index = SafetensorsWriter.indexName(stem)
        for group in [names.filter { $0 != index }, names.filter { $0 == index }] {
            for name in group where here.contains(name) {
                try FileSystem.move(
                    FileSystem.join(path, name), to: FileSystem.join(output, name))
            }
            try FileSystem.syncFolder(output)
        }
        isMoved = true
        try FileSystem.removeFolder(path)
        return names.filter { $0.hasSuffix(".safetensors") || $0 == index }
            .map { FileSystem.join(output, $0) }
    }
}

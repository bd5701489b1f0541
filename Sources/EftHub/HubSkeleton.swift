// SPDX-License-Identifier: Apache-2.0
// A model of the hub without its weights: what planning needs, in a small fraction of the bytes.
import EftConfig
import EftFormats

#if canImport(Glibc)
    import Glibc
#endif

/// A folder with a model's texts, and with files of weights that have their headers and, for the rest, holes: their
/// tables are read as those of the whole model. It goes away with the object.
package final class HubSkeleton: Sendable {
    /// The model's folder or GGUF file.
    package let path: String
    /// The temporary folder.
    private let folder: String
    /// Bytes of the model's files on the hub.
    package let byteCount: Int
    /// Whether the tables of the weights are there.
    package let hasTables: Bool

    fileprivate init(path: String, folder: String, byteCount: Int, hasTables: Bool) {
        self.hasTables = hasTables
        self.path = path
        self.folder = folder
        self.byteCount = byteCount
    }

    deinit { try? HubCache.removeTree(folder) }

    /// Makes a temporary folder.
    fileprivate static func makeFolder() throws(HubError) -> String {
        let base = getenv("TMPDIR").map { String(cString: $0) } ?? "/tmp"
        var template = Array(FileSystem.join(base, "eft-plan-XXXXXX").utf8CString)
        guard let made = mkdtemp(&template) else {
            throw HubError(.system(.io, "cannot make a temporary folder", path: base, errno: errno))
        }
        return String(cString: made)
    }
}

extension HubFetcher {
    /// Bytes of a weight file that are asked for first, and most that its header may have.
    private static let headerSteps = [1 << 18, 4 << 20, 16 << 20, 128 << 20]

    /// A model without its weights.
    ///
    /// PyTorch's own files have their tables at their end: of those there is nothing, and plans go by the
    /// configuration.
    /// - Throws: `HubError`.
    package func skeleton(_ name: HubName) throws(HubError) -> HubSkeleton {
        let repository = HubRepository(.model, name)
        var chosen = ModelFiles()
        var listed: [String: HubFile] = [:]
        let texts = try fetch(repository, revision: name.revision, label: name.description) {
            (listing) throws(HubError) in
            chosen = try ModelFiles(listing.files.map(\.path), of: name)
            for file in listing.files { listed[file.path] = file }
            return Set(chosen.texts + chosen.weights.filter { $0.hasSuffix(".json") })
        }
        let folder = try HubSkeleton.makeFolder()
        let headed = chosen.weights.filter {
            $0.hasSuffix(".safetensors") || $0.lowercased().hasSuffix(".gguf")
        }
        let skeleton = HubSkeleton(
            path: chosen.model.map { FileSystem.join(folder, $0) } ?? folder, folder: folder,
            byteCount: chosen.paths.reduce(0) { $0 + (listed[$1]?.size ?? 0) },
            hasTables: !headed.isEmpty)
        try withFiles { () throws(FormatError) in
            let wanted = Set(chosen.texts + chosen.weights.filter { $0.hasSuffix(".json") })
            for path in HubCache.files(in: texts.path) where wanted.contains(path) {
                try FileSystem.createFolder(
                    FileSystem.folder(of: FileSystem.join(folder, path)))
                guard
                    symlink(
                        FileSystem.absolute(FileSystem.join(texts.path, path)),
                        FileSystem.join(folder, path)) == 0
                else { throw .system(.io, "cannot make the link", path: folder, errno: errno) }
            }
        }
        var files: [HeaderFile] = []
        for path in headed {
            guard let file = listed[path] else { continue }
            let whole = try client.complete(
                file, repository, commit: texts.commit, shouldStop: shouldStop)
            files.append(
                try HeaderFile(
                    FileSystem.join(folder, path),
                    address: client.address(repository, commit: texts.commit, path: path),
                    size: whole.size ?? 0))
        }
        guard !files.isEmpty else { return skeleton }
        let session = try HTTPSession()
        for step in Self.headerSteps {
            for file in files { try file.extend(to: step, client, session, name.id, shouldStop) }
            // Holes are no valid headers.
            if (try? CheckpointFolder.open(skeleton.path)) != nil { return skeleton }
            if files.allSatisfy({ $0.isWhole }) { break }
        }
        throw HubError(
            .unsupported,
            "the tables of the weights of \(name) cannot be read; pull the model first")
    }
}

/// A file of which the beginning is there, of its full size.
private final class HeaderFile {
    private let path: String
    private let address: String
    private let size: Int
    private let descriptor: Int32
    private var count = 0

    init(_ path: String, address: String, size: Int) throws(HubError) {
        self.path = path
        self.address = address
        self.size = size
        try withFiles { () throws(FormatError) in
            try FileSystem.createFolder(FileSystem.folder(of: path))
        }
        descriptor = open(path, O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC | O_NOFOLLOW, 0o644)
        guard descriptor >= 0, ftruncate(descriptor, off_t(size)) == 0 else {
            let number = errno
            if descriptor >= 0 { close(descriptor) }
            throw HubError(.system(.io, "cannot make the file", path: path, errno: number))
        }
    }

    deinit { close(descriptor) }

    /// Whether all that may be a header is there.
    var isWhole: Bool { count >= headerEnd }

    /// The end of a header of safetensors, as the first bytes tell it; the file's for any other.
    private var headerEnd: Int {
        var bytes = [UInt8](repeating: 0, count: 8)
        guard path.hasSuffix(".safetensors"), count >= 8,
            pread(descriptor, &bytes, 8, 0) == 8
        else { return size }
        let length = (0..<8).reduce(UInt64(0)) { $0 | UInt64(bytes[$1]) << (8 * UInt64($1)) }
        return Int(min(length, UInt64(size))) + 8
    }

    /// Fetches the file's beginning up to a number of bytes, as far as it may hold the header.
    func extend(
        to end: Int, _ client: HubClient, _ session: HTTPSession, _ name: String,
        _ shouldStop: () -> Bool
    ) throws(HubError) {
        let end = min(end, size, max(headerEnd, 8))
        guard count < end else { return }
        var failure: HubError?
        let descriptor = descriptor
        var done = count
        try client.attempt(
            address, about: name, at: "", session: session,
            fields: { ["Range: bytes=\(done)-\(end - 1)"] },
            shouldStop: shouldStop
        ) { head, bytes in
            guard head.status == 206 else {
                failure = HubError(
                    .unsupported, "the hub gives no parts of files; pull the model first",
                    path: self.address)
                return false
            }
            let piece = bytes.prefix(end - done)
            let written = pwrite(
                descriptor,
                piece.isEmpty ? nil : UnsafeRawBufferPointer(rebasing: piece).baseAddress,
                piece.count, off_t(done))
            guard written == piece.count else {
                failure = HubError(
                    .system(.io, "writing failed", path: self.path, errno: errno))
                return false
            }
            done += written
            return done < end || piece.count == bytes.count
        }
        count = done
        if let failure { throw failure }
    }
}

// SPDX-License-Identifier: Apache-2.0
// The cache's layout of blobs, references and snapshots, which Hugging Face's own tools read and write too.
import EftConfig
import EftFormats

#if canImport(Glibc)
    import Glibc
#endif

/// The cache of huggingface_hub.
///
/// Each repository has a folder, `models--OWNER--NAME` or `datasets--OWNER--NAME`:
///
/// - `blobs/DIGEST`: the content of a file, named by its SHA-256, or by git's digest for small files;
/// - `snapshots/COMMIT/PATH`: a link to the blob that the file has at a commit;
/// - `refs/REVISION`: the commit of a branch or tag.
///
/// Locks lie aside in `.locks`, in a folder for each repository.
package struct HubCache: Sendable {
    /// The folder of the cache.
    package let folder: String

    /// A cache in a folder.
    package init(folder: String) { self.folder = folder }

    /// The user's; nil when nothing says where it is.
    package static var ofUser: HubCache? {
        HubSettings.ofUser.cacheFolder.map(HubCache.init(folder:))
    }

    // MARK: Places

    /// The folder of a repository.
    package func place(_ repository: HubRepository) -> String {
        FileSystem.join(folder, repository.folderName)
    }

    func blob(_ repository: HubRepository, _ digest: BlobDigest) -> String {
        "\(place(repository))/blobs/\(digest.hex)"
    }

    func lock(_ repository: HubRepository, _ digest: BlobDigest) -> String {
        "\(folder)/.locks/\(repository.folderName)/\(digest.hex).lock"
    }

    /// The lock of what is linked and noted in a repository's folder.
    func snapshotsLock(_ repository: HubRepository) -> String {
        "\(folder)/.locks/\(repository.folderName)/eft-snapshots.lock"
    }

    func snapshotPlace(_ repository: HubRepository, commit: String) -> String {
        "\(place(repository))/snapshots/\(commit)"
    }

    // MARK: Reading

    /// Whether a text is a commit.
    static func isCommit(_ text: Substring) -> Bool { BlobDigest(git: String(text)) != nil }

    /// Whether a text can be the name of a commit's folder.
    static func isFolderName(_ text: String) -> Bool {
        HubName.isRevision(text[...]) && !text.contains("/")
    }

    /// The commit of a revision as the cache knows it, or the revision itself, which may be one; nil for no revision.
    package func commit(_ repository: HubRepository, revision: String?) -> String? {
        let revision = revision ?? HubName.mainRevision
        guard HubName.isRevision(revision[...]) else { return nil }
        let path = "\(place(repository))/refs/\(revision)"
        guard let bytes = try? ConfigFile.contents(path, maximumSize: 1024) else {
            return Self.isFolderName(revision) ? revision : nil
        }
        let text = String(decoding: bytes, as: UTF8.self).filter { !$0.isWhitespace }
        return Self.isFolderName(text) ? text : nil
    }

    /// The folder of the files of a revision, at least some of which are there; nil when there is none.
    package func snapshot(_ repository: HubRepository, revision: String?) -> String? {
        guard let commit = commit(repository, revision: revision) else { return nil }
        let path = snapshotPlace(repository, commit: commit)
        return FileSystem.isDirectory(path) ? path : nil
    }

    /// The files of a data set, at the revision asked for or the main one; nil when they are not there.
    package func dataset(_ id: String, revision: String?) -> String? {
        guard let name = HubName(id, kind: .dataset, mayLackOwner: true)?.at(revision) else {
            return nil
        }
        return snapshot(HubRepository(.dataset, name), revision: name.revision)
    }

    /// The paths of all files of a snapshot whose content is there.
    static func files(in snapshot: String) -> [String] {
        var paths: [String] = []
        func add(_ below: String, depth: Int) {
            for name in (try? FileSystem.list(FileSystem.join(snapshot, below))) ?? [] {
                let path = FileSystem.join(below, name)
                let full = FileSystem.join(snapshot, path)
                if FileSystem.isDirectory(full) {
                    if depth < 8, !Self.isLink(full) { add(path, depth: depth + 1) }
                } else if FileSystem.byteCount(full) != nil {
                    paths.append(path)
                }
            }
        }
        add("", depth: 0)
        return paths
    }

    static func isLink(_ path: String) -> Bool {
        var status = stat()
        return lstat(path, &status) == 0 && status.st_mode & S_IFMT == S_IFLNK
    }

    // MARK: Writing

    /// Makes a file of a snapshot a link to its blob.
    ///
    /// Where the file system has no links the blob itself moves there.
    /// - Throws: `HubError`.
    func link(
        _ path: String, to digest: BlobDigest, _ repository: HubRepository, commit: String
    ) throws(HubError) {
        let snapshot = snapshotPlace(repository, commit: commit)
        let parts = path.split(separator: "/")
        var parent = snapshot
        try withFiles { () throws(FormatError) in try FileSystem.createFolder(snapshot) }
        for part in parts.dropLast() {
            parent = FileSystem.join(parent, String(part))
            // A link to a folder could lead anywhere.
            guard !Self.isLink(parent) else {
                throw HubError(.damaged, "a folder of the cache is a link; remove it", path: parent)
            }
            try withFiles { () throws(FormatError) in try FileSystem.createFolder(parent) }
        }
        let place = FileSystem.join(snapshot, path)
        let target =
            String(repeating: "../", count: parts.count + 1) + "blobs/\(digest.hex)"
        if Self.target(of: place) == target { return }
        let blob = blob(repository, digest)
        if !Self.isLink(place), FileSystem.byteCount(place) != nil, !FileSystem.exists(blob) {
            return
        }
        let aside = place + ".eft-new"
        unlink(aside)
        try withFiles { () throws(FormatError) in
            if symlink(target, aside) == 0 {
                try FileSystem.move(aside, to: place)
            } else if [EPERM, ENOTSUP, EOPNOTSUPP, ENOSYS].contains(errno) {
                try FileSystem.move(blob, to: place)
            } else {
                throw .system(.io, "cannot make the link", path: place, errno: errno)
            }
        }
    }

    static func target(of link: String) -> String? {
        var bytes = [CChar](repeating: 0, count: 512)
        let count = readlink(link, &bytes, bytes.count)
        guard count > 0, count < bytes.count else { return nil }
        return String(decoding: bytes.prefix(count).map(UInt8.init(bitPattern:)), as: UTF8.self)
    }

    /// Whether the content of a file is in the cache, as a blob or in its place in the snapshot.
    func holds(_ file: HubFile, _ repository: HubRepository, commit: String) -> Bool {
        guard let digest = file.digest else { return false }
        if FileSystem.byteCount(blob(repository, digest)) == file.size { return true }
        let place = FileSystem.join(snapshotPlace(repository, commit: commit), file.path)
        return !Self.isLink(place) && FileSystem.byteCount(place) == file.size
    }

    /// Notes which commit a revision is.
    /// - Throws: `HubError`.
    func note(_ repository: HubRepository, revision: String, commit: String) throws(HubError) {
        guard !Self.isCommit(revision[...]), self.commit(repository, revision: revision) != commit
        else { return }
        let path = "\(place(repository))/refs/\(revision)"
        try withFiles { () throws(FormatError) in
            try FileSystem.createFolder(FileSystem.folder(of: path))
            try AtomicFile.write(path, commit)
        }
    }
}

// SPDX-License-Identifier: Apache-2.0
// The files of a repository at a revision.
import EftConfig

/// A file of a repository.
package struct HubFile: Sendable, Hashable {
    /// The path in the repository.
    package let path: String
    /// Bytes, where the hub says so.
    package let size: Int?
    /// What its content is checked with; nil where the hub does not say.
    package let digest: BlobDigest?
}

/// What a repository holds at a commit.
package struct HubListing: Sendable, Hashable {
    /// The commit.
    package let commit: String
    /// The files, as the hub lists them.
    package let files: [HubFile]

    private static let mostFiles = 200_000

    /// More than any file has.
    static let mostBytes = 1 << 50

    /// Lists files.
    init(commit: String, files: [HubFile]) {
        self.commit = commit
        self.files = files
    }

    /// Reads the answer of `/api/models/ID/revision/REVISION?blobs=true`.
    /// - Throws: `ConfigError` for an answer of another form, and for paths that would leave the folder.
    init(_ answer: ConfigCursor) throws(ConfigError) {
        commit = try answer.required("sha").string()
        guard HubCache.isCommit(commit[...]) else {
            throw try answer.required("sha").error(.badValue, "'\(excerpt(commit))' is no commit")
        }
        let siblings = try answer.optional("siblings")?.elements() ?? []
        guard siblings.count <= Self.mostFiles else {
            throw answer.error(.badValue, "lists \(siblings.count) files")
        }
        var files: [HubFile] = []
        for sibling in siblings {
            let path = try sibling.required("rfilename").string()
            guard Self.isInside(path) else {
                throw try sibling.required("rfilename").error(
                    .badValue, "the path '\(excerpt(path))' leaves the repository's folder")
            }
            let large = try sibling.optional("lfs")
            let sum = try large?.optional("sha256")?.string()
            let blob = try sibling.optional("blobId")?.string()
            var size = try large?.optional("size")
            if size == nil { size = try sibling.optional("size") }
            files.append(
                HubFile(
                    path: path, size: try size?.int(in: 0...Self.mostBytes),
                    digest: sum.flatMap(BlobDigest.init(sha256:))
                        ?? (large == nil ? blob.flatMap(BlobDigest.init(git:)) : nil)))
        }
        self.files = files
    }

    /// Whether a path stays in the folder below which it is written.
    static func isInside(_ path: String) -> Bool {
        path.utf8.count <= 1024 && path.utf8.allSatisfy { $0 >= 0x20 && $0 != 0x7f }
            && !path.contains("\\")
            && path.split(separator: "/", omittingEmptySubsequences: false).allSatisfy {
                !$0.isEmpty && $0 != "." && $0 != ".." && $0.utf8.count <= 255
            }
    }
}

// SPDX-License-Identifier: Apache-2.0
// What the cache holds, and removing it.
import EftConfig
import EftFormats

#if canImport(Glibc)
    import Glibc
#endif

/// Something in the cache that has a name: a model's or data set's folder at a commit, or a GGUF file of it.
package struct HubCacheEntry: Sendable, Hashable {
    /// The repository.
    package let repository: HubRepository
    /// The commit.
    package let commit: String
    /// The branches and tags that are this commit.
    package let revisions: [String]
    /// What follows the name behind a colon; nil for a folder.
    package let variant: String?
    /// The folder or the GGUF file.
    package let path: String
    /// Bytes of its files.
    package let byteCount: Int
    /// When a file of it was last read or written, in seconds since 1970.
    package let lastUsed: Int
    /// Whether all that a model needs is there.
    package let isWhole: Bool

    /// What the user types for it.
    package var name: String {
        let main = revisions.contains(HubName.mainRevision)
        let revision = main ? "" : "@\(revisions.first ?? commit)"
        return repository.id + revision + (variant.map { ":\($0)" } ?? "")
    }
}

extension HubCache {
    /// Everything in the cache, in the order of names.
    package func entries() -> [HubCacheEntry] {
        ((try? FileSystem.list(folder)) ?? []).compactMap(HubRepository.init(folderName:))
            .flatMap(entries)
    }

    /// What the cache holds of a repository.
    package func entries(_ repository: HubRepository) -> [HubCacheEntry] {
        let place = place(repository)
        guard FileSystem.isDirectory(place), !Self.isLink(place) else { return [] }
        let references = references(place)
        let commits = ((try? FileSystem.list("\(place)/snapshots")) ?? []).filter(
            Self.isFolderName)
        guard !commits.isEmpty else { return begun(repository, place).map { [$0] } ?? [] }
        return commits.flatMap { commit -> [HubCacheEntry] in
            let names = references.filter { $0.commit == commit }.map(\.name)
            return entries(repository, commit, names.sorted { a, _ in a == HubName.mainRevision })
        }
    }

    /// A download that was stopped before anything of it was whole.
    private func begun(_ repository: HubRepository, _ place: String) -> HubCacheEntry? {
        guard let blobs = FileSystem.status("\(place)/blobs") else { return nil }
        return HubCacheEntry(
            repository: repository, commit: "", revisions: [HubName.mainRevision], variant: nil,
            path: place, byteCount: Self.heldBytes(place),
            lastUsed: blobs.seconds, isWhole: false)
    }

    private func entries(
        _ repository: HubRepository, _ commit: String, _ revisions: [String]
    ) -> [HubCacheEntry] {
        let snapshot = snapshotPlace(repository, commit: commit)
        let paths = Self.files(in: snapshot)
        func entry(_ paths: [String], variant: String?, path: String, isWhole: Bool)
            -> HubCacheEntry
        {
            var (bytes, used) = (0, 0)
            for path in paths {
                var status = stat()
                guard stat(FileSystem.join(snapshot, path), &status) == 0 else { continue }
                bytes += Int(status.st_size)
                used = max(used, status.st_atim.tv_sec, status.st_mtim.tv_sec)
            }
            return HubCacheEntry(
                repository: repository, commit: commit, revisions: revisions, variant: variant,
                path: path, byteCount: bytes, lastUsed: used, isWhole: isWhole)
        }
        guard repository.kind == .model else {
            return [entry(paths, variant: nil, path: snapshot, isWhole: true)]
        }
        let models = GGUFVariant.models(paths)
        let files = Set(models.flatMap(\.paths))
        var entries = models.map { model in
            entry(
                model.paths, variant: variant(of: model, models),
                path: FileSystem.join(snapshot, model.paths.first ?? ""),
                isWhole: GGUFVariant.isWhole(model))
        }
        let rest = paths.filter { !files.contains($0) }
        let isFolder = rest.contains { $0.hasSuffix(".json") || $0.hasSuffix(".safetensors") }
        if isFolder || entries.isEmpty, let name = HubName(repository.id, mayLackOwner: true) {
            let chosen = try? ModelFiles(rest, of: name)
            let isWhole =
                chosen.map {
                    ModelFiles.isWhole(snapshot, paths: rest, $0, needsTokenizer: false)
                } ?? false
            if isWhole || entries.isEmpty {
                entries.insert(entry(rest, variant: nil, path: snapshot, isWhole: isWhole), at: 0)
            }
        }
        return entries
    }

    /// The type of a model's file where that finds it, else its path.
    private func variant(of model: GGUFVariant.Model, _ models: [GGUFVariant.Model]) -> String? {
        if let type = model.type, GGUFVariant.find(type, in: models) == model { return type }
        return model.paths.first
    }

    /// The branches and tags with their commits.
    private func references(_ place: String) -> [(name: String, commit: String)] {
        let folder = "\(place)/refs"
        return Self.files(in: folder).compactMap { name in
            guard let bytes = try? ConfigFile.contents("\(folder)/\(name)", maximumSize: 1024)
            else { return nil }
            return (name, String(decoding: bytes, as: UTF8.self).filter { !$0.isWhitespace })
        }
    }

    // MARK: Removing

    /// Removes a repository with all that belongs to it.
    /// - Returns: bytes that are free again.
    /// - Throws: `HubError`.
    @discardableResult
    package func remove(_ repository: HubRepository) throws(HubError) -> Int {
        let place = place(repository)
        let bytes = Self.heldBytes(place)
        try Self.removeTree("\(folder)/.locks/\(repository.folderName)")
        try Self.removeTree(place)
        return bytes
    }

    /// Removes something in the cache, and the blobs that nothing else there needs.
    /// - Returns: bytes that are free again.
    /// - Throws: `HubError`.
    @discardableResult
    package func remove(_ entry: HubCacheEntry) throws(HubError) -> Int {
        guard !entry.commit.isEmpty else { return try remove(entry.repository) }
        let place = place(entry.repository)
        let before = Self.heldBytes(place)
        let snapshot = snapshotPlace(entry.repository, commit: entry.commit)
        var paths = Self.links(in: snapshot)
        if entry.variant != nil {
            let models = GGUFVariant.models(paths)
            let model = models.first {
                FileSystem.join(snapshot, $0.paths.first ?? "") == entry.path
            }
            paths = model?.paths ?? []
        } else {
            let other = entries(entry.repository).filter {
                $0.commit == entry.commit && $0.variant != nil
            }
            let kept = Set(other.isEmpty ? [] : GGUFVariant.models(paths).flatMap(\.paths))
            paths.removeAll(where: kept.contains)
        }
        let blobs = paths.compactMap { Self.blobName(of: FileSystem.join(snapshot, $0)) }
        for path in paths {
            try withFiles { () throws(FormatError) in
                try FileSystem.remove(FileSystem.join(snapshot, path))
            }
        }
        if Self.links(in: snapshot).isEmpty {
            try Self.removeTree(snapshot)
            for name in entry.revisions {
                try withFiles { () throws(FormatError) in
                    try FileSystem.remove("\(place)/refs/\(name)")
                }
            }
        }
        try removeUnneeded(Set(blobs), place)
        if (try? FileSystem.list("\(place)/snapshots"))?.isEmpty ?? true {
            try remove(entry.repository)
        }
        return before - Self.heldBytes(place)
    }

    /// Removes those of some blobs to which no snapshot has a link.
    private func removeUnneeded(_ blobs: Set<String>, _ place: String) throws(HubError) {
        var needed: Set<String> = []
        for commit in (try? FileSystem.list("\(place)/snapshots")) ?? [] {
            let snapshot = "\(place)/snapshots/\(commit)"
            for path in Self.links(in: snapshot) {
                if let name = Self.blobName(of: FileSystem.join(snapshot, path)) {
                    needed.insert(name)
                }
            }
        }
        for name in blobs.subtracting(needed) {
            try withFiles { () throws(FormatError) in
                try FileSystem.remove("\(place)/blobs/\(name)")
            }
        }
    }

    /// The blob that a link of a snapshot leads to.
    private static func blobName(of link: String) -> String? {
        guard let target = target(of: link) else { return nil }
        let parts = target.split(separator: "/")
        guard parts.count >= 2, parts[parts.count - 2] == "blobs", let name = parts.last,
            name.allSatisfy(\.isHexDigit)
        else { return nil }
        return String(name)
    }

    /// The paths of all links and files of a folder, whether they lead anywhere or not.
    private static func links(in folder: String, _ below: String = "", depth: Int = 0) -> [String] {
        ((try? FileSystem.list(FileSystem.join(folder, below))) ?? []).flatMap { name -> [String] in
            let path = FileSystem.join(below, name)
            let full = FileSystem.join(folder, path)
            guard !isLink(full), FileSystem.isDirectory(full) else { return [path] }
            return depth < 8 ? links(in: folder, path, depth: depth + 1) : []
        }
    }

    /// Bytes on the disk of all files of a folder, links not followed.
    private static func heldBytes(_ folder: String) -> Int {
        links(in: folder).reduce(0) { sum, path in
            var status = stat()
            guard lstat(FileSystem.join(folder, path), &status) == 0,
                status.st_mode & S_IFMT == S_IFREG
            else { return sum }
            return sum + Int(status.st_blocks) * 512
        }
    }

    /// Removes a folder and all in it; links are removed and not followed.
    package static func removeTree(_ path: String) throws(HubError) {
        guard isLink(path) || FileSystem.isDirectory(path) else { return }
        if !isLink(path) {
            let names = try withFiles { () throws(FormatError) in try FileSystem.list(path) }
            for name in names {
                let child = FileSystem.join(path, name)
                if !isLink(child), FileSystem.isDirectory(child) {
                    try removeTree(child)
                } else {
                    try withFiles { () throws(FormatError) in try FileSystem.remove(child) }
                }
            }
            guard rmdir(path) == 0 || errno == ENOENT else {
                throw HubError(.system(.io, "cannot remove the folder", path: path, errno: errno))
            }
        } else {
            try withFiles { () throws(FormatError) in try FileSystem.remove(path) }
        }
    }
}

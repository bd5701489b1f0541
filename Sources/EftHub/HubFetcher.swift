// SPDX-License-Identifier: Apache-2.0
// From a name to files on this machine.
import EftConfig
import EftFormats

/// Finds what a name stands for in the cache of Hugging Face, and fetches it from the hub.
package struct HubFetcher: Sendable {
    /// Where the hub and its cache are.
    package let settings: HubSettings
    /// Told ten times a second what is fetched, and how far it has come.
    package var onProgress: @Sendable (_ name: String, HubProgress) -> Void = { _, _ in }
    /// Told what the user should know of a choice that was made.
    package var onNote: @Sendable (String) -> Void = { _ in }
    /// Asked now and then.
    package var shouldStop: @Sendable () -> Bool = { false }
    /// Bytes that can still be written to a folder; nil when that is not known.
    package var freeBytes: @Sendable (_ folder: String) -> Int? = { FileSystem.freeBytes($0) }

    /// What was fetched, or was there already.
    package struct Found: Sendable, Hashable {
        /// The model's folder or GGUF file, or the data set's folder.
        package let path: String
        /// The commit.
        package let commit: String
        /// Bytes of the files that it consists of.
        package let byteCount: Int
        /// Bytes that came over the network.
        package let fetchedBytes: Int
    }

    /// A fetcher.
    package init(_ settings: HubSettings) { self.settings = settings }

    var client: HubClient { HubClient(settings) }

    private func cache() throws(HubError) -> HubCache {
        guard let folder = settings.cacheFolder else {
            throw HubError(
                .io, "there is no place for the cache of Hugging Face: set HF_HOME or HOME")
        }
        return HubCache(folder: folder)
    }

    // MARK: Models

    /// The folder or GGUF file of a model or adapter that is whole in the cache; nil for any other.
    package func cachedModel(_ name: HubName) -> String? { cachedModel(name, needsTokenizer: true) }

    private func cachedModel(_ name: HubName, needsTokenizer: Bool) -> String? {
        guard let folder = settings.cacheFolder,
            let snapshot = HubCache(folder: folder).snapshot(
                HubRepository(.model, name), revision: name.revision)
        else { return nil }
        let paths = HubCache.files(in: snapshot)
        guard let files = try? ModelFiles(paths, of: name),
            ModelFiles.isWhole(snapshot, paths: paths, files, needsTokenizer: needsTokenizer)
        else { return nil }
        return files.model.map { FileSystem.join(snapshot, $0) } ?? snapshot
    }

    /// The folder or GGUF file of a model or adapter: from the cache, or else from the hub.
    /// - Throws: `HubError`.
    package func model(_ name: HubName) throws(HubError) -> String {
        if let path = cachedModel(name) { return path }
        if let variable = settings.offlineVariable {
            // A tokenizer may lie elsewhere.
            if let path = cachedModel(name, needsTokenizer: false) { return path }
            let isThere =
                try cache().snapshot(HubRepository(.model, name), revision: name.revision) != nil
            throw HubError(
                .unreachable,
                "\(name) is \(isThere ? "only in part" : "not") in the cache of Hugging Face "
                    + "(\(settings.cacheFolder ?? "")), and \(variable) forbids to fetch it")
        }
        do throws(HubError) { return try fetchModel(name).path } catch {
            guard [.unreachable, .limited].contains(error.code),
                let path = cachedModel(name, needsTokenizer: false)
            else { throw error }
            return path
        }
    }

    /// The folder of a model's configuration and tokenizer, whose weights are not fetched.
    /// - Throws: `HubError`.
    package func texts(_ name: HubName) throws(HubError) -> String {
        let repository = HubRepository(.model, name)
        if let snapshot = try cache().snapshot(repository, revision: name.revision),
            ModelFiles.hasTokenizer(Set(HubCache.files(in: snapshot)))
        {
            return snapshot
        }
        return try fetch(repository, revision: name.revision, label: name.description) { listing in
            Set(listing.files.map(\.path).filter(ModelFiles.isText))
        }.path
    }

    /// Fetches a model or adapter as the hub has it now; what is there already is not fetched again.
    /// - Throws: `HubError`.
    package func fetchModel(_ name: HubName) throws(HubError) -> Found {
        var chosen = ModelFiles()
        let found = try fetch(
            HubRepository(.model, name), revision: name.revision, label: name.description
        ) { (listing) throws(HubError) in
            chosen = try ModelFiles(listing.files.map(\.path), of: name)
            if let type = chosen.chosenType {
                onNote("\(name.id) holds GGUF files of several types: \(type) is taken")
            }
            return Set(chosen.paths)
        }
        guard let model = chosen.model else { return found }
        return Found(
            path: FileSystem.join(found.path, model), commit: found.commit,
            byteCount: found.byteCount, fetchedBytes: found.fetchedBytes)
    }

    // MARK: Files

    /// Fetches files of a repository; what is there already is not fetched again.
    /// - Parameters:
    ///   - revision: a branch, tag or commit; nil for the main branch.
    ///   - label: what is fetched, for people.
    ///   - choose: the paths that are wanted.
    /// - Returns: the folder of the commit's files.
    /// - Throws: `HubError`.
    package func fetch(
        _ repository: HubRepository, revision: String?, label: String,
        choose: (HubListing) throws(HubError) -> Set<String>
    ) throws(HubError) -> Found {
        let cache = try cache()
        let listing = try client.listing(repository, revision: revision, shouldStop: shouldStop)
        let wanted = try choose(listing)
        var files: [HubFile] = []
        for file in listing.files where wanted.contains(file.path) {
            files.append(
                try client.complete(
                    file, repository, commit: listing.commit, shouldStop: shouldStop))
        }
        let missing = files.filter { !cache.holds($0, repository, commit: listing.commit) }
        var fetched = 0
        if !missing.isEmpty {
            let download = BlobDownload(
                missing, of: repository, commit: listing.commit, client, cache)
            try makeRoom(for: download.missingBytes, cache, label)
            try download.run(
                onProgress: { progress in
                    fetched = progress.fetchedBytes
                    onProgress(label, progress)
                }, shouldStop: shouldStop)
        }
        if !files.isEmpty {
            try put(files, in: cache, repository, revision: revision, commit: listing.commit)
        }
        return Found(
            path: cache.snapshotPlace(repository, commit: listing.commit), commit: listing.commit,
            byteCount: files.reduce(0) { $0 + ($1.size ?? 0) }, fetchedBytes: fetched)
    }

    /// Links the files of a commit and notes it; one program at a time, for links and notes are made aside under one name.
    private func put(
        _ files: [HubFile], in cache: HubCache, _ repository: HubRepository, revision: String?,
        commit: String
    ) throws(HubError) {
        let lock = try BlobLock.take(
            cache.snapshotsLock(repository), shouldStop: shouldStop)
        for file in files {
            guard let digest = file.digest else { continue }
            try cache.link(file.path, to: digest, repository, commit: commit)
        }
        try cache.note(
            repository, revision: revision ?? HubName.mainRevision, commit: commit)
        withExtendedLifetime(lock) {}
    }

    private func makeRoom(
        for bytes: Int, _ cache: HubCache, _ label: String
    ) throws(HubError) {
        try withFiles { () throws(FormatError) in try FileSystem.createFolder(cache.folder) }
        guard let free = freeBytes(cache.folder), free < bytes else { return }
        throw HubError(
            .io,
            "\(label) needs \(Self.gibibytes(bytes)) more, and \(Self.gibibytes(free)) are free here; make room, "
                + "or set HF_HUB_CACHE to a folder on another disk", path: cache.folder)
    }

    private static func gibibytes(_ bytes: Int) -> String {
        let tenths = bytes / (1 << 30) * 10 + bytes % (1 << 30) * 10 / (1 << 30)
        return "\(tenths / 10).\(tenths % 10) GiB"
    }
}

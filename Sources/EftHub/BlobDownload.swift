// SPDX-License-Identifier: Apache-2.0
// Files fetched side by side, in parts, each checked when it is whole.
import EftConfig
import EftFormats
import EftTensor

#if canImport(Glibc)
    import Glibc
#endif

/// Fetches files of one commit of a repository into the cache's blobs.
final class BlobDownload: Sendable {
    /// A file that is being fetched.
    private final class OpenFile: Sendable {
        let file: HubFile
        let digest: BlobDigest
        let partial: PartialFile
        let lock: BlobLock
        /// Whether it begins anew after its content was wrong once.
        let isSecond: Bool
        /// Parts that are not there yet.
        let missing: Monitor<Int>

        init(_ item: Item, _ partial: PartialFile, _ lock: BlobLock, parts: Int) {
            file = item.file
            digest = item.digest
            isSecond = item.isSecond
            self.partial = partial
            self.lock = lock
            missing = Monitor(parts)
        }
    }

    private struct Item {
        let file: HubFile
        let size: Int
        let digest: BlobDigest
        var isSecond = false
    }

    private struct State {
        var items: [Item]
        /// Whether a thread begins a file of several parts; only one does at a time, for it may have to wait for a lock.
        var isBeginning = false
        var parts: [(file: OpenFile, part: Int)] = []
        /// Threads that do something.
        var working = 0
        var failure: HubError?
        var progress: HubProgress
    }

    private enum Work {
        case begin(Item)
        case part(OpenFile, Int)
    }

    private let client: HubClient
    private let cache: HubCache
    private let repository: HubRepository
    private let commit: String
    private let threads: Int
    private let state: Monitor<State>

    /// Plans a download of files whose size and digest are known.
    init(
        _ files: [HubFile], of repository: HubRepository, commit: String, _ client: HubClient,
        _ cache: HubCache
    ) {
        self.client = client
        self.cache = cache
        self.repository = repository
        self.commit = commit
        var seen: Set<String> = []
        let items = files.compactMap { file -> Item? in
            guard let size = file.size, let digest = file.digest,
                seen.insert(digest.hex).inserted
            else { return nil }
            return Item(file: file, size: size, digest: digest)
        }
        let parts = items.reduce(0) { $0 + 1 + $1.size / client.settings.partBytes }
        threads = max(1, min(client.settings.connections, parts))
        var progress = HubProgress()
        progress.allFiles = items.count
        progress.allBytes = items.reduce(0) { $0 + $1.size }
        // The last is taken first: small files tell soonest that something is wrong.
        state = Monitor(State(items: items.sorted { $0.size > $1.size }, progress: progress))
    }

    /// Bytes that are still to come.
    var missingBytes: Int {
        let kept = state.withLock { $0.items }.reduce(0) { sum, item in
            sum
                + PartialFile.keptBytes(
                    cache.blob(repository, item.digest), size: item.size,
                    partBytes: client.settings.partBytes)
        }
        return state.withLock { $0.progress.allBytes } - kept
    }

    /// Fetches all of them.
    /// - Parameters:
    ///   - onProgress: called ten times a second by the thread that waits here.
    ///   - shouldStop: asked as often.
    /// - Throws: `HubError`; what has been fetched stays for the next time.
    func run(
        onProgress: (HubProgress) -> Void, shouldStop: () -> Bool
    ) throws(HubError) {
        // Found missing here, once, and not by each thread.
        _ = try HTTPSession()
        var workers: [WorkerThread] = []
        for _ in 0..<threads {
            do {
                workers.append(try WorkerThread { self.work() })
            } catch {
                guard workers.isEmpty else { break }
                throw HubError(error)
            }
        }
        while true {
            let (progress, isDone) =
                state.wait(atMost: 0.1) { state -> (HubProgress, Bool)? in
                    Self.isDone(state) ? (state.progress, true) : nil
                } ?? (state.withLock { $0.progress }, false)
            onProgress(progress)
            if isDone { break }
            if shouldStop() { fail(HubClient.stopped(repository.id)) }
        }
        for worker in workers { worker.join() }
        if let failure = state.withLock({ $0.failure }) { throw failure }
    }

    private static func isDone(_ state: State) -> Bool {
        state.working == 0
            && (state.failure != nil || (state.items.isEmpty && state.parts.isEmpty))
    }

    private func fail(_ error: HubError) {
        state.withLock { $0.failure = $0.failure ?? error }
    }

    private var hasFailed: Bool { state.withLock { $0.failure != nil } }

    // MARK: A thread

    private func work() {
        do throws(HubError) {
            let session = try HTTPSession()
            while let work = next() {
                defer { state.withLock { $0.working -= 1 } }
                switch work {
                case .begin(let item): try begin(item, session)
                case .part(let file, let part): try fetch(file, part, session)
                }
            }
        } catch {
            fail(error)
        }
    }

    private func next() -> Work? {
        state.wait { state -> Work?? in
            if state.failure != nil { return .some(nil) }
            if let part = state.parts.popLast() {
                state.working += 1
                return .part(part.file, part.part)
            }
            if !state.isBeginning, let item = state.items.popLast() {
                state.isBeginning = true
                state.working += 1
                return .begin(item)
            }
            return Self.isDone(state) ? .some(nil) : nil
        }
    }

    // MARK: A file

    private func begin(_ item: Item, _ session: HTTPSession) throws(HubError) {
        var isBeginning = true
        func letOthersBegin() {
            if isBeginning { state.withLock { $0.isBeginning = false } }
            isBeginning = false
        }
        defer { letOthersBegin() }
        let blob = cache.blob(repository, item.digest)
        let lock = try BlobLock.take(cache.lock(repository, item.digest)) { hasFailed }
        // Another process may have fetched it in the meantime.
        if FileSystem.byteCount(blob) == item.size {
            state.withLock { state in
                state.progress.bytes += item.size
                state.progress.files += 1
            }
            return
        }
        try withFiles { () throws(FormatError) in
            try FileSystem.createFolder(FileSystem.folder(of: blob))
        }
        let partial = try PartialFile(
            blob, size: item.size, partBytes: client.settings.partBytes)
        let parts = partial.openParts
        let file = OpenFile(item, partial, lock, parts: parts.count)
        state.withLock { $0.progress.bytes += partial.keptBytes }
        guard let first = parts.first else { return try end(file) }
        guard parts.count > 1 else {
            // Nobody has to wait for the end of a small file.
            letOthersBegin()
            return try fetch(file, first, session)
        }
        // The first answer tells whether the hub gives parts of files.
        try fetch(file, first, session) { [self] in
            state.withLock { $0.parts += parts.dropFirst().reversed().map { (file, $0) } }
            letOthersBegin()
        }
    }

    /// Fetches what is missing of a part.
    /// - Parameter onRange: called once, when the hub has begun to give a part of the file and not all of it.
    private func fetch(
        _ file: OpenFile, _ part: Int, _ session: HTTPSession, onRange: (() -> Void)? = nil
    ) throws(HubError) {
        let address = client.address(repository, commit: commit, path: file.file.path)
        var onRange = onRange
        var failure: HubError?
        var asked = 0..<0
        var isChecked = false
        var isWhole = false
        while true {
            let before = file.partial.rest(of: part)
            if before.isEmpty { break }
            try client.attempt(
                address, about: "\(repository.id)/\(file.file.path)", at: commit,
                session: session,
                fields: {
                    asked = file.partial.rest(of: part)
                    isChecked = false
                    return ["Range: bytes=\(asked.lowerBound)-\(asked.upperBound - 1)"]
                }, shouldStop: { hasFailed }
            ) { head, bytes in
                if !isChecked {
                    let start = head.status == 206 ? Self.start(of: head) : 0
                    isWhole = head.status != 206 && asked != 0..<file.partial.size
                    if isWhole { return false }
                    guard start == asked.lowerBound else {
                        failure = HubError(
                            .damaged,
                            "the hub gave other bytes of the file than those that were asked for",
                            path: address)
                        return false
                    }
                    isChecked = true
                    onRange?()
                    onRange = nil
                }
                return take(bytes, file, part, &failure)
            }
            if let failure { throw failure }
            if isWhole { return try fetchWhole(file, session, isFirst: onRange != nil) }
            guard file.partial.rest(of: part) != before else {
                throw HubError(
                    .damaged,
                    "the hub gave nothing of a file that should have \(file.partial.size) bytes",
                    path: address)
            }
        }
        let missing = file.missing.withLock { missing in
            missing -= 1
            return missing
        }
        if missing == 0 { try end(file) }
    }

    /// Keeps bytes of a part; says whether more of it are missing.
    private func take(
        _ bytes: UnsafeRawBufferPointer, _ file: OpenFile, _ part: Int, _ failure: inout HubError?
    ) -> Bool {
        do throws(HubError) {
            let taken = try file.partial.append(bytes, to: part)
            state.withLock { state in
                state.progress.bytes += taken
                state.progress.fetchedBytes += taken
            }
            return taken == bytes.count
        } catch {
            failure = error
            return false
        }
    }

    /// The first byte of an answer that holds a part of a file.
    private static func start(of head: HTTPHead) -> Int? {
        // `bytes 0-9/100`
        guard let text = head.fields["content-range"], text.hasPrefix("bytes ") else { return nil }
        return Int(text.dropFirst("bytes ".count).prefix { $0 != "-" })
    }

    /// Fetches a file from its beginning, where the hub gives no parts.
    private func fetchWhole(
        _ file: OpenFile, _ session: HTTPSession, isFirst: Bool
    ) throws(HubError) {
        let address = client.address(repository, commit: commit, path: file.file.path)
        guard isFirst || file.partial.partCount == 1 else {
            throw HubError(.damaged, "the hub gives parts of the file no more", path: address)
        }
        var failure: HubError?
        var part = 0
        try client.attempt(
            address, about: "\(repository.id)/\(file.file.path)", at: commit, session: session,
            shouldStop: { hasFailed },
            restart: { [self] in
                let kept = file.partial.keptBytes
                do throws(HubError) { try file.partial.reset() } catch { failure = error }
                state.withLock { $0.progress.bytes -= kept }
                part = 0
            }
        ) { _, bytes in
            var bytes = bytes
            while failure == nil, !bytes.isEmpty, part < file.partial.partCount {
                let room = file.partial.rest(of: part).count
                let piece = UnsafeRawBufferPointer(rebasing: bytes.prefix(room))
                _ = take(piece, file, part, &failure)
                bytes = UnsafeRawBufferPointer(rebasing: bytes.dropFirst(piece.count))
                if file.partial.rest(of: part).isEmpty { part += 1 }
            }
            return failure == nil && bytes.isEmpty
        }
        if let failure { throw failure }
        guard file.partial.openParts.isEmpty else {
            throw HubError(
                .damaged,
                "the hub gave \(file.partial.keptBytes) bytes of a file that should have \(file.partial.size)",
                path: address)
        }
        try end(file)
    }

    /// Checks a file whose parts are all there, and gives it its name.
    private func end(_ file: OpenFile) throws(HubError) {
        if try file.partial.has(file.digest) {
            try file.partial.publish()
            state.withLock { $0.progress.files += 1 }
            return
        }
        let path = file.file.path
        let size = file.partial.size
        try file.partial.discard()
        guard file.partial.isResumed, !file.isSecond else {
            throw HubError(
                .damaged,
                "the content of \(excerpt(path, limit: 200)) is not what the hub says it is "
                    + "(\(file.digest.hex)); nothing of it was kept; run it again, and try another mirror or proxy if it "
                    + "stays so", path: client.address(repository, commit: commit, path: path))
        }
        // What was left of an earlier run was damaged, perhaps by a power cut.
        state.withLock { state in
            state.progress.bytes -= size
            state.items.append(
                Item(file: file.file, size: size, digest: file.digest, isSecond: true))
        }
    }
}

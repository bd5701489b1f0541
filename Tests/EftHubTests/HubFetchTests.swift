// SPDX-License-Identifier: Apache-2.0
import EftConfig
import EftFormats
import EftTensor
import EftTestHub
import EftTestSupport
import Testing

@testable import EftHub

#if canImport(Glibc)
    import Glibc
#endif

/// Downloads from a hub of the tests' own.
struct HubFetchTests {
    private let hub: TestHub
    private let folder: TemporaryFolder
    private var settings = HubSettings()

    /// Bytes that do not repeat.
    private static func bytes(_ count: Int, seed: UInt64 = 1) -> [UInt8] {
        var random = SplitMix64(seed: seed)
        return (0..<count).map { _ in UInt8(truncatingIfNeeded: random.next() >> 24) }
    }

    private static let weights = TestHub.File("model.safetensors", bytes(300_000), isLarge: true)
    private static let files = [
        TestHub.File("config.json", "{\"model_type\": \"llama\"}"),
        TestHub.File("tokenizer.json", "{}"),
        TestHub.File("README.md", "not needed"),
        TestHub.File("additional_chat_templates/tool use+100%.jinja", "{{ 1 }}"),
        weights,
    ]

    init() throws {
        hub = try TestHub()
        folder = try TemporaryFolder("cache")
        settings.endpoint = hub.endpoint
        settings.certificates = hub.certificates
        settings.cacheFolder = folder.path
        settings.firstDelay = 0.01
        settings.partBytes = 64 << 10
        settings.connections = 4
    }

    private func name(_ text: String = "org/model") throws -> HubName {
        try #require(HubName(text))
    }

    private var fetcher: HubFetcher { HubFetcher(settings) }

    private func path(_ name: String) -> String { folder.file("models--org--model/\(name)") }

    private func failure(_ text: String = "org/model", _ fetcher: HubFetcher? = nil) throws
        -> HubError
    {
        let name = try name(text)
        return try #require(throws: HubError.self) {
            try (fetcher ?? self.fetcher).fetchModel(name)
        }
    }

    /// Names of what a download leaves behind when it is not done.
    private var leftovers: [String] {
        ((try? FileSystem.list(path("blobs"))) ?? []).filter { $0.contains(".eft-") }
    }

    @Test func `a model comes with the needed files, in the layout of the cache`() throws {
        let commit = hub.add("org/model", Self.files)
        #expect(fetcher.cachedModel(try name()) == nil)
        let snapshot = try fetcher.model(name())
        #expect(snapshot == path("snapshots/\(commit)"))
        for file in Self.files where file.path != "README.md" {
            let place = FileSystem.join(snapshot, file.path)
            #expect(try FileSystem.read(place) == file.bytes)
            var target = [CChar](repeating: 0, count: 300)
            let count = readlink(place, &target, 300)
            let link = String(
                decoding: target.prefix(max(count, 0)).map(UInt8.init(bitPattern:)), as: UTF8.self)
            let up = file.path.contains("/") ? "../../../" : "../../"
            #expect(link == "\(up)blobs/\(file.digest)")
        }
        #expect(!FileSystem.exists(FileSystem.join(snapshot, "README.md")))
        #expect(try FileSystem.read(path("refs/main")) == Array(commit.utf8))
        #expect(leftovers.isEmpty)
        let parts = hub.visits.filter { $0.isStorage }
        #expect(Set(parts.compactMap(\.range)).count == 5)
        // From now on nothing is asked.
        hub.forget()
        #expect(try fetcher.model(name()) == snapshot)
        #expect(hub.visits.isEmpty)
    }

    @Test func `a token goes to the hub and to no other host`() throws {
        var settings = settings
        settings.token = "hf_secret"
        hub.add("org/model", Self.files)
        hub.protect("org/model", token: "hf_secret")
        _ = try HubFetcher(settings).model(name())
        for visit in hub.visits {
            #expect(visit.authorization == (visit.isStorage ? nil : "Bearer hf_secret"))
        }
        #expect(hub.visits.contains { $0.isStorage })
        hub.add("org/other", Self.files)
        hub.protect("org/other", token: "another")
        let error = try failure("org/other")
        #expect(error.code == .notFound)
        #expect(error.message.contains("HF_TOKEN"))
    }

    @Test func `a certificate that nobody trusts ends it`() throws {
        var settings = settings
        settings.certificates = nil
        hub.add("org/model", Self.files)
        let error = try failure("org/model", HubFetcher(settings))
        #expect(error.code == .unreachable)
        #expect(hub.visits.isEmpty)
    }

    @Test func `broken transfers go on where they broke`() throws {
        hub.add("org/model", Self.files)
        hub.fault("model.safetensors", .cut(after: 1000), .cut(after: 0), .cut(after: 30_000))
        hub.fault("config.json", .cut(after: 3))
        let snapshot = try fetcher.model(name())
        #expect(try FileSystem.read("\(snapshot)/model.safetensors") == Self.weights.bytes)
        #expect(hub.visits.contains { $0.range == "bytes=1000-65535" })
    }

    @Test func `a busy hub is asked again, after the time that it names`() throws {
        hub.add("org/model", Self.files)
        hub.fault("", .status(429, ["Retry-After": "0.2"]), .status(503, [:]))
        hub.fault(
            "model.safetensors", .status(500, [:]), .status(429, ["RateLimit": "\"r\";r=0;t=0.1"]))
        let start = ContinuousClock.now
        _ = try fetcher.model(name())
        #expect(ContinuousClock.now - start >= .milliseconds(300))
    }

    @Test func `a hub that stays busy is told`() throws {
        hub.add("org/model", Self.files)
        for _ in 0..<10 { hub.fault("", .status(429, [:])) }
        #expect(try failure().code == .limited)
        hub.forget()
        // Nobody waits for an hour.
        hub.fault("", .status(429, ["Retry-After": "3600"]))
        #expect(try failure().code == .limited)
    }

    @Test func `what is not what the hub says is refused, and nothing else is lost`() throws {
        hub.add("org/model", Self.files)
        hub.fault("model.safetensors", .altered)
        let error = try failure()
        #expect(error.code == .damaged)
        #expect(error.message.contains("model.safetensors"))
        #expect(error.message.contains(Self.weights.sha256))
        #expect(leftovers.isEmpty)
        #expect(!FileSystem.exists(path("blobs/\(Self.weights.sha256)")))
        #expect(!FileSystem.exists(path("snapshots")))
        #expect(FileSystem.exists(path("blobs/\(Self.files[0].gitDigest)")))
        hub.forget()
        _ = try fetcher.model(name())
        #expect(!hub.visits.contains { $0.path.hasSuffix("resolve/config.json") })
    }

    @Test func `small files are checked too`() throws {
        hub.add("org/model", Self.files)
        hub.fault("config.json", .altered)
        #expect(try failure().code == .damaged)
    }

    @Test func `a hub without ranges gives the whole file`() throws {
        hub.add("org/model", Self.files)
        hub.fault("model.safetensors", .noRanges, .noRanges)
        let snapshot = try fetcher.model(name())
        #expect(try FileSystem.read("\(snapshot)/model.safetensors") == Self.weights.bytes)
    }

    @Test func `other bytes than those asked for are refused`() throws {
        hub.add("org/model", Self.files)
        hub.fault("model.safetensors", .otherRange)
        #expect(try failure().code == .damaged)
    }

    @Test func `a stopped download goes on with what it has`() throws {
        hub.add("org/model", Self.files)
        hub.fault("model.safetensors", .hold(after: 50_000), .hold(after: 20_000))
        var stopped = fetcher
        let hub = hub
        let blob = path("blobs/\(Self.weights.sha256)")
        let (size, part) = (Self.weights.bytes.count, settings.partBytes)
        stopped.shouldStop = {
            // 70,000 bytes of two parts, and three whole parts.
            PartialFile.keptBytes(blob, size: size, partBytes: part) == 70_000 + 300_000 - 2
                * 65_536
        }
        #expect(try failure("org/model", stopped).code == .stopped)
        #expect(leftovers.count == 2)
        hub.forget()
        let found = try fetcher.fetchModel(name())
        #expect(try FileSystem.read("\(found.path)/model.safetensors") == Self.weights.bytes)
        #expect(found.fetchedBytes == 2 * 65_536 - 70_000)
        #expect(leftovers.isEmpty)
    }

    @Test func `leftovers that are damaged are fetched anew`() throws {
        hub.add("org/model", Self.files)
        let blob = path("blobs/\(Self.weights.sha256)")
        try FileSystem.createFolder(path("blobs"))
        let partial = try PartialFile(blob, size: 300_000, partBytes: settings.partBytes)
        let wrong = [UInt8](repeating: 7, count: 65_536)
        _ = try wrong.withRawBytes { (raw) throws(HubError) in try partial.append(raw, to: 2) }
        let snapshot = try fetcher.model(name())
        #expect(try FileSystem.read("\(snapshot)/model.safetensors") == Self.weights.bytes)
        // A map that lies is forgotten.
        try FileSystem.remove(blob)
        for map in ["", "EFTPARTS", String(repeating: "x", count: 64)] {
            try folder.write("models--org--model/blobs/\(Self.weights.sha256).eft-parts", map)
            try folder.write(
                "models--org--model/blobs/\(Self.weights.sha256).eft-partial",
                [UInt8](repeating: 1, count: 300_000))
            let snapshot = try fetcher.fetchModel(name()).path
            #expect(try FileSystem.read("\(snapshot)/model.safetensors") == Self.weights.bytes)
            try FileSystem.remove(blob)
        }
    }

    @Test func `a path that leaves the folder is refused by its name`() throws {
        hub.add("org/model", Self.files)
        let paths = [
            "../up", "a/../../up", "/etc/passwd", "a\\..\\b", "a//b", "./a", "a\u{1}b", "..",
            String(repeating: "x", count: 300),
        ]
        for path in paths {
            hub.changeListing { object in
                var object = object
                object["siblings"] = [["rfilename": ConfigNode(path), "size": 3, "blobId": "x"]]
                return object
            }
            let error = try failure()
            #expect(error.code == .damaged, "\(path)")
            #expect(error.message.contains("leaves the repository's folder"), "\(path)")
        }
        #expect(try FileSystem.list(folder.path).isEmpty)
    }

    @Test func `a link in the way is not followed`() throws {
        let commit = hub.add("org/model", Self.files)
        let outside = try TemporaryFolder()
        try FileSystem.createFolder(path("snapshots/\(commit)"))
        symlink(outside.path, path("snapshots/\(commit)/additional_chat_templates"))
        #expect(try failure().code == .damaged)
        #expect(try FileSystem.list(outside.path).isEmpty)
    }

    @Test(arguments: [
        "not JSON", "{}", "{\"sha\": \"../x\"}", "{\"sha\": 3}",
        "{\"sha\": \"da39a3ee5e6b4b0d3255bfef95601890afd80709\", \"siblings\": [{\"rfilename\": \"config.json\", \"size\": -1}]}",
    ])
    func `an answer that is no list of files is refused`(text: String) throws {
        let error = try #require(throws: (any Error).self) {
            try HubListing(ConfigCursor(JSONParser.parse(Array(text.utf8))))
        }
        #expect("\(error)".isEmpty == false)
    }

    @Test func `sizes and digests are asked for where the list lacks them`() throws {
        hub.add("org/model", Self.files)
        hub.changeListing { object in
            var object = object
            object["siblings"] = ConfigNode(
                .array(Self.files.map { ["rfilename": ConfigNode($0.path)] }))
            return object
        }
        let snapshot = try fetcher.model(name())
        #expect(try FileSystem.read("\(snapshot)/model.safetensors") == Self.weights.bytes)
        #expect(hub.visits.contains { $0.method == "HEAD" })
    }

    @Test func `offline only the cache counts`() throws {
        hub.add("org/model", Self.files)
        var offline = settings
        offline.offlineVariable = "HF_HUB_OFFLINE"
        let fetcher = HubFetcher(offline)
        let name = try name()
        let missing = #expect(throws: HubError.self) { try fetcher.model(name) }
        #expect(missing?.message.contains("HF_HUB_OFFLINE") == true)
        #expect(try failure("org/model", fetcher).code == .unreachable)
        let snapshot = try self.fetcher.model(name)
        #expect(try fetcher.model(name) == snapshot)
        try FileSystem.remove("\(snapshot)/tokenizer.json")
        #expect(try fetcher.model(name) == snapshot)
        var unreachable = settings
        unreachable.endpoint = "https://localhost:1"
        unreachable.firstDelay = 0
        #expect(try HubFetcher(unreachable).model(name) == snapshot)
        try FileSystem.remove("\(snapshot)/model.safetensors")
        let part = #expect(throws: HubError.self) { try fetcher.model(name) }
        #expect(part?.message.contains("only in part") == true)
    }

    @Test func `revisions are kept apart, and share what is the same`() throws {
        let old = hub.add("org/model", Self.files)
        hub.tag("org/model", "v1")
        _ = try fetcher.model(name("org/model:v1"))
        let new = hub.add(
            "org/model",
            Self.files.dropLast() + [
                TestHub.File("model.safetensors", Self.bytes(9, seed: 2), isLarge: true)
            ])
        let main = try fetcher.model(name())
        #expect(main.hasSuffix(new))
        #expect(try fetcher.model(name("org/model@v1")).hasSuffix(old))
        #expect(try fetcher.model(name("org/model@\(old)")).hasSuffix(old))
        // Without a pull the cached commit stays.
        hub.add("org/model", Self.files + [TestHub.File("vocab.json", "{ }")])
        #expect(try fetcher.model(name()) == main)
        #expect(try fetcher.fetchModel(name()).path != main)
        let error = try failure("org/model:v9")
        #expect(error.code == .notFound)
        #expect(error.message.contains("v9"))
    }

    @Test func `a GGUF file comes alone`() throws {
        hub.add(
            "org/model",
            [
                TestHub.File("M-Q4_K_M-00001-of-00002.gguf", Self.bytes(1000), isLarge: true),
                TestHub.File("M-Q4_K_M-00002-of-00002.gguf", Self.bytes(2000), isLarge: true),
                TestHub.File("M-Q8_0.gguf", Self.bytes(3000), isLarge: true),
                TestHub.File("README.md", "text"),
            ])
        let notes = Monitor([String]())
        var fetcher = fetcher
        fetcher.onNote = { note in notes.withLock { $0.append(note) } }
        let path = try fetcher.model(name())
        #expect(path.hasSuffix("/M-Q4_K_M-00001-of-00002.gguf"))
        #expect(notes.withLock { $0 }.count == 1)
        #expect(try FileSystem.list(FileSystem.folder(of: path)).count == 2)
        #expect(try fetcher.model(name("hf.co/org/model:q8_0")).hasSuffix("/M-Q8_0.gguf"))
        #expect(try fetcher.model(name()) == path)
        try FileSystem.remove(FileSystem.folder(of: path) + "/M-Q4_K_M-00002-of-00002.gguf")
        #expect(fetcher.cachedModel(try name("org/model:Q4_K_M")) == nil)
    }

    @Test func `a full disk is told before anything comes`() throws {
        hub.add("org/model", Self.files)
        var fetcher = fetcher
        fetcher.freeBytes = { _ in 299_999 }
        let error = try failure("org/model", fetcher)
        #expect(error.code == .io)
        #expect(!hub.visits.contains { $0.isStorage })
    }

    @Test func `two at once fetch each file once`() throws {
        hub.add("org/model", Self.files)
        let fetcher = fetcher
        let name = try name()
        let results = Monitor([String]())
        let threads = try (0..<3).map { _ in
            try WorkerThread {
                let path = (try? fetcher.fetchModel(name).path) ?? "failed"
                results.withLock { $0.append(path) }
            }
        }
        for thread in threads { thread.join() }
        #expect(Set(results.withLock { $0 }).count == 1)
        #expect(results.withLock { $0 }.contains("failed") == false)
        #expect(hub.visits.filter { $0.isStorage && $0.method == "GET" }.count == 5)
    }

    @Test func `a repository that is not there, and a hub that is not there`() throws {
        #expect(try failure("org/nothing").code == .notFound)
        var settings = settings
        settings.endpoint = "https://localhost:1"
        settings.firstDelay = 0
        let error = try failure("org/model", HubFetcher(settings))
        #expect(error.code == .unreachable)
        #expect(error.message.contains("HF_ENDPOINT"))
        settings.endpoint = "file:///etc"
        #expect(try failure("org/model", HubFetcher(settings)).code == .unreachable)
    }

    @Test func `the cache is listed, and what is removed takes its blobs along`() throws {
        let old = hub.add("org/model", Self.files)
        _ = try fetcher.model(name())
        hub.add(
            "org/model",
            Self.files + [
                TestHub.File("vocab.json", "{ }"),
                TestHub.File("M-Q8_0.gguf", Self.bytes(5000, seed: 3), isLarge: true),
            ])
        _ = try fetcher.fetchModel(name())
        _ = try fetcher.fetchModel(name("org/model:Q8_0"))
        let cache = HubCache(folder: folder.path)
        var entries = cache.entries()
        #expect(
            entries.map(\.name).sorted() == ["org/model", "org/model:Q8_0", "org/model@\(old)"])
        let gguf = try #require(entries.first { $0.variant != nil })
        #expect(gguf.byteCount == 5000)
        #expect(!entries.contains { !$0.isWhole })
        try cache.remove(gguf)
        #expect(!FileSystem.exists(gguf.path))
        try cache.remove(try #require(entries.first { $0.commit == old }))
        entries = cache.entries()
        #expect(entries.map(\.name) == ["org/model"])
        #expect(try FileSystem.read("\(entries[0].path)/model.safetensors") == Self.weights.bytes)
        #expect(try FileSystem.list(path("blobs")).count == 5)
        #expect(try cache.remove(entries[0]) > 300_000)
        #expect(cache.entries().isEmpty)
        #expect(!FileSystem.exists(folder.file("models--org--model")))
    }

    @Test func `removing never leaves the cache`() throws {
        let outside = try TemporaryFolder()
        try outside.write("kept", "text")
        let commit = hub.add("org/model", Self.files)
        _ = try fetcher.model(name())
        symlink(outside.path, path("snapshots/\(commit)/way"))
        symlink(outside.path, folder.file("models--org--linked"))
        let cache = HubCache(folder: folder.path)
        #expect(cache.entries(HubRepository(kind: .model, id: "org/linked")).isEmpty)
        for entry in cache.entries() { try cache.remove(entry) }
        try cache.remove(HubRepository(kind: .model, id: "org/linked"))
        #expect(FileSystem.exists(outside.file("kept")))
    }
}

// SPDX-License-Identifier: Apache-2.0
import EftConfig
import EftFormats
import EftTestHub
import EftTestSupport
import Testing

@testable import EftHub

#if canImport(Glibc)
    import Glibc
#endif

/// Models without their weights.
struct HubSkeletonTests {
    private let hub: TestHub
    private let folder: TemporaryFolder
    private let fetcher: HubFetcher

    init() throws {
        hub = try TestHub()
        folder = try TemporaryFolder("cache")
        var settings = HubSettings()
        settings.endpoint = hub.endpoint
        settings.certificates = hub.certificates
        settings.cacheFolder = folder.path
        settings.firstDelay = 0.01
        fetcher = HubFetcher(settings)
    }

    private func skeleton(_ text: String = "org/model") throws -> HubSkeleton {
        try fetcher.skeleton(try #require(HubName(text)))
    }

    /// A file of safetensors with one large matrix.
    private func weights() throws -> [UInt8] {
        let header = Array(
            #"{"a":{"dtype":"F32","shape":[1000,500],"data_offsets":[0,2000000]}}"#.utf8)
        let length = (0..<8).map { UInt8(truncatingIfNeeded: header.count >> (8 * $0)) }
        return length + header + [UInt8](repeating: 3, count: 2_000_000)
    }

    private func diskBytes(_ path: String) -> Int {
        var status = stat()
        return stat(path, &status) == 0 ? Int(status.st_blocks) * 512 : -1
    }

    @Test func `the tables of weights are there, and the weights are not`() throws {
        hub.add(
            "org/model",
            [
                TestHub.File("config.json", "{}"), TestHub.File("tokenizer.json", "{}"),
                TestHub.File("model.safetensors", try weights(), isLarge: true),
            ])
        var made: HubSkeleton? = try skeleton()
        let path = try #require(made?.path)
        #expect(made?.hasTables == true)
        #expect(made?.byteCount == 4 + (try weights().count))
        let checkpoint = try CheckpointFolder.open(path)
        #expect(checkpoint.tensors.map(\.shape.dims) == [[1000, 500]])
        #expect(FileSystem.byteCount("\(path)/model.safetensors") == (try weights().count))
        #expect(diskBytes("\(path)/model.safetensors") < 1_000_000)
        #expect(try FileSystem.read("\(path)/config.json") == Array("{}".utf8))
        // The configuration is in the cache from now on; the model is not taken for whole.
        #expect(fetcher.cachedModel(try #require(HubName("org/model"))) == nil)
        let ranges = hub.visits.filter { $0.isStorage }.compactMap(\.range)
        #expect(ranges == ["bytes=0-262143"])
        made = nil
        #expect(!FileSystem.exists(path))
    }

    @Test func `a GGUF file is a skeleton as a whole`() throws {
        let gguf = try FileSystem.read(Fixtures.path("gguf/models/qwen2-moe.gguf"))
        hub.add("org/model", [TestHub.File("M-F16.gguf", gguf, isLarge: true)])
        let made = try skeleton("org/model:f16")
        #expect(made.hasTables)
        #expect(made.path.hasSuffix("/M-F16.gguf"))
        #expect(try CheckpointFolder.open(made.path).files.count == 1)
        #expect(HubCache(folder: folder.path).entries().isEmpty)
    }

    @Test func `without tables only the configuration is there`() throws {
        hub.add(
            "org/model",
            [
                TestHub.File("config.json", "{}"),
                TestHub.File("pytorch_model.bin", try weights(), isLarge: true),
            ])
        let made = try skeleton()
        #expect(!made.hasTables)
        #expect(try FileSystem.list(made.path) == ["config.json"])
        #expect(!hub.visits.contains { $0.isStorage })
    }

    @Test func `headers that lie, and hubs without ranges, are refused`() throws {
        var bytes = try weights()
        bytes[6] = 255
        hub.add("org/model", [TestHub.File("model.safetensors", bytes, isLarge: true)])
        #expect(try #require(throws: HubError.self) { try skeleton() }.code == .unsupported)
        hub.forget()
        hub.fault("model.safetensors", .noRanges)
        #expect(try #require(throws: HubError.self) { try skeleton() }.code == .unsupported)
    }

    @Test func `a tokenizer comes without weights`() throws {
        hub.add(
            "org/model",
            [
                TestHub.File("config.json", "{}"), TestHub.File("tokenizer.json", "{ }"),
                TestHub.File("model.safetensors", try weights(), isLarge: true),
            ])
        let path = try fetcher.texts(try #require(HubName("org/model")))
        #expect(try FileSystem.list(path) == ["config.json", "tokenizer.json"])
        hub.forget()
        #expect(try fetcher.texts(try #require(HubName("org/model"))) == path)
        #expect(hub.visits.isEmpty)
    }
}

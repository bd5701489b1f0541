// SPDX-License-Identifier: Apache-2.0
// A cache that is stale, damaged or half made is never computed with.
import EftFormats
import EftModels
import EftTensor
import EftTestSupport
import Testing

#if canImport(Glibc)
    import Glibc
#endif

@Suite struct PanelCacheTests {
    private struct Killed: Error {}

    /// Writes over bytes of a file in its place.
    private func overwrite(_ path: String, at offset: Int, _ bytes: [UInt8]) throws {
        let file = open(path, O_WRONLY)
        try #require(file >= 0)
        defer { close(file) }
        #expect(pwrite(file, bytes, bytes.count, off_t(offset)) == bytes.count)
    }

    private func backend() throws -> CPUBackend { try CPUBackend(threads: 2) }

    // MARK: Damage

    @Test(arguments: StoredForm.allCases)
    func `a record that was changed is found in the first pass`(_ form: StoredForm) throws {
        let model = try StreamModel(form)
        let base = try model.base(7)
        for (layer, share) in [(0, 0.0), (3, 0.5), (6, 0.99)] {
            let path = base.cache.path(layer: layer)
            let whole = try FileSystem.read(path)
            let offset = Int(Double(base.cache.records[layer].byteCount - 1) * share)
            try overwrite(path, at: offset, [whole[offset] ^ 4])
            let decoder = try model.loader().load(backend: backend(), streaming: base)
            let error = try #require(throws: FormatError.self) { try decoder.allLogits() }
            #expect(error.code == .damaged && error.path == path)
            #expect(error.message.contains("checksum") && error.message.contains("remove"))
            // It stays an error, and does not hang.
            #expect(throws: FormatError.self) { try decoder.allLogits() }
            try overwrite(path, at: offset, [whole[offset]])
        }
        let decoder = try model.loader().load(backend: backend(), streaming: base)
        #expect(try decoder.allLogits() == model.decoder(streamed: 0).allLogits())
    }

    @Test func `files with bad footers or sizes are made again`() throws {
        let model = try StreamModel()
        let base = try model.base(7)
        let cache = base.cache
        let record = cache.records[0].byteCount
        let all = Array(0..<StreamModel.layers)
        #expect(cache.missing(all).isEmpty)
        try overwrite(cache.path(layer: 1), at: record, Array("{\"format\": 1,".utf8))
        try overwrite(cache.path(layer: 2), at: record + 4000, [7])
        #expect(truncate(cache.path(layer: 4), off_t(record)) == 0)
        // A whole file in another layer's place.
        try FileSystem.remove(cache.path(layer: 6))
        try FileSystem.copy(cache.path(layer: 5), to: cache.path(layer: 6))
        #expect(cache.missing(all) == [1, 2, 4, 6])
        let error = try #require(throws: FormatError.self) {
            try model.loader().load(backend: backend(), streaming: base)
        }
        #expect(error.code == .damaged)
        let decoder = try model.decoder(streamed: 7)
        #expect(cache.missing(all).isEmpty)
        #expect(try decoder.allLogits() == model.decoder(streamed: 0).allLogits())
    }

    @Test func `a layer that is not in the cache is an error of loading`() throws {
        let model = try StreamModel()
        let base = try model.base(7)
        try FileSystem.remove(base.cache.path(layer: 3))
        let error = try #require(throws: FormatError.self) {
            try model.loader().load(backend: backend(), streaming: base)
        }
        #expect(error.code == .missing)
    }

    @Test func `a fault of the reader is thrown by the pass, and again`() throws {
        let model = try StreamModel()
        let base = try model.base(7)
        let decoder = try model.loader().load(backend: backend(), streaming: base)
        try #require(decoder.streams[0]).settle()
        // The file ends early while it is open; the window holds layers 0 and 1 by now.
        #expect(truncate(base.cache.path(layer: 4), 4096) == 0)
        for _ in 0..<2 {
            let error = try #require(throws: FormatError.self) { try decoder.allLogits() }
            #expect(error.code == .damaged && error.path == base.cache.path(layer: 4))
        }
        try decoder.attachAdapter()
        #expect(throws: FormatError.self) {
            try decoder.gradients(passes: 1, checkpointing: true)
        }
    }

    @Test func `a stream that goes away while it reads leaves nothing behind`() throws {
        let model = try StreamModel(.f32)
        let base = try model.base(7)
        let ledger = MemoryLedger()
        for _ in 0..<20 {
            let backend = try CPUBackend(ledger: ledger, threads: 1)
            _ = try model.loader().load(backend: backend, streaming: base)
        }
        #expect(ledger.current[.window] == 0)
    }

    // MARK: Staleness

    @Test func `other weights in the folder throw the cache away`() throws {
        let model = try StreamModel()
        let old = try model.base(7)
        let before = try model.decoder(streamed: 7).allLogits()
        try model.write(seed: 9)
        let cache = try model.cache()
        #expect(cache.folder == old.cache.folder)
        #expect(cache.missing([0, 3]) == [0, 3])
        #expect(throws: FormatError.self) { try cache.open(layer: 0) }
        // Only one layer is asked for: none of the old ones may survive beside it.
        try cache.fill([2], backend: backend())
        #expect(cache.missing(Array(0..<7)) == [0, 1, 3, 4, 5, 6])
        #expect(!FileSystem.exists(cache.path(layer: 3)))
        let after = try model.decoder(streamed: 7).allLogits()
        #expect(after != before)
        #expect(try after == model.decoder(streamed: 0).allLogits())
    }

    @Test func `the same weights held in another way have a cache of their own`() throws {
        let model = try StreamModel(.loadedNF4)
        let layouts = try DecoderLayouts(model.loader())
        let plain = try DecoderLoader(folder: ModelFolder.open(model.path))
        let other = try PanelCache(plain, layouts: DecoderLayouts(plain), below: model.caches)
        let cache = try PanelCache(model.loader(), layouts: layouts, below: model.caches)
        #expect(other.folder != cache.folder)
        #expect(other.records != cache.records)
    }

    // MARK: Killed

    @Test func `a repack that was stopped goes on where it was`() throws {
        let model = try StreamModel(.loadedNF4)
        let cache = try model.cache()
        let all = Array(0..<StreamModel.layers)
        #expect(throws: Killed.self) {
            try cache.fill(all, backend: backend()) { done, _ in if done == 3 { throw Killed() } }
        }
        #expect(cache.missing(all) == [3, 4, 5, 6])
        // What a killed process leaves: the file that it was writing.
        try model.folder.write("garbage", "garbage")
        let partial = cache.path(layer: 3) + OutputFile.partialSuffix
        try FileSystem.copy(model.folder.file("garbage"), to: partial)
        let times = all.prefix(3).map { FileSystem.modified(cache.path(layer: $0)) }
        var reports: [Int] = []
        try cache.fill(all, backend: backend()) { done, total in
            #expect(total == 4)
            reports.append(done)
        }
        #expect(reports == [0, 1, 2, 3, 4])
        #expect(cache.missing(all).isEmpty && !FileSystem.exists(partial))
        #expect(all.prefix(3).map { FileSystem.modified(cache.path(layer: $0)) } == times)
        // Nothing is left to do.
        try cache.fill(all, backend: backend()) { _, _ in throw Killed() }
        #expect(
            try model.decoder(streamed: 7).allLogits() == model.decoder(streamed: 0).allLogits())
    }

    @Test func `a disk without room is an error before anything is written`() throws {
        let model = try StreamModel()
        var cache = try model.cache()
        let layers = [1, 4]
        let needed = cache.bytesToWrite(layers)
        #expect(needed == layers.reduce(0) { $0 + cache.records[$1].byteCount + 4096 })
        cache.freeBytes = { _ in needed - 1 }
        let error = try #require(throws: FormatError.self) {
            try cache.fill(layers, backend: backend())
        }
        #expect(error.code == .io && error.message.contains("--cache-dir"))
        #expect(cache.missing(layers) == layers)
        cache.freeBytes = { _ in needed }
        try cache.fill(layers, backend: backend())
        // Nothing more is needed for what is there.
        cache.freeBytes = { _ in 0 }
        try cache.fill(layers, backend: backend())
    }

    @Test func `a cache that cannot be written is an error`() throws {
        let model = try StreamModel()
        try model.folder.write("caches", "a file where the folder should be")
        #expect(throws: FormatError.self) {
            try model.cache().fill([0], backend: backend())
        }
    }
}

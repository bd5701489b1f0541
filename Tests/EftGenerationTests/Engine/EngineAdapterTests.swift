// SPDX-License-Identifier: Apache-2.0
// Adapters in one batch, and adapters that come and go.
import EftConfig
import EftFormats
import EftModels
import EftNN
import EftTensor
import EftTestSupport
import Testing

@testable import EftGeneration

@Suite struct EngineAdapterTests {
    /// Two adapters for one base: the second one is the first with another strength.
    private struct Adapters {
        let folder: TemporaryFolder
        let first = Fixtures.path("lora/gqa-tied/adapter")
        let second: String

        init() throws {
            folder = try TemporaryFolder()
            second = folder.file("second")
            try FileSystem.createFolder(second)
            for name in ["adapter_config.json", "adapter_model.safetensors"] {
                var bytes = try ConfigFile.contents(FileSystem.join(first, name))
                if name.hasSuffix(".json") {
                    let text = String(decoding: bytes, as: UTF8.self)
                    let changed = text.split(separator: "\n", omittingEmptySubsequences: false)
                        .map {
                            $0.contains("\"lora_alpha\"") ? "  \"lora_alpha\": 64," : String($0)
                        }
                    bytes = Array(changed.joined(separator: "\n").utf8)
                }
                try AtomicFile.write(FileSystem.join(second, name), bytes)
            }
        }
    }

    private static let rank = 8
    private let prompts: [[Int32]] = [[1, 2, 3], Array(10..<40), [5, 9, 13, 2, 2]]

    private func request(
        _ prompt: [Int32], _ adapter: EngineAdapter?, _ sink: Listener
    ) -> EngineRequest {
        var request = EngineRequest(
            prompt: prompt, parameters: EngineRig.parameters(), sink: sink)
        if let adapter { request.use(adapter) }
        return request
    }

    private func alone(_ prompt: [Int32], _ folder: String?) throws -> Listener.Heard {
        let core = try EngineRig(sequences: 1, adapterRank: Self.rank).core()
        let listener = Listener()
        let adapter = try folder.map { try core.loadAdapter($0) }
        try core.add(request(prompt, adapter, listener))
        core.drain()
        return listener.heard
    }

    @Test(arguments: [64, 7])
    func `a batch may mix adapters and the base`(_ batch: Int) throws {
        let adapters = try Adapters()
        let core = try EngineRig(sequences: 9, batch: batch, pages: 64, adapterRank: Self.rank)
            .core()
        let folders: [String?] = [nil, adapters.first, adapters.second]
        let loaded = try folders.map { folder in try folder.map { try core.loadAdapter($0) } }
        var listeners: [(Listener, [Int32], String?)] = []
        for prompt in prompts {
            for (adapter, folder) in zip(loaded, folders) {
                let listener = Listener()
                try core.add(request(prompt, adapter, listener))
                listeners.append((listener, prompt, folder))
            }
        }
        core.drain()
        var seen: Set<[Int32]> = []
        for (listener, prompt, folder) in listeners {
            let one = try alone(prompt, folder)
            #expect(listener.heard.tokens == one.tokens)
            #expect(listener.heard.logprobs == one.logprobs)
            seen.insert(one.tokens[0])
        }
        #expect(seen.count > prompts.count)
    }

    @Test func `an adapter's pages are its own, also when it is loaded again`() throws {
        let adapters = try Adapters()
        let core = try EngineRig(adapterRank: Self.rank).core()
        let prompt: [Int32] = Array(10..<44)
        var cached: [Int?] = []
        var adapter = try core.loadAdapter(adapters.first)
        for turn in 0..<4 {
            if turn == 3 {
                core.unloadAdapter(adapter)
                adapter = try core.loadAdapter(adapters.first)
            }
            let listener = Listener()
            try core.add(request(prompt, turn == 0 ? nil : adapter, listener))
            core.drain()
            cached.append(listener.heard.cached)
        }
        #expect(cached == [0, 0, 32, 0])
    }

    @Test func `an adapter that is unloaded in use serves its requests to the end`() throws {
        let adapters = try Adapters()
        let decoder = try EngineRig().decoder()
        let core = try EngineRig(adapterRank: Self.rank).core(decoder)
        let adapter = try core.loadAdapter(adapters.first)
        let listener = Listener()
        try core.add(request(prompts[1], adapter, listener))
        core.makeStep()
        core.unloadAdapter(adapter)
        #expect(decoder.linears.contains { !$0.adapters.isEmpty })
        // Nobody can ask for it any more.
        #expect(throws: GenerationError.self) {
            try core.add(request(prompts[0], adapter, Listener()))
        }
        // Its slot is not given away while it is in use.
        let other = try core.loadAdapter(adapters.second)
        #expect(other.slot != adapter.slot)
        core.drain()
        #expect(listener.heard.tokens == (try alone(prompts[1], adapters.first)).tokens)
        core.unloadAdapter(other)
        #expect(decoder.linears.allSatisfy { $0.adapters.isEmpty })
    }

    @Test func `adapters come and go without end in the memory of one`() throws {
        let adapters = try Adapters()
        let ledger = MemoryLedger()
        let backend = try CPUBackend(ledger: ledger, threads: 2)
        let folder = try ModelFolder.open(Fixtures.path("models/gqa-tied"))
        let decoder = try DecoderLoader(folder: folder).load(backend: backend)
        let core = try EngineRig(adapterRank: Self.rank).core(decoder)
        var held: Set<Int> = []
        for _ in 0..<20 {
            let adapter = try core.loadAdapter(adapters.first)
            #expect(adapter.slot == 0)
            held.insert(ledger.current.total)
            core.unloadAdapter(adapter)
            held.insert(-ledger.current.total)
        }
        #expect(held.count == 2)
    }

    @Test func `a rank beyond what memory was taken for is refused`() throws {
        let adapters = try Adapters()
        let core = try EngineRig(adapterRank: 1).core()
        #expect(throws: ModelError.self) { try core.loadAdapter(adapters.first) }
    }

    @Test func `DoRA comes at run time only where memory was taken for it`() throws {
        let dora = Fixtures.path("adapter-forms/dora/adapter")
        let error = try #require(throws: ModelError.self) {
            try EngineRig(adapterRank: 4).core().loadAdapter(dora)
        }
        #expect(error.code == .mismatch && error.description.contains("DoRA"))
        let decoder = try EngineRig().decoder()
        let first = try AdapterFile.load(dora, into: decoder)
        let core = try EngineRig().core(decoder)
        let second = try core.loadAdapter(dora)
        #expect(second.slot != first)
    }
}

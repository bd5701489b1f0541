// SPDX-License-Identifier: Apache-2.0
// Merges against PEFT's, and the round trip through NF4 against bitsandbytes.
import EftConfig
import EftConversion
import EftFormats
import EftModels
import EftNN
import EftQuant
import EftTensor
import EftTestSupport
import Testing

struct MergeGoldenTests {
    /// The largest difference, relative to the largest number.
    private func error(_ found: [Float], _ wanted: [Float]) -> Float {
        let largest = wanted.reduce(0) { max($0, abs($1)) }
        return zip(found, wanted).reduce(0) { max($0, abs($1.0 - $1.1)) } / largest
    }

    private func merge(
        _ base: String, _ adapter: String, into folder: TemporaryFolder,
        _ options: AdapterMerger.Options = .init()
    ) throws {
        let merger = try AdapterMerger(
            base: Fixtures.path(base), adapter: Fixtures.path(adapter),
            output: folder.file("merged"), options: options,
            backend: CPUBackend(ledger: MemoryLedger(), threads: 2))
        try merger.run()
    }

    /// Folders of a base, and of its adapter and the merge of both.
    static let pairs =
        [
            ("models/gqa-tied", "lora/gqa-tied"), ("models/gqa-tied", "lora/rslora-patterns"),
            ("models/gqa-tied", "adapter-forms/dora"), ("models/bias", "adapter-forms/dora-bias"),
            ("models/bias", "adapter-forms/embedding"),
        ] + Fixtures.architectures.map { ("architectures/\($0)", "architectures/\($0)") }
        + ["qwen3-moe", "gpt-oss", "granitemoe"].map {
            ("architectures/\($0)", "stacked-adapters/\($0)")
        }

    @Test(arguments: pairs)
    func `equals PEFT's merge in f32`(_ base: String, _ adapted: String) throws {
        let folder = try TemporaryFolder()
        try merge(base, adapted + "/adapter", into: folder)
        let merged = try CheckpointFolder.open(folder.file("merged"))
        let golden = try SafetensorsFile(path: Fixtures.path(adapted + "/merged.safetensors"))
        #expect(!golden.tensors.isEmpty)
        let apart = try #require(try ModelFolder.open(folder.file("merged")).checkpoint)
        for info in golden.tensors {
            // What PEFT adapts alone may stand in a tensor with others.
            let found: any CheckpointReader = merged.find(info.name) == nil ? apart : merged
            let e = error(try found.floats(of: info.name), try golden.floats(of: info.name))
            #expect(e < 1e-6, "\(info.name)")
        }
        func holdsAdapted(_ name: String) -> Bool {
            let path = name.split(separator: ".").dropLast().joined(separator: ".")
            return apart.find(name) == nil
                && golden.tensors.contains { $0.name.hasPrefix(path + ".0.") }
        }
        let source = try CheckpointFolder.open(Fixtures.path(base))
        #expect(Set(merged.tensors.map(\.name)) == Set(source.tensors.map(\.name)))
        for info in source.tensors
        where golden.find(info.name) == nil && !holdsAdapted(info.name) {
            #expect(
                try merged.bytes(of: info.name) == source.bytes(of: info.name), "\(info.name)")
        }
    }

    @Test(arguments: ["tied-both", "tied-embedding", "untied-both", "resized"])
    func `an embedding and head of the adapter take the place of the base's`(
        _ name: String
    ) throws {
        let path = "saved-modules/\(name)"
        let facts = try ConfigFile.read(Fixtures.path(path + "/case.json"))
        let folder = try TemporaryFolder()
        try merge(facts.required("base").string(), path + "/adapter", into: folder)
        let merged = try ModelFolder.open(folder.file("merged"))
        #expect(merged.description.vocabulary == (try facts.required("vocabulary").int()))
        #expect(merged.description.tiedEmbeddings == (name == "resized"))
        let checkpoint = try #require(merged.checkpoint)
        let adapter = try CheckpointFolder.open(Fixtures.path(path + "/adapter"), kind: .adapter)
        let modules = ["model.embed_tokens"] + (name == "resized" ? [] : ["lm_head"])
        for module in modules {
            let saved = "base_model.model.\(module).weight"
            let expected =
                adapter.find(saved) != nil
                ? try adapter.floats(of: saved)
                : try CheckpointFolder.open(Fixtures.path(facts.required("base").string()))
                    .floats(of: "model.embed_tokens.weight")
            #expect(try checkpoint.floats(of: module + ".weight") == expected, "\(module)")
        }
    }

    @Test(arguments: [ScoreHead(.text, labels: 1), ScoreHead(.tokens, labels: 2)])
    func `an adapter that scores becomes a model that scores the same`(_ head: ScoreHead) throws {
        let adapter = head.kind == .text ? "rewards/text-adapter" : "rewards/tokens-adapter"
        let folder = try TemporaryFolder()
        try merge("models/gqa-tied", adapter, into: folder)
        let merged = try ModelFolder.open(folder.file("merged"), scores: true)
        #expect(merged.description.scores == head)
        #expect(merged.checkpoint?.find("lm_head.weight") == nil)
        let base = try ModelFolder.open(Fixtures.path("models/gqa-tied"))
            .adapted(by: [Fixtures.path(adapter)], scores: true)
        func scores(_ model: ModelFolder, adapter: String?) throws -> [Float] {
            let decoder = try DecoderLoader(folder: model).load(
                backend: CPUBackend(threads: 1, precision: .f32))
            let slots = try adapter.map { [try AdapterFile.load($0, into: decoder)] } ?? []
            return try EvaluationPass(decoder: decoder, rows: 8, sequences: 1).values(
                DecoderBatch(sequences: [[4, 9, 33, 60, 7]], slots: slots), rows: [1, 4])
        }
        let found = try scores(merged, adapter: nil)
        #expect(found.count == 2 * head.labels)
        #expect(error(found, try scores(base, adapter: Fixtures.path(adapter))) < 1e-5)
    }

    @Test func `equals PEFT's merge in bf16, bit for bit`() throws {
        let folder = try TemporaryFolder()
        try merge("models/bf16", "lora/bf16/adapter", into: folder)
        let merged = try CheckpointFolder.open(folder.file("merged"))
        let golden = try SafetensorsFile(path: Fixtures.path("lora/bf16/merged.safetensors"))
        #expect(!golden.tensors.isEmpty)
        for info in golden.tensors {
            #expect(try merged.tensor(info.name).dtype == .bf16)
            #expect(try merged.bytes(of: info.name) == golden.bytes(of: info.name), "\(info.name)")
        }
    }

    @Test(arguments: ["gqa-tied", "rslora-patterns"])
    func `merged logits equal unmerged ones`(_ name: String) throws {
        let folder = try TemporaryFolder()
        try merge("models/gqa-tied", "lora/\(name)/adapter", into: folder)
        let golden = try SafetensorsFile(path: Fixtures.path("lora/\(name)/golden.safetensors"))
        let logits = try Logits(folder.file("merged"))
        for index in 0..<3 {
            let ids = try Logits.ids(golden, "ids_\(index)")
            let e = error(try logits(ids), try golden.floats(of: "logits_\(index)"))
            #expect(e < 1e-4, "logits_\(index)")
        }
    }

    @Test func `the round trip through NF4 equals bitsandbytes' values`() throws {
        let source = try ModelFolder.open(Fixtures.path("nf4-model/source"))
        let golden = try SafetensorsFile(
            path: Fixtures.path("nf4-model/dequantized.safetensors"))
        let base = try BaseWeights(source)
        let backend = try CPUBackend(ledger: MemoryLedger(), threads: 2)
        var compared = 0
        for case .module(let module) in base.items where module.isDecoderLinear {
            let name = module.name + ".weight"
            guard golden.find(name) != nil else { continue }
            let trip = try NF4RoundTrip(module, of: base.checkpoint, backend: backend)
            var values = [Float](repeating: 0, count: module.inputs * module.outputs)
            values.withUnsafeMutableBufferPointer {
                guard let start = $0.baseAddress else { return }
                trip.read(0..<module.outputs, into: start)
            }
            #expect(try values == golden.floats(of: name), "\(name)")
            compared += 1
        }
        #expect(compared > 0)
    }
}

/// Logits of a folder's model in f32, for comparisons.
struct Logits {
    private let decoder: Decoder

    init(_ path: String, threads: Int = 2) throws {
        let backend = try CPUBackend(
            ledger: MemoryLedger(), threads: threads, precision: .f32)
        decoder = try DecoderLoader(folder: .open(path)).load(backend: backend)
    }

    static func ids(_ file: any CheckpointReader, _ name: String) throws -> [Int32] {
        let info = try file.tensor(name)
        let bytes = try file.bytes(of: name)
        let width = info.dtype.byteWidth
        return bytes.withUnsafeBytes { raw in
            (0..<info.shape.count).map { index in
                width == 8
                    ? Int32(
                        truncatingIfNeeded: raw.loadUnaligned(
                            fromByteOffset: index * 8, as: Int64.self))
                    : raw.loadUnaligned(fromByteOffset: index * 4, as: Int32.self)
            }
        }
    }

    /// All logits of one sequence, `[T][V]`.
    func callAsFunction(_ ids: [Int32]) throws -> [Float] {
        let shape = decoder.description.shape
        let cache = try PassCache(
            pageCount: pageCount(tokens: ids.count), shape: shape, backward: false,
            ledger: decoder.devices[0].ledger)
        let workspace = try DecoderWorkspace(
            DecoderWorkspaceNeed(rows: ids.count, logitRows: ids.count),
            decoder: decoder)
        let batch = DecoderBatch(sequences: [ids])
        let hidden = try decoder.forward(batch, cache: cache, workspace: workspace)
        return try decoder.logits(
            of: hidden, rows: Array(0..<ids.count), batch: batch, workspace: workspace
        ).array
    }
}

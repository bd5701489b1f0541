// SPDX-License-Identifier: Apache-2.0
// Conversions and merges that are killed, and go on to the same bytes.
import EftConfig
import EftConversion
import EftFormats
import EftModels
import EftTensor
import EftTestSupport
import Testing

/// A conversion or a merge of a tiny model, into any folder.
private final class Work {
    enum Kind: CaseIterable { case convert, merge }

    struct Stop: Error {}

    let folder: TemporaryFolder
    let kind: Kind
    private let model: String
    private let adapter: String
    private(set) var notes: [String] = []
    private(set) var items: [String] = []

    init(_ kind: Kind) throws {
        self.kind = kind
        folder = try TemporaryFolder()
        model = try TinyModel.write(to: folder)
        adapter = folder.file("adapter")
        try writeAdapter(fill: 0.5)
    }

    /// Replaces the adapter, on q_proj of both layers.
    func writeAdapter(fill: Float) throws {
        let modules = (0..<2).map { "base_model.model.model.layers.\($0).self_attn.q_proj" }
        let infos = try modules.flatMap { name in
            [
                try TensorInfo(name: name + ".lora_A.weight", dtype: .f32, shape: Shape(2, 64)),
                try TensorInfo(name: name + ".lora_B.weight", dtype: .f32, shape: Shape(64, 2)),
            ]
        }
        let writer = try SafetensorsWriter(
            folder: adapter, baseName: "adapter_model", tensors: infos)
        for info in infos {
            let values = [Float](repeating: fill, count: info.shape.count)
            try values.withUnsafeBytes { try writer.write(info.name, $0) }
        }
        try writer.finish()
        try AtomicFile.write(
            FileSystem.join(adapter, "adapter_config.json"),
            #"{"peft_type": "LORA", "r": 2, "lora_alpha": 4, "target_modules": ["q_proj"]}"#)
    }

    /// Runs the work.
    /// - Parameter watch: told before each step how many there were.
    func run(
        to output: String, dtype: DType? = nil, shard: Int = 20_000,
        watch: @escaping (Int) throws -> Void = { _ in }
    ) throws {
        (notes, items) = ([], [])
        let monitor = ConversionMonitor(
            note: { self.notes.append($0) },
            report: {
                try watch(self.items.count)
                self.items.append($0.item)
            })
        let backend = try CPUBackend(ledger: MemoryLedger(), threads: 2)
        switch kind {
        case .convert:
            try CheckpointConverter(
                input: model, output: folder.file(output),
                options: .init(dtype: dtype, maxShardBytes: shard), backend: backend
            ).run(monitor)
        case .merge:
            try AdapterMerger(
                base: model, adapter: adapter, output: folder.file(output),
                options: .init(dtype: dtype, maxShardBytes: shard), backend: backend
            ).run(monitor)
        }
    }

    /// Runs the work and stops it before a step.
    func stop(before step: Int, to output: String, dtype: DType? = nil, shard: Int = 20_000) throws
    {
        #expect(throws: Stop.self) {
            try run(to: output, dtype: dtype, shard: shard) { if $0 == step { throw Stop() } }
        }
    }

    /// A file in the folder of unfinished files.
    func unfinished(_ output: String, _ name: String) -> String {
        "\(output)/eft-unfinished/\(name)"
    }
}

struct ResumeTests {
    @Test(arguments: Work.Kind.allCases)
    fileprivate func `killed at any step, it goes on to the same folder`(_ kind: Work.Kind) throws {
        let work = try Work(kind)
        // What each step leaves is what a kill at that moment leaves, the half-written file among it.
        var states: [Int] = []
        try work.run(to: "whole") { step in
            try work.folder.copyTree("whole", to: "killed-\(step)")
            states.append(step)
        }
        let (whole, all) = (try work.folder.tree("whole"), work.items)
        #expect(states.count >= 20)
        #expect(whole.keys.filter { $0.hasSuffix(".safetensors") }.count > 5)
        var repeated: Set<Int> = []
        for step in states {
            let killed = "killed-\(step)"
            #expect(throws: FormatError.self) {
                try CheckpointFolder.open(work.folder.file(killed))
            }
            try work.run(to: killed)
            #expect(try work.folder.tree(killed) == whole, "killed at step \(step)")
            // Only the shard that was being written is written again.
            #expect(work.items == all.suffix(work.items.count))
            #expect(work.items.count >= all.count - step)
            repeated.insert(work.items.count)
        }
        #expect(repeated.count > 5)
    }

    @Test(arguments: Work.Kind.allCases)
    fileprivate func `stopped again and again, it comes to the end`(_ kind: Work.Kind) throws {
        let work = try Work(kind)
        try work.run(to: "whole")
        let count = work.items.count
        try work.stop(before: 0, to: "out")
        #expect(try work.folder.tree("out").isEmpty)
        var stops = 0
        while stops < count {
            do {
                try work.run(to: "out") { if $0 == 4 { throw Work.Stop() } }
                break
            } catch is Work.Stop {
                stops += 1
                let left = try work.folder.tree("out").keys
                #expect(left.allSatisfy { !$0.hasSuffix(".partial") })
            }
        }
        #expect(stops > 2 && stops < count)
        #expect(work.notes.count == 1 && work.notes[0].contains("going on"))
        #expect(try work.folder.tree("out") == work.folder.tree("whole"))
    }

    @Test(arguments: Work.Kind.allCases)
    fileprivate func `killed while names are given, it gives the rest`(_ kind: Work.Kind) throws {
        let work = try Work(kind)
        try work.run(to: "whole")
        let whole = try work.folder.tree("whole")
        // A folder in the place of the first file stops the work when all is made and nothing is named.
        try FileSystem.createFolder(work.folder.file("out/config.json/x"))
        let error = #expect(throws: FormatError.self) { try work.run(to: "out") }
        #expect(error?.code == .io)
        let job = ConfigCursor(
            try JSONParser.parse(
                FileSystem.read(work.folder.file(work.unfinished("out", ".job.json")))))
        let names = try job.required("files").object().keys
        #expect(Set(names) == Set(whole.keys))
        for count in 0...names.count {
            let killed = "killed-\(count)"
            try work.folder.copyTree("out/eft-unfinished", to: killed + "/eft-unfinished")
            for name in names.prefix(count) {
                try FileSystem.move(
                    work.folder.file(work.unfinished(killed, name)),
                    to: work.folder.file("\(killed)/\(name)"))
            }
            // Without the index, which comes last, the shards' names tell that all are there.
            if count < names.count - 1 {
                #expect(throws: FormatError.self) {
                    try CheckpointFolder.open(work.folder.file(killed))
                }
            }
            try work.run(to: killed)
            #expect(try work.folder.tree(killed) == whole, "killed after \(count) names")
            #expect(work.items.isEmpty && work.notes.count == 1)
        }
    }

    @Test func `other options and changed inputs start anew and say so`() throws {
        let work = try Work(.merge)
        try work.run(to: "plain")
        try work.run(to: "f32", dtype: .f32)
        try work.run(to: "shards", shard: 50_000)
        func check(_ wanted: String, _ word: String) throws {
            #expect(work.notes.count == 1)
            #expect(work.notes.first?.hasPrefix("starting anew: ") == true)
            #expect(work.notes.first?.contains(word) == true, "\(work.notes)")
            #expect(try work.folder.tree("out") == work.folder.tree(wanted))
        }
        try work.stop(before: 12, to: "out")
        try work.run(to: "out", dtype: .f32)
        try check("f32", "type of numbers")
        try work.stop(before: 12, to: "out", dtype: .f32)
        try work.run(to: "out", dtype: .f32, shard: 50_000)
        try work.stop(before: 12, to: "out")
        try work.run(to: "out", shard: 50_000)
        try check("shards", "size of weight files")
        // The same tensors with other numbers: nothing but the inputs tells.
        try work.stop(before: 12, to: "out")
        try work.writeAdapter(fill: 0.25)
        try work.run(to: "out")
        let notes = work.notes
        try work.run(to: "other adapter")
        #expect(notes.first?.contains("of the adapter") == true, "\(notes)")
        #expect(try work.folder.tree("out") == work.folder.tree("other adapter"))
        #expect(try work.folder.tree("out") != work.folder.tree("plain"))
    }

    static let damages: [(what: String, damage: @Sendable ([UInt8]) -> [UInt8])] = [
        ("cut off", { Array($0.dropLast()) }), ("empty", { _ in [] }),
        ("longer", { $0 + [0] }),
        ("another header", { Array($0.prefix(20)) + [0] + $0.dropFirst(21) }),
        ("zeros", { [UInt8](repeating: 0, count: $0.count) }),
    ]

    @Test(arguments: damages.indices, ["model-00001-of-000", ".job.json"])
    func `damaged left-overs are made again`(_ index: Int, _ prefix: String) throws {
        let work = try Work(.convert)
        try work.run(to: "whole")
        try work.stop(before: 15, to: "out")
        let left = try work.folder.tree("out/eft-unfinished")
        let name = try #require(left.keys.first { $0.hasPrefix(prefix) })
        let bytes = try #require(left[name]).bytes
        let damaged = ResumeTests.damages[index].damage(bytes)
        #expect(damaged != bytes)
        try work.folder.write(work.unfinished("out", name), damaged)
        try work.folder.write(work.unfinished("out", "stray.json"), "{}")
        try work.run(to: "out")
        #expect(try work.folder.tree("out") == work.folder.tree("whole"))
    }

    @Test func `a finished file that was lost is made again`() throws {
        let work = try Work(.convert)
        try work.run(to: "whole")
        try FileSystem.createFolder(work.folder.file("out/config.json/x"))
        #expect(throws: FormatError.self) { try work.run(to: "out") }
        try work.folder.copyTree("out/eft-unfinished", to: "again/eft-unfinished")
        try FileSystem.remove(work.folder.file(work.unfinished("again", "tokenizer.json")))
        try work.run(to: "again")
        #expect(work.notes.first?.contains("tokenizer.json") == true)
        #expect(try work.folder.tree("again") == work.folder.tree("whole"))
    }

    @Test(arguments: [5_000, 20_000, 1 << 30])
    func `an older checkpoint stays whole until the new one is`(_ shard: Int) throws {
        let work = try Work(.convert)
        try work.run(to: "whole", shard: 20_000)
        try work.run(to: "out", dtype: .f32, shard: shard)
        let older = try work.folder.tree("out")
        for step in [0, 1, 4, 5] {
            try work.stop(before: step, to: "out", shard: 20_000)
            let now = try work.folder.tree("out").filter { !$0.key.hasPrefix("eft-unfinished") }
            #expect(now == older)
        }
        try work.run(to: "out", shard: 20_000)
        #expect(try work.folder.tree("out") == work.folder.tree("whole"))
    }

    @Test func `a full disk keeps the finished files, and the next run goes on`() throws {
        let work = try Work(.convert)
        try work.run(to: "whole")
        try work.stop(before: 9, to: "out")
        // The next file but one gets its bytes on the device that is always full.
        let finished = try work.folder.tree("out/eft-unfinished").keys
            .filter { $0.hasSuffix(".safetensors") }.sorted()
        let names = try work.folder.tree("whole").keys.filter { $0.hasSuffix(".safetensors") }
            .sorted()
        let full = names[finished.count + 1]
        try work.folder.link(work.unfinished("out", full + ".partial"), to: "/dev/full")
        let error = #expect(throws: FormatError.self) { try work.run(to: "out") }
        #expect(error?.code == .io && error?.message.contains("No space left") == true)
        let kept = try work.folder.tree("out/eft-unfinished").keys
            .filter { $0.hasSuffix(".safetensors") }.sorted()
        #expect(kept == Array(names.prefix(finished.count + 1)))
        #expect(throws: FormatError.self) { try CheckpointFolder.open(work.folder.file("out")) }
        try work.run(to: "out")
        #expect(try work.folder.tree("out") == work.folder.tree("whole"))
    }

    @Test func `two conversions to one folder do not mix`() throws {
        let work = try Work(.convert)
        try work.run(to: "whole")
        let other = work.folder.file("out")
        try work.run(to: "out") { step in
            guard step == 7 else { return }
            let error = #expect(throws: FormatError.self) {
                try CheckpointConverter(
                    input: work.folder.file("model"), output: other, options: .init(),
                    backend: CPUBackend(ledger: MemoryLedger(), threads: 1)
                ).run()
            }
            #expect(error?.message.contains("another process") == true)
        }
        #expect(try work.folder.tree("out") == work.folder.tree("whole"))
    }
}

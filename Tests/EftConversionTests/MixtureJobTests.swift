// SPDX-License-Identifier: Apache-2.0
// Quantizations of tiny mixtures of experts.
import EftConfig
import EftFormats
import EftModels
import EftTensor
import EftTestSupport
import Testing

@testable import EftConversion

struct MixtureJobTests {
    private struct Stop: Error {}

    private func job(
        _ folder: TemporaryFolder, type: String = "mixtral", output: String = "out",
        work: String = "work", rows: Int = 6, length: Int = 40, bits: Double = 8,
        recipe: QuantizeRecipe = .uniform, expertsPerToken: Int = 2,
        ledger: MemoryLedger = MemoryLedger(), _ change: (inout QuantizeOptions) -> Void = { _ in }
    ) throws -> QuantizeJob {
        let path = folder.file("model")
        if !FileSystem.exists(path) {
            _ = try TinyModel.write(to: folder, type: type, expertsPerToken: expertsPerToken)
        }
        let tokens = TinyModel.tokens(rows * length)
        var options = QuantizeOptions(
            bits: bits, recipe: recipe, headBits: 8, rows: rows, length: length)
        options.measurementRows = min(rows, 3)
        options.measurementLength = min(length, 24)
        change(&options)
        return try QuantizeJob(
            input: path, work: folder.file(work), output: folder.file(output),
            calibration: CalibrationRows(
                name: "text.txt", tokens: tokens, rows: rows, length: length),
            options: options, backend: CPUBackend(ledger: ledger, threads: 2))
    }

    @Test func `experts are quantized and the router is not`() throws {
        let folder = try TemporaryFolder()
        let report = try job(folder).run()
        let out = try CheckpointFolder.open(folder.file("out"))
        let moe = "model.layers.1.block_sparse_moe."
        #expect(try out.tensor(moe + "gate.weight").dtype == .f16)
        for part in ["w1", "w2", "w3"] {
            #expect(out.find(moe + "experts.1.\(part).q_weight") != nil)
            #expect(out.find(moe + "experts.1.\(part).weight") == nil)
        }
        // Four of attention and three of each of two experts, in two layers, and the head.
        #expect(report.linears.count == 2 * (4 + 2 * 3) + 1)
        #expect(report.linears.allSatisfy { $0.error < $0.roundingError })
        #expect(report.rareExperts.isEmpty)
        let difference = try TinyModel.error(folder)
        #expect(difference < 0.04)
    }

    @Test(arguments: [QuantizeRecipe.eft, .exllamav2], [4.5, 6])
    func `a mix has the bits asked for and runs`(recipe: QuantizeRecipe, bits: Double) throws {
        let folder = try TemporaryFolder()
        let report = try job(folder, bits: bits, recipe: recipe).run()
        #expect(report.bitsPerWeight <= bits && report.bitsPerWeight > bits - 0.25)
        let difference = try TinyModel.error(folder)
        #expect(difference < 0.5)
        // Like layers of all experts have the same widths, as ExLlamaV2's measurements have it.
        let measurement = ConfigCursor(
            try JSONParser.parse(FileSystem.read(folder.file("work/measurement.json"))))
        let options = try measurement.required("measurement")
            .required("model.layers.0.block_sparse_moe").elements()
        let first = try #require(options.first)
        for part in ["w1", "w2", "w3"] { _ = try first.required(part).required("bits_prop") }
        let widths = Dictionary(
            report.linears.map { ($0.name, $0.bitsPerWeight) }, uniquingKeysWith: { a, _ in a })
        for part in ["w1", "w2", "w3"] {
            let stem = "model.layers.0.block_sparse_moe.experts."
            #expect(widths["\(stem)0.\(part)"] == widths["\(stem)1.\(part)"])
        }
    }

    @Test(
        arguments: [
            "mixtral", "qwen2_moe", "qwen3_moe", "olmoe", "lfm2", "lfm2_moe", "granitemoehybrid",
            "llama4_text",
        ],
        QuantizeRecipe.allCases)
    func `all linear layers of every family are quantized, within what was stated`(
        type: String, recipe: QuantizeRecipe
    ) throws {
        let folder = try TemporaryFolder()
        let ledger = MemoryLedger()
        let job = try job(
            folder, type: type, bits: recipe == .uniform ? 8 : 6, recipe: recipe, ledger: ledger)
        let stated = try job.memory()
        let report = try job.run()
        #expect(
            ledger.peakTotal <= stated.total,
            "held \(ledger.peak.rendered), stated \(stated.rendered)")
        let out = try CheckpointFolder.open(folder.file("out"))
        let model = try ModelFolder.open(folder.file("out")).description
        var quantized = 0
        for linear in (0..<model.layers).flatMap({ model.linears(layer: $0) }) {
            let isRouter = linear.role.isRouter
            #expect((out.find(linear.name + ".weight") != nil) == isRouter, "\(linear.name)")
            #expect((out.find(linear.name + ".q_weight") == nil) == isRouter, "\(linear.name)")
            quantized += isRouter ? 0 : 1
        }
        #expect(report.linears.count == quantized + 1)
        let difference = try TinyModel.error(folder)
        #expect(difference < 0.3)
    }

    @Test(arguments: [
        (QuantizeRecipe.uniform, "model.layers.0.block_sparse_moe.experts.1.w2"),
        (.uniform, "model.layers.1: row 2 of 6"),
        (.eft, "model.layers.1.block_sparse_moe.experts.0.w2"),
        (.exllamav2, "model.layers.1.block_sparse_moe.experts.1.w2"),
    ])
    func `a run that was stopped goes on to the same bytes`(
        recipe: QuantizeRecipe, item: String
    ) throws {
        let folder = try TemporaryFolder()
        let bits = recipe == .uniform ? 8.0 : 6
        _ = try job(folder, output: "whole", work: "other", bits: bits, recipe: recipe).run()
        #expect(throws: Stop.self) {
            try job(folder, bits: bits, recipe: recipe).run(
                ConversionMonitor(report: { if $0.item == item { throw Stop() } }))
        }
        _ = try job(folder, bits: bits, recipe: recipe).run()
        #expect(try folder.tree("out") == folder.tree("whole"))
    }

    @Test func `an adapter on attention and experts is folded in on the way`() throws {
        let folder = try TemporaryFolder()
        let base = try TinyModel.write(to: folder, type: "mixtral", expertsPerToken: 2)
        let expert = "model.layers.0.block_sparse_moe.experts.1.w2."
        let adapter = try TinyAdapter.write(
            to: folder,
            [
                ("model.layers.1.self_attn.q_proj.lora_A.weight", [2, 64]),
                ("model.layers.1.self_attn.q_proj.lora_B.weight", [64, 2]),
                (expert + "lora_A.weight", [2, 96]), (expert + "lora_B.weight", [64, 2]),
            ],
            config: #"""
                {"peft_type": "LORA", "r": 2, "lora_alpha": 4, "target_modules": ["q_proj", "w2"]}
                """#
        ) { Float($0 % 11) * 0.01 - 0.05 }
        let report = try job(folder, bits: 5, recipe: .eft) { $0.adapter = adapter }.run()
        try AdapterMerger(
            base: base, adapter: adapter, output: folder.file("merged"), options: .init(),
            backend: CPUBackend(ledger: MemoryLedger(), threads: 2)
        ).run()
        try FileSystem.removeFolder(base)
        try FileSystem.move(folder.file("merged"), to: base)
        let other = try job(folder, output: "two", work: "two-work", bits: 5, recipe: .eft).run()
        #expect(report == other)
        #expect(
            try FileSystem.read(folder.file("out/output.safetensors"))
                == FileSystem.read(folder.file("two/output.safetensors")))
    }

    @Test func `experts that few tokens chose are told`() throws {
        let folder = try TemporaryFolder()
        let report = try job(folder, rows: 1, length: 8, expertsPerToken: 1).run()
        // Eight tokens are shared by two experts of 96 inputs each; an eighth of 96 is 12.
        #expect(report.rareExperts.count == 4)
        #expect(report.rareExperts.allSatisfy { $0.name.hasSuffix(".w2") })
        let tokens = report.rareExperts.reduce(0) { $0 + $1.tokens }
        #expect(tokens == 2 * 8)
        let saved = try JSONParser.parse(FileSystem.read(folder.file("work/job_new.json")))
        let read = try QuantizeReport(ConfigCursor(saved).required("report"))
        #expect(read.rareExperts == report.rareExperts)
    }

    @Test func `a Hessian without a token is the identity`() throws {
        let backend = try CPUBackend(threads: 1)
        let hessian = try Hessian(size: 4, ledger: nil)
        hessian.supplement()
        try hessian.factor(module: "x", backend: backend)
        #expect(hessian.permutation == [0, 1, 2, 3])
        for row in 0..<4 {
            #expect(abs(hessian.values[row * 5] - hessian.values[0]) < 1e-6)
            #expect(hessian.values[row * 5] > 0.9)
        }
    }

    @Test func `few tokens are made up for, and enough are left alone`() throws {
        let backend = try CPUBackend(threads: 1)
        let x = try Matrix(rows: 2, columns: 8, ledger: nil)
        for index in 0..<x.count { x.pointer[index] = Float(index) - 7 }
        func diagonal(_ times: Int) throws -> (before: [Float], after: [Float]) {
            let hessian = try Hessian(size: 8, ledger: nil)
            for _ in 0..<times { try hessian.add(x, backend: backend) }
            func values() -> [Float] { (0..<8).map { hessian.values[$0 * 9] } }
            let before = values()
            hessian.supplement()
            return (before, values())
        }
        let few = try diagonal(1)
        let mean = few.before.reduce(0, +) / 8
        // Six of eight tokens are missing; an eighth of them counts, beside two that came.
        for (a, b) in zip(few.before, few.after) { #expect(abs(b - a - mean * 6 / 16) < 1e-3) }
        let enough = try diagonal(4)
        #expect(enough.before == enough.after)
    }
}

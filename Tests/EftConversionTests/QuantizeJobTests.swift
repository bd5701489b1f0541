// SPDX-License-Identifier: Apache-2.0
// Whole quantizations of tiny models: quality, files, resuming, memory.
import EftConfig
import EftConversion
import EftFormats
import EftModels
import EftNN
import EftQuant
import EftTensor
import EftTestSupport
import Testing

struct QuantizeJobTests {
    private struct Stop: Error {}

    private func calibration(rows: Int = 6, length: Int = 40) throws -> CalibrationRows {
        let tokens = TinyModel.tokens(rows * length)
        return try CalibrationRows(name: "text.txt", tokens: tokens, rows: rows, length: length)
    }

    private func job(
        _ folder: TemporaryFolder, output: String = "out", work: String = "work",
        type: String = "llama", tied: Bool = true, bias: Bool = false, bits: Int = 4,
        headBits: Int = 6,
        ledger: MemoryLedger = MemoryLedger(), anew: Bool = false
    ) throws -> QuantizeJob {
        let path = folder.file("model")
        if !FileSystem.exists(path) {
            _ = try TinyModel.write(to: folder, type: type, tied: tied, bias: bias)
        }
        return try QuantizeJob(
            input: path, work: folder.file(work), output: folder.file(output),
            calibration: calibration(),
            options: QuantizeOptions(
                bits: Double(bits), recipe: .uniform, headBits: headBits, startsAnew: anew),
            backend: CPUBackend(ledger: ledger, threads: 2))
    }

    private func ids(_ vocabulary: Int) -> [Int32] {
        (0..<24).map { Int32(($0 * 5 + 3) % vocabulary) }
    }

    private func error(_ found: [Float], _ wanted: [Float]) -> Float {
        let largest = wanted.reduce(0) { max($0, abs($1)) }
        return zip(found, wanted).reduce(0) { max($0, abs($1.0 - $1.1)) } / largest
    }

    @Test(arguments: [(8, 8, Float(0.025)), (6, 6, 0.15), (4, 6, 0.35), (2, 4, 2)])
    func `the written folder gives logits near the unquantized`(
        bits: Int, headBits: Int, bound: Float
    ) throws {
        let folder = try TemporaryFolder()
        let report = try job(folder, bits: bits, headBits: headBits).run()
        let model = try ModelFolder.open(folder.file("out"))
        #expect(!model.description.tiedEmbeddings)
        let quantization = try model.config.required("quantization_config")
        #expect(try quantization.required("quant_method").string() == "exl2")
        let base = try ModelFolder.open(folder.file("model"))
        let ids = ids(base.description.vocabulary)
        let wanted = try Logits(base.path)(ids)
        let difference = try error(Logits(model.path)(ids), wanted)
        #expect(difference < bound)
        #expect(report.linears.count == base.description.layers * 7 + 1)
        #expect(report.layerErrors.count == base.description.layers)
        #expect(report.calibrationPerplexity.map { $0.isFinite } ?? false)
    }

    @Test(arguments: [2, 3, 4, 5])
    func `GPTQ loses less of the output than plain rounding in every layer`(_ bits: Int) throws {
        let folder = try TemporaryFolder()
        let report = try job(folder, bits: bits, headBits: 4).run()
        for linear in report.linears {
            #expect(linear.error < linear.roundingError, "\(linear.name)")
        }
    }

    @Test func `the norms of heads are kept in f16 and used in calibration`() throws {
        let folder = try TemporaryFolder()
        let report = try job(folder, type: "qwen3", bits: 8, headBits: 8).run()
        let out = try ModelFolder.open(folder.file("out"))
        let checkpoint = try #require(out.checkpoint)
        for layer in 0..<2 {
            let norms = out.description.layerNorms(layer)
            for norm in [try #require(norms.query), try #require(norms.key)] {
                let info = try checkpoint.tensor(norm.name + ".weight")
                #expect(info.dtype == .f16 && info.shape.dims == [16])
            }
        }
        let ids = ids(out.description.vocabulary)
        let wanted = try Logits(folder.file("model"))(ids)
        let difference = try error(Logits(out.path)(ids), wanted)
        #expect(difference < 0.025)
        #expect(report.layerErrors.allSatisfy { $0 < 0.02 })
    }

    @Test func `biases are kept in f16`() throws {
        let folder = try TemporaryFolder()
        _ = try job(folder, tied: false, bias: true, bits: 8, headBits: 8).run()
        let out = try CheckpointFolder.open(folder.file("out"))
        let base = try CheckpointFolder.open(folder.file("model"))
        var found = 0
        for info in base.tensors where info.name.hasSuffix(".bias") {
            #expect(try out.tensor(info.name).dtype == .f16)
            found += 1
        }
        #expect(found > 0)
    }

    @Test func `a run that was stopped goes on to the same bytes`() throws {
        let folder = try TemporaryFolder()
        _ = try job(folder, output: "whole", work: "one").run()
        let stopped = try job(folder, work: "two")
        let last = "model.layers.1.mlp.gate_proj"
        #expect(throws: Stop.self) {
            try stopped.run(
                ConversionMonitor(report: { if $0.item == last { throw Stop() } }))
        }
        #expect(!FileSystem.exists(folder.file("out/output.safetensors")))
        let again = try job(folder, work: "two")
        #expect(again.resumedLayers == 1)
        let report = try again.run()
        let name = "output.safetensors"
        #expect(
            try FileSystem.read(folder.file("out/\(name)"))
                == FileSystem.read(folder.file("whole/\(name)")))
        #expect(report.layerErrors.count == 2)
        // Finished: it does nothing but tell the report again.
        #expect(try job(folder, work: "two").run() == report)
    }

    @Test(arguments: [
        "work/hidden_states-1.safetensors", "work/job_new.json",
        "work/out_tensor/model.layers.1.mlp.up_proj.safetensors",
        "work/out_tensor/lm_head.safetensors",
        "out/output.safetensors", "out/config.json",
    ])
    func `a full disk keeps what is finished, and the next run goes on to the same bytes`(
        _ name: String
    ) throws {
        let folder = try TemporaryFolder()
        _ = try job(folder, output: "whole", work: "one").run()
        for path in ["work/out_tensor", "out"] { try FileSystem.createFolder(folder.file(path)) }
        try folder.link(name + ".partial", to: "/dev/full")
        let full = try job(folder)
        let error = #expect(throws: FormatError.self) { try full.run() }
        #expect(error?.code == .io && error?.path == folder.file(name))
        #expect(error?.message.contains("No space left") == true)
        #expect(!FileSystem.exists(folder.file("out/output.safetensors")))
        #expect(try folder.tree("work").keys.allSatisfy { !$0.hasSuffix(".partial") })
        let again = try job(folder)
        let reached =
            switch name {
            case "work/job_new.json", "work/hidden_states-1.safetensors": 0
            case "work/out_tensor/model.layers.1.mlp.up_proj.safetensors": 1
            default: 2
            }
        #expect(again.resumedLayers == reached)
        _ = try again.run()
        #expect(try folder.tree("out") == folder.tree("whole"))
    }

    @Test func `a full disk leaves an older output whole`() throws {
        let folder = try TemporaryFolder()
        _ = try job(folder, work: "one", bits: 3).run()
        let older = try FileSystem.read(folder.file("out/output.safetensors"))
        try folder.link("out/output.safetensors.partial", to: "/dev/full")
        #expect(throws: FormatError.self) { try job(folder, work: "two").run() }
        #expect(try FileSystem.read(folder.file("out/output.safetensors")) == older)
        #expect(try CheckpointFolder.open(folder.file("out")).tensors.count > 10)
    }

    @Test func `another job in the work folder is refused, or begun anew`() throws {
        let folder = try TemporaryFolder()
        _ = try job(folder).run()
        #expect(throws: ConversionError.self) { try job(folder, bits: 3) }
        _ = try job(folder, bits: 3, anew: true).run()
    }

    @Test func `memory stays within what was stated`() throws {
        let folder = try TemporaryFolder()
        let ledger = MemoryLedger()
        let job = try job(folder, ledger: ledger)
        let stated = try job.memory()
        _ = try job.run()
        #expect(
            ledger.peakTotal <= stated.total,
            "held \(ledger.peak.rendered), stated \(stated.rendered)")
        // The rows are shorter than the longest that is stated, and take less scratch.
        #expect(Double(ledger.peakTotal) > 0.9 * Double(stated.total))
        #expect(ledger.current.total <= stated.total / 2 || ledger.current.total < 1 << 24)
    }

    @Test(arguments: [(7, 6), (4, 7), (0, 6), (16, 6)])
    func `widths that EXL2 does not have are refused`(bits: Int, headBits: Int) throws {
        let folder = try TemporaryFolder()
        #expect(throws: ConversionError.self) { try job(folder, bits: bits, headBits: headBits) }
    }

    @Test func `calibration rows are consecutive, and a short text is one row`() throws {
        let tokens = (0..<10).map { Int32($0) }
        let rows = try CalibrationRows(name: "x", tokens: tokens, rows: 9, length: 4)
        #expect(rows.rows == [[0, 1, 2, 3], [4, 5, 6, 7]])
        #expect(try CalibrationRows(name: "x", tokens: tokens, rows: 1, length: 4).rows.count == 1)
        #expect(
            try CalibrationRows(name: "x", tokens: tokens, rows: 2, length: 99).rows == [tokens])
        #expect(throws: ConversionError.self) {
            try CalibrationRows(name: "x", tokens: [1], rows: 2, length: 4)
        }
    }
}

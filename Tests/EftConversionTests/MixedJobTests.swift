// SPDX-License-Identifier: Apache-2.0
// Quantizations of tiny models at mixed widths: measuring, choosing, resuming, and files of measurements.
import EftConfig
import EftFormats
import EftModels
import EftQuant
import EftTensor
import EftTestSupport
import Testing

@testable import EftConversion

#if canImport(Glibc)
    import Glibc
#endif

struct MixedJobTests {
    private struct Stop: Error {}

    private func job(
        _ folder: TemporaryFolder, output: String = "out", work: String = "work",
        bits: Double = 5, recipe: QuantizeRecipe = .eft, ledger: MemoryLedger = MemoryLedger(),
        _ change: (inout QuantizeOptions) -> Void = { _ in }
    ) throws -> QuantizeJob {
        let path = folder.file("model")
        if !FileSystem.exists(path) { _ = try TinyModel.write(to: folder) }
        let tokens = TinyModel.tokens(6 * 40)
        var options = QuantizeOptions(bits: bits, recipe: recipe, rows: 6, length: 40)
        options.measurementRows = 3
        options.measurementLength = 24
        change(&options)
        return try QuantizeJob(
            input: path, work: folder.file(work), output: folder.file(output),
            calibration: CalibrationRows(name: "text.txt", tokens: tokens, rows: 6, length: 40),
            options: options, backend: CPUBackend(ledger: ledger, threads: 2))
    }

    @Test(arguments: [QuantizeRecipe.eft, .exllamav2], [4.5, 5.25, 7])
    func `a mix has the bits asked for and runs`(recipe: QuantizeRecipe, bits: Double) throws {
        let folder = try TemporaryFolder()
        let report = try job(folder, bits: bits, recipe: recipe).run()
        // Two layers of 64 inputs have few steps between sizes.
        #expect(report.bitsPerWeight <= bits && report.bitsPerWeight > bits - 0.25)
        let out = try ModelFolder.open(folder.file("out"))
        let block = try out.config.required("quantization_config")
        #expect(try block.required("bits").double() == bits)
        let error = try TinyModel.error(folder)
        #expect(error < 0.5)
        let files = try FileSystem.list(folder.file("work"))
        #expect(!files.contains { $0.contains("_states") })
    }

    @Test(arguments: [QuantizeRecipe.eft, .exllamav2])
    func `memory stays within what was stated`(_ recipe: QuantizeRecipe) throws {
        let folder = try TemporaryFolder()
        let ledger = MemoryLedger()
        let job = try job(folder, recipe: recipe, ledger: ledger)
        let stated = try job.memory()
        _ = try job.run()
        #expect(
            ledger.peakTotal <= stated.total,
            "held \(ledger.peak.rendered), stated \(stated.rendered)")
        // The plan is made before the mix is known, for the widest codes.
        #expect(Double(ledger.peakTotal) > 0.8 * Double(stated.total))
    }

    @Test(arguments: [
        "model.layers.0: sensitivity, backward", "model.layers.1.mlp.down_proj",
        "model.layers.1: row 2 of 3", "model.layers.1: row 5 of 6",
    ])
    func `a run that was stopped anywhere goes on to the same bytes`(_ item: String) throws {
        let folder = try TemporaryFolder()
        _ = try job(folder, output: "whole", work: "one").run()
        let stopped = try job(folder, work: "two")
        #expect(throws: Stop.self) {
            try stopped.run(ConversionMonitor(report: { if $0.item == item { throw Stop() } }))
        }
        #expect(!FileSystem.exists(folder.file("out/output.safetensors")))
        _ = try job(folder, work: "two").run()
        #expect(try folder.tree("out") == folder.tree("whole"))
    }

    @Test(arguments: [QuantizeRecipe.eft, .exllamav2])
    func `a measurement is made once and used for any size`(_ recipe: QuantizeRecipe) throws {
        let folder = try TemporaryFolder()
        let file = folder.file("m.json")
        _ = try job(folder, output: "none", work: "m", recipe: recipe) {
            $0.measurementOutput = file
        }.run()
        #expect(!FileSystem.exists(folder.file("none")))
        let whole = try job(folder, output: "whole", work: "one", recipe: recipe).run()
        let used = try job(folder, work: "two", recipe: recipe) { $0.measurement = file }
        var items: [String] = []
        let report = try used.run(ConversionMonitor(report: { items.append($0.item) }))
        #expect(report == whole)
        #expect(!items.contains { $0.contains("sensitivity") || $0.contains("options") })
        #expect(
            try FileSystem.read(folder.file("out/output.safetensors"))
                == FileSystem.read(folder.file("whole/output.safetensors")))
        let smaller = try job(folder, output: "small", work: "three", bits: 4.2, recipe: recipe) {
            $0.measurement = file
        }.run()
        #expect(smaller.bitsPerWeight < report.bitsPerWeight)
    }

    @Test func `a job that only measured goes on to quantize`() throws {
        let folder = try TemporaryFolder()
        _ = try job(folder) { $0.measurementOutput = folder.file("m.json") }.run()
        let again = try job(folder)
        var items: [String] = []
        _ = try again.run(ConversionMonitor(report: { items.append($0.item) }))
        #expect(!items.contains { $0.contains("sensitivity") })
        #expect(FileSystem.exists(folder.file("out/output.safetensors")))
    }

    @Test func `a target below the narrowest mix is refused with that`() throws {
        let folder = try TemporaryFolder()
        let job = try job(folder, bits: 2)
        let error = #expect(throws: ConversionError.self) { try job.run() }
        #expect(error?.code == .usage && error?.message.contains("narrowest mix") == true)
    }

    // MARK: Adapters

    /// An adapter of rank 3 on three projections of both layers.
    private func adapter(_ folder: TemporaryFolder) throws -> String {
        let tensors = (0..<2).flatMap { layer in
            [("self_attn.v_proj", 64, 32), ("mlp.gate_proj", 64, 96), ("mlp.down_proj", 96, 64)]
                .flatMap { name, inputs, outputs in
                    let path = "model.layers.\(layer)." + name
                    return [
                        (path + ".lora_A.weight", [3, inputs]),
                        (path + ".lora_B.weight", [outputs, 3]),
                    ]
                }
        }
        let config =
            #"{"peft_type": "LORA", "r": 3, "lora_alpha": 5, "target_modules": ["v_proj", "gate_proj", "down_proj"]}"#
        return try TinyAdapter.write(to: folder, tensors, config: config) {
            Float(($0 * 37 + 11) % 101 - 50) / 300
        }
    }

    @Test(arguments: [QuantizeRecipe.uniform, .eft])
    func `an adapter folded in on the way gives the bytes of a merge`(
        _ recipe: QuantizeRecipe
    ) throws {
        let folder = try TemporaryFolder()
        let base = try TinyModel.write(to: folder)
        let adapter = try adapter(folder)
        let ledger = MemoryLedger()
        let folded = try job(folder, output: "folded", work: "one", recipe: recipe, ledger: ledger)
        {
            $0.adapter = adapter
        }
        let stated = try folded.memory()
        _ = try folded.run()
        #expect(ledger.peakTotal <= stated.total)
        let backend = try CPUBackend(ledger: MemoryLedger(), threads: 2)
        try AdapterMerger(
            base: base, adapter: adapter, output: folder.file("merged"), options: .init(),
            backend: backend
        ).run()
        try FileSystem.removeFolder(base)
        #expect(rename(folder.file("merged"), base) == 0)
        _ = try job(folder, output: "whole", work: "two", recipe: recipe).run()
        #expect(
            try FileSystem.read(folder.file("folded/output.safetensors"))
                == FileSystem.read(folder.file("whole/output.safetensors")))
        let plain = try job(folder, work: "three", recipe: recipe)
        #expect(try plain.memory().total < stated.total)
    }

    @Test func `an adapter is not folded into quantized weights`() throws {
        let folder = try TemporaryFolder()
        _ = try job(folder, recipe: .uniform).run()
        let adapter = try adapter(folder)
        let backend = try CPUBackend(ledger: MemoryLedger(), threads: 2)
        let quantized = try ModelFolder.open(folder.file("out"))
        let error = #expect(throws: ConversionError.self) {
            try MergedCheckpoint(base: quantized, adapter: adapter, backend: backend)
        }
        #expect(error?.code == .unsupported && error?.message.contains("16-bit") == true)
    }

    @Test func `a work folder in use is refused`() throws {
        let folder = try TemporaryFolder()
        let job = try job(folder, recipe: .uniform)
        try FileSystem.createFolder(folder.file("work"))
        let lock = try FolderLock(folder.file("work"))
        #expect(throws: FormatError.self) { try job.run() }
        withExtendedLifetime(lock) {}
        #expect(try FileSystem.list(folder.file("work")).allSatisfy { $0 != "job_new.json" })
    }

    // MARK: Files

    @Test func `a file of ExLlamaV2 is read and written`() throws {
        let folder = try TemporaryFolder()
        let projection =
            #"{"group_size": {"4": 128, "3": 128}, "bits": [4, 3], "bits_prop": [0.1, 0.9], "scale_bits": 4}"#
        let text = """
            {"measurement": {"model.layers.0.self_attn": [
              {"accuracy": 0.984375, "total_bits": 123456, "q_proj": \(projection), "k_proj": \(projection),
               "v_proj": \(projection), "o_proj": \(projection)}]}, "last_module_idx": 1}
            """
        try AtomicFile.write(folder.file("m.json"), text)
        let measurement = try Measurement(file: folder.file("m.json"))
        let option = try #require(measurement.options["model.layers.0.self_attn"]?.first)
        #expect(option.accuracy == 0.984375 && option.bits == 123_456 && option.divergence == nil)
        #expect(
            option.sections["v_proj"] == [
                EXL2Section(bits: 4, groupSize: 128, proportion: 0.1),
                EXL2Section(bits: 3, groupSize: 128, proportion: 0.9),
            ])
        let again = try JSONParser.parse(
            Array(JSONText.string(measurement.node).utf8), file: "again")
        #expect(again == (try JSONParser.parse(Array(text.utf8), file: "text")))
    }

    @Test(arguments: [
        ("{}", "measurement"), ("[1]", "mapping"), (#"{"measurement": {"a": [{}]}}"#, "accuracy"),
        (
            #"{"measurement": {"a": [{"accuracy": 0.5, "total_bits": 1, "q_proj": {"group_size": {"7": 64}, "bits": [7], "bits_prop": [1], "scale_bits": 4}}]}}"#,
            "widths"
        ),
        (
            #"{"measurement": {"a": [{"accuracy": 0.5, "total_bits": 1, "q_proj": {"group_size": {"4": 40}, "bits": [4], "bits_prop": [1], "scale_bits": 4}}]}}"#,
            "multiples of 32"
        ),
        (
            #"{"measurement": {"a": [{"accuracy": 0.5, "total_bits": 1, "q_proj": {"group_size": {"4": 64}, "bits": [4, 5], "bits_prop": [1], "scale_bits": 4}}]}}"#,
            "as many entries"
        ),
    ])
    func `a damaged measurement is refused by name`(text: String, word: String) throws {
        let folder = try TemporaryFolder()
        let file = folder.file("m.json")
        try AtomicFile.write(file, text)
        let error = #expect(throws: ConversionError.self) {
            try job(folder) { $0.measurement = file }
        }
        #expect(error?.code == .damaged && error?.path == file)
        #expect(error?.message.contains(word) == true, "\(error?.message ?? "")")
    }

    @Test func `a measurement of another model is refused`() throws {
        let folder = try TemporaryFolder()
        let file = folder.file("m.json")
        _ = try job(folder) { $0.measurementOutput = file }.run()
        let text = String(decoding: try FileSystem.read(file), as: UTF8.self)
        let other = text.split(separator: "\"total_bits\": ", maxSplits: 1)
        try AtomicFile.write(file, other[0] + "\"total_bits\": 1" + other[1])
        let error = #expect(throws: ConversionError.self) {
            try job(folder, work: "two") { $0.measurement = file }
        }
        #expect(error?.code == .mismatch)
    }

    @Test func `a damaged job is refused and can be begun anew`() throws {
        let folder = try TemporaryFolder()
        _ = try job(folder).run()
        let path = folder.file("work/job_new.json")
        let text = String(decoding: try FileSystem.read(path), as: UTF8.self)
        try AtomicFile.write(
            path,
            text.split(separator: "model.layers.0.mlp").joined(separator: "model.layers.9.mlp"))
        let error = #expect(throws: ConversionError.self) { try job(folder) }
        #expect(error?.code == .damaged && error?.message.contains("-nr") == true)
        _ = try job(folder) { $0.startsAnew = true }.run()
    }
}

// SPDX-License-Identifier: Apache-2.0
// A folder in 8-bit floating point: near its original, and made by the same operations as transformers'.
import EftConfig
import EftConversion
import EftFormats
import EftModels
import EftQuant
import EftTensor
import EftTestSupport
import Testing

struct FP8ConverterTests {
    @Test(arguments: [(32, "llama", true), (128, "llama", false), (64, "mixtral", false)])
    func `a converted model is near its original`(
        block: Int, type: String, tied: Bool
    ) throws {
        let folder = try TemporaryFolder()
        // Both experts of a mixture, so that no token changes its expert.
        let path = try TinyModel.write(to: folder, type: type, tied: tied, expertsPerToken: 2)
        let source = try ModelFolder.open(path)
        let ledger = MemoryLedger(
            limit: FP8Converter.memory(source.description, block: block).total)
        let converter = try FP8Converter(
            source, output: folder.file("out"), block: block,
            backend: CPUBackend(ledger: ledger, threads: 2))
        #expect((converter.partialBlocks > 0) == (block > 32))
        let files = try converter.run()
        #expect(ledger.current.total == 0 && files.count == 1)
        let out = try ModelFolder.open(folder.file("out"))
        let block = try out.config.required("quantization_config")
        #expect(try block.required("quant_method").string() == "fp8")
        #expect(try block.required("fmt").string() == "e4m3")
        let kept = try block.required("modules_to_not_convert").elements().map { try $0.string() }
        #expect(kept.contains("lm_head"))
        let checkpoint = try #require(out.checkpoint)
        for layer in 0..<2 {
            for linear in out.description.linears(layer: layer) {
                let held = try LinearSource(
                    module: linear.name, checkpoint: checkpoint, inputs: linear.inputs,
                    outputs: linear.outputs)
                #expect((held.schemeName == "FP8") == !linear.role.isRouter)
                #expect(kept.contains(linear.name) == linear.role.isRouter)
            }
        }
        #expect(!kept.contains(out.description.embeddingName))
        let error = try TinyModel.error(folder)
        #expect(error < 0.15)
        // What stands there is the input of another quantization.
        let again = try FP8Converter(
            out, output: folder.file("again"), block: 32, backend: CPUBackend(threads: 2))
        try again.run()
        #expect(FileSystem.exists(folder.file("again/config.json")))
    }

    @Test func `a run that was stopped goes on to the same bytes`() throws {
        let source = try ModelFolder.open(Fixtures.packageRoot + "/Examples/demo/model")
        let folder = try TemporaryFolder()
        let backend = try CPUBackend(threads: 2)
        func converter(_ name: String) throws -> FP8Converter {
            try FP8Converter(
                source, output: folder.file(name), block: 64, maxShardBytes: 300_000,
                backend: backend)
        }
        let whole = try converter("whole").run()
        struct Stop: Error {}
        for stop in [1, 9, 22] {
            var steps = 0
            let monitor = ConversionMonitor(report: { _ in
                steps += 1
                if steps == stop { throw Stop() }
            })
            #expect(throws: Stop.self) { try converter("parts").run(monitor) }
            #expect(!FileSystem.exists(folder.file("parts/config.json")))
        }
        let parts = try converter("parts").run()
        #expect(parts.count == whole.count && whole.count > 2)
        for (one, other) in zip(whole, parts) {
            #expect(try FileSystem.read(one) == FileSystem.read(other))
        }
    }

    @Test func `quantized models and other blocks are refused`() throws {
        let folder = try TemporaryFolder()
        let codes = try ModelFolder.open(Fixtures.path("quantized-models/gptq"))
        let error = #expect(throws: ConversionError.self) {
            try FP8Converter(codes, output: folder.file("out"), backend: CPUBackend(threads: 1))
        }
        #expect(error?.code == .unsupported)
        let dense = try ModelFolder.open(TinyModel.write(to: folder))
        let other = #expect(throws: ConversionError.self) {
            try FP8Converter(
                dense, output: folder.file("out"), block: 100, backend: CPUBackend(threads: 1))
        }
        #expect(other?.code == .usage)
    }

    @Test func `quantizing a folder in FP8 stays within the plan`() throws {
        let folder = try TemporaryFolder()
        let path = try TinyModel.write(to: folder)
        try FP8Converter(
            ModelFolder.open(path), output: folder.file("fp8"), block: 32,
            backend: CPUBackend(threads: 2)
        ).run()
        let ledger = MemoryLedger()
        let job = try QuantizeJob(
            input: folder.file("fp8"), work: folder.file("work"), output: folder.file("out"),
            calibration: CalibrationRows(
                name: "text.txt", tokens: TinyModel.tokens(6 * 40), rows: 6, length: 40),
            options: QuantizeOptions(bits: 4, recipe: .uniform),
            backend: CPUBackend(ledger: ledger, threads: 2))
        let stated = try job.memory()
        _ = try job.run()
        #expect(ledger.peakTotal <= stated.total)
        let config = try ModelFolder.open(folder.file("out")).config
        let method = try config.required("quantization_config").required("quant_method").string()
        #expect(method == "exl2")
    }
}

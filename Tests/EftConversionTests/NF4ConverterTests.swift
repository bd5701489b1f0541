// SPDX-License-Identifier: Apache-2.0
// A folder in NF4 holds what quantizing while loading gives.
import EftConversion
import EftFormats
import EftModels
import EftNN
import EftQuant
import EftTensor
import EftTestSupport
import Testing

@Suite struct NF4ConverterTests {
    private func losses(_ folder: ModelFolder, _ linears: WeightTarget) throws -> [Float] {
        let backend = try CPUBackend(threads: 2)
        let decoder = try DecoderLoader(folder: folder, options: LoadOptions(linears: linears))
            .load(backend: backend)
        let ids: [Int32] = (0..<23).map { Int32(($0 * 7 + 3) % 40) }
        return try EvaluationPass(decoder: decoder, rows: ids.count, sequences: 1)
            .losses(DecoderBatch(sequences: [ids]), labels: Array(ids.dropFirst()) + [-100])
    }

    @Test(arguments: ["plain", "gqa-tied", "bias", "odd-head", "bf16", "f16"])
    func `a converted model is the one quantized while loading`(_ name: String) throws {
        let source = try ModelFolder.open(Fixtures.path("models/\(name)"))
        let folder = try TemporaryFolder()
        let output = folder.file("nf4")
        let dtype = try #require(source.checkpoint).tensor(
            source.description.linear(.query, layer: 0).name + ".weight"
        ).dtype
        let ledger = MemoryLedger(
            limit: NF4Converter.memory(source.description, stored: dtype).total)
        let converter = try NF4Converter(
            source, output: output, backend: CPUBackend(ledger: ledger, threads: 2))
        try converter.run()
        #expect(ledger.current.total == 0)
        let converted = try ModelFolder.open(output)
        #expect(try !converted.isDense())
        #expect(
            try losses(converted, .asStored) == losses(source, .nf4(doubleQuantization: true)))
        let refused = #expect(throws: ConversionError.self) {
            try NF4Converter(
                converted, output: folder.file("again"), backend: CPUBackend(threads: 1))
        }
        #expect(refused?.code == .unsupported)
    }

    @Test func `a run that was stopped goes on to the same bytes`() throws {
        let source = try ModelFolder.open(Fixtures.packageRoot + "/Examples/demo/model")
        let folder = try TemporaryFolder()
        let backend = try CPUBackend(threads: 2)
        func converter(_ name: String) throws -> NF4Converter {
            try NF4Converter(
                source, output: folder.file(name), maxShardBytes: 300_000, backend: backend)
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
        #expect(parts.count == whole.count && whole.count > 3)
        for (one, other) in zip(whole, parts) {
            #expect(try FileSystem.read(one) == FileSystem.read(other))
        }
    }
}

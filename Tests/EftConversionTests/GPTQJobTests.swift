// SPDX-License-Identifier: Apache-2.0
// Quantizations of tiny models to GPTQ's files: what stands in them, quality, resuming, memory.
import EftConfig
import EftConversion
import EftFormats
import EftModels
import EftQuant
import EftTensor
import EftTestSupport
import Testing

struct GPTQJobTests {
    private struct Stop: Error {}

    private func job(
        _ folder: TemporaryFolder, output: String = "out", work: String = "work",
        type: String = "llama", tied: Bool = true, bias: Bool = false, bits: Double = 4,
        groupSize: Int = 64, ordered: Bool = false, ledger: MemoryLedger = MemoryLedger()
    ) throws -> QuantizeJob {
        let path = folder.file("model")
        if !FileSystem.exists(path) {
            _ = try TinyModel.write(to: folder, type: type, tied: tied, bias: bias)
        }
        let tokens = TinyModel.tokens(6 * 40)
        var options = QuantizeOptions(bits: bits, rows: 6, length: 40)
        options.form = .gptq(GPTQSettings(groupSize: groupSize, isActivityOrdered: ordered))
        return try QuantizeJob(
            input: path, work: folder.file(work), output: folder.file(output),
            calibration: CalibrationRows(name: "text.txt", tokens: tokens, rows: 6, length: 40),
            options: options, backend: CPUBackend(ledger: ledger, threads: 2))
    }

    /// A layer as its tensors say, by the description of the format.
    private struct Stored {
        let inputs: Int
        let outputs: Int
        let groupOfInput: [UInt32]
        let zeroWords: [UInt32]
        var values: [Float] = []

        init(_ checkpoint: any CheckpointReader, _ module: String, bits: Int) throws {
            func words(_ suffix: String) throws -> [UInt32] {
                try checkpoint.bytes(of: module + suffix).withUnsafeBytes {
                    Array($0.bindMemory(to: UInt32.self))
                }
            }
            let shape = try checkpoint.tensor(module + ".qweight").shape.dims
            (inputs, outputs) = (shape[0] * 32 / bits, shape[1])
            let codes = try words(".qweight")
            let scales = try checkpoint.floats(of: module + ".scales")
            groupOfInput = try words(".g_idx")
            zeroWords = try words(".qzeros")
            let mask = UInt32(1) << UInt32(bits) - 1
            for output in 0..<outputs {
                for input in 0..<inputs {
                    // A column of words is a stream of bits.
                    var code: UInt32 = 0
                    for bit in 0..<bits {
                        let place = input * bits + bit
                        let word = codes[place / 32 * outputs + output]
                        code |= (word >> UInt32(place % 32) & 1) << UInt32(bit)
                    }
                    let zero = Float(1 << (bits - 1))
                    let group = Int(groupOfInput[input])
                    values.append((Float(code & mask) - zero) * scales[group * outputs + output])
                }
            }
        }
    }

    @Test(arguments: [(8, false), (4, true), (4, false), (3, true), (3, false), (2, false)])
    func `tensors hold what the format's description says, and are read back as that`(
        bits: Int, ordered: Bool
    ) throws {
        let folder = try TemporaryFolder()
        let report = try job(folder, bits: Double(bits), ordered: ordered).run()
        let out = try ModelFolder.open(folder.file("out"))
        let checkpoint = try #require(out.checkpoint)
        let block = try out.config.required("quantization_config")
        #expect(try block.required("quant_method").string() == "gptq")
        #expect(try block.required("bits").int() == bits)
        #expect(try block.required("group_size").int() == 64)
        #expect(try block.required("desc_act").bool() == ordered)
        #expect(try block.required("sym").bool())
        #expect(try out.config.required("torch_dtype").string() == "float16")
        #expect(out.description.tiedEmbeddings && checkpoint.find("lm_head.weight") == nil)
        #expect(try checkpoint.tensor("model.embed_tokens.weight").dtype == .f16)
        for layer in 0..<2 {
            for linear in out.description.linears(layer: layer) {
                let stored = try Stored(checkpoint, linear.name, bits: bits)
                #expect(stored.inputs == linear.inputs && stored.outputs == linear.outputs)
                // Zero points are stored less one: the middle of the codes less one, everywhere.
                let patterns: [Int: UInt32] = [2: 0x5555_5555, 4: 0x7777_7777, 8: 0x7F7F_7F7F]
                if let pattern = patterns[bits] {
                    #expect(stored.zeroWords.allSatisfy { $0 == pattern })
                } else {
                    #expect(threes(stored.zeroWords))
                }
                let sizes = Dictionary(grouping: stored.groupOfInput, by: { $0 }).mapValues(\.count)
                #expect(sizes[0] == 64 && sizes[1] == (linear.inputs == 64 ? nil : 32))
                let isInOrder = stored.groupOfInput == stored.groupOfInput.sorted()
                #expect(isInOrder || ordered)
                let source = try LinearSource(
                    module: linear.name, checkpoint: checkpoint, inputs: linear.inputs,
                    outputs: linear.outputs)
                var values = [Float](repeating: 0, count: linear.inputs * linear.outputs)
                try values.withUnsafeMutableBufferPointer {
                    try source.dequantize(outputs: 0..<linear.outputs, into: $0)
                }
                #expect(values == stored.values)
            }
        }
        #expect(report.linears.count == 14)
        #expect(report.calibrationPerplexity.map(\.isFinite) ?? false)
        let bound: [Int: Float] = [2: 2, 3: 0.85, 4: 0.45, 8: 0.025]
        let error = try TinyModel.error(folder)
        #expect(error < bound[bits] ?? 0)
    }

    /// Whether a stream of bits repeats the number 3 in three bits.
    private func threes(_ words: [UInt32]) -> Bool {
        (0..<words.count * 32 / 3).allSatisfy { index in
            (0..<3).allSatisfy { bit in
                let place = index * 3 + bit
                return words[place / 32] >> UInt32(place % 32) & 1 == (bit < 2 ? 1 : 0)
            }
        }
    }

    @Test(arguments: [(2, false), (3, true), (4, true), (4, false), (8, false)])
    func `errors make up for each other in every layer`(bits: Int, ordered: Bool) throws {
        let folder = try TemporaryFolder()
        let report = try job(folder, bits: Double(bits), groupSize: 32, ordered: ordered).run()
        for linear in report.linears {
            #expect(linear.error < linear.roundingError, "\(linear.name)")
            // A code, and for 32 of them a scale and a zero point; the table of groups counts little.
            let least = Double(bits) + Double(16 + bits) / 32
            #expect(linear.bitsPerWeight > least && linear.bitsPerWeight < least + 1.1)
        }
    }

    @Test func `heads of their own, biases and norms are in f16`() throws {
        let folder = try TemporaryFolder()
        _ = try job(folder, tied: false, bias: true, bits: 8).run()
        let out = try CheckpointFolder.open(folder.file("out"))
        let base = try CheckpointFolder.open(folder.file("model"))
        #expect(try out.tensor("lm_head.weight").dtype == .f16)
        for info in base.tensors where info.name.hasSuffix("norm.weight") {
            #expect(try out.tensor(info.name).dtype == .f16)
        }
        let biases = base.tensors.filter { $0.name.hasSuffix(".bias") }
        #expect(!biases.isEmpty)
        for info in biases { #expect(try out.tensor(info.name).dtype == .f16) }
        let error = try TinyModel.error(folder)
        #expect(error < 0.025)
    }

    @Test func `experts are quantized one by one, and routers stay`() throws {
        let folder = try TemporaryFolder()
        let report = try job(folder, type: "mixtral", bits: 8).run()
        let out = try ModelFolder.open(folder.file("out"))
        let checkpoint = try #require(out.checkpoint)
        for layer in 0..<2 {
            for linear in out.description.linears(layer: layer) {
                let isRouter = linear.role.isRouter
                #expect((checkpoint.find(linear.name + ".qweight") == nil) == isRouter)
                #expect((checkpoint.find(linear.name + ".weight") == nil) == !isRouter)
            }
        }
        #expect(report.linears.count == 2 * (4 + 2 * 3))
        let error = try TinyModel.medianError(folder)
        #expect(error < 0.15)
    }

    @Test(arguments: [false, true])
    func `memory stays within what was stated`(ordered: Bool) throws {
        let folder = try TemporaryFolder()
        let ledger = MemoryLedger()
        let job = try job(folder, ordered: ordered, ledger: ledger)
        let stated = try job.memory()
        _ = try job.run()
        #expect(
            ledger.peakTotal <= stated.total,
            "held \(ledger.peak.rendered), stated \(stated.rendered)")
        #expect(Double(ledger.peakTotal) > 0.9 * Double(stated.total))
    }

    @Test func `a run that was stopped goes on to the same bytes`() throws {
        let folder = try TemporaryFolder()
        _ = try job(folder, output: "whole", work: "one", ordered: true).run()
        let stopped = try job(folder, work: "two", ordered: true)
        let last = "model.layers.1.mlp.gate_proj"
        #expect(throws: Stop.self) {
            try stopped.run(
                ConversionMonitor(report: { if $0.item == last { throw Stop() } }))
        }
        #expect(!FileSystem.exists(folder.file("out/model.safetensors")))
        // Another order or group is another job.
        #expect(throws: ConversionError.self) { try job(folder, work: "two") }
        #expect(throws: ConversionError.self) {
            try job(folder, work: "two", groupSize: 32, ordered: true)
        }
        let settings = try #require(try QuantizeSettings.read(work: folder.file("two")))
        let form = QuantizeForm.gptq(GPTQSettings(groupSize: 64, isActivityOrdered: true))
        #expect(settings.options.form == form && settings.options.bits == 4)
        let again = try job(folder, work: "two", ordered: true)
        #expect(again.resumedLayers == 1)
        let report = try again.run()
        #expect(try folder.tree("out") == folder.tree("whole"))
        #expect(try job(folder, work: "two", ordered: true).run() == report)
    }

    @Test(arguments: [(Double(5), 64), (4.5, 64), (4, 48), (4, 256)])
    func `widths and groups that GPTQ does not have are refused`(
        bits: Double, groupSize: Int
    ) throws {
        let folder = try TemporaryFolder()
        let error = #expect(throws: ConversionError.self) {
            try job(folder, bits: bits, groupSize: groupSize)
        }
        #expect(error?.code == .usage)
    }

    @Test func `a packer makes the tensors of another program's layers`() throws {
        let backend = try CPUBackend(threads: 2)
        let stored = try SafetensorsFile(path: Fixtures.path("integers/gptq-sym.safetensors"))
        for (module, bits) in [("sym2-64", 2), ("sym3-96", 3)] {
            let layer = try Stored(stored, module, bits: bits)
            let table = EXL2Table(
                [EXL2Group](repeating: EXL2Group(bits: bits, rows: 32), count: layer.inputs / 32))
            let packer = try GPTQPacker(
                table: table, outputs: layer.outputs,
                permutation: (0..<UInt32(layer.inputs)).map { $0 }, ledger: nil)
            let scales = try stored.bytes(of: module + ".scales").withUnsafeBytes {
                Array($0.bindMemory(to: UInt16.self))
            }
            let words = try stored.bytes(of: module + ".qweight").withUnsafeBytes {
                Array($0.bindMemory(to: UInt32.self))
            }
            for group in table.groups.indices {
                let codes = (0..<32 * layer.outputs).map { place -> UInt8 in
                    let (input, output) = (
                        group * 32 + place / layer.outputs, place % layer.outputs
                    )
                    return (0..<bits).reduce(0) { code, bit in
                        let at = input * bits + bit
                        let word = words[at / 32 * layer.outputs + output]
                        return code | UInt8(word >> UInt32(at % 32) & 1) << UInt8(bit)
                    }
                }
                codes.withUnsafeBufferPointer {
                    packer.setGroup(
                        group, codes: $0,
                        scales: Array(scales[group * layer.outputs..<(group + 1) * layer.outputs]))
                }
            }
            let made = try packer.tensors(
                module: module, permutation: (0..<UInt32(layer.inputs)).map { $0 }, bias: nil,
                workers: backend)
            #expect(made.count == 4)
            for tensor in made {
                let info = try stored.tensor(tensor.info.name)
                #expect(info.shape == tensor.info.shape && info.dtype == tensor.info.dtype)
                #expect(try stored.bytes(of: info.name) == Array(tensor.bytes.bytes))
            }
        }
    }
}

// SPDX-License-Identifier: Apache-2.0
// Weights of GPTQ, AWQ and compressed-tensors against what the tools' own code makes of them.
import EftFormats
import EftQuant
import EftTensor
import EftTestSupport
import Testing

struct IntegerWeightTests {
    /// A fixture with what its folder would say.
    struct Case: Sendable, CustomTestStringConvertible {
        let file: String
        let quantization: StoredQuantization
        var testDescription: String { file }
    }

    static let cases = [
        Case(
            file: "gptq", quantization: StoredQuantization(method: .gptq, storesZerosLessOne: true)),
        Case(
            file: "gptq-sym",
            quantization: StoredQuantization(
                method: .gptq, isSymmetric: true, storesZerosLessOne: true)),
        Case(file: "awq", quantization: StoredQuantization(method: .awq)),
        Case(
            file: "compressed-sym",
            quantization: StoredQuantization(method: .compressedTensors, isSymmetric: true)),
        Case(file: "compressed", quantization: StoredQuantization(method: .compressedTensors)),
    ]

    private let backend = try? CPUBackend(threads: 2)

    /// A fixture's tensors, the modules in them, and the numbers that are expected.
    private func open(_ file: Case) throws -> (checkpoint: MemoryCheckpoint, modules: [String]) {
        let stored = try SafetensorsFile(
            path: Fixtures.path("integers/\(file.file).safetensors"))
        var checkpoint = MemoryCheckpoint()
        checkpoint.quantization = file.quantization
        for info in stored.tensors {
            try checkpoint.copy(info.name, from: stored, as: info.name)
        }
        let modules = stored.tensors.map(\.name).filter { $0.hasPrefix("expected.") }
            .map { String($0.dropFirst("expected.".count)) }
        #expect(modules.count >= 3)
        return (checkpoint, modules)
    }

    private func source(
        _ module: String, _ checkpoint: MemoryCheckpoint
    ) throws -> (LinearSource, [Float], inputs: Int, outputs: Int) {
        let dims = try checkpoint.tensor("expected.\(module)").shape.dims
        let source = try LinearSource(
            module: module, checkpoint: checkpoint, inputs: dims[1], outputs: dims[0])
        return (source, try checkpoint.floats(of: "expected.\(module)"), dims[1], dims[0])
    }

    @Test(arguments: cases)
    func `numbers are those of the tool, bit for bit`(file: Case) throws {
        let (checkpoint, modules) = try open(file)
        for module in modules {
            let (source, expected, inputs, outputs) = try source(module, checkpoint)
            let all = try source.values(outputs: 0..<outputs, inputs: inputs)
            #expect(bits(all) == bits(expected), "\(module)")
            // Some rows alone, also such that begin within a word of eight.
            for rows in [3..<outputs - 2, 1..<2, outputs - 1..<outputs] {
                let some = try source.values(outputs: rows, inputs: inputs)
                #expect(
                    bits(some)
                        == bits(
                            Array(expected[rows.lowerBound * inputs..<rows.upperBound * inputs])),
                    "\(module) \(rows)")
            }
        }
    }

    @Test(arguments: cases)
    func `in memory they are the same numbers in no more bits than needed`(file: Case) throws {
        let backend = try #require(backend)
        let (checkpoint, modules) = try open(file)
        for module in modules {
            let (source, expected, _, _) = try source(module, checkpoint)
            let layout = try source.layout(as: .asStored)
            let ledger = MemoryLedger()
            let counted = try CPUBackend(ledger: ledger, threads: 2)
            let weight = try source.load(as: .asStored, backend: counted)
            #expect(ledger.current[.weights] == layout.byteCount, "\(module)")
            #expect(ledger.peak[.workspace] <= (try source.loadScratchBytes(as: .asStored)))
            guard case .coded(_, _, let groups, _) = layout.format else {
                // Codes of 8 bits with zero points of their own.
                let type: DType = layout.format == .f16 ? .f16 : .bf16
                #expect(bits(try weight.values(backend)) == bits(rounded(expected, to: type)))
                continue
            }
            #expect(bits(try weight.values(backend)) == bits(expected), "\(module)")
            guard file.file.hasPrefix("gptq") else { continue }
            let stored = try #require(Int(module.dropFirst(3).prefix { $0.isNumber }))
            let width = stored + (file.quantization.isSymmetric ? 0 : 1)
            #expect(groups.allSatisfy { $0.bits == width }, "\(module)")
        }
    }

    @Test func `other targets are refused`() throws {
        let (checkpoint, modules) = try open(Self.cases[0])
        let (source, _, _, _) = try source(modules[0], checkpoint)
        for target in [WeightTarget.nf4(doubleQuantization: true), .int8, .f32] {
            #expect(throws: FormatError.self) { try source.layout(as: target) }
        }
        #expect(source.schemeName == "GPTQ" && !source.isDense)
    }

    @Test func `the second format stores zero points as they are`() throws {
        var (checkpoint, _) = try open(Self.cases[1])
        checkpoint.quantization = StoredQuantization(method: .gptq)
        let (source, expected, inputs, outputs) = try source("sym2-64", checkpoint)
        let scales = try checkpoint.floats(of: "sym2-64.scales")
        let values = try source.values(outputs: 0..<outputs, inputs: inputs)
        for index in values.indices {
            let scale = scales[index % inputs / 32 * outputs + index / inputs]
            #expect(abs(values[index] - expected[index] - scale) <= abs(scale) * 1e-6)
        }
    }

    @Test func `zero points that the configuration denies are an error`() throws {
        var (checkpoint, modules) = try open(Self.cases[0])
        checkpoint.quantization = StoredQuantization(
            method: .gptq, isSymmetric: true, storesZerosLessOne: true)
        let (source, _, _, _) = try source(modules[0], checkpoint)
        let error = #expect(throws: FormatError.self) {
            try source.load(as: .asStored, backend: try #require(backend))
        }
        #expect(error?.code == .damaged && error?.message.contains("sym") == true)
    }

    @Test(arguments: [
        ("qweight", [31, 24]), ("scales", [2, 23]), ("scales", [200, 24]), ("scales", [0, 24]),
        ("qzeros", [2, 2]), ("g_idx", [127]), ("qweight", [16]),
    ])
    func `tensors of another shape are refused`(suffix: String, dims: [Int]) throws {
        var (checkpoint, _) = try open(Self.cases[0])
        let name = "any4-128.\(suffix)"
        let type = try checkpoint.tensor(name).dtype
        let count = dims.reduce(1, *) * type.byteWidth
        try checkpoint.set(name, type, dims, [UInt8](repeating: 0, count: count))
        let error = #expect(throws: FormatError.self) {
            try LinearSource(
                module: "any4-128", checkpoint: checkpoint, inputs: 128, outputs: 24)
        }
        #expect(error?.tensor?.hasPrefix("any4-128.") == true)
    }

    @Test(arguments: [[UInt8(2), 0, 0, 0], [255, 255, 255, 255], [1, 0, 0, 0]])
    func `groups that cannot be are refused`(first: [UInt8]) throws {
        var (checkpoint, _) = try open(Self.cases[0])
        var index = try checkpoint.bytes(of: "any4-128.g_idx")
        index.replaceSubrange(0..<4, with: first)
        try checkpoint.set("any4-128.g_idx", .i32, [128], index)
        #expect(throws: FormatError.self) {
            try LinearSource(
                module: "any4-128", checkpoint: checkpoint, inputs: 128, outputs: 24)
        }
    }

    @Test func `scales that are not finite are refused`() throws {
        var (checkpoint, _) = try open(Self.cases[2])
        var scales = try checkpoint.floats(of: "wide.scales")
        scales[5] = .infinity
        try checkpoint.set("wide.scales", floats: scales, [2, 72], as: .f16)
        let (source, _, _, _) = try source("wide", checkpoint)
        let error = #expect(throws: FormatError.self) {
            try source.load(as: .asStored, backend: try #require(backend))
        }
        #expect(error?.tensor == "wide.scales")
    }
}

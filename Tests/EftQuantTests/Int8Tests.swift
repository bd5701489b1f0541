// SPDX-License-Identifier: Apache-2.0
// 8-bit weights of bitsandbytes: stored, made while loading, damaged.
import EftFormats
import EftQuant
import EftTensor
import EftTestSupport
import Testing

struct Int8Tests {
    private let folder: any CheckpointReader
    private let source: any CheckpointReader
    private let expected: any CheckpointReader
    private let backend: CPUBackend

    init() throws {
        func file(_ name: String) throws -> any CheckpointReader {
            try SafetensorsFile(path: Fixtures.path("int8-model/" + name))
        }
        folder = try file("bnb-8bit/model.safetensors")
        source = try file("source/model.safetensors")
        expected = try file("dequantized.safetensors")
        backend = try CPUBackend(threads: 2)
    }

    private func linear(
        _ info: TensorInfo, of checkpoint: any CheckpointReader
    ) throws -> LinearSource {
        try LinearSource(
            module: String(info.name.dropLast(".weight".count)), checkpoint: checkpoint,
            inputs: info.shape.dims[1], outputs: info.shape.dims[0])
    }

    /// The largest difference in units of each row's largest value.
    private func difference(_ held: [Float], _ values: [Float], columns: Int) -> Float {
        stride(from: 0, to: values.count, by: columns).map { row in
            let range = row..<row + columns
            let largest = values[range].map(abs).max() ?? 0
            let most = zip(held[range], values[range]).map { abs($0 - $1) }.max() ?? 0
            return largest == 0 ? most : most / largest
        }.max() ?? 0
    }

    @Test func `a bitsandbytes checkpoint decodes to the last bit`() throws {
        #expect(expected.tensors.count == 7)
        for info in expected.tensors {
            let (n, k) = (info.shape.dims[0], info.shape.dims[1])
            let linear = try linear(info, of: folder)
            #expect(linear.schemeName == "LLM.int8")
            let values = try linear.values(outputs: 0..<n, inputs: k)
            #expect(try bits(values) == bits(expected.floats(of: info.name)), "\(info.name)")
            let part = try linear.values(outputs: 3..<n - 1, inputs: k)
            #expect(part == Array(values[3 * k..<(n - 1) * k]))
            let held = try linear.load(as: .asStored, backend: backend)
            #expect((held.layout.groupCount > 0) == (k % 32 == 0))
            #expect(difference(try held.values(backend), values, columns: k) < 1e-6)
        }
    }

    @Test func `weights held in 8 bits while loading are those that bitsandbytes makes`() throws {
        for info in expected.tensors {
            let (theirs, own) = (try linear(info, of: folder), try linear(info, of: source))
            #expect(own.isDense && !theirs.isDense)
            #expect(try own.layout(as: .int8) == theirs.layout(as: .asStored))
            #expect(try theirs.layout(as: .int8) == theirs.layout(as: .asStored))
            let held = try own.load(as: .int8, backend: backend).values(backend)
            #expect(
                try bits(held)
                    == bits(theirs.load(as: .asStored, backend: backend).values(backend)),
                "\(info.name)")
        }
    }

    @Test(
        arguments: [(1, 32), (17, 33), (50, 2080), (64, 4096), (3, 1)], [DType.f32, .f16, .bf16])
    func `any shape is within half a step of its row`(shape: (Int, Int), type: DType) throws {
        let (n, k) = shape
        var checkpoint = MemoryCheckpoint()
        try checkpoint.set("m.weight", floats: noise(n * k, seed: 5), [n, k], as: type)
        let source = try LinearSource(module: "m", checkpoint: checkpoint, inputs: k, outputs: n)
        let ledger = MemoryLedger(limit: .max)
        let counted = try CPUBackend(ledger: ledger, threads: 2)
        let weight = try source.load(as: .int8, backend: counted)
        let values = try source.values(outputs: 0..<n, inputs: k)
        #expect(difference(try weight.values(backend), values, columns: k) < 0.5 / 127 + 6e-4)
        // Nothing is taken beyond what the plan says.
        #expect(
            try ledger.peakTotal
                <= source.layout(as: .int8).byteCount + source.loadScratchBytes(as: .int8))
        // A product is that of the values.
        let x = try Matrix(rows: 3, columns: k, ledger: nil)
        x.assign(noise(3 * k, seed: 9))
        let y = try Matrix(rows: 3, columns: n, ledger: nil)
        try backend.multiply(x, weight, into: y, accumulate: false)
        #expect(
            relativeError(
                y.array, product(x.array, try weight.values(backend), inputs: k)) < 1e-5)
    }

    @Test func `values beyond half precision are refused`() throws {
        var checkpoint = MemoryCheckpoint()
        try checkpoint.set("m.weight", floats: [1, 2, 3, 1e5], [2, 2], as: .bf16)
        let source = try LinearSource(module: "m", checkpoint: checkpoint, inputs: 2, outputs: 2)
        let error = #expect(throws: FormatError.self) {
            try source.load(as: .int8, backend: backend)
        }
        #expect(error?.message.contains("half precision") == true)
    }

    @Test func `what is damaged is refused by name`() throws {
        let info = try expected.tensor("model.layers.1.mlp.up_proj.weight")
        let (n, k) = (info.shape.dims[0], info.shape.dims[1])
        func refusal(_ change: (inout MemoryCheckpoint) throws -> Void) throws -> String {
            var checkpoint = MemoryCheckpoint()
            for suffix in ["weight", "SCB", "weight_format"] {
                try checkpoint.copy(
                    "model.layers.1.mlp.up_proj.\(suffix)", from: folder, as: "m.\(suffix)")
            }
            try change(&checkpoint)
            let error = #expect(throws: FormatError.self) {
                let source = try LinearSource(
                    module: "m", checkpoint: checkpoint, inputs: k, outputs: n)
                _ = try source.load(as: .asStored, backend: backend)
            }
            return "\(error?.description ?? "")"
        }
        let scales = [Float](repeating: 1, count: n)
        #expect(
            try refusal { try $0.set("m.SCB", floats: scales.dropLast() + [.nan], [n]) }
                .contains("SCB"))
        #expect(
            try refusal { try $0.set("m.SCB", floats: scales.dropLast() + [-1], [n]) }
                .contains("SCB"))
        #expect(
            try refusal { try $0.set("m.SCB", floats: scales.dropLast(), [n - 1]) }
                .contains("SCB"))
        #expect(try refusal { try $0.set("m.weight_format", .u8, [], [1]) }.contains("rows"))
        #expect(try refusal { $0.remove("m.weight") }.contains("m.weight"))
        #expect(
            try refusal { try $0.set("m.weight", floats: noise(n * k, seed: 1), [n, k]) }
                .contains("I8"))
    }

    @Test(arguments: [WeightTarget.f32, .nf4(doubleQuantization: true)])
    func `an 8-bit base is not quantized or trained again`(target: WeightTarget) throws {
        let info = try expected.tensor("model.layers.1.mlp.up_proj.weight")
        let error = #expect(throws: FormatError.self) {
            try linear(info, of: folder).load(as: target, backend: backend)
        }
        #expect(error?.message.contains("already quantized") == true)
    }
}

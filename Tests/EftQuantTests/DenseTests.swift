// SPDX-License-Identifier: Apache-2.0
import EftFormats
import EftQuant
import EftTensor
import Testing

struct DenseTests {
    private static let shapes = [(1, 1), (17, 33), (16, 64), (40, 100), (3, 31)]

    @Test(arguments: [DType.f32, .f16, .bf16, .f64], shapes)
    func `a dense weight keeps its values`(dtype: DType, shape: (Int, Int)) throws {
        let (n, k) = shape
        var checkpoint = MemoryCheckpoint()
        let values = rounded(noise(n * k, seed: 1), to: dtype)
        try checkpoint.set("m.weight", floats: values, [n, k], as: dtype)
        let source = try LinearSource(module: "m", checkpoint: checkpoint, inputs: k, outputs: n)
        #expect(source.schemeName == "dense")
        #expect(source.storedBytes == n * k * dtype.byteWidth)
        #expect(try source.values(outputs: 0..<n, inputs: k) == values)
        let backend = try CPUBackend(threads: 2)
        for target in [WeightTarget.asStored, .f32] {
            let weight = try source.load(as: target, backend: backend)
            #expect(try weight.layout == source.layout(as: target))
            #expect(try weight.values(backend) == values)
        }
        let stored = try source.layout(as: .asStored).format
        #expect(stored == (dtype == .f16 ? .f16 : dtype == .bf16 ? .bf16 : .f32))
        #expect(try source.layout(as: .f32).format == .f32)
    }

    @Test(arguments: [WeightTarget.asStored, .f32, .nf4(doubleQuantization: true)])
    func `many runs of rows give the same as one`(target: WeightTarget) throws {
        // Runs of 48 rows of 160 kB each; the last is short and ends within a panel.
        let (n, k) = (101, 40_000)
        var checkpoint = MemoryCheckpoint()
        let values = rounded(noise(n * k, seed: 2), to: .bf16)
        try checkpoint.set("m.weight", floats: values, [n, k], as: .bf16)
        let source = try LinearSource(module: "m", checkpoint: checkpoint, inputs: k, outputs: n)
        let ledger = MemoryLedger()
        let backend = try CPUBackend(ledger: ledger, threads: 2)
        let weight = try source.load(as: target, backend: backend)
        let scratch = ledger.peak[.workspace]
        #expect(try scratch <= source.loadScratchBytes(as: target))
        #expect(scratch > 0 && scratch < 24 << 20)
        #expect(ledger.current[.workspace] == 0)
        #expect(try ledger.current[.weights] == source.layout(as: target).byteCount)
        let rows: [Int32] = [0, 15, 16, 47, 48, 95, 96, 100]
        let out = try Matrix(rows: rows.count, columns: k, ledger: nil)
        backend.gather(weight, rows: rows, into: out)
        var expected = values
        if case .nf4 = target { expected = try quantized(checkpoint, rows: n, inputs: k, backend) }
        for (index, row) in rows.enumerated() {
            let found = out.rows(index..<index + 1).array
            #expect(bits(found) == bits(Array(expected[Int(row) * k..<(Int(row) + 1) * k])))
        }
    }

    /// The matrix after the trip through the tensors of bitsandbytes, as its panels hold it.
    private func quantized(
        _ checkpoint: MemoryCheckpoint, rows: Int, inputs: Int, _ backend: CPUBackend
    ) throws -> [Float] {
        let matrix = try NF4Matrix(
            quantizing: checkpoint.tensor("m.weight"), of: checkpoint, doubleQuantization: true,
            backend: backend)
        var written = MemoryCheckpoint()
        try written.add(NF4Writer.tensors(matrix, module: "m", ledger: nil))
        let source = try LinearSource(
            module: "m", checkpoint: written, inputs: inputs, outputs: rows)
        let ledger = MemoryLedger()
        let stored = try source.load(
            as: .asStored, backend: CPUBackend(ledger: ledger, threads: 2))
        #expect(try ledger.peak[.workspace] <= source.loadScratchBytes(as: .asStored))
        let values = try stored.values(backend)
        #expect(
            try bits(rounded(values, to: .bf16))
                == bits(source.values(outputs: 0..<rows, inputs: inputs)))
        return values
    }

    @Test func `a weight of another shape is refused with both shapes`() throws {
        var checkpoint = MemoryCheckpoint()
        try checkpoint.set("m.weight", floats: noise(24, seed: 3), [4, 6])
        for (inputs, outputs) in [(4, 6), (6, 5), (24, 1)] {
            let error = #expect(throws: FormatError.self) {
                try LinearSource(
                    module: "m", checkpoint: checkpoint, inputs: inputs, outputs: outputs)
            }
            #expect(error?.tensor == "m.weight")
            #expect(error?.message.contains("[4, 6]") == true)
            #expect(error?.message.contains("[\(outputs), \(inputs)]") == true)
        }
    }

    @Test(
        arguments: [DType.f32, .bf16, .f16, .f64],
        [WeightTarget.asStored, .f32, .nf4(doubleQuantization: false)])
    func `a weight with a value that is not finite is refused`(
        dtype: DType, target: WeightTarget
    ) throws {
        let backend = try CPUBackend(threads: 1)
        for value in [Float.nan, .infinity, -.infinity] {
            var values = noise(40 * 32, seed: 4)
            values[35 * 32 + 7] = value
            var checkpoint = MemoryCheckpoint()
            try checkpoint.set("m.weight", floats: values, [40, 32], as: dtype)
            let source = try LinearSource(
                module: "m", checkpoint: checkpoint, inputs: 32, outputs: 40)
            let error = #expect(throws: FormatError.self) {
                try source.load(as: target, backend: backend)
            }
            #expect(error?.code == .damaged)
            #expect(error?.tensor == "m.weight")
        }
        #expect(backend.ledger.current.total == 0)
    }

    @Test func `a weight of integers is refused`() throws {
        var checkpoint = MemoryCheckpoint()
        try checkpoint.set("m.weight", .i8, [2, 2], [1, 2, 3, 4])
        let error = #expect(throws: FormatError.self) {
            try LinearSource(module: "m", checkpoint: checkpoint, inputs: 2, outputs: 2)
        }
        #expect(error?.code == .unsupported)
    }

    @Test func `what does not fit the budget is refused`() throws {
        var checkpoint = MemoryCheckpoint()
        try checkpoint.set("m.weight", floats: noise(64 * 64, seed: 5), [64, 64])
        let source = try LinearSource(module: "m", checkpoint: checkpoint, inputs: 64, outputs: 64)
        let ledger = MemoryLedger(limit: 16_000)
        let backend = try CPUBackend(ledger: ledger, threads: 1)
        #expect(throws: TensorError.self) { try source.load(as: .asStored, backend: backend) }
        #expect(ledger.current.total == 0)
    }
}

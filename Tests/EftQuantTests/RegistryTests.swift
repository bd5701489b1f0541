// SPDX-License-Identifier: Apache-2.0
import EftFormats
import EftQuant
import EftTensor
import EftTestSupport
import Testing

struct RegistryTests {
    @Test func `every file of schemes is registered`() throws {
        let files = try FileSystem.list(
            FileSystem.join(Fixtures.packageRoot, "Sources/EftQuant/Schemes"))
        let registered = QuantRegistry.all.map { "\($0).swift" }
        #expect(files.sorted() == registered.sorted())
    }

    @Test func `a module without a weight is missing`() throws {
        let error = #expect(throws: FormatError.self) {
            try LinearSource(module: "m", checkpoint: MemoryCheckpoint(), inputs: 4, outputs: 4)
        }
        #expect(error?.code == .missing)
        #expect(error?.tensor == "m.weight")
    }

    @Test(arguments: [(0, 4), (4, 0), (-1, 4), (Int.max / 2, 4)])
    func `sizes that cannot be are refused`(inputs: Int, outputs: Int) throws {
        var checkpoint = MemoryCheckpoint()
        try checkpoint.set("m.weight", floats: [], [0, 4])
        let error = #expect(throws: FormatError.self) {
            try LinearSource(
                module: "m", checkpoint: checkpoint, inputs: inputs, outputs: outputs)
        }
        #expect(error?.code == .unsupported)
    }

    @Test func `integers that no configuration describes are refused`() throws {
        var checkpoint = MemoryCheckpoint()
        try checkpoint.set("m.qweight", .i32, [1], [0, 0, 0, 0])
        let error = #expect(throws: FormatError.self) {
            try LinearSource(module: "m", checkpoint: checkpoint, inputs: 32, outputs: 32)
        }
        #expect(error?.code == .unsupported)
        #expect(error?.message.contains("GPTQ") == true)
    }
}

struct VectorSourceTests {
    @Test(arguments: [DType.f32, .f16, .bf16, .f64])
    func `a vector is read as f32`(dtype: DType) throws {
        var checkpoint = MemoryCheckpoint()
        let values: [Float] = [0, -1.5, 2, 0.15625, 96]
        try checkpoint.set("norm.weight", floats: values, [5], as: dtype)
        let ledger = MemoryLedger()
        let buffer = try VectorSource.load(
            "norm.weight", count: 5, checkpoint: checkpoint, ledger: ledger)
        #expect(Array(UnsafeBufferPointer(start: buffer.floats, count: 5)) == values)
        #expect(ledger.current[.weights] == 20)
    }

    @Test(arguments: [[5, 1], [4], [], [6]])
    func `a vector of another shape is refused`(dims: [Int]) throws {
        var checkpoint = MemoryCheckpoint()
        try checkpoint.set(
            "norm.weight", floats: [Float](repeating: 1, count: dims.reduce(1, *)), dims)
        let error = #expect(throws: FormatError.self) {
            try VectorSource.load("norm.weight", count: 5, checkpoint: checkpoint, ledger: nil)
        }
        #expect(error?.code == .damaged)
    }

    @Test(arguments: [Float.nan, .infinity, -.infinity])
    func `a vector with a value that is not finite is refused`(value: Float) throws {
        var checkpoint = MemoryCheckpoint()
        try checkpoint.set("norm.weight", floats: [1, value, 2], [3])
        let error = #expect(throws: FormatError.self) {
            try VectorSource.load("norm.weight", count: 3, checkpoint: checkpoint, ledger: nil)
        }
        #expect(error?.tensor == "norm.weight")
    }

    @Test func `a vector of integers is refused`() throws {
        var checkpoint = MemoryCheckpoint()
        try checkpoint.set("norm.weight", .u8, [3], [1, 2, 3])
        #expect(throws: FormatError.self) {
            try VectorSource.load("norm.weight", count: 3, checkpoint: checkpoint, ledger: nil)
        }
    }
}

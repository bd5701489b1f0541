// SPDX-License-Identifier: Apache-2.0
// NF4 weights whose scales and tables stand in other types than f32, as a model that was saved in 16 bits has them.
import EftFormats
import EftQuant
import EftTensor
import Testing

struct NF4ScaleTypeTests {
    private static let (n, k) = (48, 64)

    /// A good weight of which some tensors are stored again in another type.
    private func checkpoint(
        nested: Bool, _ type: DType, _ suffixes: [String]
    ) throws -> MemoryCheckpoint {
        let (n, k) = (Self.n, Self.k)
        var dense = MemoryCheckpoint()
        try dense.set("m.weight", floats: noise(n * k, seed: 5), [n, k])
        let matrix = try NF4Matrix(
            quantizing: dense.tensor("m.weight"), of: dense, doubleQuantization: nested,
            backend: CPUBackend(threads: 1))
        var result = MemoryCheckpoint()
        try result.add(NF4Writer.tensors(matrix, module: "m", ledger: nil))
        for suffix in suffixes {
            let name = "m.weight.\(suffix)"
            try result.set(
                name, floats: result.floats(of: name), result.tensor(name).shape.dims, as: type)
        }
        return result
    }

    @Test(arguments: [DType.f32, .bf16, .f16, .f64])
    func `plain scales of any type of real numbers`(type: DType) throws {
        let (n, k) = (Self.n, Self.k)
        let checkpoint = try checkpoint(nested: false, type, ["absmax", "quant_map"])
        let source = try LinearSource(module: "m", checkpoint: checkpoint, inputs: k, outputs: n)
        // The definition: value of the code times the scale as it is stored, in the weight's own type.
        let scales = try checkpoint.floats(of: "m.weight.absmax")
        let codes = try checkpoint.bytes(of: "m.weight")
        let expected = (0..<n * k).map { index in
            let code = index % 2 == 0 ? codes[index / 2] >> 4 : codes[index / 2] & 15
            return NF4Format.values[Int(code)] * scales[index / NF4Format.blockSize]
        }
        let exact = try source.values(outputs: 0..<n, inputs: k)
        #expect(bits(exact) == bits(expected))
        let backend = try CPUBackend(threads: 2)
        let held = try source.load(as: .asStored, backend: backend).values(backend)
        #expect(bits(held) == bits(expected))
    }

    @Test func `16-bit scales are other numbers than 32-bit ones`() throws {
        let scales = try [DType.f32, .bf16].map {
            try checkpoint(nested: false, $0, ["absmax"]).floats(of: "m.weight.absmax")
        }
        #expect(scales[0] != scales[1])
    }

    @Test(arguments: [DType.bf16, .f16])
    func `scales of scales of any type of real numbers`(type: DType) throws {
        let (n, k) = (Self.n, Self.k)
        let checkpoint = try checkpoint(nested: true, type, ["nested_absmax"])
        let source = try LinearSource(module: "m", checkpoint: checkpoint, inputs: k, outputs: n)
        let plain = try self.checkpoint(nested: true, .f32, [])
        let reference = try LinearSource(module: "m", checkpoint: plain, inputs: k, outputs: n)
        let (found, expected) = (
            try source.values(outputs: 0..<n, inputs: k),
            try reference.values(outputs: 0..<n, inputs: k)
        )
        #expect(relativeError(found, expected.map(Double.init)) < 0.02)
    }

    @Test func `scales that are no real numbers are refused`() throws {
        var checkpoint = try checkpoint(nested: false, .f32, [])
        let blocks = Self.n * Self.k / NF4Format.blockSize
        try checkpoint.set(
            "m.weight.absmax", .i32, [blocks], [UInt8](repeating: 1, count: blocks * 4))
        let error = #expect(throws: FormatError.self) {
            try LinearSource(module: "m", checkpoint: checkpoint, inputs: Self.k, outputs: Self.n)
        }
        #expect(error?.code == .damaged)
        #expect(error?.message.contains("real numbers") == true)
    }
}

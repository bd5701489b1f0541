// SPDX-License-Identifier: Apache-2.0
// Weights in 8-bit floating point: held as they are, and made of real numbers as transformers makes them.
import CEftKernels
import EftFormats
import EftQuant
import EftTensor
import EftTestSupport
import Testing

struct FP8SchemeTests {
    private static let modules = ["block", "half", "row", "flat", "one", "none"]

    /// A folder of the fixture whose config.json says that its weights are in FP8.
    private func open(
        _ change: (String, inout [UInt8]) -> Void = { _, _ in }
    ) throws -> (folder: TemporaryFolder, checkpoint: any CheckpointReader) {
        let folder = try TemporaryFolder()
        let stored = try SafetensorsFile(path: Fixtures.path("fp8/weights.safetensors"))
        let writer = try SafetensorsWriter(folder: folder.path, tensors: stored.tensors)
        for info in stored.tensors {
            var bytes = try stored.bytes(of: info.name)
            change(info.name, &bytes)
            try writer.write(info.name, bytes)
        }
        try writer.finish()
        try folder.write(
            "config.json",
            #"{"quantization_config": {"quant_method": "fp8", "weight_block_size": [128, 128]}}"#)
        return (folder, try CheckpointFolder.open(folder.path))
    }

    private func source(
        _ module: String, _ checkpoint: any CheckpointReader
    ) throws -> (LinearSource, inputs: Int, outputs: Int) {
        let dims = try checkpoint.tensor("\(module).weight").shape.dims
        return (
            try LinearSource(
                module: module, checkpoint: checkpoint, inputs: dims[1], outputs: dims[0]),
            dims[1], dims[0]
        )
    }

    /// Number times scale in f32, by torch's table of all bytes.
    private func numbers(_ module: String) throws -> [Float] {
        let stored = try SafetensorsFile(path: Fixtures.path("fp8/weights.safetensors"))
        let table = try stored.floats(of: "bytes")
        let codes = try stored.bytes(of: "\(module).weight")
        let dims = try stored.tensor("\(module).weight").shape.dims
        let name = stored.find("\(module).weight_scale_inv") != nil ? "_scale_inv" : "_scale"
        let scales = try stored.floats(of: "\(module).weight" + name)
        let isBlocks = name == "_scale_inv"
        return codes.indices.map { index in
            let (row, column) = (index / dims[1], index % dims[1])
            let columns = (dims[1] + 127) / 128
            let place =
                isBlocks
                ? row / 128 * columns + column / 128 : scales.count == 1 ? 0 : row
            return table[Int(codes[index])] * scales[place]
        }
    }

    @Test(arguments: modules)
    func `in memory a weight is eight bits and a scale, and the same numbers`(
        _ module: String
    ) throws {
        let (folder, checkpoint) = try open()
        defer { withExtendedLifetime(folder) {} }
        let (source, inputs, outputs) = try source(module, checkpoint)
        #expect(source.schemeName == "FP8" && source.isDense)
        let expected = try numbers(module)
        #expect(
            bits(try source.values(outputs: 0..<outputs, inputs: inputs)) == bits(expected))
        let rows = 3..<outputs - 2
        #expect(
            bits(try source.values(outputs: rows, inputs: inputs))
                == bits(Array(expected[rows.lowerBound * inputs..<rows.upperBound * inputs])))
        let layout = try source.layout(as: .asStored)
        guard case .coded(let book, .f32, let groups, false) = layout.format else {
            Issue.record("\(layout.format)")
            return
        }
        #expect(book == .e4m3 && groups.allSatisfy { $0.bits == 8 && $0.blocks <= 4 })
        let ledger = MemoryLedger()
        let backend = try CPUBackend(ledger: ledger, threads: 2)
        let weight = try source.load(as: .asStored, backend: backend)
        #expect(ledger.current[.weights] == layout.byteCount)
        #expect(ledger.peak[.workspace] <= (try source.loadScratchBytes(as: .asStored)))
        #expect(bits(try weight.values(backend)) == bits(expected))
    }

    @Test func `other forms are made of the bf16 numbers`() throws {
        let (folder, checkpoint) = try open()
        defer { withExtendedLifetime(folder) {} }
        let (source, _, _) = try source("block", checkpoint)
        let backend = try CPUBackend(threads: 2)
        let floats = try source.load(as: .f32, backend: backend)
        #expect(
            bits(try floats.values(backend)) == bits(try checkpoint.floats(of: "expected.block")))
        for target in [WeightTarget.nf4(doubleQuantization: true), .int8] {
            #expect(
                try source.layout(as: target)
                    == DenseScheme.layout(stored: .bf16, as: target, inputs: 272, outputs: 200))
        }
    }

    @Test func `codes that are no numbers, and scales that are infinite, are refused`() throws {
        for (name, place, bytes) in [
            ("row.weight", 700, [UInt8(0xFF)]), ("row.weight_scale", 4, [0x80, 0x7F]),
        ] {
            let (folder, checkpoint) = try open { tensor, stored in
                guard tensor == name else { return }
                stored.replaceSubrange(place..<place + bytes.count, with: bytes)
            }
            defer { withExtendedLifetime(folder) {} }
            let (source, _, _) = try source("row", checkpoint)
            let error = #expect(throws: FormatError.self) {
                try source.load(as: .asStored, backend: CPUBackend(threads: 1))
            }
            #expect(error?.code == .damaged && error?.tensor == "row.weight")
        }
    }

    @Test(arguments: [("wide", 32), ("part", 128), ("half", 64)])
    func `codes and scales are those of transformers`(name: String, block: Int) throws {
        let stored = try SafetensorsFile(path: Fixtures.path("fp8/quantized.safetensors"))
        let dims = try stored.tensor("\(name).source.weight").shape.dims
        let (rows, columns) = (dims[0], dims[1])
        let numbers = try stored.floats(of: "\(name).source.weight")
        let backend = try CPUBackend(threads: 2)
        var codes = [UInt8](repeating: 9, count: rows * columns)
        let width = (columns + block - 1) / block
        var scales = [Float](repeating: -1, count: (rows + block - 1) / block * width)
        for first in stride(from: 0, to: rows, by: block) {
            let count = min(block, rows - first)
            numbers.withUnsafeBufferPointer { numbers in
                codes.withUnsafeMutableBufferPointer { codes in
                    scales.withUnsafeMutableBufferPointer { scales in
                        guard let x = numbers.baseAddress, let c = codes.baseAddress,
                            let s = scales.baseAddress
                        else { return }
                        eft_fp8_quantize(
                            backend.context, count, columns, block, x + first * columns,
                            c + first * columns, s + first / block * width)
                    }
                }
            }
        }
        #expect(try codes == stored.bytes(of: "quantized.\(name).weight"))
        #expect(
            try bits(scales) == bits(stored.floats(of: "quantized.\(name).weight_scale_inv")))
    }
}

// SPDX-License-Identifier: Apache-2.0
// FP4 weights that bitsandbytes saved, against what it says that they stand for.
import EftFormats
import EftQuant
import EftTensor
import EftTestSupport
import Testing

struct FP4Tests {
    private let stored: any CheckpointReader
    private let expected: any CheckpointReader

    init() throws {
        stored = try SafetensorsFile(path: Fixtures.path("fp4/fp4.safetensors"))
        expected = try SafetensorsFile(path: Fixtures.path("fp4/expected.safetensors"))
    }

    private func source(_ name: String) throws -> LinearSource {
        let shape = try expected.tensor(name + ".weight").shape
        return try LinearSource(
            module: name, checkpoint: stored, inputs: shape.dims[1], outputs: shape.dims[0])
    }

    @Test(arguments: ["plain_bf16", "nested_bf16", "nested_f16", "odd_f32"])
    func `values and panels are those of bitsandbytes`(_ name: String) throws {
        let (source, info) = (try source(name), try expected.tensor(name + ".weight"))
        #expect(source.formName == "FP4")
        let wanted = try expected.floats(of: info.name)
        var values = [Float](repeating: 0, count: wanted.count)
        try values.withUnsafeMutableBufferPointer {
            try source.dequantize(outputs: 0..<info.shape.dims[0], into: $0)
        }
        #expect(values == wanted)
        let ledger = MemoryLedger()
        let backend = try CPUBackend(ledger: ledger, threads: 2)
        let weight = try source.load(as: .asStored, backend: backend)
        #expect(try ledger.current[.weights] == source.layout(as: .asStored).byteCount)
        #expect(try ledger.peak[.workspace] <= source.loadScratchBytes(as: .asStored))
        // Codes and scales are exact; the type of the weight rounds what they stand for.
        let held = try weight.values(backend).map { value in
            switch info.dtype {
            case .bf16: ElementConversion.float(bfloat16: ElementConversion.bfloat16(value))
            case .f16: ElementConversion.float(half: ElementConversion.half(value))
            default: value
            }
        }
        #expect(held == wanted)
        if case .coded(let book, _, _, _) = weight.layout.format {
            #expect(book == .fp4 && name != "odd_f32")
        } else {
            #expect(name == "odd_f32")
        }
    }

    @Test func `a base in FP4 is not quantized again`() throws {
        let error = try #require(throws: FormatError.self) {
            _ = try source("plain_bf16").layout(as: .int8)
        }
        #expect(error.message.contains("FP4"))
    }
}

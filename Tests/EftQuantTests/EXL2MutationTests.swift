// SPDX-License-Identifier: Apache-2.0
// Altered EXL2 tensors: refused or loaded, never a crash.
import EftFormats
import EftQuant
import EftTensor
import EftTestSupport
import Testing

struct EXL2MutationTests {
    @Test func `no altered tensor makes the loader crash`() throws {
        let backend = try CPUBackend(threads: 1)
        var random = SplitMix64(seed: 31)
        var (loaded, refused) = (0, 0)
        for matrix in EXL2Matrix.all where matrix.inputs <= 256 {
            let good = try matrix.checkpoint()
            for round in 0..<250 {
                var checkpoint = good
                for _ in 0..<Int.random(in: 1...2, using: &random) {
                    try alter(&checkpoint, &random)
                }
                do {
                    let source = try LinearSource(
                        module: "m", checkpoint: checkpoint, inputs: matrix.inputs,
                        outputs: matrix.outputs)
                    let weight = try source.load(as: .asStored, backend: backend)
                    #expect(try weight.values(backend).count == matrix.inputs * matrix.outputs)
                    _ = try source.values(outputs: 0..<matrix.outputs, inputs: matrix.inputs)
                    loaded += 1
                } catch {
                    #expect(error is FormatError, "\(matrix.name), round \(round): \(error)")
                    refused += 1
                }
            }
        }
        #expect(loaded > 100 && refused > 100)
    }

    /// Changes bytes, shape or type of one tensor, or takes it away.
    private func alter(_ checkpoint: inout MemoryCheckpoint, _ random: inout SplitMix64) throws {
        let suffix = EXL2Matrix.suffixes[Int.random(in: 0..<5, using: &random)]
        guard let info = checkpoint.find("m." + suffix) else { return }
        var bytes = try checkpoint.bytes(of: info.name)
        switch Int.random(in: 0..<8, using: &random) {
        case 0: checkpoint.remove(info.name)
        case 1:
            let rows = Int.random(
                in: 0...max(info.byteCount / info.dtype.byteWidth, 1), using: &random)
            bytes = Array((bytes + bytes).prefix(rows * info.dtype.byteWidth))
            let count = bytes.count / info.dtype.byteWidth
            try checkpoint.set(info.name, info.dtype, [count], bytes)
        case 2:
            let types = DType.allCases.filter { $0.byteWidth == info.dtype.byteWidth }
            let type = types[Int.random(in: 0..<types.count, using: &random)]
            try checkpoint.set(info.name, type, info.shape.dims, bytes)
        case 3:
            try checkpoint.set(info.name, info.dtype, info.shape.dims.reversed(), bytes)
        default:
            for _ in 0..<Int.random(in: 1...3, using: &random) where !bytes.isEmpty {
                let place = Int.random(in: 0..<bytes.count, using: &random)
                bytes[place] =
                    Bool.random(using: &random) ? 0xFF : .random(in: 0...255, using: &random)
            }
            try checkpoint.set(info.name, info.dtype, info.shape.dims, bytes)
        }
    }
}

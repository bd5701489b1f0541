// SPDX-License-Identifier: Apache-2.0
// Numbers to blocks: bit for bit where the format's package writes them, by the error that is left elsewhere.
import CEftKernels
import EftFormats
import EftGGUF
import EftTestSupport
import Testing

struct GGUFQuantizeTests {
    private func quantized(_ type: GGUFTensorType, _ values: [Float]) -> [UInt8] {
        var bytes = [UInt8](
            repeating: 0xAA, count: values.count / type.blockSize * type.blockBytes)
        #expect(
            eft_gguf_quantize(type.rawValue, values.count / type.blockSize, values, &bytes))
        return bytes
    }

    private func values(_ type: GGUFTensorType, _ bytes: [UInt8]) -> [Float] {
        var values = [Float](
            repeating: .nan, count: bytes.count / type.blockBytes * type.blockSize)
        #expect(
            eft_gguf_values(type.rawValue, bytes.count / type.blockBytes, bytes, &values))
        return values
    }

    @Test(arguments: [GGUFTensorType.q4_0, .q4_1, .q5_0, .q5_1, .q8_0])
    func `blocks of 32 are those of the format's package`(type: GGUFTensorType) throws {
        let stored = try SafetensorsFile(path: Fixtures.path("gguf/quantized.safetensors"))
        let numbers = try stored.floats(of: "values")
        let expected = try stored.bytes(of: type.name.lowercased())
        #expect(quantized(type, numbers) == expected)
    }

    @Test(arguments: [
        (GGUFTensorType.q4_K, Float(0.0062)), (.q5_K, Float(0.0016)), (.q6_K, Float(0.00045)),
    ])
    func `blocks of 256 leave a small error`(type: GGUFTensorType, limit: Float) {
        let numbers = (0..<256 * 64).map { index -> Float in
            // Sums of even numbers are nearly normal.
            let parts = (0..<4).map { noise(1, seed: UInt64(index * 4 + $0 + 1))[0] }
            return parts.reduce(0, +) * (index % 512 < 32 ? 6 : 1)
        }
        let found = values(type, quantized(type, numbers))
        let error = zip(found, numbers).reduce(Float(0)) { $0 + ($1.0 - $1.1) * ($1.0 - $1.1) }
        let size = numbers.reduce(0) { $0 + $1 * $1 }
        #expect(error / size < limit, "\(error / size)")
    }

    @Test(arguments: [GGUFTensorType.q4_K, .q5_K, .q6_K])
    func `numbers at the ends come out as numbers`(type: GGUFTensorType) {
        var rows: [[Float]] = [0, 3, -2.5].map { [Float](repeating: $0, count: 256) }
        rows.append((0..<256).map { (index: Int) -> Float in index == 200 ? 1e4 : 0 })
        rows.append((0..<256).map { (index: Int) -> Float in Float(index) * 1e-5 })
        rows.append((0..<256).map { (index: Int) -> Float in index % 2 == 0 ? 1 : -1 })
        for row in rows {
            let found = values(type, quantized(type, row))
            let top = row.reduce(0) { max($0, abs($1)) }
            let worst = zip(found, row).reduce(Float(0)) { max($0, abs($1.0 - $1.1)) }
            #expect(worst <= max(top / 14, 6e-8), "\(worst) of \(top)")
        }
    }

    @Test func `other types are refused`() {
        var bytes = [UInt8](repeating: 0, count: 256)
        let numbers = [Float](repeating: 1, count: 256)
        #expect(!eft_gguf_quantize(GGUFTensorType.iq2_xs.rawValue, 1, numbers, &bytes))
    }
}

// SPDX-License-Identifier: Apache-2.0
// Numbers to blocks by the weights of an importance matrix, beside what llama.cpp makes of them.
import CEftKernels
import EftFormats
import EftGGUF
import EftTestSupport
import Testing

struct GGUFWeightedTests {
    private let columns = 512
    private let numbers: [Float]
    private let weights: [Float]
    private let stored: SafetensorsFile

    init() throws {
        stored = try SafetensorsFile(path: Fixtures.path("gguf/imatrix/values.safetensors"))
        numbers = try stored.floats(of: "values")
        weights = try stored.floats(of: "weights")
    }

    /// The sum of weighted squares that quantizing leaves.
    private func error(_ type: GGUFTensorType, weighted: Bool) -> Float {
        let rowBytes = columns / type.blockSize * type.blockBytes
        var sum: Float = 0
        for row in 0..<numbers.count / columns {
            let source = Array(numbers[row * columns..<(row + 1) * columns])
            var bytes = [UInt8](repeating: 0xAA, count: rowBytes)
            let isDone =
                weighted
                ? eft_gguf_quantize_weighted(type.rawValue, columns, source, weights, &bytes)
                : eft_gguf_quantize(type.rawValue, columns / type.blockSize, source, &bytes)
            #expect(isDone)
            var found = [Float](repeating: .nan, count: columns)
            #expect(
                eft_gguf_values(type.rawValue, columns / type.blockSize, bytes, &found))
            for column in 0..<columns {
                let off = found[column] - source[column]
                sum += weights[column] * off * off
            }
        }
        return sum
    }

    @Test(arguments: [
        GGUFTensorType.q4_0, .q4_1, .q5_0, .q5_1, .q4_K, .q5_K, .q6_K, .iq4_nl, .iq4_xs,
    ])
    func `weights lessen the weighted error, to that of llama.cpp`(type: GGUFTensorType) throws {
        let theirs = try stored.floats(of: type.name.lowercased())
        let (plain, weighted) = (error(type, weighted: false), error(type, weighted: true))
        #expect(weighted < plain * 0.95, "\(weighted), \(plain) without")
        #expect(weighted < theirs[1] * 1.03, "\(weighted), \(theirs[1]) by llama.cpp")
        #expect(plain < theirs[0] * 1.06, "\(plain), \(theirs[0]) by llama.cpp")
    }

    @Test func `weights that are all alike leave no larger error than none`() {
        for type in [GGUFTensorType.q4_0, .q4_K, .iq4_xs] {
            let alike = [Float](repeating: 3, count: columns)
            let source = Array(numbers[..<columns])
            func squares(_ body: (inout [UInt8]) -> Bool) -> Float {
                var bytes = [UInt8](
                    repeating: 0, count: columns / type.blockSize * type.blockBytes)
                #expect(body(&bytes))
                var found = [Float](repeating: .nan, count: columns)
                _ = eft_gguf_values(type.rawValue, columns / type.blockSize, bytes, &found)
                return zip(found, source).reduce(0) { $0 + ($1.0 - $1.1) * ($1.0 - $1.1) }
            }
            let weighted = squares {
                eft_gguf_quantize_weighted(type.rawValue, columns, source, alike, &$0)
            }
            let plain = squares {
                eft_gguf_quantize(type.rawValue, columns / type.blockSize, source, &$0)
            }
            #expect(weighted < plain * 1.05, "\(type): \(weighted), \(plain)")
        }
    }

    @Test(arguments: [
        GGUFTensorType.q4_0, .q4_1, .q5_0, .q5_1, .q4_K, .q5_K, .q6_K, .iq4_nl, .iq4_xs,
    ])
    func `numbers at the ends come out as numbers`(type: GGUFTensorType) {
        var rows: [[Float]] = [0, 3, -2.5].map { [Float](repeating: $0, count: 256) }
        rows.append((0..<256).map { (index: Int) -> Float in index == 200 ? 1e4 : 0 })
        rows.append((0..<256).map { (index: Int) -> Float in index % 2 == 0 ? 1 : -1 })
        for row in rows {
            for weight in [Float(0.01), 1, 100] {
                let uneven = (0..<256).map { $0 % 3 == 0 ? weight : 1 }
                var bytes = [UInt8](repeating: 0, count: 256 / type.blockSize * type.blockBytes)
                #expect(eft_gguf_quantize_weighted(type.rawValue, 256, row, uneven, &bytes))
                var found = [Float](repeating: .nan, count: 256)
                _ = eft_gguf_values(type.rawValue, 256 / type.blockSize, bytes, &found)
                let top = row.reduce(0) { max($0, abs($1)) }
                let worst = zip(found, row).reduce(Float(0)) { max($0, abs($1.0 - $1.1)) }
                #expect(worst <= max(top / 6, 6e-8), "\(type): \(worst) of \(top)")
            }
        }
    }

    @Test func `types without a choice, or that are not written, are refused`() {
        var bytes = [UInt8](repeating: 0, count: 1024)
        for type in [GGUFTensorType.q8_0, .iq2_xs, .f16] {
            #expect(
                !eft_gguf_quantize_weighted(type.rawValue, 256, numbers, weights, &bytes))
        }
    }
}

// SPDX-License-Identifier: Apache-2.0
// A weight of random codes in the forms of GPTQ, AWQ and FP8 folders.
import EftFormats
import EftModels
import EftQuant
import EftTensor

/// The tensors of a linear layer with random codes and small scales.
struct StoredCodes {
    private let linear: DecoderDescription.LinearShape
    private var random: SplitMix64

    init(_ linear: DecoderDescription.LinearShape, seed: inout UInt64) {
        self.linear = linear
        seed &+= 1
        random = SplitMix64(seed: seed)
    }

    func tensors(_ form: StoredForm) throws -> [EncodedTensor] {
        var copy = self
        let (k, n) = (linear.inputs, linear.outputs)
        let groups = k / 32
        switch form {
        case .fp8:
            let blocks = [(n + 31) / 32, (k + 31) / 32]
            return [
                try copy.tensor("weight", .f8e4m3, [n, k]) { draw in
                    // Two codes are NaN.
                    UInt8(truncatingIfNeeded: draw) & 0x7F == 0x7F
                        ? [0] : [UInt8(truncatingIfNeeded: draw)]
                },
                try copy.tensor("weight_scale_inv", .f32, blocks) { draw in
                    let scale = Float(1 + draw % 8) * 0x1p-12
                    return withUnsafeBytes(of: scale.bitPattern.littleEndian) { Array($0) }
                },
            ]
        default:
            let codes = form == .gptq ? [k / 8, n] : [k, n / 8]
            return [
                try copy.tensor("qweight", .i32, codes, StoredCodes.word),
                try copy.tensor("qzeros", .i32, [groups, n / 8], StoredCodes.word),
                try copy.tensor("scales", .f16, [groups, n]) { draw in
                    let scale = Float16(Float(1 + draw % 8) * 0x1p-10)
                    return withUnsafeBytes(of: scale.bitPattern.littleEndian) { Array($0) }
                },
            ]
        }
    }

    /// Four random bytes.
    private static func word(_ draw: UInt64) -> [UInt8] {
        withUnsafeBytes(of: UInt32(truncatingIfNeeded: draw).littleEndian) { Array($0) }
    }

    private mutating func tensor(
        _ suffix: String, _ dtype: DType, _ dims: [Int], _ element: (UInt64) -> [UInt8]
    ) throws -> EncodedTensor {
        let info = try TensorInfo(
            name: "\(linear.name).\(suffix)", dtype: dtype, shape: Shape(checking: dims))
        let buffer = try Buffer(byteCount: info.byteCount, ledger: nil, purpose: .workspace)
        var place = 0
        while place < info.byteCount {
            for byte in element(random.next()) {
                buffer.bytes[place] = byte
                place += 1
            }
        }
        return EncodedTensor(info, buffer)
    }
}

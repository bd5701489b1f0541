// SPDX-License-Identifier: Apache-2.0
// Scales and zero points of integer weights.
import EftFormats
import EftTensor

/// The scales and zero points of a weight of integers, by group and output.
struct IntegerScales: Sendable {
    /// Where zero points are.
    enum Zeros: Sendable {
        /// Nowhere: all are the middle of the codes.
        case middle
        /// [groups, N bits / 32]: each row is a stream of the zero points of a group (GPTQ); stored less one if so said,
        /// so that the largest code stands for one more than it, as AutoGPTQ reads it.
        case stream(TensorInfo, lessOne: Bool)
        /// [groups, N / 8] in AWQ's order.
        case interleaved(TensorInfo)
        /// [N bits / 32, groups]: each column is a stream of the zero points of a group (compressed-tensors).
        case columns(TensorInfo)
        /// [N, groups] in signed bytes (compressed-tensors).
        case bytes(TensorInfo)
    }

    /// Numbers that are ready to use, [groups][N].
    struct Values {
        /// Finite.
        var scales: [Float]
        /// In codes; one more than the largest code is possible (`Zeros.stream`).
        var zeros: [Int16]
    }

    let module: LinearModule
    /// The tensor of scales: [groups, N], or [N, groups] where `isByOutput`.
    let info: TensorInfo
    let isByOutput: Bool
    let zeros: Zeros
    /// Whether all zero points are the middle of the codes, stored or not.
    let isSymmetric: Bool
    /// Width of a code.
    let bits: Int
    let groupCount: Int

    /// The type to which the format rounds its values.
    var valueType: DType { info.dtype }

    /// Bytes of `Values` for all outputs, and of what reading them takes beside.
    var byteCount: Int { groupCount * module.outputs * (4 + 2 + 2) }

    private var middle: Int16 { 1 << Int16(bits - 1) }

    /// Reads and checks the scales and zero points of some outputs, [groups][outputs].
    /// - Throws: `FormatError` for infinite scales, and for zero points that the configuration denies.
    func read(_ outputs: Range<Int>) throws(FormatError) -> Values {
        let values = Values(scales: try readScales(outputs), zeros: try readZeros(outputs))
        guard values.scales.allSatisfy(\.isFinite) else {
            throw FormatError(
                .damaged, "holds infinite or NaN scales", path: module.checkpoint.path,
                tensor: info.name)
        }
        if isSymmetric, let other = values.zeros.first(where: { $0 != middle }) {
            throw module.error(
                .damaged, "qzeros",
                "holds the zero point \(other) where the configuration says that all are \(middle) (sym); "
                    + "set sym to false in quantization_config")
        }
        return values
    }

    private func readScales(_ outputs: Range<Int>) throws(FormatError) -> [Float] {
        var scales = [Float](repeating: 0, count: groupCount * outputs.count)
        func read(_ elements: Range<Int>, at place: Int) throws(FormatError) {
            try scales.withUnsafeMutableBufferPointer { (all) throws(FormatError) in
                try module.checkpoint.readFloats(
                    info.name, elements: elements,
                    into: UnsafeMutableBufferPointer(
                        rebasing: all[place..<place + elements.count]))
            }
        }
        guard isByOutput else {
            for group in 0..<groupCount {
                let first = group * module.outputs
                try read(
                    first + outputs.lowerBound..<first + outputs.upperBound,
                    at: group * outputs.count)
            }
            return scales
        }
        try read(outputs.lowerBound * groupCount..<outputs.upperBound * groupCount, at: 0)
        return turned(scales)
    }

    /// [outputs][groups] to [groups][outputs].
    private func turned<Element>(_ stored: [Element]) -> [Element] {
        guard groupCount > 1, let first = stored.first else { return stored }
        let count = stored.count / groupCount
        var result = [Element](repeating: first, count: stored.count)
        for index in stored.indices {
            result[index % groupCount * count + index / groupCount] = stored[index]
        }
        return result
    }

    // MARK: Zero points

    private func readZeros(_ outputs: Range<Int>) throws(FormatError) -> [Int16] {
        switch zeros {
        case .middle: return [Int16](repeating: middle, count: groupCount * outputs.count)
        case .stream(let info, let lessOne):
            let more: Int16 = lessOne ? 1 : 0
            return try streams(info, outputs).map { $0 + more }
        case .interleaved(let info): return try interleaved(info, outputs)
        case .columns(let info): return try columns(info, outputs)
        case .bytes(let info):
            let bytes = try bytes(
                of: info, outputs.lowerBound * groupCount..<outputs.upperBound * groupCount)
            return turned(bytes.map { Int16($0 ^ 0x80) })
        }
    }

    private func bytes(of info: TensorInfo, _ range: Range<Int>) throws(FormatError) -> [UInt8] {
        var bytes = [UInt8](repeating: 0, count: range.count)
        try bytes.withUnsafeMutableBufferPointer { (buffer) throws(FormatError) in
            try module.checkpoint.read(
                info.name, bytes: range, into: UnsafeMutableRawBufferPointer(buffer))
        }
        return bytes
    }

    /// A code of a stream whose words stand `step` apart; `bit` counts from the first word.
    private func code(_ words: [UInt32], bit: Int, first: Int = 0, step: Int = 1) -> Int16 {
        let (word, shift) = (first + bit / 32 * step, UInt32(bit % 32))
        var value = words[word] >> shift
        if Int(shift) + bits > 32 { value |= words[word + step] << (32 - shift) }
        return Int16(truncatingIfNeeded: value & (UInt32(1) << UInt32(bits) - 1))
    }

    /// The words of a stream that hold the codes of some outputs.
    private func words(_ outputs: Range<Int>) -> Range<Int> {
        outputs.lowerBound * bits / 32..<(outputs.upperBound * bits + 31) / 32
    }

    private func streams(
        _ info: TensorInfo, _ outputs: Range<Int>
    ) throws(FormatError) -> [Int16] {
        let (range, length) = (words(outputs), info.shape.dims[1])
        var result: [Int16] = []
        result.reserveCapacity(groupCount * outputs.count)
        for group in 0..<groupCount {
            let start = group * length
            let words = try bytes(
                of: info, (start + range.lowerBound) * 4..<(start + range.upperBound) * 4
            ).littleEndian32
            for output in outputs {
                result.append(code(words, bit: output * bits - range.lowerBound * 32))
            }
        }
        return result
    }

    private func interleaved(
        _ info: TensorInfo, _ outputs: Range<Int>
    ) throws(FormatError) -> [Int16] {
        let (first, end) = (outputs.lowerBound / 8, (outputs.upperBound + 7) / 8)
        var result: [Int16] = []
        result.reserveCapacity(groupCount * outputs.count)
        for group in 0..<groupCount {
            let start = group * (module.outputs / 8)
            let words = try bytes(of: info, (start + first) * 4..<(start + end) * 4).littleEndian32
            for output in outputs {
                let place = IntegerCodes.places[output & 7]
                result.append(
                    Int16(truncatingIfNeeded: words[output / 8 - first] >> (4 * place) & 15))
            }
        }
        return result
    }

    private func columns(
        _ info: TensorInfo, _ outputs: Range<Int>
    ) throws(FormatError) -> [Int16] {
        let range = words(outputs)
        let words = try bytes(
            of: info, range.lowerBound * groupCount * 4..<range.upperBound * groupCount * 4
        ).littleEndian32
        return (0..<groupCount).flatMap { group in
            outputs.map { output in
                code(
                    words, bit: output * bits - range.lowerBound * 32, first: group,
                    step: groupCount)
            }
        }
    }
}

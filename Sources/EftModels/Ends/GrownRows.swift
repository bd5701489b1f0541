// SPDX-License-Identifier: Apache-2.0
// Rows that are put behind those of an embedding or a head when tokens are added.
import EftFormats
import EftTensor
import Synchronization

/// What new rows of an embedding or a head begin with.
package enum RowFilling: Sendable, Hashable {
    /// The mean of the old rows, as transformers' `resize_token_embeddings` has it but for its noise of a billionth of
    /// their covariance.
    case mean
    /// Normal numbers of the model's `initializer_range`, as without `mean_resizing`.
    case normal(deviation: Double, seed: UInt64)
}

/// The new rows of one tensor, computed when they are first read.
final class GrownRows: Sendable {
    private let tensor: TensorInfo
    private let count: Int
    private let filling: RowFilling
    private let bytes = Mutex<[UInt8]?>(nil)

    /// - Parameters:
    ///   - tensor: the old rows, a matrix of real numbers.
    ///   - count: new rows.
    init(_ tensor: TensorInfo, count: Int, filling: RowFilling) {
        self.tensor = tensor
        self.count = count
        self.filling = filling
    }

    /// Copies some of the new rows' bytes, counted from the first new row.
    /// - Throws: `FormatError` when the old rows cannot be read.
    func read(
        _ range: Range<Int>, into target: UnsafeMutableRawBufferPointer,
        from base: any CheckpointReader
    ) throws(FormatError) {
        let held = bytes.withLock { $0 }
        let all: [UInt8]
        if let held { all = held } else { all = try made(from: base) }
        bytes.withLock { $0 = all }
        target.copyBytes(from: all[range])
    }

    private func made(from base: any CheckpointReader) throws(FormatError) -> [UInt8] {
        let width = tensor.shape.dims.last ?? 0
        switch filling {
        case .mean:
            let row = ElementConversion.bytes(of: try mean(base, width), as: tensor.dtype)
            return Array(repeatElement(row, count: count).joined())
        case .normal(let deviation, let seed):
            var generator = NormalGenerator(seed: seed)
            let values = (0..<count * width).map { _ in Float(generator.normal() * deviation) }
            return ElementConversion.bytes(of: values, as: tensor.dtype)
        }
    }

    private func mean(
        _ base: any CheckpointReader, _ width: Int
    ) throws(FormatError) -> [Float] {
        let rows = tensor.shape.dims.first ?? 0
        let step = max(1, (1 << 16) / max(width, 1))
        var sums = [Double](repeating: 0, count: width)
        var values = [Float](repeating: 0, count: min(step, rows) * width)
        for first in stride(from: 0, to: rows, by: step) {
            let count = min(step, rows - first)
            try values.withUnsafeMutableBufferPointer { (all) throws(FormatError) in
                try base.readFloats(
                    tensor.name, elements: first * width..<(first + count) * width,
                    into: UnsafeMutableBufferPointer(rebasing: all[..<(count * width)]))
            }
            for row in 0..<count {
                for column in 0..<width { sums[column] += Double(values[row * width + column]) }
            }
        }
        return sums.map { Float($0 / Double(max(rows, 1))) }
    }
}

extension ElementConversion {
    /// Numbers as elements of another type.
    static func bytes(of values: [Float], as dtype: DType) -> [UInt8] {
        var bytes = [UInt8](repeating: 0, count: values.count * dtype.byteWidth)
        values.withUnsafeBufferPointer { values in
            bytes.withUnsafeMutableBytes { encode(values, as: dtype, into: $0) }
        }
        return bytes
    }
}

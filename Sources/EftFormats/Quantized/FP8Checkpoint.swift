// SPDX-License-Identifier: Apache-2.0
// Weights in 8-bit floating point with scales, seen as bf16.
import CEftKernels
import EftTensor

/// Shows the FP8 weights of a checkpoint as the bf16 numbers that they stand for: number x scale, in f32, rounded to bf16. Nothing is
/// kept; what is asked for is read. Codes and scales themselves are found under names of their own (`codes`, `scales`), but not
/// listed.
///
/// `<module>.weight` [N, K] in F8_E4M3 beside `<module>.weight_scale_inv` [N / rows, K / columns] (DeepSeek, Qwen, transformers: a scale
/// for each block, by which numbers are multiplied in spite of its name) or `<module>.weight_scale` (compressed-tensors, FBGEMM: one
/// for all, for each row, or for each block). Scales of activations are not shown: products are computed with activations as they are.
package final class FP8Checkpoint: CheckpointView {
    /// A weight and the scales of its blocks.
    private struct Scaled {
        /// As it is shown.
        let info: TensorInfo
        let scales: TensorInfo
        /// Rows and columns that share a scale.
        let block: (rows: Int, columns: Int)
        /// Scales of a row of blocks.
        let stride: Int
    }

    /// The name under which a weight's codes are found: F8_E4M3 [N, K].
    package static func codes(_ weight: String) -> String { weight + "#codes" }
    /// The name under which a weight's scales are found: real numbers [row blocks, column blocks].
    package static func scales(_ weight: String) -> String { weight + "#scales" }

    private static let suffixes = ["_scale_inv", "_scale"]

    package let base: any CheckpointReader
    package let quantization: StoredQuantization?
    package let tensors: [TensorInfo]
    private let scaled: [String: Scaled]
    private let hidden: Set<String>

    /// Finds the scales of all FP8 weights.
    /// - Throws: `FormatError` for a weight without scales, or with scales of another shape.
    init(
        _ base: any CheckpointReader, _ quantization: StoredQuantization
    ) throws(FormatError) {
        var (scaled, hidden, tensors) = ([String: Scaled](), Set<String>(), [TensorInfo]())
        for info in base.tensors where info.dtype == .f8e4m3 {
            let names = FP8Checkpoint.suffixes.map { info.name + $0 }
            guard let scales = names.lazy.compactMap({ base.find($0) }).first else {
                throw FormatError(
                    .missing,
                    "8-bit floating point numbers without scales: neither of "
                        + names.joined(separator: ", ") + " is there", path: base.path,
                    tensor: info.name)
            }
            scaled[info.name] = try FP8Checkpoint.scaled(
                info, scales, quantization.blockSize, base.path)
            hidden.insert(scales.name)
            let module = info.name.hasSuffix(".weight") ? info.name.dropLast(7) : info.name[...]
            hidden.formUnion(["\(module).input_scale", "\(module).activation_scale"])
        }
        for info in base.tensors where !hidden.contains(info.name) {
            tensors.append(scaled[info.name]?.info ?? info)
        }
        self.base = base
        self.quantization = quantization
        self.tensors = tensors
        self.scaled = scaled
        self.hidden = hidden
    }

    /// Pairs a weight with its scales.
    private static func scaled(
        _ info: TensorInfo, _ scales: TensorInfo, _ block: [Int]?, _ path: String
    ) throws(FormatError) -> Scaled {
        func fault(_ message: String) -> FormatError {
            FormatError(.damaged, message, path: path, tensor: scales.name)
        }
        guard info.shape.dims.count == 2, let rows = info.shape.dims.first,
            let columns = info.shape.dims.last, rows > 0, columns > 0
        else {
            throw FormatError(
                .unsupported,
                "8-bit floating point numbers of shape \(info.shape) are not read, only matrices",
                path: path, tensor: info.name)
        }
        guard scales.dtype.isFloatingPoint else {
            throw fault("holds \(scales.dtype.rawValue) where real numbers are expected")
        }
        var dims = scales.shape.dims
        if dims.isEmpty || dims == [1] { dims = [1, 1] }
        if dims == [rows] { dims = [rows, 1] }
        guard dims.count == 2,
            let blockRows = length(rows, dims[0], block?.first),
            let blockColumns = length(columns, dims[1], block?.last)
        else {
            throw fault(
                "has shape \(scales.shape), which does not part \(info.shape) into blocks"
                    + (block.map { " of \($0)" } ?? ""))
        }
        return Scaled(
            info: try TensorInfo(name: info.name, dtype: .bf16, shape: info.shape), scales: scales,
            block: (blockRows, blockColumns), stride: dims[1])
    }

    /// Elements that share a scale, when `count` scales stand for `extent` of them; nil when that cannot be.
    private static func length(_ extent: Int, _ count: Int, _ block: Int?) -> Int? {
        guard count > 0, count <= extent else { return nil }
        if count == 1 { return extent }
        if count == extent { return 1 }
        let length = block ?? (extent % count == 0 ? extent / count : 128)
        guard length > 0, (extent - 1) / length + 1 == count else { return nil }
        return length
    }

    /// Rows and columns that share a scale of a weight whose scales are [row blocks, column blocks]; nil when there are none such.
    package static func block(
        of weight: TensorInfo, scales: TensorInfo, _ quantization: StoredQuantization?
    ) -> (rows: Int, columns: Int)? {
        let (dims, grid, block) = (
            weight.shape.dims, scales.shape.dims, quantization?.blockSize
        )
        guard dims.count == 2, grid.count == 2,
            let rows = length(dims[0], grid[0], block?.first),
            let columns = length(dims[1], grid[1], block?.last)
        else { return nil }
        return (rows, columns)
    }

    /// What a name of codes or scales stands for.
    private func own(_ name: String) -> (info: TensorInfo, stored: String)? {
        guard let mark = name.lastIndex(of: "#") else { return nil }
        let weight = String(name[..<mark])
        guard let found = scaled[weight] else { return nil }
        if name == FP8Checkpoint.codes(weight) {
            return (try? TensorInfo(name: name, dtype: .f8e4m3, shape: found.info.shape)).map {
                ($0, weight)
            }
        }
        guard name == FP8Checkpoint.scales(weight), found.stride > 0 else { return nil }
        let shape = Shape(found.scales.shape.count / found.stride, found.stride)
        return (try? TensorInfo(name: name, dtype: found.scales.dtype, shape: shape)).map {
            ($0, found.scales.name)
        }
    }

    // MARK: CheckpointReader

    package func find(_ name: String) -> TensorInfo? {
        if hidden.contains(name) { return nil }
        return scaled[name]?.info ?? base.find(name) ?? own(name)?.info
    }

    package func releasePages(of name: String) {
        base.releasePages(of: own(name)?.stored ?? name)
    }

    package func place(of name: String) -> (path: String, bytes: Range<Int>)? {
        if let own = own(name) { return base.place(of: own.stored) }
        return scaled[name] == nil ? base.place(of: name) : nil
    }

    package func withBytes<R>(
        of name: String, _ body: (UnsafeRawBufferPointer) throws -> R
    ) throws -> R {
        if let own = own(name) { return try base.withBytes(of: own.stored, body) }
        guard scaled[name] != nil else { return try base.withBytes(of: name, body) }
        return try bytes(of: name).withUnsafeBytes(body)
    }

    package func read(
        _ name: String, bytes range: Range<Int>, into target: UnsafeMutableRawBufferPointer
    ) throws(FormatError) {
        if let own = own(name) { return try base.read(own.stored, bytes: range, into: target) }
        guard let weight = scaled[name] else {
            return try base.read(name, bytes: range, into: target)
        }
        precondition(
            target.count == range.count && range.lowerBound % 2 == 0 && range.count % 2 == 0,
            "\(range) of \(name)")
        // The bytes of FP8 come into the second half of the target and are widened from the front.
        let elements = range.lowerBound / 2..<range.upperBound / 2
        guard !elements.isEmpty else { return }
        let stored = UnsafeMutableRawBufferPointer(rebasing: target[elements.count...])
        try base.read(name, bytes: elements, into: stored)
        let scales = try scales(weight, elements)
        widen(weight, elements, scales, target)
    }

    /// The scales of the blocks that some elements touch, from the first row of blocks on.
    private func scales(_ weight: Scaled, _ elements: Range<Int>) throws(FormatError) -> [Float] {
        let columns = weight.info.shape.dims[1]
        let first = elements.lowerBound / columns / weight.block.rows
        let last = (elements.upperBound - 1) / columns / weight.block.rows
        let range = first * weight.stride..<(last + 1) * weight.stride
        var scales = [Float](repeating: 0, count: range.count)
        try scales.withUnsafeMutableBufferPointer { (buffer) throws(FormatError) in
            try base.readFloats(weight.scales.name, elements: range, into: buffer)
        }
        return scales
    }

    private func widen(
        _ weight: Scaled, _ elements: Range<Int>, _ scales: [Float],
        _ target: UnsafeMutableRawBufferPointer
    ) {
        let columns = weight.info.shape.dims[1]
        let firstBlock = elements.lowerBound / columns / weight.block.rows
        let count = elements.count
        guard let base = target.baseAddress else { return }
        let source = base.assumingMemoryBound(to: UInt8.self)
        var element = elements.lowerBound
        while element < elements.upperBound {
            let (row, column) = (element / columns, element % columns)
            let block = column / weight.block.columns
            let scale = scales[
                (row / weight.block.rows - firstBlock) * weight.stride + block]
            let end = min(
                row * columns + min((block + 1) * weight.block.columns, columns),
                elements.upperBound)
            let (first, run) = (element - elements.lowerBound, end - element)
            eft_e4m3_to_bf16(run, source + count + first, scale, base + 2 * first)
            element = end
        }
    }
}

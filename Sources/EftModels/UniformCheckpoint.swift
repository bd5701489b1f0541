// SPDX-License-Identifier: Apache-2.0
// A checkpoint whose matrices stand by inputs, or whose names lack their root, seen as others are.
import EftFormats
import EftGGUF
import EftTensor

/// Shows matrices that a checkpoint has as [inputs, outputs] (GPT-2) as [outputs, inputs], and names without the
/// path of the decoder with it. Numbers are read where they stand; nothing is kept.
package final class UniformCheckpoint: CheckpointView {
    /// The checkpoint as it is.
    package let base: any CheckpointReader
    /// What all names have before them here, and not there.
    private let prefix: String
    /// The matrices that are turned, by their names here.
    private let turned: [String: TensorInfo]

    /// Looks at the tensors of a model; nil where they stand as they are shown.
    /// - Throws: `FormatError` for matrices of other extents than the model asks for.
    package init?(
        _ base: any CheckpointReader, _ description: DecoderDescription
    ) throws(FormatError) {
        let root = description.bareRoot
        let isBare =
            root.map { root in !base.tensors.contains { $0.name.hasPrefix(root) } } ?? false
        let prefix = isBare ? root ?? "" : ""
        var turned: [String: TensorInfo] = [:]
        if description.storesByInputs {
            for layer in 0..<description.layers {
                for linear in description.linears(layer: layer) {
                    let name = linear.name + ".weight"
                    guard let info = base.find(String(name.dropFirst(prefix.count))),
                        info.dtype.isFloatingPoint
                    else { continue }
                    guard info.shape.dims == [linear.inputs, linear.outputs] else {
                        throw FormatError(
                            .damaged,
                            "has shape \(info.shape), but the model's config.json asks for "
                                + "\([linear.inputs, linear.outputs])", path: base.path,
                            tensor: info.name)
                    }
                    turned[name] = try TensorInfo(
                        name: name, dtype: info.dtype, shape: Shape(linear.outputs, linear.inputs))
                }
            }
        }
        guard isBare || !turned.isEmpty else { return nil }
        self.base = base
        self.prefix = prefix
        self.turned = turned
    }

    private func stored(_ name: String) -> String {
        name.hasPrefix(prefix) ? String(name.dropFirst(prefix.count)) : name
    }

    private func shown(_ info: TensorInfo) -> TensorInfo? {
        turned[prefix + info.name]
            ?? (try? TensorInfo(name: prefix + info.name, dtype: info.dtype, shape: info.shape))
    }

    // MARK: CheckpointReader

    package var quantization: StoredQuantization? { base.quantization }
    package var tensors: [TensorInfo] { base.tensors.compactMap(shown) }

    package func find(_ name: String) -> TensorInfo? {
        guard name.hasPrefix(prefix) else { return nil }
        return turned[name] ?? base.find(stored(name)).flatMap(shown)
    }

    package func releasePages(of name: String) { base.releasePages(of: stored(name)) }

    package func place(of name: String) -> (path: String, bytes: Range<Int>)? {
        turned[name] == nil ? base.place(of: stored(name)) : nil
    }

    package func blockType(of name: String) -> GGUFTensorType? {
        turned[name] == nil ? base.blockType(of: stored(name)) : nil
    }

    package func readBlocks(
        _ name: String, rows: Range<Int>, into target: UnsafeMutableRawBufferPointer
    ) throws(FormatError) {
        try base.readBlocks(stored(name), rows: rows, into: target)
    }

    package func withBytes<R>(
        of name: String, _ body: (UnsafeRawBufferPointer) throws -> R
    ) throws -> R {
        guard turned[name] != nil else { return try base.withBytes(of: stored(name), body) }
        return try bytes(of: name).withUnsafeBytes(body)
    }

    package func read(
        _ name: String, bytes range: Range<Int>, into target: UnsafeMutableRawBufferPointer
    ) throws(FormatError) {
        guard let info = turned[name] else {
            return try base.read(stored(name), bytes: range, into: target)
        }
        precondition(target.count == range.count, "\(range.count) bytes into \(target.count)")
        try readColumns(info, range, target)
    }

    /// Rows as they are shown are columns as they are stored: a run of each stored row is read.
    private func readColumns(
        _ info: TensorInfo, _ range: Range<Int>, _ target: UnsafeMutableRawBufferPointer
    ) throws(FormatError) {
        let (outputs, inputs) = (info.shape.dims[0], info.shape.dims[1])
        let width = info.dtype.byteWidth
        guard !range.isEmpty, inputs > 0, width > 0 else { return }
        let rowBytes = inputs * width
        let rows = range.lowerBound / rowBytes...(range.upperBound - 1) / rowBytes
        var segment = [UInt8](repeating: 0, count: rows.count * width)
        for input in 0..<inputs {
            let first = (input * outputs + rows.lowerBound) * width
            try segment.withUnsafeMutableBufferPointer { (bytes) throws(FormatError) in
                try base.read(
                    stored(info.name), bytes: first..<first + bytes.count,
                    into: UnsafeMutableRawBufferPointer(bytes))
            }
            segment.withUnsafeBytes { bytes in
                for (place, row) in rows.enumerated() {
                    let goal = row * rowBytes + input * width - range.lowerBound
                    for byte in 0..<width where goal + byte >= 0 && goal + byte < target.count {
                        target[goal + byte] = bytes[place * width + byte]
                    }
                }
            }
        }
    }
}

// SPDX-License-Identifier: Apache-2.0
// The tensors of a GGUF file under Hugging Face's names, as a checkpoint.
import CEftKernels
import EftGGUF
import EftTensor

/// A GGUF file, or the parts of one; quantized tensors are read as the f32 numbers that they stand for.
package final class GGUFCheckpoint: CheckpointReader {
    /// Bytes of stored blocks, and of numbers made of them, that are in memory at a time.
    private static let pieceBytes = 1 << 17

    package let path: String
    package let files: [String]
    package let tensors: [TensorInfo]
    package let opaqueTensors: [OpaqueTensor]
    package let metadata: [String: String]
    private let parts: [MappedFile]
    private let views: [String: (info: TensorInfo, view: GGUFView)]

    /// Opens a file, or all files of a model.
    /// - Parameter headDim: numbers of a head of the base, for an adapter whose file does not say it.
    /// - Throws: `FormatError`.
    package init(path: String, headDim: Int? = nil) throws(FormatError) {
        let model: GGUFModel
        do throws(GGUFError) { model = try GGUFModel.open(path) } catch { throw FormatError(error) }
        var parts: [MappedFile] = []
        for part in model.file.parts { parts.append(try MappedFile(path: part.path)) }
        var (infos, opaque): ([TensorInfo], [OpaqueTensor]) = ([], [])
        var views: [String: (TensorInfo, GGUFView)] = [:]
        for stored in model.views {
            guard let view = headDim.map({ stored.of(headDim: $0) }) ?? stored else {
                throw FormatError(
                    .damaged, "has \(stored.rows) rows, which are no heads of the base model",
                    path: path, tensor: stored.name)
            }
            guard view.tensor.bytes.upperBound <= parts[view.part].byteCount else {
                throw FormatError(
                    .damaged, "the file became shorter while in use", path: parts[view.part].path)
            }
            let shape: Shape
            do { shape = try Shape(checking: view.dims) } catch {
                throw FormatError(.damaged, error.message, path: path, tensor: view.name)
            }
            guard let dtype = Self.type(of: view) else {
                opaque.append(
                    OpaqueTensor(
                        name: view.name, typeName: view.tensor.type.name, shape: shape,
                        byteCount: view.rows * view.rowBytes))
                continue
            }
            let info = try TensorInfo(name: view.name, dtype: dtype, shape: shape)
            infos.append(info)
            views[view.name] = (info, view)
        }
        self.path = path
        self.parts = parts
        self.views = views
        files = parts.map(\.path)
        tensors = infos
        opaqueTensors = opaque
        metadata = model.file.metadata.compactMapValues(\.text).filter {
            $0.key.hasPrefix("general.")
        }
    }

    /// The type of the numbers that a tensor is read as; nil for one that is not read.
    private static func type(of view: GGUFView) -> DType? {
        switch view.tensor.type {
        case .f32: return .f32
        case .f16: return view.shift == 0 ? .f16 : .f32
        case .bf16: return view.shift == 0 ? .bf16 : .f32
        case .f64: return .f64
        case .i8: return .i8
        case .i16: return .i16
        case .i32: return .i32
        case .i64: return .i64
        default:
            var none: Float = 0
            return eft_gguf_values(view.tensor.type.rawValue, 0, nil, &none) ? .f32 : nil
        }
    }

    package func find(_ name: String) -> TensorInfo? { views[name]?.info }

    /// Whether the stored bytes are those of the tensor.
    private static func isPlain(_ view: GGUFView) -> Bool {
        !view.tensor.type.isQuantized && view.isInOrder && view.shift == 0
    }

    package func place(of name: String) -> (path: String, bytes: Range<Int>)? {
        guard let (info, view) = views[name], Self.isPlain(view) else { return nil }
        let first = view.place(ofRow: 0).lowerBound
        return (parts[view.part].path, first..<first + info.byteCount)
    }

    package func releasePages(of name: String) {}

    private func requireKnownHeads(_ view: GGUFView) throws(FormatError) {
        guard view.hasUnknownHeads else { return }
        throw FormatError(
            .unsupported,
            "the order of its rows follows from the base model, with which the adapter must be opened",
            path: path, tensor: view.name)
    }

    package func blockType(of name: String) -> GGUFTensorType? {
        guard let view = views[name]?.view, view.tensor.type.isQuantized else { return nil }
        return view.tensor.type
    }

    package func readBlocks(
        _ name: String, rows: Range<Int>, into target: UnsafeMutableRawBufferPointer
    ) throws(FormatError) {
        guard let view = views[name]?.view else { return _ = try tensor(name) }
        try requireKnownHeads(view)
        let width = view.rowBytes
        precondition(
            rows.lowerBound >= 0 && rows.upperBound <= view.rows
                && target.count == rows.count * width, "rows \(rows) of \(view.rows)")
        let file = parts[view.part]
        if view.isInOrder {
            guard !rows.isEmpty else { return }
            return try file.read(at: view.place(ofRow: rows.lowerBound).lowerBound, into: target)
        }
        for (index, row) in rows.enumerated() {
            try file.read(
                at: view.place(ofRow: row).lowerBound,
                into: UnsafeMutableRawBufferPointer(
                    rebasing: target[index * width..<(index + 1) * width]))
        }
    }

    package func withBytes<R>(
        of name: String, _ body: (UnsafeRawBufferPointer) throws -> R
    ) throws -> R {
        try bytes(of: name).withUnsafeBytes(body)
    }

    package func read(
        _ name: String, bytes range: Range<Int>, into target: UnsafeMutableRawBufferPointer
    ) throws(FormatError) {
        guard let (info, view) = views[name] else {
            _ = try tensor(name)
            preconditionFailure("tensor found without a view")
        }
        precondition(
            range.lowerBound >= 0 && range.upperBound <= info.byteCount
                && target.count == range.count,
            "bytes \(range) of \(info.byteCount) into \(target.count)")
        try requireKnownHeads(view)
        guard !range.isEmpty else { return }
        let file = parts[view.part]
        if Self.isPlain(view) {
            let first = view.place(ofRow: 0).lowerBound
            return try file.read(at: first + range.lowerBound, into: target)
        }
        // Rows in their order are one long row.
        let length = (view.isInOrder ? view.rows : 1) * view.columns * info.dtype.byteWidth
        var row = range.lowerBound / length
        while row * length < range.upperBound {
            let whole = row * length..<(row + 1) * length
            let part = range.clamped(to: whole)
            let place = part.lowerBound - range.lowerBound
            let bytes = UnsafeMutableRawBufferPointer(
                rebasing: target[place..<place + part.count])
            try read(
                view, info.dtype, at: view.place(ofRow: row).lowerBound,
                bytes: part.lowerBound - whole.lowerBound..<part.upperBound - whole.lowerBound,
                of: file, into: bytes)
            row += 1
        }
    }

    /// Reads a part of the numbers that lie in the file from `start` on, counted in bytes of what they are read as.
    private func read(
        _ view: GGUFView, _ dtype: DType, at start: Int, bytes range: Range<Int>,
        of file: MappedFile, into target: UnsafeMutableRawBufferPointer
    ) throws(FormatError) {
        let type = view.tensor.type
        guard type.isQuantized || view.shift != 0 else {
            return try file.read(at: start + range.lowerBound, into: target)
        }
        let blockWidth = type.blockSize * dtype.byteWidth
        let first = range.lowerBound / blockWidth
        let end = (range.upperBound + blockWidth - 1) / blockWidth
        let step = max(Self.pieceBytes / blockWidth, 1)
        var stored = [UInt8](repeating: 0, count: min(step, end - first) * type.blockBytes)
        var values = [Float](repeating: 0, count: min(step, end - first) * type.blockSize)
        var block = first
        while block < end {
            let count = min(step, end - block)
            try stored.withMutableRawBytes { (bytes) throws(FormatError) in
                try file.read(
                    at: start + block * type.blockBytes,
                    into: UnsafeMutableRawBufferPointer(
                        rebasing: bytes[..<(count * type.blockBytes)]))
            }
            Self.decode(stored, type, blocks: count, shift: view.shift, into: &values)
            let part = range.clamped(to: block * blockWidth..<(block + count) * blockWidth)
            values.withUnsafeBytes { source in
                let (from, to) = (
                    part.lowerBound - block * blockWidth, part.lowerBound - range.lowerBound
                )
                UnsafeMutableRawBufferPointer(rebasing: target[to..<to + part.count])
                    .copyMemory(
                        from: UnsafeRawBufferPointer(rebasing: source[from..<from + part.count]))
            }
            block += count
        }
    }

    private static func decode(
        _ stored: [UInt8], _ type: GGUFTensorType, blocks: Int, shift: Float,
        into values: inout [Float]
    ) {
        if type.isQuantized {
            _ = eft_gguf_values(type.rawValue, blocks, stored, &values)
        } else {
            stored.withUnsafeBytes { stored in
                values.withUnsafeMutableBufferPointer { values in
                    let dtype: DType = type == .f16 ? .f16 : type == .bf16 ? .bf16 : .f32
                    ElementConversion.decode(
                        UnsafeRawBufferPointer(rebasing: stored[..<(blocks * type.blockBytes)]),
                        as: dtype, into: UnsafeMutableBufferPointer(rebasing: values[..<blocks]))
                }
            }
        }
        guard shift != 0 else { return }
        for index in 0..<blocks * type.blockSize { values[index] += shift }
    }
}

extension FormatError {
    /// A fault of a GGUF file.
    package init(_ error: GGUFError) {
        let code: FormatErrorCode =
            switch error.code {
            case .missing: .missing
            case .unreadable: .unreadable
            case .damaged: .damaged
            case .unsupported: .unsupported
            }
        self.init(code, error.message, path: error.path, tensor: error.tensor)
    }
}

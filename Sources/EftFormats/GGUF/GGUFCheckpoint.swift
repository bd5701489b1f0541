// SPDX-License-Identifier: Apache-2.0
// The tensors of a GGUF file under Hugging Face's names, as a checkpoint.
import CEftKernels
import EftGGUF
import EftTensor

#if canImport(Glibc)
    import Glibc
#endif

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
            for source in view.sources
            where source.tensor.bytes.upperBound > parts[source.part].byteCount {
                throw FormatError(
                    .damaged, "the file became shorter while in use", path: parts[source.part].path)
            }
            let shape: Shape
            do { shape = try Shape(checking: view.dims) } catch {
                throw FormatError(.damaged, error.message, path: path, tensor: view.name)
            }
            guard let dtype = Self.type(of: view) else {
                opaque.append(
                    OpaqueTensor(
                        name: view.name, typeName: view.sources[0].tensor.type.name, shape: shape,
                        byteCount: view.sources.reduce(0) { $0 + $1.tensor.bytes.count }))
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
        guard let type = view.type else { return mixedType(of: view) }
        switch type {
        case .f32: return .f32
        case .f16: return view.change == .none ? .f16 : .f32
        case .bf16: return view.change == .none ? .bf16 : .f32
        case .f64 where view.change == .none: return .f64
        case .f64: return nil
        case .i8: return .i8
        case .i16: return .i16
        case .i32: return .i32
        case .i64: return .i64
        default: return isRead(type) ? .f32 : nil
        }
    }

    private static func isRead(_ type: GGUFTensorType) -> Bool {
        guard type.isQuantized else { return type == .f32 || type == .f16 || type == .bf16 }
        var none: Float = 0
        return eft_gguf_values(type.rawValue, 0, nil, &none)
    }

    /// The type of numbers that are put together of several tensors, or of parts of rows: half precision where all are
    /// quantized or have it, which changes a number by at most one part in 2048.
    private static func mixedType(of view: GGUFView) -> DType? {
        let types = view.sources.map(\.tensor.type)
        guard types.allSatisfy(isRead) else { return nil }
        if types.allSatisfy({ $0 == .bf16 }) { return .bf16 }
        return types.allSatisfy { $0.isQuantized || $0 == .f16 } ? .f16 : .f32
    }

    package func find(_ name: String) -> TensorInfo? { views[name]?.info }

    /// The tensor whose bytes are those that are shown; nil where there is none.
    private static func plain(_ view: GGUFView) -> (source: GGUFView.Source, first: Int)? {
        guard let whole = view.whole, !whole.tensor.type.isQuantized, view.change == .none else {
            return nil
        }
        return (whole, whole.place(ofRow: view.runs[0].first, columns: view.columns).lowerBound)
    }

    package func place(of name: String) -> (path: String, bytes: Range<Int>)? {
        guard let (info, view) = views[name], let (source, first) = Self.plain(view) else {
            return nil
        }
        return (parts[source.part].path, first..<first + info.byteCount)
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
        guard let type = views[name]?.view.type, type.isQuantized else { return nil }
        return type
    }

    package func readBlocks(
        _ name: String, rows: Range<Int>, into target: UnsafeMutableRawBufferPointer
    ) throws(FormatError) {
        guard let view = views[name]?.view, let type = view.type else {
            return _ = try tensor(name)
        }
        try requireKnownHeads(view)
        let width = view.columns / type.blockSize * type.blockBytes
        precondition(
            rows.lowerBound >= 0 && rows.upperBound <= view.rows
                && target.count == rows.count * width, "rows \(rows) of \(view.rows)")
        try view.forEachRun(in: rows) { (run, part, row) throws(FormatError) in
            let source = view.sources[run.source]
            let file = parts[source.part]
            // Rows that lie together are one long row.
            let length = run.step == 1 ? part.count : 1
            for index in stride(from: part.lowerBound, to: part.upperBound, by: length) {
                let place = (row - rows.lowerBound + index - part.lowerBound) * width
                try file.read(
                    at: source.place(ofRow: run.first + index * run.step, columns: view.columns)
                        .lowerBound,
                    into: UnsafeMutableRawBufferPointer(
                        rebasing: target[place..<place + length * width]))
            }
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
        if let (source, first) = Self.plain(view) {
            return try parts[source.part].read(at: first + range.lowerBound, into: target)
        }
        guard let type = view.type else { return try readMixed(view, info, range, target) }
        let width = view.columns * info.dtype.byteWidth
        let rows = range.lowerBound / width..<(range.upperBound + width - 1) / width
        try view.forEachRun(in: rows) { (run, part, row) throws(FormatError) in
            let source = view.sources[run.source]
            let length = run.step == 1 ? part.count : 1
            for index in stride(from: part.lowerBound, to: part.upperBound, by: length) {
                let first = (row + index - part.lowerBound) * width
                let bytes = range.clamped(to: first..<first + length * width)
                let place = bytes.lowerBound - range.lowerBound
                try read(
                    view, type, info.dtype,
                    at: source.place(ofRow: run.first + index * run.step, columns: view.columns)
                        .lowerBound, bytes: bytes.lowerBound - first..<bytes.upperBound - first,
                    of: parts[source.part],
                    into: UnsafeMutableRawBufferPointer(
                        rebasing: target[place..<place + bytes.count]))
            }
        }
    }

    /// Reads a part of the numbers that lie in the file from `start` on, counted in bytes of what they are read as.
    private func read(
        _ view: GGUFView, _ type: GGUFTensorType, _ dtype: DType, at start: Int,
        bytes range: Range<Int>, of file: MappedFile, into target: UnsafeMutableRawBufferPointer
    ) throws(FormatError) {
        guard type.isQuantized || view.change != .none else {
            return try file.read(at: start + range.lowerBound, into: target)
        }
        let blockWidth = type.blockSize * dtype.byteWidth
        let first = range.lowerBound / blockWidth
        let end = (range.upperBound + blockWidth - 1) / blockWidth
        let step = max(Self.pieceBytes / blockWidth, 1)
        var block = first
        while block < end {
            let count = min(step, end - block)
            let values = try Self.values(
                type, at: start + block * type.blockBytes, blocks: count, of: file, view.change)
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

    // MARK: Numbers of several tensors, or in another order

    private func readMixed(
        _ view: GGUFView, _ info: TensorInfo, _ range: Range<Int>,
        _ target: UnsafeMutableRawBufferPointer
    ) throws(FormatError) {
        let width = view.columns * info.dtype.byteWidth
        let rows = range.lowerBound / width..<(range.upperBound + width - 1) / width
        let step = max(Self.pieceBytes * 4 / width, 1)
        var shown = [UInt8](repeating: 0, count: min(step, rows.count) * width)
        try view.forEachRun(in: rows) { (run, part, row) throws(FormatError) in
            for first in stride(from: part.lowerBound, to: part.upperBound, by: step) {
                let some = first..<min(first + step, part.upperBound)
                let values = try self.values(of: view, run, some)
                shown.withUnsafeMutableBytes { bytes in
                    values.withUnsafeBufferPointer {
                        ElementConversion.encode(
                            $0, as: info.dtype,
                            into: UnsafeMutableRawBufferPointer(
                                rebasing: bytes[..<(some.count * width)]))
                    }
                }
                let start = (row + first - part.lowerBound) * width
                let bytes = range.clamped(to: start..<start + some.count * width)
                let goal = UnsafeMutableRawBufferPointer(
                    rebasing: target[
                        bytes.lowerBound - range.lowerBound..<bytes.upperBound - range.lowerBound])
                shown.withUnsafeBytes {
                    goal.copyBytes(from: $0[bytes.lowerBound - start..<bytes.upperBound - start])
                }
            }
        }
    }

    /// Some rows of a run as numbers.
    private func values(
        of view: GGUFView, _ run: GGUFView.Run, _ part: Range<Int>
    ) throws(FormatError) -> [Float] {
        let source = view.sources[run.source]
        let (type, columns) = (source.tensor.type, source.tensor.columns)
        func stored(_ row: Int) throws(FormatError) -> [Float] {
            try Self.values(
                type, at: source.place(ofRow: row, columns: columns).lowerBound,
                blocks: columns / type.blockSize, of: parts[source.part], view.change)
        }
        var values = [Float](repeating: 0, count: part.count * view.columns)
        if let base = run.turnedFrom {
            for column in 0..<view.columns {
                let numbers = try stored(base + column)
                for (place, row) in part.enumerated() {
                    values[place * view.columns + column] = numbers[run.first + row * run.step]
                }
            }
            return values
        }
        for (place, row) in part.enumerated() {
            let numbers = try stored(run.first + row * run.step)
            var column = place * view.columns
            for run in view.columnRuns.isEmpty ? [0..<view.columns] : view.columnRuns {
                for index in run {
                    values[column] = numbers[index]
                    column += 1
                }
            }
        }
        return values
    }

    /// The numbers of blocks that lie in a file.
    private static func values(
        _ type: GGUFTensorType, at start: Int, blocks: Int, of file: MappedFile,
        _ change: GGUFView.Change
    ) throws(FormatError) -> [Float] {
        var stored = [UInt8](repeating: 0, count: blocks * type.blockBytes)
        try stored.withMutableRawBytes { (bytes) throws(FormatError) in
            try file.read(at: start, into: bytes)
        }
        var values = [Float](repeating: 0, count: blocks * type.blockSize)
        decode(stored, type, blocks: blocks, into: &values)
        switch change {
        case .none: break
        case .plus(let shift): for index in values.indices { values[index] += shift }
        case .logarithm: for index in values.indices { values[index] = log(-values[index]) }
        }
        return values
    }

    private static func decode(
        _ stored: [UInt8], _ type: GGUFTensorType, blocks: Int, into values: inout [Float]
    ) {
        if type.isQuantized {
            _ = eft_gguf_values(type.rawValue, blocks, stored, &values)
            return
        }
        stored.withUnsafeBytes { stored in
            values.withUnsafeMutableBufferPointer { values in
                let dtype: DType = type == .f16 ? .f16 : type == .bf16 ? .bf16 : .f32
                ElementConversion.decode(stored, as: dtype, into: values)
            }
        }
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

// SPDX-License-Identifier: Apache-2.0
// A base's tensors with another embedding or head: one with more rows, or one that came with an adapter.
import EftFormats
import EftGGUF
import EftTensor

/// Reads a checkpoint, some of whose tensors stand elsewhere or have rows added. Nothing is copied.
package final class EndsCheckpoint: CheckpointView {
    /// Where a tensor comes from.
    package enum Source: Sendable {
        /// Another tensor, maybe of another checkpoint.
        case tensor(any CheckpointReader, name: String)
        /// A matrix of the base with rows added, so many in all.
        case grown(name: String, rows: Int, RowFilling)
        /// Numbers that stand nowhere yet, in f32.
        case fresh(Shape, RowFilling)
        /// A tensor of one of the sources above, some of whose rows are those of a smaller matrix.
        indirect case replaced(Source, rows: [Int32], by: any CheckpointReader, name: String)
    }

    /// Rows that stand elsewhere.
    private struct Replacement: Sendable {
        let places: [Int: Int]
        let reader: any CheckpointReader
        let info: TensorInfo
    }

    private struct Change: Sendable {
        let info: TensorInfo
        let reader: any CheckpointReader
        let name: String
        let oldBytes: Int
        let rows: GrownRows?
        var replacement: Replacement?
    }

    package let base: any CheckpointReader
    private let changes: [String: Change]
    /// Prefixes of the changed modules, whose other tensors, such as those of a quantized form, are hidden.
    private let modules: [String]

    /// Puts sources in the place of tensors.
    /// - Parameter hidden: modules whose tensors are left out.
    /// - Throws: `FormatError` for a source that is not there, or no matrix of real numbers.
    package init(
        _ base: any CheckpointReader, changing sources: [String: Source],
        hiding hidden: [String] = []
    ) throws(FormatError) {
        self.base = base
        var changes: [String: Change] = [:]
        for (name, source) in sources {
            changes[name] = try EndsCheckpoint.change(name, source, base)
        }
        self.changes = changes
        modules =
            sources.keys.map { name in
                name.lastIndex(of: ".").map { String(name[...$0]) } ?? name
            } + hidden.map { $0 + "." }
    }

    private static func change(
        _ name: String, _ source: Source, _ base: any CheckpointReader
    ) throws(FormatError) -> Change {
        switch source {
        case .tensor(let reader, let inner):
            let info = try reader.tensor(inner)
            return Change(
                info: try TensorInfo(name: name, dtype: info.dtype, shape: info.shape),
                reader: reader, name: inner, oldBytes: info.byteCount, rows: nil)
        case .grown(let inner, let rows, let filling):
            let info = try base.tensor(inner)
            guard info.dtype.isFloatingPoint, info.shape.dims.count == 2,
                info.shape.dims[0] <= rows
            else {
                throw FormatError(
                    .unsupported,
                    "shape \(info.shape) of \(info.dtype.rawValue) cannot grow to \(rows) rows",
                    path: base.path, tensor: inner)
            }
            return Change(
                info: try TensorInfo(
                    name: name, dtype: info.dtype, shape: Shape(rows, info.shape.dims[1])),
                reader: base, name: inner, oldBytes: info.byteCount,
                rows: GrownRows(info, count: rows - info.shape.dims[0], filling: filling))
        case .fresh(let shape, let filling):
            let info = try TensorInfo(name: name, dtype: .f32, shape: shape)
            let count = shape.count / max(shape.dims.last ?? 1, 1)
            return Change(
                info: info, reader: base, name: name, oldBytes: 0,
                rows: GrownRows(info, count: count, filling: filling))
        case .replaced(let inner, let rows, let reader, let tensor):
            var change = try change(name, inner, base)
            let info = try reader.tensor(tensor)
            let dims = change.info.shape.dims
            guard dims.count == 2, info.shape.dims == [rows.count, dims[1]],
                info.dtype.isFloatingPoint, change.info.dtype.isFloatingPoint,
                rows.allSatisfy({ $0 >= 0 && Int($0) < dims[0] }), Set(rows).count == rows.count
            else {
                throw FormatError(
                    .damaged,
                    "shape \(info.shape) of \(info.dtype.rawValue) cannot replace \(rows.count) rows of "
                        + "\(change.info.shape)", path: reader.path, tensor: tensor)
            }
            let places = rows.enumerated().map { (Int($1), $0) }
            change.replacement = Replacement(
                places: Dictionary(uniqueKeysWithValues: places), reader: reader, info: info)
            return change
        }
    }

    private func isHidden(_ name: String) -> Bool {
        modules.contains(where: name.hasPrefix) && changes[name] == nil
    }

    // MARK: CheckpointReader

    package var files: [String] {
        var files = base.files
        for change in changes.values {
            files += change.reader.files.filter { !files.contains($0) }
        }
        return files
    }
    package var quantization: StoredQuantization? { base.quantization }

    package var tensors: [TensorInfo] {
        let old = base.tensors.filter { !isHidden($0.name) }
        let names = Set(old.map(\.name))
        let added = changes.filter { !names.contains($0.key) }.map(\.value.info)
        return old.map { changes[$0.name]?.info ?? $0 }
            + added.sorted { $0.name < $1.name }
    }

    package func find(_ name: String) -> TensorInfo? {
        changes[name]?.info ?? (isHidden(name) ? nil : base.find(name))
    }

    package func releasePages(of name: String) {
        guard let change = changes[name] else { return base.releasePages(of: name) }
        change.reader.releasePages(of: change.name)
    }

    package func blockType(of name: String) -> GGUFTensorType? {
        changes[name] == nil && !isHidden(name) ? base.blockType(of: name) : nil
    }

    package func readBlocks(
        _ name: String, rows: Range<Int>, into target: UnsafeMutableRawBufferPointer
    ) throws(FormatError) {
        try base.readBlocks(name, rows: rows, into: target)
    }

    package func place(of name: String) -> (path: String, bytes: Range<Int>)? {
        guard let change = changes[name] else { return base.place(of: name) }
        return change.rows == nil && change.replacement == nil
            ? change.reader.place(of: change.name) : nil
    }

    package func read(
        _ name: String, bytes range: Range<Int>, into target: UnsafeMutableRawBufferPointer
    ) throws(FormatError) {
        guard let change = changes[name] else {
            return try base.read(name, bytes: range, into: target)
        }
        let old = range.clamped(to: 0..<change.oldBytes)
        if !old.isEmpty {
            try change.reader.read(
                change.name, bytes: old,
                into: UnsafeMutableRawBufferPointer(rebasing: target[..<old.count]))
        }
        if let rows = change.rows, range.upperBound > change.oldBytes {
            let first = max(range.lowerBound, change.oldBytes)
            try rows.read(
                first - change.oldBytes..<range.upperBound - change.oldBytes,
                into: UnsafeMutableRawBufferPointer(
                    rebasing: target[(first - range.lowerBound)...]), from: change.reader)
        }
        if let replacement = change.replacement {
            try replace(replacement, change.info, range, target)
        }
    }

    /// Puts rows that stand elsewhere over what was read.
    private func replace(
        _ replacement: Replacement, _ info: TensorInfo, _ range: Range<Int>,
        _ target: UnsafeMutableRawBufferPointer
    ) throws(FormatError) {
        let columns = info.shape.dims[1]
        let width = columns * info.dtype.byteWidth
        guard width > 0, !range.isEmpty else { return }
        for row in range.lowerBound / width...(range.upperBound - 1) / width {
            guard let place = replacement.places[row] else { continue }
            var values = [Float](repeating: 0, count: columns)
            try values.withUnsafeMutableBufferPointer { (buffer) throws(FormatError) in
                try replacement.reader.readFloats(
                    replacement.info.name, elements: place * columns..<(place + 1) * columns,
                    into: buffer)
            }
            let bytes = ElementConversion.bytes(of: values, as: info.dtype)
            let common = (row * width..<(row + 1) * width).clamped(to: range)
            let part = UnsafeMutableRawBufferPointer(
                rebasing: target[
                    common.lowerBound - range.lowerBound..<common.upperBound - range.lowerBound])
            part.copyBytes(
                from: bytes[common.lowerBound - row * width..<common.upperBound - row * width])
        }
    }

    package func withBytes<R>(
        of name: String, _ body: (UnsafeRawBufferPointer) throws -> R
    ) throws -> R {
        guard let change = changes[name] else { return try base.withBytes(of: name, body) }
        guard change.rows != nil || change.replacement != nil else {
            return try change.reader.withBytes(of: change.name, body)
        }
        return try bytes(of: name).withUnsafeBytes(body)
    }
}

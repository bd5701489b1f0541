// SPDX-License-Identifier: Apache-2.0
// A base's tensors with another embedding or head: one with more rows, or one that came with an adapter.
import EftFormats
import EftTensor

/// Reads a checkpoint, some of whose tensors stand elsewhere or have rows added. Nothing is copied.
package final class EndsCheckpoint: CheckpointReader {
    /// Where a tensor comes from.
    package enum Source: Sendable {
        /// Another tensor, maybe of another checkpoint.
        case tensor(any CheckpointReader, name: String)
        /// A matrix of the base with rows added, so many in all.
        case grown(name: String, rows: Int, RowFilling)
    }

    private struct Change: Sendable {
        let info: TensorInfo
        let reader: any CheckpointReader
        let name: String
        let oldBytes: Int
        let rows: GrownRows?
    }

    private let base: any CheckpointReader
    private let changes: [String: Change]
    /// Prefixes of the changed modules, whose other tensors, such as those of a quantized form, are hidden.
    private let modules: [String]

    /// Puts sources in the place of tensors.
    /// - Throws: `FormatError` for a source that is not there, or no matrix of real numbers.
    package init(
        _ base: any CheckpointReader, changing sources: [String: Source]
    ) throws(FormatError) {
        self.base = base
        var changes: [String: Change] = [:]
        for (name, source) in sources {
            switch source {
            case .tensor(let reader, let inner):
                let info = try reader.tensor(inner)
                changes[name] = Change(
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
                changes[name] = Change(
                    info: try TensorInfo(
                        name: name, dtype: info.dtype, shape: Shape(rows, info.shape.dims[1])),
                    reader: base, name: inner, oldBytes: info.byteCount,
                    rows: GrownRows(info, count: rows - info.shape.dims[0], filling: filling))
            }
        }
        self.changes = changes
        modules = sources.keys.map { String($0.dropLast("weight".count)) }
    }

    private func isHidden(_ name: String) -> Bool {
        modules.contains(where: name.hasPrefix) && changes[name] == nil
    }

    // MARK: CheckpointReader

    package var path: String { base.path }
    package var files: [String] {
        var files = base.files
        for change in changes.values {
            files += change.reader.files.filter { !files.contains($0) }
        }
        return files
    }
    package var opaqueTensors: [OpaqueTensor] { base.opaqueTensors }
    package var metadata: [String: String] { base.metadata }

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

    package func place(of name: String) -> (path: String, bytes: Range<Int>)? {
        guard let change = changes[name] else { return base.place(of: name) }
        return change.rows == nil ? change.reader.place(of: change.name) : nil
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
        guard let rows = change.rows, range.upperBound > change.oldBytes else { return }
        let first = max(range.lowerBound, change.oldBytes)
        try rows.read(
            first - change.oldBytes..<range.upperBound - change.oldBytes,
            into: UnsafeMutableRawBufferPointer(rebasing: target[(first - range.lowerBound)...]),
            from: change.reader)
    }

    package func withBytes<R>(
        of name: String, _ body: (UnsafeRawBufferPointer) throws -> R
    ) throws -> R {
        guard let change = changes[name] else { return try base.withBytes(of: name, body) }
        guard change.rows != nil else {
            return try change.reader.withBytes(of: change.name, body)
        }
        return try bytes(of: name).withUnsafeBytes(body)
    }
}

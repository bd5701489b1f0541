// SPDX-License-Identifier: Apache-2.0
// One tensor at a time from a checkpoint to a writer, in another type of real numbers, in small pieces.
import EftFormats
import EftTensor

/// Streams tensors from a checkpoint to a writer; its memory does not depend on their size.
final class TensorCaster {
    /// Numbers in a piece.
    static let pieceCount = 1 << 18

    private let checkpoint: any CheckpointReader
    private let backend: CPUBackend
    private let source: Buffer
    private let target: Buffer

    /// Bytes that a caster takes, under `.window`.
    static let byteCount = pieceCount * (8 + 4)

    /// Takes the memory.
    /// - Throws: `TensorError` when it does not fit.
    init(_ checkpoint: any CheckpointReader, backend: CPUBackend) throws(TensorError) {
        self.checkpoint = checkpoint
        self.backend = backend
        source = try Buffer(
            byteCount: TensorCaster.pieceCount * 8, ledger: backend.ledger, purpose: .window)
        target = try Buffer(
            byteCount: TensorCaster.pieceCount * 4, ledger: backend.ledger, purpose: .window)
    }

    /// The type in which a tensor comes out: real numbers as `wanted`, all else as stored.
    static func outputType(of info: TensorInfo, wanted: DType?) -> DType {
        info.dtype.isFloatingPoint ? wanted ?? info.dtype : info.dtype
    }

    /// Writes a tensor.
    /// - Parameter advance: told after each piece how many bytes were written.
    /// - Throws: `ConversionError` (`numbers`) for NaN, infinity or overflow; `FormatError`.
    func copy(
        _ info: TensorInfo, as dtype: DType, to writer: SafetensorsWriter,
        advance: (Int) throws -> Void
    ) throws {
        var first = 0
        while first < info.shape.count {
            let range = first..<min(first + TensorCaster.pieceCount, info.shape.count)
            let bytes = try piece(info, range, as: dtype)
            try writer.write(info.name, bytes)
            try advance(bytes.count)
            first = range.upperBound
        }
        checkpoint.releasePages(of: info.name)
    }

    private func piece(
        _ info: TensorInfo, _ range: Range<Int>, as dtype: DType
    ) throws -> UnsafeRawBufferPointer {
        let width = info.dtype.byteWidth
        let raw = UnsafeMutableRawBufferPointer(rebasing: source.bytes[..<(range.count * width)])
        try checkpoint.read(
            info.name, bytes: range.lowerBound * width..<range.upperBound * width, into: raw)
        guard info.dtype.isFloatingPoint else { return UnsafeRawBufferPointer(raw) }
        var type = info.dtype
        if type == .f64 {
            try requireFiniteDoubles(raw, info)
            if dtype == .f64 { return UnsafeRawBufferPointer(raw) }
            narrow(raw)
            type = .f32
        }
        let stored = UnsafeRawPointer(source.base)
        var result = stored
        if type != dtype {
            backend.convert(count: range.count, from: stored, type, to: target.base, dtype)
            result = UnsafeRawPointer(target.base)
        }
        try Numbers.requireFinite(
            result, range.count, stored: (stored, type), dtype, info.name, backend,
            path: checkpoint.path)
        return UnsafeRawBufferPointer(start: result, count: range.count * dtype.byteWidth)
    }

    private func requireFiniteDoubles(
        _ bytes: UnsafeMutableRawBufferPointer, _ info: TensorInfo
    ) throws(ConversionError) {
        for offset in stride(from: 0, to: bytes.count, by: 8)
        where !bytes.loadUnaligned(fromByteOffset: offset, as: Double.self).isFinite {
            throw ConversionError(
                .numbers, Numbers.stored, path: checkpoint.path, tensor: info.name)
        }
    }

    /// Narrows doubles to floats in place, front to back.
    private func narrow(_ bytes: UnsafeMutableRawBufferPointer) {
        for index in 0..<bytes.count / 8 {
            let value = bytes.loadUnaligned(fromByteOffset: index * 8, as: Double.self)
            bytes.storeBytes(of: Float(value), toByteOffset: index * 4, as: Float.self)
        }
    }
}

/// Checks of numbers that are about to be written.
enum Numbers {
    static let stored =
        "holds infinite or NaN values; the checkpoint is damaged, or its training diverged"

    /// Tells whether numbers are finite, and if not, whether they were so before they were narrowed.
    /// - Throws: `ConversionError` (`numbers`).
    static func requireFinite(
        _ values: UnsafeRawPointer, _ count: Int, stored: (values: UnsafeRawPointer, type: DType),
        _ type: DType, _ tensor: String, _ backend: CPUBackend, path: String
    ) throws(ConversionError) {
        if backend.allFinite(count: count, values, type) { return }
        guard backend.allFinite(count: count, stored.values, stored.type) else {
            throw ConversionError(.numbers, Numbers.stored, path: path, tensor: tensor)
        }
        throw ConversionError(
            .numbers,
            "holds numbers too large for \(type.rawValue); choose bf16, which has the range of f32",
            path: path, tensor: tensor)
    }
}

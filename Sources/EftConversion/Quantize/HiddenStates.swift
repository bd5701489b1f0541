// SPDX-License-Identifier: Apache-2.0
// The hidden states of all calibration rows between two layers, on the disk.
import EftFormats
import EftTensor
import Synchronization

/// States `[tokens of the row][C]` of each calibration row, in a file with one f32 tensor a row.
///
/// Only the rows that are worked on are in memory. The file gets its name when it is whole.
struct HiddenStates {
    /// Tokens of each row.
    let lengths: [Int]
    private let file: SafetensorsFile
    private let backend: CPUBackend

    /// Opens the states of a job.
    /// - Parameters:
    ///   - lengths: tokens of each row, as the job has them.
    ///   - width: C.
    /// - Throws: `FormatError`, `ConversionError` (`damaged`) when the file holds other rows.
    init(_ path: String, lengths: [Int], width: Int, backend: CPUBackend) throws {
        self.backend = backend
        file = try SafetensorsFile(path: path)
        self.lengths = lengths
        for (row, length) in lengths.enumerated() {
            guard let info = try? file.tensor(HiddenStates.name(row)), info.dtype == .f32,
                info.shape.dims == [length, width]
            else {
                throw ConversionError(
                    .damaged, "the saved states are of other rows; start anew with -nr", path: path)
            }
        }
    }

    fileprivate static func name(_ row: Int) -> String { "row.\(row)" }

    /// Reads a row's states.
    func read(_ row: Int, into states: Matrix) throws {
        precondition(states.rows == lengths[row], "states of another row")
        nonisolated(unsafe) let bytes = UnsafeMutableRawBufferPointer(
            start: states.pointer, count: states.count * 4)
        try backend.forEachPiece(of: bytes.count) { piece in
            try file.read(
                HiddenStates.name(row), bytes: piece,
                into: UnsafeMutableRawBufferPointer(rebasing: bytes[piece]))
        }
    }
}

extension CPUBackend {
    /// Most bytes of a piece.
    private static let pieceBytes = 1 << 19

    /// Runs `body` for pieces of some bytes on all workers: the system copies them as fast as memory goes.
    /// - Throws: an error that `body` threw.
    func forEachPiece(
        of byteCount: Int, _ body: (_ piece: Range<Int>) throws -> Void
    ) throws {
        let failure = Mutex<(any Error)?>(nil)
        let size = CPUBackend.pieceBytes
        parallelFor((byteCount + size - 1) / size) { index in
            do {
                try body(index * size..<min((index + 1) * size, byteCount))
            } catch {
                failure.withLock { $0 = $0 ?? error }
            }
        }
        if let error = failure.withLock({ $0 }) { throw error }
    }
}

/// Writes the states of all rows, one after the other.
final class HiddenStatesWriter {
    private let writer: SafetensorsWriter
    private var next = 0

    /// Begins a file.
    /// - Parameter lengths: tokens of each row.
    init(folder: String, name: String, lengths: [Int], width: Int) throws {
        let infos = try lengths.enumerated().map { row, length in
            try TensorInfo(
                name: HiddenStates.name(row), dtype: .f32, shape: Shape(length, width))
        }
        writer = try SafetensorsWriter(
            folder: folder, baseName: name, tensors: infos, maxShardBytes: .max)
    }

    /// Writes the states of the next row.
    func write(_ states: Matrix) throws {
        try writer.write(
            HiddenStates.name(next),
            UnsafeRawBufferPointer(start: states.pointer, count: states.count * 4))
        next += 1
    }

    /// Gives the file its name.
    func finish() throws { try writer.finish() }
}

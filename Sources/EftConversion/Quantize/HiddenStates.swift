// SPDX-License-Identifier: Apache-2.0
// The hidden states of all calibration rows between two layers, on the disk.
import EftFormats
import EftTensor

/// States `[tokens of the row][C]` of each calibration row, in a file with one f32 tensor a row.
///
/// Only the rows that are worked on are in memory. The file gets its name when it is whole.
struct HiddenStates {
    /// Tokens of each row.
    let lengths: [Int]
    private let file: SafetensorsFile

    /// Opens the states of a job.
    /// - Parameters:
    ///   - lengths: tokens of each row, as the job has them.
    ///   - width: C.
    /// - Throws: `FormatError`, `ConversionError` (`damaged`) when the file holds other rows.
    init(_ path: String, lengths: [Int], width: Int) throws {
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
        try file.read(
            HiddenStates.name(row),
            into: UnsafeMutableRawBufferPointer(start: states.pointer, count: states.count * 4))
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

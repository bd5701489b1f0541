// SPDX-License-Identifier: Apache-2.0
// What every conversion does with its unfinished folder.
import EftFormats

extension UnfinishedFolder {
    /// Writes what an earlier run has left to write, and moves all files to their place.
    /// - Parameters:
    ///   - tensors: all of them, in the order in which they are written.
    ///   - weights: writes those that the writer has not kept.
    ///   - others: writes the other files into a folder.
    /// - Returns: the weight files.
    /// - Throws: `FormatError`, and what the bodies throw.
    func run(
        _ tensors: [TensorInfo], maxShardBytes: Int, _ monitor: ConversionMonitor,
        weights: (SafetensorsWriter) throws -> Void, others: (String) throws -> Void
    ) throws -> [String] {
        if isWhole {
            notice.map(monitor.note)
        } else {
            let writer = try writer(tensors, maxShardBytes: maxShardBytes)
            notice.map(monitor.note)
            try weights(writer)
            try finish(writer, others: others)
        }
        return try publish()
    }
}

// SPDX-License-Identifier: Apache-2.0
// What examples take in memory, and that it stays within the budget.
import EftTensor

/// The memory of a run's examples: 8 bytes a token, for its id and its label.
enum DataMemory {
    /// Checks what the program holds, and would with more.
    /// - Parameters:
    ///   - limit: most bytes that it may hold.
    ///   - bytes: what is about to be taken.
    ///   - place: how far reading has come, for the message.
    /// - Throws: `TensorError` (`outOfBudget`).
    static func require(_ limit: Int, for bytes: Int = 0, after place: String) throws(TensorError) {
        guard limit != .max else { return }
        let held = ResidentMemory.now
        let (all, overflow) = held.addingReportingOverflow(bytes)
        guard overflow || all > limit else { return }
        let more = bytes > 0 ? " and needs \(formatBytes(bytes)) more" : ""
        throw TensorError(
            .outOfBudget,
            "the data does not fit \(formatBytes(limit)): the program holds \(formatBytes(held))\(more) "
                + "after \(place); raise --memory, or read less of the data (datasets[].split: train[:10%], "
                + "datasets[].shards)")
    }
}

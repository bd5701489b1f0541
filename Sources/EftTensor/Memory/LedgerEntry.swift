// SPDX-License-Identifier: Apache-2.0
// Memory that comes from elsewhere than a buffer, entered in a ledger all the same.

/// Enters bytes that a library or an array takes in a ledger, for as long as it lives.
package final class LedgerEntry: Sendable {
    private let ledger: MemoryLedger?
    private let byteCount: Int
    private let purpose: MemoryPurpose

    /// Enters `byteCount` bytes under `purpose` (in no ledger when nil).
    /// - Throws: `TensorError` when the ledger refuses.
    package init(
        _ byteCount: Int, ledger: MemoryLedger?, purpose: MemoryPurpose
    ) throws(TensorError) {
        self.ledger = ledger
        self.byteCount = byteCount
        self.purpose = purpose
        try ledger?.reserve(byteCount, for: purpose)
    }

    deinit { ledger?.release(byteCount, for: purpose) }
}

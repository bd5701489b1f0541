// SPDX-License-Identifier: Apache-2.0
// Owned, aligned memory that is entered in a ledger for as long as it lives.

#if canImport(Glibc)
    import Glibc
#endif

/// Zeroed memory, aligned to a page when large and to a cache line when small, entered in a ledger.
///
/// Large buffers come straight from the operating system, all their pages at once, and go back to it when freed, so that
/// resident memory is what the ledger says from the first moment. Sendable because it is a plain region: who writes
/// when is the owner's business.
package final class Buffer: @unchecked Sendable {
    /// First byte.
    package let base: UnsafeMutableRawPointer
    /// Size in bytes.
    package let byteCount: Int
    /// The account that it is entered in.
    package let ledger: MemoryLedger?
    private let purpose: MemoryPurpose
    private let isMapped: Bool

    /// From this size on memory is taken from the operating system directly.
    private static let mapThreshold = 256 << 10

    /// Allocates `byteCount` zeroed bytes, entered under `purpose` (in no ledger when nil).
    /// - Parameter pageAligned: whether also a small buffer begins at a page, as direct reads want it.
    /// - Throws: `TensorError` when the ledger refuses or the machine has no memory left.
    package init(
        byteCount: Int, ledger: MemoryLedger?, purpose: MemoryPurpose, pageAligned: Bool = false
    ) throws(TensorError) {
        precondition(byteCount >= 0, "negative buffer size")
        try ledger?.reserve(byteCount, for: purpose)
        self.ledger = ledger
        self.purpose = purpose
        self.byteCount = byteCount
        isMapped = byteCount >= Buffer.mapThreshold || (pageAligned && byteCount > 0)
        guard let base = Buffer.allocate(byteCount, mapped: isMapped) else {
            ledger?.release(byteCount, for: purpose)
            throw TensorError(
                .outOfMemory,
                "the machine refused \(formatBytes(byteCount)) for \(purpose.rawValue); lower --memory"
            )
        }
        self.base = base
    }

    private static func allocate(_ byteCount: Int, mapped: Bool) -> UnsafeMutableRawPointer? {
        if mapped {
            let pointer = mmap(
                nil, byteCount, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_POPULATE,
                -1,
                0)
            return pointer == MAP_FAILED ? nil : pointer
        }
        let size = roundUp(max(byteCount, 1), to: 64)
        guard let pointer = aligned_alloc(64, size) else { return nil }
        memset(pointer, 0, size)
        return pointer
    }

    deinit {
        if isMapped { munmap(base, byteCount) } else { free(base) }
        ledger?.release(byteCount, for: purpose)
    }

    /// The memory as `Float`s.
    package var floats: UnsafeMutablePointer<Float> { base.assumingMemoryBound(to: Float.self) }
    /// How many `Float`s fit.
    package var floatCount: Int { byteCount / 4 }
    /// The memory as bytes.
    package var bytes: UnsafeMutableRawBufferPointer {
        UnsafeMutableRawBufferPointer(start: base, count: byteCount)
    }
}

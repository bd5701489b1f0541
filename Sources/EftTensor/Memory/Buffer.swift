// SPDX-License-Identifier: Apache-2.0
// Owned, aligned memory that is entered in a ledger for as long as it lives.

#if canImport(Glibc)
    import Glibc
#endif

/// Zeroed memory, aligned to a page when large and to a cache line when small, entered in a ledger.
///
/// Large buffers come straight from the operating system, in large pages where it has them, and go back to it when freed.
/// Unless they are allocated as `.onUse`, all their pages are there at once, so that resident memory is what the ledger says from the first
/// moment. Sendable because it is a plain region: who writes when is the owner's business.
package final class Buffer: @unchecked Sendable {
    /// When the pages of a large buffer become resident.
    package enum Residency: Sendable {
        /// When it is allocated.
        case atOnce
        /// Each when it is first written. The ledger holds the whole size from the start, so that nothing is refused later.
        case onUse
    }

    /// First byte.
    package let base: UnsafeMutableRawPointer
    /// Size in bytes.
    package let byteCount: Int
    /// The account that it is entered in.
    package let ledger: MemoryLedger?
    private let purpose: MemoryPurpose
    private let isMapped: Bool
    /// Whose memory this one's is a part of.
    private let whole: Buffer?

    /// From this size on memory is taken from the operating system directly, as the allocator would do from there on, with a page of
    /// its own around each.
    private static let mapThreshold = 128 << 10

    /// Allocates `byteCount` zeroed bytes, entered under `purpose` (in no ledger when nil).
    /// - Parameters:
    ///   - pageAligned: whether also a small buffer begins at a page, as direct reads want it.
    ///   - residency: when the pages of a large buffer become resident.
    ///   - workers: bring in the pages of a large buffer together; the caller alone when nil.
    /// - Throws: `TensorError` when the ledger refuses or the machine has no memory left.
    package init(
        byteCount: Int, ledger: MemoryLedger?, purpose: MemoryPurpose, pageAligned: Bool = false,
        residency: Residency = .atOnce, workers: CPUBackend? = nil
    ) throws(TensorError) {
        precondition(byteCount >= 0, "negative buffer size")
        try ledger?.reserve(byteCount, for: purpose)
        self.ledger = ledger
        self.purpose = purpose
        self.byteCount = byteCount
        whole = nil
        isMapped = byteCount >= Buffer.mapThreshold || (pageAligned && byteCount > 0)
        guard let base = Buffer.allocate(byteCount, mapped: isMapped, residency, workers)
        else {
            ledger?.release(byteCount, for: purpose)
            throw TensorError(
                .outOfMemory,
                "the machine refused \(formatBytes(byteCount)) for \(purpose.rawValue); lower --memory"
            )
        }
        self.base = base
    }

    /// A part of another buffer's memory, which lives as long as this one, and which the ledger knows already.
    package init(part range: Range<Int>, of whole: Buffer) {
        precondition(range.lowerBound >= 0 && range.upperBound <= whole.byteCount, "a part outside")
        (ledger, purpose, byteCount) = (whole.ledger, whole.purpose, range.count)
        (self.whole, isMapped) = (whole, false)
        base = whole.base + range.lowerBound
    }

    private static func allocate(
        _ byteCount: Int, mapped: Bool, _ residency: Residency, _ workers: CPUBackend?
    ) -> UnsafeMutableRawPointer? {
        if mapped {
            let pointer = mmap(
                nil, byteCount, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0)
            guard let pointer, pointer != MAP_FAILED else { return nil }
            // Large pages come in faster and are found faster; without them all is the same but slower. Of what is taken on
            // use they would take more than is used.
            let isLarge = residency == .atOnce || byteCount >= leastLargeOnUse
            _ = madvise(pointer, byteCount, isLarge ? largePages : smallPages)
            if residency == .atOnce { bringIn(pointer, byteCount, workers) }
            return pointer
        }
        let size = roundUp(max(byteCount, 1), to: 64)
        guard let pointer = aligned_alloc(64, size) else { return nil }
        memset(pointer, 0, size)
        return pointer
    }

    /// From this size on a buffer that is taken on use has large pages.
    private static let leastLargeOnUse = 32 << 20
    /// Advice of Linux: MADV_HUGEPAGE, MADV_NOHUGEPAGE and MADV_POPULATE_WRITE, which not all headers have.
    private static let (largePages, smallPages, populate): (Int32, Int32, Int32) = (14, 15, 23)
    /// Bytes that a worker brings in at a time: whole large pages.
    private static let share = 16 << 20

    /// Makes the pages of fresh memory resident.
    private static func bringIn(
        _ start: UnsafeMutableRawPointer, _ byteCount: Int, _ workers: CPUBackend?
    ) {
        func bringIn(_ first: Int, _ count: Int) {
            guard madvise(start + first, count, populate) != 0, errno == EINVAL else { return }
            // Before Linux 5.14 pages come when they are written.
            for page in stride(from: first, to: first + count, by: 4096) {
                start.storeBytes(of: 0, toByteOffset: page, as: UInt8.self)
            }
        }
        guard let workers, byteCount > share else { return bringIn(0, byteCount) }
        workers.parallelFor((byteCount + share - 1) / share) { index in
            bringIn(index * share, min(share, byteCount - index * share))
        }
    }

    /// Gives the memory of a range back to the operating system until it is written again; its contents become zeros.
    ///
    /// Only whole pages of the range go; small buffers keep theirs. The ledger's entry stays.
    package func discard(_ range: Range<Int>) {
        precondition(range.lowerBound >= 0 && range.upperBound <= byteCount, "a range outside")
        let first = roundUp(range.lowerBound, to: Buffer.systemPage)
        let last =
            range.upperBound == byteCount
            ? range.upperBound : range.upperBound / Buffer.systemPage * Buffer.systemPage
        guard isMapped, first < last else { return }
        _ = madvise(base + first, last - first, MADV_DONTNEED)
    }

    /// Bytes of the buffer that are in memory now, as the operating system says.
    package var residentBytes: Int {
        guard isMapped else { return byteCount }
        let pages = (byteCount + Buffer.systemPage - 1) / Buffer.systemPage
        var states = [UInt8](repeating: 0, count: pages)
        guard mincore(base, byteCount, &states) == 0 else { return byteCount }
        let resident = states.reduce(0) { $0 + Int($1 & 1) }
        return min(resident * Buffer.systemPage, byteCount)
    }

    private static let systemPage = max(4096, sysconf(Int32(_SC_PAGESIZE)))

    deinit {
        guard whole == nil else { return }
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

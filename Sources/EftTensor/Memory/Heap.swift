// SPDX-License-Identifier: Apache-2.0
// The allocator of small memory, kept from holding on to what was freed.
import CMalloc

/// The C library's heap, from which everything comes that is too small for a `Buffer` of its own pages.
package enum Heap {
    /// From this size on memory comes from the operating system and goes back to it.
    private static let threshold: Int32 = 128 << 10

    /// Keeps the heap from growing by temporary memory: without fixed thresholds the allocator takes ever larger pieces
    /// from it once such a piece was freed, up to 32 MiB. To be called once, at the start of the program.
    package static func prepare() {
        _ = mallopt(M_MMAP_THRESHOLD, threshold)
        _ = mallopt(M_TRIM_THRESHOLD, threshold)
    }

    /// Gives the pages back that nothing uses any more.
    package static func giveBack() {
        _ = malloc_trim(0)
    }
}

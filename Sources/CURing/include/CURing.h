// SPDX-License-Identifier: Apache-2.0
// Reads through io_uring, and reads of what the page cache holds. liburing's own header asks for other features of the C library than the headers of other
// libraries do, and Swift cannot import both; hence these few functions.
#ifndef EFT_CURING_H
#define EFT_CURING_H

#include <stdbool.h>
#include <stdint.h>

typedef struct eft_ring eft_ring;

/// A ring for `depth` reads in flight; NULL when the kernel refuses it.
eft_ring *eft_ring_open(unsigned depth);
/// Gives the ring back; no read may be in flight.
void eft_ring_close(eft_ring *ring);
/// Hands a read to the kernel, known by `tag`; false when it is refused.
bool eft_ring_read(eft_ring *ring, int descriptor, void *target, uint32_t bytes, uint64_t offset, uint64_t tag);
/// Waits for the end of a read: its bytes, or a negative error number.
int64_t eft_ring_wait(eft_ring *ring, uint64_t *tag);
/// Copies bytes that the page cache holds; how many it held, fewer or -1 where it does not hold them all.
int64_t eft_read_cached(int descriptor, void *target, uint64_t bytes, uint64_t offset);

#endif

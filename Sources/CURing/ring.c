// SPDX-License-Identifier: Apache-2.0
#define _GNU_SOURCE
#include "CURing.h"

#include <errno.h>
#include <liburing.h>
#include <stdlib.h>
#include <sys/uio.h>

struct eft_ring {
    struct io_uring ring;
};

eft_ring *eft_ring_open(unsigned depth) {
    eft_ring *ring = calloc(1, sizeof *ring);
    if (ring && io_uring_queue_init(depth, &ring->ring, 0) == 0) return ring;
    free(ring);
    return NULL;
}

void eft_ring_close(eft_ring *ring) {
    io_uring_queue_exit(&ring->ring);
    free(ring);
}

bool eft_ring_read(eft_ring *ring, int descriptor, void *target, uint32_t bytes, uint64_t offset, uint64_t tag) {
    struct io_uring_sqe *entry = io_uring_get_sqe(&ring->ring);
    if (!entry) return false;
    io_uring_prep_read(entry, descriptor, target, bytes, offset);
    io_uring_sqe_set_data64(entry, tag);
    int status;
    do status = io_uring_submit(&ring->ring);
    while (status == -EINTR);
    return status == 1;
}

int64_t eft_ring_wait(eft_ring *ring, uint64_t *tag) {
    // The kernel writes to the target until the read has ended, so there is no way on without its end.
    for (;;) {
        struct io_uring_cqe *entry = NULL;
        if (io_uring_wait_cqe(&ring->ring, &entry) != 0 || !entry) continue;
        int64_t result = entry->res;
        *tag = io_uring_cqe_get_data64(entry);
        io_uring_cqe_seen(&ring->ring, entry);
        return result;
    }
}

int64_t eft_read_cached(int descriptor, void *target, uint64_t bytes, uint64_t offset) {
    struct iovec vector = {.iov_base = target, .iov_len = bytes};
    return preadv2(descriptor, &vector, 1, (off_t)offset, RWF_NOWAIT);
}

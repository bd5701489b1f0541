// SPDX-License-Identifier: Apache-2.0
// The pool of workers: one job at a time, the caller works too. Each worker has a share of the indices, the same one from
// job to job, so that outputs stay in the caches of the core that wrote them last; who is done takes from the others'.
#define _POSIX_C_SOURCE 200809L
#include "kernels_internal.h"

#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdlib.h>

// `state` holds the number of the job in its high half, whether workers may still join it, and how many are in it.
// The caller never waits for a worker that has not joined, so a worker that the system does not run costs nothing.
#define JOB_OPEN (UINT64_C(1) << 31)
#define JOB_ACTIVE (JOB_OPEN - 1)
#define JOB_NUMBER (UINT64_C(1) << 32)

/// Rounds of looking before a thread goes to sleep: some tens of microseconds, the gap between two products.
#define SPINS 1500

struct eft_pool {
    pthread_mutex_t caller;  // held by the caller whose job runs
    pthread_mutex_t lock;    // with `wake` and `done`
    pthread_cond_t wake, done;
    _Alignas(64) _Atomic uint64_t state;
    _Alignas(64) _Atomic size_t sleepers;
    _Atomic bool caller_waits, stop;
    // The job, written while the state is closed and nobody is in it:
    eft_body body;
    void *argument;
    size_t helpers;
    struct share {
        _Alignas(64) _Atomic size_t next;
        size_t end;
    } *shares;  // of the caller and each helper
    struct helper {
        struct eft_pool *pool;
        size_t worker;
        pthread_t thread;
    } helper[];
};

// The pool whose job this thread is in, and as which worker: a body that asks for parallel work does it alone.
static _Thread_local eft_pool *inside;
static _Thread_local size_t inside_worker;

static inline void pause_briefly(void) {
#if EFT_X86
    __builtin_ia32_pause();
#elif defined(__aarch64__)
    __asm__ volatile("yield");
#endif
}

static void work(eft_pool *pool, size_t worker) {
    inside = pool;
    inside_worker = worker;
    size_t workers = pool->helpers + 1;
    for (size_t i = 0; i < workers; i++) {
        struct share *share = &pool->shares[(worker + i) % workers];
        // Looked at first, so that shares that are used up are not written to by one worker after the other.
        while (atomic_load_explicit(&share->next, memory_order_relaxed) < share->end) {
            size_t index = atomic_fetch_add_explicit(&share->next, 1, memory_order_relaxed);
            if (index >= share->end) break;
            pool->body(pool->argument, index, worker);
        }
    }
    inside = NULL;
}

/// Waits for a job that this worker has not looked at yet, or for the end; returns the state.
static uint64_t wait_for_job(eft_pool *pool, uint64_t seen) {
    for (int spin = 0; spin < SPINS; spin++) {
        uint64_t state = atomic_load_explicit(&pool->state, memory_order_acquire);
        if (state / JOB_NUMBER != seen) return state;
        if (atomic_load_explicit(&pool->stop, memory_order_relaxed)) return state;
        pause_briefly();
    }
    pthread_mutex_lock(&pool->lock);
    // Counted before looking again, while the caller opens the job before it looks at the count: one sees the other.
    atomic_fetch_add(&pool->sleepers, 1);
    while (atomic_load(&pool->state) / JOB_NUMBER == seen && !atomic_load(&pool->stop))
        pthread_cond_wait(&pool->wake, &pool->lock);
    atomic_fetch_sub(&pool->sleepers, 1);
    pthread_mutex_unlock(&pool->lock);
    return atomic_load(&pool->state);
}

static void leave(eft_pool *pool) {
    uint64_t state = atomic_fetch_sub(&pool->state, 1) - 1;
    if ((state & (JOB_OPEN | JOB_ACTIVE)) != 0 || !atomic_load(&pool->caller_waits)) return;
    pthread_mutex_lock(&pool->lock);
    pthread_cond_broadcast(&pool->done);
    pthread_mutex_unlock(&pool->lock);
}

static void *helper_main(void *argument) {
    struct helper *helper = argument;
    eft_pool *pool = helper->pool;
    uint64_t seen = 0;
    for (;;) {
        uint64_t state = wait_for_job(pool, seen);
        if (atomic_load(&pool->stop)) return NULL;
        bool joined = false;
        while ((state & JOB_OPEN) != 0 && !joined)
            joined = atomic_compare_exchange_weak(&pool->state, &state, state + 1);
        seen = state / JOB_NUMBER;
        if (!joined) continue;
        work(pool, helper->worker);
        leave(pool);
    }
}

static void wait_for_helpers(eft_pool *pool) {
    for (int spin = 0; spin < SPINS; spin++) {
        if ((atomic_load_explicit(&pool->state, memory_order_acquire) & JOB_ACTIVE) == 0) return;
        pause_briefly();
    }
    pthread_mutex_lock(&pool->lock);
    atomic_store(&pool->caller_waits, true);
    while ((atomic_load(&pool->state) & JOB_ACTIVE) != 0) pthread_cond_wait(&pool->done, &pool->lock);
    atomic_store(&pool->caller_waits, false);
    pthread_mutex_unlock(&pool->lock);
}

void eft_pool_run(eft_pool *pool, size_t count, eft_body body, void *argument) {
    if (inside == pool) {
        for (size_t i = 0; i < count; i++) body(argument, i, inside_worker);
        return;
    }
    pthread_mutex_lock(&pool->caller);
    pool->body = body;
    pool->argument = argument;
    for (size_t w = 0, workers = pool->helpers + 1, first = 0; w < workers; w++) {
        size_t end = first + count / workers + (w < count % workers);
        atomic_store_explicit(&pool->shares[w].next, first, memory_order_relaxed);
        pool->shares[w].end = end;
        first = end;
    }
    uint64_t number = atomic_load(&pool->state) / JOB_NUMBER + 1;
    atomic_store(&pool->state, number * JOB_NUMBER | JOB_OPEN);
    if (atomic_load(&pool->sleepers) != 0) {
        pthread_mutex_lock(&pool->lock);
        pthread_cond_broadcast(&pool->wake);
        pthread_mutex_unlock(&pool->lock);
    }
    eft_pool *outer = inside;
    size_t outer_worker = inside_worker;
    work(pool, 0);
    inside = outer;
    inside_worker = outer_worker;
    atomic_fetch_and(&pool->state, ~JOB_OPEN);
    wait_for_helpers(pool);
    pthread_mutex_unlock(&pool->caller);
}

eft_pool *eft_pool_create(size_t threads) {
    size_t helpers = threads - 1;
    if (helpers > 4096) return NULL;
    size_t bytes = eft_round_up(sizeof(eft_pool) + helpers * sizeof(struct helper), 64);
    eft_pool *pool = aligned_alloc(64, bytes + threads * sizeof(struct share));
    if (pool == NULL) return NULL;
    memset(pool, 0, bytes + threads * sizeof(struct share));
    pool->shares = (struct share *)((char *)pool + bytes);
    pthread_mutex_init(&pool->caller, NULL);
    pthread_mutex_init(&pool->lock, NULL);
    pthread_cond_init(&pool->wake, NULL);
    pthread_cond_init(&pool->done, NULL);
    // Signals are for the program's own threads.
    sigset_t all, before;
    sigfillset(&all);
    pthread_sigmask(SIG_SETMASK, &all, &before);
    bool complete = true;
    for (size_t i = 0; i < helpers && complete; i++) {
        pool->helper[i].pool = pool;
        pool->helper[i].worker = i + 1;
        complete = pthread_create(&pool->helper[i].thread, NULL, helper_main, &pool->helper[i]) == 0;
        if (complete) pool->helpers++;
    }
    pthread_sigmask(SIG_SETMASK, &before, NULL);
    if (complete) return pool;
    eft_pool_destroy(pool);
    return NULL;
}

void eft_pool_destroy(eft_pool *pool) {
    if (pool == NULL) return;
    atomic_store(&pool->stop, true);
    pthread_mutex_lock(&pool->lock);
    pthread_cond_broadcast(&pool->wake);
    pthread_mutex_unlock(&pool->lock);
    for (size_t i = 0; i < pool->helpers; i++) pthread_join(pool->helper[i].thread, NULL);
    pthread_cond_destroy(&pool->wake);
    pthread_cond_destroy(&pool->done);
    pthread_mutex_destroy(&pool->lock);
    pthread_mutex_destroy(&pool->caller);
    free(pool);
}

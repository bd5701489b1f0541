// SPDX-License-Identifier: Apache-2.0
// Steps of optimizers on numbers and their states, which may stand in 8-bit codes.
#include "../layer_kernels.h"

#include <math.h>

#include "../update_rules.inc"

static const eft_updates_kernels scalar = EFT_UPDATE_TABLE;

/// Most states of a rule.
#define STATES 3

typedef struct update_job {
    const eft_updates_kernels *kernels;
    const eft_quantize_kernels *quantize;
    const eft_update *update;
    size_t count;
    float *p, *g;
    const eft_update_state *states;
    float midpoints[STATES][255];
} update_job;

/// Numbers [first, first + count), whose states all stand in f32.
static void update_plain(const update_job *job, size_t first, size_t count) {
    float *states[STATES];
    for (size_t s = 0; s < STATES; s++) states[s] = job->states[s].values ? job->states[s].values + first : NULL;
    job->kernels->step[job->update->rule](job->update, count, job->p + first, job->g + first, states);
}

/// One block, whose coded states are decoded before the step and coded again after it.
static void update_block(const update_job *job, size_t first, size_t count) {
    float decoded[STATES][EFT_UPDATE_BLOCK], *states[STATES];
    for (size_t s = 0; s < STATES; s++) {
        const eft_update_state *state = &job->states[s];
        states[s] = state->values ? state->values + first : NULL;
        if (!state->codes) continue;
        float scale = state->absmax[first / EFT_UPDATE_BLOCK];
        for (size_t i = 0; i < count; i++) decoded[s][i] = state->map[state->codes[first + i]] * scale;
        states[s] = decoded[s];
    }
    job->kernels->step[job->update->rule](job->update, count, job->p + first, job->g + first, states);
    for (size_t s = 0; s < STATES; s++) {
        const eft_update_state *state = &job->states[s];
        if (!state->codes) continue;
        job->quantize->blockwise8(count, EFT_UPDATE_BLOCK, job->midpoints[s], decoded[s], state->codes + first,
                                  state->absmax + first / EFT_UPDATE_BLOCK);
    }
}

static void update_task(void *argument, size_t index, size_t worker) {
    (void)worker;
    const update_job *job = argument;
    size_t first = index * EFT_CHUNK, end = eft_min(first + EFT_CHUNK, job->count);
    bool coded = job->states[0].codes || job->states[1].codes || job->states[2].codes;
    if (!coded) {
        update_plain(job, first, end - first);
        return;
    }
    for (; first < end; first += EFT_UPDATE_BLOCK) update_block(job, first, eft_min(EFT_UPDATE_BLOCK, end - first));
}

void eft_update_step(eft_context *context, const eft_update *update, size_t count, float *p, float *g,
                     const eft_update_state states[3]) {
    update_job job = {.kernels = EFT_KERNELS(updates, context, scalar),
                      .quantize = eft_quantize_kernels_of(context->isa),
                      .update = update,
                      .count = count,
                      .p = p,
                      .g = g,
                      .states = states};
    for (size_t s = 0; s < STATES; s++) {
        if (!states[s].codes) continue;
        for (size_t i = 0; i < 255; i++) job.midpoints[s][i] = (states[s].map[i] + states[s].map[i + 1]) / 2;
    }
    eft_run_tasks(context, eft_ceil_div(count, EFT_CHUNK), count, update_task, &job);
}

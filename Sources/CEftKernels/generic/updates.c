// SPDX-License-Identifier: Apache-2.0
// Steps of optimizers on numbers and their states, which may stand in 8-bit codes.
#include "../layer_kernels.h"

#include <math.h>

#include "../update_rules.inc"

static const eft_updates_kernels scalar = EFT_UPDATE_TABLE;

/// The bin of a magnitude's bits; what is smaller or larger than all bins goes to the first or last one.
static inline uint32_t bin_of(uint32_t bits) {
    uint32_t lowest = (uint32_t)(127 - 25) << 8, bin = (bits & 0x7fffffffu) >> 15;
    bin = bin > lowest ? bin - lowest : 0;
    return bin < EFT_CODE_BINS ? bin : EFT_CODE_BINS - 1;
}

void eft_code_map_fill(eft_code_map *map, bool is_signed) {
    eft_dynamic_map(is_signed, map->values);
    for (size_t i = 0; i < 255; i++) map->midpoints[i] = (map->values[i] + map->values[i + 1]) / 2;
    map->midpoints[255] = INFINITY;
    for (uint32_t bin = 0; bin < EFT_CODE_BINS; bin++) {
        // The bounds of the bin; the first one reaches down to zero.
        float low = bin == 0 ? 0 : eft_f32_of_bits((bin + ((uint32_t)(127 - 25) << 8)) << 15);
        float high = eft_f32_of_bits((bin + 1 + ((uint32_t)(127 - 25) << 8)) << 15);
        size_t positive = 0, negative = 0;
        while (map->midpoints[positive] < low) positive++;
        while (map->midpoints[negative] < -high) negative++;
        map->first[0][bin] = (uint8_t)positive;
        map->first[1][bin] = (uint8_t)negative;
    }
}

/// Codes of one block: the nearest entries, the lower one where two are as near. Returns the largest magnitude.
static float encode(const eft_code_map *map, size_t count, const float *x, uint8_t *codes) {
    float max = 0;
    for (size_t i = 0; i < count; i++) max = fabsf(x[i]) > max ? fabsf(x[i]) : max;
    float inverse = max > 0 ? 1 / max : 0;
    for (size_t i = 0; i < count; i++) {
        float value = x[i] * inverse;
        uint32_t bits = eft_bits_of_f32(value), code = map->first[bits >> 31][bin_of(bits)];
        codes[i] = (uint8_t)(code + (value > map->midpoints[code]));
    }
    return max;
}

/// Most states of a rule.
#define STATES 3

typedef struct update_job {
    const eft_updates_kernels *kernels;
    const eft_update *update;
    size_t count;
    float *p, *g;
    const eft_update_state *states;
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
        for (size_t i = 0; i < count; i++) decoded[s][i] = state->map->values[state->codes[first + i]] * scale;
        states[s] = decoded[s];
    }
    job->kernels->step[job->update->rule](job->update, count, job->p + first, job->g + first, states);
    for (size_t s = 0; s < STATES; s++) {
        const eft_update_state *state = &job->states[s];
        if (!state->codes) continue;
        state->absmax[first / EFT_UPDATE_BLOCK] = encode(state->map, count, decoded[s], state->codes + first);
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
                      .update = update,
                      .count = count,
                      .p = p,
                      .g = g,
                      .states = states};
    eft_run_tasks(context, eft_ceil_div(count, EFT_CHUNK), count, update_task, &job);
}

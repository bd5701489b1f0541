// SPDX-License-Identifier: Apache-2.0
// Attention with bf16 dot products, for passes whose values need not be exact.
//
// A 32-bit lane holds two consecutive dimensions of a key, or the same dimension of two consecutive keys' values. Keys and
// values of a group of pages are brought into that form once for all query vectors of a task; weights are rounded to bf16
// before they multiply values, while their sums are of the numbers before.
#include "../kv_codes.h"
#include "../layer_kernels.h"

#if EFT_X86
#include <immintrin.h>
#include <math.h>

#define EFT_WIDE 1
/// Leaves out the functions that compute exactly.
#define EFT_ROUGH

#pragma clang attribute push(__attribute__((target(EFT_TARGET_AVX512_BF16))), apply_to = function)
#include "../vectors/vector.inc"

#include "../vectors/attention.inc"

/// Pairs of dimensions of the widest head, and of the keys of a group.
#define DIM_PAIRS (EFT_ROUGH_MOST_DIM / 2)
#define KEY_PAIRS (GROUP_KEYS / 2)

/// Keys and values of a group of pages in pairs, and what multiplies them. Lines are as long as the head at hand needs, so that
/// small heads touch little of the stack.
typedef struct pair_space {
    u32x16 keys[GROUP_PAGES * DIM_PAIRS];                 // [page][pair of dimensions]
    u32x16 values[KEY_PAIRS * EFT_ROUGH_MOST_DIM / 16];   // [pair of keys][16 dimensions]
    uint32_t q[EFT_QUERY_CHUNK * DIM_PAIRS];              // [vector][pair of dimensions]
    u32x16 weights[EFT_QUERY_CHUNK][KEY_PAIRS / 16];
} pair_space;

/// Rounded numbers side by side: those of `low` in the low halves of the lanes.
INLINE u32x16 pairs_of(f32x16 low, f32x16 high) {
    u32x16 a = (u32x16)_mm512_cvtepu16_epi32((__m256i)_mm512_cvtneps_pbh((__m512)low));
    u32x16 b = (u32x16)_mm512_cvtepu16_epi32((__m256i)_mm512_cvtneps_pbh((__m512)high));
    return a | b << 16;
}

/// Neighbours of 32 numbers in one lane each.
INLINE u32x16 neighbours(f32x16 first, f32x16 second) {
    return (u32x16)_mm512_cvtne2ps_pbh((__m512)second, (__m512)first);
}

INLINE f32x16 add_dot(f32x16 sum, u32x16 a, uint32_t b) {
    return (f32x16)_mm512_dpbf16_ps((__m512)sum, (__m512bh)a, (__m512bh)_mm512_set1_epi32((int)b));
}

/// Brings the keys and values of a group into pairs; values behind the last key that anyone sees are zero.
static void pair_group(const page_group *group, size_t keys, size_t dim, pair_space *space) {
    for (size_t p = 0; p * EFT_PAGE < keys; p++) {
        const float *from = (const float *)group->keys[p];
        for (size_t d = 0; d < dim; d += 2)
            space->keys[(p * dim + d) / 2] = pairs_of(load(from + d * EFT_PAGE), load(from + (d + 1) * EFT_PAGE));
        const float *rows = (const float *)group->values[p];
        for (size_t j = 0; j < EFT_PAGE; j += 2)
            for (size_t d = 0; d < dim; d += 16) {
                size_t key = p * EFT_PAGE + j;
                f32x16 low = key < keys ? load(rows + j * dim + d) : (f32x16){0};
                f32x16 high = key + 1 < keys ? load(rows + (j + 1) * dim + d) : (f32x16){0};
                space->values[(key / 2 * dim + d) / 16] = pairs_of(low, high);
            }
    }
}

/// sums[i][p] = the products of vectors first... with the keys of some pages.
INLINE void pair_products(size_t n, size_t pages, size_t count, const pair_space *space, size_t first, size_t page,
                          f32x16 (*sums)[GROUP_PAGES]) {
    f32x16 acc[BLOCK][GROUP_PAGES];
    UNROLL for (size_t i = 0; i < n; i++) UNROLL for (size_t p = 0; p < pages; p++) acc[i][p] = (f32x16){0};
    KEEP_LOOP for (size_t d = 0; d < count; d++)
        UNROLL for (size_t p = 0; p < pages; p++) {
            u32x16 keys = space->keys[(page + p) * count + d];
            UNROLL for (size_t i = 0; i < n; i++) acc[i][p] = add_dot(acc[i][p], keys, space->q[(first + i) * count + d]);
        }
    UNROLL for (size_t i = 0; i < n; i++) UNROLL for (size_t p = 0; p < pages; p++) sums[i][page + p] = acc[i][p];
}

/// Adds the weighted values of some columns.
INLINE void pair_weighted(size_t n, size_t width, size_t count, size_t columns, const pair_space *space, size_t first,
                          size_t column, const float *factors, float *const *targets) {
    f32x16 acc[BLOCK][GROUP_PAGES];
    UNROLL for (size_t i = 0; i < n; i++)
        UNROLL for (size_t w = 0; w < width; w++) acc[i][w] = load(targets[i] + (column + w) * 16) * factors[i];
    KEEP_LOOP for (size_t j = 0; j < count; j++)
        UNROLL for (size_t w = 0; w < width; w++) {
            u32x16 values = space->values[j * columns + column + w];
            UNROLL for (size_t i = 0; i < n; i++)
                acc[i][w] = add_dot(acc[i][w], values, ((const uint32_t *)space->weights[first + i])[j]);
        }
    UNROLL for (size_t i = 0; i < n; i++)
        UNROLL for (size_t w = 0; w < width; w++) store(targets[i] + (column + w) * 16, acc[i][w]);
}

/// Weights of keys up to `keys` in pairs; keys that a vector does not see have none.
static void pair_weights(query_state *state, size_t first, size_t count, size_t keys, pair_space *space) {
    for (size_t i = first; i < count; i++) {
        f32x16 *weights = state->scores[i];
        for (size_t p = eft_ceil_div(state->visible[i], EFT_PAGE); p < GROUP_PAGES; p++) weights[p] = (f32x16){0};
        for (size_t p = 0; p * EFT_PAGE < keys; p += 2) space->weights[i][p / 2] = neighbours(weights[p], weights[p + 1]);
    }
}

static void pair_attend(query_state *state, size_t first, size_t count, size_t first_key, size_t end,
                        const eft_attention *a, const page_group *group, pair_space *space) {
    size_t dim = a->head_dim, keys = end - first_key, pages = eft_ceil_div(keys, EFT_PAGE);
    for (size_t i = first; i < count; i++) {
        state->hidden[i] = eft_max(state->seen[i], first_key) - first_key;
        state->visible[i] = eft_min(state->sees[i], end) - first_key;
    }
    pair_group(group, keys, dim, space);
    size_t at = first;
#define STEP(N)                                                                                                  \
    for (; at + (N) <= count; at += (N)) {                                                                       \
        const size_t side = SIDE_BY_SIDE(N);                                                                     \
        size_t p = 0;                                                                                            \
        for (; p + side <= pages; p += side) pair_products(N, side, dim / 2, space, at, p, state->scores + at);  \
        for (; p < pages; p++) pair_products(N, 1, dim / 2, space, at, p, state->scores + at);                   \
    }
    BLOCK_SIZES(STEP)
#undef STEP
    softmax_step(state, first, count, a->scale, a->soft_cap);
    pair_weights(state, first, count, keys, space);
    at = first;
#define STEP(N)                                                                                                      \
    for (; at + (N) <= count; at += (N)) {                                                                           \
        const size_t side = SIDE_BY_SIDE(N);                                                                         \
        size_t w = 0;                                                                                                \
        for (; w + side <= dim / 16; w += side)                                                                      \
            pair_weighted(N, side, eft_ceil_div(keys, 2), dim / 16, space, at, w, state->factors + at, state->out + at); \
        for (; w < dim / 16; w++)                                                                                    \
            pair_weighted(N, 1, eft_ceil_div(keys, 2), dim / 16, space, at, w, state->factors + at, state->out + at);    \
    }
    BLOCK_SIZES(STEP)
#undef STEP
}

/// As `forward_type`, over f32 pages of heads of a multiple of 16 numbers up to EFT_ROUGH_MOST_DIM.
void eft_attention_rough(const eft_attention *a, const eft_attention_run *run, size_t kv_head, size_t first, size_t count,
                         const eft_attention_ahead *ahead, size_t ldq, size_t ldo) {
    size_t group = a->heads / a->kv_heads, dim = a->head_dim;
    query_state state;
    pair_space space;
    state.count = count;
    for (size_t i = 0; i < count; i++) {
        size_t row = (first + i) / group, head = kv_head * group + (first + i) % group;
        const float *q = run->q + row * ldq + head * dim;
        for (size_t d = 0; d < dim; d += 32) {
            f32x16 second = d + 16 < dim ? load(q + d + 16) : (f32x16){0};
            u32x16 pairs = neighbours(load(q + d), second);
            memcpy(space.q + (i * dim + d) / 2, &pairs, eft_min(dim - d, 32) / 2 * sizeof(uint32_t));
        }
        state.out[i] = run->out + row * ldo + head * dim;
        state.seen[i] = eft_first_seen(a, run->first_position + row);
        state.sees[i] = run->first_position + row + 1;
        state.max[i] = -INFINITY;
        state.total[i] = (f32x16){0};
        memset(state.out[i], 0, dim * sizeof(float));
    }
    size_t low = 0, last = state.sees[count - 1];
    for (size_t group_key = state.seen[0] / GROUP_KEYS * GROUP_KEYS; group_key < last; group_key += GROUP_KEYS) {
        size_t end = eft_min(group_key + GROUP_KEYS, last), high = count;
        while (state.sees[low] <= group_key) low++;
        while (state.seen[high - 1] >= end) high--;
        size_t first_key = eft_max(group_key, state.seen[low] / EFT_PAGE * EFT_PAGE);
        page_group pages;
        for (size_t p = 0; p < eft_ceil_div(end - first_key, EFT_PAGE); p++)
            place_page(a, run, kv_head, first_key / EFT_PAGE + p, ahead, EFT_F32, NULL, p, &pages);
        pair_attend(&state, low, high, first_key, end, a, &pages, &space);
    }
    for (size_t i = 0; i < count; i++) {
        size_t row = (first + i) / group, head = kv_head * group + (first + i) % group;
        float total = sum_of(state.total[i]), inverse = 1 / total;
        for (size_t d = 0; d < dim; d++) state.out[i][d] *= inverse;
        if (run->lse != NULL) run->lse[row * a->heads + head] = state.max[i] + logf(total);
    }
}

#pragma clang attribute pop
#endif

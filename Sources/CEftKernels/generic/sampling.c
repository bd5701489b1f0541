// SPDX-License-Identifier: Apache-2.0
// Passes over one row of logits: maximum, mask, exponentials, thresholds, the k-th largest.
#include "../layer_kernels.h"

#include <math.h>

static eft_row_peak row_max(size_t count, const float *x) {
    eft_row_peak peak = {-INFINITY, 0, false};
    for (size_t i = 0; i < count; i++) {
        if (x[i] != x[i]) peak.has_nan = true;
        if (x[i] > peak.value) {
            peak.value = x[i];
            peak.index = (uint32_t)i;
        }
    }
    return peak;
}

static float block_max(size_t count, const float *x) {
    float max = -INFINITY;
    for (size_t i = 0; i < count; i++)
        if (x[i] > max) max = x[i];
    return max;
}

static void mask(size_t count, float *x, size_t words, const uint32_t *bits) {
    for (size_t i = 0; i < count; i++)
        if (i / 32 >= words || (bits[i / 32] >> (i % 32) & 1) == 0) x[i] = -INFINITY;
}

/// The operations of the vectors' exponential, one by one: the same bits.
static float exp_of_nonpositive(float x) {
    if (x < -87.0f) return 0;
    const float shift = 0x1.8p23f;
    float shifted = fmaf(x, 0x1.715476p+0f, shift);
    float n = shifted - shift;
    float r = fmaf(n, -0x1.62e400p-1f, x);
    r = fmaf(n, -0x1.7f7d1cp-20f, r);
    float q = fmaf(r, 0x1.6a23d0p-10f, 0x1.123a20p-7f);
    q = fmaf(q, r, 0x1.5558f2p-5f);
    q = fmaf(q, r, 0x1.555492p-3f);
    q = fmaf(q, r, 0x1.fffffcp-2f);
    float p = fmaf(q, r * r, r) + 1.0f;
    uint32_t bits;
    memcpy(&bits, &shifted, sizeof bits);
    bits = (bits << 23) + 0x3f800000u;
    float power;
    memcpy(&power, &bits, sizeof power);
    return p * power;
}

static float weight(float x, float top, float scale) { return exp_of_nonpositive((x - top) * scale); }

static void weights(size_t count, const float *x, float top, float scale, float *result) {
    for (size_t i = 0; i < count; i++) result[i] = weight(x[i], top, scale);
}

/// Adds 16 lanes in the order of the vectors.
static double lane_sum(double lanes[16]) {
    for (size_t i = 0; i < 8; i++) lanes[i] += lanes[i + 8];
    return ((lanes[0] + lanes[4]) + (lanes[2] + lanes[6])) + ((lanes[1] + lanes[5]) + (lanes[3] + lanes[7]));
}

static double block_sum(size_t count, const float *x, float top, float scale) {
    double lanes[16] = {0};
    for (size_t i = 0; i < count; i++) lanes[i % 16] += weight(x[i], top, scale);
    return lane_sum(lanes);
}

static double mass_from(size_t count, const float *x, const float *weights, float floor) {
    double lanes[16] = {0};
    for (size_t i = 0; i < count; i++)
        if (x[i] >= floor) lanes[i % 16] += weights[i];
    return lane_sum(lanes);
}

static size_t count_from(size_t count, const float *x, float floor) {
    size_t found = 0;
    for (size_t i = 0; i < count; i++) found += x[i] >= floor;
    return found;
}

static size_t collect(size_t count, const float *x, float floor, size_t capacity, uint32_t *indices, float *values) {
    size_t found = 0;
    for (size_t i = 0; i < count && found < capacity; i++) {
        if (!(x[i] >= floor)) continue;
        indices[found] = (uint32_t)i;
        values[found++] = x[i];
    }
    return found;
}

static size_t next_above(size_t first, size_t count, const float *x, float bound) {
    while (first < count && !(x[first] > bound)) first++;
    return first;
}

static const eft_sampling_kernels scalar = {row_max,   block_max,  mask,    weights, block_sum,
                                            mass_from, count_from, collect, next_above};

const eft_sampling_kernels *eft_sampling_kernels_of(eft_isa isa) { return EFT_KERNELS_AT(sampling, isa, scalar); }

eft_row_peak eft_row_max(eft_isa isa, size_t count, const float *x) {
    return EFT_KERNELS_AT(sampling, isa, scalar)->max(count, x);
}

void eft_row_mask(eft_isa isa, size_t count, float *x, size_t words, const uint32_t *bits) {
    EFT_KERNELS_AT(sampling, isa, scalar)->mask(count, x, words, bits);
}

void eft_row_weights(eft_isa isa, size_t count, const float *x, float top, float scale, float *result) {
    EFT_KERNELS_AT(sampling, isa, scalar)->weights(count, x, top, scale, result);
}

double eft_row_sums(eft_isa isa, size_t count, const float *x, float top, float scale, double *sums) {
    const eft_sampling_kernels *kernels = EFT_KERNELS_AT(sampling, isa, scalar);
    double total = 0;
    for (size_t first = 0; first < count; first += EFT_ROW_BLOCK) {
        double sum = kernels->block_sum(eft_min(EFT_ROW_BLOCK, count - first), x + first, top, scale);
        sums[first / EFT_ROW_BLOCK] = sum;
        total += sum;
    }
    return total;
}

double eft_row_mass(eft_isa isa, size_t count, const float *x, const float *weights, float floor) {
    return EFT_KERNELS_AT(sampling, isa, scalar)->mass_from(count, x, weights, floor);
}

size_t eft_row_count(eft_isa isa, size_t count, const float *x, float floor) {
    return EFT_KERNELS_AT(sampling, isa, scalar)->count_from(count, x, floor);
}

size_t eft_row_collect(eft_isa isa, size_t count, const float *x, float floor, size_t capacity, uint32_t *indices,
                       float *values) {
    return EFT_KERNELS_AT(sampling, isa, scalar)->collect(count, x, floor, capacity, indices, values);
}

/// Partially sorts so that the k largest stand first, the smallest of them last, and returns it (Hoare's selection with
/// the median of three; no NaN).
static float select_largest(float *x, size_t count, size_t k) {
    size_t low = 0, high = count - 1, wanted = k - 1;
    while (low < high) {
        float a = x[low], b = x[low + (high - low) / 2], c = x[high];
        float pivot = a > b ? (b > c ? b : (a > c ? c : a)) : (a > c ? a : (b > c ? c : b));
        size_t i = low, j = high;
        for (;;) {
            while (x[i] > pivot) i++;
            while (pivot > x[j]) j--;
            if (i >= j) break;
            float swapped = x[i];
            x[i++] = x[j];
            x[j--] = swapped;
        }
        // [low, j] are at least the pivot, [j + 1, high] at most.
        if (i == j && j == high) j--;
        if (wanted <= j)
            high = j;
        else
            low = j + 1;
    }
    return x[wanted];
}

/// Numbers of a row of which only the largest is looked at first.
#define PIECE 64

static size_t pieces_of(size_t count) { return (count + PIECE - 1) / PIECE; }

size_t eft_row_kth_scratch(size_t count, size_t k) {
    return eft_max(pieces_of(count), eft_min(count, k + eft_max(k, 1024)));
}

float eft_row_kth(eft_isa isa, size_t count, const float *x, size_t k, float *scratch) {
    const eft_sampling_kernels *kernels = EFT_KERNELS_AT(sampling, isa, scalar);
    size_t capacity = eft_row_kth_scratch(count, k), filled = 0, pieces = pieces_of(count);
    // k pieces have a number that is at least the k-th largest of their maxima.
    float bound = -INFINITY;
    if (pieces >= k) {
        for (size_t piece = 0; piece < pieces; piece++)
            scratch[piece] = kernels->block_max(eft_min(PIECE, count - piece * PIECE), x + piece * PIECE);
        bound = select_largest(scratch, pieces, k);
    }
    float least = bound;
    // Numbers above the bound are gathered; a full buffer is cut to the k largest, which raises the bound.
    for (size_t i = kernels->next_above(0, count, x, bound); i < count;
         i = kernels->next_above(i + 1, count, x, bound)) {
        if (filled == capacity) {
            bound = select_largest(scratch, filled, k);
            filled = k;
            if (!(x[i] > bound)) continue;
        }
        scratch[filled++] = x[i];
    }
    return filled < k ? least : select_largest(scratch, filled, k);
}

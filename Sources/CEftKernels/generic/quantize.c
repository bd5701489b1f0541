// SPDX-License-Identifier: Apache-2.0
// Block-wise quantizers of bitsandbytes: NF4 and the 8-bit dynamic map.
#include "../layer_kernels.h"

#include <math.h>
#include <stdlib.h>

const float eft_nf4_values[16] = {
    -1.0f,
    -0.6961928009986877f,
    -0.5250730514526367f,
    -0.39491748809814453f,
    -0.28444138169288635f,
    -0.18477343022823334f,
    -0.09105003625154495f,
    0.0f,
    0.07958029955625534f,
    0.16093020141124725f,
    0.24611230194568634f,
    0.33791524171829224f,
    0.44070982933044434f,
    0.5626170039176941f,
    0.7229568362236023f,
    1.0f,
};

const float eft_fp4_values[16] = {
    0, 0.0625f / 12, 8.0f / 12, 1, 4.0f / 12, 0.5f, 2.0f / 12, 0.25f,
    0, -0.0625f / 12, -8.0f / 12, -1, -4.0f / 12, -0.5f, -2.0f / 12, -0.25f,
};

#define MIDPOINT(a, b) (((a) + (b)) / 2)
const float eft_nf4_midpoints[15] = {
    MIDPOINT(-1.0f, -0.6961928009986877f),
    MIDPOINT(-0.6961928009986877f, -0.5250730514526367f),
    MIDPOINT(-0.5250730514526367f, -0.39491748809814453f),
    MIDPOINT(-0.39491748809814453f, -0.28444138169288635f),
    MIDPOINT(-0.28444138169288635f, -0.18477343022823334f),
    MIDPOINT(-0.18477343022823334f, -0.09105003625154495f),
    MIDPOINT(-0.09105003625154495f, 0.0f),
    MIDPOINT(0.0f, 0.07958029955625534f),
    MIDPOINT(0.07958029955625534f, 0.16093020141124725f),
    MIDPOINT(0.16093020141124725f, 0.24611230194568634f),
    MIDPOINT(0.24611230194568634f, 0.33791524171829224f),
    MIDPOINT(0.33791524171829224f, 0.44070982933044434f),
    MIDPOINT(0.44070982933044434f, 0.5626170039176941f),
    MIDPOINT(0.5626170039176941f, 0.7229568362236023f),
    MIDPOINT(0.7229568362236023f, 1.0f),
};

/// The largest magnitude of a block; a NaN anywhere makes it NaN, as every magnitude's bits compare below a NaN's.
static float block_absmax(size_t count, const float *x) {
    uint32_t max = 0;
    for (size_t i = 0; i < count; i++) {
        uint32_t magnitude = eft_bits_of_f32(x[i]) & 0x7fffffffu;
        if (magnitude > max) max = magnitude;
    }
    return eft_f32_of_bits(max);
}

/// How many decision points lie below the number; none for NaN, which a block of zeros gives (0 times infinity).
static uint32_t nf4_code(float x) {
    uint32_t code = 0;
    for (size_t i = 0; i < 15; i++) code += x > eft_nf4_midpoints[i];
    return code;
}

static void nf4_quantize(size_t count, size_t block_size, const float *x, uint8_t *packed, float *absmax) {
    for (size_t first = 0; first < count; first += block_size) {
        size_t end = eft_min(first + block_size, count);
        float max = block_absmax(end - first, x + first), inverse = 1 / max;
        absmax[first / block_size] = max;
        for (size_t i = first; i < end; i++) {
            uint32_t code = nf4_code(x[i] * inverse);
            if (i % 2 == 0)
                packed[i / 2] = (uint8_t)(code << 4);
            else
                packed[i / 2] |= (uint8_t)code;
        }
        // A lone last number shares its byte with a zero.
        if (end == count && count % 2 == 1) packed[count / 2] |= (uint8_t)nf4_code(0 * inverse);
    }
}

static void nf4_dequantize(size_t count, size_t block_size, const uint8_t *packed, const float *absmax, float *x) {
    for (size_t i = 0; i < count; i++) {
        uint32_t code = i % 2 == 0 ? packed[i / 2] >> 4 : packed[i / 2] & 15u;
        x[i] = eft_nf4_values[code] * absmax[i / block_size];
    }
}

static void blockwise8(size_t count, size_t block_size, const float *midpoints, const float *x, uint8_t *codes,
                       float *absmax) {
    for (size_t first = 0; first < count; first += block_size) {
        size_t end = eft_min(first + block_size, count);
        float max = block_absmax(end - first, x + first), inverse = 1 / max;
        absmax[first / block_size] = max;
        for (size_t i = first; i < end; i++) {
            float value = x[i] * inverse;
            size_t code = 0;  // how many midpoints lie below; a tie takes the lower entry
            for (size_t step = 128; step > 0; step /= 2)
                if (value > midpoints[code + step - 1]) code += step;
            codes[i] = (uint8_t)code;
        }
    }
}

static const eft_quantize_kernels scalar = {nf4_quantize, nf4_dequantize, blockwise8};

typedef struct quantize_job {
    const eft_quantize_kernels *kernels;
    size_t count, block_size, blocks_a_task;
    const float *x;
    uint8_t *codes;
    float *absmax;
    const uint8_t *packed;
    const float *scales, *midpoints;
    float *out;
} quantize_job;

/// Blocks of a task: an even number, so that a task begins with a whole byte.
static size_t blocks_a_task(size_t block_size) { return eft_max(2, EFT_CHUNK / block_size / 2 * 2); }

static void nf4_quantize_task(void *argument, size_t index, size_t worker) {
    (void)worker;
    quantize_job *job = argument;
    size_t block = index * job->blocks_a_task, first = block * job->block_size;
    job->kernels->nf4_quantize(eft_min(job->blocks_a_task * job->block_size, job->count - first), job->block_size,
                               job->x + first, job->codes + first / 2, job->absmax + block);
}

void eft_nf4_quantize(eft_context *context, size_t count, size_t block_size, const float *x, uint8_t *packed,
                      float *absmax) {
    quantize_job job = {.kernels = EFT_KERNELS(quantize, context, scalar),
                        .count = count,
                        .block_size = block_size,
                        .blocks_a_task = blocks_a_task(block_size),
                        .x = x,
                        .codes = packed,
                        .absmax = absmax};
    eft_run_tasks(context, eft_ceil_div(count, job.blocks_a_task * block_size), count, nf4_quantize_task, &job);
}

static void nf4_dequantize_task(void *argument, size_t index, size_t worker) {
    (void)worker;
    quantize_job *job = argument;
    size_t block = index * job->blocks_a_task, first = block * job->block_size;
    job->kernels->nf4_dequantize(eft_min(job->blocks_a_task * job->block_size, job->count - first), job->block_size,
                                 job->packed + first / 2, job->scales + block, job->out + first);
}

void eft_nf4_dequantize(eft_context *context, size_t count, size_t block_size, const uint8_t *packed,
                        const float *absmax, float *x) {
    quantize_job job = {.kernels = EFT_KERNELS(quantize, context, scalar),
                        .count = count,
                        .block_size = block_size,
                        .blocks_a_task = blocks_a_task(block_size),
                        .packed = packed,
                        .scales = absmax,
                        .out = x};
    eft_run_tasks(context, eft_ceil_div(count, job.blocks_a_task * block_size), count, nf4_dequantize_task, &job);
}

static int compare_floats(const void *a, const void *b) {
    float x = *(const float *)a, y = *(const float *)b;
    return (x > y) - (x < y);
}

/// Number i of `count` from 0.1 to 1, with one rounding, from the nearer end.
static float spaced(size_t i, size_t count) {
    float start = 0.1f, step = (1 - start) / (float)(count - 1);
    if (i < count / 2) return (float)((double)start + (double)step * (double)i);
    return (float)(1 - (double)step * (double)(count - 1 - i));
}

void eft_dynamic_map(bool is_signed, float map[256]) {
    static const double powers[7] = {1e-6, 1e-5, 1e-4, 1e-3, 1e-2, 1e-1, 1};
    size_t n = 0;
    map[n++] = 0;
    map[n++] = 1;
    for (size_t e = 0; e < 7; e++) {
        size_t means = (size_t)1 << (is_signed ? e : e + 1);
        for (size_t i = 0; i < means; i++) {
            // The power is rounded first, as PyTorch multiplies an f32 array by a number.
            float mean = (spaced(i, means + 1) + spaced(i + 1, means + 1)) / 2, value = (float)powers[e] * mean;
            map[n++] = value;
            if (is_signed) map[n++] = -value;
        }
    }
    qsort(map, n, sizeof(float), compare_floats);
}

static void blockwise8_task(void *argument, size_t index, size_t worker) {
    (void)worker;
    quantize_job *job = argument;
    size_t block = index * job->blocks_a_task, first = block * job->block_size;
    job->kernels->blockwise8(eft_min(job->blocks_a_task * job->block_size, job->count - first), job->block_size,
                             job->midpoints, job->x + first, job->codes + first, job->absmax + block);
}

void eft_blockwise8_quantize(eft_context *context, size_t count, size_t block_size, const float map[256],
                             const float *x, uint8_t *codes, float *absmax) {
    float midpoints[255];
    for (size_t i = 0; i < 255; i++) midpoints[i] = (map[i] + map[i + 1]) / 2;
    quantize_job job = {.kernels = EFT_KERNELS(quantize, context, scalar),
                        .count = count,
                        .block_size = block_size,
                        .blocks_a_task = blocks_a_task(block_size),
                        .x = x,
                        .codes = codes,
                        .absmax = absmax,
                        .midpoints = midpoints};
    eft_run_tasks(context, eft_ceil_div(count, job.blocks_a_task * block_size), count, blockwise8_task, &job);
}

// SPDX-License-Identifier: Apache-2.0
// What this machine can do at best: the limits that speeds are compared with.
#include "kernels_internal.h"

#if EFT_X86
#include <immintrin.h>
#elif EFT_ARM64
#include "arm64/neon.h"
#endif

typedef struct limit_task {
    const unsigned char *data;
    size_t bytes_each;
    size_t rounds;
    eft_isa isa;
    float sums[256];
} limit_task;

/// Accumulators: enough chains to hide the latency of a fused multiply-add on two ports.
#define CHAINS 12

static float fma_scalar(size_t rounds) {
    float sums[CHAINS] = {0};
    for (size_t r = 0; r < rounds; r++)
        for (int c = 0; c < CHAINS; c++) sums[c] = sums[c] * 0.999f + 1.0f;
    float total = 0;
    for (int c = 0; c < CHAINS; c++) total += sums[c];
    return total;
}

static uint64_t read_scalar(const unsigned char *data, size_t bytes) {
    uint64_t total = 0;
    for (size_t i = 0; i + 8 <= bytes; i += 8) {
        uint64_t word;
        memcpy(&word, data + i, sizeof word);
        total ^= word;
    }
    return total;
}

#if EFT_X86
#pragma clang attribute push(__attribute__((target(EFT_TARGET_AVX2))), apply_to = function)
static float fma_avx2(size_t rounds) {
    __m256 sums[CHAINS], factor = _mm256_set1_ps(0.999f), one = _mm256_set1_ps(1.0f);
    for (int c = 0; c < CHAINS; c++) sums[c] = _mm256_set1_ps((float)c);
    for (size_t r = 0; r < rounds; r++) {
#pragma clang loop unroll(full)
        for (int c = 0; c < CHAINS; c++) sums[c] = _mm256_fmadd_ps(sums[c], factor, one);
    }
    for (int c = 1; c < CHAINS; c++) sums[0] = _mm256_add_ps(sums[0], sums[c]);
    return _mm256_cvtss_f32(sums[0]);
}

static uint64_t read_avx2(const unsigned char *data, size_t bytes) {
    __m256i sums[4] = {_mm256_setzero_si256(), _mm256_setzero_si256(), _mm256_setzero_si256(),
                       _mm256_setzero_si256()};
    for (size_t i = 0; i + 128 <= bytes; i += 128)
        for (int j = 0; j < 4; j++)
            sums[j] = _mm256_xor_si256(sums[j], _mm256_loadu_si256((const __m256i *)(data + i + 32 * j)));
    for (int j = 1; j < 4; j++) sums[0] = _mm256_xor_si256(sums[0], sums[j]);
    return (uint64_t)_mm256_extract_epi64(sums[0], 0);
}
#pragma clang attribute pop

#pragma clang attribute push(__attribute__((target(EFT_TARGET_AVX512_BF16))), apply_to = function)
static float fma_avx512(size_t rounds) {
    __m512 sums[CHAINS], factor = _mm512_set1_ps(0.999f), one = _mm512_set1_ps(1.0f);
    for (int c = 0; c < CHAINS; c++) sums[c] = _mm512_set1_ps((float)c);
    for (size_t r = 0; r < rounds; r++) {
#pragma clang loop unroll(full)
        for (int c = 0; c < CHAINS; c++) sums[c] = _mm512_fmadd_ps(sums[c], factor, one);
    }
    for (int c = 1; c < CHAINS; c++) sums[0] = _mm512_add_ps(sums[0], sums[c]);
    return _mm512_cvtss_f32(sums[0]);
}

static float bf16_avx512(size_t rounds) {
    __m512 sums[CHAINS];
    __m512bh a = (__m512bh)_mm512_set1_epi32(0x3f803f80), b = (__m512bh)_mm512_set1_epi32(0x3c003c00);
    for (int c = 0; c < CHAINS; c++) sums[c] = _mm512_set1_ps((float)c);
    for (size_t r = 0; r < rounds; r++) {
#pragma clang loop unroll(full)
        for (int c = 0; c < CHAINS; c++) sums[c] = _mm512_dpbf16_ps(sums[c], a, b);
    }
    for (int c = 1; c < CHAINS; c++) sums[0] = _mm512_add_ps(sums[0], sums[c]);
    return _mm512_cvtss_f32(sums[0]);
}
#pragma clang attribute pop

#pragma clang attribute push(__attribute__((target(EFT_TARGET_AVX512_VNNI))), apply_to = function)
static float int8_vnni(size_t rounds) {
    __m512i sums[CHAINS], bytes = _mm512_set1_epi32(0x01010101);
    for (int c = 0; c < CHAINS; c++) sums[c] = _mm512_set1_epi32(c);
    for (size_t r = 0; r < rounds; r++) {
#pragma clang loop unroll(full)
        for (int c = 0; c < CHAINS; c++) sums[c] = _mm512_dpbusd_epi32(sums[c], bytes, bytes);
    }
    for (int c = 1; c < CHAINS; c++) sums[0] = _mm512_add_epi32(sums[0], sums[c]);
    return (float)_mm512_cvtsi512_si32(sums[0]);
}

static float int16_vnni(size_t rounds) {
    __m512i sums[CHAINS], pairs = _mm512_set1_epi32(0x00010001);
    for (int c = 0; c < CHAINS; c++) sums[c] = _mm512_set1_epi32(c);
    for (size_t r = 0; r < rounds; r++) {
#pragma clang loop unroll(full)
        for (int c = 0; c < CHAINS; c++) __asm__("vpdpwssd %1, %1, %0" : "+v"(sums[c]) : "v"(pairs));
    }
    for (int c = 1; c < CHAINS; c++) sums[0] = _mm512_add_epi32(sums[0], sums[c]);
    return (float)_mm512_cvtsi512_si32(sums[0]);
}
#pragma clang attribute pop

#pragma clang attribute push(__attribute__((target(EFT_TARGET_AVX512))), apply_to = function)
static float int16_avx512(size_t rounds) {
    __m512i sums[CHAINS], pairs = _mm512_set1_epi32(0x00010001);
    for (int c = 0; c < CHAINS; c++) sums[c] = _mm512_set1_epi32(c);
    for (size_t r = 0; r < rounds; r++) {
#pragma clang loop unroll(full)
        for (int c = 0; c < CHAINS; c++) sums[c] = _mm512_add_epi32(sums[c], _mm512_madd_epi16(sums[c], pairs));
    }
    for (int c = 1; c < CHAINS; c++) sums[0] = _mm512_add_epi32(sums[0], sums[c]);
    return (float)_mm512_cvtsi512_si32(sums[0]);
}
#pragma clang attribute pop

#pragma clang attribute push(__attribute__((target(EFT_TARGET_AVX2))), apply_to = function)
static float int16_avx2(size_t rounds) {
    __m256i sums[CHAINS], pairs = _mm256_set1_epi32(0x00010001);
    for (int c = 0; c < CHAINS; c++) sums[c] = _mm256_set1_epi32(c);
    for (size_t r = 0; r < rounds; r++) {
#pragma clang loop unroll(full)
        for (int c = 0; c < CHAINS; c++) sums[c] = _mm256_add_epi32(sums[c], _mm256_madd_epi16(sums[c], pairs));
    }
    for (int c = 1; c < CHAINS; c++) sums[0] = _mm256_add_epi32(sums[0], sums[c]);
    return (float)_mm256_extract_epi32(sums[0], 0);
}
#pragma clang attribute pop
#endif

/// Runs `body` once on each worker; what it computed is added up, so that it is not left out.
#if EFT_ARM64
static float fma_neon(size_t rounds) {
    float32x4_t sums[CHAINS], factor = vdupq_n_f32(0.999f), one = vdupq_n_f32(1.0f);
    for (int c = 0; c < CHAINS; c++) sums[c] = vdupq_n_f32((float)c);
    for (size_t r = 0; r < rounds; r++) {
#pragma clang loop unroll(full)
        for (int c = 0; c < CHAINS; c++) sums[c] = vfmaq_f32(one, sums[c], factor);
    }
    for (int c = 1; c < CHAINS; c++) sums[0] = vaddq_f32(sums[0], sums[c]);
    return vgetq_lane_f32(sums[0], 0);
}

static float int16_neon(size_t rounds) {
    int32x4_t sums[CHAINS];
    for (int c = 0; c < CHAINS; c++) sums[c] = vdupq_n_s32(c);
    for (size_t r = 0; r < rounds; r++) {
#pragma clang loop unroll(full)
        for (int c = 0; c < CHAINS; c++) sums[c] = neon_add_pairs(sums[c], (int16x8_t)sums[c], vdupq_n_s16(1));
    }
    for (int c = 1; c < CHAINS; c++) sums[0] = vaddq_s32(sums[0], sums[c]);
    return (float)vgetq_lane_s32(sums[0], 0);
}

#pragma clang attribute push(__attribute__((target("i8mm"))), apply_to = function)
static float int8_neon(size_t rounds) {
    int32x4_t sums[CHAINS];
    for (int c = 0; c < CHAINS; c++) sums[c] = vdupq_n_s32(c);
    for (size_t r = 0; r < rounds; r++) {
#pragma clang loop unroll(full)
        for (int c = 0; c < CHAINS; c++) sums[c] = vusdotq_s32(sums[c], (uint8x16_t)sums[c], vdupq_n_s8(1));
    }
    for (int c = 1; c < CHAINS; c++) sums[0] = vaddq_s32(sums[0], sums[c]);
    return (float)vgetq_lane_s32(sums[0], 0);
}
#pragma clang attribute pop

static uint64_t read_neon(const unsigned char *data, size_t bytes) {
    uint8x16_t sums[4] = {vdupq_n_u8(0), vdupq_n_u8(0), vdupq_n_u8(0), vdupq_n_u8(0)};
    for (size_t i = 0; i + 64 <= bytes; i += 64)
        for (int j = 0; j < 4; j++) sums[j] = veorq_u8(sums[j], vld1q_u8(data + i + 16 * j));
    for (int j = 1; j < 4; j++) sums[0] = veorq_u8(sums[0], sums[j]);
    return vgetq_lane_u64((uint64x2_t)sums[0], 0);
}
#endif

static void run_on_all(eft_context *context, size_t rounds, eft_body body, float *sink) {
    limit_task task = {.rounds = rounds, .isa = context->isa};
    eft_parallel_for(context, context->threads, body, &task);
    for (size_t i = 0; i < eft_min(context->threads, 256); i++) *sink += task.sums[i];
}

static void fma_body(void *argument, size_t index, size_t worker) {
    (void)worker;
    limit_task *task = argument;
    float sum;
#if EFT_X86
    // AVX-512 without BF16 is measured by the same instructions, which are of the foundation set.
    if (task->isa >= EFT_ISA_AVX512) sum = fma_avx512(task->rounds);
    else if (task->isa == EFT_ISA_AVX2) sum = fma_avx2(task->rounds);
    else
#elif EFT_ARM64
    if (task->isa >= EFT_ISA_NEON) sum = fma_neon(task->rounds);
    else
#endif
        sum = fma_scalar(task->rounds);
    task->sums[index % 256] = sum;
}

double eft_limit_fma(eft_context *context, size_t rounds, float *sink) {
    run_on_all(context, rounds, fma_body, sink);
    size_t lanes = context->isa >= EFT_ISA_NEON ? 4 : context->isa >= EFT_ISA_AVX512 ? 16 : context->isa == EFT_ISA_AVX2 ? 8 : 1;
    return 2.0 * CHAINS * (double)lanes * (double)rounds * (double)context->threads;
}

static void bf16_body(void *argument, size_t index, size_t worker) {
    (void)worker;
    limit_task *task = argument;
#if EFT_X86
    task->sums[index % 256] = bf16_avx512(task->rounds);
#else
    task->sums[index % 256] = 0;
#endif
}

double eft_limit_bf16(eft_context *context, size_t rounds, float *sink) {
    if (context->isa != EFT_ISA_AVX512_BF16) return 0;
    run_on_all(context, rounds, bf16_body, sink);
    return 2.0 * CHAINS * 32.0 * (double)rounds * (double)context->threads;
}

static void int16_body(void *argument, size_t index, size_t worker) {
    (void)worker;
    limit_task *task = argument;
    float sum = 0;
#if EFT_X86
    if (task->isa >= EFT_ISA_AVX512_VNNI) sum = int16_vnni(task->rounds);
    else if (task->isa == EFT_ISA_AVX512) sum = int16_avx512(task->rounds);
    else sum = int16_avx2(task->rounds);
#elif EFT_ARM64
    sum = int16_neon(task->rounds);
#endif
    task->sums[index % 256] = sum;
}

double eft_limit_int16(eft_context *context, size_t rounds, float *sink) {
    if (context->isa < EFT_ISA_AVX2) return 0;
    run_on_all(context, rounds, int16_body, sink);
    double pairs = context->isa >= EFT_ISA_NEON ? 4 : context->isa >= EFT_ISA_AVX512 ? 16 : 8;
    return 4.0 * CHAINS * pairs * (double)rounds * (double)context->threads;
}

static void int8_body(void *argument, size_t index, size_t worker) {
    (void)worker;
    limit_task *task = argument;
#if EFT_X86
    task->sums[index % 256] = int8_vnni(task->rounds);
#elif EFT_ARM64
    task->sums[index % 256] = int8_neon(task->rounds);
#else
    task->sums[index % 256] = 0;
#endif
}

double eft_limit_int8(eft_context *context, size_t rounds, float *sink) {
    if (context->isa < EFT_ISA_AVX512_VNNI || context->isa == EFT_ISA_NEON) return 0;
    run_on_all(context, rounds, int8_body, sink);
    double lanes = context->isa >= EFT_ISA_NEON ? 4 : 16;
    return 8.0 * CHAINS * lanes * (double)rounds * (double)context->threads;
}

static void read_body(void *argument, size_t index, size_t worker) {
    (void)worker;
    limit_task *task = argument;
    const unsigned char *data = task->data + index * task->bytes_each;
    uint64_t sum;
#if EFT_X86
    if (task->isa >= EFT_ISA_AVX2) sum = read_avx2(data, task->bytes_each);
    else
#elif EFT_ARM64
    if (task->isa >= EFT_ISA_NEON) sum = read_neon(data, task->bytes_each);
    else
#endif
        sum = read_scalar(data, task->bytes_each);
    if (sum == 1) task->sums[index % 256] = 1;
}

void eft_limit_read(eft_context *context, const void *data, size_t bytes, float *sink) {
    // Pieces small enough that workers end together.
    size_t pieces = 16 * context->threads;
    limit_task task = {.data = data, .bytes_each = bytes / pieces / 128 * 128, .isa = context->isa};
    eft_parallel_for(context, pieces, read_body, &task);
    *sink += task.sums[0];
}

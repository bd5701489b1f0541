// SPDX-License-Identifier: Apache-2.0
// The AVX-512 intrinsics that the kernels use, for a machine with AVX2: SIMDe's where it has them. Included before the
// kernel's own files by scripts/check-avx512.sh.
#ifndef EFT_EMULATED_AVX512_H
#define EFT_EMULATED_AVX512_H

#include <immintrin.h>
#include <math.h>
#include <stdint.h>
#include <string.h>
#include <simde/x86/avx512/permutex2var.h>
#include <simde/x86/avx512/permutexvar.h>
#include <simde/x86/avx512/set1.h>

static inline __m512 emulated_dpbf16(__m512 sum, __m512bh a, __m512bh b) {
    // Intel's manual: the odd pair first, then the even one, each a fused multiply-add rounded to nearest.
    float sums[16];
    uint32_t x[16], y[16];
    memcpy(sums, &sum, 64), memcpy(x, &a, 64), memcpy(y, &b, 64);
    for (int i = 0; i < 16; i++)
        for (int odd = 1; odd >= 0; odd--) {
            uint32_t u = odd ? x[i] & 0xffff0000u : x[i] << 16, v = odd ? y[i] & 0xffff0000u : y[i] << 16;
            float p, q;
            memcpy(&p, &u, 4), memcpy(&q, &v, 4);
            sums[i] = __builtin_fmaf(p, q, sums[i]);
        }
    memcpy(&sum, sums, 64);
    return sum;
}

static inline __m512 emulated_cvtph(__m256i halves) {
    __m256 parts[2] = {_mm256_cvtph_ps(_mm256_castsi256_si128(halves)),
                       _mm256_cvtph_ps(_mm256_extracti128_si256(halves, 1))};
    __m512 result;
    memcpy(&result, parts, 64);
    return result;
}

static inline __m512i emulated_madd(__m512i a, __m512i b) {
    __m256i x[2], y[2];
    memcpy(x, &a, 64), memcpy(y, &b, 64);
    for (int i = 0; i < 2; i++) x[i] = _mm256_madd_epi16(x[i], y[i]);
    memcpy(&a, x, 64);
    return a;
}

static inline __m512i emulated_dpbusd(__m512i sum, __m512i a, __m512i b) {
    int32_t sums[16];
    uint8_t x[64];
    int8_t y[64];
    memcpy(sums, &sum, 64), memcpy(x, &a, 64), memcpy(y, &b, 64);
    for (int i = 0; i < 64; i++) sums[i / 4] += x[i] * y[i];
    memcpy(&sum, sums, 64);
    return sum;
}

static inline __m256i emulated_cvtps_ph(__m512 x) {
    __m256 parts[2];
    memcpy(parts, &x, 64);
    return _mm256_set_m128i(_mm256_cvtps_ph(parts[1], 0), _mm256_cvtps_ph(parts[0], 0));
}

static inline __m512i emulated_set1_epi64(long long x) {
    long long lanes[8] = {x, x, x, x, x, x, x, x};
    __m512i result;
    memcpy(&result, lanes, 64);
    return result;
}

#define _mm512_cvtps_ph(x, rounding) emulated_cvtps_ph(x)
#define _mm512_set1_epi64 emulated_set1_epi64
#define _mm512_dpbf16_ps emulated_dpbf16
#define _mm512_madd_epi16 emulated_madd
#define _mm512_dpbusd_epi32 emulated_dpbusd
#define _mm512_cvtph_ps emulated_cvtph
#define _mm512_set1_ps simde_mm512_set1_ps
#define _mm512_set1_epi32 simde_mm512_set1_epi32
#define _mm512_permutexvar_ps simde_mm512_permutexvar_ps
#define _mm512_permutexvar_epi16 simde_mm512_permutexvar_epi16
#define _mm512_permutex2var_epi16 simde_mm512_permutex2var_epi16
#define _mm512_shuffle_epi8 simde_mm512_shuffle_epi8
#define _mm512_broadcast_i32x4 simde_mm512_broadcast_i32x4

#endif

// SPDX-License-Identifier: Apache-2.0
// Products with 16-bit activations: AVX-512 with VNNI, tiles of 12 rows by 32 outputs.
#include "../integers.h"

#if EFT_X86
#include <immintrin.h>

#pragma clang attribute push(__attribute__((target(EFT_TARGET_AVX512_VNNI))), apply_to = function)
#define LANES 16
#define MR 12
#define VECTORS 2
#define NAME(x) int16_vnni_##x
#define int16_vnni_table eft_products_int16_vnni
#define MOST EFT_INT16_MOST
#define PART_BLOCKS EFT_INT16_BLOCKS
#define STEP 2
#define DOT(sum, x, w) dot_vnni((__m512i)(sum), (__m512i)(x), (__m512i)(w))

/// In assembly, since the compiler would split the instruction into two that take twice the time.
static inline __attribute__((always_inline)) __m512i dot_vnni(__m512i sum, __m512i x, __m512i w) {
#ifdef EFT_EMULATE_AVX512
    return (__m512i)((i32x16)sum + (i32x16)_mm512_madd_epi16(x, w));
#else
    __asm__("vpdpwssd %2, %1, %0" : "+v"(sum) : "v"(x), "v"(w));
    return sum;
#endif
}

#define DOT_BYTES(sum, u, s) _mm512_dpbusd_epi32((__m512i)(sum), (__m512i)(u), (__m512i)(s))

#include "../vectors/products_integers.inc"
#pragma clang attribute pop
#endif

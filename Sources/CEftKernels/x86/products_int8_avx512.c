// SPDX-License-Identifier: Apache-2.0
// Products with 8-bit activations: AVX-512, tiles of 12 rows by 32 outputs.
#include "../integers.h"

#if EFT_X86
#include <immintrin.h>

#pragma clang attribute push(__attribute__((target(EFT_TARGET_AVX512))), apply_to = function)
#define LANES 16
#define MR 12
#define VECTORS 2
#define NAME(x) int8_avx512_##x
#define int8_avx512_table eft_products_int8_avx512
#define MOST EFT_INT8_MOST
#define PART_BLOCKS EFT_INT8_BLOCKS
#define STEP 2
#define DOT(sum, x, w) ((sum) + (VI)_mm512_madd_epi16((__m512i)(x), (__m512i)(w)))
#include "../vectors/products_integers.inc"
#pragma clang attribute pop
#endif

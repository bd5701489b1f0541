// SPDX-License-Identifier: Apache-2.0
// Products with 8-bit activations: AVX2, tiles of 6 rows by 16 outputs.
#include "../integers.h"

#if EFT_X86
#include <immintrin.h>

#pragma clang attribute push(__attribute__((target(EFT_TARGET_AVX2))), apply_to = function)
#define LANES 8
#define MR 6
#define VECTORS 2
#define NAME(x) int8_avx2_##x
#define int8_avx2_table eft_products_int8_avx2
#define MOST EFT_INT8_MOST
#define PART_BLOCKS EFT_INT8_BLOCKS
#define STEP 2
#define DOT(sum, x, w) ((sum) + (VI)_mm256_madd_epi16((__m256i)(x), (__m256i)(w)))
#include "../vectors/products_integers.inc"
#pragma clang attribute pop
#endif

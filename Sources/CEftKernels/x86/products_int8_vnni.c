// SPDX-License-Identifier: Apache-2.0
// Products with 8-bit activations: AVX-512 with VNNI, tiles of 16 rows by 16 outputs.
#include "../integers.h"

#if EFT_X86
#include <immintrin.h>

#pragma clang attribute push(__attribute__((target(EFT_TARGET_AVX512_VNNI))), apply_to = function)
#define LANES 16
#define MR 16
#define VECTORS 1
#define NAME(x) int8_vnni_##x
#define int8_vnni_table eft_products_int8_vnni
#define MOST EFT_INT8_MOST
#define PART_BLOCKS EFT_INT8_BLOCKS
#define STEP 4
#define DOT(sum, x, w) _mm512_dpbusd_epi32((__m512i)(sum), (__m512i)(w), (__m512i)(x))
#include "../vectors/products_integers.inc"
#pragma clang attribute pop
#endif

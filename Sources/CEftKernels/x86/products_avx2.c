// SPDX-License-Identifier: Apache-2.0
// Matrix products in f32 with AVX2: tiles of 6 rows by 16 outputs.
#include "../products.h"

#if EFT_X86
#include <immintrin.h>

#pragma clang attribute push(__attribute__((target(EFT_TARGET_AVX2))), apply_to = function)
#define LANES 8
#define CHAINS 8
#define MR 6
#define NAME(x) avx2_##x
#define avx2_table eft_products_avx2
#include "../vectors/products_f32.inc"
#pragma clang attribute pop
#endif

// SPDX-License-Identifier: Apache-2.0
// Matrix products in f32 with AVX-512: tiles of 12 rows by 32 outputs.
#include "../products.h"

#if EFT_X86
#include <immintrin.h>

#pragma clang attribute push(__attribute__((target(EFT_TARGET_AVX512))), apply_to = function)
#define LANES 16
#define CHAINS 8
#define MR 12
#define NAME(x) avx512_##x
#define avx512_table eft_products_avx512
#include "../vectors/products_f32.inc"
#pragma clang attribute pop
#endif

// SPDX-License-Identifier: Apache-2.0
// Products with 8-bit activations: NEON with dot products of signed and unsigned bytes, tiles of 6 rows by 16 outputs.
#include "../integers.h"
#include "neon.h"

#if EFT_ARM64
#pragma clang attribute push(__attribute__((target("i8mm"))), apply_to = function)
#define LANES 8
#define MR 6
#define VECTORS 2
#define NAME(x) int8_i8mm_##x
#define int8_i8mm_table eft_products_int8_i8mm
#define MOST EFT_INT8_MOST
#define PART_BLOCKS EFT_INT8_BLOCKS
#define STEP 4
#define DOT(sum, x, w) neon_dot_bytes(sum, x, w)
#include "../vectors/products_integers.inc"
#pragma clang attribute pop
#endif

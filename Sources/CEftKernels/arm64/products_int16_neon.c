// SPDX-License-Identifier: Apache-2.0
// Products with 16-bit activations: NEON, tiles of 6 rows by 16 outputs.
#include "../integers.h"
#include "neon.h"

#if EFT_ARM64
#define LANES 8
#define MR 6
#define VECTORS 2
#define NAME(x) int16_neon_##x
#define int16_neon_table eft_products_int16_neon
#define MOST EFT_INT16_MOST
#define PART_BLOCKS EFT_INT16_BLOCKS
#define STEP 2
#define DOT(sum, x, w) neon_dot_pairs(sum, x, w)
#include "../vectors/products_integers.inc"
#endif

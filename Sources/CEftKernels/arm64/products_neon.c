// SPDX-License-Identifier: Apache-2.0
// Matrix products in f32 with NEON: tiles of 6 rows by 16 outputs.
#include "../products.h"
#include "neon.h"

#if EFT_ARM64
#define LANES 8
#define CHAINS 8
#define MR 6
#define NAME(x) neon_##x
#define neon_table eft_products_neon
#include "../vectors/products_f32.inc"
#endif

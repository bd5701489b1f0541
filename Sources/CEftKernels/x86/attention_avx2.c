// SPDX-License-Identifier: Apache-2.0
// Attention for AVX2 with FMA.
#include "../kv_codes.h"
#include "../layer_kernels.h"

#if EFT_X86
#include <math.h>

/// Whether a vector of 16 lanes is one register, of 32.
#define EFT_WIDE 0

#pragma clang attribute push(__attribute__((target(EFT_TARGET_AVX2))), apply_to = function)
#include "../vectors/vector.inc"

#include "../vectors/attention.inc"
#include "../vectors/attention_backward.inc"
#include "../vectors/attention_pages.inc"
#pragma clang attribute pop

const eft_attention_kernels eft_attention_avx2 = {attention_forward, attention_backward, write_page, read_page};
#endif

// SPDX-License-Identifier: Apache-2.0
// Attention for NEON.
#include "../kv_codes.h"
#include "../layer_kernels.h"

#if EFT_ARM64
#include <math.h>

/// Whether a vector of 16 lanes is one register, of 32.
#define EFT_WIDE 0

#include "../vectors/vector.inc"

#include "../vectors/attention.inc"
#include "../vectors/attention_backward.inc"
#include "../vectors/attention_pages.inc"

const eft_attention_kernels eft_attention_neon = {attention_forward, attention_backward, write_page, read_page};
#endif

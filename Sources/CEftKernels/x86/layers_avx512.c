// SPDX-License-Identifier: Apache-2.0
// The layer kernels for AVX-512.
#include "../layer_kernels.h"

#if EFT_X86
#include <immintrin.h>
#include <math.h>

#define EFT_TABLE(family) eft_##family##_avx512

#pragma clang attribute push(__attribute__((target(EFT_TARGET_AVX512))), apply_to = function)
#include "../vectors/vector.inc"

#include "../vectors/activation.inc"
#include "../vectors/convert.inc"
#include "../vectors/cross_entropy.inc"
#include "../vectors/divergence.inc"
#include "../vectors/elementwise.inc"
#include "../vectors/layer_norm.inc"
#include "../vectors/norm.inc"
#include "../vectors/quantize.inc"
#include "../vectors/exl2.inc"
#include "../vectors/rope.inc"
#include "../vectors/sampling.inc"
#include "../update_rules.inc"
const eft_updates_kernels EFT_TABLE(updates) = EFT_UPDATE_TABLE;
#include "../delta_rules.inc"
const eft_delta_kernels EFT_TABLE(delta) = EFT_DELTA_TABLE;
#pragma clang attribute pop
#endif

// SPDX-License-Identifier: Apache-2.0
// What the files of the matrix products share.
#ifndef EFT_PRODUCTS_H
#define EFT_PRODUCTS_H

#include "kernels_internal.h"

/// Inputs after which the sum of a dense product is folded into the total, and a product of f32 matrices likewise.
#define EFT_FOLD 512
/// Outputs after which the sum of a transposed product is folded.
#define EFT_FOLD_OUTPUTS 256

// generic/weights.c
float eft_code_value(eft_code_book book, uint32_t bits, uint8_t code);
float eft_weight_scale(const eft_weight *w, size_t panel, size_t group, size_t lane);
/// The values, not scaled, of a block of a panel, [input][output]. `group` holds the block, when coded.
void eft_weight_block(const eft_weight *w, size_t panel, size_t group, size_t block,
                      float values[EFT_BLOCK * EFT_PANEL]);

/// Whether a product rounds its operands to bf16.
static inline bool eft_rounds(const eft_weight *w, eft_precision precision) {
    return precision == EFT_PRECISION_BF16 && (w->kind == EFT_WEIGHT_BF16 || w->kind == EFT_WEIGHT_CODED);
}

static inline float eft_rounded(float x, bool rounds) { return rounds ? eft_f32_of_bf16(eft_bf16_of_f32(x)) : x; }

/// Groups of a weight: dense ones count as groups of EFT_FOLD inputs.
static inline size_t eft_segments(const eft_weight *w) {
    return w->kind == EFT_WEIGHT_CODED ? w->group_count : eft_ceil_div(w->blocks, EFT_FOLD / EFT_BLOCK);
}
static inline size_t eft_segment_first(const eft_weight *w, size_t s) {
    return w->kind == EFT_WEIGHT_CODED ? w->groups[s].first_block : s * (EFT_FOLD / EFT_BLOCK);
}
static inline size_t eft_segment_blocks(const eft_weight *w, size_t s) {
    return w->kind == EFT_WEIGHT_CODED ? w->groups[s].blocks
                                       : eft_min(w->blocks - s * (EFT_FOLD / EFT_BLOCK), EFT_FOLD / EFT_BLOCK);
}

// generic/matmul.c: the definitions.
void eft_scalar_matmul(eft_context *context, const eft_weight *w, eft_precision precision, size_t rows, const float *x,
                       size_t ldx, float *y, size_t ldy, bool accumulate);
void eft_scalar_matmul_transposed(eft_context *context, const eft_weight *w, eft_precision precision, size_t rows,
                                  const float *dy, size_t lddy, float *dx, size_t lddx, bool accumulate);
void eft_scalar_gemm(eft_context *context, size_t m, size_t n, size_t k, float alpha, eft_view a, eft_view b, float beta,
                     float *c, size_t c_row_stride, size_t c_panel_stride);

#endif

// SPDX-License-Identifier: Apache-2.0
// The matrix products: which version runs.
#include "integers.h"
#include "products.h"

const eft_product_table *eft_product_table_for(eft_isa isa, const eft_weight *w, eft_precision precision, bool transposed,
                                               eft_form *form) {
    *form = EFT_FORM_F32;
    bool integers = precision == EFT_PRECISION_INT16 || precision == EFT_PRECISION_INT8;
    if (w != NULL && !transposed && integers && eft_fits_integers(w)) {
        bool bytes = precision == EFT_PRECISION_INT8;
        *form = bytes ? EFT_FORM_INT8 : EFT_FORM_INT16;
#if EFT_X86
        if (isa >= EFT_ISA_AVX512_VNNI) return bytes ? &eft_products_int8_vnni : &eft_products_int16_vnni;
        if (isa == EFT_ISA_AVX512) return bytes ? &eft_products_int8_avx512 : &eft_products_int16_avx512;
        if (isa == EFT_ISA_AVX2) return bytes ? &eft_products_int8_avx2 : &eft_products_int16_avx2;
#elif EFT_ARM64
        if (bytes && isa >= EFT_ISA_NEON_I8MM) return &eft_products_int8_i8mm;
        if (isa >= EFT_ISA_NEON) return bytes ? &eft_products_int8_neon : &eft_products_int16_neon;
#endif
        return NULL;
    }
#if EFT_X86
    if (isa == EFT_ISA_AVX2) return &eft_products_avx2;
    // Scaled weights of blocks would need three dot products of a pair for two multiply-adds.
    bool splits = w != NULL && eft_scales_blocks(w->scale_type) && precision != EFT_PRECISION_BF16;
    if (isa == EFT_ISA_AVX512_BF16 && !splits && w != NULL && (w->kind == EFT_WEIGHT_BF16 || w->kind == EFT_WEIGHT_CODED)) {
        // Integers of up to 8 bits and numbers of E4M3 are bf16 numbers; values of NF4 and FP4, and scaled ones, are not, but for powers of two.
        bool is_table = w->code_book == EFT_CODES_NF4 || w->code_book == EFT_CODES_FP4;
        bool plain = !is_table && (!transposed || w->scale_type == EFT_SCALES_E8M0);
        bool exact = w->kind == EFT_WEIGHT_BF16 || plain;
        *form = precision == EFT_PRECISION_BF16 ? EFT_FORM_BF16 : exact ? EFT_FORM_SPLIT_1 : EFT_FORM_SPLIT_2;
        return &eft_products_avx512_bf16[*form - EFT_FORM_BF16];
    }
    if (isa >= EFT_ISA_AVX512) return &eft_products_avx512;
#elif EFT_ARM64
    (void)transposed;
    if (isa >= EFT_ISA_NEON) return &eft_products_neon;
#else
    (void)isa, (void)w, (void)precision, (void)transposed;
#endif
    return NULL;
}

size_t eft_matmul_workspace(const eft_context *context, const eft_weight *w, eft_precision precision, size_t rows) {
    eft_form form;
    const eft_product_table *table = eft_product_table_for(context->isa, w, precision, false, &form);
    if (table == NULL || rows == 0) return 0;
    eft_context sizes = *context;
    eft_product product = {.w = *w};
    return eft_fast_matmul(&sizes, table, form, &product, 1, NULL, eft_rounds(w, precision), rows, NULL, 0, NULL);
}

/// Whether two weights take the same packed activations.
static bool share_packing(const eft_weight *a, const eft_weight *b) {
    if (a->inputs != b->inputs || a->kind != b->kind || a->code_book != b->code_book) return false;
    if (a->kind != EFT_WEIGHT_CODED) return true;
    if (eft_has_offsets(a->scale_type) != eft_has_offsets(b->scale_type)) return false;
    if (eft_has_halves(a->scale_type) != eft_has_halves(b->scale_type)) return false;
    if (a->group_count != b->group_count || (a->permutation == NULL) != (b->permutation == NULL)) return false;
    if (memcmp(a->groups, b->groups, a->group_count * sizeof *a->groups) != 0) return false;
    return a->permutation == NULL ||
           memcmp(a->permutation, b->permutation, a->blocks * EFT_BLOCK * sizeof *a->permutation) == 0;
}

void eft_matmul_together(eft_context *context, const eft_product *products, size_t count, eft_precision precision,
                         size_t rows, const float *x, size_t ldx, void *workspace) {
    for (size_t first = 0, next; rows > 0 && first < count; first = next) {
        const eft_product *p = &products[first];
        eft_form form;
        const eft_product_table *table = eft_product_table_for(context->isa, &p->w, precision, false, &form);
        next = first + 1;
        if (table == NULL && (form == EFT_FORM_INT16 || form == EFT_FORM_INT8)) {
            eft_scalar_matmul_integers(context, form, &p->w, rows, x, ldx, p->y, p->ldy, p->accumulate);
        } else if (table == NULL) {
            eft_scalar_matmul(context, &p->w, precision, rows, x, ldx, p->y, p->ldy, p->accumulate);
        } else {
            while (next < count && share_packing(&p->w, &products[next].w)) next++;
            eft_fast_matmul(context, table, form, p, next - first, NULL, eft_rounds(&p->w, precision), rows, x, ldx,
                            workspace);
        }
    }
}

void eft_matmul(eft_context *context, const eft_weight *w, eft_precision precision, size_t rows, const float *x,
                size_t ldx, float *y, size_t ldy, bool accumulate, void *workspace) {
    eft_product product = {.w = *w, .y = y, .ldy = ldy, .accumulate = accumulate};
    eft_matmul_together(context, &product, 1, precision, rows, x, ldx, workspace);
}

bool eft_matmul_gated(eft_context *context, eft_product gate, eft_product up, eft_activation kind,
                      eft_precision precision, size_t rows, const float *x, size_t ldx, void *workspace) {
    const eft_product products[] = {gate, up};
    eft_form form;
    const eft_product_table *table = eft_product_table_for(context->isa, &gate.w, precision, false, &form);
    if (table == NULL || !share_packing(&gate.w, &up.w)) return false;
    const eft_gate unit = {eft_activation_kernels_of(context->isa), kind};
    eft_fast_matmul(context, table, form, products, 2, &unit, eft_rounds(&gate.w, precision), rows, x, ldx, workspace);
    return true;
}

size_t eft_matmul_transposed_workspace(const eft_context *context, const eft_weight *w, eft_precision precision,
                                       size_t rows) {
    eft_form form;
    const eft_product_table *table = eft_product_table_for(context->isa, w, precision, true, &form);
    if (table == NULL || rows == 0) return 0;
    eft_context sizes = *context;
    return eft_fast_matmul_transposed(&sizes, table, form, w, eft_rounds(w, precision), rows, NULL, 0, NULL, 0, false,
                                      NULL);
}

void eft_matmul_transposed(eft_context *context, const eft_weight *w, eft_precision precision, size_t rows,
                           const float *dy, size_t lddy, float *dx, size_t lddx, bool accumulate, void *workspace) {
    eft_form form;
    const eft_product_table *table = eft_product_table_for(context->isa, w, precision, true, &form);
    if (rows == 0) return;
    if (table == NULL)
        eft_scalar_matmul_transposed(context, w, precision, rows, dy, lddy, dx, lddx, accumulate);
    else
        eft_fast_matmul_transposed(context, table, form, w, eft_rounds(w, precision), rows, dy, lddy, dx, lddx,
                                   accumulate, workspace);
}

size_t eft_gemm_workspace(const eft_context *context, size_t m, size_t n, size_t k) {
    eft_form form;
    const eft_product_table *table = eft_product_table_for(context->isa, NULL, EFT_PRECISION_F32, false, &form);
    if (table == NULL) return 0;
    eft_context sizes = *context;
    eft_view none = {0};
    return eft_fast_gemm(&sizes, table, m, n, k, 1, none, none, 0, NULL, 0, 0, NULL);
}

void eft_gemm(eft_context *context, size_t m, size_t n, size_t k, float alpha, eft_view a, eft_view b, float beta,
              float *c, size_t c_row_stride, size_t c_panel_stride, void *workspace) {
    eft_form form;
    const eft_product_table *table = eft_product_table_for(context->isa, NULL, EFT_PRECISION_F32, false, &form);
    if (table == NULL)
        eft_scalar_gemm(context, m, n, k, alpha, a, b, beta, c, c_row_stride, c_panel_stride);
    else
        eft_fast_gemm(context, table, m, n, k, alpha, a, b, beta, c, c_row_stride, c_panel_stride, workspace);
}

// SPDX-License-Identifier: Apache-2.0
// The matrix products: which version runs.
#include "products.h"

size_t eft_matmul_workspace(const eft_context *context, const eft_weight *w, eft_precision precision, size_t rows) {
    (void)context, (void)w, (void)precision, (void)rows;
    return 0;
}

void eft_matmul(eft_context *context, const eft_weight *w, eft_precision precision, size_t rows, const float *x,
                size_t ldx, float *y, size_t ldy, bool accumulate, void *workspace) {
    (void)workspace;
    eft_scalar_matmul(context, w, precision, rows, x, ldx, y, ldy, accumulate);
}

size_t eft_matmul_transposed_workspace(const eft_context *context, const eft_weight *w, eft_precision precision,
                                       size_t rows) {
    (void)context, (void)w, (void)precision, (void)rows;
    return 0;
}

void eft_matmul_transposed(eft_context *context, const eft_weight *w, eft_precision precision, size_t rows,
                           const float *dy, size_t lddy, float *dx, size_t lddx, bool accumulate, void *workspace) {
    (void)workspace;
    eft_scalar_matmul_transposed(context, w, precision, rows, dy, lddy, dx, lddx, accumulate);
}

size_t eft_gemm_workspace(const eft_context *context, size_t m, size_t n, size_t k) {
    (void)context, (void)m, (void)n, (void)k;
    return 0;
}

void eft_gemm(eft_context *context, size_t m, size_t n, size_t k, float alpha, eft_view a, eft_view b, float beta,
              float *c, size_t c_row_stride, size_t c_panel_stride, void *workspace) {
    (void)workspace;
    eft_scalar_gemm(context, m, n, k, alpha, a, b, beta, c, c_row_stride, c_panel_stride);
}

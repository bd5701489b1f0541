// SPDX-License-Identifier: Apache-2.0
// C += X'Y: products of columns with columns, summed over many rows.
#include "../products.h"

/// Rows of the result that one f32 product computes: what it computes above the diagonal for nothing is half of a square.
#define GRAM_ROWS 256

/// Rounds the numbers of some rows to bf16.
typedef struct rounding {
    const float *x;
    float *out;
    size_t count;
} rounding;

#define ROUNDING_CHUNK 8192

static void round_chunk(void *argument, size_t index, size_t worker) {
    (void)worker;
    const rounding *r = argument;
    size_t first = index * ROUNDING_CHUNK, end = eft_min(first + ROUNDING_CHUNK, r->count);
    for (size_t i = first; i < end; i++) r->out[i] = eft_f32_of_bf16(eft_bf16_of_f32(r->x[i]));
}

static const float *rounded(eft_context *context, const float *x, size_t count, float *out) {
    rounding r = {x, out, count};
    eft_parallel_for(context, eft_ceil_div(count, ROUNDING_CHUNK), round_chunk, &r);
    return out;
}

/// In f32, some rows of the operands at a time where these are to be rounded first.
static size_t gram_by_gemm(eft_context *context, bool rounds, size_t rows, size_t columns, const float *x, const float *y,
                           float *c, void *space, bool measures) {
    size_t fold = rounds ? eft_min(rows, EFT_FOLD) : rows, height = eft_min(columns, GRAM_ROWS);
    eft_carver carver = {measures ? NULL : eft_aligned(space), 0};
    float *x_room = eft_carve(&carver, rounds ? fold * columns * sizeof(float) : 0);
    float *y_room = eft_carve(&carver, rounds && (measures || y != NULL) ? fold * columns * sizeof(float) : 0);
    void *rest = eft_carve(&carver, eft_gemm_workspace(context, height, columns, fold));
    if (measures) return carver.used + 64;
    for (size_t t = 0; t < rows; t += fold) {
        size_t depth = eft_min(rows - t, fold);
        const float *a = x + t * columns, *b = y == NULL ? a : y + t * columns;
        if (rounds) {
            a = rounded(context, a, depth * columns, x_room);
            b = y == NULL ? a : rounded(context, b, depth * columns, y_room);
        }
        for (size_t first = 0; first < columns; first += height) {
            size_t m = eft_min(columns - first, height), n = y == NULL ? first + m : columns;
            eft_gemm(context, m, n, depth, 1, (eft_view){a + first, 1, columns}, (eft_view){b, columns, 1}, 1,
                     c + first * columns, columns, EFT_PANEL, rest);
        }
    }
    return 0;
}

/// How a level computes at a precision.
typedef enum gram_form { GRAM_F32, GRAM_ROUNDED, GRAM_BF16, GRAM_INT8 } gram_form;

static gram_form form_of(const eft_context *context, eft_precision precision, bool symmetric) {
    if (precision != EFT_PRECISION_BF16 && precision != EFT_PRECISION_INT8) return GRAM_F32;
#if EFT_X86
    if (precision == EFT_PRECISION_INT8 && symmetric && context->isa >= EFT_ISA_AVX512_VNNI) return GRAM_INT8;
    if (context->isa >= EFT_ISA_AVX512_BF16) return GRAM_BF16;
#else
    (void)context, (void)symmetric;
#endif
    return GRAM_ROUNDED;
}

static size_t gram_by(gram_form form, eft_context *context, size_t rows, size_t columns, const float *x, const float *y,
                      float *c, void *space, bool measures) {
#if EFT_X86
    if (form == GRAM_INT8) return eft_fast_gram_int8(context, rows, columns, x, c, measures ? NULL : space);
    if (form == GRAM_BF16) return eft_fast_gram(context, rows, columns, x, y, c, measures ? NULL : space);
#endif
    return gram_by_gemm(context, form == GRAM_ROUNDED, rows, columns, x, y, c, space, measures);
}

size_t eft_gram_workspace(const eft_context *context, eft_precision precision, size_t rows, size_t columns) {
    eft_context sizes = *context;
    if (rows == 0 || columns == 0) return 0;
    size_t most = 0;
    for (int symmetric = 0; symmetric < 2; symmetric++) {
        gram_form form = form_of(context, precision, symmetric);
        most = eft_max(most, gram_by(form, &sizes, rows, columns, NULL, NULL, NULL, NULL, true));
    }
    return most;
}

void eft_gram(eft_context *context, eft_precision precision, size_t rows, size_t columns, const float *x, const float *y,
              float *c, void *workspace) {
    if (rows == 0 || columns == 0) return;
    gram_by(form_of(context, precision, y == NULL), context, rows, columns, x, y, c, workspace, false);
}

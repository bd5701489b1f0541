// SPDX-License-Identifier: Apache-2.0
// The matrix products in plain C: the definition that every faster version is held to.
#include "../products.h"

#include <math.h>

/// Rows that share the unpacking of a block.
#define ROWS 32

typedef struct scalar_job {
    const eft_weight *w;
    bool rounds, accumulate;
    size_t rows;
    const float *x;
    size_t ldx;
    float *y;
    size_t ldy;
} scalar_job;

/// The number that stored input k multiplies; 0 for padding.
static float input_at(const eft_weight *w, const float *row, size_t k, bool rounds) {
    size_t input = w->permutation != NULL ? w->permutation[k] : k;
    return input < w->inputs ? eft_rounded(row[input], rounds) : 0;
}

static void forward_panel(void *argument, size_t panel, size_t worker) {
    (void)worker;
    const scalar_job *job = argument;
    const eft_weight *w = job->w;
    bool coded = w->kind == EFT_WEIGHT_CODED;
    size_t lanes = eft_min(w->outputs - panel * EFT_PANEL, EFT_PANEL);
    for (size_t first = 0; first < job->rows; first += ROWS) {
        size_t rows = eft_min(job->rows - first, ROWS);
        float totals[ROWS][EFT_PANEL] = {{0}};
        for (size_t s = 0; s < eft_segments(w); s++) {
            float sums[ROWS][EFT_PANEL] = {{0}};
            for (size_t b = 0; b < eft_segment_blocks(w, s); b++) {
                float values[EFT_BLOCK * EFT_PANEL];
                size_t block = eft_segment_first(w, s) + b;
                eft_weight_block(w, panel, s, block, values);
                if (job->rounds)
                    for (size_t i = 0; i < EFT_BLOCK * EFT_PANEL; i++) values[i] = eft_rounded(values[i], true);
                for (size_t r = 0; r < rows; r++)
                    for (size_t k = 0; k < EFT_BLOCK; k++) {
                        float x = input_at(w, job->x + (first + r) * job->ldx, block * EFT_BLOCK + k, job->rounds);
                        for (size_t lane = 0; lane < EFT_PANEL; lane++)
                            sums[r][lane] = fmaf(x, values[k * EFT_PANEL + lane], sums[r][lane]);
                    }
            }
            for (size_t lane = 0; lane < EFT_PANEL; lane++) {
                float scale = coded ? eft_weight_scale(w, panel, s, lane) : 1;
                for (size_t r = 0; r < rows; r++) totals[r][lane] = fmaf(scale, sums[r][lane], totals[r][lane]);
            }
        }
        for (size_t r = 0; r < rows; r++) {
            float *y = job->y + (first + r) * job->ldy + panel * EFT_PANEL;
            for (size_t lane = 0; lane < lanes; lane++)
                y[lane] = job->accumulate ? y[lane] + totals[r][lane] : totals[r][lane];
        }
    }
}

void eft_scalar_matmul(eft_context *context, const eft_weight *w, eft_precision precision, size_t rows, const float *x,
                       size_t ldx, float *y, size_t ldy, bool accumulate) {
    scalar_job job = {w, eft_rounds(w, precision), accumulate, rows, x, ldx, y, ldy};
    eft_parallel_for(context, eft_ceil_div(w->outputs, EFT_PANEL), forward_panel, &job);
}

/// dx of the 32 inputs of a block.
static void backward_block(const scalar_job *job, size_t group, size_t block, size_t first, size_t rows) {
    const eft_weight *w = job->w;
    float totals[ROWS][EFT_BLOCK] = {{0}}, sums[ROWS][EFT_BLOCK];
    size_t panels = eft_ceil_div(w->outputs, EFT_PANEL);
    for (size_t panel = 0; panel < panels; panel++) {
        if (panel % (EFT_FOLD_OUTPUTS / EFT_PANEL) == 0) memset(sums, 0, sizeof sums);
        float values[EFT_BLOCK * EFT_PANEL];
        eft_weight_block(w, panel, group, block, values);
        size_t lanes = eft_min(w->outputs - panel * EFT_PANEL, EFT_PANEL);
        for (size_t lane = 0; lane < lanes; lane++) {
            float scale = w->kind == EFT_WEIGHT_CODED ? eft_weight_scale(w, panel, group, lane) : 1;
            for (size_t k = 0; k < EFT_BLOCK; k++) {
                float value = eft_rounded(values[k * EFT_PANEL + lane] * scale, job->rounds);
                for (size_t r = 0; r < rows; r++) {
                    float dy = job->x[(first + r) * job->ldx + panel * EFT_PANEL + lane];
                    sums[r][k] = fmaf(eft_rounded(dy, job->rounds), value, sums[r][k]);
                }
            }
        }
        if (panel % (EFT_FOLD_OUTPUTS / EFT_PANEL) == EFT_FOLD_OUTPUTS / EFT_PANEL - 1 || panel + 1 == panels)
            for (size_t r = 0; r < rows; r++)
                for (size_t k = 0; k < EFT_BLOCK; k++) totals[r][k] += sums[r][k];
    }
    for (size_t k = 0; k < EFT_BLOCK; k++) {
        size_t stored = block * EFT_BLOCK + k, input = w->permutation != NULL ? w->permutation[stored] : stored;
        if (input >= w->inputs) continue;
        for (size_t r = 0; r < rows; r++) {
            float *dx = job->y + (first + r) * job->ldy + input;
            *dx = job->accumulate ? *dx + totals[r][k] : totals[r][k];
        }
    }
}

static void backward_segment(void *argument, size_t segment, size_t worker) {
    (void)worker;
    const scalar_job *job = argument;
    for (size_t b = 0; b < eft_segment_blocks(job->w, segment); b++)
        for (size_t first = 0; first < job->rows; first += ROWS)
            backward_block(job, segment, eft_segment_first(job->w, segment) + b, first,
                           eft_min(job->rows - first, ROWS));
}

void eft_scalar_matmul_transposed(eft_context *context, const eft_weight *w, eft_precision precision, size_t rows,
                                  const float *dy, size_t lddy, float *dx, size_t lddx, bool accumulate) {
    scalar_job job = {w, eft_rounds(w, precision), accumulate, rows, dy, lddy, dx, lddx};
    eft_parallel_for(context, eft_segments(w), backward_segment, &job);
}

typedef struct gemm_job {
    size_t n, k;
    float alpha, beta;
    eft_view a, b;
    float *c;
    size_t c_row_stride, c_panel_stride;
} gemm_job;

static void gemm_row(void *argument, size_t i, size_t worker) {
    (void)worker;
    const gemm_job *job = argument;
    for (size_t panel = 0; panel * EFT_PANEL < job->n; panel++) {
        size_t lanes = eft_min(job->n - panel * EFT_PANEL, EFT_PANEL);
        float totals[EFT_PANEL] = {0}, sums[EFT_PANEL] = {0};
        for (size_t k = 0; k < job->k; k++) {
            float a = job->a.data[i * job->a.row_stride + k * job->a.column_stride];
            const float *b = job->b.data + k * job->b.row_stride + panel * EFT_PANEL * job->b.column_stride;
            for (size_t lane = 0; lane < lanes; lane++)
                sums[lane] = fmaf(a, b[lane * job->b.column_stride], sums[lane]);
            if (k % EFT_FOLD != EFT_FOLD - 1 && k + 1 != job->k) continue;
            for (size_t lane = 0; lane < lanes; lane++) {
                totals[lane] += sums[lane];
                sums[lane] = 0;
            }
        }
        float *c = job->c + panel * job->c_panel_stride + i * job->c_row_stride;
        for (size_t lane = 0; lane < lanes; lane++) {
            float scaled = job->alpha * totals[lane];
            c[lane] = job->beta == 0 ? scaled : job->beta * c[lane] + scaled;
        }
    }
}

void eft_scalar_gemm(eft_context *context, size_t m, size_t n, size_t k, float alpha, eft_view a, eft_view b, float beta,
                     float *c, size_t c_row_stride, size_t c_panel_stride) {
    gemm_job job = {n, k, alpha, beta, a, b, c, c_row_stride, c_panel_stride};
    eft_parallel_for(context, m, gemm_row, &job);
}

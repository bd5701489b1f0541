// SPDX-License-Identifier: Apache-2.0
// The product with 16-bit activations in plain C: the definition, which every level equals bit for bit.
#include "../int16.h"

#include <math.h>

typedef struct int16_job {
    const eft_weight *w;
    bool accumulate;
    size_t rows;
    const float *x;
    size_t ldx;
    float *y;
    size_t ldy;
} int16_job;

static void row_segment(const eft_weight *w, size_t panel, size_t s, const float *x, float totals[EFT_PANEL]) {
    float values[EFT_BLOCK * EFT_PANEL], numbers[EFT_INT16_BLOCKS * EFT_BLOCK];
    int16_t integers[EFT_INT16_BLOCKS * EFT_BLOCK];
    size_t blocks = eft_segment_blocks(w, s), first = eft_segment_first(w, s);
    for (size_t b = 0; b < blocks; b++) eft_gather_block(w, x, first + b, numbers + b * EFT_BLOCK);
    float scale = eft_int16_quantize(blocks * EFT_BLOCK, numbers, integers);
    int32_t sums[EFT_PANEL] = {0};
    for (size_t b = 0; b < blocks; b++) {
        eft_weight_block(w, panel, s, first + b, values);
        for (size_t k = 0; k < EFT_BLOCK; k++)
            for (size_t lane = 0; lane < EFT_PANEL; lane++)
                sums[lane] += integers[b * EFT_BLOCK + k] * (int32_t)values[k * EFT_PANEL + lane];
    }
    for (size_t lane = 0; lane < EFT_PANEL; lane++)
        totals[lane] = fmaf(eft_weight_scale(w, panel, s, lane) * scale, (float)sums[lane], totals[lane]);
}

static void panel_job(void *argument, size_t panel, size_t worker) {
    (void)worker;
    const int16_job *job = argument;
    size_t lanes = eft_min(job->w->outputs - panel * EFT_PANEL, EFT_PANEL);
    for (size_t r = 0; r < job->rows; r++) {
        float totals[EFT_PANEL] = {0};
        for (size_t s = 0; s < job->w->group_count; s++)
            row_segment(job->w, panel, s, job->x + r * job->ldx, totals);
        eft_store_totals(job->y + r * job->ldy + panel * EFT_PANEL, totals, lanes, job->accumulate);
    }
}

void eft_scalar_matmul_int16(eft_context *context, const eft_weight *w, size_t rows, const float *x, size_t ldx,
                             float *y, size_t ldy, bool accumulate) {
    int16_job job = {w, accumulate, rows, x, ldx, y, ldy};
    eft_parallel_for(context, eft_ceil_div(w->outputs, EFT_PANEL), panel_job, &job);
}

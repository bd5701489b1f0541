// SPDX-License-Identifier: Apache-2.0
// The product with activations of 16 or 8 bits in plain C: the definition, which every level equals bit for bit.
#include "../integers.h"

#include <math.h>

typedef struct integers_job {
    const eft_weight *w;
    float most;
    size_t part_blocks;  // most blocks that share a scale of activations
    bool accumulate;
    size_t rows;
    const float *x;
    size_t ldx;
    float *y;
    size_t ldy;
} integers_job;

/// Adds what `blocks` blocks of a segment, `first` the first of them, give to a row's totals of a panel.
static void row_part(const integers_job *job, size_t panel, size_t s, size_t first, size_t blocks, const float *x,
                     float totals[EFT_PANEL]) {
    float values[EFT_BLOCK * EFT_PANEL], numbers[EFT_INT16_BLOCKS * EFT_BLOCK];
    int16_t integers[EFT_INT16_BLOCKS * EFT_BLOCK];
    for (size_t b = 0; b < blocks; b++) eft_gather_block(job->w, x, first + b, numbers + b * EFT_BLOCK);
    float scale = eft_integers_quantize(job->most, blocks * EFT_BLOCK, numbers, integers);
    int32_t sums[EFT_PANEL] = {0};
    for (size_t b = 0; b < blocks; b++) {
        eft_weight_block(job->w, panel, s, first + b, values);
        for (size_t k = 0; k < EFT_BLOCK; k++)
            for (size_t lane = 0; lane < EFT_PANEL; lane++)
                sums[lane] += integers[b * EFT_BLOCK + k] * (int32_t)values[k * EFT_PANEL + lane];
    }
    for (size_t lane = 0; lane < EFT_PANEL; lane++)
        totals[lane] = fmaf(eft_weight_scale(job->w, panel, s, lane) * scale, (float)sums[lane], totals[lane]);
}

/// Likewise of a block with scales of its own.
static void row_block(const integers_job *job, size_t panel, size_t s, const float *x, float totals[EFT_PANEL]) {
    const eft_group *group = &job->w->groups[s];
    const bool offsets = eft_has_offsets(job->w->scale_type);
    const size_t parts = eft_has_halves(job->w->scale_type) ? 2 : 1, inputs = EFT_BLOCK / parts;
    float numbers[EFT_BLOCK];
    int16_t integers[EFT_BLOCK];
    uint8_t codes[EFT_BLOCK * EFT_PANEL];
    eft_gather_block(job->w, x, group->first_block, numbers);
    float row_scale = eft_integers_quantize(job->most, EFT_BLOCK, numbers, integers);
    eft_weight_codes(job->w, panel, s, group->first_block, codes);
    for (size_t part = 0; part < parts; part++) {
        const int16_t *first = integers + part * inputs;
        int32_t sum = 0, start = offsets ? 0 : eft_integers_start(inputs, first, eft_zero_point(job->w, group->bits));
        for (size_t k = 0; k < inputs; k++) sum += first[k];
        for (size_t lane = 0; lane < EFT_PANEL; lane++) {
            float scale, offset;
            eft_block_scaling(job->w, panel, s, part, lane, &scale, &offset);
            int32_t products = start;
            for (size_t k = 0; k < inputs; k++) products += first[k] * codes[(part * inputs + k) * EFT_PANEL + lane];
            totals[lane] = fmaf(scale * row_scale, (float)products, totals[lane]);
            if (offsets) totals[lane] = fmaf(offset, row_scale * (float)sum, totals[lane]);
        }
    }
}

static void panel_job(void *argument, size_t panel, size_t worker) {
    (void)worker;
    const integers_job *job = argument;
    size_t lanes = eft_min(job->w->outputs - panel * EFT_PANEL, EFT_PANEL);
    for (size_t r = 0; r < job->rows; r++) {
        float totals[EFT_PANEL] = {0};
        for (size_t s = 0; s < job->w->group_count; s++) {
            if (eft_scales_blocks(job->w->scale_type)) {
                row_block(job, panel, s, job->x + r * job->ldx, totals);
                continue;
            }
            size_t first = eft_segment_first(job->w, s), end = first + eft_segment_blocks(job->w, s);
            for (size_t blocks; first < end; first += blocks) {
                blocks = eft_min(end - first, job->part_blocks);
                row_part(job, panel, s, first, blocks, job->x + r * job->ldx, totals);
            }
        }
        eft_store_totals(job->y + r * job->ldy + panel * EFT_PANEL, totals, lanes, job->accumulate);
    }
}

void eft_scalar_matmul_integers(eft_context *context, eft_form form, const eft_weight *w, size_t rows, const float *x,
                                size_t ldx, float *y, size_t ldy, bool accumulate) {
    bool bytes = form == EFT_FORM_INT8;
    integers_job job = {.w = w, .most = bytes ? EFT_INT8_MOST : EFT_INT16_MOST,
                        .part_blocks = bytes ? EFT_INT8_BLOCKS : EFT_INT16_BLOCKS, .accumulate = accumulate,
                        .rows = rows, .x = x, .ldx = ldx, .y = y, .ldy = ldy};
    eft_parallel_for(context, eft_ceil_div(w->outputs, EFT_PANEL), panel_job, &job);
}

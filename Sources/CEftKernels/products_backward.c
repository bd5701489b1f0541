// SPDX-License-Identifier: Apache-2.0
// dx = dy W': the weights, unpacked and scaled, are the broadcast operand, and 16 rows of dy stand in the lanes.
#include "products.h"

#define PACKED_BYTES ((size_t)16 << 20)
#define MIN_ROUND 96
#define MAX_ROUND 512
/// Blocks of inputs of a job: 96 inputs are a whole number of tiles of 6 and of 12.
#define JOB_BLOCKS 3
#define JOB_INPUTS (JOB_BLOCKS * EFT_BLOCK)
#define CHUNK_PANELS (EFT_FOLD_OUTPUTS / EFT_PANEL)

typedef struct backward {
    const eft_product_table *table;
    eft_form form;
    const eft_weight *w;
    bool rounds, accumulate;
    size_t rows;
    const float *dy;
    size_t lddy;
    float *dx;
    size_t lddx;
    uint8_t *packed;  // [16 rows][output step][16]
    size_t packed_panel_bytes, row_panels;
    size_t job_row_panels, row_jobs;
    uint8_t *unpacked, *totals;
    size_t unpacked_bytes, totals_bytes;
} backward;

/// Bytes of an element of the packed operands: 16 outputs of 16 rows over 256.
static size_t element_bytes(const eft_product_table *t) { return t->row_block_bytes / EFT_BLOCK; }

static size_t backward_plan(backward *f, const eft_context *context, size_t rows, void *space) {
    eft_carver carver = {eft_aligned(space), 0};
    size_t outputs = eft_round_up(f->w->outputs, EFT_PANEL), threads = context->threads;
    f->row_panels = eft_ceil_div(rows, EFT_PANEL);
    f->packed_panel_bytes = outputs * EFT_PANEL * element_bytes(f->table);
    f->packed = eft_carve(&carver, f->row_panels * f->packed_panel_bytes);
    size_t input_jobs = eft_ceil_div(f->w->blocks, JOB_BLOCKS);
    f->job_row_panels = f->row_panels;
    while (f->job_row_panels > 6 && input_jobs * eft_ceil_div(f->row_panels, f->job_row_panels) < 2 * threads)
        f->job_row_panels = eft_ceil_div(f->job_row_panels, 2);
    f->row_jobs = eft_ceil_div(f->row_panels, f->job_row_panels);
    f->unpacked_bytes = JOB_INPUTS * EFT_FOLD_OUTPUTS * element_bytes(f->table);
    f->totals_bytes = f->row_panels * EFT_PANEL * JOB_INPUTS * sizeof(float);
    f->unpacked = eft_carve(&carver, threads * f->unpacked_bytes);
    f->totals = eft_carve(&carver, threads * f->totals_bytes);
    return carver.used + 64;
}

static void pack_panel(void *argument, size_t index, size_t worker) {
    (void)worker;
    const backward *f = argument;
    size_t first = index * EFT_PANEL;
    f->table->pack_gradients(f->form, f->rounds, eft_min(f->rows - first, EFT_PANEL), f->dy + first * f->lddy, f->lddy,
                             f->w->outputs, 0, eft_round_up(f->w->outputs, EFT_PANEL),
                             f->packed + index * f->packed_panel_bytes);
}

/// Transposes the totals [16 rows' panel][input][16] into dx.
static void store_job(const backward *f, size_t first_block, size_t blocks, size_t first_panel, size_t panels,
                      const float *totals) {
    size_t inputs[JOB_INPUTS], count = blocks * EFT_BLOCK;
    for (size_t k = 0; k < count; k++) {
        size_t stored = first_block * EFT_BLOCK + k;
        inputs[k] = f->w->permutation != NULL ? f->w->permutation[stored] : stored;
    }
    for (size_t p = 0; p < panels; p++) {
        size_t first = (first_panel + p) * EFT_PANEL, rows = eft_min(f->rows - first, EFT_PANEL);
        const float *panel = totals + p * JOB_INPUTS * EFT_PANEL;
        for (size_t r = 0; r < rows; r++) {
            float *dx = f->dx + (first + r) * f->lddx;
            for (size_t k = 0; k < count; k++) {
                if (inputs[k] >= f->w->inputs) continue;
                float total = panel[k * EFT_PANEL + r];
                dx[inputs[k]] = f->accumulate ? dx[inputs[k]] + total : total;
            }
        }
    }
}

static void input_job(void *argument, size_t index, size_t worker) {
    const backward *f = argument;
    const eft_product_table *t = f->table;
    const eft_weight *w = f->w;
    size_t first_block = index / f->row_jobs * JOB_BLOCKS, blocks = eft_min(w->blocks - first_block, JOB_BLOCKS);
    size_t first_panel = index % f->row_jobs * f->job_row_panels;
    size_t panels = eft_min(f->row_panels - first_panel, f->job_row_panels);
    uint8_t *unpacked = f->unpacked + worker * f->unpacked_bytes;
    float *totals = (float *)(f->totals + worker * f->totals_bytes);
    size_t step_bytes = EFT_PANEL * element_bytes(t), steps = t->steps_per_block / 2;  // of 16 outputs
    size_t weight_panels = eft_ceil_div(w->outputs, EFT_PANEL);
    for (size_t n = 0; n < weight_panels; n += CHUNK_PANELS) {
        size_t count = eft_min(weight_panels - n, CHUNK_PANELS);
        for (size_t b = 0; b < blocks; b++)
            t->unpack_scaled(w, f->form, f->rounds, eft_segment_of(w, first_block + b), first_block + b, n, count,
                             unpacked + b * EFT_BLOCK * EFT_FOLD_OUTPUTS * element_bytes(t));
        eft_piece piece = {0, 0, count * steps, true, true};
        for (size_t p = 0; p < panels; p += t->tile_panels) {
            eft_tile_call call = {
                .rows = blocks * EFT_BLOCK,
                .a = unpacked,
                .a_tile_bytes = t->tile_rows * EFT_FOLD_OUTPUTS * element_bytes(t),
                .panels = eft_min(panels - p, t->tile_panels),
                .pieces = &piece,
                .piece_count = 1,
                .fresh = n == 0,
            };
            for (size_t i = 0; i < call.panels; i++) {
                call.b[i] =
                    f->packed + (first_panel + p + i) * f->packed_panel_bytes + n * EFT_PANEL * step_bytes;
                call.totals[i] = totals + (p + i) * JOB_INPUTS * EFT_PANEL;
            }
            t->tiles_transposed(f->form, &call);
        }
    }
    store_job(f, first_block, blocks, first_panel, panels, totals);
}

size_t eft_fast_matmul_transposed(eft_context *context, const eft_product_table *table, eft_form form,
                                  const eft_weight *w, bool rounds, size_t rows, const float *dy, size_t lddy,
                                  float *dx, size_t lddx, bool accumulate, void *space) {
    backward f = {
        .table = table, .form = form, .w = w, .rounds = rounds, .accumulate = accumulate, .lddy = lddy, .lddx = lddx};
    size_t row_bytes = eft_max(eft_round_up(w->outputs, EFT_PANEL) * element_bytes(table), 1);
    size_t round = eft_min(eft_max(PACKED_BYTES / row_bytes, MIN_ROUND), MAX_ROUND) / EFT_PANEL * EFT_PANEL;
    if (space == NULL) return backward_plan(&f, context, eft_min(rows, round), NULL);
    for (size_t first = 0; first < rows; first += round) {
        f.rows = eft_min(rows - first, round);
        f.dy = dy + first * lddy;
        f.dx = dx + first * lddx;
        backward_plan(&f, context, f.rows, space);
        eft_parallel_for(context, f.row_panels, pack_panel, &f);
        eft_parallel_for(context, eft_ceil_div(w->blocks, JOB_BLOCKS) * f.row_jobs, input_job, &f);
    }
    return 0;
}

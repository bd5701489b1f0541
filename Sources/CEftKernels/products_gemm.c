// SPDX-License-Identifier: Apache-2.0
// C = alpha A B + beta C in f32: packing of blocks of A and B, and the loops around the tiles.
#include "products.h"

/// Rows and panels of a job at most: a packed block of A (240 KiB) stays in the second-level cache.
#define JOB_ROWS 120
#define JOB_PANELS 16
/// Panels up to which A is read where it stands: packing would cost as much as the product.
#define STRIDED_PANELS 4

typedef struct gemm {
    const eft_product_table *table;
    size_t m, n, k;
    float alpha, beta;
    eft_view a, b;
    float *c;
    size_t c_row_stride, c_panel_stride;
    size_t tiles, panels, job_tiles, job_panels, row_jobs;
    uint8_t *packed_a, *packed_b, *totals;
    size_t a_bytes, b_bytes, totals_bytes;
} gemm;

static size_t gemm_plan(gemm *g, const eft_context *context, void *space) {
    const eft_product_table *t = g->table;
    size_t threads = context->threads, wanted = threads == 1 ? 1 : 3 * threads;
    g->tiles = eft_ceil_div(g->m, t->tile_rows);
    g->panels = eft_ceil_div(g->n, EFT_PANEL);
    g->job_tiles = eft_min(JOB_ROWS / t->tile_rows, g->tiles);
    g->job_panels = eft_min(JOB_PANELS, g->panels);
    size_t most_tiles = g->job_tiles, most_panels = g->job_panels;
    // Halve the longer side until every worker has something to do, while packing still pays.
    while (eft_ceil_div(g->tiles, g->job_tiles) * eft_ceil_div(g->panels, g->job_panels) < wanted) {
        if (g->job_panels > 4)
            g->job_panels = eft_ceil_div(g->job_panels, 2);
        else if (g->job_tiles * t->tile_rows > 24)
            g->job_tiles = eft_ceil_div(g->job_tiles, 2);
        else
            break;
    }
    g->row_jobs = eft_ceil_div(g->tiles, g->job_tiles);
    size_t depth = eft_min(g->k, EFT_FOLD);
    g->a_bytes = eft_round_up(most_tiles * t->tile_rows * depth * sizeof(float), 64);
    g->b_bytes = eft_round_up(most_panels * EFT_PANEL * depth * sizeof(float), 64);
    g->totals_bytes = eft_round_up(most_tiles * t->tile_rows * most_panels * EFT_PANEL * sizeof(float), 64);
    eft_carver carver = {eft_aligned(space), 0};
    g->packed_a = eft_carve(&carver, threads * g->a_bytes);
    g->packed_b = eft_carve(&carver, threads * g->b_bytes);
    g->totals = eft_carve(&carver, threads * g->totals_bytes);
    return carver.used + 64;
}

/// Packs `count` lines of a view along `steps`: out[step * width + line], lines beyond `count` zero.
static void pack(const gemm *g, const float *data, size_t line_stride, size_t step_stride, size_t count, size_t steps,
                 size_t width, float *out) {
    if (step_stride == 1) {
        g->table->pack_lines(data, line_stride, count, steps, width, out);
        return;
    }
    for (size_t s = 0; s < steps; s++, out += width, data += step_stride) {
        for (size_t i = 0; i < count; i++) out[i] = data[i * line_stride];
        for (size_t i = count; i < width; i++) out[i] = 0;
    }
}

/// alpha total + beta c of one row of a panel.
static inline void store_lanes(const gemm *g, float *restrict c, const float *restrict total, size_t lanes) {
    if (g->beta == 0)
        for (size_t lane = 0; lane < lanes; lane++) c[lane] = g->alpha * total[lane];
    else
        for (size_t lane = 0; lane < lanes; lane++) c[lane] = g->beta * c[lane] + g->alpha * total[lane];
}

static void store_gemm(const gemm *g, size_t first_row, size_t rows, size_t first_panel, size_t panels,
                       const float *totals) {
    size_t panel_floats = g->job_tiles * g->table->tile_rows * EFT_PANEL;
    // Row by row, or panel by panel, as C lies in memory.
    bool by_rows = g->c_panel_stride < g->c_row_stride;
    size_t inner = by_rows ? panels : rows;
    for (size_t i = 0; i < rows * panels; i++) {
        size_t p = by_rows ? i % inner : i / inner, r = by_rows ? i / inner : i % inner;
        size_t lanes = eft_min(g->n - (first_panel + p) * EFT_PANEL, EFT_PANEL);
        const float *total = totals + p * panel_floats + r * EFT_PANEL;
        float *c = g->c + (first_panel + p) * g->c_panel_stride + (first_row + r) * g->c_row_stride;
        if (lanes == EFT_PANEL)
            store_lanes(g, c, total, EFT_PANEL);
        else
            store_lanes(g, c, total, lanes);
    }
}

/// Packs steps of some panels of B: [panel][step][16].
static void pack_b(const gemm *g, size_t k, size_t steps, size_t first_panel, size_t panels, float *out) {
    const float *data = g->b.data + k * g->b.row_stride + first_panel * EFT_PANEL * g->b.column_stride;
    size_t whole = 0;
    if (g->b.column_stride == 1) {
        // Four panels of a row at once: longer reads, and the packed panels still fit side by side in the cache's sets.
        whole = eft_min(panels, (g->n - first_panel * EFT_PANEL) / EFT_PANEL);
        for (size_t four = 0; four < whole; four += 4)
            for (size_t s = 0; s < steps; s++)
                for (size_t p = four; p < eft_min(four + 4, whole); p++)
                    memcpy(out + (p * steps + s) * EFT_PANEL, data + s * g->b.row_stride + p * EFT_PANEL,
                           EFT_PANEL * sizeof(float));
    }
    for (size_t p = whole; p < panels; p++)
        pack(g, data + p * EFT_PANEL * g->b.column_stride, g->b.column_stride, g->b.row_stride,
             eft_min(g->n - (first_panel + p) * EFT_PANEL, EFT_PANEL), steps, EFT_PANEL,
             out + p * EFT_PANEL * steps);
}

/// Packs whole tiles of A whose rows lie side by side: four tiles of a step at once, as with panels of B.
static void pack_tiles(const gemm *g, const float *a, size_t tiles, size_t steps, float *out) {
    const size_t height = g->table->tile_rows, stride = g->a.column_stride;
    for (size_t four = 0; four < tiles; four += 4)
        for (size_t s = 0; s < steps; s++)
            for (size_t i = four; i < eft_min(four + 4, tiles); i++) {
                float *target = out + (i * steps + s) * height;
                const float *source = a + s * stride + i * height;
                // Of a length that the compiler knows.
                if (height == 12)
                    memcpy(target, source, 12 * sizeof(float));
                else
                    memcpy(target, source, height * sizeof(float));
            }
}

static void gemm_job(void *argument, size_t index, size_t worker) {
    const gemm *g = argument;
    const eft_product_table *t = g->table;
    size_t first_tile = index % g->row_jobs * g->job_tiles, first_panel = index / g->row_jobs * g->job_panels;
    size_t tiles = eft_min(g->tiles - first_tile, g->job_tiles), panels = eft_min(g->panels - first_panel, g->job_panels);
    size_t first_row = first_tile * t->tile_rows, rows = eft_min(g->m - first_row, tiles * t->tile_rows);
    float *packed_a = (float *)(g->packed_a + worker * g->a_bytes), *packed_b = (float *)(g->packed_b + worker * g->b_bytes);
    float *totals = (float *)(g->totals + worker * g->totals_bytes);
    size_t panel_floats = g->job_tiles * t->tile_rows * EFT_PANEL;
    // Tiles of A that are read in place.
    bool strided = g->panels <= STRIDED_PANELS && (g->a.row_stride == 1 || g->a.column_stride == 1);
    size_t full = strided ? rows / t->tile_rows : 0;
    if (g->k == 0) memset(totals, 0, panels * panel_floats * sizeof(float));
    for (size_t k = 0; k < g->k; k += EFT_FOLD) {
        size_t steps = eft_min(g->k - k, EFT_FOLD);
        const float *a = g->a.data + first_row * g->a.row_stride + k * g->a.column_stride;
        size_t packed = full;
        if (g->a.row_stride == 1 && full == 0) {
            packed = rows / t->tile_rows;
            pack_tiles(g, a, packed, steps, packed_a);
        }
        for (size_t i = packed; i < tiles; i++)
            pack(g, a + i * t->tile_rows * g->a.row_stride, g->a.row_stride, g->a.column_stride,
                 eft_min(rows - i * t->tile_rows, t->tile_rows), steps, t->tile_rows, packed_a + i * t->tile_rows * steps);
        pack_b(g, k, steps, first_panel, panels, packed_b);
        eft_piece piece = {0, 0, steps, true, true};
        for (size_t p = 0; p < panels; p += t->tile_panels) {
            eft_tile_call call = {.panels = eft_min(panels - p, t->tile_panels), .pieces = &piece, .piece_count = 1, .fresh = k == 0};
            for (size_t i = 0; i < call.panels; i++) {
                call.b[i] = packed_b + (p + i) * EFT_PANEL * steps;
                call.totals[i] = totals + (p + i) * panel_floats;
            }
            if (full > 0) {
                call.rows = full * t->tile_rows;
                call.a = a;
                call.a_tile_bytes = t->tile_rows * g->a.row_stride * sizeof(float);
                call.a_row_stride = g->a.row_stride;
                call.a_step_stride = g->a.column_stride;
                t->tiles_strided(&call);
            }
            if (full == tiles) continue;
            call.rows = rows - full * t->tile_rows;
            call.a = packed_a + full * t->tile_rows * steps;
            call.a_tile_bytes = t->tile_rows * steps * sizeof(float);
            for (size_t i = 0; i < call.panels; i++) call.totals[i] += full * t->tile_rows * EFT_PANEL;
            t->tiles(EFT_FORM_F32, &call);
        }
    }
    store_gemm(g, first_row, rows, first_panel, panels, totals);
}

size_t eft_fast_gemm(eft_context *context, const eft_product_table *table, size_t m, size_t n, size_t k, float alpha,
                     eft_view a, eft_view b, float beta, float *c, size_t c_row_stride, size_t c_panel_stride,
                     void *space) {
    if (m == 0 || n == 0) return 0;
    gemm g = {.table = table, .m = m, .n = n, .k = k, .alpha = alpha, .beta = beta, .a = a, .b = b, .c = c,
              .c_row_stride = c_row_stride, .c_panel_stride = c_panel_stride};
    size_t need = gemm_plan(&g, context, space);
    if (space == NULL) return need;
    eft_parallel_for(context, g.row_jobs * eft_ceil_div(g.panels, g.job_panels), gemm_job, &g);
    return 0;
}

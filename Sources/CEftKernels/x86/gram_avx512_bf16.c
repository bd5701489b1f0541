// SPDX-License-Identifier: Apache-2.0
// C += X'Y with AVX-512 bf16 dot products: tiles of 8 by 48 numbers of C.
//
// A 32-bit lane holds two consecutive rows of a column. Both operands lie in the same form, panels of 16 columns: the tile
// broadcasts lanes of one and takes whole vectors of the other, so that a symmetric product packs its operand once.
#include "../products.h"

#if EFT_X86
#include <immintrin.h>

#pragma clang attribute push(__attribute__((target(EFT_TARGET_AVX512_BF16))), apply_to = function)
#define LANES 16
#define NAME(x) gram_##x
#include "../vectors/unpack_f32.inc"

/// Rows and panels of a tile of C.
#define TILE_ROWS 8
#define TILE_PANELS 3
/// Panels of rows of C that a job goes through: what it packed of them (128 KiB) stays in the second-level cache.
#define JOB_PANELS 8
/// Panels that a task packs: longer reads.
#define PACK_PANELS 4

typedef struct gram {
    size_t rows, columns;  // of the operands; rows of the fold at hand
    size_t first;          // the fold's first row
    const float *x, *y;
    float *c;
    size_t panels, stripes;
    // [panel][pair of rows][16]
    uint32_t *packed_x, *packed_y;
} gram;

static size_t pairs(const gram *g) { return eft_ceil_div(g->rows, 2); }

/// The first lanes of a vector, zero behind them.
INLINE f32x16 load_lanes(const float *x, size_t lanes) {
    if (lanes == EFT_PANEL) return LOADF(x);
    float values[EFT_PANEL] = {0};
    memcpy(values, x, lanes * sizeof(float));
    return LOADF(values);
}

INLINE void store_lanes(float *x, f32x16 vector, size_t lanes) {
    if (lanes == EFT_PANEL) {
        STOREF(x, vector);
        return;
    }
    float values[EFT_PANEL];
    STOREF(values, vector);
    memcpy(x, values, lanes * sizeof(float));
}

INLINE u32x16 rounded(const float *x, size_t lanes) { return (u32x16)gram_round(load_lanes(x, lanes), true); }

/// Packs some panels of the fold.
static void pack_task(void *argument, size_t index, size_t worker) {
    (void)worker;
    const gram *g = argument;
    size_t tasks = eft_ceil_div(g->panels, PACK_PANELS), steps = pairs(g);
    const float *source = (index < tasks ? g->x : g->y) + g->first * g->columns;
    uint32_t *packed = index < tasks ? g->packed_x : g->packed_y;
    size_t begin = index % tasks * PACK_PANELS, end = eft_min(begin + PACK_PANELS, g->panels);
    for (size_t s = 0; s < steps; s++) {
        const float *low = source + 2 * s * g->columns, *high = low + g->columns;
        bool both = 2 * s + 1 < g->rows;
        for (size_t p = begin; p < end; p++) {
            size_t column = p * EFT_PANEL, lanes = eft_min(g->columns - column, EFT_PANEL);
            u32x16 words = rounded(low + column, lanes) >> 16;
            if (both) words |= rounded(high + column, lanes) & 0xffff0000u;
            *(u32x16u *)(packed + (p * steps + s) * EFT_PANEL) = words;
        }
    }
}

/// Adds a tile: its rows of C are lanes of `a`, its V panels of columns those of `b`; the last of these has `last` lanes.
INLINE void tile(const int V, size_t steps, const uint32_t *a, const uint32_t *b, float *c, size_t columns, size_t rows,
                 size_t last) {
    f32x16 sum[TILE_ROWS][TILE_PANELS];
    UNROLL for (int r = 0; r < TILE_ROWS; r++) UNROLL for (int v = 0; v < V; v++) sum[r][v] = (f32x16){0};
#pragma clang loop unroll(disable)
    for (size_t s = 0; s < steps; s++) {
        u32x16 w[TILE_PANELS];
        UNROLL for (int v = 0; v < V; v++) w[v] = LOADW(b + (size_t)v * steps * EFT_PANEL);
        UNROLL for (int r = 0; r < TILE_ROWS; r++) {
            __m512bh x = (__m512bh)_mm512_set1_epi32((int)a[r]);
            UNROLL for (int v = 0; v < V; v++)
                sum[r][v] = (f32x16)_mm512_dpbf16_ps((__m512)sum[r][v], (__m512bh)w[v], x);
        }
        a += EFT_PANEL;
        b += EFT_PANEL;
    }
    UNROLL for (int r = 0; r < TILE_ROWS; r++) {
        if ((size_t)r >= rows) break;
        UNROLL for (int v = 0; v < V; v++) {
            float *target = c + (size_t)r * columns + v * EFT_PANEL;
            size_t lanes = v == V - 1 ? last : EFT_PANEL;
            store_lanes(target, load_lanes(target, lanes) + sum[r][v], lanes);
        }
    }
}

static void gram_job(void *argument, size_t index, size_t worker) {
    (void)worker;
    const gram *g = argument;
    size_t stripe = index % g->stripes, begin = index / g->stripes * JOB_PANELS;
    size_t first = stripe * TILE_PANELS, count = eft_min(g->panels - first, TILE_PANELS), steps = pairs(g);
    bool symmetric = g->y == NULL;
    const uint32_t *b = (symmetric ? g->packed_x : g->packed_y) + first * steps * EFT_PANEL;
    size_t last = eft_min(g->columns - (first + count - 1) * EFT_PANEL, EFT_PANEL);
    for (size_t p = begin; p < eft_min(begin + JOB_PANELS, g->panels); p++) {
        // Nothing of this panel of rows reaches the lower triangle.
        if (symmetric && p < first) continue;
        for (size_t row = p * EFT_PANEL; row < eft_min((p + 1) * EFT_PANEL, g->columns); row += TILE_ROWS) {
            const uint32_t *a = g->packed_x + p * steps * EFT_PANEL + row % EFT_PANEL;
            float *c = g->c + row * g->columns + first * EFT_PANEL;
            size_t rows = eft_min(g->columns - row, TILE_ROWS);
            if (count == 3)
                tile(3, steps, a, b, c, g->columns, rows, last);
            else if (count == 2)
                tile(2, steps, a, b, c, g->columns, rows, last);
            else
                tile(1, steps, a, b, c, g->columns, rows, last);
        }
    }
}

size_t eft_fast_gram(eft_context *context, size_t rows, size_t columns, const float *x, const float *y, float *c,
                     void *space) {
    gram g = {.columns = columns, .x = x, .y = y, .c = c};
    g.panels = eft_ceil_div(columns, EFT_PANEL);
    g.stripes = eft_ceil_div(g.panels, TILE_PANELS);
    size_t bytes = g.panels * EFT_PANEL * eft_ceil_div(eft_min(rows, EFT_FOLD), 2) * sizeof(uint32_t);
    if (space == NULL) return 2 * bytes + 64;
    g.packed_x = eft_aligned(space);
    g.packed_y = (uint32_t *)((uint8_t *)g.packed_x + bytes);
    for (g.first = 0; g.first < rows; g.first += EFT_FOLD) {
        g.rows = eft_min(rows - g.first, EFT_FOLD);
        eft_parallel_for(context, eft_ceil_div(g.panels, PACK_PANELS) * (y == NULL ? 1 : 2), pack_task, &g);
        eft_parallel_for(context, eft_ceil_div(g.panels, JOB_PANELS) * g.stripes, gram_job, &g);
    }
    return 0;
}

#pragma clang attribute pop
#endif

// SPDX-License-Identifier: Apache-2.0
// C += X'X with AVX-512 dot products of bytes: tiles of 8 by 48 numbers of C.
//
// A 32-bit lane holds four consecutive rows of a column, rounded to integers with a scale for each column of a fold. Tiles
// broadcast lanes of signed bytes and take vectors of bytes that are 128 more; what sums start at takes that away.
#include "../products.h"

#if EFT_X86
#include <immintrin.h>

#pragma clang attribute push(__attribute__((target(EFT_TARGET_AVX512_VNNI))), apply_to = function)
#define INLINE static inline __attribute__((always_inline))
#define UNROLL _Pragma("clang loop unroll(full)")

/// Rows and panels of a tile of C.
#define TILE_ROWS 8
#define TILE_PANELS 3
/// Panels of rows of C that a job goes through.
#define JOB_PANELS 8
/// Panels that a task packs: longer reads.
#define PACK_PANELS 4
/// Largest magnitude of an integer.
#define MOST 127.0f

typedef struct gram {
    size_t rows, columns;  // of the fold at hand
    const float *x;        // its first row
    float *c;
    size_t panels, stripes;
    // [panel][four rows][16]: signed bytes, and the same with 128 more
    uint32_t *packed, *raised;
    // [panel][16]: of each column the scale, and -128 times the sum of its integers
    float *scales;
    int32_t *starts;
} gram;

static size_t quads(const gram *g) { return eft_ceil_div(g->rows, 4); }

/// The first lanes, zero behind them.
INLINE __mmask16 mask_of(size_t lanes) { return lanes >= EFT_PANEL ? (__mmask16)0xffff : (__mmask16)((1u << lanes) - 1); }

/// The integers of four rows in the bytes of lanes; adds them up.
INLINE __m512i quad_of(const float *x, size_t stride, size_t rows, __mmask16 mask, __m512 inverse, __m512i *sum) {
    __m512i quad = _mm512_setzero_si512();
    UNROLL for (size_t r = 0; r < 4; r++) {
        if (r >= rows) break;
        __m512i integers = _mm512_cvtps_epi32(_mm512_mul_ps(_mm512_maskz_loadu_ps(mask, x + r * stride), inverse));
        *sum = _mm512_add_epi32(*sum, integers);
        integers = _mm512_and_si512(integers, _mm512_set1_epi32(255));
        quad = _mm512_or_si512(quad, _mm512_slli_epi32(integers, (unsigned)(8 * r)));
    }
    return quad;
}

/// Packs some panels of the fold.
static void pack_task(void *argument, size_t index, size_t worker) {
    (void)worker;
    const gram *g = argument;
    size_t steps = quads(g), first = index * PACK_PANELS, count = eft_min(g->panels - first, PACK_PANELS);
    __m512i largest[PACK_PANELS], sums[PACK_PANELS];
    __m512 inverse[PACK_PANELS];
    __mmask16 masks[PACK_PANELS];
    for (size_t p = 0; p < count; p++) {
        masks[p] = mask_of(g->columns - (first + p) * EFT_PANEL);
        largest[p] = sums[p] = _mm512_setzero_si512();
    }
    const float *x = g->x + first * EFT_PANEL;
    // Magnitudes compare as integers, and so does what is not finite.
    for (size_t r = 0; r < g->rows; r++)
        for (size_t p = 0; p < count; p++) {
            __m512i bits = _mm512_castps_si512(_mm512_maskz_loadu_ps(masks[p], x + r * g->columns + p * EFT_PANEL));
            largest[p] = _mm512_max_epi32(largest[p], _mm512_and_si512(bits, _mm512_set1_epi32(0x7fffffff)));
        }
    for (size_t p = 0; p < count; p++) {
        __mmask16 finite = _mm512_cmplt_epi32_mask(largest[p], _mm512_set1_epi32(0x7f800000));
        __m512 most = _mm512_castsi512_ps(largest[p]);
        __mmask16 used = finite & _mm512_cmp_ps_mask(most, _mm512_set1_ps(0x1p-100f), _CMP_GE_OQ);
        inverse[p] = _mm512_maskz_div_ps(used, _mm512_set1_ps(MOST), most);
        __m512 scale = _mm512_maskz_div_ps(used, most, _mm512_set1_ps(MOST));
        scale = _mm512_mask_blend_ps(finite, _mm512_castsi512_ps(_mm512_set1_epi32(0x7fc00000)), scale);
        _mm512_storeu_ps(g->scales + (first + p) * EFT_PANEL, scale);
    }
    for (size_t s = 0; s < steps; s++)
        for (size_t p = 0; p < count; p++) {
            // A column of numbers that are not finite has integers of zero.
            __m512i quad = quad_of(x + 4 * s * g->columns + p * EFT_PANEL, g->columns, g->rows - 4 * s, masks[p],
                                   inverse[p], &sums[p]);
            size_t place = ((first + p) * steps + s) * EFT_PANEL;
            _mm512_storeu_si512(g->packed + place, quad);
            _mm512_storeu_si512(g->raised + place, _mm512_xor_si512(quad, _mm512_set1_epi32((int)0x80808080u)));
        }
    for (size_t p = 0; p < count; p++)
        _mm512_storeu_si512(g->starts + (first + p) * EFT_PANEL,
                            _mm512_mullo_epi32(sums[p], _mm512_set1_epi32(-128)));
}

/// Adds a tile: its rows of C are lanes of `a`, its V panels of columns those of `b`; the last of these has `last` lanes.
INLINE void tile(const int V, size_t steps, const uint32_t *a, const int32_t *starts, const float *row_scales,
                 const uint32_t *b, const float *column_scales, float *c, size_t columns, size_t rows, size_t last) {
    __m512i sum[TILE_ROWS][TILE_PANELS];
    UNROLL for (int r = 0; r < TILE_ROWS; r++)
        UNROLL for (int v = 0; v < V; v++) sum[r][v] = _mm512_set1_epi32(starts[r]);
#pragma clang loop unroll(disable)
    for (size_t s = 0; s < steps; s++) {
        __m512i w[TILE_PANELS];
        UNROLL for (int v = 0; v < V; v++) w[v] = _mm512_loadu_si512(b + (size_t)v * steps * EFT_PANEL);
        UNROLL for (int r = 0; r < TILE_ROWS; r++) {
            __m512i x = _mm512_set1_epi32((int)a[r]);
            UNROLL for (int v = 0; v < V; v++) sum[r][v] = _mm512_dpbusd_epi32(sum[r][v], w[v], x);
        }
        a += EFT_PANEL;
        b += EFT_PANEL;
    }
    UNROLL for (int r = 0; r < TILE_ROWS; r++) {
        if ((size_t)r >= rows) break;
        UNROLL for (int v = 0; v < V; v++) {
            float *target = c + (size_t)r * columns + v * EFT_PANEL;
            __mmask16 mask = mask_of(v == V - 1 ? last : EFT_PANEL);
            __m512 scale = _mm512_mul_ps(_mm512_set1_ps(row_scales[r]), _mm512_loadu_ps(column_scales + v * EFT_PANEL));
            __m512 value = _mm512_mul_ps(_mm512_cvtepi32_ps(sum[r][v]), scale);
            _mm512_mask_storeu_ps(target, mask, _mm512_add_ps(_mm512_maskz_loadu_ps(mask, target), value));
        }
    }
}

static void gram_job(void *argument, size_t index, size_t worker) {
    (void)worker;
    const gram *g = argument;
    size_t stripe = index % g->stripes, begin = index / g->stripes * JOB_PANELS;
    size_t first = stripe * TILE_PANELS, count = eft_min(g->panels - first, TILE_PANELS), steps = quads(g);
    const uint32_t *b = g->raised + first * steps * EFT_PANEL;
    const float *scales = g->scales + first * EFT_PANEL;
    size_t last = eft_min(g->columns - (first + count - 1) * EFT_PANEL, EFT_PANEL);
    for (size_t p = begin; p < eft_min(begin + JOB_PANELS, g->panels); p++) {
        // Nothing of this panel of rows reaches the lower triangle.
        if (p < first) continue;
        for (size_t row = p * EFT_PANEL; row < eft_min((p + 1) * EFT_PANEL, g->columns); row += TILE_ROWS) {
            const uint32_t *a = g->packed + p * steps * EFT_PANEL + row % EFT_PANEL;
            float *c = g->c + row * g->columns + first * EFT_PANEL;
            size_t rows = eft_min(g->columns - row, TILE_ROWS);
            const int32_t *starts = g->starts + row;
            if (count == 3)
                tile(3, steps, a, starts, g->scales + row, b, scales, c, g->columns, rows, last);
            else if (count == 2)
                tile(2, steps, a, starts, g->scales + row, b, scales, c, g->columns, rows, last);
            else
                tile(1, steps, a, starts, g->scales + row, b, scales, c, g->columns, rows, last);
        }
    }
}

size_t eft_fast_gram_int8(eft_context *context, size_t rows, size_t columns, const float *x, float *c, void *space) {
    gram g = {.columns = columns, .c = c};
    g.panels = eft_ceil_div(columns, EFT_PANEL);
    g.stripes = eft_ceil_div(g.panels, TILE_PANELS);
    size_t numbers = g.panels * EFT_PANEL;
    eft_carver carver = {space == NULL ? NULL : eft_aligned(space), 0};
    g.packed = eft_carve(&carver, numbers * eft_ceil_div(eft_min(rows, EFT_FOLD), 4) * sizeof(uint32_t));
    g.raised = eft_carve(&carver, numbers * eft_ceil_div(eft_min(rows, EFT_FOLD), 4) * sizeof(uint32_t));
    g.scales = eft_carve(&carver, numbers * sizeof(float));
    g.starts = eft_carve(&carver, numbers * sizeof(int32_t));
    if (space == NULL) return carver.used + 64;
    for (size_t first = 0; first < rows; first += EFT_FOLD) {
        g.rows = eft_min(rows - first, EFT_FOLD);
        g.x = x + first * columns;
        eft_parallel_for(context, eft_ceil_div(g.panels, PACK_PANELS), pack_task, &g);
        eft_parallel_for(context, eft_ceil_div(g.panels, JOB_PANELS) * g.stripes, gram_job, &g);
    }
    return 0;
}

#pragma clang attribute pop
#endif

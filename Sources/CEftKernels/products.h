// SPDX-License-Identifier: Apache-2.0
// What the files of the matrix products share: the definitions' helpers, and the table of functions of a fast version.
#ifndef EFT_PRODUCTS_H
#define EFT_PRODUCTS_H

#include "layer_kernels.h"

/// Inputs after which the sum of a dense product is folded into the total, and a product of f32 matrices likewise.
#define EFT_FOLD 512
/// Outputs after which the sum of a transposed product is folded.
#define EFT_FOLD_OUTPUTS 256

// generic/weights.c
float eft_code_value(eft_code_book book, uint32_t bits, uint8_t code);
/// The scale of the values of `eft_weight_block`.
float eft_weight_scale(const eft_weight *w, size_t panel, size_t group, size_t lane);
/// The codes of a block of a panel, [input][output].
void eft_weight_codes(const eft_weight *w, size_t panel, size_t group, size_t block, uint8_t codes[EFT_BLOCK * EFT_PANEL]);
/// The scale and the offset (0 where there are none) of one half of a group whose blocks have scales of their own.
void eft_block_scaling(const eft_weight *w, size_t panel, size_t group, size_t half, size_t lane, float *scale,
                       float *offset);
/// The values of a block of a panel, [input][output]: not scaled, unless blocks have scales of their own. `group` holds the block,
/// when coded.
void eft_weight_block(const eft_weight *w, size_t panel, size_t group, size_t block,
                      float values[EFT_BLOCK * EFT_PANEL]);

/// Whether a product rounds its operands to bf16: activations and gradients; code values; scaled values when transposed.
static inline bool eft_rounds(const eft_weight *w, eft_precision precision) {
    return precision == EFT_PRECISION_BF16 && (w->kind == EFT_WEIGHT_BF16 || w->kind == EFT_WEIGHT_CODED);
}

static inline float eft_rounded(float x, bool rounds) { return rounds ? eft_f32_of_bf16(eft_bf16_of_f32(x)) : x; }

// Segments of a weight, whose sums are folded into the total: scale groups, or EFT_FOLD inputs when dense.
static inline size_t eft_segments(const eft_weight *w) {
    return w->kind == EFT_WEIGHT_CODED ? w->group_count : eft_ceil_div(w->blocks, EFT_FOLD / EFT_BLOCK);
}
static inline size_t eft_segment_first(const eft_weight *w, size_t s) {
    return w->kind == EFT_WEIGHT_CODED ? w->groups[s].first_block : s * (EFT_FOLD / EFT_BLOCK);
}
static inline size_t eft_segment_blocks(const eft_weight *w, size_t s) {
    return w->kind == EFT_WEIGHT_CODED ? w->groups[s].blocks
                                       : eft_min(w->blocks - s * (EFT_FOLD / EFT_BLOCK), EFT_FOLD / EFT_BLOCK);
}

/// The segment that holds a block.
static inline size_t eft_segment_of(const eft_weight *w, size_t block) {
    if (w->kind != EFT_WEIGHT_CODED) return block / (EFT_FOLD / EFT_BLOCK);
    size_t low = 0, high = w->group_count;
    while (high - low > 1) {
        size_t middle = low + (high - low) / 2;
        if (w->groups[middle].first_block <= block)
            low = middle;
        else
            high = middle;
    }
    return low;
}

/// How a version multiplies: in f32; with bf16 pairs, of which one or both sides may be split in two; in integers.
typedef enum eft_form {
    EFT_FORM_F32,      // both sides f32
    EFT_FORM_BF16,     // both sides bf16 pairs
    EFT_FORM_SPLIT_1,  // activations in a high and a low part, weights exact in one
    EFT_FORM_SPLIT_2,  // both sides in a high and a low part (the product of the low parts is left out)
    EFT_FORM_INT16,    // 16-bit activations and codes
    EFT_FORM_INT8,     // 8-bit activations and codes
} eft_form;

// generic/matmul.c, generic/matmul_integers.c: the definitions.
void eft_scalar_matmul(eft_context *context, const eft_weight *w, eft_precision precision, size_t rows, const float *x,
                       size_t ldx, float *y, size_t ldy, bool accumulate);
void eft_scalar_matmul_integers(eft_context *context, eft_form form, const eft_weight *w, size_t rows, const float *x,
                                size_t ldx, float *y, size_t ldy, bool accumulate);
void eft_scalar_matmul_transposed(eft_context *context, const eft_weight *w, eft_precision precision, size_t rows,
                                  const float *dy, size_t lddy, float *dx, size_t lddx, bool accumulate);
void eft_scalar_gemm(eft_context *context, size_t m, size_t n, size_t k, float alpha, eft_view a, eft_view b,
                     float beta, float *c, size_t c_row_stride, size_t c_panel_stride);

// ---------------------------------------------------------------------------------------------------------------------
// Fast versions
// ---------------------------------------------------------------------------------------------------------------------

/// How the inputs in a block of 32 are coded; what an unpacking routine is chosen by.
typedef enum eft_coding {
    EFT_CODING_F32,
    EFT_CODING_F16,
    EFT_CODING_BF16,
    EFT_CODING_2,
    EFT_CODING_3,
    EFT_CODING_4,
    EFT_CODING_5,
    EFT_CODING_6,
    EFT_CODING_8,
    EFT_CODING_NF4,
    EFT_CODING_E4M3,
    EFT_CODING_E2M1,
    EFT_CODING_FP4,
} eft_coding;

static inline eft_coding eft_coding_of(const eft_weight *w, size_t segment) {
    if (w->kind == EFT_WEIGHT_F32) return EFT_CODING_F32;
    if (w->kind == EFT_WEIGHT_F16) return EFT_CODING_F16;
    if (w->kind == EFT_WEIGHT_BF16) return EFT_CODING_BF16;
    if (w->code_book == EFT_CODES_NF4) return EFT_CODING_NF4;
    if (w->code_book == EFT_CODES_E4M3) return EFT_CODING_E4M3;
    if (w->code_book == EFT_CODES_E2M1) return EFT_CODING_E2M1;
    if (w->code_book == EFT_CODES_FP4) return EFT_CODING_FP4;
    uint32_t bits = w->groups[segment].bits;
    return bits == 8 ? EFT_CODING_8 : (eft_coding)(EFT_CODING_2 + (bits - 2));
}

/// The 16 values of a code book that are no integers; NULL of others.
__attribute__((always_inline)) static inline const float *eft_coding_values(const int coding) {
    return coding == EFT_CODING_NF4 ? eft_nf4_values : coding == EFT_CODING_FP4 ? eft_fp4_values : NULL;
}

/// Width of the codes.
__attribute__((always_inline)) static inline int eft_coding_bits(const int coding) {
    if (coding == EFT_CODING_NF4 || coding == EFT_CODING_E2M1 || coding == EFT_CODING_FP4) return 4;
    return coding == EFT_CODING_8 || coding == EFT_CODING_E4M3 ? 8 : coding - EFT_CODING_2 + 2;
}

/// 32-bit words of a block of a panel.
static inline size_t eft_block_words(eft_coding coding) {
    static const uint8_t rows[] = {32, 16, 16, 2, 3, 4, 5, 6, 8, 4, 8, 4, 4};
    return (size_t)rows[coding] * EFT_PANEL;
}

/// Where a block of a panel begins.
static inline const uint32_t *eft_block_data(const eft_weight *w, size_t panel, size_t segment, size_t block) {
    const uint32_t *data = (const uint32_t *)((const uint8_t *)w->panels + panel * w->panel_bytes);
    if (w->kind != EFT_WEIGHT_CODED) return data + block * eft_block_words(eft_coding_of(w, segment));
    const eft_group *g = &w->groups[segment];
    return data + ((size_t)g->row_offset + (block - g->first_block) * g->bits) * EFT_PANEL;
}

/// Whether each block has scales of its own: products in floating point take the weights themselves then, scaled.
static inline bool eft_scales_blocks(eft_scale_type type) { return type >= EFT_SCALES_OFFSET; }
/// Whether they have offsets, and unsigned codes.
static inline bool eft_has_offsets(eft_scale_type type) {
    return type == EFT_SCALES_OFFSET || type == EFT_SCALES_K_OFFSET || type == EFT_SCALES_K_OFFSET_HALVES;
}
/// Whether the halves of a block have different ones.
static inline bool eft_has_halves(eft_scale_type type) { return type >= EFT_SCALES_K_HALVES; }

/// Bytes of the scales of a panel in a group, or in all that share a record.
static inline size_t eft_scale_bytes(eft_scale_type type) {
    static const uint16_t bytes[] = {64, 32, EFT_EXL2_SCALES, EFT_PANEL, 64, 320, 288, 320};
    return bytes[type];
}

/// Groups whose scales are one record.
static inline size_t eft_scale_groups(eft_scale_type type) { return type >= EFT_SCALES_K_OFFSET ? EFT_K_BLOCKS : 1; }

/// Bytes of all scales of a panel.
static inline size_t eft_panel_scale_bytes(const eft_weight *w) {
    return eft_ceil_div(w->group_count, eft_scale_groups(w->scale_type)) * eft_scale_bytes(w->scale_type);
}

/// The scales of a panel in a segment, or the record that has them, NULL when dense.
static inline const void *eft_scale_data(const eft_weight *w, size_t panel, size_t segment) {
    if (w->kind != EFT_WEIGHT_CODED) return NULL;
    return (const uint8_t *)w->scales + panel * eft_panel_scale_bytes(w) +
           segment / eft_scale_groups(w->scale_type) * eft_scale_bytes(w->scale_type);
}

/// Most blocks in a chunk of the inputs, and so most pieces.
#define EFT_CHUNK_BLOCKS (EFT_FOLD / EFT_BLOCK)
/// Part of a segment that a chunk of the inputs holds.
typedef struct eft_piece {
    size_t segment;
    size_t blocks;
    size_t steps;      // steps of the micro-kernel: inputs, or pairs of them
    bool first, last;  // whether the sum starts from zero, and whether it is folded into the total
} eft_piece;

/// Tiles of `tile_rows` rows (broadcast operand `a`) by one or two panels of 16 lanes (vector operand `b`).
typedef struct eft_tile_call {
    size_t rows;
    const void *a;
    size_t a_tile_bytes;  // from one tile of rows to the next
    size_t a_row_stride, a_step_stride;  // in elements; only where the function does not know them
    const void *b[2];
    size_t panels;
    const eft_piece *pieces;
    size_t piece_count;
    uint32_t bits;           // width of codes that `b` has as they are in the weight, 0 for unpacked ones
    const void *scales[2];  // of segment 0; NULL: all 1
    eft_scale_type scale_type;
    bool fresh;        // the first piece begins the totals, whatever they held (it must be a last one)
    float *totals[2];  // [tile][tile_rows][16]
    float *sums[2];    // likewise, when a segment is cut in pieces
    // Packed panels that are unpacked after this call, or NULL: what the processor may fetch meanwhile, in blocks of
    // `next_lines` cache lines.
    const uint8_t *next[2];
    size_t next_lines;
} eft_tile_call;

/// A matrix-vector product over some panels, for 1, 2 or 4 rows, that unpacks in registers.
typedef struct eft_direct_call {
    const eft_weight *w;
    eft_form form;
    bool rounds;
    size_t first_panel, panels;
    size_t rows, height;  // rows, and rows in the packing (1, 2 or 4)
    const void *x;
    float *y;
    size_t ldy;
    bool accumulate;
} eft_direct_call;

/// The functions of one instruction set for one form.
typedef struct eft_product_table {
    size_t tile_rows, tile_panels;
    size_t direct_rows;      // most rows of `direct`
    size_t row_block_bytes;  // packed activations: a row's 32 inputs; packed gradients: a row's 32 outputs
    size_t half_bytes;       // more of packed activations where the halves of a block have different scales
    size_t weight_block_bytes;
    size_t steps_per_block;
    /// Codings that `tiles` reads as they are in a weight: a bit for each.
    uint32_t native;
    /// Turns up to `tile_rows` rows into out[input][turned_lanes], with a line of zeros behind the inputs: what `pack_rows`
    /// takes as `x` for tiles then. NULL where it takes the rows themselves.
    void (*turn_rows)(size_t rows, const float *x, size_t ldx, size_t inputs, float *out);
    size_t turned_lanes;
    /// Packs up to `height` rows (the rest zero): [step][height], blocks in [first, first+blocks).
    void (*pack_rows)(const eft_weight *w, eft_form form, bool rounds, size_t rows, size_t height, const float *x,
                      size_t ldx, size_t first, size_t blocks, void *out);
    /// Unpacks blocks of a panel's segment, not scaled: [step][16].
    void (*unpack)(const eft_weight *w, eft_form form, bool rounds, size_t panel, size_t segment, size_t block,
                   size_t blocks, void *out);
    void (*tiles)(eft_form form, const eft_tile_call *call);
    void (*direct)(const eft_direct_call *call);
    /// Packs up to 16 rows of gradients: [output step][16]. Outputs [first, first+count), zero beyond `outputs`.
    void (*pack_gradients)(eft_form form, bool rounds, size_t rows, const float *dy, size_t lddy, size_t outputs,
                           size_t first, size_t count, void *out);
    /// Unpacks, scaled, one block of inputs of panels [first, first+panels): [input][EFT_FOLD_OUTPUTS].
    void (*unpack_scaled)(const eft_weight *w, eft_form form, bool rounds, size_t segment, size_t block, size_t first,
                          size_t panels, void *out);
    void (*tiles_transposed)(eft_form form, const eft_tile_call *call);
    /// Like `tiles` in f32, with the strides of the call, of which one is 1.
    void (*tiles_strided)(const eft_tile_call *call);
    /// Transposes `count` lines of `steps` numbers into out[step][width], width 16 or `tile_rows`; the rest is zero.
    void (*pack_lines)(const float *data, size_t line_stride, size_t count, size_t steps, size_t width, float *out);
} eft_product_table;

extern const eft_product_table eft_products_avx2;
extern const eft_product_table eft_products_avx512;
extern const eft_product_table eft_products_avx512_bf16[3];  // EFT_FORM_BF16, _SPLIT_1, _SPLIT_2
extern const eft_product_table eft_products_int16_avx2, eft_products_int16_avx512, eft_products_int16_vnni;
extern const eft_product_table eft_products_neon, eft_products_int16_neon, eft_products_int8_neon, eft_products_int8_i8mm;
extern const eft_product_table eft_products_int8_avx2, eft_products_int8_avx512, eft_products_int8_vnni;

/// The table and form for a weight; NULL where the scalar version runs. Without a weight: f32 on both sides.
const eft_product_table *eft_product_table_for(eft_isa isa, const eft_weight *w, eft_precision precision, bool transposed,
                                               eft_form *form);

// products_forward.c, products_backward.c, products_gemm.c: the loops around the tiles. They give the bytes that they
// need when `space` is NULL.

/// What makes a gated pair one result.
typedef struct eft_gate {
    const eft_activation_kernels *kernels;
    eft_activation kind;
} eft_gate;

/// Products that take the same packed activations; the two of a gated pair with `gate`.
size_t eft_fast_matmul(eft_context *context, const eft_product_table *table, eft_form form, const eft_product *products,
                       size_t count, const eft_gate *gate, bool rounds, size_t rows, const float *x, size_t ldx,
                       void *space);
size_t eft_fast_matmul_transposed(eft_context *context, const eft_product_table *table, eft_form form,
                                  const eft_weight *w, bool rounds, size_t rows, const float *dy, size_t lddy,
                                  float *dx, size_t lddx, bool accumulate, void *space);
size_t eft_fast_gemm(eft_context *context, const eft_product_table *table, size_t m, size_t n, size_t k, float alpha,
                     eft_view a, eft_view b, float beta, float *c, size_t c_row_stride, size_t c_panel_stride,
                     void *space);

/// x86/gram_avx512_bf16.c: C += X'Y, or the lower triangle of C += X'X where y is NULL, on rounded operands. Gives the bytes
/// that it needs when `space` is NULL.
size_t eft_fast_gram(eft_context *context, size_t rows, size_t columns, const float *x, const float *y, float *c,
                     void *space);
/// x86/gram_int8_vnni.c: the lower triangle of C += X'X on integers of 8 bits. Gives the bytes that it needs when `space` is NULL.
size_t eft_fast_gram_int8(eft_context *context, size_t rows, size_t columns, const float *x, float *c, void *space);

/// The 32 numbers of a row that a block of stored inputs multiplies; 0 for padding.
static inline void eft_gather_block(const eft_weight *w, const float *row, size_t block, float values[EFT_BLOCK]) {
    size_t start = block * EFT_BLOCK;
    if (w->permutation == NULL) {
        if (start + EFT_BLOCK <= w->inputs) {
            memcpy(values, row + start, EFT_BLOCK * sizeof(float));
            return;
        }
        for (size_t k = 0; k < EFT_BLOCK; k++) values[k] = start + k < w->inputs ? row[start + k] : 0;
        return;
    }
    for (size_t k = 0; k < EFT_BLOCK; k++) {
        size_t input = w->permutation[start + k];
        values[k] = input < w->inputs ? row[input] : 0;
    }
}

/// Writes, or adds, the totals of one row of a panel.
static inline void eft_store_totals(float *restrict y, const float *restrict totals, size_t lanes, bool accumulate) {
    if (lanes == EFT_PANEL) {
        f32x16 total = *(const f32x16u *)totals;
        *(f32x16u *)y = accumulate ? *(const f32x16u *)y + total : total;
        return;
    }
    for (size_t lane = 0; lane < lanes; lane++) y[lane] = accumulate ? y[lane] + totals[lane] : totals[lane];
}

/// Stores the totals [panel][height][16] of a matrix-vector product.
static inline void eft_store_direct(const eft_direct_call *call, size_t panel, size_t count, const float *totals) {
    for (size_t p = 0; p < count; p++)
        for (size_t r = 0; r < call->rows; r++) {
            size_t first = (panel + p) * EFT_PANEL, lanes = eft_min(call->w->outputs - first, EFT_PANEL);
            eft_store_totals(call->y + r * call->ldy + first, totals + (p * call->height + r) * EFT_PANEL, lanes,
                             call->accumulate);
        }
}

/// Cuts a workspace into pieces of whole cache lines.
typedef struct eft_carver {
    uint8_t *base;
    size_t used;
} eft_carver;

static inline void *eft_carve(eft_carver *carver, size_t bytes) {
    void *piece = carver->base == NULL ? NULL : carver->base + carver->used;
    carver->used += eft_round_up(bytes, 64);
    return piece;
}

static inline void *eft_aligned(void *space) { return (void *)(((uintptr_t)space + 63) & ~(uintptr_t)63); }

#endif

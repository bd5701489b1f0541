// SPDX-License-Identifier: Apache-2.0
// Matrix products with AVX-512 bf16 dot products: tiles of 12 rows by 32 outputs.
//
// A 32-bit lane holds two consecutive inputs of an output. Codes become bf16 by one permutation of a table of 32 numbers
// that stays in a register; the permutation ignores the index bits above the fifth, and where codes are shorter the table
// is repeated, so that no mask is needed. In f32 precision activations are split in two bf16 numbers, high and low part,
// and NF4 values and scaled weights likewise; the product of two low parts, below 2^-16 of the result, is left out.
#include "../products.h"

#if EFT_X86
#include <immintrin.h>

#pragma clang attribute push(__attribute__((target(EFT_TARGET_AVX512_BF16))), apply_to = function)
#define LANES 16
#define MR 12
#define NAME(x) pairs_##x
#include "../vectors/unpack_f32.inc"

/// Pairs of inputs of a block.
#define PAIRS (EFT_BLOCK / 2)
/// Pairs of outputs in a row of the unpacked weights of a transposed product.
#define OUTPUT_PAIRS (EFT_FOLD_OUTPUTS / 2)

/// sum + x1 w1 + x0 w0 in each lane.
INLINE f32x16 dot(f32x16 sum, u32x16 x, u32x16 w) {
    return (f32x16)_mm512_dpbf16_ps((__m512)sum, (__m512bh)x, (__m512bh)w);
}

INLINE u32x16 splat_pair(uint32_t pair) { return (u32x16)_mm512_set1_epi32((int)pair); }

// ---------------------------------------------------------------------------------------------------------------------
// Numbers to bf16
// ---------------------------------------------------------------------------------------------------------------------

/// Rounds `count` (a multiple of 16) numbers to bf16; `low` gets what is left, rounded, when not NULL.
INLINE void split(const float *x, size_t count, uint16_t *high, uint16_t *low) {
    for (size_t i = 0; i < count; i += LANES) {
        f32x16 value = LOADF(x + i), rounded = pairs_round(value, true);
        *(u16x16u *)(high + i) = __builtin_convertvector((u32x16)rounded >> 16, u16x16);
        if (low != NULL)
            *(u16x16u *)(low + i) = __builtin_convertvector((u32x16)pairs_round(value - rounded, true) >> 16, u16x16);
    }
}

INLINE bool splits(eft_form form) { return form != EFT_FORM_BF16; }

/// Activations: [pair][height], or [pair][high and low][height].
static void pack_rows(const eft_weight *w, eft_form form, bool rounds, size_t rows, size_t height, const float *x,
                      size_t ldx, size_t first, size_t blocks, void *out) {
    (void)rounds;
    uint32_t *target = out;
    size_t parts = splits(form) ? 2 : 1, step = parts * height;
    for (size_t b = first; b < first + blocks; b++, target += PAIRS * step) {
        uint32_t words[2][MR][PAIRS];
        for (size_t r = 0; r < rows; r++) {
            float values[EFT_BLOCK];
            eft_gather_block(w, x + r * ldx, b, values);
            split(values, EFT_BLOCK, (uint16_t *)words[0][r], parts == 2 ? (uint16_t *)words[1][r] : NULL);
        }
        for (size_t part = 0; part < parts; part++) {
            uint32_t *begin = target + part * height;
            if (height == MR) {
                pairs_pack_width(MR, (const float *)words[part][0], PAIRS, rows, PAIRS, step, (float *)begin);
                continue;
            }
            for (size_t r = 0; r < height; r++)
                for (size_t p = 0; p < PAIRS; p++) begin[p * step + r] = r < rows ? words[part][r][p] : 0;
        }
    }
}

/// Gradients: [pair of outputs][16], or [pair][high and low][16].
static void pack_gradients(eft_form form, bool rounds, size_t rows, const float *dy, size_t lddy, size_t outputs,
                           size_t first, size_t count, void *out) {
    (void)rounds;
    uint32_t *target = out;
    size_t parts = splits(form) ? 2 : 1, step = parts * EFT_PANEL;
    for (size_t n = first; n < first + count; n += EFT_PANEL, target += EFT_PANEL / 2 * step) {
        uint32_t words[2][EFT_PANEL][EFT_PANEL / 2];
        size_t columns = eft_min(outputs - eft_min(outputs, n), EFT_PANEL);
        for (size_t r = 0; r < rows; r++) {
            float values[EFT_PANEL] = {0};
            memcpy(values, dy + r * lddy + n, columns * sizeof(float));
            split(values, EFT_PANEL, (uint16_t *)words[0][r], parts == 2 ? (uint16_t *)words[1][r] : NULL);
        }
        for (size_t part = 0; part < parts; part++)
            pairs_pack_width(EFT_PANEL, (const float *)words[part][0], EFT_PANEL / 2, rows, EFT_PANEL / 2, step,
                             (float *)(target + part * EFT_PANEL));
    }
}

// ---------------------------------------------------------------------------------------------------------------------
// Weights to bf16
// ---------------------------------------------------------------------------------------------------------------------

/// Tables of bf16 numbers: one of 32 that repeats the code book, or two for 6 bits; for NF4 and FP4 their low parts; of E4M3 the numbers
/// without a leading one.
typedef struct tables {
    u32x16 first, second;
} tables;

INLINE tables make_tables(const int coding) {
    uint16_t values[64] = {0};
    const float *book = eft_coding_values(coding);
    if (book != NULL) {
        for (size_t i = 0; i < 32; i++) {
            values[i] = eft_bf16_of_f32(book[i % 16]);
            values[i + 32] = eft_bf16_of_f32(book[i % 16] - eft_f32_of_bf16(values[i]));
        }
    } else if (coding == EFT_CODING_E4M3) {
        for (int i = 0; i < 8; i++) values[i] = eft_bf16_of_f32((float)i * 0x1p-9f);
    } else if (coding == EFT_CODING_E2M1) {
        for (int i = 0; i < 32; i++) values[i] = eft_bf16_of_f32(eft_e2m1_values[i % 16]);
    } else if (coding >= EFT_CODING_2 && coding <= EFT_CODING_6) {
        int size = 1 << (coding - EFT_CODING_2 + 2);
        for (int i = 0; i < 64; i++) values[i] = eft_bf16_of_f32((float)(i % size - size / 2));
    }
    return (tables){LOADW(values), LOADW(values + 32)};
}

/// The 8-bit floating point numbers in the lowest bits of both halves of each lane.
INLINE u32x16 e4m3_pairs(u32x16 codes, const tables *tables) {
    u32x16 low = codes & 0x007f007fu, sign = (codes & 0x00800080u) << 8;
    u32x16 large = (low << 4) + 0x3c003c00u;
    __mmask32 is_small = _mm512_cmplt_epu16_mask((__m512i)low, _mm512_set1_epi16(8));
    return sign | (u32x16)_mm512_mask_permutexvar_epi16((__m512i)large, is_small, (__m512i)low, (__m512i)tables->first);
}

/// Pair `p` of a block as bf16 pairs. `low`: the low parts of NF4 and FP4.
INLINE u32x16 pair_words(const int coding, const uint32_t *block, const int p, const tables *tables, const bool low) {
    if (coding == EFT_CODING_BF16) return LOADW(block + p * EFT_PANEL);
    const bool is_e4m3 = coding == EFT_CODING_E4M3;
    const int bits = eft_coding_bits(coding);
    int shift;
    u32x16 words = pairs_codes(bits, block, p, &shift);
    if (is_e4m3) return e4m3_pairs(words >> shift, tables);
    if (bits == 8) {
        // Exact in f32, whose high half is then the bf16 number.
        words ^= 0x00800080u << shift;
        u32x16 even = (u32x16)pairs_signed_field(8, words, shift), odd = (u32x16)pairs_signed_field(8, words, shift + 16);
        return (odd & 0xffff0000u) | even >> 16;
    }
    __m512i index = (__m512i)(shift == 0 ? words : words >> shift);
    if (bits == 6)
        return (u32x16)_mm512_permutex2var_epi16((__m512i)tables->first, index, (__m512i)tables->second);
    return (u32x16)_mm512_permutexvar_epi16(index, (__m512i)(low ? tables->second : tables->first));
}

/// [pair][16], or [pair][high and low][16].
INLINE void unpack_pairs(const int coding, const bool both, const uint32_t *data, size_t blocks, uint32_t *out) {
    tables t = make_tables(coding);
    for (size_t b = 0; b < blocks; b++, data += eft_block_words((eft_coding)coding)) {
        UNROLL for (int p = 0; p < PAIRS; p++) {
            *(u32x16u *)out = pair_words(coding, data, p, &t, false);
            out += EFT_PANEL;
            if (!both) continue;
            *(u32x16u *)out = pair_words(coding, data, p, &t, true);
            out += EFT_PANEL;
        }
    }
}

/// Likewise of a block with scales of its own, rounded.
static void unpack_scaled_pairs(const eft_weight *w, size_t panel, size_t segment, size_t block, uint32_t *out) {
    float values[EFT_BLOCK * EFT_PANEL];
    pairs_unpack_scaled_block(w, true, panel, segment, block, values);
    for (size_t p = 0; p < PAIRS; p++, out += EFT_PANEL)
        *(u32x16u *)out = LOADW(values + 2 * p * EFT_PANEL) >> 16 | LOADW(values + (2 * p + 1) * EFT_PANEL);
}

static void unpack(const eft_weight *w, eft_form form, bool rounds, size_t panel, size_t segment, size_t block,
                   size_t blocks, void *out) {
    (void)rounds;
    if (eft_scales_blocks(w->scale_type)) {
        unpack_scaled_pairs(w, panel, segment, block, out);
        return;
    }
    const uint32_t *data = eft_block_data(w, panel, segment, block);
    switch (eft_coding_of(w, segment)) {
    case EFT_CODING_2: unpack_pairs(EFT_CODING_2, false, data, blocks, out); break;
    case EFT_CODING_3: unpack_pairs(EFT_CODING_3, false, data, blocks, out); break;
    case EFT_CODING_4: unpack_pairs(EFT_CODING_4, false, data, blocks, out); break;
    case EFT_CODING_5: unpack_pairs(EFT_CODING_5, false, data, blocks, out); break;
    case EFT_CODING_6: unpack_pairs(EFT_CODING_6, false, data, blocks, out); break;
    case EFT_CODING_8: unpack_pairs(EFT_CODING_8, false, data, blocks, out); break;
    case EFT_CODING_E4M3: unpack_pairs(EFT_CODING_E4M3, false, data, blocks, out); break;
    case EFT_CODING_E2M1: unpack_pairs(EFT_CODING_E2M1, false, data, blocks, out); break;
    case EFT_CODING_NF4:
        if (form == EFT_FORM_SPLIT_2)
            unpack_pairs(EFT_CODING_NF4, true, data, blocks, out);
        else
            unpack_pairs(EFT_CODING_NF4, false, data, blocks, out);
        break;
    case EFT_CODING_FP4:
        if (form == EFT_FORM_SPLIT_2)
            unpack_pairs(EFT_CODING_FP4, true, data, blocks, out);
        else
            unpack_pairs(EFT_CODING_FP4, false, data, blocks, out);
        break;
    default: break;  // bf16 panels are used as they are; f32 and f16 ones are multiplied in f32
    }
}

/// [input][256 outputs], or [input][high and low][256].
static void unpack_scaled(const eft_weight *w, eft_form form, bool rounds, size_t segment, size_t block, size_t first,
                          size_t panels, void *out) {
    (void)rounds;
    float values[EFT_BLOCK * EFT_PANEL];
    size_t input = EFT_FOLD_OUTPUTS * (splits(form) ? 2 : 1);
    for (size_t p = 0; p < panels; p++) {
        bool is_scaled = eft_scales_blocks(w->scale_type);
        if (is_scaled)
            pairs_unpack_scaled_block(w, false, first + p, segment, block, values);
        else
            pairs_unpack_any(eft_coding_of(w, segment), false, eft_block_data(w, first + p, segment, block), 1, values);
        const void *scales = is_scaled ? NULL : eft_scale_data(w, first + p, segment);
        f32x16 scale = scales == NULL ? pairs_splat(1) : pairs_scale(scales, w->scale_type, 0);
        for (size_t k = 0; k < EFT_BLOCK; k++) {
            float scaled[EFT_PANEL];
            STOREF(scaled, LOADF(values + k * EFT_PANEL) * scale);
            uint16_t *target = (uint16_t *)out + k * input + p * EFT_PANEL;
            split(scaled, EFT_PANEL, target, splits(form) ? target + EFT_FOLD_OUTPUTS : NULL);
        }
    }
}

// ---------------------------------------------------------------------------------------------------------------------
// Many rows: tiles
// ---------------------------------------------------------------------------------------------------------------------

/// How the operands of a tile lie: `a` (broadcast) and `b` in one or two parts, strides in pairs.
typedef struct layout {
    int a_parts, b_parts;
    size_t row, step, low;  // of `a`: from row to row, from pair to pair, from high to low part
} layout;

INLINE void tile(const int R, const int V, const layout l, const eft_tile_call *call, size_t index) {
    const uint32_t *a = (const uint32_t *)((const uint8_t *)call->a + index * call->a_tile_bytes);
    const uint32_t *b0 = call->b[0], *b1 = call->b[1];
    size_t offset = index * MR * EFT_PANEL;
    float *total0 = call->totals[0] + offset, *total1 = V == 2 ? call->totals[1] + offset : total0;
    for (size_t i = 0; i < call->piece_count; i++) {
        const eft_piece *piece = &call->pieces[i];
        f32x16 sum[MR][2];
        if (piece->first) {
            UNROLL for (int r = 0; r < R; r++) sum[r][0] = sum[r][1] = (f32x16){0};
        } else {
            UNROLL for (int r = 0; r < R; r++) {
                sum[r][0] = LOADF(call->sums[0] + offset + r * EFT_PANEL);
                if (V == 2) sum[r][1] = LOADF(call->sums[1] + offset + r * EFT_PANEL);
            }
        }
#pragma clang loop unroll(disable)
        for (size_t k = 0; k < piece->steps; k++) {
            u32x16 high0 = LOADW(b0), high1 = V == 2 ? LOADW(b1) : high0;
            UNROLL for (int r = 0; r < R; r++) {
                u32x16 x = splat_pair(a[(size_t)r * l.row]);
                sum[r][0] = dot(sum[r][0], high0, x);
                if (V == 2) sum[r][1] = dot(sum[r][1], high1, x);
            }
            if (l.a_parts == 2) {
                UNROLL for (int r = 0; r < R; r++) {
                    u32x16 x = splat_pair(a[l.low + (size_t)r * l.row]);
                    sum[r][0] = dot(sum[r][0], high0, x);
                    if (V == 2) sum[r][1] = dot(sum[r][1], high1, x);
                }
            }
            if (l.b_parts == 2) {
                // Broadcasts the high parts again: there are no registers to keep them in.
                __asm__ volatile("" ::: "memory");
                u32x16 low0 = LOADW(b0 + EFT_PANEL), low1 = V == 2 ? LOADW(b1 + EFT_PANEL) : low0;
                UNROLL for (int r = 0; r < R; r++) {
                    u32x16 x = splat_pair(a[(size_t)r * l.row]);
                    sum[r][0] = dot(sum[r][0], low0, x);
                    if (V == 2) sum[r][1] = dot(sum[r][1], low1, x);
                }
            }
            a += l.step;
            b0 += EFT_PANEL * l.b_parts;
            b1 += EFT_PANEL * l.b_parts;
        }
        if (!piece->last) {
            UNROLL for (int r = 0; r < R; r++) {
                STOREF(call->sums[0] + offset + r * EFT_PANEL, sum[r][0]);
                if (V == 2) STOREF(call->sums[1] + offset + r * EFT_PANEL, sum[r][1]);
            }
            continue;
        }
        f32x16 scale0 = pairs_splat(1), scale1 = scale0;
        if (call->scales[0] != NULL) {
            scale0 = pairs_scale(call->scales[0], call->scale_type, piece->segment * EFT_PANEL);
            if (V == 2) scale1 = pairs_scale(call->scales[1], call->scale_type, piece->segment * EFT_PANEL);
        }
        bool begins = call->fresh && i == 0;
        UNROLL for (int r = 0; r < R; r++) {
            f32x16 before0 = begins ? (f32x16){0} : LOADF(total0 + r * EFT_PANEL);
            STOREF(total0 + r * EFT_PANEL, pairs_fma(scale0, sum[r][0], before0));
            if (V == 1) continue;
            f32x16 before1 = begins ? (f32x16){0} : LOADF(total1 + r * EFT_PANEL);
            STOREF(total1 + r * EFT_PANEL, pairs_fma(scale1, sum[r][1], before1));
        }
    }
}

INLINE void all_tiles(const int V, const layout l, const eft_tile_call *call) {
    size_t full = call->rows / MR, rest = call->rows % MR;
    for (size_t t = 0; t < full; t++) tile(MR, V, l, call, t);
    if (rest > MR / 2)
        tile(MR, V, l, call, full);
    else if (rest > 2)
        tile(MR / 2, V, l, call, full);
    else if (rest > 0)
        tile(2, V, l, call, full);
}

INLINE void some_tiles(const layout l, const eft_tile_call *call) {
    if (call->panels == 2)
        all_tiles(2, l, call);
    else
        all_tiles(1, l, call);
}

static void tiles(eft_form form, const eft_tile_call *call) {
    if (form == EFT_FORM_BF16)
        some_tiles((layout){1, 1, 1, MR, 0}, call);
    else if (form == EFT_FORM_SPLIT_1)
        some_tiles((layout){2, 1, 1, 2 * MR, MR}, call);
    else
        some_tiles((layout){2, 2, 1, 2 * MR, MR}, call);
}

static void tiles_transposed(eft_form form, const eft_tile_call *call) {
    if (form == EFT_FORM_BF16)
        some_tiles((layout){1, 1, OUTPUT_PAIRS, 1, 0}, call);
    else if (form == EFT_FORM_SPLIT_1)
        some_tiles((layout){1, 2, 2 * OUTPUT_PAIRS, 1, OUTPUT_PAIRS}, call);
    else
        some_tiles((layout){2, 2, 2 * OUTPUT_PAIRS, 1, OUTPUT_PAIRS}, call);
}

// ---------------------------------------------------------------------------------------------------------------------
// Few rows: unpacking in registers
// ---------------------------------------------------------------------------------------------------------------------

typedef struct segment {
    const uint32_t *data;
    size_t panel_words;
    size_t blocks;
    const uint32_t *x;
    const void *scales;
    size_t scale_panel;
    eft_scale_type scale_type;
    float *totals;  // [panel][row][16]
} segment;

/// `R` rows by `P` panels side by side, in the order of operations of `tile`.
INLINE void direct_segment(const int coding, const int x_parts, const int w_parts, const int R, const int P,
                           const segment *s) {
    tables t = make_tables(coding);
    f32x16 sum[8][4];
    UNROLL for (int p = 0; p < P; p++) UNROLL for (int r = 0; r < R; r++) sum[p][r] = (f32x16){0};
    const uint32_t *data = s->data, *x = s->x;
    for (size_t b = 0; b < s->blocks; b++) {
        UNROLL for (int i = 0; i < PAIRS; i++) {
            const uint32_t *step = x + i * R * x_parts;
            UNROLL for (int p = 0; p < P; p++) {
                const uint32_t *block = data + (size_t)p * s->panel_words;
                u32x16 high = pair_words(coding, block, i, &t, false);
                UNROLL for (int r = 0; r < R; r++) sum[p][r] = dot(sum[p][r], high, splat_pair(step[r]));
                if (x_parts == 2) {
                    UNROLL for (int r = 0; r < R; r++) sum[p][r] = dot(sum[p][r], high, splat_pair(step[R + r]));
                }
                if (w_parts == 2) {
                    u32x16 low = pair_words(coding, block, i, &t, true);
                    UNROLL for (int r = 0; r < R; r++) sum[p][r] = dot(sum[p][r], low, splat_pair(step[r]));
                }
                // Keeps the compiler from unpacking far ahead, which would spill the sums.
                UNROLL for (int r = 0; r < R; r++) EFT_PIN(sum[p][r]);
            }
        }
        data += eft_block_words((eft_coding)coding);
        x += PAIRS * R * x_parts;
    }
    UNROLL for (int p = 0; p < P; p++) {
        f32x16 scale = pairs_splat(1);
        if (s->scales != NULL) scale = pairs_scale(s->scales, s->scale_type, (size_t)p * s->scale_panel);
        UNROLL for (int r = 0; r < R; r++) {
            float *total = s->totals + (p * R + r) * EFT_PANEL;
            STOREF(total, pairs_fma(scale, sum[p][r], LOADF(total)));
        }
    }
}

/// A block with scales of its own, unpacked in the first-level cache.
INLINE void direct_scaled(const int R, const int P, const eft_direct_call *call, size_t panel, size_t segment,
                          float *totals) {
    uint32_t words[8][PAIRS * EFT_PANEL];
    size_t block = eft_segment_first(call->w, segment);
    UNROLL for (int p = 0; p < P; p++) unpack_scaled_pairs(call->w, panel + (size_t)p, segment, block, words[p]);
    const uint32_t *x = (const uint32_t *)call->x + block * PAIRS * R;
    f32x16 sum[8][4];
    UNROLL for (int p = 0; p < P; p++) UNROLL for (int r = 0; r < R; r++) sum[p][r] = (f32x16){0};
    for (size_t i = 0; i < PAIRS; i++, x += R)
        UNROLL for (int p = 0; p < P; p++) UNROLL for (int r = 0; r < R; r++)
            sum[p][r] = dot(sum[p][r], LOADW(words[p] + i * EFT_PANEL), splat_pair(x[r]));
    UNROLL for (int p = 0; p < P; p++) UNROLL for (int r = 0; r < R; r++) {
        float *total = totals + (p * R + r) * EFT_PANEL;
        STOREF(total, LOADF(total) + sum[p][r]);
    }
}

#define SCALED_ROWS(R, P)                                                                                              \
    if (count > 1)                                                                                                     \
        direct_scaled(R, P, call, panel, segment, totals);                                                             \
    else                                                                                                               \
        direct_scaled(R, 1, call, panel, segment, totals)

static void direct_any_scaled(const eft_direct_call *call, size_t count, size_t panel, size_t segment, float *totals) {
    switch (call->height) {
    case 1: SCALED_ROWS(1, 8); break;
    case 2: SCALED_ROWS(2, 4); break;
    default: SCALED_ROWS(4, 2); break;
    }
}
#undef SCALED_ROWS

typedef void (*segment_function)(const segment *);

// For a coding and a form: 1, 2 and 4 rows, of one panel and of 8, 4 and 2.
#define DIRECT(C, X, W)                                                                                                \
    static void segment_##C##_##X##_1_1(const segment *s) { direct_segment(EFT_CODING_##C, X, W, 1, 1, s); }           \
    static void segment_##C##_##X##_1_8(const segment *s) { direct_segment(EFT_CODING_##C, X, W, 1, 8, s); }           \
    static void segment_##C##_##X##_2_1(const segment *s) { direct_segment(EFT_CODING_##C, X, W, 2, 1, s); }           \
    static void segment_##C##_##X##_2_4(const segment *s) { direct_segment(EFT_CODING_##C, X, W, 2, 4, s); }           \
    static void segment_##C##_##X##_4_1(const segment *s) { direct_segment(EFT_CODING_##C, X, W, 4, 1, s); }           \
    static void segment_##C##_##X##_4_2(const segment *s) { direct_segment(EFT_CODING_##C, X, W, 4, 2, s); }
#define DIRECT_BOTH(C) DIRECT(C, 1, 1) DIRECT(C, 2, 1)
DIRECT_BOTH(BF16)
DIRECT_BOTH(2)
DIRECT_BOTH(3)
DIRECT_BOTH(4)
DIRECT_BOTH(5)
DIRECT_BOTH(6)
DIRECT_BOTH(8)
DIRECT(NF4, 1, 1)
DIRECT(NF4, 2, 2)
DIRECT_BOTH(E4M3)
DIRECT_BOTH(E2M1)
DIRECT(FP4, 1, 1)
DIRECT(FP4, 2, 2)

#define DIRECT_ROW(C, X)                                                                                               \
    {                                                                                                                  \
        {segment_##C##_##X##_1_1, segment_##C##_##X##_1_8}, {segment_##C##_##X##_2_1, segment_##C##_##X##_2_4},        \
            {segment_##C##_##X##_4_1, segment_##C##_##X##_4_2},                                                        \
    }
/// [coding from bf16 on][activations in one or two parts][1, 2, 4 rows][one panel, several]
static const segment_function segment_functions[][2][3][2] = {
    {DIRECT_ROW(BF16, 1), DIRECT_ROW(BF16, 2)}, {DIRECT_ROW(2, 1), DIRECT_ROW(2, 2)},
    {DIRECT_ROW(3, 1), DIRECT_ROW(3, 2)},       {DIRECT_ROW(4, 1), DIRECT_ROW(4, 2)},
    {DIRECT_ROW(5, 1), DIRECT_ROW(5, 2)},       {DIRECT_ROW(6, 1), DIRECT_ROW(6, 2)},
    {DIRECT_ROW(8, 1), DIRECT_ROW(8, 2)},       {DIRECT_ROW(NF4, 1), DIRECT_ROW(NF4, 2)},
    {DIRECT_ROW(E4M3, 1), DIRECT_ROW(E4M3, 2)}, {DIRECT_ROW(E2M1, 1), DIRECT_ROW(E2M1, 2)},
    {DIRECT_ROW(FP4, 1), DIRECT_ROW(FP4, 2)},
};

static void direct(const eft_direct_call *call) {
    const eft_weight *w = call->w;
    const size_t which = call->height == 1 ? 0 : call->height == 2 ? 1 : 2, together = 8 >> which;
    const size_t parts = splits(call->form) ? 2 : 1;
    for (size_t p = 0; p < call->panels;) {
        size_t count = call->panels - p >= together ? together : 1, panel = call->first_panel + p;
        float totals[8 * EFT_PANEL] = {0};
        for (size_t s = 0; s < eft_segments(w); s++) {
            if (eft_scales_blocks(w->scale_type)) {
                direct_any_scaled(call, count, panel, s, totals);
                continue;
            }
            size_t block = eft_segment_first(w, s);
            segment segment = {
                .data = eft_block_data(w, panel, s, block),
                .panel_words = w->panel_bytes / sizeof(uint32_t),
                .blocks = eft_segment_blocks(w, s),
                .x = (const uint32_t *)call->x + block * PAIRS * parts * call->height,
                .scales = eft_scale_data(w, panel, s),
                .scale_panel = w->group_count * EFT_PANEL,
                .scale_type = w->scale_type,
                .totals = totals,
            };
            segment_functions[eft_coding_of(w, s) - EFT_CODING_BF16][parts - 1][which][count > 1](&segment);
        }
        eft_store_direct(call, panel, count, totals);
        p += count;
    }
}

#define TABLE(X, W)                                                                                                    \
    {                                                                                                                  \
        .tile_rows = MR, .tile_panels = 2, .direct_rows = 4, .row_block_bytes = EFT_BLOCK * 2 * (X),                   \
        .weight_block_bytes = EFT_BLOCK * EFT_PANEL * 2 * (W), .steps_per_block = PAIRS, .native = 1u << EFT_CODING_BF16, \
        .pack_rows = pack_rows, .unpack = unpack, .tiles = tiles, .direct = direct, .pack_gradients = pack_gradients,  \
        .unpack_scaled = unpack_scaled, .tiles_transposed = tiles_transposed,                                          \
    }
const eft_product_table eft_products_avx512_bf16[3] = {TABLE(1, 1), TABLE(2, 1), TABLE(2, 2)};

#pragma clang attribute pop
#endif

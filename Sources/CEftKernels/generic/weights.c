// SPDX-License-Identifier: Apache-2.0
// Weights in panels of 16 outputs: packing from the public formats, and reading single outputs back.
#include "../kernels_internal.h"
#include "../products.h"

#include <math.h>

/// Columns of 16-bit halves that spare-bit fields of a code come from: bit `from` of row `row` and `count` - 1 above
/// it are the code's bits `to`...
typedef struct field {
    uint8_t row, from, to, count;
} field;

/// Where pair `p` of a block stands in its `bits` rows: one field, or several when the code is in spare bits.
static size_t fields_of(uint32_t bits, uint32_t p, field fields[5]) {
    uint32_t in_row = bits == 6 ? 2 : 16 / bits;
    if (bits == 6) {
        uint8_t first = (uint8_t)(p / 8 * 3);
        uint32_t q = p % 8;
        if (q < 6) {
            fields[0] = (field){(uint8_t)(first + q / 2), (uint8_t)(6 * (q % 2)), 0, 6};
            return 1;
        }
        fields[0] = (field){(uint8_t)(first + (q - 6)), 12, 0, 4};
        fields[1] = (field){(uint8_t)(first + 2), (uint8_t)(12 + 2 * (q - 6)), 4, 2};
        return 2;
    }
    if (p / in_row < bits) {
        fields[0] = (field){(uint8_t)(p / in_row), (uint8_t)(bits * (p % in_row)), 0, (uint8_t)bits};
        return 1;
    }
    for (uint32_t r = 0; r < bits; r++) fields[r] = (field){(uint8_t)r, 15, (uint8_t)r, 1};
    return bits;
}

void eft_codes_pack(uint32_t bits, const uint8_t *codes, uint32_t *rows) {
    memset(rows, 0, (size_t)bits * EFT_PANEL * sizeof *rows);
    for (uint32_t p = 0; p < EFT_BLOCK / 2; p++) {
        field fields[5];
        size_t count = fields_of(bits, p, fields);
        const uint8_t *even = codes + (size_t)2 * p * EFT_PANEL, *odd = even + EFT_PANEL;
        for (size_t f = 0; f < count; f++) {
            uint32_t mask = (1u << fields[f].count) - 1, to = fields[f].to, from = fields[f].from;
            uint32_t *row = rows + (size_t)fields[f].row * EFT_PANEL;
            for (size_t lane = 0; lane < EFT_PANEL; lane++)
                row[lane] |= (((uint32_t)even[lane] >> to) & mask) << from |
                             (((uint32_t)odd[lane] >> to) & mask) << (from + 16);
        }
    }
}

void eft_codes_unpack(uint32_t bits, const uint32_t *rows, uint8_t *codes) {
    memset(codes, 0, (size_t)EFT_BLOCK * EFT_PANEL);
    for (uint32_t p = 0; p < EFT_BLOCK / 2; p++) {
        field fields[5];
        size_t count = fields_of(bits, p, fields);
        uint8_t *even = codes + (size_t)2 * p * EFT_PANEL, *odd = even + EFT_PANEL;
        for (size_t f = 0; f < count; f++) {
            uint32_t mask = (1u << fields[f].count) - 1, to = fields[f].to, from = fields[f].from;
            const uint32_t *row = rows + (size_t)fields[f].row * EFT_PANEL;
            for (size_t lane = 0; lane < EFT_PANEL; lane++) {
                even[lane] = (uint8_t)(even[lane] | ((row[lane] >> from) & mask) << to);
                odd[lane] = (uint8_t)(odd[lane] | ((row[lane] >> (from + 16)) & mask) << to);
            }
        }
    }
}

// ---------------------------------------------------------------------------------------------------------------------
// Dense weights
// ---------------------------------------------------------------------------------------------------------------------

typedef struct dense_job {
    const eft_weight *w;
    uint8_t *panels;
    const uint8_t *source;
    eft_float_type type;
    size_t first, count;
} dense_job;

static float read_number(const void *source, eft_float_type type, size_t i) {
    if (type == EFT_F32) return ((const float *)source)[i];
    uint16_t half = ((const uint16_t *)source)[i];
    return type == EFT_F16 ? eft_f32_of_f16(half) : eft_f32_of_bf16(half);
}

/// The bits of number i in the type of the weight.
static uint32_t read_bits(const void *source, eft_float_type type, size_t i, eft_weight_kind kind) {
    bool same = (kind == EFT_WEIGHT_F16 && type == EFT_F16) || (kind == EFT_WEIGHT_BF16 && type == EFT_BF16);
    if (same) return ((const uint16_t *)source)[i];
    float x = read_number(source, type, i);
    if (kind == EFT_WEIGHT_F32) return eft_bits_of_f32(x);
    return kind == EFT_WEIGHT_F16 ? eft_f16_of_f32(x) : eft_bf16_of_f32(x);
}

static void dense_panel(void *argument, size_t index, size_t worker) {
    (void)worker;
    const dense_job *job = argument;
    const eft_weight *w = job->w;
    size_t lanes = eft_min(job->count - index * EFT_PANEL, EFT_PANEL);
    uint32_t *panel = (uint32_t *)(job->panels + (job->first / EFT_PANEL + index) * w->panel_bytes);
    uint32_t block[EFT_BLOCK][EFT_PANEL];
    for (size_t b = 0; b < w->blocks; b++) {
        memset(block, 0, sizeof block);
        size_t inputs = eft_min(w->inputs - eft_min(w->inputs, b * EFT_BLOCK), EFT_BLOCK);
        for (size_t lane = 0; lane < lanes; lane++) {
            size_t start = (index * EFT_PANEL + lane) * w->inputs + b * EFT_BLOCK;
            for (size_t k = 0; k < inputs; k++) block[k][lane] = read_bits(job->source, job->type, start + k, w->kind);
        }
        if (w->kind == EFT_WEIGHT_F32) {
            memcpy(panel + b * EFT_BLOCK * EFT_PANEL, block, sizeof block);
            continue;
        }
        uint32_t *rows = panel + b * (EFT_BLOCK / 2) * EFT_PANEL;
        for (size_t p = 0; p < EFT_BLOCK / 2; p++)
            for (size_t lane = 0; lane < EFT_PANEL; lane++)
                rows[p * EFT_PANEL + lane] = block[2 * p][lane] | block[2 * p + 1][lane] << 16;
    }
}

void eft_dense_pack(eft_context *context, const eft_weight *w, void *panels, const void *source,
                    eft_float_type source_type, size_t first, size_t count) {
    dense_job job = {w, panels, source, source_type, first, count};
    eft_parallel_for(context, eft_ceil_div(count, EFT_PANEL), dense_panel, &job);
}

// ---------------------------------------------------------------------------------------------------------------------
// Coded weights
// ---------------------------------------------------------------------------------------------------------------------

typedef struct coded_job {
    const eft_weight *w;
    uint8_t *panels;
    const void *source;
    size_t ldn;
    const uint32_t *first_rows;
} coded_job;

/// Four bytes of NF4 (eight elements, the even ones in high nibbles) as a lane: even ones low, odd ones high.
static uint32_t nf4_lane(uint32_t word) {
    uint32_t even = (word >> 4) & 0x0f0f0f0fu, odd = word & 0x0f0f0f0fu;
    even = (even | even >> 4) & 0x00ff00ffu;
    odd = (odd | odd >> 4) & 0x00ff00ffu;
    even = (even | even >> 8) & 0xffffu;
    odd = (odd | odd >> 8) & 0xffffu;
    return even | odd << 16;
}

static void nf4_panel(void *argument, size_t index, size_t worker) {
    (void)worker;
    const coded_job *job = argument;
    const eft_weight *w = job->w;
    size_t lanes = eft_min(w->outputs - index * EFT_PANEL, EFT_PANEL);
    for (size_t g = 0; g < w->group_count; g++) {
        const eft_group *group = &w->groups[g];
        uint32_t *rows = (uint32_t *)(job->panels + index * w->panel_bytes) + (size_t)group->row_offset * EFT_PANEL;
        size_t count = (size_t)group->blocks * 4;
        memset(rows, 0, count * EFT_PANEL * sizeof *rows);
        for (size_t lane = 0; lane < lanes; lane++) {
            const uint8_t *bytes = (const uint8_t *)job->source + (index * EFT_PANEL + lane) * (w->inputs / 2) +
                                   (size_t)group->first_block * (EFT_BLOCK / 2);
            for (size_t r = 0; r < count; r++) {
                const uint8_t *four = bytes + 4 * r;
                rows[r * EFT_PANEL + lane] = nf4_lane((uint32_t)four[0] | (uint32_t)four[1] << 8 |
                                                      (uint32_t)four[2] << 16 | (uint32_t)four[3] << 24);
            }
        }
    }
}

void eft_nf4_pack(eft_context *context, const eft_weight *w, void *panels, const uint8_t *packed) {
    coded_job job = {.w = w, .panels = panels, .source = packed};
    eft_parallel_for(context, eft_ceil_div(w->outputs, EFT_PANEL), nf4_panel, &job);
}

/// Panels that are packed side by side: their words stand next to each other in the source.
#define SIDE_PANELS 4

/// The codes of a pair of a block of 16 columns: even input low, odd input high.
__attribute__((always_inline)) static inline void exl2_pair(const uint32_t bits, const u32x16 words[8], const uint32_t p,
                                                            u32x16 *pair) {
    u32x16 halves[2];
    for (uint32_t odd = 0; odd < 2; odd++) {
        const uint32_t at = (2 * p + odd) * bits, word = at / 32, shift = at % 32;
        u32x16 code = words[word] >> shift;
        if (shift + bits > 32) code |= words[word + 1] << (32 - shift);
        halves[odd] = code & ((1u << bits) - 1);
    }
    *pair = halves[0] | halves[1] << 16;
}

/// `bits` words of 16 columns, a little-endian stream of bits down each, to `bits` rows of a panel (`fields_of`).
__attribute__((always_inline)) static inline void exl2_block(const uint32_t bits, const u32x16 words[8], uint32_t *rows) {
    u32x16 out[8] = {{0}};
    const uint32_t in_row = bits == 6 ? 2 : 16 / bits;
#pragma clang loop unroll(full)
    for (uint32_t p = 0; p < EFT_BLOCK / 2; p++) {
        u32x16 pair;
        exl2_pair(bits, words, p, &pair);
        if (bits == 6 && p % 8 >= 6) {
            const uint32_t first = p / 8 * 3, spare = p % 8 - 6;
            out[first + spare] |= (pair & 0x000f000fu) << 12;
            out[first + 2] |= ((pair >> 4) & 0x00030003u) << (12 + 2 * spare);
        } else if (bits == 6) {
            out[p / 8 * 3 + p % 8 / 2] |= pair << (6 * (p % 2));
        } else if (p / in_row < bits) {
            out[p / in_row] |= pair << (bits * (p % in_row));
        } else {
#pragma clang loop unroll(full)
            for (uint32_t r = 0; r < bits; r++) out[r] |= ((pair >> r) & 0x00010001u) << 15;
        }
    }
    for (uint32_t r = 0; r < bits; r++) *(u32x16u *)(rows + r * EFT_PANEL) = out[r];
}

static void exl2_any_block(uint32_t bits, const u32x16 words[8], uint32_t *rows) {
    switch (bits) {
    case 2: exl2_block(2, words, rows); break;
    case 3: exl2_block(3, words, rows); break;
    case 4: exl2_block(4, words, rows); break;
    case 5: exl2_block(5, words, rows); break;
    case 6: exl2_block(6, words, rows); break;
    case 8: exl2_block(8, words, rows); break;
    }
}

static void exl2_panels(void *argument, size_t index, size_t worker) {
    (void)worker;
    const coded_job *job = argument;
    const eft_weight *w = job->w;
    size_t first = index * SIDE_PANELS * EFT_PANEL, last = eft_min(w->outputs, first + SIDE_PANELS * EFT_PANEL);
    for (size_t g = 0; g < w->group_count; g++) {
        const eft_group *group = &w->groups[g];
        for (size_t b = 0; b < group->blocks; b++) {
            const uint32_t *source = (const uint32_t *)job->source + (job->first_rows[g] + b * group->bits) * job->ldn;
            size_t row = group->row_offset + b * group->bits;
            for (size_t column = first; column < last; column += EFT_PANEL) {
                size_t lanes = eft_min(last - column, EFT_PANEL);
                u32x16 words[8] = {{0}};
                for (uint32_t r = 0; r < group->bits; r++)
                    memcpy(&words[r], source + r * job->ldn + column, lanes * sizeof(uint32_t));
                uint32_t *panel = (uint32_t *)(job->panels + column / EFT_PANEL * w->panel_bytes);
                exl2_any_block(group->bits, words, panel + row * EFT_PANEL);
            }
        }
    }
}

void eft_exl2_pack(eft_context *context, const eft_weight *w, void *panels, const uint32_t *q_weight, size_t ldn,
                   const uint32_t *first_rows) {
    coded_job job = {w, panels, q_weight, ldn, first_rows};
    eft_parallel_for(context, eft_ceil_div(w->outputs, SIDE_PANELS * EFT_PANEL), exl2_panels, &job);
}

typedef struct exl2_scales_job {
    const eft_weight *w;
    uint8_t *scales;
    const uint32_t *words;
    size_t ldn, first, count;
    const uint16_t *steps;
} exl2_scales_job;

/// Every second one of the eight nibbles of a word, from the lowest on, next to each other.
static uint32_t even_nibbles(uint32_t word) {
    word &= 0x0f0f0f0fu;
    word = (word | word >> 4) & 0x00ff00ffu;
    return (word | word >> 8) & 0xffffu;
}

static void exl2_scales_panel(void *argument, size_t index, size_t worker) {
    (void)worker;
    const exl2_scales_job *job = argument;
    size_t lanes = eft_min(job->w->outputs - index * EFT_PANEL, EFT_PANEL);
    size_t low = eft_min(lanes, 8), high = lanes - low;
    uint32_t masks[2] = {(uint32_t)((UINT64_C(1) << 4 * low) - 1), (uint32_t)((UINT64_C(1) << 4 * high) - 1)};
    uint8_t *record = job->scales + (index * job->w->group_count + job->first) * EFT_EXL2_SCALES;
    for (size_t g = 0; g < job->count; g++, record += EFT_EXL2_SCALES) {
        const uint32_t *source = job->words + g * job->ldn + index * (EFT_PANEL / 8);
        uint32_t first = source[0] & masks[0], second = high > 0 ? source[1] & masks[1] : 0;
        uint32_t codes[2] = {even_nibbles(first) | even_nibbles(second) << 16,
                             even_nibbles(first >> 4) | even_nibbles(second >> 4) << 16};
        memcpy(record, codes, sizeof codes);
        memcpy(record + sizeof codes, &job->steps[job->first + g], sizeof(uint16_t));
    }
}

void eft_exl2_pack_scales(eft_context *context, const eft_weight *w, void *scales, const uint32_t *q_scale, size_t ldn,
                          size_t first, size_t count, const uint16_t *steps) {
    exl2_scales_job job = {w, scales, q_scale, ldn, first, count, steps};
    eft_parallel_for(context, eft_ceil_div(w->outputs, EFT_PANEL), exl2_scales_panel, &job);
}

// ---------------------------------------------------------------------------------------------------------------------
// Reading
// ---------------------------------------------------------------------------------------------------------------------

/// Half-precision number i.
static float half_at(const uint8_t *halves, size_t i) { return read_number(halves, EFT_F16, i); }

void eft_block_scaling(const eft_weight *w, size_t panel, size_t group, size_t half, size_t lane, float *scale,
                       float *offset) {
    const uint8_t *record = eft_scale_data(w, panel, group);
    const size_t d = 2 * EFT_PANEL, block = group % EFT_K_BLOCKS, at = (2 * block + half) * EFT_PANEL + lane;
    *offset = 0;
    switch (w->scale_type) {
    case EFT_SCALES_OFFSET:
        *scale = half_at(record, lane);
        *offset = half_at(record + d, lane);
        break;
    case EFT_SCALES_K_OFFSET: {
        const uint8_t *codes = record + 2 * d + block * EFT_PANEL;
        *scale = half_at(record, lane) * (float)codes[lane];
        *offset = -(half_at(record + d, lane) * (float)codes[EFT_K_BLOCKS * EFT_PANEL + lane]);
        break;
    }
    case EFT_SCALES_K_HALVES: *scale = half_at(record, lane) * (float)(int8_t)record[d + at]; break;
    default:  // EFT_SCALES_K_OFFSET_HALVES
        *scale = half_at(record, lane) * (float)(record[2 * d + at] & 15);
        *offset = -(half_at(record + d, lane) * (float)(record[2 * d + at] >> 4));
    }
}

float eft_weight_scale(const eft_weight *w, size_t panel, size_t group, size_t lane) {
    if (eft_scales_blocks(w->scale_type)) return 1;
    const uint8_t *scales = eft_scale_data(w, panel, group);
    if (w->scale_type == EFT_SCALES_E8M0) return eft_half_e8m0(scales[lane]);
    if (w->scale_type != EFT_SCALES_EXL2)
        return read_number(scales, w->scale_type == EFT_SCALES_F32 ? EFT_F32 : EFT_F16, lane);
    uint32_t words[2];
    uint16_t step;
    memcpy(words, scales, sizeof words);
    memcpy(&step, scales + sizeof words, sizeof step);
    float code = (float)((words[lane % 2] >> (4 * (lane / 2)) & 15) + 1);
    return eft_f32_of_f16(eft_f16_of_f32(code * code * eft_f32_of_f16(step)));
}

/// An 8-bit floating point number; one with an exponent of zero has no leading one.
float eft_e4m3_value(uint8_t code) {
    uint32_t low = code & 0x7f;
    float value = low < 8 ? (float)low * 0x1p-9f : eft_f32_of_bits((low << 20) + (120u << 23));
    return code & 0x80 ? -value : value;
}

float eft_code_value(eft_code_book book, uint32_t bits, uint8_t code) {
    if (book == EFT_CODES_E4M3) return eft_e4m3_value(code);
    if (book == EFT_CODES_NF4) return eft_nf4_values[code & 15];
    if (book == EFT_CODES_E2M1) return eft_e2m1_values[code & 15];
    if (book == EFT_CODES_FP4) return eft_fp4_values[code & 15];
    return (float)((int32_t)code - (int32_t)(1u << (bits - 1)));
}

void eft_weight_codes(const eft_weight *w, size_t panel, size_t group, size_t block,
                      uint8_t codes[EFT_BLOCK * EFT_PANEL]) {
    const eft_group *g = &w->groups[group];
    const uint32_t *data = (const uint32_t *)((const uint8_t *)w->panels + panel * w->panel_bytes);
    eft_codes_unpack(g->bits, data + (g->row_offset + (block - g->first_block) * g->bits) * EFT_PANEL, codes);
}

/// The weight that a code with scales of its block stands for.
static float scaled_value(const eft_weight *w, uint32_t bits, float scale, float offset, uint8_t code) {
    float value = eft_has_offsets(w->scale_type) ? (float)code : eft_code_value(w->code_book, bits, code);
    return fmaf(scale, value, offset);
}

void eft_weight_block(const eft_weight *w, size_t panel, size_t group, size_t block,
                      float values[EFT_BLOCK * EFT_PANEL]) {
    const uint32_t *data = (const uint32_t *)((const uint8_t *)w->panels + panel * w->panel_bytes);
    if (w->kind == EFT_WEIGHT_F32) {
        memcpy(values, data + block * EFT_BLOCK * EFT_PANEL, EFT_BLOCK * EFT_PANEL * sizeof(float));
        return;
    }
    if (w->kind != EFT_WEIGHT_CODED) {
        const uint32_t *rows = data + block * (EFT_BLOCK / 2) * EFT_PANEL;
        for (size_t i = 0; i < EFT_BLOCK * EFT_PANEL; i++) {
            size_t k = i / EFT_PANEL, lane = i % EFT_PANEL;
            uint16_t half = (uint16_t)(rows[k / 2 * EFT_PANEL + lane] >> (16 * (k % 2)));
            values[i] = w->kind == EFT_WEIGHT_F16 ? eft_f32_of_f16(half) : eft_f32_of_bf16(half);
        }
        return;
    }
    const eft_group *g = &w->groups[group];
    uint8_t codes[EFT_BLOCK * EFT_PANEL];
    eft_weight_codes(w, panel, group, block, codes);
    if (eft_scales_blocks(w->scale_type)) {
        for (size_t half = 0; half < 2; half++)
            for (size_t lane = 0; lane < EFT_PANEL; lane++) {
                float scale, offset;
                eft_block_scaling(w, panel, group, half, lane, &scale, &offset);
                for (size_t k = half * EFT_BLOCK / 2; k < (half + 1) * EFT_BLOCK / 2; k++)
                    values[k * EFT_PANEL + lane] = scaled_value(w, g->bits, scale, offset, codes[k * EFT_PANEL + lane]);
            }
        return;
    }
    for (size_t i = 0; i < EFT_BLOCK * EFT_PANEL; i++) values[i] = eft_code_value(w->code_book, g->bits, codes[i]);
}

typedef struct rows_job {
    const eft_weight *w;
    const int32_t *rows;
    float *out;
    size_t ldo;
} rows_job;

static void put(const eft_weight *w, float *out, size_t stored, float value) {
    size_t input = w->permutation != NULL ? w->permutation[stored] : stored;
    if (input < w->inputs) out[input] = value;
}

/// The codes of one lane of a block, in the order of inputs.
static void lane_codes(uint32_t bits, const uint32_t *rows, size_t lane, uint8_t codes[EFT_BLOCK]) {
    for (uint32_t p = 0; p < EFT_BLOCK / 2; p++) {
        field fields[5];
        size_t count = fields_of(bits, p, fields);
        uint32_t even = 0, odd = 0;
        for (size_t f = 0; f < count; f++) {
            uint32_t mask = (1u << fields[f].count) - 1, word = rows[fields[f].row * (size_t)EFT_PANEL + lane];
            even |= ((word >> fields[f].from) & mask) << fields[f].to;
            odd |= ((word >> (fields[f].from + 16)) & mask) << fields[f].to;
        }
        codes[2 * p] = (uint8_t)even;
        codes[2 * p + 1] = (uint8_t)odd;
    }
}

static void gather_row(void *argument, size_t index, size_t worker) {
    (void)worker;
    const rows_job *job = argument;
    const eft_weight *w = job->w;
    float *out = job->out + index * job->ldo;
    size_t panel = (size_t)job->rows[index] / EFT_PANEL, lane = (size_t)job->rows[index] % EFT_PANEL;
    const uint32_t *data = (const uint32_t *)((const uint8_t *)w->panels + panel * w->panel_bytes);
    if (w->kind != EFT_WEIGHT_CODED) {
        for (size_t k = 0; k < w->inputs; k++) {
            if (w->kind == EFT_WEIGHT_F32) {
                put(w, out, k, eft_f32_of_bits(data[k * EFT_PANEL + lane]));
                continue;
            }
            uint16_t half = (uint16_t)(data[k / 2 * EFT_PANEL + lane] >> (16 * (k % 2)));
            put(w, out, k, w->kind == EFT_WEIGHT_F16 ? eft_f32_of_f16(half) : eft_f32_of_bf16(half));
        }
        return;
    }
    for (size_t g = 0; g < w->group_count; g++) {
        const eft_group *group = &w->groups[g];
        bool scaled = eft_scales_blocks(w->scale_type);
        float scale[2], offset[2];
        scale[0] = scale[1] = eft_weight_scale(w, panel, g, lane);
        for (size_t half = 0; scaled && half < 2; half++)
            eft_block_scaling(w, panel, g, half, lane, &scale[half], &offset[half]);
        for (size_t b = 0; b < group->blocks; b++) {
            uint8_t codes[EFT_BLOCK];
            lane_codes(group->bits, data + (group->row_offset + b * group->bits) * EFT_PANEL, lane, codes);
            for (size_t k = 0; k < EFT_BLOCK; k++) {
                size_t half = k / (EFT_BLOCK / 2);
                put(w, out, (group->first_block + b) * EFT_BLOCK + k,
                    scaled ? scaled_value(w, group->bits, scale[half], offset[half], codes[k])
                           : eft_code_value(w->code_book, group->bits, codes[k]) * scale[0]);
            }
        }
    }
}

void eft_weight_rows(eft_context *context, const eft_weight *w, const int32_t *rows, size_t count, float *out,
                     size_t ldo) {
    rows_job job = {w, rows, out, ldo};
    eft_parallel_for(context, count, gather_row, &job);
}

typedef struct squares_job {
    const eft_weight *w;
    float *squares;
} squares_job;

static void squares_panel(void *argument, size_t panel, size_t worker) {
    (void)worker;
    const squares_job *job = argument;
    const eft_weight *w = job->w;
    size_t lanes = eft_min(w->outputs - panel * EFT_PANEL, EFT_PANEL);
    size_t groups = w->kind == EFT_WEIGHT_CODED ? w->group_count : 1;
    double sums[EFT_PANEL] = {0};
    for (size_t g = 0; g < groups; g++) {
        size_t first = 0, blocks = w->blocks;
        float scales[EFT_PANEL];
        for (size_t lane = 0; lane < EFT_PANEL; lane++) scales[lane] = 1;
        if (w->kind == EFT_WEIGHT_CODED) {
            first = w->groups[g].first_block, blocks = w->groups[g].blocks;
            for (size_t lane = 0; lane < lanes; lane++) scales[lane] = eft_weight_scale(w, panel, g, lane);
        }
        for (size_t b = first; b < first + blocks; b++) {
            float values[EFT_BLOCK * EFT_PANEL];
            eft_weight_block(w, panel, g, b, values);
            for (size_t k = 0; k < EFT_BLOCK; k++) {
                size_t stored = b * EFT_BLOCK + k, input = w->permutation != NULL ? w->permutation[stored] : stored;
                if (input >= w->inputs) continue;
                for (size_t lane = 0; lane < lanes; lane++) {
                    float value = values[k * EFT_PANEL + lane] * scales[lane];
                    sums[lane] += (double)value * value;
                }
            }
        }
    }
    for (size_t lane = 0; lane < lanes; lane++) job->squares[panel * EFT_PANEL + lane] = (float)sums[lane];
}

void eft_weight_squares(eft_context *context, const eft_weight *w, float *squares) {
    squares_job job = {w, squares};
    eft_parallel_for(context, eft_ceil_div(w->outputs, EFT_PANEL), squares_panel, &job);
}

// SPDX-License-Identifier: Apache-2.0
// What the blocks of GGUF's quantized types stand for, in f32, operation by operation as the format's own package has it.
#include <string.h>

#include "CEftKernels.h"
#include "gguf_blocks.h"
#include "gguf_quantize.h"
#include "gguf_grids.h"
#include "kernels_internal.h"

static float load_f16(const uint8_t *p) { return eft_f32_of_f16((uint16_t)(p[0] | p[1] << 8)); }
static uint32_t load_u16(const uint8_t *p) { return (uint32_t)p[0] | (uint32_t)p[1] << 8; }
static uint32_t load_u32(const uint8_t *p) { return load_u16(p) | load_u16(p + 2) << 16; }

// ---------------------------------------------------------------------------------------------------------------------
// Blocks of 32
// ---------------------------------------------------------------------------------------------------------------------

/// Bytes hold number i in the low four bits and number i + 16 in the high ones.
static void q4_0(const uint8_t *b, float *y) {
    float d = load_f16(b);
    for (int i = 0; i < 16; i++) {
        y[i] = d * (float)((b[2 + i] & 15) - 8);
        y[i + 16] = d * (float)((b[2 + i] >> 4) - 8);
    }
}

static void q4_1(const uint8_t *b, float *y) {
    float d = load_f16(b), m = load_f16(b + 2);
    for (int i = 0; i < 16; i++) {
        y[i] = d * (float)(b[4 + i] & 15) + m;
        y[i + 16] = d * (float)(b[4 + i] >> 4) + m;
    }
}

static void q5_0(const uint8_t *b, float *y) {
    float d = load_f16(b);
    uint8_t codes[32];
    eft_gguf_q5_codes(b + 2, codes);
    for (int i = 0; i < 32; i++) y[i] = d * (float)(codes[i] - 16);
}

static void q5_1(const uint8_t *b, float *y) {
    float d = load_f16(b), m = load_f16(b + 2);
    uint8_t codes[32];
    eft_gguf_q5_codes(b + 4, codes);
    for (int i = 0; i < 32; i++) y[i] = d * (float)codes[i] + m;
}

static void q8_0(const uint8_t *b, float *y) {
    float d = load_f16(b);
    for (int i = 0; i < 32; i++) y[i] = (float)(int8_t)b[2 + i] * d;
}

const int8_t eft_iq4_values[16] = {-127, -104, -83, -65, -49, -35, -22, -10, 1, 13, 25, 38, 53, 69, 89, 113};
static void from_table(const int8_t *values, float d, const uint8_t *codes, int count, float *y) {
    for (int i = 0; i < count; i++) {
        y[i] = d * (float)values[codes[i] & 15];
        y[i + count] = d * (float)values[codes[i] >> 4];
    }
}

static void iq4_nl(const uint8_t *b, float *y) { from_table(eft_iq4_values, load_f16(b), b + 2, 16, y); }

static void mxfp4(const uint8_t *b, float *y) { from_table(eft_e2m1_values, eft_half_e8m0(b[0]), b + 1, 16, y); }

/// Half of an unsigned E4M3.
static float half_e4m3(uint8_t x) {
    if (x == 0 || x == 0x7f) return 0;
    int exponent = x >> 3 & 15, fraction = x & 7;
    if (exponent == 0) return (float)fraction * 0.0009765625f;
    uint32_t bits = (uint32_t)(exponent - 7 + 127) << 23;
    float power;
    memcpy(&power, &bits, 4);
    return (1.0f + (float)fraction / 8.0f) * power * 0.5f;
}

/// Four scales, then four times eight bytes with number i in the low four bits and number i + 8 in the high ones.
static void nvfp4(const uint8_t *b, float *y) {
    for (int j = 0; j < 4; j++) from_table(eft_e2m1_values, half_e4m3(b[j]), b + 4 + 8 * j, 8, y + 16 * j);
}

// ---------------------------------------------------------------------------------------------------------------------
// K: blocks of 256 with scales of 16 or 32 numbers
// ---------------------------------------------------------------------------------------------------------------------

static void q2_K(const uint8_t *b, float *y) {
    float d = load_f16(b + 80), dmin = load_f16(b + 82);
    for (int group = 0; group < 16; group++) {
        // 32 bytes hold 128 numbers, two bits of each for 32 consecutive ones.
        const uint8_t *q = b + 16 + 32 * (group / 8) + 16 * (group % 2);
        int shift = 2 * (group / 2 % 4);
        float scale = d * (float)(b[group] & 15), low = dmin * (float)(b[group] >> 4);
        for (int i = 0; i < 16; i++) y[16 * group + i] = scale * (float)(q[i] >> shift & 3) - low;
    }
}

static void q3_K(const uint8_t *b, float *y) {
    const uint8_t *mask = b, *scales = b + 96;
    float d = load_f16(b + 108);
    for (int group = 0; group < 16; group++) {
        const uint8_t *q = b + 32 + 32 * (group / 8) + 16 * (group % 2);
        int shift = 2 * (group / 2 % 4);
        float scale = d * (float)eft_gguf_q3_scale(scales, (size_t)group);
        for (int i = 0; i < 16; i++) {
            int high = mask[16 * (group % 2) + i] >> (group / 2) & 1;
            y[16 * group + i] = scale * (float)((q[i] >> shift & 3) - (high ? 0 : 4));
        }
    }
}

static void q4_K(const uint8_t *b, float *y) {
    float d = load_f16(b), dmin = load_f16(b + 2);
    for (int group = 0; group < 8; group++) {
        const uint8_t *q = b + 16 + 32 * (group / 2);
        uint8_t scale, low;
        eft_gguf_k_scale(b + 4, (size_t)group, &scale, &low);
        float s = d * (float)scale, m = dmin * (float)low;
        for (int i = 0; i < 32; i++) y[32 * group + i] = s * (float)(q[i] >> (4 * (group % 2)) & 15) - m;
    }
}

static void q5_K(const uint8_t *b, float *y) {
    float d = load_f16(b), dmin = load_f16(b + 2);
    for (int group = 0; group < 8; group++) {
        const uint8_t *high = b + 16, *q = b + 48 + 32 * (group / 2);
        uint8_t scale, low;
        eft_gguf_k_scale(b + 4, (size_t)group, &scale, &low);
        float s = d * (float)scale, m = dmin * (float)low;
        for (int i = 0; i < 32; i++) {
            int code = (q[i] >> (4 * (group % 2)) & 15) | (high[i] >> group & 1) << 4;
            y[32 * group + i] = s * (float)code - m;
        }
    }
}

static void q6_K(const uint8_t *b, float *y) {
    float d = load_f16(b + 208);
    for (int part = 0; part < 8; part++) {
        // 64 bytes hold the low bits of 128 numbers, 32 bytes their high ones.
        const uint8_t *low = b + 64 * (part / 4) + 32 * (part % 2), *high = b + 128 + 32 * (part / 4);
        for (int i = 0; i < 32; i++) {
            int code = (low[i] >> (4 * (part % 4 / 2)) & 15) | (high[i] >> (2 * (part % 4)) & 3) << 4;
            float scale = d * (float)(int8_t)b[192 + 2 * part + i / 16];
            y[32 * part + i] = scale * (float)(code - 32);
        }
    }
}

static void iq4_xs(const uint8_t *b, float *y) {
    float d = load_f16(b);
    uint32_t high = load_u16(b + 2);
    for (int group = 0; group < 8; group++) {
        int low = b[4 + group / 2] >> (4 * (group % 2)) & 15;
        int scale = (int)((uint32_t)low | (high >> (2 * group) & 3) << 4) - 32;
        from_table(eft_iq4_values, d * (float)scale, b + 8 + 16 * group, 16, y + 32 * group);
    }
}

// ---------------------------------------------------------------------------------------------------------------------
// Ternary
// ---------------------------------------------------------------------------------------------------------------------

/// Bytes hold five digits to base 3, the first in the highest place, scaled to 256.
static void tq1_0(const uint8_t *b, float *y) {
    static const uint8_t powers[5] = {1, 3, 9, 27, 81};
    static const struct {
        int first, bytes, digits;
    } parts[3] = {{0, 32, 5}, {32, 16, 5}, {48, 4, 4}};
    float d = load_f16(b + 52);
    for (int part = 0; part < 3; part++)
        for (int digit = 0; digit < parts[part].digits; digit++)
            for (int i = 0; i < parts[part].bytes; i++) {
                uint8_t turned = (uint8_t)(b[parts[part].first + i] * powers[digit]);
                *y++ = d * (float)((turned * 3 >> 8) - 1);
            }
}

static void tq2_0(const uint8_t *b, float *y) {
    float d = load_f16(b + 64);
    for (int part = 0; part < 8; part++)
        for (int i = 0; i < 32; i++) {
            int code = b[32 * (part / 4) + i] >> (2 * (part % 4)) & 3;
            y[32 * part + i] = d * (float)(code - 1);
        }
}

// ---------------------------------------------------------------------------------------------------------------------
// Code books
// ---------------------------------------------------------------------------------------------------------------------

/// Seven sign bits and an eighth that makes their number even.
static uint32_t even_signs(uint32_t bits) { return bits | (uint32_t)(__builtin_popcount(bits) & 1) << 7; }

/// Eight numbers of a row of an IQ2 code book.
static void iq2_row(const uint8_t *grid, uint32_t row, uint32_t signs, float scale, float *y) {
    static const float values[4] = {8, 25, 43, 0};
    for (int i = 0; i < 8; i++) {
        float value = scale * values[grid[2 * row + (uint32_t)i / 4] >> (2 * (i % 4)) & 3];
        y[i] = signs >> i & 1 ? -value : value;
    }
}

static void iq2_xxs(const uint8_t *b, float *y) {
    float d = load_f16(b);
    for (int group = 0; group < 8; group++) {
        const uint8_t *rows = b + 2 + 8 * group;
        uint32_t word = load_u32(rows + 4);
        float scale = d * (0.5f + (float)(word >> 28)) * 0.25f;
        for (int i = 0; i < 4; i++)
            iq2_row(eft_grid_iq2_xxs, rows[i], even_signs(word >> (7 * i) & 127), scale, y + 32 * group + 8 * i);
    }
}

static void iq2_xs(const uint8_t *b, float *y) {
    float d = load_f16(b);
    for (int i = 0; i < 32; i++) {
        uint32_t word = load_u16(b + 2 + 2 * i);
        float scale = d * (0.5f + (float)(b[66 + i / 4] >> (4 * (i / 2 % 2)) & 15)) * 0.25f;
        iq2_row(eft_grid_iq2_xs, word & 511, even_signs(word >> 9), scale, y + 8 * i);
    }
}

static void iq2_s(const uint8_t *b, float *y) {
    const uint8_t *rows = b + 2, *signs = b + 34, *high = b + 66, *scales = b + 74;
    float d = load_f16(b);
    for (int i = 0; i < 32; i++) {
        uint32_t row = rows[i] | (high[i / 4] >> (2 * (i % 4)) & 3u) << 8;
        float scale = d * (0.5f + (float)(scales[i / 4] >> (4 * (i / 2 % 2)) & 15)) * 0.25f;
        iq2_row(eft_grid_iq2_s, row, signs[i], scale, y + 8 * i);
    }
}

/// Code i of a row of an IQ3 code book.
static uint32_t iq3_code(const uint8_t *grid, uint32_t row, int i) {
    return grid[2 * row + (uint32_t)i / 2] >> (4 * (i % 2)) & 7;
}

static void iq3_xxs(const uint8_t *b, float *y) {
    static const float values[8] = {4, 12, 20, 28, 36, 44, 52, 62};
    float d = load_f16(b);
    for (int i = 0; i < 256; i++) {
        uint32_t word = load_u32(b + 66 + 4 * (i / 32));
        float scale = d * (0.5f + (float)(word >> 28)) * 0.5f;
        float value = scale * values[iq3_code(eft_grid_iq3_xxs, b[2 + i / 4], i % 4)];
        y[i] = even_signs(word >> (7 * (i / 8 % 4)) & 127) >> (i % 8) & 1 ? -value : value;
    }
}

static void iq3_s(const uint8_t *b, float *y) {
    const uint8_t *rows = b + 2, *high = b + 66, *signs = b + 74, *scales = b + 106;
    float d = load_f16(b);
    for (int i = 0; i < 256; i++) {
        uint32_t row = rows[i / 4] | (high[i / 32] >> (i / 4 % 8) & 1u) << 8;
        int scale = 1 + 2 * (scales[i / 64] >> (4 * (i / 32 % 2)) & 15);
        float value = d * (float)scale * (float)(2 * iq3_code(eft_grid_iq3_s, row, i % 4) + 1);
        y[i] = signs[i / 8] >> (i % 8) & 1 ? -value : value;
    }
}

/// Eight numbers of a row of IQ1's code book.
static void iq1_row(uint32_t row, float scale, float delta, float *y) {
    for (int i = 0; i < 8; i++) {
        int code = eft_grid_iq1_s[2 * row + (uint32_t)i / 4] >> (2 * (i % 4)) & 3;
        y[i] = scale * ((float)(code - 1) + delta);
    }
}

static void iq1_s(const uint8_t *b, float *y) {
    float d = load_f16(b);
    for (int i = 0; i < 32; i++) {
        uint32_t high = load_u16(b + 34 + 2 * (i / 4));
        float scale = d * (float)(2 * (high >> 12 & 7) + 1);
        iq1_row(b[2 + i] | (high >> (3 * (i % 4)) & 7) << 8, scale, high & 0x8000 ? -0.125f : 0.125f, y + 8 * i);
    }
}

static void iq1_m(const uint8_t *b, float *y) {
    const uint8_t *scales = b + 48;
    // The block's own scale stands in the highest four bits of the four words of scales.
    uint32_t half = 0;
    for (int i = 0; i < 4; i++) half |= load_u16(scales + 2 * i) >> 12 << (4 * i);
    float d = eft_f32_of_f16((uint16_t)half);
    for (int i = 0; i < 32; i++) {
        uint32_t high = b[32 + i / 2] >> (4 * (i % 2)) & 15u;
        uint32_t scale = load_u16(scales + 2 * (i / 8)) >> (3 * (i / 2 % 4)) & 7;
        iq1_row(b[i] | (high & 7) << 8, d * (float)(2 * scale + 1), high & 8 ? -0.125f : 0.125f, y + 8 * i);
    }
}

// ---------------------------------------------------------------------------------------------------------------------
// All types
// ---------------------------------------------------------------------------------------------------------------------

typedef struct block_form {
    void (*values)(const uint8_t *block, float *y);
    uint16_t numbers, bytes;
} block_form;

static const block_form forms[] = {
    [EFT_GGUF_Q4_0] = {q4_0, 32, 18},       [EFT_GGUF_Q4_1] = {q4_1, 32, 20},     [EFT_GGUF_Q5_0] = {q5_0, 32, 22},
    [EFT_GGUF_Q5_1] = {q5_1, 32, 24},       [EFT_GGUF_Q8_0] = {q8_0, 32, 34},     [EFT_GGUF_Q2_K] = {q2_K, 256, 84},
    [EFT_GGUF_Q3_K] = {q3_K, 256, 110},     [EFT_GGUF_Q4_K] = {q4_K, 256, 144},   [EFT_GGUF_Q5_K] = {q5_K, 256, 176},
    [EFT_GGUF_Q6_K] = {q6_K, 256, 210},     [EFT_GGUF_IQ2_XXS] = {iq2_xxs, 256, 66}, [EFT_GGUF_IQ2_XS] = {iq2_xs, 256, 74},
    [EFT_GGUF_IQ3_XXS] = {iq3_xxs, 256, 98}, [EFT_GGUF_IQ1_S] = {iq1_s, 256, 50}, [EFT_GGUF_IQ4_NL] = {iq4_nl, 32, 18},
    [EFT_GGUF_IQ3_S] = {iq3_s, 256, 110},   [EFT_GGUF_IQ2_S] = {iq2_s, 256, 82},  [EFT_GGUF_IQ4_XS] = {iq4_xs, 256, 136},
    [EFT_GGUF_IQ1_M] = {iq1_m, 256, 56},    [EFT_GGUF_TQ1_0] = {tq1_0, 256, 54},  [EFT_GGUF_TQ2_0] = {tq2_0, 256, 66},
    [EFT_GGUF_MXFP4] = {mxfp4, 32, 17},     [EFT_GGUF_NVFP4] = {nvfp4, 64, 36},
};

bool eft_gguf_values(uint32_t type, size_t blocks, const void *source, float *values) {
    if (type >= sizeof forms / sizeof *forms || !forms[type].values) return false;
    const block_form form = forms[type];
    const uint8_t *block = source;
    for (size_t i = 0; i < blocks; i++, block += form.bytes, values += form.numbers) form.values(block, values);
    return true;
}

// SPDX-License-Identifier: Apache-2.0
// How codes and scales are put into blocks of GGUF's quantized types.
#ifndef EFT_GGUF_QUANTIZE_H
#define EFT_GGUF_QUANTIZE_H

#include <math.h>
#include <string.h>

#include "kernels_internal.h"

/// What the codes of IQ4_NL and IQ4_XS stand for.
extern const int8_t eft_iq4_values[16];

/// Blocks of IQ4_NL and IQ4_XS; false for other types.
bool eft_gguf_quantize_iq4(uint32_t type, size_t blocks, const float *values, void *target);

static inline void store_f16(uint8_t *p, float value) {
    uint16_t half = eft_f16_of_f32(value);
    p[0] = (uint8_t)half;
    p[1] = (uint8_t)(half >> 8);
}

static inline float halved(float value) { return eft_f32_of_f16(eft_f16_of_f32(value)); }

static inline int clamped(float value, int low, int high) {
    float rounded = rintf(value);
    if (!(rounded > (float)low)) return low;
    return rounded < (float)high ? (int)rounded : high;
}

/// The number of the largest magnitude, with its sign; the first of several.
static inline float peak(const float *x, int count) {
    float best = 0;
    for (int i = 0; i < count; i++)
        if (fabsf(x[i]) > fabsf(best)) best = x[i];
    return best;
}

static inline float inverse(float value) { return value == 0 ? 0 : 1 / value; }

static inline void put_fours(const uint8_t *codes, uint8_t *bytes) {
    for (int i = 0; i < 16; i++) bytes[i] = (uint8_t)((codes[i] & 15) | (codes[i + 16] & 15) << 4);
}

static inline void put_fifths(const uint8_t *codes, uint8_t *bytes) {
    uint32_t high = 0;
    for (int i = 0; i < 32; i++) high |= (uint32_t)(codes[i] >> 4 & 1) << i;
    for (int i = 0; i < 4; i++) bytes[i] = (uint8_t)(high >> 8 * i);
}

/// Twelve bytes for 8 scales and 8 least numbers of 6 bits.
static inline void put_sixes(const uint8_t *scales, const uint8_t *lows, uint8_t *bytes) {
    for (int j = 0; j < 4; j++) {
        bytes[j] = (uint8_t)(scales[j] | (scales[j + 4] >> 4) << 6);
        bytes[j + 4] = (uint8_t)(lows[j] | (lows[j + 4] >> 4) << 6);
        bytes[j + 8] = (uint8_t)((scales[j + 4] & 15) | (lows[j + 4] & 15) << 4);
    }
}

/// A block of Q4_K or Q5_K of its codes.
static inline void put_parts_above(float d, float m, const uint8_t *scale_codes, const uint8_t *low_codes, const uint8_t *codes,
                                   int bits, uint8_t *b) {
    store_f16(b, d);
    store_f16(b + 2, m);
    put_sixes(scale_codes, low_codes, b + 4);
    uint8_t *high = b + 16, *low = b + (bits == 5 ? 48 : 16);
    if (bits == 5) memset(high, 0, 32);
    for (int j = 0; j < 4; j++)
        for (int i = 0; i < 32; i++) {
            uint8_t one = codes[64 * j + i], two = codes[64 * j + 32 + i];
            low[32 * j + i] = (uint8_t)((one & 15) | (two & 15) << 4);
            if (bits == 5) high[i] |= (uint8_t)((one >> 4) << (2 * j) | (two >> 4) << (2 * j + 1));
        }
}

/// A block of Q6_K of the scales of its 16 parts.
static inline void put_q6_k(const float *x, const float *scales, uint8_t *b) {
    float d = halved(peak(scales, 16) / -128);
    uint8_t codes[256];
    for (int j = 0; j < 16; j++) {
        int code = clamped(scales[j] * inverse(d), -128, 127);
        b[192 + j] = (uint8_t)(int8_t)code;
        float id = inverse(d * (float)code);
        for (int i = 16 * j; i < 16 * j + 16; i++) codes[i] = (uint8_t)(clamped(x[i] * id, -32, 31) + 32);
    }
    store_f16(b + 208, d);
    for (int half = 0; half < 2; half++) {
        const uint8_t *c = codes + 128 * half;
        for (int i = 0; i < 32; i++) {
            b[64 * half + i] = (uint8_t)((c[i] & 15) | (c[i + 64] & 15) << 4);
            b[64 * half + 32 + i] = (uint8_t)((c[i + 32] & 15) | (c[i + 96] & 15) << 4);
            b[128 + 32 * half + i] = (uint8_t)(c[i] >> 4 | (c[i + 32] >> 4) << 2 | (c[i + 64] >> 4) << 4
                                               | (c[i + 96] >> 4) << 6);
        }
    }
}

#endif

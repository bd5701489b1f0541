// SPDX-License-Identifier: Apache-2.0
// Numbers to the blocks of GGUF's quantized types. Blocks of 32 are what the format's own package makes of them, bit for bit; of blocks
// of 256, which leave a choice, scales are fitted by weighted least squares over a row of candidates.
#include <math.h>
#include <string.h>

#include "CEftKernels.h"
#include "gguf_quantize.h"

// ---------------------------------------------------------------------------------------------------------------------
// Blocks of 32
// ---------------------------------------------------------------------------------------------------------------------

/// Rounds towards zero, within 0...largest.
static uint8_t truncated(float value, int largest) {
    if (!(value > 0)) return 0;
    return value < (float)largest ? (uint8_t)value : (uint8_t)largest;
}

/// Codes around the middle: the number of the largest magnitude has the lowest code.
static void around(const float *x, int bits, uint8_t *b) {
    int middle = 1 << (bits - 1);
    float d = peak(x, 32) / (float)-middle, id = inverse(d);
    uint8_t codes[32];
    for (int i = 0; i < 32; i++) codes[i] = truncated(x[i] * id + ((float)middle + 0.5f), 2 * middle - 1);
    store_f16(b, d);
    if (bits == 5) put_fifths(codes, b + 2);
    put_fours(codes, b + (bits == 5 ? 6 : 2));
}

/// Codes from the least number on.
static void above(const float *x, int bits, uint8_t *b) {
    float low = x[0], high = x[0];
    for (int i = 1; i < 32; i++) {
        if (x[i] < low) low = x[i];
        if (x[i] > high) high = x[i];
    }
    int largest = (1 << bits) - 1;
    float d = (high - low) / (float)largest, id = inverse(d);
    uint8_t codes[32];
    for (int i = 0; i < 32; i++) codes[i] = truncated((x[i] - low) * id + 0.5f, largest);
    store_f16(b, d);
    store_f16(b + 2, low);
    if (bits == 5) put_fifths(codes, b + 4);
    put_fours(codes, b + (bits == 5 ? 8 : 4));
}

static void q8_0(const float *x, uint8_t *b) {
    float d = fabsf(peak(x, 32)) / 127, id = inverse(d);
    store_f16(b, d);
    for (int i = 0; i < 32; i++) b[2 + i] = (uint8_t)(int8_t)roundf(x[i] * id);
}

// ---------------------------------------------------------------------------------------------------------------------
// Blocks of 256: 8 parts with a scale and a least number of 6 bits each (Q4_K, Q5_K)
// ---------------------------------------------------------------------------------------------------------------------

/// Fits code * scale - low to 32 numbers, low >= 0.
static void fit_above(const float *x, int largest, float *scale, float *low) {
    float least = 0, most = x[0], squares = 0, w[32];
    for (int i = 0; i < 32; i++) {
        if (x[i] < least) least = x[i];
        if (x[i] > most) most = x[i];
        squares += x[i] * x[i];
    }
    *scale = 0;
    *low = -least;
    if (!(most > least)) return;
    // Large numbers matter more, small ones matter too.
    float mean = sqrtf(squares / 32);
    for (int i = 0; i < 32; i++) w[i] = mean + fabsf(x[i]);
    float best = INFINITY;
    for (int step = 0; step <= 20; step++) {
        float inverse = ((float)largest - 1 + 0.1f * (float)step) / (most - least);
        float sw = 0, sq = 0, sqq = 0, sx = 0, sqx = 0;
        int codes[32];
        for (int i = 0; i < 32; i++) {
            codes[i] = clamped(inverse * (x[i] - least), 0, largest);
            float q = (float)codes[i];
            sw += w[i];
            sq += w[i] * q;
            sqq += w[i] * q * q;
            sx += w[i] * x[i];
            sqx += w[i] * q * x[i];
        }
        float det = sw * sqq - sq * sq;
        // Codes that are all the same leave no choice of both.
        float s = 0, m = -1;
        if (det > 0) {
            s = (sw * sqx - sx * sq) / det;
            m = (sq * sqx - sqq * sx) / det;
        }
        if (m < 0) {
            m = 0;
            s = sqq > 0 ? sqx / sqq : 0;
        }
        if (!(s > 0)) continue;
        float error = 0;
        for (int i = 0; i < 32; i++) {
            float off = s * (float)codes[i] - m - x[i];
            error += w[i] * off * off;
        }
        if (error < best) {
            best = error;
            *scale = s;
            *low = m;
        }
    }
}

static void parts_above(const float *x, int bits, uint8_t *b) {
    int largest = (1 << bits) - 1;
    float scales[8], lows[8], top_scale = 0, top_low = 0;
    for (int j = 0; j < 8; j++) {
        fit_above(x + 32 * j, largest, &scales[j], &lows[j]);
        if (scales[j] > top_scale) top_scale = scales[j];
        if (lows[j] > top_low) top_low = lows[j];
    }
    float d = halved(top_scale / 63), m = halved(top_low / 63);
    uint8_t scale_codes[8], low_codes[8], codes[256];
    for (int j = 0; j < 8; j++) {
        scale_codes[j] = (uint8_t)clamped(scales[j] * inverse(d), 0, 63);
        low_codes[j] = (uint8_t)clamped(lows[j] * inverse(m), 0, 63);
        float scale = d * (float)scale_codes[j], low = m * (float)low_codes[j];
        for (int i = 32 * j; i < 32 * j + 32; i++)
            codes[i] = scale > 0 ? (uint8_t)clamped((x[i] + low) / scale, 0, largest) : 0;
    }
    put_parts_above(d, m, scale_codes, low_codes, codes, bits, b);
}

// ---------------------------------------------------------------------------------------------------------------------
// Blocks of 256: 16 parts with a signed scale of 8 bits each (Q6_K)
// ---------------------------------------------------------------------------------------------------------------------

/// Fits code * scale to 16 numbers, codes in -32...31.
static float fit_around(const float *x) {
    float top = peak(x, 16), scale = 0, best = -1;
    if (top == 0) return 0;
    for (int step = -9; step <= 9; step++) {
        float inverse = -(32 + 0.1f * (float)step) / top, sxq = 0, sqq = 0;
        for (int i = 0; i < 16; i++) {
            float q = (float)clamped(inverse * x[i], -32, 31), w = x[i] * x[i];
            sxq += w * x[i] * q;
            sqq += w * q * q;
        }
        if (sqq > 0 && sxq * sxq > best * sqq) {
            best = sxq * sxq / sqq;
            scale = sxq / sqq;
        }
    }
    return scale;
}

static void q6_k(const float *x, uint8_t *b) {
    float scales[16];
    for (int j = 0; j < 16; j++) scales[j] = fit_around(x + 16 * j);
    put_q6_k(x, scales, b);
}

bool eft_gguf_quantize(uint32_t type, size_t blocks, const float *values, void *target) {
    uint8_t *b = target;
    for (size_t i = 0; i < blocks; i++) {
        switch (type) {
        case EFT_GGUF_Q4_0: around(values + 32 * i, 4, b + 18 * i); break;
        case EFT_GGUF_Q4_1: above(values + 32 * i, 4, b + 20 * i); break;
        case EFT_GGUF_Q5_0: around(values + 32 * i, 5, b + 22 * i); break;
        case EFT_GGUF_Q5_1: above(values + 32 * i, 5, b + 24 * i); break;
        case EFT_GGUF_Q8_0: q8_0(values + 32 * i, b + 34 * i); break;
        case EFT_GGUF_Q4_K: parts_above(values + 256 * i, 4, b + 144 * i); break;
        case EFT_GGUF_Q5_K: parts_above(values + 256 * i, 5, b + 176 * i); break;
        case EFT_GGUF_Q6_K: q6_k(values + 256 * i, b + 210 * i); break;
        default: return eft_gguf_quantize_iq4(type, blocks, values, target);
        }
    }
    return true;
}

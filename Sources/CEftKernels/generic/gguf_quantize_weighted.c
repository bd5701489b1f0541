// SPDX-License-Identifier: Apache-2.0
// Numbers to GGUF's blocks where some columns matter more than others: an importance matrix gives each column a weight, the mean square
// of its inputs. Scales are those of the least weighted squares over a row of candidates.
#include <math.h>
#include <string.h>

#include "CEftKernels.h"
#include "gguf_quantize.h"

/// Weights of a block's numbers: the column's, times the number's magnitude, of which no number counts for nothing.
static void weigh(const float *x, const float *columns, int count, float spread, float *w) {
    for (int i = 0; i < count; i++) w[i] = columns[i] * sqrtf(spread + x[i] * x[i]);
}

static float mean_square(const float *x, size_t count) {
    double sum = 0;
    for (size_t i = 0; i < count; i++) sum += (double)x[i] * x[i];
    return (float)(sum / (double)count);
}

/// Fits code * scale to numbers, codes in -middle...middle - 1; codes are stored from 0 on.
static float fit_around(const float *x, const float *w, int count, int middle, uint8_t *codes) {
    float top = peak(x, count), scale = 0, best = 0;
    if (top != 0)
        for (int step = -9; step <= 9; step++) {
            float inverse = -((float)middle + 0.1f * (float)step) / top, sxq = 0, sqq = 0;
            for (int i = 0; i < count; i++) {
                float q = (float)clamped(inverse * x[i], -middle, middle - 1);
                sxq += w[i] * x[i] * q;
                sqq += w[i] * q * q;
            }
            if (sqq > 0 && sxq * sxq > best * sqq) {
                best = sxq * sxq / sqq;
                scale = sxq / sqq;
            }
        }
    float inverse = scale == 0 ? 0 : 1 / scale;
    for (int i = 0; i < count; i++) codes[i] = (uint8_t)(clamped(inverse * x[i], -middle, middle - 1) + middle);
    return scale;
}

/// Fits code * scale - low to 32 numbers.
/// - Parameter any: whether low may be below zero.
static void fit_above(const float *x, const float *w, int largest, bool any, float *scale, float *low) {
    float least = any ? x[0] : 0, most = x[0], sw = 0, sx = 0;
    for (int i = 0; i < 32; i++) {
        if (x[i] < least) least = x[i];
        if (x[i] > most) most = x[i];
        sw += w[i];
        sx += w[i] * x[i];
    }
    *scale = 0;
    *low = -least;
    if (!(most > least)) return;
    float best = INFINITY;
    for (int step = 0; step <= 36; step++) {
        float inverse = ((float)largest - 0.9f + 0.05f * (float)step) / (most - least);
        float sq = 0, sqq = 0, sqx = 0, codes[32];
        for (int i = 0; i < 32; i++) {
            float q = codes[i] = (float)clamped(inverse * (x[i] - least), 0, largest);
            sq += w[i] * q;
            sqq += w[i] * q * q;
            sqx += w[i] * q * x[i];
        }
        float det = sw * sqq - sq * sq, s = 0, m = -1;
        bool solved = det > 0;
        if (solved) {
            s = (sw * sqx - sx * sq) / det;
            m = (sq * sqx - sqq * sx) / det;
        }
        if (!solved || (m < 0 && !any)) {
            m = 0;
            s = sqq > 0 ? sqx / sqq : 0;
        }
        if (!(s > 0)) continue;
        float error = 0;
        for (int i = 0; i < 32; i++) {
            float off = s * codes[i] - m - x[i];
            error += w[i] * off * off;
        }
        if (error < best) {
            best = error;
            *scale = s;
            *low = m;
        }
    }
}

/// The step of which whole numbers up to 63 come closest to 8 scales.
static float fit_scales(const float *scales, const float *w) {
    float top = 0, best = INFINITY, result = 0;
    for (int j = 0; j < 8; j++)
        if (scales[j] > top) top = scales[j];
    if (!(top > 0)) return 0;
    for (int step = -4; step <= 4; step++) {
        float d = halved(top / (63 + 0.1f * (float)step)), id = inverse(d), error = 0;
        for (int j = 0; j < 8; j++) {
            float off = d * (float)clamped(scales[j] * id, 0, 63) - scales[j];
            error += w[j] * off * off;
        }
        if (error < best) {
            best = error;
            result = d;
        }
    }
    return result;
}

static void around(const float *x, const float *w, int bits, uint8_t *b) {
    uint8_t codes[32];
    store_f16(b, fit_around(x, w, 32, 1 << (bits - 1), codes));
    if (bits == 5) put_fifths(codes, b + 2);
    put_fours(codes, b + (bits == 5 ? 6 : 2));
}

static void above(const float *x, const float *w, int bits, uint8_t *b) {
    int largest = (1 << bits) - 1;
    float scale, low;
    uint8_t codes[32];
    fit_above(x, w, largest, true, &scale, &low);
    float d = halved(scale), m = halved(-low), id = inverse(d);
    for (int i = 0; i < 32; i++) codes[i] = (uint8_t)clamped((x[i] - m) * id, 0, largest);
    store_f16(b, d);
    store_f16(b + 2, m);
    if (bits == 5) put_fifths(codes, b + 4);
    put_fours(codes, b + (bits == 5 ? 8 : 4));
}

static void parts_above(const float *x, const float *columns, int bits, uint8_t *b) {
    int largest = (1 << bits) - 1;
    float scales[8], lows[8], sums[8], w[32], spread = 2 * mean_square(x, 256);
    for (int j = 0; j < 8; j++) {
        weigh(x + 32 * j, columns + 32 * j, 32, spread, w);
        fit_above(x + 32 * j, w, largest, false, &scales[j], &lows[j]);
        sums[j] = 0;
        for (int i = 0; i < 32; i++) sums[j] += w[i];
    }
    float d = fit_scales(scales, sums), m = fit_scales(lows, sums);
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

static void q6_k(const float *x, const float *columns, uint8_t *b) {
    float scales[16];
    uint8_t codes[256];
    for (int j = 0; j < 16; j++) scales[j] = fit_around(x + 16 * j, columns + 16 * j, 16, 32, codes);
    put_q6_k(x, scales, b);
}

// ---------------------------------------------------------------------------------------------------------------------
// IQ4: codes that stand for 16 numbers which lie closer around zero
// ---------------------------------------------------------------------------------------------------------------------

static uint8_t nearest(float value) {
    int low = 0, high = 15;
    if (!(value > (float)eft_iq4_values[0])) return 0;
    if (value >= (float)eft_iq4_values[15]) return 15;
    while (high - low > 1) {
        int middle = (low + high) / 2;
        if (value < (float)eft_iq4_values[middle]) high = middle; else low = middle;
    }
    return (uint8_t)(value - (float)eft_iq4_values[low] < (float)eft_iq4_values[high] - value ? low : high);
}

/// Fits a scale to 32 numbers.
static float fit_table(const float *x, const float *w) {
    float top = peak(x, 32), scale = 0, best = 0;
    if (top == 0) return 0;
    for (int side = 0; side < 2; side++)
        for (int step = -7; step <= 7; step++) {
            // The largest number is near either end of the table.
            float inverse = ((float)eft_iq4_values[side == 0 ? 0 : 15] + (float)step) / top, sxq = 0, sqq = 0;
            for (int i = 0; i < 32; i++) {
                float q = (float)eft_iq4_values[nearest(inverse * x[i])];
                sxq += w[i] * x[i] * q;
                sqq += w[i] * q * q;
            }
            if (sqq > 0 && sxq * sxq > best * sqq) {
                best = sxq * sxq / sqq;
                scale = sxq / sqq;
            }
        }
    return scale;
}

/// Without an importance matrix all columns count alike.
static void weigh_table(const float *x, const float *columns, float spread, float *w) {
    for (int i = 0; i < 32; i++) w[i] = (columns ? columns[i] : 1) * sqrtf(spread + x[i] * x[i]);
}

static void iq4_nl(const float *x, const float *columns, uint8_t *b) {
    float w[32];
    weigh_table(x, columns, 2 * mean_square(x, 32), w);
    float d = halved(fit_table(x, w)), id = inverse(d);
    uint8_t codes[32];
    for (int i = 0; i < 32; i++) codes[i] = nearest(x[i] * id);
    store_f16(b, d);
    put_fours(codes, b + 2);
}

static void iq4_xs(const float *x, const float *columns, uint8_t *b) {
    float scales[8], w[32], spread = 2 * mean_square(x, 256);
    for (int j = 0; j < 8; j++) {
        weigh_table(x + 32 * j, columns ? columns + 32 * j : NULL, spread, w);
        scales[j] = fit_table(x + 32 * j, w);
    }
    float d = halved(peak(scales, 8) / -32);
    store_f16(b, d);
    uint16_t high = 0;
    memset(b + 4, 0, 4);
    for (int j = 0; j < 8; j++) {
        int code = clamped(scales[j] * inverse(d), -32, 31);
        float id = inverse(d * (float)code);
        uint8_t stored = (uint8_t)(code + 32), codes[32];
        b[4 + j / 2] |= (uint8_t)((stored & 15) << 4 * (j % 2));
        high |= (uint16_t)((stored >> 4) << 2 * j);
        for (int i = 0; i < 32; i++) codes[i] = nearest(x[32 * j + i] * id);
        put_fours(codes, b + 8 + 16 * j);
    }
    b[2] = (uint8_t)high;
    b[3] = (uint8_t)(high >> 8);
}

bool eft_gguf_quantize_iq4(uint32_t type, size_t blocks, const float *values, void *target) {
    uint8_t *b = target;
    for (size_t i = 0; i < blocks; i++) {
        switch (type) {
        case EFT_GGUF_IQ4_NL: iq4_nl(values + 32 * i, NULL, b + 18 * i); break;
        case EFT_GGUF_IQ4_XS: iq4_xs(values + 256 * i, NULL, b + 136 * i); break;
        default: return false;
        }
    }
    return true;
}

bool eft_gguf_quantize_weighted(uint32_t type, size_t columns, const float *values, const float *weights, void *target) {
    uint8_t *b = target;
    size_t size = type == EFT_GGUF_Q4_K || type == EFT_GGUF_Q5_K || type == EFT_GGUF_Q6_K || type == EFT_GGUF_IQ4_XS ? 256 : 32;
    float spread = columns > 0 ? mean_square(values, columns) : 0, w[32];
    for (size_t i = 0; i < columns / size; i++) {
        const float *x = values + size * i, *c = weights + size * i;
        if (size == 32) weigh(x, c, 32, spread, w);
        switch (type) {
        case EFT_GGUF_Q4_0: around(x, w, 4, b + 18 * i); break;
        case EFT_GGUF_Q4_1: above(x, w, 4, b + 20 * i); break;
        case EFT_GGUF_Q5_0: around(x, w, 5, b + 22 * i); break;
        case EFT_GGUF_Q5_1: above(x, w, 5, b + 24 * i); break;
        case EFT_GGUF_Q4_K: parts_above(x, c, 4, b + 144 * i); break;
        case EFT_GGUF_Q5_K: parts_above(x, c, 5, b + 176 * i); break;
        case EFT_GGUF_Q6_K: q6_k(x, c, b + 210 * i); break;
        case EFT_GGUF_IQ4_NL: iq4_nl(x, c, b + 18 * i); break;
        case EFT_GGUF_IQ4_XS: iq4_xs(x, c, b + 136 * i); break;
        default: return false;
        }
    }
    return true;
}

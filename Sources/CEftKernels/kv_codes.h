// SPDX-License-Identifier: Apache-2.0
// Pages of keys and values in codes of 8 or 4 bits.
//
// Runs of 32 numbers of a head are rotated (a Walsh-Hadamard transform, orthonormal, which spreads outliers) and quantized
// with a scale each; that of 4 bits cuts off the largest numbers where that lowers the squared error. Attention turns the query by the same rotation, which keeps its products with the keys, sums
// values as they are stored, and turns the result back: what is read from a page needs no transform.
//
// | part of a page, for each kv head    | bytes                |
// |-------------------------------------|----------------------|
// | codes of keys [D][16 tokens]        | D * 16 * key_bits/8  |
// | scales of keys [D/32][16] f16       | D                    |
// | codes of values [16][D]             | D * 16 * value_bits/8|
// | scales of values [D/32][16] f16     | D                    |
//
// A number is its code times the scale. 8-bit codes are two's complement, those of 4 bits have 8 added. 4-bit keys: byte t of 16
// holds token t of one number of the head (low) and of the next. 4-bit values: byte i of a run's 16 holds elements i and i + 16.
#ifndef EFT_KV_CODES_H
#define EFT_KV_CODES_H

#include "kernels_internal.h"

/// Numbers that are rotated together and share a scale.
#define EFT_KV_RUN 32

#define KV_INLINE __attribute__((always_inline)) static inline

/// The parts of a head's page.
typedef struct eft_kv_head {
    uint8_t *key_codes, *value_codes;
    uint16_t *key_scales, *value_scales;
} eft_kv_head;

KV_INLINE size_t eft_kv_head_bytes(const eft_attention *a) {
    return a->head_dim * (EFT_PAGE / 8 * (size_t)(a->key_bits + a->value_bits) + 2);
}

KV_INLINE eft_kv_head eft_kv_head_of(const eft_attention *a, void *page, size_t kv_head) {
    uint8_t *base = (uint8_t *)page + kv_head * eft_kv_head_bytes(a);
    uint8_t *key_scales = base + a->head_dim * EFT_PAGE / 8 * a->key_bits;
    uint8_t *values = key_scales + a->head_dim;
    uint8_t *value_scales = values + a->head_dim * EFT_PAGE / 8 * a->value_bits;
    return (eft_kv_head){base, values, (uint16_t *)key_scales, (uint16_t *)value_scales};
}

/// Rotates runs of 32 numbers; its own inverse.
KV_INLINE void eft_kv_rotate(size_t dim, float *x) {
    for (size_t run = 0; run < dim; run += EFT_KV_RUN) {
        float *r = x + run;
#pragma clang loop unroll(full)
        for (size_t half = 1; half < EFT_KV_RUN; half *= 2) {
            float y[EFT_KV_RUN];
            for (size_t i = 0; i < EFT_KV_RUN; i++) {
                float other = r[i ^ half];
                y[i] = i & half ? other - r[i] : r[i] + other;
            }
            memcpy(r, y, sizeof y);
        }
        for (size_t i = 0; i < EFT_KV_RUN; i++) r[i] *= 0.17677669529663687f;
    }
}

/// The code of a number as steps from zero, before it is bounded.
KV_INLINE float eft_kv_steps(float x, float inverse) { return (x * inverse + 0x1.8p23f) - 0x1.8p23f; }

/// Clippings that are tried for 4 bits: from the scale of the largest number down in steps of 5 %.
#define EFT_KV_CLIPPINGS 7

/// The scale of 4-bit codes, as f16, with the least sum of squared errors.
KV_INLINE uint16_t eft_kv_clip(float plain, const float *x) {
    uint16_t best = 0;
    float least = __builtin_inff();
    for (int clipping = 0; clipping < EFT_KV_CLIPPINGS; clipping++) {
        uint16_t half = eft_f16_of_f32(plain * (1 - 0.05f * (float)clipping));
        float scale = eft_f32_of_f16(half), inverse = 1 / scale, sums[8] = {0};
        for (size_t i = 0; i < EFT_KV_RUN; i++) {
            float steps = eft_kv_steps(x[i], inverse);
            steps = steps < -8 ? -8 : steps > 7 ? 7 : steps;
            float error = steps * scale - x[i];
            sums[i % 8] += error * error;
        }
        float sum = ((sums[0] + sums[4]) + (sums[2] + sums[6])) + ((sums[1] + sums[5]) + (sums[3] + sums[7]));
        if (sum < least) least = sum, best = half;
    }
    return best;
}

/// Quantizes a run to codes from zero up; returns the scale as f16. What is not finite makes the scale NaN.
KV_INLINE uint16_t eft_kv_quantize(uint32_t bits, const float *x, uint8_t codes[EFT_KV_RUN]) {
    uint32_t most = 0;
    for (size_t i = 0; i < EFT_KV_RUN; i++) {
        uint32_t magnitude = eft_bits_of_f32(x[i]) & 0x7fffffffu;
        most = magnitude > most ? magnitude : most;
    }
    float zero = bits == 8 ? 128 : 8;
    // The step puts the largest half a step beyond the last code, which is as far as it is rounded.
    uint16_t half = eft_f16_of_f32(eft_f32_of_bits(most) / (zero - 0.5f));
    float scale = eft_f32_of_f16(half);
    if (!(scale > 0) || most >= 0x7f800000u || (half & 0x7c00u) == 0x7c00u) {
        memset(codes, (int)zero, EFT_KV_RUN);
        return most == 0 || scale == 0 ? 0 : 0x7e00u;
    }
    // The smallest normal number: below, halves are too coarse for clippings, and 1 / scale may be infinite.
    if (bits == 4 && (half & 0x7c00u) > 0x0400u) half = eft_kv_clip(eft_f32_of_bits(most) / (zero - 0.5f), x);
    float inverse = 1 / eft_f32_of_f16(half);
    for (size_t i = 0; i < EFT_KV_RUN; i++) {
        float code = eft_kv_steps(x[i], inverse) + zero;
        code = code < 0 ? 0 : code > 2 * zero - 1 ? 2 * zero - 1 : code;
        codes[i] = (uint8_t)code;
    }
    return half;
}

/// Writes one token's key and value of a head; `k` and `v` are rotated in place.
KV_INLINE void eft_kv_write_token(const eft_attention *a, eft_kv_head head, size_t slot, float *k, float *v) {
    uint8_t codes[EFT_KV_RUN];
    size_t dim = a->head_dim;
    eft_kv_rotate(dim, k);
    eft_kv_rotate(dim, v);
    for (size_t run = 0; run < dim / EFT_KV_RUN; run++) {
        head.key_scales[run * EFT_PAGE + slot] = eft_kv_quantize(a->key_bits, k + run * EFT_KV_RUN, codes);
        for (size_t i = 0; i < EFT_KV_RUN; i++) {
            size_t d = run * EFT_KV_RUN + i;
            if (a->key_bits == 8) {
                head.key_codes[d * EFT_PAGE + slot] = codes[i] ^ 0x80;
                continue;
            }
            uint8_t *byte = &head.key_codes[d / 2 * EFT_PAGE + slot];
            *byte = (uint8_t)(d % 2 == 0 ? (*byte & 0xf0) | codes[i] : (*byte & 0x0f) | codes[i] << 4);
        }
        head.value_scales[run * EFT_PAGE + slot] = eft_kv_quantize(a->value_bits, v + run * EFT_KV_RUN, codes);
        uint8_t *target = head.value_codes + (slot * dim + run * EFT_KV_RUN) * a->value_bits / 8;
        if (a->value_bits == 8)
            for (size_t i = 0; i < EFT_KV_RUN; i++) target[i] = codes[i] ^ 0x80;
        else
            for (size_t i = 0; i < EFT_KV_RUN / 2; i++) target[i] = (uint8_t)(codes[i] | codes[i + 16] << 4);
    }
}

/// A head's page, still rotated, as f32: keys [D][16], values [16][D].
KV_INLINE void eft_kv_dequantize(const eft_attention *a, eft_kv_head head, float *restrict keys,
                                 float *restrict values) {
    size_t dim = a->head_dim, runs = dim / EFT_KV_RUN;
    for (size_t run = 0; run < runs; run++) {
        float scales[EFT_PAGE];
        for (size_t t = 0; t < EFT_PAGE; t++) scales[t] = eft_f32_of_f16(head.key_scales[run * EFT_PAGE + t]);
        for (size_t d = run * EFT_KV_RUN; d < (run + 1) * EFT_KV_RUN; d += 2) {
            float *first = keys + d * EFT_PAGE, *second = first + EFT_PAGE;
            if (a->key_bits == 8) {
                const int8_t *codes = (const int8_t *)head.key_codes + d * EFT_PAGE;
                for (size_t t = 0; t < EFT_PAGE; t++) first[t] = (float)codes[t] * scales[t];
                for (size_t t = 0; t < EFT_PAGE; t++) second[t] = (float)codes[t + EFT_PAGE] * scales[t];
            } else {
                const uint8_t *codes = head.key_codes + d / 2 * EFT_PAGE;
                for (size_t t = 0; t < EFT_PAGE; t++) first[t] = (float)((int32_t)(codes[t] & 15) - 8) * scales[t];
                for (size_t t = 0; t < EFT_PAGE; t++) second[t] = (float)((int32_t)(codes[t] >> 4) - 8) * scales[t];
            }
        }
    }
    for (size_t t = 0; t < EFT_PAGE; t++)
        for (size_t run = 0; run < runs; run++) {
            float scale = eft_f32_of_f16(head.value_scales[run * EFT_PAGE + t]);
            float *target = values + t * dim + run * EFT_KV_RUN;
            const uint8_t *codes = head.value_codes + (t * dim + run * EFT_KV_RUN) * a->value_bits / 8;
            if (a->value_bits == 8) {
                for (size_t i = 0; i < EFT_KV_RUN; i++) target[i] = (float)(int8_t)codes[i] * scale;
            } else {
                for (size_t i = 0; i < 16; i++) target[i] = (float)((int32_t)(codes[i] & 15) - 8) * scale;
                for (size_t i = 0; i < 16; i++) target[i + 16] = (float)((int32_t)(codes[i] >> 4) - 8) * scale;
            }
        }
}

#endif

// SPDX-License-Identifier: Apache-2.0
// Activations as integers of 16 or 8 bits, a scale for each row and part of a scale group: what all versions of the
// product share.
//
// With x[k] = s i[k] and codes q[k] of zero point z, a part of an output is s scale (sum q i - z sum i). The sums
// are exact in 32 bits (wrapping on the way does no harm), so that every version gives the same bits in any order.
#ifndef EFT_INTEGERS_H
#define EFT_INTEGERS_H

#include "products.h"

/// Largest magnitude of an activation: 128 * 32767 * 512 inputs still fit in 32 bits.
#define EFT_INT16_MOST 32767.0f
/// Likewise with 8 bits: symmetric, so that the magnitudes are those of 7 bits.
#define EFT_INT8_MOST 127.0f

/// Steps of four inputs whose codes are in one row of words, each a shift further; 1 where codes lie otherwise.
static inline int eft_steps_in_row(uint32_t bits) { return bits == 2 ? 4 : bits == 4 ? 2 : 1; }

static inline bool eft_fits_integers(const eft_weight *w) {
    if (w->kind != EFT_WEIGHT_CODED) return false;
    if (w->code_book != EFT_CODES_SIGNED && w->code_book != EFT_CODES_E2M1) return false;
    for (size_t g = 0; g < w->group_count; g++)
        if (w->groups[g].blocks > EFT_INT16_BLOCKS) return false;
    return true;
}

/// Quantizes a row's part of a group: nearest integers (ties to even) to x / scale, with scale = max |x| / most.
///
/// Returns the scale: 0 when all numbers are below 2^-100, NaN when one is not finite; the integers are 0 then.
__attribute__((always_inline)) static inline float eft_integers_quantize(float most, size_t count,
                                                                        const float *restrict x,
                                                                        int16_t *restrict integers) {
    uint32_t magnitudes = 0;
    for (size_t k = 0; k < count; k++) {
        uint32_t magnitude = eft_bits_of_f32(x[k]) & 0x7fffffffu;
        magnitudes = magnitude > magnitudes ? magnitude : magnitudes;
    }
    float largest = eft_f32_of_bits(magnitudes);
    bool finite = magnitudes < 0x7f800000u;
    if (!finite || largest < 0x1p-100f) {
        memset(integers, 0, count * sizeof *integers);
        return finite ? 0 : eft_f32_of_bits(0x7fc00000u);
    }
    float inverse = most / largest;
    for (size_t k = 0; k < count; k++) {
        // 1.5 * 2^23 places the last bit of an integer at the last bit of the number.
        uint32_t bits = eft_bits_of_f32(x[k] * inverse + 0x1.8p23f);
        integers[k] = (int16_t)(bits - 0x4b400000u);
    }
    return largest / most;
}

/// What is taken for the zero point of E2M1, whose integers are looked up and so can begin anywhere.
#define EFT_E2M1_ZERO 16

/// The zero point of a group's codes, as they enter a product.
static inline int32_t eft_zero_point(const eft_weight *w, uint32_t bits) {
    return w->code_book == EFT_CODES_E2M1 ? EFT_E2M1_ZERO : 1 << (bits - 1);
}

/// -z times the sum of a part's integers.
__attribute__((always_inline)) static inline int32_t eft_integers_start(size_t count, const int16_t *integers,
                                                                       int32_t zero) {
    int32_t sum = 0;
    for (size_t k = 0; k < count; k++) sum += integers[k];
    return -sum * zero;
}

/// What a part's packing has beside its scale: what takes the zero point away, or where there are offsets the sum of its numbers.
__attribute__((always_inline)) static inline uint32_t eft_integers_head(eft_scale_type type, float scale, size_t count,
                                                                       const int16_t *integers, int32_t zero) {
    if (!eft_has_offsets(type)) return (uint32_t)eft_integers_start(count, integers, zero);
    int32_t sum = 0;
    for (size_t k = 0; k < count; k++) sum += integers[k];
    return eft_bits_of_f32(scale * (float)sum);
}

#endif

// SPDX-License-Identifier: Apache-2.0
// 8-bit floating point numbers (E4M3) with a scale, as bf16.
#include <string.h>

#include "CEftKernels.h"

static float bits_f32(uint32_t bits) {
    float value;
    memcpy(&value, &bits, 4);
    return value;
}

static uint32_t f32_bits(float value) {
    uint32_t bits;
    memcpy(&bits, &value, 4);
    return bits;
}

void eft_e4m3_to_bf16(size_t count, const uint8_t *source, float scale, void *target) {
    enum { piece = 256 };
    uint8_t bytes[piece];
    uint16_t numbers[piece];
    for (size_t first = 0; first < count; first += piece) {
        size_t n = count - first < piece ? count - first : piece;
        // The source may lie within the target, further on.
        memcpy(bytes, source + first, n);
        for (size_t i = 0; i < n; i++) {
            uint32_t code = bytes[i];
            // The exponent is 120 too small in f32; what has no leading one there has none here.
            float value = bits_f32((code & 0x80) << 24 | (code & 0x7F) << 20) * 0x1p120f * scale;
            uint32_t bits = f32_bits(value);
            uint32_t rounded = (bits + 0x7FFF + (bits >> 16 & 1)) >> 16;
            uint32_t is_nan = (bits & 0x7FFFFFFF) > 0x7F800000 || (code & 0x7F) == 0x7F;
            numbers[i] = (uint16_t)(is_nan ? 0x7FC0 : rounded);
        }
        memcpy((uint8_t *)target + 2 * first, numbers, 2 * n);
    }
}

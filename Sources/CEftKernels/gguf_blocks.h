// SPDX-License-Identifier: Apache-2.0
// Where codes and scales stand in blocks of GGUF's quantized types.
#ifndef EFT_GGUF_BLOCKS_H
#define EFT_GGUF_BLOCKS_H

#include "kernels_internal.h"

/// Codes of five bits: a word of the fifth bits, number i's in bit i; then bytes with number i in the low four bits and number i + 16 in
/// the high ones.
static inline void eft_gguf_q5_codes(const uint8_t *bytes, uint8_t codes[32]) {
    const uint8_t *low = bytes + 4;
    for (int i = 0; i < 16; i++) {
        codes[i] = (uint8_t)((low[i] & 15) | (bytes[i / 8] >> (i % 8) & 1) << 4);
        codes[i + 16] = (uint8_t)(low[i] >> 4 | (bytes[2 + i / 8] >> (i % 8) & 1) << 4);
    }
}

/// The scale of a group of 16 of Q3_K: six bits less 32.
static inline int8_t eft_gguf_q3_scale(const uint8_t scales[12], size_t group) {
    int low = group < 8 ? scales[group] & 15 : scales[group - 8] >> 4;
    return (int8_t)((low | (scales[8 + group % 4] >> (2 * (group / 4)) & 3) << 4) - 32);
}

/// Scale and minimum of a group of 32 of Q4_K and Q5_K, six bits each.
static inline void eft_gguf_k_scale(const uint8_t scales[12], size_t group, uint8_t *scale, uint8_t *low) {
    if (group < 4) {
        *scale = scales[group] & 63;
        *low = scales[4 + group] & 63;
        return;
    }
    uint8_t rest = scales[4 + group];
    *scale = (uint8_t)((rest & 15) | (scales[group - 4] >> 2 & 0x30));
    *low = (uint8_t)(rest >> 4 | (scales[group] >> 2 & 0x30));
}

#endif

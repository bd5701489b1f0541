// SPDX-License-Identifier: Apache-2.0
// What the kernels in vectors of 8 lanes need of NEON beyond clang's vector types.
#ifndef EFT_NEON_H
#define EFT_NEON_H

#include "../kernels_internal.h"

#if EFT_ARM64
#include <arm_neon.h>

#define NEON_INLINE static inline __attribute__((always_inline))

NEON_INLINE uint8x16_t neon_low(u32x8 x) { return (uint8x16_t) __builtin_shufflevector(x, x, 0, 1, 2, 3); }
NEON_INLINE uint8x16_t neon_high(u32x8 x) { return (uint8x16_t) __builtin_shufflevector(x, x, 4, 5, 6, 7); }
NEON_INLINE u32x8 neon_join(uint8x16_t low, uint8x16_t high) {
    return __builtin_shufflevector((uint32x4_t)low, (uint32x4_t)high, 0, 1, 2, 3, 4, 5, 6, 7);
}

/// The numbers of a table of 16 that the lowest four bits of each lane name.
NEON_INLINE f32x8 look_up_16(f32x8 low, f32x8 high, u32x8 index) {
    const uint8x16x4_t table = {{neon_low((u32x8)low), neon_high((u32x8)low), neon_low((u32x8)high), neon_high((u32x8)high)}};
    // The four bytes of a number.
    u32x8 bytes = (index & 15u) * 0x04040404u + 0x03020100u;
    return (f32x8)neon_join(vqtbl4q_u8(table, neon_low(bytes)), vqtbl4q_u8(table, neon_high(bytes)));
}

/// The bytes of a table of 16 that each byte names.
NEON_INLINE u32x8 look_up_bytes(const uint8_t table[16], u32x8 index) {
    uint8x16_t bytes = vld1q_u8(table);
    return neon_join(vqtbl1q_u8(bytes, neon_low(index)), vqtbl1q_u8(bytes, neon_high(index)));
}

/// The products of two pairs of 16-bit integers, added to 4 lanes.
NEON_INLINE int32x4_t neon_add_pairs(int32x4_t sum, int16x8_t x, int16x8_t w) {
    return vaddq_s32(sum, vpaddq_s32(vmull_s16(vget_low_s16(x), vget_low_s16(w)), vmull_high_s16(x, w)));
}

/// The same for 8 lanes.
NEON_INLINE i32x8 neon_dot_pairs(i32x8 sum, i32x8 x, i32x8 w) {
    int32x4_t low = neon_add_pairs((int32x4_t)neon_low((u32x8)sum), (int16x8_t)neon_low((u32x8)x), (int16x8_t)neon_low((u32x8)w));
    int32x4_t high =
        neon_add_pairs((int32x4_t)neon_high((u32x8)sum), (int16x8_t)neon_high((u32x8)x), (int16x8_t)neon_high((u32x8)w));
    return (i32x8)neon_join((uint8x16_t)low, (uint8x16_t)high);
}

#pragma clang attribute push(__attribute__((target("i8mm"))), apply_to = function)
/// The products of four signed bytes and four unsigned ones, added to each lane.
NEON_INLINE i32x8 neon_dot_bytes(i32x8 sum, i32x8 x, i32x8 w) {
    int32x4_t low = vusdotq_s32((int32x4_t)neon_low((u32x8)sum), neon_low((u32x8)w), (int8x16_t)neon_low((u32x8)x));
    int32x4_t high = vusdotq_s32((int32x4_t)neon_high((u32x8)sum), neon_high((u32x8)w), (int8x16_t)neon_high((u32x8)x));
    return (i32x8)neon_join((uint8x16_t)low, (uint8x16_t)high);
}
#pragma clang attribute pop
#endif
#endif

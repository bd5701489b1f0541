// SPDX-License-Identifier: Apache-2.0
// What the kernel files share: the context, the vector types, number conversions, instruction-set attributes.
#ifndef EFT_KERNELS_INTERNAL_H
#define EFT_KERNELS_INTERNAL_H

#include "CEftKernels.h"

#include <string.h>

#if defined(__x86_64__)
#define EFT_X86 1
#else
#define EFT_X86 0
#endif
#if defined(__aarch64__)
#define EFT_ARM64 1
#else
#define EFT_ARM64 0
#endif

typedef struct eft_pool eft_pool;

struct eft_context {
    eft_isa isa;
    size_t threads;  // workers, the caller among them
    eft_pool *pool;  // NULL with one worker
};

// pool.c. A pool of `threads` - 1 threads that help the caller; NULL when they cannot be had.
eft_pool *eft_pool_create(size_t threads);
void eft_pool_destroy(eft_pool *pool);
void eft_pool_run(eft_pool *pool, size_t count, eft_body body, void *argument);

// Vectors of 8 and 16 lanes. Those ending in `u` may stand at any address that suits their elements, and may alias
// anything; load and store through pointers to them.
typedef float f32x8 __attribute__((vector_size(32)));
typedef float f32x8u __attribute__((vector_size(32), aligned(4), may_alias));
typedef int32_t i32x8 __attribute__((vector_size(32)));
typedef int32_t i32x8u __attribute__((vector_size(32), aligned(4), may_alias));
typedef uint32_t u32x8 __attribute__((vector_size(32)));
typedef uint32_t u32x8u __attribute__((vector_size(32), aligned(4), may_alias));
typedef uint16_t u16x8 __attribute__((vector_size(16)));
typedef uint16_t u16x8u __attribute__((vector_size(16), aligned(2), may_alias));
typedef float f32x16 __attribute__((vector_size(64)));
typedef float f32x16u __attribute__((vector_size(64), aligned(4), may_alias));
typedef int32_t i32x16 __attribute__((vector_size(64)));
typedef int32_t i32x16u __attribute__((vector_size(64), aligned(4), may_alias));
typedef uint32_t u32x16 __attribute__((vector_size(64)));
typedef uint32_t u32x16u __attribute__((vector_size(64), aligned(4), may_alias));
typedef uint16_t u16x16 __attribute__((vector_size(32)));
typedef uint16_t u16x16u __attribute__((vector_size(32), aligned(2), may_alias));

// Targets for `#pragma clang attribute push(__attribute__((target(...))), apply_to = function)`, one a level.
#define EFT_TARGET_AVX2 "avx2,fma,f16c,bmi,bmi2"
#ifdef EFT_EMULATE_AVX512  // scripts/check-avx512.sh: the 512-bit files for a machine without them
#define EFT_TARGET_AVX512 EFT_TARGET_AVX2
#define EFT_TARGET_AVX512_VNNI EFT_TARGET_AVX2
#define EFT_TARGET_AVX512_BF16 EFT_TARGET_AVX2
#else
#define EFT_TARGET_AVX512 EFT_TARGET_AVX2 ",avx512f,avx512bw,avx512vl,avx512dq"
#define EFT_TARGET_AVX512_VNNI EFT_TARGET_AVX512 ",avx512vnni"
#define EFT_TARGET_AVX512_BF16 EFT_TARGET_AVX512_VNNI ",avx512bf16,avx512vbmi"
#endif

#if EFT_X86 && !defined(EFT_EMULATE_AVX512)
/// Holds the order of the computations of a vector that lives in a register.
#define EFT_PIN(x) __asm__ volatile("" : "+v"(x))
#else
#define EFT_PIN(x) ((void)(x))
#endif

/// Fetches a line for a store: it becomes this core's own, whichever core wrote it last.
static inline void eft_fetch_for_store(const void *address) {
#if EFT_X86
    // The builtin fetches it for a load, unless the level says more than that of x86-64; where the instruction is not
    // known it does nothing.
    __asm__ volatile("prefetchw %0" ::"m"(*(const char *)address));
#else
    __builtin_prefetch(address, 1);
#endif
}

static inline size_t eft_min(size_t a, size_t b) { return a < b ? a : b; }
static inline size_t eft_max(size_t a, size_t b) { return a > b ? a : b; }
static inline size_t eft_ceil_div(size_t a, size_t b) { return a / b + (a % b != 0); }
static inline size_t eft_round_up(size_t a, size_t b) { return eft_ceil_div(a, b) * b; }

static inline uint32_t eft_bits_of_f32(float x) {
    uint32_t bits;
    memcpy(&bits, &x, sizeof bits);
    return bits;
}

static inline float eft_f32_of_bits(uint32_t bits) {
    float x;
    memcpy(&x, &bits, sizeof x);
    return x;
}

static inline float eft_f32_of_bf16(uint16_t bits) { return eft_f32_of_bits((uint32_t)bits << 16); }

/// Round to nearest, ties to even; a NaN stays one (made quiet).
static inline uint16_t eft_bf16_of_f32(float x) {
    uint32_t bits = eft_bits_of_f32(x);
    if ((bits & 0x7fffffffu) > 0x7f800000u) return (uint16_t)((bits >> 16) | 0x40u);
    return (uint16_t)((bits + 0x7fffu + ((bits >> 16) & 1u)) >> 16);
}

static inline float eft_f32_of_f16(uint16_t half) {
    uint32_t sign = (uint32_t)(half & 0x8000u) << 16;
    uint32_t magnitude = half & 0x7fffu;
    if (magnitude >= 0x7c00u)  // infinity and NaN (made quiet, as the machine's conversion does)
        return eft_f32_of_bits(sign | 0x7f800000u | ((magnitude & 0x3ffu) << 13) |
                               (magnitude > 0x7c00u ? 0x400000u : 0u));
    if (magnitude < 0x0400u) {  // zero and subnormals: the integer times 2^-24, exact
        float value = (float)magnitude * 0x1p-24f;
        return eft_f32_of_bits(eft_bits_of_f32(value) | sign);
    }
    return eft_f32_of_bits(sign | ((magnitude << 13) + 0x38000000u));
}

/// Round to nearest, ties to even; overflow gives infinity, a NaN stays one (made quiet).
static inline uint16_t eft_f16_of_f32(float x) {
    uint32_t bits = eft_bits_of_f32(x);
    uint16_t sign = (uint16_t)((bits >> 16) & 0x8000u);
    uint32_t magnitude = bits & 0x7fffffffu;
    if (magnitude > 0x7f800000u)
        return (uint16_t)(sign | 0x7e00u | ((magnitude >> 13) & 0x3ffu));
    if (magnitude >= 0x477ff000u) return (uint16_t)(sign | 0x7c00u);  // 65520 and above
    if (magnitude < 0x38800000u) {
        // Below 2^-14: adding 1/2 places the half's last bit at the float's last bit, and rounds.
        float shifted = eft_f32_of_bits(magnitude) + 0.5f;
        return (uint16_t)(sign | (eft_bits_of_f32(shifted) - 0x3f000000u));
    }
    uint32_t rounded = magnitude + 0xfffu + ((magnitude >> 13) & 1u);
    return (uint16_t)(sign | ((rounded - 0x38000000u) >> 13));
}

/// Twice the numbers of E2M1: a sign, two bits of exponent, one of mantissa.
static const int8_t eft_e2m1_values[16] = {0, 1, 2, 3, 4, 6, 8, 12, 0, -1, -2, -3, -4, -6, -8, -12};

/// The exponent of E8M0 that is no number.
#define EFT_E8M0_NONE 255

/// Half of 2^(x - 127).
static inline float eft_half_e8m0(uint8_t x) {
    return eft_f32_of_bits(x < 2 ? 0x00200000u << x : (uint32_t)(x - 1) << 23);
}

#endif

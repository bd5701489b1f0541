// SPDX-License-Identifier: Apache-2.0
// Which instruction-set levels the machine has, and contexts.
#include "kernels_internal.h"

#include <stdlib.h>

#if EFT_X86
#include <cpuid.h>

static uint64_t enabled_states(void) {
    uint32_t low, high;
    __asm__ volatile("xgetbv" : "=a"(low), "=d"(high) : "c"(0));
    return ((uint64_t)high << 32) | low;
}

static bool has(uint32_t word, uint32_t mask) { return (word & mask) == mask; }

eft_isa eft_isa_best(void) {
    uint32_t a, b, c, d;
    const uint32_t fma = 1u << 12, osxsave = 1u << 27, avx = 1u << 28, f16c = 1u << 29;
    if (!__get_cpuid(1, &a, &b, &c, &d) || !has(c, fma | osxsave | avx | f16c)) return EFT_ISA_SCALAR;
    // The operating system must save the registers too: XMM and YMM, then masks and the ZMM halves.
    uint64_t states = enabled_states();
    if ((states & 0x6) != 0x6) return EFT_ISA_SCALAR;
    const uint32_t bmi1 = 1u << 3, avx2 = 1u << 5, bmi2 = 1u << 8;
    if (!__get_cpuid_count(7, 0, &a, &b, &c, &d) || !has(b, bmi1 | avx2 | bmi2)) return EFT_ISA_SCALAR;
    const uint32_t avx512f = 1u << 16, avx512dq = 1u << 17, avx512bw = 1u << 30, avx512vl = 1u << 31;
    if ((states & 0xe0) != 0xe0 || !has(b, avx512f | avx512dq | avx512bw | avx512vl))
        return EFT_ISA_AVX2;
    const uint32_t vbmi = 1u << 1, vnni = 1u << 11, bf16 = 1u << 5;
    if (!has(c, vnni)) return EFT_ISA_AVX512;
    if (!has(c, vbmi) || a < 1 || !__get_cpuid_count(7, 1, &a, &b, &c, &d) || !has(a, bf16)) return EFT_ISA_AVX512_VNNI;
    return EFT_ISA_AVX512_BF16;
}

/// Intel's cores run a bf16 dot product at a quarter of the rate of a multiply-add, AMD's at the same rate.
static bool has_fast_bf16(void) {
    uint32_t a, b, c, d;
    return !__get_cpuid(0, &a, &b, &c, &d) || b != signature_INTEL_ebx;
}
#elif EFT_ARM64
#include <sys/auxv.h>

eft_isa eft_isa_best(void) {
    const unsigned long i8mm = 1ul << 13;  // HWCAP2_I8MM
    return (getauxval(AT_HWCAP2) & i8mm) != 0 ? EFT_ISA_NEON_I8MM : EFT_ISA_NEON;
}
static bool has_fast_bf16(void) { return true; }
#else
eft_isa eft_isa_best(void) { return EFT_ISA_SCALAR; }
static bool has_fast_bf16(void) { return true; }
#endif

static const struct {
    eft_isa isa;
    const char *name;
} levels[] = {
    {EFT_ISA_SCALAR, "scalar"},           {EFT_ISA_AVX2, "avx2"},
    {EFT_ISA_AVX512, "avx512"},           {EFT_ISA_AVX512_VNNI, "avx512_vnni"},
    {EFT_ISA_AVX512_BF16, "avx512_bf16"}, {EFT_ISA_NEON, "neon"},
    {EFT_ISA_NEON_I8MM, "neon_i8mm"},
};
#define LEVELS (sizeof levels / sizeof levels[0])

const char *eft_isa_name(eft_isa isa) {
    for (size_t i = 0; i < LEVELS; i++)
        if (levels[i].isa == isa) return levels[i].name;
    return "unknown";
}

bool eft_isa_is_available(eft_isa isa) {
    return isa == EFT_ISA_SCALAR || ((isa >= EFT_ISA_NEON) == EFT_ARM64 && isa >= EFT_ISA_SCALAR && isa <= eft_isa_best());
}

eft_isa eft_isa_default(void) {
    eft_isa best = eft_isa_best();
    const char *asked = getenv("EFT_ISA");
    for (size_t i = 0; asked != NULL && i < LEVELS; i++)
        if (strcmp(asked, levels[i].name) == 0 && eft_isa_is_available(levels[i].isa)) return levels[i].isa;
    return best == EFT_ISA_AVX512_BF16 && !has_fast_bf16() ? EFT_ISA_AVX512_VNNI : best;
}

eft_context *eft_context_create(eft_isa isa, size_t threads) {
    if (!eft_isa_is_available(isa)) return NULL;
    eft_context *context = calloc(1, sizeof *context);
    if (context == NULL) return NULL;
    context->isa = isa;
    context->threads = eft_max(threads, 1);
    if (context->threads > 1) {
        context->pool = eft_pool_create(context->threads);
        if (context->pool == NULL) {
            free(context);
            return NULL;
        }
    }
    return context;
}

void eft_context_destroy(eft_context *context) {
    if (context == NULL) return;
    eft_pool_destroy(context->pool);
    free(context);
}

eft_isa eft_context_isa(const eft_context *context) { return context->isa; }

size_t eft_context_threads(const eft_context *context) { return context->threads; }

void eft_parallel_for(eft_context *context, size_t count, eft_body body, void *argument) {
    if (context->pool != NULL && count > 1) {
        eft_pool_run(context->pool, count, body, argument);
        return;
    }
    for (size_t i = 0; i < count; i++) body(argument, i, 0);
}

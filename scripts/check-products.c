// SPDX-License-Identifier: Apache-2.0
// Holds the fast matrix products of one instruction-set level to the scalar ones: every kind of weight, odd shapes,
// 1 to 40 rows, all precisions; and a row's result to be the same bits whatever the number of rows and threads.
// Usage: check-products LEVEL [KIND]
#include "kernels_internal.h"
#include "products.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>

static uint64_t state = 88172645463325252ull;
static uint32_t random_bits(void) {
    state ^= state << 13, state ^= state >> 7, state ^= state << 17;
    return (uint32_t)(state >> 32);
}
static float random_float(void) { return (float)((int32_t)random_bits()) * 0x1p-31f; }

static size_t failures, checks;

typedef struct matrix {
    eft_weight w;
    eft_group groups[64];
    uint32_t *permutation;
    void *panels, *scales;
} matrix;

static void *allocate(size_t bytes) {
    void *memory = aligned_alloc(64, eft_round_up(eft_max(bytes, 64), 64));
    if (memory == NULL) abort();
    return memory;
}

/// Scales of blocks for a width: d and m of a record as small numbers, the rest any bytes.
static void make_block_scales(matrix *m, uint32_t bits, size_t panels) {
    static const eft_scale_type types[] = {[2] = EFT_SCALES_K_OFFSET_HALVES, [3] = EFT_SCALES_K_HALVES, [4] = EFT_SCALES_K_OFFSET,
                                           [5] = EFT_SCALES_K_OFFSET, [6] = EFT_SCALES_K_HALVES};
    eft_weight *w = &m->w;
    if (w->scale_type != EFT_SCALES_OFFSET) w->scale_type = types[bits];
    size_t bytes = panels * eft_panel_scale_bytes(w), record = eft_scale_bytes(w->scale_type);
    w->scales = m->scales = allocate(bytes);
    for (size_t i = 0; i < bytes; i++) ((uint8_t *)m->scales)[i] = (uint8_t)random_bits();
    size_t halves = eft_has_offsets(w->scale_type) ? 2 * EFT_PANEL : EFT_PANEL;
    for (size_t at = 0; at < bytes; at += record)
        for (size_t i = 0; i < halves; i++) {
            uint16_t half = eft_f16_of_f32(random_float() * 0.01f);
            memcpy((uint8_t *)m->scales + at + 2 * i, &half, 2);
        }
}

/// A weight named f32, f16, bf16, nf4, 2...8 or mixed; with scales of blocks k2...k6, o4 or o5.
static matrix *make(const char *kind, size_t inputs, size_t outputs, bool half_scales, bool permuted) {
    matrix *m = calloc(1, sizeof *m);
    eft_weight *w = &m->w;
    w->inputs = inputs, w->outputs = outputs, w->blocks = eft_ceil_div(inputs, EFT_BLOCK);
    size_t panels = eft_ceil_div(outputs, EFT_PANEL);
    eft_context *context = eft_context_create(EFT_ISA_SCALAR, 1);
    bool dense = kind[0] == 'f' || kind[0] == 'b', blocks_scaled = kind[0] == 'k' || kind[0] == 'o';
    if (blocks_scaled) {
        uint32_t bits = (uint32_t)(kind[1] - '0');
        w->kind = EFT_WEIGHT_CODED;
        for (uint32_t g = 0; g < w->blocks; g++) m->groups[g] = (eft_group){g, 1, bits, g * bits};
        w->groups = m->groups, w->group_count = w->blocks;
        w->panel_bytes = w->blocks * bits * 64;
        w->panels = m->panels = allocate(panels * w->panel_bytes);
        for (size_t i = 0; i < panels * w->panel_bytes / 4; i++) ((uint32_t *)m->panels)[i] = random_bits();
        w->scale_type = kind[0] == 'o' ? EFT_SCALES_OFFSET : EFT_SCALES_F32;
        make_block_scales(m, bits, panels);
    } else if (dense) {
        w->kind = kind[0] == 'b' ? EFT_WEIGHT_BF16 : kind[1] == '3' ? EFT_WEIGHT_F32 : EFT_WEIGHT_F16;
        w->panel_bytes = w->blocks * (w->kind == EFT_WEIGHT_F32 ? 2048 : 1024);
        w->panels = m->panels = allocate(panels * w->panel_bytes);
        float *source = allocate(inputs * outputs * 4);
        for (size_t i = 0; i < inputs * outputs; i++) source[i] = random_float();
        eft_dense_pack(context, w, m->panels, source, EFT_F32, 0, outputs);
        free(source);
    } else {
        w->kind = EFT_WEIGHT_CODED;
        w->code_book = kind[0] == 'n' ? EFT_CODES_NF4 : EFT_CODES_SIGNED;
        w->scale_type = !half_scales ? EFT_SCALES_F32 : permuted ? EFT_SCALES_EXL2 : EFT_SCALES_F16;
        static const uint32_t mixed[] = {8, 6, 5, 4, 3, 2};
        uint32_t block = 0, row = 0;
        size_t lengths[] = {2, 1, 3, 20};
        for (size_t g = 0; block < w->blocks; g++) {
            uint32_t bits = kind[0] == 'n' ? 4 : kind[0] == 'm' ? mixed[g % 6] : (uint32_t)(kind[0] - '0');
            uint32_t blocks = (uint32_t)eft_min(kind[0] == 'm' ? lengths[g % 4] : 2, w->blocks - block);
            if (g == 15) blocks = (uint32_t)w->blocks - block;
            m->groups[g] = (eft_group){block, blocks, bits, row};
            block += blocks, row += blocks * bits;
            w->group_count = g + 1;
        }
        w->groups = m->groups;
        w->panel_bytes = (size_t)row * 64;
        w->panels = m->panels = allocate(panels * w->panel_bytes);
        for (size_t i = 0; i < panels * w->panel_bytes / 4; i++) ((uint32_t *)m->panels)[i] = random_bits();
        size_t scales = panels * w->group_count * 16;
        w->scales = m->scales = allocate(scales * 4);
        for (size_t i = 0; i < scales; i++) {
            float scale = 0.01f + 0.1f * fabsf(random_float());
            if (w->scale_type == EFT_SCALES_EXL2) {
                if (i % 16 != 0) continue;
                uint8_t *record = (uint8_t *)m->scales + i / 16 * EFT_EXL2_SCALES;
                uint32_t words[2] = {random_bits(), random_bits()};
                uint16_t step = eft_f16_of_f32(scale / 256);
                memcpy(record, words, sizeof words);
                memcpy(record + sizeof words, &step, sizeof step);
            } else if (w->scale_type == EFT_SCALES_F16)
                ((uint16_t *)m->scales)[i] = eft_f16_of_f32(scale);
            else
                ((float *)m->scales)[i] = scale;
        }
    }
    if (permuted) {
        size_t padded = w->blocks * EFT_BLOCK;
        m->permutation = allocate(padded * 4);
        for (size_t i = 0; i < padded; i++) m->permutation[i] = i < inputs ? (uint32_t)i : UINT32_MAX;
        for (size_t i = padded; i > 1; i--) {
            size_t j = random_bits() % i;
            uint32_t other = m->permutation[j];
            m->permutation[j] = m->permutation[i - 1], m->permutation[i - 1] = other;
        }
        w->permutation = m->permutation;
    }
    eft_context_destroy(context);
    return m;
}

static void release(matrix *m) {
    free(m->panels), free(m->scales), free(m->permutation), free(m);
}

static void expect(bool good, const char *what, const char *kind, size_t k, size_t n, size_t rows, int precision,
                   double error) {
    checks++;
    if (good) return;
    if (failures++ < 40)
        printf("FAILED %s: %s K=%zu N=%zu rows=%zu precision=%d error=%g\n", what, kind, k, n, rows, precision, error);
}

/// The largest difference over the root mean square.
static double distance(const float *x, const float *y, size_t count) {
    double worst = 0, square = 0;
    for (size_t i = 0; i < count; i++) {
        double difference = fabs((double)x[i] - y[i]);
        if (!(difference <= worst)) worst = difference;
        square += (double)y[i] * y[i];
    }
    return worst / (sqrt(square / (double)count) + 1e-30);
}

typedef void (*product)(eft_context *, const eft_weight *, eft_precision, size_t, const float *, size_t, float *, size_t,
                        bool, void *);
typedef size_t (*need)(const eft_context *, const eft_weight *, eft_precision, size_t);

/// Runs with a guarded workspace of just the bytes that are asked for.
static void guarded(product run, need bytes, eft_context *context, const eft_weight *w, eft_precision precision,
                    size_t rows, const float *x, size_t ldx, float *y, size_t ldy, bool accumulate) {
    size_t size = bytes(context, w, precision, rows);
    uint8_t *space = allocate(size + 64);
    memset(space, 0xff, size + 64);
    run(context, w, precision, rows, x, ldx, y, ldy, accumulate, space);
    for (size_t i = 0; i < 64; i++)
        if (space[size + i] != 0xff) {
            failures++;
            printf("FAILED workspace overrun\n");
            break;
        }
    free(space);
}

static void check_weight(eft_context *scalar, eft_context *const fast[2], const char *kind, size_t k, size_t n,
                         bool half_scales, bool permuted, const size_t *counts, size_t most) {
    matrix *m = make(kind, k, n, half_scales, permuted);
    size_t ldk = k + 3, ldn = n + 5;
    float *x = allocate(most * ldk * 4), *dy = allocate(most * ldn * 4);
    float *expected = allocate(most * eft_max(ldk, ldn) * 4), *actual = allocate(most * eft_max(ldk, ldn) * 4);
    float *all = allocate(most * eft_max(ldk, ldn) * 4);
    for (size_t i = 0; i < most * ldk; i++) x[i] = random_float();
    for (size_t i = 0; i < most * ldn; i++) dy[i] = random_float();
    for (int transposed = 0; transposed < 2; transposed++)
        for (int precision = 0; precision < 4; precision++) {
            product run = transposed ? eft_matmul_transposed : eft_matmul;
            need bytes = transposed ? eft_matmul_transposed_workspace : eft_matmul_workspace;
            const float *in = transposed ? dy : x;
            size_t ldi = transposed ? ldn : ldk, ldo = transposed ? ldk : ldn, width = transposed ? k : n;
            double limit = precision == EFT_PRECISION_BF16 ? 2e-5 : 6e-5;
            for (size_t i = 0; i < most * ldo; i++) all[i] = expected[i] = 7;
            run(scalar, &m->w, (eft_precision)precision, most, in, ldi, expected, ldo, false, NULL);
            guarded(run, bytes, fast[0], &m->w, (eft_precision)precision, most, in, ldi, all, ldo, false);
            double error = distance(all, expected, most * ldo);
            bool exact = (kind[0] == 'k' || kind[0] == 'o') && !transposed &&
                         (precision == EFT_PRECISION_INT16 || precision == EFT_PRECISION_INT8);
            expect(exact ? error == 0 : error < limit, transposed ? "transposed" : "matmul", kind, k, n, most, precision, error);
            for (const size_t *rows = counts; *rows != 0; rows++)
                for (int accumulate = 0; accumulate < 2; accumulate++) {
                    size_t first = random_bits() % (most - *rows + 1);
                    for (size_t i = 0; i < *rows * ldo; i++) actual[i] = 3;
                    guarded(run, bytes, fast[accumulate], &m->w, (eft_precision)precision, *rows, in + first * ldi, ldi,
                            actual, ldo, accumulate != 0);
                    bool same = true;
                    for (size_t r = 0; r < *rows; r++)
                        for (size_t j = 0; j < ldo; j++) {
                            float wanted = all[(first + r) * ldo + j];
                            if (j >= width) wanted = 3;
                            else if (accumulate) wanted = 3 + wanted;
                            same &= actual[r * ldo + j] == wanted;
                        }
                    expect(same, transposed ? "transposed, same bits" : "matmul, same bits", kind, k, n, *rows,
                           precision, accumulate);
                }
        }
    free(x), free(dy), free(expected), free(actual), free(all);
    release(m);
}

static void check_gemm(eft_context *scalar, eft_context *fast, size_t m, size_t n, size_t k, int layout) {
    float *a = allocate(m * k * 4 + 4), *b = allocate(k * n * 4 + 4);
    size_t padded = eft_round_up(n, 16);
    float *expected = allocate(m * padded * 4 + 64), *actual = allocate(m * padded * 4 + 64);
    for (size_t i = 0; i < m * k; i++) a[i] = random_float();
    for (size_t i = 0; i < k * n; i++) b[i] = random_float();
    for (size_t i = 0; i < m * padded; i++) expected[i] = actual[i] = random_float();
    eft_view va = {a, layout & 1 ? 1 : k, layout & 1 ? m : 1}, vb = {b, layout & 2 ? 1 : n, layout & 2 ? k : 1};
    size_t row_stride = layout & 4 ? 16 : n, panel_stride = layout & 4 ? 16 * m : 16;
    float beta = layout & 1 ? 0.5f : 0;
    size_t size = eft_gemm_workspace(fast, m, n, k);
    uint8_t *space = allocate(size + 64);
    memset(space, 0xff, size + 64);
    eft_gemm(scalar, m, n, k, 1.5f, va, vb, beta, expected, row_stride, panel_stride, NULL);
    eft_gemm(fast, m, n, k, 1.5f, va, vb, beta, actual, row_stride, panel_stride, space);
    for (size_t i = 0; i < 64; i++) expect(space[size + i] == 0xff, "gemm workspace", "", k, n, m, layout, 0);
    double error = distance(actual, expected, m * padded);
    expect(error == 0, "gemm", "f32", k, n, m, layout, error);
    free(a), free(b), free(expected), free(actual), free(space);
}

int main(int count, char **arguments) {
    eft_isa isa = eft_isa_best();
    for (int i = 0; i <= (int)EFT_ISA_NEON_I8MM; i++)
        if (count > 1 && strcmp(arguments[1], eft_isa_name((eft_isa)i)) == 0) isa = (eft_isa)i;
    eft_context *scalar = eft_context_create(EFT_ISA_SCALAR, 2);
#ifdef EFT_EMULATE_AVX512
    eft_isa native = EFT_ISA_AVX2;
#else
    eft_isa native = isa;
#endif
    eft_context *fast[2] = {eft_context_create(native, 1), eft_context_create(native, 3)};
    if (scalar == NULL || fast[0] == NULL || fast[1] == NULL) return printf("no %s here\n", eft_isa_name(isa)), 1;
    fast[0]->isa = fast[1]->isa = isa;
    static const char *const kinds[] = {"f32", "f16", "bf16", "2", "3", "4", "5", "6", "8", "nf4", "mixed",
                                        "k2", "k3", "k4", "k5", "k6", "o4", "o5"};
    const char *only = count > 2 ? arguments[2] : NULL;
    static const size_t outputs[] = {1, 15, 16, 17, 48, 100};
    static const size_t few[] = {1, 2, 3, 4, 5, 6, 7, 11, 12, 13, 24, 25, 33, 40, 0};
    static const size_t many[] = {1, 4, 13, 515, 0};
    for (size_t i = 0; i < sizeof kinds / sizeof kinds[0]; i++) {
        if (only != NULL && strcmp(only, kinds[i]) != 0) continue;
        bool dense = kinds[i][0] == 'f' || kinds[i][0] == 'b';
        for (size_t j = 0; j < sizeof outputs / sizeof outputs[0]; j++) {
            check_weight(scalar, fast, kinds[i], 32, outputs[j], false, false, few, 40);
            check_weight(scalar, fast, kinds[i], 160, outputs[j], true, !dense, few, 40);
            if (dense) check_weight(scalar, fast, kinds[i], 1, outputs[j], false, false, few, 40);
            check_weight(scalar, fast, kinds[i], 100, outputs[j], false, false, few, 40);
        }
        check_weight(scalar, fast, kinds[i], 1056, 48, false, !dense, many, 515);
        check_weight(scalar, fast, kinds[i], 96, 530, true, false, many, 515);
        printf("%-6s %zu checks, %zu failures\n", kinds[i], checks, failures);
    }
    static const size_t sizes[] = {1, 2, 6, 7, 13, 16, 33, 100, 130};
    for (size_t i = 0; i < 9; i++)
        for (size_t j = 0; j < 9; j++)
            for (int layout = 0; layout < 8; layout++) {
                check_gemm(scalar, fast[layout % 2], sizes[i], sizes[j], sizes[(i + j) % 9], layout);
                if (i % 3 == 0) check_gemm(scalar, fast[layout % 2], sizes[i], sizes[j], 1030, layout);
            }
    check_gemm(scalar, fast[1], 515, 530, 40, 0);
    check_gemm(scalar, fast[1], 40, 515, 530, 3);
    printf("%s: %zu checks, %zu failures\n", eft_isa_name(isa), checks, failures);
    return failures != 0;
}

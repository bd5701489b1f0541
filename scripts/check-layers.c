// SPDX-License-Identifier: Apache-2.0
// Holds the fast layer kernels of one instruction-set level to the scalar ones: norms, rotation, activations, losses,
// linear attention, attention over pages of every form, quantizers, conversions, sampling, optimizers; odd sizes.
// Usage: check-layers LEVEL
#include "CEftKernels.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static uint64_t state = 88172645463325252ull;
static float number(void) {
    state ^= state << 13, state ^= state >> 7, state ^= state << 17;
    return (float)(int32_t)(state >> 32) * 0x1p-31f;
}

static size_t failures, checks;
static eft_context *levels[2];  // scalar, fast

static float *numbers(size_t count) {
    float *x = aligned_alloc(64, (count * 4 + 127) / 64 * 64);
    if (x == NULL) abort();
    for (size_t i = 0; i < count + 16; i++) x[i] = i < count ? number() : -7;
    return x;
}

static float *copy(const float *x, size_t count) {
    float *y = numbers(count);
    memcpy(y, x, count * 4);
    return y;
}

static void expect(bool holds, const char *what, size_t a, size_t b, double error) {
    checks++;
    if (holds) return;
    if (failures++ < 20) printf("FAILED %s (%zu, %zu): %g\n", what, a, b, error);
}

/// The largest difference beside the largest number, or 0.01 where all are less; NaN counts as infinite.
static double distance(const float *a, const float *b, size_t count) {
    double most = 0, largest = 0.01;
    for (size_t i = 0; i < count; i++) {
        double d = fabs((double)a[i] - b[i]);
        if (!(d <= 1e30)) return INFINITY;
        most = fmax(most, d), largest = fmax(largest, fabs((double)b[i]));
    }
    return most / largest;
}

/// Compares what both levels gave, frees it, and looks at what stands behind it.
static void compare(const char *what, size_t a, size_t b, float *results[2], size_t count, double limit) {
    double error = distance(results[1], results[0], count);
    expect(error <= limit, what, a, b, error);
    for (size_t i = count; i < count + 16; i++) expect(results[1][i] == -7, "memory behind", a, b, results[1][i]);
    free(results[0]), free(results[1]);
}

#define BOTH(i) for (int i = 0; i < 2; i++)

static void check_rows(size_t rows, size_t columns) {
    size_t count = rows * columns;
    float *x = numbers(count), *dy = numbers(count), *weight = numbers(columns), *bias = numbers(columns), *r[8][2];
    BOTH(i) {
        eft_context *c = levels[i];
        for (int k = 0; k < 8; k++) r[k][i] = k < 2 || k == 4 || k == 5 ? numbers(count) : copy(weight, columns);
        eft_rms_norm(c, rows, columns, x, columns, weight, 1e-5f, r[0][i], columns, NULL);
        memcpy(r[1][i], dy, count * 4);
        eft_rms_norm_backward(c, rows, columns, x, columns, weight, 1e-5f, dy, columns, r[1][i], columns, true, r[2][i]);
        eft_layer_norm(c, rows, columns, x, columns, weight, bias, 1e-5f, r[4][i], columns);
        eft_layer_norm_backward(c, rows, columns, x, columns, weight, 1e-5f, dy, columns, r[5][i], columns, false, r[6][i],
                                r[7][i]);
        eft_column_sums(c, rows, columns, x, columns, r[3][i]);
    }
    compare("rms norm", rows, columns, r[0], count, 2e-6);
    compare("rms norm backward", rows, columns, r[1], count, 1e-5);
    compare("rms norm weight", rows, columns, r[2], columns, 1e-5);
    compare("column sums", rows, columns, r[3], columns, 1e-6);
    // One number has no deviation: its gradient is rounding.
    compare("layer norm", rows, columns, r[4], count, columns == 1 ? INFINITY : 1e-5);
    compare("layer norm backward", rows, columns, r[5], count, columns == 1 ? INFINITY : 2e-4);
    compare("layer norm weight", rows, columns, r[6], columns, columns == 1 ? INFINITY : 1e-4);
    compare("layer norm bias", rows, columns, r[7], columns, 1e-6);
    for (int kind = 0; kind <= EFT_SIGMOID; kind++) {
        float *y[2], *dgate[2], *dup[2];
        BOTH(i) {
            y[i] = numbers(count), dgate[i] = numbers(count), dup[i] = numbers(count);
            eft_activate(levels[i], (eft_activation)kind, rows, columns, x, columns, dy, columns, y[i], columns);
            eft_activate_backward(levels[i], (eft_activation)kind, rows, columns, x, columns, dy, columns, x, columns, dgate[i],
                                  columns, dup[i], columns);
        }
        compare("activation", rows, (size_t)kind, y, count, 2e-6);
        compare("activation, gate", rows, (size_t)kind, dgate, count, 4e-6);
        compare("activation, up", rows, (size_t)kind, dup, count, 4e-6);
    }
    float *soft[2], *added[2], *dropped[2];
    BOTH(i) {
        soft[i] = copy(x, count), added[i] = copy(x, count), dropped[i] = numbers(count);
        eft_soft_cap(levels[i], count, 0.7f, soft[i]);
        eft_add_scaled(levels[i], count, 0.3f, dy, added[i]);
        eft_dropout(levels[i], count, x, dropped[i], 0.25f, 99);
    }
    compare("soft cap", rows, columns, soft, count, 2e-6);
    compare("add scaled", rows, columns, added, count, 1e-7);
    compare("dropout", rows, columns, dropped, count, 0);
    double squares[2];
    BOTH(i) squares[i] = eft_sum_squares(levels[i], count, x);
    expect(fabs(squares[0] - squares[1]) <= 1e-6 * squares[0], "sum of squares", rows, columns, squares[1] - squares[0]);
    free(x), free(dy), free(weight), free(bias);
}

static void check_losses(size_t rows, size_t vocabulary) {
    float *logits = numbers(rows * vocabulary), *other = numbers(rows * vocabulary);
    int32_t *labels = calloc(rows, sizeof *labels);
    for (size_t r = 0; r < rows; r++) labels[r] = r % 3 == 2 ? -100 : (int32_t)(r % vocabulary);
    float *gradient[2], *losses[2];
    eft_divergence_row *found[2];
    BOTH(i) {
        gradient[i] = copy(logits, rows * vocabulary), losses[i] = numbers(rows);
        eft_cross_entropy(levels[i], rows, vocabulary, gradient[i], vocabulary, labels, 0.5f, 0.1f, losses[i]);
        found[i] = calloc(rows, sizeof *found[i]);
        eft_divergence(levels[i], rows, vocabulary, logits, vocabulary, other, vocabulary, labels, found[i]);
    }
    compare("cross entropy, gradient", rows, vocabulary, gradient, rows * vocabulary, 4e-6);
    compare("cross entropy", rows, vocabulary, losses, rows, 2e-6);
    for (size_t r = 0; r < rows; r++) {
        double error = fabs(found[0][r].divergence - found[1][r].divergence);
        expect(error <= 1e-5 && found[0][r].same_best == found[1][r].same_best, "divergence", rows, vocabulary, error);
    }
    float top = eft_row_max(EFT_ISA_SCALAR, vocabulary, logits).value;
    float *weights[2];
    BOTH(i) {
        eft_isa isa = eft_context_isa(levels[i]);
        weights[i] = numbers(vocabulary);
        expect(eft_row_max(isa, vocabulary, logits).value == top, "largest of a row", 1, vocabulary, 0);
        eft_row_weights(isa, vocabulary, logits, top, 1.5f, weights[i]);
        expect(eft_row_count(isa, vocabulary, logits, 0.2f) == eft_row_count(EFT_ISA_SCALAR, vocabulary, logits, 0.2f),
               "count of a row", 1, vocabulary, 0);
    }
    compare("weights of a row", 1, vocabulary, weights, vocabulary, 0);
    free(found[0]), free(found[1]), free(logits), free(other), free(labels);
}

static void check_rotation(size_t rows, eft_rotation rotation) {
    size_t columns = rotation.heads * rotation.head_dim;
    float *x = numbers(rows * columns), *cosines = numbers(rows * rotation.rotated), *sines = numbers(rows * rotation.rotated);
    float *y[2];
    BOTH(i) {
        y[i] = copy(x, rows * columns);
        eft_rope(levels[i], &rotation, rows, y[i], columns, cosines, sines, false);
    }
    compare("rotation", rows, rotation.rotated, y, rows * columns, 1e-6);
    free(x), free(cosines), free(sines);
}

static void check_delta(eft_delta delta, size_t rows) {
    size_t keys = rows * delta.key_heads * delta.key_dim, values = rows * delta.value_heads * delta.value_dim;
    size_t gates = rows * delta.value_heads, states = eft_delta_state_floats(&delta);
    float *q = numbers(keys), *k = numbers(keys), *v = numbers(values), *decay = numbers(gates), *strength = numbers(gates);
    for (size_t i = 0; i < gates; i++) decay[i] = 0.9f + 0.1f * fabsf(decay[i]), strength[i] = fabsf(strength[i]);
    for (size_t i = 0; i < keys; i++) k[i] *= 0.2f;
    float *dout = numbers(values), *out[2], *end[2], *d[5][2];
    BOTH(i) {
        out[i] = numbers(values), end[i] = numbers(states);
        eft_delta_run run = {rows, q, k, v, decay, strength, out[i], end[i], true};
        eft_delta_forward(levels[i], &delta, &run);
        const size_t counts[] = {keys, keys, values, gates, gates};
        for (int g = 0; g < 5; g++) d[g][i] = numbers(counts[g]);
        float *scratch = numbers(eft_delta_scratch_floats(&delta, rows)), *begin = copy(end[i], states);
        eft_delta_gradients gradients = {dout, d[0][i], d[1][i], d[2][i], d[3][i], d[4][i], scratch};
        run.state = begin;
        eft_delta_backward(levels[i], &delta, &run, &gradients);
        free(scratch), free(begin);
    }
    compare("delta rule", rows, delta.key_dim, out, values, 1e-5);
    compare("delta rule, state", rows, delta.key_dim, end, states, 1e-5);
    const size_t counts[] = {keys, keys, values, gates, gates};
    for (int g = 0; g < 5; g++) compare("delta rule, gradient", rows, (size_t)g, d[g], counts[g], 2e-5);
    free(q), free(k), free(v), free(decay), free(strength), free(dout);
}

/// Pages of one sequence, each filled with NaN before.
static void **make_pages(size_t count, size_t bytes) {
    void **pages = calloc(count, sizeof *pages);
    for (size_t i = 0; i < count; i++) memset(pages[i] = aligned_alloc(64, (bytes + 63) / 64 * 64), 0xff, bytes);
    return pages;
}

static void check_attention(eft_attention a, size_t first, size_t rows) {
    size_t length = first + rows, count = (length + 15) / 16, kv = a.kv_heads * a.head_dim, columns = a.heads * a.head_dim;
    float *k = numbers(length * kv), *v = numbers(length * kv), *q = numbers(rows * columns), *out[2], *lse[2];
    void **pages[2];
    BOTH(i) {
        pages[i] = make_pages(count, eft_kv_page_bytes(&a));
        eft_kv_write(levels[i], &a, length, 0, k, kv, v, kv, pages[i]);
        out[i] = numbers(rows * columns), lse[i] = numbers(rows * a.heads);
        eft_attention_run run = {.rows = rows, .first_position = first, .pages = pages[i], .q = q, .out = out[i], .lse = lse[i]};
        eft_attention_forward(levels[i], &a, &run, 1, columns, columns);
    }
    // The last row alone gives the same bits.
    float *alone = numbers(columns);
    eft_attention_run last = {.rows = 1, .first_position = length - 1, .pages = pages[1], .q = q + (rows - 1) * columns, .out = alone};
    eft_attention_forward(levels[1], &a, &last, 1, columns, columns);
    expect(memcmp(alone, out[1] + (rows - 1) * columns, columns * 4) == 0, "attention of a row alone", first, rows, 0);
    if (a.key_bits == 0 && a.kv_type == EFT_F32) {
        float *dout = numbers(rows * columns), *dq[2], *dk[2];
        BOTH(i) {
            void **gradients = make_pages(count, eft_kv_page_bytes(&a));
            for (size_t p = 0; p < count; p++) memset(gradients[p], 0, eft_kv_page_bytes(&a));
            dq[i] = numbers(rows * columns), dk[i] = numbers(length * kv);
            float *dv = numbers(length * kv);
            eft_attention_run run = {rows, first, pages[i], q, out[i], lse[i], dout, dq[i], gradients};
            eft_attention_backward(levels[i], &a, &run, 1, columns, columns);
            eft_kv_read(levels[i], &a, length, 0, gradients, dk[i], kv, dv, kv);
            for (size_t j = 0; j < length * kv; j++) dk[i][j] += dv[j];
            for (size_t p = 0; p < count; p++) free(gradients[p]);
            free(gradients), free(dv);
        }
        compare("attention, dq", first, rows, dq, rows * columns, 2e-5);
        compare("attention, dk and dv", first, rows, dk, length * kv, 2e-5);
        free(dout);
    }
    compare("attention", first, rows, out, rows * columns, 1e-5);
    compare("attention, lse", first, rows, lse, rows * a.heads, 1e-5);
    BOTH(i) {
        for (size_t p = 0; p < count; p++) free(pages[i][p]);
        free(pages[i]);
    }
    free(k), free(v), free(q), free(alone);
}

static void check_quantizers(size_t count, size_t block) {
    float *x = numbers(count), *back[2], *absmax[2];
    uint8_t *codes[2], *halves[2];
    BOTH(i) {
        codes[i] = calloc(count + 8, 1), halves[i] = calloc(count + 8, 2);
        absmax[i] = numbers(count / block + 1), back[i] = numbers(count);
        eft_nf4_quantize(levels[i], count, block, x, codes[i], absmax[i]);
        eft_nf4_dequantize(levels[i], count, block, codes[i], absmax[i], back[i]);
    }
    expect(memcmp(codes[0], codes[1], (count + 1) / 2) == 0, "NF4 codes", count, block, 0);
    compare("NF4 numbers", count, block, back, count, 0);
    for (int type = EFT_F16; type <= EFT_BF16; type++) {
        float *numbers_again[2];
        BOTH(i) {
            numbers_again[i] = numbers(count);
            eft_convert(levels[i], count, x, EFT_F32, halves[i], (eft_float_type)type);
            eft_convert(levels[i], count, halves[i], (eft_float_type)type, numbers_again[i], EFT_F32);
        }
        expect(memcmp(halves[0], halves[1], count * 2) == 0, "16-bit numbers", count, (size_t)type, 0);
        compare("16-bit numbers read", count, (size_t)type, numbers_again, count, 0);
    }
    BOTH(i) free(codes[i]), free(halves[i]), free(absmax[i]);
    free(x);
}

static void check_exl2(size_t columns, unsigned bits) {
    const size_t rows = 32;
    float *x = numbers(rows * columns), *steps = numbers(columns), factors[] = {0.8f, 1.0f, 1.1f}, *most[2];
    double sums[2][3];
    uint32_t *words[2];
    uint8_t *codes = calloc(rows * columns, 1);
    size_t padded = (columns + 31) / 32 * 32;
    for (size_t n = 0; n < columns; n++) steps[n] = 0.05f + 0.01f * fabsf(steps[n]);
    for (size_t i = 0; i < rows * columns; i++) codes[i] = (uint8_t)(i * 37) & ((1u << bits) - 1);
    BOTH(i) {
        void *space = numbers(eft_exl2_errors_workspace(columns, 3) / 4 + 16);
        most[i] = numbers(columns), words[i] = calloc(bits * padded, 4);
        eft_exl2_largest(levels[i], rows, columns, x, most[i]);
        eft_exl2_errors(levels[i], rows, columns, bits, x, steps, 3, factors, sums[i], space);
        eft_exl2_words(levels[i], rows, columns, bits, codes, words[i]);
        free(space);
    }
    compare("EXL2, largest", columns, bits, most, columns, 0);
    expect(memcmp(sums[0], sums[1], sizeof sums[0]) == 0, "EXL2, errors", columns, bits, sums[1][0] - sums[0][0]);
    expect(memcmp(words[0], words[1], bits * padded * 4) == 0, "EXL2, words", columns, bits, 0);
    free(words[0]), free(words[1]), free(codes), free(x), free(steps);
}

static void check_updates(size_t count) {
    float *p = numbers(count), *g = numbers(count);
    for (int rule = 0; rule < EFT_UPDATE_RULES; rule++) {
        eft_update update = {.rule = (eft_update_rule)rule, .gradient_scale = 0.5f, .keep = 0.999f, .decay = 0.01f, .rate = 0.01f,
                             .epsilon = 1e-8f, .beta1 = 0.9f, .rest1 = 0.1f, .beta2 = 0.99f, .rest2 = 0.01f, .beta3 = 0.999f,
                             .rest3 = 0.001f, .correction1 = 0.3f, .correction2 = 0.2f, .alpha = 0.5f, .mix = 0.1f, .nesterov = true};
        float *moved[2];
        BOTH(i) {
            moved[i] = copy(p, count);
            float *gradient = copy(g, count), *s[3];
            eft_update_state states[3] = {{0}, {0}, {0}};
            for (int k = 0; k < 3; k++) {
                s[k] = numbers(count);
                for (size_t j = 0; j < count; j++) s[k][j] = 0.5f + 0.25f * p[j];
                states[k].values = s[k];
            }
            eft_update_step(levels[i], &update, count, moved[i], gradient, states);
            for (int k = 0; k < 3; k++) free(s[k]);
            free(gradient);
        }
        compare("optimizer", count, (size_t)rule, moved, count, 1e-6);
    }
    free(p), free(g);
}

int main(int count, char **arguments) {
    eft_isa isa = eft_isa_best();
    for (int i = 0; i <= (int)EFT_ISA_NEON_I8MM; i++)
        if (count > 1 && strcmp(arguments[1], eft_isa_name((eft_isa)i)) == 0) isa = (eft_isa)i;
    levels[0] = eft_context_create(EFT_ISA_SCALAR, 2), levels[1] = eft_context_create(isa, 2);
    if (levels[0] == NULL || levels[1] == NULL) return printf("no %s here\n", eft_isa_name(isa)), 1;
    static const size_t sizes[] = {1, 7, 16, 33, 100, 264};
    for (size_t i = 0; i < 6; i++) {
        check_rows(1 + i % 4, sizes[i]);
        check_losses(1 + i, sizes[i]);
        check_quantizers(sizes[i], i % 2 ? 64 : 33);
        check_updates(sizes[i]);
        check_exl2(sizes[i], (const unsigned[]){2, 3, 4, 5, 6, 8}[i]);
    }
    check_rotation(3, (eft_rotation){2, 64, 64, false});
    check_rotation(2, (eft_rotation){3, 40, 24, true});
    check_delta((eft_delta){2, 4, 16, 40, false}, 19);
    check_delta((eft_delta){1, 2, 24, 32, true}, 7);
    static const struct {
        eft_float_type type;
        uint32_t key_bits, value_bits;
        size_t dim;
    } forms[] = {{EFT_F32, 0, 0, 40}, {EFT_F16, 0, 0, 64}, {EFT_BF16, 0, 0, 24}, {EFT_F32, 8, 8, 64}, {EFT_F32, 8, 4, 96}, {EFT_F32, 4, 4, 32}};
    static const size_t places[][2] = {{0, 1}, {0, 37}, {63, 2}, {130, 9}};
    for (size_t f = 0; f < 6; f++)
        for (size_t p = 0; p < 4; p++)
            for (int seen = 0; seen < 3; seen++) {
                eft_attention a = {.heads = 6, .kv_heads = 2, .head_dim = forms[f].dim, .scale = 0.2f, .kv_type = forms[f].type};
                a.key_bits = forms[f].key_bits, a.value_bits = forms[f].value_bits;
                a.window = seen > 0 ? 20 : 0, a.is_chunked = seen > 1;
                a.soft_cap = p % 2 ? 3.0f : 0;
                check_attention(a, places[p][0], places[p][1]);
            }
    printf("%s: %zu checks of layers, %zu failures\n", eft_isa_name(isa), checks, failures);
    eft_context_destroy(levels[0]), eft_context_destroy(levels[1]);
    return failures != 0;
}

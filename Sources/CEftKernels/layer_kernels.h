// SPDX-License-Identifier: Apache-2.0
// Families of kernels beside the matrix products: what one task of each computes, one table an instruction-set level.
//
// The entry points (generic/*.c) cut the work into tasks whose size depends on the shapes alone, never on the number of
// threads; a table's functions compute one task on one thread.
#ifndef EFT_LAYER_KERNELS_H
#define EFT_LAYER_KERNELS_H

#include "kernels_internal.h"

/// Numbers of a task over a flat array.
#define EFT_CHUNK 8192
/// Columns of a task that sums over rows.
#define EFT_COLUMN_CHUNK 64
/// Below this many numbers the caller works alone.
#define EFT_SMALL_WORK 16384
/// Query vectors (a row's heads of one kv head, rows in order) of an attention task.
#define EFT_QUERY_CHUNK 48

typedef struct eft_convert_kernels {
    void (*convert)(size_t count, const void *source, eft_float_type source_type, void *target,
                    eft_float_type target_type);
    bool (*all_finite)(size_t count, const void *source, eft_float_type type);
} eft_convert_kernels;

/// What a norm takes from a row: its mean (0 for the root-mean-square norm) and 1 / sqrt(variance + eps).
typedef struct eft_row_moments {
    float mean, inverse;
} eft_row_moments;

typedef struct eft_norm_kernels {
    eft_row_moments (*moments)(size_t columns, const float *x, float eps);
    /// `bias` may be NULL; the root-mean-square norm has none.
    void (*apply)(size_t columns, const float *x, eft_row_moments moments, const float *weight, const float *bias,
                  float *y);
    void (*backward)(size_t columns, const float *x, eft_row_moments moments, const float *weight, const float *dy,
                     float *dx, bool accumulate);
    /// dweight[c] += dy[t][c] * (x[t][c] - mean[t]) * inverse[t] in order of rows.
    void (*backward_weight)(size_t rows, size_t columns, const float *x, size_t ldx, const eft_row_moments *moments,
                            const float *dy, size_t lddy, float *dweight);
} eft_norm_kernels;
typedef eft_norm_kernels eft_layer_norm_kernels;

typedef struct eft_rope_kernels {
    void (*row)(const eft_rotation *rotation, float *x, const float *cosines, const float *sines, bool inverse);
} eft_rope_kernels;

typedef struct eft_activation_kernels {
    /// `up` may be NULL.
    void (*forward)(eft_activation kind, size_t columns, const float *gate, const float *up, float *y);
    /// `up` and `dup` may be NULL together.
    void (*backward)(eft_activation kind, size_t columns, const float *gate, const float *up, const float *dy,
                     float *dgate, float *dup);
} eft_activation_kernels;

/// sqrt(1/2), and the height of the normal distribution, 1 / sqrt(2 pi).
#define EFT_SQRT_HALF 0.70710678f
#define EFT_NORMAL_PEAK 0.39894228f
/// Clamped units: the limit of both factors, and what the gate is multiplied by inside its sigmoid.
#define EFT_CLAMP 7.0f
#define EFT_CLAMPED_SCALE 1.702f
/// GELU by tanh: its argument is EFT_GELU_SCALE (g + EFT_GELU_CUBE g^3).
#define EFT_GELU_SCALE 0.79788456f
#define EFT_GELU_CUBE 0.044715f

static inline float eft_gelu_argument(float g) { return g * EFT_GELU_SCALE * (g * g * EFT_GELU_CUBE + 1); }

static inline float eft_gelu_argument_slope(float g) { return EFT_GELU_SCALE * (g * g * (3 * EFT_GELU_CUBE) + 1); }

/// The random numbers of dropout: index i is kept when its 24 random bits are below `threshold`.
typedef struct eft_dropout_draw {
    uint64_t seed;
    uint32_t threshold;
    float scale;
} eft_dropout_draw;

typedef struct eft_elementwise_kernels {
    void (*add_scaled)(size_t count, float factor, const float *x, float *y);
    void (*scale)(size_t count, float factor, float *x);
    void (*column_sums)(size_t rows, size_t columns, const float *x, size_t ldx, float *sums);
    void (*dropout)(size_t count, size_t first_index, eft_dropout_draw draw, const float *x, float *y);
    double (*sum_squares)(size_t count, const float *x);
    /// x = cap tanh(x / cap)
    void (*soft_cap)(size_t count, float cap, float *x);
    /// dx *= 1 - (y / cap)^2
    void (*soft_cap_backward)(size_t count, float cap, const float *y, float *dx);
} eft_elementwise_kernels;

typedef struct eft_cross_entropy_kernels {
    /// The log of the sum of exponentials of a row.
    double (*log_sum_exp)(size_t vocabulary, const float *logits);
    /// logits = exp(logits - lse) * scale
    void (*softmax)(size_t vocabulary, float *logits, double lse, float scale);
} eft_cross_entropy_kernels;

typedef struct eft_divergence_kernels {
    /// The sums of w and of w (reference - logits), where w = exp(reference - base); base is the largest of `reference`.
    void (*weighted)(size_t vocabulary, const float *reference, const float *logits, float base, double sums[2]);
    /// The sum of exp(logits - base); base is the largest of `logits`.
    double (*sum_of_exponentials)(size_t vocabulary, const float *logits, float base);
} eft_divergence_kernels;

typedef struct eft_updates_kernels {
    /// The steps of the rules on `count` numbers, with the states that each has or NULL.
    void (*step[EFT_UPDATE_RULES])(const eft_update *update, size_t count, float *p, float *g, float *const states[3]);
} eft_updates_kernels;

/// Columns of a task of the delta rule, and rows between two states that its backward pass keeps.
#define EFT_DELTA_COLUMNS 32
#define EFT_DELTA_ROWS 64

/// Scratch of one key head of the backward pass: states at the beginning of chunks, those of one chunk, their gradient,
/// and what the steps of a chunk add.
static inline size_t eft_delta_head_scratch(const eft_delta *d, size_t rows) {
    size_t states = eft_ceil_div(rows, EFT_DELTA_ROWS) + EFT_DELTA_ROWS + 2;
    return (states * d->key_dim + 2 * EFT_DELTA_ROWS) * EFT_DELTA_COLUMNS;
}

typedef struct eft_delta_kernels {
    /// Columns from block * EFT_DELTA_COLUMNS on of one value head.
    void (*forward)(const eft_delta *delta, const eft_delta_run *run, size_t head, size_t block);
    /// All value heads of one key head.
    void (*backward)(const eft_delta *delta, const eft_delta_run *run, const eft_delta_gradients *gradients,
                     size_t key_head);
    void (*convolve)(const eft_convolution *convolution, size_t first, size_t columns);
    void (*convolve_back)(const eft_convolution *convolution, float *dy, float *dweight, size_t first, size_t columns);
} eft_delta_kernels;

/// What the same worker reads next, as a rule: it may be fetched meanwhile.
typedef struct eft_attention_ahead {
    const eft_attention_run *run;
    size_t kv_head;
    size_t pages;  // 0 when nothing follows
} eft_attention_ahead;

/// The first position that a row at `position` sees.
static inline size_t eft_first_seen(const eft_attention *a, size_t position) {
    if (a->window == 0 || position < a->window) return 0;
    return a->is_chunked ? position - position % a->window : position + 1 - a->window;
}

typedef struct eft_attention_kernels {
    /// `count` query vectors of one kv head from `first`; vector i is head i % group of row i / group.
    void (*forward)(const eft_attention *attention, const eft_attention_run *run, size_t kv_head, size_t first,
                    size_t count, const eft_attention_ahead *ahead, size_t ldq, size_t ldo);
    /// All of one kv head of one run.
    void (*backward)(const eft_attention *attention, const eft_attention_run *run, size_t kv_head, size_t ldq,
                     size_t ldo);
    /// Slots [slot, slot+rows) of one page.
    void (*write_page)(const eft_attention *attention, size_t slot, size_t rows, const float *k, size_t ldk,
                       const float *v, size_t ldv, void *page);
    void (*read_page)(const eft_attention *attention, size_t slot, size_t rows, const void *page, float *k, size_t ldk,
                      float *v, size_t ldv);
} eft_attention_kernels;

/// Largest head whose products are computed in bf16.
#define EFT_ROUGH_MOST_DIM 256
/// x86/attention_avx512_bf16.c: `forward` with products in bf16, over f32 pages of heads of a multiple of 16 numbers up to that.
void eft_attention_rough(const eft_attention *attention, const eft_attention_run *run, size_t kv_head, size_t first,
                         size_t count, const eft_attention_ahead *ahead, size_t ldq, size_t ldo);

typedef struct eft_quantize_kernels {
    /// Whole blocks but for the last one; the first number stands at an even index.
    void (*nf4_quantize)(size_t count, size_t block_size, const float *x, uint8_t *packed, float *absmax);
    void (*nf4_dequantize)(size_t count, size_t block_size, const uint8_t *packed, const float *absmax, float *x);
    void (*blockwise8)(size_t count, size_t block_size, const float *midpoints, const float *x, uint8_t *codes,
                       float *absmax);
} eft_quantize_kernels;

typedef struct eft_sampling_kernels {
    eft_row_peak (*max)(size_t count, const float *x);
    /// The largest number that is not NaN.
    float (*block_max)(size_t count, const float *x);
    void (*mask)(size_t count, float *x, size_t words, const uint32_t *bits);
    void (*weights)(size_t count, const float *x, float top, float scale, float *weights);
    /// The sum of the weights of at most EFT_ROW_BLOCK numbers, number i in lane i % 16.
    double (*block_sum)(size_t count, const float *x, float top, float scale);
    double (*mass_from)(size_t count, const float *x, const float *weights, float floor);
    size_t (*count_from)(size_t count, const float *x, float floor);
    size_t (*collect)(size_t count, const float *x, float floor, size_t capacity, uint32_t *indices, float *values);
    /// The first index from `first` on whose number is greater than `bound`, or count.
    size_t (*next_above)(size_t first, size_t count, const float *x, float bound);
} eft_sampling_kernels;

/// Columns of a task of the EXL2 quantizer, a multiple of 16.
#define EFT_EXL2_COLUMNS 32

typedef struct eft_exl2_kernels {
    /// At most EFT_EXL2_COLUMNS columns: sums[f] = eft_exl2_total of their error sums.
    void (*errors)(size_t rows, size_t columns, unsigned bits, const float *x, size_t ldx, const float *steps,
                   size_t count, const float *factors, double *sums);
    /// Columns from `first` on, at most EFT_EXL2_COLUMNS; sums[i] = eft_exl2_total of the least sums. `tile`:
    /// [rows][EFT_EXL2_COLUMNS] of workspace.
    void (*fit)(const eft_exl2_fit *fit, size_t first, size_t columns, float *tile, double *sums, uint8_t *choices);
    /// Columns from `first` on, at most EFT_EXL2_COLUMNS. `tile` as above.
    void (*fit_columns)(const eft_column_fit *fit, size_t first, size_t columns, float *tile);
    /// Columns from `first` on, at most EFT_EXL2_COLUMNS. `triangle`: [rows][rows], row r holds U[c][r]; `tile`:
    /// [rows][EFT_EXL2_COLUMNS] of workspace.
    void (*correct)(const eft_exl2_rounding *rounding, size_t first, size_t columns, const float *triangle, float *tile);
    /// Columns from `first` on, at most EFT_EXL2_COLUMNS. `triangle`: [rows][rows], row r holds H[r][c], c <= r; `tile` as
    /// above.
    void (*descend)(const eft_exl2_descent *descent, size_t first, size_t columns, const float *triangle, float *tile);
    /// A row's numbers become what rounding makes them lose.
    void (*losses)(size_t columns, unsigned bits, const float *scales, bool exact, float *w);
    /// 32 rows of codes, of which row i begins at codes + i * ldc, to `bits` rows of words.
    void (*pack)(size_t columns, size_t padded, unsigned bits, const uint8_t *codes, size_t ldc, uint32_t *words);
    /// As eft_exl2_values.
    void (*values)(size_t columns, unsigned bits, const uint32_t *words, size_t ldw, const float *scales,
                   const uint32_t *inputs, float *out, size_t ldo);
} eft_exl2_kernels;

/// Adding and taking away rounds a float of less than 2^22 to the nearest integer, ties to even.
#define EFT_ROUNDER 12582912.0f

/// The least s of 1...16 with s^2 step >= least.
static inline float eft_exl2_first(float least, float step) {
    float s = 1;
    while (s < 16 && s * s * step < least) s++;
    return s;
}

/// The sum of EFT_EXL2_COLUMNS column sums: lanes of 8 in order, then lanes in pairs.
static inline double eft_exl2_total(const float sums[EFT_EXL2_COLUMNS]) {
    double lanes[8] = {0};
    for (size_t i = 0; i < EFT_EXL2_COLUMNS; i++) lanes[i % 8] += (double)sums[i];
    return ((lanes[0] + lanes[4]) + (lanes[2] + lanes[6])) + ((lanes[1] + lanes[5]) + (lanes[3] + lanes[7]));
}

#define EFT_FAMILY(family)                                \
    extern const eft_##family##_kernels eft_##family##_avx2; \
    extern const eft_##family##_kernels eft_##family##_avx512; \
    extern const eft_##family##_kernels eft_##family##_neon;
EFT_FAMILY(convert)
EFT_FAMILY(norm)
EFT_FAMILY(layer_norm)
EFT_FAMILY(rope)
EFT_FAMILY(activation)
EFT_FAMILY(elementwise)
EFT_FAMILY(cross_entropy)
EFT_FAMILY(divergence)
EFT_FAMILY(updates)
EFT_FAMILY(delta)
EFT_FAMILY(attention)
EFT_FAMILY(quantize)
EFT_FAMILY(exl2)
EFT_FAMILY(sampling)
#undef EFT_FAMILY

/// The table of a family for a level or a context; `scalar` is the file's own.
#if EFT_X86
#define EFT_KERNELS_AT(family, level, scalar)              \
    ((level) >= EFT_ISA_AVX512 ? &eft_##family##_avx512    \
     : (level) >= EFT_ISA_AVX2 ? &eft_##family##_avx2      \
                               : &(scalar))
#elif EFT_ARM64
#define EFT_KERNELS_AT(family, level, scalar) ((level) >= EFT_ISA_NEON ? &eft_##family##_neon : &(scalar))
#else
#define EFT_KERNELS_AT(family, level, scalar) ((void)(level), &(scalar))
#endif
#define EFT_KERNELS(family, context, scalar) EFT_KERNELS_AT(family, (context)->isa, scalar)

// generic/sampling.c
const eft_sampling_kernels *eft_sampling_kernels_of(eft_isa isa);

// generic/activation.c
const eft_activation_kernels *eft_activation_kernels_of(eft_isa isa);

/// Runs tasks that work on `numbers` numbers altogether, without waking workers for little.
static inline void eft_run_tasks(eft_context *context, size_t count, size_t numbers, eft_body body, void *argument) {
    if (numbers >= EFT_SMALL_WORK) {
        eft_parallel_for(context, count, body, argument);
        return;
    }
    for (size_t i = 0; i < count; i++) body(argument, i, 0);
}

/// Rows of a task when each row has `columns` numbers.
static inline size_t eft_rows_a_task(size_t columns) { return eft_max(1, EFT_CHUNK / eft_max(columns, 1)); }

static inline size_t eft_float_width(eft_float_type type) { return type == EFT_F32 ? 4 : 2; }

static inline float eft_load_number(const void *source, eft_float_type type, size_t i) {
    if (type == EFT_F16) return eft_f32_of_f16(((const uint16_t *)source)[i]);
    if (type == EFT_BF16) return eft_f32_of_bf16(((const uint16_t *)source)[i]);
    return ((const float *)source)[i];
}

static inline void eft_store_number(void *target, eft_float_type type, size_t i, float x) {
    if (type == EFT_F16)
        ((uint16_t *)target)[i] = eft_f16_of_f32(x);
    else if (type == EFT_BF16)
        ((uint16_t *)target)[i] = eft_bf16_of_f32(x);
    else
        ((float *)target)[i] = x;
}

/// 32 well mixed bits of an index and two keys, for drop-out.
static inline uint32_t eft_dropout_hash(uint32_t x, uint32_t key0, uint32_t key1) {
    x = (x ^ key0) * 0x9e3779b1u;
    x = (x ^ (x >> 16)) * 0x7feb352du;
    x = (x ^ (x >> 15)) * 0x846ca68bu;
    x = (x ^ (x >> 16)) + key1;
    x = (x ^ (x >> 16)) * 0x7feb352du;
    x = (x ^ (x >> 15)) * 0x846ca68bu;
    return x ^ (x >> 16);
}

/// A step of splitmix64 (Steele, Lea, Flood 2014).
static inline uint64_t eft_split_mix(uint64_t x) {
    x += 0x9e3779b97f4a7c15u;
    x = (x ^ (x >> 30)) * 0xbf58476d1ce4e5b9u;
    x = (x ^ (x >> 27)) * 0x94d049bb133111ebu;
    return x ^ (x >> 31);
}

/// The keys of the 2^32 indices that share their high half.
static inline uint64_t eft_dropout_keys(uint64_t seed, uint64_t high_half) {
    return eft_split_mix(eft_split_mix(seed) ^ high_half);
}

#endif

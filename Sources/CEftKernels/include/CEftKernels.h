// SPDX-License-Identifier: Apache-2.0
// The arithmetic of Eft: matrix products over every weight format, norms, rotary, attention, losses, quantizers, sampling.
//
// No allocation but the context itself, no I/O, no knowledge of models. Every kernel exists as a plain scalar version,
// which is its definition, and as faster versions chosen at run time. Shapes are given in one alphabet:
//   T tokens (rows), K inputs, N outputs, H heads, Hkv key/value heads, D head dimension, V vocabulary, G scale groups.
// All matrices are row-major; a leading dimension (`ld...`) is the distance of two rows in elements.
//
// Reproducibility: at one instruction-set level, each element of a result is computed by the same sequence of operations
// whatever the number of rows in the call and whatever the number of threads.
#ifndef C_EFT_KERNELS_H
#define C_EFT_KERNELS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

// ---------------------------------------------------------------------------------------------------------------------
// Context: an instruction-set level and a pool of workers
// ---------------------------------------------------------------------------------------------------------------------

/// Levels of instruction sets, each including those before it of the same kind of processor.
typedef enum eft_isa {
    EFT_ISA_SCALAR = 0,
    EFT_ISA_AVX2 = 1,         // AVX2, FMA, F16C
    EFT_ISA_AVX512 = 2,       // AVX-512 F, BW, VL, DQ
    EFT_ISA_AVX512_VNNI = 3,  // and VNNI
    EFT_ISA_AVX512_BF16 = 4,  // and BF16, VBMI
    EFT_ISA_NEON = 16,        // of 64-bit Arm processors
    EFT_ISA_NEON_I8MM = 17,   // and dot products of signed and unsigned bytes
} eft_isa;

/// The highest level that this machine has.
eft_isa eft_isa_best(void);
/// Whether this machine has a level.
bool eft_isa_is_available(eft_isa isa);
/// The level to use: the one that the environment variable EFT_ISA names (scalar, avx2, avx512, avx512_vnni,
/// avx512_bf16, neon, neon_i8mm) when the machine has it; else the best, without the bf16 dot products of makers who run them slower than
/// multiply-adds.
eft_isa eft_isa_default(void);
/// Its name as EFT_ISA has it; "unknown" for a number that is no level.
const char *eft_isa_name(eft_isa isa);

typedef struct eft_context eft_context;

/// Makes a context with `threads` workers (the caller is one of them). NULL when the machine lacks the level or memory.
/// Calls on one context from several threads wait for each other.
eft_context *eft_context_create(eft_isa isa, size_t threads);
void eft_context_destroy(eft_context *context);
eft_isa eft_context_isa(const eft_context *context);
size_t eft_context_threads(const eft_context *context);

/// Calls body(argument, index, worker) for every index below `count`, spread over the workers in no particular order.
typedef void (*eft_body)(void *argument, size_t index, size_t worker);
void eft_parallel_for(eft_context *context, size_t count, eft_body body, void *argument);

// ---------------------------------------------------------------------------------------------------------------------
// Number types
// ---------------------------------------------------------------------------------------------------------------------

typedef enum eft_float_type { EFT_F32 = 0, EFT_F16 = 1, EFT_BF16 = 2 } eft_float_type;

/// Converts `count` numbers; to a narrower type with round-to-nearest-even, subnormals, infinities and NaN kept.
void eft_convert(eft_context *context, size_t count, const void *source, eft_float_type source_type,
                 void *target, eft_float_type target_type);
/// Whether no number is infinite or NaN.
bool eft_all_finite(eft_context *context, size_t count, const void *source, eft_float_type type);

// ---------------------------------------------------------------------------------------------------------------------
// Weights: panels of 16 outputs
// ---------------------------------------------------------------------------------------------------------------------

/// Outputs of a panel: one 32-bit lane an output.
#define EFT_PANEL 16
/// Inputs of a block, the unit of packing. K is padded to a multiple with inputs that are zero.
#define EFT_BLOCK 32

typedef enum eft_weight_kind {
    EFT_WEIGHT_F32 = 0,    // panel: [blocks*32][16] f32
    EFT_WEIGHT_F16 = 1,    // panel: [blocks*16][16] lanes; low half input 2i, high half input 2i+1
    EFT_WEIGHT_BF16 = 2,   // likewise
    EFT_WEIGHT_CODED = 3,  // panel: for each group its blocks, each `bits` rows of 16 lanes (see eft_codes_pack)
} eft_weight_kind;

/// What a code means.
typedef enum eft_code_book {
    EFT_CODES_SIGNED = 0,  // code - 2^(bits-1), as EXL2
    EFT_CODES_NF4 = 1,     // the 16 values of NF4 (4 bits only)
    EFT_CODES_E4M3 = 2,    // 8-bit floating point numbers (8 bits only), none of them NaN
    EFT_CODES_E2M1 = 3,    // twice the 4-bit floating point numbers (4 bits only): integers from -12 to 12
    EFT_CODES_FP4 = 4,     // the 16 values of bitsandbytes' FP4 (4 bits only)
} eft_code_book;

/// How the scales of a panel's 16 outputs in a group are held.
typedef enum eft_scale_type {
    EFT_SCALES_F32 = 0,   // [16] f32
    EFT_SCALES_F16 = 1,   // [16] f16
    /// EFT_EXL2_SCALES bytes, as EXL2 stores them: two 32-bit words of codes less one (lane i: word i % 2, bit 4 * (i / 2)), then
    /// the group's largest scale over 256 as f16, m. A scale is half((code)^2 * m), code 1...16.
    EFT_SCALES_EXL2 = 2,
    EFT_SCALES_E8M0 = 3,  // [16] bytes x, a scale is 2^(x - 128): half of MXFP4's, whose code book is doubled; 255 is none
    // Scales of single blocks, as GGUF stores them; each group is one block. A weight is scale * code + offset, with an
    // unsigned code, or where there are no offsets scale * (code - 2^(bits-1)). With halves a block's first 16 inputs have other scales than
    // its last. The scales of eight blocks are products of a panel's 16 f16 numbers d, and the offsets of -m, with small integers.
    EFT_SCALES_OFFSET = 4,           // a block: [16] f16 scales, [16] f16 offsets (Q4_1, Q5_1)
    EFT_SCALES_K_OFFSET = 5,         // 8 blocks: d, m, [8][16] bytes for scales, [8][16] for offsets (Q4_K, Q5_K)
    EFT_SCALES_K_HALVES = 6,         // 8 blocks: d, [8][2 halves][16] signed bytes (Q3_K, Q6_K)
    EFT_SCALES_K_OFFSET_HALVES = 7,  // 8 blocks: d, m, [8][2 halves][16] bytes: low four bits for scales, high ones for offsets (Q2_K)
} eft_scale_type;
#define EFT_EXL2_SCALES 10
/// Blocks that share d and m.
#define EFT_K_BLOCKS 8

/// A scale group: consecutive blocks of inputs that share a width and, for each output, a scale.
typedef struct eft_group {
    uint32_t first_block;
    uint32_t blocks;
    uint32_t bits;        // 2, 3, 4, 5, 6 or 8
    uint32_t row_offset;  // where the group begins in a panel, in rows of 64 bytes
} eft_group;

/// A weight matrix W of K inputs by N outputs, packed in ceil(N/16) panels. Lanes beyond N hold anything finite.
typedef struct eft_weight {
    eft_weight_kind kind;
    size_t inputs;       // K
    size_t outputs;      // N
    size_t blocks;       // ceil(K/32)
    const void *panels;  // 64-byte aligned
    size_t panel_bytes;
    // Coded weights only:
    eft_code_book code_book;
    eft_scale_type scale_type;
    const void *scales;  // [panel][group], or [panel][eight groups]
    const eft_group *groups;
    size_t group_count;
    /// NULL, or [blocks*32]: the input that stored row i multiplies; UINT32_MAX for padding.
    const uint32_t *permutation;
} eft_weight;

/// Precision of activations in products with bf16 and coded weights; products with f32 and f16 weights are in f32.
typedef enum eft_precision {
    EFT_PRECISION_BF16 = 0,  // activations rounded to bf16
    EFT_PRECISION_F32 = 1,   // activations in f32, or split in two bf16 numbers (high and low part)
    /// y = x W with signed codes, or those of E2M1, in groups of at most EFT_INT16_BLOCKS blocks: activations as 16-bit integers with a scale
    /// for each row and group, sums of a group in exact integers, the same bits on every level. Other products in f32. Where blocks
    /// have scales of their own, offsets multiply the sum of the row's integers.
    EFT_PRECISION_INT16 = 2,
    /// Likewise with 8-bit integers and a scale for each row and EFT_INT8_BLOCKS blocks of a group (its last part may be
    /// shorter).
    EFT_PRECISION_INT8 = 3,
} eft_precision;

/// Blocks of the longest scale group whose 16-bit products cannot overflow 32 bits.
#define EFT_INT16_BLOCKS 16
/// Blocks that share a scale of 8-bit activations, within a scale group of the weight.
#define EFT_INT8_BLOCKS 4

/// Packs outputs [first, first+count) of a dense weight from row-major source rows [count][K] into w->panels (cast to
/// writable `panels`, of the whole matrix). `first` is a multiple of 16. Padding inputs, and lanes beyond N, become zero.
void eft_dense_pack(eft_context *context, const eft_weight *w, void *panels, const void *source,
                    eft_float_type source_type, size_t first, size_t count);
/// Packs 32 inputs by 16 outputs: codes[input*16 + output] to `bits` rows of 16 32-bit lanes.
/// A lane's low 16 bits hold the even inputs, its high 16 bits the odd ones; a pair is inputs 2p and 2p+1, p = 0...15.
///   2 bits: row p/8, bit 2*(p%8).  4 bits: row p/4, bit 4*(p%4).  8 bits: row p/2, bit 8*(p%2).
///   3 bits: p < 15: row p/5, bit 3*(p%5); pair 15: its bit r is bit 15 of row r.
///   5 bits: p < 15: row p/3, bit 5*(p%3); pair 15: its bit r is bit 15 of row r.
///   6 bits: two triples of rows; in triple t (pairs 8t...8t+7): pairs q = 0...5: row q/2, bit 6*(q%2); pair 6: low 4 bits are
///           bits 12-15 of row 0, high 2 bits are bits 12-13 of row 2; pair 7: bits 12-15 of row 1, bits 14-15 of row 2.
void eft_codes_pack(uint32_t bits, const uint8_t *codes, uint32_t *rows);
/// The inverse of eft_codes_pack.
void eft_codes_unpack(uint32_t bits, const uint32_t *rows, uint8_t *codes);
/// Packs bitsandbytes' 4-bit bytes of a [N][K] matrix (element 2i in the high nibble of byte i; K even, multiple of 32)
/// into the panels of a coded weight (4 bits everywhere).
void eft_nf4_pack(eft_context *context, const eft_weight *w, void *panels, const uint8_t *packed);
/// Packs signed bytes [count][K] of the outputs from `first` on, a multiple of 16, into the panels of a coded weight (8 bits
/// everywhere, K a multiple of 32).
void eft_int8_pack(eft_context *context, const eft_weight *w, void *panels, const int8_t *codes, size_t first,
                   size_t count);
/// Packs rows of 8-bit floating point numbers [count][K] of the outputs from `first` on, a multiple of 16, into the panels of a
/// coded weight (8 bits everywhere).
void eft_fp8_pack(eft_context *context, const eft_weight *w, void *panels, const uint8_t *codes, size_t first,
                  size_t count);
/// Packs EXL2's q_weight words [R][ldn] (little-endian bit stream down each column, restarted at each group; columns
/// beyond N ignored) into panels. `first_rows[g]` is the packed row where group g begins. K is a multiple of 32.
void eft_exl2_pack(eft_context *context, const eft_weight *w, void *panels, const uint32_t *q_weight,
                   size_t ldn, const uint32_t *first_rows);
/// Packs EXL2's q_scale words of `count` groups from `first` on ([count][ldn], eight codes less one in each, the lowest
/// output in the lowest four bits), and the step of each of the weight's groups (f16 bits), into EFT_SCALES_EXL2 scales.
void eft_exl2_pack_scales(eft_context *context, const eft_weight *w, void *scales, const uint32_t *q_scale,
                          size_t ldn, size_t first, size_t count, const uint16_t *steps);

/// Gathers rows of W' (one row an output, K numbers in the order of the inputs): out[i][k] = W[k][rows[i]].
/// Coded weights: code value times scale in f32. The embedding look-up.
void eft_weight_rows(eft_context *context, const eft_weight *w, const int32_t *rows, size_t count,
                     float *out, size_t ldo);

/// The sum of squares of the weights of each output, [N].
void eft_weight_squares(eft_context *context, const eft_weight *w, float *squares);

/// y[T][N] (+)= x[T][K] W. Group sums are formed in order of inputs from zero, scaled and added to the total in order of
/// groups; dense weights fold every 512 inputs likewise.
size_t eft_matmul_workspace(const eft_context *context, const eft_weight *w, eft_precision precision,
                            size_t rows);
void eft_matmul(eft_context *context, const eft_weight *w, eft_precision precision, size_t rows,
                const float *x, size_t ldx, float *y, size_t ldy, bool accumulate, void *workspace);
/// One of several products of the same x.
typedef struct eft_product {
    eft_weight w;
    float *y;
    size_t ldy;
    bool accumulate;
} eft_product;
/// Several products of the same x, each with the same bits as alone. The workspace is the largest one of them alone.
void eft_matmul_together(eft_context *context, const eft_product *products, size_t count, eft_precision precision,
                         size_t rows, const float *x, size_t ldx, void *workspace);
/// What an MLP does with a number.
typedef enum eft_activation {
    EFT_SILU = 0,       // x / (1 + exp(-x))
    EFT_GELU = 1,       // x times the normal distribution's share below x
    EFT_GELU_TANH = 2,  // x / (1 + exp(-2 sqrt(2/pi) (x + 0.044715 x^3)))
    EFT_RELU = 3,       // max(x, 0)
    EFT_RELU2 = 4,      // max(x, 0)^2
    EFT_CLAMPED = 5,    // x / (1 + exp(-1.702 x)) of min(x, 7); the other factor is kept in -7...7, and 1 added to it
    EFT_SIGMOID = 6,    // 1 / (1 + exp(-x))
} eft_activation;
/// Most rows of the second product that eft_matmul_gated writes.
enum { EFT_GATED_ROWS = 4 };
/// f(gate) * up of two products of the same x with equal outputs and no `accumulate`, into the y of `gate`, with the same
/// bits as eft_activate of both. The y of `up` is memory of min(rows, EFT_GATED_ROWS) rows; the workspace is that of the
/// larger product. Returns false, and does nothing, where the two cannot be computed together.
bool eft_matmul_gated(eft_context *context, eft_product gate, eft_product up, eft_activation kind,
                      eft_precision precision, size_t rows, const float *x, size_t ldx, void *workspace);
/// dx[T][K] (+)= dy[T][N] W'.
size_t eft_matmul_transposed_workspace(const eft_context *context, const eft_weight *w,
                                       eft_precision precision, size_t rows);
void eft_matmul_transposed(eft_context *context, const eft_weight *w, eft_precision precision,
                           size_t rows, const float *dy, size_t lddy, float *dx, size_t lddx,
                           bool accumulate, void *workspace);

/// A matrix of f32 numbers with any strides.
typedef struct eft_view {
    const float *data;
    size_t row_stride;
    size_t column_stride;
} eft_view;

/// C[M][N] = alpha A[M][K] B[K][N] + beta C, all in f32 (beta 0 ignores what C held). Element (i, j) of C is at
/// c[(j / 16) * c_panel_stride + i * c_row_stride + j % 16]: c_panel_stride 16 for a row-major C, or the panel form.
size_t eft_gemm_workspace(const eft_context *context, size_t m, size_t n, size_t k);
void eft_gemm(eft_context *context, size_t m, size_t n, size_t k, float alpha, eft_view a, eft_view b,
              float beta, float *c, size_t c_row_stride, size_t c_panel_stride, void *workspace);

/// C[N][N] += x' y over the rows of x and y [T][N]; where y is NULL, the lower triangle of C += x' x, and above the diagonal C
/// then holds anything. In bf16 precision x and y are rounded first; in int8 precision x'x is of integers of 8 bits, with a scale for
/// each column of 512 rows, where the level has products of bytes, else as in bf16; in any other they are multiplied in f32. Sums of
/// 512 rows are added to C one after the other. One workspace serves both forms.
size_t eft_gram_workspace(const eft_context *context, eft_precision precision, size_t rows, size_t columns);
void eft_gram(eft_context *context, eft_precision precision, size_t rows, size_t columns, const float *x, const float *y,
              float *c, void *workspace);

// ---------------------------------------------------------------------------------------------------------------------
// Layers
// ---------------------------------------------------------------------------------------------------------------------

/// y = x / sqrt(mean(x^2) + eps) * weight, row by row. `inverse_rms` [T] is written when not NULL. y may be x.
void eft_rms_norm(eft_context *context, size_t rows, size_t columns, const float *x, size_t ldx,
                  const float *weight, float eps, float *y, size_t ldy, float *inverse_rms);
/// dx (+)= gradient of x; dweight [columns] += gradient of the weight, when not NULL. dx may be dy when not accumulating.
void eft_rms_norm_backward(eft_context *context, size_t rows, size_t columns, const float *x,
                           size_t ldx, const float *weight, float eps, const float *dy, size_t lddy,
                           float *dx, size_t lddx, bool accumulate, float *dweight);

/// y = (x - mean) / sqrt(variance + eps) * weight + bias, row by row; `bias` may be NULL, y may be x.
void eft_layer_norm(eft_context *context, size_t rows, size_t columns, const float *x, size_t ldx, const float *weight,
                    const float *bias, float eps, float *y, size_t ldy);
/// dx (+)= gradient of x; dweight and dbias [columns] += their gradients, when not NULL. dx may be dy when not
/// accumulating.
void eft_layer_norm_backward(eft_context *context, size_t rows, size_t columns, const float *x, size_t ldx,
                             const float *weight, float eps, const float *dy, size_t lddy, float *dx, size_t lddx,
                             bool accumulate, float *dweight, float *dbias);

/// Heads of which the first R numbers rotate, in pairs (i, i + R/2), or (2i, 2i + 1) when `interleaved`.
typedef struct eft_rotation {
    size_t heads, head_dim, rotated;
    bool interleaved;
} eft_rotation;
/// Rotates each head in place by the angles whose cosines and sines stand in [T][R/2] tables.
/// `inverse` rotates back (the backward pass).
void eft_rope(eft_context *context, const eft_rotation *rotation, size_t rows, float *x, size_t ldx,
              const float *cosines, const float *sines, bool inverse);

/// y = f(gate) * up, or f(gate) where `up` is NULL, element-wise on [T][columns].
void eft_activate(eft_context *context, eft_activation kind, size_t rows, size_t columns, const float *gate, size_t ldg,
                  const float *up, size_t ldu, float *y, size_t ldy);
/// dgate and dup from dy; may overwrite gate and up. `dup` is NULL where `up` is.
void eft_activate_backward(eft_context *context, eft_activation kind, size_t rows, size_t columns, const float *gate,
                           size_t ldg, const float *up, size_t ldu, const float *dy, size_t lddy, float *dgate,
                           size_t lddg, float *dup, size_t lddu);

/// Linear attention by the gated delta rule. Value head h goes with key head h / (value_heads / key_heads).
typedef struct eft_delta {
    size_t key_heads, value_heads, key_dim, value_dim;
    bool adds;  // what the state holds for a key is not taken away: a state-space layer (Mamba 2)
} eft_delta;

/// Rows of one sequence: q and k [T][key_heads * key_dim], v and out [T][value_heads * value_dim], decay and strength
/// [T][value_heads].
typedef struct eft_delta_run {
    size_t rows;
    const float *q, *k, *v, *decay, *strength;
    float *out;
    float *state;  // eft_delta_state_floats; the state behind the last row afterwards
    bool fresh;    // the state before the first row is zero, whatever stands there
} eft_delta_run;

/// Gradients of a run that begins with a zero state; dq, dk, dv, ddecay and dstrength are overwritten.
typedef struct eft_delta_gradients {
    const float *dout;
    float *dq, *dk, *dv, *ddecay, *dstrength;
    float *scratch;  // eft_delta_scratch_floats
} eft_delta_gradients;

/// For each head a state of key_dim x value_dim: columns in blocks of 32, each block row by row.
size_t eft_delta_state_floats(const eft_delta *delta);
size_t eft_delta_scratch_floats(const eft_delta *delta, size_t rows);
/// Row by row: S = decay S; S += k (strength (v - S'k))'; out = S'q. Where it adds, S'k counts as 0.
void eft_delta_forward(eft_context *context, const eft_delta *delta, const eft_delta_run *run);
void eft_delta_backward(eft_context *context, const eft_delta *delta, const eft_delta_run *run,
                        const eft_delta_gradients *gradients);

/// What the gates of the delta rule are made of, [T][heads] each: decay = exp(-exp(rate) softplus(a + bias)),
/// strength = sigmoid(b), or the soft plus itself where b is NULL.
typedef struct eft_delta_gates {
    size_t rows, heads;
    float *a, *b;
    const float *rate, *bias;  // [heads]
    float *decay, *strength;
} eft_delta_gates;

void eft_delta_gate(eft_context *context, const eft_delta_gates *gates);
/// a and b become their gradients; adds to drate and dbias [heads], when not NULL.
void eft_delta_gate_backward(eft_context *context, const eft_delta_gates *gates, const float *ddecay,
                             const float *dstrength, float *drate, float *dbias);

/// Most rows that a convolution sees.
#define EFT_MOST_TAPS 8
/// A convolution of each column over its last rows: y[t][c] = sum over j of weight[c][j] x[t - taps + 1 + j][c].
typedef struct eft_convolution {
    size_t rows, columns, taps;
    const float *x;
    size_t ldx;
    const float *before;  // the taps - 1 rows before x; NULL for zeros
    size_t ld_before;
    const float *weight;  // [columns][taps]
    float *y;             // forward alone
    size_t ldy;           // of y, of dy in the backward pass
} eft_convolution;

void eft_convolve(eft_context *context, const eft_convolution *convolution);
/// dy becomes the gradient of x, whose rows have zeros before them; adds to dweight [columns][taps], when not NULL.
void eft_convolve_backward(eft_context *context, const eft_convolution *convolution, float *dy, float *dweight);

/// x = cap * tanh(x / cap).
void eft_soft_cap(eft_context *context, size_t count, float cap, float *x);
/// From the gradient of y = cap * tanh(x / cap) to that of x, in place.
void eft_soft_cap_backward(eft_context *context, size_t count, float cap, const float *y, float *dx);
/// y += factor * x.
void eft_add_scaled(eft_context *context, size_t count, float factor, const float *x, float *y);
/// x *= factor.
void eft_scale(eft_context *context, size_t count, float factor, float *x);
/// x[t][:] += bias for every row.
void eft_add_bias(eft_context *context, size_t rows, size_t columns, const float *bias, float *x,
                  size_t ldx);
/// x[t][c] = (x[t][c] - bias[c]) * factors[c] + bias[c]; no bias when NULL.
void eft_scale_columns(eft_context *context, size_t rows, size_t columns, const float *factors, const float *bias,
                       float *x, size_t ldx);
/// sums[c] += factors[c] * the sum over rows of x[t][c] y[t][c], in order of rows.
void eft_column_products(eft_context *context, size_t rows, size_t columns, const float *factors, const float *x,
                         size_t ldx, const float *y, size_t ldy, float *sums);
/// sums[c] += sum over rows of x[t][c], in order of rows.
void eft_column_sums(eft_context *context, size_t rows, size_t columns, const float *x, size_t ldx,
                     float *sums);
/// y = x * mask / (1 - p), the mask a function of (seed, index) only, so that the backward pass gets the same one.
void eft_dropout(eft_context *context, size_t count, const float *x, float *y, float p, uint64_t seed);
/// The sum of squares, in an order that does not depend on the number of threads.
double eft_sum_squares(eft_context *context, size_t count, const float *x);

/// Cross entropy of each row of logits [T][V] with its label; a negative label gives loss 0 and no gradient.
/// When `gradient_scale` is not 0 the logits are replaced by (softmax - wanted) * gradient_scale. What is wanted is the
/// label, but for the share `smoothing`, which all tokens have in equal parts.
void eft_cross_entropy(eft_context *context, size_t rows, size_t vocabulary, float *logits, size_t ldl,
                       const int32_t *labels, float gradient_scale, float smoothing, float *losses);

/// Largest logits of a row that `eft_divergence` compares.
#define EFT_DIVERGENCE_BEST 5

/// How two next-token distributions differ, in nats.
typedef struct eft_divergence_row {
    /// KL(reference || other): the sum of p (log p - log q).
    double divergence;
    /// Cross entropies with the label; 0 without one.
    double reference_loss, loss;
    /// Whether both have the same likeliest token.
    bool same_best;
    /// How many of the reference's likeliest tokens are among the other's, and how many there are: 5, or the whole
    /// vocabulary.
    uint32_t common_best, best_count;
} eft_divergence_row;

/// Compares each row of logits [T][V] with that of a reference; a negative label gives no losses. Sums are in f64.
void eft_divergence(eft_context *context, size_t rows, size_t vocabulary, const float *reference, size_t ldr,
                    const float *logits, size_t ldl, const int32_t *labels, eft_divergence_row *result);

/// Sums of squares of a row, in f64.
typedef struct eft_difference_row {
    /// Of a - b, and of a.
    double difference, square;
} eft_difference_row;

/// The sums of squares of a - b and of a for each row of [T][C].
void eft_difference(eft_context *context, size_t rows, size_t columns, const float *a, size_t lda, const float *b,
                    size_t ldb, eft_difference_row *result);

// ---------------------------------------------------------------------------------------------------------------------
// Sampling: passes over one row of logits [V], each the same bits at every level
// ---------------------------------------------------------------------------------------------------------------------

/// Logits whose exponentials are summed together.
#define EFT_ROW_BLOCK 512

/// The first of the largest numbers of a row that are not NaN (-inf at 0 when there is none), and whether any is NaN.
typedef struct eft_row_peak {
    float value;
    uint32_t index;
    bool has_nan;
} eft_row_peak;
eft_row_peak eft_row_max(eft_isa isa, size_t count, const float *x);
/// x = -inf where bit i % 32 of bits[i / 32] is clear or i / 32 >= words.
void eft_row_mask(eft_isa isa, size_t count, float *x, size_t words, const uint32_t *bits);
/// weights = exp((x - top) * scale) for x <= top and scale > 0, in f32; zero where the exponent is below -87.
void eft_row_weights(eft_isa isa, size_t count, const float *x, float top, float scale, float *weights);
/// sums[b] = the sum in f64 of the weights of block b of EFT_ROW_BLOCK numbers; returns the sum over the blocks.
double eft_row_sums(eft_isa isa, size_t count, const float *x, float top, float scale, double *sums);
/// The sum in f64 of the weights whose numbers are at least `floor`.
double eft_row_mass(eft_isa isa, size_t count, const float *x, const float *weights, float floor);
/// How many numbers are at least `floor`.
size_t eft_row_count(eft_isa isa, size_t count, const float *x, float floor);
/// The indices and values of the first `capacity` numbers that are at least `floor`, in order; returns how many.
size_t eft_row_collect(eft_isa isa, size_t count, const float *x, float floor, size_t capacity, uint32_t *indices,
                       float *values);
/// Numbers that eft_row_kth needs as workspace.
size_t eft_row_kth_scratch(size_t count, size_t k);
/// The k-th largest number, 1 <= k <= count; NaN counts as -inf.
float eft_row_kth(eft_isa isa, size_t count, const float *x, size_t k, float *scratch);

// ---------------------------------------------------------------------------------------------------------------------
// Optimizers: one step on `count` numbers p with their gradients
// ---------------------------------------------------------------------------------------------------------------------

/// How a rule changes p. g is the gradient times `gradient_scale`; s0, s1 and s2 are the states.
typedef enum eft_update_rule {
    /// AdamW as PyTorch computes it: s0 += (g - s0) rest1; s1 = beta2 s1 + rest2 g^2;
    /// p = keep p - rate s0 / (sqrt(s1) / correction2 + epsilon).
    EFT_UPDATE_ADAMW = 0,
    /// p = keep p - rate sign(beta1 s0 + rest1 g); s0 = beta2 s0 + rest2 g.
    EFT_UPDATE_LION = 1,
    /// g += decay p; s0 = beta1 s0 + rest1 g, or g when `first`; p -= rate (nesterov ? g + beta1 s0 : s0), or rate g
    /// without s0.
    EFT_UPDATE_SGD = 2,
    /// g += decay p; s0 = beta2 s0 + rest2 g^2; x = g / (sqrt(s0 - s1^2) + epsilon) with s1 += (g - s1) rest2 when there
    /// is one; with s2: x = s2 = beta1 s2 + x; p -= rate x.
    EFT_UPDATE_RMSPROP = 3,
    /// g += decay p; s0 += g^2; p -= rate g / (sqrt(s0) + epsilon).
    EFT_UPDATE_ADAGRAD = 4,
    /// s0 = beta1 s0 + rest1 g; s1 = beta3 s1 + rest3 g; s2 = beta2 s2 + rest2 g^2;
    /// p = keep p - rate (s0 / correction1 + alpha s1) / (sqrt(s2) / correction2 + epsilon).
    EFT_UPDATE_ADEMAMIX = 5,
    /// s1 = beta2 s1 + rest2 g^2; x = g / (sqrt(s1 / correction2) + epsilon) + decay p; p += mix (s0 - p) + alpha x;
    /// s0 -= rate x.
    EFT_UPDATE_SCHEDULE_FREE = 6,
    /// s0 = beta1 s0 + g; the gradient becomes g + beta1 s0, or s0 when not `nesterov`; p stays.
    EFT_UPDATE_NESTEROV = 7,
    EFT_UPDATE_RULES = 8,
} eft_update_rule;

/// The constants of a step, each rounded once; which of them count is a matter of the rule.
typedef struct eft_update {
    eft_update_rule rule;
    float gradient_scale, keep, decay, rate, epsilon;
    float beta1, rest1, beta2, rest2, beta3, rest3;
    float correction1, correction2, alpha, mix;
    bool first, nesterov;
} eft_update;

/// Numbers of a block of coded state.
#define EFT_UPDATE_BLOCK 256

/// Magnitudes that share their exponent and the first 8 bits of their fraction, from 2^-25 to 2.
#define EFT_CODE_BINS (26 * 256)

/// bitsandbytes' dynamic map, signed or not, with what finds the nearest entry of a number.
typedef struct eft_code_map {
    float values[256];
    float midpoints[256];              // the last one is infinite
    uint8_t first[2][EFT_CODE_BINS];   // by sign: the midpoints below all numbers of a bin; a bin has one more at most
} eft_code_map;
void eft_code_map_fill(eft_code_map *map, bool is_signed);

/// A state: numbers in f32, or codes of a map with the largest magnitude of each block, as bitsandbytes has them; all
/// pointers NULL where the rule has none.
typedef struct eft_update_state {
    float *values;            // [count]
    uint8_t *codes;           // [count]
    float *absmax;            // [ceil(count / EFT_UPDATE_BLOCK)]
    const eft_code_map *map;
} eft_update_state;

void eft_update_step(eft_context *context, const eft_update *update, size_t count, float *p, float *g,
                     const eft_update_state states[3]);

/// A trained matrix: row-major, or in panels of 16 rows (outputs), each [blocks*32][16].
typedef struct eft_matrix {
    float *data;
    size_t rows, columns;
    bool in_panels;
} eft_matrix;

/// row_means [rows] and column_means [columns] of x^2 + floor, each sum in f64 in an order of its own.
void eft_square_means(eft_context *context, eft_matrix x, float floor, float *row_means, float *column_means);
/// x[r][c] *= row_factors[r] * column_factors[c].
void eft_scale_by_factors(eft_context *context, eft_matrix x, const float *row_factors, const float *column_factors);
/// out [rows][columns] = x.
void eft_matrix_read(eft_context *context, eft_matrix x, float *out);
/// x = keep x + factor y, y [rows][columns].
void eft_matrix_add(eft_context *context, eft_matrix x, float keep, float factor, const float *y);

/// rounded = a weight in panels with 16 values, evenly from the smallest to the largest of each `group` inputs.
void eft_fake_int4(eft_context *context, eft_matrix weight, size_t group, float *rounded);
/// From the gradient of `rounded`, in panels, to that of the weight, in place: rounding counts as the identity, and each
/// group's step is a function of its smallest and largest number.
void eft_fake_int4_backward(eft_context *context, eft_matrix weight, size_t group, float *gradient);
/// What eft_fake_int4_backward makes the gradients [count][columns] of chosen rows of, in place.
void eft_fake_int4_inverse(eft_context *context, eft_matrix weight, size_t group, size_t count, const int32_t *rows,
                           float *gradients);
/// y = x [rows][columns] in 8 bits with a scale and a zero point for each row.
void eft_fake_int8(eft_context *context, size_t rows, size_t columns, const float *x, float *y);
/// Sets the gradient of x to zero where the code would pass 8 bits.
void eft_fake_int8_backward(eft_context *context, size_t rows, size_t columns, const float *x, float *gradient);

// ---------------------------------------------------------------------------------------------------------------------
// Attention over pages of 16 tokens
// ---------------------------------------------------------------------------------------------------------------------

/// Tokens of a page.
#define EFT_PAGE 16

/// A page holds, for one layer, keys [Hkv][D][16] (token innermost) and then values [Hkv][16][D], both of kv_type; or, where
/// key_bits is not 0, rotated codes of 8 or 4 bits (kv_codes.h): then D is a multiple of 32 up to EFT_KV_MOST_DIM, and there
/// is no backward pass.
typedef struct eft_attention {
    size_t heads, kv_heads, head_dim;
    float scale;
    eft_float_type kv_type;
    uint32_t key_bits, value_bits;
    size_t window;   // positions that a row sees, its own included; 0 for all
    bool is_chunked; // sequences are cut into chunks of `window` positions, and a row sees those of its own
    float soft_cap;  // scores s become soft_cap * tanh(s / soft_cap); 0 leaves them as they are
} eft_attention;

/// Largest head of pages in codes.
#define EFT_KV_MOST_DIM 256

/// Consecutive query rows of one sequence. Row r stands at position first_position + r and sees positions up to its own,
/// all of them, those of its window or those of its chunk. Pages that no row sees are not read.
typedef struct eft_attention_run {
    size_t rows;
    size_t first_position;
    void *const *pages;  // ceil((first_position + rows) / 16) pages
    const float *q;      // [rows][H*D]
    float *out;          // [rows][H*D]
    float *lse;          // NULL, or [rows][H]: log of the sum of exponentials, for the backward pass
    // Backward only:
    const float *dout;           // [rows][H*D]
    float *dq;                   // [rows][H*D], written
    void *const *gradient_pages; // laid out as pages, f32, added to
} eft_attention_run;

size_t eft_kv_page_bytes(const eft_attention *attention);
/// Writes keys and values [rows][Hkv*D] of positions first_position... into pages.
void eft_kv_write(eft_context *context, const eft_attention *attention, size_t rows,
                  size_t first_position, const float *k, size_t ldk, const float *v, size_t ldv,
                  void *const *pages);
/// Reads keys and values (or their gradients, in f32 pages) back into rows.
void eft_kv_read(eft_context *context, const eft_attention *attention, size_t rows,
                 size_t first_position, void *const *pages, float *k, size_t ldk, float *v, size_t ldv);
/// out = softmax(cap(q k' * scale)) v for every run; strides are those of q/dq and out/dout rows.
void eft_attention_forward(eft_context *context, const eft_attention *attention,
                           const eft_attention_run *runs, size_t run_count, size_t ldq, size_t ldo);
/// The same with products in bf16 where the level has fast ones, pages are f32 and heads a multiple of 16 numbers up to 256:
/// queries, keys, weights and values are rounded. Elsewhere the same bits as above.
void eft_attention_forward_rough(eft_context *context, const eft_attention *attention,
                                 const eft_attention_run *runs, size_t run_count, size_t ldq, size_t ldo);
/// dq, and gradients of keys and values added into gradient_pages. Pages must be f32.
void eft_attention_backward(eft_context *context, const eft_attention *attention,
                            const eft_attention_run *runs, size_t run_count, size_t ldq, size_t ldo);

// ---------------------------------------------------------------------------------------------------------------------
// Quantizers
// ---------------------------------------------------------------------------------------------------------------------

/// The 16 values of NF4, and the 15 decision points between them (Dettmers et al. 2023, as bitsandbytes 0.49.1).
extern const float eft_nf4_values[16];
/// The 16 values of FP4 as bitsandbytes has them: a sign, and 0, 1/192, 2/3, 1, 1/3, 1/2, 1/6, 1/4.
extern const float eft_fp4_values[16];
extern const float eft_nf4_midpoints[15];

/// NF4 of `count` numbers in blocks of `block_size`: value * (1/absmax) in f32, element 2i in the high nibble of byte i.
void eft_nf4_quantize(eft_context *context, size_t count, size_t block_size, const float *x,
                      uint8_t *packed, float *absmax);
/// code value * absmax in f32.
void eft_nf4_dequantize(eft_context *context, size_t count, size_t block_size, const uint8_t *packed,
                        const float *absmax, float *x);
/// Rows [rows][columns] as signed bytes: round(x * (1 / absmax * 127)), halves to even, with the largest magnitude of each row.
void eft_int8_quantize(eft_context *context, size_t rows, size_t columns, const float *x, int8_t *codes, float *absmax);
/// The 8-bit dynamic map of bitsandbytes, signed or unsigned, bit for bit.
void eft_dynamic_map(bool is_signed, float map[256]);
/// 8-bit codes of `count` numbers in blocks: nearest entry of a sorted map to x / absmax.
void eft_blockwise8_quantize(eft_context *context, size_t count, size_t block_size, const float map[256],
                             const float *x, uint8_t *codes, float *absmax);

// ---------------------------------------------------------------------------------------------------------------------
// The quantizer of EXL2: groups of rows of weights [K][N], a scale for each group and output. The same bits at every level
// ---------------------------------------------------------------------------------------------------------------------

/// most[n] = the largest magnitude of a column.
void eft_exl2_largest(eft_context *context, size_t rows, size_t columns, const float *x, float *most);
/// For each factor f the sum over a group x [rows][N] of |q - x|^3.5, q = clamp(rint(x / s), -2^(b-1), 2^(b-1) - 1) * s
/// with s[n] = steps[n] * f. A column's sum is in f32, in order of rows; workspace: eft_exl2_errors_workspace bytes.
void eft_exl2_errors(eft_context *context, size_t rows, size_t columns, unsigned bits, const float *x,
                     const float *steps, size_t count, const float *factors, double *sums, void *workspace);
size_t eft_exl2_errors_workspace(size_t columns, size_t count);

/// The fit of a group's scales to what their errors cost: for each step t the sum over the columns of the least of
/// sum_r row_weights[r] (q - x)^2, q as above, over scales half(s^2 t) with `tried` values of s from first[n] = the least s of
/// 1...16 with s^2 t >= least[n] on (16 at most). choices: [step][N], the first s of the least sum (16 where all are NaN).
typedef struct eft_exl2_fit {
    size_t rows, columns;
    unsigned bits;
    const float *x;            // [rows][N]
    const float *row_weights;  // [rows]
    const float *least;        // [N]
    size_t tried, count;
    const float *steps;  // [count], halves
} eft_exl2_fit;
void eft_exl2_fit_scales(eft_context *context, const eft_exl2_fit *fit, double *sums, uint8_t *choices, void *workspace);
size_t eft_exl2_fit_workspace(size_t threads, size_t rows, size_t columns, size_t count);

/// The fit of scales that each output has for itself: of the scales half(largest[n] shares[i]) the first under which
/// sum_r row_weights[r] (q - x)^2 is least, q as above, sums in f32 in order of rows; 0 where all sums are NaN.
typedef struct eft_column_fit {
    size_t rows, columns;
    unsigned bits;
    const float *x;            // [rows][N]
    const float *row_weights;  // [rows]
    const float *largest;      // [N]
    size_t count;
    const float *shares;  // [count]
    float *scales;        // [N]
} eft_column_fit;
/// Workspace: eft_column_fit_workspace bytes.
void eft_column_fit_scales(eft_context *context, const eft_column_fit *fit, void *workspace);
size_t eft_column_fit_workspace(size_t threads, size_t rows);

/// A group to round by GPTQ (Frantar et al. 2022).
typedef struct eft_exl2_rounding {
    size_t rows, columns;
    unsigned bits;
    const float *scales;  // [N], as a reader computes them
    const float *factor;  // U at the group's first row and column, upper triangle
    size_t ldf;
    float *w;          // [rows][N] to what the codes stand for
    uint8_t *codes;    // [rows][N]
    float *errors;     // [rows][N]: (w - q) / U[r][r]
    double *energies;  // [N]: errors^2 are added
    bool exact;        // whether values are products in f32, not rounded to halves: GPTQ's files instead of EXL2's
} eft_exl2_rounding;
/// Row by row: w[r] -= U[c][r] errors[c] for all c < r in order, then the code clamp(rint(w / s) + 2^(b-1), 0, 2^b - 1)
/// (that of zero where s is 0) and its value half((code - 2^(b-1)) s), or the product. Workspace:
/// eft_exl2_correct_workspace bytes.
void eft_exl2_correct(eft_context *context, const eft_exl2_rounding *rounding, void *workspace);
size_t eft_exl2_correct_workspace(size_t threads, size_t rows);
/// A group of rounded weights whose rows move, one after the other, to where the loss is least: coordinate descent on
/// tr(D'HD), D what the values differ by from the weights that are wanted.
typedef struct eft_exl2_descent {
    size_t rows, columns;
    unsigned bits;
    const float *scales;   // [N], as a reader computes them
    const float *hessian;  // H at the group's first row and column, lower triangle and diagonal
    size_t ldh;
    const float *gradient;  // [rows][N]: HD
    float *w;               // [rows] of N values, ldw numbers apart
    size_t ldw;
    float *changes;  // [rows][N]: what the values moved by
    bool exact;      // as above
} eft_exl2_descent;
/// Row by row: slope = gradient[r] + H[r][c] changes[c] for all c < r in order, then w[r] becomes the value, by the rounding
/// above, of w[r] - slope / H[r][r]. Workspace: eft_exl2_correct_workspace bytes.
void eft_exl2_descend(eft_context *context, const eft_exl2_descent *descent, void *workspace);
/// w [rows][N] -= its value by the same rounding, without correction.
void eft_exl2_losses(eft_context *context, size_t rows, size_t columns, unsigned bits, const float *scales, bool exact,
                     float *w);
/// Codes [rows][N] as words [rows / 32 * bits][padded], streams of bits down the columns; columns from N on hold the code
/// of zero. rows is a multiple of 32, padded N rounded up to 32.
void eft_exl2_words(eft_context *context, size_t rows, size_t columns, unsigned bits, const uint8_t *codes,
                   uint32_t *words);

/// What 32 rows of codes in words [bits][N] stand for: out[n][inputs[i]] = half((code - 2^(b-1)) scales[n]) for row i.
/// Consecutive rows of words are ldw words apart, of out ldo numbers. On the caller's thread.
void eft_exl2_values(eft_isa isa, size_t columns, unsigned bits, const uint32_t *words, size_t ldw, const float *scales,
                     const uint32_t inputs[32], float *out, size_t ldo);

/// y[places[k]][n] = x[n][k]: a weight [N][K] in the order of its rows; consecutive rows of y are ldy numbers apart.
void eft_transpose_ordered(eft_context *context, size_t outputs, size_t inputs, const float *x, const uint32_t *places,
                           float *y, size_t ldy);
/// sums[n] = the sum over k of (x[n][k] - y[places[k]][n])^2 in f64, in order; zero when all are equal.
void eft_squared_changes(eft_context *context, size_t outputs, size_t inputs, const float *x, const uint32_t *places,
                         const float *y, size_t ldy, double *sums);

// ---------------------------------------------------------------------------------------------------------------------
// GGUF: blocks of its quantized types
// ---------------------------------------------------------------------------------------------------------------------

/// Quantized types by their numbers in the files.
enum {
    EFT_GGUF_Q4_0 = 2,
    EFT_GGUF_Q4_1 = 3,
    EFT_GGUF_Q5_0 = 6,
    EFT_GGUF_Q5_1 = 7,
    EFT_GGUF_Q8_0 = 8,
    EFT_GGUF_Q2_K = 10,
    EFT_GGUF_Q3_K = 11,
    EFT_GGUF_Q4_K = 12,
    EFT_GGUF_Q5_K = 13,
    EFT_GGUF_Q6_K = 14,
    EFT_GGUF_IQ2_XXS = 16,
    EFT_GGUF_IQ2_XS = 17,
    EFT_GGUF_IQ3_XXS = 18,
    EFT_GGUF_IQ1_S = 19,
    EFT_GGUF_IQ4_NL = 20,
    EFT_GGUF_IQ3_S = 21,
    EFT_GGUF_IQ2_S = 22,
    EFT_GGUF_IQ4_XS = 23,
    EFT_GGUF_IQ1_M = 29,
    EFT_GGUF_TQ1_0 = 34,
    EFT_GGUF_TQ2_0 = 35,
    EFT_GGUF_MXFP4 = 39,
    EFT_GGUF_NVFP4 = 40,
};

/// The numbers that consecutive blocks stand for; on the caller's thread. False for a type that is not known.
bool eft_gguf_values(uint32_t type, size_t blocks, const void *source, float *values);
/// 8-bit floating point numbers (E4M3) times a scale, in f32, rounded to bf16; on the caller's thread. `source` may lie within `target`
/// where it is not behind what is written.
void eft_e4m3_to_bf16(size_t count, const uint8_t *source, float scale, void *target);

/// An 8-bit floating point number (E4M3); NaN's codes give 480.
float eft_e4m3_value(uint8_t code);
/// Whether none of the 8-bit floating point numbers is NaN; they have no infinities. On the caller's thread.
bool eft_e4m3_all_numbers(size_t count, const uint8_t *codes);
/// A row of blocks, x [rows][columns] with rows <= block, as 8-bit floating point numbers and a scale for each `block` columns by
/// which they are multiplied to be read: f = 448 / (the block's largest magnitude), the number nearest to x f (ties to even),
/// and 1 / f. Where f is not finite it is 1.
void eft_fp8_quantize(eft_context *context, size_t rows, size_t columns, size_t block, const float *x, uint8_t *codes,
                      float *scales);

/// Takes blocks of 64 bytes into a SHA-256 state; false, and nothing is done, where the processor has no instructions for it.
bool eft_sha256_blocks(uint32_t state[8], const void *data, size_t count);

/// Packs blocks of Q4_0, Q4_1, Q5_0, Q5_1, Q8_0, Q2_K, Q3_K, Q4_K, Q5_K or Q6_K, rows of the outputs from `first` on, a multiple of 16, into the
/// panels and scales of a coded weight (cast to writable, of the whole matrix) whose groups are single blocks of the type's width.
/// False when a scale is infinite or NaN, and for other types.
bool eft_gguf_pack(eft_context *context, const eft_weight *w, uint32_t type, void *panels, void *scales, const void *source,
                   size_t first, size_t count);

/// Finite numbers to consecutive blocks, on the caller's thread: Q4_0, Q4_1, Q5_0, Q5_1, Q8_0, Q4_K, Q5_K, Q6_K, IQ4_NL, IQ4_XS. False for
/// other types.
bool eft_gguf_quantize(uint32_t type, size_t blocks, const float *values, void *target);
/// A row of finite numbers to blocks of these types, but for Q8_0, where the error of each column counts as much as its weight, which is
/// finite and above zero. The row's columns are a multiple of the block's. On the caller's thread. False for other types.
bool eft_gguf_quantize_weighted(uint32_t type, size_t columns, const float *values, const float *weights, void *target);

// ---------------------------------------------------------------------------------------------------------------------
// Limits of the machine, for comparison
// ---------------------------------------------------------------------------------------------------------------------

/// Makes independent f32 fused multiply-adds on all workers; returns how many operations (two each).
double eft_limit_fma(eft_context *context, size_t rounds, float *sink);
/// The same with bf16 dot products; 0 where the level has none.
double eft_limit_bf16(eft_context *context, size_t rounds, float *sink);
/// The same with dot products of pairs of 16-bit integers; 0 on the scalar level.
double eft_limit_int16(eft_context *context, size_t rounds, float *sink);
/// The same with dot products of four bytes; 0 where the level has none.
double eft_limit_int8(eft_context *context, size_t rounds, float *sink);
/// Reads `bytes` bytes once, spread over all workers.
void eft_limit_read(eft_context *context, const void *data, size_t bytes, float *sink);

#ifdef __cplusplus
}
#endif

#endif

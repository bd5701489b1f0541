// SPDX-License-Identifier: Apache-2.0
// The units of an MLP, f(gate) * up or f(x) alone, forward and backward.
#include "../layer_kernels.h"

#include <math.h>

/// A number kept from growing beyond the limit of clamped units.
static float clamped(float x) { return x > EFT_CLAMP ? EFT_CLAMP : x < -EFT_CLAMP ? -EFT_CLAMP : x; }

/// What f is multiplied by.
static float factor_of(eft_activation kind, float u) { return kind == EFT_CLAMPED ? clamped(u) + 1 : u; }

/// f of a number.
static float value_of(eft_activation kind, float g) {
    switch (kind) {
        case EFT_SILU: return g / (1 + expf(-g));
        case EFT_GELU: return 0.5f * g * erfcf(-g * EFT_SQRT_HALF);
        case EFT_GELU_TANH: return g / (1 + expf(-2 * eft_gelu_argument(g)));
        case EFT_RELU: return g > 0 || isnan(g) ? g : 0;
        case EFT_RELU2: return g > 0 || isnan(g) ? g * g : 0;
        case EFT_CLAMPED: g = g > EFT_CLAMP ? EFT_CLAMP : g; return g / (1 + expf(-EFT_CLAMPED_SCALE * g));
        case EFT_SIGMOID: return 1 / (1 + expf(-g));
        default: return NAN;
    }
}

/// The derivative of f.
static float slope_of(eft_activation kind, float g) {
    float s;
    switch (kind) {
        case EFT_SILU: s = 1 / (1 + expf(-g)); return s * (1 + g * (1 - s));
        case EFT_GELU: return 0.5f * erfcf(-g * EFT_SQRT_HALF) + g * EFT_NORMAL_PEAK * expf(-0.5f * g * g);
        case EFT_GELU_TANH:
            s = 1 / (1 + expf(-2 * eft_gelu_argument(g)));
            // Far out the products would be infinite times zero.
            return s == 0 || s == 1 ? s : s + g * s * (1 - s) * 2 * eft_gelu_argument_slope(g);
        case EFT_RELU: return g > 0 || isnan(g) ? (isnan(g) ? g : 1) : 0;
        case EFT_RELU2: return g > 0 || isnan(g) ? 2 * g : 0;
        case EFT_CLAMPED:
            s = 1 / (1 + expf(-EFT_CLAMPED_SCALE * g));
            return g > EFT_CLAMP ? 0 : s * (1 + EFT_CLAMPED_SCALE * g * (1 - s));
        case EFT_SIGMOID: s = 1 / (1 + expf(-g)); return s * (1 - s);
        default: return NAN;
    }
}

static void forward(eft_activation kind, size_t columns, const float *gate, const float *up, float *y) {
    for (size_t c = 0; c < columns; c++) y[c] = up == NULL ? value_of(kind, gate[c]) : value_of(kind, gate[c]) * factor_of(kind, up[c]);
}

static void backward(eft_activation kind, size_t columns, const float *gate, const float *up, const float *dy,
                     float *dgate, float *dup) {
    for (size_t c = 0; c < columns; c++) {
        float g = gate[c], d = dy[c];
        dgate[c] = (up == NULL ? d : d * factor_of(kind, up[c])) * slope_of(kind, g);
        if (up == NULL) continue;
        bool is_flat = kind == EFT_CLAMPED && (up[c] > EFT_CLAMP || up[c] < -EFT_CLAMP);
        dup[c] = is_flat ? 0 : d * value_of(kind, g);
    }
}

static const eft_activation_kernels scalar = {forward, backward};

const eft_activation_kernels *eft_activation_kernels_of(eft_isa isa) { return EFT_KERNELS_AT(activation, isa, scalar); }

/// Columns of a task.
#define PIECE ((size_t)512)

typedef struct activation_job {
    const eft_activation_kernels *kernels;
    eft_activation kind;
    size_t rows, columns;
    const float *gate, *up, *dy;
    float *y, *dgate, *dup;
    size_t ldg, ldu, ldy, lddg, lddu;
} activation_job;

/// The place of a row's column in a matrix; NULL where there is none.
static const float *at(const float *x, size_t ld, size_t row, size_t column) {
    return x == NULL ? NULL : x + row * ld + column;
}

static void forward_task(void *argument, size_t index, size_t worker) {
    (void)worker;
    activation_job *job = argument;
    // Columns by columns, as the products wrote them: they lie in the caches of the cores that did.
    size_t t = index % job->rows, c = index / job->rows * PIECE;
    job->kernels->forward(job->kind, eft_min(PIECE, job->columns - c), at(job->gate, job->ldg, t, c),
                          at(job->up, job->ldu, t, c), job->y + t * job->ldy + c);
}

static void backward_task(void *argument, size_t index, size_t worker) {
    (void)worker;
    activation_job *job = argument;
    size_t t = index % job->rows, c = index / job->rows * PIECE;
    job->kernels->backward(job->kind, eft_min(PIECE, job->columns - c), at(job->gate, job->ldg, t, c),
                           at(job->up, job->ldu, t, c), at(job->dy, job->ldy, t, c), job->dgate + t * job->lddg + c,
                           job->dup == NULL ? NULL : job->dup + t * job->lddu + c);
}

void eft_activate(eft_context *context, eft_activation kind, size_t rows, size_t columns, const float *gate, size_t ldg, const float *up,
                size_t ldu, float *y, size_t ldy) {
    if (columns == 0) return;
    activation_job job = {.kernels = EFT_KERNELS(activation, context, scalar),
                      .kind = kind,
                      .rows = rows,
                      .columns = columns,
                      .gate = gate,
                      .ldg = ldg,
                      .up = up,
                      .ldu = ldu,
                      .y = y,
                      .ldy = ldy};
    eft_run_tasks(context, rows * eft_ceil_div(columns, PIECE), rows * columns, forward_task, &job);
}

void eft_activate_backward(eft_context *context, eft_activation kind, size_t rows, size_t columns, const float *gate, size_t ldg,
                         const float *up, size_t ldu, const float *dy, size_t lddy, float *dgate, size_t lddg,
                         float *dup, size_t lddu) {
    if (columns == 0) return;
    activation_job job = {.kernels = EFT_KERNELS(activation, context, scalar),
                      .kind = kind,
                      .rows = rows,
                      .columns = columns,
                      .gate = gate,
                      .ldg = ldg,
                      .up = up,
                      .ldu = ldu,
                      .dy = dy,
                      .ldy = lddy,
                      .dgate = dgate,
                      .lddg = lddg,
                      .dup = dup,
                      .lddu = lddu};
    eft_run_tasks(context, rows * eft_ceil_div(columns, PIECE), rows * columns, backward_task, &job);
}

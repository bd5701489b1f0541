// SPDX-License-Identifier: Apache-2.0
// The gated unit silu(gate) * up, forward and backward; silu(g) = g / (1 + exp(-g)).
#include "../layer_kernels.h"

#include <math.h>

static void forward(size_t columns, const float *gate, const float *up, float *y) {
    for (size_t c = 0; c < columns; c++) y[c] = gate[c] / (1 + expf(-gate[c])) * up[c];
}

static void backward(size_t columns, const float *gate, const float *up, const float *dy, float *dgate, float *dup) {
    for (size_t c = 0; c < columns; c++) {
        float g = gate[c], u = up[c], s = 1 / (1 + expf(-g));
        dgate[c] = dy[c] * u * (s * (1 + g * (1 - s)));
        dup[c] = dy[c] * (g * s);
    }
}

static const eft_swiglu_kernels scalar = {forward, backward};

const eft_swiglu_kernels *eft_swiglu_kernels_of(eft_isa isa) { return EFT_KERNELS_AT(swiglu, isa, scalar); }

/// Columns of a task.
#define PIECE ((size_t)512)

typedef struct swiglu_job {
    const eft_swiglu_kernels *kernels;
    size_t rows, columns;
    const float *gate, *up, *dy;
    float *y, *dgate, *dup;
    size_t ldg, ldu, ldy, lddg, lddu;
} swiglu_job;

static void forward_task(void *argument, size_t index, size_t worker) {
    (void)worker;
    swiglu_job *job = argument;
    // Columns by columns, as the products wrote them: they lie in the caches of the cores that did.
    size_t t = index % job->rows, c = index / job->rows * PIECE;
    job->kernels->forward(eft_min(PIECE, job->columns - c), job->gate + t * job->ldg + c, job->up + t * job->ldu + c,
                          job->y + t * job->ldy + c);
}

static void backward_task(void *argument, size_t index, size_t worker) {
    (void)worker;
    swiglu_job *job = argument;
    size_t t = index % job->rows, c = index / job->rows * PIECE;
    job->kernels->backward(eft_min(PIECE, job->columns - c), job->gate + t * job->ldg + c,
                           job->up + t * job->ldu + c, job->dy + t * job->ldy + c, job->dgate + t * job->lddg + c,
                           job->dup + t * job->lddu + c);
}

void eft_swiglu(eft_context *context, size_t rows, size_t columns, const float *gate, size_t ldg, const float *up,
                size_t ldu, float *y, size_t ldy) {
    if (columns == 0) return;
    swiglu_job job = {.kernels = EFT_KERNELS(swiglu, context, scalar),
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

void eft_swiglu_backward(eft_context *context, size_t rows, size_t columns, const float *gate, size_t ldg,
                         const float *up, size_t ldu, const float *dy, size_t lddy, float *dgate, size_t lddg,
                         float *dup, size_t lddu) {
    if (columns == 0) return;
    swiglu_job job = {.kernels = EFT_KERNELS(swiglu, context, scalar),
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

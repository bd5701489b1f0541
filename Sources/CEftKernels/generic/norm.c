// SPDX-License-Identifier: Apache-2.0
// Root-mean-square norm, forward and backward.
#include "../layer_kernels.h"

#include <math.h>

static float inverse_rms(size_t columns, const float *x, float eps) {
    double sum = 0;
    for (size_t c = 0; c < columns; c++) sum += (double)x[c] * x[c];
    return (float)(1 / sqrt(sum / (double)columns + eps));
}

static void apply(size_t columns, const float *x, float inverse, const float *weight, float *y) {
    for (size_t c = 0; c < columns; c++) y[c] = x[c] * inverse * weight[c];
}

// With r = 1/rms and n = columns: dx = r * (dy*w) - x * r^3/n * sum(dy*w*x).
static void backward(size_t columns, const float *x, float inverse, const float *weight, const float *dy, float *dx,
                     bool accumulate) {
    double sum = 0;
    for (size_t c = 0; c < columns; c++) sum += (double)(dy[c] * weight[c]) * x[c];
    float pull = (float)(sum / (double)columns * inverse * inverse * inverse);
    for (size_t c = 0; c < columns; c++) {
        float gradient = dy[c] * weight[c] * inverse - x[c] * pull;
        dx[c] = accumulate ? dx[c] + gradient : gradient;
    }
}

static void backward_weight(size_t rows, size_t columns, const float *x, size_t ldx, const float *inverse,
                            const float *dy, size_t lddy, float *dweight) {
    for (size_t t = 0; t < rows; t++)
        for (size_t c = 0; c < columns; c++) dweight[c] += dy[t * lddy + c] * (x[t * ldx + c] * inverse[t]);
}

static const eft_norm_kernels scalar = {inverse_rms, apply, backward, backward_weight};

/// Rows whose 1/rms is kept between the passes of the backward step.
#define ROW_BLOCK 256

typedef struct norm_job {
    const eft_norm_kernels *kernels;
    size_t rows, columns, rows_a_task;
    const float *x;
    size_t ldx;
    const float *weight;
    float eps;
    float *y;
    size_t ldy;
    float *inverse;  // forward: of the caller, or NULL; backward: of the block
    const float *dy;
    size_t lddy;
    bool accumulate;
    float *dweight;
} norm_job;

static void forward_task(void *argument, size_t index, size_t worker) {
    (void)worker;
    norm_job *job = argument;
    size_t end = eft_min((index + 1) * job->rows_a_task, job->rows);
    for (size_t t = index * job->rows_a_task; t < end; t++) {
        float inverse = job->kernels->inverse_rms(job->columns, job->x + t * job->ldx, job->eps);
        if (job->inverse != NULL) job->inverse[t] = inverse;
        job->kernels->apply(job->columns, job->x + t * job->ldx, inverse, job->weight, job->y + t * job->ldy);
    }
}

void eft_rms_norm(eft_context *context, size_t rows, size_t columns, const float *x, size_t ldx, const float *weight,
                  float eps, float *y, size_t ldy, float *inverse_rms) {
    norm_job job = {.kernels = EFT_KERNELS(norm, context, scalar),
                    .rows = rows,
                    .columns = columns,
                    .rows_a_task = eft_rows_a_task(columns),
                    .x = x,
                    .ldx = ldx,
                    .weight = weight,
                    .eps = eps,
                    .y = y,
                    .ldy = ldy,
                    .inverse = inverse_rms};
    eft_run_tasks(context, eft_ceil_div(rows, job.rows_a_task), rows * columns, forward_task, &job);
}

static void inverse_task(void *argument, size_t index, size_t worker) {
    (void)worker;
    norm_job *job = argument;
    size_t end = eft_min((index + 1) * job->rows_a_task, job->rows);
    for (size_t t = index * job->rows_a_task; t < end; t++)
        job->inverse[t] = job->kernels->inverse_rms(job->columns, job->x + t * job->ldx, job->eps);
}

static void weight_task(void *argument, size_t index, size_t worker) {
    (void)worker;
    norm_job *job = argument;
    size_t first = index * EFT_COLUMN_CHUNK;
    job->kernels->backward_weight(job->rows, eft_min(EFT_COLUMN_CHUNK, job->columns - first), job->x + first, job->ldx,
                                  job->inverse, job->dy + first, job->lddy, job->dweight + first);
}

static void backward_task(void *argument, size_t index, size_t worker) {
    (void)worker;
    norm_job *job = argument;
    size_t end = eft_min((index + 1) * job->rows_a_task, job->rows);
    for (size_t t = index * job->rows_a_task; t < end; t++)
        job->kernels->backward(job->columns, job->x + t * job->ldx, job->inverse[t], job->weight, job->dy + t * job->lddy,
                               job->y + t * job->ldy, job->accumulate);
}

void eft_rms_norm_backward(eft_context *context, size_t rows, size_t columns, const float *x, size_t ldx,
                           const float *weight, float eps, const float *dy, size_t lddy, float *dx, size_t lddx,
                           bool accumulate, float *dweight) {
    float inverse[ROW_BLOCK];
    norm_job job = {.kernels = EFT_KERNELS(norm, context, scalar),
                    .columns = columns,
                    .rows_a_task = eft_rows_a_task(columns),
                    .ldx = ldx,
                    .weight = weight,
                    .eps = eps,
                    .ldy = lddx,
                    .inverse = inverse,
                    .lddy = lddy,
                    .accumulate = accumulate,
                    .dweight = dweight};
    for (size_t first = 0; first < rows; first += ROW_BLOCK) {
        job.rows = eft_min(ROW_BLOCK, rows - first);
        job.x = x + first * ldx;
        job.dy = dy + first * lddy;
        job.y = dx + first * lddx;
        size_t tasks = eft_ceil_div(job.rows, job.rows_a_task), numbers = job.rows * columns;
        eft_run_tasks(context, tasks, numbers, inverse_task, &job);
        // The weight's gradient before x's, which may overwrite dy.
        if (dweight != NULL)
            eft_run_tasks(context, eft_ceil_div(columns, EFT_COLUMN_CHUNK), numbers, weight_task, &job);
        eft_run_tasks(context, tasks, numbers, backward_task, &job);
    }
}

// SPDX-License-Identifier: Apache-2.0
// Layer norm (Ba, Kiros, Hinton 2016), forward and backward.
#include "../layer_kernels.h"

#include <math.h>

static eft_row_moments moments(size_t columns, const float *x, float eps) {
    double sum = 0, squares = 0;
    for (size_t c = 0; c < columns; c++) sum += x[c];
    double mean = sum / (double)columns;
    for (size_t c = 0; c < columns; c++) squares += (x[c] - mean) * (x[c] - mean);
    return (eft_row_moments){(float)mean, (float)(1 / sqrt(squares / (double)columns + eps))};
}

static void apply(size_t columns, const float *x, eft_row_moments m, const float *weight, const float *bias, float *y) {
    for (size_t c = 0; c < columns; c++) {
        float value = (x[c] - m.mean) * m.inverse * weight[c];
        y[c] = bias == NULL ? value : value + bias[c];
    }
}

// With z = (x - mean) / deviation and g = dy*w: dx = (g - mean(g) - z mean(g z)) / deviation.
static void backward(size_t columns, const float *x, eft_row_moments m, const float *weight, const float *dy, float *dx,
                     bool accumulate) {
    double sum = 0, pull = 0;
    for (size_t c = 0; c < columns; c++) {
        float gradient = dy[c] * weight[c];
        sum += gradient;
        pull += (double)gradient * ((x[c] - m.mean) * m.inverse);
    }
    float mean = (float)(sum / (double)columns), slope = (float)(pull / (double)columns);
    for (size_t c = 0; c < columns; c++) {
        float gradient = (dy[c] * weight[c] - mean - (x[c] - m.mean) * m.inverse * slope) * m.inverse;
        dx[c] = accumulate ? dx[c] + gradient : gradient;
    }
}

static void backward_weight(size_t rows, size_t columns, const float *x, size_t ldx, const eft_row_moments *m,
                            const float *dy, size_t lddy, float *dweight) {
    for (size_t t = 0; t < rows; t++)
        for (size_t c = 0; c < columns; c++)
            dweight[c] += dy[t * lddy + c] * ((x[t * ldx + c] - m[t].mean) * m[t].inverse);
}

static const eft_layer_norm_kernels scalar = {moments, apply, backward, backward_weight};

/// Rows whose moments are kept between the passes of the backward step.
#define ROW_BLOCK 256

typedef struct norm_job {
    const eft_layer_norm_kernels *kernels;
    size_t rows, columns, rows_a_task;
    const float *x;
    size_t ldx;
    const float *weight, *bias;
    float eps;
    float *y;
    size_t ldy;
    eft_row_moments *moments;  // of the block
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
        const float *x = job->x + t * job->ldx;
        job->kernels->apply(job->columns, x, job->kernels->moments(job->columns, x, job->eps), job->weight, job->bias,
                            job->y + t * job->ldy);
    }
}

void eft_layer_norm(eft_context *context, size_t rows, size_t columns, const float *x, size_t ldx, const float *weight,
                    const float *bias, float eps, float *y, size_t ldy) {
    norm_job job = {.kernels = EFT_KERNELS(layer_norm, context, scalar),
                    .rows = rows,
                    .columns = columns,
                    .rows_a_task = eft_rows_a_task(columns),
                    .x = x,
                    .ldx = ldx,
                    .weight = weight,
                    .bias = bias,
                    .eps = eps,
                    .y = y,
                    .ldy = ldy};
    eft_run_tasks(context, eft_ceil_div(rows, job.rows_a_task), rows * columns, forward_task, &job);
}

static void moments_task(void *argument, size_t index, size_t worker) {
    (void)worker;
    norm_job *job = argument;
    size_t end = eft_min((index + 1) * job->rows_a_task, job->rows);
    for (size_t t = index * job->rows_a_task; t < end; t++)
        job->moments[t] = job->kernels->moments(job->columns, job->x + t * job->ldx, job->eps);
}

static void weight_task(void *argument, size_t index, size_t worker) {
    (void)worker;
    norm_job *job = argument;
    size_t first = index * EFT_COLUMN_CHUNK;
    job->kernels->backward_weight(job->rows, eft_min(EFT_COLUMN_CHUNK, job->columns - first), job->x + first, job->ldx,
                                  job->moments, job->dy + first, job->lddy, job->dweight + first);
}

static void backward_task(void *argument, size_t index, size_t worker) {
    (void)worker;
    norm_job *job = argument;
    size_t end = eft_min((index + 1) * job->rows_a_task, job->rows);
    for (size_t t = index * job->rows_a_task; t < end; t++)
        job->kernels->backward(job->columns, job->x + t * job->ldx, job->moments[t], job->weight, job->dy + t * job->lddy,
                               job->y + t * job->ldy, job->accumulate);
}

void eft_layer_norm_backward(eft_context *context, size_t rows, size_t columns, const float *x, size_t ldx,
                             const float *weight, float eps, const float *dy, size_t lddy, float *dx, size_t lddx,
                             bool accumulate, float *dweight, float *dbias) {
    eft_row_moments moments[ROW_BLOCK];
    norm_job job = {.kernels = EFT_KERNELS(layer_norm, context, scalar),
                    .columns = columns,
                    .rows_a_task = eft_rows_a_task(columns),
                    .ldx = ldx,
                    .weight = weight,
                    .eps = eps,
                    .ldy = lddx,
                    .moments = moments,
                    .lddy = lddy,
                    .accumulate = accumulate,
                    .dweight = dweight};
    for (size_t first = 0; first < rows; first += ROW_BLOCK) {
        job.rows = eft_min(ROW_BLOCK, rows - first);
        job.x = x + first * ldx;
        job.dy = dy + first * lddy;
        job.y = dx + first * lddx;
        size_t tasks = eft_ceil_div(job.rows, job.rows_a_task), numbers = job.rows * columns;
        eft_run_tasks(context, tasks, numbers, moments_task, &job);
        // The gradients of weight and bias before x's, which may overwrite dy.
        if (dweight != NULL)
            eft_run_tasks(context, eft_ceil_div(columns, EFT_COLUMN_CHUNK), numbers, weight_task, &job);
        if (dbias != NULL) eft_column_sums(context, job.rows, columns, job.dy, lddy, dbias);
        eft_run_tasks(context, tasks, numbers, backward_task, &job);
    }
}

// SPDX-License-Identifier: Apache-2.0
// Root-mean-square norm and layer norm (Ba, Kiros, Hinton 2016), forward and backward.
#include "../layer_kernels.h"

#include <math.h>

static eft_row_moments rms_moments(size_t columns, const float *x, float eps) {
    double sum = 0;
    for (size_t c = 0; c < columns; c++) sum += (double)x[c] * x[c];
    return (eft_row_moments){0, (float)(1 / sqrt(sum / (double)columns + eps))};
}

static void rms_apply(size_t columns, const float *x, eft_row_moments m, const float *weight, const float *bias,
                      float *y) {
    (void)bias;
    for (size_t c = 0; c < columns; c++) y[c] = x[c] * m.inverse * weight[c];
}

// With r = 1/rms and n = columns: dx = r * (dy*w) - x * r^3/n * sum(dy*w*x).
static void rms_backward(size_t columns, const float *x, eft_row_moments m, const float *weight, const float *dy,
                         float *dx, bool accumulate) {
    double sum = 0;
    for (size_t c = 0; c < columns; c++) sum += (double)(dy[c] * weight[c]) * x[c];
    float pull = (float)(sum / (double)columns * m.inverse * m.inverse * m.inverse);
    for (size_t c = 0; c < columns; c++) {
        float gradient = dy[c] * weight[c] * m.inverse - x[c] * pull;
        dx[c] = accumulate ? dx[c] + gradient : gradient;
    }
}

static void rms_backward_weight(size_t rows, size_t columns, const float *x, size_t ldx, const eft_row_moments *m,
                                const float *dy, size_t lddy, float *dweight) {
    for (size_t t = 0; t < rows; t++)
        for (size_t c = 0; c < columns; c++) dweight[c] += dy[t * lddy + c] * (x[t * ldx + c] * m[t].inverse);
}

static const eft_norm_kernels rms_scalar = {rms_moments, rms_apply, rms_backward, rms_backward_weight};

static eft_row_moments layer_moments(size_t columns, const float *x, float eps) {
    double sum = 0, squares = 0;
    for (size_t c = 0; c < columns; c++) sum += x[c];
    double mean = sum / (double)columns;
    for (size_t c = 0; c < columns; c++) squares += (x[c] - mean) * (x[c] - mean);
    return (eft_row_moments){(float)mean, (float)(1 / sqrt(squares / (double)columns + eps))};
}

static void layer_apply(size_t columns, const float *x, eft_row_moments m, const float *weight, const float *bias,
                        float *y) {
    for (size_t c = 0; c < columns; c++) {
        float value = (x[c] - m.mean) * m.inverse * weight[c];
        y[c] = bias == NULL ? value : value + bias[c];
    }
}

// With z = (x - mean) / deviation and g = dy*w: dx = (g - mean(g) - z mean(g z)) / deviation.
static void layer_backward(size_t columns, const float *x, eft_row_moments m, const float *weight, const float *dy,
                           float *dx, bool accumulate) {
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

static void layer_backward_weight(size_t rows, size_t columns, const float *x, size_t ldx, const eft_row_moments *m,
                                  const float *dy, size_t lddy, float *dweight) {
    for (size_t t = 0; t < rows; t++)
        for (size_t c = 0; c < columns; c++)
            dweight[c] += dy[t * lddy + c] * ((x[t * ldx + c] - m[t].mean) * m[t].inverse);
}

static const eft_norm_kernels layer_scalar = {layer_moments, layer_apply, layer_backward, layer_backward_weight};

/// Rows whose moments are kept between the passes of the backward step.
#define ROW_BLOCK 256

typedef struct norm_job {
    const eft_norm_kernels *kernels;
    size_t rows, columns;
    const float *x;
    size_t ldx;
    const float *weight, *bias;
    float eps;
    float *y;  // forward: the result; backward: the gradient of x
    size_t ldy;
    float *inverse;            // forward: of the caller, or NULL
    eft_row_moments *moments;  // backward: of the block
    const float *dy;
    size_t lddy;
    bool accumulate;
    float *dweight, *dbias;
    size_t rows_a_task;  // filled in by the driver
} norm_job;

static void forward_task(void *argument, size_t index, size_t worker) {
    (void)worker;
    norm_job *job = argument;
    size_t end = eft_min((index + 1) * job->rows_a_task, job->rows);
    for (size_t t = index * job->rows_a_task; t < end; t++) {
        const float *x = job->x + t * job->ldx;
        eft_row_moments moments = job->kernels->moments(job->columns, x, job->eps);
        if (job->inverse != NULL) job->inverse[t] = moments.inverse;
        job->kernels->apply(job->columns, x, moments, job->weight, job->bias, job->y + t * job->ldy);
    }
}

static void forward(eft_context *context, norm_job job) {
    job.rows_a_task = eft_rows_a_task(job.columns);
    eft_run_tasks(context, eft_ceil_div(job.rows, job.rows_a_task), job.rows * job.columns, forward_task, &job);
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

static void backward(eft_context *context, norm_job all) {
    eft_row_moments moments[ROW_BLOCK];
    norm_job job = all;
    job.rows_a_task = eft_rows_a_task(all.columns);
    job.moments = moments;
    for (size_t first = 0; first < all.rows; first += ROW_BLOCK) {
        job.rows = eft_min(ROW_BLOCK, all.rows - first);
        job.x = all.x + first * all.ldx;
        job.dy = all.dy + first * all.lddy;
        job.y = all.y + first * all.ldy;
        size_t tasks = eft_ceil_div(job.rows, job.rows_a_task), numbers = job.rows * job.columns;
        eft_run_tasks(context, tasks, numbers, moments_task, &job);
        // The gradients of weight and bias before x's, which may overwrite dy.
        if (job.dweight != NULL)
            eft_run_tasks(context, eft_ceil_div(job.columns, EFT_COLUMN_CHUNK), numbers, weight_task, &job);
        if (job.dbias != NULL) eft_column_sums(context, job.rows, job.columns, job.dy, job.lddy, job.dbias);
        eft_run_tasks(context, tasks, numbers, backward_task, &job);
    }
}

void eft_rms_norm(eft_context *context, size_t rows, size_t columns, const float *x, size_t ldx, const float *weight,
                  float eps, float *y, size_t ldy, float *inverse_rms) {
    forward(context, (norm_job){.kernels = EFT_KERNELS(norm, context, rms_scalar),
                                .rows = rows,
                                .columns = columns,
                                .x = x,
                                .ldx = ldx,
                                .weight = weight,
                                .eps = eps,
                                .y = y,
                                .ldy = ldy,
                                .inverse = inverse_rms});
}

void eft_layer_norm(eft_context *context, size_t rows, size_t columns, const float *x, size_t ldx, const float *weight,
                    const float *bias, float eps, float *y, size_t ldy) {
    forward(context, (norm_job){.kernels = EFT_KERNELS(layer_norm, context, layer_scalar),
                                .rows = rows,
                                .columns = columns,
                                .x = x,
                                .ldx = ldx,
                                .weight = weight,
                                .bias = bias,
                                .eps = eps,
                                .y = y,
                                .ldy = ldy});
}

void eft_rms_norm_backward(eft_context *context, size_t rows, size_t columns, const float *x, size_t ldx,
                           const float *weight, float eps, const float *dy, size_t lddy, float *dx, size_t lddx,
                           bool accumulate, float *dweight) {
    backward(context, (norm_job){.kernels = EFT_KERNELS(norm, context, rms_scalar),
                                 .rows = rows,
                                 .columns = columns,
                                 .x = x,
                                 .ldx = ldx,
                                 .weight = weight,
                                 .eps = eps,
                                 .y = dx,
                                 .ldy = lddx,
                                 .dy = dy,
                                 .lddy = lddy,
                                 .accumulate = accumulate,
                                 .dweight = dweight});
}

void eft_layer_norm_backward(eft_context *context, size_t rows, size_t columns, const float *x, size_t ldx,
                             const float *weight, float eps, const float *dy, size_t lddy, float *dx, size_t lddx,
                             bool accumulate, float *dweight, float *dbias) {
    backward(context, (norm_job){.kernels = EFT_KERNELS(layer_norm, context, layer_scalar),
                                 .rows = rows,
                                 .columns = columns,
                                 .x = x,
                                 .ldx = ldx,
                                 .weight = weight,
                                 .eps = eps,
                                 .y = dx,
                                 .ldy = lddx,
                                 .dy = dy,
                                 .lddy = lddy,
                                 .accumulate = accumulate,
                                 .dweight = dweight,
                                 .dbias = dbias});
}

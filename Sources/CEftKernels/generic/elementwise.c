// SPDX-License-Identifier: Apache-2.0
// Sums, scales, biases, drop-out and norms of flat arrays and rows.
#include "../layer_kernels.h"

#include <math.h>

static void add_scaled(size_t count, float factor, const float *x, float *y) {
    for (size_t i = 0; i < count; i++) y[i] += factor * x[i];
}

static void scale(size_t count, float factor, float *x) {
    for (size_t i = 0; i < count; i++) x[i] *= factor;
}

static void column_sums(size_t rows, size_t columns, const float *x, size_t ldx, float *sums) {
    for (size_t t = 0; t < rows; t++)
        for (size_t c = 0; c < columns; c++) sums[c] += x[t * ldx + c];
}

static void dropout(size_t count, size_t first_index, eft_dropout_draw draw, const float *x, float *y) {
    for (size_t i = 0; i < count; i++) {
        uint64_t index = first_index + i, keys = eft_dropout_keys(draw.seed, index >> 32);
        uint32_t bits = eft_dropout_hash((uint32_t)index, (uint32_t)keys, (uint32_t)(keys >> 32)) >> 8;
        y[i] = bits < draw.threshold ? x[i] * draw.scale : 0;
    }
}

static double sum_squares(size_t count, const float *x) {
    double sum = 0;
    for (size_t i = 0; i < count; i++) sum += (double)x[i] * x[i];
    return sum;
}

static void soft_cap(size_t count, float cap, float *x) {
    for (size_t i = 0; i < count; i++) x[i] = cap * tanhf(x[i] / cap);
}

static void soft_cap_backward(size_t count, float cap, const float *y, float *dx) {
    for (size_t i = 0; i < count; i++) {
        float t = y[i] / cap;
        dx[i] *= 1 - t * t;
    }
}

static const eft_elementwise_kernels scalar = {add_scaled, scale, column_sums, dropout, sum_squares, soft_cap,
                                               soft_cap_backward};

/// Partial sums of squares: at most so many, whatever the count.
#define PARTIAL_SUMS 256

typedef struct elementwise_job {
    const eft_elementwise_kernels *kernels;
    size_t rows, count;  // of a flat array, or columns of a row
    size_t chunk;        // numbers, rows or columns of a task
    float factor;
    const float *x;
    size_t ldx;
    float *y;
    eft_dropout_draw draw;
    double partial[PARTIAL_SUMS];
} elementwise_job;

static void add_scaled_task(void *argument, size_t index, size_t worker) {
    (void)worker;
    elementwise_job *job = argument;
    size_t first = index * job->chunk;
    job->kernels->add_scaled(eft_min(job->chunk, job->count - first), job->factor, job->x + first, job->y + first);
}

void eft_add_scaled(eft_context *context, size_t count, float factor, const float *x, float *y) {
    elementwise_job job;
    job.kernels = EFT_KERNELS(elementwise, context, scalar);
    job.count = count, job.chunk = EFT_CHUNK, job.factor = factor, job.x = x, job.y = y;
    eft_run_tasks(context, eft_ceil_div(count, EFT_CHUNK), count, add_scaled_task, &job);
}

static void scale_task(void *argument, size_t index, size_t worker) {
    (void)worker;
    elementwise_job *job = argument;
    size_t first = index * job->chunk;
    job->kernels->scale(eft_min(job->chunk, job->count - first), job->factor, job->y + first);
}

void eft_scale(eft_context *context, size_t count, float factor, float *x) {
    elementwise_job job;
    job.kernels = EFT_KERNELS(elementwise, context, scalar);
    job.count = count, job.chunk = EFT_CHUNK, job.factor = factor, job.y = x;
    eft_run_tasks(context, eft_ceil_div(count, EFT_CHUNK), count, scale_task, &job);
}

static void bias_task(void *argument, size_t index, size_t worker) {
    (void)worker;
    elementwise_job *job = argument;
    size_t end = eft_min((index + 1) * job->chunk, job->rows);
    for (size_t t = index * job->chunk; t < end; t++)
        job->kernels->add_scaled(job->count, 1, job->x, job->y + t * job->ldx);
}

void eft_add_bias(eft_context *context, size_t rows, size_t columns, const float *bias, float *x, size_t ldx) {
    elementwise_job job;
    job.kernels = EFT_KERNELS(elementwise, context, scalar);
    job.rows = rows, job.count = columns, job.chunk = eft_rows_a_task(columns);
    job.x = bias, job.y = x, job.ldx = ldx;
    eft_run_tasks(context, eft_ceil_div(rows, job.chunk), rows * columns, bias_task, &job);
}

typedef struct columns_job {
    size_t rows, columns, chunk;
    const float *factors, *bias, *x;
    size_t ldx;
    float *y;
    size_t ldy;
    float *sums;
} columns_job;

static void scale_columns_task(void *argument, size_t index, size_t worker) {
    (void)worker;
    const columns_job *job = argument;
    size_t end = eft_min((index + 1) * job->chunk, job->rows);
    for (size_t t = index * job->chunk; t < end; t++) {
        float *restrict y = job->y + t * job->ldy;
        const float *restrict factors = job->factors, *restrict bias = job->bias;
        if (bias == NULL)
            for (size_t c = 0; c < job->columns; c++) y[c] *= factors[c];
        else
            for (size_t c = 0; c < job->columns; c++) y[c] = (y[c] - bias[c]) * factors[c] + bias[c];
    }
}

void eft_scale_columns(eft_context *context, size_t rows, size_t columns, const float *factors, const float *bias,
                       float *x, size_t ldx) {
    columns_job job = {.rows = rows, .columns = columns, .chunk = eft_rows_a_task(columns)};
    job.factors = factors, job.bias = bias, job.y = x, job.ldy = ldx;
    eft_run_tasks(context, eft_ceil_div(rows, job.chunk), rows * columns, scale_columns_task, &job);
}

static void column_products_task(void *argument, size_t index, size_t worker) {
    (void)worker;
    const columns_job *job = argument;
    size_t first = index * EFT_COLUMN_CHUNK, count = eft_min(EFT_COLUMN_CHUNK, job->columns - first);
    float sums[EFT_COLUMN_CHUNK] = {0};
    for (size_t t = 0; t < job->rows; t++) {
        const float *restrict x = job->x + t * job->ldx + first, *restrict y = job->y + t * job->ldy + first;
        for (size_t c = 0; c < count; c++) sums[c] += x[c] * y[c];
    }
    for (size_t c = 0; c < count; c++) job->sums[first + c] += job->factors[first + c] * sums[c];
}

void eft_column_products(eft_context *context, size_t rows, size_t columns, const float *factors, const float *x,
                         size_t ldx, const float *y, size_t ldy, float *sums) {
    columns_job job = {.rows = rows, .columns = columns, .factors = factors, .x = x, .ldx = ldx};
    job.y = (float *)y, job.ldy = ldy, job.sums = sums;
    eft_run_tasks(context, eft_ceil_div(columns, EFT_COLUMN_CHUNK), rows * columns, column_products_task, &job);
}

static void column_sums_task(void *argument, size_t index, size_t worker) {
    (void)worker;
    elementwise_job *job = argument;
    size_t first = index * EFT_COLUMN_CHUNK;
    job->kernels->column_sums(job->rows, eft_min(EFT_COLUMN_CHUNK, job->count - first), job->x + first, job->ldx,
                              job->y + first);
}

void eft_column_sums(eft_context *context, size_t rows, size_t columns, const float *x, size_t ldx, float *sums) {
    elementwise_job job;
    job.kernels = EFT_KERNELS(elementwise, context, scalar);
    job.rows = rows, job.count = columns, job.x = x, job.ldx = ldx, job.y = sums;
    eft_run_tasks(context, eft_ceil_div(columns, EFT_COLUMN_CHUNK), rows * columns, column_sums_task, &job);
}

static void dropout_task(void *argument, size_t index, size_t worker) {
    (void)worker;
    elementwise_job *job = argument;
    size_t first = index * EFT_CHUNK;
    job->kernels->dropout(eft_min(EFT_CHUNK, job->count - first), first, job->draw, job->x + first, job->y + first);
}

void eft_dropout(eft_context *context, size_t count, const float *x, float *y, float p, uint64_t seed) {
    elementwise_job job;
    job.kernels = EFT_KERNELS(elementwise, context, scalar);
    double keep = p > 0 ? (p < 1 ? 1 - (double)p : 0) : 1;
    job.draw.seed = seed;
    job.draw.threshold = (uint32_t)(keep * 0x1p24 + 0.5);
    job.draw.scale = keep > 0 ? (float)(1 / keep) : 0;
    job.count = count, job.x = x, job.y = y;
    eft_run_tasks(context, eft_ceil_div(count, EFT_CHUNK), count, dropout_task, &job);
}

static void sum_squares_task(void *argument, size_t index, size_t worker) {
    (void)worker;
    elementwise_job *job = argument;
    size_t first = index * job->chunk;
    job->partial[index] = job->kernels->sum_squares(eft_min(job->chunk, job->count - first), job->x + first);
}

double eft_sum_squares(eft_context *context, size_t count, const float *x) {
    elementwise_job job;
    job.kernels = EFT_KERNELS(elementwise, context, scalar);
    job.count = count, job.x = x;
    job.chunk = eft_max(EFT_CHUNK, eft_round_up(eft_ceil_div(count, PARTIAL_SUMS), 16));
    size_t tasks = eft_ceil_div(count, job.chunk);
    eft_run_tasks(context, tasks, count, sum_squares_task, &job);
    double sum = 0;
    for (size_t i = 0; i < tasks; i++) sum += job.partial[i];
    return sum;
}

static void soft_cap_task(void *argument, size_t index, size_t worker) {
    (void)worker;
    elementwise_job *job = argument;
    size_t first = index * job->chunk, count = eft_min(job->chunk, job->count - first);
    if (job->x == NULL)
        job->kernels->soft_cap(count, job->factor, job->y + first);
    else
        job->kernels->soft_cap_backward(count, job->factor, job->x + first, job->y + first);
}

void eft_soft_cap(eft_context *context, size_t count, float cap, float *x) {
    eft_soft_cap_backward(context, count, cap, NULL, x);
}

void eft_soft_cap_backward(eft_context *context, size_t count, float cap, const float *y, float *dx) {
    elementwise_job job;
    job.kernels = EFT_KERNELS(elementwise, context, scalar);
    job.count = count, job.chunk = EFT_CHUNK, job.factor = cap, job.x = y, job.y = dx;
    eft_run_tasks(context, eft_ceil_div(count, EFT_CHUNK), count, soft_cap_task, &job);
}

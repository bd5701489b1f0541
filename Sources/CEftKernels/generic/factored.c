// SPDX-License-Identifier: Apache-2.0
// Trained matrices as a whole, for optimizers that treat them so: means by row and column, factors, other orders.
//
// A task is a panel of 16 rows, or a chunk of columns.
#include "../layer_kernels.h"

typedef struct matrix_job {
    eft_matrix x;
    size_t panel;  // numbers of a panel
    float floor, keep, factor;
    float *row_means, *column_means;
    const float *row_factors, *column_factors;
    const float *source;
    float *target;
} matrix_job;

static matrix_job job_of(eft_matrix x) {
    size_t padded = eft_ceil_div(x.columns, EFT_BLOCK) * EFT_BLOCK;
    return (matrix_job){.x = x, .panel = (x.in_panels ? padded : x.columns) * EFT_PANEL};
}

static void run_panels(eft_context *context, matrix_job *job, eft_body body) {
    eft_run_tasks(context, eft_ceil_div(job->x.rows, EFT_PANEL), job->x.rows * job->x.columns, body, job);
}

/// Rows of panel `index`.
static size_t lanes_of(const matrix_job *job, size_t index) {
    return eft_min(EFT_PANEL, job->x.rows - index * EFT_PANEL);
}

/// Distances between the rows of a panel, and between its columns.
static size_t row_step(const matrix_job *job) { return job->x.in_panels ? 1 : job->x.columns; }
static size_t column_step(const matrix_job *job) { return job->x.in_panels ? EFT_PANEL : 1; }

static void row_means_task(void *argument, size_t index, size_t worker) {
    (void)worker;
    const matrix_job *job = argument;
    const float *x = job->x.data + index * job->panel;
    size_t lanes = lanes_of(job, index), columns = job->x.columns;
    double sums[EFT_PANEL] = {0};
    if (job->x.in_panels) {
        for (size_t c = 0; c < columns; c++)
            for (size_t lane = 0; lane < lanes; lane++) {
                double number = (double)x[c * EFT_PANEL + lane];
                sums[lane] += number * number;
            }
    } else {
        for (size_t lane = 0; lane < lanes; lane++) {
            double parts[EFT_PANEL] = {0};
            for (size_t c = 0; c < columns; c++) {
                double number = (double)x[lane * columns + c];
                parts[c % EFT_PANEL] += number * number;
            }
            for (size_t i = 0; i < EFT_PANEL; i++) sums[lane] += parts[i];
        }
    }
    for (size_t lane = 0; lane < lanes; lane++)
        job->row_means[index * EFT_PANEL + lane] = (float)(sums[lane] / (double)columns) + job->floor;
}

static void column_means_task(void *argument, size_t index, size_t worker) {
    (void)worker;
    const matrix_job *job = argument;
    size_t first = index * EFT_COLUMN_CHUNK, count = eft_min(EFT_COLUMN_CHUNK, job->x.columns - first);
    double sums[EFT_COLUMN_CHUNK] = {0};
    for (size_t panel = 0; panel * EFT_PANEL < job->x.rows; panel++) {
        const float *x = job->x.data + panel * job->panel + first * column_step(job);
        size_t lanes = lanes_of(job, panel), row = row_step(job), column = column_step(job);
        for (size_t lane = 0; lane < lanes; lane++)
            for (size_t c = 0; c < count; c++) {
                double number = (double)x[lane * row + c * column];
                sums[c] += number * number;
            }
    }
    for (size_t c = 0; c < count; c++)
        job->column_means[first + c] = (float)(sums[c] / (double)job->x.rows) + job->floor;
}

void eft_square_means(eft_context *context, eft_matrix x, float floor, float *row_means, float *column_means) {
    matrix_job job = job_of(x);
    job.floor = floor;
    job.row_means = row_means;
    job.column_means = column_means;
    run_panels(context, &job, row_means_task);
    eft_run_tasks(context, eft_ceil_div(x.columns, EFT_COLUMN_CHUNK), x.rows * x.columns, column_means_task, &job);
}

static void factors_task(void *argument, size_t index, size_t worker) {
    (void)worker;
    const matrix_job *job = argument;
    float *x = job->x.data + index * job->panel;
    const float *rows = job->row_factors + index * EFT_PANEL;
    size_t lanes = lanes_of(job, index), columns = job->x.columns;
    if (job->x.in_panels) {
        for (size_t c = 0; c < columns; c++)
            for (size_t lane = 0; lane < lanes; lane++) x[c * EFT_PANEL + lane] *= rows[lane] * job->column_factors[c];
        return;
    }
    for (size_t lane = 0; lane < lanes; lane++)
        for (size_t c = 0; c < columns; c++) x[lane * columns + c] *= rows[lane] * job->column_factors[c];
}

void eft_scale_by_factors(eft_context *context, eft_matrix x, const float *row_factors, const float *column_factors) {
    matrix_job job = job_of(x);
    job.row_factors = row_factors;
    job.column_factors = column_factors;
    run_panels(context, &job, factors_task);
}

static void read_task(void *argument, size_t index, size_t worker) {
    (void)worker;
    const matrix_job *job = argument;
    const float *x = job->x.data + index * job->panel;
    size_t columns = job->x.columns, row = row_step(job), column = column_step(job);
    float *out = job->target + index * EFT_PANEL * columns;
    for (size_t lane = 0; lane < lanes_of(job, index); lane++)
        for (size_t c = 0; c < columns; c++) out[lane * columns + c] = x[lane * row + c * column];
}

void eft_matrix_read(eft_context *context, eft_matrix x, float *out) {
    matrix_job job = job_of(x);
    job.target = out;
    run_panels(context, &job, read_task);
}

static void add_task(void *argument, size_t index, size_t worker) {
    (void)worker;
    const matrix_job *job = argument;
    float *x = job->x.data + index * job->panel;
    size_t columns = job->x.columns, row = row_step(job), column = column_step(job);
    const float *y = job->source + index * EFT_PANEL * columns;
    for (size_t lane = 0; lane < lanes_of(job, index); lane++)
        for (size_t c = 0; c < columns; c++) {
            float *place = x + lane * row + c * column;
            *place = *place * job->keep + job->factor * y[lane * columns + c];
        }
}

void eft_matrix_add(eft_context *context, eft_matrix x, float keep, float factor, const float *y) {
    matrix_job job = job_of(x);
    job.keep = keep;
    job.factor = factor;
    job.source = y;
    run_panels(context, &job, add_task);
}

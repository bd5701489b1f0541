// SPDX-License-Identifier: Apache-2.0
// The quantizer of EXL2: the search for scales, rounding with correction, packing, and the order of rows.
#include "../layer_kernels.h"

#include <math.h>

/// The integer that a number of steps is rounded to, as a float; 0 where there is no scale.
static float round_steps(float value, float scale, float middle) {
    if (!(scale > 0)) return 0;
    // Bounded before it is rounded: the bounds are integers, and a NaN takes the lower one.
    float quotient = value / scale, raised = quotient > -middle ? quotient : -middle;
    float bounded = raised < middle - 1 ? raised : middle - 1;
    return (bounded + EFT_ROUNDER) - EFT_ROUNDER;
}

static float half_value(float steps, float scale) { return eft_f32_of_f16(eft_f16_of_f32(steps * scale)); }

static void errors(size_t rows, size_t columns, unsigned bits, const float *x, size_t ldx, const float *steps,
                   size_t count, const float *factors, double *sums) {
    float middle = (float)(1u << (bits - 1)), low = -middle, high = middle - 1;
    for (size_t f = 0; f < count; f++) {
        float column_sums[EFT_EXL2_COLUMNS] = {0};
        for (size_t c = 0; c < columns; c++) {
            float scale = steps[c] * factors[f], inverse = 1 / scale;
            for (size_t r = 0; r < rows; r++) {
                float value = x[r * ldx + c], code = value * inverse;
                code = code < low ? low : code;
                code = code > high ? high : code;
                code = (code + EFT_ROUNDER) - EFT_ROUNDER;
                float distance = fabsf(code * scale - value);
                column_sums[c] += distance * distance * distance * sqrtf(distance);
            }
        }
        sums[f] = eft_exl2_total(column_sums);
    }
}

static void correct(const eft_exl2_rounding *g, size_t first, size_t columns, const float *triangle, float *tile) {
    float middle = (float)(1u << (g->bits - 1));
    for (size_t r = 0; r < g->rows; r++) {
        const float *above = triangle + r * g->rows;
        for (size_t i = 0; i < columns; i++) {
            size_t place = r * g->columns + first + i;
            float w = g->w[place], scale = g->scales[first + i];
            for (size_t c = 0; c < r; c++) w -= above[c] * tile[c * EFT_EXL2_COLUMNS + i];
            float rounded = round_steps(w, scale, middle), value = half_value(rounded, scale);
            float error = (w - value) / above[r];
            g->codes[place] = (uint8_t)(rounded + middle);
            g->w[place] = value;
            g->errors[place] = tile[r * EFT_EXL2_COLUMNS + i] = error;
            g->energies[first + i] += (double)error * (double)error;
        }
    }
}

static void losses(size_t columns, unsigned bits, const float *scales, float *w) {
    float middle = (float)(1u << (bits - 1));
    for (size_t i = 0; i < columns; i++) w[i] -= half_value(round_steps(w[i], scales[i], middle), scales[i]);
}

static void pack(size_t columns, size_t padded, unsigned bits, const uint8_t *codes, size_t ldc, uint32_t *words) {
    for (size_t c = 0; c < padded; c++) {
        for (size_t word = 0; word < bits; word++) words[word * padded + c] = 0;
        for (size_t i = 0; i < 32; i++) {
            uint32_t code = c < columns ? codes[i * ldc + c] : 1u << (bits - 1);
            size_t word = i * bits / 32, shift = i * bits % 32;
            words[word * padded + c] |= code << shift;
            if (shift + bits > 32) words[(word + 1) * padded + c] |= code >> (32 - shift);
        }
    }
}

static const eft_exl2_kernels scalar = {errors, correct, losses, pack};

// Scales

typedef struct exl2_job {
    const eft_exl2_kernels *kernels;
    size_t rows, columns;
    unsigned bits;
    const float *x, *steps, *factors;
    size_t count;
    double *sums;
    float *out;
    const uint8_t *codes;
    uint32_t *words;
    const eft_exl2_rounding *rounding;
    float *triangle, *tiles;
} exl2_job;

static void largest_task(void *argument, size_t index, size_t worker) {
    (void)worker;
    exl2_job *job = argument;
    size_t first = index * EFT_COLUMN_CHUNK, end = eft_min(first + EFT_COLUMN_CHUNK, job->columns);
    for (size_t c = first; c < end; c++) job->out[c] = 0;
    for (size_t r = 0; r < job->rows; r++) {
        const float *line = job->x + r * job->columns;
        for (size_t c = first; c < end; c++) {
            float value = fabsf(line[c]);
            job->out[c] = value > job->out[c] ? value : job->out[c];
        }
    }
}

void eft_exl2_largest(eft_context *context, size_t rows, size_t columns, const float *x, float *most) {
    exl2_job job = {.rows = rows, .columns = columns, .x = x, .out = most};
    eft_run_tasks(context, eft_ceil_div(columns, EFT_COLUMN_CHUNK), rows * columns, largest_task, &job);
}

static void errors_task(void *argument, size_t index, size_t worker) {
    (void)worker;
    exl2_job *job = argument;
    size_t first = index * EFT_EXL2_COLUMNS;
    job->kernels->errors(job->rows, eft_min(EFT_EXL2_COLUMNS, job->columns - first), job->bits, job->x + first,
                         job->columns, job->steps + first, job->count, job->factors, job->sums + index * job->count);
}

size_t eft_exl2_errors_workspace(size_t columns, size_t count) {
    return eft_ceil_div(columns, EFT_EXL2_COLUMNS) * count * sizeof(double);
}

void eft_exl2_errors(eft_context *context, size_t rows, size_t columns, unsigned bits, const float *x,
                     const float *steps, size_t count, const float *factors, double *sums, void *workspace) {
    exl2_job job = {.kernels = EFT_KERNELS(exl2, context, scalar),
                    .rows = rows,
                    .columns = columns,
                    .bits = bits,
                    .x = x,
                    .steps = steps,
                    .factors = factors,
                    .count = count,
                    .sums = workspace};
    size_t tasks = eft_ceil_div(columns, EFT_EXL2_COLUMNS);
    eft_run_tasks(context, tasks, rows * columns * count, errors_task, &job);
    for (size_t f = 0; f < count; f++) {
        sums[f] = 0;
        for (size_t i = 0; i < tasks; i++) sums[f] += job.sums[i * count + f];
    }
}

// Rounding

static void correct_task(void *argument, size_t index, size_t worker) {
    exl2_job *job = argument;
    size_t first = index * EFT_EXL2_COLUMNS, columns = job->rounding->columns;
    job->kernels->correct(job->rounding, first, eft_min(EFT_EXL2_COLUMNS, columns - first), job->triangle,
                          job->tiles + worker * job->rounding->rows * EFT_EXL2_COLUMNS);
}

size_t eft_exl2_correct_workspace(size_t threads, size_t rows) {
    return rows * (rows + threads * EFT_EXL2_COLUMNS) * sizeof(float);
}

void eft_exl2_correct(eft_context *context, const eft_exl2_rounding *rounding, void *workspace) {
    size_t rows = rounding->rows;
    exl2_job job = {.kernels = EFT_KERNELS(exl2, context, scalar),
                    .rounding = rounding,
                    .triangle = workspace,
                    .tiles = (float *)workspace + rows * rows};
    for (size_t r = 0; r < rows; r++)
        for (size_t c = 0; c <= r; c++) job.triangle[r * rows + c] = rounding->factor[c * rounding->ldf + r];
    eft_run_tasks(context, eft_ceil_div(rounding->columns, EFT_EXL2_COLUMNS), rows * rounding->columns * 16,
                  correct_task, &job);
}

static void losses_task(void *argument, size_t index, size_t worker) {
    (void)worker;
    exl2_job *job = argument;
    job->kernels->losses(job->columns, job->bits, job->steps, job->out + index * job->columns);
}

void eft_exl2_losses(eft_context *context, size_t rows, size_t columns, unsigned bits, const float *scales, float *w) {
    exl2_job job = {.kernels = EFT_KERNELS(exl2, context, scalar),
                    .columns = columns,
                    .bits = bits,
                    .steps = scales,
                    .out = w};
    eft_run_tasks(context, rows, rows * columns, losses_task, &job);
}

static void pack_task(void *argument, size_t index, size_t worker) {
    (void)worker;
    exl2_job *job = argument;
    size_t padded = eft_round_up(job->columns, 32);
    job->kernels->pack(job->columns, padded, job->bits, job->codes + index * 32 * job->columns, job->columns,
                       job->words + index * job->bits * padded);
}

void eft_exl2_words(eft_context *context, size_t rows, size_t columns, unsigned bits, const uint8_t *codes,
                   uint32_t *words) {
    exl2_job job = {.kernels = EFT_KERNELS(exl2, context, scalar),
                    .columns = columns,
                    .bits = bits,
                    .codes = codes,
                    .words = words};
    eft_run_tasks(context, rows / 32, rows * columns, pack_task, &job);
}

// The order of rows

/// Outputs that are treated side by side: a cache line of y.
#define OUTPUTS 16

typedef struct order_job {
    size_t outputs, inputs, ldy;
    const float *x;
    const uint32_t *order;
    float *to;
    const float *from;
    double *sums;
} order_job;

static void transpose_task(void *argument, size_t index, size_t worker) {
    (void)worker;
    order_job *job = argument;
    size_t first = index * OUTPUTS, count = eft_min(OUTPUTS, job->outputs - first);
    const float *x = job->x + first * job->inputs;
    for (size_t k = 0; k < job->inputs; k++) {
        const float *column = x + job->order[k];
        float line[OUTPUTS];
        for (size_t n = 0; n < count; n++) line[n] = column[n * job->inputs];
        memcpy(job->to + k * job->ldy + first, line, count * sizeof(float));
    }
}

void eft_transpose_ordered(eft_context *context, size_t outputs, size_t inputs, const float *x, const uint32_t *order,
                           float *y, size_t ldy) {
    order_job job = {.outputs = outputs, .inputs = inputs, .ldy = ldy, .x = x, .order = order, .to = y};
    eft_run_tasks(context, eft_ceil_div(outputs, OUTPUTS), outputs * inputs, transpose_task, &job);
}

static void changes_task(void *argument, size_t index, size_t worker) {
    (void)worker;
    order_job *job = argument;
    size_t first = index * OUTPUTS, count = eft_min(OUTPUTS, job->outputs - first);
    const float *x = job->x + first * job->inputs;
    double sums[OUTPUTS] = {0};
    for (size_t k = 0; k < job->inputs; k++) {
        const float *column = x + job->order[k], *line = job->from + k * job->ldy + first;
        for (size_t n = 0; n < count; n++) {
            double change = (double)(column[n * job->inputs] - line[n]);
            sums[n] += change * change;
        }
    }
    memcpy(job->sums + first, sums, count * sizeof(double));
}

void eft_squared_changes(eft_context *context, size_t outputs, size_t inputs, const float *x, const uint32_t *order,
                         const float *y, size_t ldy, double *sums) {
    order_job job = {
        .outputs = outputs, .inputs = inputs, .ldy = ldy, .x = x, .order = order, .from = y, .sums = sums};
    eft_run_tasks(context, eft_ceil_div(outputs, OUTPUTS), outputs * inputs, changes_task, &job);
}

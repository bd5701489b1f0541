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

static float value_of(float steps, float scale, bool exact) { return exact ? steps * scale : half_value(steps, scale); }

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

static void fit(const eft_exl2_fit *f, size_t first, size_t columns, float *tile, double *sums, uint8_t *choices) {
    (void)tile;
    float middle = (float)(1u << (f->bits - 1)), low = -middle, high = middle - 1;
    for (size_t i = 0; i < f->count; i++) {
        float least[EFT_EXL2_COLUMNS] = {0};
        for (size_t c = 0; c < columns; c++) {
            float start = eft_exl2_first(f->least[first + c], f->steps[i]), choice = 16;
            least[c] = INFINITY;
            for (size_t j = 0; j < f->tried; j++) {
                float s = start + (float)j < 16 ? start + (float)j : 16;
                float scale = eft_f32_of_f16(eft_f16_of_f32(s * s * f->steps[i])), inverse = 1 / scale, sum = 0;
                for (size_t r = 0; r < f->rows; r++) {
                    float value = f->x[r * f->columns + first + c], code = value * inverse;
                    code = code > low ? code : low;
                    code = code < high ? code : high;
                    code = (code + EFT_ROUNDER) - EFT_ROUNDER;
                    float distance = code * scale - value;
                    sum += f->row_weights[r] * (distance * distance);
                }
                if (sum < least[c]) least[c] = sum, choice = s;
            }
            choices[i * f->columns + first + c] = (uint8_t)choice;
        }
        sums[i] = eft_exl2_total(least);
    }
}

static void fit_columns(const eft_column_fit *f, size_t first, size_t columns, float *tile) {
    (void)tile;
    float middle = (float)(1u << (f->bits - 1)), low = -middle, high = middle - 1;
    for (size_t c = 0; c < columns; c++) {
        float least = INFINITY, choice = 0;
        for (size_t i = 0; i < f->count; i++) {
            float scale = eft_f32_of_f16(eft_f16_of_f32(f->largest[first + c] * f->shares[i]));
            float inverse = 1 / scale, sum = 0;
            for (size_t r = 0; r < f->rows; r++) {
                float value = f->x[r * f->columns + first + c], code = value * inverse;
                code = code > low ? code : low;
                code = code < high ? code : high;
                code = (code + EFT_ROUNDER) - EFT_ROUNDER;
                float distance = code * scale - value;
                sum += f->row_weights[r] * (distance * distance);
            }
            if (sum < least) least = sum, choice = scale;
        }
        f->scales[first + c] = choice;
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
            float rounded = round_steps(w, scale, middle), value = value_of(rounded, scale, g->exact);
            float error = (w - value) / above[r];
            g->codes[place] = (uint8_t)(rounded + middle);
            g->w[place] = value;
            g->errors[place] = tile[r * EFT_EXL2_COLUMNS + i] = error;
            g->energies[first + i] += (double)error * (double)error;
        }
    }
}

static void descend(const eft_exl2_descent *g, size_t first, size_t columns, const float *triangle, float *tile) {
    float middle = (float)(1u << (g->bits - 1));
    for (size_t r = 0; r < g->rows; r++) {
        const float *line = triangle + r * g->rows;
        for (size_t i = 0; i < columns; i++) {
            float *w = g->w + r * g->ldw + first + i, scale = g->scales[first + i];
            float slope = g->gradient[r * g->columns + first + i];
            for (size_t c = 0; c < r; c++) slope += line[c] * tile[c * EFT_EXL2_COLUMNS + i];
            float value = value_of(round_steps(*w - slope / line[r], scale, middle), scale, g->exact);
            g->changes[r * g->columns + first + i] = tile[r * EFT_EXL2_COLUMNS + i] = value - *w;
            *w = value;
        }
    }
}

static void losses(size_t columns, unsigned bits, const float *scales, bool exact, float *w) {
    float middle = (float)(1u << (bits - 1));
    for (size_t i = 0; i < columns; i++) w[i] -= value_of(round_steps(w[i], scales[i], middle), scales[i], exact);
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

static void values(size_t columns, unsigned bits, const uint32_t *words, size_t ldw, const float *scales,
                   const uint32_t *inputs, float *out, size_t ldo) {
    uint32_t mask = (1u << bits) - 1;
    float middle = (float)(1u << (bits - 1));
    for (size_t c = 0; c < columns; c++) {
        for (size_t i = 0; i < 32; i++) {
            size_t word = i * bits / 32, shift = i * bits % 32;
            uint32_t code = words[word * ldw + c] >> shift;
            if (shift + bits > 32) code |= words[(word + 1) * ldw + c] << (32 - shift);
            out[c * ldo + inputs[i]] = half_value((float)(code & mask) - middle, scales[c]);
        }
    }
}

static const eft_exl2_kernels scalar = {errors, fit, fit_columns, correct, descend, losses, pack, values};

void eft_exl2_values(eft_isa isa, size_t columns, unsigned bits, const uint32_t *words, size_t ldw, const float *scales,
                     const uint32_t inputs[32], float *out, size_t ldo) {
    EFT_KERNELS_AT(exl2, isa, scalar)->values(columns, bits, words, ldw, scales, inputs, out, ldo);
}

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
    bool exact;
    const eft_exl2_rounding *rounding;
    const eft_exl2_descent *descent;
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

typedef struct fit_job {
    const eft_exl2_kernels *kernels;
    const eft_exl2_fit *fit;
    double *sums;
    float *tiles;
    uint8_t *choices;
} fit_job;

static void fit_task(void *argument, size_t index, size_t worker) {
    fit_job *job = argument;
    size_t first = index * EFT_EXL2_COLUMNS;
    job->kernels->fit(job->fit, first, eft_min(EFT_EXL2_COLUMNS, job->fit->columns - first),
                      job->tiles + worker * job->fit->rows * EFT_EXL2_COLUMNS, job->sums + index * job->fit->count,
                      job->choices);
}

size_t eft_exl2_fit_workspace(size_t threads, size_t rows, size_t columns, size_t count) {
    return eft_exl2_errors_workspace(columns, count) + threads * rows * EFT_EXL2_COLUMNS * sizeof(float);
}

void eft_exl2_fit_scales(eft_context *context, const eft_exl2_fit *fit, double *sums, uint8_t *choices,
                         void *workspace) {
    size_t tasks = eft_ceil_div(fit->columns, EFT_EXL2_COLUMNS), count = fit->count;
    fit_job job = {.kernels = EFT_KERNELS(exl2, context, scalar),
                   .fit = fit,
                   .sums = workspace,
                   .tiles = (float *)((double *)workspace + tasks * count),
                   .choices = choices};
    eft_run_tasks(context, tasks, fit->rows * fit->columns * count * fit->tried, fit_task, &job);
    for (size_t i = 0; i < count; i++) {
        sums[i] = 0;
        for (size_t task = 0; task < tasks; task++) sums[i] += job.sums[task * count + i];
    }
}

typedef struct column_fit_job {
    const eft_exl2_kernels *kernels;
    const eft_column_fit *fit;
    float *tiles;
} column_fit_job;

static void column_fit_task(void *argument, size_t index, size_t worker) {
    column_fit_job *job = argument;
    size_t first = index * EFT_EXL2_COLUMNS;
    job->kernels->fit_columns(job->fit, first, eft_min(EFT_EXL2_COLUMNS, job->fit->columns - first),
                              job->tiles + worker * job->fit->rows * EFT_EXL2_COLUMNS);
}

size_t eft_column_fit_workspace(size_t threads, size_t rows) {
    return threads * rows * EFT_EXL2_COLUMNS * sizeof(float);
}

void eft_column_fit_scales(eft_context *context, const eft_column_fit *fit, void *workspace) {
    column_fit_job job = {.kernels = EFT_KERNELS(exl2, context, scalar), .fit = fit, .tiles = workspace};
    eft_run_tasks(context, eft_ceil_div(fit->columns, EFT_EXL2_COLUMNS), fit->rows * fit->columns * fit->count,
                  column_fit_task, &job);
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

static void descend_task(void *argument, size_t index, size_t worker) {
    exl2_job *job = argument;
    size_t first = index * EFT_EXL2_COLUMNS, columns = job->descent->columns;
    job->kernels->descend(job->descent, first, eft_min(EFT_EXL2_COLUMNS, columns - first), job->triangle,
                          job->tiles + worker * job->descent->rows * EFT_EXL2_COLUMNS);
}

void eft_exl2_descend(eft_context *context, const eft_exl2_descent *descent, void *workspace) {
    size_t rows = descent->rows;
    exl2_job job = {.kernels = EFT_KERNELS(exl2, context, scalar),
                    .descent = descent,
                    .triangle = workspace,
                    .tiles = (float *)workspace + rows * rows};
    for (size_t r = 0; r < rows; r++)
        memcpy(job.triangle + r * rows, descent->hessian + r * descent->ldh, (r + 1) * sizeof(float));
    eft_run_tasks(context, eft_ceil_div(descent->columns, EFT_EXL2_COLUMNS), rows * descent->columns * 16,
                  descend_task, &job);
}

static void losses_task(void *argument, size_t index, size_t worker) {
    (void)worker;
    exl2_job *job = argument;
    job->kernels->losses(job->columns, job->bits, job->steps, job->exact, job->out + index * job->columns);
}

void eft_exl2_losses(eft_context *context, size_t rows, size_t columns, unsigned bits, const float *scales, bool exact,
                     float *w) {
    exl2_job job = {.kernels = EFT_KERNELS(exl2, context, scalar),
                    .columns = columns,
                    .bits = bits,
                    .steps = scales,
                    .exact = exact,
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

/// Outputs that are treated side by side: some cache lines of a row of y.
#define OUTPUTS 64
/// Inputs of a tile: a cache line of a row of x.
#define INPUTS 16

typedef struct order_job {
    size_t outputs, inputs, ldy;
    const float *x;
    const uint32_t *places;
    float *to;
    const float *from;
    double *sums;
} order_job;

/// tile[k][n]: a square of x with the outputs side by side. Whole lines are read: rows of x may fall in one set of the cache.
static void turn_square(const order_job *job, size_t first, size_t count, size_t k, size_t inputs,
                        float tile[INPUTS][OUTPUTS]) {
    for (size_t n = 0; n < count; n++) {
        const float *x = job->x + (first + n) * job->inputs + k;
        for (size_t i = 0; i < inputs; i++) tile[i][n] = x[i];
    }
}

static void transpose_task(void *argument, size_t index, size_t worker) {
    (void)worker;
    order_job *job = argument;
    size_t first = index * OUTPUTS, count = eft_min(OUTPUTS, job->outputs - first);
    for (size_t k = 0; k < job->inputs; k += INPUTS) {
        size_t inputs = eft_min(INPUTS, job->inputs - k);
        float tile[INPUTS][OUTPUTS];
        turn_square(job, first, count, k, inputs, tile);
        for (size_t i = 0; i < inputs; i++)
            memcpy(job->to + job->places[k + i] * job->ldy + first, tile[i], count * sizeof(float));
    }
}

void eft_transpose_ordered(eft_context *context, size_t outputs, size_t inputs, const float *x, const uint32_t *places,
                           float *y, size_t ldy) {
    order_job job = {.outputs = outputs, .inputs = inputs, .ldy = ldy, .x = x, .places = places, .to = y};
    eft_run_tasks(context, eft_ceil_div(outputs, OUTPUTS), outputs * inputs, transpose_task, &job);
}

static void changes_task(void *argument, size_t index, size_t worker) {
    (void)worker;
    order_job *job = argument;
    size_t first = index * OUTPUTS, count = eft_min(OUTPUTS, job->outputs - first);
    double sums[OUTPUTS] = {0};
    for (size_t k = 0; k < job->inputs; k += INPUTS) {
        size_t inputs = eft_min(INPUTS, job->inputs - k);
        float tile[INPUTS][OUTPUTS];
        turn_square(job, first, count, k, inputs, tile);
        for (size_t i = 0; i < inputs; i++) {
            const float *line = job->from + job->places[k + i] * job->ldy + first;
            for (size_t n = 0; n < count; n++) {
                double change = (double)(tile[i][n] - line[n]);
                sums[n] += change * change;
            }
        }
    }
    memcpy(job->sums + first, sums, count * sizeof(double));
}

void eft_squared_changes(eft_context *context, size_t outputs, size_t inputs, const float *x, const uint32_t *places,
                         const float *y, size_t ldy, double *sums) {
    order_job job = {
        .outputs = outputs, .inputs = inputs, .ldy = ldy, .x = x, .places = places, .from = y, .sums = sums};
    eft_run_tasks(context, eft_ceil_div(outputs, OUTPUTS), outputs * inputs, changes_task, &job);
}

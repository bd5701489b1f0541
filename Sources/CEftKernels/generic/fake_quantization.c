// SPDX-License-Identifier: Apache-2.0
// Fake quantization: numbers as they would be behind few bits, in f32, and what that does to their gradients.
//
// Weights have 16 values, evenly from the smallest to the largest of a group of inputs; rows of activations have 8 bits and a
// zero point. Rounding counts as the identity backward, and the step of a weight's group has a gradient too, as torchao
// computes both. A task is a panel of 16 outputs, or some rows.
#include "../layer_kernels.h"

#include <float.h>

/// The smallest distance between the ends of a group of weights.
static const float least_range = 1e-6f;

typedef struct fake_job {
    const float *x;
    float *y;
    size_t rows, columns, group;
    size_t panel;         // numbers of a panel
    const int32_t *chosen;  // rows of the weight, one for each row of y
} fake_job;

/// The nearest whole number, of two the even one; |x| below 2^22.
static inline float nearest(float x) { return (x + 12582912.0f) - 12582912.0f; }

static inline float clamped(float x, float low, float high) { return x < low ? low : x > high ? high : x; }

static fake_job job_of(eft_matrix x, size_t group) {
    size_t padded = eft_ceil_div(x.columns, EFT_BLOCK) * EFT_BLOCK;
    return (fake_job){
        .x = x.data, .rows = x.rows, .columns = x.columns, .group = group, .panel = padded * EFT_PANEL};
}

static void run_panels(eft_context *context, fake_job *job, eft_body body) {
    eft_run_tasks(context, eft_ceil_div(job->rows, EFT_PANEL), job->rows * job->columns, body, job);
}

// ---------------------------------------------------------------------------------------------------------------------
// Weights
// ---------------------------------------------------------------------------------------------------------------------

static void int4_group(size_t count, const float *x, float *y) {
    float low[EFT_PANEL], high[EFT_PANEL], scale[EFT_PANEL], zero[EFT_PANEL];
    for (size_t lane = 0; lane < EFT_PANEL; lane++) low[lane] = high[lane] = x[lane];
    for (size_t c = 1; c < count; c++)
        for (size_t lane = 0; lane < EFT_PANEL; lane++) {
            float number = x[c * EFT_PANEL + lane];
            low[lane] = number < low[lane] ? number : low[lane];
            high[lane] = number > high[lane] ? number : high[lane];
        }
    for (size_t lane = 0; lane < EFT_PANEL; lane++) {
        float range = high[lane] - low[lane];
        scale[lane] = (range < least_range ? least_range : range) / 15;
        zero[lane] = low[lane] + scale[lane] * 8;
    }
    for (size_t c = 0; c < count; c++)
        for (size_t lane = 0; lane < EFT_PANEL; lane++) {
            float step = clamped(nearest((x[c * EFT_PANEL + lane] - low[lane]) / scale[lane]), 0, 15);
            y[c * EFT_PANEL + lane] = (step - 8) * scale[lane] + zero[lane];
        }
}

static void int4_task(void *argument, size_t index, size_t worker) {
    (void)worker;
    const fake_job *job = argument;
    for (size_t first = 0; first < job->columns; first += job->group) {
        size_t place = index * job->panel + first * EFT_PANEL;
        int4_group(eft_min(job->group, job->columns - first), job->x + place, job->y + place);
    }
}

void eft_fake_int4(eft_context *context, eft_matrix weight, size_t group, float *rounded) {
    fake_job job = job_of(weight, group);
    job.y = rounded;
    run_panels(context, &job, int4_task);
}

/// Adds `sign` times what reaches the ends of a group by its step: a step's change moves each number by how far it was
/// rounded. The ends themselves are not rounded, so that what is added for one sign is taken away again for the other.
static void carry_step(size_t count, const float *x, size_t x_step, float *gradient, size_t step, float sign) {
    float low = x[0], high = x[0];
    for (size_t c = 1; c < count; c++) {
        float number = x[c * x_step];
        low = number < low ? number : low;
        high = number > high ? number : high;
    }
    float range = high - low;
    if (range < least_range) return;
    float scale = range / 15, sum = 0;
    size_t lows = 0, highs = 0;
    for (size_t c = 0; c < count; c++) {
        float number = x[c * x_step], place = (number - low) / scale;
        sum += gradient[c * step] * (clamped(nearest(place), 0, 15) - place);
        lows += number == low;
        highs += number == high;
    }
    float at_low = -sign * sum / 15 / (float)lows, at_high = sign * sum / 15 / (float)highs;
    for (size_t c = 0; c < count; c++) {
        float number = x[c * x_step];
        if (number == low) gradient[c * step] += at_low;
        if (number == high) gradient[c * step] += at_high;
    }
}

static void int4_backward_task(void *argument, size_t index, size_t worker) {
    (void)worker;
    const fake_job *job = argument;
    size_t lanes = eft_min(EFT_PANEL, job->rows - index * EFT_PANEL);
    for (size_t first = 0; first < job->columns; first += job->group) {
        size_t place = index * job->panel + first * EFT_PANEL, count = eft_min(job->group, job->columns - first);
        for (size_t lane = 0; lane < lanes; lane++)
            carry_step(count, job->x + place + lane, EFT_PANEL, job->y + place + lane, EFT_PANEL, 1);
    }
}

void eft_fake_int4_backward(eft_context *context, eft_matrix weight, size_t group, float *gradient) {
    fake_job job = job_of(weight, group);
    job.y = gradient;
    run_panels(context, &job, int4_backward_task);
}

static void int4_inverse_task(void *argument, size_t index, size_t worker) {
    (void)worker;
    const fake_job *job = argument;
    size_t row = (size_t)job->chosen[index];
    const float *x = job->x + row / EFT_PANEL * job->panel + row % EFT_PANEL;
    float *gradient = job->y + index * job->columns;
    for (size_t first = 0; first < job->columns; first += job->group)
        carry_step(eft_min(job->group, job->columns - first), x + first * EFT_PANEL, EFT_PANEL, gradient + first, 1, -1);
}

void eft_fake_int4_inverse(eft_context *context, eft_matrix weight, size_t group, size_t count, const int32_t *rows,
                           float *gradients) {
    fake_job job = job_of(weight, group);
    job.chosen = rows;
    job.y = gradients;
    eft_run_tasks(context, count, count * job.columns, int4_inverse_task, &job);
}

// ---------------------------------------------------------------------------------------------------------------------
// Activations
// ---------------------------------------------------------------------------------------------------------------------

typedef struct row_scale {
    float scale, inverse, zero;
} row_scale;

static row_scale scale_of(size_t columns, const float *x) {
    float low = 0, high = 0;
    for (size_t c = 0; c < columns; c++) {
        low = x[c] < low ? x[c] : low;
        high = x[c] > high ? x[c] : high;
    }
    float scale = (high - low) / 255;
    scale = scale < FLT_EPSILON ? FLT_EPSILON : scale;
    return (row_scale){.scale = scale, .inverse = 1 / scale, .zero = clamped(-128 - nearest(low / scale), -128, 127)};
}

static void int8_task(void *argument, size_t index, size_t worker) {
    (void)worker;
    const fake_job *job = argument;
    const float *x = job->x + index * job->columns;
    float *y = job->y + index * job->columns;
    row_scale row = scale_of(job->columns, x);
    for (size_t c = 0; c < job->columns; c++)
        y[c] = (clamped(nearest(x[c] * row.inverse) + row.zero, -128, 127) - row.zero) * row.scale;
}

void eft_fake_int8(eft_context *context, size_t rows, size_t columns, const float *x, float *y) {
    fake_job job = {.x = x, .y = y, .rows = rows, .columns = columns};
    eft_run_tasks(context, rows, rows * columns, int8_task, &job);
}

static void int8_backward_task(void *argument, size_t index, size_t worker) {
    (void)worker;
    const fake_job *job = argument;
    const float *x = job->x + index * job->columns;
    float *gradient = job->y + index * job->columns;
    row_scale row = scale_of(job->columns, x);
    for (size_t c = 0; c < job->columns; c++) {
        float code = nearest(x[c] * row.inverse) + row.zero;
        gradient[c] = code < -128 || code > 127 ? 0 : gradient[c];
    }
}

void eft_fake_int8_backward(eft_context *context, size_t rows, size_t columns, const float *x, float *gradient) {
    fake_job job = {.x = x, .y = gradient, .rows = rows, .columns = columns};
    eft_run_tasks(context, rows, rows * columns, int8_backward_task, &job);
}

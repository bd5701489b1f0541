// SPDX-License-Identifier: Apache-2.0
// Rotary position embedding, in place, in the half-split form.
#include "../layer_kernels.h"

static void rotate_row(size_t heads, size_t head_dim, float *x, const float *cosines, const float *sines,
                       bool inverse) {
    size_t half = head_dim / 2;
    for (size_t h = 0; h < heads; h++, x += head_dim)
        for (size_t i = 0; i < half; i++) {
            float a = x[i], b = x[i + half], s = inverse ? -sines[i] : sines[i];
            x[i] = a * cosines[i] - b * s;
            x[i + half] = b * cosines[i] + a * s;
        }
}

static const eft_rope_kernels scalar = {rotate_row};

typedef struct rope_job {
    const eft_rope_kernels *kernels;
    size_t rows, heads, head_dim, rows_a_task;
    float *x;
    size_t ldx;
    const float *cosines, *sines;
    bool inverse;
} rope_job;

static void rope_task(void *argument, size_t index, size_t worker) {
    (void)worker;
    rope_job *job = argument;
    size_t half = job->head_dim / 2, end = eft_min((index + 1) * job->rows_a_task, job->rows);
    for (size_t t = index * job->rows_a_task; t < end; t++)
        job->kernels->row(job->heads, job->head_dim, job->x + t * job->ldx, job->cosines + t * half,
                          job->sines + t * half, job->inverse);
}

void eft_rope(eft_context *context, size_t rows, size_t heads, size_t head_dim, float *x, size_t ldx,
              const float *cosines, const float *sines, bool inverse) {
    size_t columns = heads * head_dim;
    rope_job job = {EFT_KERNELS(rope, context, scalar), rows, heads, head_dim, eft_rows_a_task(columns), x, ldx,
                    cosines, sines, inverse};
    eft_run_tasks(context, eft_ceil_div(rows, job.rows_a_task), rows * columns, rope_task, &job);
}

// SPDX-License-Identifier: Apache-2.0
// Rotary position embedding, in place, of halves or of neighbours.
#include "../layer_kernels.h"

static void rotate_row(const eft_rotation *rotation, float *x, const float *cosines, const float *sines, bool inverse) {
    size_t half = rotation->rotated / 2;
    size_t step = rotation->interleaved ? 2 : 1, apart = rotation->interleaved ? 1 : half;
    for (size_t h = 0; h < rotation->heads; h++, x += rotation->head_dim)
        for (size_t i = 0; i < half; i++) {
            float *first = x + i * step, *second = first + apart;
            float a = *first, b = *second, s = inverse ? -sines[i] : sines[i];
            *first = a * cosines[i] - b * s;
            *second = b * cosines[i] + a * s;
        }
}

static const eft_rope_kernels scalar = {rotate_row};

typedef struct rope_job {
    const eft_rope_kernels *kernels;
    const eft_rotation *rotation;
    size_t rows, rows_a_task;
    float *x;
    size_t ldx;
    const float *cosines, *sines;
    bool inverse;
} rope_job;

static void rope_task(void *argument, size_t index, size_t worker) {
    (void)worker;
    rope_job *job = argument;
    size_t half = job->rotation->rotated / 2, end = eft_min((index + 1) * job->rows_a_task, job->rows);
    for (size_t t = index * job->rows_a_task; t < end; t++)
        job->kernels->row(job->rotation, job->x + t * job->ldx, job->cosines + t * half, job->sines + t * half,
                          job->inverse);
}

void eft_rope(eft_context *context, const eft_rotation *rotation, size_t rows, float *x, size_t ldx,
              const float *cosines, const float *sines, bool inverse) {
    size_t columns = rotation->heads * rotation->head_dim;
    rope_job job = {EFT_KERNELS(rope, context, scalar), rotation, rows, eft_rows_a_task(columns), x, ldx, cosines, sines,
                    inverse};
    eft_run_tasks(context, eft_ceil_div(rows, job.rows_a_task), rows * columns, rope_task, &job);
}

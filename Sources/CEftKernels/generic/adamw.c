// SPDX-License-Identifier: Apache-2.0
// The AdamW step, with the operations and roundings of PyTorch's single-tensor form.
#include "../layer_kernels.h"

#include <math.h>

static void step(const eft_adamw_constants *k, size_t count, float *p, const float *g, float *m, float *v) {
    for (size_t i = 0; i < count; i++) {
        float gradient = g[i] * k->gradient_scale;
        m[i] += (gradient - m[i]) * k->beta1_rest;
        v[i] = v[i] * k->beta2 + k->beta2_rest * gradient * gradient;
        p[i] = p[i] * k->keep - k->step_size * m[i] / (sqrtf(v[i]) / k->root_c2 + k->epsilon);
    }
}

static const eft_adamw_kernels scalar = {step};

typedef struct adamw_job {
    const eft_adamw_kernels *kernels;
    eft_adamw_constants constants;
    size_t count;
    float *p;
    const float *g;
    float *m, *v;
} adamw_job;

static void adamw_task(void *argument, size_t index, size_t worker) {
    (void)worker;
    adamw_job *job = argument;
    size_t first = index * EFT_CHUNK;
    job->kernels->step(&job->constants, eft_min(EFT_CHUNK, job->count - first), job->p + first, job->g + first,
                       job->m + first, job->v + first);
}

void eft_adamw_step(eft_context *context, eft_adamw parameters, size_t count, float *p, const float *g, float *m,
                    float *v) {
    double beta1 = parameters.beta1, beta2 = parameters.beta2, rate = parameters.learning_rate;
    double c1 = 1 - pow(beta1, (double)parameters.step), c2 = 1 - pow(beta2, (double)parameters.step);
    adamw_job job = {.kernels = EFT_KERNELS(adamw, context, scalar), .count = count, .p = p, .g = g, .m = m, .v = v};
    job.constants = (eft_adamw_constants){
        .keep = (float)(1 - rate * parameters.decay),
        .beta1_rest = (float)(1 - beta1),
        .beta2 = parameters.beta2,
        .beta2_rest = (float)(1 - beta2),
        .gradient_scale = parameters.gradient_scale,
        .root_c2 = (float)sqrt(c2),
        .epsilon = parameters.epsilon,
        .step_size = (float)(rate / c1),
    };
    eft_run_tasks(context, eft_ceil_div(count, EFT_CHUNK), count, adamw_task, &job);
}

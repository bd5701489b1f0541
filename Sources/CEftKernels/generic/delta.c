// SPDX-License-Identifier: Apache-2.0
// Linear attention by the gated delta rule: the convolution, the gates, and the rule itself, forward and backward.
#include "../layer_kernels.h"

#include <math.h>

#include "../delta_rules.inc"

static const eft_delta_kernels scalar = EFT_DELTA_TABLE;

size_t eft_delta_state_floats(const eft_delta *d) {
    return d->value_heads * eft_round_up(d->value_dim, EFT_DELTA_COLUMNS) * d->key_dim;
}

size_t eft_delta_scratch_floats(const eft_delta *d, size_t rows) {
    return d->key_heads * eft_delta_head_scratch(d, rows);
}

typedef struct delta_job {
    const eft_delta_kernels *kernels;
    const eft_delta *delta;
    const eft_delta_run *run;
    const eft_delta_gradients *gradients;
    size_t blocks;
} delta_job;

static void forward_task(void *argument, size_t index, size_t worker) {
    (void)worker;
    const delta_job *job = argument;
    job->kernels->forward(job->delta, job->run, index / job->blocks, index % job->blocks);
}

void eft_delta_forward(eft_context *context, const eft_delta *d, const eft_delta_run *run) {
    delta_job job = {EFT_KERNELS(delta, context, scalar), d, run, NULL, eft_ceil_div(d->value_dim, EFT_DELTA_COLUMNS)};
    size_t tasks = d->value_heads * job.blocks;
    eft_run_tasks(context, tasks, run->rows * eft_delta_state_floats(d), forward_task, &job);
}

static void backward_task(void *argument, size_t index, size_t worker) {
    (void)worker;
    const delta_job *job = argument;
    job->kernels->backward(job->delta, job->run, job->gradients, index);
}

void eft_delta_backward(eft_context *context, const eft_delta *d, const eft_delta_run *run,
                        const eft_delta_gradients *gradients) {
    delta_job job = {EFT_KERNELS(delta, context, scalar), d, run, gradients, 0};
    eft_run_tasks(context, d->key_heads, run->rows * eft_delta_state_floats(d), backward_task, &job);
}

typedef struct convolution_job {
    const eft_delta_kernels *kernels;
    const eft_convolution *convolution;
    float *dy, *dweight;
} convolution_job;

static void convolution_task(void *argument, size_t index, size_t worker) {
    (void)worker;
    const convolution_job *job = argument;
    size_t first = index * EFT_COLUMN_CHUNK, columns = eft_min(EFT_COLUMN_CHUNK, job->convolution->columns - first);
    if (job->dy == NULL)
        job->kernels->convolve(job->convolution, first, columns);
    else
        job->kernels->convolve_back(job->convolution, job->dy, job->dweight, first, columns);
}

static void run_convolution(eft_context *context, convolution_job job) {
    const eft_convolution *c = job.convolution;
    job.kernels = EFT_KERNELS(delta, context, scalar);
    eft_run_tasks(context, eft_ceil_div(c->columns, EFT_COLUMN_CHUNK), c->rows * c->columns * c->taps, convolution_task,
                  &job);
}

void eft_convolve(eft_context *context, const eft_convolution *c) {
    run_convolution(context, (convolution_job){.convolution = c});
}

void eft_convolve_backward(eft_context *context, const eft_convolution *c, float *dy, float *dweight) {
    run_convolution(context, (convolution_job){.convolution = c, .dy = dy, .dweight = dweight});
}

typedef struct gates_job {
    const eft_delta_gates *gates;
    const float *ddecay, *dstrength;
    float *drate, *dbias;
    size_t rows_a_task;
} gates_job;

/// log(1 + e^x), and beyond 20 x itself.
static float soft_plus(float x) { return x > 20 ? x : log1pf(expf(x)); }

static float sigmoid(float x) { return 1 / (1 + expf(-x)); }

static void gates_task(void *argument, size_t index, size_t worker) {
    (void)worker;
    const gates_job *job = argument;
    const eft_delta_gates *g = job->gates;
    size_t end = eft_min((index + 1) * job->rows_a_task, g->rows);
    for (size_t t = index * job->rows_a_task; t < end; t++)
        for (size_t h = 0; h < g->heads; h++) {
            size_t i = t * g->heads + h;
            float x = soft_plus(g->a[i] + g->bias[h]);
            g->decay[i] = expf(-expf(g->rate[h]) * x);
            g->strength[i] = g->b == NULL ? x : sigmoid(g->b[i]);
        }
}

void eft_delta_gate(eft_context *context, const eft_delta_gates *g) {
    gates_job job = {.gates = g, .rows_a_task = eft_rows_a_task(16 * g->heads)};
    eft_run_tasks(context, eft_ceil_div(g->rows, job.rows_a_task), 16 * g->rows * g->heads, gates_task, &job);
}

static void gates_back_task(void *argument, size_t h, size_t worker) {
    (void)worker;
    const gates_job *job = argument;
    const eft_delta_gates *g = job->gates;
    float of_rate = 0, of_bias = 0, speed = expf(g->rate[h]);
    for (size_t t = 0; t < g->rows; t++) {
        size_t i = t * g->heads + h;
        float x = g->a[i] + g->bias[h], slope = -job->ddecay[i] * g->decay[i] * speed;
        float da = (g->b == NULL ? slope + job->dstrength[i] : slope) * (x > 20 ? 1 : sigmoid(x));
        of_rate += slope * soft_plus(x);
        of_bias += da;
        g->a[i] = da;
        if (g->b != NULL) g->b[i] = job->dstrength[i] * g->strength[i] * (1 - g->strength[i]);
    }
    if (job->drate != NULL) job->drate[h] += of_rate;
    if (job->dbias != NULL) job->dbias[h] += of_bias;
}

void eft_delta_gate_backward(eft_context *context, const eft_delta_gates *g, const float *ddecay,
                             const float *dstrength, float *drate, float *dbias) {
    gates_job job = {.gates = g, .ddecay = ddecay, .dstrength = dstrength, .drate = drate, .dbias = dbias};
    eft_run_tasks(context, g->heads, 16 * g->rows * g->heads, gates_back_task, &job);
}

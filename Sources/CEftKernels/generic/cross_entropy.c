// SPDX-License-Identifier: Apache-2.0
// Cross entropy of logits with labels, and its gradient in place.
#include "../layer_kernels.h"

#include <math.h>

static double log_sum_exp(size_t vocabulary, const float *logits) {
    float max = -INFINITY;
    for (size_t i = 0; i < vocabulary; i++)
        if (logits[i] > max) max = logits[i];
    if (max == -INFINITY) max = 0;  // every number is -inf or NaN
    double sum = 0;
    for (size_t i = 0; i < vocabulary; i++) sum += expf(logits[i] - max);
    return (double)max + log(sum);
}

static void softmax(size_t vocabulary, float *logits, double lse, float scale) {
    // The exponent in two parts: lse - high is exact, and exp(low) goes into the factor.
    float high = (float)lse, factor = scale * (float)exp((double)high - lse);
    for (size_t i = 0; i < vocabulary; i++) logits[i] = expf(logits[i] - high) * factor;
}

/// In 16 lanes, number i in lane i % 16.
static double sum(size_t count, const float *x) {
    double lanes[16] = {0}, total = 0;
    for (size_t i = 0; i < count; i++) lanes[i % 16] += (double)x[i];
    for (size_t i = 0; i < 16; i++) total += lanes[i];
    return total;
}

static const eft_cross_entropy_kernels scalar = {log_sum_exp, softmax};

typedef struct cross_entropy_job {
    const eft_cross_entropy_kernels *kernels;
    size_t vocabulary;
    float *logits;
    size_t ldl;
    const int32_t *labels;
    float gradient_scale, smoothing;
    float *losses;
} cross_entropy_job;

static void cross_entropy_task(void *argument, size_t t, size_t worker) {
    (void)worker;
    cross_entropy_job *job = argument;
    float *logits = job->logits + t * job->ldl;
    bool labelled = job->labels[t] >= 0;
    size_t label = labelled ? (size_t)job->labels[t] : 0;
    if (!labelled || label >= job->vocabulary) {
        // A label beyond the vocabulary is a bug of the caller's: the loss says so.
        job->losses[t] = labelled ? NAN : 0;
        if (job->gradient_scale != 0) memset(logits, 0, job->vocabulary * sizeof(float));
        return;
    }
    double lse = job->kernels->log_sum_exp(job->vocabulary, logits), smoothing = (double)job->smoothing;
    double each = smoothing / (double)job->vocabulary;  // of every token, the label's among them
    double loss = lse - (double)logits[label];
    if (smoothing > 0) loss += smoothing * (double)logits[label] - each * sum(job->vocabulary, logits);
    job->losses[t] = (float)loss;
    if (job->gradient_scale == 0) return;
    double minus_rest = expm1((double)logits[label] - lse) + smoothing - each;
    job->kernels->softmax(job->vocabulary, logits, lse, job->gradient_scale);
    if (smoothing > 0) {
        float less = (float)(each * (double)job->gradient_scale);
        for (size_t i = 0; i < job->vocabulary; i++) logits[i] -= less;
    }
    logits[label] = (float)(minus_rest * job->gradient_scale);
}

void eft_cross_entropy(eft_context *context, size_t rows, size_t vocabulary, float *logits, size_t ldl,
                       const int32_t *labels, float gradient_scale, float smoothing, float *losses) {
    cross_entropy_job job = {EFT_KERNELS(cross_entropy, context, scalar), vocabulary, logits, ldl, labels,
                             gradient_scale, smoothing, losses};
    eft_run_tasks(context, rows, rows * vocabulary, cross_entropy_task, &job);
}

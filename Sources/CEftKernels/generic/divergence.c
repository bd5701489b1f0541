// SPDX-License-Identifier: Apache-2.0
// How far a model's rows are from those of a reference: divergence of next-token distributions, difference of states.
#include "../layer_kernels.h"

#include <math.h>

static void weighted(size_t vocabulary, const float *reference, const float *logits, float base, double sums[2]) {
    double weights = 0, differences = 0;
    for (size_t i = 0; i < vocabulary; i++) {
        double weight = expf(reference[i] - base);
        weights += weight;
        differences += weight * ((double)reference[i] - (double)logits[i]);
    }
    sums[0] = weights;
    sums[1] = differences;
}

static double sum_of_exponentials(size_t vocabulary, const float *logits, float base) {
    double sum = 0;
    for (size_t i = 0; i < vocabulary; i++) sum += expf(logits[i] - base);
    return sum;
}

static const eft_divergence_kernels scalar = {weighted, sum_of_exponentials};

/// The places of the largest numbers of a row, the largest first; of equal ones the first.
typedef struct best {
    float values[EFT_DIVERGENCE_BEST];
    uint32_t places[EFT_DIVERGENCE_BEST];
    size_t count;
} best;

static best largest(const eft_sampling_kernels *kernels, size_t vocabulary, const float *x) {
    best found = {{0}, {0}, 0};
    size_t capacity = eft_min(EFT_DIVERGENCE_BEST, vocabulary);
    size_t i = 0;
    while (i < vocabulary) {
        size_t at = found.count < capacity ? found.count++ : capacity - 1;
        for (; at > 0 && x[i] > found.values[at - 1]; at--) {
            found.values[at] = found.values[at - 1];
            found.places[at] = found.places[at - 1];
        }
        found.values[at] = x[i];
        found.places[at] = (uint32_t)i++;
        if (found.count == capacity) i = kernels->next_above(i, vocabulary, x, found.values[capacity - 1]);
    }
    return found;
}

typedef struct divergence_job {
    const eft_divergence_kernels *kernels;
    const eft_sampling_kernels *sampling;
    size_t vocabulary;
    const float *reference;
    size_t ldr;
    const float *logits;
    size_t ldl;
    const int32_t *labels;
    eft_divergence_row *rows;
} divergence_job;

static void divergence_task(void *argument, size_t t, size_t worker) {
    (void)worker;
    const divergence_job *job = argument;
    const float *reference = job->reference + t * job->ldr, *logits = job->logits + t * job->ldl;
    best wanted = largest(job->sampling, job->vocabulary, reference);
    best found = largest(job->sampling, job->vocabulary, logits);
    double sums[2];
    job->kernels->weighted(job->vocabulary, reference, logits, wanted.values[0], sums);
    double other = job->kernels->sum_of_exponentials(job->vocabulary, logits, found.values[0]);
    double reference_lse = wanted.values[0] + log(sums[0]), lse = found.values[0] + log(other);
    eft_divergence_row *row = &job->rows[t];
    // The weights' own sum divides, so that what they are off by does not multiply a shift of all logits.
    row->divergence = sums[1] / sums[0] - (reference_lse - lse);
    bool labelled = job->labels[t] >= 0 && (size_t)job->labels[t] < job->vocabulary;
    size_t label = labelled ? (size_t)job->labels[t] : 0;
    row->reference_loss = labelled ? reference_lse - reference[label] : 0;
    row->loss = labelled ? lse - logits[label] : 0;
    row->same_best = wanted.places[0] == found.places[0];
    row->common_best = 0;
    row->best_count = (uint32_t)wanted.count;
    for (size_t i = 0; i < wanted.count; i++)
        for (size_t k = 0; k < found.count; k++) row->common_best += wanted.places[i] == found.places[k];
}

void eft_divergence(eft_context *context, size_t rows, size_t vocabulary, const float *reference, size_t ldr,
                    const float *logits, size_t ldl, const int32_t *labels, eft_divergence_row *result) {
    divergence_job job = {EFT_KERNELS(divergence, context, scalar),
                          eft_sampling_kernels_of(context->isa),
                          vocabulary,
                          reference,
                          ldr,
                          logits,
                          ldl,
                          labels,
                          result};
    eft_run_tasks(context, rows, rows * vocabulary, divergence_task, &job);
}

typedef struct difference_job {
    size_t columns;
    const float *a;
    size_t lda;
    const float *b;
    size_t ldb;
    eft_difference_row *rows;
} difference_job;

static void difference_task(void *argument, size_t t, size_t worker) {
    (void)worker;
    const difference_job *job = argument;
    const float *a = job->a + t * job->lda, *b = job->b + t * job->ldb;
    double differences[8] = {0}, squares[8] = {0};
    for (size_t i = 0; i < job->columns; i++) {
        double value = a[i], difference = value - (double)b[i];
        squares[i % 8] += value * value;
        differences[i % 8] += difference * difference;
    }
    eft_difference_row row = {0, 0};
    for (size_t i = 0; i < 8; i++) {
        row.difference += differences[i];
        row.square += squares[i];
    }
    job->rows[t] = row;
}

void eft_difference(eft_context *context, size_t rows, size_t columns, const float *a, size_t lda, const float *b,
                    size_t ldb, eft_difference_row *result) {
    difference_job job = {columns, a, lda, b, ldb, result};
    eft_run_tasks(context, rows, rows * columns, difference_task, &job);
}

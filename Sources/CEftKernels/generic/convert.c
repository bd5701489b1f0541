// SPDX-License-Identifier: Apache-2.0
// Conversions between number types, and the search for numbers that are not finite.
#include "../layer_kernels.h"

#include <stdatomic.h>

static void convert(size_t count, const void *source, eft_float_type source_type, void *target,
                    eft_float_type target_type) {
    for (size_t i = 0; i < count; i++)
        eft_store_number(target, target_type, i, eft_load_number(source, source_type, i));
}

static bool all_finite(size_t count, const void *source, eft_float_type type) {
    for (size_t i = 0; i < count; i++) {
        uint32_t bits = eft_bits_of_f32(eft_load_number(source, type, i));
        if ((bits & 0x7f800000u) == 0x7f800000u) return false;
    }
    return true;
}

static const eft_convert_kernels scalar = {convert, all_finite};

typedef struct convert_job {
    const eft_convert_kernels *kernels;
    size_t count;
    const char *source;
    eft_float_type source_type;
    char *target;
    eft_float_type target_type;
    _Atomic bool found;
} convert_job;

static void convert_task(void *argument, size_t index, size_t worker) {
    (void)worker;
    convert_job *job = argument;
    size_t first = index * EFT_CHUNK;
    job->kernels->convert(eft_min(EFT_CHUNK, job->count - first), job->source + first * eft_float_width(job->source_type),
                          job->source_type, job->target + first * eft_float_width(job->target_type), job->target_type);
}

void eft_convert(eft_context *context, size_t count, const void *source, eft_float_type source_type, void *target,
                 eft_float_type target_type) {
    if (source_type == target_type) {
        if (source != target && count > 0) memmove(target, source, count * eft_float_width(source_type));
        return;
    }
    convert_job job = {EFT_KERNELS(convert, context, scalar), count, source, source_type, target, target_type, false};
    eft_run_tasks(context, eft_ceil_div(count, EFT_CHUNK), count, convert_task, &job);
}

static void finite_task(void *argument, size_t index, size_t worker) {
    (void)worker;
    convert_job *job = argument;
    if (atomic_load_explicit(&job->found, memory_order_relaxed)) return;
    size_t first = index * EFT_CHUNK;
    const char *source = job->source + first * eft_float_width(job->source_type);
    if (!job->kernels->all_finite(eft_min(EFT_CHUNK, job->count - first), source, job->source_type))
        atomic_store_explicit(&job->found, true, memory_order_relaxed);
}

bool eft_all_finite(eft_context *context, size_t count, const void *source, eft_float_type type) {
    convert_job job = {EFT_KERNELS(convert, context, scalar), count, source, type, NULL, type, false};
    eft_run_tasks(context, eft_ceil_div(count, EFT_CHUNK), count, finite_task, &job);
    return !atomic_load(&job.found);
}

// SPDX-License-Identifier: Apache-2.0
// Weights of 8 bits with a scale for each output, as bitsandbytes' LLM.int8 holds them (Dettmers et al. 2022).
#include "../kernels_internal.h"

typedef struct int8_rows {
    size_t columns;
    const float *x;
    int8_t *codes;
    float *absmax;
} int8_rows;

static void quantize_row(void *argument, size_t row, size_t worker) {
    (void)worker;
    const int8_rows *job = argument;
    const float *x = job->x + row * job->columns;
    int8_t *codes = job->codes + row * job->columns;
    float largest = 0;
    for (size_t k = 0; k < job->columns; k++) {
        float magnitude = x[k] < 0 ? -x[k] : x[k];
        largest = magnitude > largest ? magnitude : largest;
    }
    job->absmax[row] = largest;
    // PyTorch divides a number by a tensor so, with two roundings.
    float scale = largest > 0 ? 1.0f / largest * 127.0f : 0;
    for (size_t k = 0; k < job->columns; k++) codes[k] = (int8_t)__builtin_rintf(x[k] * scale);
}

void eft_int8_quantize(eft_context *context, size_t rows, size_t columns, const float *x, int8_t *codes, float *absmax) {
    int8_rows job = {columns, x, codes, absmax};
    eft_parallel_for(context, rows, quantize_row, &job);
}

typedef struct int8_panels {
    const eft_weight *w;
    uint8_t *panels;
    const int8_t *codes;
    size_t first, count;
} int8_panels;

static void int8_panel(void *argument, size_t index, size_t worker) {
    (void)worker;
    const int8_panels *job = argument;
    const eft_weight *w = job->w;
    size_t lanes = eft_min(job->count - index * EFT_PANEL, EFT_PANEL);
    uint32_t *rows = (uint32_t *)(job->panels + (job->first / EFT_PANEL + index) * w->panel_bytes);
    uint8_t block[EFT_BLOCK * EFT_PANEL];
    memset(block, 128, sizeof block);
    for (size_t b = 0; b < w->blocks; b++) {
        for (size_t lane = 0; lane < lanes; lane++) {
            const int8_t *codes = job->codes + (index * EFT_PANEL + lane) * w->inputs + b * EFT_BLOCK;
            for (size_t k = 0; k < EFT_BLOCK; k++) block[k * EFT_PANEL + lane] = (uint8_t)(codes[k] + 128);
        }
        eft_codes_pack(8, block, rows + b * 8 * EFT_PANEL);
    }
}

void eft_int8_pack(eft_context *context, const eft_weight *w, void *panels, const int8_t *codes, size_t first,
                   size_t count) {
    int8_panels job = {w, panels, codes, first, count};
    eft_parallel_for(context, eft_ceil_div(count, EFT_PANEL), int8_panel, &job);
}

// SPDX-License-Identifier: Apache-2.0
// 8-bit floating point numbers (E4M3) with scales: as bf16, in panels, and made of real numbers.
#include <math.h>

#include "../layer_kernels.h"

void eft_e4m3_to_bf16(size_t count, const uint8_t *source, float scale, void *target) {
    enum { piece = 256 };
    uint8_t bytes[piece];
    uint16_t numbers[piece];
    for (size_t first = 0; first < count; first += piece) {
        size_t n = count - first < piece ? count - first : piece;
        // The source may lie within the target, further on.
        memcpy(bytes, source + first, n);
        for (size_t i = 0; i < n; i++) {
            uint32_t code = bytes[i];
            // The exponent is 120 too small in f32; what has no leading one there has none here.
            float value = eft_f32_of_bits((code & 0x80) << 24 | (code & 0x7F) << 20) * 0x1p120f * scale;
            uint32_t bits = eft_bits_of_f32(value);
            uint32_t rounded = (bits + 0x7FFF + (bits >> 16 & 1)) >> 16;
            uint32_t is_nan = (bits & 0x7FFFFFFF) > 0x7F800000 || (code & 0x7F) == 0x7F;
            numbers[i] = (uint16_t)(is_nan ? 0x7FC0 : rounded);
        }
        memcpy((uint8_t *)target + 2 * first, numbers, 2 * n);
    }
}

bool eft_e4m3_all_numbers(size_t count, const uint8_t *codes) {
    uint32_t found = 0;
    for (size_t i = 0; i < count; i++) found |= (codes[i] & 0x7F) == 0x7F;
    return found == 0;
}

// Panels

typedef struct fp8_panels {
    const eft_weight *w;
    uint8_t *panels;
    const uint8_t *codes;
    size_t first, count;
} fp8_panels;

static void fp8_panel(void *argument, size_t index, size_t worker) {
    (void)worker;
    const fp8_panels *job = argument;
    const eft_weight *w = job->w;
    size_t lanes = eft_min(job->count - index * EFT_PANEL, EFT_PANEL);
    uint32_t *rows = (uint32_t *)(job->panels + (job->first / EFT_PANEL + index) * w->panel_bytes);
    uint8_t block[EFT_BLOCK * EFT_PANEL];
    for (size_t b = 0; b < w->blocks; b++) {
        // Beyond inputs and outputs stands the code of zero.
        memset(block, 0, sizeof block);
        size_t inputs = eft_min(w->inputs - b * EFT_BLOCK, EFT_BLOCK);
        for (size_t lane = 0; lane < lanes; lane++) {
            const uint8_t *codes = job->codes + (index * EFT_PANEL + lane) * w->inputs + b * EFT_BLOCK;
            for (size_t k = 0; k < inputs; k++) block[k * EFT_PANEL + lane] = codes[k];
        }
        eft_codes_pack(8, block, rows + b * 8 * EFT_PANEL);
    }
}

void eft_fp8_pack(eft_context *context, const eft_weight *w, void *panels, const uint8_t *codes, size_t first,
                  size_t count) {
    fp8_panels job = {w, panels, codes, first, count};
    eft_parallel_for(context, eft_ceil_div(count, EFT_PANEL), fp8_panel, &job);
}

// Quantizing

/// The nearest number of E4M3 to one of at most 448.
static uint8_t e4m3_of(float x) {
    uint32_t bits = eft_bits_of_f32(x), low = bits & 0x7FFFFFFF;
    // 2^14 has steps of 2^-9, as the numbers without a leading one.
    uint32_t small = eft_bits_of_f32(eft_f32_of_bits(low) + 0x1p14f) & 0xFF;
    uint32_t large = ((low + 0x7FFFF + (low >> 20 & 1)) >> 20) - (120 << 3);
    return (uint8_t)((bits >> 24 & 0x80) | (low < eft_bits_of_f32(0x1p-6f) ? small : large));
}

typedef struct fp8_blocks {
    size_t rows, columns, block;
    const float *x;
    uint8_t *codes;
    float *scales;
} fp8_blocks;

static void fp8_block(void *argument, size_t index, size_t worker) {
    (void)worker;
    const fp8_blocks *job = argument;
    size_t first = index * job->block, count = eft_min(job->block, job->columns - first);
    float most = 0;
    for (size_t r = 0; r < job->rows; r++) {
        const float *x = job->x + r * job->columns + first;
        for (size_t c = 0; c < count; c++) {
            float magnitude = fabsf(x[c]);
            most = magnitude > most ? magnitude : most;
        }
    }
    // Two roundings, as a scalar over a tensor has in torch.
    float factor = (1 / most) * 448;
    if (!(factor < INFINITY)) factor = 1;
    job->scales[index] = 1 / factor;
    for (size_t r = 0; r < job->rows; r++) {
        const float *x = job->x + r * job->columns + first;
        uint8_t *codes = job->codes + r * job->columns + first;
        for (size_t c = 0; c < count; c++) {
            float value = x[c] * factor;
            value = value > -448 ? value : -448;
            codes[c] = e4m3_of(value < 448 ? value : 448);
        }
    }
}

void eft_fp8_quantize(eft_context *context, size_t rows, size_t columns, size_t block, const float *x, uint8_t *codes,
                      float *scales) {
    fp8_blocks job = {rows, columns, block, x, codes, scales};
    eft_run_tasks(context, eft_ceil_div(columns, block), rows * columns, fp8_block, &job);
}

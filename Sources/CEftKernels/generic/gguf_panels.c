// SPDX-License-Identifier: Apache-2.0
// Blocks of GGUF's quantized types as panels: the same codes, and the scales as they are stored.
#include <stdatomic.h>

#include "../gguf_blocks.h"
#include "../products.h"

/// Codes of a block of 32 numbers, a panel's lanes apart.
static void put(uint8_t *codes, int i, uint32_t code) { codes[i * EFT_PANEL] = (uint8_t)code; }

static void nibbles(const uint8_t *bytes, uint8_t *codes) {
    for (int i = 0; i < 16; i++) {
        put(codes, i, bytes[i] & 15);
        put(codes, i + 16, bytes[i] >> 4);
    }
}

static void q5_codes(const uint8_t *high, uint8_t *codes) {
    uint8_t found[EFT_BLOCK];
    eft_gguf_q5_codes(high, found);
    for (int i = 0; i < EFT_BLOCK; i++) put(codes, i, found[i]);
}

static void q2_K(const uint8_t *b, size_t part, uint8_t *codes) {
    const uint8_t *q = b + 16 + 32 * (part / 4);
    for (int i = 0; i < 32; i++) put(codes, i, q[i] >> (2 * (part % 4)) & 3);
}

static void q3_K(const uint8_t *b, size_t part, uint8_t *codes) {
    const uint8_t *high = b, *q = b + 32 + 32 * (part / 4);
    for (int i = 0; i < 32; i++) put(codes, i, (q[i] >> (2 * (part % 4)) & 3) | (high[i] >> part & 1) << 2);
}

static void q4_K(const uint8_t *b, size_t part, uint8_t *codes) {
    const uint8_t *q = b + 16 + 32 * (part / 2);
    for (int i = 0; i < 32; i++) put(codes, i, q[i] >> (4 * (part % 2)) & 15);
}

static void q5_K(const uint8_t *b, size_t part, uint8_t *codes) {
    const uint8_t *high = b + 16, *q = b + 48 + 32 * (part / 2);
    for (int i = 0; i < 32; i++) put(codes, i, (q[i] >> (4 * (part % 2)) & 15) | (high[i] >> part & 1) << 4);
}

static void q6_K(const uint8_t *b, size_t part, uint8_t *codes) {
    const uint8_t *low = b + 64 * (part / 4) + 32 * (part % 2), *high = b + 128 + 32 * (part / 4);
    for (int i = 0; i < 32; i++)
        put(codes, i, (low[i] >> (4 * (part % 4 / 2)) & 15) | (high[i] >> (2 * (part % 4)) & 3) << 4);
}

/// The codes of a block of 32 of a stored block.
static void read_codes(uint32_t type, const uint8_t *b, size_t part, uint8_t *codes) {
    switch (type) {
    case EFT_GGUF_Q4_0: nibbles(b + 2, codes); break;
    case EFT_GGUF_Q4_1: nibbles(b + 4, codes); break;
    case EFT_GGUF_Q5_0: q5_codes(b + 2, codes); break;
    case EFT_GGUF_Q5_1: q5_codes(b + 4, codes); break;
    case EFT_GGUF_MXFP4: nibbles(b + 1, codes); break;
    case EFT_GGUF_Q8_0:
        for (int i = 0; i < 32; i++) put(codes, i, b[2 + i] ^ 128u);
        break;
    case EFT_GGUF_Q2_K: q2_K(b, part, codes); break;
    case EFT_GGUF_Q3_K: q3_K(b, part, codes); break;
    case EFT_GGUF_Q4_K: q4_K(b, part, codes); break;
    case EFT_GGUF_Q5_K: q5_K(b, part, codes); break;
    default: q6_K(b, part, codes);
    }
}

/// Stores half-precision number `bytes` for a lane; false when it is infinite or NaN.
static bool put_half(uint8_t *halves, size_t lane, const uint8_t *bytes) {
    memcpy(halves + 2 * lane, bytes, 2);
    return (bytes[1] & 0x7c) != 0x7c;
}

/// Two of them, 16 apart.
static bool put_halves(uint8_t *halves, size_t lane, const uint8_t *first, const uint8_t *second) {
    bool finite = put_half(halves, lane, first);
    return put_half(halves + 2 * EFT_PANEL, lane, second) && finite;
}

/// The scales of a lane of a stored block, into the panel's record.
static bool read_scales(uint32_t type, const uint8_t *b, size_t lane, uint8_t *record) {
    const size_t d = 2 * EFT_PANEL;
    uint8_t *bytes = record + 2 * d + lane;
    switch (type) {
    case EFT_GGUF_Q4_0:
    case EFT_GGUF_Q5_0:
    case EFT_GGUF_Q8_0: return put_half(record, lane, b);
    case EFT_GGUF_MXFP4:
        record[lane] = b[0];
        return b[0] != EFT_E8M0_NONE;
    case EFT_GGUF_Q4_1:
    case EFT_GGUF_Q5_1: return put_halves(record, lane, b, b + 2);
    case EFT_GGUF_Q2_K:
        for (size_t i = 0; i < 16; i++) bytes[i * EFT_PANEL] = b[i];
        return put_halves(record, lane, b + 80, b + 82);
    case EFT_GGUF_Q3_K:
        for (size_t i = 0; i < 16; i++) record[d + i * EFT_PANEL + lane] = (uint8_t)eft_gguf_q3_scale(b + 96, i);
        return put_half(record, lane, b + 108);
    case EFT_GGUF_Q4_K:
    case EFT_GGUF_Q5_K:
        for (size_t i = 0; i < EFT_K_BLOCKS; i++)
            eft_gguf_k_scale(b + 4, i, bytes + i * EFT_PANEL, bytes + (EFT_K_BLOCKS + i) * EFT_PANEL);
        return put_halves(record, lane, b, b + 2);
    default:
        for (size_t i = 0; i < 16; i++) record[d + i * EFT_PANEL + lane] = b[192 + i];
        return put_half(record, lane, b + 208);
    }
}

/// What a type is in a panel.
typedef struct panel_form {
    eft_scale_type scales;
    uint32_t bits;
    size_t bytes;  // of a stored block, for as many inputs as a record has
} panel_form;

static const panel_form forms[] = {
    [EFT_GGUF_Q4_0] = {EFT_SCALES_F16, 4, 18},
    [EFT_GGUF_Q4_1] = {EFT_SCALES_OFFSET, 4, 20},
    [EFT_GGUF_Q5_0] = {EFT_SCALES_F16, 5, 22},
    [EFT_GGUF_Q5_1] = {EFT_SCALES_OFFSET, 5, 24},
    [EFT_GGUF_Q8_0] = {EFT_SCALES_F16, 8, 34},
    [EFT_GGUF_Q2_K] = {EFT_SCALES_K_OFFSET_HALVES, 2, 84},
    [EFT_GGUF_Q3_K] = {EFT_SCALES_K_HALVES, 3, 110},
    [EFT_GGUF_Q4_K] = {EFT_SCALES_K_OFFSET, 4, 144},
    [EFT_GGUF_Q5_K] = {EFT_SCALES_K_OFFSET, 5, 176},
    [EFT_GGUF_Q6_K] = {EFT_SCALES_K_HALVES, 6, 210},
    [EFT_GGUF_MXFP4] = {EFT_SCALES_E8M0, 4, 17},
};

typedef struct pack_job {
    const eft_weight *w;
    uint32_t type;
    panel_form form;
    uint8_t *panels, *scales;
    const uint8_t *source;
    size_t first, count;
    atomic_bool damaged;
} pack_job;

static void pack_panel(void *argument, size_t index, size_t worker) {
    (void)worker;
    pack_job *job = argument;
    const eft_weight *w = job->w;
    const size_t parts = eft_scale_groups(job->form.scales), stored = w->blocks / parts;
    const size_t panel = job->first / EFT_PANEL + index, lanes = eft_min(job->count - index * EFT_PANEL, EFT_PANEL);
    const uint32_t bits = job->form.bits;
    uint32_t *rows = (uint32_t *)(job->panels + panel * w->panel_bytes);
    uint8_t *record = job->scales + panel * eft_panel_scale_bytes(w);
    uint8_t codes[EFT_BLOCK * EFT_PANEL];
    // What lies beyond the outputs is zero.
    memset(codes, eft_has_offsets(job->form.scales) ? 0 : 1 << (bits - 1), sizeof codes);
    memset(record, 0, eft_panel_scale_bytes(w));
    bool finite = true;
    for (size_t b = 0; b < stored; b++, record += eft_scale_bytes(job->form.scales)) {
        const uint8_t *blocks = job->source + (index * EFT_PANEL * stored + b) * job->form.bytes;
        for (size_t lane = 0; lane < lanes; lane++)
            finite &= read_scales(job->type, blocks + lane * stored * job->form.bytes, lane, record);
        for (size_t part = 0; part < parts; part++, rows += bits * EFT_PANEL) {
            for (size_t lane = 0; lane < lanes; lane++)
                read_codes(job->type, blocks + lane * stored * job->form.bytes, part, codes + lane);
            eft_codes_pack(bits, codes, rows);
        }
    }
    if (!finite) atomic_store_explicit(&job->damaged, true, memory_order_relaxed);
}

bool eft_gguf_pack(eft_context *context, const eft_weight *w, uint32_t type, void *panels, void *scales,
                   const void *source, size_t first, size_t count) {
    if (type >= sizeof forms / sizeof *forms || forms[type].bits == 0) return false;
    const panel_form form = forms[type];
    if (w->scale_type != form.scales || w->blocks % eft_scale_groups(form.scales) != 0) return false;
    pack_job job = {.w = w, .type = type, .form = form, .panels = panels, .scales = scales, .source = source,
                    .first = first, .count = count};
    atomic_init(&job.damaged, false);
    eft_parallel_for(context, eft_ceil_div(count, EFT_PANEL), pack_panel, &job);
    return !atomic_load_explicit(&job.damaged, memory_order_relaxed);
}

// SPDX-License-Identifier: Apache-2.0
// y = x W for one weight, or for several that take the same packed activations: packing, and the loops around the tiles.
#include "products.h"

/// Bytes that the packed activations of one round of rows may take, unless that left too few rows to pay for unpacking.
#define PACKED_BYTES ((size_t)16 << 20)
#define MIN_ROUND 96
#define MAX_ROUND 512
/// Bytes of packed activations that one chunk of the inputs should have: they are read again for each panel.
#define CHUNK_BYTES ((size_t)256 << 10)
/// Most tiles of rows that read codes as they are: more of them earn what unpacking costs once.
#define MOST_PACKED_TILES 8
/// Most tiles whose outputs are fetched ahead: those of more would drive the operands from the nearest cache.
#define MOST_FETCHED_TILES 8
/// Rows between the one that is stored and the one that is fetched meanwhile.
#define ROWS_AHEAD 12
/// Most panels of a job.
#define JOB_PANELS 4

typedef struct forward {
    const eft_product_table *table;
    eft_form form;
    const eft_product *products;
    size_t count;
    const eft_gate *gate;  // of a gated pair, else NULL
    const eft_weight *w;             // the first product's: what holds for all of them
    bool rounds;
    // Of the round:
    size_t first_row, rows;
    const float *x;
    size_t ldx;
    // Packed activations: tiles of `height` rows.
    uint8_t *packed;
    size_t height, block_bytes;  // bytes of a block of a tile
    // Jobs: some tiles of rows by some panels of a product, or the same panels of a gated pair.
    size_t job_tiles, job_panels, row_jobs, chunk_blocks;
    // Of each worker: turned rows, unpacked panels, totals, and sums when a segment does not fit in a chunk.
    uint8_t *turned, *unpacked, *totals, *sums;
    size_t turned_bytes, unpacked_bytes, totals_bytes, sums_bytes;
} forward;

/// The products that a job computes one after the other.
static size_t job_products(const forward *f) { return f->gate != NULL ? 2 : 1; }

static size_t panels_of(const eft_weight *w) { return eft_ceil_div(w->outputs, EFT_PANEL); }

/// Jobs over the panels of a product.
static size_t panel_jobs(const forward *f, const eft_weight *w) { return eft_ceil_div(panels_of(w), f->job_panels); }

/// Jobs over the panels of all products.
static size_t all_panel_jobs(const forward *f) {
    size_t jobs = 0;
    for (size_t i = 0; i < f->count; i += job_products(f)) jobs += panel_jobs(f, &f->products[i].w);
    return jobs;
}

/// The product, or the first one of a pair, whose panels a job has, and the first of them.
static const eft_product *product_of_job(const forward *f, size_t job, size_t *first_panel) {
    const eft_product *product = f->products;
    for (size_t jobs; job >= (jobs = panel_jobs(f, &product->w)); job -= jobs) product++;
    *first_panel = job * f->job_panels;
    return product;
}

/// Bytes of a row's 32 inputs, packed.
static size_t row_block_bytes(const eft_product_table *t, const eft_weight *w) {
    return t->row_block_bytes + (eft_has_halves(w->scale_type) ? t->half_bytes : 0);
}

static bool has_long_segments(const eft_weight *w) {
    for (size_t s = 0; s < eft_segments(w); s++)
        if (eft_segment_blocks(w, s) > EFT_CHUNK_BLOCKS) return true;
    return false;
}

/// Cuts the work, and carves the workspace for the largest round.
static size_t forward_plan(forward *f, const eft_context *context, size_t rows, void *space) {
    const eft_product_table *t = f->table;
    size_t threads = context->threads, block_bytes = row_block_bytes(t, f->w);
    eft_carver carver = {eft_aligned(space), 0};
    if (rows <= t->direct_rows) {
        f->height = rows <= 2 ? rows : 4;
        f->block_bytes = block_bytes * f->height;
        f->packed = eft_carve(&carver, f->w->blocks * f->block_bytes);
        f->chunk_blocks = EFT_CHUNK_BLOCKS;
        // Several panels run side by side; a job is long enough to be worth handing out.
        size_t panels = 0;
        for (size_t i = 0; i < f->count; i++) panels += panels_of(&f->products[i].w);
        f->job_panels = eft_min(eft_max(eft_round_up(eft_ceil_div(panels, threads * 8), 8), 8), 32);
        return carver.used + 64;
    }
    f->height = t->tile_rows;
    f->block_bytes = block_bytes * t->tile_rows;
    size_t tiles = eft_ceil_div(rows, t->tile_rows);
    f->packed = eft_carve(&carver, tiles * f->w->blocks * f->block_bytes);
    f->job_tiles = tiles;
    f->job_panels = eft_round_up(JOB_PANELS / job_products(f), t->tile_panels);
    while (f->job_panels > t->tile_panels && all_panel_jobs(f) < 3 * threads)
        f->job_panels = eft_round_up(f->job_panels / 2, t->tile_panels);
    // What the workspace is for: never less with more rows, and the same for any number of products.
    size_t most_tiles = tiles, most_panels = eft_round_up(JOB_PANELS, t->tile_panels);
    while (f->job_tiles > 6 && all_panel_jobs(f) * eft_ceil_div(tiles, f->job_tiles) < 2 * threads)
        f->job_tiles = eft_ceil_div(f->job_tiles, 2);
    f->chunk_blocks = EFT_CHUNK_BLOCKS;
    if (f->w->kind == EFT_WEIGHT_CODED) {
        size_t row_bytes = f->job_tiles * t->tile_rows * block_bytes;
        f->chunk_blocks = eft_min(eft_max(CHUNK_BYTES / row_bytes, 4), EFT_CHUNK_BLOCKS);
    } else {
        // A segment of a dense weight is a whole chunk: fewer rows at a time keep them in the cache.
        size_t limit = eft_max(CHUNK_BYTES / (t->tile_rows * block_bytes * EFT_CHUNK_BLOCKS), 1);
        size_t jobs = eft_ceil_div(f->job_tiles, limit);
        f->job_tiles = eft_ceil_div(f->job_tiles, jobs);
        most_tiles = eft_min(most_tiles, limit);
    }
    f->row_jobs = eft_ceil_div(tiles, f->job_tiles);
    f->turned_bytes = t->turn_rows == NULL ? 0 : (f->w->inputs + 1) * t->turned_lanes * sizeof(float);
    f->unpacked_bytes = EFT_CHUNK_BLOCKS * t->weight_block_bytes * t->tile_panels;
    f->totals_bytes = most_panels * most_tiles * t->tile_rows * EFT_PANEL * sizeof(float);
    f->sums_bytes = has_long_segments(f->w) ? f->totals_bytes : 0;
    f->turned = eft_carve(&carver, threads * f->turned_bytes);
    f->unpacked = eft_carve(&carver, threads * f->unpacked_bytes);
    f->totals = eft_carve(&carver, threads * f->totals_bytes);
    f->sums = eft_carve(&carver, threads * f->sums_bytes);
    return carver.used + 64;
}

/// The next chunk of the inputs: whole segments as long as they fit, or part of a long one.
static size_t next_chunk(const forward *f, size_t *segment, size_t *done, eft_piece pieces[EFT_CHUNK_BLOCKS]) {
    size_t count = 0, blocks = 0;
    for (size_t segments = eft_segments(f->w); *segment < segments && count < EFT_CHUNK_BLOCKS;) {
        size_t length = eft_segment_blocks(f->w, *segment), left = length - *done;
        size_t take = eft_min(left, EFT_CHUNK_BLOCKS);
        if (count > 0 && blocks + take > f->chunk_blocks) break;
        pieces[count++] = (eft_piece){*segment, take, take * f->table->steps_per_block, *done == 0, take == left};
        blocks += take;
        *done = take == left ? 0 : *done + take;
        if (*done == 0) ++*segment;
        if (blocks >= f->chunk_blocks) break;
    }
    return count;
}

static size_t blocks_of(const eft_piece *pieces, size_t count) {
    size_t blocks = 0;
    for (size_t i = 0; i < count; i++) blocks += pieces[i].blocks;
    return blocks;
}

/// Where the chunk that begins at a block is packed: chunk after chunk, so that what a job reads again lies together.
static uint8_t *packed_chunk(const forward *f, size_t tiles, size_t block) {
    return f->packed + block * tiles * f->block_bytes;
}

static void pack_tile(void *argument, size_t index, size_t worker) {
    const forward *f = argument;
    const eft_product_table *t = f->table;
    size_t first = index * f->height, tiles = eft_ceil_div(f->rows, f->height), rows = eft_min(f->rows - first, f->height);
    const float *x = f->x + first * f->ldx;
    if (f->height == t->tile_rows && t->turn_rows != NULL) {
        float *turned = (float *)(f->turned + worker * f->turned_bytes);
        t->turn_rows(rows, x, f->ldx, f->w->inputs, turned);
        x = turned;
    }
    eft_piece pieces[EFT_CHUNK_BLOCKS];
    for (size_t segment = 0, done = 0; segment < eft_segments(f->w);) {
        size_t block = eft_segment_first(f->w, segment) + done;
        size_t blocks = blocks_of(pieces, next_chunk(f, &segment, &done, pieces));
        t->pack_rows(f->w, f->form, f->rounds, rows, f->height, x, f->ldx, block, blocks,
                     packed_chunk(f, tiles, block) + index * blocks * f->block_bytes);
    }
}

/// Whether tiles read a chunk as it is.
static bool is_native(const forward *f, const eft_piece *pieces, size_t count) {
    if (f->w->kind == EFT_WEIGHT_CODED && (f->job_tiles > MOST_PACKED_TILES || eft_has_halves(f->w->scale_type)))
        return false;
    eft_coding coding = eft_coding_of(f->w, pieces[0].segment);
    for (size_t i = 1; i < count; i++)
        if (eft_coding_of(f->w, pieces[i].segment) != coding) return false;
    return (f->table->native >> coding & 1) != 0;
}

/// The operand of a panel in a chunk: the panel itself, or what it unpacks to.
static const void *panel_operand(const forward *f, const eft_weight *w, size_t panel, const eft_piece *pieces,
                                 size_t count, size_t block, bool native, uint8_t *out) {
    if (native) return eft_block_data(w, panel, pieces[0].segment, block);
    uint8_t *at = out;
    for (size_t i = 0; i < count; i++) {
        f->table->unpack(w, f->form, f->rounds, panel, pieces[i].segment, block, pieces[i].blocks, at);
        at += pieces[i].blocks * f->table->weight_block_bytes;
        block += pieces[i].blocks;
    }
    return out;
}

/// What a job computes: panels of a product, or of a gated pair, for some tiles of rows.
typedef struct tile_block {
    const eft_product *product;
    size_t first_panel, panels;
    size_t first_tile, tiles;
    size_t first_row, rows;  // of the round, and how many
    size_t panel_floats;     // totals of a panel
} tile_block;

static void store_block(const forward *f, const tile_block *b, const float *totals) {
    const eft_product *product = b->product;
    for (size_t r = 0; r < b->rows; r++)
        for (size_t p = 0; p < b->panels; p++) {
            size_t column = (b->first_panel + p) * EFT_PANEL, lanes = eft_min(product->w.outputs - column, EFT_PANEL);
            float *y = product->y + (f->first_row + b->first_row + r) * product->ldy + column;
            if (r + ROWS_AHEAD < b->rows) eft_fetch_for_store(y + ROWS_AHEAD * product->ldy);
            eft_store_totals(y, totals + p * b->panel_floats + r * EFT_PANEL, lanes, product->accumulate);
        }
}

/// Tells a call what is unpacked after it: up to a tile's panels of the `panels` from `panel` on, from a block on.
static void look_ahead(const forward *f, const eft_weight *w, eft_tile_call *call, size_t panel, size_t panels,
                       size_t segment, size_t block) {
    if (w->kind != EFT_WEIGHT_CODED || block >= w->blocks) return;
    for (size_t i = 0; i < eft_min(panels, f->table->tile_panels); i++)
        call->next[i] = (const uint8_t *)eft_block_data(w, panel + i, segment, block);
    call->next_lines = w->groups[segment].bits;
}

/// Fetches what a job stores to before it does: rows lie far apart, and each store would wait until the line is this core's.
static void fetch_targets(const forward *f, const tile_block *b, size_t panel, size_t panels) {
    const eft_product *product = b->product;
    for (size_t r = 0; r < b->rows; r++) {
        const float *y = product->y + (f->first_row + b->first_row + r) * product->ldy + panel * EFT_PANEL;
        for (size_t p = 0; p < panels; p++) eft_fetch_for_store(y + p * EFT_PANEL);
    }
}

/// Multiplies a block of tiles by the panels of one weight.
static void multiply_block(const forward *f, const eft_weight *w, const tile_block *b, bool targets, size_t worker,
                           float *totals) {
    const eft_product_table *t = f->table;
    size_t all_tiles = eft_ceil_div(f->rows, f->height);
    uint8_t *unpacked = f->unpacked + worker * f->unpacked_bytes;
    float *sums = (float *)(f->sums + worker * f->sums_bytes);
    // In floating point what is unpacked is scaled where blocks have scales of their own.
    bool scaled = eft_scales_blocks(w->scale_type) && f->form != EFT_FORM_INT16 && f->form != EFT_FORM_INT8;
    // A long segment is folded late; otherwise the first fold begins the totals.
    bool cut = w->blocks == 0 || eft_segment_blocks(w, 0) > EFT_CHUNK_BLOCKS;
    if (cut) memset(totals, 0, b->panels * b->panel_floats * sizeof(float));
    eft_piece pieces[EFT_CHUNK_BLOCKS];
    for (size_t segment = 0, done = 0, count; segment < eft_segments(w);) {
        size_t block = eft_segment_first(w, segment) + done;
        count = next_chunk(f, &segment, &done, pieces);
        size_t tile_bytes = blocks_of(pieces, count) * f->block_bytes;
        bool native = is_native(f, pieces, count), coded = native && w->kind == EFT_WEIGHT_CODED;
        for (size_t p = 0; p < b->panels; p += t->tile_panels) {
            eft_tile_call call = {
                .rows = b->rows,
                .a = packed_chunk(f, all_tiles, block) + b->first_tile * tile_bytes,
                .a_tile_bytes = tile_bytes,
                .panels = eft_min(b->panels - p, t->tile_panels),
                .pieces = pieces,
                .piece_count = count,
                .bits = coded ? w->groups[pieces[0].segment].bits : 0,
                .scale_type = w->scale_type,
                .fresh = block == 0 && !cut,
            };
            for (size_t i = 0; i < call.panels; i++) {
                uint8_t *space = unpacked + i * EFT_CHUNK_BLOCKS * t->weight_block_bytes;
                call.b[i] = panel_operand(f, w, b->first_panel + p + i, pieces, count, block, native, space);
                call.scales[i] = scaled ? NULL : eft_scale_data(w, b->first_panel + p + i, 0);
                call.totals[i] = totals + (p + i) * b->panel_floats;
                call.sums[i] = sums + (p + i) * b->panel_floats;
            }
            if (targets && segment >= eft_segments(w)) fetch_targets(f, b, b->first_panel + p, call.panels);
            // The panels behind in this chunk, or the first ones in the next chunk.
            size_t after = p + t->tile_panels;
            if (after < b->panels)
                look_ahead(f, w, &call, b->first_panel + after, b->panels - after, pieces[0].segment, block);
            else
                look_ahead(f, w, &call, b->first_panel, b->panels, segment, block + tile_bytes / f->block_bytes);
            t->tiles(f->form, &call);
        }
    }
}

static void tile_job(void *argument, size_t index, size_t worker) {
    const forward *f = argument;
    tile_block b = {.first_tile = index % f->row_jobs * f->job_tiles};
    b.product = product_of_job(f, index / f->row_jobs, &b.first_panel);
    b.panels = eft_min(panels_of(&b.product->w) - b.first_panel, f->job_panels);
    b.tiles = eft_min(eft_ceil_div(f->rows, f->height) - b.first_tile, f->job_tiles);
    b.first_row = b.first_tile * f->height;
    b.rows = eft_min(f->rows - b.first_row, b.tiles * f->height);
    b.panel_floats = f->job_tiles * f->height * EFT_PANEL;
    float *totals = (float *)(f->totals + worker * f->totals_bytes);
    size_t last = job_products(f) - 1;
    for (size_t i = 0; i <= last; i++)
        multiply_block(f, &b.product[i].w, &b, i == last && b.tiles <= MOST_FETCHED_TILES, worker,
                       totals + i * b.panels * b.panel_floats);
    for (size_t p = 0; f->gate != NULL && p < b.panels; p++) {
        float *gate = totals + p * b.panel_floats;
        f->gate->kernels->forward(f->gate->kind, b.rows * EFT_PANEL, gate, gate + b.panels * b.panel_floats, gate);
    }
    store_block(f, &b, totals);
}

static void direct_job(void *argument, size_t index, size_t worker) {
    (void)worker;
    const forward *f = argument;
    size_t first, last = job_products(f) - 1;
    const eft_product *product = product_of_job(f, index, &first);
    size_t panels = eft_min(panels_of(&product->w) - first, f->job_panels);
    for (size_t i = 0; i <= last; i++) {
        // The second of a gated pair is done with when the job is: its memory serves every round.
        size_t first_row = i == 0 ? f->first_row : 0;
        eft_direct_call call = {
            .w = &product[i].w,
            .form = f->form,
            .rounds = f->rounds,
            .first_panel = first,
            .panels = panels,
            .rows = f->rows,
            .height = f->height,
            .x = f->packed,
            .y = product[i].y + first_row * product[i].ldy,
            .ldy = product[i].ldy,
            .accumulate = product[i].accumulate,
        };
        f->table->direct(&call);
    }
    if (f->gate == NULL) return;
    size_t column = first * EFT_PANEL, columns = eft_min(product->w.outputs - column, panels * EFT_PANEL);
    for (size_t r = 0; r < f->rows; r++) {
        float *y = product->y + (f->first_row + r) * product->ldy + column;
        f->gate->kernels->forward(f->gate->kind, columns, y, product[1].y + r * product[1].ldy + column, y);
    }
}

size_t eft_fast_matmul(eft_context *context, const eft_product_table *table, eft_form form, const eft_product *products,
                       size_t count, const eft_gate *gate, bool rounds, size_t rows, const float *x, size_t ldx,
                       void *space) {
    const eft_weight *w = &products->w;
    forward f = {.table = table, .form = form, .products = products, .count = count, .gate = gate, .w = w, .rounds = rounds,
                 .ldx = ldx};
    size_t row_bytes = eft_max(w->blocks * row_block_bytes(table, w), 1);
    size_t round = eft_min(eft_max(PACKED_BYTES / row_bytes, MIN_ROUND), MAX_ROUND) / table->tile_rows * table->tile_rows;
    if (space == NULL) return forward_plan(&f, context, eft_min(rows, round), NULL);
    for (; f.first_row < rows; f.first_row += round) {
        f.rows = eft_min(rows - f.first_row, round);
        f.x = x + f.first_row * ldx;
        forward_plan(&f, context, f.rows, space);
        if (f.rows <= table->direct_rows) {
            pack_tile(&f, 0, 0);
            eft_parallel_for(context, all_panel_jobs(&f), direct_job, &f);
            continue;
        }
        eft_parallel_for(context, eft_ceil_div(f.rows, f.height), pack_tile, &f);
        eft_parallel_for(context, all_panel_jobs(&f) * f.row_jobs, tile_job, &f);
    }
    return 0;
}

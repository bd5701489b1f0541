// SPDX-License-Identifier: Apache-2.0
// Attention over pages of 16 tokens: reading and writing pages, the softmax-weighted sum, its backward step.
#include "../kv_codes.h"
#include "../layer_kernels.h"

#include <math.h>

static const char *keys_of(const eft_attention *a, const void *page, size_t kv_head) {
    return (const char *)page + kv_head * a->head_dim * EFT_PAGE * eft_float_width(a->kv_type);
}

static const char *values_of(const eft_attention *a, const void *page, size_t kv_head) {
    return keys_of(a, page, a->kv_heads + kv_head);
}

/// A product with a key, times the scale and capped.
static float score_of(const eft_attention *a, float product) {
    float score = product * a->scale;
    return a->soft_cap > 0 ? a->soft_cap * tanhf(score / a->soft_cap) : score;
}

/// A query's score of one key.
static float score(const eft_attention *a, eft_float_type type, const float *q, const char *keys, size_t slot) {
    float sum = 0;
    for (size_t d = 0; d < a->head_dim; d++) sum += q[d] * eft_load_number(keys, type, d * EFT_PAGE + slot);
    return score_of(a, sum);
}

/// One head of the row at a position: a running softmax, page by page.
static void attend(const eft_attention *a, const eft_attention_run *run, size_t kv_head, size_t position,
                   const float *q, float *out, float *lse) {
    float max = -INFINITY, total = 0, turned[EFT_KV_MOST_DIM], numbers[2][EFT_KV_MOST_DIM * EFT_PAGE];
    const bool coded = a->key_bits != 0;
    const eft_float_type type = coded ? EFT_F32 : a->kv_type;
    if (coded) {
        memcpy(turned, q, a->head_dim * sizeof *q);
        eft_kv_rotate(a->head_dim, turned);
        q = turned;
    }
    for (size_t d = 0; d < a->head_dim; d++) out[d] = 0;
    size_t seen = eft_first_seen(a, position), visible = position + 1;
    for (size_t first = seen / EFT_PAGE * EFT_PAGE; first < visible; first += EFT_PAGE) {
        size_t from = seen > first ? seen - first : 0, slots = eft_min(EFT_PAGE, visible - first);
        void *page = run->pages[first / EFT_PAGE];
        const char *keys = (const char *)numbers[0], *values = (const char *)numbers[1];
        if (coded)
            eft_kv_dequantize(a, eft_kv_head_of(a, page, kv_head), numbers[0], numbers[1]);
        else
            keys = keys_of(a, page, kv_head), values = values_of(a, page, kv_head);
        float weights[EFT_PAGE], before = max;
        for (size_t j = from; j < slots; j++) {
            weights[j] = score(a, type, q, keys, j);
            if (weights[j] > max) max = weights[j];
        }
        float shrink = expf(before - max);
        total *= shrink;
        for (size_t j = from; j < slots; j++) total += weights[j] = expf(weights[j] - max);
        for (size_t d = 0; d < a->head_dim; d++) {
            float sum = out[d] * shrink;
            for (size_t j = from; j < slots; j++)
                sum += weights[j] * eft_load_number(values, type, j * a->head_dim + d);
            out[d] = sum;
        }
    }
    for (size_t d = 0; d < a->head_dim; d++) out[d] /= total;
    if (coded) eft_kv_rotate(a->head_dim, out);
    if (lse != NULL) *lse = max + logf(total);
}

static void forward(const eft_attention *a, const eft_attention_run *run, size_t kv_head, size_t first, size_t count,
                    const eft_attention_ahead *ahead, size_t ldq, size_t ldo) {
    (void)ahead;
    size_t group = a->heads / a->kv_heads;
    for (size_t i = first; i < first + count; i++) {
        size_t row = i / group, head = kv_head * group + i % group;
        attend(a, run, kv_head, run->first_position + row, run->q + row * ldq + head * a->head_dim,
               run->out + row * ldo + head * a->head_dim, run->lse == NULL ? NULL : run->lse + row * a->heads + head);
    }
}

/// Adds one key's share to the gradients of one head of one row.
static void backward_key(const eft_attention *a, const float *q, const float *dout, float lse, float dot,
                         const float *keys, const float *values, float *dkeys, float *dvalues, float *dq) {
    // Pointers to the key's own numbers: keys[d * 16], values[d].
    float s = 0, weight_gradient = 0;
    for (size_t d = 0; d < a->head_dim; d++) {
        s += q[d] * keys[d * EFT_PAGE];
        weight_gradient += dout[d] * values[d];
    }
    float capped = score_of(a, s), share = a->soft_cap > 0 ? capped / a->soft_cap : 0;
    float weight = expf(capped - lse), ds = weight * (weight_gradient - dot) * a->scale * (1 - share * share);
    for (size_t d = 0; d < a->head_dim; d++) {
        dvalues[d] += weight * dout[d];
        dkeys[d * EFT_PAGE] += ds * q[d];
        dq[d] += ds * keys[d * EFT_PAGE];
    }
}

// With p the softmax and D = dout . out: dv += p dout, ds = p (dout . v - D) scale, dq += ds k, dk += ds q.
static void backward(const eft_attention *a, const eft_attention_run *run, size_t kv_head, size_t ldq, size_t ldo) {
    size_t group = a->heads / a->kv_heads, dim = a->head_dim;
    for (size_t i = 0; i < run->rows * group; i++) {
        size_t row = i / group, head = kv_head * group + i % group;
        const float *q = run->q + row * ldq + head * dim, *dout = run->dout + row * ldo + head * dim;
        const float *out = run->out + row * ldo + head * dim;
        float *dq = run->dq + row * ldq + head * dim, lse = run->lse[row * a->heads + head], dot = 0;
        for (size_t d = 0; d < dim; d++) dq[d] = 0, dot += dout[d] * out[d];
        for (size_t j = eft_first_seen(a, run->first_position + row); j <= run->first_position + row; j++) {
            const void *page = run->pages[j / EFT_PAGE], *gradient = run->gradient_pages[j / EFT_PAGE];
            size_t slot = j % EFT_PAGE;
            backward_key(a, q, dout, lse, dot, (const float *)keys_of(a, page, kv_head) + slot,
                         (const float *)values_of(a, page, kv_head) + slot * dim,
                         (float *)(uintptr_t)keys_of(a, gradient, kv_head) + slot,
                         (float *)(uintptr_t)values_of(a, gradient, kv_head) + slot * dim, dq);
        }
    }
}

static void write_page(const eft_attention *a, size_t slot, size_t rows, const float *k, size_t ldk, const float *v,
                       size_t ldv, void *page) {
    size_t columns = a->kv_heads * a->head_dim;
    void *values = (char *)page + columns * EFT_PAGE * eft_float_width(a->kv_type);
    for (size_t r = 0; r < rows; r++)
        for (size_t c = 0; c < columns; c++) {
            size_t head = c / a->head_dim, d = c % a->head_dim;
            eft_store_number(page, a->kv_type, c * EFT_PAGE + slot + r, k[r * ldk + c]);
            eft_store_number(values, a->kv_type, (head * EFT_PAGE + slot + r) * a->head_dim + d, v[r * ldv + c]);
        }
}

static void read_page(const eft_attention *a, size_t slot, size_t rows, const void *page, float *k, size_t ldk,
                      float *v, size_t ldv) {
    size_t columns = a->kv_heads * a->head_dim;
    const void *values = (const char *)page + columns * EFT_PAGE * eft_float_width(a->kv_type);
    for (size_t r = 0; r < rows; r++)
        for (size_t c = 0; c < columns; c++) {
            size_t head = c / a->head_dim, d = c % a->head_dim;
            k[r * ldk + c] = eft_load_number(page, a->kv_type, c * EFT_PAGE + slot + r);
            v[r * ldv + c] = eft_load_number(values, a->kv_type, (head * EFT_PAGE + slot + r) * a->head_dim + d);
        }
}

static void write_codes(const eft_attention *a, size_t slot, size_t rows, const float *k, size_t ldk, const float *v,
                        size_t ldv, void *page) {
    float key[EFT_KV_MOST_DIM], value[EFT_KV_MOST_DIM];
    for (size_t h = 0; h < a->kv_heads; h++)
        for (size_t r = 0; r < rows; r++) {
            memcpy(key, k + r * ldk + h * a->head_dim, a->head_dim * sizeof *k);
            memcpy(value, v + r * ldv + h * a->head_dim, a->head_dim * sizeof *v);
            eft_kv_write_token(a, eft_kv_head_of(a, page, h), slot + r, key, value);
        }
}

static void read_codes(const eft_attention *a, size_t slot, size_t rows, void *page, float *k, size_t ldk, float *v,
                       size_t ldv) {
    float keys[EFT_KV_MOST_DIM * EFT_PAGE], values[EFT_KV_MOST_DIM * EFT_PAGE];
    for (size_t h = 0; h < a->kv_heads; h++) {
        eft_kv_dequantize(a, eft_kv_head_of(a, page, h), keys, values);
        for (size_t r = 0; r < rows; r++) {
            float *key = k + r * ldk + h * a->head_dim, *value = v + r * ldv + h * a->head_dim;
            for (size_t d = 0; d < a->head_dim; d++) key[d] = keys[d * EFT_PAGE + slot + r];
            memcpy(value, values + (slot + r) * a->head_dim, a->head_dim * sizeof *value);
            eft_kv_rotate(a->head_dim, key);
            eft_kv_rotate(a->head_dim, value);
        }
    }
}

static const eft_attention_kernels scalar = {forward, backward, write_page, read_page};

size_t eft_kv_page_bytes(const eft_attention *attention) {
    if (attention->key_bits != 0) return attention->kv_heads * eft_kv_head_bytes(attention);
    return 2 * attention->kv_heads * attention->head_dim * EFT_PAGE * eft_float_width(attention->kv_type);
}

typedef struct page_job {
    const eft_attention_kernels *kernels;
    const eft_attention *attention;
    size_t first_position, end;
    const float *k, *v;
    float *k_out, *v_out;
    size_t ldk, ldv;
    void *const *pages;
} page_job;

/// The rows of a task's page: first row, its slot, how many.
static size_t page_rows(const page_job *job, size_t index, size_t *page, size_t *slot, size_t *rows) {
    *page = job->first_position / EFT_PAGE + index;
    size_t first = eft_max(*page * EFT_PAGE, job->first_position);
    *slot = first % EFT_PAGE;
    *rows = eft_min((*page + 1) * EFT_PAGE, job->end) - first;
    return first - job->first_position;
}

static void write_task(void *argument, size_t index, size_t worker) {
    (void)worker;
    page_job *job = argument;
    size_t page, slot, rows, first = page_rows(job, index, &page, &slot, &rows);
    if (job->attention->key_bits != 0) {
        write_codes(job->attention, slot, rows, job->k + first * job->ldk, job->ldk, job->v + first * job->ldv, job->ldv,
                    job->pages[page]);
        return;
    }
    job->kernels->write_page(job->attention, slot, rows, job->k + first * job->ldk, job->ldk, job->v + first * job->ldv,
                             job->ldv, job->pages[page]);
}

static void read_task(void *argument, size_t index, size_t worker) {
    (void)worker;
    page_job *job = argument;
    size_t page, slot, rows, first = page_rows(job, index, &page, &slot, &rows);
    if (job->attention->key_bits != 0) {
        read_codes(job->attention, slot, rows, job->pages[page], job->k_out + first * job->ldk, job->ldk,
                   job->v_out + first * job->ldv, job->ldv);
        return;
    }
    job->kernels->read_page(job->attention, slot, rows, job->pages[page], job->k_out + first * job->ldk, job->ldk,
                            job->v_out + first * job->ldv, job->ldv);
}

static void run_page_job(eft_context *context, page_job *job, eft_body body) {
    if (job->end == job->first_position) return;
    size_t pages = eft_ceil_div(job->end, EFT_PAGE) - job->first_position / EFT_PAGE;
    size_t columns = 2 * job->attention->kv_heads * job->attention->head_dim;
    eft_run_tasks(context, pages, (job->end - job->first_position) * columns, body, job);
}

void eft_kv_write(eft_context *context, const eft_attention *attention, size_t rows, size_t first_position,
                  const float *k, size_t ldk, const float *v, size_t ldv, void *const *pages) {
    page_job job = {.kernels = EFT_KERNELS(attention, context, scalar),
                    .attention = attention,
                    .first_position = first_position,
                    .end = first_position + rows,
                    .k = k,
                    .v = v,
                    .ldk = ldk,
                    .ldv = ldv,
                    .pages = pages};
    run_page_job(context, &job, write_task);
}

void eft_kv_read(eft_context *context, const eft_attention *attention, size_t rows, size_t first_position,
                 void *const *pages, float *k, size_t ldk, float *v, size_t ldv) {
    page_job job = {.kernels = EFT_KERNELS(attention, context, scalar),
                    .attention = attention,
                    .first_position = first_position,
                    .end = first_position + rows,
                    .k_out = k,
                    .v_out = v,
                    .ldk = ldk,
                    .ldv = ldv,
                    .pages = pages};
    run_page_job(context, &job, read_task);
}

/// Runs of one parallel loop; more runs take several loops.
#define RUNS_A_LOOP 256

/// A task of the forward pass: `eft_attention_kernels.forward`.
typedef void (*attention_forward_function)(const eft_attention *attention, const eft_attention_run *run, size_t kv_head,
                                           size_t first, size_t count, const eft_attention_ahead *ahead, size_t ldq,
                                           size_t ldo);

typedef struct attention_job {
    const eft_attention_kernels *kernels;
    attention_forward_function forward;
    const eft_attention *attention;
    const eft_attention_run *runs;
    size_t run_count, ldq, ldo;
    size_t first_task[RUNS_A_LOOP + 1];  // of each run, and behind the last one
} attention_job;

/// The task after one of a run's last rows: the next head, or the first one of the next run.
static eft_attention_ahead next_task(const attention_job *job, const eft_attention_run *run, size_t kv_head) {
    eft_attention_ahead ahead = {.run = run, .kv_head = kv_head + 1};
    if (ahead.kv_head == job->attention->kv_heads) ahead = (eft_attention_ahead){.run = run + 1};
    if (ahead.run < job->runs + job->run_count)
        ahead.pages = eft_ceil_div(ahead.run->first_position + ahead.run->rows, EFT_PAGE);
    return ahead;
}

static void forward_task(void *argument, size_t index, size_t worker) {
    (void)worker;
    attention_job *job = argument;
    size_t low = 0, high = job->run_count;  // the run is in [low, high)
    while (high - low > 1) {
        size_t middle = (low + high) / 2;
        if (job->first_task[middle] <= index)
            low = middle;
        else
            high = middle;
    }
    const eft_attention_run *run = &job->runs[low];
    size_t vectors = run->rows * (job->attention->heads / job->attention->kv_heads);
    size_t chunks = eft_ceil_div(vectors, EFT_QUERY_CHUNK), task = index - job->first_task[low];
    // Late rows see more and take longer: they come first.
    size_t first = (chunks - 1 - task / job->attention->kv_heads) * EFT_QUERY_CHUNK;
    size_t kv_head = task % job->attention->kv_heads;
    eft_attention_ahead ahead = next_task(job, run, kv_head);
    job->forward(job->attention, run, kv_head, first, eft_min(EFT_QUERY_CHUNK, vectors - first), &ahead, job->ldq,
                 job->ldo);
}

/// Multiplications, roughly, over 8: what makes waking workers worth while.
static size_t attention_work(const eft_attention *a, const eft_attention_run *run) {
    size_t end = run->first_position + run->rows;
    return run->rows * a->heads * a->head_dim * (end - eft_first_seen(a, run->first_position)) / 8;
}

static void attend_by(eft_context *context, attention_forward_function forward, const eft_attention *attention,
                      const eft_attention_run *runs, size_t run_count, size_t ldq, size_t ldo) {
    size_t group = attention->heads / attention->kv_heads;
    attention_job job;
    job.forward = forward, job.attention = attention, job.ldq = ldq, job.ldo = ldo;
    for (size_t done = 0; done < run_count; done += job.run_count) {
        job.runs = runs + done, job.run_count = eft_min(RUNS_A_LOOP, run_count - done);
        size_t tasks = 0, work = 0;
        for (size_t i = 0; i < job.run_count; i++) {
            job.first_task[i] = tasks;
            tasks += attention->kv_heads * eft_ceil_div(job.runs[i].rows * group, EFT_QUERY_CHUNK);
            work += attention_work(attention, &job.runs[i]);
        }
        job.first_task[job.run_count] = tasks;
        eft_run_tasks(context, tasks, work, forward_task, &job);
    }
}

void eft_attention_forward(eft_context *context, const eft_attention *attention, const eft_attention_run *runs,
                           size_t run_count, size_t ldq, size_t ldo) {
    attend_by(context, EFT_KERNELS(attention, context, scalar)->forward, attention, runs, run_count, ldq, ldo);
}

void eft_attention_forward_rough(eft_context *context, const eft_attention *attention, const eft_attention_run *runs,
                                 size_t run_count, size_t ldq, size_t ldo) {
#if EFT_X86
    if (context->isa >= EFT_ISA_AVX512_BF16 && attention->key_bits == 0 && attention->kv_type == EFT_F32 &&
        attention->head_dim % 16 == 0 && attention->head_dim <= EFT_ROUGH_MOST_DIM) {
        attend_by(context, eft_attention_rough, attention, runs, run_count, ldq, ldo);
        return;
    }
#endif
    eft_attention_forward(context, attention, runs, run_count, ldq, ldo);
}

static void backward_task(void *argument, size_t index, size_t worker) {
    (void)worker;
    attention_job *job = argument;
    job->kernels->backward(job->attention, &job->runs[index / job->attention->kv_heads],
                           index % job->attention->kv_heads, job->ldq, job->ldo);
}

void eft_attention_backward(eft_context *context, const eft_attention *attention, const eft_attention_run *runs,
                            size_t run_count, size_t ldq, size_t ldo) {
    attention_job job;
    job.kernels = EFT_KERNELS(attention, context, scalar);
    job.attention = attention, job.runs = runs, job.run_count = run_count, job.ldq = ldq, job.ldo = ldo;
    size_t work = 0;
    for (size_t i = 0; i < run_count; i++) work += attention_work(attention, &runs[i]);
    eft_run_tasks(context, run_count * attention->kv_heads, work, backward_task, &job);
}

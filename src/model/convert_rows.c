/* convert_rows.c: the numbers of one tensor, from the pieces it is made of to the format it is written in. */
#include <string.h>

#include "core/file.h"
#include "core/thread.h"
#include "model/convert.h"
#include "tensor/quant.h"
#include "tensor/scalar_math.h"

enum { CONVERT_CHUNK = 1 << 21 /* numbers at once */, CONVERT_BLOCK = 256 /* the longest block */ };

/* Row i of a piece, as a row of its data. */
static uint64_t convert_row(const jt_convert_piece *p, uint64_t i) {
    if (!p->head) return i;
    uint64_t head = (uint64_t)p->head, half = (uint64_t)p->rot / 2, k = i % head;
    if (k >= (uint64_t)p->rot) return i;
    return i - k + (p->interleave ? k / 2 + k % 2 * half : k % half * 2 + k / half);
}

static void convert_turn(const jt_convert_piece *p, float *x, uint64_t n) {
    for (uint64_t i = 0; i < n; i++) switch (p->turn) {
        case JT_TURN_NEG_EXP: x[i] = (float)-jt_exp((double)x[i]); break;
        case JT_TURN_LOG_NEG: x[i] = x[i] < 0 ? (float)jt_log(-(double)x[i]) : -87.0f; break;
        case JT_TURN_ADD: x[i] += p->by; break;
        case JT_TURN_NONE: return;
        }
}

/* Row i of Hugging Face's MXFP4, element 2 j of a block low in byte j, as GGUF's: element j low, j + 16 high. */
static void convert_mx(const jt_convert_piece *p, uint64_t i, uint8_t *out) {
    uint64_t blocks = p->cols / 32, row = (p->first + i * p->step) * blocks;
    for (uint64_t k = 0; k < blocks; k++, out += 17) {
        const uint8_t *from = p->data + (row + k) * 16;
        out[0] = p->scale[row + k];
        for (int j = 0; j < 16; j++) {
            int low = from[j / 2] >> 4 * (j % 2) & 15, high = from[8 + j / 2] >> 4 * (j % 2) & 15;
            out[1 + j] = (uint8_t)(low | high << 4);
        }
    }
}

/* A row of the data that is whole in it. */
static const uint8_t *convert_at(const jt_convert_piece *p, uint64_t i) {
    return p->data + (p->first + convert_row(p, i) * p->step) * p->row_bytes;
}

/* Adds scale * B A to row i, outputs by inputs or, across, inputs by outputs. */
static void convert_lora(const jt_convert_piece *p, uint64_t i, float *out) {
    size_t rank = (size_t)p->lora_rank, cols = (size_t)p->cols;
    for (size_t c = 0; c < cols; c++) {
        double sum = 0;
        for (size_t r = 0; r < rank; r++)
            sum += p->lora_across ? (double)p->lora_b[c * rank + r] * (double)p->lora_a[r * (size_t)p->rows + i]
                                  : (double)p->lora_b[i * rank + r] * (double)p->lora_a[r * cols + c];
        out[p->to + c * p->to_step] += (float)(p->lora_scale * sum);
    }
}

/* Row i of a piece as float32, in its places of out; `room` is for a row of a format. */
static void convert_expand(const jt_convert_piece *p, uint64_t i, float *out, uint8_t *room) {
    const uint8_t *data = p->data;
    if (p->scale) {
        convert_mx(p, i, room);
        p->format->expand(room, out, (size_t)p->cols);
    } else if (p->fp8) {
        jt_fp8_row(p->fp8, p->first + convert_row(p, i) * p->step, out);
    } else if (!p->across) {
        p->format->expand(convert_at(p, i), out + p->to, (size_t)p->cols);
    } else {
        float block[CONVERT_BLOCK];
        if (p->plane_rows) data += i / p->plane_rows * p->plane_bytes, i %= p->plane_rows;
        uint64_t at = p->first + convert_row(p, i) * p->step, size = p->format->block;
        for (uint64_t c = 0; c < p->cols; c++) {
            p->format->expand(data + (c * p->line / size + at / size) * p->format->bytes, block, (size_t)size);
            out[p->to + c * p->to_step] = block[at % size];
        }
    }
    if (p->lora_a) convert_lora(p, convert_row(p, i), out);
    if (!p->to_step || p->to_step == 1) convert_turn(p, out + p->to, p->cols);
}

struct convert_chunk {
    const jt_kernels *kernels;
    const jt_convert_tensor *t;
    const jt_convert_piece *piece;
    uint64_t first, base, rows; /* rows of the piece; the number in the tensor of its first */
    uint64_t row_bytes;
    uint8_t *out;
    float *row;    /* [threads][cols] */
    uint8_t *room; /* [threads], for a row of MXFP4 */
    jt_error *err; /* [threads]; code JT_OK: nothing failed */
};

/* Same bytes in and out. */
static bool convert_plain(const jt_convert_tensor *t, const jt_convert_piece *p) {
    return p->format == t->format && !p->fp8 && p->turn == JT_TURN_NONE && !p->across && !t->beside && !p->lora_a;
}

static void convert_share(void *arg, int thread, int threads) {
    const struct convert_chunk *c = arg;
    uint64_t from = c->rows * (uint64_t)thread / (uint64_t)threads, to = c->rows * ((uint64_t)thread + 1) / (uint64_t)threads;
    float *x = c->row + (size_t)thread * (size_t)c->t->cols;
    for (uint64_t i = from; i < to; i++) {
        uint8_t *out = c->out + i * c->row_bytes;
        if (convert_plain(c->t, c->piece)) {
            if (c->piece->scale)
                convert_mx(c->piece, c->first + i, out);
            else
                memcpy(out, convert_at(c->piece, c->first + i), (size_t)c->row_bytes);
            continue;
        }
        const float *w = c->t->weight;
        if (w && c->t->expert_rows) w += (c->base + c->first + i) / c->t->expert_rows * c->t->cols;
        uint8_t *room = c->room + (size_t)thread * (size_t)c->t->cols;
        for (size_t k = 0; k < (c->t->beside ? c->t->n_piece : 1); k++) convert_expand(&c->piece[k], c->first + i, x, room);
        if (jt_quantise_row(c->kernels, c->t->format, x, (size_t)c->t->cols, w, out, &c->err[thread])) return;
    }
}

jt_status jt_convert_stream(const jt_convert_tensor *t, jt_pool *pool, jt_convert_sink *sink, void *to, jt_error *err) {
    uint64_t row_bytes, most = CONVERT_CHUNK / (t->cols ? t->cols : 1), base = 0;
    size_t bytes;
    int threads = jt_pool_threads(pool);
    if (!jt_format_bytes(t->format, t->cols, &row_bytes) || t->cols > SIZE_MAX / sizeof(float))
        return jt_error_set(err, JT_FORMAT, "tensor %.200s: rows of %llu are no whole blocks of %s", t->name, (unsigned long long)t->cols,
                            t->format->name);
    if (!most) most = 1;
    if (most > t->rows) most = t->rows;
    if (!jt_mul((size_t)most, (size_t)row_bytes, &bytes)) return jt_nomem(err, t->name, (size_t)most, (size_t)row_bytes);
    struct convert_chunk c = {.kernels = jt_kernels_pick(NULL, NULL), .t = t, .row_bytes = row_bytes};
    c.out = jt_alloc(bytes, 1);
    c.row = jt_alloc((size_t)threads * (size_t)t->cols, sizeof *c.row);
    c.room = jt_alloc((size_t)threads * (size_t)t->cols, 1);
    c.err = jt_alloc((size_t)threads, sizeof *c.err);
    jt_status s = c.out && c.row && c.room && c.err ? JT_OK : jt_nomem(err, t->name, bytes, 1);
    for (size_t k = 0; !s && k < (t->beside ? 1 : t->n_piece); k++) {
        c.piece = &t->piece[k], c.base = base;
        for (c.first = 0; !s && c.first < c.piece->rows; c.first += c.rows) {
            c.rows = c.piece->rows - c.first < most ? c.piece->rows - c.first : most;
            if (c.rows * t->cols > 4096)
                jt_pool_run(pool, convert_share, &c);
            else
                convert_share(&c, 0, 1);
            for (int i = 0; !s && i < threads; i++)
                if (c.err[i].code) s = jt_error_set(err, c.err[i].code, "tensor %.200s: %s", t->name, c.err[i].message);
            if (!s) s = sink(to, c.out, (size_t)(c.rows * row_bytes), err);
        }
        base += c.piece->rows;
    }
    for (size_t k = 0; k < t->n_piece; k++) jt_map_release(t->piece[k].data, t->piece[k].bytes);
    jt_free(c.out), jt_free(c.row), jt_free(c.room), jt_free(c.err);
    return s;
}

/* parallel.c: one text encoded by several threads. It is parted where no piece, no added token and no composed character
 * lies over the border, so that each part by itself gives the tokens it has in the whole. */
#include <string.h>

#include "core/thread.h"
#include "text/added.h"
#include "text/vocab.h"

enum { PARALLEL_LEAST = 1 << 16, PARALLEL_PARTS = 4 }; /* bytes of a part; parts a thread */

typedef struct parallel_part {
    size_t begin, end;
    jt_tokens out;
    jt_status status;
    jt_error error;
} parallel_part;

typedef struct parallel_job {
    const jt_tokenizer *t;
    const char *s;
    int flags;
    parallel_part *part;
    size_t parts, cap;
    jt_turns turns;
} parallel_job;

static jt_status parallel_add(parallel_job *j, size_t begin, size_t end, jt_error *err) {
    jt_status st = JT_OK;
    if (j->parts == j->cap) st = jt_grow((void **)&j->part, &j->cap, j->parts + 1, sizeof *j->part, err);
    if (!st) j->part[j->parts++] = (parallel_part){.begin = begin, .end = end};
    return st;
}

/* Parts of about `size` bytes. */
static jt_status parallel_cut(parallel_job *j, size_t n, size_t size, jt_error *err) {
    const jt_tokenizer *t = j->t;
    const jt_added *a = j->flags & JT_PARSE_SPECIAL ? &t->all : &t->user;
    size_t from = 0;
    jt_status st = JT_OK;
    for (size_t at = 0; !st && at < n;) {
        jt_added_hit h = jt_added_next(a, t->names, j->s, n, at, at);
        while (!st && from + size < h.begin) { /* within text that holds no added token */
            size_t want = from + size > at ? from + size : at;
            size_t cut = at + jt_pretok_border(t->pretok, j->s + at, h.begin - at, want - at);
            if (cut >= h.begin) break;
            st = parallel_add(j, from, cut, err);
            from = cut;
        }
        if (!st && h.begin < n && h.begin > from + size) {
            st = parallel_add(j, from, h.begin, err);
            from = h.begin;
        }
        at = h.end;
    }
    return st ? st : parallel_add(j, from, n, err);
}

static void parallel_run(void *arg, int thread, int threads) {
    (void)thread, (void)threads;
    parallel_job *j = arg;
    jt_bpe_work w = {0};
    for (int i; (i = jt_turns_take(&j->turns, (int)j->parts)) >= 0;) {
        parallel_part *p = &j->part[i];
        p->status = jt_encode_part(j->t, j->s + p->begin, p->end - p->begin, p->begin, j->flags, &w, &p->out, &p->error);
    }
    jt_bpe_work_free(&w);
}

static jt_status parallel_join(parallel_job *j, jt_tokens *out, jt_error *err) {
    size_t n = out->n;
    for (size_t i = 0; i < j->parts; i++) {
        if (j->part[i].status) {
            if (err) *err = j->part[i].error;
            return j->part[i].status;
        }
        n += j->part[i].out.n;
    }
    jt_status st = n > out->cap ? jt_grow((void **)&out->t, &out->cap, n, sizeof *out->t, err) : JT_OK;
    for (size_t i = 0; !st && i < j->parts; i++) {
        const jt_tokens *p = &j->part[i].out;
        if (p->n) memcpy(out->t + out->n, p->t, p->n * sizeof *p->t);
        out->n += p->n;
    }
    return st;
}

jt_status jt_encode_threads(const jt_tokenizer *t, const char *text, size_t n, int flags, int threads, jt_tokens *out, jt_error *err) {
    if (threads < 0) return jt_error_set(err, JT_INVALID, "%d threads: give 1 or more, or 0 for one per processor", threads);
    if (!threads) threads = jt_processors();
    const jt_added *a = flags & JT_PARSE_SPECIAL ? &t->all : &t->user;
    if (threads == 1 || n < 2 * PARALLEL_LEAST || n > (size_t)1 << 31 || t->pipe || t->piece || a->flags || !jt_pretok_whole(t->pretok))
        return jt_encode(t, text, n, flags, out, err);
    parallel_job j = {.t = t, .s = text, .flags = flags};
    jt_pool *pool = NULL;
    size_t before = out->n, size = n / ((size_t)threads * PARALLEL_PARTS);
    jt_status st = jt_pool_new(threads, &pool, err);
    if (!st) st = parallel_cut(&j, n, size > PARALLEL_LEAST ? size : PARALLEL_LEAST, err);
    if (!st) {
        jt_turns_reset(&j.turns);
        jt_pool_run(pool, parallel_run, &j);
    }
    if (!st && flags & JT_ADD_SPECIAL) st = jt_encode_around(t, false, 0, out, err);
    if (!st) st = parallel_join(&j, out, err);
    if (!st && flags & JT_ADD_SPECIAL) st = jt_encode_around(t, true, n, out, err);
    if (st) out->n = before;
    for (size_t i = 0; i < j.parts; i++) jt_tokens_free(&j.part[i].out);
    jt_free(j.part);
    jt_pool_free(pool);
    return st;
}

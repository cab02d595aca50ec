/* train_count.c: counting the pieces of texts on several threads.
 *
 * A text is taken in blocks; a block has the sequences that begin in it. Threads take blocks in turn, each with a table of
 * its own; sums of counts do not depend on who counted, and what training makes of them goes by the order of bytes. */
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>

#include "core/file.h"
#include "core/json.h"
#include "text/train.h"
#include "text/words.h"

enum { COUNT_BLOCK = 1 << 20, COUNT_FIRST = 1024 };

void jt_counted_free(jt_counted *c) {
    jt_free(c->p);
    jt_arena_free(&c->strings);
    *c = (jt_counted){0};
}

static jt_counted_piece *counted_slot(jt_counted_piece *p, size_t slots, const char *s, size_t n, uint64_t key) {
    for (uint64_t i = jt_word_home(key, n);; i++) {
        jt_counted_piece *e = &p[i & (slots - 1)];
        if (!e->s || (e->key == key && e->n == n && (n <= 8 || !memcmp(e->s, s, n)))) return e;
    }
}

static jt_status counted_grow(jt_counted *c, jt_error *err) {
    size_t slots = c->slots ? c->slots * 2 : COUNT_FIRST;
    jt_counted_piece *p = jt_alloc(slots, sizeof *p);
    if (!p) return jt_nomem(err, "the pieces of a text", slots, sizeof *p);
    for (size_t i = 0; i < c->slots; i++)
        if (c->p[i].s) *counted_slot(p, slots, c->p[i].s, c->p[i].n, c->p[i].key) = c->p[i];
    jt_free(c->p);
    c->p = p, c->slots = slots;
    return JT_OK;
}

static jt_status counted_put(jt_counted *c, const char *s, size_t n, uint64_t key, uint64_t count, jt_error *err) {
    if (c->n * 2 >= c->slots) {
        jt_status st = counted_grow(c, err);
        if (st) return st;
    }
    jt_counted_piece *e = counted_slot(c->p, c->slots, s, n, key);
    if (!e->s) {
        char *copy = jt_arena_copy(&c->strings, s, n);
        if (!copy) return jt_nomem(err, "the pieces of a text", n, 1);
        *e = (jt_counted_piece){.key = key, .s = copy, .n = (uint32_t)n};
        c->n++;
    }
    e->count += count;
    return JT_OK;
}

jt_status jt_counted_add(jt_counted *c, const char *s, size_t n, uint64_t count, jt_error *err) {
    if (n > INT32_MAX) return jt_error_set(err, JT_LIMIT, "a piece of %zu bytes: at most 2^31 are counted; cut the text otherwise", n);
    return counted_put(c, s, n, jt_word_key(s, n), count, err);
}

static int counted_order(const void *a, const void *b) {
    const jt_counted_piece *x = a, *y = b;
    int d = memcmp(x->s, y->s, x->n < y->n ? x->n : y->n);
    return d ? d : (x->n > y->n) - (x->n < y->n);
}

void jt_counted_sort(jt_counted *c) {
    size_t k = 0;
    for (size_t i = 0; i < c->slots; i++)
        if (c->p[i].s) c->p[k++] = c->p[i];
    c->slots = 0;
    if (k) qsort(c->p, k, sizeof *c->p, counted_order);
}

/* ---- one thread ---- */

typedef struct count_worker {
    jt_counted table;
    jt_pieces pieces;
    jt_str spelt, clean;
    jt_flow flow; /* text on its way through steps */
    jt_status st;
    jt_error err;
    int failed_at; /* block */
} count_worker;

static jt_status count_metaspace(count_worker *w, const char *s, size_t n, jt_error *err) {
    static const char space[] = "\xe2\x96\x81", bad[] = "\xef\xbf\xbd";
    jt_status st = JT_OK;
    jt_str_clear(&w->spelt);
    jt_str_puts(&w->spelt, space);
    for (size_t i = 0; i < n && !st;) {
        int k = jt_utf8_next(s + i, n - i, NULL);
        bool cut = s[i] == ' ' || (k == 3 && !memcmp(s + i, space, 3));
        if (cut && i) {
            if ((st = jt_str_check(&w->spelt, err))) break;
            st = jt_counted_add(&w->table, w->spelt.s, w->spelt.n, 1, err);
            jt_str_clear(&w->spelt);
            jt_str_puts(&w->spelt, space);
        }
        if (!cut && k && s[i]) jt_str_add(&w->spelt, s + i, (size_t)k);
        if (!k) jt_str_puts(&w->spelt, bad);
        i += k ? (size_t)k : 1;
    }
    if (!st) st = jt_str_check(&w->spelt, err);
    return st ? st : jt_counted_add(&w->table, w->spelt.s, w->spelt.n, 1, err);
}

static jt_status count_raw(count_worker *w, const jt_pretok *pretok, const char *s, size_t n, jt_error *err) {
    jt_status st = JT_OK;
    jt_pretok_fn *fn = jt_pretok_whole(pretok);
    if (fn) {
        jt_scan x = {s, n, false};
        for (size_t at = 0, end; !st && at < n; at = end) {
            end = fn(&x, at);
            st = jt_counted_add(&w->table, s + at, end - at, 1, err);
        }
        return st;
    }
    if ((st = jt_pretok_cut(pretok, s, n, &w->pieces, err))) return st;
    for (size_t i = 0; i < w->pieces.n && !st; i++) {
        jt_piece p = w->pieces.p[i];
        st = jt_counted_add(&w->table, s + p.begin, p.end - p.begin, 1, err);
    }
    return st;
}

/* Text as vocabularies of characters see it: UTF-8 without NUL. */
static jt_status count_clean(count_worker *w, const char *s, size_t n, jt_error *err) {
    jt_str_clear(&w->clean);
    for (size_t i = 0; i < n;) {
        int k = jt_utf8_next(s + i, n - i, NULL);
        if (k && s[i]) jt_str_add(&w->clean, s + i, (size_t)k);
        if (!k) jt_str_puts(&w->clean, "\xef\xbf\xbd");
        i += k ? (size_t)k : 1;
    }
    return jt_str_check(&w->clean, err);
}

static jt_status count_steps(count_worker *w, const jt_train_pipe *p, jt_error *err) {
    jt_flow *f = &w->flow;
    f->n = 0;
    jt_status st = jt_flow_piece(f, 0, f->text.n, err);
    for (size_t i = 0; i < p->n_cut && !st; i++) st = jt_stage_cut(&p->cut[i], f, err);
    for (size_t i = 0; i < f->n && !st; i++)
        st = jt_counted_add(&w->table, f->text.s + f->piece[i].begin, f->piece[i].end - f->piece[i].begin, 1, err);
    return st;
}

static jt_status count_sequence(count_worker *w, const jt_train_pipe *p, const char *s, size_t n, jt_error *err) {
    jt_status st = JT_OK;
    if (n && (p->n_normal || p->n_cut)) {
        if (!p->bytes) {
            st = count_clean(w, s, n, err);
            s = jt_str_c(&w->clean), n = w->clean.n;
        }
        if (!st && n > UINT32_MAX) st = jt_error_set(err, JT_LIMIT, "a line or record of %zu bytes: at most 2^32 are normalised", n);
        if (!st) st = jt_flow_begin(&w->flow, s, n, 0, err);
        for (size_t i = 0; i < p->n_normal && !st; i++) st = jt_stage_normal(&p->normal[i], &w->flow, err);
        if (st || p->n_cut) return st ? st : count_steps(w, p, err);
        s = jt_str_c(&w->flow.text), n = w->flow.text.n;
    }
    if (!n) return st;
    return p->pretok ? count_raw(w, p->pretok, s, n, err) : count_metaspace(w, s, n, err);
}

static jt_status count_record(count_worker *w, const jt_count_how *how, const char *s, size_t n, jt_error *err) {
    size_t k = 0, len;
    while (k < n && strchr(" \t\r\n", s[k]) && s[k]) k++;
    if (k == n) return JT_OK;
    jt_json *root;
    jt_status st = jt_json_parse(s, n, &root, err);
    if (st) return st;
    const char *text = jt_json_string(jt_json_member(root, how->field), &len);
    if (text)
        st = count_sequence(w, how->pipe, text, len, err);
    else
        st = jt_error_set(err, JT_FORMAT, "the record has no text \"%s\"", how->field);
    jt_json_free(root);
    return st;
}

/* ---- all threads ---- */

typedef struct count_job {
    const jt_count_text *text;
    const jt_count_how *how;
    count_worker *worker;
    jt_turns turns;
    int blocks;
    atomic_bool stop;
} count_job;

/* Where the first sequence begins at or after `at`. */
static size_t count_begin(jt_view t, size_t at) {
    if (!at || at >= t.n) return at < t.n ? at : t.n;
    const char *p = memchr(t.s + at - 1, '\n', t.n - at + 1);
    return p ? (size_t)(p - t.s) + 1 : t.n;
}

static jt_status count_block(const count_job *j, count_worker *w, size_t block, jt_error *err) {
    size_t k = 0, blocks;
    while (block >= (blocks = (j->text[k].text.n + COUNT_BLOCK - 1) / COUNT_BLOCK)) block -= blocks, k++;
    jt_view t = j->text[k].text;
    size_t at = count_begin(t, block * COUNT_BLOCK), end = count_begin(t, (block + 1) * COUNT_BLOCK), from = at;
    jt_status st = JT_OK;
    while (at < end && !st) {
        const char *p = memchr(t.s + at, '\n', t.n - at);
        size_t next = p ? (size_t)(p - t.s) + 1 : t.n;
        st = j->how->field ? count_record(w, j->how, t.s + at, next - at, err) : count_sequence(w, j->how->pipe, t.s + at, next - at, err);
        if (st) return jt_error_in(err, st, "%s, byte %zu", j->text[k].name, at);
        at = next;
    }
    if (j->text[k].mapped) jt_map_release(t.s + from, at - from);
    return st;
}

static void count_run(void *arg, int thread, int threads) {
    count_job *j = arg;
    count_worker *w = &j->worker[thread];
    (void)threads;
    for (int block; !w->st && !atomic_load(&j->stop) && (block = jt_turns_take(&j->turns, j->blocks)) >= 0;) {
        w->st = count_block(j, w, (size_t)block, &w->err);
        w->failed_at = block;
        if (!w->st && !thread && j->how->progress && j->how->progress(j->how->self, (double)block / j->blocks))
            w->st = jt_error_set(&w->err, JT_CANCELLED, "cancelled");
        if (w->st) atomic_store(&j->stop, true);
    }
}

/* Of several failures the one nearest to the beginning is told, so that it is always the same. */
static jt_status count_gather(count_job *j, int threads, jt_counted *out, jt_error *err) {
    const count_worker *first = NULL;
    for (int i = 0; i < threads; i++)
        if (j->worker[i].st && (!first || j->worker[i].failed_at < first->failed_at)) first = &j->worker[i];
    if (first) {
        if (err) *err = first->err;
        return first->st;
    }
    jt_status st = JT_OK;
    for (int i = 0; i < threads && !st; i++) {
        jt_counted *c = &j->worker[i].table;
        if (!out->n && !out->slots) {
            *out = *c;
            *c = (jt_counted){0};
            continue;
        }
        for (size_t k = 0; k < c->slots && !st; k++)
            if (c->p[k].s) st = counted_put(out, c->p[k].s, c->p[k].n, c->p[k].key, c->p[k].count, err);
        jt_counted_free(c);
    }
    return st;
}

jt_status jt_count_texts(const jt_count_text *text, size_t n, const jt_count_how *how, jt_pool *pool, jt_counted *out, jt_error *err) {
    int threads = jt_pool_threads(pool);
    size_t blocks = 0;
    for (size_t i = 0; i < n; i++) blocks += (text[i].text.n + COUNT_BLOCK - 1) / COUNT_BLOCK;
    if (blocks > INT32_MAX) return jt_error_set(err, JT_LIMIT, "more text than 2^51 bytes");
    count_job j = {.text = text, .how = how, .blocks = (int)blocks};
    j.worker = jt_alloc((size_t)threads, sizeof *j.worker);
    if (!j.worker) return jt_nomem(err, "the threads that count", (size_t)threads, sizeof *j.worker);
    jt_turns_reset(&j.turns);
    jt_pool_run(pool, count_run, &j);
    jt_status st = count_gather(&j, threads, out, err);
    for (int i = 0; i < threads; i++) {
        jt_counted_free(&j.worker[i].table);
        jt_pieces_free(&j.worker[i].pieces);
        jt_str_free(&j.worker[i].spelt), jt_str_free(&j.worker[i].clean);
        jt_flow_free(&j.worker[i].flow);
    }
    jt_free(j.worker);
    return st;
}

#include "cli/embed_texts.h"

#include <string.h>

#include "core/file.h"
#include "core/mem.h"

static jt_status texts_add(jt_texts *t, const char *s, size_t n, jt_error *err) {
    jt_status st = jt_grow((void **)&t->line, &t->cap, t->n + 1, sizeof *t->line, err);
    if (!st) t->line[t->n++] = (jt_text_line){s, n};
    return st;
}

jt_status jt_texts_read(const jt_args *a, int skip, jt_texts *out, jt_error *err) {
    const char *file = jt_arg_text(a, "file");
    jt_status s = JT_OK;
    *out = (jt_texts){0};
    if (file && jt_arg_pos(a, skip)) return jt_error_set(err, JT_INVALID, "texts are given as arguments and by --file; choose one");
    for (int i = skip; !s && jt_arg_pos(a, i); i++) s = texts_add(out, jt_arg_pos(a, i), strlen(jt_arg_pos(a, i)), err);
    if (s || out->n) return s;
    s = jt_file_read(file ? file : "-", &out->file, err);
    for (size_t at = 0; !s && at < out->file.n;) {
        const char *line = out->file.s + at, *end = memchr(line, '\n', out->file.n - at);
        size_t n = end ? (size_t)(end - line) : out->file.n - at;
        at += n + 1;
        s = texts_add(out, line, n && line[n - 1] == '\r' ? n - 1 : n, err);
    }
    if (!s && !out->n) s = jt_error_set(err, JT_INVALID, "there are no texts");
    return s;
}

void jt_texts_free(jt_texts *t) {
    jt_str_free(&t->file);
    jt_free(t->line);
    *t = (jt_texts){0};
}

void jt_text_rows_free(jt_text_rows *r) {
    jt_tokens_free(&r->tokens);
    jt_free(r->ids), jt_free(r->types), jt_free(r->row), jt_free(r->end);
    *r = (jt_text_rows){0};
}

/* Makes row [from, n) of the tokens at most `most` long: what comes last before the end token goes first. */
static jt_status rows_cut(jt_tokens *t, size_t from, size_t most, const jt_text_way *w, size_t number, jt_error *err) {
    size_t n = t->n - from;
    const jt_tokenizer *k = jt_model_tokenizer(w->model);
    if (n <= most) return JT_OK;
    if (!w->truncate)
        return jt_error_set(err, JT_LIMIT,
                            "text %zu has %zu tokens, and %zu are read at most; shorten it, or have its end cut off with --truncate",
                            number, n, most);
    bool last = t->t[t->n - 1].id == jt_tokenizer_eos(k) && t->t[t->n - 1].begin == t->t[t->n - 1].end;
    if (last) t->t[from + most - 1] = t->t[t->n - 1];
    t->n = from + most;
    return JT_OK;
}

static jt_status rows_one(const jt_text_way *w, jt_text_line text, size_t number, size_t most, jt_text_rows *r, size_t *second,
                          jt_error *err) {
    const jt_tokenizer *k = jt_model_tokenizer(w->model);
    const char *tab = w->tabs ? memchr(text.s, '\t', text.n) : NULL;
    size_t from = r->tokens.n;
    jt_text_line a = w->query, b = text;
    if (tab) a = (jt_text_line){text.s, (size_t)(tab - text.s)}, b = (jt_text_line){tab + 1, text.n - a.n - 1};
    *second = SIZE_MAX;
    jt_status s = a.s ? jt_encode_pair(k, a.s, a.n, b.s, b.n, JT_ADD_SPECIAL, &r->tokens, second, err)
                      : jt_encode(k, b.s, b.n, JT_ADD_SPECIAL, &r->tokens, err);
    if (!s) s = rows_cut(&r->tokens, from, most, w, number, err);
    if (!s && r->tokens.n == from) s = jt_error_set(err, JT_INVALID, "text %zu has no tokens", number);
    return s;
}

jt_status jt_text_rows_make(const jt_text_way *w, const jt_text_line *text, size_t n, size_t first, jt_text_rows *r, jt_error *err) {
    jt_model_info info;
    jt_model_get_info(w->model, &info);
    size_t most = info.encoder ? (size_t)info.context_trained : (size_t)1 << 24, at = 0;
    if (w->most > 0 && (size_t)w->most < most) most = (size_t)w->most;
    r->tokens.n = 0, r->n = n;
    jt_status s = jt_grow((void **)&r->row, &r->cap_row, n, sizeof *r->row, err);
    if (!s) s = jt_grow((void **)&r->end, &r->cap_end, n, sizeof *r->end, err);
    for (size_t i = 0; i < n && !s; i++) {
        size_t second, from = r->tokens.n;
        s = rows_one(w, text[i], first + i, most, r, &second, err);
        if (!s) s = jt_grow((void **)&r->ids, &r->cap_ids, r->tokens.n, sizeof *r->ids, err);
        if (!s) s = jt_grow((void **)&r->types, &r->cap_types, r->tokens.n, sizeof *r->types, err);
        for (; !s && at < r->tokens.n; at++) r->ids[at] = r->tokens.t[at].id, r->types[at] = at - from >= second;
        r->end[i] = r->tokens.n;
    }
    for (size_t i = 0, from = 0; i < n && !s; from = r->end[i++])
        r->row[i] = (jt_embed_text){r->ids + from, info.types > 1 ? r->types + from : NULL, (int)(r->end[i] - from)};
    return s;
}

void jt_text_float(jt_str *o, float x) {
    char t[40];
    double back;
    for (int digits = 6; digits <= 9; digits++) {
        int n = snprintf(t, sizeof t, "%.*g", digits, (double)x);
        for (int i = 0; i < n; i++)
            if (t[i] == ',') t[i] = '.';
        if (jt_read_double(t, (size_t)n, &back) && (float)back == x) break;
    }
    jt_str_puts(o, t);
}

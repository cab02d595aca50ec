#include "cli/eval_ids.h"

#include <stdbool.h>

#include "core/file.h"
#include "core/mem.h"
#include "core/str.h"
#include "model/safetensors.h"

static jt_status bad_id(int64_t id, int vocab, size_t row, size_t at, jt_error *err) {
    return jt_error_set(err, JT_INVALID, "id %lld at place %zu of row %zu is outside the model's vocabulary of %d", (long long)id, at + 1,
                        row + 1, vocab);
}

static jt_status from_tensor(const jt_st_tensor *t, int vocab, jt_eval_ids *out, jt_error *err) {
    uint64_t rows = t->n_dims == 2 ? t->dim[0] : 1, length = t->n_dims ? t->dim[t->n_dims - 1] : 0;
    if (t->n_dims < 1 || t->n_dims > 2 || (t->dtype->kind != 'i' && t->dtype->kind != 'u'))
        return jt_error_set(err, JT_FORMAT, "tensor %s has %d dimensions of %s; ids are integers of shape [N, T]", t->name, t->n_dims,
                            t->dtype->name);
    if (t->elements == 0 || length > 1 << 24)
        return jt_error_set(err, JT_FORMAT, "tensor %s has rows of %llu ids; 1 to %d can be evaluated", t->name, (unsigned long long)length,
                            t->elements ? 1 << 24 : 0);
    *out = (jt_eval_ids){.ids = jt_alloc((size_t)t->elements, sizeof *out->ids), .rows = (size_t)rows, .length = (int)length};
    if (!out->ids) return jt_nomem(err, "the ids", (size_t)t->elements, sizeof *out->ids);
    for (uint64_t i = 0; i < t->elements; i++) {
        int64_t id;
        jt_status st = jt_st_read_i64(t, i, 1, &id, err);
        if (st) return st;
        if (id < 0 || id >= vocab) return bad_id(id, vocab, (size_t)(i / length), (size_t)(i % length), err);
        out->ids[i] = (int32_t)id;
    }
    return JT_OK;
}

static jt_status from_safetensors(const char *path, const char *tensor, int vocab, jt_eval_ids *out, jt_error *err) {
    jt_safetensors *f;
    jt_status st = jt_safetensors_open(path, &f, err);
    if (st) return st;
    const jt_st_tensor *t = jt_safetensors_tensor_named(f, tensor);
    if (t)
        st = from_tensor(t, vocab, out, err);
    else
        st = jt_error_set(err, JT_NOTFOUND, "no tensor %s; the file has %zu tensors, the first is %s; choose one with --tensor", tensor,
                          jt_safetensors_tensors(f), jt_safetensors_tensors(f) ? jt_safetensors_tensor_at(f, 0)->name : "(none)");
    jt_safetensors_free(f);
    return st;
}

static bool blank(char c) { return c == ' ' || c == '\t' || c == ',' || c == '\r'; }

/* One line s[0..n); *count gets the ids appended. */
static jt_status read_line(const char *s, size_t n, size_t line, int vocab, jt_eval_ids *out, size_t *used, size_t *cap, jt_error *err) {
    size_t count = 0;
    for (size_t i = 0; i < n;) {
        size_t end = i;
        while (end < n && !blank(s[end])) end++;
        if (end > i) {
            int64_t id;
            if (!jt_read_i64(s + i, end - i, &id))
                return jt_error_set(err, JT_FORMAT, "line %zu: '%.*s' is no token id", line, (int)(end - i > 40 ? 40 : end - i), s + i);
            if (id < 0 || id >= vocab) return bad_id(id, vocab, out->rows, count, err);
            void *grown = out->ids;
            jt_status st = jt_grow(&grown, cap, *used + 1, sizeof *out->ids, err);
            if (st) return st;
            out->ids = grown;
            out->ids[(*used)++] = (int32_t)id;
            count++;
        }
        i = end + 1;
    }
    if (count == 0) return JT_OK;
    if (count > 1 << 24) return jt_error_set(err, JT_LIMIT, "line %zu has %zu ids, more than %d", line, count, 1 << 24);
    if (out->rows && count != (size_t)out->length)
        return jt_error_set(err, JT_INVALID, "line %zu has %zu ids where lines before it have %d; all lines must be equally long", line,
                            count, out->length);
    out->length = (int)count;
    out->rows++;
    return JT_OK;
}

static jt_status from_text(const jt_str *text, int vocab, jt_eval_ids *out, jt_error *err) {
    size_t used = 0, cap = 0, line = 0;
    for (size_t at = 0; at < text->n;) {
        const char *s = text->s + at, *end = memchr(s, '\n', text->n - at);
        size_t n = end ? (size_t)(end - s) : text->n - at;
        jt_status st = read_line(s, n, ++line, vocab, out, &used, &cap, err);
        if (st) return st;
        at += n + 1;
    }
    return out->rows ? JT_OK : jt_error_set(err, JT_FORMAT, "no ids; write a line of ids for each sequence");
}

/* A safetensors file begins with the length of its header and the header's brace. */
static bool looks_like_safetensors(const jt_str *text) { return text->n > 8 && text->s[8] == '{' && memchr(text->s, 0, 8); }

jt_status jt_eval_ids_read(const char *path, const char *tensor, int vocab, jt_eval_ids *out, jt_error *err) {
    jt_str text = {0};
    *out = (jt_eval_ids){0};
    jt_status st = jt_file_read(path, &text, err);
    if (st) return st;
    st = looks_like_safetensors(&text) ? from_safetensors(path, tensor, vocab, out, err) : from_text(&text, vocab, out, err);
    if (st) {
        jt_error_in(err, st, "%s", path);
        jt_eval_ids_free(out);
    }
    jt_str_free(&text);
    return st;
}

void jt_eval_ids_free(jt_eval_ids *e) {
    jt_free(e->ids);
    *e = (jt_eval_ids){0};
}

#include "text/flow.h"

#include <string.h>

#include "core/mem.h"

void jt_flow_free(jt_flow *f) {
    jt_str_free(&f->text), jt_str_free(&f->next);
    jt_free(f->from), jt_free(f->next_from);
    jt_normal_free(&f->chars), jt_normal_free(&f->spare);
    jt_pieces_free(&f->cuts);
    jt_free(f->piece), jt_free(f->other);
    jt_regex_work_free(&f->regex);
    *f = (jt_flow){0};
}

jt_status jt_flow_begin(jt_flow *f, const char *s, size_t n, size_t base, jt_error *err) {
    jt_status st = jt_grow((void **)&f->from, &f->cap, n, sizeof *f->from, err);
    if (st) return st;
    jt_str_clear(&f->text), jt_str_clear(&f->next);
    f->failed = f->grown = false;
    f->origin = base, f->origin_end = base + n, f->most = n * 1024 + (1 << 20);
    jt_str_add(&f->text, s, n);
    for (size_t i = 0; i < n; i++) f->from[i] = (jt_flow_span){(uint32_t)(base + i), (uint32_t)(base + i + 1)};
    return jt_str_check(&f->text, err);
}

static bool flow_room(jt_flow *f, size_t n) {
    if (n > f->most || f->next.n > f->most - n) f->failed = f->grown = true;
    if (!f->failed && f->next.n + n > f->next_cap)
        f->failed = jt_grow((void **)&f->next_from, &f->next_cap, f->next.n + n, sizeof *f->next_from, NULL) != JT_OK;
    return !f->failed;
}

void jt_flow_put(jt_flow *f, const char *s, size_t n, jt_flow_span from) {
    if (!flow_room(f, n)) return;
    for (size_t i = 0; i < n; i++) f->next_from[f->next.n + i] = from;
    jt_str_add(&f->next, s, n);
    f->failed = f->next.failed;
}

void jt_flow_put_char(jt_flow *f, uint32_t cp, jt_flow_span from) {
    char s[4] = {(char)(cp - JT_NORMAL_BYTE)};
    jt_flow_put(f, s, cp >= JT_NORMAL_BYTE ? 1 : (size_t)jt_utf8_put(cp, s), from);
}

void jt_flow_keep(jt_flow *f, size_t begin, size_t end) {
    if (begin == end || !flow_room(f, end - begin)) return;
    memcpy(f->next_from + f->next.n, f->from + begin, (end - begin) * sizeof *f->from);
    jt_str_add(&f->next, f->text.s + begin, end - begin);
    f->failed = f->next.failed;
}

jt_flow_span jt_flow_of(const jt_flow *f, size_t begin, size_t end) {
    jt_flow_span s = f->from[begin];
    for (size_t i = begin + 1; i < end; i++) {
        if (f->from[i].begin < s.begin) s.begin = f->from[i].begin;
        if (f->from[i].end > s.end) s.end = f->from[i].end;
    }
    return s;
}

jt_status jt_flow_turn(jt_flow *f, jt_error *err) {
    if (f->grown) return jt_error_set(err, JT_LIMIT, "a normalizer makes the text more than a thousand times as long");
    if (f->failed) return jt_nomem(err, "text on its way through a tokenizer", f->next.n, sizeof *f->from);
    jt_str text = f->text;
    jt_flow_span *from = f->from;
    size_t cap = f->cap;
    f->text = f->next, f->from = f->next_from, f->cap = f->next_cap;
    f->next = text, f->next_from = from, f->next_cap = cap;
    jt_str_clear(&f->next);
    return JT_OK;
}

jt_status jt_flow_piece(jt_flow *f, size_t begin, size_t end, jt_error *err) {
    if (begin >= end) return JT_OK;
    jt_status s = f->n < f->piece_cap ? JT_OK : jt_grow((void **)&f->piece, &f->piece_cap, f->n + 1, sizeof *f->piece, err);
    if (!s) f->piece[f->n++] = (jt_piece){begin, end};
    return s;
}

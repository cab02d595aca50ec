/* cut_steps.c: pre-tokenisers of a pipeline: those that only cut are pretok.h's; here are the ones that change the text. */
#include <string.h>

#include "core/mem.h"
#include "text/charsmap.h"
#include "text/flow.h"
#include "text/vocab.h"

jt_status jt_stage_init(jt_stage *g, const jt_text_step *s, jt_error *err) {
    *g = (jt_stage){.step = *s};
    if (s->kind == JT_STEP_REPLACE && s->regex) return jt_regex_new(s->a.s, s->a.n, &g->regex, err);
    if (s->kind == JT_STEP_SPLIT) return jt_pretok_new(&s->split, 1, &g->pretok, err);
    return s->kind == JT_STEP_CHARSMAP ? jt_charsmap_new(s->a, &g->map, err) : JT_OK;
}

void jt_stage_free(jt_stage *g) {
    jt_regex_free(g->regex);
    jt_pretok_free(g->pretok);
    jt_charsmap_free(g->map);
    *g = (jt_stage){0};
}

/* f->piece becomes what is to be cut, f->other. */
static void cut_begin(jt_flow *f) {
    jt_piece *p = f->piece;
    size_t cap = f->piece_cap;
    f->piece = f->other, f->piece_cap = f->other_cap;
    f->other = p, f->other_cap = cap;
    f->other_n = f->n, f->n = 0;
}

static jt_status cut_split(const jt_stage *g, jt_flow *f, jt_error *err) {
    jt_status s = JT_OK;
    for (size_t i = 0; i < f->other_n && !s; i++) {
        jt_piece p = f->other[i];
        s = jt_pretok_cut(g->pretok, f->text.s + p.begin, p.end - p.begin, &f->cuts, err);
        for (size_t k = 0; k < f->cuts.n && !s; k++) s = jt_flow_piece(f, p.begin + f->cuts.p[k].begin, p.begin + f->cuts.p[k].end, err);
    }
    return s;
}

static jt_status cut_fixed(const jt_stage *g, jt_flow *f, jt_error *err) {
    jt_status s = JT_OK;
    for (size_t i = 0; i < f->other_n && !s; i++) {
        size_t at = f->other[i].begin, end = f->other[i].end;
        for (size_t k = at; k < end && !s; k = at) {
            for (int64_t c = 0; c < g->step.count && at < end; c++) {
                int w = jt_utf8_next(f->text.s + at, end - at, NULL);
                at += w ? (size_t)w : 1;
            }
            s = jt_flow_piece(f, k, at, err);
        }
    }
    return s;
}

static bool cut_begins(const jt_flow *f, jt_piece p, jt_view with) {
    return p.end - p.begin >= with.n && !memcmp(f->text.s + p.begin, with.s, with.n);
}

/* Writes the piece with its spaces as `a`. */
static void cut_write(jt_flow *f, jt_piece p, jt_view a) {
    size_t kept = p.begin;
    for (size_t i = p.begin; i < p.end; i++) {
        if (f->text.s[i] != ' ') continue;
        jt_flow_keep(f, kept, i);
        jt_flow_put(f, a.s, a.n, f->from[i]);
        kept = i + 1;
    }
    jt_flow_keep(f, kept, p.end);
}

/* Cuts the text that stands at [begin, end) of what was written before each `a`. */
static jt_status cut_before(jt_flow *f, size_t begin, size_t end, jt_view a, jt_error *err) {
    jt_status s = JT_OK;
    size_t from = begin;
    const char *t = f->next.s;
    for (size_t i = begin; i < end && !s;) {
        const char *p = end - i >= a.n ? memmem(t + i, end - i, a.s, a.n) : NULL;
        if (!p) break;
        i = (size_t)(p - t);
        s = jt_flow_piece(f, from, i, err);
        from = i, i += a.n;
    }
    return s ? s : jt_flow_piece(f, from, end, err);
}

static jt_status cut_metaspace(const jt_stage *g, jt_flow *f, jt_error *err) {
    jt_status s = JT_OK;
    jt_view a = g->step.a;
    for (size_t i = 0; i < f->other_n && !s; i++) {
        jt_piece p = f->other[i];
        size_t begin = f->next.n, from = p.begin ? f->from[p.begin].begin : f->origin;
        bool front = g->step.scheme == JT_SCHEME_ALWAYS || (g->step.scheme == JT_SCHEME_FIRST && !from);
        if (front && f->text.s[p.begin] != ' ' && !cut_begins(f, p, a))
            jt_flow_put(f, a.s, a.n, (jt_flow_span){f->from[p.begin].begin, f->from[p.begin].begin});
        cut_write(f, p, a);
        if (f->failed) break;
        s = g->step.cut ? cut_before(f, begin, f->next.n, a, err) : jt_flow_piece(f, begin, f->next.n, err);
    }
    return s ? s : jt_flow_turn(f, err);
}

static jt_status cut_prefix(jt_flow *f, jt_error *err) {
    jt_status s = JT_OK;
    for (size_t i = 0; i < f->other_n && !s; i++) {
        jt_piece p = f->other[i];
        size_t begin = f->next.n;
        if (f->text.s[p.begin] != ' ') jt_flow_put(f, " ", 1, (jt_flow_span){f->from[p.begin].begin, f->from[p.begin].begin});
        jt_flow_keep(f, p.begin, p.end);
        s = jt_flow_piece(f, begin, f->next.n, err);
    }
    return s ? s : jt_flow_turn(f, err);
}

/* The byte alphabet, piece by piece. */
static jt_status cut_bytes(jt_flow *f, jt_error *err) {
    jt_status s = JT_OK;
    for (size_t i = 0; i < f->other_n && !s; i++) {
        size_t begin = f->next.n;
        for (size_t at = f->other[i].begin; at < f->other[i].end; at++)
            jt_flow_put_char(f, jt_byte_level_char((unsigned char)f->text.s[at]), f->from[at]);
        s = jt_flow_piece(f, begin, f->next.n, err);
    }
    return s ? s : jt_flow_turn(f, err);
}

jt_status jt_stage_cut(const jt_stage *g, jt_flow *f, jt_error *err) {
    cut_begin(f);
    switch (g->step.kind) {
    case JT_STEP_SPLIT: return cut_split(g, f, err);
    case JT_STEP_FIXED: return cut_fixed(g, f, err);
    case JT_STEP_METASPACE: return cut_metaspace(g, f, err);
    case JT_STEP_PREFIX: return cut_prefix(f, err);
    default: return cut_bytes(f, err);
    }
}

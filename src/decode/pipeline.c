/* pipeline.c: pipeline text to methods with parameters.
 *
 *   pipeline = [ strategies "|" ] stage { "|" stage } | strategies | ""
 *   strategies = method { ">" method }          outermost first
 *   method = name [ ":" list ]                  the list is step/param.h's
 *          | "preset:" name { "," key "=" number } the stages that the preset stands for (presets.c)
 *
 * Quoted texts and parentheses hide "|" and ">". Without a strategy it is sample;
 * the empty text is greedy. A parameter may hold stages in parentheses: a pipeline
 * without strategies, owned by the one around it. What begins with "[" is JSON. */
#include "decode/pipeline.h"

#include <string.h>

#include "decode/presets.h"
#include "step/param.h"

static bool pipeline_space(char c) { return c == ' ' || c == '\t' || c == '\n' || c == '\r'; }

/* The end of the method that begins at `at`: the next "|" or ">" outside quotes and parentheses, or the text's end. */
static jt_status pipeline_method_end(const char *t, size_t at, size_t n, size_t *end, jt_error *err) {
    size_t open[32];
    int depth = 0;
    for (size_t i = at; i < n; i++) {
        if (t[i] == '"') {
            size_t e = jt_quoted_end(t, i, n);
            if (!e) return jt_pipeline_error(err, JT_INVALID, i, "the quoted text that begins here is never closed");
            i = e - 1;
        } else if (t[i] == '(') {
            if (depth == 32) return jt_pipeline_error(err, JT_LIMIT, i, "parentheses more than 32 deep");
            open[depth++] = i;
        } else if (t[i] == ')') {
            if (!depth--) return jt_pipeline_error(err, JT_INVALID, i, "\")\" closes nothing");
        } else if (!depth && (t[i] == '|' || t[i] == '>')) {
            return *end = i, JT_OK;
        }
    }
    if (depth) return jt_pipeline_error(err, JT_INVALID, open[depth - 1], "the parenthesis that opens here is never closed");
    return *end = n, JT_OK;
}

/* While a pipeline is read, and those in it. */
typedef struct pipeline_reader {
    jt_param_reading how; /* self: this */
    jt_pipeline *p;
    bool inner;  /* stages alone */
    bool preset; /* reading what one stands for */
    bool stages; /* there were some, be they neutral ones of a preset */
} pipeline_reader;

static jt_status pipeline_unknown(const jt_methods *extra, const char *name, size_t at, bool shown_whole, jt_error *err) {
    const jt_method *near = jt_method_nearest(extra, name);
    return jt_pipeline_error(err, JT_UNKNOWN, at, "unknown method \"%s%s\"; the nearest is \"%s\"", name, shown_whole ? "" : "...",
                             near ? near->name : "");
}

static jt_status pipeline_preset(pipeline_reader *r, const char *t, size_t at, size_t from, size_t end, char after, jt_error *err);

/* Whether the parameters that the row's neutral setting names are as it says. */
static jt_status pipeline_neutral(pipeline_reader *r, const jt_method *m, const void *par, bool *is, jt_error *err) {
    const char *t = m->neutral;
    void *off;
    jt_status e = jt_params_parse(m, t, 0, strlen(t), &r->p->arena, &r->how, &off, err);
    *is = e == JT_OK;
    for (int i = 0; *is && i < m->n_param; i++) {
        const jt_param *p = &m->param[i];
        size_t n = strlen(p->name);
        for (const char *s = t; s; s = strchr(s, ','), s = s ? s + 1 : NULL)
            if (!strncmp(s, p->name, n) && s[n] == '=' &&
                memcmp((const char *)par + p->offset, (const char *)off + p->offset, p->type == JT_PARAM_REAL ? 8 : 4) != 0)
                *is = false;
    }
    return e;
}

/* One method, t[at..end), into the pipeline. `after`: the mark before it, 0 for the first. */
static jt_status pipeline_method(pipeline_reader *r, const char *t, size_t at, size_t end, char after, jt_error *err) {
    jt_pipeline *p = r->p;
    const jt_methods *extra = r->how.extra;
    while (at < end && pipeline_space(t[at])) at++;
    size_t stop = at, list;
    while (stop < end && t[stop] != ':' && t[stop] != '(' && t[stop] != '"') stop++;
    list = stop;
    while (stop > at && pipeline_space(t[stop - 1])) stop--;
    if (stop == at) {
        if (list < end && t[list] == '(')
            return jt_pipeline_error(err, JT_UNSUPPORTED, list, "a pipeline in parentheses stands only as a parameter's value");
        return jt_pipeline_error(err, JT_INVALID, at, "the name of a method is missing");
    }
    char name[50] = "";
    memcpy(name, t + at, stop - at < sizeof name ? stop - at : sizeof name - 1);
    if (!strcmp(name, "preset")) return pipeline_preset(r, t, at, list < end ? list + 1 : end, end, after, err);
    const jt_method *m = stop - at < sizeof name ? jt_method_find(extra, name) : NULL;
    if (!m) return pipeline_unknown(extra, name, at, stop - at < sizeof name, err);
    if (list < end && t[list] != ':')
        return jt_pipeline_error(err, JT_INVALID, list, "%s is followed by '%c'; write %s:parameter=value", m->name, t[list], m->name);

    bool strategy = m->kind == JT_STRATEGY;
    if (m->kind == JT_SCORER)
        return jt_pipeline_error(err, JT_INVALID, at, "%s is a scorer; it stands as the value of a parameter, such as best-of-n:by=%s",
                                 m->name, m->name);
    if (strategy && r->inner)
        return jt_pipeline_error(err, JT_INVALID, at, "%s is a strategy; in parentheses there are stages alone", m->name);
    if (strategy && after == '|')
        return jt_pipeline_error(err, JT_INVALID, at, "%s is a strategy; strategies stand before the first \"|\"", m->name);
    if (!strategy && after == '>')
        return jt_pipeline_error(err, JT_INVALID, at, "%s is a stage; write \"|\" before a stage, not \">\"", m->name);
    if (after == '>' && !p->strategy[p->n_strategy - 1].m->strategy.inner)
        return jt_pipeline_error(err, JT_INVALID, at, "%s drives no inner strategy, so %s cannot stand inside it",
                                 p->strategy[p->n_strategy - 1].m->name, m->name);
    int *n = strategy ? &p->n_strategy : &p->n_stage;
    jt_node *node = strategy ? p->strategy : p->stage;
    if (*n == JT_PIPELINE_MOST) return jt_pipeline_error(err, JT_LIMIT, at, "more than %d methods", JT_PIPELINE_MOST);

    if (list < end && list + 1 == end) return jt_pipeline_error(err, JT_INVALID, end, "%s: a value is missing after \":\"", m->name);
    void *par = NULL;
    jt_status e = jt_params_parse(m, t, list < end ? list + 1 : end, end, &p->arena, &r->how, &par, err);
    bool neutral = false;
    if (e == JT_OK && r->preset) e = pipeline_neutral(r, m, par, &neutral, err);
    if (e != JT_OK) return e;
    r->stages |= !strategy;
    if (neutral) return JT_OK;
    node[*n] = (jt_node){.m = m, .par = par};
    for (int i = 0; i < *n; i++) node[*n].occurrence += node[i].m == m;
    ++*n;
    return JT_OK;
}

/* What the preset that is named in t[from..end) stands for, into the pipeline. */
static jt_status pipeline_preset(pipeline_reader *r, const char *t, size_t at, size_t from, size_t end, char after, jt_error *err) {
    jt_str text = {0};
    jt_error inner = {.message = ""};
    if (after == '>') return jt_pipeline_error(err, JT_INVALID, at, "a preset is stages; write \"|\" before it, not \">\"");
    jt_status e = jt_preset_expand(t, from, end, &text, err);
    r->preset = true;
    for (size_t k = 0, stop; e == JT_OK && k < text.n; k = stop + 1) {
        e = pipeline_method_end(text.s, k, text.n, &stop, err);
        if (e == JT_OK && (e = pipeline_method(r, text.s, k, stop, '|', &inner)) != JT_OK) {
            const char *say = strstr(inner.message, ": "); /* past the byte, which is none of t */
            e = jt_pipeline_error(err, e, at, "%.*s: %s", (int)(end - at < 60 ? end - at : 60), t + at, say ? say + 2 : inner.message);
        }
    }
    r->preset = false;
    jt_str_free(&text);
    return e;
}

static jt_status pipeline_read(pipeline_reader *r, const char *t, size_t at, size_t n, jt_error *err) {
    jt_pipeline *p = r->p;
    size_t end = at;
    char after = 0;
    while (at < n && pipeline_space(t[at])) at++;
    while (at < n || after) {
        jt_status e = pipeline_method_end(t, at, n, &end, err);
        if (e == JT_OK) e = pipeline_method(r, t, at, end, after, err);
        if (e != JT_OK) return e;
        if (end < n && t[end] == '>' && r->stages)
            return jt_pipeline_error(err, JT_INVALID, end, "\">\" joins strategies; after a stage stands \"|\"");
        after = end < n ? t[end] : 0;
        at = end < n ? end + 1 : n;
    }
    if (!p->n_strategy && !r->inner) {
        const jt_method *m = jt_method_find(NULL, r->stages ? "sample" : "greedy");
        void *par;
        jt_status e = jt_params_parse(m, t, n, n, &p->arena, &r->how, &par, err);
        if (e != JT_OK) return e;
        p->strategy[p->n_strategy++] = (jt_node){.m = m, .par = par};
    }
    return JT_OK;
}

static void pipeline_print(jt_pipeline *p) {
    for (int i = 0; i < p->n_strategy; i++) {
        if (i) jt_str_puts(&p->text, " > ");
        jt_str_puts(&p->text, p->strategy[i].m->name);
        jt_params_print(p->strategy[i].m, p->strategy[i].par, &p->text);
    }
    for (int i = 0; i < p->n_stage; i++) {
        if (i || p->n_strategy) jt_str_puts(&p->text, " | ");
        jt_str_puts(&p->text, p->stage[i].m->name);
        jt_params_print(p->stage[i].m, p->stage[i].par, &p->text);
    }
}

static jt_status pipeline_stages(void *self, const char *text, size_t from, size_t end, jt_stages_value *out, jt_error *err);

/* text[from..end) as a pipeline of its own. */
static jt_status pipeline_make(pipeline_reader *r, const char *text, size_t from, size_t end, jt_error *err) {
    if (!(r->p = jt_alloc(1, sizeof *r->p))) return jt_nomem(err, "a pipeline", 1, sizeof *r->p);
    r->how.stages = pipeline_stages, r->how.self = r;
    jt_status e = pipeline_read(r, text, from, end, err);
    if (e != JT_OK) return e;
    pipeline_print(r->p);
    return jt_str_check(&r->p->text, err);
}

static jt_status pipeline_stages(void *self, const char *text, size_t from, size_t end, jt_stages_value *out, jt_error *err) {
    pipeline_reader *r = self, in = {.how = {.extra = r->how.extra, .depth = r->how.depth + 1}, .inner = true};
    if (in.how.depth > 32) return jt_pipeline_error(err, JT_LIMIT, from, "methods more than 32 deep in the parameters of others");
    jt_status e = pipeline_make(&in, text, from, end, err);
    if (e != JT_OK) return jt_pipeline_free(in.p), e;
    in.p->next = r->p->inside, r->p->inside = in.p;
    *out = (jt_stages_value){.pipeline = in.p, .text = jt_pipeline_text(in.p)};
    return JT_OK;
}

static jt_status pipeline_parse_text(const char *text, const jt_methods *extra, jt_pipeline **out, jt_error *err) {
    pipeline_reader r = {.how = {.extra = extra}};
    jt_status e = pipeline_make(&r, text, 0, strlen(text), err);
    if (e != JT_OK)
        jt_pipeline_free(r.p);
    else
        *out = r.p;
    return e;
}

static jt_status pipeline_parse_json(const char *text, const jt_methods *extra, jt_pipeline **out, jt_error *err) {
    jt_json *v = NULL;
    jt_str as = {0};
    jt_status e = jt_json_parse(text, strlen(text), &v, err);
    if (e != JT_OK) return jt_error_in(err, e, "pipeline");
    e = jt_pipeline_json_text(v, extra, &as, err);
    if (e == JT_OK) {
        e = pipeline_parse_text(jt_str_c(&as), extra, out, err);
        if (e != JT_OK) jt_error_in(err, e, "%.200s%s", jt_str_c(&as), as.n > 200 ? "..." : "");
    }
    jt_str_free(&as);
    jt_json_free(v);
    return e;
}

jt_status jt_pipeline_parse(const char *text, const jt_methods *extra, jt_pipeline **out, jt_error *err) {
    size_t at = 0;
    if (!text) return jt_error_set(err, JT_INVALID, "a pipeline is text, not NULL; \"\" is greedy");
    while (pipeline_space(text[at])) at++;
    return text[at] == '[' ? pipeline_parse_json(text, extra, out, err) : pipeline_parse_text(text, extra, out, err);
}

void jt_pipeline_free(jt_pipeline *p) {
    if (!p) return;
    while (p->inside) {
        jt_pipeline *in = p->inside;
        p->inside = in->next;
        jt_pipeline_free(in);
    }
    jt_arena_free(&p->arena);
    jt_str_free(&p->text);
    jt_free(p);
}

const char *jt_pipeline_text(const jt_pipeline *p) { return jt_str_c(&p->text); }

/* method.c: sets of methods, and the check of a row that is not built in. */
#include <string.h>

#include "core/mem.h"
#include "core/str.h"
#include "step/methods.h"

const char *jt_kind_name(jt_kind k) {
    return k == JT_STAGE ? "stage" : k == JT_STRATEGY ? "strategy" : k == JT_SCORER ? "scorer" : "unknown-kind";
}

jt_status jt_methods_new(jt_methods **out, jt_error *err) {
    jt_methods *m = jt_alloc(1, sizeof *m);
    if (!m) return jt_nomem(err, "a set of methods", 1, sizeof *m);
    *out = m;
    return JT_OK;
}

void jt_methods_free(jt_methods *m) {
    if (!m) return;
    jt_methods_unload(m);
    jt_free(m->row);
    jt_free(m);
}

static bool method_name_ok(const char *s, char joint) {
    if (!s || s[0] < 'a' || s[0] > 'z' || strlen(s) > 48) return false;
    for (; *s; s++)
        if (!((*s >= 'a' && *s <= 'z') || (*s >= '0' && *s <= '9') || *s == joint)) return false;
    return true;
}

static size_t param_type_size(jt_param_type t) {
    switch (t) {
    case JT_PARAM_REAL: return sizeof(double);
    case JT_PARAM_INT:
    case JT_PARAM_CHOICE: return sizeof(int32_t);
    case JT_PARAM_TEXT: return sizeof(const char *);
    case JT_PARAM_BIAS: return sizeof(jt_bias_list);
    case JT_PARAM_STAGES: return sizeof(jt_stages_value);
    case JT_PARAM_METHOD: return sizeof(jt_method_value);
    }
    return 0;
}

/* What is wrong with a parameter, NULL if nothing. */
static const char *param_fault(const jt_param *p, size_t size) {
    size_t own = param_type_size(p->type), end;
    if (!method_name_ok(p->name, '_')) return "a name is not lower case letters, digits and '_'";
    if (!own) return "the type is unknown";
    if (!jt_add(p->offset, own, &end) || end > size) return "the field lies outside of param_size";
    if (p->type == JT_PARAM_CHOICE) {
        if (!p->choices || !*p->choices) return "a choice has no choices";
        int n = 1;
        for (const char *c = p->choices; *c; c++) n += *c == '|';
        if (!isnan(p->def) && !(p->def >= 0 && p->def < n)) return "the default is no index of a choice";
    }
    if (p->type == JT_PARAM_REAL || p->type == JT_PARAM_INT) {
        if (!(p->low <= p->high)) return "the range is empty";
        if (!isnan(p->def) && !(p->def >= p->low && p->def <= p->high)) return "the default is out of range";
    }
    if (p->type == JT_PARAM_METHOD && p->kind != JT_STAGE && p->kind != JT_STRATEGY && p->kind != JT_SCORER)
        return "it takes a method of an unknown kind";
    if (p->type == JT_PARAM_INT && !(p->low >= INT32_MIN && p->high <= INT32_MAX)) return "the range does not fit 32 bits";
    return NULL;
}

jt_status jt_methods_add(jt_methods *m, const jt_method *row, jt_error *err) {
    if (!row || !method_name_ok(row->name, '-'))
        return jt_error_set(err, JT_INVALID, "a method's name must be lower case letters, digits and '-', at most 48");
    if (row->kind != JT_STAGE && row->kind != JT_STRATEGY && row->kind != JT_SCORER)
        return jt_error_set(err, JT_INVALID, "method \"%s\": kind %d is unknown", row->name, (int)row->kind);
    if (row->kind == JT_STAGE ? !row->stage.run : row->kind == JT_SCORER ? !row->scorer.judge : !row->strategy.advance)
        return jt_error_set(err, JT_INVALID, "method \"%s\": a %s needs a function \"%s\"", row->name, jt_kind_name(row->kind),
                            row->kind == JT_STAGE    ? "run"
                            : row->kind == JT_SCORER ? "judge"
                                                     : "advance");
    if (row->needs & JT_NEEDS_STREAM && !row->stream)
        return jt_error_set(err, JT_INVALID, "method \"%s\": it needs streams of layers and no function \"stream\" names them", row->name);
    if (row->n_param < 0 || (row->n_param && !row->param))
        return jt_error_set(err, JT_INVALID, "method \"%s\": n_param is %d without a table", row->name, row->n_param);
    for (int i = 0; i < row->n_param; i++) {
        const char *fault = param_fault(row->param + i, row->param_size);
        for (int j = 0; !fault && j < i; j++)
            if (!strcmp(row->param[i].name, row->param[j].name)) fault = "the name is used twice";
        if (fault) return jt_error_set(err, JT_INVALID, "method \"%s\", parameter %d: %s", row->name, i, fault);
    }
    if (jt_method_find(m, row->name))
        return jt_error_set(err, JT_INVALID, "there is a method \"%s\" already; give yours another name", row->name);
    jt_status s = jt_grow((void **)&m->row, &m->cap, m->n + 1, sizeof *m->row, err);
    if (s == JT_OK) m->row[m->n++] = row;
    return s;
}

const jt_method *jt_method_at(const jt_methods *m, int i) {
    int built_in = 0;
    while (jt_method_list[built_in]) built_in++;
    if (i < 0) return NULL;
    if (i < built_in) return jt_method_list[i];
    size_t j = (size_t)(i - built_in);
    return m && j < m->n ? m->row[j] : NULL;
}

const jt_method *jt_method_find(const jt_methods *m, const char *name) {
    const jt_method *row;
    for (int i = 0; (row = jt_method_at(m, i)); i++)
        if (!strcmp(row->name, name)) return row;
    return NULL;
}

const jt_method *jt_method_nearest(const jt_methods *m, const char *name) {
    const jt_method *row, *best = NULL;
    int least = 0;
    for (int i = 0; (row = jt_method_at(m, i)); i++) {
        int d = jt_edit_distance(name, row->name);
        if (!best || d < least) best = row, least = d;
    }
    return best;
}

/* ---- rows in words ---- */

const char *jt_need_name(uint32_t bit) {
    static const char *const name[] = {"history",        "tokenizer",  "raw",    "hidden",   "a second model",
                                       "siblings",       "gradients",  "stream", "raw keys", "probability on arrival",
                                       "another prompt", "projections"};
    for (size_t i = 0; i < sizeof name / sizeof *name; i++)
        if (bit == (uint32_t)1 << i) return name[i];
    return NULL;
}

static size_t method_give(jt_str *b, char *out, size_t cap) {
    size_t n = b->failed ? 0 : b->n, k = n < cap ? n : cap ? cap - 1 : 0;
    if (k) memcpy(out, b->s, k);
    if (cap) out[k] = 0;
    jt_str_free(b);
    return n;
}

size_t jt_method_neutral(const jt_method *m, char *out, size_t cap) {
    jt_str b = {0};
    size_t n = m->neutral ? strcspn(m->neutral, ";") : 0;
    if (n != 6 || strncmp(m->neutral, "always", 6) != 0) jt_str_add(&b, m->neutral ? m->neutral : "", n);
    return method_give(&b, out, cap);
}

/* Required parameters have no default to show, so there the neutral setting stands. */
size_t jt_method_example(const jt_method *m, char *out, size_t cap) {
    jt_str b = {0};
    char text[256] = "";
    bool must = false;
    for (int i = 0; i < m->n_param; i++) must |= isnan(m->param[i].def) != 0;
    if (m->example) return jt_str_puts(&b, m->example), method_give(&b, out, cap);
    if (m->kind == JT_SCORER) {
        jt_str_printf(&b, "best-of-n:by=%s > sample", m->name);
        return method_give(&b, out, cap);
    }
    if (must)
        jt_method_neutral(m, text, sizeof text);
    else if (m->n_param && m->param->type != JT_PARAM_TEXT && m->param->type != JT_PARAM_BIAS)
        jt_param_default(m->param, text, sizeof text);
    jt_str_printf(&b, "%s%s%s", m->name, *text ? ":" : "", text);
    if (m->kind == JT_STRATEGY && m->strategy.inner) jt_str_puts(&b, " > sample");
    return method_give(&b, out, cap);
}

/* pipeline_json.c: pipelines as JSON.
 *
 *   pipeline = "[" { method } "]"               strategies first, outermost first, then stages
 *   method   = "name" | { "name": value } | { "name": { "parameter": value, ... } }
 *   value    = number | "-inf" | "choice" | "text" | method | "[" stages "]" | "[" { bias } "]"
 *   bias     = { "id": 198, "value": -100 } | { "text": " the", "value": "-inf" }
 *
 * It is written as text and read as text is, so that both have one meaning. A text in
 * JSON is never the name of a file. */
#include <math.h>
#include <string.h>

#include "decode/pipeline.h"
#include "step/param.h"

typedef struct json_writer {
    const jt_methods *extra;
    jt_str *out;
    jt_error *err;
    int depth;
} json_writer;

static jt_status json_refuse(const json_writer *w, const char *what, const char *takes, const jt_json *v) {
    return jt_error_set(w->err, JT_FORMAT, "pipeline: %.60s takes %s, not %s", what, takes, jt_json_kind_name(jt_json_kind_of(v)));
}

/* What a name or a choice may consist of; all else could be taken for marks of the text. */
static jt_status json_word(const json_writer *w, const char *s, size_t n) {
    for (size_t i = 0; i < n; i++)
        if (!((s[i] >= 'a' && s[i] <= 'z') || (s[i] >= 'A' && s[i] <= 'Z') || (s[i] >= '0' && s[i] <= '9') || strchr("-_.", s[i])))
            return jt_error_set(w->err, JT_INVALID, "pipeline: \"%.40s\" is no name; names are letters, digits and '-'", s);
    if (!n) return jt_error_set(w->err, JT_INVALID, "pipeline: a name is empty");
    jt_str_add(w->out, s, n);
    return JT_OK;
}

static jt_status json_number(const json_writer *w, const char *key, const jt_json *v) {
    size_t n = 0;
    int64_t whole;
    double x;
    const char *s = jt_json_string(v, &n);
    if (s && ((n == 3 && !memcmp(s, "inf", 3)) || (n == 4 && !memcmp(s, "-inf", 4)))) return jt_str_add(w->out, s, n), JT_OK;
    if (jt_json_kind_of(v) == JT_JSON_INT && jt_json_i64(v, &whole)) return jt_str_printf(w->out, "%lld", (long long)whole), JT_OK;
    if (!jt_json_double(v, &x)) return json_refuse(w, key, "a number", v);
    return jt_str_number(w->out, x), JT_OK;
}

static jt_status json_biases(const json_writer *w, const char *key, const jt_json *v, const char *join) {
    if (jt_json_kind_of(v) != JT_JSON_ARRAY) return json_refuse(w, key, "a list such as [{\"id\": 198, \"value\": -100}]", v);
    for (size_t i = 0; i < jt_json_count(v); i++, join = ",") {
        const jt_json *one = jt_json_item(v, i), *id = jt_json_member(one, "id"), *text = jt_json_member(one, "text");
        const jt_json *value = jt_json_member(one, "value");
        const char *s = NULL;
        size_t n = 0;
        int64_t x = 0;
        if (!value || !(id || text) || jt_json_count(one) != 2)
            return jt_error_set(w->err, JT_FORMAT,
                                "pipeline: %s, item %zu: write {\"id\": 198, \"value\": -100} or {\"text\": \"a\", \"value\": 1}", key, i);
        jt_str_puts(w->out, join);
        if (id && !jt_json_i64(id, &x)) return json_refuse(w, "id", "a token id", id);
        if (text && !(s = jt_json_string(text, &n))) return json_refuse(w, "text", "the text of a token", text);
        if (id)
            jt_str_printf(w->out, "%lld=", (long long)x);
        else
            jt_params_quote(w->out, s, n), jt_str_putc(w->out, '=');
        jt_status e = json_number(w, key, value);
        if (e != JT_OK) return e;
    }
    return JT_OK;
}

static jt_status json_list(json_writer *w, const jt_json *v);
static jt_status json_method(json_writer *w, const jt_json *v, const char *close);

static jt_status json_value(json_writer *w, const jt_param *p, const jt_json *v) {
    const char *s;
    size_t n;
    jt_status e = JT_OK;
    switch (p->type) {
    case JT_PARAM_REAL:
    case JT_PARAM_INT: return json_number(w, p->name, v);
    case JT_PARAM_CHOICE:
        if (!(s = jt_json_string(v, &n))) return json_refuse(w, p->name, "one of its choices", v);
        return json_word(w, s, n);
    case JT_PARAM_TEXT:
        if (!(s = jt_json_string(v, &n))) return json_refuse(w, p->name, "text", v);
        return jt_params_quote(w->out, s, n), JT_OK;
    case JT_PARAM_STAGES:
        jt_str_putc(w->out, '(');
        e = json_list(w, v);
        jt_str_putc(w->out, ')');
        return e;
    case JT_PARAM_METHOD: return json_method(w, v, ")");
    case JT_PARAM_BIAS: break; /* json_biases */
    }
    return JT_OK;
}

static const jt_param *json_param(const jt_method *m, const char *name) {
    for (int i = 0; m && i < m->n_param; i++) {
        const char *s = m->param[i].name, *t = name;
        while (*s && (*s == *t || (*s == '_' && *t == '-'))) s++, t++;
        if (!*s && !*t) return m->param + i;
    }
    return NULL;
}

/* ":p=0.9,min-keep=2". */
static jt_status json_params(json_writer *w, const jt_method *m, const jt_json *v) {
    void *iter = NULL;
    const char *name, *join = ":";
    const jt_json *value;
    jt_status e = JT_OK;
    if (jt_json_kind_of(v) != JT_JSON_OBJECT) {
        if (!m) return JT_OK; /* the name is refused, with the nearest */
        if (!m->n_param) return json_refuse(w, m->name, "no parameters", v);
        if (m->param->type == JT_PARAM_BIAS) return json_biases(w, m->name, v, join);
        jt_str_puts(w->out, join);
        for (const char *s = m->param->name; *s; s++) jt_str_putc(w->out, *s == '_' ? '-' : *s);
        jt_str_putc(w->out, '=');
        return json_value(w, m->param, v);
    }
    for (; e == JT_OK && jt_json_each(v, &iter, &name, &value); join = ",") {
        const jt_param *p = json_param(m, name);
        if (p && p->type == JT_PARAM_BIAS) {
            e = json_biases(w, name, value, join);
            continue;
        }
        jt_str_puts(w->out, join);
        e = json_word(w, name, strlen(name));
        if (e != JT_OK) break;
        jt_str_putc(w->out, '=');
        if (p)
            e = json_value(w, p, value);
        else
            jt_str_putc(w->out, '0'); /* no value of a name that is unknown is looked at */
    }
    return e;
}

/* close: ")" for a method as a value, which stands in parentheses. */
static jt_status json_method(json_writer *w, const jt_json *v, const char *close) {
    void *iter = NULL;
    size_t n;
    const char *name = jt_json_string(v, &n);
    const jt_json *value = NULL;
    if (w->depth == 32) return jt_error_set(w->err, JT_LIMIT, "pipeline: methods more than 32 deep in the parameters of others");
    if (name && strlen(name) == n) {
        jt_status e = json_word(w, name, n);
        return e;
    }
    if (jt_json_kind_of(v) != JT_JSON_OBJECT || jt_json_count(v) != 1 || !jt_json_each(v, &iter, &name, &value))
        return jt_error_set(w->err, JT_FORMAT, "pipeline: a method is its name, or an object with its name alone, such as {\"temp\": 0.8}");
    if (*close) jt_str_putc(w->out, '(');
    jt_status e = json_word(w, name, strlen(name));
    w->depth++;
    if (e == JT_OK) e = json_params(w, jt_method_find(w->extra, name), value);
    w->depth--;
    jt_str_puts(w->out, close);
    return e;
}

static const jt_method *json_named(const json_writer *w, const jt_json *v) {
    void *iter = NULL;
    const char *name = jt_json_string(v, NULL);
    const jt_json *value;
    if (!name && jt_json_kind_of(v) == JT_JSON_OBJECT && !jt_json_each(v, &iter, &name, &value)) name = NULL;
    return name ? jt_method_find(w->extra, name) : NULL;
}

static jt_status json_list(json_writer *w, const jt_json *v) {
    bool strategies = true;
    jt_status e = JT_OK;
    if (jt_json_kind_of(v) != JT_JSON_ARRAY) return json_refuse(w, "a pipeline in JSON", "a list of methods", v);
    for (size_t i = 0; e == JT_OK && i < jt_json_count(v); i++) {
        const jt_json *one = jt_json_item(v, i);
        const jt_method *m = json_named(w, one);
        bool strategy = m && m->kind == JT_STRATEGY;
        if (i) jt_str_puts(w->out, strategies && strategy ? " > " : " | ");
        strategies = strategies && strategy;
        e = json_method(w, one, "");
    }
    return e;
}

jt_status jt_pipeline_json_text(const jt_json *v, const jt_methods *extra, jt_str *out, jt_error *err) {
    json_writer w = {.extra = extra, .out = out, .err = err};
    jt_status e = json_list(&w, v);
    return e == JT_OK ? jt_str_check(out, err) : e;
}

/* ---- writing ---- */

static void json_put_number(double x, jt_str *o) {
    if (isinf(x))
        jt_str_puts(o, x > 0 ? "\"inf\"" : "\"-inf\"");
    else if (x == floor(x) && fabs(x) < 1e9)
        jt_str_printf(o, "%d", (int)x);
    else
        jt_str_number(o, x);
}

static void json_put_method(const jt_method *m, const void *par, jt_str *o);

static void json_put_list(const jt_pipeline *p, jt_str *o) {
    jt_str_putc(o, '[');
    for (int i = 0; i < p->n_strategy; i++) {
        if (i) jt_str_puts(o, ", ");
        json_put_method(p->strategy[i].m, p->strategy[i].par, o);
    }
    for (int i = 0; i < p->n_stage; i++) {
        if (i || p->n_strategy) jt_str_puts(o, ", ");
        json_put_method(p->stage[i].m, p->stage[i].par, o);
    }
    jt_str_putc(o, ']');
}

static void json_put_biases(const jt_bias_list *l, jt_str *o) {
    jt_str_putc(o, '[');
    for (int32_t i = 0; i < l->n; i++) {
        jt_str_puts(o, i ? ", {" : "{");
        if (l->b[i].text)
            jt_str_puts(o, "\"text\": "), jt_str_json(o, l->b[i].text, l->b[i].n_text);
        else
            jt_str_printf(o, "\"id\": %d", (int)l->b[i].id);
        jt_str_puts(o, ", \"value\": ");
        json_put_number(l->b[i].value, o);
        jt_str_putc(o, '}');
    }
    jt_str_putc(o, ']');
}

static void json_put_value(const jt_param *p, const char *field, jt_str *o) {
    const char *s = "";
    size_t n = 0;
    double x;
    int32_t whole;
    jt_bias_list list;
    jt_stages_value stages;
    jt_method_value method;
    switch (p->type) {
    case JT_PARAM_REAL: memcpy(&x, field, sizeof x), json_put_number(x, o); break;
    case JT_PARAM_INT: memcpy(&whole, field, sizeof whole), jt_str_printf(o, "%d", (int)whole); break;
    case JT_PARAM_CHOICE:
        memcpy(&whole, field, sizeof whole);
        if (jt_param_choice(p->choices, (int)whole, &s, &n)) jt_str_json(o, s, n);
        break;
    case JT_PARAM_TEXT: memcpy(&s, field, sizeof s), jt_str_json(o, s, strlen(s)); break;
    case JT_PARAM_BIAS: memcpy(&list, field, sizeof list), json_put_biases(&list, o); break;
    case JT_PARAM_STAGES: memcpy(&stages, field, sizeof stages), json_put_list(stages.pipeline, o); break;
    case JT_PARAM_METHOD: memcpy(&method, field, sizeof method), json_put_method(method.m, method.par, o); break;
    }
}

/* Stages and methods that were not given and have no default are left out. */
static bool json_has(const jt_param *p, const char *field) {
    jt_stages_value stages;
    jt_method_value method;
    if (p->type == JT_PARAM_STAGES) return memcpy(&stages, field, sizeof stages), stages.pipeline != NULL;
    if (p->type == JT_PARAM_METHOD) return memcpy(&method, field, sizeof method), method.m != NULL;
    return true;
}

static void json_put_method(const jt_method *m, const void *par, jt_str *o) {
    bool any = false;
    if (!m->n_param) {
        jt_str_json(o, m->name, strlen(m->name));
        return;
    }
    jt_str_printf(o, "{\"%s\": {", m->name);
    for (int i = 0; i < m->n_param; i++) {
        const char *field = (const char *)par + m->param[i].offset;
        if (!json_has(m->param + i, field)) continue;
        jt_str_puts(o, any ? ", \"" : "\"");
        for (const char *s = m->param[i].name; *s; s++) jt_str_putc(o, *s == '_' ? '-' : *s);
        jt_str_puts(o, "\": ");
        json_put_value(m->param + i, field, o);
        any = true;
    }
    jt_str_puts(o, "}}");
}

void jt_pipeline_put_json(const jt_pipeline *p, jt_str *out) { json_put_list(p, out); }

/* param.c: parameters from text, to text, and their ranges in words. */
#include "step/param.h"

#include <stdarg.h>
#include <string.h>

#include "core/file.h"

jt_status jt_pipeline_error(jt_error *err, jt_status code, size_t byte, const char *fmt, ...) {
    char t[400];
    va_list ap;
    va_start(ap, fmt);
    vsnprintf(t, sizeof t, fmt, ap);
    va_end(ap);
    return jt_error_set(err, code, "pipeline, byte %zu: %s", byte, t);
}

/* ---- ranges and defaults in words ---- */

const char *jt_param_type_name(jt_param_type t) {
    static const char *const name[] = {"real", "int", "choice", "text", "bias", "stages", "method"};
    return (unsigned)t < sizeof name / sizeof *name ? name[t] : "unknown-type";
}

bool jt_param_choice(const char *list, int i, const char **s, size_t *n) {
    for (; i > 0 && list; i--) {
        list = strchr(list, '|');
        if (list) list++;
    }
    if (!list) return false;
    *s = list, *n = strcspn(list, "|");
    return true;
}

static size_t param_give(jt_str *b, char *out, size_t cap) {
    size_t n = b->failed ? 0 : b->n, k = n < cap ? n : cap ? cap - 1 : 0;
    if (k) memcpy(out, b->s, k);
    if (cap) out[k] = 0;
    jt_str_free(b);
    return n;
}

static void param_put_number(jt_str *b, double x) {
    if (isinf(x))
        jt_str_puts(b, x > 0 ? "inf" : "-inf");
    else if (x == floor(x) && fabs(x) < 1e9)
        jt_str_printf(b, "%d", (int)x); /* 100, not 1e+02 */
    else
        jt_str_number(b, x);
}

size_t jt_param_range(const jt_param *p, char *out, size_t cap) {
    jt_str b = {0};
    const char *s;
    size_t n;
    switch (p->type) {
    case JT_PARAM_CHOICE:
        for (int i = 0; jt_param_choice(p->choices, i, &s, &n); i++) {
            if (i) jt_str_puts(&b, " or ");
            jt_str_add(&b, s, n);
        }
        break;
    case JT_PARAM_TEXT: jt_str_puts(&b, p->file ? "text or @file" : "text"); break;
    case JT_PARAM_STAGES: jt_str_puts(&b, "stages in parentheses"); break;
    case JT_PARAM_METHOD: jt_str_printf(&b, "a %s", jt_kind_name(p->kind)); break;
    default:
        if (p->type == JT_PARAM_BIAS) jt_str_puts(&b, "token=bias, bias -inf or ");
        param_put_number(&b, p->low), jt_str_puts(&b, " to "), param_put_number(&b, p->high);
    }
    return param_give(&b, out, cap);
}

size_t jt_param_default(const jt_param *p, char *out, size_t cap) {
    jt_str b = {0};
    const char *s;
    size_t n;
    if (isnan(p->def))
        jt_str_puts(&b, "required");
    else if (p->type == JT_PARAM_CHOICE && jt_param_choice(p->choices, (int)p->def, &s, &n))
        jt_str_add(&b, s, n);
    else if (p->type == JT_PARAM_REAL || p->type == JT_PARAM_INT)
        param_put_number(&b, p->def);
    else if (p->type == JT_PARAM_TEXT)
        jt_str_puts(&b, "\"\"");
    else if (p->type == JT_PARAM_STAGES && p->standard)
        jt_str_printf(&b, "(%s)", p->standard);
    else if (p->standard)
        jt_str_puts(&b, p->standard);
    return param_give(&b, out, cap);
}

/* ---- reading ---- */

typedef struct param_piece {
    size_t from, end; /* bytes of the pipeline, without spaces around */
} param_piece;

typedef struct param_reader {
    const jt_method *m;
    const char *text;
    size_t at, end;
    jt_arena *arena;
    jt_param_reading *how;
    jt_error *err;
    char *par;
    uint64_t given; /* bit i: parameter i was given */
} param_reader;

static bool param_space(char c) { return c == ' ' || c == '\t' || c == '\n' || c == '\r'; }

static param_piece param_trim(const char *t, size_t from, size_t end) {
    while (from < end && param_space(t[from])) from++;
    while (end > from && param_space(t[end - 1])) end--;
    return (param_piece){from, end};
}

size_t jt_quoted_end(const char *t, size_t at, size_t end) {
    for (size_t i = at + 1; i < end; i++) {
        if (t[i] == '\\')
            i++;
        else if (t[i] == '"')
            return i + 1;
    }
    return 0;
}

/* The end of a key or value that begins at `at`: the next byte of `stop` outside quotes and parentheses. */
static size_t param_piece_end(const param_reader *r, size_t at, const char *stop) {
    int depth = 0;
    for (size_t i = at; i < r->end; i++) {
        char c = r->text[i];
        if (c == '"') {
            size_t e = jt_quoted_end(r->text, i, r->end);
            if (!e) return r->end;
            i = e - 1;
        } else if (c == '(') {
            depth++;
        } else if (c == ')') {
            depth--;
        } else if (depth <= 0 && strchr(stop, c)) {
            return i;
        }
    }
    return r->end;
}

static int param_hex(char c) {
    return c >= '0' && c <= '9' ? c - '0' : c >= 'a' && c <= 'f' ? c - 'a' + 10 : c >= 'A' && c <= 'F' ? c - 'A' + 10 : -1;
}

/* The text of a piece, its quotes and escapes taken off, in the arena. */
static jt_status param_unquote(param_reader *r, param_piece p, const char **out, size_t *out_n) {
    const char *t = r->text;
    char *s = jt_arena_copy(r->arena, t + p.from, p.end - p.from);
    size_t n = 0;
    if (!s) return jt_nomem(r->err, "a pipeline", p.end - p.from, 1);
    *out = s, *out_n = p.end - p.from;
    if (p.from == p.end || t[p.from] != '"') return JT_OK;
    if (jt_quoted_end(t, p.from, p.end) != p.end)
        return jt_pipeline_error(r->err, JT_INVALID, p.from, "text after the closing quote; separate items by commas");
    for (size_t i = p.from + 1; i < p.end - 1; i++) {
        char c = t[i];
        if (c == '\\') {
            static const char from[] = "\"\\nrt", to[] = "\"\\\n\r\t";
            const char *e = strchr(from, c = t[++i]);
            if (c == 'x' && param_hex(t[i + 1]) >= 0 && param_hex(t[i + 2]) >= 0)
                c = (char)(param_hex(t[i + 1]) * 16 + param_hex(t[i + 2])), i += 2;
            else if (e)
                c = to[e - from];
            else
                return jt_pipeline_error(r->err, JT_INVALID, i - 1, "unknown escape; there are \\\" \\\\ \\n \\r \\t and \\xHH");
        }
        s[n++] = c;
    }
    s[n] = 0, *out_n = n;
    return JT_OK;
}

/* A parameter's name as it is written in text. */
static void param_spell(const char *name, char out[64]) {
    size_t i = 0;
    for (; name[i] && i < 63; i++) out[i] = name[i] == '_' ? '-' : name[i];
    out[i] = 0;
}

static jt_status param_number(param_reader *r, const jt_param *p, const char *key, param_piece v, double *out) {
    const char *s = r->text + v.from;
    int n = (int)(v.end - v.from > 40 ? 40 : v.end - v.from);
    int64_t whole;
    bool ok = p->type == JT_PARAM_INT ? jt_read_i64(s, v.end - v.from, &whole) : jt_read_double(s, v.end - v.from, out);
    if (ok && p->type == JT_PARAM_INT) *out = (double)whole;
    if (!ok)
        return jt_pipeline_error(r->err, JT_INVALID, v.from, "%s: %s=%.*s is not a %s", r->m->name, key, n, s,
                                 p->type == JT_PARAM_INT ? "whole number" : "number");
    if (p->type == JT_PARAM_BIAS && *out == -INFINITY) return JT_OK;
    if (!(*out >= p->low && *out <= p->high)) {
        jt_str near = {0};
        char range[80];
        param_put_number(&near, *out < p->low ? p->low : p->high);
        jt_param_range(p, range, sizeof range);
        jt_status e = jt_pipeline_error(r->err, JT_INVALID, v.from, "%s: %s=%.*s is out of range (%s); the nearest valid value is %s",
                                        r->m->name, key, n, s, range, jt_str_c(&near));
        jt_str_free(&near);
        return e;
    }
    return JT_OK;
}

static jt_status param_choice(param_reader *r, const jt_param *p, const char *key, param_piece v, int32_t *out) {
    const char *s, *text = r->text + v.from;
    size_t n, len = v.end - v.from;
    char mine[65] = "", best[65] = "";
    int least = -1;
    memcpy(mine, text, len < 64 ? len : 64);
    for (int i = 0; jt_param_choice(p->choices, i, &s, &n); i++) {
        char c[65] = "";
        if (n == len && !memcmp(s, text, n)) return *out = i, JT_OK;
        memcpy(c, s, n < 64 ? n : 64);
        int d = jt_edit_distance(mine, c);
        if (least < 0 || d < least) least = d, memcpy(best, c, sizeof best);
    }
    return jt_pipeline_error(r->err, JT_UNKNOWN, v.from, "%s: %s=%.40s is no choice; the nearest is \"%s\"", r->m->name, key, mine, best);
}

static jt_status param_text(param_reader *r, const jt_param *p, const char *key, param_piece v, const char **out) {
    const char *s;
    size_t n;
    if (v.from < v.end && r->text[v.from] == '@') {
        jt_str b = {0};
        jt_status e = param_unquote(r, param_trim(r->text, v.from + 1, v.end), &s, &n);
        if (e == JT_OK) e = jt_file_read(s, &b, r->err);
        if (e == JT_OK && !(*out = jt_arena_copy(r->arena, jt_str_c(&b), b.n))) e = jt_nomem(r->err, "a pipeline", b.n, 1);
        if (e == JT_OK && strlen(*out) != b.n) e = jt_error_set(r->err, JT_INVALID, "the file has a NUL byte; %s takes text", key);
        jt_str_free(&b);
        return e == JT_OK ? e : jt_error_in(r->err, e, "pipeline, byte %zu: %s", v.from, r->m->name);
    }
    jt_status e = param_unquote(r, v, &s, &n);
    if (e != JT_OK) return e;
    if (strlen(s) != n) return jt_pipeline_error(r->err, JT_INVALID, v.from, "%s: %s may not hold a NUL byte", r->m->name, p->name);
    *out = s;
    return JT_OK;
}

/* One more token=bias. The list grows by copying into the arena at powers of two. */
static jt_status param_bias(param_reader *r, const jt_param *p, param_piece k, param_piece v) {
    jt_bias_list list;
    jt_bias one = {.id = -1};
    int64_t id = -1;
    memcpy(&list, r->par + p->offset, sizeof list);
    bool quoted = r->text[k.from] == '"';
    jt_status e = JT_OK;
    if (quoted) {
        e = param_unquote(r, k, &one.text, &one.n_text);
        if (e == JT_OK && !one.n_text) e = jt_pipeline_error(r->err, JT_INVALID, k.from, "%s: the text of a token is empty", r->m->name);
    } else {
        if (!jt_read_i64(r->text + k.from, k.end - k.from, &id) || id < 0 || id > INT32_MAX)
            return jt_pipeline_error(r->err, JT_INVALID, k.from, "%s: %.*s is no token id", r->m->name,
                                     (int)(k.end - k.from > 40 ? 40 : k.end - k.from), r->text + k.from);
        one.id = (int32_t)id;
    }
    if (e == JT_OK) e = param_number(r, p, "bias", v, &one.value);
    if (e != JT_OK) return e;
    for (int32_t i = 0; i < list.n; i++)
        if (quoted ? list.b[i].text && list.b[i].n_text == one.n_text && !memcmp(list.b[i].text, one.text, one.n_text)
                   : !list.b[i].text && list.b[i].id == one.id)
            return jt_pipeline_error(r->err, JT_INVALID, k.from, "%s: this token is given twice", r->m->name);
    if (list.n >= 4096) return jt_pipeline_error(r->err, JT_LIMIT, k.from, "%s: more than 4096 tokens", r->m->name);
    jt_bias *b = (jt_bias *)list.b;
    if (!(list.n & (list.n - 1))) {
        b = jt_arena_alloc(r->arena, list.n ? 2 * (size_t)list.n : 1, sizeof *b);
        if (!b) return jt_nomem(r->err, "a list of biases", (size_t)list.n, sizeof *b);
        if (list.n) memcpy(b, list.b, (size_t)list.n * sizeof *b);
    }
    b[list.n] = one;
    list = (jt_bias_list){.b = b, .n = list.n + 1};
    memcpy(r->par + p->offset, &list, sizeof list);
    return JT_OK;
}

/* ---- values made of methods ---- */

/* What stands in the parentheses around a value; false if it is not parentheses, and those alone. */
static bool param_inside(const param_reader *r, param_piece v, param_piece *in) {
    int depth = 0;
    for (size_t i = v.from; i < v.end; i++) {
        char c = r->text[i];
        if (c == '"') {
            size_t e = jt_quoted_end(r->text, i, v.end);
            if (!e) return false;
            i = e - 1;
        } else {
            depth += c == '(' ? 1 : c == ')' ? -1 : 0;
            if (!depth && i + 1 < v.end) return false;
        }
    }
    if (v.end - v.from < 2 || r->text[v.from] != '(' || r->text[v.end - 1] != ')') return false;
    *in = param_trim(r->text, v.from + 1, v.end - 1);
    return true;
}

static jt_status param_stages(param_reader *r, const jt_param *p, const char *key, param_piece v) {
    jt_stages_value x = {0};
    param_piece in;
    if (!param_inside(r, v, &in))
        return jt_pipeline_error(r->err, JT_INVALID, v.from, "%s: %s takes stages in parentheses, such as (temp:0.8 | top-p:0.9)",
                                 r->m->name, key);
    jt_status e = r->how->stages(r->how->self, r->text, in.from, in.end, &x, r->err);
    memcpy(r->par + p->offset, &x, sizeof x);
    return e;
}

/* A method's name and its list, in parentheses or without any list. */
static jt_status param_method(param_reader *r, const jt_param *p, const char *key, param_piece v) {
    param_piece in = v;
    jt_method_value x = {0};
    char name[50] = "";
    bool list = param_inside(r, v, &in);
    size_t stop = in.from, n;
    while (stop < in.end && !strchr(":(\"", r->text[stop])) stop++;
    n = param_trim(r->text, in.from, stop).end - in.from;
    memcpy(name, r->text + in.from, n < sizeof name ? n : sizeof name - 1);
    const jt_method *m = n < sizeof name ? jt_method_find(r->how->extra, name) : NULL, *near = NULL;
    if (!m || m->kind != p->kind) {
        for (int i = 0; (m = jt_method_at(r->how->extra, i)); i++)
            if (m->kind == p->kind && (!near || jt_edit_distance(name, m->name) < jt_edit_distance(name, near->name))) near = m;
        return jt_pipeline_error(r->err, JT_UNKNOWN, in.from, "%s: %s=%s%s is no %s; the nearest is \"%s\"", r->m->name, key, name,
                                 n < sizeof name ? "" : "...", jt_kind_name(p->kind), near ? near->name : "");
    }
    if (stop < in.end && (r->text[stop] != ':' || !list || stop + 1 == in.end))
        return jt_pipeline_error(r->err, JT_INVALID, stop, "%s: a method with parameters is written %s=(%s:parameter=value)", r->m->name,
                                 key, m->name);
    if (r->how->depth >= 32) return jt_pipeline_error(r->err, JT_LIMIT, v.from, "methods more than 32 deep in the parameters of others");
    void *par = NULL;
    r->how->depth++;
    jt_status e = jt_params_parse(m, r->text, stop < in.end ? stop + 1 : in.end, in.end, r->arena, r->how, &par, r->err);
    r->how->depth--;
    x = (jt_method_value){.m = m, .par = par};
    memcpy(r->par + p->offset, &x, sizeof x);
    return e;
}

/* A default that is text is read as if it had been given. */
static jt_status param_standard(const param_reader *r, const jt_param *p) {
    char key[64];
    param_reader own = *r;
    param_piece v = {0, strlen(p->standard)};
    jt_stages_value x = {0};
    jt_status e;
    own.text = p->standard, own.end = v.end;
    param_spell(p->name, key);
    if (p->type == JT_PARAM_METHOD) {
        e = param_method(&own, p, key, v);
    } else {
        e = r->how->stages(r->how->self, p->standard, 0, v.end, &x, r->err);
        memcpy(r->par + p->offset, &x, sizeof x);
    }
    return e == JT_OK || r->how->depth ? e : jt_error_in(r->err, e, "the default of %s for %s", r->m->name, key);
}

/* The parameter of that name; *out is -1 where there is none. '-' and '_' are the same in a name. */
static int param_named(const jt_method *m, const char *s, size_t n) {
    for (int i = 0; i < m->n_param; i++) {
        const char *name = m->param[i].name;
        size_t j = 0;
        while (j < n && name[j] && (s[j] == name[j] || (s[j] == '-' && name[j] == '_'))) j++;
        if (j == n && !name[j]) return i;
    }
    return -1;
}

static jt_status param_unknown(param_reader *r, param_piece k, bool biased) {
    char mine[41] = "", best[64] = "", name[64];
    size_t n = k.end - k.from < 40 ? k.end - k.from : 40;
    int least = -1;
    memcpy(mine, r->text + k.from, n);
    if (biased)
        return jt_pipeline_error(r->err, JT_UNKNOWN, k.from,
                                 "%s: the key %s is no token id; write the text of a token in quotes, as \"%s\"=1", r->m->name, mine, mine);
    for (int i = 0; i < r->m->n_param; i++) {
        param_spell(r->m->param[i].name, name);
        int d = jt_edit_distance(mine, name);
        if (least < 0 || d < least) least = d, memcpy(best, name, sizeof best);
    }
    if (least < 0) return jt_pipeline_error(r->err, JT_UNKNOWN, k.from, "%s takes no parameters", r->m->name);
    return jt_pipeline_error(r->err, JT_UNKNOWN, k.from, "%s has no parameter \"%s\"; the nearest is \"%s\"", r->m->name, mine, best);
}

/* One item, [at, stop). `first`: it may be the bare value of the first parameter. */
static jt_status param_item(param_reader *r, size_t stop, bool first) {
    size_t eq = param_piece_end(r, r->at, "=,");
    bool named = eq < stop && r->text[eq] == '=';
    param_piece k = param_trim(r->text, r->at, named ? eq : r->at), v = param_trim(r->text, named ? eq + 1 : r->at, stop);
    int bias_at = -1, i = 0;
    for (int j = 0; j < r->m->n_param; j++)
        if (r->m->param[j].type == JT_PARAM_BIAS) bias_at = j;
    if (!named && v.from == v.end) return jt_pipeline_error(r->err, JT_INVALID, r->at, "%s: a value is missing here", r->m->name);
    if (named) {
        if (k.from == k.end) return jt_pipeline_error(r->err, JT_INVALID, eq, "%s: a name is missing before \"=\"", r->m->name);
        char c = r->text[k.from];
        i = bias_at >= 0 && (c == '"' || (c >= '0' && c <= '9')) ? bias_at : param_named(r->m, r->text + k.from, k.end - k.from);
        if (i < 0) return param_unknown(r, k, bias_at >= 0);
    } else if (!r->m->n_param) {
        return jt_pipeline_error(r->err, JT_UNKNOWN, v.from, "%s takes no parameters", r->m->name);
    } else if (!first || bias_at == 0) {
        return jt_pipeline_error(r->err, JT_INVALID, v.from, "%s: a value without a name; write %s=value", r->m->name,
                                 bias_at == 0 ? "token" : "name");
    }
    const jt_param *p = r->m->param + i;
    char key[64];
    param_spell(p->name, key);
    if (v.from == v.end) return jt_pipeline_error(r->err, JT_INVALID, v.from, "%s: the value of %s is missing", r->m->name, key);
    char c = r->text[v.from];
    if (c == '(' && p->type != JT_PARAM_STAGES && p->type != JT_PARAM_METHOD)
        return jt_pipeline_error(r->err, JT_UNSUPPORTED, v.from, "%s: %s takes no pipeline in parentheses", r->m->name, key);
    if (c == '@' && !p->file) return jt_pipeline_error(r->err, JT_UNSUPPORTED, v.from, "%s: %s takes no @file", r->m->name, key);
    if (p->type != JT_PARAM_BIAS && r->given >> i & 1)
        return jt_pipeline_error(r->err, JT_INVALID, named ? k.from : v.from, "%s: %s is given twice", r->m->name, key);
    r->given |= (uint64_t)1 << i;

    jt_status e = JT_OK;
    double x = 0;
    int32_t n = 0;
    switch (p->type) {
    case JT_PARAM_REAL:
        e = param_number(r, p, key, v, &x);
        memcpy(r->par + p->offset, &x, sizeof x);
        break;
    case JT_PARAM_INT:
        e = param_number(r, p, key, v, &x);
        n = e == JT_OK ? (int32_t)x : 0;
        memcpy(r->par + p->offset, &n, sizeof n);
        break;
    case JT_PARAM_CHOICE:
        e = param_choice(r, p, key, v, &n);
        if (e == JT_OK) memcpy(r->par + p->offset, &n, sizeof n);
        break;
    case JT_PARAM_TEXT: {
        const char *s = "";
        e = param_text(r, p, key, v, &s);
        memcpy(r->par + p->offset, &s, sizeof s);
        break;
    }
    case JT_PARAM_BIAS: e = param_bias(r, p, k, v); break;
    case JT_PARAM_STAGES: e = param_stages(r, p, key, v); break;
    case JT_PARAM_METHOD: e = param_method(r, p, key, v); break;
    }
    return e;
}

static void param_defaults(const jt_method *m, char *par) {
    for (int i = 0; i < m->n_param; i++) {
        const jt_param *p = m->param + i;
        double x = isnan(p->def) ? 0 : p->def;
        int32_t n = (int32_t)x;
        const char *s = "";
        if (p->type == JT_PARAM_REAL)
            memcpy(par + p->offset, &x, sizeof x);
        else if (p->type == JT_PARAM_INT || p->type == JT_PARAM_CHOICE)
            memcpy(par + p->offset, &n, sizeof n);
        else if (p->type == JT_PARAM_TEXT)
            memcpy(par + p->offset, &s, sizeof s);
    }
}

jt_status jt_params_parse(const jt_method *m, const char *text, size_t from, size_t end, jt_arena *a, jt_param_reading *how, void **out,
                          jt_error *err) {
    param_reader r = {.m = m, .text = text, .at = from, .end = end, .arena = a, .how = how, .err = err};
    if (m->n_param > 64) return jt_error_set(err, JT_LIMIT, "method \"%s\" has more than 64 parameters", m->name);
    r.par = jt_arena_alloc(a, 1, m->param_size);
    if (!r.par) return jt_nomem(err, "a pipeline", 1, m->param_size);
    param_defaults(m, r.par);
    for (bool first = true; from < end; first = false) {
        size_t stop = param_piece_end(&r, r.at, ",");
        jt_status e = param_item(&r, stop, first);
        if (e != JT_OK) return e;
        if (stop == end) break;
        r.at = stop + 1;
    }
    for (int i = 0; i < m->n_param; i++)
        if (isnan(m->param[i].def) && !(r.given >> i & 1)) {
            char key[64], range[80];
            param_spell(m->param[i].name, key);
            jt_param_range(m->param + i, range, sizeof range);
            return jt_pipeline_error(err, JT_INVALID, from, "%s needs a value for %s (%s)", m->name, key, range);
        }
    for (int i = 0; i < m->n_param; i++) {
        jt_status e = m->param[i].standard && !(r.given >> i & 1) ? param_standard(&r, m->param + i) : JT_OK;
        if (e != JT_OK) return e;
    }
    *out = r.par;
    return JT_OK;
}

/* ---- writing ---- */

void jt_params_quote(jt_str *b, const char *s, size_t n) {
    jt_str_putc(b, '"');
    for (size_t i = 0; i < n;) {
        unsigned char c = (unsigned char)s[i];
        int w = jt_utf8_next(s + i, n - i, NULL);
        if (c == '"' || c == '\\')
            jt_str_printf(b, "\\%c", c);
        else if (c == '\n' || c == '\r' || c == '\t')
            jt_str_printf(b, "\\%c", c == '\n' ? 'n' : c == '\r' ? 'r' : 't');
        else if (c < 0x20 || c == 0x7f || !w)
            jt_str_printf(b, "\\x%02x", c);
        else
            jt_str_add(b, s + i, (size_t)w);
        i += w ? (size_t)w : 1;
    }
    jt_str_putc(b, '"');
}

void jt_params_print(const jt_method *m, const void *par, jt_str *out) {
    const char *join = ":";
    for (int i = 0; i < m->n_param; i++) {
        const jt_param *p = m->param + i;
        const char *field = (const char *)par + p->offset, *s;
        size_t n;
        double x;
        int32_t whole;
        jt_bias_list list;
        char key[64];
        if (p->type == JT_PARAM_BIAS) {
            memcpy(&list, field, sizeof list);
            for (int32_t j = 0; j < list.n; j++, join = ",") {
                jt_str_puts(out, join);
                if (list.b[j].text)
                    jt_params_quote(out, list.b[j].text, list.b[j].n_text);
                else
                    jt_str_printf(out, "%d", (int)list.b[j].id);
                jt_str_putc(out, '=');
                param_put_number(out, list.b[j].value);
            }
            continue;
        }
        jt_stages_value stages = {0};
        jt_method_value method = {0};
        if (p->type == JT_PARAM_STAGES) memcpy(&stages, field, sizeof stages);
        if (p->type == JT_PARAM_METHOD) memcpy(&method, field, sizeof method);
        if ((p->type == JT_PARAM_STAGES && !stages.pipeline) || (p->type == JT_PARAM_METHOD && !method.m)) continue;
        param_spell(p->name, key);
        jt_str_printf(out, "%s%s=", join, key);
        join = ",";
        if (p->type == JT_PARAM_REAL) {
            memcpy(&x, field, sizeof x);
            param_put_number(out, x);
        } else if (p->type == JT_PARAM_TEXT) {
            memcpy(&s, field, sizeof s);
            jt_params_quote(out, s, strlen(s));
        } else if (p->type == JT_PARAM_STAGES) {
            jt_str_printf(out, "(%s)", stages.text);
        } else if (p->type == JT_PARAM_METHOD) {
            jt_str_printf(out, "(%s", method.m->name);
            jt_params_print(method.m, method.par, out);
            jt_str_putc(out, ')');
        } else {
            memcpy(&whole, field, sizeof whole);
            if (p->type == JT_PARAM_CHOICE && jt_param_choice(p->choices, (int)whole, &s, &n))
                jt_str_add(out, s, n);
            else
                jt_str_printf(out, "%d", (int)whole);
        }
    }
}

/* json.c: values from a conversation, and json.dumps. */
#include <math.h>
#include <stdio.h>
#include <string.h>

#include "text/jinja/value.h"

/* ---- from a conversation ---- */

static const jt_jstr *read_string(jt_jrun *r, const char *s, size_t n, const uint8_t *ones) {
    char *copy = jt_jalloc(r, n + 1, 1);
    if (!copy) return NULL;
    memcpy(copy, s, n);
    return jt_jstr_new(r, copy, n, n ? ones : NULL);
}

static bool read_object(jt_jrun *r, const jt_json *v, const uint8_t *ones, jt_jval *out) {
    jt_jdict *d = jt_jdict_new(r);
    void *iter = NULL;
    const char *name;
    const jt_json *member;
    if (!d) return false;
    while (jt_json_each(v, &iter, &name, &member)) {
        jt_jval one;
        const jt_jstr *key = read_string(r, name, strlen(name), ones);
        if (!key || !jt_jval_read(r, member, ones, &one) || !jt_jdict_set(r, d, jt_jstring(key), one)) return false;
    }
    *out = (jt_jval){.kind = JT_J_DICT, .dict = d};
    return true;
}

static bool read_array(jt_jrun *r, const jt_json *v, const uint8_t *ones, jt_jval *out) {
    jt_jlist *l = jt_jlist_new(r, jt_json_count(v));
    for (size_t i = 0; l && i < jt_json_count(v); i++) {
        jt_jval one;
        if (!jt_jval_read(r, jt_json_item(v, i), ones, &one) || !jt_jlist_push(r, l, one)) return false;
    }
    *out = (jt_jval){.kind = JT_J_LIST, .list = l};
    return l != NULL;
}

bool jt_jval_read(jt_jrun *r, const jt_json *v, const uint8_t *ones, jt_jval *out) {
    size_t n;
    const char *s;
    *out = JT_JNONE;
    switch (jt_json_kind_of(v)) {
    case JT_JSON_NULL: return true;
    case JT_JSON_BOOL: out->kind = JT_J_BOOL; return jt_json_bool(v, &out->b);
    case JT_JSON_INT: out->kind = JT_J_INT; return jt_json_i64(v, &out->i);
    case JT_JSON_REAL: out->kind = JT_J_FLOAT; return jt_json_double(v, &out->f);
    case JT_JSON_STRING:
        s = jt_json_string(v, &n);
        *out = jt_jstring(read_string(r, s, n, ones));
        return out->s != NULL;
    default: break;
    }
    if (!jt_jenter(r)) return false;
    return jt_jleave(r, jt_json_kind_of(v) == JT_JSON_OBJECT ? read_object(r, v, ones, out) : read_array(r, v, ones, out));
}

/* ---- json.dumps ---- */

static bool dump_text(jt_jbuf *b, const jt_jstr *s, bool ascii) {
    char t[16];
    bool ok = jt_jbuf_puts(b, "\"");
    for (size_t i = 0; ok && i < s->n;) {
        size_t run = i;
        while (run < s->n && (unsigned char)s->s[run] >= 0x20 && s->s[run] != '"' && s->s[run] != '\\' &&
               (!ascii || (unsigned char)s->s[run] < 0x7f))
            run++;
        ok = jt_jbuf_part(b, s, i, run);
        i = run;
        if (!ok || i == s->n) break;
        static const char from[] = "\"\\\n\r\t\b\f", to[] = "\"\\nrtbf";
        const char *p = s->s[i] ? strchr(from, s->s[i]) : NULL;
        uint32_t cp = 0;
        int w = jt_utf8_next(s->s + i, s->n - i, &cp);
        if (p)
            snprintf(t, sizeof t, "\\%c", to[p - from]);
        else if (cp >= 0x10000)
            snprintf(t, sizeof t, "\\u%04x\\u%04x", 0xd800 + ((cp - 0x10000) >> 10), 0xdc00 + ((cp - 0x10000) & 0x3ff));
        else
            snprintf(t, sizeof t, "\\u%04x", cp);
        ok = jt_jbuf_puts(b, t);
        i += w ? (size_t)w : 1;
    }
    return ok && jt_jbuf_puts(b, "\"");
}

static bool dump_float(jt_jbuf *b, double x) {
    char t[40];
    jt_jfloat_text(x, t);
    return jt_jbuf_puts(b, isnan(x) ? "NaN" : isinf(x) ? (x < 0 ? "-Infinity" : "Infinity") : t);
}

static bool dump_key(jt_jbuf *b, jt_jval key, bool ascii) {
    char t[48] = "";
    switch (key.kind) {
    case JT_J_STR: return dump_text(b, key.s, ascii);
    case JT_J_NONE: snprintf(t, sizeof t, "null"); break;
    case JT_J_BOOL: snprintf(t, sizeof t, key.b ? "true" : "false"); break;
    case JT_J_INT: snprintf(t, sizeof t, "%lld", (long long)key.i); break;
    case JT_J_FLOAT: return jt_jbuf_puts(b, "\"") && dump_float(b, key.f) && jt_jbuf_puts(b, "\"");
    default: return jt_jfail(b->r, JT_FORMAT, "keys must be str, int, float, bool or None, not %s", jt_jkind_name(key));
    }
    return jt_jbuf_puts(b, "\"") && jt_jbuf_puts(b, t) && jt_jbuf_puts(b, "\"");
}

/* A new line at a level, where lines are asked for. */
static bool dump_line(jt_jbuf *b, const jt_jdumps *how, int level) {
    bool ok = !how->indent || jt_jbuf_puts(b, "\n");
    for (int i = 0; ok && how->indent && i < level; i++) ok = jt_jbuf_str(b, how->indent);
    return ok;
}

static bool dump(jt_jbuf *b, jt_jval v, const jt_jdumps *how, int level);

static bool dump_list(jt_jbuf *b, const jt_jlist *l, const jt_jdumps *how, int level) {
    if (!l->n) return jt_jbuf_puts(b, "[]");
    bool ok = jt_jbuf_puts(b, "[");
    for (size_t i = 0; ok && i < l->n; i++)
        ok = (!i || jt_jbuf_str(b, how->comma)) && dump_line(b, how, level + 1) && dump(b, l->v[i], how, level + 1);
    return ok && dump_line(b, how, level) && jt_jbuf_puts(b, "]");
}

/* The order of an object's members: stable, by key. */
static bool dump_order(jt_jrun *r, const jt_jdict *d, size_t *order, size_t *spare, size_t n) {
    if (n < 2) return true;
    size_t half = n / 2, i = 0, k = half, to = 0;
    if (!jt_jstep(r, n) || !dump_order(r, d, order, spare, half) || !dump_order(r, d, order + half, spare, n - half)) return false;
    while (i < half || k < n) {
        bool less = i == half;
        if (i < half && k < n && !jt_jless(r, d->p[order[k]].key, d->p[order[i]].key, "<", &less)) return false;
        spare[to++] = less ? order[k++] : order[i++];
    }
    memcpy(order, spare, n * sizeof *order);
    return true;
}

static bool dump_dict(jt_jbuf *b, const jt_jdict *d, const jt_jdumps *how, int level) {
    size_t *order = NULL;
    if (!d->n) return jt_jbuf_puts(b, "{}");
    if (how->sort) {
        if (!(order = jt_jalloc(b->r, 2 * d->n, sizeof *order))) return false;
        for (size_t i = 0; i < d->n; i++) order[i] = i;
        if (!dump_order(b->r, d, order, order + d->n, d->n)) return false;
    }
    bool ok = jt_jbuf_puts(b, "{");
    for (size_t i = 0; ok && i < d->n; i++) {
        const jt_jpair *p = &d->p[order ? order[i] : i];
        ok = (!i || jt_jbuf_str(b, how->comma)) && dump_line(b, how, level + 1) && dump_key(b, p->key, how->ascii) &&
             jt_jbuf_str(b, how->colon) && dump(b, p->value, how, level + 1);
    }
    return ok && dump_line(b, how, level) && jt_jbuf_puts(b, "}");
}

static bool dump(jt_jbuf *b, jt_jval v, const jt_jdumps *how, int level) {
    char t[32];
    switch (v.kind) {
    case JT_J_NONE: return jt_jbuf_puts(b, "null");
    case JT_J_BOOL: return jt_jbuf_puts(b, v.b ? "true" : "false");
    case JT_J_INT: snprintf(t, sizeof t, "%lld", (long long)v.i); return jt_jbuf_puts(b, t);
    case JT_J_FLOAT: return dump_float(b, v.f);
    case JT_J_STR: return dump_text(b, v.s, how->ascii);
    case JT_J_LIST:
    case JT_J_TUPLE:
    case JT_J_DICT: break;
    default: return jt_jfail(b->r, JT_FORMAT, "Object of type %s is not JSON serializable", jt_jkind_name(v));
    }
    if (!jt_jenter(b->r)) return false;
    return jt_jleave(b->r, v.kind == JT_J_DICT ? dump_dict(b, v.dict, how, level) : dump_list(b, v.list, how, level));
}

bool jt_jbuf_json(jt_jbuf *b, jt_jval v, const jt_jdumps *how) { return dump(b, v, how, 0); }

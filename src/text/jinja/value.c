#include "text/jinja/value.h"

#include <math.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "core/hash.h"
#include "text/jinja/node.h"

/* ---- the run ---- */

void jt_jfail_set(jt_jrun *r, jt_status code, const char *fmt, ...) {
    if (r->status) return;
    char text[400];
    va_list ap;
    va_start(ap, fmt);
    vsnprintf(text, sizeof text, fmt, ap);
    va_end(ap);
    for (char *c = text; *c; c++)
        if ((unsigned char)*c < 0x20) *c = ' ';
    text[jt_utf8_whole(text, strlen(text))] = 0;
    r->status = r->at ? jt_error_set(r->err, code, "line %u, column %u: %s", r->at->line, r->at->column, text)
                      : jt_error_set(r->err, code, "%s", text);
}

bool jt_jstep(jt_jrun *r, uint64_t n) {
    if (r->status) return false;
    if (n > r->steps) return jt_jfail(r, JT_LIMIT, "the template takes more steps than a template may");
    r->steps -= n;
    return true;
}

bool jt_jenter(jt_jrun *r) {
    if (r->depth >= JT_J_DEEPEST) return jt_jfail(r, JT_LIMIT, "the template calls itself, or its values nest, too deeply");
    r->depth++;
    return jt_jstep(r, 1);
}

void *jt_jalloc(jt_jrun *r, size_t n, size_t size) {
    size_t bytes;
    if (r->status) return NULL;
    if (!jt_mul(n, size, &bytes) || r->arena.total > r->memory || bytes > r->memory - r->arena.total) {
        jt_jfail_set(r, JT_LIMIT, "the template needs more memory than the %zu MiB that it may have", r->memory >> 20);
        return NULL;
    }
    void *p = jt_arena_alloc(&r->arena, n, size);
    if (!p) r->status = jt_nomem(r->err, "a template's values", n, size);
    return p;
}

/* ---- strings ---- */

static size_t count_chars(const char *s, size_t n) {
    size_t len = 0;
    for (size_t i = 0; i < n; i++) len += ((unsigned char)s[i] & 0xc0) != 0x80;
    return len;
}

const jt_jstr *jt_jstr_new(jt_jrun *r, const char *s, size_t n, const uint8_t *m) {
    jt_jstr *o = jt_jalloc(r, 1, sizeof *o);
    if (!o || !jt_jstep(r, n / 64)) return NULL;
    *o = (jt_jstr){s, m, n, count_chars(s, n), false};
    return o;
}

bool jt_jval_text(jt_jrun *r, const char *s, jt_jval *out) {
    jt_jbuf b = {.r = r};
    if (!jt_jbuf_puts(&b, s)) return false;
    *out = jt_jstring(jt_jbuf_end(&b));
    return out->s != NULL;
}

const jt_jstr *jt_jstr_cut(jt_jrun *r, const jt_jstr *s, size_t from, size_t to) {
    if (from >= to) from = to = 0;
    if (from == 0 && to == s->n) return s;
    jt_jstr *o = jt_jalloc(r, 1, sizeof *o);
    if (!o || !jt_jstep(r, (to - from) / 64)) return NULL;
    *o = (jt_jstr){s->s + from, s->m ? s->m + from : NULL, to - from, 0, s->markup};
    o->len = s->len == s->n ? o->n : count_chars(o->s, o->n);
    return o;
}

size_t jt_jstr_place(const jt_jstr *s, size_t i) {
    if (s->len == s->n) return i;
    size_t at = 0;
    for (; at < s->n; at++)
        if (((unsigned char)s->s[at] & 0xc0) != 0x80 && i-- == 0) break;
    return at;
}

const jt_jstr *jt_jstr_as(jt_jrun *r, const jt_jstr *s, bool markup) {
    if (s->markup == markup) return s;
    jt_jstr *o = jt_jalloc(r, 1, sizeof *o);
    if (!o) return NULL;
    *o = *s;
    o->markup = markup;
    return o;
}

bool jt_jstr_is(const jt_jstr *s, const char *text) { return s->n == strlen(text) && !memcmp(s->s, text, s->n); }
bool jt_jstr_equal(const jt_jstr *a, const jt_jstr *b) { return a->n == b->n && (!a->n || !memcmp(a->s, b->s, a->n)); }

int jt_jstr_order(const jt_jstr *a, const jt_jstr *b) {
    size_t n = a->n < b->n ? a->n : b->n;
    int c = n ? memcmp(a->s, b->s, n) : 0;
    return c ? c : (a->n > b->n) - (a->n < b->n);
}

size_t jt_jstr_find(const jt_jstr *a, const jt_jstr *b, size_t from) {
    if (from > a->n) return SIZE_MAX;
    if (!b->n) return from;
    const char *p = memmem(a->s + from, a->n - from, b->s, b->n);
    return p ? (size_t)(p - a->s) : SIZE_MAX;
}

size_t jt_jstr_find_last(const jt_jstr *a, const jt_jstr *b, size_t to) {
    if (b->n > to) return SIZE_MAX;
    for (size_t at = to - b->n + 1; at-- > 0;)
        if (!memcmp(a->s + at, b->s, b->n)) return at;
    return SIZE_MAX;
}

static bool buf_room(jt_jbuf *b, size_t more) {
    jt_jrun *r = b->r;
    size_t need;
    if (r->status) return false;
    if (!jt_add(b->n, more, &need) || (b->bounded && need > r->output))
        return jt_jfail(r, JT_LIMIT, "the template writes more than %zu MiB", r->output >> 20);
    if (b->s && need <= b->cap) return true;
    size_t cap = b->cap ? b->cap : 64;
    while (cap < need)
        if (!jt_mul(cap, 2, &cap)) cap = need;
    char *s = jt_jalloc(r, cap, 2);
    if (!s) return false;
    uint8_t *m = (uint8_t *)s + cap;
    if (b->n) memcpy(s, b->s, b->n), memcpy(m, b->m, b->n);
    b->s = s, b->m = m, b->cap = cap;
    return true;
}

bool jt_jbuf_add(jt_jbuf *b, const char *s, size_t n, const uint8_t *m) {
    if (!buf_room(b, n) || !jt_jstep(b->r, n / 64)) return false;
    if (!n) return true;
    memcpy(b->s + b->n, s, n);
    if (m)
        memcpy(b->m + b->n, m, n), b->marked = true;
    else
        memset(b->m + b->n, 0, n);
    b->n += n;
    return true;
}

bool jt_jbuf_puts(jt_jbuf *b, const char *s) { return jt_jbuf_add(b, s, strlen(s), NULL); }
bool jt_jbuf_str(jt_jbuf *b, const jt_jstr *s) { return s && jt_jbuf_add(b, s->s, s->n, s->m); }
bool jt_jbuf_part(jt_jbuf *b, const jt_jstr *s, size_t from, size_t to) {
    return from >= to || jt_jbuf_add(b, s->s + from, to - from, s->m ? s->m + from : NULL);
}

bool jt_jbuf_char(jt_jbuf *b, uint32_t cp, bool mark) {
    static const uint8_t ones[4] = {1, 1, 1, 1};
    char t[4];
    int n = jt_utf8_put(cp, t);
    return jt_jbuf_add(b, t, (size_t)n, mark ? ones : NULL);
}

bool jt_jbuf_fill(jt_jbuf *b, char c, size_t n) {
    if (!buf_room(b, n) || !jt_jstep(b->r, n / 64)) return false;
    if (!n) return true;
    memset(b->s + b->n, c, n);
    memset(b->m + b->n, 0, n);
    b->n += n;
    return true;
}

const jt_jstr *jt_jbuf_end(const jt_jbuf *b) { return jt_jstr_new(b->r, b->n ? b->s : "", b->n, b->marked ? b->m : NULL); }

/* ---- lists and dicts ---- */

jt_jlist *jt_jlist_new(jt_jrun *r, size_t room) {
    jt_jlist *l = jt_jalloc(r, 1, sizeof *l);
    if (l && room && !(l->v = jt_jalloc(r, room, sizeof *l->v))) return NULL;
    if (l) l->cap = room;
    return l;
}

bool jt_jlist_push(jt_jrun *r, jt_jlist *l, jt_jval v) {
    if (l->n == l->cap) {
        size_t cap = l->cap ? 2 * l->cap : 8;
        jt_jval *p = jt_jalloc(r, cap, sizeof *p);
        if (!p) return false;
        if (l->n) memcpy(p, l->v, l->n * sizeof *p);
        l->v = p, l->cap = cap;
    }
    l->v[l->n++] = v;
    return true;
}

jt_jdict *jt_jdict_new(jt_jrun *r) { return jt_jalloc(r, 1, sizeof(jt_jdict)); }

enum { HASH_NUMBER = 11, HASH_TEXT, HASH_TUPLE, HASH_OTHER };
static uint64_t hash_number(jt_jval v) {
    double f = jt_jfloat(v);
    if (v.kind == JT_J_FLOAT && (f != floor(f) || fabs(f) >= 9e18)) return jt_hash_bytes(HASH_NUMBER, &f, sizeof f);
    return jt_hash_u64(HASH_NUMBER, (uint64_t)(v.kind == JT_J_FLOAT ? (int64_t)f : jt_jint(v)));
}

bool jt_jhash(jt_jrun *r, jt_jval v, uint64_t *out) {
    switch (v.kind) {
    case JT_J_BOOL:
    case JT_J_INT:
    case JT_J_FLOAT: return *out = hash_number(v), true;
    case JT_J_STR: return *out = jt_hash_bytes(HASH_TEXT, v.s->s, v.s->n), jt_jstep(r, v.s->n / 64);
    case JT_J_TUPLE: {
        uint64_t h = HASH_TUPLE, one;
        bool ok = jt_jenter(r);
        if (!ok) return false;
        for (size_t i = 0; ok && i < v.list->n; i++)
            if ((ok = jt_jhash(r, v.list->v[i], &one))) h = jt_hash_u64(h, one);
        *out = h;
        return jt_jleave(r, ok);
    }
    case JT_J_LIST:
    case JT_J_DICT:
    case JT_J_VIEW: return jt_jfail(r, JT_FORMAT, "unhashable type: '%s'", jt_jkind_name(v));
    default: return *out = jt_hash_u64(HASH_OTHER, (uint64_t)v.kind), true;
    }
}

/* The place in d->p, or SIZE_MAX; false on failure. */
static bool dict_find(jt_jrun *r, const jt_jdict *d, jt_jval key, uint64_t hash, size_t *out) {
    bool same = false;
    *out = SIZE_MAX;
    if (!d->slot) {
        for (size_t i = 0; i < d->n; i++) {
            if (d->p[i].hash != hash) continue;
            if (!jt_jequal(r, d->p[i].key, key, &same)) return false;
            if (same) return *out = i, true;
        }
        return true;
    }
    for (size_t k = hash & (d->slots - 1); d->slot[k]; k = (k + 1) & (d->slots - 1)) {
        size_t i = d->slot[k] - 1;
        if (d->p[i].hash != hash) continue;
        if (!jt_jequal(r, d->p[i].key, key, &same)) return false;
        if (same) return *out = i, true;
    }
    return true;
}

static void dict_place(jt_jdict *d, size_t i) {
    size_t k = d->p[i].hash & (d->slots - 1);
    while (d->slot[k]) k = (k + 1) & (d->slots - 1);
    d->slot[k] = (uint32_t)i + 1;
}

static bool dict_room(jt_jrun *r, jt_jdict *d) {
    if (d->n == d->cap) {
        size_t cap = d->cap ? 2 * d->cap : 4;
        jt_jpair *p = jt_jalloc(r, cap, sizeof *p);
        if (!p) return false;
        if (d->n) memcpy(p, d->p, d->n * sizeof *p);
        d->p = p, d->cap = cap;
    }
    if (d->n < 8 || 2 * (d->n + 1) <= d->slots) return true;
    size_t slots = d->slots ? 2 * d->slots : 32;
    uint32_t *slot = jt_jalloc(r, slots, sizeof *slot);
    if (!slot) return false;
    d->slot = slot, d->slots = slots;
    for (size_t i = 0; i < d->n; i++) dict_place(d, i);
    return true;
}

bool jt_jdict_set(jt_jrun *r, jt_jdict *d, jt_jval key, jt_jval value) {
    uint64_t hash;
    size_t i;
    if (!jt_jhash(r, key, &hash) || !dict_find(r, d, key, hash, &i)) return false;
    if (i != SIZE_MAX) {
        d->p[i].value = value;
        return true;
    }
    if (!dict_room(r, d)) return false;
    d->p[d->n++] = (jt_jpair){key, value, hash};
    if (d->slot) dict_place(d, d->n - 1);
    return true;
}

bool jt_jdict_get(jt_jrun *r, const jt_jdict *d, jt_jval key, const jt_jval **out) {
    uint64_t hash;
    size_t i;
    *out = NULL;
    if (!jt_jhash(r, key, &hash) || !dict_find(r, d, key, hash, &i)) return false;
    if (i != SIZE_MAX) *out = &d->p[i].value;
    return true;
}

const jt_jval *jt_jdict_text(const jt_jdict *d, const char *key, size_t n) {
    uint64_t hash = jt_hash_bytes(HASH_TEXT, key, n);
    size_t k = d->slot ? hash & (d->slots - 1) : 0;
    for (size_t i = 0; d->slot ? d->slot[k] != 0 : i < d->n; i++) {
        const jt_jpair *p = &d->p[d->slot ? d->slot[k] - 1 : i];
        if (p->hash == hash && p->key.kind == JT_J_STR && p->key.s->n == n && !memcmp(p->key.s->s, key, n)) return &p->value;
        if (d->slot) k = (k + 1) & (d->slots - 1);
    }
    return NULL;
}

/* ---- questions ---- */

const char *jt_jkind_name(jt_jval v) {
    static const char *const name[] = {"missing", "Undefined", "NoneType", "bool",        "int",    "float",    "str",
                                       "list",    "tuple",     "dict",     "dict_keys",   "range",  "iterator", "Namespace",
                                       "Macro",   "function",  "method",   "LoopContext", "Cycler", "Joiner"};
    static const char *const views[] = {"dict_keys", "dict_values", "dict_items"};
    if (v.kind == JT_J_VIEW) return views[v.view->kind];
    if (v.kind == JT_J_ITER) return jt_jiter_name(v.iter);
    if (v.kind == JT_J_STR && v.s->markup) return "Markup";
    return name[v.kind];
}

jt_jval jt_jundefined(jt_jrun *r, const char *fmt, ...) {
    char text[300];
    va_list ap;
    va_start(ap, fmt);
    vsnprintf(text, sizeof text, fmt, ap);
    va_end(ap);
    jt_jwhy *why = jt_jalloc(r, 1, sizeof *why);
    jt_jbuf b = {.r = r};
    if (why && jt_jbuf_add(&b, text, jt_utf8_whole(text, strlen(text)) + 1, NULL) && b.s) {
        b.s[b.n - 1] = 0;
        why->text = b.s;
    }
    return (jt_jval){.kind = JT_J_UNDEFINED, .why = why};
}

bool jt_jundefined_used(jt_jrun *r, jt_jval v) {
    return jt_jfail(r, JT_FORMAT, "%s", v.why && v.why->text ? v.why->text : "an undefined value is used");
}

bool jt_jlen(jt_jrun *r, jt_jval v, size_t *out) {
    switch (v.kind) {
    case JT_J_UNDEFINED: return *out = 0, true;
    case JT_J_STR: return *out = v.s->len, true;
    case JT_J_LIST:
    case JT_J_TUPLE: return *out = v.list->n, true;
    case JT_J_DICT: return *out = v.dict->n, true;
    case JT_J_VIEW: return *out = v.view->dict->n, true;
    case JT_J_RANGE: return *out = v.range->n, true;
    case JT_J_LOOP: return jt_jloop_length(r, v.loop, out);
    default: return jt_jfail(r, JT_FORMAT, "object of type '%s' has no len()", jt_jkind_name(v));
    }
}

bool jt_jtruth(jt_jrun *r, jt_jval v, bool *out) {
    size_t n;
    switch (v.kind) {
    case JT_J_MISSING:
    case JT_J_UNDEFINED:
    case JT_J_NONE: return *out = false, true;
    case JT_J_BOOL: return *out = v.b, true;
    case JT_J_INT: return *out = v.i != 0, true;
    case JT_J_FLOAT: return *out = v.f != 0, true;
    case JT_J_STR:
    case JT_J_LIST:
    case JT_J_TUPLE:
    case JT_J_DICT:
    case JT_J_VIEW:
    case JT_J_RANGE:
    case JT_J_LOOP:
        if (!jt_jlen(r, v, &n)) return false;
        return *out = n != 0, true;
    default: return *out = true, true;
    }
}

static bool lists_equal(jt_jrun *r, const jt_jlist *a, const jt_jlist *b, bool *out) {
    *out = a->n == b->n;
    if (!*out) return true;
    bool ok = jt_jenter(r);
    if (!ok) return false;
    for (size_t i = 0; ok && *out && i < a->n; i++) ok = jt_jequal(r, a->v[i], b->v[i], out) && jt_jstep(r, 1);
    return jt_jleave(r, ok);
}

static bool dicts_equal(jt_jrun *r, const jt_jdict *a, const jt_jdict *b, bool *out) {
    *out = a->n == b->n;
    if (!*out) return true;
    bool ok = jt_jenter(r);
    if (!ok) return false;
    for (size_t i = 0; ok && *out && i < a->n; i++) {
        const jt_jval *other;
        ok = jt_jdict_get(r, b, a->p[i].key, &other) && jt_jstep(r, 1);
        *out = ok && other;
        if (*out) ok = jt_jequal(r, a->p[i].value, *other, out);
    }
    return jt_jleave(r, ok);
}

/* An integer and a float are equal as numbers, not as doubles. */
static bool numbers_equal(jt_jval a, jt_jval b) {
    if (a.kind != JT_J_FLOAT && b.kind != JT_J_FLOAT) return jt_jint(a) == jt_jint(b);
    if (a.kind == JT_J_FLOAT && b.kind == JT_J_FLOAT) return a.f == b.f;
    double f = a.kind == JT_J_FLOAT ? a.f : b.f;
    int64_t i = jt_jint(a.kind == JT_J_FLOAT ? b : a);
    return f == floor(f) && f >= -9223372036854775808.0 && f < 9223372036854775808.0 && (int64_t)f == i;
}

bool jt_jsame(jt_jval a, jt_jval b) {
    if (a.kind != b.kind) return false;
    switch (a.kind) {
    case JT_J_NONE:
    case JT_J_MISSING: return true;
    case JT_J_BOOL: return a.b == b.b;
    case JT_J_INT: return a.i == b.i;
    case JT_J_FLOAT: return a.f == b.f;
    case JT_J_STR: return a.s == b.s || (a.s->n <= 1 && jt_jstr_equal(a.s, b.s));
    default: return a.list == b.list;
    }
}

bool jt_jequal(jt_jrun *r, jt_jval a, jt_jval b, bool *out) {
    *out = false;
    if (jt_jis_number(a) && jt_jis_number(b)) return *out = numbers_equal(a, b), true;
    if (a.kind != b.kind) return true;
    switch (a.kind) {
    case JT_J_UNDEFINED: return *out = true, true;
    case JT_J_STR: return *out = jt_jstr_equal(a.s, b.s), jt_jstep(r, a.s->n / 256);
    case JT_J_LIST:
    case JT_J_TUPLE: return lists_equal(r, a.list, b.list, out);
    case JT_J_DICT: return dicts_equal(r, a.dict, b.dict, out);
    case JT_J_RANGE:
        *out = a.range->n == b.range->n &&
               (!a.range->n || (a.range->start == b.range->start && (a.range->n == 1 || a.range->step == b.range->step)));
        return true;
    case JT_J_METHOD: return *out = jt_jmethod_same(a.method, b.method), true;
    default: return *out = jt_jsame(a, b), true;
    }
}

static bool lists_less(jt_jrun *r, const jt_jlist *a, const jt_jlist *b, const char *op, bool *out) {
    bool same = true, ok = jt_jenter(r);
    size_t i = 0;
    if (!ok) return false;
    for (; ok && i < a->n && i < b->n; i++) {
        ok = jt_jequal(r, a->v[i], b->v[i], &same) && jt_jstep(r, 1);
        if (!same) break;
    }
    if (ok && i < a->n && i < b->n)
        ok = jt_jless(r, a->v[i], b->v[i], op, out);
    else
        *out = a->n < b->n;
    return jt_jleave(r, ok);
}

bool jt_jless(jt_jrun *r, jt_jval a, jt_jval b, const char *op, bool *out) {
    if (jt_jis_number(a) && jt_jis_number(b)) {
        *out = a.kind != JT_J_FLOAT && b.kind != JT_J_FLOAT ? jt_jint(a) < jt_jint(b)
               : a.kind == b.kind                           ? a.f < b.f
                                                            : (long double)jt_jfloat(a) < (long double)jt_jfloat(b);
        return true;
    }
    if (a.kind == JT_J_UNDEFINED) return jt_jundefined_used(r, a);
    if (b.kind == JT_J_UNDEFINED) return jt_jundefined_used(r, b);
    if (a.kind == JT_J_STR && b.kind == JT_J_STR) return *out = jt_jstr_order(a.s, b.s) < 0, jt_jstep(r, a.s->n / 256);
    if (a.kind == b.kind && (a.kind == JT_J_LIST || a.kind == JT_J_TUPLE)) return lists_less(r, a.list, b.list, op, out);
    return jt_jfail(r, JT_FORMAT, "'%s' not supported between instances of '%s' and '%s'", op, jt_jkind_name(a), jt_jkind_name(b));
}

bool jt_jin(jt_jrun *r, jt_jval item, jt_jval of, bool *out) {
    const jt_jval *v;
    *out = false;
    switch (of.kind) {
    case JT_J_STR:
        if (item.kind != JT_J_STR)
            return jt_jfail(r, JT_FORMAT, "'in <string>' requires string as left operand, not %s", jt_jkind_name(item));
        return *out = jt_jstr_find(of.s, item.s, 0) != SIZE_MAX, jt_jstep(r, of.s->n / 64);
    case JT_J_DICT:
        if (!jt_jdict_get(r, of.dict, item, &v)) return false;
        return *out = v != NULL, true;
    case JT_J_VIEW:
        if (of.view->kind != JT_J_KEYS) break;
        if (!jt_jdict_get(r, of.view->dict, item, &v)) return false;
        return *out = v != NULL, true;
    default: break;
    }
    if (!jt_jiterable(of)) return jt_jfail(r, JT_FORMAT, "argument of type '%s' is not iterable", jt_jkind_name(of));
    jt_jiter *it = jt_jiter_new(r, of);
    jt_jval one;
    for (bool done = false; it;) {
        if (!jt_jiter_next(r, it, &one, &done)) return false;
        if (done) return true;
        if (jt_jsame(one, item)) return *out = true, true;
        if (!jt_jequal(r, one, item, out)) return false;
        if (*out) return true;
    }
    return false;
}

bool jt_jwant_int(jt_jrun *r, jt_jval v, const char *what, int64_t *out) {
    if (v.kind == JT_J_UNDEFINED) return jt_jundefined_used(r, v);
    if (v.kind != JT_J_INT && v.kind != JT_J_BOOL)
        return jt_jfail(r, JT_FORMAT, "%s: '%s' where an integer is wanted", what, jt_jkind_name(v));
    *out = jt_jint(v);
    return true;
}

bool jt_jwant_str(jt_jrun *r, jt_jval v, const char *what, const jt_jstr **out) {
    if (v.kind == JT_J_UNDEFINED) return jt_jundefined_used(r, v);
    if (v.kind != JT_J_STR) return jt_jfail(r, JT_FORMAT, "%s: '%s' where a string is wanted", what, jt_jkind_name(v));
    *out = v.s;
    return true;
}

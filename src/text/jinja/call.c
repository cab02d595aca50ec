/* call.c: calls, and the members and methods of values that are no text. */
#include <stdio.h>
#include <string.h>

#include "text/jinja/node.h"

bool jt_jargs_bind(jt_jrun *r, const char *what, const jt_jargs *a, const char *names, size_t least, jt_jval *out) {
    size_t n = 0, used = 0;
    bool by_name = names[0] != '/';
    if (!by_name) names++;
    for (const char *p = names; *p;) {
        size_t len = strcspn(p, " ");
        out[n] = n < a->n_pos ? a->pos[n] : (jt_jval){.kind = JT_J_MISSING};
        const jt_jval *v = by_name && a->named ? jt_jdict_text(a->named, p, len) : NULL;
        if (v && n < a->n_pos) return jt_jfail(r, JT_FORMAT, "%s() got multiple values for argument '%.*s'", what, (int)len, p);
        if (v) out[n] = *v, used++;
        n++, p += len;
        p += strspn(p, " ");
    }
    if (a->n_pos > n) return jt_jfail(r, JT_FORMAT, "%s() takes %zu argument(s) but %zu were given", what, n, a->n_pos);
    if (a->named && used < a->named->n) return jt_jfail(r, JT_FORMAT, "%s() got a keyword argument that it does not take", what);
    for (size_t i = 0; i < least; i++)
        if (out[i].kind == JT_J_MISSING) return jt_jfail(r, JT_FORMAT, "%s() is missing argument %zu", what, i + 1);
    return true;
}

bool jt_jcall_value(jt_jrun *r, jt_jval f, const jt_jargs *a, jt_jval *out) {
    jt_jval none[1];
    switch (f.kind) {
    case JT_J_UNDEFINED: return jt_jundefined_used(r, f);
    case JT_J_MACRO: return jt_jcall_macro(r, f.macro, a, out);
    case JT_J_FUNCTION: return f.function->call(r, a, out);
    case JT_J_METHOD:
        if (!f.method->row->call)
            return jt_jfail(r, JT_UNSUPPORTED, "the method \"%s\" of '%s' is not supported", f.method->row->name,
                            jt_jkind_name(f.method->self));
        return f.method->row->call(r, &f.method->self, a, out);
    case JT_J_LOOP: return jt_jloop_call(r, f.loop, a, out);
    case JT_J_JOINER:
        if (!jt_jargs_bind(r, "joiner", a, "", 0, none)) return false;
        if (f.joiner->used) return *out = f.joiner->sep, true;
        f.joiner->used = true;
        return jt_jval_text(r, "", out);
    default: return jt_jfail(r, JT_FORMAT, "'%s' object is not callable", jt_jkind_name(f));
    }
}

bool jt_jmethod_same(const jt_jmethod *a, const jt_jmethod *b) { return a->row == b->row && jt_jsame(a->self, b->self); }

/* ---- methods of dicts ---- */

static bool dict_view(jt_jrun *r, const jt_jval *self, const jt_jargs *a, jt_jview_kind kind, jt_jval *out) {
    jt_jval none[1];
    struct jt_jview *v = jt_jalloc(r, 1, sizeof *v);
    if (!v || !jt_jargs_bind(r, "a view of a dict", a, "", 0, none)) return false;
    *v = (struct jt_jview){self->dict, kind};
    *out = (jt_jval){.kind = JT_J_VIEW, .view = v};
    return true;
}
static bool dict_keys(jt_jrun *r, const jt_jval *s, const jt_jargs *a, jt_jval *out) { return dict_view(r, s, a, JT_J_KEYS, out); }
static bool dict_values(jt_jrun *r, const jt_jval *s, const jt_jargs *a, jt_jval *out) { return dict_view(r, s, a, JT_J_VALUES, out); }
static bool dict_items(jt_jrun *r, const jt_jval *s, const jt_jargs *a, jt_jval *out) { return dict_view(r, s, a, JT_J_ITEMS, out); }

static bool dict_get(jt_jrun *r, const jt_jval *self, const jt_jargs *a, jt_jval *out) {
    jt_jval v[2];
    const jt_jval *got;
    if (!jt_jargs_bind(r, "get", a, "/key default", 1, v) || !jt_jdict_get(r, self->dict, v[0], &got)) return false;
    *out = got ? *got : v[1].kind == JT_J_MISSING ? JT_JNONE : v[1];
    return true;
}

static bool dict_copy(jt_jrun *r, const jt_jval *self, const jt_jargs *a, jt_jval *out) {
    jt_jval none[1];
    *out = *self; /* nothing can change it */
    return jt_jargs_bind(r, "copy", a, "", 0, none);
}

static const jt_jmethod_row dict_methods[] = {
    {"get", dict_get},          {"items", dict_items},  {"keys", dict_keys},   {"values", dict_values},
    {"copy", dict_copy},        {"fromkeys", NULL},     {"pop", NULL, true},   {"popitem", NULL, true},
    {"setdefault", NULL, true}, {"update", NULL, true}, {"clear", NULL, true}, {0},
};

/* ---- methods of lists and tuples ---- */

static bool list_count(jt_jrun *r, const jt_jval *self, const jt_jargs *a, jt_jval *out) {
    jt_jval v[1];
    int64_t n = 0;
    if (!jt_jargs_bind(r, "count", a, "/value", 1, v)) return false;
    for (size_t i = 0; i < self->list->n; i++) {
        bool same = jt_jsame(self->list->v[i], v[0]);
        if (!same && (!jt_jequal(r, self->list->v[i], v[0], &same) || !jt_jstep(r, 1))) return false;
        n += same;
    }
    *out = jt_jinteger(n);
    return true;
}

static bool list_index(jt_jrun *r, const jt_jval *self, const jt_jargs *a, jt_jval *out) {
    jt_jval v[3];
    int64_t n = (int64_t)self->list->n, from = 0, to = n;
    if (!jt_jargs_bind(r, "index", a, "/value start stop", 1, v)) return false;
    if (v[1].kind != JT_J_MISSING && !jt_jwant_int(r, v[1], "index()", &from)) return false;
    if (v[2].kind != JT_J_MISSING && !jt_jwant_int(r, v[2], "index()", &to)) return false;
    if (from < 0 && (from += n) < 0) from = 0;
    if (to < 0) to += n;
    for (int64_t i = from; i < to && i < n; i++) {
        bool same = jt_jsame(self->list->v[i], v[0]);
        if (!same && (!jt_jequal(r, self->list->v[i], v[0], &same) || !jt_jstep(r, 1))) return false;
        if (same) return *out = jt_jinteger(i), true;
    }
    return jt_jfail(r, JT_FORMAT, "index(): the value is not in the %s", jt_jkind_name(*self));
}

static bool list_copy(jt_jrun *r, const jt_jval *self, const jt_jargs *a, jt_jval *out) {
    jt_jval none[1];
    *out = *self;
    return jt_jargs_bind(r, "copy", a, "", 0, none);
}

static const jt_jmethod_row list_methods[] = {
    {"count", list_count},  {"index", list_index},   {"copy", list_copy},    {"append", NULL, true},
    {"clear", NULL, true},  {"extend", NULL, true},  {"insert", NULL, true}, {"pop", NULL, true},
    {"remove", NULL, true}, {"reverse", NULL, true}, {"sort", NULL, true},   {0},
};
static const jt_jmethod_row tuple_methods[] = {{"count", list_count}, {"index", list_index}, {0}};

/* ---- methods of numbers ---- */

static bool float_is_integer(jt_jrun *r, const jt_jval *self, const jt_jargs *a, jt_jval *out) {
    jt_jval none[1];
    *out = jt_jbool(self->f - self->f == 0 && self->f == __builtin_floor(self->f));
    return jt_jargs_bind(r, "is_integer", a, "", 0, none);
}

static bool int_bit_length(jt_jrun *r, const jt_jval *self, const jt_jargs *a, jt_jval *out) {
    jt_jval none[1];
    int64_t i = jt_jint(*self), n = 0;
    for (uint64_t u = i < 0 ? 0 - (uint64_t)i : (uint64_t)i; u; u >>= 1) n++;
    *out = jt_jinteger(n);
    return jt_jargs_bind(r, "bit_length", a, "", 0, none);
}

static bool int_bit_count(jt_jrun *r, const jt_jval *self, const jt_jargs *a, jt_jval *out) {
    jt_jval none[1];
    int64_t i = jt_jint(*self);
    *out = jt_jinteger(__builtin_popcountll(i < 0 ? 0 - (uint64_t)i : (uint64_t)i));
    return jt_jargs_bind(r, "bit_count", a, "", 0, none);
}

static bool number_itself(jt_jrun *r, const jt_jval *self, const jt_jargs *a, jt_jval *out) {
    jt_jval none[1];
    *out = self->kind == JT_J_FLOAT ? *self : jt_jinteger(jt_jint(*self));
    return jt_jargs_bind(r, "conjugate", a, "", 0, none);
}

static const jt_jmethod_row int_methods[] = {{"bit_length", int_bit_length},
                                             {"bit_count", int_bit_count},
                                             {"conjugate", number_itself},
                                             {"as_integer_ratio", NULL},
                                             {"to_bytes", NULL},
                                             {"from_bytes", NULL},
                                             {0}};
static const jt_jmethod_row float_methods[] = {
    {"is_integer", float_is_integer}, {"conjugate", number_itself}, {"as_integer_ratio", NULL}, {"hex", NULL}, {"fromhex", NULL}, {0}};

/* ---- methods of loops and cyclers ---- */

static bool loop_cycle(jt_jrun *r, const jt_jval *self, const jt_jargs *a, jt_jval *out) {
    if (!a->n_pos || a->named) return jt_jfail(r, JT_FORMAT, "no items for cycling given");
    *out = a->pos[(size_t)self->loop->index0 % a->n_pos];
    return true;
}

static bool loop_changed(jt_jrun *r, const jt_jval *self, const jt_jargs *a, jt_jval *out) {
    jt_jlist *l = jt_jlist_new(r, a->n_pos);
    bool same = false;
    if (!l) return false;
    for (size_t i = 0; i < a->n_pos; i++) l->v[l->n++] = a->pos[i];
    jt_jval now = {.kind = JT_J_TUPLE, .list = l};
    if (self->loop->changed.kind == JT_J_TUPLE && !jt_jequal(r, self->loop->changed, now, &same)) return false;
    if (!same) self->loop->changed = now;
    *out = jt_jbool(!same);
    return true;
}

static const jt_jmethod_row loop_methods[] = {{"cycle", loop_cycle}, {"changed", loop_changed}, {0}};

static bool cycler_next(jt_jrun *r, const jt_jval *self, const jt_jargs *a, jt_jval *out) {
    jt_jval none[1];
    struct jt_jcycler *c = self->cycler;
    *out = c->item[c->at];
    c->at = (c->at + 1) % c->n;
    return jt_jargs_bind(r, "next", a, "", 0, none);
}

static bool cycler_reset(jt_jrun *r, const jt_jval *self, const jt_jargs *a, jt_jval *out) {
    jt_jval none[1];
    self->cycler->at = 0;
    *out = JT_JNONE;
    return jt_jargs_bind(r, "reset", a, "", 0, none);
}

static const jt_jmethod_row cycler_methods[] = {{"next", cycler_next}, {"reset", cycler_reset}, {0}};
static const jt_jmethod_row range_methods[] = {{"count", NULL}, {"index", NULL}, {0}};
static const jt_jmethod_row view_methods[] = {{"isdisjoint", NULL}, {"mapping", NULL}, {0}};

/* ---- members ---- */

static bool member_value(jt_jrun *r, jt_jval v, const jt_jstr *name, jt_jval *out, bool *found) {
    *found = true;
    if (v.kind == JT_J_LOOP) return jt_jloop_member(r, v.loop, name, out, found);
    if (v.kind == JT_J_CYCLER && jt_jstr_is(name, "current")) return *out = v.cycler->item[v.cycler->at], true;
    if (v.kind == JT_J_TUPLE && v.list->group && v.list->n == 2) {
        if (jt_jstr_is(name, "grouper")) return *out = v.list->v[0], true;
        if (jt_jstr_is(name, "list")) return *out = v.list->v[1], true;
    }
    if (v.kind == JT_J_NAMESPACE) {
        const jt_jval *got = jt_jdict_text(v.dict, name->s, name->n);
        if (got) return *out = *got, true;
    }
    if (v.kind == JT_J_MACRO && jt_jstr_is(name, "name")) {
        if (!v.macro->node->name) return *out = JT_JNONE, true;
        return *out = jt_jstring(v.macro->node->name), true;
    }
    if (v.kind == JT_J_INT || v.kind == JT_J_BOOL || v.kind == JT_J_FLOAT) {
        if (jt_jstr_is(name, "real")) return *out = v.kind == JT_J_FLOAT ? v : jt_jinteger(jt_jint(v)), true;
        if (jt_jstr_is(name, "imag")) return *out = v.kind == JT_J_FLOAT ? jt_jreal(0) : jt_jinteger(0), true;
        if (v.kind != JT_J_FLOAT && jt_jstr_is(name, "numerator")) return *out = jt_jinteger(jt_jint(v)), true;
        if (v.kind != JT_J_FLOAT && jt_jstr_is(name, "denominator")) return *out = jt_jinteger(1), true;
    }
    if (v.kind == JT_J_RANGE) {
        if (jt_jstr_is(name, "start")) return *out = jt_jinteger(v.range->start), true;
        if (jt_jstr_is(name, "stop")) return *out = jt_jinteger(v.range->stop), true;
        if (jt_jstr_is(name, "step")) return *out = jt_jinteger(v.range->step), true;
    }
    *found = false;
    return true;
}

bool jt_jattribute(jt_jrun *r, jt_jval v, const jt_jstr *name, jt_jval *out, bool *found) {
    static const jt_jmethod_row *const rows[] = {
        [JT_J_BOOL] = int_methods,    [JT_J_INT] = int_methods,     [JT_J_FLOAT] = float_methods,   [JT_J_STR] = jt_jmethods_text,
        [JT_J_LIST] = list_methods,   [JT_J_TUPLE] = tuple_methods, [JT_J_DICT] = dict_methods,     [JT_J_VIEW] = view_methods,
        [JT_J_RANGE] = range_methods, [JT_J_LOOP] = loop_methods,   [JT_J_CYCLER] = cycler_methods, [JT_J_JOINER] = NULL};
    if (!member_value(r, v, name, out, found)) return false;
    if (*found) return true;
    bool own = name->n > 4 && !memcmp(name->s, "__", 2) && !memcmp(name->s + name->n - 2, "__", 2);
    for (const jt_jmethod_row *m = rows[v.kind]; m && m->name; m++) {
        if (!jt_jstr_is(name, m->name)) continue;
        *found = true;
        if (m->changes) {
            *out = jt_jundefined(r, "access to attribute '%s' of '%s' object is unsafe: templates cannot change values", m->name,
                                 jt_jkind_name(v));
            return !r->status;
        }
        jt_jmethod *o = jt_jalloc(r, 1, sizeof *o);
        if (!o) return false;
        *o = (jt_jmethod){v, m};
        *out = (jt_jval){.kind = JT_J_METHOD, .method = o};
        return true;
    }
    if (own) { /* Python's own names: there, and never safe */
        *found = true;
        *out = jt_jundefined(r, "access to attribute '%.*s' of '%s' object is unsafe", (int)(name->n < 60 ? name->n : 60), name->s,
                             jt_jkind_name(v));
    }
    return !r->status;
}

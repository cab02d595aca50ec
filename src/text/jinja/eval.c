/* eval.c: expressions. */
#include <stdio.h>
#include <string.h>

#include "text/jinja/node.h"

/* ---- names ---- */

static bool lookup(jt_jrun *r, const jt_jstr *name, const jt_jscope *s, jt_jval *out) {
    for (; s; s = s->up)
        for (size_t i = s->n; i-- > 0;)
            if (jt_jstr_equal(s->var[i].name, name)) return *out = s->var[i].value, true;
    const jt_jval *v = r->given ? jt_jdict_text(r->given, name->s, name->n) : NULL;
    if (v) return *out = *v, true;
    if (jt_jglobal(name, out)) return true;
    if (jt_jstr_is(name, "self")) return jt_jfail(r, JT_UNSUPPORTED, "\"self\", the template as a value, is not supported");
    *out = jt_jundefined(r, "'%.*s' is undefined", (int)(name->n < 80 ? name->n : 80), name->s);
    return !r->status;
}

/* ---- members ---- */

static jt_jval no_member(jt_jrun *r, jt_jval v, jt_jval key) {
    if (key.kind == JT_J_STR)
        return jt_jundefined(r, "'%s object' has no attribute '%.*s'", jt_jkind_name(v), (int)(key.s->n < 80 ? key.s->n : 80), key.s->s);
    if (key.kind == JT_J_INT) return jt_jundefined(r, "%s object has no element %lld", jt_jkind_name(v), (long long)key.i);
    return jt_jundefined(r, "%s object has no such element", jt_jkind_name(v));
}

/* v[key]; *found is false where Python would raise TypeError or LookupError. */
static bool subscript(jt_jrun *r, jt_jval v, jt_jval key, jt_jval *out, bool *found) {
    size_t n = 0;
    *found = false;
    if (v.kind == JT_J_DICT) {
        const jt_jval *got = NULL;
        if (key.kind == JT_J_LIST || key.kind == JT_J_DICT) return true;
        if (!jt_jdict_get(r, v.dict, key, &got)) return false;
        if (got) *out = *got, *found = true;
        return true;
    }
    if (v.kind != JT_J_STR && v.kind != JT_J_LIST && v.kind != JT_J_TUPLE && v.kind != JT_J_RANGE) return true;
    if (key.kind != JT_J_INT && key.kind != JT_J_BOOL) return true;
    if (!jt_jlen(r, v, &n)) return false;
    int64_t i = jt_jint(key);
    if (i < 0) i += (int64_t)n;
    if (i < 0 || (size_t)i >= n) return true;
    *found = true;
    if (v.kind == JT_J_STR) {
        size_t from = jt_jstr_place(v.s, (size_t)i), to = from + 1;
        while (to < v.s->n && ((unsigned char)v.s->s[to] & 0xc0) == 0x80) to++;
        *out = jt_jstring(jt_jstr_cut(r, v.s, from, to));
        return out->s && jt_jstep(r, v.s->len == v.s->n ? 0 : v.s->n / 64);
    }
    *out = v.kind == JT_J_RANGE ? jt_jinteger(v.range->start + i * v.range->step) : v.list->v[i];
    return true;
}

bool jt_jget_item(jt_jrun *r, jt_jval v, jt_jval key, jt_jval *out) {
    bool found;
    if (v.kind == JT_J_UNDEFINED) return jt_jundefined_used(r, v);
    if (!subscript(r, v, key, out, &found)) return false;
    if (!found && key.kind == JT_J_STR && !jt_jattribute(r, v, key.s, out, &found)) return false;
    if (!found) *out = no_member(r, v, key);
    return !r->status;
}

bool jt_jget_attr(jt_jrun *r, jt_jval v, const jt_jstr *name, jt_jval *out) {
    bool found;
    if (v.kind == JT_J_UNDEFINED) return jt_jundefined_used(r, v);
    if (!jt_jattribute(r, v, name, out, &found)) return false;
    if (!found && !subscript(r, v, jt_jstring(name), out, &found)) return false;
    if (!found) *out = no_member(r, v, jt_jstring(name));
    return !r->status;
}

/* start, stop and step of a slice over n items, as Python's slice.indices gives them. */
static bool slice_bounds(jt_jrun *r, const jt_jval part[3], size_t n, int64_t *start, int64_t *stop, int64_t *step) {
    int64_t len = (int64_t)n, v[3] = {0};
    bool given[3];
    for (int i = 0; i < 3; i++) {
        given[i] = part[i].kind != JT_J_MISSING && part[i].kind != JT_J_NONE;
        if (given[i] && part[i].kind != JT_J_INT && part[i].kind != JT_J_BOOL)
            return jt_jfail(r, JT_FORMAT, "slice indices must be integers or None or have an __index__ method");
        if (given[i]) v[i] = jt_jint(part[i]);
    }
    *step = given[2] ? v[2] : 1;
    if (!*step) return jt_jfail(r, JT_FORMAT, "slice step cannot be zero");
    int64_t low = *step < 0 ? -1 : 0, high = *step < 0 ? len - 1 : len;
    for (int i = 0; i < 2; i++) {
        if (v[i] < 0 && (v[i] += len) < low) v[i] = low;
        if (v[i] > high) v[i] = high;
    }
    *start = given[0] ? v[0] : *step < 0 ? high : low;
    *stop = given[1] ? v[1] : *step < 0 ? low : high;
    return true;
}

bool jt_jslice(jt_jrun *r, jt_jval v, const jt_jval part[3], jt_jval *out) {
    int64_t start = 0, stop = 0, step = 1;
    size_t n = 0;
    if (v.kind == JT_J_UNDEFINED) return jt_jundefined_used(r, v);
    if (v.kind != JT_J_STR && v.kind != JT_J_LIST && v.kind != JT_J_TUPLE && v.kind != JT_J_RANGE)
        return jt_jfail(r, JT_FORMAT, "'%s' object has no slices", jt_jkind_name(v));
    if (!jt_jlen(r, v, &n) || !slice_bounds(r, part, n, &start, &stop, &step)) return false;
    if (v.kind == JT_J_RANGE) return jt_jfail(r, JT_UNSUPPORTED, "a slice of a range is not supported; turn it into a list first");
    if (v.kind == JT_J_STR && step == 1) {
        const jt_jstr *s = start < stop ? jt_jstr_cut(r, v.s, jt_jstr_place(v.s, (size_t)start), jt_jstr_place(v.s, (size_t)stop))
                                        : jt_jstr_cut(r, v.s, 0, 0);
        *out = jt_jstring(s);
        return s && jt_jstep(r, v.s->len == v.s->n ? 0 : v.s->n / 32);
    }
    jt_jbuf b = {.r = r};
    jt_jlist *l = v.kind == JT_J_STR ? NULL : jt_jlist_new(r, 0);
    if (v.kind != JT_J_STR && !l) return false;
    size_t at = v.kind == JT_J_STR && start >= 0 ? jt_jstr_place(v.s, (size_t)start) : 0;
    for (int64_t i = start; step > 0 ? i < stop : i > stop;) {
        if (!jt_jstep(r, 1)) return false;
        if (l && !jt_jlist_push(r, l, v.list->v[i])) return false;
        if (!l) {
            size_t end = at + 1;
            while (end < v.s->n && ((unsigned char)v.s->s[end] & 0xc0) == 0x80) end++;
            if (!jt_jbuf_part(&b, v.s, at, end)) return false;
        }
        if (__builtin_add_overflow(i, step, &i)) break;
        if (!l && step < 0 && i > stop)
            for (int64_t k = step; k; k++) do
                    at--;
                while (((unsigned char)v.s->s[at] & 0xc0) == 0x80);
        if (!l && step > 0 && i < stop)
            for (int64_t k = step; k; k--) do
                    at++;
                while (at < v.s->n && ((unsigned char)v.s->s[at] & 0xc0) == 0x80);
    }
    if (l) return *out = (jt_jval){.kind = v.kind, .list = l}, true;
    const jt_jstr *s = jt_jbuf_end(&b);
    if (s) s = jt_jstr_as(r, s, v.s->markup);
    *out = jt_jstring(s);
    return s != NULL;
}

/* ---- the kinds of nodes ---- */

static bool eval_items(jt_jrun *r, const jt_jnode *n, jt_jscope *s, jt_jval *out) {
    jt_jlist *l = jt_jlist_new(r, n->n_kid);
    for (size_t i = 0; l && i < n->n_kid; i++, l->n++)
        if (!jt_jeval(r, n->kid[i], s, &l->v[i])) return false;
    *out = (jt_jval){.kind = n->kind == JT_JN_LIST ? JT_J_LIST : JT_J_TUPLE, .list = l};
    return l != NULL;
}

static bool eval_dict(jt_jrun *r, const jt_jnode *n, jt_jscope *s, jt_jval *out) {
    jt_jdict *d = jt_jdict_new(r);
    jt_jval key, value;
    for (size_t i = 0; d && i < n->n_kid; i += 2)
        if (!jt_jeval(r, n->kid[i], s, &key) || !jt_jeval(r, n->kid[i + 1], s, &value) || !jt_jdict_set(r, d, key, value)) return false;
    *out = (jt_jval){.kind = JT_J_DICT, .dict = d};
    return d != NULL;
}

/* Made of literals alone: the reference computes it before the template runs, with other rules for errors. */
static bool is_constant(const jt_jnode *n) {
    if (!n) return true;
    if (n->kind == JT_JN_NAME || n->kind == JT_JN_CALL) return false;
    for (size_t i = 0; i < n->n_kid; i++)
        if (!is_constant(n->kid[i])) return false;
    for (size_t i = 0; n->call && i < n->call->n_pos; i++)
        if (!is_constant(n->call->pos[i])) return false;
    for (size_t i = 0; n->call && i < n->call->n_named; i++)
        if (!is_constant(n->call->named[i])) return false;
    if (n->call && (n->call->star || n->call->stars)) return false;
    return is_constant(n->a) && is_constant(n->b) && is_constant(n->c);
}

static bool eval_item(jt_jrun *r, const jt_jnode *n, jt_jscope *s, jt_jval *out) {
    jt_jval v, key, part[3] = {{0}};
    if (!jt_jeval(r, n->a, s, &v)) return false;
    if (n->b->kind != JT_JN_SLICE) {
        if (!jt_jeval(r, n->b, s, &key)) return false;
        r->at = n;
        return jt_jget_item(r, v, key, out);
    }
    const jt_jnode *of[3] = {n->b->a, n->b->b, n->b->c};
    for (int i = 0; i < 3; i++)
        if (of[i] && !jt_jeval(r, of[i], s, &part[i])) return false;
    r->at = n;
    bool whole = v.kind == JT_J_STR || v.kind == JT_J_LIST || v.kind == JT_J_TUPLE || v.kind == JT_J_RANGE || v.kind == JT_J_UNDEFINED;
    if (!whole && is_constant(n)) {
        *out = no_member(r, v, JT_JNONE);
        return !r->status;
    }
    return jt_jslice(r, v, part, out);
}

static bool eval_attr(jt_jrun *r, const jt_jnode *n, jt_jscope *s, jt_jval *out) {
    jt_jval v;
    if (!jt_jeval(r, n->a, s, &v)) return false;
    r->at = n;
    return jt_jget_attr(r, v, n->name, out);
}

bool jt_jeval_args(jt_jrun *r, const jt_jcall *c, jt_jscope *s, const jt_jval *first, jt_jargs *out) {
    jt_jlist *l = jt_jlist_new(r, c->n_pos + 1);
    jt_jdict *named = c->n_named || c->stars ? jt_jdict_new(r) : NULL;
    jt_jval v;
    if (!l || ((c->n_named || c->stars) && !named)) return false;
    if (first) l->v[l->n++] = *first;
    for (size_t i = 0; i < c->n_pos; i++, l->n++)
        if (!jt_jeval(r, c->pos[i], s, &l->v[l->n])) return false;
    if (c->star) {
        if (!jt_jeval(r, c->star, s, &v)) return false;
        jt_jlist *more = jt_jlist_of(r, v);
        for (size_t i = 0; more && i < more->n; i++)
            if (!jt_jlist_push(r, l, more->v[i])) return false;
        if (!more) return false;
    }
    for (size_t i = 0; i < c->n_named; i++)
        if (!jt_jeval(r, c->named[i], s, &v) || !jt_jdict_set(r, named, jt_jstring(c->name[i]), v)) return false;
    if (c->stars) {
        if (!jt_jeval(r, c->stars, s, &v)) return false;
        if (v.kind != JT_J_DICT) return jt_jfail(r, JT_FORMAT, "argument after ** must be a mapping, not %s", jt_jkind_name(v));
        for (size_t i = 0; i < v.dict->n; i++) {
            const jt_jval key = v.dict->p[i].key;
            if (key.kind != JT_J_STR) return jt_jfail(r, JT_FORMAT, "keywords must be strings");
            if (jt_jdict_text(named, key.s->s, key.s->n)) return jt_jfail(r, JT_FORMAT, "a call gives one keyword argument twice");
            if (!jt_jdict_set(r, named, key, v.dict->p[i].value)) return false;
        }
    }
    *out = (jt_jargs){l->v, l->n, named};
    return true;
}

static bool eval_call(jt_jrun *r, const jt_jnode *n, jt_jscope *s, jt_jval *out) {
    jt_jval f;
    jt_jargs a;
    if (!jt_jeval(r, n->a, s, &f) || !jt_jeval_args(r, n->call, s, NULL, &a)) return false;
    r->at = n;
    return jt_jcall_value(r, f, &a, out);
}

static bool eval_applied(jt_jrun *r, const jt_jnode *n, jt_jscope *s, jt_jval *out) {
    jt_jval v;
    jt_jargs a;
    if (!jt_jeval(r, n->a, s, &v) || !jt_jeval_args(r, n->call, s, &v, &a)) return false;
    r->at = n;
    if (!n->function)
        return jt_jfail(r, JT_UNSUPPORTED, "no %s is called \"%.*s\"", n->kind == JT_JN_FILTER ? "filter" : "test",
                        (int)(n->name->n < 60 ? n->name->n : 60), n->name->s);
    return n->function->call(r, &a, out);
}

static bool eval_concat(jt_jrun *r, const jt_jnode *n, jt_jscope *s, jt_jval *out) {
    jt_jbuf b = {.r = r};
    jt_jval v;
    for (size_t i = 0; i < n->n_kid; i++)
        if (!jt_jeval(r, n->kid[i], s, &v) || !jt_jbuf_text(&b, v)) return false;
    *out = jt_jstring(jt_jbuf_end(&b));
    return out->s != NULL;
}

static bool compare(jt_jrun *r, int op, jt_jval a, jt_jval b, bool *out) {
    bool ok = true;
    switch (op) {
    case JT_JC_EQ: return jt_jequal(r, a, b, out);
    case JT_JC_NE: ok = jt_jequal(r, a, b, out); break;
    case JT_JC_LT: return jt_jless(r, a, b, "<", out);
    case JT_JC_GT: return jt_jless(r, b, a, ">", out);
    case JT_JC_IN: return jt_jin(r, a, b, out);
    case JT_JC_NOTIN: ok = jt_jin(r, a, b, out); break;
    default: { /* <= and >=: not the other way round, but never with what has no order */
        bool le = op == JT_JC_LE, same;
        if (!jt_jless(r, le ? a : b, le ? b : a, le ? "<=" : ">=", out)) return false;
        if (*out) return true;
        if (!jt_jequal(r, a, b, &same)) return false;
        return *out = same, true;
    }
    }
    *out = !*out;
    return ok;
}

static bool eval_compare(jt_jrun *r, const jt_jnode *n, jt_jscope *s, jt_jval *out) {
    jt_jval a, b;
    bool yes = true;
    if (!jt_jeval(r, n->a, s, &a)) return false;
    for (size_t i = 0; yes && i < n->n_kid; i++) {
        if (!jt_jeval(r, n->kid[i], s, &b)) return false;
        r->at = n;
        if (!compare(r, n->ops[i], a, b, &yes)) return false;
        a = b;
    }
    *out = jt_jbool(yes);
    return true;
}

static bool eval_logic(jt_jrun *r, const jt_jnode *n, jt_jscope *s, jt_jval *out) {
    bool yes;
    if (!jt_jeval(r, n->a, s, out) || !jt_jtruth(r, *out, &yes)) return false;
    if (n->kind == JT_JN_NOT) return *out = jt_jbool(!yes), true;
    return yes == (n->kind == JT_JN_OR) ? true : jt_jeval(r, n->b, s, out);
}

static bool eval_cond(jt_jrun *r, const jt_jnode *n, jt_jscope *s, jt_jval *out) {
    bool yes;
    if (!jt_jeval(r, n->a, s, out) || !jt_jtruth(r, *out, &yes)) return false;
    if (yes || n->c) return jt_jeval(r, yes ? n->b : n->c, s, out);
    *out = jt_jundefined(r, "the inline if-expression on line %u evaluated to false and no else section was defined", n->line);
    return !r->status;
}

static bool eval_unary(jt_jrun *r, const jt_jnode *n, jt_jscope *s, jt_jval *out) {
    jt_jval v;
    if (!jt_jeval(r, n->a, s, &v)) return false;
    r->at = n;
    return jt_jsign(r, n->kind == JT_JN_NEG, v, out);
}

static bool eval_binary(jt_jrun *r, const jt_jnode *n, jt_jscope *s, jt_jval *out) {
    jt_jval a, b;
    if (!jt_jeval(r, n->a, s, &a) || !jt_jeval(r, n->b, s, &b)) return false;
    r->at = n;
    return jt_joperate(r, (jt_jop)n->op, a, b, out);
}

static bool eval_kind(jt_jrun *r, const jt_jnode *n, jt_jscope *s, jt_jval *out) {
    switch ((jt_jnode_kind)n->kind) {
    case JT_JN_TUPLE:
    case JT_JN_LIST: return eval_items(r, n, s, out);
    case JT_JN_DICT: return eval_dict(r, n, s, out);
    case JT_JN_ATTR: return eval_attr(r, n, s, out);
    case JT_JN_ITEM: return eval_item(r, n, s, out);
    case JT_JN_CALL: return eval_call(r, n, s, out);
    case JT_JN_FILTER:
    case JT_JN_TEST: return eval_applied(r, n, s, out);
    case JT_JN_NOT:
    case JT_JN_AND:
    case JT_JN_OR: return eval_logic(r, n, s, out);
    case JT_JN_NEG:
    case JT_JN_POS: return eval_unary(r, n, s, out);
    case JT_JN_BINARY: return eval_binary(r, n, s, out);
    case JT_JN_CONCAT: return eval_concat(r, n, s, out);
    case JT_JN_COMPARE: return eval_compare(r, n, s, out);
    default: return eval_cond(r, n, s, out);
    }
}

bool jt_jeval(jt_jrun *r, const jt_jnode *n, jt_jscope *s, jt_jval *out) {
    r->at = n;
    if (n->kind == JT_JN_CONST) return *out = n->value, true;
    if (n->kind == JT_JN_NAME) return lookup(r, n->name, s, out) && jt_jstep(r, 1);
    if (!jt_jenter(r)) return false;
    return jt_jleave(r, eval_kind(r, n, s, out));
}

/* exec.c: statements, loops, macros. */
#include <string.h>

#include "text/jinja/node.h"

/* ---- names ---- */

jt_jscope *jt_jscope_new(jt_jrun *r, jt_jscope *up) {
    jt_jscope *s = jt_jalloc(r, 1, sizeof *s);
    if (s) s->up = up;
    return s;
}

bool jt_jscope_set(jt_jrun *r, jt_jscope *s, const jt_jstr *name, jt_jval v) {
    for (size_t i = 0; i < s->n; i++)
        if (jt_jstr_equal(s->var[i].name, name)) return s->var[i].value = v, true;
    if (s->n == s->cap) {
        size_t cap = s->cap ? 2 * s->cap : 4;
        jt_jvar *var = jt_jalloc(r, cap, sizeof *var);
        if (!var) return false;
        if (s->n) memcpy(var, s->var, s->n * sizeof *var);
        s->var = var, s->cap = cap;
    }
    s->var[s->n++] = (jt_jvar){name, v};
    return true;
}

void jt_jscope_keep(jt_jscope *s) {
    for (; s && !s->kept; s = s->up) s->kept = true;
}

static bool assign_member(jt_jrun *r, const jt_jnode *n, jt_jval v, jt_jscope *s) {
    jt_jnode name = {.kind = JT_JN_NAME, .name = n->name, .line = n->line, .column = n->column};
    jt_jval space;
    bool ok = jt_jeval(r, &name, s, &space);
    r->at = n;
    if (!ok) return false;
    if (space.kind != JT_J_NAMESPACE) return jt_jfail(r, JT_FORMAT, "cannot assign attribute on non-namespace object");
    if (n->name2->n && n->name2->s[0] == '_')
        return jt_jfail(r, JT_FORMAT, "a chat template cannot give a namespace a member whose name begins with an underscore");
    return jt_jdict_set(r, space.dict, jt_jstring(n->name2), v);
}

bool jt_jassign(jt_jrun *r, const jt_jnode *target, jt_jval v, jt_jscope *s) {
    r->at = target;
    if (target->kind == JT_JN_NAME) return jt_jscope_set(r, s, target->name, v);
    if (target->kind == JT_JN_NSREF) return assign_member(r, target, v, s);
    jt_jiter *it = jt_jiter_new(r, v);
    jt_jlist *l = it ? jt_jlist_new(r, target->n_kid) : NULL;
    jt_jval one;
    bool done = false;
    for (size_t i = 0; l && i <= target->n_kid; i++) {
        if (!jt_jiter_next(r, it, &one, &done)) return false;
        if (done && i < target->n_kid)
            return jt_jfail(r, JT_FORMAT, "not enough values to unpack (expected %zu, got %zu)", target->n_kid, i);
        if (!done && i == target->n_kid) return jt_jfail(r, JT_FORMAT, "too many values to unpack (expected %zu)", target->n_kid);
        if (!done) l->v[l->n++] = one;
    }
    for (size_t i = 0; l && i < l->n; i++)
        if (!jt_jassign(r, target->kid[i], l->v[i], s)) return false;
    return l != NULL;
}

/* ---- loops ---- */

/* The items of a loop that pass its condition. */
typedef struct loop_filter {
    jt_jiter *it;
    const jt_jnode *n;
    jt_jscope *s;
} loop_filter;

static bool filter_next(jt_jrun *r, void *self, jt_jval *out, bool *done) {
    loop_filter *f = self;
    jt_jval v;
    for (bool yes = false;;) {
        if (!jt_jiter_next(r, f->it, out, done)) return false;
        if (*done) return true;
        jt_jscope *s = jt_jscope_new(r, f->s);
        if (!s || !jt_jassign(r, f->n->a, *out, s) || !jt_jeval(r, f->n->c, s, &v) || !jt_jtruth(r, v, &yes)) return false;
        if (yes) return true;
    }
}

static bool loop_next(jt_jrun *r, jt_jloop *l, bool *done) {
    jt_jval v = l->after;
    *done = false;
    l->after.kind = JT_J_MISSING;
    if (v.kind == JT_J_MISSING && !jt_jiter_next(r, l->it, &v, done)) return false;
    if (*done) return true;
    l->index0++;
    l->before = l->current, l->current = v;
    return true;
}

static bool loop_peek(jt_jrun *r, jt_jloop *l, bool *last) {
    *last = false;
    return l->after.kind != JT_J_MISSING ||
           (jt_jiter_next(r, l->it, &l->after, last) && (*last ? (l->after.kind = JT_J_MISSING, true) : true));
}

/* What has no length is read to its end to be counted. */
bool jt_jloop_length(jt_jrun *r, jt_jloop *l, size_t *out) {
    if (!l->known) {
        if (l->over.kind != JT_J_ITER) {
            if (!jt_jlen(r, l->over, &l->length)) return false;
        } else {
            jt_jlist *rest = jt_jlist_of(r, (jt_jval){.kind = JT_J_ITER, .iter = l->it});
            if (!rest || !(l->it = jt_jiter_new(r, (jt_jval){.kind = JT_J_LIST, .list = rest}))) return false;
            l->length = rest->n + (size_t)(l->index0 + 1) + (l->after.kind != JT_J_MISSING);
        }
        l->known = true;
    }
    *out = l->length;
    return true;
}

bool jt_jloop_member(jt_jrun *r, jt_jloop *l, const jt_jstr *name, jt_jval *out, bool *found) {
    size_t n = 0;
    bool last;
    *found = true;
    if (jt_jstr_is(name, "index0")) return *out = jt_jinteger(l->index0), true;
    if (jt_jstr_is(name, "index")) return *out = jt_jinteger(l->index0 + 1), true;
    if (jt_jstr_is(name, "first")) return *out = jt_jbool(l->index0 == 0), true;
    if (jt_jstr_is(name, "depth0")) return *out = jt_jinteger(l->depth0), true;
    if (jt_jstr_is(name, "depth")) return *out = jt_jinteger(l->depth0 + 1), true;
    if (jt_jstr_is(name, "length")) return jt_jloop_length(r, l, &n) && (*out = jt_jinteger((int64_t)n), true);
    if (jt_jstr_is(name, "revindex0")) return jt_jloop_length(r, l, &n) && (*out = jt_jinteger((int64_t)n - l->index0 - 1), true);
    if (jt_jstr_is(name, "revindex")) return jt_jloop_length(r, l, &n) && (*out = jt_jinteger((int64_t)n - l->index0), true);
    if (jt_jstr_is(name, "last")) return loop_peek(r, l, &last) && (*out = jt_jbool(last), true);
    if (jt_jstr_is(name, "previtem")) {
        *out = l->index0 ? l->before : jt_jundefined(r, "there is no previous item");
        return !r->status;
    }
    if (jt_jstr_is(name, "nextitem")) {
        if (!loop_peek(r, l, &last)) return false;
        *out = last ? jt_jundefined(r, "there is no next item") : l->after;
        return !r->status;
    }
    *found = false;
    return true;
}

static const jt_jstr loop_name = {.s = "loop", .n = 4, .len = 4}, caller_name = {.s = "caller", .n = 6, .len = 6},
                     kwargs_name = {.s = "kwargs", .n = 6, .len = 6}, varargs_name = {.s = "varargs", .n = 7, .len = 7};

bool jt_jexec_for(jt_jrun *r, const jt_jnode *n, jt_jval over, jt_jscope *s, int depth0, jt_jbuf *out) {
    jt_jloop *l = jt_jalloc(r, 1, sizeof *l);
    jt_jscope *in = NULL;
    bool done = false, any = false;
    jt_jflow flow = JT_JF_ON;
    r->at = n->b;
    if (!l || !(l->it = jt_jiter_new(r, over))) return false;
    l->over = over, l->index0 = -1, l->depth0 = depth0, l->node = n->op ? n : NULL, l->scope = s;
    if (n->c) {
        loop_filter *f = jt_jalloc(r, 1, sizeof *f);
        if (!f) return false;
        *f = (loop_filter){l->it, n, s};
        if (!(l->it = jt_jiter_of(r, filter_next, f, "generator"))) return false;
        l->over = (jt_jval){.kind = JT_J_ITER, .iter = l->it};
    }
    for (;;) {
        r->at = n->b;
        if (!loop_next(r, l, &done)) return false;
        if (done) break;
        if (!in || in->kept) {
            if (!(in = jt_jscope_new(r, s))) return false;
        } else {
            in->n = 0;
        }
        if (!jt_jscope_set(r, in, &loop_name, (jt_jval){.kind = JT_J_LOOP, .loop = l}) || !jt_jassign(r, n->a, l->current, in))
            return false;
        flow = jt_jexec(r, n->kid, n->n_kid, in, out);
        if (flow == JT_JF_FAILED) return false;
        if (flow == JT_JF_BREAK) break;
        if (flow == JT_JF_ON) any = true; /* only a turn that came to its end keeps the else from running, as in the reference */
    }
    if (any || !n->n_kid2) return true;
    in = jt_jscope_new(r, s);
    return in && jt_jexec(r, n->kid2, n->n_kid2, in, out) != JT_JF_FAILED;
}

/* loop(items) in a recursive loop: its text. */
bool jt_jloop_call(jt_jrun *r, jt_jloop *l, const jt_jargs *a, jt_jval *out) {
    if (!l->node) return jt_jfail(r, JT_FORMAT, "the loop must have the 'recursive' marker to be called recursively");
    if (a->n_pos != 1 || a->named) return jt_jfail(r, JT_FORMAT, "loop() takes one argument, the items");
    jt_jbuf b = {.r = r};
    if (!jt_jenter(r)) return false;
    if (!jt_jleave(r, jt_jexec_for(r, l->node, a->pos[0], l->scope, l->depth0 + 1, &b))) return false;
    *out = jt_jstring(jt_jbuf_end(&b));
    return out->s != NULL;
}

/* ---- macros ---- */

static bool macro_extra(jt_jrun *r, const jt_jmacro *m, const jt_jargs *a, const bool *used, bool caller, jt_jscope *s) {
    const jt_jparams *p = m->node->params;
    jt_jdict *rest = jt_jdict_new(r);
    if (!rest) return false;
    for (size_t i = 0; a->named && i < a->named->n; i++)
        if (!used[i] && !jt_jdict_set(r, rest, a->named->p[i].key, a->named->p[i].value)) return false;
    if (p->kwargs) {
        if (!jt_jscope_set(r, s, &kwargs_name, (jt_jval){.kind = JT_J_DICT, .dict = rest})) return false;
    } else if (rest->n) {
        const jt_jstr *k = rest->p[0].key.s;
        return jt_jfail(r, JT_FORMAT, "macro '%s' takes no keyword argument '%.*s'%s", m->name, (int)(k->n < 60 ? k->n : 60), k->s,
                        caller ? ", or gets a second caller" : "");
    }
    jt_jlist *var = jt_jlist_new(r, 0);
    for (size_t i = p->n; var && i < a->n_pos; i++)
        if (!jt_jlist_push(r, var, a->pos[i])) return false;
    if (!var) return false;
    if (p->varargs) return jt_jscope_set(r, s, &varargs_name, (jt_jval){.kind = JT_J_TUPLE, .list = var});
    return !var->n || jt_jfail(r, JT_FORMAT, "macro '%s' takes not more than %zu argument(s)", m->name, p->n);
}

/* Parameters get their values in the macro's own scope, defaults in order, so that one may name those before it. */
static bool macro_bind(jt_jrun *r, const jt_jmacro *m, const jt_jargs *a, jt_jscope *s) {
    const jt_jparams *p = m->node->params;
    bool *used = jt_jalloc(r, a->named ? a->named->n : 0, sizeof *used);
    jt_jval *value = jt_jalloc(r, p->n, sizeof *value);
    bool explicit_caller = false;
    if (!used || !value) return false;
    for (size_t i = 0; i < p->n; i++) {
        if (i < a->n_pos) value[i] = a->pos[i];
        if (jt_jstr_is(p->name[i], "caller")) explicit_caller = true;
        for (size_t k = 0; i >= a->n_pos && a->named && k < a->named->n; k++)
            if (jt_jstr_equal(a->named->p[k].key.s, p->name[i])) value[i] = a->named->p[k].value, used[k] = true;
    }
    if (p->caller && !explicit_caller) {
        jt_jval caller = {.kind = JT_J_MISSING};
        for (size_t k = 0; a->named && k < a->named->n; k++)
            if (jt_jstr_is(a->named->p[k].key.s, "caller")) caller = a->named->p[k].value, used[k] = true;
        if (caller.kind == JT_J_MISSING || caller.kind == JT_J_NONE) caller = jt_jundefined(r, "No caller defined");
        if (!jt_jscope_set(r, s, &caller_name, caller)) return false;
    }
    if (!macro_extra(r, m, a, used, p->caller || explicit_caller, s)) return false;
    for (size_t i = 0; i < p->n; i++) {
        size_t first = p->n - p->n_fallback;
        if (value[i].kind == JT_J_MISSING && i >= first) {
            if (!jt_jeval(r, p->fallback[i - first], s, &value[i])) return false;
        } else if (value[i].kind == JT_J_MISSING) {
            value[i] = jt_jundefined(r, "parameter '%.*s' was not provided", (int)(p->name[i]->n < 60 ? p->name[i]->n : 60), p->name[i]->s);
        }
        if (!jt_jscope_set(r, s, p->name[i], value[i])) return false;
    }
    return !r->status;
}

bool jt_jcall_macro(jt_jrun *r, jt_jmacro *m, const jt_jargs *a, jt_jval *out) {
    jt_jscope *s = jt_jscope_new(r, m->scope);
    jt_jbuf b = {.r = r};
    if (!s || !jt_jenter(r)) return false;
    r->depth += 4;
    bool ok = macro_bind(r, m, a, s) && jt_jexec(r, m->node->kid, m->node->n_kid, s, &b) != JT_JF_FAILED;
    r->depth -= 4;
    if (!jt_jleave(r, ok)) return false;
    *out = jt_jstring(jt_jbuf_end(&b));
    return out->s != NULL;
}

static bool new_macro(jt_jrun *r, const jt_jnode *n, jt_jscope *s, const char *name, jt_jval *out) {
    jt_jmacro *m = jt_jalloc(r, 1, sizeof *m);
    if (!m) return false;
    *m = (jt_jmacro){n, s, name};
    if (n->name && n->kind == JT_JN_MACRO) {
        char *text = jt_jalloc(r, n->name->n + 1, 1);
        if (!text) return false;
        memcpy(text, n->name->s, n->name->n);
        m->name = text;
    }
    jt_jscope_keep(s);
    *out = (jt_jval){.kind = JT_J_MACRO, .macro = m};
    return true;
}

/* ---- statements ---- */

static bool exec_call(jt_jrun *r, const jt_jnode *n, jt_jscope *s, jt_jbuf *out) {
    jt_jval f, caller, v;
    jt_jargs a;
    if (!new_macro(r, n, s, "caller", &caller)) return false;
    r->at = n->a;
    if (!jt_jeval(r, n->a->a, s, &f) || !jt_jeval_args(r, n->a->call, s, NULL, &a)) return false;
    jt_jdict *named = jt_jdict_new(r);
    for (size_t i = 0; named && a.named && i < a.named->n; i++)
        if (!jt_jdict_set(r, named, a.named->p[i].key, a.named->p[i].value)) return false;
    if (!named || !jt_jdict_set(r, named, jt_jstring(&caller_name), caller)) return false;
    a.named = named;
    r->at = n->a;
    return jt_jcall_value(r, f, &a, &v) && jt_jbuf_text(out, v);
}

static bool add_span(jt_jrun *r, size_t begin, size_t end) {
    if (r->n_span == r->cap_span) {
        size_t cap = r->cap_span ? 2 * r->cap_span : 8;
        jt_jspan *p = jt_jalloc(r, cap, sizeof *p);
        if (!p) return false;
        if (r->n_span) memcpy(p, r->span, r->n_span * sizeof *p);
        r->span = p, r->cap_span = cap;
    }
    r->span[r->n_span++] = (jt_jspan){begin, end};
    return true;
}

/* The body is a macro without parameters, as in transformers: what it sets stays in it. */
static bool exec_generation(jt_jrun *r, const jt_jnode *n, jt_jscope *s, jt_jbuf *out) {
    jt_jval m, v;
    size_t begin = r->out->n;
    if (!new_macro(r, n, s, "caller", &m) || !jt_jcall_macro(r, m.macro, &(jt_jargs){0}, &v) || !add_span(r, begin, begin + v.s->n))
        return false;
    return jt_jbuf_str(out, v.s);
}

/* A captured text through filters; the innermost one has no value of its own. */
static bool apply_filters(jt_jrun *r, const jt_jnode *f, jt_jval text, jt_jscope *s, jt_jval *out) {
    jt_jargs a;
    if (f->a && !apply_filters(r, f->a, text, s, &text)) return false;
    r->at = f;
    if (!jt_jeval_args(r, f->call, s, &text, &a)) return false;
    if (!f->function)
        return jt_jfail(r, JT_UNSUPPORTED, "no filter is called \"%.*s\"", (int)(f->name->n < 60 ? f->name->n : 60), f->name->s);
    return f->function->call(r, &a, out);
}

/* The text of a body, in a scope of its own. */
static jt_jflow capture(jt_jrun *r, const jt_jnode *n, jt_jscope *s, jt_jval *out) {
    jt_jbuf b = {.r = r};
    jt_jscope *in = jt_jscope_new(r, s);
    jt_jflow flow = in ? jt_jexec(r, n->kid, n->n_kid, in, &b) : JT_JF_FAILED;
    if (flow != JT_JF_ON) return flow;
    *out = jt_jstring(jt_jbuf_end(&b));
    if (!out->s || (n->b && !apply_filters(r, n->b, *out, s, out))) return JT_JF_FAILED;
    return JT_JF_ON;
}

static jt_jflow exec_with(jt_jrun *r, const jt_jnode *n, jt_jscope *s, jt_jbuf *out) {
    jt_jscope *in = jt_jscope_new(r, s);
    jt_jval v;
    for (size_t i = 0; in && i < n->n_kid2; i += 2)
        if (!jt_jeval(r, n->kid2[i + 1], s, &v) || !jt_jassign(r, n->kid2[i], v, in)) return JT_JF_FAILED;
    return in ? jt_jexec(r, n->kid, n->n_kid, in, out) : JT_JF_FAILED;
}

static jt_jflow exec_one(jt_jrun *r, const jt_jnode *n, jt_jscope *s, jt_jbuf *out) {
    jt_jval v;
    bool ok = true, yes;
    jt_jflow flow;
    switch ((jt_jnode_kind)n->kind) {
    case JT_JN_DATA: ok = jt_jbuf_str(out, n->value.s); break;
    case JT_JN_PRINT: ok = jt_jeval(r, n->a, s, &v) && (r->at = n, jt_jbuf_text(out, v)); break;
    case JT_JN_IF:
        if (!jt_jeval(r, n->a, s, &v) || !jt_jtruth(r, v, &yes)) return JT_JF_FAILED;
        return yes ? jt_jexec(r, n->kid, n->n_kid, s, out) : jt_jexec(r, n->kid2, n->n_kid2, s, out);
    case JT_JN_FOR:
        if (!jt_jeval(r, n->b, s, &v)) return JT_JF_FAILED;
        if (n->op) { /* a recursive loop is a function: its text comes when it is done */
            jt_jbuf b = {.r = r};
            ok = jt_jexec_for(r, n, v, s, 0, &b) && jt_jbuf_add(out, b.s, b.n, b.marked ? b.m : NULL);
        } else {
            ok = jt_jexec_for(r, n, v, s, 0, out);
        }
        break;
    case JT_JN_SET: ok = jt_jeval(r, n->b, s, &v) && jt_jassign(r, n->a, v, s); break;
    case JT_JN_SETBLOCK:
        if ((flow = capture(r, n, s, &v)) != JT_JF_ON) return flow;
        ok = jt_jassign(r, n->a, v, s);
        break;
    case JT_JN_FILTERBLOCK:
        if ((flow = capture(r, n, s, &v)) != JT_JF_ON) return flow;
        ok = jt_jbuf_text(out, v);
        break;
    case JT_JN_MACRO: ok = new_macro(r, n, s, NULL, &v) && jt_jscope_set(r, s, n->name, v); break;
    case JT_JN_CALLBLOCK: ok = exec_call(r, n, s, out); break;
    case JT_JN_GENERATION: ok = exec_generation(r, n, s, out); break;
    case JT_JN_WITH: return exec_with(r, n, s, out);
    case JT_JN_SCOPE: return jt_jexec(r, n->kid, n->n_kid, s, out);
    case JT_JN_BLOCK: /* sees the template's own names; those of loops around it only if it is scoped */
    {
        jt_jscope *in = jt_jscope_new(r, n->op ? s : r->root);
        return in ? jt_jexec(r, n->kid, n->n_kid, in, out) : JT_JF_FAILED;
    }
    case JT_JN_BREAK: return JT_JF_BREAK;
    default: return JT_JF_CONTINUE;
    }
    return ok ? JT_JF_ON : JT_JF_FAILED;
}

jt_jflow jt_jexec(jt_jrun *r, jt_jnode *const *kid, size_t n, jt_jscope *s, jt_jbuf *out) {
    for (size_t i = 0; i < n; i++) {
        r->at = kid[i];
        if (!jt_jenter(r)) return JT_JF_FAILED;
        jt_jflow flow = exec_one(r, kid[i], s, out);
        r->depth--;
        if (flow != JT_JF_ON) return flow;
    }
    return JT_JF_ON;
}

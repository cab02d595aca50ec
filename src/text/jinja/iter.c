/* iter.c: going through values once. Iterators that filters make are lazy, as the reference's generators are: what they ask of
 * an item is asked when it is taken. */
#include <string.h>

#include "text/jinja/node.h"

struct jt_jiter {
    jt_jval over; /* a string, list, tuple, dict, view or range; or NONE for what `next` gives */
    size_t at;
    bool back;
    jt_jnext *next;
    void *self;
    const char *name;
};

bool jt_jiterable(jt_jval v) {
    switch (v.kind) {
    case JT_J_UNDEFINED:
    case JT_J_STR:
    case JT_J_LIST:
    case JT_J_TUPLE:
    case JT_J_DICT:
    case JT_J_VIEW:
    case JT_J_RANGE:
    case JT_J_LOOP:
    case JT_J_ITER: return true;
    default: return false;
    }
}

/* A loop gives what is left of it, each with the loop itself. */
static bool iter_loop(jt_jrun *r, void *self, jt_jval *out, bool *done) {
    (void)self, (void)out, (void)done;
    return jt_jfail(r, JT_UNSUPPORTED, "a loop that goes through \"loop\" itself is not supported");
}

jt_jiter *jt_jiter_of(jt_jrun *r, jt_jnext *next, void *self, const char *name) {
    jt_jiter *it = jt_jalloc(r, 1, sizeof *it);
    if (it) *it = (jt_jiter){.over = JT_JNONE, .next = next, .self = self, .name = name};
    return it;
}

jt_jiter *jt_jiter_new(jt_jrun *r, jt_jval v) {
    if (v.kind == JT_J_ITER) return v.iter;
    if (!jt_jiterable(v)) return jt_jfail_set(r, JT_FORMAT, "'%s' object is not iterable", jt_jkind_name(v)), NULL;
    jt_jiter *it = jt_jiter_of(r, v.kind == JT_J_LOOP ? iter_loop : NULL, NULL, "iterator");
    if (it && v.kind != JT_J_LOOP) it->over = v;
    return it;
}

jt_jiter *jt_jiter_back(jt_jrun *r, jt_jval v) {
    static const char *const name[] = {[JT_J_STR] = "reversed",
                                       [JT_J_LIST] = "list_reverseiterator",
                                       [JT_J_TUPLE] = "reversed",
                                       [JT_J_DICT] = "dict_reversekeyiterator",
                                       [JT_J_VIEW] = "dict_reverseiterator",
                                       [JT_J_RANGE] = "range_iterator"};
    if (v.kind < JT_J_STR || v.kind > JT_J_RANGE) {
        if (v.kind == JT_J_UNDEFINED) return jt_jundefined_used(r, v), NULL;
        return jt_jfail_set(r, JT_FORMAT, "'%s' object is not reversible", jt_jkind_name(v)), NULL;
    }
    jt_jiter *it = jt_jiter_of(r, NULL, NULL, name[v.kind]);
    if (it) it->over = v, it->back = true;
    return it;
}

const char *jt_jiter_name(const jt_jiter *it) { return it->name; }

static bool iter_pair(jt_jrun *r, const jt_jpair *p, jt_jval *out) {
    jt_jlist *l = jt_jlist_new(r, 2);
    if (!l) return false;
    l->v[0] = p->key, l->v[1] = p->value, l->n = 2;
    *out = (jt_jval){.kind = JT_J_TUPLE, .list = l};
    return true;
}

static bool iter_text(jt_jrun *r, jt_jiter *it, jt_jval *out, bool *done) {
    const jt_jstr *s = it->over.s;
    size_t from, to;
    *done = it->at >= s->n;
    if (*done) return true;
    if (it->back) {
        to = s->n - it->at, from = to - 1;
        while (from && ((unsigned char)s->s[from] & 0xc0) == 0x80) from--;
    } else {
        from = it->at, to = from + 1;
        while (to < s->n && ((unsigned char)s->s[to] & 0xc0) == 0x80) to++;
    }
    it->at += to - from;
    const jt_jstr *one = jt_jstr_cut(r, s, from, to);
    if (one) one = jt_jstr_as(r, one, false);
    *out = jt_jstring(one);
    return one != NULL;
}

bool jt_jiter_next(jt_jrun *r, jt_jiter *it, jt_jval *out, bool *done) {
    size_t n = 0;
    *done = false;
    if (!jt_jstep(r, 1)) return false;
    if (it->next) {
        if (!jt_jenter(r)) return false;
        return jt_jleave(r, it->next(r, it->self, out, done));
    }
    if (it->over.kind == JT_J_STR) return iter_text(r, it, out, done);
    if (it->over.kind == JT_J_UNDEFINED || it->over.kind == JT_J_NONE) return *done = true;
    if (!jt_jlen(r, it->over, &n)) return false;
    if (it->at >= n) return *done = true;
    size_t i = it->back ? n - 1 - it->at : it->at;
    it->at++;
    switch (it->over.kind) {
    case JT_J_LIST:
    case JT_J_TUPLE: *out = it->over.list->v[i]; return true;
    case JT_J_DICT: *out = it->over.dict->p[i].key; return true;
    case JT_J_RANGE: *out = jt_jinteger(it->over.range->start + (int64_t)i * it->over.range->step); return true;
    default: break;
    }
    const struct jt_jview *v = it->over.view;
    if (v->kind == JT_J_ITEMS) return iter_pair(r, &v->dict->p[i], out);
    *out = v->kind == JT_J_KEYS ? v->dict->p[i].key : v->dict->p[i].value;
    return true;
}

jt_jlist *jt_jlist_of(jt_jrun *r, jt_jval v) {
    jt_jiter *it = jt_jiter_new(r, v);
    jt_jlist *l = it ? jt_jlist_new(r, 0) : NULL;
    jt_jval one;
    for (bool done = false; l;) {
        if (!jt_jiter_next(r, it, &one, &done)) return NULL;
        if (done) break;
        if (!jt_jlist_push(r, l, one)) return NULL;
    }
    return l;
}

/* filters_list.c: filters that go through items. */
#include <string.h>

#include "text/jinja/node.h"
#include "text/jinja/strings.h"

static bool give_list(jt_jlist *l, jt_jval *out) {
    *out = (jt_jval){.kind = JT_J_LIST, .list = l};
    return l != NULL;
}

static bool give_iter(jt_jiter *it, jt_jval *out) {
    *out = (jt_jval){.kind = JT_J_ITER, .iter = it};
    return it != NULL;
}

static bool given(jt_jval v) { return v.kind != JT_J_MISSING && v.kind != JT_J_NONE; }

/* ---- what is asked of an item ---- */

/* A path of members such as "function.name"; empty: the item itself. */
typedef struct getter {
    jt_jlist *part;
    jt_jval fallback; /* MISSING: none */
    bool fold;        /* texts in lower case */
} getter;

static bool getter_path(jt_jrun *r, const jt_jstr *s, size_t from, size_t to, jt_jlist *l) {
    for (size_t at = from;;) {
        size_t end = at;
        int64_t i;
        while (end < to && s->s[end] != '.') end++;
        const jt_jstr *part = jt_jstr_cut(r, s, at, end);
        if (!part) return false;
        bool digits = part->n && strspn(part->s, "0123456789") >= part->n && jt_read_i64(part->s, part->n, &i);
        if (!jt_jlist_push(r, l, digits ? jt_jinteger(i) : jt_jstring(part))) return false;
        if (end == to) return true;
        at = end + 1;
    }
}

static bool getter_init(jt_jrun *r, jt_jval attribute, bool fold, getter *g) {
    *g = (getter){jt_jlist_new(r, 0), {.kind = JT_J_MISSING}, fold};
    if (!g->part || !given(attribute)) return g->part != NULL;
    if (attribute.kind == JT_J_STR) {
        /* strspn needs an end of the text */
        char *copy = jt_jalloc(r, attribute.s->n + 1, 1);
        if (!copy) return false;
        memcpy(copy, attribute.s->s, attribute.s->n);
        const jt_jstr *s = jt_jstr_new(r, copy, attribute.s->n, attribute.s->m);
        return s && getter_path(r, s, 0, s->n, g->part);
    }
    return jt_jlist_push(r, g->part, attribute);
}

static bool fold_case(jt_jrun *r, bool fold, jt_jval *v) {
    if (!fold || v->kind != JT_J_STR) return true;
    *v = jt_jstring(jt_jstr_case(r, v->s, JT_J_LOWER));
    return v->s != NULL;
}

static bool getter_get(jt_jrun *r, const getter *g, jt_jval item, jt_jval *out) {
    for (size_t i = 0; i < g->part->n; i++) {
        if (!jt_jget_item(r, item, g->part->v[i], &item)) return false;
        if (item.kind == JT_J_UNDEFINED && given(g->fallback)) item = g->fallback;
    }
    *out = item;
    return fold_case(r, g->fold, out);
}

/* ---- lengths, ends ---- */

static bool f_length(jt_jrun *r, const jt_jargs *a, jt_jval *out) {
    jt_jval v[1];
    size_t n = 0;
    if (!jt_jargs_bind(r, "length", a, "/obj", 1, v) || !jt_jlen(r, v[0], &n)) return false;
    *out = jt_jinteger((int64_t)n);
    return true;
}

static bool f_list(jt_jrun *r, const jt_jargs *a, jt_jval *out) {
    jt_jval v[1];
    return jt_jargs_bind(r, "list", a, "value", 1, v) && give_list(jt_jlist_of(r, v[0]), out);
}

static bool f_first(jt_jrun *r, const jt_jargs *a, jt_jval *out) {
    jt_jval v[1];
    bool done = false;
    if (!jt_jargs_bind(r, "first", a, "seq", 1, v)) return false;
    jt_jiter *it = jt_jiter_new(r, v[0]);
    if (!it || !jt_jiter_next(r, it, out, &done)) return false;
    if (done) *out = jt_jundefined(r, "No first item, sequence was empty.");
    return !r->status;
}

static bool f_last(jt_jrun *r, const jt_jargs *a, jt_jval *out) {
    jt_jval v[1];
    bool done = true;
    if (!jt_jargs_bind(r, "last", a, "seq", 1, v)) return false;
    if (v[0].kind != JT_J_UNDEFINED) {
        jt_jiter *it = jt_jiter_back(r, v[0]);
        if (!it || !jt_jiter_next(r, it, out, &done)) return false;
    }
    if (done) *out = jt_jundefined(r, "No last item, sequence was empty.");
    return !r->status;
}

static bool f_reverse(jt_jrun *r, const jt_jargs *a, jt_jval *out) {
    jt_jval v[1];
    if (!jt_jargs_bind(r, "reverse", a, "value", 1, v)) return false;
    if (v[0].kind == JT_J_STR) return jt_jslice(r, v[0], (const jt_jval[3]){JT_JNONE, JT_JNONE, jt_jinteger(-1)}, out);
    if (v[0].kind == JT_J_UNDEFINED) return give_iter(jt_jiter_new(r, v[0]), out);
    if (v[0].kind != JT_J_ITER) return give_iter(jt_jiter_back(r, v[0]), out);
    jt_jlist *l = jt_jlist_of(r, v[0]);
    for (size_t i = 0; l && 2 * i + 1 < l->n; i++) {
        jt_jval one = l->v[i];
        l->v[i] = l->v[l->n - 1 - i], l->v[l->n - 1 - i] = one;
    }
    return give_list(l, out);
}

static bool f_random(jt_jrun *r, const jt_jargs *a, jt_jval *out) {
    (void)a, (void)out;
    return jt_jfail(r, JT_UNSUPPORTED, "the filter random is not supported: a template must give the same text every time");
}

/* ---- map, select and others, lazily ---- */

typedef struct lazy {
    jt_jval over;
    jt_jiter *it; /* NULL until the first item is asked for */
    getter get;
    const jt_jfunction *f; /* NULL: the item itself, or its truth */
    jt_jargs a;            /* of f; pos[0] is the item */
    jt_jval *pos;
    bool reject, test, begun;
    jt_jdict *seen; /* of unique */
} lazy;

/* `over`, unless it is empty: what is false has no items, of whatever kind it is. */
static bool lazy_begin(jt_jrun *r, lazy *l, bool *none) {
    bool yes = true;
    *none = false;
    if (l->it) return true;
    if (!l->seen && !jt_jtruth(r, l->over, &yes)) return false;
    *none = !yes;
    return !yes || (l->it = jt_jiter_new(r, l->over)) != NULL;
}

static bool map_next(jt_jrun *r, void *self, jt_jval *out, bool *done) {
    lazy *l = self;
    jt_jval v;
    if (!lazy_begin(r, l, done)) return false;
    if (*done) return true;
    if (!jt_jiter_next(r, l->it, &v, done)) return false;
    if (*done) return true;
    if (!l->f) return getter_get(r, &l->get, v, out);
    l->pos[0] = v;
    return l->f->call(r, &l->a, out);
}

static bool select_next(jt_jrun *r, void *self, jt_jval *out, bool *done) {
    lazy *l = self;
    if (!lazy_begin(r, l, done)) return false;
    while (!*done) {
        jt_jval v;
        bool yes;
        if (!jt_jiter_next(r, l->it, out, done)) return false;
        if (*done) break;
        if (!getter_get(r, &l->get, *out, &v)) return false;
        l->pos[0] = v;
        if (l->f && !l->f->call(r, &l->a, &v)) return false;
        if (!jt_jtruth(r, v, &yes)) return false;
        if (yes != l->reject) return true;
    }
    return true;
}

static bool unique_next(jt_jrun *r, void *self, jt_jval *out, bool *done) {
    lazy *l = self;
    if (!lazy_begin(r, l, done)) return false;
    while (!*done) {
        jt_jval key;
        const jt_jval *was;
        if (!jt_jiter_next(r, l->it, out, done)) return false;
        if (*done) break;
        if (!getter_get(r, &l->get, *out, &key) || !jt_jdict_get(r, l->seen, key, &was)) return false;
        if (was) continue;
        return jt_jdict_set(r, l->seen, key, JT_JNONE);
    }
    return true;
}

static lazy *lazy_new(jt_jrun *r, const jt_jargs *a) {
    lazy *l = jt_jalloc(r, 1, sizeof *l);
    if (l && a->n_pos) l->over = a->pos[0];
    if (l && !a->n_pos) return jt_jfail_set(r, JT_FORMAT, "a filter without a value"), NULL;
    return l;
}

/* Arguments from the `skip`-th on, behind a place for the item. */
static bool lazy_args(jt_jrun *r, lazy *l, const jt_jargs *a, size_t skip) {
    size_t n = a->n_pos > skip ? a->n_pos - skip : 0;
    if (!(l->pos = jt_jalloc(r, n + 1, sizeof *l->pos))) return false;
    if (n) memcpy(l->pos + 1, a->pos + skip, n * sizeof *l->pos);
    l->a = (jt_jargs){l->pos, n + 1, a->named};
    return true;
}

static bool f_map(jt_jrun *r, const jt_jargs *a, jt_jval *out) {
    lazy *l = lazy_new(r, a);
    const jt_jval *attribute = a->named ? jt_jdict_text(a->named, "attribute", 9) : NULL;
    const jt_jval *fallback = a->named ? jt_jdict_text(a->named, "default", 7) : NULL;
    if (!l) return false;
    if (a->n_pos == 1 && attribute) {
        if (a->named->n > 1u + (fallback != NULL)) return jt_jfail(r, JT_FORMAT, "map: an unexpected keyword argument");
        if (!getter_init(r, *attribute, false, &l->get)) return false;
        if (fallback) l->get.fallback = *fallback;
    } else {
        if (a->n_pos < 2) return jt_jfail(r, JT_FORMAT, "map requires a filter argument");
        if (a->pos[1].kind != JT_J_STR || !(l->f = jt_jfilter_find(a->pos[1].s)))
            return jt_jfail(r, JT_UNSUPPORTED, "map: no filter is called \"%.*s\"",
                            a->pos[1].kind == JT_J_STR ? (int)(a->pos[1].s->n % 60) : 0, a->pos[1].kind == JT_J_STR ? a->pos[1].s->s : "");
        if (!lazy_args(r, l, a, 2)) return false;
    }
    return give_iter(jt_jiter_of(r, map_next, l, "generator"), out);
}

static bool select_by(jt_jrun *r, const jt_jargs *a, bool attribute, bool reject, jt_jval *out) {
    lazy *l = lazy_new(r, a);
    size_t at = 1 + attribute;
    if (!l) return false;
    if (attribute && a->n_pos < 2) return jt_jfail(r, JT_FORMAT, "Missing parameter for attribute name");
    if (!getter_init(r, attribute ? a->pos[1] : JT_JNONE, false, &l->get)) return false;
    if (a->n_pos > at && (a->pos[at].kind != JT_J_STR || !(l->f = jt_jtest_find(a->pos[at].s))))
        return jt_jfail(r, JT_UNSUPPORTED, "select: no test is called \"%.*s\"",
                        a->pos[at].kind == JT_J_STR ? (int)(a->pos[at].s->n % 60) : 0, a->pos[at].kind == JT_J_STR ? a->pos[at].s->s : "");
    l->reject = reject;
    return lazy_args(r, l, a, at + 1) && give_iter(jt_jiter_of(r, select_next, l, "generator"), out);
}
static bool f_select(jt_jrun *r, const jt_jargs *a, jt_jval *out) { return select_by(r, a, false, false, out); }
static bool f_reject(jt_jrun *r, const jt_jargs *a, jt_jval *out) { return select_by(r, a, false, true, out); }
static bool f_selectattr(jt_jrun *r, const jt_jargs *a, jt_jval *out) { return select_by(r, a, true, false, out); }
static bool f_rejectattr(jt_jrun *r, const jt_jargs *a, jt_jval *out) { return select_by(r, a, true, true, out); }

static bool f_unique(jt_jrun *r, const jt_jargs *a, jt_jval *out) {
    jt_jval v[3];
    bool sensitive = false;
    lazy *l = lazy_new(r, a);
    if (!l || !jt_jargs_bind(r, "unique", a, "value case_sensitive attribute", 1, v) || !jt_jtruth(r, v[1], &sensitive)) return false;
    if (!getter_init(r, v[2], !sensitive, &l->get) || !(l->seen = jt_jdict_new(r))) return false;
    return give_iter(jt_jiter_of(r, unique_next, l, "generator"), out);
}

static bool f_items(jt_jrun *r, const jt_jargs *a, jt_jval *out) {
    jt_jval v[1];
    if (!jt_jargs_bind(r, "items", a, "value", 1, v)) return false;
    if (v[0].kind != JT_J_UNDEFINED && v[0].kind != JT_J_DICT) return jt_jfail(r, JT_FORMAT, "Can only get item pairs from a mapping.");
    jt_jval view = v[0];
    if (v[0].kind == JT_J_DICT) {
        struct jt_jview *w = jt_jalloc(r, 1, sizeof *w);
        if (!w) return false;
        *w = (struct jt_jview){v[0].dict, JT_J_ITEMS};
        view = (jt_jval){.kind = JT_J_VIEW, .view = w};
    }
    return give_iter(jt_jiter_new(r, view), out);
}

/* ---- order ---- */

typedef struct keyed {
    jt_jval key, value;
} keyed;

/* Sorts stably; `back`: descending, equal ones in their order. */
static bool merge_sort(jt_jrun *r, keyed *k, keyed *spare, size_t n, bool back) {
    if (n < 2) return true;
    size_t half = n / 2, i = 0, j = half, to = 0;
    if (!jt_jstep(r, n) || !merge_sort(r, k, spare, half, back) || !merge_sort(r, k + half, spare, n - half, back)) return false;
    while (i < half || j < n) {
        bool later = i == half;
        if (i < half && j < n && !jt_jless(r, back ? k[i].key : k[j].key, back ? k[j].key : k[i].key, "<", &later)) return false;
        spare[to++] = later ? k[j++] : k[i++];
    }
    memcpy(k, spare, n * sizeof *k);
    return true;
}

static jt_jlist *sorted(jt_jrun *r, const jt_jlist *items, keyed *k, bool back) {
    jt_jlist *o = jt_jlist_new(r, items->n);
    if (!o || !merge_sort(r, k, k + items->n, items->n, back)) return NULL;
    for (size_t i = 0; i < items->n; i++) o->v[o->n++] = k[i].value;
    return o;
}

static bool f_sort(jt_jrun *r, const jt_jargs *a, jt_jval *out) {
    jt_jval v[4];
    bool back = false, sensitive = false;
    getter get[16];
    size_t n_get = 0;
    if (!jt_jargs_bind(r, "sort", a, "value reverse case_sensitive attribute", 1, v) || !jt_jtruth(r, v[1], &back) ||
        !jt_jtruth(r, v[2], &sensitive))
        return false;
    jt_jlist *items = jt_jlist_of(r, v[0]);
    if (!items) return false;
    for (size_t at = 0; v[3].kind == JT_J_STR && n_get < 16;) {
        jt_jstr comma = {.s = ",", .n = 1};
        size_t end = jt_jstr_find(v[3].s, &comma, at);
        const jt_jstr *one = jt_jstr_cut(r, v[3].s, at, end == SIZE_MAX ? v[3].s->n : end);
        if (!one || !getter_init(r, jt_jstring(one), !sensitive, &get[n_get++])) return false;
        if (end == SIZE_MAX) break;
        if (n_get == 16) return jt_jfail(r, JT_LIMIT, "sort by more than 16 attributes");
        at = end + 1;
    }
    if (v[3].kind != JT_J_STR && !getter_init(r, v[3], !sensitive, &get[n_get++])) return false;
    keyed *k = jt_jalloc(r, 2 * items->n, sizeof *k);
    for (size_t i = 0; k && i < items->n; i++) {
        jt_jlist *key = jt_jlist_new(r, n_get);
        for (size_t g = 0; key && g < n_get; g++)
            if (!getter_get(r, &get[g], items->v[i], &key->v[key->n++])) return false;
        if (!key) return false;
        k[i] = (keyed){(jt_jval){.kind = JT_J_LIST, .list = key}, items->v[i]};
    }
    return k && give_list(sorted(r, items, k, back), out);
}

static bool f_dictsort(jt_jrun *r, const jt_jargs *a, jt_jval *out) {
    jt_jval v[4];
    bool back = false, sensitive = false, by_value = false;
    if (!jt_jargs_bind(r, "dictsort", a, "value case_sensitive by reverse", 1, v) || !jt_jtruth(r, v[1], &sensitive) ||
        !jt_jtruth(r, v[3], &back))
        return false;
    if (v[2].kind != JT_J_MISSING) {
        by_value = v[2].kind == JT_J_STR && jt_jstr_is(v[2].s, "value");
        if (!by_value && !(v[2].kind == JT_J_STR && jt_jstr_is(v[2].s, "key")))
            return jt_jfail(r, JT_FORMAT, "You can only sort by either \"key\" or \"value\"");
    }
    if (v[0].kind == JT_J_UNDEFINED) return jt_jundefined_used(r, v[0]);
    if (v[0].kind != JT_J_DICT) return jt_jfail(r, JT_FORMAT, "dictsort: '%s' object has no attribute 'items'", jt_jkind_name(v[0]));
    jt_jlist *items = jt_jlist_new(r, v[0].dict->n);
    keyed *k = items ? jt_jalloc(r, 2 * v[0].dict->n, sizeof *k) : NULL;
    for (size_t i = 0; k && i < v[0].dict->n; i++) {
        const jt_jpair *p = &v[0].dict->p[i];
        jt_jlist *pair = jt_jlist_new(r, 2);
        if (!pair) return false;
        pair->v[0] = p->key, pair->v[1] = p->value, pair->n = 2;
        k[i] = (keyed){by_value ? p->value : p->key, {.kind = JT_J_TUPLE, .list = pair}};
        if (!fold_case(r, !sensitive, &k[i].key)) return false;
        items->v[items->n++] = k[i].value;
    }
    return k && give_list(sorted(r, items, k, back), out);
}

static bool extreme(jt_jrun *r, const char *what, const jt_jargs *a, bool most, jt_jval *out) {
    jt_jval v[3], one, key, best = {.kind = JT_J_MISSING};
    bool sensitive = false, done = false, better;
    getter get;
    if (!jt_jargs_bind(r, what, a, "value case_sensitive attribute", 1, v) || !jt_jtruth(r, v[1], &sensitive) ||
        !getter_init(r, v[2], !sensitive, &get))
        return false;
    jt_jiter *it = jt_jiter_new(r, v[0]);
    while (it) {
        if (!jt_jiter_next(r, it, &one, &done)) return false;
        if (done) break;
        if (!getter_get(r, &get, one, &key)) return false;
        better = best.kind == JT_J_MISSING;
        if (!better && !jt_jless(r, most ? best : key, most ? key : best, most ? ">" : "<", &better)) return false;
        if (better) best = key, *out = one;
    }
    if (it && best.kind == JT_J_MISSING) *out = jt_jundefined(r, "No aggregated item, sequence was empty.");
    return it && !r->status;
}
static bool f_min(jt_jrun *r, const jt_jargs *a, jt_jval *out) { return extreme(r, "min", a, false, out); }
static bool f_max(jt_jrun *r, const jt_jargs *a, jt_jval *out) { return extreme(r, "max", a, true, out); }

static bool f_groupby(jt_jrun *r, const jt_jargs *a, jt_jval *out) {
    jt_jval v[4];
    bool sensitive = false;
    getter get, real;
    if (!jt_jargs_bind(r, "groupby", a, "value attribute default case_sensitive", 2, v) || !jt_jtruth(r, v[3], &sensitive) ||
        !getter_init(r, v[1], !sensitive, &get) || !getter_init(r, v[1], false, &real))
        return false;
    get.fallback = real.fallback = v[2];
    jt_jlist *items = jt_jlist_of(r, v[0]), *groups = jt_jlist_new(r, 0), *group = NULL;
    keyed *k = items && groups ? jt_jalloc(r, 2 * items->n, sizeof *k) : NULL;
    for (size_t i = 0; k && i < items->n; i++) {
        k[i].value = items->v[i];
        if (!getter_get(r, &get, items->v[i], &k[i].key)) return false;
    }
    if (!k || !merge_sort(r, k, k + items->n, items->n, false)) return false;
    for (size_t i = 0; i < items->n; i++) {
        bool same = false;
        if (i && !jt_jequal(r, k[i - 1].key, k[i].key, &same)) return false;
        if (!same) {
            jt_jlist *pair = jt_jlist_new(r, 2);
            if (!pair || !(group = jt_jlist_new(r, 0)) || !getter_get(r, &real, k[i].value, &pair->v[0])) return false;
            pair->v[1] = (jt_jval){.kind = JT_J_LIST, .list = group}, pair->n = 2, pair->group = true;
            if (!jt_jlist_push(r, groups, (jt_jval){.kind = JT_J_TUPLE, .list = pair})) return false;
        }
        if (!jt_jlist_push(r, group, k[i].value)) return false;
    }
    return give_list(groups, out);
}

/* ---- sums and parts ---- */

static bool f_sum(jt_jrun *r, const jt_jargs *a, jt_jval *out) {
    jt_jval v[3], one;
    bool done = false;
    getter get;
    if (!jt_jargs_bind(r, "sum", a, "iterable attribute start", 1, v) || !getter_init(r, v[1], false, &get)) return false;
    *out = v[2].kind == JT_J_MISSING ? jt_jinteger(0) : v[2];
    if (out->kind == JT_J_STR) return jt_jfail(r, JT_FORMAT, "sum() can't sum strings [use ''.join(seq) instead]");
    jt_jiter *it = jt_jiter_new(r, v[0]);
    while (it) {
        if (!jt_jiter_next(r, it, &one, &done)) return false;
        if (done) return true;
        if (!getter_get(r, &get, one, &one) || !jt_joperate(r, JT_J_ADD, *out, one, out)) return false;
    }
    return false;
}

static bool f_join(jt_jrun *r, const jt_jargs *a, jt_jval *out) {
    jt_jval v[3], one;
    bool done = false;
    getter get;
    jt_jbuf b = {.r = r};
    if (!jt_jargs_bind(r, "join", a, "value d attribute", 1, v) || !getter_init(r, v[2], false, &get)) return false;
    jt_jiter *it = jt_jiter_new(r, v[0]);
    for (bool any = false; it; any = true) {
        if (!jt_jiter_next(r, it, &one, &done)) return false;
        if (done) break;
        if ((any && v[1].kind != JT_J_MISSING && !jt_jbuf_text(&b, v[1])) || !getter_get(r, &get, one, &one) || !jt_jbuf_text(&b, one))
            return false;
    }
    *out = jt_jstring(it ? jt_jbuf_end(&b) : NULL);
    return out->s != NULL;
}

static bool push_part(jt_jrun *r, jt_jlist *all, const jt_jlist *from, size_t begin, size_t end, size_t fill, jt_jval with) {
    jt_jlist *l = jt_jlist_new(r, end - begin + fill);
    if (!l || !jt_jstep(r, end - begin + fill)) return false;
    for (; begin < end; begin++) l->v[l->n++] = from->v[begin];
    for (; fill; fill--) l->v[l->n++] = with;
    return jt_jlist_push(r, all, (jt_jval){.kind = JT_J_LIST, .list = l});
}

static bool f_batch(jt_jrun *r, const jt_jargs *a, jt_jval *out) {
    jt_jval v[3];
    int64_t n;
    if (!jt_jargs_bind(r, "batch", a, "value linecount fill_with", 2, v) || !jt_jwant_int(r, v[1], "batch", &n)) return false;
    jt_jlist *items = jt_jlist_of(r, v[0]), *all = jt_jlist_new(r, 0);
    if (!items || !all) return false;
    if (n == 0 && items->n && !push_part(r, all, items, 0, 0, 0, v[2])) return false; /* as the reference does */
    if (n <= 0) n = INT64_MAX;
    for (size_t at = 0; at < items->n;) {
        size_t end = (size_t)n < items->n - at ? at + (size_t)n : items->n;
        size_t fill = given(v[2]) && n < INT64_MAX ? (size_t)n - (end - at) : 0;
        if (!push_part(r, all, items, at, end, fill, v[2])) return false;
        at = end;
    }
    return give_iter(jt_jiter_new(r, (jt_jval){.kind = JT_J_LIST, .list = all}), out);
}

static bool f_slice(jt_jrun *r, const jt_jargs *a, jt_jval *out) {
    jt_jval v[3];
    int64_t n;
    if (!jt_jargs_bind(r, "slice", a, "value slices fill_with", 2, v) || !jt_jwant_int(r, v[1], "slice", &n)) return false;
    jt_jlist *items = jt_jlist_of(r, v[0]), *all = jt_jlist_new(r, 0);
    if (!items || !all) return false;
    if (!n) return jt_jfail(r, JT_FORMAT, "integer division or modulo by zero");
    size_t each = n > 0 ? items->n / (size_t)n : 0, extra = n > 0 ? items->n % (size_t)n : 0, at = 0;
    for (int64_t i = 0; i < n; i++) {
        size_t end = at + each + ((size_t)i < extra);
        if (!push_part(r, all, items, at, end, given(v[2]) && (size_t)i >= extra, v[2])) return false;
        at = end;
    }
    return give_iter(jt_jiter_new(r, (jt_jval){.kind = JT_J_LIST, .list = all}), out);
}

const jt_jfunction jt_jfilters_list[] = {
    {"length", f_length},
    {"count", f_length},
    {"list", f_list},
    {"first", f_first},
    {"last", f_last},
    {"reverse", f_reverse},
    {"random", f_random},
    {"map", f_map},
    {"select", f_select},
    {"reject", f_reject},
    {"selectattr", f_selectattr},
    {"rejectattr", f_rejectattr},
    {"unique", f_unique},
    {"items", f_items},
    {"sort", f_sort},
    {"dictsort", f_dictsort},
    {"min", f_min},
    {"max", f_max},
    {"groupby", f_groupby},
    {"sum", f_sum},
    {"join", f_join},
    {"batch", f_batch},
    {"slice", f_slice},
    {0},
};

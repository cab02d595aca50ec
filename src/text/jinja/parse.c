/* parse.c: statements. */
#include "text/jinja/parse.h"

#include <stdio.h>
#include <string.h>

static bool ps_body(jt_jparser *p, const char *const *ends, jt_jp_list *l);

/* The body of a tag up to one of `ends`, whose name is the current token then; `loop` and `soft` are what holds in it. */
static bool ps_inside(jt_jparser *p, const char *const *ends, int loops, bool soft, jt_jp_list *l) {
    int was_loops = p->loops;
    bool was_soft = p->soft;
    jt_jp_skip_op(p, ":");
    if (p->t->kind != JT_JT_BLOCK_END) return jt_jp_unexpected(p, "\"%}\"");
    p->t++;
    p->loops = loops, p->soft = soft;
    if (!jt_jp_enter(p) || !ps_body(p, ends, l)) return false;
    p->depth--;
    p->loops = was_loops, p->soft = was_soft;
    return true;
}

/* The same for a body with one end, which is skipped. */
static bool ps_until(jt_jparser *p, const char *end, int loops, jt_jnode *n) {
    const char *const ends[] = {end, NULL};
    jt_jp_list l = {0};
    if (!ps_inside(p, ends, loops, false, &l)) return false;
    n->kid = l.v, n->n_kid = l.n;
    p->t++;
    return true;
}

/* ---- targets ---- */

static bool ps_can_assign(jt_jparser *p, const jt_jnode *n) {
    static const char what[] = "what stands here cannot be given a value";
    p->place.line = n->line, p->place.column = n->column;
    p->r->at = &p->place;
    if (n->kind == JT_JN_TUPLE) {
        for (size_t i = 0; i < n->n_kid; i++)
            if (!ps_can_assign(p, n->kid[i])) return false;
        return true;
    }
    if (n->kind == JT_JN_NAME && p->loops && jt_jstr_is(n->name, "loop"))
        return jt_jfail(p->r, JT_FORMAT, "\"loop\" belongs to the loop and cannot be given a value in it");
    return n->kind == JT_JN_NAME || n->kind == JT_JN_NSREF || jt_jfail(p->r, JT_FORMAT, "%s", what);
}

static jt_jnode *ps_target(jt_jparser *p, const char *stop, bool space) {
    jt_jnode *n = jt_jp_tuple(p, true, true, stop, false, space);
    return n && ps_can_assign(p, n) ? n : NULL;
}

/* ---- statements; `n` is the node of the tag, whose name has been skipped ---- */

static bool ps_for(jt_jparser *p, jt_jnode *n) {
    static const char *const ends[] = {"endfor", "else", NULL};
    jt_jp_list body = {0}, other = {0};
    n->kind = JT_JN_FOR;
    p->loops++;
    n->a = ps_target(p, "in", false);
    p->loops--;
    if (!n->a) return false;
    if (!jt_jp_skip_name(p, "in")) return jt_jp_unexpected(p, "\"in\"");
    if (!(n->b = jt_jp_tuple(p, false, false, "recursive", false, false))) return false;
    bool soft = p->soft;
    p->soft = false;
    if (jt_jp_skip_name(p, "if") && !(n->c = jt_jp_expression(p, true))) return false;
    p->soft = soft;
    n->op = jt_jp_skip_name(p, "recursive");
    if (!ps_inside(p, ends, p->loops + 1, false, &body)) return false;
    bool more = jt_jp_is_name(p, "else");
    p->t++;
    if (more && !ps_inside(p, (const char *const[]){"endfor", NULL}, p->loops, false, &other)) return false;
    p->t += more;
    n->kid = body.v, n->n_kid = body.n, n->kid2 = other.v, n->n_kid2 = other.n;
    return true;
}

static bool ps_if(jt_jparser *p, jt_jnode *n) {
    static const char *const ends[] = {"elif", "else", "endif", NULL};
    bool soft = p->soft;
    for (;;) {
        jt_jp_list l = {0};
        n->kind = JT_JN_IF;
        p->soft = true;
        n->a = jt_jp_tuple(p, false, false, NULL, false, false);
        p->soft = soft;
        if (!n->a || !ps_inside(p, ends, p->loops, true, &l)) return false;
        n->kid = l.v, n->n_kid = l.n;
        if (!jt_jp_is_name(p, "elif")) break;
        jt_jnode *next = jt_jp_node(p, JT_JN_IF);
        jt_jp_list one = {0};
        if (!jt_jp_push(p, &one, next)) return false;
        n->kid2 = one.v, n->n_kid2 = 1;
        n = next;
        p->t++;
    }
    bool more = jt_jp_is_name(p, "else");
    p->t++;
    if (!more) return true;
    jt_jp_list other = {0};
    if (!ps_inside(p, (const char *const[]){"endif", NULL}, p->loops, true, &other)) return false;
    p->t++;
    n->kid2 = other.v, n->n_kid2 = other.n;
    return true;
}

static bool ps_set(jt_jparser *p, jt_jnode *n) {
    if (!(n->a = ps_target(p, NULL, true))) return false;
    n->kind = JT_JN_SET;
    if (jt_jp_skip_op(p, "=")) return (n->b = jt_jp_tuple(p, false, true, NULL, false, false)) != NULL;
    n->kind = JT_JN_SETBLOCK;
    n->b = jt_jp_filters(p, NULL, false);
    return !p->r->status && ps_until(p, "endset", p->loops, n);
}

static bool ps_with(jt_jparser *p, jt_jnode *n) {
    jt_jp_list l = {0};
    n->kind = JT_JN_WITH;
    while (p->t->kind != JT_JT_BLOCK_END && !jt_jp_is_op(p, ":")) {
        if (l.n && !jt_jp_want_op(p, ",")) return false;
        if (!jt_jp_push(p, &l, ps_target(p, NULL, false)) || !jt_jp_want_op(p, "=") || !jt_jp_push(p, &l, jt_jp_expression(p, true)))
            return false;
    }
    n->kid2 = l.v, n->n_kid2 = l.n;
    return ps_until(p, "endwith", p->loops, n);
}

/* (a, b=1) */
static bool ps_params(jt_jparser *p, jt_jparams *m) {
    jt_jp_list fallback = {0};
    const jt_jtoken *begin = p->t;
    size_t most = 0;
    for (const jt_jtoken *t = begin; t->kind != JT_JT_BLOCK_END && t->kind != JT_JT_END; t++) most += t->kind == JT_JT_NAME;
    if (!jt_jp_want_op(p, "(") || !(m->name = jt_jalloc(p->r, most, sizeof *m->name))) return false;
    while (!jt_jp_is_op(p, ")")) {
        if (m->n && !jt_jp_want_op(p, ",")) return false;
        const jt_jstr *name = jt_jp_want_name(p);
        if (!name) return false;
        for (size_t i = 0; i < m->n; i++)
            if (jt_jstr_equal(m->name[i], name)) return jt_jp_fail(p, "a parameter is named twice");
        if (jt_jp_skip_op(p, "=")) {
            if (!jt_jp_push(p, &fallback, jt_jp_expression(p, true))) return false;
        } else if (fallback.n) {
            return jt_jp_fail(p, "a parameter without a default follows one with a default");
        }
        m->name[m->n++] = name;
    }
    p->t++;
    m->fallback = fallback.v, m->n_fallback = fallback.n;
    return true;
}

static bool ps_macro_body(jt_jparser *p, jt_jnode *n, const char *end, unsigned used) {
    jt_jparams *m = n->params;
    unsigned was = p->used;
    p->used = used;
    if (!ps_until(p, end, 0, n)) return false;
    m->caller = p->used & JT_JP_CALLER, m->kwargs = p->used & JT_JP_KWARGS, m->varargs = p->used & JT_JP_VARARGS;
    for (size_t i = 0; i < m->n; i++) {
        bool caller = jt_jstr_is(m->name[i], "caller");
        if (caller && m->caller && i < m->n - m->n_fallback) return jt_jp_fail(p, "a parameter \"caller\" must have a default");
        if (caller) m->caller = false;
        if (jt_jstr_is(m->name[i], "kwargs")) m->kwargs = false;
        if (jt_jstr_is(m->name[i], "varargs")) m->varargs = false;
    }
    p->used |= was;
    return true;
}

static bool ps_macro(jt_jparser *p, jt_jnode *n) {
    n->kind = JT_JN_MACRO;
    if (!(n->name = jt_jp_want_name(p)) || !(n->params = jt_jalloc(p->r, 1, sizeof *n->params))) return false;
    bool soft = p->soft;
    p->soft = false;
    if (!ps_params(p, n->params)) return false;
    p->soft = soft;
    return ps_macro_body(p, n, "endmacro", 0);
}

static bool ps_call(jt_jparser *p, jt_jnode *n) {
    n->kind = JT_JN_CALLBLOCK;
    if (!(n->params = jt_jalloc(p->r, 1, sizeof *n->params))) return false;
    if (jt_jp_is_op(p, "(") && !ps_params(p, n->params)) return false;
    if (!(n->a = jt_jp_expression(p, true))) return false;
    if (n->a->kind != JT_JN_CALL) return jt_jp_fail(p, "{% call %} wants a call");
    return ps_macro_body(p, n, "endcall", 0);
}

static bool ps_generation(jt_jparser *p, jt_jnode *n) {
    n->kind = JT_JN_GENERATION;
    p->generation = true;
    if (!(n->params = jt_jalloc(p->r, 1, sizeof *n->params))) return false;
    return ps_macro_body(p, n, "endgeneration", 0);
}

static bool ps_filter(jt_jparser *p, jt_jnode *n) {
    n->kind = JT_JN_FILTERBLOCK;
    n->b = jt_jp_filters(p, NULL, true);
    return n->b && ps_until(p, "endfilter", p->loops, n);
}

static bool ps_print(jt_jparser *p, jt_jnode *n) {
    jt_jp_list l = {0};
    n->kind = JT_JN_SCOPE;
    while (p->t->kind != JT_JT_BLOCK_END) {
        if (l.n && !jt_jp_want_op(p, ",")) return false;
        jt_jnode *one = jt_jp_node(p, JT_JN_PRINT);
        if (!jt_jp_push(p, &l, one) || !(one->a = jt_jp_expression(p, true))) return false;
    }
    n->kid = l.v, n->n_kid = l.n;
    return true;
}

static bool ps_autoescape(jt_jparser *p, jt_jnode *n) {
    n->kind = JT_JN_SCOPE;
    if (!jt_jp_is_name(p, "false") && !jt_jp_is_name(p, "False"))
        return jt_jp_fail(p, "{% autoescape %} is not supported: chat templates are plain text; leave it out");
    p->t++;
    return ps_until(p, "endautoescape", p->loops, n);
}

static bool ps_block(jt_jparser *p, jt_jnode *n) {
    n->kind = JT_JN_BLOCK;
    if (!(n->name = jt_jp_want_name(p))) return false;
    for (const struct jt_jblock *b = p->blocks; b; b = b->next)
        if (jt_jstr_equal(b->node->name, n->name)) return jt_jp_fail(p, "a block of this name stands further up");
    n->op = jt_jp_skip_name(p, "scoped");
    if (jt_jp_is_name(p, "required"))
        return jt_jp_fail(p, "a required block needs a template that extends this one, which is not supported");
    struct jt_jblock *b = jt_jalloc(p->r, 1, sizeof *b);
    if (!b) return false;
    *b = (struct jt_jblock){p->blocks, n};
    p->blocks = b;
    if (!ps_until(p, "endblock", 0, n)) return false;
    if (p->t->kind == JT_JT_NAME && jt_jstr_equal(p->t->text, n->name)) p->t++;
    return true;
}

static bool ps_jump(jt_jparser *p, jt_jnode *n, jt_jnode_kind kind) {
    n->kind = (uint8_t)kind;
    return p->loops || (p->t--, jt_jp_fail(p, "{% break %} and {% continue %} stand in loops only"));
}
static bool ps_break(jt_jparser *p, jt_jnode *n) { return ps_jump(p, n, JT_JN_BREAK); }
static bool ps_continue(jt_jparser *p, jt_jnode *n) { return ps_jump(p, n, JT_JN_CONTINUE); }

static bool ps_other_file(jt_jparser *p, jt_jnode *n) {
    (void)n;
    p->t--;
    return jt_jp_fail(p, "include, import, from and extends read other templates, which a chat template has none of");
}

static const struct {
    const char *name;
    bool (*read)(jt_jparser *p, jt_jnode *n);
} ps_statements[] = {
    {"if", ps_if},
    {"for", ps_for},
    {"set", ps_set},
    {"macro", ps_macro},
    {"call", ps_call},
    {"filter", ps_filter},
    {"with", ps_with},
    {"generation", ps_generation},
    {"break", ps_break},
    {"continue", ps_continue},
    {"print", ps_print},
    {"block", ps_block},
    {"include", ps_other_file},
    {"import", ps_other_file},
    {"from", ps_other_file},
    {"extends", ps_other_file},
    {"autoescape", ps_autoescape},
};

static jt_jnode *ps_statement(jt_jparser *p) {
    jt_jnode *n = jt_jp_node(p, JT_JN_DATA);
    char text[120];
    if (!n) return NULL;
    if (p->t->kind != JT_JT_NAME) return jt_jp_unexpected(p, "the name of a tag"), NULL;
    for (size_t i = 0; i < sizeof ps_statements / sizeof *ps_statements; i++) {
        if (!jt_jp_is_name(p, ps_statements[i].name)) continue;
        p->t++;
        if (!ps_statements[i].read(p, n)) return NULL;
        if (p->t->kind != JT_JT_BLOCK_END) return jt_jp_unexpected(p, "\"%}\""), NULL;
        p->t++;
        return n;
    }
    snprintf(text, sizeof text, "no tag is called \"%.*s\", or it ends nothing here", (int)(p->t->text->n < 40 ? p->t->text->n : 40),
             p->t->text->s);
    return jt_jp_fail(p, text), NULL;
}

/* Text, prints and tags, until a tag with one of the names `ends` (NULL: to the end of the template). */
static bool ps_body(jt_jparser *p, const char *const *ends, jt_jp_list *l) {
    for (; p->t->kind != JT_JT_END;) {
        jt_jnode *n;
        if (p->t->kind == JT_JT_DATA) {
            if (!(n = jt_jp_node(p, JT_JN_DATA))) return false;
            n->value = p->t++->value;
        } else if (p->t->kind == JT_JT_PRINT_BEGIN) {
            if (!(n = jt_jp_node(p, JT_JN_PRINT))) return false;
            p->t++;
            if (!(n->a = jt_jp_tuple(p, false, true, NULL, false, false))) return false;
            if (p->t->kind != JT_JT_PRINT_END) return jt_jp_unexpected(p, "\"}}\"");
            p->t++;
        } else {
            p->t++;
            for (size_t i = 0; ends && ends[i]; i++)
                if (jt_jp_is_name(p, ends[i])) return true;
            if (!(n = ps_statement(p))) return false;
        }
        if (!jt_jp_push(p, l, n)) return false;
    }
    if (!ends) return true;
    char text[120];
    size_t last = 0;
    while (ends[last + 1]) last++;
    snprintf(text, sizeof text, "the template ends where {%% %s %%} is missing", ends[last]);
    return jt_jp_fail(p, text);
}

bool jt_jparse(jt_jrun *r, const char *source, size_t n, jt_jtree *out) {
    jt_jtoken *t;
    size_t n_t;
    jt_jparser p = {.r = r};
    jt_jp_list l = {0};
    if (!jt_jlex(r, source, n, &t, &n_t)) return false;
    p.t = t;
    bool ok = ps_body(&p, NULL, &l);
    if (ok && p.unknown) {
        r->at = p.unknown;
        const jt_jstr *name = p.unknown->name;
        ok = jt_jfail(r, JT_UNSUPPORTED, "no %s is called \"%.*s\"", p.unknown->kind == JT_JN_FILTER ? "filter" : "test",
                      (int)(name->n < 60 ? name->n : 60), name->s);
    }
    r->at = NULL;
    *out = (jt_jtree){l.v, l.n, p.blocks, p.generation};
    return ok;
}

/* parse_expression.c: expressions, with the precedence that Jinja 3.1 gives its operators. */
#include <stdio.h>
#include <string.h>

#include "text/jinja/parse.h"

bool jt_jp_fail(jt_jparser *p, const char *what) {
    p->place.line = p->t->line, p->place.column = p->t->column;
    p->r->at = &p->place;
    return jt_jfail(p->r, JT_FORMAT, "%s", what);
}

bool jt_jp_unexpected(jt_jparser *p, const char *wanted) {
    static const char *const kind[] = {"the end of the template", "text", "{{", "}}", "{%", "%}", "a name", "a string", "a number", ""};
    char text[200];
    const jt_jtoken *t = p->t;
    if (t->kind == JT_JT_OP)
        snprintf(text, sizeof text, "\"%s\" where %s is wanted", t->op, wanted);
    else if (t->kind == JT_JT_NAME)
        snprintf(text, sizeof text, "\"%.*s\" where %s is wanted", (int)(t->text->n < 40 ? t->text->n : 40), t->text->s, wanted);
    else
        snprintf(text, sizeof text, "%s where %s is wanted", kind[t->kind], wanted);
    return jt_jp_fail(p, text);
}

jt_jnode *jt_jp_node(jt_jparser *p, jt_jnode_kind kind) {
    jt_jnode *n = jt_jalloc(p->r, 1, sizeof *n);
    if (n) n->kind = (uint8_t)kind, n->line = p->t->line, n->column = p->t->column;
    return n;
}

bool jt_jp_enter(jt_jparser *p) {
    if (p->depth >= JT_JP_DEEPEST) return jt_jp_fail(p, "more than 150 tags and brackets inside each other");
    p->depth++;
    return true;
}

bool jt_jp_is_op(const jt_jparser *p, const char *op) { return p->t->kind == JT_JT_OP && !strcmp(p->t->op, op); }
bool jt_jp_is_name(const jt_jparser *p, const char *name) { return p->t->kind == JT_JT_NAME && jt_jstr_is(p->t->text, name); }
bool jt_jp_skip_op(jt_jparser *p, const char *op) { return jt_jp_is_op(p, op) && (p->t++, true); }
bool jt_jp_skip_name(jt_jparser *p, const char *name) { return jt_jp_is_name(p, name) && (p->t++, true); }

bool jt_jp_want_op(jt_jparser *p, const char *op) {
    char wanted[8];
    snprintf(wanted, sizeof wanted, "\"%s\"", op);
    return jt_jp_skip_op(p, op) || jt_jp_unexpected(p, wanted);
}

const jt_jstr *jt_jp_want_name(jt_jparser *p) {
    if (p->t->kind != JT_JT_NAME) return jt_jp_unexpected(p, "a name"), NULL;
    return (p->t++)->text;
}

bool jt_jp_push(jt_jparser *p, jt_jp_list *l, jt_jnode *n) {
    if (!n) return false;
    if (l->n == l->cap) {
        size_t cap = l->cap ? 2 * l->cap : 4;
        jt_jnode **v = jt_jalloc(p->r, cap, sizeof *v);
        if (!v) return false;
        if (l->n) memcpy(v, l->v, l->n * sizeof *v);
        l->v = v, l->cap = cap;
    }
    l->v[l->n++] = n;
    return true;
}

static jt_jnode *pe_unary(jt_jparser *p, bool with_filter);

/* ---- what stands between brackets ---- */

static jt_jnode *pe_list(jt_jparser *p, jt_jnode_kind kind, const char *close) {
    jt_jnode *n = jt_jp_node(p, kind);
    jt_jp_list l = {0};
    p->t++;
    while (n && !jt_jp_is_op(p, close)) {
        if (l.n && !jt_jp_want_op(p, ",")) return NULL;
        if (jt_jp_is_op(p, close)) break;
        if (!jt_jp_push(p, &l, jt_jp_expression(p, true))) return NULL;
        if (kind == JT_JN_DICT && (!jt_jp_want_op(p, ":") || !jt_jp_push(p, &l, jt_jp_expression(p, true)))) return NULL;
    }
    if (!n || !jt_jp_want_op(p, close)) return NULL;
    n->kid = l.v, n->n_kid = l.n;
    return n;
}

static jt_jnode *pe_constant(jt_jparser *p, jt_jval v) {
    jt_jnode *n = jt_jp_node(p, JT_JN_CONST);
    if (n) n->value = v;
    p->t++;
    return n;
}

static jt_jnode *pe_string(jt_jparser *p) {
    jt_jbuf b = {.r = p->r};
    jt_jnode *n = jt_jp_node(p, JT_JN_CONST);
    if (!n) return NULL;
    n->value = p->t++->value;
    if (p->t->kind != JT_JT_STRING) return n;
    if (!jt_jbuf_str(&b, n->value.s)) return NULL;
    while (p->t->kind == JT_JT_STRING)
        if (!jt_jbuf_str(&b, p->t++->value.s)) return NULL;
    n->value.s = jt_jbuf_end(&b);
    return n->value.s ? n : NULL;
}

static jt_jnode *pe_name(jt_jparser *p, bool space) {
    if (jt_jp_is_name(p, "true") || jt_jp_is_name(p, "True")) return pe_constant(p, jt_jbool(true));
    if (jt_jp_is_name(p, "false") || jt_jp_is_name(p, "False")) return pe_constant(p, jt_jbool(false));
    if (jt_jp_is_name(p, "none") || jt_jp_is_name(p, "None")) return pe_constant(p, JT_JNONE);
    jt_jnode *n = jt_jp_node(p, JT_JN_NAME);
    if (!n) return NULL;
    if (jt_jp_is_name(p, "caller")) p->used |= JT_JP_CALLER;
    if (jt_jp_is_name(p, "kwargs")) p->used |= JT_JP_KWARGS;
    if (jt_jp_is_name(p, "varargs")) p->used |= JT_JP_VARARGS;
    n->name = p->t++->text;
    if (space && jt_jp_skip_op(p, ".")) {
        n->kind = JT_JN_NSREF;
        if (!(n->name2 = jt_jp_want_name(p))) return NULL;
    }
    return n;
}

static jt_jnode *pe_primary(jt_jparser *p, bool space) {
    jt_jnode *n = NULL;
    if (!jt_jp_enter(p)) return NULL;
    if (p->t->kind == JT_JT_NAME) {
        n = pe_name(p, space);
    } else if (p->t->kind == JT_JT_STRING) {
        n = pe_string(p);
    } else if (p->t->kind == JT_JT_NUMBER) {
        n = pe_constant(p, p->t->value);
    } else if (jt_jp_is_op(p, "(")) {
        p->t++;
        n = jt_jp_tuple(p, false, true, NULL, true, false);
        if (n && !jt_jp_want_op(p, ")")) n = NULL;
    } else if (jt_jp_is_op(p, "[")) {
        n = pe_list(p, JT_JN_LIST, "]");
    } else if (jt_jp_is_op(p, "{")) {
        n = pe_list(p, JT_JN_DICT, "}");
    } else {
        jt_jp_unexpected(p, "an expression");
    }
    p->depth--;
    return n;
}

jt_jnode *jt_jp_tuple(jt_jparser *p, bool names, bool conditional, const char *stop, bool brackets, bool space) {
    jt_jnode *n = jt_jp_node(p, JT_JN_TUPLE);
    jt_jp_list l = {0};
    bool tuple = false;
    for (;;) {
        if (!n || (l.n && !jt_jp_want_op(p, ","))) return NULL;
        if (p->t->kind == JT_JT_PRINT_END || p->t->kind == JT_JT_BLOCK_END || jt_jp_is_op(p, ")") || (stop && jt_jp_is_name(p, stop)))
            break;
        if (!jt_jp_push(p, &l, names ? pe_primary(p, space) : jt_jp_expression(p, conditional))) return NULL;
        if (!jt_jp_is_op(p, ",")) break;
        tuple = true;
    }
    if (!tuple && l.n) return l.v[0];
    if (!tuple && !brackets) return jt_jp_unexpected(p, "an expression"), NULL;
    n->kid = l.v, n->n_kid = l.n;
    return n;
}

/* ---- behind a value: members, calls, filters, tests ---- */

static bool pe_named(jt_jparser *p, jt_jcall *c, size_t *cap, jt_jp_list *named) {
    if (named->n == *cap) {
        size_t more = *cap ? 2 * *cap : 4;
        const jt_jstr **v = jt_jalloc(p->r, more, sizeof *v);
        if (!v) return false;
        if (named->n) memcpy(v, c->name, named->n * sizeof *v);
        c->name = v, *cap = more;
    }
    c->name[named->n] = p->t->text;
    for (size_t i = 0; i < named->n; i++)
        if (jt_jstr_equal(c->name[i], p->t->text)) return jt_jp_fail(p, "an argument is named twice");
    p->t += 2;
    return jt_jp_push(p, named, jt_jp_expression(p, true));
}

static jt_jcall *pe_args(jt_jparser *p) {
    jt_jcall *c = jt_jalloc(p->r, 1, sizeof *c);
    jt_jp_list pos = {0}, named = {0};
    size_t cap = 0;
    if (!c || !jt_jp_want_op(p, "(")) return NULL;
    for (bool comma = false; !jt_jp_is_op(p, ")"); comma = true) {
        if (comma && !jt_jp_want_op(p, ",")) return NULL;
        if (comma && jt_jp_is_op(p, ")")) break;
        bool ok = !c->stars;
        if (jt_jp_is_op(p, "*")) {
            ok = ok && !c->star;
            p->t++;
            if (ok && !(c->star = jt_jp_expression(p, true))) return NULL;
        } else if (jt_jp_is_op(p, "**")) {
            p->t++;
            if (ok && !(c->stars = jt_jp_expression(p, true))) return NULL;
        } else if (p->t->kind == JT_JT_NAME && p->t[1].kind == JT_JT_OP && !strcmp(p->t[1].op, "=")) {
            if (ok && !pe_named(p, c, &cap, &named)) return NULL;
        } else {
            ok = ok && !c->star && !named.n;
            if (ok && !jt_jp_push(p, &pos, jt_jp_expression(p, true))) return NULL;
        }
        if (!ok) return jt_jp_fail(p, "an argument that cannot stand at this place of a call"), NULL;
    }
    if (!jt_jp_want_op(p, ")")) return NULL;
    c->pos = pos.v, c->n_pos = pos.n, c->named = named.v, c->n_named = named.n;
    return c;
}

static jt_jnode *pe_call(jt_jparser *p, jt_jnode *a) {
    jt_jnode *n = jt_jp_node(p, JT_JN_CALL);
    if (!n || !(n->call = pe_args(p))) return NULL;
    n->a = a;
    return n;
}

/* One place between [ and ]: an expression or a slice. */
static jt_jnode *pe_place(jt_jparser *p) {
    jt_jnode *n = jt_jp_node(p, JT_JN_SLICE), *part[3] = {0};
    if (!n) return NULL;
    if (!jt_jp_is_op(p, ":")) {
        if (!(part[0] = jt_jp_expression(p, true))) return NULL;
        if (!jt_jp_is_op(p, ":")) return part[0];
    }
    for (int i = 1; i < 3 && jt_jp_skip_op(p, ":"); i++)
        if (!jt_jp_is_op(p, ":") && !jt_jp_is_op(p, "]") && !jt_jp_is_op(p, ",") && !(part[i] = jt_jp_expression(p, true))) return NULL;
    n->a = part[0], n->b = part[1], n->c = part[2];
    return n;
}

static jt_jnode *pe_subscript(jt_jparser *p, jt_jnode *a) {
    jt_jnode *n = jt_jp_node(p, JT_JN_ITEM), *tuple = jt_jp_node(p, JT_JN_TUPLE);
    jt_jp_list l = {0};
    if (!n || !tuple) return NULL;
    n->a = a;
    if (jt_jp_skip_op(p, ".")) {
        if (p->t->kind == JT_JT_NUMBER && p->t->value.kind == JT_J_INT) {
            n->b = pe_constant(p, p->t->value);
            return n->b ? n : NULL;
        }
        n->kind = JT_JN_ATTR;
        n->name = jt_jp_want_name(p);
        return n->name ? n : NULL;
    }
    p->t++;
    while (!jt_jp_is_op(p, "]")) {
        if (l.n && !jt_jp_want_op(p, ",")) return NULL;
        if (!jt_jp_push(p, &l, pe_place(p))) return NULL;
    }
    p->t++;
    tuple->kid = l.v, tuple->n_kid = l.n;
    for (size_t i = 0; l.n > 1 && i < l.n; i++)
        if (l.v[i]->kind == JT_JN_SLICE) return jt_jp_fail(p, "slices of several dimensions are of no type that templates have"), NULL;
    n->b = l.n == 1 ? l.v[0] : tuple;
    return n;
}

static jt_jnode *pe_postfix(jt_jparser *p, jt_jnode *a) {
    while (a) {
        if (jt_jp_is_op(p, ".") || jt_jp_is_op(p, "["))
            a = pe_subscript(p, a);
        else if (jt_jp_is_op(p, "("))
            a = pe_call(p, a);
        else
            break;
    }
    return a;
}

/* A name that may have dots. */
static const jt_jstr *pe_dotted(jt_jparser *p) {
    const jt_jstr *name = jt_jp_want_name(p);
    jt_jbuf b = {.r = p->r};
    if (!name || !jt_jp_is_op(p, ".")) return name;
    if (!jt_jbuf_str(&b, name)) return NULL;
    while (jt_jp_skip_op(p, "."))
        if (!(name = jt_jp_want_name(p)) || !jt_jbuf_puts(&b, ".") || !jt_jbuf_str(&b, name)) return NULL;
    return jt_jbuf_end(&b);
}

/* An unknown filter or test is an error of the template, but in an if only when it runs. */
static void pe_known(jt_jparser *p, const jt_jnode *n) {
    if (!n->function && !p->soft && !p->unknown) p->unknown = n;
}

jt_jnode *jt_jp_filters(jt_jparser *p, jt_jnode *a, bool inline_first) {
    while (inline_first || jt_jp_is_op(p, "|")) {
        if (!inline_first) p->t++;
        inline_first = false;
        jt_jnode *n = jt_jp_node(p, JT_JN_FILTER);
        if (!n || !(n->name = pe_dotted(p))) return NULL;
        n->a = a;
        n->function = jt_jfilter_find(n->name);
        pe_known(p, n);
        n->call = jt_jp_is_op(p, "(") ? pe_args(p) : jt_jalloc(p->r, 1, sizeof *n->call);
        if (!n->call) return NULL;
        a = n;
    }
    return a;
}

static jt_jnode *pe_test(jt_jparser *p, jt_jnode *a) {
    jt_jnode *no = jt_jp_node(p, JT_JN_NOT), *n = jt_jp_node(p, JT_JN_TEST);
    jt_jp_list l = {0};
    p->t++;
    bool negated = jt_jp_skip_name(p, "not");
    if (!no || !n || !(n->name = pe_dotted(p))) return NULL;
    n->a = a;
    n->function = jt_jtest_find(n->name);
    pe_known(p, n);
    bool value =
        p->t->kind == JT_JT_NAME || p->t->kind == JT_JT_STRING || p->t->kind == JT_JT_NUMBER || jt_jp_is_op(p, "[") || jt_jp_is_op(p, "{");
    if (jt_jp_is_name(p, "else") || jt_jp_is_name(p, "or") || jt_jp_is_name(p, "and")) value = false;
    if (jt_jp_is_op(p, "(")) {
        if (!(n->call = pe_args(p))) return NULL;
    } else {
        if (!(n->call = jt_jalloc(p->r, 1, sizeof *n->call))) return NULL;
        if (value && jt_jp_is_name(p, "is")) return jt_jp_fail(p, "several tests with \"is\" cannot follow each other"), NULL;
        if (value && !jt_jp_push(p, &l, pe_postfix(p, pe_primary(p, false)))) return NULL;
        n->call->pos = l.v, n->call->n_pos = l.n;
    }
    no->a = n;
    return negated ? no : n;
}

static jt_jnode *pe_filter_expression(jt_jparser *p, jt_jnode *a) {
    while (a) {
        if (jt_jp_is_op(p, "|"))
            a = jt_jp_filters(p, a, false);
        else if (jt_jp_is_name(p, "is"))
            a = pe_test(p, a);
        else if (jt_jp_is_op(p, "("))
            a = pe_call(p, a);
        else
            break;
    }
    return a;
}

/* ---- operators, strongest first ---- */

static jt_jnode *pe_unary(jt_jparser *p, bool with_filter) {
    jt_jnode *n;
    if (jt_jp_is_op(p, "-") || jt_jp_is_op(p, "+")) {
        n = jt_jp_node(p, jt_jp_is_op(p, "-") ? JT_JN_NEG : JT_JN_POS);
        if (!n || !jt_jp_enter(p)) return NULL;
        p->t++;
        n->a = pe_unary(p, false);
        p->depth--;
        if (!n->a) return NULL;
    } else {
        n = pe_primary(p, false);
    }
    n = pe_postfix(p, n);
    return with_filter ? pe_filter_expression(p, n) : n;
}

static jt_jnode *pe_binary(jt_jparser *p, jt_jnode_kind kind, int op, jt_jnode *a, jt_jnode *b) {
    jt_jnode *n = jt_jp_node(p, kind);
    if (!n || !a || !b) return NULL;
    n->a = a, n->b = b, n->op = (uint8_t)op;
    n->line = a->line, n->column = a->column;
    return n;
}

static jt_jnode *pe_power(jt_jparser *p) {
    jt_jnode *a = pe_unary(p, true);
    while (a && jt_jp_skip_op(p, "**")) a = pe_binary(p, JT_JN_BINARY, JT_J_POW, a, pe_unary(p, true));
    return a;
}

static jt_jnode *pe_product(jt_jparser *p) {
    jt_jnode *a = pe_power(p);
    while (a) {
        int op = jt_jp_is_op(p, "*") ? JT_J_MUL : jt_jp_is_op(p, "/") ? JT_J_DIV : jt_jp_is_op(p, "//") ? JT_J_FLOOR : JT_J_MOD;
        if (op == JT_J_MOD && !jt_jp_is_op(p, "%")) break;
        p->t++;
        a = pe_binary(p, JT_JN_BINARY, op, a, pe_power(p));
    }
    return a;
}

static jt_jnode *pe_concat(jt_jparser *p) {
    jt_jnode *n = jt_jp_node(p, JT_JN_CONCAT);
    jt_jp_list l = {0};
    if (!n) return NULL;
    do
        if (!jt_jp_push(p, &l, pe_product(p))) return NULL;
    while (jt_jp_skip_op(p, "~"));
    n->kid = l.v, n->n_kid = l.n;
    return l.n == 1 ? l.v[0] : n;
}

static jt_jnode *pe_sum(jt_jparser *p) {
    jt_jnode *a = pe_concat(p);
    while (a && (jt_jp_is_op(p, "+") || jt_jp_is_op(p, "-"))) {
        int op = jt_jp_is_op(p, "+") ? JT_J_ADD : JT_J_SUB;
        p->t++;
        a = pe_binary(p, JT_JN_BINARY, op, a, pe_concat(p));
    }
    return a;
}

static int pe_comparison(jt_jparser *p) {
    static const char *const op[] = {"==", "!=", "<", "<=", ">", ">="};
    for (int i = 0; i < 6; i++)
        if (jt_jp_skip_op(p, op[i])) return i;
    if (jt_jp_skip_name(p, "in")) return JT_JC_IN;
    if (jt_jp_is_name(p, "not") && p->t[1].kind == JT_JT_NAME && jt_jstr_is(p->t[1].text, "in")) return p->t += 2, JT_JC_NOTIN;
    return -1;
}

static jt_jnode *pe_compare(jt_jparser *p) {
    jt_jnode *a = pe_sum(p), *n;
    jt_jp_list l = {0};
    uint8_t ops[256];
    for (int op; a && (op = pe_comparison(p)) >= 0;) {
        if (l.n == sizeof ops) return jt_jp_fail(p, "more than 256 comparisons in a chain"), NULL;
        ops[l.n] = (uint8_t)op;
        if (!jt_jp_push(p, &l, pe_sum(p))) return NULL;
    }
    if (!a || !l.n) return a;
    if (!(n = jt_jp_node(p, JT_JN_COMPARE)) || !(n->ops = jt_jalloc(p->r, l.n, 1))) return NULL;
    memcpy(n->ops, ops, l.n);
    n->a = a, n->kid = l.v, n->n_kid = l.n, n->line = a->line, n->column = a->column;
    return n;
}

static jt_jnode *pe_not(jt_jparser *p) {
    if (!jt_jp_is_name(p, "not")) return pe_compare(p);
    jt_jnode *n = jt_jp_node(p, JT_JN_NOT);
    if (!n || !jt_jp_enter(p)) return NULL;
    p->t++;
    n->a = pe_not(p);
    p->depth--;
    return n->a ? n : NULL;
}

static jt_jnode *pe_and(jt_jparser *p) {
    jt_jnode *a = pe_not(p);
    while (a && jt_jp_skip_name(p, "and")) a = pe_binary(p, JT_JN_AND, 0, a, pe_not(p));
    return a;
}

static jt_jnode *pe_or(jt_jparser *p) {
    jt_jnode *a = pe_and(p);
    while (a && jt_jp_skip_name(p, "or")) a = pe_binary(p, JT_JN_OR, 0, a, pe_and(p));
    return a;
}

/* In "b if a else c" unknown filters are errors only when they run, so what was found in b is forgotten at the "if". */
static jt_jnode *pe_conditional(jt_jparser *p) {
    const jt_jnode *unknown = p->unknown;
    bool soft = p->soft;
    jt_jnode *b = pe_or(p);
    while (b && jt_jp_skip_name(p, "if")) {
        jt_jnode *n = jt_jp_node(p, JT_JN_COND);
        p->unknown = unknown, p->soft = true;
        if (!n || !(n->a = pe_or(p))) return NULL;
        n->b = b;
        if (jt_jp_skip_name(p, "else") && !(n->c = jt_jp_expression(p, true))) return NULL;
        b = n;
    }
    p->soft = soft;
    return b;
}

jt_jnode *jt_jp_expression(jt_jparser *p, bool conditional) {
    if (!jt_jp_enter(p)) return NULL;
    jt_jnode *n = conditional ? pe_conditional(p) : pe_or(p);
    p->depth--;
    return n;
}

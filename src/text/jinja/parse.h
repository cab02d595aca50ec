/* parse.h: tokens to a tree; parse_expression.c has expressions, parse.c statements. */
#ifndef JT_TEXT_JINJA_PARSE_H
#define JT_TEXT_JINJA_PARSE_H

#include "text/jinja/lexer.h"

enum { JT_JP_CALLER = 1, JT_JP_KWARGS = 2, JT_JP_VARARGS = 4, JT_JP_DEEPEST = 150 };

typedef struct jt_jparser {
    jt_jrun *r;
    const jt_jtoken *t;      /* the current one */
    int depth;               /* of tags and brackets inside each other */
    int loops;               /* around the current statement, within its macro */
    bool soft;               /* in an if: an unknown filter is an error only when it runs */
    unsigned used;           /* names that make a macro take more than its parameters */
    const jt_jnode *unknown; /* the first filter or test that there is not */
    struct jt_jblock *blocks;
    bool generation; /* a {% generation %} was read */
    jt_jnode place;
} jt_jparser;

/* Fails at the current token. */
bool jt_jp_fail(jt_jparser *p, const char *what);
bool jt_jp_unexpected(jt_jparser *p, const char *wanted);
jt_jnode *jt_jp_node(jt_jparser *p, jt_jnode_kind kind);
bool jt_jp_enter(jt_jparser *p);
bool jt_jp_is_op(const jt_jparser *p, const char *op);
bool jt_jp_is_name(const jt_jparser *p, const char *name);
bool jt_jp_skip_op(jt_jparser *p, const char *op);
bool jt_jp_skip_name(jt_jparser *p, const char *name);
bool jt_jp_want_op(jt_jparser *p, const char *op);
const jt_jstr *jt_jp_want_name(jt_jparser *p);

/* A list of nodes while it is read. */
typedef struct jt_jp_list {
    jt_jnode **v;
    size_t n, cap;
} jt_jp_list;
bool jt_jp_push(jt_jparser *p, jt_jp_list *l, jt_jnode *n);

/* Each is NULL on failure. */
jt_jnode *jt_jp_expression(jt_jparser *p, bool conditional);
/* `names`: only what can be a target is read, members of namespaces as such if `space`; `stop`: a name that ends it. */
jt_jnode *jt_jp_tuple(jt_jparser *p, bool names, bool conditional, const char *stop, bool brackets, bool space);
jt_jnode *jt_jp_filters(jt_jparser *p, jt_jnode *a, bool inline_first);

#endif

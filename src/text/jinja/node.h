/* node.h: templates as trees, and the objects that only a running template has. */
#ifndef JT_TEXT_JINJA_NODE_H
#define JT_TEXT_JINJA_NODE_H

#include "text/jinja/value.h"

typedef enum jt_jnode_kind {
    JT_JN_CONST,       /* value */
    JT_JN_NAME,        /* name */
    JT_JN_TUPLE,       /* kid */
    JT_JN_LIST,        /* kid */
    JT_JN_DICT,        /* kid: key, value, key, value */
    JT_JN_ATTR,        /* a.name */
    JT_JN_ITEM,        /* a[b] */
    JT_JN_SLICE,       /* a:b:c, each may be NULL; only under ITEM */
    JT_JN_CALL,        /* a(args) */
    JT_JN_FILTER,      /* a|name(args); a is NULL in filter blocks */
    JT_JN_TEST,        /* a is name(args) */
    JT_JN_NOT,         /* a */
    JT_JN_NEG,         /* a */
    JT_JN_POS,         /* a */
    JT_JN_BINARY,      /* a op b */
    JT_JN_AND,         /* a, b */
    JT_JN_OR,          /* a, b */
    JT_JN_CONCAT,      /* kid */
    JT_JN_COMPARE,     /* a, then op[i] kid[i] */
    JT_JN_COND,        /* b if a else c; c may be NULL */
    JT_JN_NSREF,       /* name.name2, as a target */
    JT_JN_DATA,        /* value: text outside tags */
    JT_JN_PRINT,       /* a */
    JT_JN_IF,          /* a, kid, kid2 */
    JT_JN_FOR,         /* for a in b if c: kid else kid2; op 1: recursive */
    JT_JN_SET,         /* a = b */
    JT_JN_SETBLOCK,    /* a = captured kid, through filter b or NULL */
    JT_JN_MACRO,       /* name, macro, kid */
    JT_JN_CALLBLOCK,   /* a is the call; macro, kid */
    JT_JN_FILTERBLOCK, /* b is the filter; kid */
    JT_JN_WITH,        /* kid2: target, value, target, value; kid */
    JT_JN_SCOPE,       /* kid */
    JT_JN_BREAK,
    JT_JN_CONTINUE,
    JT_JN_BLOCK,     /* name, kid */
    JT_JN_GENERATION /* kid */
} jt_jnode_kind;

enum { JT_JC_EQ, JT_JC_NE, JT_JC_LT, JT_JC_LE, JT_JC_GT, JT_JC_GE, JT_JC_IN, JT_JC_NOTIN };

/* What stands between the parentheses of a call. */
typedef struct jt_jcall {
    jt_jnode **pos, **named;
    const jt_jstr **name; /* of named */
    size_t n_pos, n_named;
    jt_jnode *star, *stars; /* *list and **dict; NULL: none */
} jt_jcall;

/* Parameters of a macro or a call block; the last n_fallback of them have defaults. */
typedef struct jt_jparams {
    const jt_jstr **name;
    jt_jnode **fallback;
    size_t n, n_fallback;
    bool caller, kwargs, varargs; /* the body asks for these */
} jt_jparams;

struct jt_jnode {
    uint8_t kind, op;
    unsigned line, column;
    const jt_jstr *name, *name2;
    jt_jnode *a, *b, *c;
    jt_jnode **kid, **kid2;
    size_t n_kid, n_kid2;
    uint8_t *ops;                        /* of COMPARE */
    jt_jcall *call;                      /* of CALL, FILTER, TEST */
    jt_jparams *params;                  /* of MACRO, CALLBLOCK, GENERATION */
    const struct jt_jfunction *function; /* of FILTER, TEST; NULL: unknown, which is an error when it runs */
    jt_jval value;
};

struct jt_jblock {
    const struct jt_jblock *next;
    const jt_jnode *node;
};

typedef struct jt_jtree {
    jt_jnode **kid;
    size_t n_kid;
    const struct jt_jblock *blocks;
    bool generation; /* has {% generation %} */
} jt_jtree;
/* Reads a template into r's arena. */
bool jt_jparse(jt_jrun *r, const char *source, size_t n, jt_jtree *out);

/* ---- names ---- */

typedef struct jt_jvar {
    const jt_jstr *name;
    jt_jval value;
} jt_jvar;
struct jt_jscope {
    jt_jscope *up;
    jt_jvar *var;
    size_t n, cap;
    bool kept; /* a macro knows it: it must outlive its turn */
};
jt_jscope *jt_jscope_new(jt_jrun *r, jt_jscope *up);
bool jt_jscope_set(jt_jrun *r, jt_jscope *s, const jt_jstr *name, jt_jval v);
void jt_jscope_keep(jt_jscope *s);

/* ---- calls ---- */

typedef struct jt_jargs {
    const jt_jval *pos;
    size_t n_pos;
    const jt_jdict *named; /* NULL: none; its keys are strings */
} jt_jargs;
/* Puts arguments where a function's parameters are: `names` separated by spaces ("sep maxsplit"), a leading "/" forbids names.
 * out[i] is JT_J_MISSING where nothing was given; fewer than `least` positions filled from the left is an error. */
bool jt_jargs_bind(jt_jrun *r, const char *what, const jt_jargs *a, const char *names, size_t least, jt_jval *out);

/* A filter, a test or a global function. Filters and tests get what they are applied to as pos[0]. */
typedef struct jt_jfunction {
    const char *name;
    bool (*call)(jt_jrun *r, const jt_jargs *a, jt_jval *out);
} jt_jfunction;
const jt_jfunction *jt_jfilter_find(const jt_jstr *name);
const jt_jfunction *jt_jtest_find(const jt_jstr *name);
/* The tables end with a NULL name. */
extern const jt_jfunction jt_jfilters_text[], jt_jfilters_list[], jt_jfilters_value[], jt_jtests[];
/* A global name of the environment: range, dict, namespace and others; false if there is none. */
bool jt_jglobal(const jt_jstr *name, jt_jval *out);

/* A method with its value: methods.c, methods_text.c. */
typedef struct jt_jmethod {
    jt_jval self;
    const struct jt_jmethod_row *row;
} jt_jmethod;
typedef struct jt_jmethod_row {
    const char *name;
    bool (*call)(jt_jrun *r, const jt_jval *self, const jt_jargs *a, jt_jval *out); /* NULL: not one that this build has */
    bool changes;                                                                   /* it would change its value: the sandbox forbids it */
} jt_jmethod_row;
extern const jt_jmethod_row jt_jmethods_text[];
/* value.name: a method or member, *found false if there is none. */
bool jt_jattribute(jt_jrun *r, jt_jval v, const jt_jstr *name, jt_jval *out, bool *found);
bool jt_jmethod_same(const jt_jmethod *a, const jt_jmethod *b);

typedef struct jt_jmacro {
    const jt_jnode *node;
    jt_jscope *scope; /* where it was written */
    const char *name;
} jt_jmacro;
bool jt_jcall_macro(jt_jrun *r, jt_jmacro *m, const jt_jargs *a, jt_jval *out);
bool jt_jcall_value(jt_jrun *r, jt_jval f, const jt_jargs *a, jt_jval *out);

typedef struct jt_jloop {
    jt_jval over;
    jt_jiter *it;
    jt_jval before, current, after; /* MISSING: none */
    jt_jval changed;                /* MISSING, or a tuple */
    int64_t index0;
    size_t length;
    bool known; /* length is */
    int depth0;
    const jt_jnode *node; /* of a recursive loop, else NULL */
    jt_jscope *scope;
} jt_jloop;
bool jt_jloop_length(jt_jrun *r, jt_jloop *l, size_t *out);
bool jt_jloop_member(jt_jrun *r, jt_jloop *l, const jt_jstr *name, jt_jval *out, bool *found);
bool jt_jloop_call(jt_jrun *r, jt_jloop *l, const jt_jargs *a, jt_jval *out);

typedef struct jt_jcycler {
    jt_jval *item;
    size_t n, at;
} jt_jcycler;
typedef struct jt_jjoiner {
    jt_jval sep;
    bool used;
} jt_jjoiner;

/* ---- evaluation ---- */

bool jt_jeval(jt_jrun *r, const jt_jnode *n, jt_jscope *s, jt_jval *out);
/* Arguments of a call, evaluated; `first` (NULL: none) is put before them. */
bool jt_jeval_args(jt_jrun *r, const jt_jcall *c, jt_jscope *s, const jt_jval *first, jt_jargs *out);
bool jt_jget_item(jt_jrun *r, jt_jval v, jt_jval key, jt_jval *out);
bool jt_jget_attr(jt_jrun *r, jt_jval v, const jt_jstr *name, jt_jval *out);
/* v[start:stop:step]; NONE or MISSING for what is left out. */
bool jt_jslice(jt_jrun *r, jt_jval v, const jt_jval part[3], jt_jval *out);

typedef enum jt_jflow { JT_JF_ON, JT_JF_BREAK, JT_JF_CONTINUE, JT_JF_FAILED } jt_jflow;
jt_jflow jt_jexec(jt_jrun *r, jt_jnode *const *kid, size_t n, jt_jscope *s, jt_jbuf *out);
/* Gives a value to names: a name, a tuple of targets, or a member of a namespace. */
bool jt_jassign(jt_jrun *r, const jt_jnode *target, jt_jval v, jt_jscope *s);
bool jt_jexec_for(jt_jrun *r, const jt_jnode *n, jt_jval over, jt_jscope *s, int depth0, jt_jbuf *out);

#endif

/* value.h: the values that templates compute with. They are Python's, as far as templates can tell.
 *
 * Everything lives in the arena of a run (jt_jrun) and is freed with it; strings, lists and dicts are never changed once
 * others can see them (the reference's sandbox forbids it), save the members of a namespace. Functions that return a pointer
 * return NULL after they have set the run's error, those that return bool false. */
#ifndef JT_TEXT_JINJA_VALUE_H
#define JT_TEXT_JINJA_VALUE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "core/json.h"
#include "core/mem.h"
#include "core/str.h"

typedef struct jt_jrun jt_jrun;
typedef struct jt_jval jt_jval;
typedef struct jt_jnode jt_jnode;
typedef struct jt_jscope jt_jscope;

/* Text in UTF-8. `m` is NULL, or has a byte for each byte of the text: 1 where it came from the conversation, 0 where the
 * template wrote it. Whatever cuts or joins strings carries it along. */
typedef struct jt_jstr {
    const char *s;
    const uint8_t *m;
    size_t n, len; /* bytes, characters */
    bool markup;   /* Markup of the reference: what it is joined with is escaped */
} jt_jstr;

typedef enum jt_jkind {
    JT_J_MISSING, /* no value at all: an argument that was not given */
    JT_J_UNDEFINED,
    JT_J_NONE,
    JT_J_BOOL,
    JT_J_INT,
    JT_J_FLOAT,
    JT_J_STR,
    JT_J_LIST,
    JT_J_TUPLE, /* also the pairs of groupby, which have names */
    JT_J_DICT,
    JT_J_VIEW, /* keys, values or items of a dict */
    JT_J_RANGE,
    JT_J_ITER, /* gives its items once */
    JT_J_NAMESPACE,
    JT_J_MACRO,
    JT_J_FUNCTION, /* of the environment */
    JT_J_METHOD,   /* of a value */
    JT_J_LOOP,
    JT_J_CYCLER,
    JT_J_JOINER
} jt_jkind;

typedef struct jt_jlist {
    jt_jval *v;
    size_t n, cap;
    bool group; /* a tuple with the names grouper and list */
} jt_jlist;

typedef struct jt_jdict jt_jdict;
typedef struct jt_jrange {
    int64_t start, stop, step;
    size_t n;
} jt_jrange;

/* What use of an undefined value says. */
typedef struct jt_jwhy {
    const char *text;
} jt_jwhy;

struct jt_jval {
    jt_jkind kind;
    union {
        bool b;
        int64_t i;
        double f;
        const jt_jstr *s;
        jt_jlist *list;
        jt_jdict *dict; /* also of a namespace */
        const jt_jrange *range;
        const jt_jwhy *why; /* of JT_J_UNDEFINED */
        struct jt_jview *view;
        struct jt_jiter *iter;
        struct jt_jmacro *macro;
        const struct jt_jfunction *function;
        struct jt_jmethod *method;
        struct jt_jloop *loop;
        struct jt_jcycler *cycler;
        struct jt_jjoiner *joiner;
    };
};

typedef struct jt_jpair {
    jt_jval key, value;
    uint64_t hash;
} jt_jpair;
struct jt_jdict {
    jt_jpair *p; /* in the order of insertion */
    size_t n, cap;
    uint32_t *slot; /* places in p plus 1; NULL while there are few */
    size_t slots;
};

typedef enum jt_jview_kind { JT_J_KEYS, JT_J_VALUES, JT_J_ITEMS } jt_jview_kind;
struct jt_jview {
    const jt_jdict *dict;
    jt_jview_kind kind;
};

/* ---- the run ---- */

typedef struct jt_jbuf {
    jt_jrun *r;
    char *s;
    uint8_t *m;
    size_t n, cap;
    bool marked;  /* some byte of m is 1 */
    bool bounded; /* holds what the run gives out: its size has a limit */
} jt_jbuf;

typedef struct jt_jspan {
    size_t begin, end; /* bytes of the output */
} jt_jspan;

struct jt_jrun {
    jt_arena arena;
    jt_error *err;
    jt_status status;
    const jt_jnode *at;    /* what is being evaluated, for messages */
    uint64_t steps;        /* left */
    size_t memory;         /* bytes that the arena may have */
    size_t output;         /* bytes that may be written */
    bool strict;           /* the text of an undefined value is an error */
    int depth;             /* nesting of evaluations, at most JT_J_DEEPEST */
    jt_jscope *root;       /* the template's own names */
    const jt_jdict *given; /* the variables of the conversation */
    int64_t now;           /* for strftime_now: seconds since 1970, as the clock on the wall shows them */
    int32_t now_micro;
    const struct jt_jblock *blocks;
    jt_jbuf *out;   /* of the template itself, whatever is captured meanwhile */
    jt_jspan *span; /* of {% generation %} */
    size_t n_span, cap_span;
};
enum { JT_J_DEEPEST = 1600 };

/* Sets the run's error (the first one stays), with the place of r->at. */
void jt_jfail_set(jt_jrun *r, jt_status code, const char *fmt, ...) JT_PRINTF(3, 4);
/* The same, and false. */
#define jt_jfail(...) (jt_jfail_set(__VA_ARGS__), false)
/* Counts n steps of work. */
bool jt_jstep(jt_jrun *r, uint64_t n);
/* One level deeper; jt_jleave goes back. */
bool jt_jenter(jt_jrun *r);
static inline bool jt_jleave(jt_jrun *r, bool ok) {
    r->depth--;
    return ok;
}
/* n * size zeroed bytes of the run. */
void *jt_jalloc(jt_jrun *r, size_t n, size_t size);

/* ---- strings ---- */

/* s[0..n) is UTF-8 and stays; m as in jt_jstr. */
const jt_jstr *jt_jstr_new(jt_jrun *r, const char *s, size_t n, const uint8_t *m);
bool jt_jval_text(jt_jrun *r, const char *s, jt_jval *out); /* a copy of a text of the engine's own */
/* Bytes [from, to) of it. */
const jt_jstr *jt_jstr_cut(jt_jrun *r, const jt_jstr *s, size_t from, size_t to);
/* The place in bytes of the i-th character (i <= len). */
size_t jt_jstr_place(const jt_jstr *s, size_t i);
/* The same text with or without the mark of Markup. */
const jt_jstr *jt_jstr_as(jt_jrun *r, const jt_jstr *s, bool markup);
bool jt_jstr_is(const jt_jstr *s, const char *text);
bool jt_jstr_equal(const jt_jstr *a, const jt_jstr *b);
/* By code points, which for UTF-8 is by bytes: < 0, 0, > 0. */
int jt_jstr_order(const jt_jstr *a, const jt_jstr *b);
/* The first place of b in a at or after `from`, SIZE_MAX if there is none; the last place that ends at or before `to`. */
size_t jt_jstr_find(const jt_jstr *a, const jt_jstr *b, size_t from);
size_t jt_jstr_find_last(const jt_jstr *a, const jt_jstr *b, size_t to);

/* A buffer: append with the functions below; all are false after a failure. */
bool jt_jbuf_add(jt_jbuf *b, const char *s, size_t n, const uint8_t *m);
bool jt_jbuf_puts(jt_jbuf *b, const char *s);
bool jt_jbuf_str(jt_jbuf *b, const jt_jstr *s);
bool jt_jbuf_part(jt_jbuf *b, const jt_jstr *s, size_t from, size_t to);
/* A character; `mark` says whether it comes from the conversation. */
bool jt_jbuf_char(jt_jbuf *b, uint32_t cp, bool mark);
bool jt_jbuf_fill(jt_jbuf *b, char c, size_t n);
const jt_jstr *jt_jbuf_end(const jt_jbuf *b);

/* ---- lists and dicts ---- */

jt_jlist *jt_jlist_new(jt_jrun *r, size_t room);
bool jt_jlist_push(jt_jrun *r, jt_jlist *l, jt_jval v);
jt_jdict *jt_jdict_new(jt_jrun *r);
/* Keys must be hashable: a message names the kind of one that is not. A key that is there keeps its place. */
bool jt_jdict_set(jt_jrun *r, jt_jdict *d, jt_jval key, jt_jval value);
/* *out is NULL if there is none; false only for keys that cannot be. */
bool jt_jdict_get(jt_jrun *r, const jt_jdict *d, jt_jval key, const jt_jval **out);
const jt_jval *jt_jdict_text(const jt_jdict *d, const char *key, size_t n);
bool jt_jhash(jt_jrun *r, jt_jval v, uint64_t *out);

/* ---- questions ---- */

const char *jt_jkind_name(jt_jval v); /* of the Python type */
bool jt_jtruth(jt_jrun *r, jt_jval v, bool *out);
bool jt_jequal(jt_jrun *r, jt_jval a, jt_jval b, bool *out);
/* Whether a < b; `op` is for the message. */
bool jt_jless(jt_jrun *r, jt_jval a, jt_jval b, const char *op, bool *out);
bool jt_jin(jt_jrun *r, jt_jval item, jt_jval of, bool *out);
bool jt_jsame(jt_jval a, jt_jval b);
/* Python's len(). */
bool jt_jlen(jt_jrun *r, jt_jval v, size_t *out);
static inline bool jt_jis_number(jt_jval v) { return v.kind == JT_J_BOOL || v.kind == JT_J_INT || v.kind == JT_J_FLOAT; }
/* Of a bool or an int. */
static inline int64_t jt_jint(jt_jval v) { return v.kind == JT_J_BOOL ? v.b : v.i; }
static inline double jt_jfloat(jt_jval v) { return v.kind == JT_J_FLOAT ? v.f : (double)jt_jint(v); }
/* Fails unless v is an int (or a bool): "what" is said. */
bool jt_jwant_int(jt_jrun *r, jt_jval v, const char *what, int64_t *out);
bool jt_jwant_str(jt_jrun *r, jt_jval v, const char *what, const jt_jstr **out);
/* Fails as the use of an undefined value does. */
bool jt_jundefined_used(jt_jrun *r, jt_jval v);
jt_jval jt_jundefined(jt_jrun *r, const char *fmt, ...) JT_PRINTF(2, 3);

#define JT_JNONE ((jt_jval){.kind = JT_J_NONE})
static inline jt_jval jt_jbool(bool b) { return (jt_jval){.kind = JT_J_BOOL, .b = b}; }
static inline jt_jval jt_jinteger(int64_t i) { return (jt_jval){.kind = JT_J_INT, .i = i}; }
static inline jt_jval jt_jreal(double f) { return (jt_jval){.kind = JT_J_FLOAT, .f = f}; }
static inline jt_jval jt_jstring(const jt_jstr *s) { return (jt_jval){.kind = JT_J_STR, .s = s}; }

/* ---- text of values ---- */

/* str(v) and repr(v). */
bool jt_jbuf_text(jt_jbuf *b, jt_jval v);
bool jt_jbuf_repr(jt_jbuf *b, jt_jval v);
/* str(v); a string is itself. */
const jt_jstr *jt_jtext(jt_jrun *r, jt_jval v);
/* repr of a float: the shortest digits that read back. */
void jt_jfloat_text(double x, char out[40]);
/* Appends s with & < > ' " as HTML names them. */
bool jt_jbuf_escape(jt_jbuf *b, const jt_jstr *s);
/* markupsafe.escape: Markup stays as it is. */
const jt_jstr *jt_jescape(jt_jrun *r, jt_jval v);

typedef struct jt_jdumps {
    bool ascii, sort;
    const jt_jstr *indent; /* NULL: none */
    const jt_jstr *comma, *colon;
} jt_jdumps;
/* json.dumps as the reference's tojson calls it. */
bool jt_jbuf_json(jt_jbuf *b, jt_jval v, const jt_jdumps *how);

/* A value of the conversation, its texts marked. `ones`: as many bytes of 1 as its longest text has. */
bool jt_jval_read(jt_jrun *r, const jt_json *v, const uint8_t *ones, jt_jval *out);

/* ---- operators ---- */

typedef enum jt_jop { JT_J_ADD, JT_J_SUB, JT_J_MUL, JT_J_DIV, JT_J_FLOOR, JT_J_MOD, JT_J_POW } jt_jop;
bool jt_joperate(jt_jrun *r, jt_jop op, jt_jval a, jt_jval b, jt_jval *out);
bool jt_jsign(jt_jrun *r, bool negative, jt_jval a, jt_jval *out);
/* a % b where a is a string. */
bool jt_jformat_percent(jt_jrun *r, const jt_jstr *format, jt_jval with, jt_jval *out);
/* round(x, digits) of a float, to the nearest, halves of what is exactly half to even. */
bool jt_jround(jt_jrun *r, double x, int64_t digits, double *out);

/* ---- iteration ---- */

typedef struct jt_jiter jt_jiter;
/* iter(v); a message says what is not iterable. */
jt_jiter *jt_jiter_new(jt_jrun *r, jt_jval v);
/* reversed(v). */
jt_jiter *jt_jiter_back(jt_jrun *r, jt_jval v);
/* One whose items another function gives: false on failure, and *done at the end. */
typedef bool jt_jnext(jt_jrun *r, void *self, jt_jval *out, bool *done);
jt_jiter *jt_jiter_of(jt_jrun *r, jt_jnext *next, void *self, const char *name);
bool jt_jiter_next(jt_jrun *r, jt_jiter *it, jt_jval *out, bool *done);
const char *jt_jiter_name(const jt_jiter *it);
bool jt_jiterable(jt_jval v);
/* list(v). */
jt_jlist *jt_jlist_of(jt_jrun *r, jt_jval v);

#endif

/* format.h: Python's two ways to put values into a text: "%s" % x, in value.h, and "{}".format(x). */
#ifndef JT_TEXT_JINJA_FORMAT_H
#define JT_TEXT_JINJA_FORMAT_H

#include "text/jinja/node.h"

/* str.format: fields by place and by name, members and items of them, !r !s !a, and format specs. */
bool jt_jformat_braces(jt_jrun *r, const jt_jstr *format, const jt_jargs *a, jt_jval *out);

/* How a number or a text is to stand in its field. */
typedef struct jt_jfield {
    const jt_jstr *fill; /* NULL: a space */
    char align;          /* '<', '>', '^', '=' or 0 */
    char sign;           /* '+', ' ' or 0 */
    bool alternate;
    char group;               /* ',', '_' or 0 */
    int64_t width, precision; /* -1: none */
    char type;                /* 0: none */
} jt_jfield;
/* Appends digits as formatted (with a "-" if negative), aligned and padded. */
bool jt_jfield_put(jt_jbuf *b, const jt_jfield *f, const jt_jstr *digits, bool number);
/* The digits of a number by its type: d b o x X c e E f F g G % or 0. */
const jt_jstr *jt_jfield_number(jt_jrun *r, const jt_jfield *f, jt_jval v);

#endif

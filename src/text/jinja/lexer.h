/* lexer.h: a template's source as tokens, as Jinja 3.1 cuts it with trim_blocks and lstrip_blocks on. */
#ifndef JT_TEXT_JINJA_LEXER_H
#define JT_TEXT_JINJA_LEXER_H

#include "text/jinja/node.h"

typedef enum jt_jtoken_kind {
    JT_JT_END,
    JT_JT_DATA, /* text outside tags: value */
    JT_JT_PRINT_BEGIN,
    JT_JT_PRINT_END,
    JT_JT_BLOCK_BEGIN,
    JT_JT_BLOCK_END,
    JT_JT_NAME,   /* text */
    JT_JT_STRING, /* value */
    JT_JT_NUMBER, /* value */
    JT_JT_OP      /* op: one or two characters */
} jt_jtoken_kind;

typedef struct jt_jtoken {
    jt_jtoken_kind kind;
    unsigned line, column; /* from 1; columns count characters */
    char op[3];
    const jt_jstr *text;
    jt_jval value;
} jt_jtoken;

/* All tokens, the last of which is END. */
bool jt_jlex(jt_jrun *r, const char *source, size_t n, jt_jtoken **out, size_t *n_out);

#endif

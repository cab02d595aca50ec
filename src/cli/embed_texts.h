/* embed_texts.h: the texts of `jeton embed`, `classify` and `rerank`: arguments, or lines of a file, as rows of tokens. */
#ifndef JT_CLI_EMBED_TEXTS_H
#define JT_CLI_EMBED_TEXTS_H

#include "cli/session.h"
#include "jeton/embed.h"
#include "jeton/text.h"

typedef struct jt_text_line {
    const char *s;
    size_t n;
} jt_text_line;

typedef struct jt_texts {
    jt_str file; /* what the lines point into */
    jt_text_line *line;
    size_t n, cap;
} jt_texts;

/* Texts from the arguments after the first `skip`, from --file, or else from standard input, a line each. */
jt_status jt_texts_read(const jt_args *a, int skip, jt_texts *out, jt_error *err);
void jt_texts_free(jt_texts *t);

/* Some texts as tokens; reused. */
typedef struct jt_text_rows {
    jt_tokens tokens;
    int32_t *ids, *types;
    jt_embed_text *row; /* [n]: they point into ids and types */
    size_t *end;        /* [n]: of each row among the tokens */
    size_t n, cap_ids, cap_types, cap_row, cap_end;
} jt_text_rows;
void jt_text_rows_free(jt_text_rows *r);

/* How texts become rows. */
typedef struct jt_text_way {
    const jt_model *model;
    jt_text_line query; /* s NULL: no pairs; else what comes before each text */
    bool tabs;          /* a text with a tab in it is a pair */
    bool truncate;      /* cut what is too long, instead of refusing it */
    int most;           /* tokens of a row; 0: as many as the model reads */
} jt_text_way;
/* The rows of n texts, of which the first is number `first` to the user. */
jt_status jt_text_rows_make(const jt_text_way *w, const jt_text_line *text, size_t n, size_t first, jt_text_rows *out, jt_error *err);

/* Appends a float so that it reads back as the same one. */
void jt_text_float(jt_str *o, float x);

#endif

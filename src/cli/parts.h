/* parts.h: an answer parted into reasoning, tool calls and content while it comes (jeton/reader.h).
 *
 * Events carry the text without special tokens; models mark their parts by such. Those of the family's marks are put back in for
 * the reader where they stood, all others stay out, so that without marks the content is the answer's text, byte for byte. */
#ifndef JT_CLI_PARTS_H
#define JT_CLI_PARTS_H

#include <stdbool.h>

#include "core/str.h"
#include "jeton/decode.h"
#include "jeton/reader.h"

typedef struct jt_parts_mark {
    size_t at; /* bytes of the text before it */
    int32_t id;
} jt_parts_mark;

/* Zero-initialised is empty, and free. */
typedef struct jt_parts {
    jt_str content, reasoning;
    jt_str calls, calls_text; /* JSON, separated by commas: arguments as objects, and as text as the OpenAI interface has it */
    size_t n_calls;
    size_t number;    /* of the next call whose id the model does not give */
    jt_reader_fn *fn; /* told what is new; NULL: nobody */
    void *self;
    const jt_tokenizer *tokenizer;
    jt_reader *reader;
    const char *family;
    jt_str prompt; /* the end of it */
    jt_detok detok;
    jt_str scratch;
    jt_parts_mark *mark; /* special tokens that the text leaves out */
    size_t n_mark, cap_mark, next;
    size_t made, given; /* bytes of text that tokens made, and that events gave */
    bool special;       /* the text has special tokens in it */
} jt_parts;

/* Begins an answer to `r`, whose prompt a chat template wrote. `fn`, `self` and `number` stay as they are. */
jt_status jt_parts_begin(jt_parts *p, const jt_tokenizer *t, const jt_request *r, jt_error *err);
/* Takes an event of the answer. */
jt_status jt_parts_take(jt_parts *p, const jt_event *e, jt_error *err);
/* Another answer follows, parted by an empty line from this one. */
jt_status jt_parts_again(jt_parts *p, jt_error *err);
jt_status jt_parts_end(jt_parts *p, jt_error *err);
void jt_parts_free(jt_parts *p);

/* A message as the OpenAI interface has it: {"role", "content", "reasoning_content", "tool_calls"}. */
void jt_parts_write(const jt_parts *p, jt_str *o);

/* Parts as they are shown: reasoning dim, or between <think> and </think> where there is no colour, calls on lines of their own. */
typedef struct jt_parts_show {
    const jt_parts *parts;
    bool hide, colour;       /* hide: reasoning is left out */
    bool open, said, inside; /* a line is begun; anything was shown; in reasoning */
    bool failed;             /* standard output cannot be written */
} jt_parts_show;
/* The value of --reasoning for standard output; "auto" shows it at a terminal. */
jt_parts_show jt_parts_show_new(const char *reasoning, const jt_parts *parts);
/* A jt_reader_fn; self is the jt_parts_show. */
void jt_parts_print(void *self, jt_reader_part part, size_t call, const char *s, size_t n);
/* Ends the line. */
void jt_parts_show_end(jt_parts_show *s);

#define JT_REASONING_OPT                                                                                                                   \
    {                                                                                                                                      \
        "reasoning", 0, JT_OPT_CHOICE, "auto|show|hide", "auto", 0, 0,                                                                     \
            "what becomes of the model's reasoning: show or hide it; auto shows it at a terminal"                                          \
    }

#endif

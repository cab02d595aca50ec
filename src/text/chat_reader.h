/* chat_reader.h: the inside of a jt_reader. */
#ifndef JT_TEXT_CHAT_READER_H
#define JT_TEXT_CHAT_READER_H

#include <stdbool.h>

#include "core/str.h"
#include "jeton/reader.h"

typedef enum jt_reader_mark_kind {
    JT_MARK_REASON, /* reasoning, up to `close` */
    JT_MARK_CALLS,  /* calls, up to `close` or the end */
    JT_MARK_DROP,   /* says nothing: left out */
    JT_MARK_HEAD    /* Harmony: a header up to <|message|>, which says what the text up to the next mark is */
} jt_reader_mark_kind;

typedef struct jt_reader_mark {
    const char *open, *close; /* close NULL: to the end of the answer */
    jt_reader_mark_kind kind;
} jt_reader_mark;

typedef struct jt_reader_style {
    const char *name;
    const char *signs[4];        /* a template with one of these texts is of the family */
    const jt_reader_mark *marks; /* ends with open NULL */
    bool whole;                  /* an answer that is one JSON object with a name is a call */
} jt_reader_style;
extern const jt_reader_style jt_reader_families[]; /* ends with name NULL; the first that fits counts */

typedef struct jt_call_text {
    jt_str name, arguments, id;
} jt_call_text;
typedef struct jt_call_list {
    jt_call_text *call;
    size_t n, cap;
} jt_call_list;
void jt_call_list_free(jt_call_list *l);
/* Reads the calls in a text between marks, whichever of the known forms it has. *ok is false, and nothing is added, where it has
 * none. JT_NOMEM. */
jt_status jt_calls_read(const char *s, size_t n, jt_call_list *out, bool *ok, jt_error *err);
/* One call whose name is known; arguments are checked to be JSON. */
jt_status jt_calls_add(const char *name, size_t n_name, const char *arguments, size_t n, const char *id, jt_call_list *out, bool *ok,
                       jt_error *err);

#endif

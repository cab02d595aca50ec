/* train.h: the parts of training a vocabulary; the whole is jt_tokenizer_train (jeton/text.h).
 *
 * Text is cut into sequences as Hugging Face's `tokenizers` cuts files: a sequence is a line with its line break, and of a
 * file of JSON lines the text of each record. A pre-tokeniser cuts sequences into pieces; pieces are counted, and from
 * then on only the different ones and their counts matter. No result depends on the number of threads. */
#ifndef JT_TEXT_TRAIN_H
#define JT_TEXT_TRAIN_H

#include "core/mem.h"
#include "core/thread.h"
#include "jeton/text.h"
#include "text/train_pipe.h"

/* ---- counting (train_count.c) ---- */

typedef struct jt_counted_piece {
    uint64_t key, count; /* key: jt_word_key of the bytes */
    const char *s;       /* NULL in the table: the slot is empty */
    uint32_t n;
} jt_counted_piece;

/* Different pieces with their counts; a hash table until jt_counted_sort. Zero-initialised is empty. */
typedef struct jt_counted {
    jt_counted_piece *p;
    size_t n, slots; /* slots: 0 once it is sorted */
    jt_arena strings;
} jt_counted;
void jt_counted_free(jt_counted *c);
jt_status jt_counted_add(jt_counted *c, const char *s, size_t n, uint64_t count, jt_error *err);
/* The table becomes the list p[0..n), ascending by bytes. */
void jt_counted_sort(jt_counted *c);

typedef struct jt_count_how {
    const jt_train_pipe *pipe;
    const char *field;                            /* not NULL: text is JSON lines, and this member of each record is the text */
    int (*progress)(void *self, double fraction); /* of all texts; may be NULL; anything but 0 cancels */
    void *self;
} jt_count_how;

typedef struct jt_count_text {
    jt_view text;
    const char *name; /* for messages */
    bool mapped;      /* it is a mapped file: bytes that were counted are released from memory */
} jt_count_text;

/* Adds the pieces of the texts. Over characters, a byte that is not UTF-8 becomes U+FFFD and NUL is left out. */
jt_status jt_count_texts(const jt_count_text *text, size_t n, const jt_count_how *how, jt_pool *pool, jt_counted *out, jt_error *err);

/* ---- vocabularies ---- */

/* What training gives: tokens in their written form, specials first. */
typedef struct jt_trained {
    jt_arena strings;
    jt_view *token; /* [n] */
    double *score;  /* [n], of unigram models; else NULL */
    size_t n, specials;
    uint32_t (*merge)[2]; /* [merges]: left and right, in order */
    size_t merges;
    int32_t unk; /* of unigram models */
} jt_trained;
void jt_trained_free(jt_trained *t);

/* Byte-pair encoding (train_bpe.c). */
jt_status jt_train_bpe(const jt_counted *words, const jt_train_options *o, const jt_train_pipe *p, jt_trained *out, jt_error *err);
/* The unigram language model (train_unigram.c); `words` is sorted. */
jt_status jt_train_unigram(const jt_counted *words, const jt_train_options *o, jt_pool *pool, jt_trained *out, jt_error *err);

/* Maximal repeats (train_suffix.c): substrings of s[0..n), of more than one symbol and at most `most`, that occur at least twice
 * and not always with the same symbol after them; symbols above 0 count, 0 parts texts and is in no repeat. */
typedef struct jt_repeat {
    uint32_t at, n, count; /* s[at .. at + n) */
} jt_repeat;
jt_status jt_repeats_find(const uint32_t *s, size_t n, uint32_t most, jt_repeat **out, size_t *out_n, jt_error *err);

/* Writes "<0xHH>" of a byte. */
enum { JT_BYTE_NAME = 6 };
void jt_byte_name(unsigned byte, char to[JT_BYTE_NAME]);

/* The text of a tokenizer.json (train_save.c). */
void jt_trained_json(const jt_trained *t, const jt_train_options *o, const jt_train_pipe *p, jt_str *out);

#endif

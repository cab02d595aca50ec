/* text.h: tokens from bytes, bytes from tokens, and chat formats.
 *
 * A jt_tokenizer is immutable after it is made and may be used from any number
 * of threads. Text is bytes: it need not be valid UTF-8, may hold NUL, and
 * byte-level vocabularies with a token for each of the 256 bytes give it back
 * exactly. Some have fewer (SmolLM2: 235, which is all of ordinary text); bytes
 * without a token are left out as if they were not there, as the reference
 * tokenizers do, unless JT_EVERY_BYTE is asked for. WordPiece (BERT) parts text into words and gives their tokens, of which the
 * text cannot be had again; a word that it has no tokens for is the unknown token. */
#ifndef JETON_TEXT_H
#define JETON_TEXT_H

#include <stddef.h>
#include <stdint.h>

#include "jeton/status.h"

#ifdef __cplusplus
extern "C" {
#endif

typedef struct jt_tokenizer jt_tokenizer;

/* A tokenizer from its own file: Hugging Face's tokenizer.json, SentencePiece's tokenizer.model, or a folder with one of
 * them; tokenizer_config.json beside it says which tokens begin and end a text. Free with jt_tokenizer_free. Errors:
 * JT_NOTFOUND, JT_FORMAT, JT_UNSUPPORTED (a part that this build does not know, by name), JT_LIMIT, JT_NOMEM. */
JT_API jt_status jt_tokenizer_open(const char *path, jt_tokenizer **out, jt_error *err);
/* NULL is fine. Only for tokenizers that jt_tokenizer_open gave; those of models go with them. */
JT_API void jt_tokenizer_free(jt_tokenizer *t);

/* One token with the bytes of the original text it stands for: [begin, end).
 * A token added by the tokenizer itself (BOS, EOS) has begin == end. */
typedef struct jt_token {
    int32_t id;
    size_t begin, end;
} jt_token;

/* A list of tokens that grows; zero-initialised is empty. */
typedef struct jt_tokens {
    jt_token *t;
    size_t n, cap;
} jt_tokens;
JT_API void jt_tokens_free(jt_tokens *t);

enum {
    JT_ADD_SPECIAL = 1,   /* add BOS and EOS as the model's files ask */
    JT_PARSE_SPECIAL = 2, /* special tokens written in the text become those tokens; leave out for user text */
    JT_EVERY_BYTE = 4     /* fail (JT_UNSUPPORTED, naming byte and offset) where the vocabulary has no token for a byte */
};

/* Appends the tokens of text[0..n) to `out`. On failure `out` is unchanged.
 * Time is linear in n for every input. Errors: JT_NOMEM, JT_LIMIT (n > 2^31). */
JT_API jt_status jt_encode(const jt_tokenizer *t, const char *text, size_t n, int flags, jt_tokens *out, jt_error *err);

/* The same by several threads (0: one per processor), with the same tokens. A text is parted where that changes nothing: most
 * byte-level tokenizers tell such places, for others one thread does the work. */
JT_API jt_status jt_encode_threads(const jt_tokenizer *t, const char *text, size_t n, int flags, int threads, jt_tokens *out,
                                   jt_error *err);

/* A text that arrives in pieces, one text at a time, by one thread at a time; the tokenizer must outlive it. All that is appended is
 * what jt_encode gives for the whole, spans included. */
typedef struct jt_encoder jt_encoder;
JT_API jt_status jt_encoder_new(const jt_tokenizer *t, int flags, jt_encoder **out, jt_error *err);
/* Takes s[0..n) and appends the tokens that no later text can change; the rest is kept. Where a tokenizer cannot tell (one that is not
 * byte-level, added tokens that take white space), all is kept until the end. On failure nothing was taken.
 * Errors: JT_NOMEM, JT_LIMIT (2^31 bytes kept). */
JT_API jt_status jt_encoder_push(jt_encoder *e, const char *s, size_t n, jt_tokens *out, jt_error *err);
/* Appends what is left, and makes the encoder ready for another text. On failure it may be called again. */
JT_API jt_status jt_encoder_end(jt_encoder *e, jt_tokens *out, jt_error *err);
JT_API void jt_encoder_free(jt_encoder *e);

/* Appends two texts as encoders read a pair: beginning, a, end, b, end. *second gets the number of appended tokens before b's,
 * which is where token types become 1; spans of b's tokens are in b. On failure `out` is unchanged. JT_UNSUPPORTED if the
 * model's files name no such tokens. */
JT_API jt_status jt_encode_pair(const jt_tokenizer *t, const char *a, size_t n_a, const char *b, size_t n_b, int flags, jt_tokens *out,
                                size_t *second, jt_error *err);

/* The bytes of one token ("" with *n = 0 for an unknown id); owned by the tokenizer.
 * Special tokens give their written form. */
JT_API const char *jt_token_bytes(const jt_tokenizer *t, int32_t id, size_t *n);
JT_API int jt_token_is_special(const jt_tokenizer *t, int32_t id);
/* 1 if the token ends an answer (EOS, end of turn). */
JT_API int jt_token_is_end(const jt_tokenizer *t, int32_t id);
/* 1 if tokens give their text back, byte for byte as far as there are tokens; 0 where it is parted into words (WordPiece) or
 * composed first. */
JT_API int jt_tokenizer_exact(const jt_tokenizer *t);
JT_API int jt_tokenizer_vocab(const jt_tokenizer *t);
/* Ids of beginning and end of text, -1 if the model has none. */
JT_API int32_t jt_tokenizer_bos(const jt_tokenizer *t);
JT_API int32_t jt_tokenizer_eos(const jt_tokenizer *t);
/* The id whose written form is exactly s[0..n), or -1. */
JT_API int32_t jt_token_find(const jt_tokenizer *t, const char *s, size_t n);

/* Bytes of ids[0..n) put together; an id outside the vocabulary is JT_INVALID. `*out` gets malloc'ed memory
 * (NUL-terminated; free with jt_text_free), *out_n its length. `special`: 1 writes special tokens, 0 leaves them out. */
JT_API jt_status jt_decode(const jt_tokenizer *t, const int32_t *ids, size_t n, int special, char **out, size_t *out_n, jt_error *err);
/* The same as text: as the tokenizer's own decoder writes it, which may put spaces right; always UTF-8, with U+FFFD for what is not. */
JT_API jt_status jt_decode_text(const jt_tokenizer *t, const int32_t *ids, size_t n, int special, char **out, size_t *out_n, jt_error *err);
JT_API void jt_text_free(char *s);

/* Streaming detokenisation: gives only whole UTF-8 characters, holding back up to
 * three bytes that later tokens may complete. Zero-initialised is ready. */
typedef struct jt_detok {
    char held[4];
    int n;
} jt_detok;
/* Writes the text that `id` completes to out[0..*n). A cap of 3 times the token's bytes and 9 more is always
 * enough; where it is not, JT_LIMIT, and the state is as before. Bytes that can never become a character are
 * given as U+FFFD, one per byte. */
JT_API jt_status jt_detok_push(const jt_tokenizer *t, jt_detok *d, int32_t id, int special, char *out, size_t cap, size_t *n,
                               jt_error *err);
/* What is held back at the end, each byte as U+FFFD (at most 9 bytes and a NUL in out[10]). */
JT_API size_t jt_detok_end(jt_detok *d, char out[10]);

/* ---- chat ---- */

typedef struct jt_message {
    const char *role, *content; /* "system", "user", "assistant"; UTF-8 text, NUL-terminated */
} jt_message;

/* Appends the tokens of the conversation as the model's own chat template writes it (jeton/template.h). Special tokens are
 * taken only where the template wrote them: contents never become one. `answer`: 1 adds the opening of the assistant's turn.
 * Spans are those of the template's text. JT_UNSUPPORTED, by name, if the model has no template or one that cannot be read;
 * JT_INVALID what the template refuses, and what is not UTF-8. */
JT_API jt_status jt_chat_encode(const jt_tokenizer *t, const jt_message *m, int n, int answer, jt_tokens *out, jt_error *err);
/* The same for a conversation as JSON, with tools, tool calls, reasoning and further variables (jt_template_render). */
JT_API jt_status jt_chat_encode_json(const jt_tokenizer *t, const char *conversation, size_t n, jt_tokens *out, jt_error *err);
/* "template"; NULL if the model has none that can be read. */
JT_API const char *jt_chat_format(const jt_tokenizer *t);
/* The source of the template; NULL if the model has none that can be read. The tokenizer's. */
JT_API const char *jt_chat_template(const jt_tokenizer *t, size_t *n);

/* ---- training ---- */

enum { JT_TRAIN_BPE = 0, JT_TRAIN_UNIGRAM = 1 };

/* All zero is: byte-level BPE of 30,000 tokens, cut as GPT-2 cuts, by the rules of Hugging Face's BpeTrainer. */
typedef struct jt_train_options {
    int model;    /* JT_TRAIN_* */
    size_t vocab; /* tokens, specials included; 0: 30,000 for BPE, 8,000 for unigram */
    /* How text is cut into pieces: a pre-tokeniser by the name that GGUF files use ("gpt-2", "llama-bpe", "qwen2", "gpt-4o",
     * "superbpe" ...), or a regular expression whose matches, and what lies between them, are the pieces. With neither,
     * byte-level BPE is cut as "gpt-2" does. `pre` may also be the pre_tokenizer of a tokenizer.json, as JSON ('{"type": ...}'). */
    const char *pre, *regex;
    const char *normalizer;     /* what is done to text first: names of "nfc", "nfd", "nfkc", "nfkd", "lowercase", "strip-accents",
                                   "strip", "nmt", "bert", separated by commas, or the normalizer of a tokenizer.json; NULL: nothing */
    int chars;                  /* BPE: symbols are characters, not bytes, and spaces become U+2581 (Metaspace); unigram is always so */
    int byte_fallback;          /* characters: <0x00> to <0xFF> follow the special tokens, for what is not in the alphabet */
    const char *const *special; /* become the first ids, in this order */
    size_t n_special;
    /* BPE */
    uint64_t min_frequency;  /* a pair that occurs less often is not merged */
    size_t max_token_length; /* 0: none; a merged token has fewer symbols than this */
    size_t limit_alphabet;   /* 0: none; at most so many single symbols, the most frequent ones; of equals the smaller */
    const char *alphabet;    /* characters (UTF-8) that are in the vocabulary whether seen or not; may be NULL */
    int seen_bytes;          /* byte-level: only bytes that occur are tokens; else all 256 are */
    /* unigram */
    const char *unk;    /* the unknown token: one of the specials, or a new one before them; NULL: "<unk>" */
    size_t max_piece;   /* characters; 0: 16 */
    size_t seeds;       /* pieces to begin with; 0: 1,000,000 */
    double shrink;      /* part of the pieces that a round keeps; 0: 0.75 */
    int sub_iterations; /* of EM in a round; 0: 2 */

    const char *field; /* files are JSON lines, and this member of each record is a text; NULL: files are text */
    int threads;       /* 0: one per processor; the result is the same on any number */
    /* Called now and then from the calling thread with what is being done and the fraction done; anything but 0 cancels. */
    int (*progress)(void *self, const char *what, double fraction);
    void *self;
} jt_train_options;

typedef struct jt_train_info {
    uint64_t bytes, pieces, words; /* of text; pieces counted, and different ones */
    size_t vocab, merges;
    double seconds_count, seconds_train;
} jt_train_info;

/* Learns a vocabulary from files ("-" is standard input) and writes it as a tokenizer.json at `out`, whole or not at all. Of files
 * what is held is the different pieces; standard input is held whole. A text is a line with its line break, as Hugging Face reads files, or
 * a record of JSON lines; no token goes over its end. `info` may be NULL. Errors: JT_INVALID (an option), JT_UNKNOWN (no such
 * pre-tokeniser), JT_FORMAT (a record that is no JSON), JT_LIMIT, JT_IO, JT_NOTFOUND, JT_NOMEM, JT_CANCELLED. */
JT_API jt_status jt_tokenizer_train(const char *const *files, size_t n_files, const char *out, const jt_train_options *o,
                                    jt_train_info *info, jt_error *err);

#ifdef __cplusplus
}
#endif
#endif

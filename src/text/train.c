/* train.c: a vocabulary from files to a file: counting, training, saving. */
#include "text/train.h"

#include <string.h>

#include "core/file.h"
#include "core/str.h"
#include "text/vocab.h"

typedef struct train_files {
    jt_map *map;
    jt_str *read; /* of standard input */
    jt_count_text *text;
    size_t n;
} train_files;

static int watch_count(void *self, double fraction) {
    const jt_train_options *o = self;
    return o->progress(o->self, "counting", fraction);
}

static jt_status invalid(jt_error *err, const char *what) { return jt_error_set(err, JT_INVALID, "training a tokenizer: %s", what); }

static bool utf8(const char *s) {
    size_t n = strlen(s), i = 0;
    for (int k = 1; i < n; i += (size_t)k)
        if (!(k = jt_utf8_next(s + i, n - i, NULL))) return false;
    return true;
}

static jt_status specials_check(const jt_train_options *o, jt_error *err) {
    if (o->n_special > 4096) return invalid(err, "more than 4096 special tokens");
    for (size_t i = 0; i < o->n_special; i++) {
        if (!*o->special[i] || strlen(o->special[i]) > JT_TOKEN_MOST_BYTES || !utf8(o->special[i]))
            return jt_error_set(err, JT_INVALID, "training a tokenizer: special token number %zu is empty, too long or not UTF-8", i + 1);
        for (size_t k = 0; k < i; k++)
            if (!strcmp(o->special[i], o->special[k]))
                return jt_error_set(err, JT_INVALID, "training a tokenizer: the special token %.60s is given twice", o->special[i]);
    }
    return JT_OK;
}

/* Options with their defaults put in. */
static jt_status options_read(const jt_train_options *given, jt_train_options *o, jt_error *err) {
    *o = given ? *given : (jt_train_options){0};
    bool unigram = o->model == JT_TRAIN_UNIGRAM;
    if (o->model != JT_TRAIN_BPE && !unigram) return invalid(err, "the model is neither BPE nor unigram");
    if (o->pre && o->regex) return invalid(err, "a pre-tokeniser is given by name or by a regular expression, not both");
    if ((o->chars || unigram) && (o->regex || (o->pre && !strchr(o->pre, '{'))))
        return invalid(err, "a vocabulary of characters is cut at spaces, or as the JSON of a pre-tokeniser says");
    if (unigram && (o->min_frequency || o->max_token_length || o->limit_alphabet))
        return invalid(err, "min_frequency, max_token_length and limit_alphabet are of BPE");
    if (!unigram && (o->max_piece || o->seeds || o->shrink != 0 || o->sub_iterations))
        return invalid(err, "max_piece, seeds, shrink and sub_iterations are of unigram models");
    if (!(o->shrink >= 0 && o->shrink < 1)) return invalid(err, "shrink is above 0 and below 1");
    if (o->sub_iterations < 0 || o->sub_iterations > 1000) return invalid(err, "sub_iterations is from 1 to 1000");
    if (o->vocab > JT_VOCAB_MOST) return jt_error_set(err, JT_LIMIT, "a vocabulary has at most %d tokens", JT_VOCAB_MOST);
    if (o->alphabet && !utf8(o->alphabet)) return invalid(err, "the alphabet is not UTF-8");
    if (o->max_piece > 256) return invalid(err, "max_piece is at most 256 characters");
    jt_status st = specials_check(o, err);
    if (st) return st;
    if (!o->vocab) o->vocab = unigram ? 8000 : 30000;
    if (!o->max_piece) o->max_piece = 16;
    if (!o->seeds) o->seeds = 1000000;
    if (o->shrink == 0) o->shrink = 0.75;
    if (!o->sub_iterations) o->sub_iterations = 2;
    return JT_OK;
}

/* What depends on whether tokens are of bytes. */
static jt_status options_fit(jt_train_options *o, const jt_train_pipe *p, jt_error *err) {
    if (p->bytes && (o->chars || o->model == JT_TRAIN_UNIGRAM))
        return invalid(err, "a vocabulary of characters has no pre-tokeniser of bytes (ByteLevel)");
    if (p->bytes && o->unk) return invalid(err, "byte-level BPE has no unknown token");
    if (p->bytes && o->byte_fallback) return invalid(err, "byte-level BPE has all bytes, and needs no byte_fallback");
    if (!p->bytes && o->seen_bytes) return invalid(err, "seen_bytes is of byte-level BPE");
    if (!p->bytes && !o->unk) o->unk = "<unk>";
    return JT_OK;
}

/* The unknown token becomes the first special one, if it is none of them. */
static jt_status specials_make(jt_train_options *o, const char ***list, jt_error *err) {
    for (size_t i = 0; i < o->n_special && o->unk; i++)
        if (!strcmp(o->special[i], o->unk)) return JT_OK;
    if (!o->unk) return JT_OK;
    const char **s = jt_alloc(o->n_special + 1, sizeof *s);
    if (!s) return jt_nomem(err, "the special tokens", o->n_special, sizeof *s);
    s[0] = o->unk;
    for (size_t i = 0; i < o->n_special; i++) s[i + 1] = o->special[i];
    o->special = *list = s;
    o->n_special++;
    return JT_OK;
}

static void files_close(train_files *f) {
    for (size_t i = 0; i < f->n; i++) {
        if (f->map) jt_map_close(&f->map[i]);
        if (f->read) jt_str_free(&f->read[i]);
    }
    jt_free(f->map), jt_free(f->read), jt_free(f->text);
}

static jt_status files_open(train_files *f, const char *const *files, size_t n, jt_error *err) {
    *f = (train_files){.map = jt_alloc(n, sizeof *f->map), .read = jt_alloc(n, sizeof *f->read), .text = jt_alloc(n, sizeof *f->text)};
    if (!f->map || !f->read || !f->text) return jt_nomem(err, "the list of files", n, sizeof *f->map);
    for (; f->n < n; f->n++) {
        size_t i = f->n;
        bool in = !strcmp(files[i], "-");
        jt_status st = in ? jt_file_read("-", &f->read[i], err) : jt_map_open(files[i], &f->map[i], err);
        if (st) return st;
        jt_view v = in ? (jt_view){jt_str_c(&f->read[i]), f->read[i].n} : (jt_view){(const char *)f->map[i].p, f->map[i].n};
        f->text[i] = (jt_count_text){v, files[i], !in};
    }
    return JT_OK;
}

static jt_status train_save(const jt_trained *t, const jt_train_options *o, const jt_train_pipe *p, jt_writer *to, jt_error *err) {
    jt_str text = {0};
    jt_trained_json(t, o, p, &text);
    jt_status st = jt_str_check(&text, err);
    if (!st) st = jt_file_write(to, jt_str_c(&text), text.n, err);
    if (!st) st = jt_file_commit(to, err);
    jt_str_free(&text);
    return st;
}

jt_status jt_tokenizer_train(const char *const *files, size_t n_files, const char *out, const jt_train_options *given, jt_train_info *info,
                             jt_error *err) {
    jt_train_options o;
    const char **special = NULL;
    jt_train_pipe pipe = {0};
    train_files f = {0};
    jt_pool *pool = NULL;
    jt_counted counted = {0};
    jt_trained trained = {0};
    jt_train_info note = {0};
    jt_writer to = {0};
    jt_status st = options_read(given, &o, err);
    if (!st) st = jt_train_pipe_init(&pipe, &o, err);
    if (!st) st = options_fit(&o, &pipe, err);
    if (!st) st = specials_make(&o, &special, err);
    if (!st) st = files_open(&f, files, n_files, err);
    if (!st) st = jt_file_create(out, &to, err); /* now, so that a folder that cannot be written is told before the work */
    if (!st) st = jt_pool_new(o.threads, &pool, err);
    double start = jt_seconds();
    if (!st) {
        jt_count_how how = {.pipe = &pipe, .field = o.field, .progress = o.progress ? watch_count : NULL, .self = &o};
        st = jt_count_texts(f.text, n_files, &how, pool, &counted, err);
    }
    double mid = jt_seconds();
    if (!st) {
        jt_counted_sort(&counted);
        for (size_t i = 0; i < n_files; i++) note.bytes += f.text[i].text.n;
        for (size_t i = 0; i < counted.n; i++) note.pieces += counted.p[i].count;
        st = o.model == JT_TRAIN_UNIGRAM ? jt_train_unigram(&counted, &o, pool, &trained, err)
                                         : jt_train_bpe(&counted, &o, &pipe, &trained, err);
    }
    if (!st) st = train_save(&trained, &o, &pipe, &to, err);
    if (!st && info) {
        note.words = counted.n, note.vocab = trained.n, note.merges = trained.merges;
        note.seconds_count = mid - start, note.seconds_train = jt_seconds() - mid;
        *info = note;
    }
    jt_file_abandon(&to);
    jt_trained_free(&trained);
    jt_counted_free(&counted);
    jt_pool_free(pool);
    files_close(&f);
    jt_train_pipe_free(&pipe);
    jt_free(special);
    return st;
}

#include "text/sentencepiece.h"

#include <string.h>

#include "text/json_steps.h"
#include "text/vocab.h"

static const jt_view piece_space = {"\xe2\x96\x81", 3}; /* U+2581 */

/* SentencePiece's normaliser and the way back, as steps. */
static void piece_steps(jt_piece_steps *s, jt_view charsmap, bool prefix, bool collapse, jt_textpipe_spec *p) {
    size_t n = 0, d = 0;
    if (charsmap.n) s->normal[n++] = (jt_text_step){.kind = JT_STEP_CHARSMAP, .a = charsmap};
    if (collapse) s->normal[n++] = (jt_text_step){.kind = JT_STEP_COLLAPSE};
    if (prefix) s->normal[n++] = (jt_text_step){.kind = JT_STEP_PREPEND, .a = {" ", 1}};
    s->normal[n++] = (jt_text_step){.kind = JT_STEP_REPLACE, .a = {" ", 1}, .b = piece_space};
    s->decode[d++] = (jt_decode_step){.kind = JT_DECODE_REPLACE, .a = piece_space, .b = {" ", 1}};
    s->decode[d++] = (jt_decode_step){.kind = JT_DECODE_FALLBACK};
    s->decode[d++] = (jt_decode_step){.kind = JT_DECODE_FUSE};
    if (prefix) s->decode[d++] = (jt_decode_step){.kind = JT_DECODE_STRIP, .a = {" ", 1}, .start = 1};
    p->normal = s->normal, p->n_normal = n, p->decode = s->decode, p->n_decode = d;
}

jt_status jt_textpipe_gguf(jt_tokenizer_spec *s, jt_textpipe_spec *pipe, jt_piece_steps *steps, double **scores, bool *is, jt_error *err) {
    static const char *const names[] = {"llama", "t5", "rwkv"};
    static const int models[] = {JT_PIECES_SPM, JT_PIECES_UNIGRAM, JT_PIECES_RWKV};
    int which = -1;
    for (int i = 0; i < 3; i++)
        if (s->model.s && s->model.n == strlen(names[i]) && !memcmp(s->model.s, names[i], s->model.n)) which = i;
    *is = which >= 0;
    if (which < 0) return JT_OK;
    *pipe = (jt_textpipe_spec){.model = models[which], .model_vocab = s->vocab, .byte_fallback = !which, .fuse_unk = true};
    pipe->user_score_zero = which == 1;
    if (s->unk < 0 && which < 2 && s->vocab) s->unk = which ? 2 < s->vocab ? 2 : 0 : 0;
    if (s->add_bos < 0) s->add_bos = !which && s->bos >= 0;
    if (s->add_eos < 0) s->add_eos = which == 1 && s->eos >= 0;
    if (which == 2) return JT_OK;
    piece_steps(steps, s->charsmap, s->add_space_prefix != 0, s->remove_extra_spaces > 0, pipe);
    if (!s->scores) return JT_OK;
    if (!(*scores = jt_alloc(s->vocab, sizeof **scores))) return jt_nomem(err, "the scores of pieces", s->vocab, sizeof **scores);
    for (size_t i = 0; i < s->vocab; i++) (*scores)[i] = (double)s->scores[i];
    pipe->scores = *scores;
    return JT_OK;
}

/* ---- the file ---- */

/* A message that is being read. */
struct proto {
    const unsigned char *p, *end;
};

/* One field: its number, and its value as a number or as bytes. */
struct field {
    uint32_t number;
    int wire; /* 0 a number, 1 eight bytes, 2 bytes, 5 four bytes */
    uint64_t value;
    struct proto bytes;
};

static bool proto_number(struct proto *m, uint64_t *x) {
    *x = 0;
    for (int shift = 0; shift < 64 && m->p < m->end; shift += 7) {
        unsigned char c = *m->p++;
        *x |= (uint64_t)(c & 127) << shift;
        if (c < 128) return true;
    }
    return false;
}

static bool proto_fixed(struct proto *m, int n, uint64_t *x) {
    if (m->end - m->p < n) return false;
    *x = 0;
    for (int i = 0; i < n; i++) *x |= (uint64_t)m->p[i] << 8 * i;
    m->p += n;
    return true;
}

/* false at the end; *ok is false where the message is broken. */
static bool proto_next(struct proto *m, struct field *f, bool *ok) {
    uint64_t key;
    if (!*ok || m->p == m->end) return false;
    *ok = proto_number(m, &key) && key >> 3 <= UINT32_MAX;
    if (!*ok) return false;
    *f = (struct field){.number = (uint32_t)(key >> 3), .wire = (int)(key & 7)};
    if (f->wire == 0) return *ok = proto_number(m, &f->value);
    if (f->wire == 1) return *ok = proto_fixed(m, 8, &f->value);
    if (f->wire == 5) return *ok = proto_fixed(m, 4, &f->value);
    *ok = f->wire == 2 && proto_number(m, &f->value) && f->value <= (uint64_t)(m->end - m->p);
    if (!*ok) return false;
    f->bytes = (struct proto){m->p, m->p + f->value};
    m->p += f->value;
    return true;
}

struct piece_file {
    jt_tokenizer_spec spec;
    jt_textpipe_spec pipe;
    jt_piece_steps steps;
    jt_view *token;
    int32_t *type;
    double *score;
    size_t n, cap_token, cap_type, cap_score;
    int model;
    bool suffix, bytes, prefix, collapse, escape;
    jt_view charsmap;
    int64_t unk, bos, eos;
};

static jt_status piece_broken(jt_error *err) {
    return jt_error_set(err, JT_FORMAT, "this is no SentencePiece model: a field ends past the end of its message, or has an unknown form");
}

static jt_status read_piece(struct piece_file *f, struct proto m, jt_error *err) {
    struct field x;
    jt_view text = {"", 0};
    float score = 0;
    uint64_t type = JT_TOKEN_NORMAL;
    bool ok = true;
    while (proto_next(&m, &x, &ok)) {
        uint32_t bits = (uint32_t)x.value;
        if (x.number == 1 && x.wire == 2) text = (jt_view){(const char *)x.bytes.p, (size_t)(x.bytes.end - x.bytes.p)};
        if (x.number == 2 && x.wire == 5) memcpy(&score, &bits, 4);
        if (x.number == 3 && x.wire == 0) type = x.value;
    }
    if (!ok) return piece_broken(err);
    if (type < JT_TOKEN_NORMAL || type > JT_TOKEN_BYTE || score != score)
        return jt_error_set(err, JT_FORMAT, "piece %zu of the SentencePiece model has type %llu or no score", f->n,
                            (unsigned long long)type);
    if (f->n == JT_VOCAB_MOST) return jt_error_set(err, JT_LIMIT, "the SentencePiece model has more than %d pieces", JT_VOCAB_MOST);
    jt_status s = jt_grow((void **)&f->token, &f->cap_token, f->n + 1, sizeof *f->token, err);
    if (!s) s = jt_grow((void **)&f->type, &f->cap_type, f->n + 1, sizeof *f->type, err);
    if (!s) s = jt_grow((void **)&f->score, &f->cap_score, f->n + 1, sizeof *f->score, err);
    if (s) return s;
    f->token[f->n] = text, f->type[f->n] = (int32_t)type, f->score[f->n++] = (double)score;
    return JT_OK;
}

static jt_status read_trainer(struct piece_file *f, struct proto m, jt_error *err) {
    struct field x;
    bool ok = true;
    while (proto_next(&m, &x, &ok)) {
        if (x.wire != 0) continue;
        int64_t v = (int32_t)(uint32_t)x.value;
        if (x.number == 3) f->model = (int)v;
        if (x.number == 24) f->suffix = v;
        if (x.number == 35) f->bytes = v;
        if (x.number == 40) f->unk = v;
        if (x.number == 41) f->bos = v;
        if (x.number == 42) f->eos = v;
    }
    return ok ? JT_OK : piece_broken(err);
}

static jt_status read_normaliser(struct piece_file *f, struct proto m, jt_error *err) {
    struct field x;
    bool ok = true;
    while (proto_next(&m, &x, &ok)) {
        if (x.number == 2 && x.wire == 2) f->charsmap = (jt_view){(const char *)x.bytes.p, (size_t)(x.bytes.end - x.bytes.p)};
        if (x.number == 3 && x.wire == 0) f->prefix = x.value;
        if (x.number == 4 && x.wire == 0) f->collapse = x.value;
        if (x.number == 5 && x.wire == 0) f->escape = x.value;
    }
    return ok ? JT_OK : piece_broken(err);
}

static jt_status read_model(struct piece_file *f, struct proto m, jt_error *err) {
    struct field x;
    bool ok = true;
    jt_status s = JT_OK;
    while (!s && proto_next(&m, &x, &ok)) {
        if (x.number == 1 && x.wire == 2) s = read_piece(f, x.bytes, err);
        if (x.number == 2 && x.wire == 2) s = read_trainer(f, x.bytes, err);
        if (x.number == 3 && x.wire == 2) s = read_normaliser(f, x.bytes, err);
    }
    if (s) return s;
    if (!ok || !f->n) return piece_broken(err);
    if (f->model != 1 && f->model != 2)
        return jt_error_set(err, JT_UNSUPPORTED, "a SentencePiece model of type %d; known: 1 (unigram), 2 (BPE)", f->model);
    if (f->suffix || !f->escape)
        return jt_error_set(err, JT_UNSUPPORTED, "a SentencePiece model with %s is not supported",
                            f->suffix ? "treat_whitespace_as_suffix" : "spaces that are not escaped");
    return JT_OK;
}

/* The id of the piece that tokenizer_config.json names, else the one of the file, which may be none. */
static int32_t piece_special(const struct piece_file *f, const jt_json *config, const char *key, int64_t id) {
    const jt_json *v = config ? jt_json_member(config, key) : NULL;
    jt_view name = {0};
    if (v && jt_json_kind_of(v) == JT_JSON_OBJECT)
        name = jt_json_text(v, "content", NULL);
    else if (v)
        name.s = jt_json_string(v, &name.n);
    for (size_t i = 0; name.s && i < f->n; i++)
        if (f->token[i].n == name.n && !memcmp(f->token[i].s, name.s, name.n)) return (int32_t)i;
    return id >= 0 && (uint64_t)id < f->n && f->type[id] == JT_TOKEN_CONTROL ? (int32_t)id : -1;
}

static jt_status pad_pieces(struct piece_file *f, size_t vocab, jt_error *err) {
    if (!vocab || vocab == f->n) return JT_OK;
    if (vocab < f->n || vocab > JT_VOCAB_MOST)
        return jt_error_set(err, JT_FORMAT, "the SentencePiece model has %zu pieces, the model %zu rows", f->n, vocab);
    jt_status s = jt_grow((void **)&f->token, &f->cap_token, vocab, sizeof *f->token, err);
    if (!s) s = jt_grow((void **)&f->type, &f->cap_type, vocab, sizeof *f->type, err);
    if (!s) s = jt_grow((void **)&f->score, &f->cap_score, vocab, sizeof *f->score, err);
    for (; !s && f->n < vocab; f->n++) f->token[f->n] = (jt_view){"", 0}, f->type[f->n] = JT_TOKEN_UNUSED, f->score[f->n] = 0;
    return s;
}

/* Tokens that tokenizer_config.json adds to those of the file, by id. */
static jt_status added_pieces(struct piece_file *f, const jt_json *config, size_t vocab, jt_error *err) {
    const jt_json *all = config ? jt_json_member(config, "added_tokens_decoder") : NULL, *v;
    const char *key;
    void *iter = NULL;
    int64_t id;
    jt_status s = JT_OK;
    while (!s && all && jt_json_kind_of(all) == JT_JSON_OBJECT && jt_json_each(all, &iter, &key, &v)) {
        jt_view name = jt_json_text(v, "content", NULL);
        if (!name.n || !jt_read_i64(key, strlen(key), &id) || id < 0 || id >= JT_VOCAB_MOST) continue;
        if ((size_t)id >= f->n && !(vocab && (size_t)id >= vocab)) s = pad_pieces(f, (size_t)id + 1, err);
        if (s || (size_t)id >= f->n) break;
        if (f->type[id] == JT_TOKEN_UNKNOWN || f->type[id] == JT_TOKEN_BYTE) continue;
        f->token[id] = name, f->type[id] = jt_json_switch(v, "special", false) ? JT_TOKEN_CONTROL : JT_TOKEN_USER;
    }
    return s;
}

static void piece_spec(struct piece_file *f, const jt_json *config) {
    jt_tokenizer_spec *s = &f->spec;
    jt_textpipe_spec *p = &f->pipe;
    jt_view class = jt_json_text(config, "tokenizer_class", "");
    bool t5 = memmem(class.s, class.n, "T5", 2) != NULL;
    p->model = f->model == 1 ? JT_PIECES_UNIGRAM : JT_PIECES_SPM;
    p->model_vocab = f->n, p->byte_fallback = f->bytes, p->fuse_unk = true, p->scores = f->score, p->user_later = true;
    piece_steps(&f->steps, f->charsmap, f->prefix, f->collapse, p);
    s->pipe = p, s->tokens = f->token, s->types = f->type, s->vocab = f->n;
    for (size_t i = 0; i < f->n && s->unk < 0; i++)
        if (f->type[i] == JT_TOKEN_UNKNOWN) s->unk = (int32_t)i;
    s->bos = piece_special(f, config, "bos_token", f->bos), s->eos = piece_special(f, config, "eos_token", f->eos);
    s->add_bos = s->bos >= 0 && jt_json_switch(config, "add_bos_token", !t5);
    s->add_eos = s->eos >= 0 && jt_json_switch(config, "add_eos_token", t5);
    s->chat_template = jt_json_text(config, "chat_template", NULL);
}

jt_status jt_tokenizer_sentencepiece(const char *s, size_t n, const jt_json *config, size_t vocab, jt_tokenizer **out, jt_error *err) {
    struct piece_file f = {.model = 1, .prefix = true, .collapse = true, .escape = true, .bos = 1, .eos = 2};
    *out = NULL;
    jt_tokenizer_spec_init(&f.spec);
    jt_status st = read_model(&f, (struct proto){(const unsigned char *)s, (const unsigned char *)s + n}, err);
    if (!st) st = added_pieces(&f, config, vocab, err);
    if (!st) st = pad_pieces(&f, vocab, err);
    if (!st) piece_spec(&f, config);
    if (!st) st = jt_tokenizer_new(&f.spec, out, err);
    jt_free(f.token), jt_free(f.type), jt_free(f.score);
    return st;
}

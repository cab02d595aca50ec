/* textpipe.c: a pipeline and its model made ready from plain data. */
#include "text/textpipe.h"

#include <stdlib.h>
#include <string.h>

#include "core/mem.h"
#include "text/textpipe_inside.h"

static const char pipe_block[] = "\xe2\x96\x81"; /* U+2581 */

static bool pipe_view_is(jt_view v, const char *s) { return v.s && v.n == strlen(s) && !memcmp(v.s, s, v.n); }

static jt_view keep_view(jt_textpipe *p, jt_view v, bool *ok) {
    if (!v.s) return (jt_view){"", 0};
    char *s = jt_arena_copy(&p->arena, v.s, v.n);
    if (!s) *ok = false;
    return (jt_view){s, v.n};
}

/* ---- names ---- */

/* The byte that "<0xHH>" stands for, or -1. */
static int byte_of(jt_view v) {
    int b = 0;
    if (v.n != 6 || memcmp(v.s, "<0x", 3) != 0 || v.s[5] != '>') return -1;
    for (int i = 3; i < 5; i++) {
        char c = v.s[i];
        int d = c >= '0' && c <= '9' ? c - '0' : c >= 'A' && c <= 'F' ? c - 'A' + 10 : -1;
        if (d < 0) return -1;
        b = b * 16 + d;
    }
    return b;
}

/* v with every `from` as `to`, in memory of the tokenizer. */
static jt_view replaced(jt_arena *a, jt_view v, jt_view from, jt_view to, bool *ok) {
    if (!from.n || !v.n || !memmem(v.s, v.n, from.s, from.n)) return v;
    size_t n = 0;
    for (size_t i = 0; i < v.n;) {
        bool hit = v.n - i >= from.n && !memcmp(v.s + i, from.s, from.n);
        n += hit ? to.n : 1, i += hit ? from.n : 1;
    }
    char *s = jt_arena_alloc(a, n + 1, 1);
    if (!s) {
        *ok = false;
        return v;
    }
    size_t k = 0;
    for (size_t i = 0; i < v.n;) {
        bool hit = v.n - i >= from.n && !memcmp(v.s + i, from.s, from.n);
        if (hit)
            memcpy(s + k, to.s, to.n), k += to.n, i += from.n;
        else
            s[k++] = v.s[i++];
    }
    return (jt_view){s, n};
}

/* What a token stands for in a text, by the decoders that look at each token alone. */
static jt_view shown_name(jt_tokenizer *t, const jt_textpipe_spec *d, jt_view v, bool *ok) {
    jt_view space = {" ", 1};
    char bytes[JT_TOKEN_MOST_BYTES];
    for (size_t i = 0; i < d->n_decode; i++) {
        const jt_decode_step *e = &d->decode[i];
        size_t n;
        switch (e->kind) {
        case JT_DECODE_BYTES:
            n = jt_byte_level_read(v.s, v.n, bytes);
            if (n == SIZE_MAX) break;
            v = (jt_view){jt_arena_copy(&t->strings, bytes, n), n};
            if (!v.s) *ok = false, v = (jt_view){"", 0};
            break;
        case JT_DECODE_METASPACE: v = replaced(&t->strings, v, e->a, space, ok); break;
        case JT_DECODE_REPLACE:
            if (!e->regex) v = replaced(&t->strings, v, e->a, e->b, ok);
            break;
        case JT_DECODE_SUFFIX: v = replaced(&t->strings, v, e->a, space, ok); break;
        case JT_DECODE_WORDPIECE:
            if (v.n >= e->a.n && !memcmp(v.s, e->a.s, e->a.n)) {
                v.s += e->a.n, v.n -= e->a.n;
            } else if (v.n + 1 < sizeof bytes) {
                char *s = jt_arena_alloc(&t->strings, v.n + 2, 1);
                if (!s) {
                    *ok = false;
                    break;
                }
                s[0] = ' ', memcpy(s + 1, v.s, v.n);
                v = (jt_view){s, v.n + 1};
            }
            break;
        default: break;
        }
    }
    return v;
}

/* The bytes of a token of RWKV's vocabulary, which is written with \\t, \\n, \\r, \\xHH and \\ before other characters. */
static jt_view unescaped(jt_arena *a, jt_view v, bool *ok) {
    char *s = jt_arena_alloc(a, v.n + 1, 1);
    size_t n = 0;
    if (!s) {
        *ok = false;
        return v;
    }
    for (size_t i = 0; i < v.n; i++) {
        char c = v.s[i];
        if (c != '\\' || i + 1 == v.n) {
            s[n++] = c;
            continue;
        }
        c = v.s[++i];
        unsigned x = 0;
        bool hex = c == 'x' && i + 2 < v.n;
        for (size_t k = i + 1; hex && k <= i + 2; k++) {
            char h = v.s[k];
            hex = (h >= '0' && h <= '9') || (h >= 'a' && h <= 'f') || (h >= 'A' && h <= 'F');
            x = x * 16 + (unsigned)(h <= '9' ? h - '0' : (h | 32) - 'a' + 10);
        }
        if (hex) i += 2;
        s[n++] = hex ? (char)x : c == 't' ? '\t' : c == 'n' ? '\n' : c == 'r' ? '\r' : c;
    }
    return (jt_view){s, n};
}

static jt_status find_names(jt_tokenizer *t, const jt_tokenizer_spec *s, jt_textpipe *p, jt_error *err) {
    const jt_textpipe_spec *d = s->pipe;
    bool ok = true;
    for (size_t i = 0; i < s->vocab && ok; i++) {
        jt_view v = keep_view(p, s->tokens[i], &ok);
        if (!ok) break;
        if (d->model == JT_PIECES_RWKV && (!s->types || s->types[i] == JT_TOKEN_NORMAL)) v = unescaped(&p->arena, v, &ok);
        p->written[i] = v;
        int type = t->types[i] = s->types ? (uint8_t)s->types[i] : JT_TOKEN_NORMAL, b = d->byte_fallback ? byte_of(v) : -1;
        bool plain = type == JT_TOKEN_NORMAL || type == JT_TOKEN_UNUSED || type == JT_TOKEN_BYTE || type == JT_TOKEN_USER;
        p->spelt[i] = jt_type_special(type) ? (jt_view){"", 0}
                      : p->spaces           ? replaced(&p->arena, v, (jt_view){pipe_block, 3}, (jt_view){" ", 1}, &ok)
                                            : v;
        if (b >= 0 && type != JT_TOKEN_CONTROL) {
            char c = (char)b, *one = jt_arena_copy(&t->strings, &c, 1);
            if (!one) ok = false;
            t->names[i] = (jt_view){one, 1};
            if (type == JT_TOKEN_NORMAL) t->types[i] = JT_TOKEN_BYTE;
        } else {
            t->names[i] = !plain ? v : d->n_decode ? shown_name(t, d, v, &ok) : p->spelt[i];
        }
    }
    return ok ? JT_OK : jt_nomem(err, "the vocabulary", s->vocab, sizeof *t->names);
}

/* ---- merges ---- */

static jt_status spelt_words(const jt_textpipe *p, size_t count, jt_words *w, jt_error *err) {
    jt_status s = jt_words_init(w, p->spelt, count, err);
    for (size_t i = 0; !s && i < count; i++)
        if (p->spelt[i].n) jt_words_put(w, (uint32_t)i);
    return s;
}

static jt_status merge_error(size_t r, jt_view v, const char *what, jt_error *err) {
    return jt_error_set(err, JT_FORMAT, "merges[%zu]: \"%.*s\" %s", r, (int)(v.n < 40 ? v.n : 40), v.s ? v.s : "", what);
}

/* Rules of "a b" by the written forms; a merge into what is no token is left out. */
static jt_status written_merges(const jt_tokenizer_spec *s, const jt_textpipe *p, jt_bpe_rule *rule, size_t *n, jt_error *err) {
    jt_words words = {0};
    char both[JT_TOKEN_MOST_BYTES];
    size_t cut = s->pipe->more.n;
    (void)p;
    jt_status st = jt_words_init(&words, s->tokens, s->vocab, err);
    for (size_t i = 0; !st && i < s->vocab; i++) jt_words_put(&words, (uint32_t)i);
    for (size_t r = 0; !st && r < s->n_merges; r++) {
        jt_view m = s->merges[r];
        jt_view b = {0};
        if (!jt_merge_parts(s, r, &m, &b)) {
            st = merge_error(r, m, "is not two tokens with a space between", err);
            break;
        }
        size_t off = cut < b.n ? cut : b.n;
        jt_bpe_rule x = {jt_words_get(&words, m.s, m.n), jt_words_get(&words, b.s, b.n), JT_NO_TOKEN};
        if (m.n + b.n <= sizeof both) {
            memcpy(both, m.s, m.n), memcpy(both + m.n, b.s + off, b.n - off);
            x.result = jt_words_get(&words, both, m.n + b.n - off);
        }
        if (x.left == JT_NO_TOKEN || x.right == JT_NO_TOKEN) st = merge_error(r, m, "names what is no token", err);
        if (!st && x.result != JT_NO_TOKEN) rule[(*n)++] = x;
    }
    jt_words_free(&words);
    return st;
}

struct scored {
    double score;
    uint32_t id;
};

static int by_score(const void *a, const void *b) {
    const struct scored *x = a, *y = b;
    if (x->score != y->score) return x->score > y->score ? -1 : 1;
    return x->id < y->id ? -1 : x->id > y->id;
}

/* SentencePiece's rules: any two pieces that make a third, best score first; equal scores are equal ranks. */
static jt_status scored_merges(const jt_tokenizer_spec *s, const jt_textpipe *p, const uint8_t *part, jt_bpe_rule **rule, int32_t **rank,
                               size_t *n, jt_error *err) {
    jt_words words = {0};
    size_t cap = 0, cap_rank = 0, k = 0;
    uint64_t work = 0;
    for (size_t i = 0; i < s->vocab; i++) work += (uint64_t)p->spelt[i].n * p->spelt[i].n;
    if (work > (uint64_t)1 << 34)
        return jt_error_set(err, JT_LIMIT, "the pieces of this vocabulary are too long to find how they are made");
    struct scored *order = jt_alloc(s->vocab, sizeof *order);
    jt_status st = order ? jt_words_init(&words, p->spelt, s->vocab, err) : jt_nomem(err, "the merges", s->vocab, sizeof *order);
    for (size_t i = s->vocab; !st && i-- > 0;)
        if (part[i])
            jt_words_put(&words, (uint32_t)i), order[k++] = (struct scored){s->pipe->scores ? s->pipe->scores[i] : -(double)i, (uint32_t)i};
    if (!st) qsort(order, k, sizeof *order, by_score);
    int32_t now = -1;
    for (size_t i = 0; i < k && !st; i++) {
        jt_view v = p->spelt[order[i].id];
        if (!i || order[i].score < order[i - 1].score) now++;
        if (jt_words_get(&words, v.s, v.n) != order[i].id) continue;
        for (size_t at = 1; at < v.n && !st; at++) {
            if (((unsigned char)v.s[at] & 0xc0) == 0x80) continue;
            uint32_t l = jt_words_get(&words, v.s, at), r = jt_words_get(&words, v.s + at, v.n - at);
            if (l == JT_NO_TOKEN || r == JT_NO_TOKEN) continue;
            st = jt_grow((void **)rule, &cap, *n + 1, sizeof **rule, err);
            if (!st) st = jt_grow((void **)rank, &cap_rank, *n + 1, sizeof **rank, err);
            if (!st) (*rank)[*n] = now, (*rule)[(*n)++] = (jt_bpe_rule){l, r, order[i].id};
        }
    }
    jt_words_free(&words);
    jt_free(order);
    return st;
}

/* Of equal spellings the last takes part; what is spelt with a space where texts have none does not. */
static jt_status find_part(const jt_tokenizer_spec *s, const jt_textpipe *p, const uint8_t *types, uint8_t *part, jt_error *err) {
    jt_words seen = {0};
    jt_status st = jt_words_init(&seen, p->spelt, s->vocab, err);
    for (size_t i = s->vocab; !st && i-- > 0;) {
        jt_view v = p->spelt[i];
        bool lost = p->spaces && s->tokens[i].n && memchr(s->tokens[i].s, ' ', s->tokens[i].n);
        if (!v.n || types[i] == JT_TOKEN_BYTE || lost || jt_words_get(&seen, v.s, v.n) != JT_NO_TOKEN) continue;
        jt_words_put(&seen, (uint32_t)i);
        part[i] = types[i] == JT_TOKEN_NORMAL ? JT_BPE_WHOLE : JT_BPE_RULES;
    }
    jt_words_free(&seen);
    return st;
}

static void find_bytes(const jt_tokenizer *t, const jt_tokenizer_spec *s, uint32_t byte[256], bool *all) {
    for (int b = 0; b < 256; b++) byte[b] = JT_NO_TOKEN;
    for (size_t i = 0; i < s->vocab; i++) {
        int b = t->types[i] == JT_TOKEN_CONTROL ? -1 : byte_of(s->tokens[i]);
        if (b >= 0) byte[b] = (uint32_t)i;
    }
    *all = true;
    for (int b = 0; b < 256; b++) *all = *all && byte[b] != JT_NO_TOKEN;
}

/* Can jt_chars do it? */
static bool chars_fit(const jt_tokenizer *t, const jt_tokenizer_spec *s, const jt_bpe_rule *rule, size_t n, bool all_bytes) {
    const jt_textpipe_spec *d = s->pipe;
    if (d->more.n || d->end.n || (d->byte_fallback && !all_bytes) || (!d->byte_fallback && s->unk < 0)) return false;
    for (size_t i = 0; i < n; i++) {
        const uint32_t id[3] = {rule[i].left, rule[i].right, rule[i].result};
        for (int k = 0; k < 3; k++)
            if (t->types[id[k]] == JT_TOKEN_BYTE || (int64_t)id[k] == s->unk || !t->pipe->spelt[id[k]].n) return false;
    }
    return true;
}

static jt_status make_bpe(jt_tokenizer *t, const jt_tokenizer_spec *s, jt_error *err) {
    jt_textpipe *p = t->pipe;
    const jt_textpipe_spec *d = s->pipe;
    bool spm = d->model == JT_PIECES_SPM, all_bytes;
    uint8_t *part = jt_alloc(s->vocab, 1);
    jt_bpe_rule *rule = spm ? NULL : jt_alloc(s->n_merges, sizeof *rule);
    int32_t *rank = NULL;
    size_t n = 0;
    uint32_t byte[256], unk = s->unk < 0 ? JT_NO_TOKEN : (uint32_t)s->unk;
    find_bytes(t, s, byte, &all_bytes);
    jt_status st = part && (rule || spm) ? find_part(s, p, t->types, part, err) : jt_nomem(err, "the merges", s->n_merges, sizeof *rule);
    if (!st) st = spm ? scored_merges(s, p, part, &rule, &rank, &n, err) : written_merges(s, p, rule, &n, err);
    bool chars = !st && (spm || chars_fit(t, s, rule, n, all_bytes));
    p->way = chars ? JT_WAY_CHARS : JT_WAY_SYMBOLS;
    p->quick = p->quick && chars;
    if (!st) {
        jt_bpe_how how = {.chars = true, .ignore_merges = s->ignore_merges, .rank = rank, .only_rules = !chars};
        st = jt_bpe_init(&t->bpe, p->spelt, part, s->vocab, rule, n, &how, err);
        rule = NULL;
    }
    if (!st && chars) {
        p->chars = (jt_chars){.bpe = &t->bpe, .bytes = d->byte_fallback && all_bytes, .fuse = d->fuse_unk, .types = t->types, .unk = unk};
        memcpy(p->chars.byte, byte, sizeof byte);
        st = jt_chars_init(&p->chars, part, s->vocab, err);
    } else if (!st) {
        bool ok = true;
        p->symbols = (jt_symbols){.bytes = d->byte_fallback, .fuse = d->fuse_unk, .whole = s->ignore_merges, .unk = unk};
        p->symbols.more = keep_view(p, d->more, &ok), p->symbols.end = keep_view(p, d->end, &ok);
        memcpy(p->symbols.byte, byte, sizeof byte);
        st = ok ? spelt_words(p, s->vocab, &p->words, err) : jt_nomem(err, "a vocabulary", 1, 1);
    }
    jt_free(part), jt_free(rule), jt_free(rank);
    return st;
}

/* ---- the other models ---- */

/* A trie of the spellings of the ids that `which` (NULL: all) marks with 1; of equal ones the last. */
static jt_status make_trie(const jt_textpipe *p, size_t count, const uint8_t *which, uint8_t mark, jt_trie *to, jt_error *err) {
    jt_words seen = {0};
    uint32_t *ids = jt_alloc(count, sizeof *ids);
    size_t n = 0;
    jt_status s = ids ? jt_words_init(&seen, p->spelt, count, err) : jt_nomem(err, "the vocabulary", count, sizeof *ids);
    for (size_t i = count; !s && i-- > 0;) {
        jt_view v = p->spelt[i];
        if (!v.n || (which && which[i] != mark) || jt_words_get(&seen, v.s, v.n) != JT_NO_TOKEN) continue;
        jt_words_put(&seen, (uint32_t)i);
        ids[n++] = (uint32_t)i;
    }
    if (!s) s = jt_trie_init(to, p->spelt, ids, n, NULL, err);
    jt_words_free(&seen);
    jt_free(ids);
    return s;
}

static jt_status make_unigram(jt_tokenizer *t, const jt_tokenizer_spec *s, jt_error *err) {
    jt_textpipe *p = t->pipe;
    jt_unigram *u = &p->unigram;
    const jt_textpipe_spec *d = s->pipe;
    bool all_bytes, some = false;
    double least = 0, most = 0;
    if (!d->scores) return jt_error_set(err, JT_FORMAT, "a unigram vocabulary has no scores");
    uint8_t *which = jt_alloc(s->vocab, 1);
    u->score = jt_alloc(s->vocab, sizeof *u->score);
    if (!which || !u->score) {
        jt_free(which);
        return jt_nomem(err, "the scores of pieces", s->vocab, sizeof *u->score);
    }
    find_bytes(t, s, u->byte, &all_bytes);
    u->names = p->spelt, u->in_double = d->in_double, u->bytes = d->byte_fallback && all_bytes, u->fuse = d->fuse_unk;
    u->unk = s->unk < 0 ? JT_NO_TOKEN : (uint32_t)s->unk;
    /* SentencePiece: the worst and the best of the normal pieces; Hugging Face: of all. */
    for (size_t i = 0; i < s->vocab; i++) {
        if (!d->in_double && t->types[i] != JT_TOKEN_NORMAL) continue;
        if (d->in_double && !(d->model_vocab > i)) continue;
        if (!some || d->scores[i] < least) least = d->scores[i];
        if (!some || d->scores[i] > most) most = d->scores[i];
        some = true;
    }
    u->unknown = d->in_double ? least - 10.0 : (double)((float)least - 10.0f);
    for (size_t i = 0; i < s->vocab; i++) {
        int type = t->types[i];
        u->score[i] = d->in_double ? d->scores[i] : (double)(float)d->scores[i];
        if (!d->in_double && type == JT_TOKEN_USER)
            u->score[i] = d->user_score_zero ? 0 : (double)((float)p->spelt[i].n * (float)most - 0.1f);
        which[i] = type != JT_TOKEN_UNUSED && (type != JT_TOKEN_BYTE || d->in_double);
    }
    jt_status st = make_trie(p, s->vocab, which, 1, &u->trie, err);
    jt_free(which);
    return st;
}

static jt_status make_wordpiece(jt_tokenizer *t, const jt_tokenizer_spec *s, jt_error *err) {
    jt_textpipe *p = t->pipe;
    jt_view more = s->pipe->more;
    uint8_t *begins = jt_alloc(s->vocab, 1);
    if (!begins) return jt_nomem(err, "the vocabulary", s->vocab, 1);
    for (size_t i = 0; i < s->vocab; i++) {
        jt_view *v = &p->spelt[i];
        begins[i] = 1;
        if (!more.n || v->n < more.n || memcmp(v->s, more.s, more.n) != 0) continue;
        begins[i] = 0;
        *v = (jt_view){v->s + more.n, v->n - more.n};
    }
    p->most_chars = (size_t)s->pipe->most_chars;
    jt_status st = make_trie(p, s->vocab, begins, 1, &p->first, err);
    if (!st) st = make_trie(p, s->vocab, more.n ? begins : NULL, 0, &p->more, err);
    jt_free(begins);
    return st;
}

static jt_status make_model(jt_tokenizer *t, const jt_tokenizer_spec *s, jt_error *err) {
    jt_textpipe *p = t->pipe;
    p->unk = s->unk < 0 ? JT_NO_TOKEN : (uint32_t)s->unk;
    switch (s->pipe->model) {
    case JT_PIECES_BPE:
    case JT_PIECES_SPM: return make_bpe(t, s, err);
    case JT_PIECES_UNIGRAM: p->way = JT_WAY_UNIGRAM; return make_unigram(t, s, err);
    case JT_PIECES_WORDPIECE: p->way = JT_WAY_WORDPIECE; return make_wordpiece(t, s, err);
    case JT_PIECES_WORDLEVEL: p->way = JT_WAY_WORDS; return spelt_words(p, s->vocab, &p->words, err);
    default: p->way = JT_WAY_LONGEST; return make_trie(p, s->vocab, NULL, 0, &p->first, err);
    }
}

/* ---- steps ---- */

/* What the steps come to if all they do is to write spaces as U+2581, with one at the front or none: then pieces are spelt
 * with a space and the text can stay as it is. */
static bool only_spaces(const jt_tokenizer_spec *t, jt_textpipe *p) {
    const jt_textpipe_spec *d = t->pipe;
    /* White space beside a token of the normalised text is none where it is written as U+2581. */
    for (size_t i = 0; i < t->n_added; i++)
        if (t->added[i].normalized && (t->added[i].lstrip || t->added[i].rstrip)) return false;
    bool space = false, front = false;
    int scheme = JT_SCHEME_NEVER;
    if (d->model != JT_PIECES_BPE && d->model != JT_PIECES_SPM) return false;
    for (size_t i = 0; i < d->n_normal; i++) {
        const jt_text_step *s = &d->normal[i];
        if (s->kind == JT_STEP_REPLACE && !s->regex && pipe_view_is(s->a, " ") && pipe_view_is(s->b, pipe_block))
            space = true;
        else if (s->kind == JT_STEP_PREPEND && !front && (pipe_view_is(s->a, pipe_block) || (pipe_view_is(s->a, " ") && !space)))
            front = true, scheme = JT_SCHEME_ALWAYS;
        else
            return false;
    }
    for (size_t i = 0; i < d->n_cut; i++) {
        const jt_text_step *s = &d->cut[i];
        if (s->kind == JT_STEP_METASPACE && pipe_view_is(s->a, pipe_block) && !p->at_spaces && (!front || s->scheme == JT_SCHEME_NEVER)) {
            space = true, p->at_spaces = s->cut;
            if (s->scheme != JT_SCHEME_NEVER) front = true, scheme = s->scheme, p->unless = true;
        } else if (!(s->kind == JT_STEP_SPLIT && s->split.kind == JT_CUT_STRING && pipe_view_is(s->split.pattern, " ") && space &&
                     !s->split.invert)) {
            p->at_spaces = p->unless = false;
            return false;
        }
    }
    p->scheme = scheme;
    if (!space) p->at_spaces = p->unless = false;
    return space;
}

static jt_status make_stages(jt_textpipe *p, const jt_text_step *step, size_t n, jt_stage **to, size_t *count, jt_error *err) {
    jt_status s = JT_OK;
    if (!(*to = jt_alloc(n, sizeof **to))) return jt_nomem(err, "the steps of a tokenizer", n, sizeof **to);
    for (size_t i = 0; i < n && !s; i++) {
        jt_text_step k = step[i];
        bool ok = true;
        k.a = keep_view(p, k.a, &ok), k.b = keep_view(p, k.b, &ok), k.split.pattern = keep_view(p, k.split.pattern, &ok);
        s = ok ? jt_stage_init(&(*to)[*count], &k, err) : jt_nomem(err, "the steps of a tokenizer", n, sizeof **to);
        ++*count;
    }
    return s;
}

static jt_status make_steps(jt_textpipe *p, const jt_tokenizer_spec *t, jt_error *err) {
    const jt_textpipe_spec *d = t->pipe;
    if (!(p->spaces = only_spaces(t, p))) {
        jt_status s = make_stages(p, d->normal, d->n_normal, &p->normal, &p->n_normal, err);
        return s ? s : make_stages(p, d->cut, d->n_cut, &p->cut, &p->n_cut, err);
    }
    p->quick = true;
    jt_view block = {pipe_block, 3}, space = {" ", 1};
    const jt_text_step normal[] = {{.kind = JT_STEP_REPLACE, .a = block, .b = space}, {.kind = JT_STEP_PREPEND, .a = space}};
    const jt_text_step cut[] = {{.kind = JT_STEP_METASPACE, .a = space, .scheme = p->scheme, .cut = p->at_spaces}};
    bool prepend = p->scheme == JT_SCHEME_ALWAYS && !p->unless;
    jt_status s = make_stages(p, normal, prepend ? 2 : 1, &p->normal, &p->n_normal, err);
    return s ? s : make_stages(p, cut, prepend && !p->at_spaces ? 0 : 1, &p->cut, &p->n_cut, err);
}

static jt_status make_decoders(jt_textpipe *p, const jt_textpipe_spec *d, jt_error *err) {
    if (!(p->decode = jt_alloc(d->n_decode, sizeof *p->decode))) return jt_nomem(err, "decoders", d->n_decode, sizeof *p->decode);
    for (size_t i = 0; i < d->n_decode; i++) {
        bool ok = true;
        jt_decode_stage *g = &p->decode[p->n_decode++];
        g->step = d->decode[i];
        g->step.a = keep_view(p, g->step.a, &ok), g->step.b = keep_view(p, g->step.b, &ok);
        jt_status s = !ok             ? jt_nomem(err, "decoders", 1, 1)
                      : g->step.regex ? jt_regex_new(g->step.a.s, g->step.a.n, &g->regex, err)
                                      : JT_OK;
        if (s) return s;
        p->lead |= (g->step.kind == JT_DECODE_METASPACE && g->step.scheme != JT_SCHEME_NEVER) ||
                   (g->step.kind == JT_DECODE_STRIP && g->step.start && pipe_view_is(g->step.a, " ")) ||
                   g->step.kind == JT_DECODE_WORDPIECE;
    }
    return JT_OK;
}

jt_status jt_textpipe_new(jt_tokenizer *t, const jt_tokenizer_spec *s, jt_error *err) {
    jt_textpipe *p = t->pipe = jt_alloc(1, sizeof *p);
    if (!p) return jt_nomem(err, "a tokenizer", 1, sizeof *p);
    p->spelt = jt_alloc(s->vocab, sizeof *p->spelt);
    p->written = jt_alloc(s->vocab, sizeof *p->written);
    p->pattern = jt_alloc(s->vocab, sizeof *p->pattern);
    p->flags = jt_alloc(s->vocab, 1);
    if (!p->spelt || !p->written || !p->pattern || !p->flags) return jt_nomem(err, "the vocabulary", s->vocab, sizeof *p->spelt);
    jt_status st = make_steps(p, s, err);
    if (!st) st = make_decoders(p, s->pipe, err);
    if (!st) st = find_names(t, s, p, err);
    return st ? st : make_model(t, s, err);
}

/* ---- added tokens ---- */

/* The text that a token is looked for after normalisation: normalised itself. */
static jt_status later_pattern(jt_textpipe *p, jt_view *v, jt_error *err) {
    jt_flow f = {0};
    jt_status s = jt_flow_begin(&f, v->s, v->n, 0, err);
    bool ok = true;
    for (size_t i = 0; i < p->n_normal && !s; i++) s = jt_stage_normal(&p->normal[i], &f, err);
    if (!s) *v = keep_view(p, (jt_view){jt_str_c(&f.text), f.text.n}, &ok);
    jt_flow_free(&f);
    return s || ok ? s : jt_nomem(err, "the added tokens", 1, 1);
}

/* The table of those with `later` as asked; of equal ones the first. */
static jt_status make_added(jt_tokenizer *t, jt_added *a, bool later, bool special, jt_error *err) {
    jt_textpipe *p = t->pipe;
    jt_words seen = {0};
    uint32_t *ids = jt_alloc(t->vocab, sizeof *ids);
    size_t n = 0;
    jt_status s = ids ? jt_words_init(&seen, p->pattern, t->vocab, err) : jt_nomem(err, "the added tokens", t->vocab, sizeof *ids);
    for (size_t i = 0; i < t->vocab && !s; i++) {
        jt_view v = p->pattern[i];
        if (!v.n || !(p->flags[i] & JT_ADDED_LATER) == later || (!special && jt_type_special(t->types[i])) ||
            jt_words_get(&seen, v.s, v.n) != JT_NO_TOKEN)
            continue;
        jt_words_put(&seen, (uint32_t)i);
        ids[n++] = (uint32_t)i;
    }
    if (!s) s = jt_added_init(a, p->pattern, ids, n, p->flags, err);
    jt_words_free(&seen);
    jt_free(ids);
    return s;
}

jt_status jt_textpipe_added(jt_tokenizer *t, const jt_tokenizer_spec *s, jt_error *err) {
    jt_textpipe *p = t->pipe;
    jt_status st = JT_OK;
    bool ok = true;
    for (size_t i = 0; i < s->n_added && !st && ok; i++) {
        const jt_added_spec *a = &s->added[i];
        jt_view *v = &p->pattern[a->id];
        p->flags[a->id] = (uint8_t)((a->single_word ? JT_ADDED_WORD : 0) | (a->lstrip ? JT_ADDED_LEFT : 0) |
                                    (a->rstrip ? JT_ADDED_RIGHT : 0) | (a->normalized && p->n_normal ? JT_ADDED_LATER : 0));
        *v = keep_view(p, a->content, &ok);
        if (ok && p->flags[a->id] & JT_ADDED_LATER) st = later_pattern(p, v, err);
        if (ok && !st && p->flags[a->id] & JT_ADDED_LATER) p->written[a->id] = *v; /* which is how its text is written, too */
    }
    for (size_t i = 0; i < t->vocab && !s->n_added; i++)
        if (jt_type_special(t->types[i]) || t->types[i] == JT_TOKEN_USER) {
            bool later = s->pipe->user_later && t->types[i] == JT_TOKEN_USER && !(p->quick && p->scheme == JT_SCHEME_NEVER);
            p->flags[i] = later ? JT_ADDED_LATER : 0;
            p->pattern[i] = t->types[i] == JT_TOKEN_USER && (later || p->spaces) ? p->spelt[i] : t->names[i];
        }
    if (!ok) st = jt_nomem(err, "the added tokens", s->n_added, sizeof *s->added);
    for (int all = 0; all < 2 && !st; all++) {
        st = make_added(t, &p->now[all], false, all, err);
        if (!st) st = make_added(t, &p->later[all], true, all, err);
    }
    return st;
}

void jt_textpipe_free(jt_textpipe *p) {
    if (!p) return;
    for (size_t i = 0; i < p->n_normal; i++) jt_stage_free(&p->normal[i]);
    for (size_t i = 0; i < p->n_cut; i++) jt_stage_free(&p->cut[i]);
    for (size_t i = 0; i < p->n_decode; i++) jt_regex_free(p->decode[i].regex);
    for (int i = 0; i < 2; i++) jt_added_free(&p->now[i]), jt_added_free(&p->later[i]);
    jt_words_free(&p->words);
    jt_chars_free(&p->chars);
    jt_unigram_free(&p->unigram);
    jt_trie_free(&p->first), jt_trie_free(&p->more);
    jt_free(p->normal), jt_free(p->cut), jt_free(p->decode);
    jt_free(p->spelt), jt_free(p->written), jt_free(p->pattern), jt_free(p->flags);
    jt_arena_free(&p->arena);
    jt_free(p);
}

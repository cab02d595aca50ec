/* train_bpe.c: learning byte-pair encoding (Sennrich, Haddow and Birch 2016, arXiv 1508.07909), by the rules of Hugging Face's
 * BpeTrainer, so that the same text gives the same merges.
 *
 * Special tokens come first, then the alphabet by code point. The most frequent pair of neighbours is merged, of equals the
 * one of smaller ids. An entry of the queue holds a pair, its count when it was entered, and the words where it came into
 * being by one merge; when it is taken and the count has changed since, it goes back with the new one. Two things follow
 * from the reference that matter where a merge gives a token that was there before: a pair may be in the queue more than
 * once, each time with other words, and the count of a merged pair stays. Of two merges of the same pair the later counts. */
#include <stdlib.h>
#include <string.h>

#include "text/train.h"
#include "text/vocab.h"

enum { TRAIN_CODES = 0x110000, TRAIN_LONG = JT_TOKEN_MOST_BYTES };

typedef struct train_pair {
    uint64_t key; /* left << 32 | right */
    int64_t count;
    uint32_t used;    /* 0: the slot is empty */
    uint32_t touched; /* its number among those that the merge under way made, where that one has this key */
    uint32_t word;    /* the last one added to it; at the end, its last merge */
} train_pair;

typedef struct train_entry {
    int64_t count;
    uint64_t key;
    size_t at; /* words: place[at .. at + n) */
    uint32_t n;
} train_entry;

typedef struct train_touched {
    uint64_t key;
    uint32_t n;
    size_t at;
} train_touched;

typedef struct train_word {
    size_t at; /* symbols: symbol[at .. at + n) */
    uint32_t n;
    uint64_t count;
} train_word;

typedef struct bpe_trainer {
    const jt_train_options *o;
    const jt_train_pipe *pipe;
    jt_trained *out;
    jt_words find; /* tokens by written form */
    size_t token_cap, merge_cap;
    uint32_t *length; /* [token_cap]: symbols */
    size_t longest;   /* a token has fewer symbols */
    size_t left;      /* tokens until the vocabulary is full */

    train_word *word;
    size_t words;
    uint32_t *symbol;

    train_pair *pair;
    size_t pairs, pair_slots;

    train_entry *heap;
    size_t heap_n, heap_cap;
    uint32_t *place;
    size_t place_n, place_cap;
    train_touched *touched;
    size_t touched_n, touched_cap;
    struct train_added {
        uint32_t touched, word;
    } * added;
    size_t added_n, added_cap;
} bpe_trainer;

void jt_trained_free(jt_trained *t) {
    jt_free(t->token), jt_free(t->score), jt_free(t->merge);
    jt_arena_free(&t->strings);
    *t = (jt_trained){0};
}

/* ---- tokens ---- */

static jt_status token_put(bpe_trainer *t, const char *s, size_t n, uint32_t *id, jt_error *err) {
    jt_trained *o = t->out;
    *id = jt_words_get(&t->find, s, n);
    if (*id != JT_NO_TOKEN) return JT_OK;
    char *copy = jt_arena_copy(&o->strings, s, n);
    if (!copy) return jt_nomem(err, "a vocabulary", n, 1);
    *id = (uint32_t)o->n;
    o->token[o->n++] = (jt_view){copy, n};
    for (size_t i = 0; i < n; i++) t->length[*id] += ((unsigned char)s[i] & 0xc0) != 0x80;
    jt_words_put(&t->find, *id);
    return JT_OK;
}

/* Symbols of a piece: characters of the written form. */
static size_t symbol_next(const jt_train_pipe *p, const char *s, size_t n, uint32_t *cp) {
    if (p->pretok) {
        *cp = jt_byte_level_char((unsigned char)*s);
        return 1;
    }
    int k = jt_utf8_next(s, n, cp);
    if (!k) *cp = 0xfffd;
    return k ? (size_t)k : 1;
}

typedef struct train_letter {
    uint64_t count;
    uint32_t cp;
} train_letter;

/* Rarest first, of equals the larger. */
static int letter_rarer(const void *a, const void *b) {
    const train_letter *x = a, *y = b;
    if (x->count != y->count) return x->count < y->count ? -1 : 1;
    return (x->cp < y->cp) - (x->cp > y->cp);
}
static int letter_order(const void *a, const void *b) {
    const train_letter *x = a, *y = b;
    return (x->cp > y->cp) - (x->cp < y->cp);
}

static void alphabet_given(const jt_train_options *o, bool bytes, uint64_t *count) {
    uint32_t cp;
    if (bytes && !o->seen_bytes)
        for (int b = 0; b < 256; b++) count[jt_byte_level_char((unsigned char)b)] = UINT64_MAX;
    const char *s = o->alphabet ? o->alphabet : "";
    for (size_t n = strlen(s), i = 0; i < n;) {
        int k = jt_utf8_next(s + i, n - i, &cp);
        if (k) count[cp] = UINT64_MAX;
        i += k ? (size_t)k : 1;
    }
}

/* Makes room for the vocabulary, and its first tokens. *id_of gets the token of each symbol, or JT_NO_TOKEN. */
static jt_status alphabet_make(bpe_trainer *t, const jt_counted *c, uint32_t *id_of, jt_error *err) {
    const jt_train_options *o = t->o;
    uint32_t cp, id;
    size_t n = 0;
    uint64_t *count = jt_alloc(TRAIN_CODES, sizeof *count);
    if (!count) return jt_nomem(err, "the alphabet", TRAIN_CODES, sizeof *count);
    for (size_t i = 0; i < c->n; i++)
        for (size_t at = 0; at < c->p[i].n;) {
            at += symbol_next(t->pipe, c->p[i].s + at, c->p[i].n - at, &cp);
            count[cp] += c->p[i].count;
        }
    alphabet_given(o, t->pipe->bytes, count);
    for (size_t i = 0; i < TRAIN_CODES; i++) n += count[i] != 0;
    t->token_cap = o->n_special + n + (o->byte_fallback ? 256 : 0);
    if (t->token_cap < o->vocab) t->token_cap = o->vocab;
    t->out->token = jt_alloc(t->token_cap, sizeof *t->out->token);
    t->length = jt_alloc(t->token_cap, sizeof *t->length);
    train_letter *letter = jt_alloc(n, sizeof *letter);
    jt_status st = JT_OK;
    if (!t->out->token || !t->length || !letter) st = jt_nomem(err, "the vocabulary", t->token_cap, sizeof *t->out->token);
    if (!st) st = jt_words_init(&t->find, t->out->token, t->token_cap, err);
    if (!st) {
        size_t k = 0, from = 0;
        for (uint32_t i = 0; i < TRAIN_CODES; i++)
            if (count[i]) letter[k++] = (train_letter){count[i], i};
        if (o->limit_alphabet && n > o->limit_alphabet) {
            qsort(letter, n, sizeof *letter, letter_rarer);
            from = n - o->limit_alphabet;
            qsort(letter + from, n - from, sizeof *letter, letter_order);
        }
        for (size_t i = 0; i < o->n_special && !st; i++) st = token_put(t, o->special[i], strlen(o->special[i]), &id, err);
        t->out->specials = t->out->n;
        for (unsigned b = 0; b < 256 && o->byte_fallback && !st; b++) {
            char s[JT_BYTE_NAME];
            jt_byte_name(b, s);
            st = token_put(t, s, sizeof s, &id, err);
        }
        for (size_t i = from; i < n && !st; i++) {
            char s[4];
            int w = jt_utf8_put(letter[i].cp, s);
            if (!(st = token_put(t, s, (size_t)w, &id, err))) id_of[letter[i].cp] = id;
        }
    }
    jt_free(count), jt_free(letter);
    return st;
}

static jt_status words_make(bpe_trainer *t, const jt_counted *c, const uint32_t *id_of, jt_error *err) {
    size_t n = 0;
    uint32_t cp;
    for (size_t i = 0; i < c->n; i++) n += c->p[i].n;
    t->word = jt_alloc(c->n, sizeof *t->word);
    t->symbol = jt_alloc(n, sizeof *t->symbol);
    if (!t->word || !t->symbol) return jt_nomem(err, "the words of a text", n, sizeof *t->symbol);
    if (c->n > UINT32_MAX) return jt_error_set(err, JT_LIMIT, "more than 2^32 different pieces");
    size_t k = 0;
    for (size_t i = 0; i < c->n; i++) {
        train_word *w = &t->word[t->words];
        *w = (train_word){.at = k, .count = c->p[i].count};
        for (size_t at = 0; at < c->p[i].n;) {
            at += symbol_next(t->pipe, c->p[i].s + at, c->p[i].n - at, &cp);
            if (id_of[cp] != JT_NO_TOKEN) t->symbol[k++] = id_of[cp];
        }
        w->n = (uint32_t)(k - w->at);
        t->words += w->n > 1;
        if (w->n < 2) k = w->at;
    }
    return JT_OK;
}

/* ---- pairs ---- */

static uint64_t pair_key(uint32_t left, uint32_t right) { return (uint64_t)left << 32 | right; }

static train_pair *pair_slot(train_pair *p, size_t slots, uint64_t key) {
    uint64_t h = (key ^ key >> 29) * 0x9e3779b97f4a7c15u;
    for (uint64_t i = h ^ h >> 32;; i++) {
        train_pair *e = &p[i & (slots - 1)];
        if (!e->used || e->key == key) return e;
    }
}

/* Makes room for more pairs. */
static jt_status pair_room(bpe_trainer *t, jt_error *err) {
    size_t slots = t->pair_slots ? t->pair_slots * 2 : 4096;
    train_pair *p = jt_alloc(slots, sizeof *p);
    if (!p) return jt_nomem(err, "the pairs of a text", slots, sizeof *p);
    for (size_t i = 0; i < t->pair_slots; i++)
        if (t->pair[i].used) *pair_slot(p, slots, t->pair[i].key) = t->pair[i];
    jt_free(t->pair);
    t->pair = p, t->pair_slots = slots;
    return JT_OK;
}

/* Pairs that are too long to be merged are not there. */
static void pair_less(bpe_trainer *t, uint64_t key, uint64_t count) {
    train_pair *p = pair_slot(t->pair, t->pair_slots, key);
    if (p->used) p->count -= (int64_t)count;
}

/* Counts a pair that is in `word`, and notes the word. */
static jt_status pair_add(bpe_trainer *t, uint64_t key, uint32_t word, jt_error *err) {
    jt_status st = t->pairs * 2 + 2 > t->pair_slots ? pair_room(t, err) : JT_OK;
    if (st) return st;
    train_pair *p = pair_slot(t->pair, t->pair_slots, key);
    if (!p->used) *p = (train_pair){.key = key, .used = 1}, t->pairs++;
    p->count += (int64_t)t->word[word].count;
    bool fresh = p->touched >= t->touched_n || t->touched[p->touched].key != key;
    if (fresh) {
        if (t->touched_n == t->touched_cap &&
            (st = jt_grow((void **)&t->touched, &t->touched_cap, t->touched_n + 1, sizeof *t->touched, err)))
            return st;
        p->touched = (uint32_t)t->touched_n;
        t->touched[t->touched_n++] = (train_touched){.key = key};
    } else if (p->word == word) {
        return JT_OK;
    }
    p->word = word;
    if (t->added_n == t->added_cap && (st = jt_grow((void **)&t->added, &t->added_cap, t->added_n + 1, sizeof *t->added, err))) return st;
    t->added[t->added_n++] = (struct train_added){p->touched, word};
    t->touched[p->touched].n++;
    return JT_OK;
}

/* ---- the queue ---- */

static bool entry_before(const train_entry *a, const train_entry *b) {
    return a->count != b->count ? a->count > b->count : a->key < b->key;
}

static void heap_down(train_entry *h, size_t n, size_t i, train_entry e) {
    for (size_t k; (k = 2 * i + 1) < n; i = k) {
        if (k + 1 < n && entry_before(&h[k + 1], &h[k])) k++;
        if (!entry_before(&h[k], &e)) break;
        h[i] = h[k];
    }
    h[i] = e;
}

static jt_status heap_push(bpe_trainer *t, train_entry e, jt_error *err) {
    if (t->heap_n == t->heap_cap) {
        jt_status st = jt_grow((void **)&t->heap, &t->heap_cap, t->heap_n + 1, sizeof *t->heap, err);
        if (st) return st;
    }
    size_t i = t->heap_n++;
    for (; i && entry_before(&e, &t->heap[(i - 1) / 2]); i = (i - 1) / 2) t->heap[i] = t->heap[(i - 1) / 2];
    t->heap[i] = e;
    return JT_OK;
}

/* Enters the pairs that were touched, with their words. */
static jt_status queue_touched(bpe_trainer *t, jt_error *err) {
    jt_status st = JT_OK;
    if (t->place_n + t->added_n > t->place_cap)
        st = jt_grow((void **)&t->place, &t->place_cap, t->place_n + t->added_n, sizeof *t->place, err);
    if (st) return st;
    for (size_t i = 0; i < t->touched_n; i++) t->touched[i].at = t->place_n, t->place_n += t->touched[i].n;
    for (size_t i = 0; i < t->added_n; i++) t->place[t->touched[t->added[i].touched].at++] = t->added[i].word;
    for (size_t i = 0; i < t->touched_n && !st; i++) {
        const train_touched *u = &t->touched[i];
        int64_t count = pair_slot(t->pair, t->pair_slots, u->key)->count;
        if (count > 0) st = heap_push(t, (train_entry){count, u->key, u->at - u->n, u->n}, err);
    }
    t->touched_n = t->added_n = 0;
    return st;
}

/* ---- merging ---- */

static jt_status count_pairs(bpe_trainer *t, jt_error *err) {
    jt_status st = JT_OK;
    for (size_t w = 0; w < t->words && !st; w++) {
        const uint32_t *s = t->symbol + t->word[w].at;
        for (uint32_t i = 0; i + 1 < t->word[w].n && !st; i++) st = pair_add(t, pair_key(s[i], s[i + 1]), (uint32_t)w, err);
    }
    return st ? st : queue_touched(t, err);
}

static jt_status merge_word(bpe_trainer *t, uint32_t word, uint32_t left, uint32_t right, uint32_t id, jt_error *err) {
    train_word *w = &t->word[word];
    uint32_t *s = t->symbol + w->at, n = w->n, k = 0;
    size_t room = t->length[id] < t->longest ? t->longest - t->length[id] : 0; /* a neighbour is shorter, or they are no pair */
    jt_status st = JT_OK;
    for (uint32_t i = 0; i < n && !st; i++) {
        if (s[i] != left || i + 1 == n || s[i + 1] != right) {
            s[k++] = s[i];
            continue;
        }
        if (k) {
            pair_less(t, pair_key(s[k - 1], left), w->count);
            if (t->length[s[k - 1]] < room) st = pair_add(t, pair_key(s[k - 1], id), word, err);
        }
        if (!st && i + 2 < n) {
            pair_less(t, pair_key(right, s[i + 2]), w->count);
            if (t->length[s[i + 2]] < room) st = pair_add(t, pair_key(id, s[i + 2]), word, err);
        }
        s[k++] = id;
        i++;
    }
    if (!st) w->n = k;
    return st;
}

static jt_status merge_pair(bpe_trainer *t, const train_entry *e, jt_error *err) {
    uint32_t left = (uint32_t)(e->key >> 32), right = (uint32_t)e->key, id;
    jt_view a = t->out->token[left], b = t->out->token[right];
    char *name = jt_alloc(a.n + b.n, 1);
    if (!name) return jt_nomem(err, "a token", a.n + b.n, 1);
    memcpy(name, a.s, a.n);
    memcpy(name + a.n, b.s, b.n);
    jt_status st = token_put(t, name, a.n + b.n, &id, err);
    jt_free(name);
    jt_trained *o = t->out;
    if (!st && o->merges == t->merge_cap) st = jt_grow((void **)&o->merge, &t->merge_cap, o->merges + 1, sizeof *o->merge, err);
    if (st) return st;
    o->merge[o->merges][0] = left, o->merge[o->merges++][1] = right;
    for (uint32_t i = 0; i < e->n && !st; i++) st = merge_word(t, t->place[e->at + i], left, right, id, err);
    return st ? st : queue_touched(t, err);
}

static jt_status merge_all(bpe_trainer *t, jt_error *err) {
    const jt_train_options *o = t->o;
    size_t from = t->out->n;
    while (t->out->n < o->vocab && t->heap_n) {
        train_entry e = t->heap[0];
        int64_t count = pair_slot(t->pair, t->pair_slots, e.key)->count;
        if (e.count != count) {
            e.count = count;
            heap_down(t->heap, t->heap_n, 0, e);
            continue;
        }
        if (count < 1 || (uint64_t)count < o->min_frequency) break;
        heap_down(t->heap, t->heap_n - 1, 0, t->heap[t->heap_n - 1]);
        t->heap_n--;
        jt_status st = merge_pair(t, &e, err);
        if (st) return st;
        if (o->progress && t->out->merges % 64 == 0 &&
            o->progress(o->self, "merging pairs", (double)(t->out->n - from) / (double)(o->vocab - from)))
            return jt_error_set(err, JT_CANCELLED, "cancelled");
    }
    return JT_OK;
}

/* Of merges of the same pair the last one stays. */
static void merges_once(bpe_trainer *t) {
    jt_trained *o = t->out;
    size_t k = 0;
    for (size_t i = 0; i < o->merges; i++) pair_slot(t->pair, t->pair_slots, pair_key(o->merge[i][0], o->merge[i][1]))->word = (uint32_t)i;
    for (size_t i = 0; i < o->merges; i++) {
        uint32_t left = o->merge[i][0], right = o->merge[i][1];
        if (pair_slot(t->pair, t->pair_slots, pair_key(left, right))->word != i) continue;
        o->merge[k][0] = left, o->merge[k++][1] = right;
    }
    o->merges = k;
}

jt_status jt_train_bpe(const jt_counted *words, const jt_train_options *o, const jt_train_pipe *p, jt_trained *out, jt_error *err) {
    bpe_trainer t = {.o = o, .pipe = p, .out = out, .longest = TRAIN_LONG / 4};
    if (o->max_token_length && o->max_token_length < t.longest) t.longest = o->max_token_length;
    *out = (jt_trained){.unk = -1};
    uint32_t *id_of = jt_alloc(TRAIN_CODES, sizeof *id_of);
    jt_status st = id_of ? JT_OK : jt_nomem(err, "the alphabet", TRAIN_CODES, sizeof *id_of);
    if (!st) {
        memset(id_of, 0xff, TRAIN_CODES * sizeof *id_of);
        st = alphabet_make(&t, words, id_of, err);
    }
    if (!st) st = words_make(&t, words, id_of, err);
    jt_free(id_of);
    if (!st) st = pair_room(&t, err);
    if (!st) st = count_pairs(&t, err);
    if (!st) st = merge_all(&t, err);
    if (!st) merges_once(&t);
    if (!st && o->unk) out->unk = (int32_t)jt_words_get(&t.find, o->unk, strlen(o->unk));
    jt_words_free(&t.find);
    jt_free(t.length), jt_free(t.word), jt_free(t.symbol), jt_free(t.pair), jt_free(t.heap);
    jt_free(t.place), jt_free(t.touched), jt_free(t.added);
    if (st) jt_trained_free(out);
    return st;
}

/* train_unigram.c: learning the unigram language model of SentencePiece (Kudo 2018, arXiv 1804.10959), by the rules of Hugging
 * Face's UnigramTrainer: seeds are all characters and the repeats of frequency times length most; rounds of EM (expected
 * counts by forward and backward sums, log p = digamma(count) - digamma(sum)) and of pruning, which takes out the pieces
 * whose loss is least: what the likelihood would fall by if each of their places were taken apart the second best way.
 *
 * Expected counts are summed as integers, so that the order of additions, and with it the number of threads, changes nothing. */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "core/str.h"
#include "text/train.h"
#include "text/trie.h"

enum { WORD_MOST = 4096, PARTS_LEAST = 64, UNI_CODES = 0x110000 };
#define UNKNOWN_PENALTY 10.0 /* below the least score */
#define LEAST_COUNT 0.5

typedef struct uni_piece {
    jt_view s;
    double score;
} uni_piece;

typedef struct uni_word {
    const char *s;
    uint32_t n;
    uint64_t count;
} uni_word;

typedef struct uni_edge {
    uint32_t begin, end, id;
} uni_edge;

typedef struct uni_node {
    double top, sum; /* of the paths that lead here: log sum is top + log(sum) */
    double alpha, beta;
    uint32_t from; /* the last edge of the best path */
    bool start;    /* of a character */
} uni_node;

/* A thread's own. */
typedef struct uni_worker {
    uni_node *node;
    uni_edge *edge;
    size_t node_cap, edge_cap, edges;
    int64_t *expected; /* [pieces] */
    jt_status st;
    jt_error err;
} uni_worker;

typedef struct uni_trainer {
    const jt_train_options *o;
    jt_pool *pool;
    int threads;
    uni_word *word;
    size_t words;
    uint64_t total; /* sum of counts */
    double unit;    /* of expected counts: 1 is that many */
    jt_arena strings;

    uni_piece *piece; /* number 0 is the unknown one */
    size_t n, cap;
    jt_view *names;
    uint32_t *ids;
    jt_trie trie;
    double unknown;
    uni_worker *worker;
    jt_turns turns;
    bool best; /* counts of the best paths, not of all */
} uni_trainer;

/* ---- the lattice of a word ---- */

static uint32_t trie_child(const jt_trie *t, uint32_t node, uint8_t c) {
    uint32_t lo = t->first[node], hi = t->first[node + 1];
    if (hi - lo > 8) {
        const uint8_t *p = memchr(t->label + lo, c, hi - lo);
        return p ? (uint32_t)(p - t->label) : 0;
    }
    for (uint32_t k = lo; k < hi; k++)
        if (t->label[k] == c) return k;
    return 0;
}

static jt_status edge_add(uni_worker *w, uint32_t begin, uint32_t end, uint32_t id, jt_error *err) {
    jt_status st = JT_OK;
    if (w->edges == w->edge_cap) st = jt_grow((void **)&w->edge, &w->edge_cap, w->edges + 1, sizeof *w->edge, err);
    if (!st) w->edge[w->edges++] = (uni_edge){begin, end, id};
    return st;
}

/* All pieces in s[0..n), by where they begin. `whole` false: without the one that is all of it. */
static jt_status lattice_make(const uni_trainer *t, uni_worker *w, const char *s, uint32_t n, bool whole, jt_error *err) {
    jt_status st = JT_OK;
    w->edges = 0;
    if ((size_t)n + 1 > w->node_cap && (st = jt_grow((void **)&w->node, &w->node_cap, (size_t)n + 1, sizeof *w->node, err))) return st;
    for (uint32_t i = 0; i < n && !st;) {
        uint32_t width = (uint32_t)jt_utf8_next(s + i, n - i, NULL);
        bool single = false;
        uint32_t node = t->trie.root[(unsigned char)s[i]];
        for (uint32_t k = 1; node && !st; k++) {
            if (t->trie.token[node] != JT_NO_TOKEN && (whole || k < n)) {
                single |= k == width;
                st = edge_add(w, i, i + k, t->trie.token[node], err);
            }
            node = i + k < n ? trie_child(&t->trie, node, (uint8_t)s[i + k]) : 0;
        }
        if (!single && !st && (whole || width < n)) st = edge_add(w, i, i + width, 0, err);
        i += width;
    }
    return st;
}

static double edge_score(const uni_trainer *t, const uni_edge *e) { return e->id ? t->piece[e->id].score : t->unknown; }

/* The best path to node[n]; its score. Nodes that no path leads to stay at -inf. */
static double lattice_best(const uni_trainer *t, uni_worker *w, uint32_t n) {
    for (uint32_t i = 0; i <= n; i++) w->node[i].alpha = -INFINITY;
    w->node[0].alpha = 0;
    for (size_t k = 0; k < w->edges; k++) {
        const uni_edge *e = &w->edge[k];
        double x = w->node[e->begin].alpha + edge_score(t, e);
        if (x > w->node[e->end].alpha) w->node[e->end].alpha = x, w->node[e->end].from = (uint32_t)k;
    }
    return w->node[n].alpha;
}

static void log_add(uni_node *n, double x) {
    if (x <= n->top)
        n->sum += exp(x - n->top);
    else
        n->sum = n->sum * exp(n->top - x) + 1, n->top = x;
}

static void lattice_expect(const uni_trainer *t, uni_worker *w, uint32_t n, uint64_t count) {
    uni_node *v = w->node;
    for (uint32_t i = 0; i <= n; i++) v[i].top = -INFINITY, v[i].sum = 0;
    v[0].alpha = 0;
    for (size_t k = 0; k < w->edges; k++) {
        const uni_edge *e = &w->edge[k];
        if (e->begin && (!k || w->edge[k - 1].begin != e->begin)) v[e->begin].alpha = v[e->begin].top + log(v[e->begin].sum);
        log_add(&v[e->end], v[e->begin].alpha + edge_score(t, e));
    }
    double z = v[n].top + log(v[n].sum);
    for (uint32_t i = 0; i <= n; i++) v[i].top = -INFINITY, v[i].sum = 0;
    v[n].beta = 0;
    for (size_t k = w->edges; k-- > 0;) {
        const uni_edge *e = &w->edge[k];
        log_add(&v[e->begin], v[e->end].beta + edge_score(t, e));
        if (!k || w->edge[k - 1].begin != e->begin) v[e->begin].beta = v[e->begin].top + log(v[e->begin].sum);
    }
    for (size_t k = 0; k < w->edges; k++) {
        const uni_edge *e = &w->edge[k];
        double p = exp(v[e->begin].alpha + edge_score(t, e) + v[e->end].beta - z);
        w->expected[e->id] += (int64_t)(p * (double)count * t->unit + 0.5);
    }
}

/* ---- over all words ---- */

static void words_run(void *arg, int thread, int threads) {
    uni_trainer *t = arg;
    uni_worker *w = &t->worker[thread];
    int first, end;
    while (!w->st && jt_turns_part(&t->turns, (int)t->words, PARTS_LEAST, threads, &first, &end))
        for (int i = first; i < end && !w->st; i++) {
            const uni_word *d = &t->word[i];
            w->st = lattice_make(t, w, d->s, d->n, true, &w->err);
            if (w->st) break;
            if (!t->best) {
                lattice_expect(t, w, d->n, d->count);
                continue;
            }
            lattice_best(t, w, d->n);
            for (uint32_t at = d->n; at;) {
                const uni_edge *e = &w->edge[w->node[at].from];
                w->expected[e->id] += (int64_t)d->count;
                at = e->begin;
            }
        }
}

static jt_status words_count(uni_trainer *t, bool best, double *out, jt_error *err) {
    t->best = best;
    jt_status st = JT_OK;
    for (int i = 0; i < t->threads && !st; i++) {
        uni_worker *w = &t->worker[i];
        jt_free(w->expected);
        w->st = JT_OK;
        if (!(w->expected = jt_alloc(t->n, sizeof *w->expected))) st = jt_nomem(err, "expected counts", t->n, sizeof *w->expected);
    }
    if (st) return st;
    jt_turns_reset(&t->turns);
    jt_pool_run(t->pool, words_run, t);
    for (int i = 0; i < t->threads; i++) {
        uni_worker *w = &t->worker[i];
        if (w->st) {
            if (err) *err = w->err;
            return w->st;
        }
        for (size_t k = 0; k < t->n && i; k++) t->worker[0].expected[k] += w->expected[k];
    }
    for (size_t k = 0; k < t->n; k++) out[k] = (double)t->worker[0].expected[k] / (best ? 1 : t->unit);
    return JT_OK;
}

/* After the pieces have changed. */
static jt_status pieces_index(uni_trainer *t, jt_error *err) {
    double least = INFINITY;
    jt_trie_free(&t->trie);
    for (size_t i = 1; i < t->n; i++) {
        t->names[i] = t->piece[i].s, t->ids[i - 1] = (uint32_t)i;
        if (t->piece[i].score < least) least = t->piece[i].score;
    }
    t->unknown = (isfinite(least) ? least : 0) - UNKNOWN_PENALTY;
    return jt_trie_init(&t->trie, t->names, t->ids, t->n - 1, NULL, err);
}

/* ---- seeds ---- */

typedef struct uni_seed {
    uint64_t score;
    uint32_t at, n; /* symbols */
} uni_seed;

typedef struct seed_rank {
    const uint32_t *s;
    uni_seed seed;
} seed_rank;

/* Highest score first, of equals the string that is later. */
static int seed_order(const void *a, const void *b) {
    const seed_rank *x = a, *y = b;
    if (x->seed.score != y->seed.score) return x->seed.score > y->seed.score ? -1 : 1;
    uint32_t n = x->seed.n < y->seed.n ? x->seed.n : y->seed.n;
    for (uint32_t i = 0; i < n; i++)
        if (x->s[x->seed.at + i] != y->s[y->seed.at + i]) return x->s[x->seed.at + i] > y->s[y->seed.at + i] ? -1 : 1;
    return x->seed.n > y->seed.n ? -1 : x->seed.n < y->seed.n;
}

static jt_status piece_put(uni_trainer *t, const uint32_t *s, uint32_t n, double score, jt_error *err) {
    jt_status st = JT_OK;
    size_t bytes = 0;
    char *text = jt_arena_alloc(&t->strings, (size_t)n * 4, 1);
    if (!text) return jt_nomem(err, "the pieces of a vocabulary", (size_t)n * 4, 1);
    for (uint32_t i = 0; i < n; i++) bytes += (size_t)jt_utf8_put(s[i], text + bytes);
    if (t->n == t->cap) st = jt_grow((void **)&t->piece, &t->cap, t->n + 1, sizeof *t->piece, err);
    if (!st) t->piece[t->n++] = (uni_piece){{text, bytes}, score};
    return st;
}

/* Words as code points, a 0 behind each. */
static jt_status words_symbols(const uni_trainer *t, uint32_t **out, size_t *n, jt_error *err) {
    size_t most = t->words;
    for (size_t i = 0; i < t->words; i++) most += t->word[i].n;
    uint32_t *s = jt_alloc(most, sizeof *s);
    if (!s) return jt_nomem(err, "the characters of a text", most, sizeof *s);
    size_t k = 0;
    for (size_t i = 0; i < t->words; i++) {
        for (uint32_t at = 0; at < t->word[i].n;) at += (uint32_t)jt_utf8_next(t->word[i].s + at, t->word[i].n - at, &s[k++]);
        s[k++] = 0;
    }
    *out = s, *n = k;
    return JT_OK;
}

static jt_status seeds_letters(uni_trainer *t, const uint64_t *count, jt_error *err) {
    size_t n = 0;
    for (uint32_t i = 0; i < UNI_CODES; i++) n += count[i] != 0;
    seed_rank *r = jt_alloc(n, sizeof *r);
    uint32_t *cp = jt_alloc(n, sizeof *cp);
    jt_status st = r && cp ? JT_OK : jt_nomem(err, "the alphabet", n, sizeof *r);
    n = 0;
    for (uint32_t i = 0; i < UNI_CODES && !st; i++)
        if (count[i]) cp[n] = i, r[n] = (seed_rank){cp, {count[i], (uint32_t)n, 1}}, n++;
    if (!st && n) qsort(r, n, sizeof *r, seed_order);
    for (size_t i = 0; i < n && !st; i++) st = piece_put(t, cp + r[i].seed.at, 1, (double)r[i].seed.score, err);
    jt_free(r), jt_free(cp);
    return st;
}

static jt_status seeds_repeats(uni_trainer *t, const uint32_t *s, size_t n, jt_error *err) {
    jt_repeat *rep = NULL;
    size_t k = 0;
    jt_status st = jt_repeats_find(s, n, (uint32_t)t->o->max_piece, &rep, &k, err);
    seed_rank *r = st ? NULL : jt_alloc(k, sizeof *r);
    if (!st && !r) st = jt_nomem(err, "the seeds of a vocabulary", k, sizeof *r);
    for (size_t i = 0; i < k && !st; i++) r[i] = (seed_rank){s, {(uint64_t)rep[i].count * rep[i].n, rep[i].at, rep[i].n}};
    if (!st && k) qsort(r, k, sizeof *r, seed_order);
    for (size_t i = 0; i < k && t->n - 1 < t->o->seeds && !st; i++)
        st = piece_put(t, s + r[i].seed.at, r[i].seed.n, (double)r[i].seed.score, err);
    jt_free(rep), jt_free(r);
    return st;
}

static jt_status seeds_make(uni_trainer *t, const uint64_t *count, jt_error *err) {
    uint32_t *s = NULL;
    size_t n = 0;
    uint32_t none = 0;
    jt_status st = piece_put(t, &none, 0, 0, err);
    if (!st) st = seeds_letters(t, count, err);
    if (!st) st = words_symbols(t, &s, &n, err);
    if (!st) st = seeds_repeats(t, s, n, err);
    jt_free(s);
    double sum = 0;
    for (size_t i = 1; i < t->n && !st; i++) sum += t->piece[i].score;
    for (size_t i = 1; i < t->n && !st; i++) t->piece[i].score = log(t->piece[i].score) - log(sum);
    return st;
}

/* ---- rounds ---- */

/* By its asymptotic series from 7 on. */
static double digamma(double x) {
    double r = 0;
    while (x < 7) {
        r -= 1 / x;
        x += 1;
    }
    x -= 0.5;
    double y = 1 / (x * x);
    return r + log(x) + y * (1.0 / 24 + y * (-7.0 / 960 + y * (31.0 / 8064 - y * (127.0 / 30720))));
}

static jt_status round_em(uni_trainer *t, double *count, jt_error *err) {
    jt_status st = words_count(t, false, count, err);
    if (st) return st;
    double sum = 0;
    size_t k = 1;
    for (size_t i = 1; i < t->n; i++) {
        if (count[i] < LEAST_COUNT) continue;
        sum += count[i];
        t->piece[k++] = (uni_piece){t->piece[i].s, count[i]};
    }
    t->n = k;
    double whole = digamma(sum);
    for (size_t i = 1; i < t->n; i++) t->piece[i].score = digamma(t->piece[i].score) - whole;
    return pieces_index(t, err);
}

typedef struct uni_loss {
    double loss;
    uint32_t id;
} uni_loss;

static int loss_order(const void *a, const void *b) {
    const uni_loss *x = a, *y = b;
    if (x->loss != y->loss) return x->loss > y->loss ? -1 : 1;
    return x->id < y->id ? -1 : x->id > y->id;
}

/* What becomes of piece number `id`: it goes, it stays, or it has a loss. */
enum { PRUNE_GO, PRUNE_STAY, PRUNE_WEIGH };
static jt_status prune_weigh(const uni_trainer *t, uint32_t id, const double *freq, double sum, int *what, double *loss, jt_error *err) {
    uni_worker *w = &t->worker[0];
    jt_view s = t->piece[id].s;
    jt_status st = lattice_make(t, w, s.s, (uint32_t)s.n, false, err);
    if (st) return st;
    double other = w->edges ? lattice_best(t, w, (uint32_t)s.n) : -INFINITY;
    *what = PRUNE_STAY;
    if (other == -INFINITY) return JT_OK;
    if (other > t->piece[id].score) { /* it is not how its own text is taken apart */
        *what = freq[id] > 0 ? PRUNE_STAY : PRUNE_GO;
        return JT_OK;
    }
    *what = freq[id] > 0 ? PRUNE_WEIGH : PRUNE_GO;
    if (*what == PRUNE_GO) return JT_OK;
    uint32_t parts = 0;
    for (uint32_t at = (uint32_t)s.n; at; at = w->edge[w->node[at].from].begin) parts++;
    double after = log(sum + freq[id] * (parts - 1.0)), alternative = 0;
    for (uint32_t at = (uint32_t)s.n; at; at = w->edge[w->node[at].from].begin)
        alternative += log(freq[w->edge[w->node[at].from].id] + freq[id]) - after;
    *loss = freq[id] / (double)t->total * (log(freq[id]) - log(sum) - alternative);
    return JT_OK;
}

static jt_status round_prune(uni_trainer *t, size_t keep, double *freq, jt_error *err) {
    jt_status st = words_count(t, true, freq, err);
    uni_loss *cand = st ? NULL : jt_alloc(t->n, sizeof *cand);
    uni_piece *next = st ? NULL : jt_alloc(t->n, sizeof *next);
    if (!st && (!cand || !next)) st = jt_nomem(err, "the pieces to prune", t->n, sizeof *next);
    double sum = 0, loss = 0;
    size_t k = 1, n = 0;
    for (size_t i = 0; i < t->n && !st; i++) sum += freq[i];
    for (size_t i = 1; i < t->n && !st; i++) {
        int what = PRUNE_GO;
        st = prune_weigh(t, (uint32_t)i, freq, sum, &what, &loss, err);
        if (what == PRUNE_STAY) next[k++] = t->piece[i];
        if (what == PRUNE_WEIGH) cand[n++] = (uni_loss){loss, (uint32_t)i};
    }
    if (!st) {
        if (n) qsort(cand, n, sizeof *cand, loss_order);
        next[0] = t->piece[0];
        for (size_t i = 0; i < n && k < keep; i++) next[k++] = t->piece[cand[i].id];
        memcpy(t->piece, next, k * sizeof *next);
        t->n = k;
        st = pieces_index(t, err);
    }
    jt_free(cand), jt_free(next);
    return st;
}

static jt_status rounds_run(uni_trainer *t, jt_error *err) {
    const jt_train_options *o = t->o;
    size_t want = o->vocab * 11 / 10, from = t->n;
    double *count = jt_alloc(t->n, sizeof *count);
    t->names = jt_alloc(t->n, sizeof *t->names);
    t->ids = jt_alloc(t->n, sizeof *t->ids);
    jt_status st = count && t->names && t->ids ? pieces_index(t, err) : jt_nomem(err, "the pieces of a vocabulary", t->n, sizeof *t->names);
    while (!st) {
        for (int i = 0; i < o->sub_iterations && !st; i++) {
            double done = from > want ? log((double)from / (double)t->n) / log((double)from / (double)want) : 1;
            if (o->progress && o->progress(o->self, "training", done)) st = jt_error_set(err, JT_CANCELLED, "cancelled");
            if (!st) st = round_em(t, count, err);
        }
        if (st || t->n <= want) break;
        size_t was = t->n, keep = (size_t)((double)t->n * o->shrink);
        st = round_prune(t, keep > want ? keep : want, count, err);
        if (t->n >= was) break;
    }
    jt_free(count);
    return st;
}

/* ---- the vocabulary ---- */

static int score_order(const void *a, const void *b) {
    const uni_piece *x = a, *y = b;
    if (x->score != y->score) return x->score > y->score ? -1 : 1;
    size_t n = x->s.n < y->s.n ? x->s.n : y->s.n;
    int d = memcmp(x->s.s, y->s.s, n);
    return d ? d : (x->s.n > y->s.n) - (x->s.n < y->s.n);
}

/* Tokens that stand before all pieces: special ones and bytes. */
static size_t specials_room(const jt_train_options *o) { return o->n_special + (o->byte_fallback ? 256 : 0); }

static jt_status vocab_put(jt_trained *out, const char *s, size_t n, double score, jt_error *err) {
    char *copy = jt_arena_copy(&out->strings, s, n);
    if (!copy) return jt_nomem(err, "the vocabulary", n, 1);
    out->token[out->n] = (jt_view){copy, n};
    out->score[out->n++] = score;
    return JT_OK;
}

/* All characters, then pieces in their order until the vocabulary is full; sorted by score. */
static jt_status vocab_make(uni_trainer *t, const uint64_t *count, jt_trained *out, jt_error *err) {
    const jt_train_options *o = t->o;
    size_t k = 0, before = specials_room(o), room = o->vocab - before;
    double least = t->unknown + UNKNOWN_PENALTY, more = 0;
    jt_words have = {0};
    uni_piece *final = jt_alloc(o->vocab, sizeof *final);
    out->token = jt_alloc(o->vocab, sizeof *out->token);
    out->score = jt_alloc(o->vocab, sizeof *out->score);
    jt_status st = final && out->token && out->score ? jt_words_init(&have, t->names, t->n, err)
                                                     : jt_nomem(err, "the vocabulary", o->vocab, sizeof *final);
    for (size_t i = 1; i < t->n && !st; i++) jt_words_put(&have, (uint32_t)i);
    for (uint32_t i = 0; i < UNI_CODES && !st; i++) {
        if (!count[i]) continue;
        char *c = jt_arena_alloc(&t->strings, 4, 1);
        if (!c) {
            st = jt_nomem(err, "the vocabulary", 4, 1);
            break;
        }
        size_t n = (size_t)jt_utf8_put(i, c);
        uint32_t id = jt_words_get(&have, c, n);
        final[k++] = id == JT_NO_TOKEN ? (uni_piece){{c, n}, least + more} : t->piece[id];
        if (id == JT_NO_TOKEN) more += 0.0001;
    }
    for (size_t i = 1; i < t->n && k < room && !st; i++) {
        jt_view s = t->piece[i].s;
        if ((size_t)jt_utf8_next(s.s, s.n, NULL) != s.n) final[k++] = t->piece[i];
    }
    if (!st && k) qsort(final, k, sizeof *final, score_order);
    /* A byte scores less than any spelling of its name, so that text which holds the name is not taken for the byte. */
    double byte = (JT_BYTE_NAME + 2) * least;
    for (size_t i = 0; i < o->n_special && !st; i++) {
        st = vocab_put(out, o->special[i], strlen(o->special[i]), 0, err);
        if (!strcmp(o->special[i], o->unk)) out->unk = (int32_t)i;
    }
    for (size_t i = o->n_special; i < before && !st; i++) {
        char name[JT_BYTE_NAME];
        jt_byte_name((unsigned)(i - o->n_special), name);
        st = vocab_put(out, name, sizeof name, byte, err);
    }
    for (size_t i = 0; i < k && !st; i++) st = vocab_put(out, final[i].s.s, final[i].s.n, final[i].score, err);
    out->specials = o->n_special;
    jt_words_free(&have);
    jt_free(final);
    return st;
}

static jt_status words_take(uni_trainer *t, const jt_counted *c, uint64_t *count, jt_error *err) {
    size_t n = 0;
    uint32_t cp;
    for (size_t i = 0; i < c->n; i++) n += c->p[i].n / (WORD_MOST - 4) + 1;
    if (n > INT32_MAX) return jt_error_set(err, JT_LIMIT, "more than 2^31 different pieces");
    if (!(t->word = jt_alloc(n, sizeof *t->word))) return jt_nomem(err, "the words of a text", n, sizeof *t->word);
    double most = 1;
    for (size_t i = 0; i < c->n; i++) {
        const jt_counted_piece *p = &c->p[i];
        uint32_t from = 0, at = 0;
        while (at < p->n) {
            uint32_t w = (uint32_t)jt_utf8_next(p->s + at, p->n - at, &cp);
            bool cut = at + w - from > WORD_MOST; /* pieces longer than any word are taken in parts */
            if (cut) t->word[t->words++] = (uni_word){p->s + from, at - from, p->count}, from = at;
            count[cp] += p->count;
            at += w;
        }
        t->word[t->words++] = (uni_word){p->s + from, at - from, p->count};
        t->total += p->count;
        most += (double)p->count * p->n;
    }
    /* Sums stay below 2^61. */
    t->unit = 16777216;
    while (t->unit > 1 && most * t->unit > 2305843009213693952.0) t->unit /= 2;
    const char *s = t->o->alphabet ? t->o->alphabet : "";
    for (size_t len = strlen(s), i = 0; i < len; i += (size_t)jt_utf8_next(s + i, len - i, NULL)) {
        jt_utf8_next(s + i, len - i, &cp);
        count[cp] += count[cp] == 0;
    }
    return JT_OK;
}

jt_status jt_train_unigram(const jt_counted *words, const jt_train_options *o, jt_pool *pool, jt_trained *out, jt_error *err) {
    uni_trainer t = {.o = o, .pool = pool, .threads = jt_pool_threads(pool)};
    size_t letters = 0;
    *out = (jt_trained){.unk = -1};
    uint64_t *count = jt_alloc(UNI_CODES, sizeof *count);
    t.worker = jt_alloc((size_t)t.threads, sizeof *t.worker);
    jt_status st = count && t.worker ? words_take(&t, words, count, err) : jt_nomem(err, "the alphabet", UNI_CODES, sizeof *count);
    for (uint32_t i = 0; i < UNI_CODES && !st; i++) letters += count[i] != 0;
    if (!st && letters + specials_room(o) > o->vocab)
        st = jt_error_set(err, JT_INVALID, "a vocabulary of %zu tokens has no room for %zu characters, and %zu special tokens and bytes",
                          o->vocab, letters, specials_room(o));
    if (!st) st = seeds_make(&t, count, err);
    if (!st) st = rounds_run(&t, err);
    if (!st) st = vocab_make(&t, count, out, err);
    for (int i = 0; i < t.threads && t.worker; i++) jt_free(t.worker[i].node), jt_free(t.worker[i].edge), jt_free(t.worker[i].expected);
    jt_free(t.worker), jt_free(t.word), jt_free(t.piece), jt_free(t.names), jt_free(t.ids), jt_free(count);
    jt_trie_free(&t.trie);
    jt_arena_free(&t.strings);
    if (st) jt_trained_free(out);
    return st;
}

/* BPE in linear time against the rule it stands for, run naively, on random tables of merges. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "alloc_wrap.h"
#include "core/mem.h"
#include "core/random.h"
#include "core/str.h"
#include "text/bpe.h"

enum { MOST = 400, RULES = 4000 };

/* A stream of numbers for the tests. */
typedef struct dice {
    uint32_t round, index;
} dice;
static uint32_t roll(dice *d, uint32_t sides) {
    uint32_t w[4];
    jt_random_words(&(jt_address){.seed = 11, .position = d->round, .index = d->index++}, w);
    return w[0] % sides;
}

/* A vocabulary: tokens with their bytes, rules in order of rank. */
typedef struct table {
    jt_view names[MOST];
    char bytes[MOST][64];
    uint8_t part[MOST];
    jt_bpe_rule rule[RULES];
    int32_t rank[RULES];
    size_t tokens, rules;
    bool shared, chars; /* rules share ranks; letters have several bytes */
} table;

static uint32_t table_token(table *t, const char *s, size_t n) {
    for (uint32_t i = 0; i < t->tokens; i++)
        if (t->names[i].n == n && !memcmp(t->names[i].s, s, n)) return i;
    uint32_t id = (uint32_t)t->tokens++;
    memcpy(t->bytes[id], s, n);
    t->names[id] = (jt_view){t->bytes[id], n};
    t->part[id] = JT_BPE_WHOLE;
    return id;
}

static const char *const letter[2][4] = {{"a", "b", "c", "d"}, {"\xc3\xa9", "b", "\xc3\xa8", "\xe2\x96\x81"}};

/* Joins random tokens. A token may be made in several ways, and `shuffle` lets it be made before its parts are. */
static void table_random(table *t, dice *d, size_t letters, size_t rules, int shuffle) {
    t->tokens = t->rules = 0, t->shared = false;
    for (size_t i = 0; i < letters; i++) table_token(t, letter[t->chars][i], strlen(letter[t->chars][i]));
    while (t->rules < rules) {
        uint32_t l = roll(d, (uint32_t)t->tokens), r = roll(d, (uint32_t)t->tokens);
        char both[64];
        size_t n = t->names[l].n + t->names[r].n;
        if (n > 24) {
            if (roll(d, 4)) continue;
            l = roll(d, (uint32_t)letters), r = roll(d, (uint32_t)letters), n = t->names[l].n + t->names[r].n;
        }
        memcpy(both, t->names[l].s, t->names[l].n);
        memcpy(both + t->names[l].n, t->names[r].s, t->names[r].n);
        t->rule[t->rules++] = (jt_bpe_rule){l, r, table_token(t, both, n)};
    }
    for (size_t i = t->rules; shuffle && i > 1; i--) {
        size_t j = roll(d, (uint32_t)i);
        jt_bpe_rule x = t->rule[i - 1];
        t->rule[i - 1] = t->rule[j], t->rule[j] = x;
    }
    if (roll(d, 3) == 0) table_token(t, "abcabcab", 8); /* perhaps a token that nothing makes */
}

/* SentencePiece's table of the same tokens: any two that make a third may, in the order of what they make; some are equal. */
static void table_share(table *t, dice *d) {
    uint32_t order[MOST];
    int32_t rank = 0;
    for (uint32_t i = 0; i < t->tokens; i++) order[i] = i;
    for (uint32_t i = (uint32_t)t->tokens; i > 1; i--) {
        uint32_t j = roll(d, i), x = order[i - 1];
        order[i - 1] = order[j], order[j] = x;
    }
    t->rules = 0, t->shared = true;
    for (uint32_t i = 0; i < t->tokens; i++) {
        const jt_view *v = &t->names[order[i]];
        if (roll(d, 4)) rank++;
        for (uint32_t l = 0; l < t->tokens; l++) {
            size_t n = t->names[l].n;
            if (n >= v->n || memcmp(t->names[l].s, v->s, n) != 0) continue;
            for (uint32_t r = 0; r < t->tokens; r++)
                if (t->names[r].n == v->n - n && !memcmp(t->names[r].s, v->s + n, v->n - n) && t->rules < RULES)
                    t->rank[t->rules] = rank, t->rule[t->rules++] = (jt_bpe_rule){l, r, order[i]};
        }
    }
}

static jt_bpe *table_load(const table *t, bool ignore, jt_error *e) {
    jt_bpe *b = jt_alloc(1, sizeof *b);
    jt_bpe_rule *rule = jt_alloc(t->rules, sizeof *rule);
    if (!b || !rule) {
        jt_free(b), jt_free(rule);
        return NULL;
    }
    if (t->rules) memcpy(rule, t->rule, t->rules * sizeof *rule);
    jt_bpe_how how = {.ignore_merges = ignore, .chars = t->chars, .rank = t->shared ? t->rank : NULL};
    if (jt_bpe_init(b, t->names, t->part, t->tokens, rule, t->rules, &how, e)) {
        jt_free(b);
        return NULL;
    }
    return b;
}

static void table_unload(jt_bpe *b) {
    jt_bpe_free(b);
    jt_free(b);
}

/* The rule as it is defined: the lowest rank, leftmost, again and again. A later rule for a pair replaces an earlier one. */
static size_t naive(const table *t, const char *s, size_t n, uint32_t *out) {
    size_t m = 0;
    for (size_t i = 0; i < n;)
        for (uint32_t k = 0; k < 4; k++) {
            const char *c = letter[t->chars][k];
            if (strlen(c) > n - i || memcmp(s + i, c, strlen(c)) != 0) continue;
            i += strlen(c);
            out[m++] = k;
            break;
        }
    for (;;) {
        size_t best = SIZE_MAX, at = 0;
        int32_t least = INT32_MAX;
        for (size_t i = 0; i + 1 < m; i++)
            for (size_t r = t->rules; r-- > 0;) {
                if (t->rule[r].left != out[i] || t->rule[r].right != out[i + 1]) continue;
                int32_t rank = t->shared ? t->rank[r] : (int32_t)r;
                if (rank < least) best = r, at = i, least = rank;
                break;
            }
        if (best == SIZE_MAX) return m;
        out[at] = t->rule[best].result;
        memmove(out + at + 1, out + at + 2, (m - at - 2) * sizeof *out);
        m--;
    }
}

static void compare(const table *t, const jt_bpe *b, const char *s, size_t n, jt_tokens *got) {
    uint32_t want[512];
    size_t m = naive(t, s, n, want), at = 0;
    jt_bpe_work w = {0};
    jt_error e = {0};
    got->n = 0;
    assert_int_equal(jt_bpe_encode(b, s, n, 7, &w, got, &e), JT_OK);
    int same = got->n == m;
    for (size_t i = 0; same && i < m; i++) {
        same = got->t[i].id == (int32_t)want[i] && got->t[i].begin == 7 + at;
        at += t->names[want[i]].n;
        same = same && got->t[i].end == 7 + at;
    }
    if (!same) fail_msg("\"%.*s\": %zu tokens, not %zu, or others, of %zu rules", (int)n, s, got->n, m, t->rules);
    jt_bpe_work_free(&w);
}

static void random_tables(void **state) {
    (void)state;
    table *t = calloc(1, sizeof *t);
    jt_tokens got = {0};
    size_t strings = 0, irregular = 0, improper = 0;
    for (uint32_t round = 0; round < 3000; round++) {
        dice d = {round, 0};
        size_t letters = 1 + roll(&d, 4), rules = 1 + roll(&d, round % 8 == 0 ? 120 : 24);
        t->chars = round % 3 == 2;
        table_random(t, &d, letters, rules, round % 2);
        if (round % 3) table_share(t, &d);
        jt_error e = {0};
        jt_bpe *b = table_load(t, false, &e);
        assert_non_null(b);
        irregular += b->n_irregular, improper += b->n_improper;
        for (int k = 0; k < 16; k++, strings++) {
            jt_str s = {0};
            size_t n = 1 + roll(&d, k < 12 ? 20 : 120);
            uint32_t some = 1 + roll(&d, (uint32_t)letters);
            for (size_t i = 0; i < n; i++) jt_str_puts(&s, letter[t->chars][roll(&d, some)]);
            compare(t, b, s.s, s.n, &got);
            jt_str_free(&s);
        }
        table_unload(b);
    }
    assert_true(strings >= 20000);
    assert_true(irregular > 100 && improper > 100); /* the hard cases were there */
    jt_tokens_free(&got);
    free(t);
}

/* Of every string up to a length, with every table of a small family. */
static void all_short_strings(void **state) {
    (void)state;
    table *t = calloc(1, sizeof *t);
    jt_tokens got = {0};
    for (uint32_t round = 0; round < 60; round++) {
        dice d = {100000 + round, 0};
        table_random(t, &d, 2, 3 + round % 9, 1);
        if (round % 2) table_share(t, &d);
        jt_error e = {0};
        jt_bpe *b = table_load(t, false, &e);
        assert_non_null(b);
        for (size_t n = 1; n <= 9; n++)
            for (uint32_t bits = 0; bits < 1u << n; bits++) {
                char s[16];
                for (size_t i = 0; i < n; i++) s[i] = bits >> i & 1 ? 'b' : 'a';
                compare(t, b, s, n, &got);
            }
        table_unload(b);
    }
    jt_tokens_free(&got);
    free(t);
}

static void a_million_letters(void **state) {
    (void)state;
    enum { N = 1000000 };
    table *t = calloc(1, sizeof *t);
    table_token(t, "a", 1), table_token(t, "b", 1);
    uint32_t half = 0;
    for (size_t n = 2; n <= 32; n *= 2) {
        uint32_t id = table_token(t, "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa", n);
        t->rule[t->rules++] = (jt_bpe_rule){half, half, id};
        half = id;
    }
    jt_error e = {0};
    jt_bpe *b = table_load(t, false, &e);
    char *s = malloc(N);
    memset(s, 'a', N);
    jt_tokens got = {0};
    jt_bpe_work w = {0};
    assert_int_equal(jt_bpe_encode(b, s, N, 0, &w, &got, &e), JT_OK);
    assert_int_equal(got.n, N / 32);
    for (size_t i = 0; i < got.n; i++) assert_int_equal(got.t[i].id, half);
    /* 31 letters before each b are 16 + 8 + 4 + 2 + 1 */
    for (size_t i = 31; i < N; i += 32) s[i] = 'b';
    got.n = 0;
    assert_int_equal(jt_bpe_encode(b, s, N, 0, &w, &got, &e), JT_OK);
    assert_int_equal(got.n, N / 32 * 6);
    for (size_t i = 0; i < got.n; i += 6) assert_int_equal(got.t[i].end - got.t[i].begin, 16);
    jt_bpe_work_free(&w);
    jt_tokens_free(&got);
    table_unload(b);
    free(s), free(t);
}

/* Greedy search for the longest token goes wrong here until the last byte, and must go back. */
static void goes_back(void **state) {
    (void)state;
    table *t = calloc(1, sizeof *t);
    uint32_t a = table_token(t, "a", 1), b_ = table_token(t, "b", 1), c = table_token(t, "c", 1);
    uint32_t bc = table_token(t, "bc", 2), ab = table_token(t, "ab", 2), abab = table_token(t, "abab", 4);
    t->rule[0] = (jt_bpe_rule){b_, c, bc}, t->rule[1] = (jt_bpe_rule){a, b_, ab}, t->rule[2] = (jt_bpe_rule){ab, ab, abab};
    t->rules = 3;
    jt_error e = {0};
    jt_bpe *b = table_load(t, false, &e);
    jt_tokens got = {0};
    compare(t, b, "ababc", 5, &got);
    assert_int_equal(got.n, 3); /* ab a bc */
    compare(t, b, "abababababc", 11, &got);
    assert_int_equal(got.n, 4); /* abab abab a bc */
    jt_tokens_free(&got);
    table_unload(b);
    free(t);
}

static void bytes_without_a_token(void **state) {
    (void)state;
    table *t = calloc(1, sizeof *t);
    uint32_t a = table_token(t, "a", 1), b_ = table_token(t, "b", 1), ab = table_token(t, "ab", 2);
    table_token(t, "ax", 2); /* has a byte without a token, so nothing gives it */
    t->rule[t->rules++] = (jt_bpe_rule){a, b_, ab};
    jt_error e = {0};
    jt_bpe *b = table_load(t, false, &e);
    jt_bpe_work w = {0};
    jt_tokens got = {0};
    assert_int_equal(jt_bpe_encode(b, "xaxxbxax", 8, 100, &w, &got, &e), JT_OK);
    assert_int_equal(got.n, 2); /* as if x were not there: ab, a */
    assert_int_equal(got.t[0].id, ab);
    assert_int_equal(got.t[0].begin, 101);
    assert_int_equal(got.t[0].end, 105);
    assert_int_equal(got.t[1].begin, 106);
    assert_int_equal(got.t[1].end, 107);
    got.n = 0;
    assert_int_equal(jt_bpe_encode(b, "xxx", 3, 0, &w, &got, &e), JT_OK);
    assert_int_equal(got.n, 0);
    assert_int_equal(b->n_improper, 1);
    jt_bpe_work_free(&w);
    jt_tokens_free(&got);
    table_unload(b);
    free(t);
}

static void whole_pieces(void **state) {
    (void)state;
    table *t = calloc(1, sizeof *t);
    table_token(t, "a", 1), table_token(t, "b", 1);
    uint32_t aba = table_token(t, "aba", 3), bab = table_token(t, "bab", 3);
    t->part[bab] = JT_BPE_RULES;
    jt_error e = {0};
    for (int ignore = 0; ignore < 2; ignore++) {
        jt_bpe *b = table_load(t, ignore, &e);
        jt_bpe_work w = {0};
        jt_tokens got = {0};
        assert_int_equal(jt_bpe_encode(b, "aba", 3, 0, &w, &got, &e), JT_OK);
        assert_int_equal(got.n, ignore ? 1 : 3);
        if (ignore) assert_int_equal(got.t[0].id, aba);
        got.n = 0;
        assert_int_equal(jt_bpe_encode(b, "bab", 3, 0, &w, &got, &e), JT_OK);
        assert_int_equal(got.n, 3);
        jt_bpe_work_free(&w);
        jt_tokens_free(&got);
        table_unload(b);
    }
    free(t);
}

/* Load and encode with each allocation failing in turn: no leak, the same result in the end. */
static void failing_allocations(void **state) {
    (void)state;
    table *t = calloc(1, sizeof *t);
    dice d = {77, 0};
    table_random(t, &d, 3, 40, 1);
    char s[700];
    for (size_t i = 0; i < sizeof s; i++) s[i] = "abcx"[roll(&d, 4)];
    for (long at = 0;; at++) {
        assert_in_range(at, 0, 1000);
        jt_error e = {0};
        jt_tokens got = {0};
        jt_bpe_work w = {0};
        jt_status st = JT_NOMEM;
        alloc_fail_at(at);
        jt_bpe *b = table_load(t, false, &e);
        if (b) {
            st = jt_bpe_encode(b, s, sizeof s, 0, &w, &got, &e);
            table_unload(b);
        }
        alloc_fail_at(-1);
        jt_bpe_work_free(&w);
        jt_tokens_free(&got);
        if (st == JT_OK) break;
        assert_int_equal(st, JT_NOMEM);
    }
    free(t);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(random_tables),       cmocka_unit_test(all_short_strings),     cmocka_unit_test(a_million_letters),
        cmocka_unit_test(goes_back),           cmocka_unit_test(bytes_without_a_token), cmocka_unit_test(whole_pieces),
        cmocka_unit_test(failing_allocations),
    };
    return cmocka_run_group_tests_name("bpe", tests, NULL, NULL);
}

#include "cli/try_line.h"

#include <math.h>
#include <string.h>

#include "cli/command.h"
#include "core/mem.h"
#include "core/str.h"

typedef struct scan {
    const char *s;
    size_t at, n;
    jt_error *err;
} scan;

static jt_status scan_bad(const scan *k, const char *want) {
    return jt_error_set(k->err, JT_FORMAT, "byte %zu: %s was expected", k->at + 1, want);
}

static void scan_space(scan *k) {
    while (k->at < k->n && (k->s[k->at] == ' ' || k->s[k->at] == '\t' || k->s[k->at] == '\r' || k->s[k->at] == '\n')) k->at++;
}

static bool scan_mark(scan *k, char c) {
    scan_space(k);
    if (k->at == k->n || k->s[k->at] != c) return false;
    k->at++;
    return true;
}

/* A quoted text without escapes, which names and words of a line never need. */
static jt_status scan_text(scan *k, char *out, size_t cap) {
    if (!scan_mark(k, '"')) return scan_bad(k, "a text in quotes");
    size_t from = k->at, len;
    while (k->at < k->n && k->s[k->at] != '"' && k->s[k->at] != '\\') k->at++;
    if (k->at == k->n || k->s[k->at] != '"') return scan_bad(k, "the end of the text");
    len = k->at - from < cap - 1 ? k->at - from : cap - 1;
    memcpy(out, k->s + from, len);
    out[len] = 0;
    k->at++;
    return JT_OK;
}

/* What is not a number may be a word: null, NaN, Infinity, or the same in quotes. */
static jt_status scan_word(scan *k, double *out) {
    static const struct {
        const char *word;
        double x;
    } words[] = {
        {"null", -INFINITY}, {"-Infinity", -INFINITY}, {"\"-inf\"", -INFINITY},      {"Infinity", INFINITY}, {"\"inf\"", INFINITY},
        {"NaN", NAN},        {"\"nan\"", NAN},         {"\"-Infinity\"", -INFINITY}, {"\"NaN\"", NAN},       {"\"Infinity\"", INFINITY}};
    for (size_t i = 0; i < sizeof words / sizeof *words; i++) {
        size_t len = strlen(words[i].word);
        if (k->n - k->at >= len && !memcmp(k->s + k->at, words[i].word, len)) {
            k->at += len;
            *out = words[i].x;
            return JT_OK;
        }
    }
    return scan_bad(k, "a number");
}

/* Numbers of at most 19 digits whose value and power of ten a double holds exactly need one rounding; others are read in full. */
static jt_status scan_number(scan *k, double *out) {
    static const double ten[] = {1e0,  1e1,  1e2,  1e3,  1e4,  1e5,  1e6,  1e7,  1e8,  1e9,  1e10, 1e11,
                                 1e12, 1e13, 1e14, 1e15, 1e16, 1e17, 1e18, 1e19, 1e20, 1e21, 1e22};
    scan_space(k);
    const char *s = k->s;
    size_t from = k->at, i = from, first;
    uint64_t whole = 0;
    int digits = 0, power = 0;
    bool minus = i < k->n && s[i] == '-', plain = true;
    i += minus;
    first = i;
    for (; i < k->n && s[i] >= '0' && s[i] <= '9'; i++) whole = whole * 10 + (uint64_t)(s[i] - '0'), digits++;
    if (i == first || (s[first] == '0' && i > first + 1)) return scan_word(k, out);
    if (i < k->n && s[i] == '.') {
        size_t point = ++i;
        for (; i < k->n && s[i] >= '0' && s[i] <= '9'; i++) whole = whole * 10 + (uint64_t)(s[i] - '0'), digits++, power--;
        if (i == point) return k->at = i, scan_bad(k, "a digit");
    }
    if (i < k->n && (s[i] == 'e' || s[i] == 'E')) {
        plain = false;
        while (i < k->n && strchr("eE+-0123456789", s[i]) && s[i]) i++;
    }
    k->at = i;
    if (plain && digits <= 19 && whole <= (uint64_t)1 << 53 && power >= -22) {
        double x = (double)whole / ten[-power];
        *out = minus ? -x : x;
        return JT_OK;
    }
    if (jt_read_double(s + from, i - from, out)) return JT_OK;
    k->at = from;
    return scan_bad(k, "a number");
}

static jt_status scan_whole(scan *k, const char *key, int64_t most, int64_t *out) {
    double x;
    jt_status e = scan_number(k, &x);
    if (e != JT_OK) return e;
    if (!(x >= 0 && x <= (double)most && x == floor(x)))
        return jt_error_set(k->err, JT_INVALID, "\"%s\" takes a whole number from 0 to %lld", key, (long long)most);
    *out = (int64_t)x;
    return JT_OK;
}

static jt_status scan_numbers(scan *k, const char *key, bool logits, jt_try_numbers *out) {
    double x;
    out->n = 0, out->given = true;
    if (!scan_mark(k, '[')) return scan_bad(k, "a list of numbers");
    if (scan_mark(k, ']')) return JT_OK;
    do {
        jt_status e = scan_number(k, &x);
        if (e == JT_OK && out->n == out->cap) e = jt_grow((void **)&out->x, &out->cap, out->n + 1, sizeof *out->x, k->err);
        if (e != JT_OK) return e;
        float f = (float)x;
        if (isnan(f) || f > 0 ? !(f < INFINITY) : !logits && isinf(f))
            return jt_error_set(k->err, JT_INVALID, logits ? "\"%s\": the logit of token %zu is %s" : "\"%s\": number %zu is %s", key,
                                out->n, isnan(f) ? "not a number" : "infinite");
        out->x[out->n++] = f;
    } while (scan_mark(k, ','));
    return scan_mark(k, ']') ? JT_OK : scan_bad(k, "\",\" or \"]\"");
}

static jt_status scan_ids(scan *k, jt_try_line *l) {
    int64_t id = 0;
    l->n_history = 0, l->has_history = true;
    if (!scan_mark(k, '[')) return scan_bad(k, "a list of token ids");
    if (scan_mark(k, ']')) return JT_OK;
    do {
        jt_status e = scan_whole(k, "history", INT32_MAX, &id);
        if (e == JT_OK) e = jt_grow((void **)&l->history, &l->cap_history, l->n_history + 1, sizeof *l->history, k->err);
        if (e != JT_OK) return e;
        l->history[l->n_history++] = (int32_t)id;
    } while (scan_mark(k, ','));
    return scan_mark(k, ']') ? JT_OK : scan_bad(k, "\",\" or \"]\"");
}

static jt_status scan_member(scan *k, const char *key, jt_try_line *l) {
    const struct {
        const char *name;
        jt_try_numbers *list; /* NULL: a whole number, up to `most` */
        bool logits;
        int64_t *whole, most;
        bool given;
    } all[] = {{"logits", &l->logits, true, NULL, 0, l->logits.given},
               {"raw", &l->raw, true, NULL, 0, l->raw.given},
               {"second", &l->second, true, NULL, 0, l->second.given},
               {"hidden", &l->hidden, false, NULL, 0, l->hidden.given},
               {"history", NULL, false, NULL, 0, l->has_history},
               {"prompt", NULL, false, &l->prompt, INT32_MAX, l->prompt >= 0},
               {"position", NULL, false, &l->position, INT32_MAX, l->position >= 0},
               {"seed", NULL, false, &l->seed, (int64_t)1 << 53, l->seed >= 0},
               {"choice", NULL, false, &l->choice, UINT32_MAX, l->choice >= 0},
               {"chosen", NULL, false, &l->chosen, INT32_MAX, l->chosen >= 0}};
    jt_nearest near = {.to = key};
    for (size_t i = 0; i < sizeof all / sizeof *all; i++) {
        jt_nearest_add(&near, all[i].name);
        if (strcmp(all[i].name, key) != 0) continue;
        if (all[i].given) return jt_error_set(k->err, JT_FORMAT, "\"%s\" is given twice", key);
        if (all[i].list) return scan_numbers(k, key, all[i].logits, all[i].list);
        return all[i].whole ? scan_whole(k, key, all[i].most, all[i].whole) : scan_ids(k, l);
    }
    const char *best = jt_nearest_get(&near);
    return jt_error_set(k->err, JT_UNKNOWN, "there is no key \"%.60s\"%s%s%s", key, best ? "; did you mean \"" : "", best ? best : "",
                        best ? "\"?" : "; there are logits, raw, second, hidden, history, prompt, position, seed, choice and chosen");
}

jt_status jt_try_line_read(const char *s, size_t n, jt_try_line *l, jt_error *err) {
    scan k = {.s = s, .n = n, .err = err};
    l->logits.given = l->raw.given = l->second.given = l->hidden.given = l->has_history = false;
    l->n_history = 0;
    l->prompt = l->position = l->seed = l->choice = l->chosen = -1;
    if (!scan_mark(&k, '{')) return scan_bad(&k, "\"{\"");
    if (!scan_mark(&k, '}')) {
        do {
            char key[64];
            jt_status e = scan_text(&k, key, sizeof key);
            if (e == JT_OK && !scan_mark(&k, ':')) e = scan_bad(&k, "\":\"");
            if (e == JT_OK) e = scan_member(&k, key, l);
            if (e != JT_OK) return e;
        } while (scan_mark(&k, ','));
        if (!scan_mark(&k, '}')) return scan_bad(&k, "\",\" or \"}\"");
    }
    scan_space(&k);
    if (k.at < n) return scan_bad(&k, "the end of the line");
    if (!l->logits.n) return jt_error_set(err, JT_INVALID, "there are no \"logits\"; give at least one");
    return JT_OK;
}

void jt_try_line_free(jt_try_line *l) {
    jt_free(l->logits.x), jt_free(l->raw.x), jt_free(l->second.x), jt_free(l->hidden.x), jt_free(l->history);
    *l = (jt_try_line){0};
}

/* sequences.c: token sequences from text and from lists of ids. */
#include "decode/sequences.h"

#include <stdlib.h>
#include <string.h>

#include "jeton/text.h"

/* A text of n bytes is at most n + 2 tokens: some tokenizers put a space and a mark before it. */
size_t jt_sequences_bytes(const char *texts, const char *ids) {
    size_t n = strlen(texts), m = strlen(ids), lines = 1;
    for (size_t i = 0; i < n; i++) lines += texts[i] == '\n';
    return (2 + 2 * (n + 4 * lines) + 2 * (m + 1)) * sizeof(int32_t);
}

static int32_t *sequences_end(int32_t *state) {
    while (*state) state += 1 + *state;
    return state;
}

static jt_status sequences_put(const char *name, const int32_t *id, size_t n, const jt_setup *u, int32_t *state, size_t room,
                               jt_error *err) {
    int32_t *at = sequences_end(state);
    if ((size_t)(at - state) + 2 + n > room) return jt_error_set(err, JT_LIMIT, "%s: a text of more tokens than bytes", name);
    for (size_t i = 0; i < n; i++)
        if (id[i] < 0 || id[i] >= u->vocab)
            return jt_error_set(err, JT_INVALID, "%s: token %d is outside of the vocabulary (0 to %d)", name, (int)id[i], u->vocab - 1);
    *at++ = (int32_t)n;
    memcpy(at, id, n * sizeof *id);
    return JT_OK;
}

jt_status jt_sequences_add(const char *name, const char *text, size_t n, bool single, const jt_setup *u, int32_t *state, size_t room,
                           jt_error *err) {
    int shown = n > 60 ? 60 : (int)n;
    jt_tokens t = {0};
    if (!u->tokenizer)
        return jt_error_set(err, JT_UNSUPPORTED, "%s: this model has no tokenizer; give ids in place of \"%.*s\"", name, shown, text);
    int32_t whole = single ? jt_token_find(u->tokenizer, text, n) : -1;
    if (whole >= 0) return sequences_put(name, &whole, 1, u, state, room, err);
    jt_status e = jt_encode(u->tokenizer, text, n, JT_PARSE_SPECIAL | JT_EVERY_BYTE, &t, err);
    if (e == JT_OK && single && t.n != 1)
        e = jt_error_set(err, JT_INVALID, "%s: \"%.*s\" is %zu tokens of this model, not one; give ids", name, shown, text, t.n);
    if (e == JT_OK && !t.n) e = jt_error_set(err, JT_INVALID, "%s: \"%.*s\" is no token of this model", name, shown, text);
    int32_t *at = sequences_end(state);
    if (e == JT_OK && (size_t)(at - state) + 2 + t.n > room) e = jt_error_set(err, JT_LIMIT, "%s: a text of more tokens than bytes", name);
    if (e == JT_OK) {
        *at++ = (int32_t)t.n;
        for (size_t i = 0; i < t.n; i++) at[i] = t.t[i].id;
    }
    jt_tokens_free(&t);
    return e;
}

jt_status jt_sequences_add_id(const char *name, int32_t id, const jt_setup *u, int32_t *state, size_t room, jt_error *err) {
    return sequences_put(name, &id, 1, u, state, room, err);
}

static jt_status sequences_texts(const char *name, jt_sequence_kind kind, const char *texts, const jt_setup *u, int32_t *state, size_t room,
                                 jt_error *err) {
    jt_status e = JT_OK;
    char spaced[512] = " ";
    for (const char *s = texts, *end; e == JT_OK && *s; s = *end ? end + 1 : end) {
        size_t n = kind == JT_SEQUENCES_WHOLE ? strlen(s) : strcspn(s, "\n");
        end = s + n;
        if (!n) continue;
        e = jt_sequences_add(name, s, n, kind == JT_SEQUENCES_SINGLE, u, state, room, err);
        if (kind != JT_SEQUENCES_SPACED || *s == ' ' || e != JT_OK) continue;
        if (n + 1 >= sizeof spaced) return jt_error_set(err, JT_LIMIT, "%s: a text of %zu bytes; at most %zu", name, n, sizeof spaced - 2);
        memcpy(spaced + 1, s, n);
        e = jt_sequences_add(name, spaced, n + 1, false, u, state, room, err);
    }
    return e;
}

/* The next id of the text, which goes on behind it; -1 at a ';' or line's end, which is passed, and at the text's end. */
static jt_status sequences_number(const char *name, const char **text, const jt_setup *u, int32_t *id, jt_error *err) {
    const char *s = *text + strspn(*text, " ,\t\r");
    char *end;
    *id = -1, *text = s;
    if (!*s) return JT_OK;
    if (*s == ';' || *s == '\n') return *text = s + 1, JT_OK;
    long long v = strtoll(s, &end, 10);
    if (end == s || (*end && !strchr(" ,\t\r;\n", *end)) || v < 0 || v > INT32_MAX)
        return jt_error_set(err, JT_INVALID, "%s: \"%.20s\" is no token id; give numbers, as \"198 13\"", name, s);
    if (v >= u->vocab) return jt_error_set(err, JT_INVALID, "%s: token %lld is outside of the vocabulary (0 to %d)", name, v, u->vocab - 1);
    *id = (int32_t)v, *text = end;
    return JT_OK;
}

static jt_status sequences_ids(const char *name, jt_sequence_kind kind, const char *ids, const jt_setup *u, int32_t *state, jt_error *err) {
    int32_t *head = NULL, id;
    while (*ids) {
        jt_status e = sequences_number(name, &ids, u, &id, err);
        if (e != JT_OK) return e;
        if (id < 0 && kind != JT_SEQUENCES_WHOLE) head = NULL;
        if (id < 0) continue;
        if (!head || kind == JT_SEQUENCES_SINGLE) head = sequences_end(state);
        head[1 + head[0]++] = id;
    }
    return JT_OK;
}

jt_status jt_ids_read(const char *name, const char *text, const jt_setup *u, int32_t *ids, int most, int *n, jt_error *err) {
    int32_t id;
    *n = 0;
    while (*text) {
        jt_status e = sequences_number(name, &text, u, &id, err);
        if (e != JT_OK) return e;
        if (id >= 0 && *n == most) return jt_error_set(err, JT_LIMIT, "%s: more than %d token ids", name, most);
        if (id >= 0) ids[(*n)++] = id;
    }
    return JT_OK;
}

jt_status jt_sequences_open(const char *name, jt_sequence_kind kind, const char *texts, const char *ids, const jt_setup *u, void *state,
                            jt_error *err) {
    size_t room = jt_sequences_bytes(texts, ids) / sizeof(int32_t);
    if (kind == JT_SEQUENCES_WHOLE && *texts && *ids)
        return jt_error_set(err, JT_INVALID, "%s: a text and ids are given; give one of them", name);
    jt_status e = sequences_texts(name, kind, texts, u, state, room, err);
    return e == JT_OK ? sequences_ids(name, kind, ids, u, state, err) : e;
}

bool jt_sequence_follows(const int32_t *s, const int32_t *history, int n) {
    int before = *s - 1;
    return before <= n && (!before || !memcmp(s + 1, history + n - before, (size_t)before * sizeof *s));
}

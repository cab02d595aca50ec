/* vocab_json.h: the tokenizer spec in tests/fixtures/text/small.json, for tests. */
#ifndef TESTS_TEXT_VOCAB_JSON_H
#define TESTS_TEXT_VOCAB_JSON_H

#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "core/json.h"
#include "text/tokenizer.h"

static inline jt_view view_of(const char *s) { return (jt_view){s, s ? strlen(s) : 0}; }

typedef struct vocab_json {
    jt_json *root;
    jt_tokenizer_spec spec;
    jt_view *tokens, *merges;
    int32_t *types;
} vocab_json;

/* false if the file cannot be read. The pre-tokeniser is smollm. */
static inline int vocab_json_open(vocab_json *v) {
    jt_error e = {0};
    if (jt_json_read(FIXTURES "/text/small.json", &v->root, &e)) return 0;
    const jt_json *t = jt_json_member(v->root, "tokens"), *k = jt_json_member(v->root, "types"), *m = jt_json_member(v->root, "merges");
    size_t n = jt_json_count(t), nm = jt_json_count(m);
    v->tokens = calloc(n, sizeof *v->tokens), v->types = calloc(n, sizeof *v->types), v->merges = calloc(nm, sizeof *v->merges);
    for (size_t i = 0; i < n; i++) {
        int64_t type = 0;
        v->tokens[i].s = jt_json_string(jt_json_item(t, i), &v->tokens[i].n);
        jt_json_i64(jt_json_item(k, i), &type);
        v->types[i] = (int32_t)type;
    }
    for (size_t i = 0; i < nm; i++) v->merges[i].s = jt_json_string(jt_json_item(m, i), &v->merges[i].n);
    jt_tokenizer_spec_init(&v->spec);
    v->spec.model = view_of("gpt2"), v->spec.pre = view_of("smollm");
    v->spec.tokens = v->tokens, v->spec.types = v->types, v->spec.vocab = n;
    v->spec.merges = v->merges, v->spec.n_merges = nm;
    return 1;
}

static inline void vocab_json_close(vocab_json *v) {
    free(v->tokens), free(v->types), free(v->merges);
    jt_json_free(v->root);
}

#endif

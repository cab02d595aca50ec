/* Any text as a tokenizer.json, its pieces once more as a GGUF file holds them, and any bytes encoded with what they give: the file
 * ends at the first NUL, the text follows.
 * Covers: src/text/tokenizer_json.c src/text/json_steps.c src/text/textpipe.c src/text/textpipe_encode.c
 * Covers: src/text/textpipe_decode.c src/text/normal_steps.c src/text/cut_steps.c src/text/flow.c src/text/charsmap.c
 * Covers: src/text/unigram.c src/text/added.c
 */
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "as_gguf.h"
#include "text/tokenizer_json.h"
#include "text/vocab.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n);

static void use(const jt_tokenizer *t, const char *s, size_t n) {
    jt_error e = {0};
    for (int flags = 0; flags < 4; flags++) {
        jt_tokens got = {0};
        char *back;
        size_t k;
        if (jt_encode(t, s, n, flags, &got, &e)) {
            if (got.n || !e.message[0]) abort();
            jt_tokens_free(&got);
            continue;
        }
        int32_t *ids = jt_alloc(got.n, sizeof *ids);
        for (size_t i = 0; ids && i < got.n; i++) {
            ids[i] = got.t[i].id;
            if (got.t[i].begin > got.t[i].end || got.t[i].end > n || ids[i] < 0 || ids[i] >= jt_tokenizer_vocab(t)) abort();
        }
        if (ids && jt_decode(t, ids, got.n, flags & 1, &back, &k, &e) == JT_OK) jt_text_free(back);
        if (ids && jt_decode_text(t, ids, got.n, flags & 1, &back, &k, &e) == JT_OK) {
            for (size_t i = 0, w; i < k; i += w)
                if (!(w = (size_t)jt_utf8_next(back + i, k - i, NULL))) abort();
            jt_text_free(back);
        }
        jt_free(ids);
        jt_tokens_free(&got);
    }
}

/* Where a text may be parted, its pieces end. */
static void check_border(const jt_pretok *p, const char *s, size_t n) {
    jt_pieces pieces = {0};
    jt_error e = {0};
    if (!p || !jt_pretok_whole(p)) return;
    size_t border = jt_pretok_border(p, s, n, n / 3), i = 0;
    if (jt_pretok_cut(p, s, n, &pieces, &e)) abort();
    while (border < n && i < pieces.n && pieces.p[i].begin < border) i++;
    if (border < n && (i == pieces.n || pieces.p[i].begin != border)) abort();
    jt_pieces_free(&pieces);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n) {
    const uint8_t *end = n ? memchr(data, 0, n) : NULL;
    size_t file = end ? (size_t)(end - data) : n, at = end ? file + 1 : n;
    jt_json *j = NULL;
    jt_tokenizer *t = NULL;
    jt_error e = {0};
    if (jt_json_parse((const char *)data, file, &j, &e)) return 0;
    jt_status s = jt_tokenizer_json(j, NULL, 0, &t, &e);
    if (s ? t || !e.message[0] : !t) abort();
    jt_json_free(j); /* nothing of it may be needed from here on */
    if (t) {
        use(t, (const char *)data + at, n - at);
        check_border(t->pretok, (const char *)data + at, n - at);
        jt_tokenizer *g = as_gguf(t, (unsigned)n);
        if (g) use(g, (const char *)data + at, n - at);
        jt_tokenizer_free(g);
        use(t, "<s>The caf\xc3\xa9 \xef\xac\x81x  12\xe2\x96\x81 \xe6\x97\xa5\n", 30);
    }
    jt_tokenizer_free(t);
    return 0;
}

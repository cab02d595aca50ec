/* Any bytes as a SentencePiece model, its pieces once more as a GGUF file holds them, and a text encoded with what they give.
 * Covers: src/text/sentencepiece.c */
#include <stdint.h>
#include <stdlib.h>

#include "as_gguf.h"
#include "text/sentencepiece.h"
#include "text/vocab.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n);

static void use(const jt_tokenizer *t) {
    static const char text[] = "<s>The  caf\xc3\xa9 \xef\xac\x81x 12\xe2\x96\x81 \xe6\x97\xa5\n\xff<x>";
    jt_error e = {0};
    for (int flags = 0; t && flags < 4; flags++) {
        jt_tokens got = {0};
        if (jt_encode(t, text, sizeof text - 1, flags, &got, &e) == JT_OK)
            for (size_t i = 0; i < got.n; i++)
                if (got.t[i].begin > got.t[i].end || got.t[i].end > sizeof text - 1) abort();
        jt_tokens_free(&got);
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n) {
    static const char settings[] = "{\"tokenizer_class\":\"T5\",\"bos_token\":{\"content\":\"<s>\"},\"eos_token\":\"</s>\","
                                   "\"added_tokens_decoder\":{\"3\":{\"content\":\"<x>\"},\"700\":{\"content\":\"<y>\",\"special\":true}}}";
    jt_json *config = NULL;
    jt_tokenizer *t = NULL;
    jt_error e = {0};
    if (n && data[0] & 1 && jt_json_parse(settings, sizeof settings - 1, &config, &e)) return 0;
    jt_status s = jt_tokenizer_sentencepiece((const char *)data + (n != 0), n - (n != 0), config,
                                             n && data[0] & 2   ? 1000
                                             : n && data[0] & 4 ? 1
                                                                : 0,
                                             &t, &e);
    if (s ? t || !e.message[0] : !t) abort();
    jt_json_free(config);
    jt_tokenizer *g = t ? as_gguf(t, data[0]) : NULL;
    use(t), use(g);
    jt_tokenizer_free(g);
    jt_tokenizer_free(t);
    return 0;
}

/* as_gguf.h: the pieces of a tokenizer once more, as a GGUF file holds them: of model llama, t5, rwkv or bert as the bits of `how` say,
 * with scores or without. NULL where that is refused. */
#ifndef JT_FUZZ_AS_GGUF_H
#define JT_FUZZ_AS_GGUF_H

#include <stdlib.h>

#include "core/mem.h"
#include "text/vocab.h"

static jt_tokenizer *as_gguf(const jt_tokenizer *t, unsigned how) {
    static const jt_view model[] = {{"llama", 5}, {"t5", 2}, {"rwkv", 4}, {"bert", 4}};
    jt_tokenizer_spec s;
    jt_tokenizer *g = NULL;
    jt_error e = {0};
    jt_tokenizer_spec_init(&s);
    int32_t *types = jt_alloc(t->vocab, sizeof *types);
    float *scores = jt_alloc(t->vocab, sizeof *scores);
    for (size_t i = 0; types && scores && i < t->vocab; i++) types[i] = t->types[i], scores[i] = -(float)(i / 2);
    s.model = model[how >> 3 & 3];
    s.tokens = t->names, s.types = types, s.scores = how & 4 ? NULL : scores, s.vocab = t->vocab;
    s.bos = t->bos, s.eos = t->eos, s.remove_extra_spaces = how & 32 ? 1 : 0;
    if (types && scores && jt_tokenizer_new(&s, &g, &e) && (g || !e.message[0])) abort();
    jt_free(types), jt_free(scores);
    return g;
}

#endif

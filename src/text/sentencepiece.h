/* sentencepiece.h: tokenizers of SentencePiece: from its model file (tokenizer.model), and from the keys that GGUF keeps of it.
 *
 * The file is a ModelProto of protocol buffers, of which the few fields that matter are read: 1 pieces (1 piece, 2 score,
 * 3 type); 2 trainer_spec (3 model_type, 24 treat_whitespace_as_suffix, 35 byte_fallback, 40 to 42 ids of unknown, beginning,
 * end); 3 normalizer_spec (2 precompiled_charsmap, 3 add_dummy_prefix, 4 remove_extra_whitespaces, 5 escape_whitespaces). */
#ifndef JT_TEXT_SENTENCEPIECE_H
#define JT_TEXT_SENTENCEPIECE_H

#include "core/json.h"
#include "text/textpipe.h"

/* `config`: tokenizer_config.json; may be NULL. The vocabulary is padded to `vocab` ids (0: not), and must not have more. */
jt_status jt_tokenizer_sentencepiece(const char *s, size_t n, const jt_json *config, size_t vocab, jt_tokenizer **out, jt_error *err);

/* The pipelines of GGUF models "llama", "t5" and "rwkv": true if s->model is one of them; then `pipe` is filled, with steps in
 * `steps`, scores in *scores (to be freed) and what the spec leaves open in s. */
typedef struct jt_piece_steps {
    jt_text_step normal[4];
    jt_decode_step decode[4];
} jt_piece_steps;
jt_status jt_textpipe_gguf(jt_tokenizer_spec *s, jt_textpipe_spec *pipe, jt_piece_steps *steps, double **scores, bool *is, jt_error *err);

#endif

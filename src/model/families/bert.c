/* bert.c: BERT (Devlin et al. 2018, arXiv 1810.04805): an encoder with learned positions and token types, norms after each sum,
 * a plain MLP; a pooler, and a head over it that classifies or ranks. */
#include <string.h>

#include "model/families/encoder.h"
#include "model/families/rows.h"

static const jt_role_row bert_roles[JT_W_ROLES] = {
    [JT_W_EMBED] = {"token_embd.weight", "bert.embeddings.word_embeddings.weight"},
    [JT_W_POSITION] = {"position_embd.weight", "bert.embeddings.position_embeddings.weight"},
    [JT_W_TYPE] = {"token_types.weight", "bert.embeddings.token_type_embeddings.weight"},
    [JT_W_EMBED_NORM] = {"token_embd_norm.weight", "bert.embeddings.LayerNorm.weight", .vector = true},
    [JT_W_EMBED_NORM_BIAS] = {"token_embd_norm.bias", "bert.embeddings.LayerNorm.bias", .vector = true},
    [JT_W_Q] = {"attn_q.weight", "attention.self.query.weight"},
    [JT_W_K] = {"attn_k.weight", "attention.self.key.weight"},
    [JT_W_V] = {"attn_v.weight", "attention.self.value.weight"},
    [JT_W_Q_BIAS] = {"attn_q.bias", "attention.self.query.bias", .vector = true},
    [JT_W_K_BIAS] = {"attn_k.bias", "attention.self.key.bias", .vector = true},
    [JT_W_V_BIAS] = {"attn_v.bias", "attention.self.value.bias", .vector = true},
    [JT_W_O] = {"attn_output.weight", "attention.output.dense.weight"},
    [JT_W_O_BIAS] = {"attn_output.bias", "attention.output.dense.bias", .vector = true},
    [JT_W_ATTN_NORM] = {"attn_output_norm.weight", "attention.output.LayerNorm.weight", .vector = true},
    [JT_W_ATTN_NORM_BIAS] = {"attn_output_norm.bias", "attention.output.LayerNorm.bias", .vector = true},
    [JT_W_UP] = {"ffn_up.weight", "intermediate.dense.weight"},
    [JT_W_UP_BIAS] = {"ffn_up.bias", "intermediate.dense.bias", .vector = true},
    [JT_W_DOWN] = {"ffn_down.weight", "output.dense.weight"},
    [JT_W_DOWN_BIAS] = {"ffn_down.bias", "output.dense.bias", .vector = true},
    [JT_W_FFN_NORM] = {"layer_output_norm.weight", "output.LayerNorm.weight", .vector = true},
    [JT_W_FFN_NORM_BIAS] = {"layer_output_norm.bias", "output.LayerNorm.bias", .vector = true},
    [JT_W_POOLED] = {"cls.weight", "bert.pooler.dense.weight", .optional = true},
    [JT_W_POOLED_BIAS] = {"cls.bias", "bert.pooler.dense.bias", .vector = true, .optional = true},
    [JT_W_CLASSES] = {"cls.output.weight", "classifier.weight", .optional = true},
    [JT_W_CLASSES_BIAS] = {"cls.output.bias", "classifier.bias", .vector = true, .optional = true}};

static const jt_block bert_block = {.mixer_norm = &jt_entry_layer_norm,
                                    .mixer = &jt_entry_attention,
                                    .mlp_norm = &jt_entry_layer_norm,
                                    .mlp = &jt_entry_mlp,
                                    .after = true};

static void bert_common(jt_config *c) {
    c->encoder = true;
    c->pooled_act = JT_FN_TANH;
    c->classes_pooling = JT_POOL_CLS;
}

static jt_status bert_read_gguf(const jt_gguf *g, jt_config *c, jt_error *err) {
    const jt_gguf_tensor *types = jt_gguf_tensor_named(g, "token_types.weight");
    bert_common(c);
    c->positions = 1;
    c->types = types && types->n_dims == 2 && types->dim[1] < 1 << 16 ? (int)types->dim[1] : 1;
    jt_status s = jt_encoder_gguf(g, c, err);
    if (!s) s = jt_config_gguf_dense(g, 0, false, c, err);
    c->positions = c->context;
    return s;
}

static jt_status bert_read_hf(const jt_json *j, jt_config *c, jt_error *err) {
    static const char *const off[] = {"is_decoder", "add_cross_attention"};
    const char *kind;
    jt_status s;
    bert_common(c);
    if ((s = jt_config_hf_dense(j, &(jt_hf_defaults){.eps_key = "layer_norm_eps", .eps = 1e-12, .act = "gelu", .vocab = 30522}, c, err)) ||
        (s = jt_config_hf_int(j, "type_vocab_size", 2, &c->types, err)) ||
        (s = jt_config_string_or(j, "position_embedding_type", "absolute", &kind, err)))
        return s;
    if (strcmp(kind, "absolute") != 0)
        return jt_error_set(err, JT_UNSUPPORTED, "position_embedding_type \"%.32s\" is not supported by this build", kind);
    for (int i = 0; i < 2 && !s; i++) s = jt_config_hf_off(j, off[i], err);
    c->rope_dims = 0, c->positions = c->context, c->needs = 0, c->tied = false;
    return s ? s : jt_encoder_hf(j, c, err);
}

const jt_family jt_family_bert = {.name = "bert",
                                  .hf = "bert",
                                  .role = bert_roles,
                                  .block = &bert_block,
                                  .embed_norm = &jt_entry_layer_norm,
                                  .hf_layers = "bert.encoder.layer.",
                                  .hf_base = "bert.",
                                  .hf_idle = jt_encoder_idle,
                                  .read_gguf = bert_read_gguf,
                                  .read_hf = bert_read_hf};

/* gpt2.c: GPT-2 (Radford et al. 2019): learned positions, layer norms and maps with biases, a plain MLP. Hugging Face's maps
 * are [inputs][outputs]. */
#include "model/config.h"
#include "model/families/rows.h"

static const jt_role gpt2_qkv[] = {JT_W_Q, JT_W_K, JT_W_V, JT_W_ROLES};
static const jt_role gpt2_qkv_bias[] = {JT_W_Q_BIAS, JT_W_K_BIAS, JT_W_V_BIAS, JT_W_ROLES};

#define GPT2_QKV                                                                                                                           \
    { "attn_qkv.weight", "attn.c_attn.weight", .hf_by_input = true, .gguf_stack = gpt2_qkv, .hf_stack = gpt2_qkv }
#define GPT2_QKV_BIAS                                                                                                                      \
    { "attn_qkv.bias", "attn.c_attn.bias", .vector = true, .gguf_stack = gpt2_qkv_bias, .hf_stack = gpt2_qkv_bias }

static const jt_role_row gpt2_roles[JT_W_ROLES] = {[JT_W_EMBED] = {"token_embd.weight", "transformer.wte.weight"},
                                                   [JT_W_POSITION] = {"position_embd.weight", "transformer.wpe.weight"},
                                                   [JT_W_FINAL_NORM] = {"output_norm.weight", "transformer.ln_f.weight", .vector = true},
                                                   [JT_W_FINAL_NORM_BIAS] = {"output_norm.bias", "transformer.ln_f.bias", .vector = true},
                                                   [JT_W_HEAD] = {"output.weight", "lm_head.weight", .optional = true},
                                                   [JT_W_ATTN_NORM] = {"attn_norm.weight", "ln_1.weight", .vector = true},
                                                   [JT_W_ATTN_NORM_BIAS] = {"attn_norm.bias", "ln_1.bias", .vector = true},
                                                   [JT_W_Q] = GPT2_QKV,
                                                   [JT_W_K] = GPT2_QKV,
                                                   [JT_W_V] = GPT2_QKV,
                                                   [JT_W_Q_BIAS] = GPT2_QKV_BIAS,
                                                   [JT_W_K_BIAS] = GPT2_QKV_BIAS,
                                                   [JT_W_V_BIAS] = GPT2_QKV_BIAS,
                                                   [JT_W_O] = {"attn_output.weight", "attn.c_proj.weight", .hf_by_input = true},
                                                   [JT_W_O_BIAS] = {"attn_output.bias", "attn.c_proj.bias", .vector = true},
                                                   [JT_W_FFN_NORM] = {"ffn_norm.weight", "ln_2.weight", .vector = true},
                                                   [JT_W_FFN_NORM_BIAS] = {"ffn_norm.bias", "ln_2.bias", .vector = true},
                                                   [JT_W_UP] = {"ffn_up.weight", "mlp.c_fc.weight", .hf_by_input = true},
                                                   [JT_W_UP_BIAS] = {"ffn_up.bias", "mlp.c_fc.bias", .vector = true},
                                                   [JT_W_DOWN] = {"ffn_down.weight", "mlp.c_proj.weight", .hf_by_input = true},
                                                   [JT_W_DOWN_BIAS] = {"ffn_down.bias", "mlp.c_proj.bias", .vector = true}};

static const jt_block gpt2_block = {&jt_entry_layer_norm, &jt_entry_attention, &jt_entry_layer_norm, &jt_entry_mlp};

static jt_status gpt2_read_gguf(const jt_gguf *g, jt_config *c, jt_error *err) {
    c->positions = 1;
    jt_status s = jt_config_gguf_dense(g, 0, false, c, err);
    c->positions = c->context;
    c->activation = JT_FN_GELU_TANH;
    return s;
}

static jt_status gpt2_read_hf(const jt_json *j, jt_config *c, jt_error *err) {
    static const char *const off[] = {"scale_attn_by_inverse_layer_idx", "add_cross_attention"};
    jt_status s;
    double eps;
    const char *act;
    bool scales;
    if ((s = jt_config_hf_int(j, "vocab_size", 0, &c->vocab, err)) || (s = jt_config_hf_int(j, "n_embd", 0, &c->hidden, err)) ||
        (s = jt_config_hf_int(j, "n_layer", 0, &c->layers, err)) || (s = jt_config_hf_int(j, "n_head", 0, &c->heads, err)) ||
        (s = jt_config_hf_int(j, "n_positions", 0, &c->positions, err)) ||
        (s = jt_config_hf_int(j, "n_inner", 4 * (int64_t)c->hidden, &c->ffn, err)) ||
        (s = jt_config_double_or(j, "layer_norm_epsilon", 1e-5, &eps, err)) ||
        (s = jt_config_string_or(j, "activation_function", "gelu_new", &act, err)) || (s = jt_config_hf_activation(act, c, err)) ||
        (s = jt_config_bool_or(j, "scale_attn_weights", true, &scales, err)) || (s = jt_config_hf_tie(j, c, err)))
        return s;
    for (int i = 0; i < 2 && !s; i++) s = jt_config_hf_off(j, off[i], err);
    if (s) return s;
    if (c->hidden % c->heads) return jt_error_set(err, JT_FORMAT, "n_embd %d cannot be shared by %d heads evenly", c->hidden, c->heads);
    c->kv_heads = c->heads, c->head_dim = c->hidden / c->heads, c->context = c->positions;
    c->attn_scale = scales ? 0 : 1;
    c->norm_eps = (float)eps;
    return JT_OK;
}

/* Masks that old checkpoints carry. */
static const char *const gpt2_idle[] = {".attn.bias", ".attn.masked_bias", NULL};

const jt_family jt_family_gpt2 = {.name = "gpt2",
                                  .hf = "gpt2",
                                  .role = gpt2_roles,
                                  .block = &gpt2_block,
                                  .final_norm = &jt_entry_layer_norm,
                                  .hf_layers = "transformer.h.",
                                  .hf_base = "transformer.",
                                  .hf_idle = gpt2_idle,
                                  .read_gguf = gpt2_read_gguf,
                                  .read_hf = gpt2_read_hf};

/* phi3.c: Phi 3, 3.5 and 4-mini (Abdin et al. 2024, arXiv 2404.14219): Llama's blocks whose maps from one input lie in one
 * tensor, with stretched rotations for long contexts. */
#include "model/config.h"
#include "model/families/rows.h"

static const jt_role phi3_qkv[] = {JT_W_Q, JT_W_K, JT_W_V, JT_W_ROLES};
static const jt_role phi3_gate_up[] = {JT_W_GATE, JT_W_UP, JT_W_ROLES};

#define PHI3_QKV                                                                                                                           \
    { "attn_qkv.weight", "self_attn.qkv_proj.weight", .gguf_stack = phi3_qkv, .hf_stack = phi3_qkv }
#define PHI3_GATE_UP                                                                                                                       \
    { "ffn_up.weight", "mlp.gate_up_proj.weight", .gguf_stack = phi3_gate_up, .hf_stack = phi3_gate_up }

static const jt_role_row phi3_roles[JT_W_ROLES] = {JT_ROWS_EMBEDDING,
                                                   JT_ROWS_NORMS,
                                                   [JT_W_Q] = PHI3_QKV,
                                                   [JT_W_K] = PHI3_QKV,
                                                   [JT_W_V] = PHI3_QKV,
                                                   [JT_W_O] = {"attn_output.weight", "self_attn.o_proj.weight"},
                                                   [JT_W_GATE] = PHI3_GATE_UP,
                                                   [JT_W_UP] = PHI3_GATE_UP,
                                                   [JT_W_DOWN] = {"ffn_down.weight", "mlp.down_proj.weight"}};

/* Files for long contexts say so by their tensors alone. */
static jt_status phi3_read_gguf(const jt_gguf *g, jt_config *c, jt_error *err) {
    jt_status s = jt_config_gguf_dense(g, 0, false, c, err);
    if (s || c->rope[0].kind == JT_ROPE_LONG || !jt_gguf_tensor_named(g, "rope_factors_long.weight")) return s;
    c->rope[0].kind = JT_ROPE_LONG, c->rope[0].factor = c->context / c->rope[0].original;
    c->needs |= (uint64_t)1 << JT_W_ROPE_LONG | (uint64_t)1 << JT_W_ROPE_SHORT;
    return jt_config_gguf_real(g, c, "rope.scaling.attn_factor", 0, &c->rope[0].attention, err);
}

static jt_status phi3_read_hf(const jt_json *j, jt_config *c, jt_error *err) {
    jt_status s = jt_config_hf_dense(j, &(jt_hf_defaults){.eps = 1e-5}, c, err);
    static const char *const off[] = {"attention_bias", "mlp_bias", "lm_head_bias"};
    for (int i = 0; i < 3 && !s; i++) s = jt_config_hf_off(j, off[i], err);
    return s ? s : jt_config_hf_window(j, 0, 0, c, err);
}

const jt_family jt_family_phi3 = {.name = "phi3",
                                  .hf = "phi3",
                                  .role = phi3_roles,
                                  .block = &jt_block_llama,
                                  .final_norm = &jt_entry_rms_norm,
                                  .read_gguf = phi3_read_gguf,
                                  .read_hf = phi3_read_hf};

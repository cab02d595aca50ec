/* llama.c: the Llama family (Touvron et al. 2023, arXiv 2302.13971; Llama 2 and 3, SmolLM, Falcon 3 and others of the same
 * shape): pre-norm blocks, rotary attention with grouped heads, gated MLP. */
#include <string.h>

#include "model/config.h"
#include "model/families/rows.h"

static const jt_role_row llama_roles[JT_W_ROLES] = {JT_ROWS_EMBEDDING,   JT_ROWS_NORMS, JT_ROWS_ATTENTION,   JT_ROWS_ATTENTION_BIASES,
                                                    JT_ROWS_OUTPUT_BIAS, JT_ROWS_GATED, JT_ROWS_GATED_BIASES};

const jt_block jt_block_llama = {&jt_entry_rms_norm, &jt_entry_attention, &jt_entry_rms_norm, &jt_entry_gated_mlp};

static const jt_role llama_attention_biases[] = {JT_W_Q_BIAS, JT_W_K_BIAS, JT_W_V_BIAS, JT_W_O_BIAS, JT_W_ROLES};
static const jt_role llama_mlp_biases[] = {JT_W_GATE_BIAS, JT_W_UP_BIAS, JT_W_DOWN_BIAS, JT_W_ROLES};

static jt_status llama_read_gguf(const jt_gguf *g, jt_config *c, jt_error *err) { return jt_config_gguf_dense(g, 0, false, c, err); }

static jt_status llama_read(const jt_json *j, const jt_hf_defaults *d, jt_config *c, jt_error *err) {
    jt_status s = jt_config_hf_dense(j, d, c, err);
    if (!s) s = jt_config_hf_off(j, "rope_interleaved", err);
    if (!s) s = jt_config_hf_biases(j, "attention_bias", false, llama_attention_biases, c, err);
    return s ? s : jt_config_hf_biases(j, "mlp_bias", false, llama_mlp_biases, c, err);
}

static jt_status llama_read_hf(const jt_json *j, jt_config *c, jt_error *err) {
    if (jt_config_find(j, "sliding_window"))
        return jt_error_set(err, JT_UNSUPPORTED, "sliding_window is set, which model_type \"llama\" does not know; \"mistral\" does");
    return llama_read(j, &(jt_hf_defaults){0}, c, err);
}

/* Ministral (Mistral AI 2024), as transformers calls the form in which layer_types says which layers have a window. */
static jt_status ministral_read_hf(const jt_json *j, jt_config *c, jt_error *err) {
    jt_status s = llama_read(j, &(jt_hf_defaults){0}, c, err);
    return s ? s : jt_config_hf_window(j, 0, 0, c, err);
}

/* Mistral (Jiang et al. 2023, arXiv 2310.06825): the same blocks, each layer with the window. */
static jt_status mistral_read_hf(const jt_json *j, jt_config *c, jt_error *err) {
    jt_status s = ministral_read_hf(j, c, err);
    for (int l = 0; l < c->layers && c->window && !s; l++)
        if (!jt_config_window(c, l))
            s = jt_error_set(err, JT_UNSUPPORTED,
                             "layer_types: layer %d has no window, which model_type \"mistral\" does not know; \"ministral\" does", l);
    return s;
}

const jt_family jt_family_llama = {.name = "llama",
                                   .hf = "llama",
                                   .role = llama_roles,
                                   .block = &jt_block_llama,
                                   .final_norm = &jt_entry_rms_norm,
                                   .gguf_interleaves = true,
                                   .read_gguf = llama_read_gguf,
                                   .read_hf = llama_read_hf};
/* Its GGUF files call themselves "llama". */
const jt_family jt_family_mistral = {.name = "mistral",
                                     .hf = "mistral",
                                     .role = llama_roles,
                                     .block = &jt_block_llama,
                                     .final_norm = &jt_entry_rms_norm,
                                     .gguf_interleaves = true,
                                     .read_hf = mistral_read_hf};

/* So do these. */
const jt_family jt_family_ministral = {.name = "llama",
                                       .hf = "ministral",
                                       .role = llama_roles,
                                       .block = &jt_block_llama,
                                       .final_norm = &jt_entry_rms_norm,
                                       .gguf_interleaves = true,
                                       .read_hf = ministral_read_hf};

/* ---- SmolLM 3 (Hugging Face, 2025): some layers have no positions (Yang et al. 2025, arXiv 2501.18795) ---- */

enum { LLAMA_STILL_EVERY = 4 };

static void llama_still(jt_config *c, int layer) { c->still[layer / 64] |= (uint64_t)1 << layer % 64; }

static jt_status smollm3_read_gguf(const jt_gguf *g, jt_config *c, jt_error *err) {
    jt_status s = jt_config_gguf_dense(g, 0, false, c, err);
    for (int l = LLAMA_STILL_EVERY - 1; !s && l < c->layers && l < JT_CONFIG_LAYERS; l += LLAMA_STILL_EVERY) llama_still(c, l);
    return s;
}

static jt_status smollm3_read_hf(const jt_json *j, jt_config *c, jt_error *err) {
    const jt_json *list = jt_config_find(j, "no_rope_layers"); /* 1: the layer has positions */
    bool slides;
    int every;
    jt_status s = llama_read(j, &(jt_hf_defaults){.rope_base = 2000000}, c, err);
    if (!s) s = jt_config_bool_or(j, "use_sliding_window", false, &slides, err);
    if (!s) s = jt_config_hf_int(j, "no_rope_layer_interval", LLAMA_STILL_EVERY, &every, err);
    if (!s && slides) s = jt_config_hf_window(j, 0, 0, c, err);
    if (s) return s;
    for (int l = 0; l < c->layers && l < JT_CONFIG_LAYERS; l++) {
        int64_t turns = (l + 1) % every != 0;
        if (list && !jt_json_i64(jt_json_item(list, (size_t)l), &turns))
            return jt_error_set(err, JT_FORMAT, "no_rope_layers says nothing of layer %d", l);
        if (!turns) llama_still(c, l);
        if (slides && !jt_config_find(j, "layer_types") && turns) c->whole[l / 64] |= (uint64_t)1 << l % 64;
    }
    return JT_OK;
}

const jt_family jt_family_smollm3 = {.name = "smollm3",
                                     .hf = "smollm3",
                                     .role = llama_roles,
                                     .block = &jt_block_llama,
                                     .final_norm = &jt_entry_rms_norm,
                                     .gguf_interleaves = true,
                                     .read_gguf = smollm3_read_gguf,
                                     .read_hf = smollm3_read_hf};

/* ---- Granite 3 (IBM, 2024): the same with multipliers ---- */

static jt_status granite_dense_read_gguf(const jt_gguf *g, jt_config *c, jt_error *err) {
    bool turns;
    jt_status s = jt_config_gguf_dense(g, 0, true, c, err);
    if (!s) s = jt_gguf_get_bool_or(g, "granite.rope.scaling.finetuned", true, &turns, err);
    if (!s && !turns) c->rope_dims = 0;
    return s;
}

static jt_status granite_dense_read_hf(const jt_json *j, jt_config *c, jt_error *err) {
    jt_status s = llama_read(j, &(jt_hf_defaults){0}, c, err);
    return s ? s : jt_config_hf_multipliers(j, c, err);
}

const jt_family jt_family_granite = {.name = "granite",
                                     .hf = "granite",
                                     .role = llama_roles,
                                     .block = &jt_block_llama,
                                     .final_norm = &jt_entry_rms_norm,
                                     .gguf_interleaves = true,
                                     .read_gguf = granite_dense_read_gguf,
                                     .read_hf = granite_dense_read_hf};

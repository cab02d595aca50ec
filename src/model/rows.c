/* rows.c: the other forms in which GGUF files have the tensors of a layer: fused by llama.cpp's converter on request, or as
 * it wrote experts before it stacked them. */
#include <string.h>

#include "model/config.h"

static const jt_role rows_qkv[] = {JT_W_Q, JT_W_K, JT_W_V, JT_W_ROLES};
static const jt_role rows_qkv_bias[] = {JT_W_Q_BIAS, JT_W_K_BIAS, JT_W_V_BIAS, JT_W_ROLES};

static const struct rows_form {
    const char *name; /* of an expert's own: a star where its number is */
    const jt_role *stack;
    jt_role role;
    uint8_t part;
} rows_form[] = {{"attn_qkv.weight", rows_qkv, JT_W_Q, 0},          {"attn_qkv.weight", rows_qkv, JT_W_K, 0},
                 {"attn_qkv.weight", rows_qkv, JT_W_V, 0},          {"attn_qkv.bias", rows_qkv_bias, JT_W_Q_BIAS, 0},
                 {"attn_qkv.bias", rows_qkv_bias, JT_W_K_BIAS, 0},  {"attn_qkv.bias", rows_qkv_bias, JT_W_V_BIAS, 0},
                 {"ffn_gate_up_exps.weight", NULL, JT_W_X_GATE, 1}, {"ffn_gate_up_exps.weight", NULL, JT_W_X_UP, 2},
                 {"ffn_gate.*.weight", NULL, JT_W_X_GATE, 0},       {"ffn_up.*.weight", NULL, JT_W_X_UP, 0},
                 {"ffn_down.*.weight", NULL, JT_W_X_DOWN, 0}};

static bool rows_there(const jt_gguf *g, int layer, const char *tail) {
    char name[160];
    size_t n = strcspn(tail, "*");
    snprintf(name, sizeof name, "blk.%d.%.*s%s%s", layer, (int)n, tail, tail[n] ? "0" : "", tail[n] ? tail + n + 1 : "");
    return jt_gguf_tensor_named(g, name);
}

jt_role_row jt_config_row(const jt_gguf *g, const jt_config *c, int layer, jt_role r) {
    jt_role_row row = c->family->role[r];
    if (!g || !row.gguf || r < JT_W_GLOBAL || rows_there(g, layer, row.gguf)) return row;
    for (size_t i = 0; i < sizeof rows_form / sizeof *rows_form; i++) {
        const struct rows_form *f = &rows_form[i];
        if (f->role != r || !rows_there(g, layer, f->name)) continue;
        row.gguf = f->name, row.gguf_stack = f->stack, row.gguf_part = f->part;
        break;
    }
    return row;
}

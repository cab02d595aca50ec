/* convert_adapter.c: LoRA adapters in conversions: added to the weights, or written in the other kind of file. */
#include <math.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "core/file.h"
#include "model/adapter.h"
#include "model/convert.h"

jt_status jt_convert_adapt(jt_conversion *c, jt_error *err) {
    const jt_convert_options *o = c->options;
    int used = 0;
    if (!c->has_config) return jt_error_set(err, JT_UNSUPPORTED, "%s: an adapter can be merged into models of known families alone", c->in);
    jt_status s = jt_adapter_open_raw(&c->config, c->gguf != NULL, o->adapter, &c->adapter, err);
    if (s) return s;
    jt_adapter_info info;
    jt_adapter_get_info(c->adapter, &info);
    for (size_t i = 0; i < c->n; i++)
        for (size_t k = 0; k < c->made[i].n_piece; k++) {
            jt_convert_piece *p = &c->made[i].piece[k];
            const jt_lora *l = p->role ? jt_adapter_pair(c->adapter, p->layer, p->role, &p->lora_a, &p->lora_b) : NULL;
            if (!l) continue;
            p->lora_rank = l->a.rows, p->lora_scale = l->scale * (o->adapter_scale != 0 ? (double)o->adapter_scale : 1);
            used++;
        }
    if (used == info.pairs) return JT_OK;
    return jt_error_set(err, JT_UNSUPPORTED, "%s: %d of %d weights have a place in the output; write the model in the other container",
                        o->adapter, used, info.pairs);
}

/* ---- the adapter itself ---- */

/* One pair on its way. */
struct adapter_pair {
    char name[2][200];
    const float *half[2];
    uint64_t rows[2], cols[2];
    double times; /* of B, so that the file's one scale is right */
};

/* The maps that lie in one tensor, as one pair. Where they share A, B is theirs below each other; else A is theirs below
 * each other, and B has each map's block in its own columns. */
static jt_status adapter_stacked(jt_conversion *c, int layer, const jt_role *stack, struct adapter_pair *p, jt_error *err) {
    enum { MOST = 4 };
    const jt_lora *l[MOST] = {NULL};
    const float *a[MOST], *b[MOST];
    uint64_t rank = 0, rows = 0, cols = 0, outputs[MOST];
    bool shared = true;
    int n = 0;
    for (; n < MOST && stack[n] != JT_W_ROLES; n++) {
        int outs, ins;
        jt_config_shape(&c->config, stack[n], &outs, &ins);
        rows += outputs[n] = (uint64_t)outs, cols = (uint64_t)ins;
        l[n] = jt_adapter_pair(c->adapter, layer, stack[n], &a[n], &b[n]);
        if (l[n]) rank += (uint64_t)l[n]->a.rows;
        shared = shared && l[0] && l[n] && l[n]->a.rows == l[0]->a.rows && l[n]->scale == l[0]->scale &&
                 !memcmp(a[n], a[0], (size_t)l[0]->a.rows * (size_t)cols * sizeof(float));
    }
    shared = shared && l[0];
    if (shared) rank = (uint64_t)l[0]->a.rows;
    float *to_a = jt_arena_alloc(&c->arena, (size_t)(rank * cols), sizeof *to_a);
    float *to_b = jt_arena_alloc(&c->arena, (size_t)(rows * rank), sizeof *to_b);
    if (!to_a || !to_b) return jt_nomem(err, "numbers of an adapter", (size_t)(rank * cols + rows * rank), sizeof *to_a);
    for (uint64_t i = 0, at = 0, row = 0; i < (uint64_t)n; row += outputs[i++]) {
        if (!l[i]) continue;
        uint64_t r = (uint64_t)l[i]->a.rows;
        memcpy(to_a + at * cols, a[i], (size_t)(r * cols) * sizeof *to_a);
        for (uint64_t k = 0; k < outputs[i] * r; k++)
            to_b[(row + k / r) * rank + at + k % r] = shared ? b[i][k] : (float)((double)b[i][k] * l[i]->scale);
        if (!shared) at += r;
    }
    p->half[0] = to_a, p->half[1] = to_b;
    p->rows[0] = rank, p->cols[0] = cols, p->rows[1] = rows, p->cols[1] = rank;
    p->times = (shared ? l[0]->scale : 1) * (double)rank;
    return JT_OK;
}

static void adapter_alone(const jt_lora *l, const float *a, const float *b, struct adapter_pair *p) {
    p->half[0] = a, p->half[1] = b;
    p->rows[0] = (uint64_t)l->a.rows, p->cols[0] = (uint64_t)l->a.cols;
    p->rows[1] = (uint64_t)l->b.rows, p->cols[1] = (uint64_t)l->b.cols;
    p->times = l->scale * l->a.rows;
}

static void adapter_names_of(const jt_family *f, int layer, const char *weight, bool gguf, struct adapter_pair *p) {
    const char *layers = f->hf_layers ? f->hf_layers : "model.layers.";
    for (int k = 0; k < 2; k++)
        if (gguf)
            snprintf(p->name[k], sizeof p->name[k], "blk.%d.%s.lora_%c", layer, weight, k ? 'b' : 'a');
        else
            snprintf(p->name[k], sizeof p->name[k], "base_model.model.%s%d.%.*s.lora_%c.weight", layers, layer,
                     (int)(strlen(weight) - strlen(".weight")), weight, k ? 'B' : 'A');
}

/* The tensors of linear maps in the order of roles; every map of the adapter lies in one of them. */
static jt_status adapter_pairs(jt_conversion *c, bool gguf, double alpha, struct adapter_pair *out, size_t *n, jt_error *err) {
    const jt_family *f = c->config.family;
    jt_status s = JT_OK;
    *n = 0;
    for (int layer = 0; layer < c->config.layers; layer++)
        for (int r = JT_W_GLOBAL; r < JT_W_TAIL && !s; r++) {
            const jt_role_row *row = &f->role[r];
            const jt_role *stack = gguf ? row->gguf_stack : row->hf_stack;
            const char *weight = gguf ? row->gguf : row->hf;
            const float *a, *b;
            const jt_lora *l = jt_adapter_pair(c->adapter, layer, (jt_role)r, &a, &b);
            bool any = l != NULL, later = false;
            if (any && !weight)
                return jt_error_set(err, JT_UNSUPPORTED, "layer %d: an adapter of %s has no tensor of its own in such files", layer,
                                    gguf ? row->hf : row->gguf);
            for (const jt_role *k = stack; k && any && *k != JT_W_ROLES; k++) {
                const float *x, *y;
                if (*k == (jt_role)r) break;
                later = later || jt_adapter_pair(c->adapter, layer, *k, &x, &y);
            }
            if (!any || later) continue; /* it went with the first of its tensor that there is */
            struct adapter_pair *p = &out[(*n)++];
            adapter_names_of(f, layer, weight, gguf, p);
            if (stack)
                s = adapter_stacked(c, layer, stack, p, err);
            else
                adapter_alone(l, a, b, p);
            p->times /= alpha;
        }
    return s;
}

static jt_status adapter_put(const struct adapter_pair *p, int k, jt_convert_sink *sink, void *to, jt_error *err) {
    jt_status s = JT_OK;
    for (uint64_t i = 0; !s && i < p->rows[k] * p->cols[k]; i++) {
        float x = k ? (float)((double)p->half[k][i] * p->times) : p->half[k][i];
        s = sink(to, &x, sizeof x, err);
    }
    return s;
}

static jt_status adapter_sink_gguf(void *to, const void *p, size_t n, jt_error *err) { return jt_gguf_write(to, p, n, err); }

static jt_status adapter_to_gguf(const jt_conversion *c, const struct adapter_pair *p, size_t n, double alpha, jt_error *err) {
    jt_gguf_meta m = {0};
    jt_gguf_writer *w = NULL;
    const char *arch = jt_convert_gguf_name(c);
    jt_gguf_spec *spec = jt_alloc(2 * n, sizeof *spec);
    jt_status s = spec ? JT_OK : jt_nomem(err, "list of tensors", 2 * n, sizeof *spec);
    if (!s && !arch) s = jt_error_set(err, JT_UNSUPPORTED, "the %s family has no name in GGUF files", c->config.family->name);
    for (size_t i = 0; !s && i < 2 * n; i++)
        spec[i] = (jt_gguf_spec){p[i / 2].name[i % 2], jt_format_of(JT_F32), 2, {p[i / 2].cols[i % 2], p[i / 2].rows[i % 2], 1, 1}};
    if (!s) {
        jt_gguf_meta_text(&m, "general.type", "adapter", 7);
        jt_gguf_meta_text(&m, "general.architecture", arch, strlen(arch));
        jt_gguf_meta_text(&m, "adapter.type", "lora", 4);
        jt_gguf_meta_f32(&m, "adapter.lora.alpha", alpha);
        s = jt_gguf_create(c->out, &m, spec, 2 * n, 0, &w, err);
    }
    for (size_t i = 0; !s && i < 2 * n; i++) s = adapter_put(&p[i / 2], (int)(i % 2), adapter_sink_gguf, w, err);
    if (!s) {
        s = jt_gguf_commit(w, err);
        w = NULL;
    }
    jt_gguf_abandon(w);
    jt_gguf_meta_free(&m);
    jt_free(spec);
    return s;
}

struct adapter_st {
    jt_st_writer *w;
    size_t tensor;
};
static jt_status adapter_sink_st(void *to, const void *p, size_t n, jt_error *err) {
    const struct adapter_st *s = to;
    return jt_st_write(s->w, s->tensor, p, n, err);
}

/* adapter_config.json: ranks that differ are told by module. */
static void adapter_config(const jt_conversion *c, const struct adapter_pair *p, size_t n, double alpha, jt_str *o) {
    jt_str_printf(o,
                  "{\n  \"peft_type\": \"LORA\",\n  \"task_type\": \"CAUSAL_LM\",\n  \"inference_mode\": true,\n  \"bias\": \"none\",\n  "
                  "\"fan_in_fan_out\": %s,\n  \"r\": %llu,\n  \"lora_alpha\": ",
                  c->config.family->role[JT_W_O].hf_by_input ? "true" : "false", (unsigned long long)p[0].rows[0]);
    jt_str_number(o, alpha);
    for (int pass = 0; pass < 3; pass++) {
        static const char *const key[] = {"target_modules", "rank_pattern", "alpha_pattern"};
        bool any = false;
        jt_str_printf(o, ",\n  \"%s\": %s", key[pass], pass ? "{" : "[");
        for (size_t i = 0; i < n; i++) {
            const char *module = p[i].name[0] + strlen("base_model.model.");
            int len = (int)(strlen(module) - strlen(".lora_A.weight"));
            if (pass == 2 || (pass == 1 && p[i].rows[0] == p[0].rows[0])) continue;
            jt_str_printf(o, "%s\"%.*s\"", any ? ", " : "", len, module);
            if (pass == 1) jt_str_printf(o, ": %llu", (unsigned long long)p[i].rows[0]);
            any = true;
        }
        jt_str_puts(o, pass ? "}" : "]");
    }
    jt_str_puts(o, "\n}\n");
}

static jt_status adapter_to_peft(const jt_conversion *c, const struct adapter_pair *p, size_t n, double alpha, jt_error *err) {
    jt_str part = {0}, tensors = {0}, name = {0}, text = {0};
    struct adapter_st to = {0};
    size_t len = strlen(c->out);
    while (len > 1 && c->out[len - 1] == '/') len--;
    jt_str_add(&part, c->out, len);
    jt_str_printf(&part, ".%ld.part", (long)getpid());
    jt_str_printf(&tensors, "%s/adapter_model.safetensors", jt_str_c(&part));
    jt_str_printf(&name, "%s/adapter_config.json", jt_str_c(&part));
    adapter_config(c, p, n, alpha, &text);
    jt_st_spec *spec = jt_alloc(2 * n, sizeof *spec);
    jt_status s = spec ? JT_OK : jt_nomem(err, "list of tensors", 2 * n, sizeof *spec);
    if (part.failed || tensors.failed) s = jt_nomem(err, c->out, len, 1);
    if (!s && jt_file_exists(c->out)) s = jt_error_set(err, JT_INVALID, "%s: exists already; name a folder that is not there", c->out);
    if (!s) s = jt_make_folder(part.s, err);
    bool made = !s;
    for (size_t i = 0; !s && i < 2 * n; i++)
        spec[i] = (jt_st_spec){p[i / 2].name[i % 2], "F32", 2, {p[i / 2].rows[i % 2], p[i / 2].cols[i % 2]}};
    if (!s) s = jt_st_create_with(tensors.s, spec, 2 * n, "{\"format\":\"pt\"}", &to.w, err);
    for (to.tensor = 0; !s && to.tensor < 2 * n; to.tensor++)
        s = adapter_put(&p[to.tensor / 2], (int)(to.tensor % 2), adapter_sink_st, &to, err);
    if (!s) {
        s = jt_st_commit(to.w, err);
        to.w = NULL;
    }
    jt_st_abandon(to.w);
    if (!s) s = jt_str_check(&name, err);
    if (!s) s = jt_file_save(name.s, &text, err);
    jt_str_clear(&name);
    jt_str_add(&name, c->out, len);
    if (!s) s = jt_str_check(&name, err);
    if (!s && rename(part.s, name.s)) s = jt_error_set(err, JT_IO, "%s: cannot put it in place", c->out);
    if (s && made) jt_folder_remove(part.s);
    jt_str_free(&part), jt_str_free(&tensors), jt_str_free(&name), jt_str_free(&text);
    jt_free(spec);
    return s;
}

jt_status jt_convert_adapter(const char *model, const char *in, const char *out, jt_convert_info *info, jt_error *err) {
    static const jt_convert_options none = {0};
    if (!*out) return jt_error_set(err, JT_INVALID, "the output has no name; name a file that ends in .gguf, or a new folder");
    jt_conversion *c = jt_alloc(1, sizeof *c);
    if (!c) return jt_nomem(err, "conversion", 1, sizeof *c);
    size_t n = strlen(out), pairs = 0;
    bool gguf = n > 5 && !strcmp(out + n - 5, ".gguf");
    struct adapter_pair *p = NULL;
    c->options = &none, c->in = model, c->out = out;
    jt_status s = jt_convert_open(c, err);
    if (!s) s = jt_adapter_open_raw(&c->config, gguf, in, &c->adapter, err);
    jt_adapter_info ai = {0};
    if (!s) jt_adapter_get_info(c->adapter, &ai);
    if (!s && !(p = jt_alloc((size_t)ai.pairs, sizeof *p))) s = jt_nomem(err, "list of weights", (size_t)ai.pairs, sizeof *p);
    double alpha = ai.rank_max; /* a scale of 1 for the largest rank; B has the rest */
    if (!s) s = adapter_pairs(c, gguf, alpha, p, &pairs, err);
    if (!s) s = gguf ? adapter_to_gguf(c, p, pairs, alpha, err) : adapter_to_peft(c, p, pairs, alpha, err);
    if (!s && info) *info = (jt_convert_info){0};
    if (!s && info)
        for (size_t i = 0; i < 2 * pairs; i++) info->parameters += p[i / 2].rows[i % 2] * p[i / 2].cols[i % 2];
    if (!s && info) info->tensors = 2 * pairs, info->bytes_out = 4 * info->parameters, info->files = 1;
    jt_free(p);
    jt_adapter_free(c->adapter);
    jt_gguf_free(c->gguf), jt_safetensors_free(c->tensors), jt_json_free(c->json);
    jt_arena_free(&c->arena);
    jt_free(c);
    return s;
}

/* open.c: opening a model: files, settings, memory check, packing (jeton/model.h). */
#include <string.h>

#include "core/file.h"
#include "core/hash.h"
#include "model/adapter.h"
#include "model/model.h"
#include "tensor/scalar_math.h"
#include "text/tokenizer.h"

enum { DEFAULT_UBATCH = 512, ENCODER_UBATCH = 8192, MAX_UBATCH = 65536 };

static jt_status check_options(const jt_model_options *o, jt_error *err) {
    if (o->ubatch < 0 || o->ubatch > MAX_UBATCH)
        return jt_error_set(err, JT_INVALID, "ubatch=%d: must be between 1 and %d rows, or 0 for %d", o->ubatch, MAX_UBATCH,
                            DEFAULT_UBATCH);
    if (o->activations != JT_ACT_INT8 && o->activations != JT_ACT_FLOAT && o->activations != JT_ACT_BF16)
        return jt_error_set(err, JT_INVALID, "activations=%d: must be int8, float or bf16", (int)o->activations);
    if (o->kv_type != JT_KV_AUTO && o->kv_type != JT_KV_F16 && o->kv_type != JT_KV_F32 && o->kv_type != JT_KV_Q8_0)
        return jt_error_set(err, JT_INVALID, "kv_type=%d: must be auto, f16, f32 or q8_0", (int)o->kv_type);
    if (o->context < 0 || o->context > 1 << 24)
        return jt_error_set(err, JT_INVALID, "context=%d: must be between 0 and %d", o->context, 1 << 24);
    return JT_OK;
}

static jt_status read_folder(jt_model *m, const char *path, jt_error *err) {
    jt_str name = {0}, text = {0};
    jt_str_printf(&name, "%s/config.json", path);
    jt_status s = jt_str_check(&name, err);
    if (!s) s = jt_file_read(name.s, &text, err);
    if (!s && (s = jt_json_parse(jt_str_c(&text), text.n, &m->config_json, err))) s = jt_error_in(err, s, "%s", name.s);
    if (!s && (s = jt_config_from_hf(m->config_json, &m->config, err))) s = jt_error_in(err, s, "%s", name.s);
    jt_str_free(&name), jt_str_free(&text);
    return s ? s : jt_safetensors_open(path, &m->tensors, err);
}

static jt_status read_files(jt_model *m, const char *path, jt_error *err) {
    jt_status s;
    if (jt_is_folder(path)) {
        if ((s = read_folder(m, path, err))) return s;
        if ((s = jt_model_load_folder_tokenizer(&m->config, path, &m->tokenizer, err))) return jt_error_in(err, s, "%s", path);
        if (m->options.vocab_only) return JT_OK;
        if (m->options.mlock && (s = jt_safetensors_lock(m->tensors, err))) return s;
    } else {
        if ((s = jt_gguf_open(path, &m->gguf, err))) return s;
        if ((s = jt_model_load_tokenizer(m->gguf, &m->tokenizer, err))) return jt_error_in(err, s, "%s", path);
        if (m->options.vocab_only) return JT_OK;
        if ((s = jt_config_from_gguf(m->gguf, &m->config, err))) return jt_error_in(err, s, "%s", path);
        if (m->options.mlock && (s = jt_gguf_lock(m->gguf, err))) return s;
    }
    s = jt_model_load_weights(m, err);
    if (!s) s = jt_model_load_pooling(m, path, err);
    return s ? jt_error_in(err, s, "%s", path) : JT_OK;
}

static jt_status lay_out_cache(jt_model *m, jt_error *err) {
    const jt_config *c = &m->config;
    jt_kv_type t = m->options.kv_type;
    if (t == JT_KV_AUTO) t = m->options.activations == JT_ACT_FLOAT ? JT_KV_F32 : JT_KV_F16;
    m->kv = (jt_kv_layout){.layers = c->layers,
                           .heads = c->kv_heads,
                           .dim = c->head_dim,
                           .vdim = jt_config_value_dim(c),
                           .type = t == JT_KV_F16    ? JT_F16
                                   : t == JT_KV_Q8_0 ? JT_Q8_0
                                                     : JT_F32};
    if (c->ssm_layers) {
        m->kv.inputs = jt_config_ssm_conv(c) + c->ssm_heads;
        m->kv.recurrent = c->recurrent;
        if (!(m->kv.at = jt_alloc((size_t)c->layers, sizeof *m->kv.at)))
            return jt_nomem(err, "layout of a page", (size_t)c->layers, sizeof *m->kv.at);
        m->mark_bytes = (size_t)c->ssm_layers * (size_t)jt_config_ssm_inner(c) * (size_t)c->ssm_state * sizeof(float);
    }
    jt_kv_lay_out(&m->kv);
    return JT_OK;
}

static bool open_packs(const jt_model *m, const jt_weight *w) {
    return !m->options.no_repack && !w->vector && w->matrix.format->panel != JT_PANEL_NONE;
}

static uint64_t packed_bytes(const jt_model *m) {
    uint64_t n = 0;
    for (size_t i = 0; i < m->weights.n; i++) {
        const jt_weight *w = &m->weights.w[i];
        if (open_packs(m, w)) n += (uint64_t)jt_matrix_panels(&w->matrix) * w->matrix.panel_bytes;
    }
    return n;
}

static uint64_t file_bytes(const jt_model *m) {
    return m->gguf ? jt_gguf_file_bytes(m->gguf) : m->tensors ? jt_safetensors_file_bytes(m->tensors) : 0;
}

/* Memory wanted: weights as held, the declared context, and the rows of one pass. */
static jt_status check_memory(const jt_model *m, jt_error *err) {
    uint64_t weights = m->options.no_repack ? file_bytes(m) : packed_bytes(m);
    uint64_t pages = ((uint64_t)m->options.context + JT_TILE - 1) / JT_TILE;
    uint64_t marks = m->mark_bytes ? (uint64_t)m->options.context / JT_MARK_EVERY + 3 : 0;
    uint64_t cache = pages * m->kv.page_bytes + marks * m->mark_bytes;
    uint64_t rows = (uint64_t)m->graph[0].list.row_bytes[JT_ROWS_ALL] * (uint64_t)m->options.ubatch, have = jt_memory_available();
    const double mib = 1024.0 * 1024.0;
    if (have && weights + cache + rows > have)
        return jt_error_set(
            err, JT_NOMEM,
            "not enough memory: weights %.0f MiB + cache of %d tokens %.0f MiB + activations %.0f MiB, %.0f MiB free; use a smaller "
            "model, a shorter context (--ctx), fewer rows (--ubatch)%s",
            (double)weights / mib, m->options.context, (double)cache / mib, (double)rows / mib, (double)have / mib,
            m->options.no_repack ? "" : " or --no-repack");
    return JT_OK;
}

/* Products of all matrices but those of routers are in bfloat16. */
static void open_for_bf16(jt_model *m) {
    static const jt_role router[] = {JT_W_ROUTER, JT_W_S_ROUTER};
    for (size_t i = 0; i < m->weights.n; i++) {
        bool other = m->weights.w[i].vector != NULL;
        for (int l = 0; l < m->config.layers; l++)
            for (int k = 0; k < 2; k++) other |= m->ref[jt_net_ref_index(l, router[k])].tensor == i;
        if (!other) jt_matrix_for_bf16(&m->weights.w[i].matrix);
    }
}

struct packing {
    const jt_kernels *kernels;
    jt_matrix *m;
};

static void pack_share(void *arg, int thread, int threads) {
    const struct packing *p = arg;
    int64_t n = jt_matrix_panels(p->m);
    jt_matrix_pack_panels(p->kernels, p->m, (int)(n * thread / threads), (int)(n * (thread + 1) / threads));
}

static jt_status open_pack(jt_model *m, jt_error *err) {
    for (size_t i = 0; i < m->weights.n; i++) {
        jt_weight *w = &m->weights.w[i];
        if (m->options.progress && m->options.progress(m->options.progress_self, (double)i / (double)m->weights.n))
            return jt_error_set(err, JT_CANCELLED, "loading was cancelled");
        if (!open_packs(m, w)) continue;
        jt_status s = jt_matrix_alloc_packed(&w->matrix, err);
        if (s) return jt_error_in(err, s, "packing tensor %s", w->name);
        struct packing p = {m->engine->kernels, &w->matrix};
        jt_pool_run(m->engine->pool, pack_share, &p);
        w->packed_version = w->version;
        if (!m->options.mlock) jt_map_release(w->matrix.data, w->matrix.row_bytes * (size_t)w->matrix.rows);
    }
    if (m->options.progress) (void)m->options.progress(m->options.progress_self, 1.0);
    return JT_OK;
}

static jt_status make_work(jt_model *m, jt_error *err) {
    jt_eval_work *w = &m->work;
    size_t n = (size_t)m->options.ubatch;
    bool ok = (w->input = jt_alloc(n, sizeof *w->input)) && (w->type = jt_alloc(n, sizeof *w->type)) &&
              (w->position = jt_alloc(n, sizeof *w->position)) && (w->row_seq = jt_alloc(n, sizeof *w->row_seq)) &&
              (w->slot = jt_alloc(n, sizeof *w->slot)) && (w->rank = jt_alloc(n, sizeof *w->rank)) &&
              (w->depth = jt_alloc(n, sizeof *w->depth)) && (w->wanted = jt_alloc(n, sizeof *w->wanted)) &&
              (w->path = jt_alloc(n, sizeof *w->path)) && (w->seq = jt_alloc(n, sizeof *w->seq)) &&
              (w->trunk = jt_alloc(n, sizeof *w->trunk)) && (w->taps = jt_alloc(n, sizeof *w->taps)) &&
              (w->lora = jt_alloc(n, sizeof *w->lora)) && (w->keys = jt_alloc(n, sizeof *w->keys)) &&
              (w->layers = jt_alloc(n, sizeof *w->layers)) && (w->vector = jt_alloc(n, sizeof *w->vector)) &&
              (w->want = jt_alloc(JT_HEAD_ROWS, sizeof *w->want)) &&
              (w->scratch = jt_alloc((size_t)jt_engine_threads(m->engine), sizeof *w->scratch));
    return ok ? JT_OK : jt_nomem(err, "tables of a pass", n, sizeof *w->seq);
}

static void free_work(jt_model *m) {
    jt_eval_work *w = &m->work;
    jt_free(w->input), jt_free(w->type), jt_free(w->position), jt_free(w->row_seq), jt_free(w->slot), jt_free(w->rank), jt_free(w->depth),
        jt_free(w->wanted);
    jt_free(w->path), jt_free(w->seq), jt_free(w->trunk), jt_free(w->taps), jt_free(w->lora), jt_free(w->layers), jt_free(w->vector),
        jt_free(w->want), jt_free(w->mark);
    for (int i = 0; w->scratch && i < jt_engine_threads(m->engine); i++) jt_free(w->scratch[i]);
    jt_free(w->scratch);
    jt_keys_free_work(w);
    jt_buffer_free(w->storage), jt_buffer_free(w->head), jt_buffer_free(w->capture);
}

jt_status jt_model_build(jt_model *m, int kind, jt_error *err) {
    jt_graph *g = &m->graph[kind];
    bool lora = kind < JT_GRAPH_PROJECT && (kind & JT_GRAPH_LORA);
    if (g->list.planned && (!lora || (g->lora_rank == m->lora_rank && g->lora_roles == m->lora_roles))) return JT_OK;
    jt_list_free(&g->list);
    jt_net n = {.list = &g->list,
                .config = &m->config,
                .weights = &m->weights,
                .ref = m->ref,
                .int8 = m->options.activations == JT_ACT_INT8,
                .bf16 = m->options.activations == JT_ACT_BF16,
                .fuse = !m->engine->unfused,
                .taps = kind < JT_GRAPH_PROJECT && kind & JT_GRAPH_TAPS,
                .keys = kind < JT_GRAPH_PROJECT && kind & JT_GRAPH_KEYS,
                .lora_rank = lora ? m->lora_rank : 0,
                .lora_roles = m->lora_roles};
    g->lora_rank = m->lora_rank, g->lora_roles = m->lora_roles;
    jt_status s = kind == JT_GRAPH_PROJECT  ? jt_network_build_end(&n, &g->final, err)
                  : kind > JT_GRAPH_PROJECT ? jt_network_build_pooled(&n, kind == JT_GRAPH_CLASSES, &g->final, err)
                                            : jt_network_build(&n, kind & JT_GRAPH_RESIDUAL, &g->final, err);
    if (s) jt_list_free(&g->list);
    return s;
}

/* ---- info ---- */

static const char *weight_types(jt_model *m) {
    int n;
    jt_str b = {0};
    const jt_format *f = jt_formats(&n);
    for (int i = n - 1; i >= 0; i--) {
        size_t k = 0;
        for (size_t j = 0; j < m->weights.n; j++) k += m->weights.w[j].matrix.format == &f[i];
        if (k) jt_str_printf(&b, "%s%s %zu", b.n ? ", " : "", f[i].name, k);
    }
    const char *s = b.failed ? NULL : jt_arena_copy(&m->text, jt_str_c(&b), b.n);
    jt_str_free(&b);
    return s;
}

/* Identity of the weights without reading all of them: names, types, shapes and the first and last bytes of each. */
static uint64_t mode_hash(const jt_model *m) {
    uint64_t h = jt_hash_str(0x6d6f6465, m->config.family->name);
    h = jt_hash_u64(h, (uint64_t)m->options.activations), h = jt_hash_u64(h, m->kv.type);
    const jt_config *c = &m->config;
    const float setting[] = {c->embed_scale, c->residual_scale, c->logit_scale,      c->attn_scale, c->norm_eps,
                             c->attn_cap,    c->logit_cap,      (float)c->rope_dims, c->qkv_clip};
    const int sizes[] = {c->ssm_heads, c->ssm_state, c->ssm_groups, c->ssm_taps, (int)c->activation, (int)c->qk_norm, c->rope_interleaved};
    h = jt_hash_bytes(jt_hash_bytes(h, setting, sizeof setting), c->recurrent, sizeof c->recurrent);
    h = jt_hash_bytes(h, sizes, sizeof sizes);
    h = jt_hash_bytes(h, c->still, sizeof c->still);
    if (c->router.experts) {
        const jt_router *r = &c->router;
        const float way[] = {r->scale, c->glu_alpha, c->glu_limit};
        const int parts[] = {r->experts, r->used, r->rule, r->normalise, r->groups, r->groups_used, r->two, c->shared_ffn, c->shared_gate};
        h = jt_hash_bytes(jt_hash_bytes(h, way, sizeof way), parts, sizeof parts);
        h = jt_hash_bytes(h, c->dense, sizeof c->dense);
    }
    if (c->kv_rank) {
        const int parts[] = {c->q_rank, c->kv_rank, c->value_dim, c->rope_at};
        h = jt_hash_bytes(jt_hash_bytes(h, parts, sizeof parts), &c->latent_eps, sizeof c->latent_eps);
    }
    for (int k = 0; k <= c->rope_two; k++) {
        const jt_rope *r = &c->rope[k];
        const double way[] = {r->kind, r->base, r->factor, r->original, r->low, r->high, jt_rope_attention(r), r->fractions};
        h = jt_hash_bytes(h, way, sizeof way);
    }
    h = jt_hash_bytes(jt_hash_bytes(h, c->rope_long, sizeof c->rope_long), c->rope_short, sizeof c->rope_short);
    for (int l = 0; c->window && l < c->layers; l++) h = jt_hash_u64(h, (uint64_t)jt_config_window(c, l));
    for (size_t i = 0; i < m->weights.n; i++) {
        const jt_weight *w = &m->weights.w[i];
        size_t bytes = w->matrix.row_bytes * (size_t)w->matrix.rows, part = bytes < 256 ? bytes : 256;
        h = jt_hash_u64(jt_hash_str(h, w->name), w->version);
        h = jt_hash_u64(jt_hash_u64(jt_hash_u64(h, w->matrix.format->type), (uint64_t)w->matrix.rows), (uint64_t)w->matrix.cols);
        h = jt_hash_bytes(h, w->matrix.data, part);
        h = jt_hash_bytes(h, (const char *)w->matrix.data + (bytes - part), part);
    }
    return h;
}

static jt_status make_info(jt_model *m, const char *path, jt_error *err) {
    jt_model_info *i = &m->info;
    const jt_config *c = &m->config;
    const char *name, *slash = strrchr(path, '/');
    size_t n;
    if (!m->gguf || jt_gguf_get_text(m->gguf, "general.name", &name, &n, NULL))
        name = slash && slash[1] ? slash + 1 : path, n = strlen(name);
    i->name = jt_arena_copy(&m->text, name, n);
    i->family = c->family ? c->family->name : "none";
    i->vocab = c->vocab ? c->vocab : m->tokenizer ? jt_tokenizer_vocab(m->tokenizer) : 0;
    i->hidden = c->hidden, i->layers = c->layers, i->heads = c->heads, i->kv_heads = c->kv_heads, i->head_dim = c->head_dim;
    i->context_trained = c->context;
    i->file_bytes = file_bytes(m);
    i->weight_types = weight_types(m);
    if (!i->name || !i->weight_types) return jt_nomem(err, "model info", 1, 256);
    for (size_t k = 0; k < m->weights.n; k++) {
        const jt_weight *w = &m->weights.w[k];
        i->parameters += (uint64_t)w->matrix.rows * (uint64_t)w->matrix.cols;
        i->weight_bytes += w->vector          ? (uint64_t)w->matrix.cols * 4
                           : open_packs(m, w) ? (uint64_t)jt_matrix_panels(&w->matrix) * w->matrix.panel_bytes
                                              : (uint64_t)w->matrix.row_bytes * (uint64_t)w->matrix.rows;
    }
    i->state_bytes_per_token = m->kv.page_bytes / JT_TILE + m->mark_bytes / JT_MARK_EVERY;
    i->read_bytes_per_token =
        (uint64_t)(c->layers - c->ssm_layers) * (uint64_t)m->kv.heads * (m->kv.head_bytes + m->kv.value_bytes) / JT_TILE;
    i->recurrent_bytes = m->mark_bytes;
    i->activations = m->options.activations == JT_ACT_INT8 ? "int8" : m->options.activations == JT_ACT_BF16 ? "bf16" : "float";
    i->kv_type = jt_format_of(m->kv.type)->name;
    i->encoder = c->encoder, i->types = c->types, i->labels = c->classes;
    i->pooling = c->pooling != JT_POOL_AUTO ? c->pooling : c->encoder ? JT_POOL_MEAN : JT_POOL_LAST;
    i->normalise = m->normalise;
    i->mode = c->family ? mode_hash(m) : 0;
    return JT_OK;
}

static jt_status open_model(jt_model *m, const char *path, bool usual, jt_error *err) {
    jt_status s = read_files(m, path, err);
    if (s || m->options.vocab_only) return s ? s : make_info(m, path, err);
    m->set[0] = &m->weights;
    if (m->options.activations == JT_ACT_BF16) open_for_bf16(m);
    if (usual && m->config.encoder && m->config.context > DEFAULT_UBATCH) /* a sequence is never parted */
        m->options.ubatch = m->config.context < ENCODER_UBATCH ? m->config.context : ENCODER_UBATCH;
    if ((s = lay_out_cache(m, err)) || (s = jt_model_build(m, 0, err)) || (s = check_memory(m, err)) || (s = open_pack(m, err)) ||
        (s = make_work(m, err)))
        return s;
    return make_info(m, path, err);
}

jt_status jt_model_open(jt_engine *e, const char *path, const jt_model_options *o, jt_model **out, jt_error *err) {
    jt_model *m = jt_alloc(1, sizeof *m);
    if (!m) return jt_nomem(err, "model", 1, sizeof *m);
    m->engine = e;
    if (o) m->options = *o;
    jt_status s = check_options(&m->options, err);
    bool usual = !m->options.ubatch;
    if (usual) m->options.ubatch = DEFAULT_UBATCH;
    if (!s) s = open_model(m, path, usual, err);
    if (s) {
        jt_model_free(m);
        return s;
    }
    *out = m;
    return JT_OK;
}

void jt_model_free(jt_model *m) {
    if (!m) return;
    for (jt_page *p = m->free_page, *next; p; p = next) next = p->next, jt_buffer_free(p->buffer), jt_free(p);
    for (jt_page *p = m->free_mark, *next; p; p = next) next = p->next, jt_buffer_free(p->buffer), jt_free(p);
    free_work(m);
    jt_adapter_free(m->adapter);
    for (int i = 0; i < JT_GRAPHS; i++) jt_list_free(&m->graph[i].list);
    jt_weights_free(&m->weights);
    for (size_t i = 0; i < m->n_copies; i++) jt_free(m->copies[i]);
    jt_free(m->copies), jt_free(m->ref), jt_ropes_free(m->ropes), jt_free(m->kv.at);
    jt_tokenizer_free(m->tokenizer);
    jt_gguf_free(m->gguf), jt_safetensors_free(m->tensors), jt_json_free(m->config_json);
    jt_arena_free(&m->text);
    jt_free(m);
}

void jt_model_get_info(const jt_model *m, jt_model_info *out) { *out = m->info; }
const jt_tokenizer *jt_model_tokenizer(const jt_model *m) { return m->tokenizer; }
const char *jt_model_label(const jt_model *m, int i) { return i >= 0 && i < m->config.classes ? m->label[i] : ""; }
jt_engine *jt_model_engine(const jt_model *m) { return m->engine; }

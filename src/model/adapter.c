/* adapter.c: LoRA adapters of a model and of its states (jeton/adapter.h). */
#include "model/adapter.h"

#include <math.h>
#include <string.h>

#include "core/file.h"
#include "core/hash.h"

enum { ADAPTER_MAX_RANK = 4096 };

/* The linear maps that adapters may add to. */
static const jt_role adapter_role[] = {JT_W_Q,       JT_W_K,   JT_W_V,   JT_W_O,    JT_W_GATE, JT_W_UP,     JT_W_DOWN, JT_W_SSM_IN,
                                       JT_W_SSM_OUT, JT_W_Q_A, JT_W_Q_B, JT_W_KV_A, JT_W_KV_B, JT_W_S_GATE, JT_W_S_UP, JT_W_S_DOWN};
enum { ADAPTER_ROLES = sizeof adapter_role / sizeof *adapter_role };

/* Length of the weight's name in the adapter's kind of file. */
static size_t adapter_name_of(const jt_adapter *a, jt_role r, const char **name) {
    const jt_role_row *row = &a->model->config.family->role[r];
    *name = a->names->hf ? row->hf : row->gguf;
    return *name ? strlen(*name) - (a->names->hf ? strlen(".weight") : 0) : 0;
}

/* The maps whose outputs lie one after the other in the tensor of a role, ending with JT_W_ROLES; NULL: it is alone there. */
static const jt_role *adapter_stack(const jt_adapter *a, jt_role r) {
    const jt_role_row *row = &a->model->config.family->role[r];
    return a->names->hf ? row->hf_stack : row->gguf_stack;
}

/* What stands before the number of a layer. */
static const char *adapter_layers(const jt_adapter *a) {
    const char *own = a->model->config.family->hf_layers;
    return !a->names->hf ? "" : own ? own : "model.layers.";
}

static jt_status adapter_stranger(const jt_adapter *a, const char *name, jt_error *err) {
    static const struct {
        const char *part, *what;
    } known[] = {{"lora_embedding", "adds to the embedding"},
                 {"embed_tokens", "belongs to the embedding"},
                 {"token_embd", "belongs to the embedding"},
                 {"lm_head", "belongs to the head"},
                 {"output.weight", "belongs to the head"},
                 {"norm", "belongs to a norm"},
                 {"lora_magnitude_vector", "belongs to DoRA"},
                 {"bias", "is a bias"},
                 {"experts.", "belongs to an expert"},
                 {"exps", "belongs to experts"},
                 {"block_sparse_moe.", "belongs to experts or their router"},
                 {"ffn_gate_inp", "belongs to a router"},
                 {"mlp.gate.", "belongs to a router"},
                 {"mlp.router", "belongs to a router"}};
    for (size_t i = 0; i < sizeof known / sizeof *known; i++)
        if (strstr(strncmp(name, "output.", 7) ? name : "lm_head", known[i].part))
            return jt_error_set(err, JT_UNSUPPORTED, "tensor %.200s %s, which this build does not apply with adapters", name,
                                known[i].what);
    return jt_error_set(err, JT_UNSUPPORTED,
                        "tensor %.200s is none that an adapter of this %s model can have; they are named %s%sN.*%s and *%s", name,
                        a->model->config.family->name, a->names->head, adapter_layers(a), a->names->tail[0], a->names->tail[1]);
}

/* Reads the layer's number and the dot after it; NULL: there is none. */
static const char *adapter_layer(const char *s, int *layer) {
    int v = 0, n = 0;
    for (; s[n] >= '0' && s[n] <= '9' && n < 5; n++) v = v * 10 + (s[n] - '0');
    *layer = v;
    return n && s[n] == '.' && (s[0] != '0' || n == 1) ? s + n + 1 : NULL;
}

jt_status jt_adapter_find(const jt_adapter *a, const char *name, jt_adapter_place *out, jt_error *err) {
    const char *layers = adapter_layers(a);
    size_t head = strlen(a->names->head), n_layers = strlen(layers);
    int layer;
    bool begins = !strncmp(name, a->names->head, head) && !strncmp(name + head, layers, n_layers);
    const char *rest = begins ? adapter_layer(name + head + n_layers, &layer) : NULL;
    for (int i = 0; rest && i < 2 * ADAPTER_ROLES; i++) {
        const char *weight;
        size_t n = adapter_name_of(a, adapter_role[i / 2], &weight);
        if (!n || strncmp(rest, weight, n) || strcmp(rest + n, a->names->tail[i % 2])) continue;
        if (layer >= a->model->config.layers)
            return jt_error_set(err, JT_FORMAT, "tensor %.200s belongs to layer %d; the model has layers 0 to %d", name, layer,
                                a->model->config.layers - 1);
        if (!jt_net_has(a->model->ref, layer, adapter_role[i / 2]))
            return jt_error_set(err, JT_FORMAT, "tensor %.200s belongs to a weight that layer %d of the model does not have", name, layer);
        *out = (jt_adapter_place){layer, i % 2, adapter_role[i / 2]};
        return JT_OK;
    }
    return adapter_stranger(a, name, err);
}

jt_status jt_adapter_check(const jt_adapter *a, const jt_adapter_place *p, const char *name, int dims, uint64_t rows, uint64_t cols,
                           jt_error *err) {
    int outputs, inputs;
    jt_config_shape(&a->model->config, p->role, &outputs, &inputs);
    const jt_role *stack = adapter_stack(a, p->role);
    for (int i = 1, n; stack && stack[i] != JT_W_ROLES; i++) jt_config_shape(&a->model->config, stack[i], &n, &inputs), outputs += n;
    uint64_t rank = p->half ? cols : rows, want = p->half ? (uint64_t)outputs : (uint64_t)inputs, have = p->half ? rows : cols;
    if (dims != 2 || have != want)
        return jt_error_set(err, JT_FORMAT, "tensor %.200s has %d dimensions, [%llu, %llu]; %s of a weight of [%d, %d] has %s%llu%s", name,
                            dims, (unsigned long long)rows, (unsigned long long)cols, p->half ? "B" : "A", outputs, inputs,
                            p->half ? "[" : "[rank, ", (unsigned long long)want, p->half ? ", rank]" : "]");
    if (rank < 1 || rank > ADAPTER_MAX_RANK)
        return jt_error_set(err, JT_LIMIT, "tensor %.200s has rank %llu; 1 to %d are supported", name, (unsigned long long)rank,
                            (int)ADAPTER_MAX_RANK);
    const jt_lora *l = jt_adapter_lora(a, p);
    const jt_matrix *other = p->half ? &l->a : &l->b;
    if (other->rows && rank != (uint64_t)(p->half ? other->rows : other->cols))
        return jt_error_set(err, JT_FORMAT, "tensor %.200s has rank %llu, its partner %d", name, (unsigned long long)rank,
                            p->half ? other->rows : other->cols);
    return JT_OK;
}

/* Row i of a head of `dim` rows as the model has it, among those of the file. */
static int adapter_row(int i, int dim, bool to_gguf) { return to_gguf ? i / 2 + i % 2 * (dim / 2) : i % (dim / 2) * 2 + i / (dim / 2); }

/* The model's order of the rows of q and k, when its file's kind is not the adapter's. */
static jt_status adapter_permute(const jt_adapter *a, int rows, int cols, const float *from, float **out, jt_error *err) {
    const jt_config *c = &a->model->config;
    if (c->rope_dims && c->rope_dims != c->head_dim)
        return jt_error_set(err, JT_UNSUPPORTED,
                            "the model rotates %d of %d dimensions of a head; an adapter from %s cannot be turned to that", c->rope_dims,
                            c->head_dim, a->names->hf ? "a PEFT folder" : "a GGUF file");
    float *to = *out = jt_alloc((size_t)rows * (size_t)cols, sizeof *to);
    if (!to) return jt_nomem(err, "rows of an adapter", (size_t)rows * (size_t)cols, sizeof *to);
    for (int r = 0; r < rows; r++) {
        int i = r % c->head_dim, source = r - i + adapter_row(i, c->head_dim, a->gguf);
        memcpy(to + (size_t)r * (size_t)cols, from + (size_t)source * (size_t)cols, (size_t)cols * sizeof *to);
    }
    return JT_OK;
}

static jt_status adapter_keep(jt_adapter *a, const jt_adapter_place *p, const float *x, size_t n, jt_error *err) {
    float **to = &a->raw_half[2 * jt_net_ref_index(p->layer, p->role) + (size_t)p->half];
    jt_free(*to);
    if (!(*to = jt_alloc(n, sizeof *x))) return jt_nomem(err, "numbers of an adapter", n, sizeof *x);
    memcpy(*to, x, n * sizeof *x);
    return JT_OK;
}

/* Packs the half of one map. */
static jt_status adapter_pack(jt_adapter *a, const jt_adapter_place *p, int rows, int cols, float *data, bool gguf, jt_error *err) {
    jt_lora *l = jt_adapter_lora(a, p);
    float *turned = NULL;
    jt_matrix m;
    bool rotated = p->half && (p->role == JT_W_Q || p->role == JT_W_K);
    jt_status s = JT_OK;
    if (rotated && gguf != a->gguf && a->model->config.family->gguf_interleaves) s = adapter_permute(a, rows, cols, data, &turned, err);
    if (!s) s = jt_matrix_init(&m, jt_format_of(JT_F32), rows, cols, turned ? turned : data, err);
    if (!s && a->raw) {
        s = adapter_keep(a, p, m.data, (size_t)rows * (size_t)cols, err);
        m.data = NULL;
        if (!s) *(p->half ? &l->b : &l->a) = m;
        jt_free(turned);
        return s;
    }
    if (!s) s = jt_matrix_alloc_packed(&m, err);
    if (!s) {
        jt_matrix_pack_panels(a->model->engine->kernels, &m, 0, jt_matrix_panels(&m));
        m.data = NULL;
        *(p->half ? &l->b : &l->a) = m;
        a->info.bytes += (uint64_t)jt_matrix_panels(&m) * m.panel_bytes;
    }
    jt_free(turned);
    return s;
}

jt_status jt_adapter_add(jt_adapter *a, const jt_adapter_place *p, int rows, int cols, float *data, bool gguf, jt_error *err) {
    const jt_role *stack = adapter_stack(a, p->role);
    jt_status s = JT_OK;
    a->info.parameters += (uint64_t)rows * (uint64_t)cols;
    if (!stack) return adapter_pack(a, p, rows, cols, data, gguf, err);
    for (; *stack != JT_W_ROLES && !s; stack++) { /* they share A, and have parts of B */
        int outputs, inputs;
        jt_config_shape(&a->model->config, *stack, &outputs, &inputs);
        s = adapter_pack(a, &(jt_adapter_place){p->layer, p->half, *stack}, p->half ? outputs : rows, cols, data, gguf, err);
        if (p->half) data += (size_t)outputs * (size_t)cols;
    }
    return s;
}

static jt_status adapter_lonely(const jt_adapter *a, int layer, jt_role r, bool has_a, jt_error *err) {
    const char *weight;
    int n = (int)adapter_name_of(a, r, &weight);
    const char *head = a->names->head, *layers = adapter_layers(a);
    return jt_error_set(err, JT_FORMAT, "tensor %s%s%d.%.*s%s has no partner %s%s%d.%.*s%s", head, layers, layer, n, weight,
                        a->names->tail[has_a ? 0 : 1], head, layers, layer, n, weight, a->names->tail[has_a ? 1 : 0]);
}

/* Every pair must be whole; sums up what the info tells. */
static jt_status adapter_finish(jt_adapter *a, jt_error *err) {
    jt_adapter_info *i = &a->info;
    uint64_t roles = 0;
    i->mode = 0x6c6f7261;
    for (int layer = 0; layer < a->model->config.layers; layer++)
        for (int k = 0; k < ADAPTER_ROLES; k++) {
            size_t at = jt_net_ref_index(layer, adapter_role[k]);
            jt_lora *l = &a->lora[at];
            const jt_role *stack = adapter_stack(a, adapter_role[k]);
            if (!l->a.rows && !l->b.rows) continue;
            if (stack) l->scale = a->lora[jt_net_ref_index(layer, stack[0])].scale;
            if (!l->a.rows || !l->b.rows) return adapter_lonely(a, layer, adapter_role[k], l->a.rows, err);
            if (!(fabs(l->scale) <= 1e30))
                return jt_error_set(err, JT_FORMAT, "the scale of layer %d is %g; its alpha cannot be meant", layer, l->scale);
            int rank = l->a.rows;
            i->rank_min = !i->pairs || rank < i->rank_min ? rank : i->rank_min;
            i->rank_max = rank > i->rank_max ? rank : i->rank_max;
            i->pairs++;
            roles |= (uint64_t)1 << adapter_role[k];
            i->mode = jt_hash_bytes(jt_hash_u64(jt_hash_u64(i->mode, at), (uint64_t)rank), &l->scale, sizeof l->scale);
            if (a->raw) continue;
            i->mode = jt_hash_bytes(i->mode, l->a.packed, (size_t)jt_matrix_panels(&l->a) * l->a.panel_bytes);
            i->mode = jt_hash_bytes(i->mode, l->b.packed, (size_t)jt_matrix_panels(&l->b) * l->b.panel_bytes);
        }
    if (!i->pairs) return jt_error_set(err, JT_FORMAT, "it holds no tensors of an adapter");
    if (i->rank_max > a->model->lora_rank) a->model->lora_rank = i->rank_max;
    a->model->lora_roles |= roles;
    return JT_OK;
}

static jt_status adapter_open(jt_adapter *a, const char *path, jt_error *err) {
    size_t n = strlen(path);
    while (n > 1 && path[n - 1] == '/') n--;
    size_t from = n;
    while (from && path[from - 1] != '/') from--;
    if (!(a->info.name = jt_arena_copy(&a->text, path + from, n - from))) return jt_nomem(err, "name of an adapter", n, 1);
    if (!(a->lora = jt_alloc(a->n, sizeof *a->lora))) return jt_nomem(err, "table of an adapter", a->n, sizeof *a->lora);
    jt_status s = jt_is_folder(path) ? jt_adapter_read_peft(a, path, err) : jt_adapter_read_gguf(a, path, err);
    if (!s && (s = adapter_finish(a, err))) s = jt_error_in(err, s, "%s", path);
    return s;
}

jt_status jt_adapter_open(jt_model *m, const char *path, jt_adapter **out, jt_error *err) {
    if (m->options.vocab_only)
        return jt_error_set(err, JT_INVALID, "the model was opened for its vocabulary only; open it whole to give it an adapter");
    jt_adapter *a = jt_alloc(1, sizeof *a);
    if (!a) return jt_nomem(err, "adapter", 1, sizeof *a);
    a->model = m, a->refs = 1, a->n = jt_net_ref_index(m->config.layers, JT_W_GLOBAL), a->gguf = m->gguf != NULL;
    jt_status s = adapter_open(a, path, err);
    if (s) {
        jt_adapter_free(a);
        return s;
    }
    *out = a;
    return JT_OK;
}

/* A model of settings alone, with every weight that its layers may have. */
static jt_status adapter_settings(const jt_config *c, jt_model **out, jt_error *err) {
    size_t n = jt_net_ref_index(c->layers, JT_W_GLOBAL);
    jt_model *m = *out = jt_alloc(1, sizeof *m);
    if (!m) return jt_nomem(err, "settings", 1, sizeof *m);
    m->config = *c;
    if (!(m->ref = jt_alloc(n, sizeof *m->ref))) return jt_nomem(err, "table of weights", n, sizeof *m->ref);
    for (int layer = 0; layer < c->layers; layer++)
        for (int r = JT_W_GLOBAL; r < JT_W_TAIL; r++)
            m->ref[jt_net_ref_index(layer, (jt_role)r)].tensor = jt_layer_roles(c, layer) >> r & 1 ? 0 : JT_NO_TENSOR;
    return JT_OK;
}

jt_status jt_adapter_open_raw(const jt_config *c, bool gguf, const char *path, jt_adapter **out, jt_error *err) {
    jt_adapter *a = jt_alloc(1, sizeof *a);
    if (!a) return jt_nomem(err, "adapter", 1, sizeof *a);
    a->refs = 1, a->raw = true, a->gguf = gguf, a->n = jt_net_ref_index(c->layers, JT_W_GLOBAL);
    jt_status s = adapter_settings(c, &a->model, err);
    if (!s && !(a->raw_half = jt_alloc(2 * a->n, sizeof *a->raw_half))) s = jt_nomem(err, "adapter", a->n, sizeof *a->raw_half);
    if (!s) s = adapter_open(a, path, err);
    if (s) {
        jt_adapter_free(a);
        return s;
    }
    *out = a;
    return JT_OK;
}

const jt_lora *jt_adapter_pair(const jt_adapter *a, int layer, jt_role r, const float **half_a, const float **half_b) {
    size_t at = jt_net_ref_index(layer, r);
    if (!a->raw_half[2 * at]) return NULL;
    *half_a = a->raw_half[2 * at], *half_b = a->raw_half[2 * at + 1];
    return &a->lora[at];
}

void jt_adapter_free(jt_adapter *a) {
    if (!a || --a->refs) return;
    for (size_t i = 0; a->lora && i < a->n; i++) jt_matrix_free_packed(&a->lora[i].a), jt_matrix_free_packed(&a->lora[i].b);
    for (size_t i = 0; a->raw_half && i < 2 * a->n; i++) jt_free(a->raw_half[i]);
    if (a->raw && a->model) jt_free(a->model->ref), jt_free(a->model);
    jt_free(a->raw_half);
    jt_free(a->lora);
    jt_arena_free(&a->text);
    jt_free(a);
}

void jt_adapter_get_info(const jt_adapter *a, jt_adapter_info *out) { *out = a->info; }

/* Checks, and makes a scale of 0 no adapter. */
static jt_status adapter_usable(const jt_model *m, jt_adapter **a, float *scale, jt_error *err) {
    const jt_adapter *x = *a;
    if (x && x->model != m) return jt_error_set(err, JT_INVALID, "adapter %s was opened for another model", x->info.name);
    if (x && !isfinite(*scale))
        return jt_error_set(err, JT_INVALID, "scale=%g of adapter %s: must be finite", (double)*scale, x->info.name);
    if (!x || *scale == 0) *a = NULL, *scale = 0;
    return JT_OK;
}

jt_status jt_model_set_adapter(jt_model *m, jt_adapter *a, float scale, jt_error *err) {
    jt_status e = adapter_usable(m, &a, &scale, err);
    if (e) return e;
    if (a) a->refs++;
    jt_adapter_free(m->adapter);
    m->adapter = a, m->adapter_scale = scale;
    return JT_OK;
}

jt_status jt_state_set_adapter(jt_state *s, jt_adapter *a, float scale, jt_error *err) {
    jt_status e = adapter_usable(s->model, &a, &scale, err);
    if (e) return e;
    if (a == s->adapter && scale == s->adapter_scale) return JT_OK;
    if (a) a->refs++;
    jt_adapter_free(s->adapter);
    s->adapter = a, s->adapter_scale = scale;
    s->tapped = jt_hash_u64(jt_hash_u64(s->tapped, (uint64_t)s->length), a ? a->info.mode : 0);
    s->tapped = jt_hash_bytes(s->tapped, &s->adapter_scale, sizeof s->adapter_scale);
    return JT_OK;
}

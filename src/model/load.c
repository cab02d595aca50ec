/* load.c: the weights and the tokenizer out of a model's files. */
#include <string.h>

#include "model/fp8.h"
#include "model/model.h"
#include "model/names.h"
#include "tensor/scalar_math.h"
#include "text/tokenizer.h"

/* A tensor of either kind of file. */
struct source {
    const char *name;
    const jt_format *format;
    uint64_t rows, cols, elements; /* of one plane, where there are three dimensions; elements of all */
    int dims;
    const void *data;
    uint64_t bytes;
    bool aligned;
};

static jt_status load_copies(jt_model *m, const char *name, size_t n, size_t size, void **out, jt_error *err) {
    jt_status s = jt_grow((void **)&m->copies, &m->cap_copies, m->n_copies + 1, sizeof *m->copies, err);
    if (s) return s;
    if (!(*out = jt_alloc_aligned(n, size))) return jt_nomem(err, name, n, size);
    m->copies[m->n_copies++] = *out;
    return JT_OK;
}

/* Weights in FP8, as float32. */
static jt_status load_fp8(jt_model *m, const jt_st_tensor *s, struct source *t, jt_error *err) {
    jt_fp8 w;
    void *to;
    jt_status e = jt_fp8_open(m->tensors, &m->config, s, &w, err);
    if (e || (e = load_copies(m, s->name, (size_t)s->elements, sizeof(float), &to, err))) return e;
    for (uint64_t i = 0; i < w.rows; i++) jt_fp8_row(&w, i, (float *)to + i * w.cols);
    *t = (struct source){s->name, jt_format_of(JT_F32), w.rows, w.cols, s->elements, 2, to, s->elements * sizeof(float), true};
    return JT_OK;
}

static jt_status load_find(jt_model *m, const char *name, struct source *t, bool *found, jt_error *err) {
    *found = false;
    if (m->gguf) {
        const jt_gguf_tensor *g = jt_gguf_tensor_named(m->gguf, name);
        if (!g) return JT_OK;
        if (!g->format || !g->format->expand)
            return jt_error_set(err, JT_UNSUPPORTED, "tensor %s is of type %s (%u), which this build cannot compute with", name,
                                g->format ? g->format->name : "unknown", g->type);
        *t = (struct source){name, g->format, g->n_dims < 2 ? 1 : g->dim[1], g->dim[0], g->elements, g->n_dims, g->data, g->bytes, true};
    } else {
        const jt_st_tensor *s = jt_safetensors_tensor_named(m->tensors, name);
        if (!s) return JT_OK;
        if ((*found = jt_fp8_is(&m->config, s))) return load_fp8(m, s, t, err);
        const jt_format *f = s->dtype->computed ? jt_format_named(s->dtype->computed) : NULL;
        if (!f || !f->expand)
            return jt_error_set(err, JT_UNSUPPORTED, "tensor %s has dtype %s, which this build cannot compute with", name, s->dtype->name);
        int last = s->n_dims - 1;
        *t = (struct source){
            name, f, last >= 1 ? s->dim[last - 1] : 1, last >= 0 ? s->dim[last] : 1, s->elements, s->n_dims, s->data, s->bytes, s->aligned};
    }
    *found = true;
    return JT_OK;
}

static jt_status aligned_copy(jt_model *m, struct source *t, jt_error *err) {
    jt_status s = jt_grow((void **)&m->copies, &m->cap_copies, m->n_copies + 1, sizeof *m->copies, err);
    if (s) return s;
    void *p = t->bytes <= SIZE_MAX ? jt_alloc_aligned((size_t)t->bytes, 1) : NULL;
    if (!p) return jt_nomem(err, t->name, (size_t)t->bytes, 1);
    memcpy(p, t->data, (size_t)t->bytes);
    m->copies[m->n_copies++] = p;
    t->data = p;
    return JT_OK;
}

/* Where the outputs of `role` begin in a tensor that stacks those of several roles, and how many all have. */
static void load_stack(const jt_config *c, const jt_role *stack, jt_role role, int *first, int *all) {
    *first = *all = 0;
    for (int i = 0; stack[i] != JT_W_ROLES; i++) {
        int rows, cols;
        jt_config_shape(c, stack[i], &rows, &cols);
        if (stack[i] == role) *first = *all;
        *all += c->family->role[stack[i]].vector ? cols : rows;
    }
}

/* A copy of outputs [first, first + rows) of a matrix [cols][all]. */
static jt_status load_by_output(jt_model *m, struct source *t, int first, int rows, int cols, int all, jt_error *err) {
    size_t size = t->format->bytes, n = (size_t)rows * (size_t)cols;
    jt_status s = jt_grow((void **)&m->copies, &m->cap_copies, m->n_copies + 1, sizeof *m->copies, err);
    if (s) return s;
    char *to = jt_alloc_aligned(n, size);
    if (!to) return jt_nomem(err, t->name, n, size);
    for (size_t o = 0; o < (size_t)rows; o++)
        for (size_t i = 0; i < (size_t)cols; i++)
            memcpy(to + (o * (size_t)cols + i) * size, (const char *)t->data + (i * (size_t)all + (size_t)first + o) * size, size);
    m->copies[m->n_copies++] = to;
    t->data = to, t->aligned = true, t->bytes = n * size;
    return JT_OK;
}

/* Checks a tensor's shape and takes the role's part of it. */
static jt_status load_part(jt_model *m, const jt_role_row *row, jt_role role, struct source *t, int *rows, int *cols, jt_error *err) {
    const jt_role *stack = m->gguf ? row->gguf_stack : row->hf_stack;
    bool turned = row->hf_by_input && !m->gguf;
    int first = 0, all, width;
    jt_config_shape(&m->config, role, rows, cols);
    all = row->vector ? *cols : *rows, width = row->vector ? 1 : *cols;
    if (stack) load_stack(&m->config, stack, role, &first, &all);
    if (row->any_shape && row->vector && t->elements == (uint64_t)all) t->dims = 1, t->rows = 1, t->cols = t->elements;
    if (row->any_shape && !row->vector && t->dims == 1 && all == 1) t->dims = 2; /* a matrix of one row */
    int want_rows = row->vector ? 1 : turned ? width : all, want_cols = row->vector || turned ? all : width;
    if (t->dims != (row->vector ? 1 : 2) || t->rows != (uint64_t)want_rows || t->cols != (uint64_t)want_cols)
        return jt_error_set(err, JT_FORMAT, "tensor %s has %d dimensions, [%llu, %llu]; the model's settings ask for [%d, %d]", t->name,
                            t->dims, (unsigned long long)t->rows, (unsigned long long)t->cols, want_rows, want_cols);
    if (turned && !row->vector) return load_by_output(m, t, first, *rows, *cols, all, err);
    if (!t->aligned) {
        jt_status s = aligned_copy(m, t, err);
        if (s) return s;
    }
    uint64_t before = 0;
    if (first && !jt_format_bytes(t->format, (uint64_t)first * (uint64_t)width, &before))
        return jt_error_set(err, JT_FORMAT, "tensor %s: blocks of type %s cannot be parted at %d", t->name, t->format->name, first);
    t->data = (const char *)t->data + before;
    return JT_OK;
}

/* Vectors that the network wants otherwise than the file has them. */
static jt_status load_turn(jt_model *m, const jt_role_row *row, jt_weight *w, jt_error *err) {
    size_t n = (size_t)w->matrix.cols, taps = (size_t)m->config.ssm_taps;
    for (size_t i = 0; row->hf_log && !m->gguf && i < n; i++) w->vector[i] = (float)-jt_exp((double)w->vector[i]);
    for (size_t i = 0; row->hf_less_one && !m->gguf && i < n; i++) w->vector[i] += 1;
    if (!row->transposed) return JT_OK;
    float *to = jt_alloc_aligned(n, sizeof *to);
    if (!to) return jt_nomem(err, w->name, n, sizeof *to);
    for (size_t i = 0; i < n; i++) to[i % taps * (n / taps) + i / taps] = w->vector[i];
    jt_free(w->vector);
    w->vector = to;
    return JT_OK;
}

static jt_status add_weight(jt_model *m, const jt_role_row *row, jt_role role, const char *name, jt_ref *ref, bool *found, jt_error *err) {
    struct source t;
    int rows, cols;
    jt_status s = load_find(m, name, &t, found, err);
    if (s || !*found || (s = load_part(m, row, role, &t, &rows, &cols, err))) return s;
    s = jt_weights_add(&m->weights, name, t.format, rows, cols, row->vector, t.data, &ref->tensor, err);
    return s || !row->vector ? s : load_turn(m, row, &m->weights.w[ref->tensor], err);
}

/* A vector of which each head has a tensor of its own, as one. */
static jt_status load_heads(jt_model *m, jt_role role, const char *name, jt_ref *ref, bool *found, jt_error *err) {
    int rows, cols, dim = m->config.head_dim;
    const char *star = strchr(name, '*');
    char full[192];
    void *copy;
    jt_config_shape(&m->config, role, &rows, &cols);
    jt_status s = load_copies(m, name, (size_t)cols, sizeof(float), &copy, err);
    for (int h = 0; h < cols / dim && !s; h++) {
        struct source t;
        snprintf(full, sizeof full, "%.*s%d%s", (int)(star - name), name, h, star + 1);
        s = load_find(m, full, &t, found, err);
        if (s || (!*found && !h)) return s;
        if (!*found) return jt_error_set(err, JT_FORMAT, "tensor %s is missing", full);
        if (t.elements != (uint64_t)dim || t.format->block != 1)
            return jt_error_set(err, JT_FORMAT, "tensor %s has %llu numbers; the model's settings ask for %d", full,
                                (unsigned long long)t.elements, dim);
        t.format->expand(t.data, (float *)copy + (size_t)h * (size_t)dim, (size_t)dim);
    }
    return s ? s : jt_weights_add(&m->weights, name, jt_format_of(JT_F32), 1, cols, true, copy, &ref->tensor, err);
}

/* ---- experts: a weight each, one after the other ---- */

static jt_status load_strange(const struct source *t, int experts, int rows, int cols, jt_error *err) {
    return jt_error_set(err, JT_FORMAT, "tensor %s has %d dimensions, the last [%llu, %llu]; the model's settings ask for [%d, %d, %d]",
                        t->name, t->dims, (unsigned long long)t->rows, (unsigned long long)t->cols, experts, rows, cols);
}

/* Adds the weight of expert x; all have the format of the first. */
static jt_status load_expert(jt_model *m, const struct source *t, int x, int rows, int cols, const void *data, jt_ref *ref, jt_error *err) {
    uint16_t index;
    if (x && t->format != m->weights.w[ref->tensor].matrix.format)
        return jt_error_set(err, JT_UNSUPPORTED, "tensor %s is of type %s, the first expert's of type %s; this build needs them equal",
                            t->name, t->format->name, m->weights.w[ref->tensor].matrix.format->name);
    jt_status s = jt_weights_add(&m->weights, t->name, t->format, rows, cols, false, data, &index, err);
    if (!s && !x) ref->tensor = index;
    return s;
}

/* Elements of `size` bytes to rows [rows][cols] from a plane [cols][rows] (or, for vectors, [rows]) in which every `step`-th row is
 * this role's, from `first` on. */
static void load_apart(char *to, const char *from, size_t size, int rows, int cols, int step, int first) {
    for (size_t o = 0; o < (size_t)rows; o++)
        for (size_t i = 0; i < (size_t)cols; i++)
            memcpy(to + (o * (size_t)cols + i) * size, from + ((i * (size_t)rows + o) * (size_t)step + (size_t)first) * size, size);
}

/* Vectors of all experts, as one. */
static jt_status load_expert_vectors(jt_model *m, const jt_role_row *row, struct source *t, int cols, jt_ref *ref, jt_error *err) {
    int part = m->gguf ? 0 : row->hf_part, step = part ? 2 : 1;
    int64_t all = (int64_t)m->config.router.experts * cols;
    int n = all > INT32_MAX / 2 ? 0 : (int)all; /* none have so many */
    void *copy;
    if (!n || t->elements != (uint64_t)n * (uint64_t)step || t->format->block != 1)
        return load_strange(t, 1, m->config.router.experts, cols * step, err);
    jt_status s = load_copies(m, t->name, (size_t)n, t->format->bytes, &copy, err);
    if (s) return s;
    load_apart(copy, t->data, t->format->bytes, n, 1, step, part ? part - 1 : 0);
    return jt_weights_add(&m->weights, t->name, t->format, 1, n, true, copy, &ref->tensor, err);
}

static jt_status load_planes(jt_model *m, const jt_role_row *row, struct source *t, int rows, int cols, jt_ref *ref, jt_error *err) {
    int part = m->gguf ? row->gguf_part : row->hf_part, step = part ? 2 : 1, experts = m->config.router.experts;
    bool turned = row->hf_by_input && !m->gguf;
    uint64_t plane, want = (uint64_t)rows * (uint64_t)step, half = 0;
    bool fits = turned ? t->rows == (uint64_t)cols && t->cols == want : t->rows == want && t->cols == (uint64_t)cols;
    if (t->dims != 3 || !fits || t->elements != want * (uint64_t)cols * (uint64_t)experts)
        return load_strange(t, experts, rows * step, cols, err);
    if (!jt_format_bytes(t->format, want * (uint64_t)cols, &plane) ||
        (part == 2 && !jt_format_bytes(t->format, plane ? want / 2 * (uint64_t)cols : 0, &half)))
        return jt_error_set(err, JT_FORMAT, "tensor %s: blocks of type %s cannot be parted by experts", t->name, t->format->name);
    jt_status s = t->aligned || turned ? JT_OK : aligned_copy(m, t, err);
    for (int x = 0; x < experts && !s; x++) {
        const char *data = (const char *)t->data + (size_t)x * (size_t)plane;
        void *copy;
        if (turned) {
            if ((s = load_copies(m, t->name, (size_t)rows * (size_t)cols, t->format->bytes, &copy, err))) break;
            load_apart(copy, data, t->format->bytes, rows, cols, step, part ? part - 1 : 0);
            data = copy;
        } else {
            data += half;
        }
        s = load_expert(m, t, x, rows, cols, data, ref, err);
    }
    return s;
}

/* GPT-OSS in Hugging Face's files: blocks [experts][rows][blocks][16], element 2 i of a block low in byte i, and scales
 * [experts][rows][blocks]. The rows of gate and upper matrix take turns. */
static jt_status load_mxfp4(jt_model *m, const jt_role_row *row, const jt_st_tensor *b, const jt_st_tensor *scale, int rows, int cols,
                            jt_ref *ref, jt_error *err) {
    int step = row->hf_part ? 2 : 1, first = row->hf_part ? row->hf_part - 1 : 0, experts = m->config.router.experts;
    size_t blocks = (size_t)cols / 32;
    uint64_t all = (uint64_t)experts * (uint64_t)rows * (uint64_t)step * blocks;
    struct source t = {
        .name = b->name, .format = jt_format_named("mxfp4"), .rows = (uint64_t)rows, .cols = (uint64_t)cols, .dims = b->n_dims};
    if (cols % 32 || !scale || b->bytes != all * 16 || scale->bytes != all) return load_strange(&t, experts, rows * step, cols, err);
    for (int x = 0; x < experts; x++) {
        void *copy = NULL;
        jt_status s = load_copies(m, t.name, (size_t)rows * blocks, t.format->bytes, &copy, err);
        uint8_t *to = copy;
        for (size_t i = 0; !s && i < (size_t)rows * blocks; i++, to += 17) {
            size_t o = i / blocks, at = (((size_t)x * (size_t)rows + o) * (size_t)step + (size_t)first) * blocks + i % blocks;
            const uint8_t *from = (const uint8_t *)b->data + at * 16;
            to[0] = ((const uint8_t *)scale->data)[at];
            for (int j = 0; j < 16; j++) {
                int low = from[j / 2] >> 4 * (j % 2) & 15, high = from[8 + j / 2] >> 4 * (j % 2) & 15;
                to[1 + j] = (uint8_t)(low | high << 4);
            }
        }
        if (!s) s = load_expert(m, &t, x, rows, cols, copy, ref, err);
        if (s) return s;
    }
    return JT_OK;
}

/* All experts' weights of a role, from the name that such files give it. */
static jt_status load_experts(jt_model *m, const jt_role_row *row, jt_role role, const char *name, jt_ref *ref, bool *found,
                              jt_error *err) {
    const char *star = strchr(name, '*');
    char full[192];
    struct source t;
    int rows, cols;
    jt_config_shape(&m->config, role, &rows, &cols);
    jt_status s = star ? JT_OK : load_find(m, name, &t, found, err);
    if (!s && *found) return row->vector ? load_expert_vectors(m, row, &t, cols, ref, err) : load_planes(m, row, &t, rows, cols, ref, err);
    if (!s && !star && !m->gguf && !row->vector) {
        snprintf(full, sizeof full, "%s_blocks", name);
        const jt_st_tensor *b = jt_safetensors_tensor_named(m->tensors, full);
        snprintf(full, sizeof full, "%s_scales", name);
        *found = b != NULL;
        if (b) return load_mxfp4(m, row, b, jt_safetensors_tensor_named(m->tensors, full), rows, cols, ref, err);
    }
    for (int x = 0; star && x < m->config.router.experts && !s; x++) {
        snprintf(full, sizeof full, "%.*s%d%s", (int)(star - name), name, x, star + 1);
        s = load_find(m, full, &t, found, err);
        if (s || (!*found && !x)) return s;
        if (!*found) return jt_error_set(err, JT_FORMAT, "tensor %s is missing", full);
        if (t.dims != 2 || t.rows != (uint64_t)rows || t.cols != (uint64_t)cols) return load_strange(&t, 1, rows, cols, err);
        if (!t.aligned) s = aligned_copy(m, &t, err);
        if (!s) s = load_expert(m, &t, x, rows, cols, t.data, ref, err);
    }
    return s;
}

/* Latent attention whose expansion later converters part: keys [heads][rank][nope], values [heads][vdim][rank]. Both become one
 * float32 matrix [heads][nope + vdim][rank]. */
static jt_status load_latent(jt_model *m, int layer, jt_ref *ref, bool *found, jt_error *err) {
    const jt_config *c = &m->config;
    size_t nope = (size_t)c->rope_at, vdim = (size_t)jt_config_value_dim(c), rank = (size_t)c->kv_rank, heads = (size_t)c->heads;
    char key[64], value[64];
    struct source k, v;
    bool both = false;
    snprintf(key, sizeof key, "blk.%d.attn_k_b.weight", layer), snprintf(value, sizeof value, "blk.%d.attn_v_b.weight", layer);
    jt_status s = load_find(m, key, &k, found, err);
    if (!s && *found) s = load_find(m, value, &v, &both, err);
    if (s || !*found) return s;
    if (!both) return jt_error_set(err, JT_FORMAT, "tensor %s is missing", value);
    if (k.rows != rank || k.cols != nope || k.elements != heads * rank * nope)
        return load_strange(&k, c->heads, c->kv_rank, c->rope_at, err);
    if (v.rows != vdim || v.cols != rank || v.elements != heads * rank * vdim)
        return load_strange(&v, c->heads, (int)vdim, c->kv_rank, err);
    if (nope % k.format->block || rank % v.format->block)
        return jt_error_set(err, JT_FORMAT, "tensor %s: rows of %zu are no whole blocks of %s", key, nope, k.format->name);
    void *to;
    float *plane = jt_alloc(rank, nope * sizeof *plane);
    if (!plane) return jt_nomem(err, key, rank, nope * sizeof *plane);
    s = load_copies(m, key, heads * (nope + vdim) * rank, sizeof(float), &to, err);
    for (size_t h = 0; h < heads && !s; h++) {
        float *row = (float *)to + h * (nope + vdim) * rank;
        k.format->expand((const char *)k.data + h * rank * (nope / k.format->block * k.format->bytes), plane, rank * nope);
        for (size_t i = 0; i < nope; i++)
            for (size_t j = 0; j < rank; j++) row[i * rank + j] = plane[j * nope + i];
        v.format->expand((const char *)v.data + h * vdim * (rank / v.format->block * v.format->bytes), row + nope * rank, vdim * rank);
    }
    jt_free(plane);
    return s ? s
             : jt_weights_add(&m->weights, key, jt_format_of(JT_F32), (int)(heads * (nope + vdim)), (int)rank, false, to, &ref->tensor,
                              err);
}

void jt_model_place(const jt_config *c, const jt_safetensors *f, char *name, size_t cap) {
    static const char *const other[] = {"", "language_model.model.", "model.language_model."};
    const char *embed = c->family->role[JT_W_EMBED].hf, *base = c->family->hf_base ? c->family->hf_base : "model.";
    char full[192];
    size_t n = strlen(base);
    if (strncmp(name, base, n) || strncmp(embed, base, n) || jt_safetensors_tensor_named(f, embed)) return;
    for (size_t i = 0; i < (c->part ? 3 : 1); i++) {
        snprintf(full, sizeof full, "%s%s", other[i], embed + n);
        if (!jt_safetensors_tensor_named(f, full)) continue;
        size_t k = strlen(other[i]), rest = strlen(name + n) + 1;
        if (k + rest > cap) return;
        memmove(name + k, name + n, rest);
        memcpy(name, other[i], k);
        return;
    }
}

/* The name of a role's tensor in the open file. */
static void load_name(const jt_model *m, const jt_role_row *row, int layer, jt_role role, char *name, size_t cap) {
    const jt_family *f = m->config.family;
    const char *layers = f->hf_layers ? f->hf_layers : "model.layers.";
    if (m->gguf)
        jt_role_once(role) ? snprintf(name, cap, "%s", row->gguf) : snprintf(name, cap, "blk.%d.%s", layer, row->gguf);
    else
        jt_role_once(role) ? snprintf(name, cap, "%s", row->hf) : snprintf(name, cap, "%s%d.%s", layers, layer, row->hf);
    if (!m->gguf) jt_model_place(&m->config, m->tensors, name, cap);
    if (!m->gguf) jt_safetensors_old_name(m->tensors, name, cap);
}

static jt_status load_role(jt_model *m, int layer, jt_role role, jt_error *err) {
    const jt_role_row own = jt_config_row(m->gguf, &m->config, layer, role), *row = &own;
    jt_ref *ref = &m->ref[jt_net_ref_index(layer, role)];
    char name[160];
    bool found = false, tied = role == JT_W_HEAD && m->config.tied;
    jt_status s = JT_OK;
    if ((m->gguf ? !row->gguf : !row->hf) || !jt_config_has(&m->config, role)) return JT_OK;
    load_name(m, row, layer, role, name, sizeof name);
    if (row->experts)
        s = load_experts(m, row, role, name, ref, &found, err);
    else if (row->hf_heads && !m->gguf)
        s = load_heads(m, role, name, ref, &found, err);
    else if (!tied)
        s = add_weight(m, row, role, name, ref, &found, err);
    if (!s && !found && role == JT_W_KV_B && m->gguf) s = load_latent(m, layer, ref, &found, err);
    if (s || found) return s;
    if (tied || (row->optional && !jt_config_needs(&m->config, role))) {
        if (role == JT_W_HEAD) *ref = m->ref[JT_W_EMBED];
        return JT_OK;
    }
    return jt_error_set(err, JT_FORMAT, "tensor %s is missing", name);
}

/* Whether a name ends so; the weight that such a tensor is part of is then named in `other`. */
static bool load_part_of(const char *name, const char *end, const char *instead, char *other, size_t cap) {
    size_t n = strlen(name), tail = strlen(end);
    if (n <= tail || n >= cap || strcmp(name + n - tail, end) != 0) return false;
    snprintf(other, cap, "%.*s%s", (int)(n - tail), name, instead);
    return true;
}

/* Whether a name is that of one head's part of a vector, ".norms.N.weight"; that of the whole is then in `other`. */
static bool load_of_head(const char *name, char *other, size_t cap) {
    const char *at = strstr(name, ".norms.");
    if (!at) return false;
    size_t digits = strspn(at + 7, "0123456789");
    snprintf(other, cap, "%.*s.norms.*%s", (int)(at - name), name, at + 7 + digits);
    return digits > 0;
}

static bool load_used(const jt_model *m, const jt_names *used, const char *name) {
    static const char layers[] = "model.layers.";
    char other[192];
    if (m->config.spare_layers && !m->gguf && !strncmp(name, layers, sizeof layers - 1)) {
        int layer = 0;
        for (const char *p = name + sizeof layers - 1; *p >= '0' && *p <= '9' && layer < JT_CONFIG_LAYERS; p++)
            layer = layer * 10 + *p - '0';
        if (layer >= m->config.layers && layer < m->config.layers + m->config.spare_layers) return true;
    }
    if (m->gguf
            ? load_part_of(name, "attn_v_b.weight", "attn_k_b.weight", other, sizeof other)
            : load_part_of(name, "_scales", "_blocks", other, sizeof other) || load_part_of(name, "_scale_inv", "", other, sizeof other))
        name = other;
    else if (!m->gguf && load_of_head(name, other, sizeof other))
        name = other;
    size_t at;
    return jt_names_find(used, name, &at);
}

bool jt_model_other_part(const jt_config *c, const char *name) {
    return c->part && (strstr(name, "vision_tower.") || strstr(name, "multi_modal_projector."));
}

static bool load_idle(const jt_model *m, const char *name) {
    const char *const *tail = m->gguf ? NULL : m->config.family->hf_idle;
    size_t n = strlen(name);
    for (; tail && *tail; tail++)
        if (n >= strlen(*tail) && !strcmp(name + n - strlen(*tail), *tail)) return true;
    if (jt_model_other_part(&m->config, name)) return true;
    return !m->gguf && (strstr(name, "rotary_emb.inv_freq") || /* a buffer that old checkpoints carry; it follows from the settings */
                        (m->config.tied && !strcmp(name, m->config.family->role[JT_W_HEAD].hf)));
}

/* A tensor that the network would ignore means a model that is not what we take it for. */
static jt_status refuse_unused(const jt_model *m, jt_error *err) {
    size_t n = m->gguf ? jt_gguf_tensors(m->gguf) : jt_safetensors_tensors(m->tensors), used = 0;
    for (size_t i = 0; i < m->weights.n; i++) used += !i || strcmp(m->weights.w[i].name, m->weights.w[i - 1].name) != 0;
    if (n == used) return JT_OK;
    jt_names names = {0};
    jt_status s = jt_names_new(m->weights.n, &names, err);
    for (size_t i = 0; i < m->weights.n && !s; i++) {
        size_t at = i;
        (void)jt_names_add(&names, m->weights.w[i].name, &at);
    }
    for (size_t i = 0; i < n && !s; i++) {
        const char *name = m->gguf ? jt_gguf_tensor_at(m->gguf, i)->name : jt_safetensors_tensor_at(m->tensors, i)->name;
        if (!load_idle(m, name) && !load_used(m, &names, name))
            s = jt_error_set(err, JT_UNSUPPORTED, "tensor %s has no place in the %s family as this build knows it", name,
                             m->config.family->name);
    }
    jt_names_free(&names);
    return s;
}

jt_status jt_model_load_weights(jt_model *m, jt_error *err) {
    size_t n = (size_t)JT_W_GLOBAL + (size_t)m->config.layers * (JT_W_ROLES - JT_W_GLOBAL);
    if (!(m->ref = jt_alloc(n, sizeof *m->ref))) return jt_nomem(err, "table of weights", n, sizeof *m->ref);
    for (size_t i = 0; i < n; i++) m->ref[i].tensor = JT_NO_TENSOR;
    jt_status s = JT_OK;
    for (int r = 0; r < JT_W_ROLES && !s; r++)
        if (jt_role_once(r)) s = load_role(m, 0, (jt_role)r, err);
    for (int i = 0; i < m->config.layers && !s; i++)
        for (int r = JT_W_GLOBAL; r < JT_W_TAIL && !s; r++)
            if (jt_layer_roles(&m->config, i) >> r & 1) s = load_role(m, i, (jt_role)r, err);
    if (s) return s;
    bool pooled = jt_net_has(m->ref, 0, JT_W_POOLED);
    if (m->config.pooled && !(pooled && jt_net_has(m->ref, 0, JT_W_CLASSES)))
        return jt_error_set(err, JT_FORMAT, "tensor %s is missing, which the head that classifies is made of",
                            m->gguf ? m->config.family->role[pooled ? JT_W_CLASSES : JT_W_POOLED].gguf
                                    : m->config.family->role[pooled ? JT_W_CLASSES : JT_W_POOLED].hf);
    m->config.pooled = pooled;
    return refuse_unused(m, err);
}

/* ---- tokenizer ---- */

static jt_status load_strings(const jt_gguf *g, const char *key, bool optional, jt_view **out, size_t *n, jt_error *err) {
    const jt_gguf_value *v;
    *out = NULL, *n = 0;
    if (optional && !jt_gguf_find(g, key)) return JT_OK;
    jt_status s = jt_gguf_get_array(g, key, JT_GGUF_STRING, &v, err);
    if (s) return s;
    jt_view *a = v->count <= SIZE_MAX ? jt_alloc((size_t)v->count, sizeof *a) : NULL;
    if (!a) return jt_nomem(err, key, (size_t)v->count, sizeof *a);
    for (uint64_t i = 0; i < v->count; i++) jt_gguf_item_text(v, i, &a[i].s, &a[i].n);
    *out = a, *n = (size_t)v->count;
    return JT_OK;
}

static jt_status load_types(const jt_gguf *g, size_t vocab, int32_t **out, jt_error *err) {
    static const char key[] = "tokenizer.ggml.token_type";
    const jt_gguf_value *v;
    if (!jt_gguf_find(g, key)) return JT_OK;
    jt_status s = jt_gguf_get_array(g, key, JT_GGUF_I32, &v, err);
    if (s) return s;
    if (v->count != vocab)
        return jt_error_set(err, JT_FORMAT, "%s has %llu items for %zu tokens", key, (unsigned long long)v->count, vocab);
    if (!(*out = jt_alloc(vocab, sizeof **out))) return jt_nomem(err, key, vocab, sizeof **out);
    for (size_t i = 0; i < vocab; i++) {
        int64_t x = 0;
        jt_gguf_item_i64(v, i, &x);
        (*out)[i] = (int32_t)x;
    }
    return JT_OK;
}

static jt_status text_or_none(const jt_gguf *g, const char *key, jt_view *out, jt_error *err) {
    return jt_gguf_find(g, key) ? jt_gguf_get_text(g, key, &out->s, &out->n, err) : JT_OK;
}

static jt_status special_ids(const jt_gguf *g, jt_tokenizer_spec *t, jt_error *err) {
    const struct {
        const char *key;
        int32_t *id;
    } row[] = {{"tokenizer.ggml.bos_token_id", &t->bos},       {"tokenizer.ggml.eos_token_id", &t->eos},
               {"tokenizer.ggml.cls_token_id", &t->bos}, /* of BERT's files */
               {"tokenizer.ggml.seperator_token_id", &t->eos}, {"tokenizer.ggml.eot_token_id", &t->eot},
               {"tokenizer.ggml.eom_token_id", &t->eom},       {"tokenizer.ggml.unknown_token_id", &t->unk}};
    for (size_t i = 0; i < sizeof row / sizeof *row; i++) {
        uint64_t v;
        if (!jt_gguf_find(g, row[i].key)) continue;
        jt_status s = jt_gguf_get_u64(g, row[i].key, &v, err);
        if (s) return s;
        if (v >= t->vocab)
            return jt_error_set(err, JT_FORMAT, "%s is %llu, outside the vocabulary of %zu", row[i].key, (unsigned long long)v, t->vocab);
        *row[i].id = (int32_t)v;
    }
    return JT_OK;
}

/* 0 or 1, or *out as it was when the key is absent. */
static jt_status maybe_bool(const jt_gguf *g, const char *key, int *out, jt_error *err) {
    bool v = false;
    jt_status s = jt_gguf_get_bool_or(g, key, false, &v, err);
    if (!s && jt_gguf_find(g, key)) *out = v;
    return s;
}

/* What SentencePiece's vocabularies have beside their pieces. */
static jt_status load_pieces(const jt_gguf *g, jt_tokenizer_spec *t, float **scores, jt_error *err) {
    static const char score[] = "tokenizer.ggml.scores", chars[] = "tokenizer.ggml.precompiled_charsmap";
    const jt_gguf_value *v;
    jt_status s = maybe_bool(g, "tokenizer.ggml.add_space_prefix", &t->add_space_prefix, err);
    if (!s) s = maybe_bool(g, "tokenizer.ggml.remove_extra_whitespaces", &t->remove_extra_spaces, err);
    if (!s && jt_gguf_find(g, score)) {
        if ((s = jt_gguf_get_array(g, score, JT_GGUF_F32, &v, err))) return s;
        if (v->count != t->vocab)
            return jt_error_set(err, JT_FORMAT, "%s has %llu items for %zu tokens", score, (unsigned long long)v->count, t->vocab);
        if (!(*scores = jt_alloc(t->vocab, sizeof **scores))) return jt_nomem(err, score, t->vocab, sizeof **scores);
        for (size_t i = 0; i < t->vocab; i++) {
            double x = 0;
            jt_gguf_item_double(v, i, &x);
            if (x != x) return jt_error_set(err, JT_FORMAT, "%s[%zu] is no number", score, i);
            (*scores)[i] = (float)x;
        }
        t->scores = *scores;
    }
    const jt_gguf_value *c = s ? NULL : jt_gguf_find(g, chars);
    if (!c) return s;
    if ((s = jt_gguf_get_array(g, chars, c->element == JT_GGUF_I8 ? JT_GGUF_I8 : JT_GGUF_U8, &v, err))) return s;
    t->charsmap = (jt_view){(const char *)v->at, (size_t)v->count};
    return JT_OK;
}

/* What BERT's files say of their normaliser; mostly nothing. */
static jt_status load_normaliser(const jt_gguf *g, jt_wordpiece_options *o, jt_error *err) {
    *o = (jt_wordpiece_options){.given = true, .clean = true, .cjk = true};
    jt_status s = jt_gguf_get_bool_or(g, "tokenizer.ggml.normalizer.lowercase", true, &o->lower, err);
    return s ? s : jt_gguf_get_bool_or(g, "tokenizer.ggml.normalizer.strip_accents", o->lower, &o->strip, err);
}

/* Byte-level files older than tokenizer.ggml.pre: an architecture whose models all cut text one way says it. */
static jt_status load_pre(const jt_gguf *g, jt_tokenizer_spec *t, jt_error *err) {
    static const char *const known[][2] = {
        {"gpt2", "gpt-2"},          {"gptneox", "olmo"},         {"mpt", "mpt"},       {"olmo", "olmo"},
        {"phi2", "gpt-2"},          {"bloom", "bloom"},          {"falcon", "falcon"}, {"refact", "refact"},
        {"starcoder", "starcoder"}, {"starcoder2", "starcoder"}, {"jais", "jais"},     {"codeshell", "codeshell"},
        {"dbrx", "dbrx"},           {"command-r", "command-r"},  {"qwen2", "qwen2"},   {"qwen2moe", "qwen2"},
    };
    jt_view arch = {0};
    jt_status s = text_or_none(g, "tokenizer.ggml.pre", &t->pre, err);
    if (s || t->pre.s || t->model.n != 4 || memcmp(t->model.s, "gpt2", 4) != 0) return s;
    s = text_or_none(g, "general.architecture", &arch, err);
    for (size_t i = 0; !s && i < sizeof known / sizeof *known; i++)
        if (arch.n == strlen(known[i][0]) && !memcmp(arch.s, known[i][0], arch.n)) t->pre = (jt_view){known[i][1], strlen(known[i][1])};
    return s;
}

jt_status jt_model_load_tokenizer(const jt_gguf *g, jt_tokenizer **out, jt_error *err) {
    jt_tokenizer_spec t;
    jt_view *tokens = NULL, *merges = NULL;
    int32_t *type = NULL;
    float *scores = NULL;
    jt_tokenizer_spec_init(&t);
    *out = NULL;
    if (!jt_gguf_find(g, "tokenizer.ggml.model")) return JT_OK;
    jt_status s = text_or_none(g, "tokenizer.ggml.model", &t.model, err);
    if (!s && t.model.n == 4 && !memcmp(t.model.s, "none", 4)) return JT_OK;
    if (!s) s = load_pre(g, &t, err);
    if (!s) s = text_or_none(g, "tokenizer.chat_template", &t.chat_template, err);
    if (!s) s = load_strings(g, "tokenizer.ggml.tokens", false, &tokens, &t.vocab, err);
    if (!s) s = load_strings(g, "tokenizer.ggml.merges", true, &merges, &t.n_merges, err);
    if (!s) s = load_types(g, t.vocab, &type, err);
    if (!s) s = special_ids(g, &t, err);
    if (!s) s = maybe_bool(g, "tokenizer.ggml.add_bos_token", &t.add_bos, err);
    if (!s) s = maybe_bool(g, "tokenizer.ggml.add_eos_token", &t.add_eos, err);
    if (!s) s = load_pieces(g, &t, &scores, err);
    if (!s && t.model.n == 4 && !memcmp(t.model.s, "bert", 4)) s = load_normaliser(g, &t.wordpiece, err);
    t.tokens = tokens, t.merges = merges, t.types = type;
    if (!s) s = jt_tokenizer_new(&t, out, err);
    jt_free(tokens), jt_free(merges), jt_free(type), jt_free(scores);
    return s;
}

/* convert_plan.c: what is written, of what it is made, and under which names: from the tables of the families when the
 * two sides are of different kinds, as it stands when they are of the same. */
#include <string.h>

#include "core/file.h"
#include "model/convert.h"
#include "model/model.h"
#include "model/names.h"
#include "model/network.h"
#include "model/rope.h"

/* A tensor of either kind of file. */
struct plan_source {
    const jt_format *format;
    int n_dims;
    uint64_t dim[JT_CONVERT_DIMS]; /* outermost first */
    uint64_t elements;
    const uint8_t *data;
    size_t index; /* in the file */
    const jt_fp8 *fp8;
};

/* How much of each tensor of the input was used. */
struct plan {
    jt_conversion *c;
    uint64_t *used; /* elements, by index in the file */
};

static jt_status plan_gguf(const jt_gguf *g, const jt_gguf_tensor *t, struct plan_source *s, jt_error *err) {
    if (!t->format)
        return jt_error_set(err, JT_UNSUPPORTED, "tensor %.200s is of type %u, which this build does not know", t->name, t->type);
    *s = (struct plan_source){.format = t->format, .n_dims = t->n_dims, .elements = t->elements, .data = t->data};
    for (int i = 0; i < t->n_dims; i++) s->dim[i] = t->dim[t->n_dims - 1 - i];
    s->index = (size_t)(t - jt_gguf_tensor_at(g, 0));
    return JT_OK;
}

static jt_status plan_st(const jt_safetensors *f, const jt_st_tensor *t, struct plan_source *s, jt_error *err) {
    const jt_format *format = t->dtype->computed ? jt_format_named(t->dtype->computed) : NULL;
    if (!format)
        return jt_error_set(err, JT_UNSUPPORTED,
                            "tensor %.200s has dtype %s, which is not converted; F32, F16 and BF16 are: save the model in one of these",
                            t->name, t->dtype->name);
    *s = (struct plan_source){.format = format, .n_dims = t->n_dims, .elements = t->elements, .data = t->data};
    for (int i = 0; i < t->n_dims; i++) s->dim[i] = t->dim[i];
    s->index = (size_t)(t - jt_safetensors_tensor_at(f, 0));
    return JT_OK;
}

/* Weights in FP8, which are written as float32 numbers. Their scales count as used. */
static jt_status plan_fp8(struct plan *p, const jt_st_tensor *t, struct plan_source *s, jt_error *err) {
    jt_fp8 w;
    jt_status e = jt_fp8_open(p->c->tensors, &p->c->config, t, &w, err);
    if (e) return e;
    const char *copy = jt_arena_copy(&p->c->arena, (const char *)&w, sizeof w);
    if (!copy) return jt_nomem(err, t->name, 1, sizeof w);
    *s = (struct plan_source){.format = jt_format_of(JT_F32), .n_dims = 2, .elements = t->elements, .data = t->data};
    s->fp8 = (const void *)copy, s->dim[0] = w.rows, s->dim[1] = w.cols;
    s->index = (size_t)(t - jt_safetensors_tensor_at(p->c->tensors, 0));
    p->used[w.scale - jt_safetensors_tensor_at(p->c->tensors, 0)] = w.scale->elements;
    return JT_OK;
}

static jt_status plan_find(struct plan *p, const char *name, struct plan_source *s, bool *found, jt_error *err) {
    const jt_conversion *c = p->c;
    *found = false;
    if (c->gguf) {
        const jt_gguf_tensor *t = jt_gguf_tensor_named(c->gguf, name);
        if (!t) return JT_OK;
        *found = true;
        return plan_gguf(c->gguf, t, s, err);
    }
    const jt_st_tensor *t = jt_safetensors_tensor_named(c->tensors, name);
    if (!t) return JT_OK;
    *found = true;
    return jt_fp8_is(&c->config, t) ? plan_fp8(p, t, s, err) : plan_st(c->tensors, t, s, err);
}

static jt_status plan_new(jt_conversion *c, const char *name, const char *from, jt_convert_tensor **out, jt_error *err) {
    jt_status s = jt_grow((void **)&c->made, &c->cap, c->n + 1, sizeof *c->made, err);
    if (s) return s;
    jt_convert_tensor *t = &c->made[c->n];
    *t = (jt_convert_tensor){.name = jt_arena_copy(&c->arena, name, strlen(name)), .from = jt_arena_copy(&c->arena, from, strlen(from))};
    if (!t->name || !t->from) return jt_nomem(err, "a tensor's name", strlen(name) + 1, 1);
    c->n++;
    *out = t;
    return JT_OK;
}

static jt_status plan_piece(jt_convert_tensor *t, const jt_convert_piece *p, jt_error *err) {
    jt_status s = jt_grow((void **)&t->piece, &t->cap_piece, t->n_piece + 1, sizeof *t->piece, err);
    if (!s) t->piece[t->n_piece++] = *p;
    return s;
}

/* ---- as it stands ---- */

static jt_status plan_same(jt_conversion *c, const char *name, const struct plan_source *s, jt_error *err) {
    jt_convert_tensor *t;
    jt_convert_piece p = {.format = s->format, .data = s->data, .step = 1, .to_step = 1};
    jt_status e = plan_new(c, name, name, &t, err);
    if (e) return e;
    t->format = s->format, t->n_dims = s->n_dims;
    memcpy(t->dim, s->dim, sizeof t->dim);
    t->cols = s->n_dims ? s->dim[s->n_dims - 1] : 1;
    t->rows = t->cols ? s->elements / t->cols : 0;
    t->matrix = s->n_dims >= 2;
    if (s->n_dims == 3) t->expert_rows = s->dim[1];
    p.rows = t->rows, p.cols = t->cols;
    uint64_t bytes;
    if (!jt_format_bytes(p.format, p.cols, &p.row_bytes) || !jt_format_bytes(p.format, s->elements, &bytes))
        return jt_error_set(err, JT_FORMAT, "tensor %.200s: rows of %llu are no whole blocks of %s", name, (unsigned long long)p.cols,
                            p.format->name);
    p.bytes = (size_t)bytes;
    return s->elements ? plan_piece(t, &p, err) : JT_OK;
}

static jt_status plan_all_same(jt_conversion *c, jt_error *err) {
    struct plan_source s;
    jt_status e = JT_OK;
    for (size_t i = 0; c->gguf && !e && i < jt_gguf_tensors(c->gguf); i++) {
        const jt_gguf_tensor *t = jt_gguf_tensor_at(c->gguf, i);
        if (!(e = plan_gguf(c->gguf, t, &s, err))) e = plan_same(c, t->name, &s, err);
    }
    for (size_t i = 0; c->tensors && !e && i < jt_safetensors_tensors(c->tensors); i++) {
        const jt_st_tensor *t = jt_safetensors_tensor_at(c->tensors, i);
        if (!(e = plan_st(c->tensors, t, &s, err))) e = plan_same(c, t->name, &s, err);
    }
    return e;
}

/* ---- by the tables ---- */

/* The name of a role's tensor; that of a folder that is read as it begins there. */
static void plan_name(const jt_conversion *c, int layer, jt_role r, bool gguf, char *out, size_t cap) {
    const jt_family *f = c->config.family;
    const jt_role_row own = jt_config_row(gguf ? c->gguf : NULL, &c->config, layer, r), *row = &own;
    const char *layers = f->hf_layers ? f->hf_layers : "model.layers.";
    if (jt_role_once(r))
        snprintf(out, cap, "%s", gguf ? row->gguf : row->hf);
    else if (gguf)
        snprintf(out, cap, "blk.%d.%s", layer, row->gguf);
    else
        snprintf(out, cap, "%s%d.%s", layers, layer, row->hf);
    if (c->tensors && !gguf) jt_model_place(&c->config, c->tensors, out, cap), jt_safetensors_old_name(c->tensors, out, cap);
}

static bool plan_has(const jt_conversion *c, int layer, int r) {
    const jt_role_row *row = &c->config.family->role[r];
    if (!row->gguf || !row->hf || (r == JT_W_HEAD && c->config.tied) || !jt_config_has(&c->config, (jt_role)r)) return false;
    return jt_role_once(r) ? layer == 0 : jt_layer_roles(&c->config, layer) >> r & 1;
}

/* Outputs and inputs of a role; a vector has one input. */
static void plan_size(const jt_conversion *c, int r, uint64_t *rows, uint64_t *cols) {
    int a, b;
    jt_config_shape(&c->config, (jt_role)r, &a, &b);
    bool vector = c->config.family->role[r].vector;
    *rows = vector ? (uint64_t)b : (uint64_t)a, *cols = vector ? 1 : (uint64_t)b;
}

/* Where the outputs of a role begin in a tensor that several share, and how many all have. */
static void plan_stack(const jt_conversion *c, const jt_role *stack, jt_role r, uint64_t *first, uint64_t *all) {
    uint64_t rows, cols;
    *first = *all = 0;
    for (; *stack != JT_W_ROLES; stack++) {
        plan_size(c, *stack, &rows, &cols);
        if (*stack == r) *first = *all;
        *all += rows;
    }
}

/* The shape of what is written, outermost first, where files have more dimensions than the network. */
static int plan_dims(const jt_conversion *c, int r, uint64_t rows, uint64_t cols, uint64_t *dim) {
    const jt_config *k = &c->config;
    uint64_t taps = (uint64_t)k->ssm_taps, groups = (uint64_t)k->ssm_groups;
    switch ((jt_role)r) {
    case JT_W_SSM_CONV: dim[0] = rows / taps, dim[1] = c->to_gguf ? taps : 1, dim[2] = taps; return c->to_gguf ? 2 : 3;
    case JT_W_SSM_A:
    case JT_W_SSM_D: dim[0] = rows, dim[1] = 1; return c->to_gguf ? 2 : 1;
    case JT_W_S_ROUTER: dim[0] = c->to_gguf ? cols : rows, dim[1] = cols; return c->to_gguf ? 1 : 2;
    case JT_W_Q_NORM:
    case JT_W_K_NORM:
        if (k->qk_norm != JT_QK_EACH || !c->to_gguf) break;
        dim[0] = rows / (uint64_t)k->head_dim, dim[1] = (uint64_t)k->head_dim;
        return 2;
    case JT_W_SSM_NORM: dim[0] = c->to_gguf ? groups : rows, dim[1] = rows / groups; return c->to_gguf ? 2 : 1;
    default: break;
    }
    dim[0] = rows, dim[1] = cols;
    return k->family->role[r].vector ? 1 : 2;
}

/* What is done to the numbers of a role. */
static void plan_turn(const jt_conversion *c, jt_role r, jt_convert_piece *p) {
    const jt_config *k = &c->config;
    const jt_role_row *row = &k->family->role[r];
    if (row->hf_log) p->turn = c->to_gguf ? JT_TURN_NEG_EXP : JT_TURN_LOG_NEG;
    if (row->hf_less_one) p->turn = JT_TURN_ADD, p->by = c->to_gguf ? 1 : -1;
    if (k->family->gguf_interleaves && (r == JT_W_Q || r == JT_W_K || r == JT_W_Q_BIAS || r == JT_W_K_BIAS))
        p->head = k->head_dim, p->rot = k->rope_dims ? k->rope_dims : k->head_dim, p->interleave = c->to_gguf;
}

/* The piece of the input that is a role's. */
static jt_status plan_take(struct plan *p, const jt_role_row *row, jt_role r, const char *from, const struct plan_source *s,
                           jt_convert_piece *out, jt_error *err) {
    const jt_conversion *c = p->c;
    const jt_role *stack = c->gguf ? row->gguf_stack : row->hf_stack;
    uint64_t first = 0, all, width, whole, bytes;
    *out = (jt_convert_piece){.format = s->format, .fp8 = s->fp8, .role = r, .step = 1, .to_step = 1};
    plan_size(c, r, &out->rows, &out->cols);
    all = out->rows;
    if (stack) plan_stack(c, stack, r, &first, &all);
    bool turned = row->hf_by_input && !c->gguf && !row->vector;
    width = turned ? all : out->cols;
    if (!jt_mul_u64(all, out->cols, &whole) || whole != s->elements || (!row->vector && s->dim[s->n_dims - 1] != width))
        return jt_error_set(err, JT_FORMAT, "tensor %s has %llu numbers; the model's settings ask for [%llu, %llu]", from,
                            (unsigned long long)s->elements, (unsigned long long)all, (unsigned long long)out->cols);
    if (!jt_format_bytes(s->format, width, &out->row_bytes) || !jt_format_bytes(s->format, s->elements, &bytes))
        return jt_error_set(err, JT_FORMAT, "tensor %s: rows of %llu are no whole blocks of %s", from, (unsigned long long)width,
                            s->format->name);
    out->data = s->data, out->bytes = (size_t)(s->fp8 ? s->elements : bytes), out->across = turned;
    if (turned)
        out->first = first, out->line = all;
    else
        out->first = first;
    p->used[s->index] += out->rows * out->cols;
    plan_turn(c, r, out);
    return JT_OK;
}

/* Puts a piece where the order of the stack wants it. */
static jt_status plan_put(jt_convert_tensor *t, jt_convert_piece piece, jt_error *err) {
    jt_status s = plan_piece(t, &piece, err);
    for (size_t i = t->n_piece - 1; !s && t->stack && i > 0; i--) {
        size_t a = 0, b = 0;
        while (t->stack[a] != t->piece[i - 1].role && t->stack[a] != JT_W_ROLES) a++;
        while (t->stack[b] != piece.role && t->stack[b] != JT_W_ROLES) b++;
        if (a < b) break;
        t->piece[i] = t->piece[i - 1], t->piece[i - 1] = piece;
    }
    for (size_t i = 1; t->beside && i < t->n_piece; i++) t->piece[i].to = t->piece[i - 1].to + t->piece[i - 1].cols;
    return s;
}

/* ---- experts ---- */

/* A tensor of all experts, or of one of them, as it is written. */
static jt_status plan_expert_tensor(jt_conversion *c, jt_role r, const char *to, const char *from, const jt_format *f, uint64_t planes,
                                    jt_convert_tensor **out, jt_error *err) {
    const jt_role_row *row = &c->config.family->role[r];
    uint64_t rows, cols, step = row->hf_part && !c->to_gguf ? 2 : 1;
    bool turned = row->hf_by_input && !c->to_gguf && !row->vector;
    jt_convert_tensor *t = NULL;
    plan_size(c, r, &rows, &cols);
    for (size_t i = c->n; !t && i-- > 0;)
        if (!strcmp(c->made[i].name, to)) t = &c->made[i];
    *out = t;
    if (t) return JT_OK;
    jt_status s = plan_new(c, to, from, &t, err);
    if (s) return s;
    t->format = f, t->matrix = !row->vector;
    if (row->vector) {
        t->n_dims = 2, t->dim[0] = planes, t->dim[1] = rows * step;
        t->rows = planes, t->cols = rows * step, t->beside = true;
    } else {
        t->beside = turned;
        t->rows = planes * (turned ? cols : rows * step), t->cols = turned ? rows * step : cols;
        t->n_dims = planes > 1 || !strchr(c->config.family->role[r].hf, '*') || c->to_gguf ? 3 : 2;
        t->dim[0] = planes;
        t->dim[t->n_dims - 2] = t->rows / planes, t->dim[t->n_dims - 1] = t->cols;
        if (!turned) t->expert_rows = t->rows / planes;
    }
    *out = t;
    return JT_OK;
}

/* Puts the piece of expert x; parts of one tensor go by expert, then by part. */
static jt_status plan_expert_put(jt_convert_tensor *t, jt_convert_piece piece, uint64_t x, int part, jt_error *err) {
    jt_status s = plan_piece(t, &piece, err);
    if (s || t->beside || part != 2) return s;
    size_t to = (size_t)(2 * x + 1);
    for (size_t i = t->n_piece - 1; i > to; i--) t->piece[i] = t->piece[i - 1];
    if (to < t->n_piece) t->piece[to] = piece;
    return JT_OK;
}

/* Numbers of all experts from one tensor: [experts][outputs][inputs], by input, in halves or in turns, or vectors. */
static jt_status plan_planes(struct plan *p, const jt_role_row *row, jt_role r, const char *from, const char *to,
                             const struct plan_source *s, jt_error *err) {
    jt_conversion *c = p->c;
    int in_part = c->gguf ? row->gguf_part : row->hf_part, out_part = c->to_gguf ? 0 : row->hf_part;
    bool from_turned = row->hf_by_input && !c->gguf, to_turned = row->hf_by_input && !c->to_gguf;
    uint64_t rows, cols, experts = (uint64_t)c->config.router.experts, step = in_part ? 2 : 1, plane, line_bytes;
    const char *star = c->to_gguf ? NULL : strchr(to, '*');
    jt_convert_tensor *t;
    plan_size(c, r, &rows, &cols);
    uint64_t line = from_turned || row->vector ? rows * step : cols;
    if (s->elements != experts * rows * step * cols || s->dim[s->n_dims - 1] != line ||
        !jt_format_bytes(s->format, rows * step * cols, &plane) || !jt_format_bytes(s->format, line, &line_bytes))
        return jt_error_set(err, JT_FORMAT, "tensor %s has %llu numbers; the model's settings ask for [%llu, %llu, %llu]", from,
                            (unsigned long long)s->elements, (unsigned long long)experts, (unsigned long long)(rows * step),
                            (unsigned long long)cols);
    p->used[s->index] += experts * rows * cols;
    jt_convert_piece all = {.format = s->format,
                            .data = s->data,
                            .rows = rows,
                            .cols = cols,
                            .row_bytes = line_bytes,
                            .step = 1,
                            .to_step = 1,
                            .role = r,
                            .bytes = (size_t)(plane * experts)};
    jt_status e = JT_OK;
    if (!star && (row->vector || to_turned)) { /* all in one piece, beside that of the other part */
        if ((e = plan_expert_tensor(c, r, to, from, s->format, experts, &t, err))) return e;
        all.across = true, all.plane_bytes = plane, all.plane_rows = row->vector ? 1 : cols;
        all.rows = t->rows, all.cols = rows, all.line = row->vector ? 1 : from_turned ? step : cols;
        if (row->vector) all.line = step, all.first = in_part == 2;
        all.to = out_part == 2, all.to_step = out_part ? 2 : 1;
        return plan_piece(t, &all, err);
    }
    for (uint64_t x = 0; x < experts && !e; x++) {
        jt_convert_piece one = all;
        char full[200];
        snprintf(full, sizeof full, "%s", to);
        if (star) snprintf(full, sizeof full, "%.*s%llu%s", (int)(star - to), to, (unsigned long long)x, star + 1);
        one.data += x * plane, one.bytes = (size_t)plane;
        if (from_turned)
            one.across = true, one.line = rows * step, one.step = step, one.first = in_part == 2;
        else if (in_part == 2)
            one.first = rows;
        e = plan_expert_tensor(c, r, full, from, s->format, star ? 1 : experts, &t, err);
        if (!e) e = plan_expert_put(t, one, x, out_part, err);
    }
    return e;
}

/* GPT-OSS's experts as Hugging Face keeps them: NAME_blocks and NAME_scales. */
static jt_status plan_mxfp4(struct plan *p, jt_role r, const char *from, const char *to, bool *found, jt_error *err) {
    jt_conversion *c = p->c;
    const jt_role_row *row = &c->config.family->role[r];
    uint64_t rows, cols, experts = (uint64_t)c->config.router.experts, step = row->hf_part ? 2 : 1, blocks;
    char name[192];
    jt_convert_tensor *t;
    snprintf(name, sizeof name, "%s_blocks", from);
    const jt_st_tensor *b = jt_safetensors_tensor_named(c->tensors, name);
    snprintf(name, sizeof name, "%s_scales", from);
    const jt_st_tensor *scale = jt_safetensors_tensor_named(c->tensors, name);
    if (!(*found = b && scale)) return JT_OK;
    plan_size(c, r, &rows, &cols);
    blocks = experts * rows * step * (cols / 32);
    if (cols % 32 || b->bytes != blocks * 16 || scale->bytes != blocks)
        return jt_error_set(err, JT_FORMAT, "tensor %s: its blocks and scales are not those of [%llu, %llu, %llu]", from,
                            (unsigned long long)experts, (unsigned long long)(rows * step), (unsigned long long)cols);
    jt_status s = plan_expert_tensor(c, r, to, from, jt_format_of(JT_MXFP4), experts, &t, err);
    for (uint64_t x = 0; x < experts && !s; x++) {
        jt_convert_piece one = {.format = jt_format_of(JT_MXFP4),
                                .data = b->data,
                                .scale = scale->data,
                                .rows = rows,
                                .cols = cols,
                                .row_bytes = cols / 32 * 17,
                                .to_step = 1,
                                .role = r,
                                .step = step};
        one.first = x * rows * step + (row->hf_part == 2);
        s = plan_expert_put(t, one, x, 0, err);
    }
    p->used[b - jt_safetensors_tensor_at(c->tensors, 0)] += b->elements / step;
    p->used[scale - jt_safetensors_tensor_at(c->tensors, 0)] += scale->elements / step;
    return s;
}

/* The tensor that takes expert x: of all, or of its own. */
static jt_status plan_expert_one(jt_conversion *c, jt_role r, const char *to, const char *from, const jt_format *f, int x,
                                 jt_convert_tensor **out, jt_error *err) {
    const char *star = c->to_gguf ? NULL : strchr(to, '*');
    char full[200];
    snprintf(full, sizeof full, "%s", to);
    if (star) snprintf(full, sizeof full, "%.*s%d%s", (int)(star - to), to, x, star + 1);
    return plan_expert_tensor(c, r, full, from, f, star ? 1 : (uint64_t)c->config.router.experts, out, err);
}

/* Vectors of which Hugging Face names one for each head. */
static jt_status plan_heads(struct plan *p, jt_role r, const char *from, const char *to, bool *found, jt_error *err) {
    jt_conversion *c = p->c;
    uint64_t rows, cols, dim = (uint64_t)c->config.head_dim;
    struct plan_source s = {0};
    jt_convert_tensor *t = NULL;
    plan_size(c, (int)r, &rows, &cols);
    for (uint64_t h = 0; h < rows / dim; h++) {
        char one[200];
        const char *name = c->gguf ? to : from, *star = strchr(name, '*');
        snprintf(one, sizeof one, "%.*s%llu%s", (int)(star - name), name, (unsigned long long)h, star + 1);
        jt_status e = h && c->gguf ? JT_OK : plan_find(p, c->gguf ? from : one, &s, found, err);
        if (e || (!*found && !h)) return e;
        if (!*found || s.elements != (c->gguf ? rows : dim) || s.format->block != 1)
            return jt_error_set(err, JT_FORMAT, "tensor %s is missing or not of the size that the settings ask for", c->gguf ? from : one);
        jt_convert_piece piece = {.format = s.format, .data = s.data, .rows = dim, .cols = 1, .role = r, .step = 1, .to_step = 1};
        piece.row_bytes = s.format->bytes, piece.first = c->gguf ? h * dim : 0, piece.bytes = (size_t)(s.elements * s.format->bytes);
        p->used[s.index] += dim;
        if (!t || c->gguf) {
            if ((e = plan_new(c, c->gguf ? one : to, from, &t, err))) return e;
            t->format = s.format, t->cols = 1;
        }
        t->rows += dim;
        t->n_dims = c->gguf ? 1 : plan_dims(c, (int)r, t->rows, 1, t->dim), t->dim[0] = t->rows / (c->gguf ? 1 : dim);
        if ((e = plan_piece(t, &piece, err))) return e;
    }
    return JT_OK;
}

static jt_status plan_experts(struct plan *p, const jt_role_row *row, jt_role r, const char *from, const char *to, bool *found,
                              jt_error *err) {
    jt_conversion *c = p->c;
    const char *star = strchr(from, '*');
    struct plan_source s;
    jt_convert_tensor *t;
    jt_status e = star ? JT_OK : plan_find(p, from, &s, found, err);
    if (e || (!star && *found)) return e ? e : plan_planes(p, row, r, from, to, &s, err);
    if (!star) return c->gguf ? JT_OK : plan_mxfp4(p, r, from, to, found, err);
    for (int x = 0; x < c->config.router.experts && !e; x++) {
        char full[200];
        jt_convert_piece piece;
        snprintf(full, sizeof full, "%.*s%d%s", (int)(star - from), from, x, star + 1);
        e = plan_find(p, full, &s, found, err);
        if (e || (!*found && !x)) return e;
        if (!*found) return jt_error_set(err, JT_FORMAT, "tensor %s is missing", full);
        e = plan_take(p, row, r, full, &s, &piece, err);
        if (!e) e = plan_expert_one(c, r, to, full, s.format, x, &t, err);
        if (!e) e = plan_expert_put(t, piece, (uint64_t)x, c->to_gguf ? 0 : row->hf_part, err);
    }
    return e;
}

/* Latent attention whose expansion a GGUF file has in two: keys [heads][rank][nope] and values [heads][vdim][rank]. */
static jt_status plan_latent(struct plan *p, int layer, const char *to, bool *found, jt_error *err) {
    jt_conversion *c = p->c;
    const jt_config *k = &c->config;
    uint64_t nope = (uint64_t)k->rope_at, vdim = (uint64_t)jt_config_value_dim(k), rank = (uint64_t)k->kv_rank, heads = (uint64_t)k->heads;
    char name[2][64];
    struct plan_source s[2];
    jt_convert_tensor *t;
    for (int i = 0; i < 2; i++) {
        snprintf(name[i], sizeof name[i], "blk.%d.attn_%c_b.weight", layer, i ? 'v' : 'k');
        jt_status e = plan_find(p, name[i], &s[i], found, err);
        if (e || !*found) return e;
        uint64_t cols = i ? rank : nope, rows = i ? vdim : rank;
        if (s[i].elements != heads * rows * cols || s[i].dim[s[i].n_dims - 1] != cols || cols % s[i].format->block)
            return jt_error_set(err, JT_FORMAT, "tensor %s is not of the shape that the model's settings ask for", name[i]);
        p->used[s[i].index] = s[i].elements;
    }
    jt_status e = plan_new(c, to, name[1], &t, err);
    if (e) return e;
    t->format = s[1].format, t->matrix = true, t->n_dims = 2;
    t->rows = t->dim[0] = heads * (nope + vdim), t->cols = t->dim[1] = rank;
    for (uint64_t h = 0; h < heads && !e; h++) {
        jt_convert_piece keys = {.format = s[0].format, .rows = nope, .cols = rank, .line = nope, .step = 1, .to_step = 1, .across = true};
        jt_convert_piece values = {.format = s[1].format, .rows = vdim, .cols = rank, .step = 1, .to_step = 1, .role = JT_W_KV_B};
        keys.row_bytes = nope / keys.format->block * keys.format->bytes,
        values.row_bytes = rank / values.format->block * values.format->bytes;
        keys.role = JT_W_KV_B, keys.layer = values.layer = layer;
        keys.bytes = (size_t)(rank * keys.row_bytes), values.bytes = (size_t)(vdim * values.row_bytes);
        keys.data = s[0].data + h * keys.bytes, values.data = s[1].data + h * values.bytes;
        if (!(e = plan_piece(t, &keys, err))) e = plan_piece(t, &values, err);
    }
    return e;
}

static jt_status plan_role(struct plan *p, int layer, jt_role r, jt_error *err) {
    jt_conversion *c = p->c;
    const jt_role_row own = jt_config_row(c->gguf, &c->config, layer, r), *row = &own;
    char from[160], to[160];
    struct plan_source s;
    jt_convert_piece piece;
    bool found = false, turned = row->hf_by_input && !c->to_gguf && !row->vector;
    jt_convert_tensor *t = NULL;
    plan_name(c, layer, r, c->gguf != NULL, from, sizeof from);
    plan_name(c, layer, r, c->to_gguf, to, sizeof to);
    jt_status e;
    if (row->experts)
        e = plan_experts(p, row, r, from, to, &found, err);
    else
        e = row->hf_heads ? plan_heads(p, r, from, to, &found, err) : plan_find(p, from, &s, &found, err);
    bool parted = !e && !found && r == JT_W_KV_B && c->gguf;
    if (parted && ((e = plan_latent(p, layer, to, &found, err)) || found)) return e;
    if (e || (!found && row->optional && !jt_config_needs(&c->config, r))) return e;
    if (!found) return jt_error_set(err, JT_FORMAT, "tensor %s is missing", from);
    if (row->experts || row->hf_heads) return JT_OK;
    if ((e = plan_take(p, row, r, from, &s, &piece, err))) return e;
    piece.layer = layer, piece.lora_across = turned;
    for (size_t i = c->n; !t && i-- > 0;)
        if (!strcmp(c->made[i].name, to)) t = &c->made[i];
    if (!t) {
        if ((e = plan_new(c, to, from, &t, err))) return e;
        t->format = s.format, t->matrix = !row->vector && (r != JT_W_S_ROUTER || !c->to_gguf), t->beside = turned;
        t->stack = c->to_gguf ? row->gguf_stack : row->hf_stack;
        if (turned)
            t->rows = piece.cols;
        else
            t->cols = piece.cols;
    }
    if (turned) {
        uint64_t rows = piece.rows;
        piece.data += piece.first * piece.row_bytes, piece.first = 0;
        piece.across = true, piece.line = piece.cols, piece.rows = piece.cols, piece.cols = rows;
        t->cols += rows;
    } else {
        t->rows += piece.rows;
    }
    t->n_dims = plan_dims(c, r, t->rows, t->cols, t->dim);
    return plan_put(t, piece, err);
}

/* Parts a tensor that keeps its name by the roles that lie in it. */
static jt_status plan_same_roles(jt_conversion *c, jt_convert_tensor *t, int layer, jt_role r, jt_error *err) {
    const jt_role_row own = jt_config_row(c->gguf, &c->config, layer, r), *row = &own;
    const jt_role *stack = c->gguf ? row->gguf_stack : row->hf_stack, alone[] = {r, JT_W_ROLES};
    jt_convert_piece whole = t->piece[0];
    uint64_t first = 0, rows, cols = 0;
    bool turned = row->hf_by_input && !c->gguf; /* rows are inputs, and the maps lie beside each other */
    t->n_piece = 0, t->beside = turned;
    for (stack = stack ? stack : alone; *stack != JT_W_ROLES; stack++) {
        jt_convert_piece one = whole;
        plan_size(c, *stack, &rows, &cols);
        one.role = *stack, one.layer = layer, one.lora_across = turned;
        if (turned)
            one.data += first * one.format->bytes, one.cols = rows, one.to = first;
        else
            one.first = first, one.rows = rows;
        first += rows;
        jt_status s = plan_piece(t, &one, err);
        if (s) return s;
    }
    if (first == (turned ? whole.cols : whole.rows) && cols == (turned ? whole.rows : whole.cols)) return JT_OK;
    return jt_error_set(err, JT_FORMAT, "tensor %s is not of the shape that the model's settings ask for", t->name);
}

/* For adapters: which weights the tensors are that keep their names. */
static jt_status plan_same_find(jt_conversion *c, jt_error *err) {
    char name[160];
    jt_names names = {0};
    jt_status s = jt_names_new(c->n, &names, err);
    for (size_t i = 0; !s && i < c->n; i++) {
        size_t at = i;
        (void)jt_names_add(&names, c->made[i].name, &at);
    }
    for (int layer = 0; !s && layer < c->config.layers; layer++)
        for (int r = JT_W_GLOBAL; !s && r < JT_W_TAIL; r++) {
            const jt_role_row own = jt_config_row(c->gguf, &c->config, layer, (jt_role)r), *row = &own;
            const jt_role *stack = c->gguf ? row->gguf_stack : row->hf_stack;
            size_t at;
            if (!plan_has(c, layer, r) || row->vector || row->experts || (stack && stack[0] != (jt_role)r)) continue;
            plan_name(c, layer, (jt_role)r, c->gguf != NULL, name, sizeof name);
            if (jt_names_find(&names, name, &at) && c->made[at].n_piece == 1) s = plan_same_roles(c, &c->made[at], layer, (jt_role)r, err);
        }
    jt_names_free(&names);
    return s;
}

/* ---- divisors of rotary frequencies, which are tensors in GGUF and settings in config.json ---- */

static jt_status plan_divisors(jt_conversion *c, jt_role r, const float *x, jt_error *err) {
    const char *name = c->config.family->role[r].gguf;
    uint64_t n = (uint64_t)c->config.rope_dims / 2;
    jt_convert_tensor *t;
    if (!name)
        return jt_error_set(err, JT_UNSUPPORTED, "the scaling of the rotary positions has no place in GGUF files of the %s family",
                            c->config.family->name);
    char *data = jt_arena_copy(&c->arena, (const char *)x, (size_t)n * sizeof *x);
    if (!data) return jt_nomem(err, name, (size_t)n, sizeof *x);
    jt_status s = plan_new(c, name, name, &t, err);
    if (s) return s;
    t->format = jt_format_of(JT_F32), t->rows = 1, t->cols = n, t->n_dims = 1, t->dim[0] = n;
    return plan_piece(
        t,
        &(jt_convert_piece){
            .format = t->format, .data = (const uint8_t *)data, .rows = 1, .cols = n, .row_bytes = n * sizeof *x, .step = 1, .to_step = 1},
        err);
}

static jt_status plan_rope(jt_conversion *c, jt_error *err) {
    const jt_config *k = &c->config;
    const jt_rope *r = &k->rope[0], plain = {.kind = JT_ROPE_PLAIN, .base = r->base};
    float x[JT_ROPE_PAIRS];
    if (!c->to_gguf || !k->rope_dims || k->rope_dims / 2 > JT_ROPE_PAIRS) return JT_OK;
    if (r->kind == JT_ROPE_LONG) {
        jt_status s = plan_divisors(c, JT_W_ROPE_LONG, k->rope_long, err);
        return s ? s : plan_divisors(c, JT_W_ROPE_SHORT, k->rope_short, err);
    }
    if (r->kind != JT_ROPE_LLAMA3) return JT_OK;
    for (int i = 0; i < k->rope_dims / 2; i++)
        x[i] = (float)(jt_rope_frequency(&plain, NULL, i, k->rope_dims, 0) / jt_rope_frequency(r, NULL, i, k->rope_dims, 0));
    return plan_divisors(c, JT_W_ROPE_FREQS, x, err);
}

/* Whether a tensor's numbers are in the settings, or no weights at all. */
static bool plan_idle(const jt_conversion *c, const char *name) {
    const jt_family *f = c->config.family;
    size_t n = strlen(name);
    for (int r = JT_W_ROPE_FREQS; c->gguf && r <= JT_W_ROPE_SHORT; r++)
        if (f->role[r].gguf && !strcmp(f->role[r].gguf, name)) return true;
    for (const char *const *tail = c->tensors ? f->hf_idle : NULL; tail && *tail; tail++)
        if (n >= strlen(*tail) && !strcmp(name + n - strlen(*tail), *tail)) return true;
    return c->tensors && (strstr(name, "rotary_emb.inv_freq") || (c->config.tied && !strcmp(name, f->role[JT_W_HEAD].hf)));
}

/* Every number of the input must have been used. */
static jt_status plan_unused(const struct plan *p, jt_error *err) {
    const jt_conversion *c = p->c;
    size_t n = c->gguf ? jt_gguf_tensors(c->gguf) : jt_safetensors_tensors(c->tensors), left = 0;
    for (size_t i = 0; i < n; i++) {
        const char *name = c->gguf ? jt_gguf_tensor_at(c->gguf, i)->name : jt_safetensors_tensor_at(c->tensors, i)->name;
        uint64_t all = c->gguf ? jt_gguf_tensor_at(c->gguf, i)->elements : jt_safetensors_tensor_at(c->tensors, i)->elements;
        if (p->used[i] == all || plan_idle(c, name)) continue;
        if (jt_model_other_part(&c->config, name)) {
            if (!left++) jt_convert_note(c, "tensor %.200s and others like it belong to the images; the part for text is written", name);
            continue;
        }
        return jt_error_set(err, JT_UNSUPPORTED, "tensor %.200s has no place in the %s family as this build converts it", name,
                            c->config.family->name);
    }
    return JT_OK;
}

static jt_status plan_tables(jt_conversion *c, jt_error *err) {
    size_t n = c->gguf ? jt_gguf_tensors(c->gguf) : jt_safetensors_tensors(c->tensors);
    struct plan p = {c, jt_alloc(n, sizeof *p.used)};
    if (!p.used) return jt_nomem(err, "list of tensors", n, sizeof *p.used);
    jt_status s = JT_OK;
    for (int r = 0; r < JT_W_ROLES && !s; r++)
        if (jt_role_once(r) && plan_has(c, 0, r)) s = plan_role(&p, 0, (jt_role)r, err);
    for (int i = 0; i < c->config.layers && !s; i++)
        for (int r = JT_W_GLOBAL; r < JT_W_TAIL && !s; r++)
            if (plan_has(c, i, r)) s = plan_role(&p, i, (jt_role)r, err);
    if (!s) s = plan_rope(c, err);
    if (!s) s = plan_unused(&p, err);
    jt_free(p.used);
    return s;
}

jt_status jt_convert_plan(jt_conversion *c, jt_error *err) {
    bool same = c->to_gguf == (c->gguf != NULL);
    jt_status s = same ? plan_all_same(c, err) : plan_tables(c, err);
    if (!s && same && c->options->adapter && c->has_config) s = plan_same_find(c, err);
    for (size_t i = 0; !s && i < c->n; i++) {
        c->info.tensors++, c->info.parameters += c->made[i].rows * c->made[i].cols;
        for (size_t k = 0; k < c->made[i].n_piece; k++) c->info.bytes_in += c->made[i].piece[k].bytes;
    }
    return s;
}

/* convert.c: a conversion from beginning to end (jeton/convert.h): the input is opened and the output planned; then the
 * tensors stream, one after another. */
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "core/file.h"
#include "core/hash.h"
#include "core/thread.h"
#include "jeton/adapter.h"
#include "model/convert.h"
#include "model/imatrix.h"

void jt_convert_note(const jt_conversion *c, const char *fmt, ...) {
    char text[400];
    va_list ap;
    if (!c->options->note) return;
    va_start(ap, fmt);
    vsnprintf(text, sizeof text, fmt, ap);
    va_end(ap);
    c->options->note(c->options->self, text);
}

static bool convert_is_gguf(const char *path) {
    size_t n = strlen(path);
    return n > 5 && !strcmp(path + n - 5, ".gguf");
}

/* Opens the input and reads its settings. Those of a GGUF file that stays one may be of a family that is not known. */
jt_status jt_convert_open(jt_conversion *c, jt_error *err) {
    jt_status s;
    jt_error other;
    if (!jt_is_folder(c->in)) {
        if ((s = jt_gguf_open(c->in, &c->gguf, err))) return s;
        s = jt_config_from_gguf(c->gguf, &c->config, c->to_gguf ? &other : err);
        c->has_config = !s;
        return s && !c->to_gguf ? jt_error_in(err, s, "%s", c->in) : JT_OK;
    }
    jt_str name = {0};
    jt_str_printf(&name, "%s/config.json", c->in);
    s = jt_str_check(&name, err);
    if (!s) s = jt_json_read(name.s, &c->json, err);
    if (!s && (s = jt_config_from_hf(c->json, &c->config, c->to_gguf ? err : &other))) {
        if (c->to_gguf)
            s = jt_error_in(err, s, "%s", name.s);
        else
            s = JT_OK;
    } else if (!s) {
        c->has_config = true;
    }
    bool normalise;
    jt_str_free(&name);
    if (!s && c->has_config) s = jt_folder_pooling(c->in, c->config.encoder, &c->config.pooling, &normalise, err);
    return s ? s : jt_safetensors_open(c->in, &c->tensors, err);
}

/* ---- writing ---- */

static jt_status convert_sink_gguf(void *to, const void *p, size_t n, jt_error *err) { return jt_gguf_write(to, p, n, err); }

struct convert_st {
    jt_st_set *set;
    size_t tensor;
};

static jt_status convert_sink_st(void *to, const void *p, size_t n, jt_error *err) {
    const struct convert_st *s = to;
    return jt_st_set_write(s->set, s->tensor, p, n, err);
}

/* What is written passes here, so that even a large tensor can be cancelled. */
struct convert_watched {
    const jt_conversion *c;
    const jt_format *format;
    jt_convert_sink *sink;
    void *to;
    double done; /* numbers */
};

static jt_status convert_sink_watched(void *to, const void *p, size_t n, jt_error *err) {
    struct convert_watched *w = to;
    const jt_convert_options *o = w->c->options;
    w->done += (double)n / w->format->bytes * w->format->block;
    if (o->progress && o->progress(o->self, w->done / ((double)w->c->info.parameters + 1)))
        return jt_error_set(err, JT_CANCELLED, "the conversion was cancelled");
    return w->sink(w->to, p, n, err);
}

/* Tensors whose bytes are to be written, in order. */
static jt_status convert_stream_all(jt_conversion *c, jt_convert_sink *sink, void *to, size_t *tensor, jt_error *err) {
    jt_pool *pool = NULL;
    struct convert_watched w = {.c = c, .sink = sink, .to = to};
    jt_status s = jt_pool_new(c->options->threads, &pool, err);
    for (size_t i = 0; !s && i < c->n; i++) {
        if (tensor) *tensor = i;
        w.format = c->made[i].format;
        s = jt_convert_stream(&c->made[i], pool, convert_sink_watched, &w, err);
    }
    jt_pool_free(pool);
    return s;
}

static jt_status convert_to_gguf(jt_conversion *c, jt_error *err) {
    jt_gguf_meta m = {0};
    jt_gguf_writer *w = NULL;
    jt_gguf_spec *spec = jt_alloc(c->n, sizeof *spec);
    jt_status s = spec ? JT_OK : jt_nomem(err, "list of tensors", c->n, sizeof *spec);
    if (!s) s = jt_convert_config_gguf(c, &m, err);
    if (!s && c->tensors) s = jt_convert_text_gguf(c, &m, err);
    for (size_t i = 0; !s && i < c->n; i++) {
        const jt_convert_tensor *t = &c->made[i];
        spec[i] = (jt_gguf_spec){t->name, t->format, t->n_dims, {1, 1, 1, 1}};
        if (t->n_dims > 4) s = jt_error_set(err, JT_UNSUPPORTED, "tensor %.200s has %d dimensions; GGUF holds 4", t->name, t->n_dims);
        for (int k = 0; !s && k < t->n_dims; k++) spec[i].dim[k] = t->dim[t->n_dims - 1 - k];
    }
    if (!s) s = jt_gguf_create(c->out, &m, spec, c->n, c->options->part_bytes, &w, err);
    if (!s) s = convert_stream_all(c, convert_sink_gguf, w, NULL, err);
    if (!s) {
        c->info.files = jt_gguf_parts(w);
        s = jt_gguf_commit(w, err);
        w = NULL;
    }
    jt_gguf_abandon(w);
    jt_gguf_meta_free(&m);
    jt_free(spec);
    return s;
}

static void convert_member(jt_str *o, const char *key, const char *s, size_t n) {
    jt_str_putc(o, ',');
    jt_str_json(o, key, strlen(key));
    jt_str_putc(o, ':');
    jt_str_json(o, s, n);
}

/* What the input says of itself. */
static void convert_metadata(const jt_conversion *c, jt_str *o) {
    const char *key, *text;
    size_t n;
    for (size_t i = 0; c->tensors && jt_safetensors_metadata_at(c->tensors, i, &key, &text); i++)
        if (strcmp(key, "format") != 0) convert_member(o, key, text, strlen(text));
    for (size_t i = 0; c->gguf && i < jt_gguf_values(c->gguf); i++) {
        const jt_gguf_value *v = jt_gguf_value_at(c->gguf, i);
        if (v->type == JT_GGUF_STRING && !strncmp(v->key, "general.", 8) && jt_gguf_item_text(v, 0, &text, &n))
            convert_member(o, v->key, text, n);
    }
}

static jt_status convert_weights_hf(jt_conversion *c, const char *folder, jt_error *err) {
    struct convert_st to = {0};
    jt_str metadata = {0};
    jt_st_spec *spec = jt_alloc(c->n, sizeof *spec);
    if (!spec) return jt_nomem(err, "list of tensors", c->n, sizeof *spec);
    for (size_t i = 0; i < c->n; i++) {
        const jt_convert_tensor *t = &c->made[i];
        const char *dtype = t->format->type == JT_F32 ? "F32" : t->format->type == JT_F16 ? "F16" : "BF16";
        spec[i] = (jt_st_spec){.name = t->name, .dtype = dtype, .n_dims = t->n_dims};
        memcpy(spec[i].dim, t->dim, sizeof spec[i].dim);
    }
    convert_metadata(c, &metadata);
    jt_status s = jt_st_set_create(folder, spec, c->n, c->options->part_bytes, &metadata, &to.set, err);
    if (!s) s = convert_stream_all(c, convert_sink_st, &to, &to.tensor, err);
    if (!s) {
        c->info.files = jt_st_set_files(to.set);
        s = jt_st_set_commit(to.set, err);
        to.set = NULL;
    }
    jt_st_set_abandon(to.set);
    jt_str_free(&metadata);
    jt_free(spec);
    return s;
}

static jt_status convert_to_hf(jt_conversion *c, jt_error *err) {
    jt_str part = {0}, name = {0}, text = {0};
    size_t n = strlen(c->out);
    while (n > 1 && c->out[n - 1] == '/') n--;
    jt_str_add(&part, c->out, n);
    jt_str_printf(&part, ".%ld.part", (long)getpid());
    jt_status s = jt_str_check(&part, err);
    if (!s && jt_file_exists(c->out)) s = jt_error_set(err, JT_INVALID, "%s: exists already; name a folder that is not there", c->out);
    if (!s) s = jt_make_folder(part.s, err);
    bool made = !s;
    if (!s) s = convert_weights_hf(c, part.s, err);
    if (!s) s = jt_convert_config_hf(c, &text, err);
    jt_str_printf(&name, "%s/config.json", jt_str_c(&part));
    if (!s) s = jt_str_check(&name, err);
    if (!s) s = jt_file_save(name.s, &text, err);
    if (!s) s = jt_convert_text_hf(c, part.s, err);
    if (!s) s = jt_convert_pooling_hf(c, part.s, err);
    jt_str_clear(&name);
    jt_str_add(&name, c->out, n);
    if (!s) s = jt_str_check(&name, err);
    if (!s && rename(part.s, name.s)) s = jt_error_set(err, JT_IO, "%s: cannot put it in place", c->out);
    if (s && made) {
        jt_str_clear(&name);
        jt_str_printf(&name, "%s/1_Pooling", part.s);
        if (!name.failed) jt_folder_remove(name.s);
        jt_folder_remove(part.s);
    }
    jt_str_free(&part), jt_str_free(&name), jt_str_free(&text);
    return s;
}

static jt_status convert_weights(jt_conversion *c, jt_error *err) {
    jt_status s = c->options->imatrix ? jt_imatrix_open(c->options->imatrix, &c->imatrix, err) : JT_OK;
    if (!s) s = jt_convert_choose(c, err);
    for (size_t i = 0; !s && c->imatrix && i < c->n; i++) s = jt_imatrix_weights(c->imatrix, &c->made[i], err);
    for (size_t i = 0; !s && i < c->n; i++) {
        uint64_t row;
        if (jt_format_bytes(c->made[i].format, c->made[i].cols, &row)) c->info.bytes_out += row * c->made[i].rows;
    }
    return s;
}

jt_status jt_convert(const char *in, const char *out, const jt_convert_options *o, jt_convert_info *info, jt_error *err) {
    static const jt_convert_options none = {0};
    if (!*out) return jt_error_set(err, JT_INVALID, "the output has no name; name a file that ends in .gguf, or a new folder");
    jt_conversion *c = jt_alloc(1, sizeof *c);
    if (!c) return jt_nomem(err, "conversion", 1, sizeof *c);
    c->options = o ? o : &none, c->in = in, c->out = out, c->to_gguf = convert_is_gguf(out);
    jt_status s = jt_convert_open(c, err);
    if (!s && (s = jt_convert_plan(c, err))) s = jt_error_in(err, s, "%s", in);
    if (!s && c->options->adapter) s = jt_convert_adapt(c, err);
    if (!s) s = convert_weights(c, err);
    if (!s) s = c->to_gguf ? convert_to_gguf(c, err) : convert_to_hf(c, err);
    if (!s && info) *info = c->info;
    for (size_t i = 0; i < c->n; i++) jt_free(c->made[i].piece);
    jt_free(c->made);
    jt_imatrix_free(c->imatrix);
    jt_adapter_free(c->adapter);
    jt_gguf_free(c->gguf), jt_safetensors_free(c->tensors), jt_json_free(c->json);
    jt_arena_free(&c->arena);
    jt_free(c);
    return s;
}

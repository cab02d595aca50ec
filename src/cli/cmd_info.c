/* jeton info: what is in a model's files, and the memory it takes. */
#include <stdio.h>
#include <string.h>

#include "cli/command.h"
#include "cli/inventory.h"
#include "cli/out.h"
#include "cli/session.h"

enum { SHORT = 60, FULL_ARRAY = 32, FIRST = 8 };

/* Tensors of one type. */
typedef struct type_sum {
    const char *type;
    uint64_t count, elements, bytes;
} type_sum;
enum { MAX_TYPES = 64 };

static int sum_types(const jt_inventory *v, type_sum *sum) {
    int n = 0;
    for (size_t i = 0; i < v->n; i++) {
        const jt_item *t = &v->item[i];
        int k = 0;
        while (k < n && strcmp(sum[k].type, t->type) != 0) k++;
        if (k == MAX_TYPES)
            k--; /* more types than exist: the rest in the last row */
        else if (k == n)
            sum[n++] = (type_sum){.type = t->type};
        sum[k].count++, sum[k].elements += t->elements, sum[k].bytes += t->bytes;
    }
    return n;
}

static void size_text(uint64_t bytes, char out[32]) {
    double x = (double)bytes;
    if (x >= 1024.0 * 1024 * 1024)
        snprintf(out, 32, "%.2f GiB", x / (1024.0 * 1024 * 1024));
    else if (x >= 1024.0 * 1024)
        snprintf(out, 32, "%.1f MiB", x / (1024.0 * 1024));
    else if (x >= 1024)
        snprintf(out, 32, "%.1f KiB", x / 1024);
    else
        snprintf(out, 32, "%llu B", (unsigned long long)bytes);
}

/* Bytes of the cache for some tokens in each type. */
typedef struct cache_sizes {
    uint64_t f32, f16, q8_0;
} cache_sizes;

/* False when unknown or too large. */
static bool cache_bytes(const jt_inventory *v, uint64_t context, cache_sizes *out) {
    uint64_t pages = (context + 31) / 32 * 32, scales;
    *out = (cache_sizes){0};
    bool known = (v->kv_elements || v->inputs) && context && jt_mul_u64(v->kv_elements, pages, &out->q8_0) &&
                 jt_mul_u64(out->q8_0, 2, &out->f16) && jt_mul_u64(out->q8_0, 4, &out->f32) && jt_mul_u64(v->kv_blocks, pages, &scales) &&
                 jt_mul_u64(scales, 2, &scales) && jt_add_u64(out->q8_0, scales, &out->q8_0);
    if (!known || !v->inputs) return known;
    uint64_t inputs, marks; /* inputs in 4 bytes with f32, else in 2 */
    return jt_mul_u64(v->inputs, pages, &inputs) && jt_mul_u64(inputs, 2, &inputs) &&
           jt_mul_u64(v->mark_bytes, context / 256 + 3, &marks) && jt_add_u64(inputs, marks, &marks) &&
           jt_add_u64(out->q8_0, marks, &out->q8_0) && jt_add_u64(out->f16, marks, &out->f16) && jt_add_u64(marks, inputs, &marks) &&
           jt_add_u64(out->f32, marks, &out->f32);
}

static void dims_text(const jt_item *t, char *out, size_t cap) {
    size_t n = 0;
    out[0] = 0;
    for (int d = 0; d < t->n_dims && n < cap; d++)
        n += (size_t)snprintf(out + n, cap - n, "%s%llu", d ? " x " : "", (unsigned long long)t->dim[d]);
}

/* ---- for people ---- */

static void print_head(const jt_inventory *v) {
    char size[32], params[32];
    size_text(v->file_bytes, size);
    if (v->parameters >= 1000000000)
        snprintf(params, sizeof params, "%.2f billion", (double)v->parameters / 1e9);
    else if (v->parameters >= 1000000)
        snprintf(params, sizeof params, "%.1f million", (double)v->parameters / 1e6);
    else
        snprintf(params, sizeof params, "%llu", (unsigned long long)v->parameters);
    if (v->gguf)
        jt_out("file        GGUF version %u, %s, %zu tensors, %zu metadata values\n", jt_gguf_version(v->gguf), size, v->n,
               jt_gguf_values(v->gguf));
    else
        jt_out("files       safetensors and config.json, %s, %zu tensors\n", size, v->n);
    jt_str o = {0};
    jt_str_json(&o, v->name, strlen(v->name));
    jt_out("model       %s, family %s, %s parameters\n", o.failed ? "?" : jt_str_c(&o), *v->family ? v->family : "not said", params);
    jt_str_free(&o);
    if (v->context) jt_out("context     %llu tokens as trained\n", (unsigned long long)v->context);
    if (v->layers) jt_out("layers      %llu\n", (unsigned long long)v->layers);
    if (v->runs)
        jt_out("support     this build runs it\n");
    else
        jt_out("support     this build cannot run it: %s\n", v->why.message);
}

static void print_memory(const jt_inventory *v, uint64_t context) {
    char a[32], b[32], c[32];
    cache_sizes cache;
    size_text(v->packed, a);
    size_text(v->bytes, b);
    jt_out("\nmemory      weights %s packed, or %s of the mapped file with --no-repack\n", a, b);
    if (cache_bytes(v, context, &cache)) {
        size_text(cache.f32, a);
        size_text(cache.f16, b);
        size_text(cache.q8_0, c);
        jt_out("            cache of %llu tokens %s in f32, %s in f16, %s in q8_0\n", (unsigned long long)context, a, b, c);
        uint64_t all;
        if (jt_add_u64(v->packed, cache.f16, &all)) size_text(all, a), jt_out("            together %s\n", a);
    } else if (!v->kv_elements && !v->inputs) {
        jt_out("            cache unknown: the files do not say its shape in a way known here\n");
    } else {
        jt_out("            cache: give --ctx, the files do not say the context\n");
    }
}

static void print_metadata(const jt_inventory *v) {
    if (!v->gguf) return;
    jt_out("\nmetadata\n");
    jt_str o = {0};
    for (size_t i = 0; i < jt_gguf_values(v->gguf) && !o.failed; i++) {
        const jt_gguf_value *k = jt_gguf_value_at(v->gguf, i);
        jt_str_clear(&o);
        jt_str_printf(&o, "  %-42s ", k->key);
        jt_gguf_print(k, SHORT, &o);
        jt_str_putc(&o, '\n');
        jt_out_str(&o);
    }
    jt_str_free(&o);
}

static void print_tensors(const jt_inventory *v, bool all) {
    type_sum sum[MAX_TYPES];
    int n = sum_types(v, sum);
    char size[32];
    jt_out("\ntensors     number      parameters        size\n");
    for (int i = 0; i < n; i++) {
        size_text(sum[i].bytes, size);
        jt_out("  %-10s %5llu %15llu  %10s\n", sum[i].type, (unsigned long long)sum[i].count, (unsigned long long)sum[i].elements, size);
    }
    for (size_t i = 0; all && i < v->n; i++) {
        const jt_item *t = &v->item[i];
        char dims[200];
        dims_text(t, dims, sizeof dims);
        if (i == 0) jt_out("\n");
        size_text(t->bytes, size);
        if (!jt_out("  %-42s %-8s %-18s %10s\n", t->name, t->type, dims, size)) break;
    }
}

/* ---- JSON ---- */

static void json_item(const jt_gguf_value *v, uint64_t i, jt_str *o) {
    uint64_t u;
    int64_t s;
    double x;
    bool b;
    const char *text;
    size_t n;
    if (jt_gguf_item_text(v, i, &text, &n))
        jt_str_json(o, text, n);
    else if (jt_gguf_item_bool(v, i, &b))
        jt_str_puts(o, b ? "true" : "false");
    else if (jt_gguf_item_u64(v, i, &u))
        jt_str_printf(o, "%llu", (unsigned long long)u);
    else if (jt_gguf_item_i64(v, i, &s))
        jt_str_printf(o, "%lld", (long long)s);
    else if (jt_gguf_item_double(v, i, &x))
        jt_str_number(o, x);
    else
        jt_str_puts(o, "null");
}

/* Long arrays (vocabularies, merges) are given by type, count and their first elements. */
static void json_value(const jt_gguf_value *v, jt_str *o) {
    if (v->type != JT_GGUF_ARRAY) {
        json_item(v, 0, o);
        return;
    }
    bool full = v->count <= FULL_ARRAY && v->element != JT_GGUF_ARRAY;
    if (!full)
        jt_str_printf(o, "{\"array\": \"%s\", \"count\": %llu, \"first\": ", jt_gguf_type_name(v->element), (unsigned long long)v->count);
    jt_str_putc(o, '[');
    for (uint64_t i = 0; v->element != JT_GGUF_ARRAY && i < v->count && (full || i < FIRST); i++) {
        if (i) jt_str_puts(o, ", ");
        json_item(v, i, o);
    }
    jt_str_puts(o, full ? "]" : "]}");
}

static void json_text(const char *name, const char *s, jt_str *o) {
    jt_str_printf(o, ", \"%s\": ", name);
    jt_str_json(o, s, strlen(s));
}

static void json_number(const char *name, uint64_t x, bool known, jt_str *o) {
    if (known)
        jt_str_printf(o, ", \"%s\": %llu", name, (unsigned long long)x);
    else
        jt_str_printf(o, ", \"%s\": null", name);
}

static void write_json(const jt_inventory *v, uint64_t context, bool all, jt_str *o) {
    jt_str_printf(o, "{\"format\": \"%s\"", v->gguf ? "gguf" : "safetensors");
    json_number("version", v->gguf ? jt_gguf_version(v->gguf) : 0, v->gguf, o);
    json_text("name", v->name, o);
    json_text("family", v->family, o);
    json_number("file_bytes", v->file_bytes, true, o);
    json_number("parameters", v->parameters, true, o);
    json_number("layers", v->layers, v->layers > 0, o);
    json_number("context_trained", v->context, v->context > 0, o);
    jt_str_printf(o, ", \"runs\": %s", v->runs ? "true" : "false");
    if (!v->runs) json_text("why_not", v->why.message, o);
    cache_sizes cache;
    bool known = cache_bytes(v, context, &cache);
    jt_str_printf(o, ",\n \"memory\": {\"weights_repacked\": %llu", (unsigned long long)v->packed);
    json_number("weights_mapped", v->bytes, true, o);
    json_number("context", context, context > 0, o);
    json_number("cache_f32", cache.f32, known, o);
    json_number("cache_f16", cache.f16, known, o);
    json_number("cache_q8_0", cache.q8_0, known, o);
    jt_str_puts(o, "},\n \"types\": [");
    type_sum sum[MAX_TYPES];
    int n = sum_types(v, sum);
    for (int i = 0; i < n; i++) {
        jt_str_puts(o, i ? ", {\"type\": " : "{\"type\": ");
        jt_str_json(o, sum[i].type, strlen(sum[i].type));
        json_number("tensors", sum[i].count, true, o);
        json_number("parameters", sum[i].elements, true, o);
        json_number("bytes", sum[i].bytes, true, o);
        jt_str_putc(o, '}');
    }
    jt_str_putc(o, ']');
    if (v->gguf) jt_str_puts(o, ",\n \"metadata\": {");
    for (size_t i = 0; v->gguf && i < jt_gguf_values(v->gguf); i++) {
        const jt_gguf_value *k = jt_gguf_value_at(v->gguf, i);
        jt_str_puts(o, i ? ",\n  " : "\n  ");
        jt_str_json(o, k->key, strlen(k->key));
        jt_str_puts(o, ": ");
        json_value(k, o);
    }
    if (v->gguf) jt_str_putc(o, '}');
    if (all) jt_str_puts(o, ",\n \"tensors\": [");
    for (size_t i = 0; all && i < v->n; i++) {
        const jt_item *t = &v->item[i];
        jt_str_puts(o, i ? ",\n  {\"name\": " : "\n  {\"name\": ");
        jt_str_json(o, t->name, strlen(t->name));
        json_text("type", t->type, o);
        jt_str_puts(o, ", \"shape\": [");
        for (int d = 0; d < t->n_dims; d++) jt_str_printf(o, "%s%llu", d ? ", " : "", (unsigned long long)t->dim[d]);
        jt_str_printf(o, "], \"bytes\": %llu}", (unsigned long long)t->bytes);
    }
    jt_str_puts(o, all ? "]}\n" : "}\n");
}

static int run(const jt_args *a) {
    jt_str path = {0};
    jt_inventory v;
    jt_error err;
    int code = jt_session_path(jt_arg_pos(a, 0), &path);
    jt_status s = code ? JT_OK : jt_inventory_open(path.s, &v, &err);
    jt_str_free(&path);
    if (code) return code;
    if (s) return jt_fail(&err);
    uint64_t context = jt_arg_int(a, "ctx") ? (uint64_t)jt_arg_int(a, "ctx") : v.context;
    if (jt_arg_flag(a, "json")) {
        jt_str o = {0};
        write_json(&v, context, jt_arg_flag(a, "tensors"), &o);
        s = jt_str_check(&o, &err);
        if (!s) jt_out_str(&o);
        jt_str_free(&o);
    } else {
        print_head(&v);
        print_memory(&v, context);
        print_tensors(&v, jt_arg_flag(a, "tensors"));
        print_metadata(&v);
    }
    jt_inventory_free(&v);
    return s ? jt_fail(&err) : JT_EXIT_OK;
}

static const jt_pos pos[] = {
    {"FILE", JT_POS_MODEL, false, false, "a GGUF file (any), a folder with config.json and safetensors, or a known name"}, {0}};
static const jt_opt opts[] = {
    {"ctx", 'c', JT_OPT_INT, "N", "0", 0, 1 << 24, "tokens of context to compute the memory for; 0: as the model was trained"},
    {"tensors", 0, JT_OPT_FLAG, NULL, NULL, 0, 0, "list every tensor"},
    {"json", 0, JT_OPT_FLAG, NULL, NULL, 0, 0, "print one JSON object"},
    {0},
};
static const jt_example examples[] = {
    {"jeton info smollm2", "metadata, types of tensors, memory"},
    {"jeton info model.gguf --ctx 8192 --tensors", "the memory for 8192 tokens, and every tensor"},
    {0},
};
const jt_command jt_cmd_info = {
    .name = "info",
    .summary = "say what is in a model's files and what memory it needs",
    .opt = opts,
    .pos = pos,
    .example = examples,
    .run = run,
};

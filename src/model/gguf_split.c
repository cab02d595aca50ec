/* gguf_split.c: GGUF files in parts, as llama.cpp's gguf-split writes them: NAME-00001-of-0000N.gguf has the
 * metadata; each part has its own tensors, its number (split.no), the number of parts (split.count) and the number
 * of tensors of all (split.tensors.count). */
#include <inttypes.h>
#include <string.h>

#include "model/gguf_read.h"
#include "model/gguf_write.h"

enum { GGUF_SPLIT_PARTS = 65535, GGUF_SPLIT_TAIL = sizeof "-00001-of-00001.gguf" - 1 };

jt_status jt_gguf_split_count(const jt_gguf *g, size_t *count, jt_error *err) {
    uint64_t n;
    jt_status s = jt_gguf_get_u64_or(g, "split.count", 1, &n, err);
    if (s) return s;
    if (n < 1 || n > GGUF_SPLIT_PARTS)
        return jt_error_set(err, JT_FORMAT, "split.count is %" PRIu64 "; 1 to %d parts are read", n, (int)GGUF_SPLIT_PARTS);
    *count = (size_t)n;
    return JT_OK;
}

/* That the keys of part `no` say what the first part says. */
static jt_status split_check(const jt_gguf *first, const jt_gguf *g, size_t no, size_t count, jt_error *err) {
    uint64_t mine, parts, tensors, all;
    jt_status s = jt_gguf_get_u64(g, "split.no", &mine, err);
    if (!s) s = jt_gguf_get_u64(g, "split.count", &parts, err);
    if (!s) s = jt_gguf_get_u64(first, "split.tensors.count", &all, err);
    if (!s) s = jt_gguf_get_u64_or(g, "split.tensors.count", all, &tensors, err);
    if (s) return s;
    if (mine != no || parts != count)
        return jt_error_set(err, JT_FORMAT, "says that it is part %" PRIu64 " of %" PRIu64 ", number %zu of %zu is wanted; it is another's",
                            mine + 1, parts, no + 1, count);
    if (tensors != all)
        return jt_error_set(err, JT_FORMAT, "split.tensors.count is %" PRIu64 ", the first part's is %" PRIu64 "; it is another model's",
                            tensors, all);
    const jt_gguf_value *a = jt_gguf_find(first, "general.architecture"), *b = jt_gguf_find(g, "general.architecture");
    if (a && b && (a->type != b->type || a->bytes != b->bytes || memcmp(a->at, b->at, (size_t)a->bytes) != 0))
        return jt_error_set(err, JT_FORMAT, "general.architecture is not the first part's; it is another model's");
    return JT_OK;
}

jt_status jt_gguf_join(jt_gguf *g, jt_gguf *const *part, size_t n, jt_error *err) {
    uint64_t all;
    size_t total = g->n_tensors, at = g->n_tensors;
    jt_status s = split_check(g, g, 0, n + 1, err);
    for (size_t i = 0; !s && i < n; i++) {
        if ((s = split_check(g, part[i], i + 1, n + 1, err))) return jt_error_in(err, s, "part %zu of %zu", i + 2, n + 1);
        if (!jt_add(total, part[i]->n_tensors, &total)) s = jt_nomem(err, "list of tensors", SIZE_MAX, 1);
    }
    if (!s) s = jt_gguf_get_u64(g, "split.tensors.count", &all, err);
    if (s) return s;
    if (all != total)
        return jt_error_set(err, JT_FORMAT, "split.tensors.count is %" PRIu64 ", the %zu parts have %zu tensors", all, n + 1, total);
    jt_gguf_tensor *t = jt_arena_alloc(&g->arena, total, sizeof *t);
    jt_gguf **own = jt_arena_alloc(&g->arena, n, sizeof(jt_gguf *));
    if (!t || !own) return jt_nomem(err, "list of tensors", total, sizeof *t);
    jt_names names = {0};
    if (at) memcpy(t, g->tensor, at * sizeof *t);
    for (size_t i = 0; i < n; at += part[i++]->n_tensors)
        if (part[i]->n_tensors) memcpy(t + at, part[i]->tensor, part[i]->n_tensors * sizeof *t);
    s = jt_names_new(total, &names, err);
    for (size_t i = 0; !s && i < total; i++) {
        size_t first = i;
        if (!jt_names_add(&names, t[i].name, &first))
            s = jt_error_set(err, JT_FORMAT, "tensor %.200s: is in the parts twice, as number %zu and %zu", t[i].name, first, i);
    }
    if (s) {
        jt_names_free(&names);
        return s;
    }
    jt_names_free(&g->tensor_names);
    if (n) memcpy(own, part, n * sizeof(jt_gguf *));
    g->tensor_names = names, g->tensor = t, g->n_tensors = total, g->part = own, g->n_parts = n;
    return JT_OK;
}

/* Opens part `i`, whose own split.count does not count. */
static jt_status split_open(const char *path, jt_gguf **out, jt_error *err) {
    jt_map m;
    jt_gguf *g;
    jt_status s = jt_map_open(path, &m, err);
    if (s) return s;
    if ((s = jt_gguf_parse(m.p, m.n, &g, err))) {
        jt_map_close(&m);
        return jt_error_in(err, s, "%s", path);
    }
    g->map = m;
    *out = g;
    return JT_OK;
}

/* The name as if the file were whole, if `path` ends as part `no` of `count` must. */
static bool split_whole_name(const char *path, size_t no, size_t count, jt_str *out) {
    size_t n = strlen(path);
    jt_str wanted = {0};
    bool yes = false;
    if (n > GGUF_SPLIT_TAIL) {
        jt_str_add(out, path, n - GGUF_SPLIT_TAIL);
        jt_str_puts(out, ".gguf");
        jt_gguf_part_name(jt_str_c(out), no, count, &wanted);
        yes = !out->failed && !wanted.failed && !strcmp(jt_str_c(&wanted), path);
    }
    jt_str_free(&wanted);
    return yes;
}

static jt_status split_open_all(const char *whole, jt_gguf *g, jt_gguf **part, size_t count, jt_error *err) {
    jt_status s = JT_OK;
    for (size_t i = 1; i < count && !s; i++) {
        jt_str name = {0};
        jt_gguf_part_name(whole, i, count, &name);
        s = jt_str_check(&name, err);
        if (!s && !jt_file_exists(name.s))
            s = jt_error_set(err, JT_NOTFOUND, "%s: is missing; the model is in %zu parts, and all must lie in one folder", name.s, count);
        if (!s) s = split_open(name.s, &part[i - 1], err);
        if (!s && (s = split_check(g, part[i - 1], i, count, err))) s = jt_error_in(err, s, "%s", name.s);
        jt_str_free(&name);
    }
    return s ? s : jt_gguf_join(g, part, count - 1, err);
}

jt_status jt_gguf_open_parts(const char *path, jt_gguf *g, jt_error *err) {
    size_t count;
    uint64_t no;
    jt_str whole = {0}, first = {0};
    jt_status s = jt_gguf_split_count(g, &count, err);
    if (!s) s = jt_gguf_get_u64_or(g, "split.no", 0, &no, err);
    if (s) return jt_error_in(err, s, "%s", path);
    if (count == 1) return JT_OK;
    if (no >= count)
        return jt_error_set(err, JT_FORMAT, "%s: split.no is %" PRIu64 ", but there are %zu parts, counted from 0", path, no, count);
    bool named = split_whole_name(path, (size_t)no, count, &whole);
    if (whole.failed) {
        s = jt_str_check(&whole, err);
    } else if (!named) {
        s = jt_error_set(err, JT_FORMAT,
                         "%s: is part %" PRIu64 " of %zu of a model, whose names end in -%05" PRIu64 "-of-%05zu.gguf; "
                         "give it that name back so that the others can be found",
                         path, no + 1, count, no + 1, count);
    } else if (no) {
        jt_gguf_part_name(whole.s, 0, count, &first);
        s = jt_error_set(err, JT_INVALID, "%s: is part %" PRIu64 " of %zu of a model; open the first, %s", path, no + 1, count,
                         jt_str_c(&first));
    }
    jt_gguf **part = s ? NULL : jt_alloc(count - 1, sizeof(jt_gguf *));
    if (!s && !part) s = jt_nomem(err, path, count - 1, sizeof(jt_gguf *));
    if (!s && (s = split_open_all(whole.s, g, part, count, err)))
        for (size_t i = 0; i < count - 1; i++) jt_gguf_free(part[i]);
    jt_free(part);
    jt_str_free(&whole), jt_str_free(&first);
    return s;
}

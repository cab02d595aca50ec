/* trace_digest.c: which model or adapter it was, without reading gigabytes: SHA-256 over
 * the size and pieces of its files. */
#include <dirent.h>
#include <string.h>

#include "core/file.h"
#include "core/hash.h"
#include "jeton/trace.h"

enum { DIGEST_HEAD = 1 << 20, DIGEST_PIECE = 1 << 16, DIGEST_PIECES = 64 };

static jt_status digest_file(jt_sha256 *s, const char *path, uint64_t *bytes, jt_error *err) {
    jt_map m;
    const char *name = strrchr(path, '/');
    jt_status e = jt_map_open(path, &m, err);
    uint8_t size[8];
    if (e != JT_OK) return e;
    for (int i = 0; i < 8; i++) size[i] = (uint8_t)((uint64_t)m.n >> (8 * i));
    name = name ? name + 1 : path;
    jt_sha256_add(s, name, strlen(name) + 1);
    jt_sha256_add(s, size, sizeof size);
    if (m.n <= DIGEST_HEAD + (size_t)DIGEST_PIECES * DIGEST_PIECE) {
        jt_sha256_add(s, m.p, m.n);
    } else {
        size_t rest = m.n - DIGEST_HEAD - DIGEST_PIECE;
        jt_sha256_add(s, m.p, DIGEST_HEAD);
        for (size_t i = 0; i < DIGEST_PIECES; i++)
            jt_sha256_add(s, m.p + DIGEST_HEAD + rest / (DIGEST_PIECES - 1) * i + (i == DIGEST_PIECES - 1 ? rest % (DIGEST_PIECES - 1) : 0),
                          DIGEST_PIECE);
    }
    *bytes += m.n;
    jt_map_close(&m);
    return JT_OK;
}

static bool digest_counts(const char *name) {
    static const char *const ends[] = {".gguf", ".safetensors", ".json"};
    size_t n = strlen(name);
    for (size_t i = 0; i < sizeof ends / sizeof *ends; i++)
        if (n > strlen(ends[i]) && !strcmp(name + n - strlen(ends[i]), ends[i])) return true;
    return false;
}

/* The least name in the folder that comes after `last` and counts, into next; empty: there is none. */
static jt_status digest_next(const char *path, const char *last, jt_str *next, jt_error *err) {
    DIR *d = opendir(path);
    if (!d) return jt_error_set(err, JT_IO, "%s: the folder cannot be read", path);
    jt_str_clear(next);
    for (const struct dirent *f = readdir(d); f; f = readdir(d))
        if (digest_counts(f->d_name) && strcmp(f->d_name, last) > 0 && (!next->n || strcmp(f->d_name, next->s) < 0)) {
            jt_str_clear(next);
            jt_str_puts(next, f->d_name);
        }
    closedir(d);
    return jt_str_check(next, err);
}

static jt_status digest_folder(jt_sha256 *s, const char *path, uint64_t *bytes, jt_error *err) {
    jt_str name = {0}, last = {0}, file = {0};
    jt_status e = digest_next(path, "", &name, err);
    while (e == JT_OK && name.n) {
        jt_str_clear(&file), jt_str_clear(&last);
        jt_str_printf(&file, "%s/%s", path, name.s);
        jt_str_puts(&last, name.s);
        e = jt_str_check(&file, err);
        if (e == JT_OK) e = jt_str_check(&last, err);
        if (e == JT_OK && !jt_is_folder(file.s)) e = digest_file(s, file.s, bytes, err);
        if (e == JT_OK) e = digest_next(path, last.s, &name, err);
    }
    jt_str_free(&name), jt_str_free(&last), jt_str_free(&file);
    return e;
}

jt_status jt_trace_digest(const char *path, char out[65], uint64_t *bytes, jt_error *err) {
    jt_sha256 s;
    uint8_t digest[32];
    uint64_t all = 0;
    jt_sha256_init(&s);
    jt_status e = jt_is_folder(path) ? digest_folder(&s, path, &all, err) : digest_file(&s, path, &all, err);
    if (e != JT_OK) return e;
    jt_sha256_end(&s, digest);
    jt_sha256_hex(digest, out);
    if (bytes) *bytes = all;
    return JT_OK;
}

/* Any bytes as a folder with shards: four bytes say how long model.safetensors.index.json is, the next four how long the
 * first shard, a.safetensors, is; the rest is b.safetensors. Covers: src/model/safetensors_folder.c */
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "model/safetensors.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n);

static char folder[64];

static void remove_folder(void) {
    static const char *const name[] = {"model.safetensors.index.json", "a.safetensors", "b.safetensors"};
    char path[160];
    for (int i = 0; i < 3; i++) {
        snprintf(path, sizeof path, "%s/%s", folder, name[i]);
        (void)unlink(path);
    }
    (void)rmdir(folder);
}

static void put(const char *name, const uint8_t *p, size_t n) {
    char path[160];
    snprintf(path, sizeof path, "%s/%s", folder, name);
    (void)unlink(path); /* some file systems wait for the disk when a file is written over */
    FILE *f = fopen(path, "wb");
    if (!f || fwrite(p, 1, n, f) != n || fclose(f)) abort();
}

static size_t take(const uint8_t *p, size_t most) {
    size_t v = (size_t)p[0] | (size_t)p[1] << 8 | (size_t)p[2] << 16 | (size_t)p[3] << 24;
    return v < most ? v : most;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n) {
    jt_safetensors *f = NULL;
    jt_error e = {0};
    if (n < 8) return 0;
    if (!folder[0]) {
        snprintf(folder, sizeof folder, "/tmp/fuzz_index.XXXXXX");
        if (!mkdtemp(folder)) abort();
        atexit(remove_folder);
    }
    const uint8_t *p = data + 8;
    size_t left = n - 8, index = take(data, left), first = take(data + 4, left - index);
    put("model.safetensors.index.json", p, index);
    put("a.safetensors", p + index, first);
    put("b.safetensors", p + index + first, left - index - first);
    if (jt_safetensors_open(folder, &f, &e)) {
        if (f || !e.message[0]) abort();
        return 0;
    }
    for (size_t i = 0; i < jt_safetensors_tensors(f); i++) {
        const jt_st_tensor *t = jt_safetensors_tensor_at(f, i);
        if (jt_safetensors_tensor_named(f, t->name) != t) abort();
        float x;
        if (t->elements) (void)jt_st_read_f32(t, t->elements - 1, 1, &x, &e);
    }
    jt_safetensors_free(f);
    return 0;
}

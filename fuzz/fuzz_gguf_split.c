/* Any bytes as the two files of a GGUF model in parts. The first three say how long the first part is; the fourth what is
 * wrong: 1 nothing is there but the first, 2 it has a name of its own, 3 the second is opened, else nothing.
 * Covers: src/model/gguf_split.c */
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "model/gguf_read.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n);

static const char *const name[] = {"m-00001-of-00002.gguf", "m-00002-of-00002.gguf", "m.gguf"};
static char folder[64];

static char *path_of(char out[160], int file) {
    snprintf(out, 160, "%s/%s", folder, name[file]);
    return out;
}

static void remove_folder(void) {
    char path[160];
    for (int i = 0; i < 3; i++) (void)unlink(path_of(path, i));
    (void)rmdir(folder);
}

static void put(int file, const uint8_t *p, size_t n) {
    char path[160];
    FILE *f = fopen(path_of(path, file), "wb");
    if (!f || (n && fwrite(p, 1, n, f) != n) || fclose(f)) abort();
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n) {
    char path[160];
    jt_gguf *g = NULL;
    jt_error e = {0};
    if (n < 4) return 0;
    if (!folder[0]) {
        snprintf(folder, sizeof folder, "/tmp/fuzz_split.XXXXXX");
        if (!mkdtemp(folder)) abort();
        atexit(remove_folder);
    }
    size_t first = (size_t)jt_gguf_le(data, 4) & 0xffffff, all = n - 4;
    int wrong = data[3] & 3, open = wrong == 2 ? 2 : wrong == 3;
    if (first > all) first = all;
    for (int i = 0; i < 3; i++) (void)unlink(path_of(path, i));
    put(wrong == 2 ? 2 : 0, data + 4, first);
    if (wrong != 1) put(1, data + 4 + first, all - first);
    if (jt_gguf_open(path_of(path, open), &g, &e)) {
        if (g || !e.message[0]) abort();
        return 0;
    }
    for (size_t i = 0; i < jt_gguf_tensors(g); i++) {
        const jt_gguf_tensor *t = jt_gguf_tensor_at(g, i);
        uint64_t sum = 0;
        if (jt_gguf_tensor_named(g, t->name) != t) abort();
        if (t->bytes && t->data) sum += t->data[0], sum += t->data[t->bytes - 1];
        if (sum > 512) abort();
    }
    jt_gguf_free(g);
    return 0;
}

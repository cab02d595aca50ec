/* Writes the first inputs of fuzz_gguf to the folder named: seeds_gguf FOLDER. */
#include "model/gguf_sample.h"

static int save(const char *folder, const char *name, uint8_t *p, size_t n) {
    char path[4096];
    snprintf(path, sizeof path, "%s/%s", folder, name);
    FILE *f = fopen(path, "wb");
    int bad = !f || fwrite(p, 1, n, f) != n;
    if (f && fclose(f)) bad = 1;
    if (bad) perror(path);
    free(p);
    return bad;
}

int main(int argc, char **argv) {
    if (argc != 2) return fprintf(stderr, "usage: seeds_gguf FOLDER\n"), 2;
    gguf_builder b = {0};
    size_t n;
    uint8_t *p = gguf_sample(2, &n);
    int bad = save(argv[1], "all-v2", p, n);
    p = gguf_sample(3, &n);
    bad |= save(argv[1], "all-v3", p, n);
    p = gb_finish(&b, 3, &n);
    bad |= save(argv[1], "empty", p, n);
    gb_tensor(&b, "t", JT_Q4_1, 2, (uint64_t[]){32, 2}, NULL, 40);
    p = gb_finish(&b, 3, &n);
    bad |= save(argv[1], "tensor", p, n);
    gb_texts(&b, "tokenizer.ggml.tokens", (const char *const[]){"a", "b"}, 2);
    p = gb_finish(&b, 3, &n);
    bad |= save(argv[1], "vocabulary", p, n);
    return bad;
}

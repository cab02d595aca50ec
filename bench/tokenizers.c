/* tokenizers: how fast text becomes ids, by one thread and document by document. bench/tokenizers.py runs it beside other
 * tokenizers.
 *
 *   tokenizers TOKENIZER ROUNDS FILE...   documents of 60 lines of the files: bytes, documents, ids, seconds of the best round
 *   tokenizers TOKENIZER worst            inputs that are slow where time is not linear: bytes, ids, nanoseconds a byte */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "jeton/text.h"

static double now(void) {
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec + (double)t.tv_nsec * 1e-9;
}

static char *read_all(char **file, int files, size_t *n) {
    char *all = NULL;
    *n = 0;
    for (int i = 0; i < files; i++) {
        FILE *f = fopen(file[i], "rb");
        if (!f) return NULL;
        fseek(f, 0, SEEK_END);
        long size = ftell(f);
        rewind(f);
        char *more = size < 0 ? NULL : realloc(all, *n + (size_t)size + 1);
        if (!more || fread(more + *n, 1, (size_t)size, f) != (size_t)size) return NULL;
        all = more;
        *n += (size_t)size;
        fclose(f);
    }
    return all;
}

static int documents(const jt_tokenizer *t, int rounds, const char *s, size_t n) {
    double best = 1e30;
    size_t ids = 0, docs = 0;
    jt_tokens k = {0};
    jt_error err;
    for (int r = 0; r < rounds; r++) {
        double begin = now();
        ids = docs = 0;
        for (size_t at = 0, end; at < n; at = end) {
            int lines = 0;
            for (end = at; end < n && lines < 60; end++) lines += s[end] == '\n';
            k.n = 0;
            if (jt_encode(t, s + at, end - at, JT_PARSE_SPECIAL, &k, &err)) {
                fprintf(stderr, "%s\n", err.message);
                return 1;
            }
            ids += k.n, docs++;
        }
        if (now() - begin < best) best = now() - begin;
    }
    printf("%zu %zu %zu %.6f\n", n, docs, ids, best);
    jt_tokens_free(&k);
    return 0;
}

static void fill(int kind, char *s, size_t n) {
    static const char words[] = "andthenthequickbrownfoxjumpsoverit";
    uint64_t x = 88172645463325252u;
    for (size_t i = 0; i < n; i++) {
        x ^= x << 13, x ^= x >> 7, x ^= x << 17;
        s[i] = kind == 0   ? 'a'
               : kind == 1 ? words[(i + i / 97) % (sizeof words - 1)]
               : kind == 2 ? (char)(x >> 32)
               : kind == 3 ? ' '
               : kind == 4 ? "ab"[i & 1]
                           : "\xe6\xbc\xa2"[i % 3];
    }
}

static int worst(const jt_tokenizer *t) {
    static const char *const name[] = {"one letter", "no spaces", "random bytes", "spaces", "two letters", "one character"};
    jt_tokens k = {0};
    jt_error err;
    for (int kind = 0; kind < 6; kind++)
        for (size_t n = 3 << 15; n <= 3 << 19; n *= 4) {
            char *s = malloc(n);
            if (!s) return 1;
            fill(kind, s, n);
            k.n = 0;
            double begin = now();
            if (jt_encode(t, s, n, JT_PARSE_SPECIAL, &k, &err)) {
                fprintf(stderr, "%s\n", err.message);
                return 1;
            }
            printf("%-14s %8zu bytes %8zu ids %7.1f ns a byte\n", name[kind], n, k.n, (now() - begin) * 1e9 / (double)n);
            free(s);
        }
    jt_tokens_free(&k);
    return 0;
}

int main(int argc, char **argv) {
    jt_tokenizer *t;
    jt_error err;
    size_t n;
    if (argc < 3) {
        fprintf(stderr, "usage: tokenizers TOKENIZER ROUNDS FILE... | tokenizers TOKENIZER worst\n");
        return 2;
    }
    if (jt_tokenizer_open(argv[1], &t, &err)) {
        fprintf(stderr, "%s\n", err.message);
        return 1;
    }
    int code = 1;
    if (!strcmp(argv[2], "worst")) {
        code = worst(t);
    } else {
        char *s = read_all(argv + 3, argc - 3, &n);
        code = s ? documents(t, (int)strtol(argv[2], NULL, 10), s, n) : 1;
        free(s);
    }
    jt_tokenizer_free(t);
    return code;
}

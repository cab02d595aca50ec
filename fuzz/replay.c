/* replay.c: runs a fuzz target over the files of a folder (or over single files), without a fuzzer. */
#include <dirent.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n);

static int replay_file(const char *path) {
    FILE *f = fopen(path, "rb");
    if (!f) return perror(path), -1;
    uint8_t *data = NULL;
    size_t n = 0, got;
    do {
        uint8_t *more = realloc(data, n + 65536);
        if (!more) return perror(path), fclose(f), free(data), -1;
        data = more;
        got = fread(data + n, 1, 65536, f);
        n += got;
    } while (got);
    fclose(f);
    /* An exact copy, so that a sanitizer sees a read past the end. */
    uint8_t *exact = malloc(n ? n : 1);
    for (size_t i = 0; exact && i < n; i++) exact[i] = data[i];
    free(data);
    if (!exact) return perror(path), -1;
    LLVMFuzzerTestOneInput(exact, n);
    free(exact);
    return 0;
}

static int replay(const char *path, long *count) {
    struct stat st;
    if (stat(path, &st)) return perror(path), -1;
    if (!S_ISDIR(st.st_mode)) return ++*count, replay_file(path);
    DIR *d = opendir(path);
    if (!d) return perror(path), -1;
    int bad = 0;
    for (struct dirent *e; !bad && (e = readdir(d));) {
        if (e->d_name[0] == '.') continue;
        char inner[4096];
        int len = snprintf(inner, sizeof inner, "%s/%s", path, e->d_name);
        bad = len < 0 || (size_t)len >= sizeof inner ? -1 : replay(inner, count);
    }
    closedir(d);
    return bad;
}

int main(int argc, char **argv) {
    long count = 0;
    for (int i = 1; i < argc; i++)
        if (replay(argv[i], &count)) return 1;
    printf("%ld inputs\n", count);
    return count == 0; /* an empty corpus shows nothing */
}

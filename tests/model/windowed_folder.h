/* windowed_folder.h: the fixture hf-tiny/llama as a Ministral whose layers have a sliding window. */
#ifndef TESTS_WINDOWED_FOLDER_H
#define TESTS_WINDOWED_FOLDER_H

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

/* Writes the folder; `settings` are members of config.json, each followed by a comma, such as "\"sliding_window\": 33,". */
static inline void windowed_write(const char *folder, const char *settings) {
    static char text[8192];
    char name[256], to[256], *cut;
    FILE *f = fopen(FIXTURES "/hf-tiny/llama/config.json", "rb");
    size_t n = f ? fread(text, 1, sizeof text - 1, f) : 0;
    if (!f || fclose(f) || !n) abort();
    text[n] = 0;
    cut = strstr(text, "\"model_type\": \"llama\",");
    if (!cut) abort();
    snprintf(name, sizeof name, "%s/config.json", folder);
    if (!(f = fopen(name, "wb"))) abort();
    fprintf(f, "%.*s\"model_type\": \"ministral\", %s%s", (int)(cut - text), text, settings, cut + strlen("\"model_type\": \"llama\","));
    if (fclose(f)) abort();
    char *real = realpath(FIXTURES "/hf-tiny/llama/model.safetensors", NULL);
    snprintf(to, sizeof to, "%s/model.safetensors", folder);
    unlink(to);
    if (!real || symlink(real, to)) abort();
    free(real);
}

static inline void windowed_remove(const char *folder) {
    char name[256];
    snprintf(name, sizeof name, "%s/config.json", folder), unlink(name);
    snprintf(name, sizeof name, "%s/model.safetensors", folder), unlink(name);
    rmdir(folder);
}

#endif

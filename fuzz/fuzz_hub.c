/* A name as `jeton pull` takes it, a line with what is wanted, and the rest of the input: the hub's list of files. Checked: no
 * path leads out of its folder, a sum is a sum, choices lie in the list, and a refusal says why.
 * Covers: src/cli/hub_name.c src/cli/hub_list.c
 */
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "cli/hub.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n);

static void must(int holds) {
    if (!holds) abort();
}

static void inside(const char *path) {
    must(path[0] && path[0] != '/' && strcmp(path, "..") != 0 && strncmp(path, "../", 3) != 0 && !strstr(path, "/../"));
    size_t n = strlen(path);
    must(n < 3 || strcmp(path + n - 3, "/..") != 0);
}

static void take_name(const char *text) {
    jt_hub_name name;
    jt_error err = {0};
    (void)jt_hub_name_like(text);
    if (jt_hub_name_parse(text, &name, &err)) {
        must(err.message[0] != 0);
        return;
    }
    const char *slash = strchr(name.repo, '/');
    must(slash && !strchr(slash + 1, '/') && !strstr(name.repo, "--") && !strstr(name.repo, ".."));
    inside(name.repo);
    inside(name.revision);
    if (name.what[0]) inside(name.what);
}

static void choose(jt_hub_listing *l, const char *what) {
    jt_hub_choice c;
    jt_error err = {0};
    if (jt_hub_choose(l, "o/r", what, &c, &err)) {
        must(err.message[0] != 0);
        return;
    }
    must(c.n > 0);
    for (size_t i = 0; i < c.n; i++) must(c.file[i] < l->n);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n) {
    char *text = malloc(n + 1);
    if (!text) return 0;
    memcpy(text, data, n);
    text[n] = 0;
    char *what = memchr(text, '\n', n), *json = what ? memchr(what + 1, '\n', n - (size_t)(what + 1 - text)) : NULL;
    if (json) {
        *what++ = 0, *json++ = 0;
        take_name(text);
        jt_hub_listing l = {0};
        jt_error err = {0};
        jt_status s = jt_hub_listing_parse(json, n - (size_t)(json - text), &l, &err);
        must(!s || err.message[0] != 0);
        for (size_t i = 0; i < l.n; i++) {
            const char *begin = l.file[i].path;
            size_t kind = jt_gguf_kind_in_name(l.file[i].path, &begin);
            inside(l.file[i].path);
            must(!l.file[i].sum[0] || jt_is_commit(l.file[i].sum));
            must(begin >= l.file[i].path && begin + kind <= l.file[i].path + strlen(l.file[i].path));
        }
        if (!s) choose(&l, ""), choose(&l, what);
        jt_hub_listing_free(&l);
    }
    free(text);
    return 0;
}

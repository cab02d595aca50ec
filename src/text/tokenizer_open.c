/* tokenizer_open.c: a tokenizer from its own file, or from a folder that has one. */
#include <string.h>

#include "core/file.h"
#include "text/sentencepiece.h"
#include "text/tiktoken.h"
#include "text/tokenizer_json.h"

static jt_status open_json(const char *path, const char *config, jt_tokenizer **out, jt_error *err) {
    jt_json *root = NULL, *more = NULL;
    jt_status s = jt_json_read(path, &root, err);
    if (!s && config && jt_file_exists(config)) s = jt_json_read(config, &more, err);
    if (!s && (s = jt_tokenizer_json(root, more, 0, out, err))) s = jt_error_in(err, s, "%s", path);
    jt_json_free(root), jt_json_free(more);
    return s;
}

static jt_status open_pieces(const char *path, const char *config, jt_tokenizer **out, jt_error *err) {
    jt_json *more = NULL;
    jt_map map;
    jt_status s = jt_map_open(path, &map, err);
    if (s) return s;
    if (config && jt_file_exists(config)) s = jt_json_read(config, &more, err);
    if (!s && (s = jt_tokenizer_sentencepiece((const char *)map.p, map.n, more, 0, out, err))) s = jt_error_in(err, s, "%s", path);
    jt_map_close(&map);
    jt_json_free(more);
    return s;
}

static jt_status open_file(const char *path, const char *config, jt_tokenizer **out, jt_error *err) {
    char first[1] = {0};
    bool ranks;
    jt_map map;
    jt_status s = jt_map_open(path, &map, err);
    if (s) return s;
    size_t i = 0;
    while (i < map.n && strchr(" \t\r\n", map.p[i]) && map.p[i]) i++;
    if (i < map.n) first[0] = (char)map.p[i];
    ranks = jt_tiktoken_is((const char *)map.p, map.n);
    jt_map_close(&map);
    if (ranks) return jt_tokenizer_tiktoken(path, NULL, out, err);
    return first[0] == '{' ? open_json(path, config, out, err) : open_pieces(path, config, out, err);
}

jt_status jt_tokenizer_open(const char *path, jt_tokenizer **out, jt_error *err) {
    static const char *const files[] = {"tokenizer.json", "tokenizer.model"};
    jt_str folder = {0}, name = {0}, config = {0};
    *out = NULL;
    bool whole = jt_is_folder(path);
    const char *slash = strrchr(path, '/');
    if (whole)
        jt_str_puts(&folder, path);
    else if (slash)
        jt_str_add(&folder, path, (size_t)(slash - path));
    else
        jt_str_puts(&folder, ".");
    jt_str_printf(&config, "%s/tokenizer_config.json", jt_str_c(&folder));
    jt_status s = jt_str_check(&config, err);
    for (size_t i = 0; !s && whole && i < 2 && !*jt_str_c(&name); i++) {
        jt_str_printf(&name, "%s/%s", path, files[i]);
        if (!(s = jt_str_check(&name, err)) && !jt_file_exists(name.s)) jt_str_clear(&name);
    }
    if (!s && whole && !name.n) s = jt_error_set(err, JT_NOTFOUND, "%s has neither tokenizer.json nor tokenizer.model", path);
    if (!s) s = open_file(whole ? name.s : path, config.s, out, err);
    jt_str_free(&folder), jt_str_free(&name), jt_str_free(&config);
    return s;
}

/* Names of models on the hub, and what the names of files say. */
#include <ctype.h>
#include <string.h>
#include <strings.h>

#include "cli/hub.h"

static jt_status bad_name(const char *text, const char *why, jt_error *err) {
    return jt_error_set(err, JT_INVALID,
                        "\"%.200s\": %s; a name on the hub is ORG/REPO, ORG/REPO:Q4_K_M, ORG/REPO:FILE or ORG/REPO@REVISION", text, why);
}

static bool after(const char **s, const char *prefix) {
    size_t n = strlen(prefix);
    if (strncasecmp(*s, prefix, n) != 0) return false;
    *s += n;
    return true;
}

/* One half of ORG/REPO, by the hub's own rules; two dashes would make names of folders ambiguous. */
static bool good_half(const char *s, size_t n) {
    if (!n || n > 96 || strchr("-.", s[0]) || strchr("-.", s[n - 1])) return false;
    for (size_t i = 0; i < n; i++) {
        if (!isalnum((unsigned char)s[i]) && !strchr("._-", s[i])) return false;
        if (i && strchr("-.", s[i]) && s[i] == s[i - 1]) return false;
    }
    return true;
}

static bool good_revision(const char *s) {
    size_t n = strlen(s);
    if (!n || s[0] == '/' || s[0] == '-' || s[n - 1] == '/' || strstr(s, "..") || strstr(s, "//")) return false;
    for (; *s; s++)
        if (!isalnum((unsigned char)*s) && !strchr("._-/+=#", *s)) return false;
    return true;
}

bool jt_hub_path_safe(const char *path) {
    size_t n = strlen(path);
    if (!n || n >= 512 || path[0] == '/') return false;
    for (const char *p = path; *p; p++)
        if ((unsigned char)*p < 0x20 || *p == 0x7f || *p == '\\') return false;
    for (const char *p = path;;) {
        size_t len = strcspn(p, "/");
        if (!len || len > 250 || (len == 1 && p[0] == '.') || (len == 2 && p[0] == '.' && p[1] == '.')) return false;
        if (!p[len]) return true;
        p += len + 1;
    }
}

bool jt_is_commit(const char *s) {
    size_t n = strlen(s);
    return (n == 40 || n == 64) && strspn(s, "0123456789abcdef") == n;
}

/* /resolve/REVISION/FILE, /blob/..., /tree/REVISION of a page's address. */
static jt_status read_page(const char *text, const char *s, jt_hub_name *out, jt_error *err) {
    if (!after(&s, "/resolve/") && !after(&s, "/blob/") && !after(&s, "/tree/")) return bad_name(text, "is no model's page", err);
    size_t n = strcspn(s, "/"), rest = strcspn(s, "?#");
    if (n > rest) n = rest;
    if (n >= sizeof out->revision) return bad_name(text, "its revision is too long", err);
    memcpy(out->revision, s, n), out->revision[n] = 0;
    s += n, rest -= n;
    if (rest && *s == '/') s++, rest--;
    if (rest >= sizeof out->what) return bad_name(text, "its file name is too long", err);
    memcpy(out->what, s, rest), out->what[rest] = 0;
    return JT_OK;
}

jt_status jt_hub_name_parse(const char *text, jt_hub_name *out, jt_error *err) {
    *out = (jt_hub_name){.revision = "main"};
    const char *s = text;
    bool page = after(&s, "https://") || after(&s, "http://");
    if (!page && !after(&s, "hf://")) after(&s, "hf:");
    bool host = after(&s, "huggingface.co/") || after(&s, "www.huggingface.co/") || after(&s, "hf.co/");
    if (page && !host) return bad_name(text, "is an address of another host (HF_ENDPOINT says which hub is asked)", err);
    size_t org = strcspn(s, "/"), repo = s[org] ? strcspn(s + org + 1, "/@:?#") : 0;
    if (!s[org]) return bad_name(text, "has no \"/\"", err);
    if (!good_half(s, org) || !good_half(s + org + 1, repo)) return bad_name(text, "is not ORG/REPO", err);
    memcpy(out->repo, s, org + 1 + repo), out->repo[org + 1 + repo] = 0;
    s += org + 1 + repo;
    jt_status st = JT_OK;
    if (*s == '/' && host) {
        st = read_page(text, s, out, err);
    } else {
        if (*s == '@') {
            size_t n = strcspn(++s, ":");
            if (n >= sizeof out->revision) return bad_name(text, "its revision is too long", err);
            memcpy(out->revision, s, n), out->revision[n] = 0;
            s += n;
        }
        if (*s == ':') {
            size_t n = strlen(++s);
            if (!n) return bad_name(text, "nothing stands behind \":\"", err);
            if (n >= sizeof out->what) return bad_name(text, "its file name is too long", err);
            memcpy(out->what, s, n + 1);
        } else if (*s && !(page && strchr("?#", *s))) {
            return bad_name(text, "is not ORG/REPO", err);
        }
    }
    if (st) return st;
    if (!good_revision(out->revision)) return bad_name(text, "its revision is no name of a branch, tag or commit", err);
    if (*out->what && !jt_hub_path_safe(out->what)) return bad_name(text, "its file name leads out of the repository", err);
    return JT_OK;
}

bool jt_hub_name_like(const char *text) {
    jt_hub_name n;
    if (jt_hub_name_parse(text, &n, NULL)) return false;
    size_t len = strlen(n.repo);
    return strchr(text, ':') || strchr(text, '@') || len < 5 || strcasecmp(n.repo + len - 5, ".gguf") != 0;
}

/* ---- names of files ---- */

static bool ends(const char *s, size_t n, const char *with) {
    size_t m = strlen(with);
    return n >= m && strncasecmp(s + n - m, with, m) == 0;
}

static const char *base_name(const char *path) {
    const char *slash = strrchr(path, '/');
    return slash ? slash + 1 : path;
}

bool jt_gguf_is_model_name(const char *path) {
    const char *base = base_name(path);
    if (!ends(base, strlen(base), ".gguf")) return false;
    return !strcasestr(base, "mmproj") && !strcasestr(base, "imatrix");
}

bool jt_gguf_part(const char *path, int *part, int *parts, size_t *stem) {
    size_t n = strlen(path), tail = strlen("-00001-of-00002.gguf");
    int64_t a, b;
    if (n <= tail || !ends(path, n, ".gguf")) return false;
    const char *t = path + n - tail;
    if (t[0] != '-' || memcmp(t + 6, "-of-", 4) != 0 || !isdigit((unsigned char)t[1]) || !isdigit((unsigned char)t[10])) return false;
    if (!jt_read_i64(t + 1, 5, &a) || !jt_read_i64(t + 10, 5, &b) || a < 1 || b < 1 || a > b) return false;
    *part = (int)a, *parts = (int)b, *stem = n - tail;
    return true;
}

/* The bytes of a kind that begins at s: F16, BF16, F32, MXFP4..., NVFP4, Q4_K_M, IQ2_XXS, TQ1_0 ... */
static size_t kind_at(const char *s) {
    static const char *const words[] = {"BF16", "F16", "FP16", "F32", "FP32", "NVFP4", "MXFP4_MOE", "MXFP4", NULL};
    size_t n = 0;
    while (isalnum((unsigned char)s[n]) || s[n] == '_') n++;
    for (int i = 0; words[i]; i++)
        if (strlen(words[i]) == n && strncasecmp(s, words[i], n) == 0) return n;
    size_t at = strchr("iItT", s[0]) && s[0] ? 1 : 0;
    if (toupper((unsigned char)s[at]) != 'Q' || !isdigit((unsigned char)s[at + 1]) || s[at + 2] != '_' || n < at + 4) return 0;
    return n;
}

size_t jt_gguf_kind_in_name(const char *path, const char **begin) {
    size_t n = strlen(path), best = 0;
    int part, parts;
    if (jt_gguf_part(path, &part, &parts, &n)) {
    } else if (ends(path, n, ".gguf")) {
        n -= 5;
    }
    for (size_t i = 0; i < n; i++) {
        if (i && !strchr("-._/", path[i - 1])) continue;
        size_t len = kind_at(path + i);
        if (!len || i + len > n || (i + len < n && !strchr("-./", path[i + len]))) continue;
        best = len, *begin = path + i;
        if (i >= 3 && strncasecmp(path + i - 3, "UD-", 3) == 0) best = len + 3, *begin = path + i - 3;
    }
    return best;
}

/* Where the hub is, and how it is asked. */
#include "cli/hub.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <time.h>

#include "cli/command.h"
#include "cli/interrupt.h"
#include "cli/out.h"
#include "core/file.h"
#include "core/json.h"

enum { MAX_ANSWER = 64 << 20, LONGEST_WAIT = 600 };

/* ---- the environment ---- */

static const char *env(const char *name) {
    const char *s = getenv(name);
    return s && *s ? s : NULL;
}

static bool env_true(const char *name) {
    const char *s = env(name);
    return s && (strcasecmp(s, "1") == 0 || strcasecmp(s, "true") == 0 || strcasecmp(s, "yes") == 0 || strcasecmp(s, "on") == 0);
}

/* A folder of the environment, "~" being the home folder. */
static void put_folder(const char *s, jt_str *out) {
    const char *home = env("HOME");
    if (s[0] == '~' && (s[1] == '/' || !s[1]) && home)
        jt_str_printf(out, "%s%s", home, s + 1);
    else
        jt_str_puts(out, s);
}

static jt_status hub_home(jt_str *out, jt_error *err) {
    const char *own = env("HF_HOME"), *xdg = env("XDG_CACHE_HOME"), *home = env("HOME");
    if (own)
        put_folder(own, out);
    else if (xdg && xdg[0] == '/')
        jt_str_printf(out, "%s/huggingface", xdg);
    else if (home)
        jt_str_printf(out, "%s/.cache/huggingface", home);
    else
        return jt_error_set(err, JT_INVALID, "neither HF_HOME nor HOME is set, so there is no folder for models; set one");
    return jt_str_check(out, err);
}

jt_status jt_hub_cache(jt_str *out, jt_error *err) {
    const char *own = env("HF_HUB_CACHE");
    if (!own) own = env("HUGGINGFACE_HUB_CACHE");
    if (own) {
        put_folder(own, out);
    } else {
        jt_status s = hub_home(out, err);
        if (s) return s;
        jt_str_puts(out, "/hub");
    }
    return jt_str_check(out, err);
}

/* The token, without white space around it. What could break a header is no token. */
static jt_status hub_token(jt_hub *h, jt_error *err) {
    jt_str text = {0}, path = {0};
    const char *s = env("HF_TOKEN");
    const char *from = "HF_TOKEN";
    if (!s) s = env("HUGGING_FACE_HUB_TOKEN"), from = "HUGGING_FACE_HUB_TOKEN";
    jt_status st = JT_OK;
    if (s) {
        jt_str_puts(&text, s);
    } else {
        const char *own = env("HF_TOKEN_PATH");
        if (own)
            put_folder(own, &path);
        else if (!(st = hub_home(&path, err)))
            jt_str_puts(&path, "/token");
        if (!st) st = jt_str_check(&path, err);
        if (!st && jt_file_exists(path.s)) st = jt_file_read(path.s, &text, err);
        from = jt_str_c(&path);
    }
    if (!st) st = jt_str_check(&text, err);
    const char *t = jt_str_c(&text);
    size_t n = text.n;
    while (n && strchr(" \t\r\n", t[n - 1])) n--;
    while (n && strchr(" \t\r\n", *t)) t++, n--;
    for (size_t i = 0; i < n && !st; i++)
        if (t[i] <= 0x20 || t[i] >= 0x7f)
            st = jt_error_set(err, JT_INVALID, "%s: holds no token, which is one word of letters and digits", from);
    if (!st) jt_str_add(&h->token, t, n);
    jt_str_free(&text);
    jt_str_free(&path);
    return st ? st : jt_str_check(&h->token, err);
}

static jt_status env_number(const char *name, double least, double most, double *out, jt_error *err) {
    const char *s = env(name);
    double x;
    if (!s) return JT_OK;
    if (!jt_read_double(s, strlen(s), &x) || x < least || x > most)
        return jt_error_set(err, JT_INVALID, "%s: \"%.50s\" is no number of seconds from %g to %g", name, s, least, most);
    *out = x;
    return JT_OK;
}

jt_status jt_hub_open(jt_hub *h, jt_error *err) {
    *h = (jt_hub){.first_wait = 1};
    double timeout = 30;
    const char *endpoint = env("HF_ENDPOINT");
    if (!endpoint) endpoint = "https://huggingface.co";
    size_t n = strlen(endpoint);
    while (n && endpoint[n - 1] == '/') n--;
    jt_str_add(&h->endpoint, endpoint, n);
    h->offline = env_true("HF_HUB_OFFLINE");
    jt_status s = jt_str_check(&h->endpoint, err);
    if (!s && strncmp(endpoint, "http://", 7) != 0 && strncmp(endpoint, "https://", 8) != 0)
        s = jt_error_set(err, JT_INVALID, "HF_ENDPOINT: \"%.200s\" begins with neither https:// nor http://", endpoint);
    if (!s) s = jt_hub_cache(&h->cache, err);
    if (!s) s = hub_token(h, err);
    if (!s) s = env_number("HF_HUB_DOWNLOAD_TIMEOUT", 1, 3600, &timeout, err);
    if (!s) s = env_number("JETON_RETRY_WAIT", 0, 60, &h->first_wait, err);
    h->timeout = (long)timeout;
    return s;
}

void jt_hub_close(jt_hub *h) {
    jt_http_free(h->http);
    jt_str_free(&h->endpoint);
    jt_str_free(&h->cache);
    jt_str_free(&h->token);
    *h = (jt_hub){0};
}

/* ---- asking ---- */

void jt_hub_api_url(const jt_hub *h, const char *repo, const char *below, jt_str *out) {
    jt_str_printf(out, "%s/api/models/%s%s", h->endpoint.s, repo, below);
}

void jt_hub_file_url(const jt_hub *h, const char *repo, const char *revision, const char *path, jt_str *out) {
    jt_str_printf(out, "%s/%s/resolve/", h->endpoint.s, repo);
    jt_http_escape(revision, strlen(revision), false, out);
    jt_str_putc(out, '/');
    jt_http_escape(path, strlen(path), true, out);
}

void jt_hub_repo_folder(const char *cache, const char *repo, jt_str *out) {
    jt_str_printf(out, "%s/models--", cache);
    for (; *repo; repo++) {
        if (*repo == '/')
            jt_str_puts(out, "--");
        else
            jt_str_putc(out, *repo);
    }
}

jt_status jt_hub_wait(const jt_hub *h, int attempt, const jt_http_answer *a, const char *why, jt_error *err) {
    double wait = h->first_wait;
    for (int i = 1; i < attempt; i++) wait *= 2;
    if (wait > 30) wait = 30;
    if (a->retry_after >= 0) wait = a->retry_after;
    if (wait > LONGEST_WAIT)
        return jt_error_set(err, JT_IO, "%s: %s, and asks to wait for %.0f minutes; try again then (what came is kept)", a->host, why,
                            wait / 60);
    if (wait >= 0.05)
        jt_say("%s; trying again in %.3g s", why, wait);
    else
        jt_say("%s; trying again", why);
    for (double end = jt_seconds() + wait; !jt_interrupted();) {
        double left = end - jt_seconds();
        if (left <= 0) return JT_OK;
        if (left > 0.2) left = 0.2;
        nanosleep(&(struct timespec){0, (long)(left * 1e9)}, NULL);
    }
    return jt_error_set(err, JT_CANCELLED, "interrupted");
}

static jt_status on_text(void *self, const void *p, size_t n, jt_error *err) {
    jt_str *out = self;
    if (n > MAX_ANSWER || out->n > MAX_ANSWER - n)
        return jt_error_set(err, JT_LIMIT, "the hub's answer is longer than %d MiB", MAX_ANSWER >> 20);
    jt_str_add(out, p, n);
    return jt_str_check(out, err);
}

static jt_status on_begin(void *self, const jt_http_answer *a, jt_error *err) {
    (void)a, (void)err;
    jt_str_clear(self);
    return JT_OK;
}

/* Sends a request until it is answered with something that a new attempt would not change. */
static jt_status hub_send(jt_hub *h, const jt_http_request *r, jt_http_answer *a, jt_error *err) {
    char why[512];
    *a = (jt_http_answer){.length = -1, .linked_size = -1};
    jt_status s = h->http ? JT_OK : jt_http_new(h->timeout, &h->http, err);
    for (int attempt = 1; !s; attempt++) {
        jt_error e = {0};
        s = jt_http_get(h->http, r, a, &e);
        if ((s && s != JT_IO) || !a->transient || attempt == JT_HUB_ATTEMPTS) {
            if (s && err) *err = e;
            break;
        }
        if (s)
            snprintf(why, sizeof why, "%s", e.message);
        else
            snprintf(why, sizeof why, "%s answers with status %d%s", a->host, a->status, a->status == 429 ? " (too many requests)" : "");
        s = jt_hub_wait(h, attempt, a, why, err);
    }
    return s;
}

jt_status jt_hub_ask(jt_hub *h, const char *url, jt_str *out, jt_http_answer *a, jt_error *err) {
    jt_http_request r = {.url = url, .token = jt_str_c(&h->token), .begin = on_begin, .data = on_text, .self = out};
    return hub_send(h, &r, a, err);
}

jt_status jt_hub_learn(jt_hub *h, const jt_hub_name *name, char *commit, jt_hub_file *f, jt_error *err) {
    jt_str url = {0};
    jt_http_answer a;
    jt_hub_file_url(h, name->repo, *commit ? commit : name->revision, f->path, &url);
    jt_status s = jt_str_check(&url, err);
    jt_http_request r = {.url = jt_str_c(&url), .token = jt_str_c(&h->token), .head = true};
    if (!s) s = hub_send(h, &r, &a, err);
    jt_str_free(&url);
    if (s) return s;
    bool linked = a.status / 100 == 3 && (a.linked_etag[0] || jt_is_commit(a.etag));
    if (a.status / 100 != 2 && !linked) return jt_hub_refused(h, name, f->path, &a, err);
    if (!*commit) {
        if (!jt_is_commit(a.commit))
            return jt_error_set(err, JT_FORMAT, "%s: does not say which commit %s of %s is (X-Repo-Commit)", a.host, name->revision,
                                name->repo);
        memcpy(commit, a.commit, strlen(a.commit) + 1);
    } else if (a.commit[0] && strcmp(a.commit, commit) != 0) {
        return jt_error_set(err, JT_IO, "%s: %s changed while it was asked for; try again", name->repo, name->revision);
    }
    const char *etag = a.linked_etag[0] ? a.linked_etag : a.etag;
    if (a.linked_size >= 0)
        f->size = a.linked_size;
    else if (!linked && a.length >= 0)
        f->size = a.length;
    if (jt_is_commit(etag) && strlen(etag) < sizeof f->sum) memcpy(f->sum, etag, strlen(etag) + 1);
    if (!f->sum[0])
        return jt_error_set(err, JT_UNSUPPORTED, "%s: gives no checksum for %s (its ETag is \"%.80s\"), so it cannot be checked", a.host,
                            f->path, etag);
    return JT_OK;
}

/* ---- refusals ---- */

/* The name in the hub's answer to `url` that is nearest to `to`; `member` of each element, or of those in the arrays `arrays`. */
static void nearest_of(jt_hub *h, const char *url, const char *member, jt_nearest *near, jt_json **keep) {
    jt_str text = {0};
    jt_http_answer a;
    jt_http_request r = {.url = url, .token = jt_str_c(&h->token), .begin = on_begin, .data = on_text, .self = &text};
    if (!jt_http_get(h->http, &r, &a, NULL) && a.status == 200 && !jt_json_parse(jt_str_c(&text), text.n, keep, NULL)) {
        for (size_t i = 0; i < jt_json_count(*keep); i++) {
            const jt_json *v = jt_json_item(*keep, i);
            const char *s = jt_json_string(jt_json_member(v, member), NULL);
            if (s) jt_nearest_add(near, s);
        }
    }
    jt_str_free(&text);
}

/* A model of the hub with a name like that: first among those of the same organisation, then anywhere. */
static jt_status no_repo(jt_hub *h, const jt_hub_name *name, const char *more, jt_error *err) {
    jt_nearest near = {.to = name->repo};
    jt_json *keep[2] = {NULL, NULL};
    const char *slash = strchr(name->repo, '/');
    for (int i = 0; i < 2 && !jt_nearest_get(&near); i++) {
        jt_str url = {0};
        if (i == 0)
            jt_str_printf(&url, "%s/api/models?author=%.*s&limit=500", h->endpoint.s, (int)(slash - name->repo), name->repo);
        else
            jt_str_printf(&url, "%s/api/models?search=%s&limit=100", h->endpoint.s, slash + 1);
        if (!url.failed) nearest_of(h, url.s, "id", &near, &keep[i]);
        jt_str_free(&url);
    }
    const char *best = jt_nearest_get(&near);
    jt_status s = best ? jt_error_set(err, JT_NOTFOUND, "%s: no such model on %s; did you mean \"%s\"?", name->repo, h->endpoint.s, best)
                       : jt_error_set(err, JT_NOTFOUND, "%s: no such model on %s%s", name->repo, h->endpoint.s, more);
    jt_json_free(keep[0]);
    jt_json_free(keep[1]);
    return s;
}

static jt_status no_revision(jt_hub *h, const jt_hub_name *name, jt_error *err) {
    jt_nearest near = {.to = name->revision};
    jt_str url = {0}, text = {0};
    jt_json *root = NULL;
    jt_http_answer a;
    jt_hub_api_url(h, name->repo, "/refs", &url);
    jt_http_request r = {.url = jt_str_c(&url), .token = jt_str_c(&h->token), .begin = on_begin, .data = on_text, .self = &text};
    if (!url.failed && !jt_http_get(h->http, &r, &a, NULL) && a.status == 200 && !jt_json_parse(jt_str_c(&text), text.n, &root, NULL)) {
        static const char *const kinds[] = {"branches", "tags"};
        for (int k = 0; k < 2; k++) {
            const jt_json *list = jt_json_member(root, kinds[k]);
            for (size_t i = 0; list && i < jt_json_count(list); i++) {
                const char *s = jt_json_string(jt_json_member(jt_json_item(list, i), "name"), NULL);
                if (s) jt_nearest_add(&near, s);
            }
        }
    }
    const char *best = jt_nearest_get(&near);
    jt_status s = jt_error_set(err, JT_NOTFOUND, "%s has no branch, tag or commit \"%s\"%s%s%s", name->repo, name->revision,
                               best ? "; did you mean \"" : "", best ? best : "", best ? "\"?" : "");
    jt_json_free(root);
    jt_str_free(&url);
    jt_str_free(&text);
    return s;
}

jt_status jt_hub_refused(jt_hub *h, const jt_hub_name *name, const char *path, const jt_http_answer *a, jt_error *err) {
    const char *at = h->endpoint.s, *repo = name->repo;
    bool token = h->token.n > 0, gated = strcmp(a->error_code, "GatedRepo") == 0;
    if (gated || (a->status == 403 && strcasestr(a->error_message, "gated"))) {
        if (!token)
            return jt_error_set(
                err, JT_IO,
                "%s: its authors ask for a consent first: give it at %s/%s, make a token at %s/settings/tokens and set HF_TOKEN", repo, at,
                repo, at);
        return jt_error_set(err, JT_IO,
                            "%s: the account of this token may not read it; ask for access at %s/%s (it may take its authors a while)",
                            repo, at, repo);
    }
    if (a->status == 401 && token && strcmp(a->error_code, "RepoNotFound") != 0)
        return jt_error_set(err, JT_IO,
                            "%s: the token (HF_TOKEN, or the token file) is not valid (status 401); make one at %s/settings/tokens",
                            a->host, at);
    if (strcmp(a->error_code, "RevisionNotFound") == 0) return no_revision(h, name, err);
    if (strcmp(a->error_code, "EntryNotFound") == 0 || (*path && a->status == 404))
        return jt_error_set(err, JT_NOTFOUND, "%s has no file \"%s\" at %s", repo, path, name->revision);
    if (strcmp(a->error_code, "DisabledRepo") == 0)
        return jt_error_set(err, JT_IO, "%s: the hub has disabled this model: %s", repo, a->error_message);
    if (a->status == 401)
        return no_repo(h, name, token ? ", or the account of this token may not read it" : "; if it is private, set HF_TOKEN", err);
    if (a->status == 404) return no_repo(h, name, "", err);
    if (a->status == 403)
        return jt_error_set(err, JT_IO, "%s: reading %s is refused (status 403%s%s)", a->host, repo, a->error_message[0] ? ": " : "",
                            a->error_message);
    return jt_error_set(err, JT_IO, "%s: answers with status %d%s%s%s; try again later", a->host, a->status,
                        a->status == 429 ? " (too many requests)" : "", a->error_message[0] ? ": " : "", a->error_message);
}

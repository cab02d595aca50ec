#include "cli/http.h"

#include <string.h>
#include <strings.h>

#include "cli/curl.h"
#include "cli/interrupt.h"
#include "core/file.h"
#include "core/mem.h"
#include "jeton/engine.h"

enum { MAX_REDIRECTS = 10, MAX_REFUSAL = 1 << 20 };

struct jt_http {
    jt_curl curl;
    CURL *easy;
    long timeout;
};

/* One hop of a request. */
typedef struct hop {
    jt_http *http;
    const jt_http_request *request;
    jt_http_answer *answer;
    jt_error error; /* of the sink */
    jt_status failed;
    bool begun;
    double last; /* jt_seconds when something came */
    curl_off_t seen;
    bool stalled;
    size_t ignored; /* bytes of an answer that is a refusal */
} hop;

jt_status jt_http_new(long timeout, jt_http **out, jt_error *err) {
    jt_http *h = jt_alloc(1, sizeof *h);
    if (!h) return jt_nomem(err, "a connection", 1, sizeof *h);
    jt_status s = jt_curl_load(&h->curl, err);
    if (!s && !(h->easy = h->curl.easy_init())) s = jt_nomem(err, "a connection", 1, 1);
    h->timeout = timeout;
    if (s)
        jt_http_free(h);
    else
        *out = h;
    return s;
}

void jt_http_free(jt_http *h) {
    if (h && h->easy) h->curl.easy_cleanup(h->easy);
    jt_free(h);
}

void jt_http_escape(const char *s, size_t n, bool slashes, jt_str *out) {
    for (size_t i = 0; i < n; i++) {
        unsigned char c = (unsigned char)s[i];
        bool plain = (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || (c && strchr("-._~", c));
        if (plain || (slashes && c == '/'))
            jt_str_putc(out, (char)c);
        else
            jt_str_printf(out, "%%%02X", c);
    }
}

/* ---- headers ---- */

static void put(char *out, size_t cap, const char *s, size_t n) {
    if (n >= cap) n = 0;
    memcpy(out, s, n);
    out[n] = 0;
}

static void put_etag(jt_http_answer *a, bool linked, const char *s, size_t n) {
    bool weak = n > 2 && s[0] == 'W' && s[1] == '/';
    if (weak) s += 2, n -= 2;
    if (n >= 2 && s[0] == '"' && s[n - 1] == '"') s++, n -= 2;
    put(linked ? a->linked_etag : a->etag, sizeof a->etag, s, n);
    if (!linked) a->weak = weak;
}

/* "bytes 100-199/1000" */
static void put_range(jt_http_answer *a, const char *s, size_t n) {
    const char *end = s + n, *dash, *slash;
    if (n < 6 || strncasecmp(s, "bytes ", 6) != 0) return;
    s += 6;
    dash = memchr(s, '-', (size_t)(end - s)), slash = memchr(s, '/', (size_t)(end - s));
    if (!dash || !slash || dash > slash) return;
    if (!jt_read_i64(s, (size_t)(dash - s), &a->from)) a->from = -1;
    if (!jt_read_i64(slash + 1, (size_t)(end - slash - 1), &a->total)) a->total = -1;
}

/* <https://...>; rel="next" */
static void put_link(jt_http_answer *a, const char *s, size_t n) {
    const char *end = s + n, *close = memchr(s, '>', n);
    if (!n || *s != '<' || !close || !memmem(close, (size_t)(end - close), "rel=\"next\"", 10)) return;
    put(a->next, sizeof a->next, s + 1, (size_t)(close - s) - 1);
}

static void put_header(jt_http_answer *a, const char *name, size_t n, const char *v, size_t len) {
    static const char *const names[] = {"content-length", "etag",         "x-linked-etag", "x-linked-size",   "x-repo-commit",
                                        "content-range",  "x-error-code", "link",          "x-error-message", NULL};
    int i = 0;
    while (names[i] && !(strlen(names[i]) == n && strncasecmp(names[i], name, n) == 0)) i++;
    switch (i) {
    case 0:
        if (!jt_read_i64(v, len, &a->length) || a->length < 0) a->length = -1;
        break;
    case 1: put_etag(a, false, v, len); break;
    case 2: put_etag(a, true, v, len); break;
    case 3:
        if (!jt_read_i64(v, len, &a->linked_size) || a->linked_size < 0) a->linked_size = -1;
        break;
    case 4: put(a->commit, sizeof a->commit, v, len); break;
    case 5: put_range(a, v, len); break;
    case 6: put(a->error_code, sizeof a->error_code, v, len); break;
    case 7: put_link(a, v, len); break;
    case 8: put(a->error_message, sizeof a->error_message, v, len); break;
    default: break;
    }
}

/* What belongs to one answer is forgotten, what the hub said before a redirect is kept. */
static void begin_answer(jt_http_answer *a) {
    a->status = 0, a->length = a->from = a->total = -1, a->retry_after = -1;
    a->transient = a->weak = false;
    a->etag[0] = a->error_code[0] = a->error_message[0] = a->next[0] = 0;
}

static size_t on_header(char *p, size_t size, size_t count, void *self) {
    hop *h = self;
    size_t n = size * count, all = n;
    h->last = jt_seconds();
    while (n && (p[n - 1] == '\r' || p[n - 1] == '\n' || p[n - 1] == ' ' || p[n - 1] == '\t')) n--;
    if (n >= 5 && memcmp(p, "HTTP/", 5) == 0) {
        begin_answer(h->answer);
        h->answer->reached = true;
        return all;
    }
    char *colon = memchr(p, ':', n);
    if (!colon) return all;
    char *v = colon + 1;
    while (v < p + n && (*v == ' ' || *v == '\t')) v++;
    put_header(h->answer, p, (size_t)(colon - p), v, (size_t)(p + n - v));
    return all;
}

static jt_status begin(hop *h) {
    const jt_http *c = h->http;
    long status = 0;
    h->begun = true;
    c->curl.easy_getinfo(c->easy, CURLINFO_RESPONSE_CODE, &status);
    h->answer->status = (int)status;
    if (status / 100 == 2 && h->request->begin) h->failed = h->request->begin(h->request->self, h->answer, &h->error);
    return h->failed;
}

static size_t on_data(char *p, size_t size, size_t count, void *self) {
    hop *h = self;
    size_t n = size * count;
    if (!h->begun && begin(h)) return 0;
    if (h->answer->status / 100 == 2 && h->request->data) h->failed = h->request->data(h->request->self, p, n, &h->error);
    if (h->answer->status / 100 != 2 && (h->ignored += n) > MAX_REFUSAL) return 0;
    return h->failed ? 0 : n;
}

/* libcurl's own limit of speed takes the mean of five seconds. */
static int on_progress(void *self, curl_off_t all, curl_off_t now, curl_off_t up_all, curl_off_t up_now) {
    hop *h = self;
    (void)all, (void)up_all, (void)up_now;
    if (now != h->seen) h->seen = now, h->last = jt_seconds();
    h->stalled = jt_seconds() - h->last > (double)h->http->timeout;
    return h->stalled || jt_interrupted();
}

/* ---- addresses ---- */

typedef struct origin {
    char scheme[8], host[128], port[8];
} origin;

static bool url_part(jt_http *h, CURLU *u, CURLUPart what, unsigned flags, char *out, size_t cap) {
    char *s = NULL;
    if (h->curl.url_get(u, what, &s, flags) || !s) return false;
    size_t n = strlen(s);
    put(out, cap, s, n);
    h->curl.free(s);
    return n < cap;
}

static jt_status origin_of(jt_http *h, const char *url, origin *out, jt_error *err) {
    CURLU *u = h->curl.url();
    if (!u) return jt_nomem(err, "an address", 1, 1);
    bool good = !h->curl.url_set(u, CURLUPART_URL, url, 0) && url_part(h, u, CURLUPART_SCHEME, 0, out->scheme, sizeof out->scheme) &&
                url_part(h, u, CURLUPART_HOST, 0, out->host, sizeof out->host) &&
                url_part(h, u, CURLUPART_PORT, CURLU_DEFAULT_PORT, out->port, sizeof out->port) &&
                (strcmp(out->scheme, "http") == 0 || strcmp(out->scheme, "https") == 0);
    h->curl.url_cleanup(u);
    if (good) return JT_OK;
    return jt_error_set(err, JT_INVALID, "%.200s: is no address of HTTP or HTTPS", url);
}

static bool same_origin(const origin *a, const origin *b) {
    return strcmp(a->scheme, b->scheme) == 0 && strcasecmp(a->host, b->host) == 0 && strcmp(a->port, b->port) == 0;
}

/* ---- a request ---- */

static bool add_header(jt_http *h, struct curl_slist **list, const char *name, const char *value, const char *after) {
    jt_str line = {0};
    jt_str_printf(&line, "%s%s%s", name, value, after);
    struct curl_slist *more = line.failed ? NULL : h->curl.slist_append(*list, line.s);
    jt_str_free(&line);
    if (more) *list = more;
    return more != NULL;
}

static bool transient_code(CURLcode c, bool reached) {
    switch (c) {
    case CURLE_COULDNT_RESOLVE_PROXY:
    case CURLE_COULDNT_RESOLVE_HOST:
    case CURLE_COULDNT_CONNECT: return reached;
    case CURLE_PARTIAL_FILE:
    case CURLE_OPERATION_TIMEDOUT:
    case CURLE_GOT_NOTHING:
    case CURLE_SEND_ERROR:
    case CURLE_RECV_ERROR:
    case CURLE_HTTP2:
    case CURLE_HTTP2_STREAM: return true;
    case CURLE_SSL_CONNECT_ERROR: return reached;
    default: return false;
    }
}

static bool transient_status(int status) { return status == 408 || status == 429 || status == 500 || (status >= 502 && status <= 504); }

static jt_status explain(jt_http *h, CURLcode c, const origin *o, const char *proxy, jt_error *err) {
    const char *what = h->curl.easy_strerror(c);
    switch (c) {
    case CURLE_OUT_OF_MEMORY: /* some versions say so of headers over their limit */
        return jt_error_set(err, JT_IO, "%s: its answer has headers without end, or there is no memory left for it", o->host);
    case CURLE_ABORTED_BY_CALLBACK: return jt_error_set(err, JT_CANCELLED, "interrupted");
    case CURLE_COULDNT_RESOLVE_HOST:
        return jt_error_set(err, JT_IO, "%s: no such host is known here; check the network, or set https_proxy", o->host);
    case CURLE_COULDNT_RESOLVE_PROXY: return jt_error_set(err, JT_IO, "the proxy of the environment is not known here; check %s", proxy);
    case CURLE_COULDNT_CONNECT: return jt_error_set(err, JT_IO, "%s: cannot be reached on port %s; check the network", o->host, o->port);
    case CURLE_OPERATION_TIMEDOUT: return jt_error_set(err, JT_IO, "%s: nothing came for %ld seconds", o->host, h->timeout);
    case CURLE_PEER_FAILED_VERIFICATION:
        return jt_error_set(err, JT_IO, "%s: its certificate is not trusted here (%s); SSL_CERT_FILE names a file with other certificates",
                            o->host, what);
    default: return jt_error_set(err, JT_IO, "%s: the connection failed: %s", o->host, what);
    }
}

static void set_options(jt_http *h, const jt_http_request *r, const char *url, struct curl_slist *list, hop *to) {
    const jt_curl *c = &h->curl;
    c->easy_reset(h->easy);
    c->easy_setopt(h->easy, CURLOPT_URL, url);
    c->easy_setopt(h->easy, CURLOPT_NOSIGNAL, 1L);
    c->easy_setopt(h->easy, CURLOPT_FOLLOWLOCATION, 0L);
    char agent[64];
    snprintf(agent, sizeof agent, "jeton/%s", jt_version());
    c->easy_setopt(h->easy, CURLOPT_USERAGENT, agent);
    c->easy_setopt(h->easy, CURLOPT_NOBODY, r->head ? 1L : 0L);
    c->easy_setopt(h->easy, CURLOPT_HTTPHEADER, list);
    c->easy_setopt(h->easy, CURLOPT_SUPPRESS_CONNECT_HEADERS, 1L);
    c->easy_setopt(h->easy, CURLOPT_CONNECTTIMEOUT, h->timeout);
    c->easy_setopt(h->easy, CURLOPT_TCP_KEEPALIVE, 1L);
    c->easy_setopt(h->easy, CURLOPT_BUFFERSIZE, 1L << 18);
    c->easy_setopt(h->easy, CURLOPT_HEADERFUNCTION, on_header);
    c->easy_setopt(h->easy, CURLOPT_HEADERDATA, (void *)to);
    c->easy_setopt(h->easy, CURLOPT_WRITEFUNCTION, on_data);
    c->easy_setopt(h->easy, CURLOPT_WRITEDATA, (void *)to);
    c->easy_setopt(h->easy, CURLOPT_NOPROGRESS, 0L);
    c->easy_setopt(h->easy, CURLOPT_XFERINFOFUNCTION, on_progress);
    c->easy_setopt(h->easy, CURLOPT_XFERINFODATA, (void *)to);
    const char *certificates = getenv("SSL_CERT_FILE");
    if (!certificates || !*certificates) certificates = getenv("CURL_CA_BUNDLE");
    if (certificates && *certificates) c->easy_setopt(h->easy, CURLOPT_CAINFO, certificates);
}

/* One hop; `location` gets the target of a redirect. */
static jt_status one_hop(jt_http *h, const jt_http_request *r, const char *url, const origin *at, bool with_token, jt_http_answer *a,
                         jt_str *location, jt_error *err) {
    struct curl_slist *list = NULL;
    hop one = {.http = h, .request = r, .answer = a, .last = jt_seconds()};
    char from[32];
    snprintf(from, sizeof from, "%llu-", (unsigned long long)r->from);
    bool made = (!with_token || add_header(h, &list, "Authorization: Bearer ", r->token, "")) &&
                (!r->from || add_header(h, &list, "Range: bytes=", from, "")) &&
                (!r->from || !r->if_range || add_header(h, &list, "If-Range: \"", r->if_range, "\""));
    if (!made) {
        h->curl.slist_free_all(list);
        return jt_nomem(err, "a request", 1, 1);
    }
    begin_answer(a);
    set_options(h, r, url, list, &one);
    CURLcode code = h->curl.easy_perform(h->easy);
    h->curl.slist_free_all(list);
    put(a->host, sizeof a->host, at->host, strlen(at->host));
    jt_status s = JT_OK;
    if (code == CURLE_WRITE_ERROR && one.ignored > MAX_REFUSAL) code = CURLE_OK;
    if (code == CURLE_ABORTED_BY_CALLBACK && one.stalled) code = CURLE_OPERATION_TIMEDOUT;
    if (code && !one.failed) {
        a->transient = transient_code(code, a->reached);
        s = jt_interrupted() ? jt_error_set(err, JT_CANCELLED, "interrupted") : explain(h, code, at, "http_proxy and https_proxy", err);
    }
    if (!s && !one.failed && !one.begun) begin(&one);
    if (one.failed) {
        if (err) *err = one.error;
        return one.failed;
    }
    if (s) return s;
    char *target = NULL;
    curl_off_t wait = -1;
    if (a->status / 100 == 3 && !h->curl.easy_getinfo(h->easy, CURLINFO_REDIRECT_URL, &target) && target) jt_str_puts(location, target);
    if ((a->status == 429 || a->status == 503) && !h->curl.easy_getinfo(h->easy, CURLINFO_RETRY_AFTER, &wait) && wait >= 0)
        a->retry_after = (double)wait;
    a->transient = transient_status(a->status);
    return jt_str_check(location, err);
}

jt_status jt_http_get(jt_http *h, const jt_http_request *r, jt_http_answer *a, jt_error *err) {
    jt_str url = {0}, next = {0};
    origin first, here, there;
    *a = (jt_http_answer){.linked_size = -1};
    begin_answer(a);
    jt_status s = origin_of(h, r->url, &first, err);
    here = first;
    bool token = r->token && *r->token;
    jt_str_puts(&url, r->url);
    if (!s) s = jt_str_check(&url, err);
    for (int i = 0; !s; i++) {
        jt_str_clear(&next);
        s = one_hop(h, r, url.s, &here, token, a, &next, err);
        if (s || !next.n) break;
        s = origin_of(h, next.s, &there, err);
        if (s) break;
        bool away = !same_origin(&here, &there);
        if (r->head && (away || a->linked_etag[0])) break;
        if (strcmp(here.scheme, "https") == 0 && strcmp(there.scheme, "http") == 0)
            s = jt_error_set(err, JT_IO, "%s: redirects from https to http (%s), which is not followed", here.host, there.host);
        else if (i == MAX_REDIRECTS)
            s = jt_error_set(err, JT_IO, "%s: redirects more than %d times", first.host, MAX_REDIRECTS);
        if (away) token = false;
        here = there;
        jt_str t = url;
        url = next, next = t;
    }
    jt_str_free(&url);
    jt_str_free(&next);
    return s;
}

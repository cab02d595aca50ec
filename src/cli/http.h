/* http.h: one request over HTTP or HTTPS, redirects followed. With curl.h the only file that knows libcurl.
 *
 * Redirects are followed here and not by libcurl: the token goes to the scheme, host and port that it is for and to no
 * other, a redirect never leads from https to http, and ten are the end. Proxies are those of the environment (http_proxy,
 * https_proxy, all_proxy, no_proxy), certificates those of the system or of SSL_CERT_FILE or CURL_CA_BUNDLE. */
#ifndef JT_CLI_HTTP_H
#define JT_CLI_HTTP_H

#include <stdbool.h>
#include <stdint.h>

#include "core/str.h"
#include "jeton/status.h"

typedef struct jt_http jt_http;

/* What came back: of the last answer in a chain of redirects, save where said. Texts that are too long are "". */
typedef struct jt_http_answer {
    int status;              /* 0: none came */
    int64_t length;          /* Content-Length, -1 unknown */
    int64_t from, total;     /* of a Content-Range, -1 unknown */
    double retry_after;      /* seconds, negative: not said */
    bool transient;          /* a new attempt may succeed */
    bool reached;            /* some server (or proxy) answered */
    char etag[160];          /* without quotes and W/ */
    bool weak;               /* the ETag was W/"..." */
    char linked_etag[160];   /* X-Linked-Etag of the last answer that had one */
    int64_t linked_size;     /* X-Linked-Size, likewise; -1 unknown */
    char commit[72];         /* X-Repo-Commit, likewise */
    char error_code[48];     /* X-Error-Code */
    char error_message[200]; /* X-Error-Message */
    char host[128];          /* that gave this answer */
    char next[1024];         /* the target of Link: <...>; rel="next" */
} jt_http_answer;

typedef struct jt_http_request {
    const char *url;
    const char *token;    /* for the origin of `url` alone; NULL or "": none */
    uint64_t from;        /* asks for the bytes from there on; 0: all */
    const char *if_range; /* and only if the file still has this ETag; NULL: whatever it has */
    bool head;            /* ask for the headers alone, and stop where X-Linked-Etag or another origin is met */
    /* Called once before the first bytes of a 2xx answer (also when there are none), and with its bytes. A failure ends the
     * request and is its result. Either may be NULL. */
    jt_status (*begin)(void *self, const jt_http_answer *a, jt_error *err);
    jt_status (*data)(void *self, const void *p, size_t n, jt_error *err);
    void *self;
} jt_http_request;

/* `timeout`: seconds to connect in, and without a byte. */
jt_status jt_http_new(long timeout, jt_http **out, jt_error *err);
void jt_http_free(jt_http *h);

/* JT_OK when an answer came, whatever its status: a status that is not 2xx is for the caller to judge (a->transient helps).
 * JT_IO when none came or it broke off, JT_CANCELLED after Ctrl-C. `a` is always set. */
jt_status jt_http_get(jt_http *h, const jt_http_request *r, jt_http_answer *a, jt_error *err);

/* s[0..n) as a part of an address; with `slashes` "/" stays. */
void jt_http_escape(const char *s, size_t n, bool slashes, jt_str *out);

#endif

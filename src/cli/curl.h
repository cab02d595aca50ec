/* curl.h: libcurl, loaded when something is to be downloaded.
 *
 * It is not linked to the command: with the thirty libraries that it brings, every start of `jeton` would take ten
 * milliseconds more, and the command of the tarball could not be carried to another system. Its interface is that of
 * libcurl.so.4, unchanged since 2006; functions are called through the table, by their own names. */
#ifndef JT_CLI_CURL_H
#define JT_CLI_CURL_H

#include <curl/curl.h>

#include "jeton/status.h"

/* Every member is a pointer to the function of its name without "curl_". */
typedef struct jt_curl {
    __typeof__(curl_global_init) *global_init;
    __typeof__(curl_easy_init) *easy_init;
    __typeof__(curl_easy_setopt) *easy_setopt;
    __typeof__(curl_easy_perform) *easy_perform;
    __typeof__(curl_easy_getinfo) *easy_getinfo;
    __typeof__(curl_easy_reset) *easy_reset;
    __typeof__(curl_easy_cleanup) *easy_cleanup;
    __typeof__(curl_easy_strerror) *easy_strerror;
    __typeof__(curl_slist_append) *slist_append;
    __typeof__(curl_slist_free_all) *slist_free_all;
    __typeof__(curl_url) *url;
    __typeof__(curl_url_set) *url_set;
    __typeof__(curl_url_get) *url_get;
    __typeof__(curl_url_cleanup) *url_cleanup;
    __typeof__(curl_free) *free;
} jt_curl;

/* Loads the library, which stays until the process ends. JT_NOTFOUND says what to install. */
jt_status jt_curl_load(jt_curl *out, jt_error *err);

#endif

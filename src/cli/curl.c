#include "cli/curl.h"

#include <dlfcn.h>
#include <stddef.h>
#include <string.h>

/* The library of the project, that of Debian's GnuTLS flavour, and the ones of macOS. */
static const char *const names[] = {"libcurl.so.4", "libcurl-gnutls.so.4", "libcurl.4.dylib", NULL};

static const struct {
    const char *name;
    size_t at;
} functions[] = {
    {"curl_global_init", offsetof(jt_curl, global_init)},
    {"curl_easy_init", offsetof(jt_curl, easy_init)},
    {"curl_easy_setopt", offsetof(jt_curl, easy_setopt)},
    {"curl_easy_perform", offsetof(jt_curl, easy_perform)},
    {"curl_easy_getinfo", offsetof(jt_curl, easy_getinfo)},
    {"curl_easy_reset", offsetof(jt_curl, easy_reset)},
    {"curl_easy_cleanup", offsetof(jt_curl, easy_cleanup)},
    {"curl_easy_strerror", offsetof(jt_curl, easy_strerror)},
    {"curl_slist_append", offsetof(jt_curl, slist_append)},
    {"curl_slist_free_all", offsetof(jt_curl, slist_free_all)},
    {"curl_url", offsetof(jt_curl, url)},
    {"curl_url_set", offsetof(jt_curl, url_set)},
    {"curl_url_get", offsetof(jt_curl, url_get)},
    {"curl_url_cleanup", offsetof(jt_curl, url_cleanup)},
    {"curl_free", offsetof(jt_curl, free)},
};

jt_status jt_curl_load(jt_curl *out, jt_error *err) {
    void *library = NULL;
    for (int i = 0; names[i] && !library; i++) library = dlopen(names[i], RTLD_NOW | RTLD_LOCAL);
    if (!library)
        return jt_error_set(err, JT_NOTFOUND,
                            "downloading needs libcurl, and there is no %s; install it (libcurl4 on Debian and Ubuntu, libcurl on Fedora, "
                            "curl on Arch)",
                            names[0]);
    for (size_t i = 0; i < sizeof functions / sizeof *functions; i++) {
        void *p = dlsym(library, functions[i].name);
        if (!p)
            return jt_error_set(err, JT_UNSUPPORTED, "%s has no function %s; install libcurl 7.66 or later", names[0], functions[i].name);
        memcpy((char *)out + functions[i].at, &p, sizeof p); /* ISO C has no cast from an object to a function */
    }
    if (out->global_init(CURL_GLOBAL_DEFAULT)) return jt_error_set(err, JT_NOMEM, "libcurl could not be started");
    return JT_OK;
}
